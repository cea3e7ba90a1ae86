"""What the Unix socket counts: each request once, by its operation and how it ended; and what that costs."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credhelper import client
from credhelper.agent import role_credentials
from credhelper.endpoints import unix_socket
from credhelper.endpoints.unix_socket import UnixSocket
from credhelper.local.socket_file import SocketFile
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.agent.world import World, until
from tests.clocks import HandClock

HIT = """
import asyncio, contextlib, random, sys
from pathlib import Path
from credhelper import client
from credhelper.agent.agent import Agent
from credhelper.endpoints.metrics_http import MetricsHttp
from credhelper.endpoints.unix_socket import UnixSocket
from credhelper.local.settings import Settings
from credhelper.local.socket_file import SocketFile

home, path = map(Path, sys.argv[1:])

def loaded():
    return sorted(name for name in sys.modules if name.split(".")[0] == "prometheus_client" and "." not in name)

async def ask(op):
    reader, writer = await asyncio.open_unix_connection(path)
    fields = {"v": client.PROTOCOL.decode(), "op": op, "HOME": str(home), "cwd": "/", "profile": "dev"}
    writer.write(client.frame({key.encode(): value.encode() for key, value in fields.items()}))
    answer = client.parse((await reader.read())[4:])
    writer.close()
    await writer.wait_closed()
    return answer[b"status"]

async def main():
    agent = Agent(home, home / "state", settings=Settings(metrics_listen="127.0.0.1:0"), rng=random.Random(1))
    door, http = UnixSocket(agent, lambda: None), MetricsHttp(agent)
    http.apply(agent.settings.now)
    with contextlib.closing(SocketFile(path)) as socket_file:
        await door.start(socket_file.listener)
        statuses = [await ask("get"), await ask("get"), await ask("health")]
        print(statuses, agent.counts.answers["get", "hit"].count, loaded())
        print(await ask("metrics"), loaded())
        await door.stop()
    await http.stop()
    await agent.stop()

asyncio.run(main())
"""


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def sandbox(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(clock=clock.time, lifetimes=Lifetimes(interval=0)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
async def world(tmp_path: Path, sandbox: Sandbox, clock: HandClock) -> AsyncIterator[World]:
    world = World(tmp_path / "home", sandbox, clock)
    yield world
    sandbox.release()
    await world.agent.stop()


@pytest.fixture
async def door(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[UnixSocket]:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    monkeypatch.setattr(role_credentials, "SECOND_TRY_PAUSE", 0.0)
    door = UnixSocket(world.agent, lambda: None)
    with contextlib.closing(SocketFile(Path("s"))) as socket_file:
        assert socket_file.listener is not None
        await door.start(socket_file.listener)
        yield door
        await door.stop()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def connected(sent: bytes) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_unix_connection("s")
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request(world: World, op: str, **fields: str) -> bytes:
    whole = {"v": client.PROTOCOL.decode(), "op": op} | world.everything() | fields
    return client.frame({key.encode(): value.encode() for key, value in whole.items()})


async def ask(world: World, op: str, **fields: str) -> dict[bytes, bytes]:
    """The last frame of the answer."""
    async with connected(request(world, op, **fields)) as (reader, _):
        received, frame = await reader.read(), b""
        while received:
            size = int.from_bytes(received[:4], "big")
            frame, received = received[4 : size + 4], received[size + 4 :]
        return client.parse(frame)


@pytest.mark.usefixtures("door")
async def test_each_request_counts_once_by_its_operation_and_how_it_ended(world: World) -> None:
    await ask(world, "get", profile="dev")
    world.log_in()
    for _ in range(3):
        await ask(world, "get", profile="dev")
    await ask(world, "get", profile="nobody")
    for op in ("hello", "status", "whoami", "health", "metrics"):
        await ask(world, op)
    world.sandbox.fail("GetRoleCredentials", Fault(status=429), times=None)
    await ask(world, "get", profile="readonly")
    await ask(world, "logout")
    counts = world.agent.counts
    assert counts.requests == {
        ("get", "login_required"): 1,
        ("get", "ok"): 3,
        ("get", "config"): 1,
        ("get", "throttled"): 1,
        ("hello", "ok"): 1,
        ("status", "ok"): 1,
        ("whoami", "usage"): 1,
        ("health", "ok"): 1,
        ("metrics", "ok"): 1,
        ("logout", "ok"): 1,
    }
    lookups = {cache: counts.answers["get", cache].count for cache in ("hit", "miss", "none")}
    assert lookups == {"hit": 2, "miss": 3, "none": 1}
    assert sum(found.count for found in counts.answers.values()) == sum(counts.requests.values())


@pytest.mark.usefixtures("door")
async def test_who_leaves_before_the_answer_counts_as_gone(world: World) -> None:
    world.log_in()
    world.sandbox.hold("GetRoleCredentials")
    async with connected(request(world, "get", profile="dev")):
        await world.held("GetRoleCredentials")
    await until(lambda: bool(world.agent.counts.requests))
    assert world.agent.counts.requests == {("get", "left"): 1}


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\xff\xff\xff\xffwhat", "malformed"),
        (b"\0\0\0\0", "malformed"),
        (client.frame({b"v": client.PROTOCOL, b"op": b"dance"}), "senseless"),
        (client.frame({b"v": client.PROTOCOL, b"op": b"get", b"unknown": b"1"}), "senseless"),
        (b"\0", "slow"),
        (b"", "slow"),
    ],
)
async def test_what_is_dropped_counts_by_its_reason_and_is_no_request(
    world: World, door: UnixSocket, sent: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "slow":
        monkeypatch.setattr(unix_socket, "FIRST_BYTE", 0.05)
        monkeypatch.setattr(unix_socket, "WHOLE_REQUEST", 0.05)
    async with connected(sent) as (reader, _):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    assert {name: number for name, number in world.agent.counts.dropped.items() if number} == {reason: 1}
    assert not world.agent.counts.requests
    assert not door.connections


@pytest.mark.usefixtures("door")
async def test_connections_are_told_while_they_are_open(world: World) -> None:
    async with connected(b""):
        answer = await ask(world, "metrics")
    assert b"credhelper_open_connections 2.0\n" in answer[b"out"]


@pytest.mark.usefixtures("door")
async def test_a_daemon_whose_installation_is_gone_says_that_it_is_not_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads((await ask(world, "health"))[b"out"])["healthy"] is True
    monkeypatch.setattr(unix_socket, "__file__", "/nowhere/credhelper/endpoints/unix_socket.py")
    document = json.loads((await ask(world, "health"))[b"out"])
    assert document["healthy"] is False
    assert document["troubles"] == ["the installation that the daemon runs from is gone: /nowhere/credhelper"]


async def test_neither_a_hit_nor_health_loads_the_metrics_library_but_a_scrape_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock(datetime.now(UTC))  # the other process has the machine's
    with Sandbox(clock=clock.time, lifetimes=Lifetimes(interval=0)) as sandbox:
        world = World(tmp_path / "home", sandbox, clock)
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        world.log_in()
        await world.agent.stop()
        monkeypatch.chdir(tmp_path)
        script = [sys.executable, "-c", HIT, str(world.home), "s"]
        found = await asyncio.to_thread(subprocess.run, script, capture_output=True, text=True, check=False)
    assert found.stdout == "[b'0', b'0', b'0'] 1 []\nb'0' ['prometheus_client']\n", found.stderr
