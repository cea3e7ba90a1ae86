"""The process that talks to the keyring: ``python -Im credhelper.local.keychain_helper get|look|delete BACKENDS NAME``.

Says one line on stdout, which is a pipe: ``done``, for get followed by the key in base64 and for look by ``yes`` or
``no``, or ``failed`` and why.
Nothing secret is in its arguments or environment. Whoever started it kills it at a deadline.

The library's own choice of a backend is not used: it takes the one of a variable, of a file, or with two of them
installed something that writes to both.
"""

import base64
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from credhelper.local import process
from credhelper.local.sealed_files import KEY_LENGTH

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "credhelper"
ORPHANED = 30  # seconds after which it ends by itself, should nobody be left to kill it
MOST_COPIES = 8  # a keyring may hold several items of one name; each deletion takes one


class Absent(Exception):
    """There is no keyring of this kind, or nothing that leads to it."""


class Refused(Exception):
    """There is one, and it did not do it; the message says why."""


def main() -> int:
    """Does what the arguments say; the exit status is 0 once an outcome has been said."""
    process.guard_memory()
    signal.alarm(ORPHANED)
    verb, backends, name = sys.argv[1:]
    try:
        said = _on_first_present(verb, backends.split(","), name)
    except (Absent, Refused) as error:
        sys.stdout.write(f"failed {error}\n")
        return 0
    sys.stdout.write(f"done {said}\n")
    return 0


def _on_first_present(verb: str, backends: list[str], name: str) -> str:
    work = {"get": _get, "look": _look, "delete": _delete}[verb]
    reasons = []
    for backend in backends:
        try:
            with _translated():
                return work(_load(backend), name)
        except Absent as error:
            reasons.append(f"{backend}: {error}")
    raise Absent("there is no keyring (" + "; ".join(reasons) + ")")


def _get(keyring: "KeyringBackend", name: str) -> str:
    """The key in base64; made when there is none."""
    found = keyring.get_password(SERVICE, name)
    if found is not None:
        return found
    with _one_at_a_time():
        if keyring.get_password(SERVICE, name) is None:
            keyring.set_password(SERVICE, name, base64.b64encode(os.urandom(KEY_LENGTH)).decode())
        found = keyring.get_password(SERVICE, name)  # what the next one will find, and not what we meant to store
    if found is None:
        raise Refused("the keyring took the key and does not give it back")
    return found


def _look(keyring: "KeyringBackend", name: str) -> str:
    return "no" if keyring.get_password(SERVICE, name) is None else "yes"


def _delete(keyring: "KeyringBackend", name: str) -> str:
    for _ in range(MOST_COPIES):
        if keyring.get_password(SERVICE, name) is None:
            return ""
        keyring.delete_password(SERVICE, name)
    raise Refused("the keyring still holds the key after it was deleted")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two daemons that start at once must not both make a key.

    The lock is on the directory that exists once for each user and host, as the keyring's daemon does.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a file system without locks: the key that is read back is the last made
            directory = os.environ.get("XDG_RUNTIME_DIR") or os.environ["HOME"]
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _load(backend: str) -> "KeyringBackend":
    """The backend of that name, made directly. Raises Absent, Refused."""
    if backend == "secret-service":
        from keyring.backends import SecretService

        return _viable(SecretService.Keyring)
    if backend == "kwallet":
        from keyring.backends import kwallet

        return _viable(kwallet.DBusKeyring)
    if backend == "macos":
        from keyring.backends import macOS

        return _viable(macOS.Keyring)
    raise Refused(f"{backend} is no keyring to be trusted")


def _viable(kind: "type[KeyringBackend]") -> "KeyringBackend":
    try:
        kind.priority  # noqa: B018  # the library's way to ask whether it can work here
        return kind()
    except Exception as error:
        raise Absent(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Errors of the library, and of those below it, as ours. Their messages are about D-Bus and never about content."""
    try:
        yield
    except (Absent, Refused):
        raise
    except Exception as error:
        kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
        if kinds & {"KeyringLocked", "LockedException", "PromptDismissedException"}:
            raise Refused("the keyring is locked") from error
        if "SecretServiceNotAvailableException" in kinds:
            raise Absent(str(error)) from error
        raise Refused(f"the keyring refused: {error or type(error).__name__}") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    sys.exit(main())
