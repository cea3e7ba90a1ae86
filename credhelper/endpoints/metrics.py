"""What a scrape gets. The library that writes Prometheus's format is loaded by the first one, in a thread."""

import importlib
from collections.abc import Callable

from credhelper.agent.agent import Agent
from credhelper.agent.counts import Counts
from credhelper.agent.health import Vitals
from credhelper.domain.errors import CredhelperError
from credhelper.local.workers import DeadlineExceeded, Workers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LOAD_SECONDS = 10.0


class Metrics:
    """An agent's numbers in Prometheus's text format. Lives on the event loop."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._workers = Workers("metrics", 1)
        self._render: Callable[[Counts, Vitals], str] | None = None

    async def text(self) -> str:
        """Every metric. Raises CredhelperError."""
        render = self._render
        if render is None:
            try:
                render = self._render = await self._workers.run(_LOAD_SECONDS, _load)
            except DeadlineExceeded as error:
                raise CredhelperError(f"loading the metrics library: {error}") from None
        return render(self._agent.counts, await self._agent.health.vitals())


def _load() -> Callable[[Counts, Vitals], str]:
    """Costs some 70 ms, and everybody else 0.6 MB."""
    render: Callable[[Counts, Vitals], str] = importlib.import_module("credhelper.endpoints.exposition").render
    return render
