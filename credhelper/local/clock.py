"""Time as an argument."""

import sys
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The three clocks of a machine that sleeps, and whose wall clock people and time servers set."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; it may jump either way."""

    def monotonic(self) -> float:
        """Seconds since some moment, for pauses; it stands still while the machine sleeps."""

    def boottime(self) -> float:
        """Seconds since some moment, for what expires; it runs on while the machine sleeps, and nobody sets it."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; it may jump either way."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment, for pauses; it stands still while the machine sleeps."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds since some moment, for what expires; it runs on while the machine sleeps, and nobody sets it."""
        # macOS has it the other way round: CLOCK_MONOTONIC runs on there, and CLOCK_UPTIME_RAW stands still.
        return time.clock_gettime(time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC)
