"""What the daemon does by itself: one loop that sleeps until something is due, or until something happens.

There is no tick: an idle daemon sleeps until the next token or role is to be renewed. What changes that moment (a file,
a login, the network, the clocks) wakes it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from credhelper.local.clock import Clock
from credhelper.local.clock_changes import ClockWatch

log = logging.getLogger(__name__)

LEAST_BETWEEN_NETWORKS = 15.0  # seconds between two changes of the network that end all pauses
LEAST_BETWEEN_RESUMES = 15.0  # seconds: what the clocks and logind both tell of is one resume
LEAST_PAUSE = 0.05  # seconds: whatever goes wrong with a reckoning, it must not spin


class SelfActing(Protocol):
    """Something that has things to do by itself."""

    def run_due(self) -> float | None:
        """Starts what is due, waiting for nothing; seconds until the next is, None when nothing is to come."""

    def retry_now(self) -> None:
        """Forgets the pauses after failures: what failed may work now."""


class Upkeep:
    """Keeps everything alive. Lives on the event loop."""

    def __init__(self, parts: Iterable[SelfActing], clock: Clock) -> None:
        self._parts = list(parts)
        self._clock = clock
        self._not_before = 0.0
        self._clock_watch = ClockWatch(clock)
        self._has_resumed = False
        self._no_resume_before = 0.0
        self._attention = asyncio.Event()
        self.on_clock_jump: Callable[[], None] = lambda: None
        self.on_delay: Callable[[float], None] = lambda _: None
        """Told how many seconds too late each round that was due began."""

    def wake(self) -> None:
        """Something has changed: look again at what is due."""
        self._attention.set()

    def resumed(self) -> None:
        """The system says that the machine has slept; the clocks may say so too, and whoever is first counts."""
        self._has_resumed = True
        self.wake()

    def network_changed(self) -> None:
        """What could not be reached may be reached now."""
        now = self._clock.monotonic()
        if now < self._not_before:  # starting a container changes addresses too
            return
        self._not_before = now + LEAST_BETWEEN_NETWORKS
        log.info("the network has changed; trying again what has failed")
        self._retry_now()

    def run_due(self) -> float | None:
        """Starts everything that is due; seconds until the next thing is, None when nothing is to come."""
        jump = self._what_happened()
        if jump is not None:
            log.info("%s; looking at everything again", jump)
            self._retry_now()
            self.on_clock_jump()
        pauses = [pause for part in self._parts if (pause := part.run_due()) is not None]
        return min(pauses, default=None)

    async def run(self) -> None:
        """Does so for ever; a fault in one round is logged, and the next round comes all the same."""
        while True:
            self._attention.clear()
            try:
                pause = self.run_due()
            except Exception:
                log.exception("a fault in the background work")
                pause = 60.0
            timer = asyncio.timeout(None if pause is None else max(pause, LEAST_PAUSE))
            try:
                async with timer:
                    await self._attention.wait()
            except TimeoutError:
                due = timer.when()
                assert due is not None  # noqa: S101  # it has gone off
                self.on_delay(asyncio.get_running_loop().time() - due)

    def _what_happened(self) -> str | None:
        """A jump of the clocks, or a resume that they have not shown."""
        now, jump = self._clock.monotonic(), self._clock_watch.has_jumped()
        has_resumed, self._has_resumed = self._has_resumed, False
        if jump is None and has_resumed and now >= self._no_resume_before:
            jump = "the machine has woken"
        if jump is not None:
            self._no_resume_before = now + LEAST_BETWEEN_RESUMES
        return jump

    def _retry_now(self) -> None:
        for part in self._parts:
            part.retry_now()
        self.wake()
