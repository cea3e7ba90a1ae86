"""The command line's line to the daemon: connects, starts it when it is absent, asks."""

import contextlib
import errno
import os
import select
import sys
import time
from _socket import SO_PEERCRED, SOL_SOCKET, socket
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from credhelper import client
from credhelper.cli import quick
from credhelper.domain.errors import CredhelperError, DaemonUnreachable, UsageError
from credhelper.local import file_lock, places

ANSWER_SECONDS = 40  # a logout may have a hanging disk and a hanging network to get over
SIGNAL_LOOK = 0.5  # seconds
PICTURE = 0.1  # seconds between two calls of what is to be done meanwhile
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


def stream(
    op: str,
    fields: Mapping[str, str],
    *,
    seconds: int,
    next_seconds: int,
    meanwhile: Callable[[], None] | None = None,
) -> Generator[str, None, str]:
    """The events of a request that has some: the first within ``seconds``, each other within ``next_seconds``.

    ``meanwhile`` is called some ten times a second while one of those others is waited for.
    What the generator returns is the answer itself. Closing it leaves the request. Raises as ``ask``.
    """
    waiting = _frames(op, fields, start=True, seconds=seconds, next_seconds=next_seconds, meanwhile=meanwhile)
    with contextlib.closing(waiting) as frames:
        for frame in frames:
            if b"event" not in frame:
                break
            yield frame[b"event"].decode()
        return _outcome(frame)


def _frames(
    op: str,
    fields: Mapping[str, str],
    *,
    start: bool,
    seconds: int,
    next_seconds: int = 1,
    meanwhile: Callable[[], None] | None = None,
) -> Generator[Mapping[bytes, bytes], None, None]:
    left = _countdown(seconds)
    has_begun = has_broken = was_replaced = False
    while True:
        try:
            with contextlib.closing(_open_connection(op, fields, left, start=start)) as connection:
                client.limit(connection, left())
                frame = client.receive(connection)
                if start and b"replace" in frame and _may_start():
                    if was_replaced:
                        raise _same_again(frame)
                    was_replaced = True
                    if _has_made_way(left):
                        continue
                client.limit(connection, next_seconds)
                while b"event" in frame:
                    has_begun = True
                    yield frame
                    _await_frame(connection, next_seconds, meanwhile)
                    frame = client.receive(connection)
                yield frame
                return
        except (EOFError, ConnectionError, ValueError) as error:
            if has_broken or has_begun:
                raise DaemonUnreachable(
                    f"the daemon broke off its answer: {str(error) or 'it closed the connection'}",
                    hint="credhelper daemon restart",
                ) from error
            has_broken = True
        except BlockingIOError:
            raise _silent(seconds) from None


def _await_frame(connection: socket, seconds: int, meanwhile: Callable[[], None] | None) -> None:
    """Until something is there to read. Raises BlockingIOError when the time is over.

    In short waits: Ctrl-C that comes between Python's look for signals and the system call is heard at the call's end.
    """
    give_up = time.monotonic() + seconds
    pause = SIGNAL_LOOK if meanwhile is None else PICTURE
    while not select.select([connection], [], [], pause)[0]:
        if time.monotonic() > give_up:
            raise BlockingIOError
        if meanwhile is not None:
            meanwhile()


def _countdown(seconds: int) -> Callable[[], int]:
    """A function that tells the whole seconds left, at least 1."""
    give_up = time.monotonic() + seconds
    return lambda: max(1, round(give_up - time.monotonic()))


def _open_connection(op: str, fields: Mapping[str, str], left: Callable[[], int], *, start: bool) -> socket:
    env = places.environment()
    path = places.socket_path(env)
    request = {b"v": client.PROTOCOL, b"op": op.encode()}
    request |= {key.encode(): os.fsencode(value) for key, value in fields.items()}
    frame = client.frame(request | client.caller(env))
    if len(frame) - 4 > client.MAX_REQUEST:  # four of them tell its size
        raise UsageError(f"what is to be asked of the daemon is longer than {client.MAX_REQUEST} bytes")
    connection = _connect_or_start(path, left, start=start)
    try:
        connection.sendall(frame)
    except OSError:
        connection.close()
        raise
    return connection


