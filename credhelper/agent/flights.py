"""One piece of work per key, however many wait for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from credhelper.domain.errors import CredhelperError

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")


class Flights(Generic[K, V]):
    """Work under way, by key. A caller that leaves does not end the flight: others may wait for it."""

    def __init__(self, on_landed: Callable[[], None] = lambda: None) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}
        self._on_landed = on_landed

    def start(self, key: K, work: Callable[[], Awaitable[V]]) -> asyncio.Task[V]:
        """The flight under way for ``key``, begun with ``work`` if there is none. Nobody has to await it."""
        if key not in self._tasks:
            task = asyncio.ensure_future(self._run(work))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return self._tasks[key]

    def has(self, key: K) -> bool:
        """Whether a flight is under way for ``key``."""
        return key in self._tasks

    async def join(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """The result of the flight for ``key``, begun with ``work`` if there is none."""
        return await asyncio.shield(self.start(key, work))

    async def _run(self, work: Callable[[], Awaitable[V]]) -> V:
        return await work()

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, CredhelperError):  # which whoever waited tells; this nobody may
            log.error("a fault in the background work", exc_info=fault)
        self._on_landed()

    async def settle(self, seconds: float) -> None:
        """Lets what is under way come to its end, for some seconds; then ends it."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=seconds)
        await self.cancel_all()

    async def cancel_all(self) -> None:
        """Ends every flight."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
