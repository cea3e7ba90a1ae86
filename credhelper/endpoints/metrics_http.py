"""The door for Prometheus: ``/metrics`` and ``/health`` over HTTP, on loopback only and off unless it is configured.

Everybody on this machine can knock, so nothing that is told here names a person, an account, a session or a file, and
however many knock, what they get is made once a second at most.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from ipaddress import ip_address
from typing import Any

import h11

from credhelper.agent.agent import Agent
from credhelper.agent.health import Trouble
from credhelper.domain.errors import CredhelperError
from credhelper.endpoints.metrics import CONTENT_TYPE, Metrics
from credhelper.local.loopback_http import Answer, Reception, refusal
from credhelper.local.settings import Settings

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
KEPT = 1.0  # seconds for which everybody gets the same answer
FIRST_PAUSE = 2.0  # seconds until an address that could not be had is tried again; then twice that, and so on
LONGEST_PAUSE = 600.0


class MetricsHttp:
    """Listens where the settings say, or nowhere. Lives on the event loop; what goes wrong here ends nothing else."""

    def __init__(self, agent: Agent, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._agent = agent
        self._metrics = Metrics(agent)
        self._monotonic = monotonic
        self.reception = Reception(self._answer, most=MOST_CONNECTIONS)
        self.reception.on_answer = lambda status: agent.counts.http.update((status,))
        self._listen = ""
        self._trouble: Trouble | None = None
        self._pause = FIRST_PAUSE
        self._retry: asyncio.TimerHandle | None = None
        self._pages: dict[bytes, Callable[[], Awaitable[Answer]]] = {b"/metrics": self._text, b"/health": self._health}
        self._made: dict[bytes, tuple[float, asyncio.Task[Answer]]] = {}
        agent.health.asks.append(lambda: self._trouble)

    @property
    def url(self) -> str | None:
        """Where the metrics are, None while nothing listens."""
        return self._agent.health.metrics_url

    def apply(self, settings: Settings) -> None:
        """Listens where these settings say from now on. Where nothing changes, nothing happens.

        An address that cannot be had is told as a trouble and tried again. Raises CredhelperError for it.
        """
        if settings.metrics_listen == self._listen and self._trouble is None:
            return
        self._close()
        self._listen, self._pause = settings.metrics_listen, FIRST_PAUSE
        if self._listen:
            self._open_or_try_again()

    def begin(self, settings: Settings) -> None:
        """``apply`` at the start of the daemon: what cannot be is logged."""
        try:
            self.apply(settings)
        except CredhelperError as error:
            log.warning("%s", error)

    async def stop(self) -> None:
        """Closes it; answers under way are broken off."""
        self._close()
        await self.reception.stop()
        tasks = [task for _, task in self._made.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open_or_try_again(self) -> None:
        """Raises CredhelperError."""
        try:
            self._open(self._listen)
        except (OSError, ValueError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            self._trouble = Trouble("the metrics endpoint cannot be opened", f"{self._listen}: {why}")
            self._retry = asyncio.get_running_loop().call_later(self._pause, self._try_again)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            raise CredhelperError(f"metrics cannot be served at {self._listen}: {why}") from None
        self._trouble = None

    def _try_again(self) -> None:
        with contextlib.suppress(CredhelperError):  # told before, and still a trouble
            self._open_or_try_again()

    def _open(self, listen: str) -> None:
        """Listens; whoever connects before the server has started waits for it. Raises OSError, ValueError."""
        host, _, port = listen.rpartition(":")
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        bound = self.reception.open(address, int(port))
        self._agent.health.metrics_url = f"http://{host}:{bound}/metrics"
        log.info("metrics are served at %s", self.url)

    def _close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self.reception.close()
        self._retry = self._trouble = None
        self._agent.health.metrics_url = None

    def _answer(self, request: h11.Request) -> Answer | Coroutine[Any, Any, Answer]:
        make = self._pages.get(request.target)
        if make is None:
            return refusal(404, "there is nothing at this address; there is /metrics, and /health")
        return self._page(request.target, make)

    async def _page(self, target: bytes, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The page as it was made for somebody within the last second, or made now for all who ask meanwhile."""
        made_at, task = self._made.get(target, (0.0, None))
        if task is None or (task.done() and self._monotonic() - made_at >= KEPT):
            task = asyncio.ensure_future(self._made_page(make))
            self._made[target] = (self._monotonic(), task)
        return await asyncio.shield(task)

    async def _made_page(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await make()
        except CredhelperError as error:
            log.warning("metrics: %s", error)
        except Exception:
            log.exception("a fault while answering over HTTP")
        return refusal(500, "a fault in the credhelper daemon; its log says more")

    async def _text(self) -> Answer:
        return Answer(200, (await self._metrics.text()).encode(), CONTENT_TYPE)

    async def _health(self) -> Answer:
        is_healthy, document = await self._agent.health.public_document()
        return Answer(200 if is_healthy else 503, json.dumps(document).encode() + b"\n", "application/json")
