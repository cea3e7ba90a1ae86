"""How fast the portal is asked: an even pace below what AWS allows, and a slower one once AWS says that it is too fast.

AWS publishes no figure for ListAccounts and ListAccountRoles. Its users measure about 20 calls a second, and a refusal
after some hundreds of calls in a row where an organisation has as many accounts.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from credhelper.agent.backoff import Backoff, asked_pause
from credhelper.domain.errors import Throttled
from credhelper.local.clock import Clock

FASTEST = 10.0  # calls a second; fetches of role credentials in the background may take as many
SLOWEST = 0.5  # calls a second
BURST = 8
"""Calls that need not wait after a rest: most people have a handful of accounts."""
RECOVERY = 0.05  # calls a second that each call which goes well wins back
JITTER = 0.1
"""Each gap between two calls is that much shorter or longer, so that many machines do not fall into step."""
MOST_REFUSALS = 25
"""In a row: a portal that takes no call at all in many minutes is not going to."""


class Pace:
    """Gives calls their turns. One for all of a daemon's listings; lives on the event loop."""

    def __init__(
        self, clock: Clock, rng: random.Random, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.sleep = sleep
        self.rate = FASTEST
        """Calls a second."""
        self._clock = clock
        self._rng = rng
        self._queue = asyncio.Lock()
        self._due_at = 0.0
        self._slowed_at = -1.0
        self._backoff = Backoff()

    async def turn(self) -> float:
        """Waits until a call may begin; the moment that it was given, for ``throttled``."""
        async with self._queue:
            while True:
                due_at = max(self._due_at, self._clock.monotonic() - BURST / self.rate)
                wait = due_at - self._clock.monotonic()
                if wait > 0:
                    await self.sleep(wait)
                if self._due_at <= due_at:  # and nobody has been told to slow down meanwhile
                    break
            self._due_at = due_at + self._rng.uniform(1 - JITTER, 1 + JITTER) / self.rate
            return self._clock.monotonic()

    async def pause(self, seconds: float) -> None:
        """What one call waits before it is tried again, beside the pace of all."""
        await self.sleep(seconds)

    def went_well(self) -> None:
        """A call was answered."""
        self._backoff.reset()
        self.rate = min(FASTEST, self.rate + RECOVERY)

    def throttled(self, turn: float, error: Throttled) -> None:
        """A call that began at ``turn`` was refused: everybody waits, and goes on at half the pace.

        Of several that were under way at once, the first decides. Raises ``error`` where it has been so for too long.
        """
        now, asked = self._clock.monotonic(), asked_pause(error)
        if turn > self._slowed_at:
            self._slowed_at = now
            self.rate = max(SLOWEST, self.rate / 2)
            self._backoff.failed(now, self._rng, retry_after=asked)
        elif asked is not None:
            self._due_at = max(self._due_at, now + min(asked, self._backoff.longest_asked))
        self._due_at = max(self._due_at, self._backoff.retry_at)
        if self._backoff.failures > MOST_REFUSALS:
            self._backoff.reset()
            raise error
