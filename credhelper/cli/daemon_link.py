"""The command line's line to the daemon: connects, starts it when it is absent, asks."""

import contextlib
import os
from _socket import socket
from collections.abc import Generator, Mapping
from pathlib import Path

from credhelper import client
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import launcher, places

ANSWER_SECONDS = 40  # a logout may have a hanging disk and a hanging network to get over
ABSENT = (FileNotFoundError, ConnectionRefusedError)

Fields = dict[str, str]


class Failed(CredhelperError):
    """The daemon's answer is an error; it has worded it already."""

    def __init__(self, status: int, err: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.err = err
        self.code = code


def ask(op: str, fields: Mapping[str, str], *, start: bool = True, seconds: int = ANSWER_SECONDS) -> str:
    """The daemon's answer to one request. Raises Failed, DaemonUnreachable.

    An answer that breaks off is asked for once more: the daemon may just have been restarted.
    """
    for is_last_try in (False, True):
        try:
            with contextlib.closing(open_connection(op, fields, start=start, seconds=seconds)) as connection:
                return _outcome(client.receive(connection))
        except (EOFError, ConnectionError, BrokenPipeError, ValueError) as error:
            if is_last_try:
                raise DaemonUnreachable(
                    f"the daemon broke off its answer: {error}", hint="credhelper daemon restart"
                ) from error
        except BlockingIOError:
            raise _silent(seconds) from None
    raise AssertionError("unreachable")


def stream(op: str, fields: Mapping[str, str], *, seconds: int) -> Generator[str, None, None]:
    """The events of a request that has some. Closing the generator leaves the request. Raises as ``ask``."""
    with contextlib.closing(open_connection(op, fields, start=True, seconds=seconds)) as connection:
        while True:
            try:
                answer = client.receive(connection)
            except (EOFError, ConnectionError, ValueError) as error:
                raise DaemonUnreachable("the daemon went away in the middle", hint="credhelper daemon start") from error
            except BlockingIOError:
                raise _silent(seconds) from None
            if b"event" not in answer:
                _outcome(answer)
                return
            yield answer[b"event"].decode()


def open_connection(op: str, fields: Mapping[str, str], *, start: bool, seconds: int) -> socket:
    """A connection on which the request has been sent."""
    env = places.environment()
    path = places.socket_path(env)
    request = {b"v": client.PROTOCOL, b"op": op.encode()}
    request |= {key.encode(): os.fsencode(value) for key, value in fields.items()}
    connection = _connect_or_start(path, start=start, seconds=seconds)
    try:
        connection.sendall(client.frame(request | client.caller(env)))
    except OSError:
        connection.close()
        raise
    return connection


def _connect_or_start(path: Path, *, start: bool, seconds: int) -> socket:
    with contextlib.suppress(*ABSENT):
        return _connect(path, seconds)
    if not start:
        raise not_running(path)
    if os.environ.get("CREDHELPER_NO_AUTOSTART") == "1":
        raise DaemonUnreachable(
            f"the daemon is not running at {path}, and CREDHELPER_NO_AUTOSTART says not to start it",
            hint="credhelper daemon start",
        )
    launcher.start_daemon(os.environ)
    try:
        return _connect(path, seconds)
    except ABSENT as error:
        raise not_running(path) from error


def _connect(path: Path, seconds: int) -> socket:
    try:
        return client.connect(os.fsencode(path), seconds)
    except ABSENT:
        raise
    except BlockingIOError:
        raise _silent(seconds) from None
    except OSError as error:
        raise DaemonUnreachable(f"the daemon at {path} cannot be reached: {error.strerror}") from error


def not_running(path: Path) -> DaemonUnreachable:
    """The error of a daemon that is not there and must not be started now."""
    return DaemonUnreachable(f"the daemon is not running at {path}", hint="credhelper daemon start")


def _silent(seconds: int) -> DaemonUnreachable:
    return DaemonUnreachable(f"the daemon did not answer within {seconds} s", hint="credhelper daemon restart")


def _outcome(answer: Mapping[bytes, bytes]) -> str:
    status = int(answer[b"status"])
    if status:
        err, code, message = (answer[key].decode("utf-8", "replace") for key in (b"err", b"code", b"message"))
        raise Failed(status, err, code, message)
    return answer[b"out"].decode("utf-8", "surrogateescape")


def is_running() -> bool:
    """Whether a daemon answers at our socket."""
    try:
        ask("hello", {}, start=False, seconds=5)
    except DaemonUnreachable:
        return False
    return True
