"""The files that a logout removes, and what it has to leave: each is decided on once. Blocking."""

import os
from pathlib import Path

from credhelper.aws import cached_documents
from credhelper.local import private_files

NO_DIRECTORY = (FileNotFoundError, NotADirectoryError)

SECRETS = frozenset({"accessToken", "clientSecret", "Credentials", "SecretAccessKey"})
"""Keys of the documents of the two caches that hold something secret; the last is found in torn ones only."""


class Removals:
    """For one logout. ``removed`` and ``left`` are its receipt's."""

    def __init__(self) -> None:
        self.removed: list[Path] = []
        self.left: list[tuple[Path, str]] = []
        """With why."""
        self.handled: dict[Path, bool] = {}
        """What was decided on, and whether it is gone."""
        self.left_directories: set[Path] = set()
        """Of which nobody knows what is in them."""

    def is_there(self, path: Path) -> bool:
        """Whether something is at ``path``; where that cannot be found out, its directory is among what is left."""
        try:
            os.lstat(path)
        except NO_DIRECTORY:
            return False
        except OSError as error:
            self.leave_directory(path.parent, error)
            return False
        return True

    def leave(self, path: Path, why: str) -> None:
        """Notes that it stays."""
        if all(path != known for known, _ in self.left):  # a directory may be gone through more than once
            self.left.append((path, why))

    def leave_directory(self, directory: Path, error: OSError) -> None:
        """Notes that nobody knows what is in there."""
        if directory not in self.left_directories:
            self.left_directories.add(directory)
            self.leave(directory, error.strerror or type(error).__name__)

    def remove(self, path: Path) -> bool:
        """Removes ``path``; whether it is gone."""
        if path not in self.handled:
            self.handled[path] = self._try_to_remove(path)
        return self.handled[path]

    def _try_to_remove(self, path: Path) -> bool:
        found = cached_documents.look(path) if os.path.islink(path) else None
        target = path.resolve() if found is not None and SECRETS & found.members.keys() else None
        try:
            is_removed = private_files.remove(path)
        except OSError as error:
            if not _is_gone(path):  # what failed may only have been to make it durable
                self.leave(path, error.strerror or type(error).__name__)
                return False
            is_removed = True
        if is_removed:
            self.removed.append(path)
            if target is not None:
                self.leave(target, f"only the link to it was removed: {path}")
        return True


def _is_gone(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
