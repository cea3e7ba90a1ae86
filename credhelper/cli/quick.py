"""A question to a daemon that runs, for a shell that waits at a key or a prompt. It starts none, and waits a second.

Like the fast client it imports next to nothing (a test pins it), and it says nothing of what goes wrong.
"""

import os

from credhelper import client

PATIENCE = 1  # seconds
UNIT_PATHS = (b"/etc", b"/usr/local/lib", b"/usr/lib")


def environment() -> dict[bytes, bytes]:
    """This process's environment, with a HOME even where none is set."""
    env = dict(os.environb)
    if env.get(b"HOME"):
        return env
    from credhelper.local import places  # seldom, and not cheap

    return places.environment()


def ask(op: str, fields: dict[str, str]) -> str | None:
    """The daemon's answer; None where no daemon runs, or it does not answer soon, or refuses."""
    env = environment()
    path = client.socket_path(env, os.getuid())
    if not os.path.exists(path) or (has_socket_unit(env) and not _is_awake()):
        return None
    request = {b"v": client.PROTOCOL, b"op": op.encode()}
    request |= {key.encode(): os.fsencode(value) for key, value in fields.items()}
    frame = client.frame(request | client.caller(env))
    if len(frame) - 4 > client.MAX_REQUEST:
        return None
    try:
        connection = client.connect(path, PATIENCE)
        try:
            connection.sendall(frame)
            answer = client.receive(connection)
        finally:
            connection.close()
    except (OSError, EOFError, ValueError):
        return None
    if answer.get(b"status") != b"0" or b"retry" in answer:
        return None
    return answer.get(b"out", b"").decode("utf-8", "surrogateescape")


def has_socket_unit(env: dict[bytes, bytes]) -> bool:
    """Whether there is a unit with which a service manager could listen for the daemon, and start it."""
    config = env.get(b"XDG_CONFIG_HOME") or env[b"HOME"] + b"/.config"
    return any(os.path.exists(base + b"/systemd/user/credhelper.socket") for base in (config, *UNIT_PATHS))


def _is_awake() -> bool:
    """Whether a daemon runs where the socket may be a service manager's: connecting alone would start one."""
    from credhelper.cli import daemon_link

    return daemon_link.exists()
