"""What logind tells: the machine has slept, a screen was locked or unlocked. Where it is silent, the clocks suffice.

One connection to the system bus, read by the event loop when something comes; nothing ticks. Making it may take a
moment and a library, so that happens in a thread.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from credhelper.local import dbus
from credhelper.local.dbus import Bus, BusUnavailable, Signal
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

FIRST_PAUSE = 3.0  # seconds after the start, which has better things to do
SECONDS = 3.0  # for making the connection
SHORTEST_PAUSE = 30.0  # seconds between two tries
LONGEST_PAUSE = 3600.0

_SERVICE = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_MANAGER = _SERVICE + ".Manager"
_SESSION = _SERVICE + ".Session"
_USER = _SERVICE + ".User"
_PROPERTIES = "org.freedesktop.DBus.Properties"

_RULES: tuple[Mapping[str, str], ...] = (
    {"sender": _SERVICE, "interface": _MANAGER, "member": "PrepareForSleep"},
    {"sender": _SERVICE, "interface": _SESSION, "member": "Lock"},
    {"sender": _SERVICE, "interface": _SESSION, "member": "Unlock"},
    {"sender": _SERVICE, "interface": _PROPERTIES, "member": "PropertiesChanged", "arg0": _SESSION},
)


def is_locked(bus: Bus, uid: int) -> bool:
    """Whether the screen of the user's graphical session is locked, as far as its desktop has told logind.

    Blocks within the bus's deadline. Raises BusUnavailable.
    """
    (user,) = bus.call(_SERVICE, _PATH, _MANAGER, "GetUser", "u", (uid,))
    _, session = _property(bus, user, _USER, "Display")
    if session == "/":  # the user sits at no desktop
        return False
    is_so: bool = _property(bus, session, _SESSION, "LockedHint") is True
    return is_so


def _property(bus: Bus, path: str, interface: str, name: str) -> Any:
    ((_, value),) = bus.call(_SERVICE, path, _PROPERTIES, "Get", "ss", (interface, name))
    return value


class Logind:
    """Tells what logind does. Lives on the event loop."""

    def __init__(self, environment: Mapping[str, str] | None = None, first_pause: float = FIRST_PAUSE) -> None:
        """``environment`` is this process's unless given."""
        self._environment = os.environ if environment is None else environment
        self._pause = first_pause
        self._workers = Workers("logind", 1)
        self._task: asyncio.Task[None] | None = None
        self._on_resume: Callable[[], None] = lambda: None
        self._on_screen: Callable[[], None] = lambda: None
        self._on_sleep: Callable[[], None] = lambda: None
        self._last_trouble: str | None = None

    def start(
        self,
        on_resume: Callable[[], None],
        on_screen: Callable[[], None],
        on_sleep: Callable[[], None] = lambda: None,
    ) -> None:
        """From now on ``on_sleep`` is called before each sleep, ``on_resume`` after it, and ``on_screen`` when a screen
        may have changed.

        To be called in a running loop. Returns at once; where there is no system bus, nothing is ever told.
        """
        self._on_resume, self._on_screen, self._on_sleep = on_resume, on_screen, on_sleep
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Nothing is told any more; the connection is closed as soon as the loop goes on."""
        self._on_resume = self._on_screen = self._on_sleep = lambda: None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(max(4 * self._pause, SHORTEST_PAUSE), LONGEST_PAUSE)
            address = dbus.system_bus(self._environment)
            if address is None:
                self._note("there is no system bus")
                continue
            try:
                bus = await self._workers.run(2 * SECONDS, partial(_listening, address))
                with contextlib.closing(bus):
                    await self._follow(bus)
            except (BusUnavailable, DeadlineExceeded) as error:
                self._note(str(error))

    def _note(self, trouble: str) -> None:
        """Once: a container without logind is none the worse for it."""
        level = logging.DEBUG if trouble == self._last_trouble else logging.INFO
        self._last_trouble = trouble
        log.log(level, "logind does not tell of sleep and locks (%s); the clocks are watched all the same", trouble)

    async def _follow(self, bus: Bus) -> None:
        """Tells what comes until the connection ends. Raises BusUnavailable."""
        loop = asyncio.get_running_loop()
        log.debug("logind tells of sleep and locks")
        self._pause, self._last_trouble = SHORTEST_PAUSE, None
        over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(bus, self._hear, bus, over)
        try:
            await over
        finally:
            loop.remove_reader(bus)

    def _hear(self, bus: Bus, over: asyncio.Future[None]) -> None:
        try:
            for signal in bus.heard():
                self._tell(signal)
        except BusUnavailable as error:
            if not over.done():
                over.set_exception(error)

    def _tell(self, signal: Signal) -> None:
        if signal.member == "PrepareForSleep":
            if signal.body == (True,):
                self._on_sleep()
            elif signal.body == (False,):
                self._on_resume()
        elif signal.member in {"Lock", "Unlock"} or "LockedHint" in _changed(signal):
            self._on_screen()


def _listening(address: str) -> Bus:
    """A connection on which logind's signals come. Blocks. Raises BusUnavailable."""
    bus = Bus(address, SECONDS)
    try:
        for rule in _RULES:
            bus.listen(**rule)
    except BaseException:
        bus.close()
        raise
    return bus


def _changed(signal: Signal) -> set[str]:
    """The names of the properties that a PropertiesChanged is about."""
    if signal.member != "PropertiesChanged" or len(signal.body) != 3:
        return set()
    _, changed, invalidated = signal.body
    return {*changed, *invalidated}
