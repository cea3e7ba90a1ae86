"""How long the event loop lets work wait that it could do.

Nothing ticks for it, for an idle daemon is to sleep. What happens anyway is timed: a thread's result that comes home,
a timer that goes off, a report of the watch; and whoever asks has the loop go round once. A loop that is stuck shows
with the first thing that comes after.
"""

import asyncio
import time
from collections.abc import Callable

SPAN = 60.0  # seconds; what is told is the worst of the last one or two of these


class LoopLag:
    """The worst delay of late. Lives on the event loop; ``tell`` hears of every one."""

    def __init__(
        self, tell: Callable[[float], None] = lambda _: None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._monotonic = monotonic
        self._span_ends = monotonic() + SPAN
        self._before = 0.0
        self._worst = 0.0

    def note(self, seconds: float) -> None:
        """Something ran that many seconds after it could have."""
        seconds = max(0.0, seconds)
        self._turn()
        self._worst = max(self._worst, seconds)
        self._tell(seconds)

    def worst(self) -> float:
        """The longest delay of the last minute or two, in seconds; 0 when there was nothing to delay."""
        self._turn()
        return max(self._before, self._worst)

    async def probe(self) -> None:
        """Lets the loop go round once, and notes how long everybody else took."""
        asked = self._monotonic()
        await asyncio.sleep(0)
        self.note(self._monotonic() - asked)

    def _turn(self) -> None:
        now = self._monotonic()
        if now < self._span_ends:
            return
        self._before = self._worst if now < self._span_ends + SPAN else 0.0
        self._worst, self._span_ends = 0.0, now + SPAN
