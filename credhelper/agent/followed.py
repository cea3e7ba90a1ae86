"""Work that any number of clients follow: each news wakes them, and when the last one leaves before its end it is over.

What a login and a listing have in common.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


class Followed:
    """One such piece of work, under way or ended. Lives on the event loop."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._followers = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._task is not None and self._task.done()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.ensure_future(work)

    def _wake(self) -> None:
        """There is news."""
        self._news.set()
        self._news = asyncio.Event()

    async def _cancel(self) -> None:
        """Ends the work, if it is still under way."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _left_alone(self) -> None:
        """Nobody follows it any more."""
        await self._cancel()

    @contextlib.asynccontextmanager
    async def _followed(self) -> AsyncIterator[None]:
        """Inside, there is one follower more."""
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if self._followers == 0:
                await self._left_alone()

    async def _next(self, news: asyncio.Event) -> None:
        """Waits for ``news``, which was the next one when the follower looked, or for the end."""
        assert self._task is not None  # noqa: S101  # it has begun
        waiting = asyncio.ensure_future(news.wait())
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
