"""The fast client: what stands behind ``credential_process`` in a profile.

This one file is copied to the user's data directory and run there by the base interpreter with ``-IS``, so it must
stand alone: it imports nothing but built-in modules (a test pins them) and compiles in a fraction of a millisecond.
It only knows the everyday case, a daemon that answers; an answer that breaks off is asked for once more, for the daemon
may just be restarted. Whatever else happens (no daemon, a daemon of another version) it hands over to the full program,
whose interpreter and package are named in the file ``installation`` beside it, and which explains, starts the daemon
and asks again.

The rest of credhelper takes its wire format and the place of the socket from here.

Wire format: a frame is a 4-byte big-endian length and that many bytes: fields ``key=value`` separated by NUL, which
neither a path nor an environment variable nor JSON text can contain. A request has ``v`` (the protocol's number),
``op`` and the operation's fields. The last frame of an answer has ``status`` (an exit status), ``out`` and ``err``
(what to print where); a login sends ``event`` frames before it. ``retry`` in it tells the fast client to hand over,
``replace`` tells the full program that another daemon should be started in this one's place.
"""

import _socket
import sys
from posix import _exit, environ, execv, getcwdb, getuid, lstat, times, uname, write

PROTOCOL = b"3"
MAX_REQUEST = 65_536
MAX_ANSWER = 16 * 1024 * 1024
DEADLINE = 10  # seconds a caller waits at most
SERVER_UID = b"CREDHELPER_SERVER_UID"
CALLER_VARIABLES = (
    b"HOME",
    b"AWS_CONFIG_FILE",
    b"AWS_SHARED_CREDENTIALS_FILE",
    b"AWS_PROFILE",
    b"AWS_DEFAULT_PROFILE",
)

_S_IFDIR, _S_IFMT, _OTHERS = 0o040000, 0o170000, 0o077


def is_private_directory(path: bytes, uid: int) -> bool:
    """Whether ``path`` is an absolute, real directory that belongs to ``uid`` and lets in nobody else."""
    try:
        found = lstat(path)
    except OSError:
        return False
    mode = found.st_mode
    return path[:1] == b"/" and mode & _S_IFMT == _S_IFDIR and not mode & _OTHERS and found.st_uid == uid


def state_directory(env: dict[bytes, bytes]) -> bytes:
    """Where locks lie, and the socket of a machine without a runtime directory. Raises KeyError without a HOME."""
    base = env.get(b"XDG_STATE_HOME", b"")
    return (base if base[:1] == b"/" else env[b"HOME"] + b"/.local/state") + b"/credhelper"


def socket_path(env: dict[bytes, bytes], uid: int) -> bytes:
    """The daemon's socket: ``CREDHELPER_SOCKET``, else in the first runtime directory that is private to the user."""
    named = env.get(b"CREDHELPER_SOCKET")
    if named:
        return named
    for runtime in (env.get(b"XDG_RUNTIME_DIR", b""), b"/run/user/%d" % uid):
        if is_private_directory(runtime, uid):
            return runtime + b"/credhelper/credhelper.sock"
    # Homes are shared between machines, sockets are not.
    return state_directory(env) + b"/run-" + uname().nodename.encode() + b"/credhelper.sock"


def peer_uid(connection: _socket.socket) -> int:
    """The uid at the other end, by the kernel's word (Linux SO_PEERCRED; macOS LOCAL_PEERCRED, same offset)."""
    level, option = (_socket.SOL_SOCKET, _socket.SO_PEERCRED) if sys.platform == "linux" else (0, 1)
    return int.from_bytes(connection.getsockopt(level, option, 80)[4:8], sys.byteorder)


def frame(fields: dict[bytes, bytes]) -> bytes:
    """``fields`` as they go over the socket."""
    payload = b"\0".join([key + b"=" + value for key, value in fields.items()])
    return len(payload).to_bytes(4, "big") + payload


def parse(payload: bytes) -> dict[bytes, bytes]:
    """The fields of a frame's payload. Raises ValueError when it is not one."""
    fields = {}
    for field in payload.split(b"\0"):
        key, equals, value = field.partition(b"=")
        if not equals or key in fields:
            raise ValueError("malformed frame")
        fields[key] = value
    return fields


def receive(connection: _socket.socket) -> dict[bytes, bytes]:
    """One frame. Raises EOFError when the other side is gone, ValueError when it speaks something else."""
    size = int.from_bytes(_exactly(connection, 4), "big")
    if size > MAX_ANSWER:
        raise ValueError("oversized frame")
    return parse(_exactly(connection, size))


