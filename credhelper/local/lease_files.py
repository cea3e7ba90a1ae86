"""Sockets and token files at places that a person names: nothing that is there already is touched, nor a link followed.

Everything here blocks.
"""

import errno
import hashlib
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from credhelper.domain.errors import CredhelperError, UsageError
from credhelper.local import private_files
from credhelper.local.places import SOCKET_PATH_LIMIT

BACKLOG = 128
_NOT_WRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_ENTER = 0o011  # what lets the group and others into a directory
_CHANGE = 0o022  # what lets them replace what lies there
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108  # of which the service's sandbox has its own (PrivateTmp=)


@dataclass(frozen=True, slots=True)
class OwnSocket:
    """A socket that listens at a name of its own."""

    path: Path
    listener: socket.socket
    identity: tuple[int, int]
    """Device and inode: by these we know it again."""

    def close(self) -> None:
        """No longer listens, and removes the name, unless it has become somebody else's. Raises OSError."""
        self.listener.close()
        if _identity(self.path) == self.identity:
            self.path.unlink(missing_ok=True)


def listen(path: Path, *, for_others: bool = False) -> OwnSocket:
    """Listens at ``path``, for the user alone (0600) or, as far as files go, for everybody who gets at it (0666).

    Others get at it only where it is mounted for them: it must lie where nobody but the user can go. A socket that
    nobody listens at any more is replaced. Raises CredhelperError.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise UsageError(f"the socket's path is longer than {SOCKET_PATH_LIMIT} bytes: {path}", hint="choose another")
    _check_directory(path)
    if for_others and not _is_out_of_reach(path):
        raise UsageError(
            f"everybody on this machine could get at {path}, which --uid opens for other users",
            hint=f"mkdir -m 700 {path.parent}/only-mine, and put it in there; or leave --socket out",
        )
    remove_dead_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        os.chmod(path, 0o666 if for_others else 0o600)
        found = _identity(path)
        if found is None:
            raise CredhelperError(f"{path} was removed at once")  # noqa: TRY301  # closed like the others
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _why_not(path, error) from error
    except CredhelperError:
        listener.close()
        raise
    listener.setblocking(False)
    return OwnSocket(path, listener, found)


def remove_dead_socket(path: Path) -> None:
    """Removes a socket of ours at which nobody listens; anything else that is there stays."""
    try:
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid() or _is_heard(path):
            return
        path.unlink(missing_ok=True)
    except OSError:
        return  # whatever it is, binding will tell


def write_token(path: Path, token: str) -> None:
    """A new file, 0600, that holds ``token`` and nothing else. Raises CredhelperError."""
    _check_directory(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _why_not(path, error) from error
    try:
        try:
            if os.write(descriptor, token.encode("ascii")) != len(token):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _why_not(path, error) from error
    private_files.sync_directory(path.parent)


def remove_token(path: Path, token_hash: str) -> None:
    """Removes the file, if it still holds the token with this hash (hex SHA-256). Raises OSError, UnusableFile."""
    content = private_files.read(path)
    if content is not None and hashlib.sha256(content).hexdigest() == token_hash:
        private_files.remove(path)


def _check_directory(path: Path) -> None:
    """Whoever can change the directory can put something else in the place of what lies there. Raises UsageError."""
    if not path.is_absolute() or path.name in {"", "..", "."}:
        raise UsageError(f"{path} is not an absolute path of a file to make")
    parent = path.parent
    try:
        found = os.stat(parent)
    except OSError as error:
        raise _no_directory(parent, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{parent} is not a directory")
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & _CHANGE:
        raise UsageError(
            f"others can change what lies in {parent}",
            hint=f"choose a directory of your own, such as: mkdir -m 700 {parent}/only-mine",
        )


def _no_directory(parent: Path, error: OSError) -> UsageError:
    if any(parent.is_relative_to(temporary) for temporary in _TEMPORARY):
        return UsageError(
            f"the directory {parent}: {error.strerror} for the daemon, which as a service has a /tmp of its own",
            hint="choose one below $XDG_RUNTIME_DIR, or leave the path out",
        )
    return UsageError(f"the directory {parent}: {error.strerror}", hint=f"mkdir -m 700 {parent}")


def _is_out_of_reach(path: Path) -> bool:
    """Whether the way there leads through a directory that only the user can enter."""
    parent = Path(os.path.realpath(path.parent))
    for directory in (parent, *parent.parents):
        try:
            found = os.lstat(directory)
        except OSError:
            return False
        if found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & _ENTER:
            return True
    return False


def _is_heard(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        try:
            knock.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # its queue may be full
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def _why_not(path: Path, error: OSError) -> CredhelperError:
    if error.errno in {errno.EADDRINUSE, errno.EEXIST, errno.ELOOP}:
        return UsageError(f"something is at {path} already, and it is not overwritten", hint="choose another path")
    if error.errno in _NOT_WRITABLE:
        return UsageError(
            f"the daemon may not write in {path.parent}: {error.strerror}; as a service it writes in few places",
            hint="choose one below $XDG_RUNTIME_DIR, or leave the path out",
        )
    return CredhelperError(f"{path} cannot be made: {error.strerror}")
