"""``credhelper lock``: nothing is handed out through any door until ``credhelper unlock``, also by the next daemon.

A marker in the state directory outlives the daemon. There is no passphrase: it is for whoever goes away from the
machine, or wants the agents that run there to stop; what runs as the same user can unlock as well.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from credhelper.agent.gate import Passage
from credhelper.agent.status import optional_timestamp
from credhelper.domain.errors import CredhelperError, Locked
from credhelper.local import private_files
from credhelper.local.clock import Clock
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

DISK_DEADLINE = 3.0  # seconds

ALLOWED = frozenset(
    {
        *("status", "prompt", "names", "watch", "choices", "lock", "unlock", "logout"),
        *("revoke", "lease_list", "lease_revoke"),
        *("hello", "stop", "health", "metrics", "check", "reload", "audit"),
    }
)
"""The operations that go on: they tell, take away, or keep the daemon running."""

GATED = frozenset({"get", "whoami", "grant", "lease_create", "console"})
"""Those that the gate refuses by itself, and the audit hears of."""

Json = dict[str, Any]


class Lock:
    """Lives on the event loop, except for its making, which looks for the marker."""

    def __init__(self, marker: Path, clock: Clock, disk: Workers) -> None:
        self.on_lock: Callable[[], None] = lambda: None
        self.marker = marker
        self._clock = clock
        self._disk = disk
        self._at_suspend = False
        self._one_by_one = asyncio.Lock()
        self._times = 0
        """How often it was locked: whoever unlocks undoes no lock that came after."""
        self._since = _since(marker)

    def apply(self, settings: Settings) -> None:
        """From now on by these settings."""
        self._at_suspend = settings.lock_at_suspend

    @property
    def is_locked(self) -> bool:
        """Whether nothing is handed out."""
        return self._since is not None

    def check(self, _: Passage) -> None:
        """A check of the gate. Raises Locked."""
        self.refuse()

    def check_operation(self, op: str) -> None:
        """Raises Locked for an operation that is none of those that go on."""
        if op not in ALLOWED | GATED:
            self.refuse()

    def refuse(self) -> None:
        """Raises Locked where it is."""
        if self._since is not None:
            raise Locked("credhelper is locked, and hands nothing out", hint="credhelper unlock")

    def document(self) -> Json:
        """``{"locked": …, "since": …}``."""
        return {"locked": self.is_locked, "since": optional_timestamp(self._since)}

    async def lock(self) -> Json:
        """Locks; ``document()`` and ``changed``: whether it was not locked before. Holds at once.

        Raises CredhelperError where the next daemon would not know of it; this one is locked all the same.
        """
        changed = not self.is_locked
        self._times += 1
        self._since = self._since or self._clock.now()
        self.on_lock()
        async with self._one_by_one:
            await self._note(partial(private_files.write, self.marker, b"locked\n"), "only until this daemon ends")
        if changed:
            log.info("locked")
        return self.document() | {"changed": changed}

    async def unlock(self) -> Json:
        """Unlocks; as ``lock``. Raises CredhelperError where the marker cannot be removed: it stays locked then."""
        times = self._times
        async with self._one_by_one:
            changed = self.is_locked
            await self._note(partial(private_files.remove, self.marker), "still")
            if times == self._times:
                self._since = None
        if changed:
            log.info("unlocked")
        return self.document() | {"changed": changed}

    async def look_again(self) -> None:
        """Its marker has changed: another daemon of this home may have locked. Whoever unlocks tells each of them.

        Raises nothing.
        """
        async with self._one_by_one:
            try:
                since = await self._disk.run(DISK_DEADLINE, partial(_since, self.marker))
            except DeadlineExceeded as error:
                log.warning("%s cannot be looked at: %s", self.marker, error)
                return
            if since is None or self.is_locked:
                return
            self._since = since
        self.on_lock()
        log.info("locked by another daemon")

    async def suspended(self) -> None:
        """The machine is about to sleep, or has slept. Raises nothing."""
        if not self._at_suspend or self.is_locked:
            return
        try:
            await self.lock()
        except CredhelperError as error:
            log.warning("%s", error)

    async def _note(self, work: "partial[Any]", how_far: str) -> None:
        try:
            await self._disk.run(DISK_DEADLINE, work)
        except (OSError, DeadlineExceeded) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CredhelperError(
                f"credhelper is locked {how_far}: {self.marker} cannot be changed: {why}",
                hint=f"ls -ld {self.marker.parent}",
            ) from None


def _since(marker: Path) -> datetime | None:
    """When it was locked; None when it is not. What cannot be looked at may well be a lock."""
    try:
        return datetime.fromtimestamp(os.lstat(marker).st_mtime, UTC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, OverflowError, ValueError):
        return datetime.fromtimestamp(0, UTC)
