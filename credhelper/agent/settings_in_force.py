"""``config.toml`` in a daemon that runs: read anew when told, and applied as far as that can be.

A file with a mistake changes nothing. Where tokens and keys lie is settled at a start: they would have to move.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.local import settings as config_toml
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

READ_DEADLINE = 5.0  # seconds

Json = dict[str, Any]


class SettingsInForce:
    """Lives on the event loop. ``now`` is what holds."""

    def __init__(self, settings: Settings, disk: Workers) -> None:
        self.now = settings
        self.file: Path | None = None
        """Where they come from; None for nowhere."""
        self.error: str | None = None
        """Why the file as it was at the last reload does not hold."""
        self.on_change: list[Callable[[Settings], None]] = []
        """Whoever acts on settings; told at every reload, so that it may try again what has failed. May raise."""
        self._disk = disk
        self._one_by_one = asyncio.Lock()

    async def reload(self) -> Json:
        """Reads and applies the file.

        Returns ``{"file": …, "changed": […], "at_next_start": […], "error": …, "problems": […]}``: the names of keys,
        what is wrong with the file (None: nothing), and what could not be applied.
        """
        async with self._one_by_one:
            return {"file": None if self.file is None else str(self.file)} | await self._reload()

    async def _reload(self) -> Json:
        try:
            read = await self._read()
        except ConfigError as error:
            self.error = error.message
            log.error("the settings stay as they were: %s", error.message)  # noqa: TRY400  # a fact, no fault of ours
            return {"changed": [], "at_next_start": [], "error": error.message, "problems": []}
        self.error = None
        applied = replace(read, **{field: getattr(self.now, field) for field in config_toml.AT_START})
        changed = config_toml.changes(self.now, applied)
        later = config_toml.changes(applied, read)
        self.now = applied
        problems = self._apply(applied)
        log.info("the settings have been read anew; changed: %s", ", ".join(changed) or "nothing")
        if later:
            log.warning("a restart of the daemon is needed for: %s", ", ".join(later))
        return {"changed": changed, "at_next_start": later, "error": None, "problems": problems}

    async def _read(self) -> Settings:
        if self.file is None:
            return self.now
        try:
            return await self._disk.run(READ_DEADLINE, partial(config_toml.load, self.file))
        except DeadlineExceeded as error:
            raise ConfigError(f"{self.file}: cannot be read: {error}") from None

    def _apply(self, settings: Settings) -> list[str]:
        problems = []
        for act in self.on_change:
            try:
                act(settings)
            except CredhelperError as error:  # the others act all the same
                log.error("a setting could not be applied: %s", error)  # noqa: TRY400  # a fact, no fault of ours
                problems.append(error.message)
        return problems
