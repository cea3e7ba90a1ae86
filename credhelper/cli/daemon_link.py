"""The command line's line to the daemon: connects, starts it when it is absent, asks."""

import contextlib
import os
import sys
import time
from _socket import SO_PEERCRED, SOL_SOCKET, socket
from collections.abc import Generator, Mapping
from pathlib import Path

from credhelper import client
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import launcher, places

HELLO_SECONDS = 10
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
    """The daemon's answer to one request, within ``seconds`` all told. Raises Failed, DaemonUnreachable.

    An answer that breaks off is asked for once more: the daemon may just have been restarted. A daemon that says that
    it is of no use any more, because it is older than we are or its installation is gone, is replaced if it may be.
    """
    give_up = time.monotonic() + seconds
    for is_last_try in (False, True):
        left = max(1, round(give_up - time.monotonic()))
        try:
            with contextlib.closing(open_connection(op, fields, start=start, seconds=left)) as connection:
                answer = client.receive(connection)
        except (EOFError, ConnectionError, ValueError) as error:
            if is_last_try:
                raise _broken_off(error) from error
        except BlockingIOError:
            raise _silent(seconds) from None
        else:
            if is_last_try or not (start and _was_replaced(answer)):
                return _outcome(answer)
    raise AssertionError("unreachable")


def stream(op: str, fields: Mapping[str, str], *, seconds: int) -> Generator[str, None, None]:
    """The events of a request that has some. Closing the generator leaves the request. Raises as ``ask``."""
    for is_last_try in (False, True):
        with contextlib.closing(open_connection(op, fields, start=True, seconds=seconds)) as connection:
            answer = _next(connection, seconds)
            if is_last_try or not _was_replaced(answer):
                while b"event" in answer:
                    yield answer[b"event"].decode()
                    answer = _next(connection, seconds)
                _outcome(answer)
                return


def _next(connection: socket, seconds: int) -> Mapping[bytes, bytes]:
    try:
        return client.receive(connection)
    except (EOFError, ConnectionError, ValueError) as error:
        raise _broken_off(error) from error
    except BlockingIOError:
        raise _silent(seconds) from None


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


def _was_replaced(answer: Mapping[bytes, bytes]) -> bool:
    """Whether the daemon had to be replaced, and was. Raises DaemonUnreachable."""
    if b"replace" not in answer or not _may_start():
        return False
    ask("stop", {}, start=False, seconds=HELLO_SECONDS)
    if not launcher.is_gone(launcher.STOP_SECONDS):
        return False
    launcher.start_daemon(os.environ)
    return True


def _may_start() -> bool:
    return os.environ.get("CREDHELPER_NO_AUTOSTART") != "1"


def _connect_or_start(path: Path, *, start: bool, seconds: int) -> socket:
    with contextlib.suppress(*ABSENT):
        return _connect(path, seconds)
    if not start:
        raise not_running(path)
    if not _may_start():
        raise DaemonUnreachable(
            f"the daemon is not running at {path}, and CREDHELPER_NO_AUTOSTART says not to start it",
            hint="credhelper daemon start",
        )
    launcher.start_daemon(os.environ, seconds=min(seconds, launcher.START_SECONDS))
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


def _broken_off(error: Exception) -> DaemonUnreachable:
    return DaemonUnreachable(f"the daemon broke off its answer: {error}", hint="credhelper daemon restart")


def _silent(seconds: int) -> DaemonUnreachable:
    return DaemonUnreachable(f"the daemon did not answer within {seconds} s", hint="credhelper daemon restart")


def _outcome(answer: Mapping[bytes, bytes]) -> str:
    try:
        status, out, err = int(answer[b"status"]), answer[b"out"], answer[b"err"]
    except (KeyError, ValueError) as error:
        raise DaemonUnreachable(
            "the daemon's answer makes no sense; is it of another version?", hint="credhelper daemon restart"
        ) from error
    if status:
        words = (err, answer.get(b"code", b""), answer.get(b"message", b""))
        raise Failed(status, *(word.decode("utf-8", "replace") for word in words))
    return out.decode("utf-8", "surrogateescape")


def is_running() -> bool:
    """Whether a daemon answers at our socket."""
    try:
        ask("hello", {}, start=False, seconds=5)
    except DaemonUnreachable:
        return False
    return True


def exists() -> bool:
    """Whether a socket is there, answered or not."""
    return places.socket_path(places.environment()).is_socket()


def pid() -> int | None:
    """The pid of the daemon at our socket, by the kernel's word; None without one, or where it cannot say."""
    if sys.platform != "linux":
        return None
    try:
        connection = client.connect(os.fsencode(places.socket_path(places.environment())), 1)
    except OSError:
        return None
    with contextlib.closing(connection):
        # struct ucred begins with the pid (unix(7)); macOS has it elsewhere
        return int.from_bytes(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)[:4], sys.byteorder)
