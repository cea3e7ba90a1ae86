"""The daemon: builds everything, binds its socket, says that it is ready, runs, and stops in order."""

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from credhelper import client
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import file_lock, installation, places, private_directory, process

log = logging.getLogger(__name__)

SOCKET_CHECK = 30.0  # seconds between two looks at whether our socket is still there
WINNER_SECONDS = 5  # seconds another daemon has to prove that it answers

Ready = Callable[[str], None]


def run(ready: Ready) -> int:
    """Serves until SIGTERM, SIGINT or ``credhelper daemon stop``; the exit status.

    ``ready`` is told once, "ready" or what went wrong. When another daemon serves already, that is said and status 0.
    """
    try:
        return _run(ready)
    except CredhelperError as error:
        ready(error.message)
        raise


def _run(ready: Ready) -> int:
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started us may have had SIGTERM blocked
    process.forget_callers_choices(os.environ)
    process.guard_memory()
    process.raise_descriptor_limit()
    env = places.environment()
    path, state = places.socket_path(env), places.state_directory(env)
    private_directory.ensure(state)
    private_directory.ensure(path.parent)
    lock = file_lock.open_lock_file(places.instance_lock(state, path))
    try:
        if not file_lock.try_lock(lock):
            pid = _pid_of_winner(path)
            sys.stderr.write(f"credhelper: the daemon is already running (pid {pid})\n")
            ready("ready")
            return 0
        listener = bind(path)
        try:
            asyncio.run(_serve(listener, path, state, Path(os.fsdecode(env[b"HOME"])), ready))
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        return 0
    finally:
        os.close(lock)  # and with it the lock; its file stays


def _pid_of_winner(path: Path) -> int:
    """The pid of the daemon that holds the lock, once it answers. Raises DaemonUnreachable."""
    give_up = time.monotonic() + WINNER_SECONDS
    while True:
        try:
            connection = client.connect(os.fsencode(path), WINNER_SECONDS)
            with contextlib.closing(connection):
                connection.sendall(client.frame({b"v": client.PROTOCOL, b"op": b"hello"}))
                return int(json.loads(client.receive(connection)[b"out"])["pid"])
        except (OSError, EOFError, ValueError, KeyError) as error:
            if time.monotonic() > give_up:
                raise DaemonUnreachable(
                    f"another daemon holds the lock for {path} but does not answer: {error}"
                ) from error
            select.select([], [], [], 0.02)


def bind(path: Path) -> socket.socket:
    """A listening socket at ``path``, 0600 from its first moment. Call under the instance lock only.

    What a killed daemon left there is removed: with the lock held, no other one can be listening.
    Raises CredhelperError.
    """
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(4096)
    except OSError as error:
        listener.close()
        raise CredhelperError(f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


async def _serve(listener: socket.socket, path: Path, state: Path, home: Path, ready: Ready) -> None:
    from credhelper.agent.agent import Agent
    from credhelper.endpoints.unix_socket import UnixSocket

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    agent = Agent(home, state)
    agent.introduce(str(path))
    door = UnixSocket(agent, stopping.set)
    await door.start(listener)
    ready("ready")
    log.info("serving at %s", path)
    _keep_client_up_to_date()
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOCKET_CHECK):
                await stopping.wait()
        if not stopping.is_set() and not _is_socket(path):
            log.warning("the socket %s is gone; listening there again", path)
            await door.start(bind(path))
    await door.stop()
    await agent.stop()


def _is_socket(path: Path) -> bool:
    return path.is_socket()


def _keep_client_up_to_date() -> None:
    try:
        installation.put_in_place(places.environment())
    except OSError as error:
        log.warning("the client's copy could not be brought up to date: %s", error)
