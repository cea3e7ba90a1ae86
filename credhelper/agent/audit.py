"""Who asked for what, through which door, and what became of it: noted on the event loop, written in a thread.

Nothing waits for the disk: a record is queued, and a few milliseconds later (under load, 50) whatever has been queued
until then is written at once. Where it cannot be written, nobody is refused for that: the queue keeps the first 10,000,
the rest are counted, and once it can be written again a record says how many were lost.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from credhelper.agent.gate import Outcome, Passage
from credhelper.agent.health import Trouble
from credhelper.domain.documents import timestamp
from credhelper.domain.text import safe
from credhelper.local import audit_log
from credhelper.local.audit_log import Unwritten
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

GATHERING = 0.005  # seconds in which more may come before they are written together
APART = 0.05  # seconds between two writes: under load each costs those who wait for an answer more than itself
MOST_AT_ONCE = 1000  # records in one write: some 400 KB
MOST_WAITING = 10_000  # records: some 10 MB
TRY_AGAIN = 10.0  # seconds after which what could not be written is tried again
FLUSH_PATIENCE = 3.0  # seconds
STOP_PATIENCE = 2.0  # seconds
NEVER = 365 * 86_400.0  # seconds: a write that is given up on may still happen, and would then happen twice
LONGEST_PATH = 4096  # characters
LOST = "lost"
"""The outcome of a record that stands for others, which could be kept no longer."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Note:
    """A request that is over."""

    at: datetime
    outcome: Outcome

    def record(self) -> Json:
        """It, in the order of ``audit_log.KEYS``."""
        passage = self.outcome.passage
        wanted, role, caller = passage.wanted, passage.role, passage.wanted.caller
        # Of a pool's role both are empty where the pool has not said yet which it gives.
        account_id = (role.account_id or None) if role else wanted.fields.get("account_id")
        role_name = (role.role_name or None) if role else wanted.fields.get("role_name")
        return {
            "time": timestamp(self.at),
            "door": wanted.door.value,
            "uid": caller.uid,
            "pid": caller.pid,
            # Where the daemon may not look at other programs' files, their name is all there is.
            "exe": _safe_path(caller.exe or caller.name),
            "cwd": _safe_path(caller.cwd or wanted.fields.get("cwd")),
            "profile": _safe(_profile(passage)),
            "account_id": _safe(account_id),
            "role_name": _safe(role_name),
            "outcome": self.outcome.outcome,
            "cache_hit": self.outcome.is_hit,
            "expires_at": None if self.outcome.expires_at is None else timestamp(self.outcome.expires_at),
        }


@dataclass(frozen=True, slots=True)
class _Lost:
    """Stands for ``count`` requests."""

    at: datetime
    count: int

    def record(self) -> Json:
        """A record of nothing but their number."""
        nothing: Json = dict.fromkeys(audit_log.KEYS)
        return nothing | {"time": timestamp(self.at), "outcome": LOST, "lost": self.count}


