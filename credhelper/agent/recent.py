"""When each role was last handed out to somebody, through any door: a list to choose from begins with the latest.

Noted in memory, for the warm path touches no disk; upkeep writes it down some minutes later, and a stop at once. A
logout takes out what belongs to its session.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from credhelper.agent.flights import Flights
from credhelper.agent.gate import OK, Outcome
from credhelper.agent.openings import identity_of
from credhelper.domain.model import AnyRole
from credhelper.local import recent_file
from credhelper.local.clock import Clock
from credhelper.local.recent_file import MOST, Use
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

WRITTEN_AFTER = 600.0  # seconds: who asks every minute costs the disk a write every ten
DISK_DEADLINE = 3.0
STOP_PATIENCE = 2.0  # seconds


class Recent:
    """Lives on the event loop."""

    def __init__(self, path: Path, clock: Clock, workers: Workers) -> None:
        """``workers`` do one thing after the other: what was forgotten is not written after that."""
        self.path = path
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self._clock = clock
        self._workers = workers
        self._flights: Flights[str, None] = Flights(on_landed=self._attend)
        self._used: dict[Use, datetime] = {}
        """The latest last."""
        self._is_read = False
        self._reading = asyncio.Lock()
        self._due_at: float | None = None
        """When what is not written yet is to be, by the monotonic clock."""

    def note(self, outcome: Outcome) -> None:
        """Told by the gate what became of each request; on the warm path."""
        passage = outcome.passage
        if outcome.outcome != OK or passage.role is None:
            return
        role = passage.role
        use = Use(*identity_of(role), passage.profile or "")
        self._used.pop(use, None)
        self._used[use] = self._clock.now()
        if len(self._used) > MOST:
            del self._used[next(iter(self._used))]
        if self._due_at is None:
            self._due_at = self._clock.monotonic() + WRITTEN_AFTER
            self.on_attention()

    def last_use(self, role: AnyRole, profile: str | None) -> datetime | None:
        """When the role was last handed out, by that profile or without any; None: not that anybody knows of."""
        if not self._used:
            return None
        found = [self._used.get(Use(*identity_of(role), named)) for named in {"", profile or ""}]
        return max(filter(None, found), default=None)

    def last_uses_of_sessions(self) -> dict[str, datetime]:
        """When any role of each session was last handed out, by the session's key."""
        return {use.session: at for use, at in self._used.items()}  # the latest last, so that it stays

    async def read(self) -> None:
        """Takes in, once, what a daemon before us has noted. Never raises."""
        async with self._reading:
            if self._is_read:
                return
            try:
                found = await self._workers.run(DISK_DEADLINE, partial(recent_file.load, self.path))
            except DeadlineExceeded as error:
                log.debug("which roles were used last: the disk gave %s", error)
                return
            self._is_read = True
            used = {use: at for use, at in found.items() if use not in self._used} | self._used
            self._used = dict(list(used.items())[-MOST:])

    async def forget(self, session: str | None) -> None:
        """Takes out what belongs to the session of that key, or everything: at once, and from the file.

        Raises OSError, DeadlineExceeded where the file could not be changed.
        """
        self._take_out(session)
        await self.read()  # else what the file still says would come back
        self._take_out(session)
        await self._workers.run(DISK_DEADLINE, partial(recent_file.forget, self.path, session))

    def _take_out(self, session: str | None) -> None:
        self._used = {use: at for use, at in self._used.items() if session is not None and use.session != session}

    # -- what it does by itself ---------------------------------------------------------------------------------------

    def run_due(self) -> float | None:
        """Has it written down when that is due; seconds until then, None when everything is."""
        if self._due_at is None:
            return None
        left = self._due_at - self._clock.monotonic()
        if left > 0:
            return left
        self._flights.start("write", self._write)
        return None

    def retry_now(self) -> None:
        """A pause after a failure is as long as any other: nobody waits for it."""

    async def stop(self) -> None:
        """Writes down what is not yet."""
        if self._due_at is not None:
            self._flights.start("write", self._write)
        await self._flights.settle(STOP_PATIENCE)

    def _attend(self) -> None:
        self.on_attention()

    async def _write(self) -> None:
        await self.read()
        self._due_at = None
        used = dict(self._used)
        try:
            await self._workers.run(DISK_DEADLINE, partial(recent_file.save, self.path, used))
        except (OSError, DeadlineExceeded) as error:
            log.warning("which roles were used last could not be written down: %s", error)
            self._due_at = self._clock.monotonic() + WRITTEN_AFTER
