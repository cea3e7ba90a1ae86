"""Notices when the clocks stop agreeing: the wall clock was set, or the machine slept.

Deadlines are kept on clocks that nobody sets, but whoever waits for one waits on a clock that stands still while the
machine sleeps, and what AWS issued expires by the wall clock. So after either everything is to be looked at again.
"""

import asyncio
import ctypes
import errno
import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime

from credhelper.local.clock import Clock

log = logging.getLogger(__name__)

TOLERANCE = 2.0  # seconds by which the clocks may drift apart between two looks

_NEVER = 2**63 - 1  # nanoseconds since the epoch: the year 2262
_ABSOLUTE, _CANCEL_ON_SET = 1, 2  # TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET of linux/timerfd.h
_CLOCK_REALTIME = 0


class ClockWatch:
    """Compares the three clocks of a machine from one look to the next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = self._look()

    def has_jumped(self) -> str | None:
        """What happened since the last call (or the beginning), for a log: the machine slept, the clock was set.

        None when, within two seconds, nothing did.
        """
        (then, then_monotonic, then_boottime), self._last = self._last, self._look()
        now, monotonic, boottime = self._last
        passed = boottime - then_boottime
        slept = passed - (monotonic - then_monotonic)
        ahead = (now - then).total_seconds() - passed
        happened = []
        if slept > TOLERANCE:
            happened.append(f"the machine slept for {_amount(slept)}")
        if abs(ahead) > TOLERANCE:
            happened.append(f"the wall clock was set {_amount(abs(ahead))} {'ahead' if ahead > 0 else 'back'}")
        return " and ".join(happened) or None

    def _look(self) -> tuple[datetime, float, float]:
        return self._clock.now(), self._clock.monotonic(), self._clock.boottime()


def _amount(seconds: float) -> str:
    whole = round(seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


class ClockChanges:
    """Has the kernel wake us when the wall clock is set, or the machine resumes from a suspend (Linux); no ticking."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: int | None = None
        self._tell: Callable[[], None] = lambda: None

    @property
    def is_told(self) -> bool:
        """Whether the kernel tells us; where it does not, the clocks must be compared now and then."""
        return self._timer is not None

    def start(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
        """From now on ``tell`` is called in ``loop`` after each such change; where that cannot be, see ``is_told``."""
        if sys.platform != "linux":
            return
        timer = None
        try:
            timer = _new_timer()
            _set(timer, _NEVER)
        except OSError as error:
            log.debug("the kernel does not tell when the clock is set: %s", error)
            if timer is not None:
                os.close(timer)
            return
        self._loop, self._timer, self._tell = loop, timer, tell
        loop.add_reader(timer, self._on_change)

    def stop(self) -> None:
        """``tell`` is not called any more."""
        if self._timer is not None and self._loop is not None:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)
            self._timer = None

    def _on_change(self) -> None:
        if self._timer is None:
            return
        try:
            _read(self._timer)
            _set(self._timer, _NEVER)
        except OSError as error:
            log.warning("the kernel no longer tells when the clock is set: %s", error)
            self.stop()
        self._tell()


def _read(timer: int) -> None:
    """Takes what the timer has to say. Raises OSError."""
    try:
        os.read(timer, 8)
    except BlockingIOError:
        return
    except OSError as error:
        if error.errno != errno.ECANCELED:  # which is the news itself
            raise


def _set(timer: int, nanoseconds: int) -> None:
    """Has the timer go off at this time, or when the clock is set before. Raises OSError."""
    try:
        _set_once(timer, nanoseconds)
    except OSError as error:
        if error.errno != errno.ECANCELED:
            raise
        _set_once(timer, nanoseconds)  # the clock was set once more since the last time: that is known by now


if sys.version_info >= (3, 13):

    def _new_timer() -> int:
        """Raises OSError."""
        return os.timerfd_create(_CLOCK_REALTIME, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set_once(timer: int, nanoseconds: int) -> None:
        os.timerfd_settime_ns(timer, flags=_ABSOLUTE | _CANCEL_ON_SET, initial=nanoseconds)

else:

    class _TimerSpec(ctypes.Structure):
        """struct itimerspec."""

        _fields_ = (
            ("interval_seconds", ctypes.c_long),
            ("interval_nanoseconds", ctypes.c_long),
            ("seconds", ctypes.c_long),
            ("nanoseconds", ctypes.c_long),
        )

    def _new_timer() -> int:
        """Raises OSError."""
        return _checked("timerfd_create", _CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)

    def _set_once(timer: int, nanoseconds: int) -> None:
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        spec = _TimerSpec(0, 0, seconds, rest)
        _checked("timerfd_settime", timer, _ABSOLUTE | _CANCEL_ON_SET, ctypes.byref(spec), None)

    def _checked(function: str, *arguments: object) -> int:
        """Calls the C library. Raises OSError, also where it has no such function."""
        found = getattr(ctypes.CDLL(None, use_errno=True), function, None)
        if found is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        result: int = found(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
