"""The daemon: builds everything, binds its socket, says that it is ready, runs, and stops in order."""

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from credhelper import client
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import (
    file_lock,
    installation,
    places,
    private_directory,
    private_files,
    process,
    settings,
)
from credhelper.local.settings import Settings
from credhelper.local.socket_file import SocketFile

if TYPE_CHECKING:  # imported where they are used: another daemon may be running already
    from credhelper.agent.agent import Agent
    from credhelper.endpoints.unix_socket import UnixSocket

log = logging.getLogger(__name__)

LISTEN_AGAIN = 30.0  # seconds between two tries to listen where our socket was deleted
WINNER_SECONDS = 5  # seconds another daemon has to prove that it answers

Ready = Callable[[str], None]


def run(ready: Ready) -> int:
    """Serves until SIGTERM, SIGINT or ``credhelper daemon stop``; the exit status.

    ``ready`` is told "ready" once clients can connect. When another daemon serves already, that is said and status 0.
    Raises CredhelperError, OSError.
    """
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started us may have had SIGTERM blocked
    process.forget_callers_choices(os.environ)
    process.guard_memory()
    process.raise_descriptor_limit()
    env = places.environment()
    chosen = settings.load(places.settings_file(env))
    path, state = places.socket_path(env), places.state_directory(env)
    private_directory.ensure(state)
    private_directory.ensure(path.parent)
    lock = file_lock.open_lock_file(places.instance_lock(state, path))
    try:
        pid = _other_daemon(lock, path)
        if pid is not None:
            sys.stderr.write(f"credhelper: the daemon is already running (pid {pid})\n")
            ready("ready")
            return 0
        with contextlib.closing(SocketFile(path)) as socket_file:
            asyncio.run(_serve(socket_file, state, Path(os.fsdecode(env[b"HOME"])), chosen, ready))
        return 0
    finally:
        os.close(lock)  # and with it the lock; its file stays


def _other_daemon(lock: int, path: Path) -> int | None:
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
    with contextlib.closing(client.connect(os.fsencode(path), 1)) as connection:
        connection.sendall(client.frame({b"v": client.PROTOCOL, b"op": b"hello"}))
        return int(json.loads(client.receive(connection)[b"out"])["pid"])


async def _serve(socket_file: SocketFile, state: Path, home: Path, chosen: Settings, ready: Ready) -> None:
    from credhelper.agent.agent import Agent
    from credhelper.endpoints.unix_socket import UnixSocket
    from credhelper.local.keychain import Keychain

    attention = _Attention(asyncio.get_running_loop())
    keychain = None if chosen.vault_backend == "off" else Keychain(chosen.vault_backend)
    agent = Agent(home, state, settings=chosen, keychain=keychain)
    agent.introduce(str(socket_file.path))
    door = UnixSocket(agent, attention.stop)
    await door.start(socket_file.listener)
    ready("ready")
    log.info("serving at %s", socket_file.path)
    _keep_client_up_to_date()
    _clear_leftovers(home, state)
    with _outside_world(agent, socket_file, attention):
        background = [asyncio.ensure_future(agent.upkeep.run()), asyncio.ensure_future(agent.keeper.open())]
        await _keep_listening(socket_file, door, attention)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    await door.stop()
    await agent.stop()


class _Attention:
    """What the daemon's first task waits for: a signal to stop, or news of its socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_stopping = False
        self.news = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """Ends the daemon."""
        self.is_stopping = True
        self.news.set()


async def _keep_listening(socket_file: SocketFile, door: "UnixSocket", attention: _Attention) -> None:
    """Until it is time to stop; a socket whose name was deleted is made again at once."""
    while not attention.is_stopping:
        if socket_file.is_ours:
            attention.news.clear()
            if socket_file.is_ours:  # and still is: news that came in between have not been lost
                await attention.news.wait()
            continue
        if not socket_file.is_missing:  # somebody deleted the lock file, and another daemon could start
            log.error("the socket %s has become another daemon's; stopping", socket_file.path)
            return
        log.warning("the socket %s is gone; listening there again", socket_file.path)
        try:
            socket_file.listen_again()
            await door.start(socket_file.listener)
        except CredhelperError as error:
            log.warning("that failed, the next try is in %g s: %s", LISTEN_AGAIN, error)
            attention.news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_AGAIN):
                    await attention.news.wait()


@contextlib.contextmanager
def _outside_world(agent: "Agent", socket_file: SocketFile, attention: _Attention) -> Iterator[None]:
    """Inside, the agent hears of files, of the network and of the clocks."""
    from credhelper.local.clock_changes import ClockChanges
    from credhelper.local.network_changes import NetworkChanges
    from credhelper.local.watch import Report, Watch

    loop = asyncio.get_running_loop()

    def files_have_changed(report: Report) -> None:
        if socket_file.path in report.changed:
            attention.news.set()
        agent.files_have_changed(report.changed, report.reliable)

    def tell(report: Report) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
            loop.call_soon_threadsafe(files_have_changed, report)

    clocks = ClockChanges()

    def at_sweep() -> None:
        if not clocks.is_told:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(agent.upkeep.wake)

    watch = Watch(tell, at_sweep=at_sweep)
    network = NetworkChanges()
    agent.upkeep.on_clock_jump = watch.check_now
    watch.add(socket_file.path)
    agent.begin(watch)
    try:
        watch.start()
        network.start(loop, agent.upkeep.network_changed)
        clocks.start(loop, agent.upkeep.wake)
        yield
    finally:
        clocks.stop()
        network.stop()
        watch.stop()


def _clear_leftovers(home: Path, state: Path) -> None:
    """What writers that were killed have left: whole secrets may be in it."""
    for directory in (home / ".aws" / "sso" / "cache", places.vault_directory(state)):
        for path in private_files.remove_leftovers(directory):
            log.info("removed what a killed process had left: %s", path)


def _keep_client_up_to_date() -> None:
    try:
        installation.put_in_place(places.environment())
    except OSError as error:
        log.warning("the client's copy could not be brought up to date: %s", error)
