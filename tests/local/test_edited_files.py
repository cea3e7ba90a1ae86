"""A file that others edit too: replaced whole, never over an unseen change, the same file as before to everybody."""

import contextlib
import itertools
import json
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from credhelper.local import edited_files, private_files
from credhelper.local.edited_files import Changed, NotWritten, Written
from credhelper.local.private_files import UnusableFile
from tests.program.support import NOBODY, as_user, needs_root

OLD, NEW = b"[profile dev]\nregion = eu-west-1\n", b"[profile dev]\nregion = us-east-1\n"
LARGEST = 1000
NO_ID = 2**32 - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    found = tmp_path / "aws" / "config"
    found.parent.mkdir()
    found.write_bytes(OLD)
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def test_a_missing_file_and_its_directory_are_made_for_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / ".aws" / "config"
    assert edited_files.read(path, largest=LARGEST) is None
    assert edited_files.replace(path, None, NEW, backup=True) is None
    assert path.read_bytes() == NEW
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o644, 0o664, 0o400])
def test_the_mode_stays_whatever_the_umask(path: Path, bits: int) -> None:
    path.chmod(bits)
    before = os.umask(0o077)
    try:
        edited_files.replace(path, OLD, NEW, backup=False)
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path), names(path)) == (NEW, bits, ["config"])


@needs_root
def test_the_group_stays(path: Path) -> None:
    os.chown(path, -1, NOBODY)
    edited_files.replace(path, OLD, NEW, backup=False)
    assert path.stat().st_gid == NOBODY


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")
def test_the_access_list_stays_so_that_nobody_else_is_let_in(path: Path) -> None:
    entries = [(1, 6, NO_ID), (2, 4, 65534), (4, 0, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID)]  # acl(5): nobody may read
    allowed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", allowed)
    assert mode(path) == 0o640
    edited_files.replace(path, OLD, NEW, backup=True)
    assert os.getxattr(path, "system.posix_acl_access") == allowed
    backup = next(name for name in names(path) if name != path.name)
    assert mode(path.with_name(backup)) == 0o600


def test_a_link_stays_and_what_it_leads_to_changes(path: Path, tmp_path: Path) -> None:
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    path.rename(dotfiles / "aws-config")
    (dotfiles / "current").symlink_to("aws-config")
    path.symlink_to("../dotfiles/current")
    assert edited_files.read(path, largest=LARGEST) == OLD
    copy = edited_files.replace(path, OLD, NEW, backup=True)
    assert copy is not None
    assert os.readlink(path) == "../dotfiles/current"
    assert (dotfiles / "aws-config").read_bytes() == NEW
    assert sorted(os.listdir(dotfiles)) == ["aws-config", "current"]  # no copy in what may be published
    assert (copy.parent, copy.read_bytes()) == (path.parent, OLD)


def test_a_link_to_nowhere_is_followed_as_the_tools_of_aws_do(path: Path, tmp_path: Path) -> None:
    path.unlink()
    path.symlink_to(tmp_path / "new-config")
    assert edited_files.read(path, largest=LARGEST) is None
    edited_files.replace(path, None, NEW, backup=True)
    assert path.is_symlink()
    assert (tmp_path / "new-config").read_bytes() == NEW


def directory(path: Path) -> None:
    path.mkdir()


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def hard_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(OLD)
    path.hardlink_to(other)


def too_large(path: Path) -> None:
    path.write_bytes(b"#" * (LARGEST + 1))


STRANGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a directory": (directory, "not a regular file"),
    "a FIFO": (os.mkfifo, "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/null"), "not a regular file"),
    "a socket": (listening, "No such device or address"),
    "a link to itself": (lambda path: path.symlink_to(path), "symbolic link"),
    "a hard link": (hard_link, "a hard link"),
    "too large": (too_large, "larger than"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_of_ours_alone_is_refused(path: Path, kind: str) -> None:
    put, why = STRANGE[kind]
    path.unlink()
    put(path)
    with pytest.raises(UnusableFile, match=why):
        edited_files.read(path, largest=LARGEST)


@needs_root
def test_somebody_elses_file_is_refused(path: Path) -> None:
    os.chown(path, NOBODY, -1)
    with pytest.raises(UnusableFile, match="another user"):
        edited_files.read(path, largest=LARGEST)


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda path: path.write_bytes(OLD + b"output = json\n"),
    "shortened": lambda path: path.write_bytes(OLD[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
    "replaced": lambda path: path.with_name("x").rename(path) if path.with_name("x").write_bytes(NEW) else None,
    "a FIFO": lambda path: path.unlink() or os.mkfifo(path),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_by_another_program_is_not_lost(path: Path, kind: str) -> None:
    CHANGES[kind](path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(Changed):
        edited_files.replace(path, OLD, NEW, backup=True)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not [name for name in names(path) if name != "config"]


def test_a_file_that_appeared_meanwhile_is_not_lost(path: Path) -> None:
    with pytest.raises(Changed):
        edited_files.replace(path, None, NEW, backup=True)
    assert (path.read_bytes(), names(path)) == (OLD, ["config"])


def test_writers_wait_for_each_other_and_none_loses_its_edit(path: Path) -> None:
    path.write_bytes(b"")
    each, writers = 6, 4
    conflicts: list[Exception] = []

    def write(line: bytes) -> None:
        while True:
            before = edited_files.read(path, largest=LARGEST)
            try:
                edited_files.replace(path, before, (before or b"") + line, backup=True)
            except Changed as conflict:
                conflicts.append(conflict)
            else:
                return

    def work(number: int) -> None:
        for turn in range(each):
            write(b"%d-%d\n" % (number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_bytes().splitlines()
    assert sorted(lines) == sorted(b"%d-%d" % (number, turn) for number in range(writers) for turn in range(each))
    assert len(names(path)) == 1 + edited_files.BACKUPS_KEPT


def test_a_few_backups_are_kept_the_newest(path: Path) -> None:
    path.with_name("config.credhelper-backup-mine").write_bytes(b"by hand")
    contents = [OLD] + [OLD + b"# %d\n" % number for number in range(6)]
    copies = []
    for before, after in itertools.pairwise(contents):
        copy = edited_files.replace(path, before, after, backup=True)
        assert copy is not None
        assert (copy.read_bytes(), mode(copy)) == (before, 0o600)
        copies.append(copy.name)
    assert copies == sorted(copies)
    assert names(path) == sorted(["config", "config.credhelper-backup-mine", *copies[-edited_files.BACKUPS_KEPT :]])


def test_what_reads_back_differently_is_restored(path: Path) -> None:
    path.write_bytes(b"[profile d\x00")
    with pytest.raises(NotWritten):
        edited_files.prove(path, Written(path.stat().st_ino, OLD, NEW))
    assert (path.read_bytes(), names(path)) == (OLD, ["config"])


def test_what_reads_back_longer_is_restored(path: Path) -> None:
    path.write_bytes(NEW + b"more than one byte")
    with pytest.raises(NotWritten):
        edited_files.prove(path, Written(path.stat().st_ino, OLD, NEW))
    assert path.read_bytes() == OLD


def test_a_new_file_that_reads_back_differently_is_removed(path: Path) -> None:
    with pytest.raises(NotWritten):
        edited_files.prove(path, Written(path.stat().st_ino, None, NEW))
    assert names(path) == []


def test_another_programs_file_is_not_restored_over(path: Path) -> None:
    inode = path.stat().st_ino
    path.with_name("x").write_bytes(b"theirs")
    path.with_name("x").rename(path)
    with pytest.raises(Changed):
        edited_files.prove(path, Written(inode, OLD, NEW))
    assert path.read_bytes() == b"theirs"


@contextlib.contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file can grow beyond ``size`` bytes."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_disk_that_takes_no_more_leaves_the_old_file(path: Path) -> None:
    with full_at(len(OLD)), pytest.raises(OSError, match="File too large"):  # enough for the backup
        edited_files.replace(path, OLD, OLD + NEW, backup=True)
    assert (path.read_bytes(), names(path)) == (OLD, ["config"])


def test_what_cannot_be_restored_is_told_as_that(path: Path) -> None:
    path.write_bytes(b"torn")
    with full_at(5), pytest.raises(edited_files.NotRestored):
        edited_files.prove(path, Written(path.stat().st_ino, OLD, NEW))
    assert (path.read_bytes(), names(path)) == (b"torn", ["config"])


@needs_root
def test_a_directory_that_cannot_be_written_leaves_the_old_file() -> None:
    """As another user, whom permissions stop."""
    code = (
        "import sys; from pathlib import Path; from credhelper.local import edited_files\n"
        "path = Path(sys.argv[1]); before = edited_files.read(path, largest=100)\n"
        "try: edited_files.replace(path, before, b'new', backup=True)\n"
        "except PermissionError as error: print(error.strerror)"
    )
    with tempfile.TemporaryDirectory() as found:
        home = Path(found)
        (home / "config").write_bytes(OLD)
        home.chmod(0o755)
        os.chown(home / "config", NOBODY, NOBODY)
        argv = as_user(NOBODY, [sys.executable, "-c", code, str(home / "config")])
        told = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert told.stdout == "Permission denied\n", told.stderr
        assert ((home / "config").read_bytes(), os.listdir(home)) == (OLD, ["config"])


def test_a_writer_killed_anywhere_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    found = json.loads(
        subprocess.run(
            [sys.executable, "-m", "tests.local.killed_writer", str(tmp_path)], capture_output=True, check=True
        ).stdout
    )
    points = found["points"]
    contents = [point["content"] for point in points]
    assert len(points) > 50
    assert contents == ["old"] * contents.count("old") + ["new"] * contents.count("new")
    assert {"old", "new"} == set(contents)
    for point in points:
        assert len(point["others"]) <= 2, point  # a backup, and what was not finished of the file or of the backup
        assert all(point["backups"]), point
    assert points[-1]["others"] != []
    assert found["left"] == ["config", *points[-1]["others"]]


def test_ctrl_c_anywhere_leaves_the_old_file_or_a_new_one_with_its_backup(path: Path) -> None:
    contents = []
    for number in itertools.count(1):
        path.write_bytes(OLD)
        has_ended = is_done_by_line(number, lambda: edited_files.replace(path, OLD, NEW, backup=True))
        contents.append(path.read_bytes())
        backups = [name for name in names(path) if name != path.name]
        assert contents[-1] == OLD or backups, f"line {number}"
        for name in backups:
            path.with_name(name).unlink()
        if has_ended:
            break
    assert contents == [OLD] * contents.count(OLD) + [NEW] * contents.count(NEW)
    assert contents.count(NEW) > 3


def is_done_by_line(number: int, work: Callable[[], object]) -> bool:
    """Whether ``work`` ended before the module had run so many of its lines; then comes what Ctrl-C raises."""
    left = number

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != edited_files.__file__:
            return None
        left -= event == "line"
        if left < 0:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return False
    finally:
        sys.settrace(before)
    return True


def test_the_next_writer_clears_away_what_a_killed_one_has_left(path: Path) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    leftover = private_files.temporary_of(path).name.replace(f"-{os.getpid()}-", f"-{killed.pid}-")
    path.with_name(leftover).write_bytes(b"[profile d")
    edited_files.replace(path, OLD, NEW, backup=False)
    assert names(path) == ["config"]
