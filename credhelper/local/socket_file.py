"""The daemon's socket as a name in the file system, which anybody may delete and another daemon may take over."""

import os
import socket
import stat
import sys
from pathlib import Path

from credhelper.domain.errors import CredhelperError
from credhelper.local import private_directory


class SocketFile:
    """The name, and the sockets that hear whoever connects there. For use under the instance lock only."""

    def __init__(self, path: Path, inherited: socket.socket | None = None) -> None:
        """Listens at ``path``, unless ``inherited``, which a service manager has bound, does so already.

        Raises CredhelperError.
        """
        self.path = path
        self.inherited = inherited
        self.listener: socket.socket | None = None
        """Our own; None while the inherited one is enough."""
        self._ours: tuple[int, int] | None = None
        if inherited is not None and leads_to(path, inherited):
            self._ours = self._found()
            return
        if not self.is_missing:
            self.path.unlink()  # what a killed daemon left: with the lock held, no other one can be listening
        self.listener = self._bind()

    def listen_again(self) -> socket.socket:
        """Another listener after the name was deleted, directory and all. Raises CredhelperError."""
        private_directory.ensure(self.path.parent)
        self.listener = self._bind()
        return self.listener

    @property
    def is_ours(self) -> bool:
        """Whether whoever connects there reaches us. (The kernel does not reuse the number of a bound socket.)"""
        return self._ours is not None and self._found() == self._ours

    @property
    def is_missing(self) -> bool:
        """Whether no socket is there."""
        return self._found() is None

    def close(self) -> None:
        """Removes it, if we have made it and it has not become another daemon's."""
        if self.listener is not None and self.is_ours:
            self.path.unlink()

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None

    def _bind(self) -> socket.socket:
        """A listening socket, 0600 from its first moment, where nothing is. Raises CredhelperError."""
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


def leads_to(path: Path, listener: socket.socket) -> bool:
    """Whether whoever connects at ``path`` reaches ``listener``, which another process has bound.

    The kernel says who has bound what answers there; a service manager binds no two sockets to one name.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        try:
            knock.connect(os.fspath(path))
        except BlockingIOError:
            return True  # a queue that is full: nobody has accepted for long, and that are we
        except OSError:
            return False
        return _maker(knock) == _maker(listener)


def _maker(one: socket.socket) -> int:
    """The pid of whoever called listen() (unix(7)): of the other end, or of a listening socket itself."""
    return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