class Audit:
    """Lives on the event loop."""

    def __init__(self, path: Path, clock: Clock, workers: Workers) -> None:
        self.path = path
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self._clock = clock
        self._workers = workers
        self._waiting: list[_Note | _Lost] = []
        self._being_written = 0
        self._lost = 0
        self._writing: asyncio.Task[None] | None = None
        self._trouble: str | None = None
        self._not_before = 0.0
        """Of the monotonic clock: until then nothing is tried again."""
        self._not_sooner = 0.0
        """Of the event loop's clock: until then there is no other write."""

    @property
    def unwritten(self) -> int:
        """How many records wait, or were lost and not yet told of."""
        return len(self._waiting) + self._being_written + self._lost

    def note(self, outcome: Outcome) -> None:
        """Keeps what became of a request. Takes microseconds."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
        else:
            self._waiting.append(_Note(self._clock.now(), outcome))
        self._begin()

    async def flush(self) -> Json:
        """Has what waits written now. The answer says where it is, how much is left and why.

        Within some 3 s; raises nothing.
        """
        self._not_before = 0.0
        await self._written(FLUSH_PATIENCE)
        return {"path": str(self.path), "unwritten": self.unwritten, "trouble": self._why()}

    async def stop(self) -> None:
        """What waits is written, if that takes no longer than a moment."""
        self._not_before = 0.0
        await self._written(STOP_PATIENCE)
        if self.unwritten:
            log.warning("records of the audit that could not be written any more: %d", self.unwritten)

    def trouble(self) -> Trouble | None:
        """What keeps it from being written."""
        why = self._why()
        return None if why is None else Trouble("the audit cannot be written", why)

    def run_due(self) -> float | None:
        """Tries again what could not be written, when it is time; seconds until then, None when nothing is to come."""
        if self._trouble is None or self._writing is not None or not self.unwritten:
            return None
        self._begin()
        return None if self._writing is not None else self._not_before - self._clock.monotonic()

    def retry_now(self) -> None:
        """It may work now: the machine has slept, or a file system has come back with the network."""
        self._not_before = 0.0

    def _begin(self) -> None:
        if self._writing is None and self.unwritten and self._clock.monotonic() >= self._not_before:
            self._writing = asyncio.ensure_future(self._write())
            self._writing.add_done_callback(self._ended)

    def _ended(self, writing: asyncio.Task[None]) -> None:
        self._writing = None
        if writing.cancelled():
            return
        if self._trouble is not None:
            self.on_attention()
        elif self._waiting:
            self._begin()

    async def _written(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self.unwritten:
                    self._begin()
                    if self._writing is None:  # it has failed just now
                        return
                    await asyncio.wait({self._writing})
                    await asyncio.sleep(0)  # for ``_ended``
        except TimeoutError:
            return

    async def _write(self) -> None:
        """Until nothing waits any more, or something is in the way."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(GATHERING, self._not_sooner - loop.time()))
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            self._being_written = len(batch)
            written, why = 0, None
            try:
                await self._workers.run(NEVER, partial(_append, self.path, batch))
                written = len(batch)
            except Unwritten as error:
                written, why = error.written, str(error)
            except DeadlineExceeded as error:
                why = str(error)
            except Exception:
                log.exception("a fault while writing the audit")
                written = len(batch)  # not again, for ever
                self._lost += len(batch)
            finally:
                self._being_written = 0
                self._waiting[:0] = batch[written:]
            self._not_sooner = loop.time() + APART
            self._tell(why)
            if why is not None:
                return
            if self._lost:  # behind all that was kept, as it came after it
                self._waiting.append(_Lost(self._clock.now(), self._lost))
                self._lost = 0

    def _tell(self, why: str | None) -> None:
        if why is not None:
            self._not_before = self._clock.monotonic() + TRY_AGAIN
        if why is not None and self._trouble is None:
            log.warning("the audit cannot be written, and is kept in memory: %s", why)
        elif why is None and self._trouble is not None:
            log.info("the audit can be written again")
        self._trouble = why

    def _why(self) -> str | None:
        waiting = f"{self.unwritten} records wait" + (f", {self._lost} of them are lost" if self._lost else "")
        if self._trouble is not None:
            return f"{self._trouble} ({waiting})"
        return f"the disk does not answer ({waiting})" if self.unwritten > MOST_AT_ONCE else None


def _append(path: Path, batch: list[_Note | _Lost]) -> None:
    audit_log.append(path, [audit_log.encode(each.record()) for each in batch])


def _profile(passage: Passage) -> str | None:
    """The profile that was named, also where that led nowhere."""
    fields = passage.wanted.fields
    if passage.role is not None or "sso_session" in fields:
        return passage.profile
    return fields.get("profile") or fields.get("AWS_PROFILE") or fields.get("AWS_DEFAULT_PROFILE")


def _safe(text: str | None) -> str | None:
    return None if text is None else safe(text)


def _safe_path(text: str | None) -> str | None:
    return None if text is None else safe(text, LONGEST_PATH)
