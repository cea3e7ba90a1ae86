"""Blocking work off the event loop, in threads that can be given up.

A thread cannot be cancelled, so an executor's would hold up the end of the process and, once four of them drip, every
later call. Here each call has a thread of its own, a daemon thread, and a deadline at which nobody waits for it any
more; each kind of work has its own allowance of calls that run at once. Only ``OneThread`` keeps its thread.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

IDLE = 10.0  # seconds for which a thread of OneThread waits for more to do


class DeadlineExceeded(Exception):
    """The work was not done in time; its thread has been left to itself."""


class Workers:
    """Runs at most ``allowance`` calls of one lane at a time; a call given up on no longer counts."""

    def __init__(self, kind: str, allowance: int) -> None:
        self.on_delay: Callable[[float], None] = lambda _: None
        """Told how many seconds each result had to wait for the event loop."""
        self._kind = kind
        self._allowance = allowance
        self._lanes: dict[str, asyncio.Semaphore] = {}

    async def run(self, seconds: float, work: Callable[[], T], *, lane: str = "") -> T:
        """``work()``'s result, or its exception. Waiting for a place in ``lane`` counts towards ``seconds``.

        What hangs in one lane holds up no other. Raises DeadlineExceeded.
        """
        places = self._lanes.setdefault(lane, asyncio.Semaphore(self._allowance))
        try:
            async with asyncio.timeout(seconds), places:
                return await self._in_thread(work)
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within {seconds:g} s") from None

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None, done_at: float) -> None:
            self.on_delay(time.monotonic() - done_at)
            if outcome.cancelled():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type]  # T, when there is no error

        def body() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001  # it belongs to whoever waits
                error = raised
            try:
                loop.call_soon_threadsafe(settle, result, error, time.monotonic())
            except RuntimeError:
                return  # the loop has closed: nobody waits any more

        try:
            self._begin(body)
        except RuntimeError as error:  # the limit of processes and threads is reached
            raise DeadlineExceeded("no thread for it: the system's limit is reached") from error
        return outcome

    def _begin(self, body: Callable[[], None]) -> None:
        """Raises RuntimeError where the system grants no thread."""
        threading.Thread(target=body, name=f"credhelper-{self._kind}", daemon=True).start()


class OneThread(Workers):
    """One call after the other, in a thread that stays for a while: small work that comes often is not worth its own.

    What is given up holds up whatever comes after it.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind, 1)
        self._waiting: deque[Callable[[], None]] = deque()
        self._news = threading.Condition()
        self._is_there = False

    def _begin(self, body: Callable[[], None]) -> None:
        with self._news:
            if not self._is_there:
                super()._begin(self._work_off)
                self._is_there = True
            self._waiting.append(body)
            self._news.notify()

    def _work_off(self) -> None:
        while True:
            with self._news:
                if not self._news.wait_for(lambda: self._waiting, IDLE):
                    self._is_there = False
                    return
                body = self._waiting.popleft()
            body()
