"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class HandClock:
    """The clocks of ``credhelper.local.clock``, and the true time, which the sandbox lives by and nobody can set."""

    def __init__(self, start: datetime = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)) -> None:
        self._true = start
        self._set_wrong_by = timedelta()
        self._monotonic = 1000.0
        self._boottime = 5000.0

    def now(self) -> datetime:
        """The wall clock."""
        return self._true + self._set_wrong_by

    def monotonic(self) -> float:
        """The clock that stands still in a suspend."""
        return self._monotonic

    def boottime(self) -> float:
        """The clock that runs on in a suspend."""
        return self._boottime

    def time(self) -> float:
        """The true time in epoch seconds."""
        return self._true.timestamp()

    def true_now(self) -> datetime:
        """The true time."""
        return self._true

    def advance(self, **amount: float) -> None:
        """Lets time pass, by what ``timedelta`` takes."""
        step = timedelta(**amount)
        self.suspend(**amount)
        self._monotonic += step.total_seconds()

    def suspend(self, **amount: float) -> None:
        """Lets time pass while the machine sleeps."""
        step = timedelta(**amount)
        self._true += step
        self._boottime += step.total_seconds()

    def jump(self, **amount: float) -> None:
        """Moves the wall clock only, as when somebody sets it."""
        self._set_wrong_by += timedelta(**amount)
