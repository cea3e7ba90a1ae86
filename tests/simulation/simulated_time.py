"""An event loop and threads in which time passes only when nothing else is left to do.

A pause of an hour takes no longer than one of a second. Threads are real, but only one runs at a time, and which one is
next is decided by the moments until which they sleep: so what happens is the same each time, and yet a logout can come
between a call of AWS and the write that follows it.
"""

import asyncio
import itertools
import math
import random
import selectors
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from credhelper.local.workers import Workers
from tests.clocks import HandClock

T = TypeVar("T")

LONGEST_START = 0.002  # seconds from the moment in which a thread is started to the one in which it runs
LOCK_POLL = 0.01  # seconds
_OURS = "credhelper-simulated"


class Killed(BaseException):
    """The process in which this thread runs is killed."""


@dataclass(slots=True)
class _Sleeper:
    """A thread that waits for a moment of the monotonic clock."""

    wakes_at: float
    number: int
    wake: threading.Event = field(default_factory=threading.Event)
    is_killed: bool = False


class SimulatedTime:
    """Moves a clock: from one moment at which something is due to the next."""

    def __init__(self, clock: HandClock, rng: random.Random) -> None:
        self.clock = clock
        self._rng = rng
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._sleepers: dict[threading.Thread, _Sleeper] = {}
        self._ended: set[threading.Thread] = set()

    # -- in the threads -----------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Returns when so much time has passed, awake: a suspend does not count. Raises Killed."""
        me = _Sleeper(self.clock.monotonic() + seconds, next(self._numbers))
        with self._changed:
            self._sleepers[threading.current_thread()] = me
            self._changed.notify_all()
        me.wake.wait()
        if me.is_killed:
            raise Killed

    def scheduled(self, work: Callable[[], T]) -> Callable[[], T]:
        """``work`` for a thread of its own, which begins a moment later than it is started, as chance will have it."""
        start = LONGEST_START * self._rng.random()

        def body() -> T:
            try:
                self.sleep(start)
                return work()
            finally:
                with self._changed:
                    self._ended.add(threading.current_thread())
                    self._changed.notify_all()

        return body

    # -- in the loop's thread -----------------------------------------------------------------------------------------

    def let_threads_run(self) -> None:
        """Returns when each of them sleeps or has ended."""
        for thread in threading.enumerate():
            if thread.name.startswith(_OURS):
                self._wait_for(thread)

    def pass_until_due(self, seconds: float | None) -> None:
        """Lets time pass until a thread wakes, or ``seconds`` have passed (None: there is nothing else to wait for)."""
        until = math.inf if seconds is None else self.clock.monotonic() + seconds
        thread = min(self._sleepers, key=lambda each: self._order(self._sleepers[each]), default=None)
        if thread is not None and self._sleepers[thread].wakes_at <= until:
            self._pass_until(self._sleepers[thread].wakes_at)
            self._wake(thread)
        elif seconds is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        else:
            self._pass_until(until)

    def kill_threads(self) -> None:
        """As a SIGKILL: none of them does anything any more."""
        for thread in sorted(self._sleepers, key=lambda each: self._order(self._sleepers[each])):
            self._sleepers[thread].is_killed = True
            self._wake(thread)

    def _order(self, sleeper: _Sleeper) -> tuple[float, int]:
        return sleeper.wakes_at, sleeper.number

    def _pass_until(self, moment: float) -> None:
        microseconds = math.ceil((moment - self.clock.monotonic()) * 1e6)
        if microseconds > 0:
            self.clock.advance(microseconds=microseconds)

    def _wake(self, thread: threading.Thread) -> None:
        with self._changed:
            sleeper = self._sleepers.pop(thread)
        sleeper.wake.set()
        self._wait_for(thread)

    def _wait_for(self, thread: threading.Thread) -> None:
        with self._changed:
            self._changed.wait_for(lambda: thread in self._sleepers or thread in self._ended)
        if thread in self._ended:
            thread.join()  # and what it has to say has been said
            self._ended.discard(thread)


class SimulatedWorkers(Workers):
    """The real ones, in simulated time."""

    def __init__(self, time: SimulatedTime, kind: str, allowance: int) -> None:
        super().__init__("simulated-" + kind, allowance)
        self._time = time

    async def run(self, seconds: float, work: Callable[[], T], *, lane: str = "") -> T:
        """As its parent's."""
        return await super().run(seconds, self._time.scheduled(work), lane=lane)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The real one, in simulated time. Waits for nothing but its own timers and threads."""

    def __init__(self, time: SimulatedTime) -> None:
        self._simulated = time
        super().__init__(_Selector(time))

    def time(self) -> float:
        """Seconds of the clock that stands still in a suspend."""
        return self._simulated.clock.monotonic()


class _Selector(selectors.DefaultSelector):
    """Where the loop would wait for something to happen, time passes."""

    def __init__(self, time: SimulatedTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, once every thread that could make it so sleeps."""
        self._time.let_threads_run()
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._time.pass_until_due(timeout)
            ready = super().select(0)
        return ready


class SimulatedLock:
    """``threading.Lock`` for threads of which only one runs at a time: whoever waits for it, sleeps."""

    def __init__(self, time: SimulatedTime) -> None:
        self._time = time
        self._is_held = False

    def __enter__(self) -> None:
        while self._is_held:
            self._time.sleep(LOCK_POLL)
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False


class SimulatedModules:
    """Stands for the modules ``time``, ``select`` and ``threading`` in a module that waits by them."""

    def __init__(self, time: SimulatedTime) -> None:
        self._time = time

    def monotonic(self) -> float:
        """``time.monotonic``."""
        return self._time.clock.monotonic()

    def Lock(self) -> SimulatedLock:  # noqa: N802  # its name in threading
        """``threading.Lock``."""
        return SimulatedLock(self._time)

    def select(self, _: list[Any], __: list[Any], ___: list[Any], timeout: float) -> None:
        """``select.select`` where it is used as a pause."""
        self._time.sleep(timeout)
