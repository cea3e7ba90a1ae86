"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class HandClock:
    """Both clocks of ``credhelper.local.clock`` at once; the sandbox is given ``time``."""

    def __init__(self, start: datetime = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """The wall clock."""
        return self._now

    def monotonic(self) -> float:
        """The clock that never jumps."""
        return self._monotonic

    def time(self) -> float:
        """The wall clock in epoch seconds."""
        return self._now.timestamp()

    def advance(self, **amount: float) -> None:
        """Moves both clocks on, by what ``timedelta`` takes."""
        step = timedelta(**amount)
        self._now += step
        self._monotonic += step.total_seconds()

    def jump(self, **amount: float) -> None:
        """Moves the wall clock only, as when somebody sets it."""
        self._now += timedelta(**amount)
