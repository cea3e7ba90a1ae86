"""Files with secrets: read without trust, written whole or not at all. And directories, locks and places."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from credhelper.domain.errors import CredhelperError
from credhelper.local import file_lock, places, private_directory, private_files, process
from credhelper.local.private_files import UnusableFile

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that belongs to another user")


def why(path: Path) -> str:
    with pytest.raises(UnusableFile) as caught:
        private_files.read(path)
    return str(caught.value)


# -- reading ----------------------------------------------------------------------------------------------------------


def test_our_own_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in (b"", b"x", b"x" * private_files.LARGEST):
        path.write_bytes(content)
        assert private_files.read(path) == content


def test_nothing_is_none(tmp_path: Path) -> None:
    assert private_files.read(tmp_path / "f") is None
    assert private_files.read(tmp_path / "no" / "f") is None
    assert private_files.signature(tmp_path / "f") is None


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "256 KiB" in why(path)


def test_a_fifo_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    assert "not a regular file" in why(tmp_path / "f")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("secret")
    (tmp_path / "f").symlink_to(tmp_path / "real")
    assert why(tmp_path / "f") == "a symbolic link"
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert why(tmp_path / "dangling") == "a symbolic link"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert why(tmp_path / "loop") == "a symbolic link"


def test_a_link_to_the_directory_is_followed(tmp_path: Path) -> None:
    """Homes are moved with links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert private_files.read(tmp_path / "link" / "f") == b"x"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc/self", "/"])
def test_devices_and_directories_are_refused(path: str) -> None:
    assert why(Path(path))


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert why(tmp_path / "s")


