"""The daemon: builds everything, binds its socket, says that it is ready, runs, and stops in order."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from credhelper import log as logs
from credhelper.domain.errors import CredhelperError
from credhelper.local import (
    file_lock,
    installation,
    last_words,
    places,
    private_directory,
    private_files,
    process,
    settings,
    succession,
    watchdog,
)
from credhelper.local.settings import Settings
from credhelper.local.socket_file import SocketFile
from credhelper.local.systemd import ServiceManager

if TYPE_CHECKING:  # imported where they are used: another daemon may be running already
    from credhelper.agent.agent import Agent
    from credhelper.agent.health import Trouble
    from credhelper.endpoints.unix_socket import UnixSocket

log = logging.getLogger(__name__)

SUCCESSOR_SECONDS = 0.2  # for whoever deleted our socket to put another there: systemd, when it takes over
LISTEN_AGAIN = 30.0  # seconds between two tries to listen where our socket was deleted

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
    faulthandler.enable()  # the watchdog ends a daemon that hangs by SIGABRT: where it hung goes to the log
    manager = ServiceManager.taken_from(os.environ)
    with contextlib.closing(manager):
        try:
            return _run(manager, ready)
        except Exception as error:
            if manager.listener is not None:
                last_words.tell(manager.listener, error)
            raise


def _run(manager: ServiceManager, ready: Ready) -> int:
    env = places.environment()
    chosen = settings.load(places.settings_file(env))
    logs.apply(chosen)
    path, state = places.socket_path(env), places.state_directory(env)
    private_directory.ensure(state)
    private_directory.ensure(path.parent)
    lock = file_lock.open_lock_file(places.instance_lock(state, path))
    try:
        if manager.listener is not None:
            succession.take_over(lock, path, manager.listener)
        elif (pid := succession.other_daemon(lock, path)) is not None:
            sys.stderr.write(f"credhelper: the daemon is already running (pid {pid})\n")
            ready("ready")
            return 0
        file_lock.sign(lock)
        with contextlib.closing(SocketFile(path, manager.listener)) as socket_file:
            asyncio.run(_serve(manager, socket_file, state, Path(os.fsdecode(env[b"HOME"])), chosen, ready))
        return 0
    finally:
        os.close(lock)  # and with it the lock; its file stays


async def _serve(
    manager: ServiceManager, socket_file: SocketFile, state: Path, home: Path, chosen: Settings, ready: Ready
) -> None:
    from credhelper.agent.agent import Agent
    from credhelper.endpoints.container_http import ContainerHttp
    from credhelper.endpoints.lease_socket import LeaseSockets
    from credhelper.endpoints.metrics_http import MetricsHttp
    from credhelper.endpoints.unix_socket import UnixSocket
    from credhelper.local.desktop import this_desktop
    from credhelper.local.keychain import Keychain

    logs.take_faults(asyncio.get_running_loop())
    attention = _Attention(asyncio.get_running_loop())
    keychain = None if chosen.vault_backend == "off" else Keychain(chosen.vault_backend)
    agent = Agent(home, state, settings=chosen, keychain=keychain, desktop=this_desktop(), socket=socket_file.path)
    agent.settings.file = places.settings_file(places.environment())
    agent.settings.on_change.append(logs.apply)
    container = ContainerHttp(agent)
    await agent.openings.load()
    container.begin()
    door = UnixSocket(agent, attention.stop)
    lease_sockets = LeaseSockets(agent, door)
    await agent.leases.begin()
    if socket_file.inherited is not None:
        await door.start(socket_file.inherited, lasting=True)
    if socket_file.listener is not None:
        await door.start(socket_file.listener)
    ready("ready")
    manager.ready("Serving")
    log.info("serving at %s", socket_file.path)
    metrics = MetricsHttp(agent)
    metrics.begin(chosen)
    agent.settings.on_change.append(metrics.apply)
    _keep_client_up_to_date()
    _clear_leftovers(home, state)
    with _outside_world(agent, socket_file, attention):
        background = [asyncio.ensure_future(agent.upkeep.run()), asyncio.ensure_future(agent.keeper.open())]
        background.append(asyncio.ensure_future(_reload_when_told(agent, attention, manager)))
        agent.health.asks.append(partial(_what_has_ended, background[0]))
        background.append(asyncio.ensure_future(watchdog.feed(manager, socket_file.path)))
        await _keep_listening(socket_file, door, attention)
        manager.stopping()
        lease_sockets.stop()
        await door.stop()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    await metrics.stop()
    await container.stop()
    await agent.stop()


class _Attention:
    """What the daemon waits for: a signal to stop or to read its settings anew, or news of its socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_stopping = False
        self.news = asyncio.Event()
        self.hangup = asyncio.Event()
        # nohup(1) has SIGHUP ignored: then a terminal may go
        self._has_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and process.has_terminal()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def stop(self) -> None:
        """Ends the daemon."""
        self.is_stopping = True
        self.news.set()

    def _hang_up(self) -> None:
        """A daemon in a terminal ends with it; to any other, SIGHUP says that its settings have changed."""
        if self._has_terminal and not process.has_terminal():
            self.stop()
        else:
            self.hangup.set()


