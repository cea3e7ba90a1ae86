"""One daemon at a time serves at a socket: who does, and how another takes its place."""

import contextlib
import json
import os
import select
import socket
import time
from pathlib import Path

from credhelper import client
from credhelper.domain.errors import DaemonUnreachable
from credhelper.local import file_lock
from credhelper.local.socket_file import leads_to

WINNER_SECONDS = 5  # seconds another daemon has to prove that it answers
TAKE_OVER_SECONDS = 8  # seconds another daemon has to end, which gives itself 5


def other_daemon(lock: int, path: Path) -> int | None:
    """The pid of the daemon that serves at ``path``; None when there is none and we hold the lock.

    Whoever holds the lock must prove that it answers; while it does not, it may be ending, so the lock is tried again.
    Even with the lock in hand somebody may answer: a daemon with another state directory. Raises DaemonUnreachable.
    """
    give_up = time.monotonic() + WINNER_SECONDS
    while True:
        is_ours = file_lock.try_lock(lock)
        try:
            return _pid_of_daemon(path)
        except (OSError, EOFError, ValueError, KeyError) as error:
            if is_ours:
                return None
            if time.monotonic() > give_up:
                raise DaemonUnreachable(
                    f"another daemon holds the lock for {path} but does not answer: {error}",
                    hint="credhelper daemon restart",
                ) from error
            select.select([], [], [], 0.02)


def _pid_of_daemon(path: Path) -> int:
    return int(json.loads(_ask(path, b"hello")[b"out"])["pid"])


def _ask(path: Path, op: bytes) -> dict[bytes, bytes]:
    """Raises OSError, EOFError, ValueError."""
    with contextlib.closing(client.connect(os.fsencode(path), 1)) as connection:
        connection.sendall(client.frame({b"v": client.PROTOCOL, b"op": op}))
        return client.receive(connection)


def take_over(lock: int, path: Path, listener: socket.socket) -> None:
    """Takes the lock, for a daemon whose socket a service manager has bound. Raises DaemonUnreachable.

    Whoever holds it gives way: a daemon that a client has started, before there was a service or while the socket's
    name was lost.
    """
    give_up = time.monotonic() + TAKE_OVER_SECONDS
    while True:
        is_alone = _nobody_else_serves(path, listener)
        if file_lock.try_lock(lock) and is_alone:
            return
        if time.monotonic() > give_up:
            raise DaemonUnreachable(
                f"another daemon holds the lock for {path} and does not end", hint="credhelper daemon restart"
            )
        select.select([], [], [], 0.05)


def _nobody_else_serves(path: Path, listener: socket.socket) -> bool:
    """Whether no other daemon serves at ``path``; one that does is told to stop."""
    if leads_to(path, listener):
        return True
    try:
        _ask(path, b"stop")
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except (OSError, EOFError, ValueError):  # it hangs, or is ending already
        return False
    return False
