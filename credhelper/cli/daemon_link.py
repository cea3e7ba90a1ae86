"""The command line's line to the daemon: connects, starts it when it is absent, asks."""

import contextlib
import os
import sys
import time
from _socket import SO_PEERCRED, SOL_SOCKET, socket
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from credhelper import client
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import places

ANSWER_SECONDS = 40  # a logout may have a hanging disk and a hanging network to get over
ABSENT = (FileNotFoundError, ConnectionRefusedError)

Fields = dict[str, str]


class Failed(CredhelperError):
    """The daemon's answer is an error."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint or None)
        self.status = status
        self.code = code


def ask(op: str, fields: Mapping[str, str], *, start: bool = True, seconds: int = ANSWER_SECONDS) -> str:
    """The daemon's answer to one request, within ``seconds`` all told. Raises Failed, DaemonUnreachable.

    An answer that breaks off is asked for once more: the daemon may just have been restarted. A daemon that says that
    it is of no use any more, because it is older than we are or its installation is gone, is replaced if it may be.
    """
    *_, last = _frames(op, fields, start=start, seconds=seconds)
    return _outcome(last)


def stream(op: str, fields: Mapping[str, str], *, seconds: int, next_seconds: int) -> Generator[str, None, None]:
    """The events of a request that has some: the first within ``seconds``, each other within ``next_seconds``.

    Closing the generator leaves the request. Raises as ``ask``.
    """
    with contextlib.closing(_frames(op, fields, start=True, seconds=seconds, next_seconds=next_seconds)) as frames:
        for frame in frames:
            if b"event" in frame:
                yield frame[b"event"].decode()
            else:
                _outcome(frame)


def _frames(
    op: str, fields: Mapping[str, str], *, start: bool, seconds: int, next_seconds: int = 1
) -> Generator[Mapping[bytes, bytes], None, None]:
    left = _countdown(seconds)
    has_begun = False
    for is_last_try in (False, True):
        try:
            with contextlib.closing(_open_connection(op, fields, left, start=start)) as connection:
                client.limit(connection, left())
                frame = client.receive(connection)
                if not is_last_try and start and _was_replaced(frame, left):
                    continue
                client.limit(connection, next_seconds)
                while b"event" in frame:
                    has_begun = True
                    yield frame
                    frame = client.receive(connection)
                yield frame
                return
        except (EOFError, ConnectionError, ValueError) as error:
            if is_last_try or has_begun:
                raise DaemonUnreachable(
                    f"the daemon broke off its answer: {error}", hint="credhelper daemon restart"
                ) from error
        except BlockingIOError:
            raise _silent(seconds) from None


def _countdown(seconds: int) -> Callable[[], int]:
    """A function that tells the whole seconds left, at least 1."""
    give_up = time.monotonic() + seconds
    return lambda: max(1, round(give_up - time.monotonic()))


def _open_connection(op: str, fields: Mapping[str, str], left: Callable[[], int], *, start: bool) -> socket:
    env = places.environment()
    path = places.socket_path(env)
    request = {b"v": client.PROTOCOL, b"op": op.encode()}
    request |= {key.encode(): os.fsencode(value) for key, value in fields.items()}
    connection = _connect_or_start(path, left, start=start)
    try:
        connection.sendall(client.frame(request | client.caller(env)))
    except OSError:
        connection.close()
        raise
    return connection


def _was_replaced(answer: Mapping[bytes, bytes], left: Callable[[], int]) -> bool:
    """Whether the daemon had to be replaced, and was. Raises DaemonUnreachable."""
    if b"replace" not in answer or not _may_start():
        return False
    from credhelper.local import launcher

    ask("stop", {}, start=False, seconds=left())
    if not launcher.is_gone(min(left(), launcher.STOP_SECONDS)):
        return False
    launcher.start_daemon(os.environ, seconds=min(left(), launcher.START_SECONDS))
    return True


def _may_start() -> bool:
    return os.environ.get("CREDHELPER_NO_AUTOSTART") != "1"


def _connect_or_start(path: Path, left: Callable[[], int], *, start: bool) -> socket:
    with contextlib.suppress(*ABSENT):
        return _connect(path, left())
    if not start:
        raise not_running(path)
    if not _may_start():
        raise DaemonUnreachable(
            f"the daemon is not running at {path}, and CREDHELPER_NO_AUTOSTART says not to start it",
            hint="credhelper daemon start",
        )
    from credhelper.local import launcher  # costs every command 15 ms otherwise

    launcher.start_daemon(os.environ, seconds=min(left(), launcher.START_SECONDS))
    try:
        return _connect(path, left())
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
    try:
        status, out = int(answer[b"status"]), answer[b"out"]
    except (KeyError, ValueError) as error:
        raise DaemonUnreachable(
            "the daemon's answer makes no sense; is it of another version?", hint="credhelper daemon restart"
        ) from error
    code, message, hint = (answer.get(key, b"").decode("utf-8", "replace") for key in (b"code", b"message", b"hint"))
    if b"retry" in answer:  # whatever was asked, this daemon is not the one to answer it
        raise DaemonUnreachable(message or "the daemon is of another version", hint=hint or "credhelper daemon restart")
    if status:
        raise Failed(status, code, message or "the daemon did not say what went wrong", hint)
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
