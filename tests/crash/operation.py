"""What is killed and failed, each in a process of its own: `python -m tests.crash.operation`.

Serves one request a line on standard input, and answers it with two lines on standard output: the number of the process
that waits for SIGUSR1 before it begins, and how it ended. That process is forked from this one, which has loaded and
done everything once before: all that it asks of the system from then on is the operation's own.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from credhelper.agent.refresh import Refresh, TokenFile
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenStore
from credhelper.domain.model import IssuedToken, SsoSession, Token
from tests.crash.homes import CORP, NEW, NEW_KEPT, NEW_REGISTRATION, NEW_SIGN_IN, OLD, Home, prepare, prepare_empty

SECONDS = 30  # for one run; it takes less than a tenth of one
PR_SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1)

Tell = Callable[..., None]
"""Has what became known told to the test at once, by a system call that is never failed."""


class RotatingIdentityCenter(IdentityCenter):
    """Gives one new token for the old one, and says that it has."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def refresh_token(self, session: SsoSession, token: Token) -> IssuedToken:  # noqa: ARG002
        """From here on the old refresh token is worth nothing."""
        assert token.refresh_token == OLD.refresh_token
        self._tell(issued=True)
        return IssuedToken(NEW.access_token, NEW.expires_at, NEW.refresh_token)


def log_in(home: Home, tell: Tell) -> None:
    """What a login writes: its registration, which it can do without, and the token."""
    _log_in(home, OLD.access_token, tell)


def first_log_in(home: Home, tell: Tell) -> None:
    """The same where there is no ``~/.aws`` yet."""
    _log_in(home, None, tell)


def refresh(home: Home, tell: Tell) -> None:
    """A refresh of a token that other tools share."""
    _refresh(home, home.token_cache, tell)


def refresh_sealed(home: Home, tell: Tell) -> None:
    """A refresh of a token that only we can read."""
    _refresh(home, home.sealed_cache, tell)


def keep(home: Home, tell: Tell) -> None:
    """The vault keeps a role's credentials and the sign-in they came from."""
    asyncio.run(_keep(home, tell))


def log_out(home: Home, tell: Tell) -> None:
    """Everything goes."""
    receipt = home.sweep().everything()
    tell(
        tokens={outcome.start_url: outcome.token for outcome in receipt.outcomes if outcome.session is not None},
        removed=[str(path) for path in receipt.removed],
        left=[str(path) for path, _ in receipt.left],
    )


OPERATIONS: dict[str, Callable[[Home, Tell], None]] = {
    found.__name__: found for found in (first_log_in, log_in, refresh, refresh_sealed, keep, log_out)
}


def _log_in(home: Home, on_file: str | None, tell: Tell) -> None:
    with contextlib.suppress(OSError):
        home.token_cache.save_registration(CORP, NEW_REGISTRATION)
    tell(is_durable=_file(home, home.token_cache, on_file).save(NEW))


def _file(home: Home, cache: TokenStore, on_file: str | None) -> TokenFile:
    return TokenFile(cache, CORP, on_file, home.lock_path(CORP.cache_key), threading.Event())


def _refresh(home: Home, cache: TokenStore, tell: Tell) -> None:
    work = Refresh(_file(home, cache, OLD.access_token), RotatingIdentityCenter(tell), OLD)
    token = work.run()
    tell(returned_new=token == NEW, is_durable=work.is_durable)


async def _keep(home: Home, tell: Tell) -> None:
    vault = home.vault()
    await vault.open()
    vault.keep(NEW_KEPT)
    vault.keep_sign_in(CORP, NEW_SIGN_IN)
    await vault.stop()
    tell(trouble=vault.trouble)


class _Sayings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


def _serve() -> None:
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    sayings = _Sayings()
    logging.getLogger().addHandler(sayings)
    with tempfile.TemporaryDirectory() as scratch:
        for name, operation in OPERATIONS.items():  # what is imported late is imported now
            prepare_home = prepare_empty if operation is first_log_in else prepare
            operation(prepare_home(Path(scratch, name)), lambda **_: None)
    sayings.heard.clear()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in sys.stdin:
        request = json.loads(line)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            _perform(request, theirs, sayings)
        theirs.close()
        print(child, flush=True)
        with ours:
            print(json.dumps({"status": _wait_for(child), "notes": _notes(ours)}), flush=True)


def _perform(request: dict[str, Any], door: socket.socket, sayings: _Sayings) -> None:
    """In the child: never returns."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)  # where only ancestors may trace

    def tell(**notes: object) -> None:
        door.send(json.dumps(notes).encode())

    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    signal.alarm(SECONDS)  # should it hang, it ends by that
    signal.sigwait({signal.SIGUSR1})
    try:
        OPERATIONS[request["operation"]](Home(Path(request["home"])), tell)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the test shall hear of it
        tell(raised=type(error).__name__, is_of_disk=isinstance(error, OSError), why=str(error))
    tell(logged=sayings.heard)
    os._exit(0)


def _wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _notes(door: socket.socket) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    while packet := door.recv(1 << 20):
        notes |= json.loads(packet)
    return notes


if __name__ == "__main__":
    _serve()
