"""What a daemon that cannot run says to those who wait at a socket that a service manager has bound."""

import contextlib
import os
import socket

from credhelper import client
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.domain.text import safe

PATIENCE = 0.5  # seconds a caller has to send the request that cannot be answered


def tell(listener: socket.socket, error: Exception) -> None:
    """Tells those who wait at an inherited socket why nobody serves them: left there, they would start us again."""
    told = client.frame(_last_words(error))
    with contextlib.suppress(OSError):  # with nobody left to tell, accept() would block
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                if client.peer_uid(connection) == os.getuid() and connection.recv(client.MAX_REQUEST):
                    connection.sendall(told)


def _last_words(error: Exception) -> dict[bytes, bytes]:
    """An answer like those of ``endpoints/unix_socket.py``, which need not be there for it."""
    if isinstance(error, CredhelperError):
        why = error.message
    elif isinstance(error, OSError):
        why = f"{error.filename or 'the system'}: {error.strerror}"
    else:  # whose own text nobody has looked at
        why = f"a fault in credhelper itself ({type(error).__name__})"
    message, hint = safe(f"the daemon cannot run: {why}"), "credhelper daemon run"
    fields = {
        "status": str(DaemonUnreachable.status),
        "out": "",
        "err": f"credhelper: error: {message}\ncredhelper: hint: {hint}\n",
        "code": DaemonUnreachable.code,
        "message": message,
        "hint": hint,
    }
    return {key.encode(): value.encode("utf-8", "surrogateescape") for key, value in fields.items()}
