"""A connection to one of the desktop's message buses, on which nothing waits longer than it may.

jeepney knows how messages look; its own connections wait for ever for a bus that has stopped. It is loaded with the
first connection: nobody pays for it where there is no bus. Its errors become ours here.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SYSTEM_BUS = "unix:path=/var/run/dbus/system_bus_socket"
BUS = "org.freedesktop.DBus"
_CHUNK = 4096  # bytes
_ESCAPES = {ord(each): f"%{ord(each):02x}" for each in "%,;:="}  # of what means something in an address


class BusUnavailable(Exception):
    """The bus, or the service asked there, gave no answer; the message says why in a few words."""


class NoAnswer(BusUnavailable):
    """The question was sent, and no answer came in time."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What somebody on the bus has told everybody."""

    interface: str
    member: str
    body: tuple[Any, ...]


def session_bus(environment: Mapping[str, str]) -> str | None:
    """The address of the session bus; None where there is none.

    Its usual place stands in for a variable that is missing, as in a daemon that was started outside of the desktop.
    """
    named = environment.get("DBUS_SESSION_BUS_ADDRESS")
    if named:
        return named
    usual = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "bus")
    with contextlib.suppress(OSError):  # a directory that we may not look into
        if usual.is_socket():
            return "unix:path=" + str(usual).translate(_ESCAPES)
    return None


def system_bus(environment: Mapping[str, str]) -> str | None:
    """The address of the system bus; None where there is none."""
    named = environment.get("DBUS_SYSTEM_BUS_ADDRESS")
    return named or (SYSTEM_BUS if os.path.exists(SYSTEM_BUS.partition("=")[2]) else None)


class Bus:
    """One connection; a context manager. Its methods block, within the deadline; they belong in a worker thread."""

    def __init__(self, address: str, seconds: float) -> None:
        """Connects and says hello. Everything until ``close`` takes ``seconds`` at most. Raises BusUnavailable."""
        self._give_up = time.monotonic() + seconds
        self._serial = 0
        self._overtaken: list[Any] = []
        """Signals that came before the answer to a call."""
        with _errors_become_ours():
            from jeepney import Parser  # type: ignore[import-untyped]
            from jeepney.bus import get_connectable_addresses  # type: ignore[import-untyped]

            self._parser = Parser()
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._in_time(self._socket.connect, next(get_connectable_addresses(address)))
                self._authenticate()
                self.call(BUS, "/org/freedesktop/DBus", BUS, "Hello")
            except BaseException:
                self._socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):  # whoever waited for the thread that made it may have given up
            self._socket.close()

    def close(self) -> None:
        """Ends the connection; may be repeated."""
        self._socket.close()

    def call(
        self,
        service: str,
        path: str,
        interface: str,
        method: str,
        signature: str | None = None,
        arguments: tuple[Any, ...] = (),
        *,
        may_start: bool = False,
    ) -> tuple[Any, ...]:
        """What the method answers; ``may_start``: a service that does not run is started first.

        Raises BusUnavailable, also for an error that the service answers with; NoAnswer.
        """
        with _errors_become_ours():
            from jeepney import (
                DBusAddress,
                HeaderFields,
                MessageFlag,
                MessageType,
                new_method_call,
            )

            address = DBusAddress(path, service, interface)
            message = new_method_call(address, method, signature, arguments)
            if not may_start:
                message.header.flags |= MessageFlag.no_auto_start
            self._serial += 1
            self._in_time(self._socket.sendall, message.serialise(self._serial))
            try:
                answer = self._answer_to(self._serial)
            except TimeoutError:
                raise NoAnswer(f"{service} did not answer") from None
            if answer.header.message_type is MessageType.error:
                raise BusUnavailable(f"{service}: {answer.header.fields.get(HeaderFields.error_name)}")
            return tuple(answer.body)

    def listen(self, **rule: str) -> None:
        """Has the bus send us the signals of ``rule`` (D-Bus's match keys) from now on. Raises BusUnavailable."""
        text = ",".join(f"{key}='{value}'" for key, value in {"type": "signal", **rule}.items())
        self.call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", (text,))

    def fileno(self) -> int:
        """The descriptor that becomes readable when somebody has told something."""
        return self._socket.fileno()

    def heard(self) -> list[Signal]:
        """What has been told since the last call; does not block. Raises BusUnavailable: the connection is over."""
        with _errors_become_ours():
            self._socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._take(self._socket.recv(_CHUNK))
            return list(self._signals())

    def _signals(self) -> Iterator[Signal]:
        from jeepney import HeaderFields, MessageType

        while (message := self._next_message()) is not None:
            if message.header.message_type is MessageType.signal:
                fields = message.header.fields
                yield Signal(fields[HeaderFields.interface], fields[HeaderFields.member], tuple(message.body))

    def _next_message(self) -> Any:
        return self._overtaken.pop(0) if self._overtaken else self._parser.get_next_message()

    def _authenticate(self) -> None:
        from jeepney.auth import BEGIN, Authenticator  # type: ignore[import-untyped]

        asking = Authenticator()
        for request in asking:
            self._in_time(self._socket.sendall, request)
            answer = self._in_time(self._socket.recv, _CHUNK)
            if not answer:
                raise ConnectionResetError("the bus has hung up")
            asking.feed(answer)
        self._in_time(self._socket.sendall, BEGIN)

    def _answer_to(self, serial: int) -> Any:
        from jeepney import HeaderFields, MessageType

        while True:
            while (message := self._parser.get_next_message()) is None:
                self._take(self._in_time(self._socket.recv, _CHUNK))
            if message.header.fields.get(HeaderFields.reply_serial) == serial:
                return message
            if message.header.message_type is MessageType.signal:
                self._overtaken.append(message)

    def _take(self, received: bytes) -> None:
        if not received:
            raise ConnectionResetError("the bus has hung up")
        self._parser.add_data(received)

    def _in_time(self, method: Callable[[Any], Any], argument: object) -> Any:
        left = self._give_up - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return method(argument)


@contextlib.contextmanager
def _errors_become_ours() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise BusUnavailable("it did not answer") from None
    except OSError as error:
        raise BusUnavailable(error.strerror or str(error)) from error
    except ImportError:
        raise BusUnavailable("the package jeepney is missing") from None
    except (ValueError, RuntimeError, LookupError, StopIteration, TypeError, struct.error) as error:
        # An address of another kind, a bus that wants another proof of who we are, bytes that are no message.
        raise BusUnavailable(f"it speaks something else ({type(error).__name__})") from error
