"""AWS's clock, as the ``Date`` of its answers tells it.

What AWS says in absolute times, such as when role credentials end, is by its clock, and a machine's may be wrong by
hours. The offset is kept against the clock that nobody sets and that runs on in a suspend, so that neither a jump of
the wall clock nor a closed lid spoils it.
"""

import contextlib
import logging
import threading
from datetime import UTC, datetime, timedelta

from credhelper.local.clock import Clock

AGREEMENT = timedelta(seconds=2)
"""Closer than this the two clocks are the same: a Date has whole seconds, and an answer is under way for some time."""

LONGEST_ROUND_TRIP = 5.0
"""Seconds; of a slower answer nobody knows when its Date was written."""

WORTH_TELLING = timedelta(minutes=5)
"""AWS refuses signatures that are further off."""

_PLAUSIBLE_YEARS = range(1990, 9000)  # others do not fit the calendar once something is added
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")

log = logging.getLogger(__name__)


class ServerTime:
    """AWS's time, measured by its answers. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changing = threading.Lock()
        self._at_boot: datetime | None = None  # AWS's time when boottime() was 0
        self._told = timedelta()

    def note(self, date: datetime, asked: float, answered: float) -> None:
        """One answer's Date (aware), and ``boottime()`` before and after its call.

        A measurement replaces the one before only where they differ by more than their errors explain, so that the
        time does not waver; it counts for nothing when the call took over LONGEST_ROUND_TRIP.
        """
        round_trip = answered - asked
        if not 0 <= round_trip <= LONGEST_ROUND_TRIP or date.year not in _PLAUSIBLE_YEARS:
            return
        # Whole seconds are cut off: half of one is the best guess, as is the middle of the call.
        measured = date + timedelta(seconds=0.5 - (asked + answered) / 2)
        with self._changing:
            if self._at_boot is None or abs(measured - self._at_boot) > AGREEMENT + timedelta(seconds=round_trip / 2):
                self._at_boot = measured
            self._tell()

    def now(self) -> datetime:
        """AWS's time, aware, in UTC; this machine's before the first measurement, or where the two agree."""
        here = self._clock.now()
        return here + (self._ahead_of(here) or timedelta())

    @property
    def skew(self) -> timedelta | None:
        """How far AWS's clock is ahead of this machine's wall clock; zero within AGREEMENT, None before an answer."""
        return self._ahead_of(self._clock.now())

    def _ahead_of(self, here: datetime) -> timedelta | None:
        at_boot = self._at_boot
        if at_boot is None:
            return None
        skew = at_boot + timedelta(seconds=self._clock.boottime()) - here
        return skew if abs(skew) > AGREEMENT else timedelta()

    def _tell(self) -> None:
        skew = self.skew or timedelta()
        if abs(skew - self._told) <= WORTH_TELLING:
            return
        self._told = skew
        if abs(skew) > WORTH_TELLING:
            side = "behind" if skew > timedelta() else "ahead of"
            log.warning("this machine's clock is %s %s AWS's", _amount(abs(skew)), side)
        else:
            log.info("this machine's clock agrees with AWS's again")


def http_date(header: str | None) -> datetime | None:
    """The moment in an HTTP date (RFC 9110 section 5.6.7, any of its three forms), aware; None when it is none."""
    if not header or not header.isascii():
        return None
    for form in _DATES:
        with contextlib.suppress(ValueError):  # not this form
            return datetime.strptime(header, form).replace(tzinfo=UTC)
    return None


def _amount(skew: timedelta) -> str:
    minutes = round(skew.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{skew.days} days"
