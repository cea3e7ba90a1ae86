"""Directories for as long as one process lives, for its user alone.

Whoever is killed leaves its own behind; the next process that looks removes it. A lock tells which ones are in use.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from credhelper.domain.errors import CredhelperError
from credhelper.local import file_lock, private_directory

_LOCK = "lock"
_PATIENCE = 5.0  # seconds; others hold it for some milliseconds


@contextlib.contextmanager
def directory(parent: Path) -> Iterator[Path]:
    """A new, empty directory (0700) in ``parent``, which is made with its own parent where missing.

    At the end it is gone with all that is in it. Raises CredhelperError.
    """
    for place in (parent.parent, parent):
        private_directory.ensure(place)
    with _alone(parent):
        path = parent / f"{os.getpid()}-{os.urandom(4).hex()}"
        try:
            path.mkdir(mode=0o700)
            mark = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CredhelperError(f"the directory {path} cannot be made: {error.strerror}") from error
        file_lock.try_lock(mark)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(mark)


def sweep(parent: Path) -> None:
    """Removes what processes that have ended have left in ``parent``. Never raises: the next one tries again."""
    with contextlib.suppress(OSError, CredhelperError):
        if set(os.listdir(parent)) - {_LOCK}:
            with _alone(parent):
                for path in parent.iterdir():
                    if path.name != _LOCK and not _is_in_use(path):
                        shutil.rmtree(path, ignore_errors=True)


def _is_in_use(path: Path) -> bool:
    try:
        mark = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, or none of ours
        return True
    try:
        return file_lock.is_held(mark)
    finally:
        os.close(mark)


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Between the making of a directory and its lock nobody may look."""
    try:
        with file_lock.locked(parent / _LOCK, seconds=_PATIENCE):
            yield
    except (file_lock.LockBusy, OSError) as error:
        raise CredhelperError(f"{parent / _LOCK} cannot be locked: {error}") from error
