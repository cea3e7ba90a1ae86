"""Knocking at the container credentials endpoint: raw bytes out, everything that comes back in."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from credhelper.agent.gate import Wanted
from credhelper.agent.grants import grant
from credhelper.agent.openings import Opening
from credhelper.endpoints.container_http import ContainerHttp
from credhelper.local.process_ends import Process
from tests.agent.world import World


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> dict[str, Any]:
        """The body."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @classmethod
    def of(cls, received: bytes) -> Self:
        """What came back, which must be one answer and all of it."""
        head, _, body = received.decode().partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines)
        assert int(headers["content-length"]) == len(body)
        return cls(int(status.split()[1]), headers, body)


class Place:
    """An agent with its endpoint, and what is open there."""

    def __init__(self, world: World, owner: Process) -> None:
        self.world = world
        self.owner = owner
        self.http = ContainerHttp(world.agent)
        self.http.begin()

    async def grant(self, profile: str = "dev", *, ttl: timedelta | None = None) -> dict[str, Any]:
        """What ``credhelper exec`` gets."""
        return await grant(self.world.agent, Wanted(self.world.fields(profile)), self.owner, ttl)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.http.reception.port is not None
        return self.http.reception.port

    @property
    def is_listening(self) -> bool:
        """Whether it does."""
        return self.http.reception.port is not None

    def opening(self, granted: dict[str, Any]) -> Opening:
        """The opening of a grant."""
        found = self.world.agent.openings.get(granted["id"])
        assert found is not None
        return found

    def request(self, granted: dict[str, Any], *more: str) -> bytes:
        """A good one, as SDKs send it."""
        path = granted["uri"].partition(f":{self.port}")[2]
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Accept: application/json",
            f"Authorization: {granted['token']}",
            *more,
        )
        return "\r\n".join((*lines, "", "")).encode()

    async def ask(self, granted: dict[str, Any]) -> Reply:
        """The answer to a good request."""
        return Reply.of(await send(self.port, self.request(granted)))


async def send(port: int, sent: bytes) -> bytes:
    """Everything that comes back until the other side closes; nothing when it breaks off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
