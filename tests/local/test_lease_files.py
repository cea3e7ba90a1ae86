"""Sockets and token files at places that a person names: nothing that is there is touched."""

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credhelper.domain.errors import CredhelperError, UsageError
from credhelper.local import lease_files
from credhelper.local.places import SOCKET_PATH_LIMIT

HASH = hashlib.sha256(b"a-token").hexdigest()


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path in a directory of the user's own."""
    with tempfile.TemporaryDirectory(prefix="ch-") as directory:
        yield Path(directory) / "s"


def refused(path: Path, *, for_others: bool = False) -> str:
    """The error's message and hint."""
    with pytest.raises(UsageError) as caught:
        lease_files.listen(path, for_others=for_others).close()
    return f"{caught.value.message} {caught.value.hint}"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_socket_is_for_the_user_alone_unless_others_are_named(place: Path) -> None:
    for for_others, mode in ((False, 0o600), (True, 0o666)):
        with contextlib.closing(lease_files.listen(place, for_others=for_others)):
            assert mode_of(place) == mode
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(place))
        assert not place.exists()


def test_whatever_the_umask_is(place: Path) -> None:
    before = os.umask(0o777)
    try:
        with contextlib.closing(lease_files.listen(place)):
            assert mode_of(place) == 0o600
    finally:
        os.umask(before)


def test_nothing_that_is_there_is_overwritten(place: Path) -> None:
    target = place.with_name("target")
    makers: dict[str, Callable[[], object]] = {
        "a file": lambda: place.write_text("mine"),
        "a directory": place.mkdir,
        "a link to nothing": lambda: place.symlink_to(target),
        "a pipe": lambda: os.mkfifo(place),
    }
    for what, make in makers.items():
        make()
        before = os.lstat(place)
        assert "is not overwritten" in refused(place), what
        with pytest.raises(UsageError, match="is not overwritten"):
            lease_files.write_token(place, "a-token")
        assert os.path.samestat(before, os.lstat(place)), what
        assert not target.exists(), what
        place.rmdir() if place.is_dir() else place.unlink()


def test_a_socket_at_which_somebody_listens_is_left_to_them(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(place))
        theirs.listen(1)
        assert "is not overwritten" in refused(place)
        lease_files.remove_dead_socket(place)
        assert place.exists()


def test_a_socket_at_which_nobody_listens_any_more_is_replaced(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    with contextlib.closing(lease_files.listen(place)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))


def test_what_has_taken_its_place_is_not_removed(place: Path) -> None:
    own = lease_files.listen(place)
    place.unlink()
    place.write_text("mine")
    own.close()
    assert place.read_text() == "mine"


def test_it_may_have_been_removed_already(place: Path) -> None:
    own = lease_files.listen(place)
    place.unlink()
    own.close()
    assert not place.exists()


def test_a_directory_that_others_can_change_is_refused(place: Path) -> None:
    for mode in (0o777, 0o1777, 0o770, 0o702):
        place.parent.chmod(mode)
        assert f"mkdir -m 700 {place.parent}/only-mine" in refused(place)
        with pytest.raises(UsageError, match="others can change"):
            lease_files.write_token(place, "a-token")
    place.parent.chmod(0o755)
    lease_files.listen(place).close()


def test_a_directory_that_is_missing_or_none_is_refused(place: Path) -> None:
    assert "mkdir -m 700 /nonexistent" in refused(Path("/nonexistent/s"))
    assert "has a /tmp of its own" in refused(Path("/tmp/ch-nonexistent/s"))
    place.write_text("")
    refused(place / "s")
    refused(Path("relative"))


def test_for_others_it_must_lie_where_only_the_user_can_go(place: Path) -> None:
    place.parent.chmod(0o755)
    assert "everybody on this machine could get at" in refused(place, for_others=True)
    inner = place.parent / "inner"
    inner.mkdir(0o755)
    place.parent.chmod(0o700)
    lease_files.listen(inner / "s", for_others=True).close()  # which can be mounted whole


def test_a_path_that_is_too_long_for_a_socket_is_refused(place: Path) -> None:
    room = SOCKET_PATH_LIMIT - len(str(place.parent)) - 1
    lease_files.listen(place.with_name("x" * room)).close()
    assert f"longer than {SOCKET_PATH_LIMIT} bytes" in refused(place.with_name("x" * (room + 1)))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="takes a file system that lets nobody write: /proc")
def test_where_the_daemon_may_not_write_it_says_where_it_may() -> None:
    with pytest.raises(CredhelperError) as caught:
        lease_files.listen(Path("/proc/self/s"))
    assert caught.value.status in {1, 2}
    assert "/proc/self" in caught.value.message


def test_a_token_file_holds_the_token_and_nothing_else(place: Path) -> None:
    lease_files.write_token(place, "a-token")
    assert place.read_bytes() == b"a-token"
    assert mode_of(place) == 0o600


def test_a_token_file_is_removed_while_it_is_the_same(place: Path) -> None:
    lease_files.write_token(place, "a-token")
    lease_files.remove_token(place, HASH)
    assert not place.exists()
    lease_files.remove_token(place, HASH)
    place.write_bytes(b"another")
    lease_files.remove_token(place, HASH)
    assert place.read_bytes() == b"another"
