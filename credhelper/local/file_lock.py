"""A lock between processes: flock on a file beside the data that is never deleted.

flock and not POSIX locks: those vanish when any descriptor of the file is closed. The kernel releases it with the
process, so nothing is left by a crash.
"""

import contextlib
import errno
import fcntl
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path


class LockBusy(Exception):
    """Another process holds the lock."""


def open_lock_file(path: Path) -> int:
    """A descriptor of the lock file, made with its directory when missing. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    always = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | always, 0o600)
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.EACCES} or not os.path.lexists(path):
            raise
        return os.open(path, os.O_RDONLY | always)  # made before the home became read-only: flock asks for no more


def try_lock(descriptor: int) -> bool:
    """Takes the lock if it is free; it is held until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(descriptor: int) -> bool:
    """Whether another process holds the lock. Two that ask at once do not take each other for one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def sign(descriptor: int) -> None:
    """Writes into a lock file that this process holds it, where that can be written."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)


def signer(descriptor: int) -> int | None:
    """The pid of whoever has signed last; it may have ended since."""
    with contextlib.suppress(OSError, ValueError):
        return int(os.pread(descriptor, 20, 0))
    return None


@contextlib.contextmanager
def locked(path: Path, *, seconds: float, pause: float = 0.02) -> Iterator[None]:
    """Holds the lock at ``path``, waiting for it up to ``seconds``. Blocks its thread. Raises LockBusy, OSError."""
    with _held(open_lock_file(path), path, seconds, pause):
        yield


@contextlib.contextmanager
def locked_directory(path: Path, *, seconds: float, pause: float = 0.02) -> Iterator[None]:
    """The same with the directory itself as the lock, for files beside which none of ours belongs."""
    with _held(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path, seconds, pause):
        yield


@contextlib.contextmanager
def _held(descriptor: int, path: Path, seconds: float, pause: float) -> Iterator[None]:
    try:
        give_up = time.monotonic() + seconds
        while not try_lock(descriptor):
            if time.monotonic() >= give_up:
                raise LockBusy(f"another process has held the lock {path} for {seconds:g} s")
            select.select([], [], [], pause)  # time.sleep() fails in a process whose clock is being moved
        yield
    finally:
        with contextlib.suppress(OSError):  # what was done under the lock is done, and the kernel lets go of it
            os.close(descriptor)
