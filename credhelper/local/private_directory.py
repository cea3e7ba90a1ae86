"""Directories that keep others out: the directory is the lock on the door."""

import os
import stat
from pathlib import Path

from credhelper.domain.errors import CredhelperError


def ensure(path: Path) -> None:
    """Makes ``path`` (0700 from its first moment), or refuses one that is not ours alone.

    Raises CredhelperError: a directory that others may enter is refused, not mended, for who knows what lies in it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise CredhelperError(f"the directory {path} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise CredhelperError(f"{path} is not a directory", hint=f"rm {path}")
    if found.st_uid != os.getuid():
        raise CredhelperError(f"the directory {path} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise CredhelperError(f"others may enter the directory {path}", hint=f"chmod 700 {path}")