def _has_made_way(left: Callable[[], int]) -> bool:
    """Whether a daemon that should not go on has ended; the next connection starts another.

    Raises DaemonUnreachable.
    """
    from credhelper.local import launcher

    old = pid()
    ask("stop", {}, start=False, seconds=left())
    return launcher.is_gone(min(left(), launcher.STOP_SECONDS), old)


def _same_again(frame: Mapping[bytes, bytes]) -> DaemonUnreachable:
    """The error of a daemon that was stopped because it is of no use, and was followed by another one like it."""
    message = frame.get(b"message", b"").decode("utf-8", "replace") or "the daemon is of another version"
    return DaemonUnreachable(f"{message}; it was restarted, and is the same again", hint="credhelper service install")


def _is_guest(path: Path) -> bool:
    """Whether a daemon that is absent would be another user's, or a lease of one: none must take its place."""
    return bool(os.environ.get("CREDHELPER_SERVER_UID")) or places.is_lease_socket(path)


def _may_start() -> bool:
    return os.environ.get("CREDHELPER_NO_AUTOSTART") != "1"


def _connect_or_start(path: Path, left: Callable[[], int], *, start: bool) -> socket:
    if not start and _is_asleep(path):
        raise not_running(path)
    with contextlib.suppress(*ABSENT):
        return _connect(path, left())
    if not start:
        raise not_running(path)
    if _is_guest(path):
        raise DaemonUnreachable(
            f"nobody answers at {path}; the lease may have ended", hint="where the daemon runs: credhelper lease list"
        )
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


def start_daemon() -> None:
    """Starts it, or has the service manager start it that holds its socket. Raises DaemonUnreachable."""
    from credhelper.local import launcher

    path = places.socket_path(places.environment())
    try:
        _connect(path, round(launcher.START_SECONDS)).close()
    except ABSENT:
        launcher.start_daemon(os.environ)


def _is_asleep(path: Path) -> bool:
    """Whether no daemon runs, and a connection would have a service manager start one.

    A lock that is free does not tell that alone: a daemon with another state directory has another one.
    """
    if not path.is_socket() or not _has_socket_unit() or _lock_holder()[0]:
        return False
    from credhelper.local import launcher

    return launcher.awaits_request(path)


def _has_socket_unit() -> bool:
    """Whether there is a unit that a service manager could listen for."""
    return quick.has_socket_unit(places.environment())


def _lock_holder() -> tuple[bool, int | None]:
    """Whether a daemon holds our socket's lock, and its pid by its own signature. Makes nothing."""
    env = places.environment()
    try:
        lock = os.open(
            places.instance_lock(places.state_directory(env), places.socket_path(env)), os.O_RDONLY | os.O_CLOEXEC
        )
    except OSError:
        return False, None
    try:
        is_held = file_lock.is_held(lock)
        return is_held, file_lock.signer(lock) if is_held else None
    finally:
        os.close(lock)


def _connect(path: Path, seconds: int) -> socket:
    try:
        return client.connect(os.fsencode(path), seconds)
    except ABSENT:
        raise
    except BlockingIOError:
        raise _silent(seconds) from None
    except OSError as error:
        hint = None
        if error.errno == errno.EPERM:  # the one that client.connect() itself raises
            hint = "if you trust that user, set CREDHELPER_SERVER_UID to their number"
        raise DaemonUnreachable(f"the daemon at {path} cannot be reached: {error.strerror}", hint=hint) from error


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
    """Whether a socket is there at which a daemon should answer."""
    path = places.socket_path(places.environment())
    return path.is_socket() and not _is_asleep(path) and not _is_left_over(path)


def _is_left_over(path: Path) -> bool:
    """Whether nobody listens any more: a daemon that was killed leaves its socket lying."""
    try:
        client.connect(os.fsencode(path), 1).close()
    except OSError as error:
        return error.errno == errno.ECONNREFUSED
    return False


def pid() -> int | None:
    """The pid of the daemon at our socket, even of one that hangs; None without one, or where it cannot be told."""
    is_held, holder = _lock_holder()
    path = places.socket_path(places.environment())
    if holder is not None or sys.platform != "linux" or (not is_held and _is_asleep(path)):
        return holder
    try:
        connection = client.connect(os.fsencode(path), 1)
    except OSError:
        return None
    with contextlib.closing(connection):
        # By the kernel's word: struct ucred begins with the pid (unix(7)); macOS has it elsewhere
        return int.from_bytes(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)[:4], sys.byteorder)
