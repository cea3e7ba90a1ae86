"""Tells the service manager that the daemon is alive, each time it has answered at its own socket like any caller's."""

import asyncio
import json
import logging
import os
from pathlib import Path

from credhelper import client
from credhelper.local.systemd import ServiceManager

log = logging.getLogger(__name__)


async def feed(manager: ServiceManager, path: Path) -> None:
    """Asks at ``path`` three times within the watchdog's time; without a watchdog, returns at once.

    A loop that is stuck asks nothing. A daemon that nobody can reach gets no answer, and it too is to be replaced.
    """
    if manager.watchdog is None:
        return
    third = manager.watchdog / 3
    while True:
        try:
            async with asyncio.timeout(third):
                answered = await _pid_at(path)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, KeyError) as error:
            log.warning("no answer at our own socket %s: %s", path, error or type(error).__name__)
        else:
            if answered == os.getpid():
                manager.alive()
            else:
                log.warning("another process (pid %d) answers at our socket %s", answered, path)
        await asyncio.sleep(third)


async def _pid_at(path: Path) -> int:
    """The pid of whoever answers at ``path``. Raises OSError, IncompleteReadError, ValueError, KeyError."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(client.frame({b"v": client.PROTOCOL, b"op": b"hello"}))
        size = int.from_bytes(await reader.readexactly(4), "big")
        answer = client.parse(await reader.readexactly(min(size, client.MAX_ANSWER)))
        return int(json.loads(answer[b"out"])["pid"])
    finally:
        writer.close()