def _what_has_ended(upkeep: "asyncio.Future[None]") -> "Trouble | None":
    from credhelper.agent.health import Trouble

    return Trouble("the background work has ended", is_fatal=True) if upkeep.done() else None


async def _reload_when_told(agent: "Agent", attention: _Attention, manager: ServiceManager) -> None:
    while True:
        await attention.hangup.wait()
        attention.hangup.clear()
        manager.reloading()
        try:
            await agent.reload({})
        except Exception:
            log.exception("a fault while reading the settings anew")
        manager.ready("Serving")


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
        if not await _stays_missing(socket_file):
            continue
        log.warning("the socket %s is gone; listening there again", socket_file.path)
        try:
            await door.start(socket_file.listen_again())
        except CredhelperError as error:
            log.warning("that failed, the next try is in %g s: %s", LISTEN_AGAIN, error)
            attention.news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_AGAIN):
                    await attention.news.wait()


async def _stays_missing(socket_file: SocketFile) -> bool:
    await asyncio.sleep(SUCCESSOR_SECONDS)
    return socket_file.is_missing


@contextlib.contextmanager
def _outside_world(agent: "Agent", socket_file: SocketFile, attention: _Attention) -> Iterator[None]:
    """Inside, the agent hears of files, of the network and of the clocks."""
    from credhelper.local.clock_changes import ClockChanges
    from credhelper.local.logind import Logind
    from credhelper.local.network_changes import NetworkChanges
    from credhelper.local.watch import Report, Watch

    loop = asyncio.get_running_loop()

    def files_have_changed(report: Report, told_at: float) -> None:
        agent.health.lag.note(loop.time() - told_at)
        if socket_file.path in report.changed:
            attention.news.set()
        agent.files_have_changed(report.changed, report.reliable)

    def tell(report: Report) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
            loop.call_soon_threadsafe(files_have_changed, report, loop.time())

    clocks = ClockChanges()

    def at_sweep() -> None:
        if not clocks.is_told:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(agent.upkeep.wake)

    watch = Watch(tell, at_sweep=at_sweep)
    network = NetworkChanges()
    logind = Logind()
    agent.upkeep.on_clock_jump = watch.check_now
    watch.add(socket_file.path)
    agent.begin(watch)
    agent.health.coverage = watch.coverage
    agent.health.hears_of = {"clock": lambda: clocks.is_told, "network": lambda: network.is_told}
    try:
        watch.start()
        network.start(loop, agent.upkeep.network_changed)
        clocks.start(loop, agent.upkeep.wake)
        logind.start(agent.upkeep.resumed, agent.screen_changed, agent.about_to_sleep)
        yield
    finally:
        logind.stop()
        clocks.stop()
        network.stop()
        watch.stop()


def _clear_leftovers(home: Path, state: Path) -> None:
    """What writers that were killed have left: whole secrets may be in it."""
    for directory in (home / ".aws" / "sso" / "cache", places.vault_directory(state), state):
        for path in private_files.remove_leftovers(directory):
            log.info("removed what a killed process had left: %s", path)


def _keep_client_up_to_date() -> None:
    try:
        installation.put_in_place(places.environment())
    except CredhelperError as error:
        log.warning("the client's copy could not be brought up to date: %s", error)
