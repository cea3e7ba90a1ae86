"""The daemon's socket as a name in the file system, which anybody may delete and another daemon may take over."""

import os
import socket
import stat
from pathlib import Path

from credhelper.domain.errors import CredhelperError
from credhelper.local import private_directory


class SocketFile:
    """A listening socket and its name. For use under the instance lock only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ours: tuple[int, int] | None = None
        self.listener = self._bind()

    def listen_again(self) -> None:
        """Another listener after the name was deleted, directory and all. Raises CredhelperError."""
        private_directory.ensure(self.path.parent)
        self.listener = self._bind()

    @property
    def is_ours(self) -> bool:
        """Whether whoever connects there reaches us. (The kernel does not reuse the number of a bound socket.)"""
        return self._ours is not None and self._found() == self._ours

    @property
    def is_missing(self) -> bool:
        """Whether no socket is there."""
        return self._found() is None

    def close(self) -> None:
        """Removes it, unless it has become another daemon's."""
        if self.is_ours:
            self.path.unlink()

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None

    def _bind(self) -> socket.socket:
        """A listening socket, 0600 from its first moment. Raises CredhelperError.

        What a killed daemon left there is removed: with the lock held, no other one can be listening.
        """
        if not self.is_missing:
            self.path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(self.path))
            listener.listen(4096)
        except OSError as error:
            listener.close()
            raise CredhelperError(f"cannot listen at {self.path}: {error.strerror}") from error
        finally:
            os.umask(before)
        listener.setblocking(False)
        self._ours = self._found()
        return listener
