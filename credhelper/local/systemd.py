"""What a service and the manager that started it say to each other: sd_listen_fds(3), sd_notify(3) and the watchdog.

Whoever was started by nobody of that kind finds nothing here, and says nothing to nobody.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Self

from credhelper.domain.errors import CredhelperError

log = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
SOCKET_NAME = "rpc"  # FileDescriptorName= of credhelper.socket

_NAMELESS = {"", "unknown", "credhelper.socket"}  # of a manager that was told no name
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_HINT = "credhelper service install"


@dataclass(slots=True)
class ServiceManager:
    """The manager that started this process; without one every field is None and nothing is said.

    ``listener`` is the socket it has bound for us and goes on holding. ``watchdog`` is the number of seconds within
    which it must hear from us again and again.
    """

    listener: socket.socket | None = None
    watchdog: float | None = None
    _line: socket.socket | None = None

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Self:
        """The manager that ``environment`` tells of, whose variables are taken out of it: no child is meant by them.

        Raises CredhelperError when it hands over something else than one listening Unix socket.
        """
        said = {name: environment.pop(name, "") for name in _VARIABLES}
        return cls(_listener(said), _watchdog(said), _line(said["NOTIFY_SOCKET"]))

    def ready(self, status: str) -> None:
        """The service serves; ``status`` is one line for a person."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The service reads its configuration again; ``ready`` ends that."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service has begun to end."""
        self._say("STOPPING=1", "STATUS=Stopping")

    def alive(self) -> None:
        """The watchdog's time begins anew."""
        self._say("WATCHDOG=1")

    def close(self) -> None:
        """Nothing more is said."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _say(self, *assignments: str) -> None:
        if self._line is None:
            return
        try:
            self._line.send("\n".join(assignments).encode())
        except OSError as error:
            log.warning("the service manager could not be told %s: %s", assignments[0], error)


def _listener(said: MutableMapping[str, str]) -> socket.socket | None:
    """The socket handed over to this very process, which no child inherits. Raises CredhelperError."""
    if not said["LISTEN_FDS"] or said["LISTEN_PID"] != str(os.getpid()):
        return None
    names = said["LISTEN_FDNAMES"].split(":")
    if said["LISTEN_FDS"] != "1" or len(names) != 1 or names[0] not in {SOCKET_NAME, *_NAMELESS}:
        raise CredhelperError(
            f"the service manager hands over {said['LISTEN_FDS']} sockets ({said['LISTEN_FDNAMES']}) where one, named"
            f" {SOCKET_NAME}, is expected",
            hint=_HINT,
        )
    try:
        listener = socket.socket(fileno=FIRST_DESCRIPTOR)
    except OSError as error:
        raise CredhelperError(
            f"the service manager's descriptor {FIRST_DESCRIPTOR} is no socket: {error.strerror}", hint=_HINT
        ) from error
    is_right = listener.family == socket.AF_UNIX and listener.type == socket.SOCK_STREAM
    if not is_right or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise CredhelperError("the service manager hands over a socket that is no listening Unix socket", hint=_HINT)
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def _watchdog(said: MutableMapping[str, str]) -> float | None:
    if said["WATCHDOG_PID"] not in {"", str(os.getpid())}:
        return None
    with contextlib.suppress(ValueError):
        seconds = int(said["WATCHDOG_USEC"]) / 1_000_000
        return seconds if seconds > 0 else None
    return None


def _line(address: str) -> socket.socket | None:
    """A connection to the manager that never blocks; an address that begins with @ has no file."""
    if address[:1] not in {"/", "@"}:
        return None
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        line.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        line.close()
        log.warning("the service manager does not listen at %s: %s", address, error)
        return None
    line.setblocking(False)
    return line