@AS_ROOT
def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    os.chown(path, 12345, 12345)
    assert why(path) == "it belongs to another user"


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert why(tmp_path / ("x" * 300))


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    fstat = os.fstat

    def then_grows(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        path.write_bytes(b"x" * (private_files.LARGEST + 1))
        return found

    monkeypatch.setattr(os, "fstat", then_grows)
    assert "256 KiB" in why(path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    (tmp_path / "d").mkdir()
    before = count()
    private_files.write(tmp_path / "f", b"x")
    private_files.read(tmp_path / "f")
    for path in (tmp_path / "d", tmp_path / "none"):
        with contextlib.suppress(UnusableFile):
            private_files.read(path)
    assert count() == before


def test_a_signature_changes_with_every_kind_of_change(tmp_path: Path) -> None:
    path = tmp_path / "f"

    def replaced() -> None:
        path.unlink()
        path.symlink_to("x")

    seen = set()
    for change in (
        lambda: path.write_bytes(b"1"),
        lambda: path.write_bytes(b"12"),
        lambda: os.utime(path, ns=(5, 5)),
        lambda: private_files.write(path, b"12"),
        replaced,
    ):
        change()
        seen.add(private_files.signature(path))
    assert len(seen) == 5


# -- writing ----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_private_with_its_directories(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "f"
    private_files.write(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["f"]


def test_a_looser_mode_is_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        private_files.write(path, b"new")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_reader_of_the_old_file_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with path.open() as reader:
        private_files.write(path, b"new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("kind", ["symlink", "fifo", "hard link"])
def test_what_is_there_is_replaced_and_not_written_through(tmp_path: Path, kind: str) -> None:
    path, precious = tmp_path / "f", tmp_path / "precious"
    precious.write_text("precious")
    if kind == "symlink":
        path.symlink_to(precious)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.hardlink_to(precious)
    private_files.write(path, b"new")
    assert path.read_text() == "new"
    assert precious.read_text() == "precious"


def test_a_directory_is_not_replaced_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(IsADirectoryError):
        private_files.write(tmp_path / "f", b"x")
    assert os.listdir(tmp_path) == ["f"]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    private_files.write(tmp_path / "f", b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "f").write_text("old")

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(OSError, match="Input/output"):
            private_files.write(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """The kernel itself refuses in the middle of the write."""
    (tmp_path / "f").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            private_files.write(tmp_path / "f", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    writers = [
        threading.Thread(target=private_files.write, args=(path, bytes([65 + number]) * 10_000)) for number in range(16)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    content = path.read_bytes()
    assert len(content) == 10_000
    assert len(set(content)) == 1
    assert os.listdir(tmp_path) == ["f"]


def test_removing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert private_files.remove(path) is False
    path.symlink_to("/etc/passwd")
    assert private_files.remove(path) is True
    assert Path("/etc/passwd").exists()
    path.mkdir()
    with pytest.raises(OSError):
        private_files.remove(path)


def test_removing_from_a_directory_that_is_gone(tmp_path: Path) -> None:
    assert private_files.remove(tmp_path / "none" / "f") is False


# -- directories ------------------------------------------------------------------------------------------------------


def test_a_private_directory_is_made_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_directory.ensure(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    private_directory.ensure(tmp_path / "a" / "b")


def loose(path: Path) -> None:
    path.mkdir(mode=0o755)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_text("x"), "d"),
        (lambda path: path.symlink_to("/tmp"), "not a directory"),
        (lambda path: path.symlink_to("/nowhere/at/all"), "d"),
        (loose, "others may enter"),
    ],
)
def test_a_directory_that_is_not_ours_alone_is_refused_and_not_mended(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "d"
    make(path)
    before = path.lstat().st_mode
    with pytest.raises(CredhelperError, match=says) as caught:
        private_directory.ensure(path)
    assert str(path) in caught.value.message
    assert path.lstat().st_mode == before


@AS_ROOT
def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)
    with pytest.raises(CredhelperError, match="another user"):
        private_directory.ensure(path)


# -- locks ------------------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from credhelper.local import file_lock
with file_lock.locked(Path(sys.argv[1]), seconds=5):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[bytes]:
    found = subprocess.Popen(
        [sys.executable, "-c", HOLDER, os.fspath(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert found.stdout is not None
    assert found.stdout.readline() == b"held\n"
    return found


def test_another_process_keeps_us_out_and_its_end_lets_us_in(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lock"
    with holder(path) as other:
        with pytest.raises(file_lock.LockBusy, match="lock"), file_lock.locked(path, seconds=0.0):
            pass
        other.kill()
        other.wait()
        with file_lock.locked(path, seconds=5):
            pass
    assert path.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_waiting_process_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock.locked(path, seconds=1):
        waiting = subprocess.Popen(
            [sys.executable, "-c", HOLDER, os.fspath(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert waiting.poll() is None
    out, _ = waiting.communicate()
    assert out == b"held\n"


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyError), file_lock.locked(path, seconds=1):
        raise KeyError
    with file_lock.locked(path, seconds=0):
        pass


def test_a_lock_file_that_cannot_be_made_is_told_by_its_cause() -> None:
    with pytest.raises(OSError) as told:
        file_lock.open_lock_file(Path("/sys/no-such.lock"))  # where not even root makes files
    assert told.value.errno in {errno.EACCES, errno.EROFS, errno.EPERM}


def test_a_lock_file_is_not_inherited_by_children(tmp_path: Path) -> None:
    descriptor = file_lock.open_lock_file(tmp_path / "lock")
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), file_lock.locked(tmp_path / "lock", seconds=0):
        pass
    assert not (tmp_path / "elsewhere").exists()


# -- places -----------------------------------------------------------------------------------------------------------


def test_the_socket_lies_in_a_private_runtime_directory(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {b"HOME": b"/h", b"XDG_RUNTIME_DIR": os.fsencode(runtime)}
    assert places.socket_path(env) == runtime / "credhelper" / "credhelper.sock"
    assert places.socket_path(env | {b"CREDHELPER_SOCKET": b"/x/s"}) == Path("/x/s")
    runtime.chmod(0o755)
    assert places.socket_path(env) != runtime / "credhelper" / "credhelper.sock"


@pytest.mark.parametrize("named", [b"relative/s", b"/" + b"x" * 107])
def test_a_socket_that_cannot_be_is_refused(named: bytes) -> None:
    with pytest.raises(CredhelperError, match=r"CREDHELPER_SOCKET|longer"):
        places.socket_path({b"HOME": b"/h", b"CREDHELPER_SOCKET": named})
    assert places.socket_path({b"HOME": b"/h", b"CREDHELPER_SOCKET": b"/" + b"x" * 102})


def test_state_and_data_follow_the_xdg_variables_when_absolute() -> None:
    env = {b"HOME": b"/h"}
    assert places.state_directory(env) == Path("/h/.local/state/credhelper")
    assert places.data_directory(env) == Path("/h/.local/share/credhelper")
    env |= {b"XDG_STATE_HOME": b"/s", b"XDG_DATA_HOME": b"/d"}
    assert places.state_directory(env) == Path("/s/credhelper")
    assert places.data_directory(env) == Path("/d/credhelper")
    env |= {b"XDG_STATE_HOME": b"s", b"XDG_DATA_HOME": b"d"}
    assert places.state_directory(env) == Path("/h/.local/state/credhelper")
    assert places.data_directory(env) == Path("/h/.local/share/credhelper")


def test_locks_have_names_of_their_own_per_host_and_session(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Path("/state")
    names = {
        places.refresh_lock(state, key).name
        for key in ("corp", "Corp", "https://x/start", "../../etc/passwd", "\udcff")
    }
    assert len(names) == 5
    assert all("/" not in name and name.startswith("refresh-") for name in names)
    here = places.refresh_lock(state, "corp")
    elsewhere = os.uname_result(("Linux", "other/host", "6.1", "#1", "x86_64"))
    monkeypatch.setattr("os.uname", lambda: elsewhere)
    assert places.refresh_lock(state, "corp") != here
    assert places.refresh_lock(state, "corp").parent == state
    assert places.instance_lock(state, Path("/a")) != places.instance_lock(state, Path("/b"))


# -- the process ------------------------------------------------------------------------------------------------------


def test_the_callers_keys_and_choices_are_forgotten_and_nothing_else() -> None:
    env = dict.fromkeys(
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONFIG_FILE"], "x"
    ) | {"AWS_ENDPOINT_URL_SSO": "http://x", "AWS_CA_BUNDLE": "/x", "HTTPS_PROXY": "p", "HOME": "/h"}
    process.forget_callers_choices(env)
    assert set(env) == {"AWS_ENDPOINT_URL_SSO", "AWS_CA_BUNDLE", "HTTPS_PROXY", "HOME"}
