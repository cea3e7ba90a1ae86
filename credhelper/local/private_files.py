"""Files that hold secrets: read without trusting them, written whole or not at all.

Anything may lie where a token should: an empty or huge file, a FIFO that blocks whoever opens it, a symbolic link, a
directory, somebody else's file. Reading refuses all of these within one open().
"""

import contextlib
import errno
import hashlib
import os
import platform
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

LARGEST = 256 * 1024  # bytes; a token file has 3 KB
OLD = 3600.0  # seconds after which nobody is still writing a temporary file, whatever its number says

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-[0-9a-f]{8}\.tmp", re.DOTALL)
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""A home may be shared between hosts, where a process's number means nothing."""


class UnusableFile(Exception):
    """Something lies at the path that cannot be used; the message says what, without the path.

    ``may_pass``: the system could not read it now (no descriptor left, a sick disk); of what lies there nothing is
    known.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells one version of a file from the next without reading it."""

    inode: int
    modified_ns: int
    changed_ns: int
    size: int


def signature(path: Path) -> Signature | None:
    """The signature of what is at ``path`` itself (a link is not followed), or None when nothing is."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return Signature(found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def read(path: Path, *, largest: int = LARGEST, follow_link: bool = False) -> bytes | None:
    """The content of our own regular file at ``path``, None when there is none.

    Never blocks, and follows a link at the last step only when asked to. Raises UnusableFile.
    """
    no_follow = 0 if follow_link else os.O_NOFOLLOW
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | no_follow | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableFile(_why_not_opened(error), may_pass=error.errno != errno.ELOOP) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UnusableFile("not a regular file")
        if found.st_uid != os.getuid():
            raise UnusableFile("it belongs to another user")
        if found.st_size > largest:
            raise UnusableFile(f"larger than {largest // 1024} KiB")
        return _read_at_most(descriptor, largest)
    except OSError as error:
        raise UnusableFile(error.strerror or "unreadable", may_pass=True) from error
    finally:
        _let_go(descriptor)


def _why_not_opened(error: OSError) -> str:
    return "a symbolic link" if error.errno == errno.ELOOP else (error.strerror or "unreadable")


def _read_at_most(descriptor: int, largest: int) -> bytes:
    content = b""
    while chunk := os.read(descriptor, largest + 1 - len(content)):
        content += chunk
        if len(content) > largest:
            raise UnusableFile(f"larger than {largest // 1024} KiB")
    return content


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replaces ``path`` by ``content`` in one step that survives a power cut, readable by the user alone.

    Makes the directory (0700) when it is missing. Whatever is at ``path`` is replaced, not followed; a directory there
    cannot be: IsADirectoryError. Raises OSError with nothing changed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = temporary_of(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def temporary_of(path: Path) -> Path:
    """A name beside ``path`` for its unfinished next version, which ``remove_leftovers`` knows."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{os.urandom(4).hex()}.tmp")


def write_all(descriptor: int, content: bytes) -> None:
    """Writes ``content`` and makes it durable. Raises OSError."""
    remaining = memoryview(content)
    while remaining:  # a full disk can make a write short
        remaining = remaining[os.write(descriptor, remaining) :]
    os.fsync(descriptor)


def is_temporary_of(name: str, path: Path) -> bool:
    """Whether ``name`` is how ``write`` calls the unfinished next version of ``path``."""
    found = _TEMPORARY.fullmatch(name)
    return found is not None and found["name"] == path.name


def remove_leftovers(directory: Path) -> list[Path]:
    """Removes what writers of ours that were killed have left in ``directory``; returns what went. Never raises.

    What a process of this host that still lives, or one of another host, may be writing is left until it is old.
    """
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    found = (directory / name for name in sorted(names) if _is_leftover(directory / name))
    return [path for path in found if _try_to_remove(path)]


def _is_leftover(path: Path) -> bool:
    parts = _TEMPORARY.fullmatch(path.name)
    if parts is None:
        return False
    try:
        is_old = time.time() - os.lstat(path).st_mtime > OLD
    except OSError:
        return False
    return is_old or (parts["host"] == _HOST and not _is_alive(int(parts["pid"])))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _try_to_remove(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return remove(path)
    return False


def remove(path: Path) -> bool:
    """Removes whatever non-directory is at ``path``; whether there was anything. Raises OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    return True


def sync_directory(path: Path) -> None:
    """Makes a rename or removal in ``path`` durable, where that can be. Never raises: the change itself is done."""
    with contextlib.suppress(OSError):  # some network file systems cannot, and descriptors may have run out
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _let_go(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # nothing was written through it, and its number is free in any case
        os.close(descriptor)