def _exactly(connection: _socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return received


def caller(env: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What the daemon must know of the process that asks: the variables that choose its files and profile."""
    fields = {name: env[name] for name in CALLER_VARIABLES if env.get(name)}
    try:
        fields[b"cwd"] = getcwdb()
    except OSError:
        fields[b"cwd"] = b"/"
    return fields


def connect(path: bytes, seconds: int) -> _socket.socket:
    """A connection to the daemon at ``path`` on which nothing blocks for longer than ``seconds``.

    Raises OSError; BlockingIOError when the time is over, PermissionError when another user answers there than oneself
    or the one that ``CREDHELPER_SERVER_UID`` names (in a container, the daemon's uid as it is seen from there).
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    limit(connection, seconds)
    connection.connect(path)
    uid = peer_uid(connection)
    if uid != getuid() and b"%d" % uid != environ.get(SERVER_UID):
        raise PermissionError(1, "another user answers at the daemon's socket")
    return connection


def limit(connection: _socket.socket, seconds: int) -> None:
    """From now on nothing on ``connection`` blocks for longer than ``seconds``: it raises BlockingIOError instead.

    The kernel's own limits, not settimeout(): a non-blocking connect() to a full backlog fails at once.
    """
    timeval = seconds.to_bytes(8, sys.byteorder) + bytes(8)
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, timeval)
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, timeval)


def ask(path: bytes, request: bytes) -> dict[bytes, bytes]:
    """The daemon's answer. One that breaks off is asked for once more, within the same deadline.

    Raises OSError, BlockingIOError when the time is over, EOFError, ValueError.
    """
    began = times().elapsed
    connection = connect(path, DEADLINE)
    try:
        connection.sendall(request)
        return receive(connection)
    except (EOFError, ConnectionError):
        connection = connect(path, max(1, DEADLINE - round(times().elapsed - began)))
        connection.sendall(request)
        return receive(connection)


def decode_profile(argument: bytes) -> bytes:
    """A profile's name out of its percent-encoded form on the ``credential_process`` line."""
    first, *rest = argument.split(b"%")
    return first + b"".join([bytes([int(part[:2], 16)]) + part[2:] for part in rest])


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[write(descriptor, text) :]


def main() -> None:
    """Asks the daemon for the profile named by the only argument, prints its answer and ends the process."""
    if len(sys.argv) != 2 or sys.argv[1][:1] in ("", "-"):
        _write_all(2, b"credhelper: error: usage: client.py PROFILE\n")
        _exit(2)
    argument = sys.argv[1].encode("utf-8", "surrogateescape")
    try:
        if not environ.get(b"HOME") and not environ.get(SERVER_UID):
            hand_over(argument)
        request = {b"v": PROTOCOL, b"op": b"get", b"profile": decode_profile(argument)}
        answer = ask(socket_path(environ, getuid()), frame(request | caller(environ)))
        status, out, err = int(answer[b"status"]), answer[b"out"], answer[b"err"]
        if b"retry" in answer:  # a daemon that should not go on as it is
            hand_over(argument)
    except BlockingIOError:
        _write_all(2, b"credhelper: error: the daemon did not answer within 10 s\n")
        _write_all(2, b"credhelper: hint: credhelper daemon restart\n")
        _exit(7)
    except (OSError, EOFError, ValueError, KeyError):
        hand_over(argument)
    try:
        _write_all(1, out)
        _write_all(2, err)
    except OSError:
        _exit(1)
    _exit(status)


def hand_over(argument: bytes) -> None:
    """Becomes the full program, which finds out what is wrong, mends it if it can, and asks again."""
    home = __file__.encode("utf-8", "surrogateescape").rpartition(b"/")[0]
    try:
        with open(home + b"/installation", "rb") as file:
            python, package = file.read().splitlines()
        lstat(package)
        execv(python, [python, b"-Im", b"credhelper", b"get", b"--percent-encoded-profile", argument])
    except (OSError, ValueError):
        if environ.get(SERVER_UID):  # we are but a guest here
            error = b"nobody answers at the lease's socket whom CREDHELPER_SERVER_UID names; the lease may have ended"
            hint = b"where the daemon runs: credhelper lease list"
        else:
            error = b"the daemon does not answer and the installation that wrote this client is gone"
            hint = b"install credhelper again, then run: credhelper daemon start"
        _write_all(2, b"credhelper: error: " + error + b"\ncredhelper: hint: " + hint + b"\n")
        _exit(7)


if __name__ == "__main__":
    main()
