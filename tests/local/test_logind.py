"""What logind tells, over a real bus that comes and goes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from credhelper.local import logind
from credhelper.local.logind import Logind
from tests.bus import LoginManager, PrivateBus, needs_bus

pytestmark = needs_bus

SECONDS = 60


@pytest.fixture
def bus() -> Iterator[PrivateBus]:
    with PrivateBus() as running:
        yield running


class Listener:
    """Somebody whom logind tells."""

    def __init__(self, address: str) -> None:
        self.news: asyncio.Queue[str] = asyncio.Queue()
        self.logind = Logind({"DBUS_SYSTEM_BUS_ADDRESS": address}, first_pause=0.0)

    def start(self) -> None:
        tell = self.news.put_nowait
        self.logind.start(lambda: tell("resumed"), lambda: tell("screen"), lambda: tell("sleeps"))

    async def next(self) -> str:
        return await asyncio.wait_for(self.news.get(), SECONDS)


@contextlib.asynccontextmanager
async def listening(address: str) -> AsyncIterator[Listener]:
    """At the end its task has ended too."""
    listener = Listener(address)
    listener.start()
    task = listener.logind._task
    assert task is not None
    try:
        yield listener
    finally:
        listener.logind.stop()
        await asyncio.wait({task}, timeout=SECONDS)


async def is_connected(caplog: pytest.LogCaptureFixture, times: int = 1) -> None:
    async with asyncio.timeout(SECONDS):
        while caplog.text.count("logind tells of sleep and locks") < times:  # noqa: ASYNC110  # another thread's work
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "credhelper")


async def test_a_sleep_and_the_resume_after_it_are_told(bus: PrivateBus, caplog: pytest.LogCaptureFixture) -> None:
    with LoginManager(bus) as manager:
        async with listening(bus.address) as listener:
            await is_connected(caplog)
            manager.sleeps(beginning=True)
            manager.sleeps(beginning=False)
            assert [await listener.next(), await listener.next()] == ["sleeps", "resumed"]
            assert listener.news.empty()


async def test_locks_and_unlocks_are_told_and_other_properties_are_not(
    bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    with LoginManager(bus) as manager:
        async with listening(bus.address) as listener:
            await is_connected(caplog)
            manager.changed(IdleHint=("b", True), IdleSinceHint=("t", 1))
            manager.lock(locked=False)
            assert await listener.next() == "screen"
            manager.wants_unlocked()
            assert await listener.next() == "screen"
            assert listener.news.empty()


async def test_what_somebody_else_tells_in_its_name_is_not_believed(
    bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    class Impostor(LoginManager):
        names = ("org.example.Impostor",)

    with LoginManager(bus) as manager, Impostor(bus) as impostor:
        async with listening(bus.address) as listener:
            await is_connected(caplog)
            impostor.sleeps(beginning=False)
            manager.lock(locked=True)
            assert await listener.next() == "screen"


async def test_many_messages_at_once_are_all_read(bus: PrivateBus, caplog: pytest.LogCaptureFixture) -> None:
    with LoginManager(bus) as manager:
        async with listening(bus.address) as listener:
            await is_connected(caplog)
            for _ in range(100):
                manager.changed(LockedHint=("b", True), Padding=("s", "x" * 500))
            for _ in range(100):
                assert await listener.next() == "screen"


async def test_a_bus_that_comes_back_is_listened_to_again(
    bus: PrivateBus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logind, "SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(logind, "LONGEST_PAUSE", 0.05)
    async with listening(bus.address) as listener:
        await is_connected(caplog)
        bus.end()
        bus.start()
        await is_connected(caplog, times=2)
        with LoginManager(bus) as manager:
            manager.sleeps(beginning=False)
            assert await listener.next() == "resumed"


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "nonsense", "tcp:host=127.0.0.1,port=1"])
async def test_without_a_system_bus_one_line_says_that_the_clocks_remain(
    address: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logind, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(logind, "LONGEST_PAUSE", 0.01)
    async with listening(address):
        async with asyncio.timeout(SECONDS):
            while caplog.text.count("the clocks are watched all the same") < 3:  # noqa: ASYNC110  # another thread's
                await asyncio.sleep(0.005)
    assert [record.levelname for record in caplog.records].count("INFO") == 1


async def test_without_a_bus_its_library_is_not_even_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("credhelper.local.dbus.SYSTEM_BUS", f"unix:path={tmp_path}/none")
    told: list[str] = []
    monkeypatch.setattr(Logind, "_note", lambda _, trouble: told.append(trouble))
    silent = Logind({}, first_pause=0.0)
    silent.start(lambda: None, lambda: None)
    async with asyncio.timeout(SECONDS):
        while not told:  # noqa: ASYNC110
            await asyncio.sleep(0)
    silent.stop()
    assert told == ["there is no system bus"]


async def test_a_bus_that_hangs_holds_up_nobody_and_a_stop_least_of_all(
    bus: PrivateBus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logind, "SECONDS", 0.2)
    bus.hang()
    async with listening(bus.address):
        async with asyncio.timeout(SECONDS):
            while "did not answer" not in caplog.text:  # noqa: ASYNC110  # another thread's work
                await asyncio.sleep(0.005)
    bus.go_on()


async def test_a_stop_closes_the_connection_and_can_be_repeated(
    bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    with LoginManager(bus) as manager:
        async with listening(bus.address) as listener:
            await is_connected(caplog)
            listener.logind.stop()
            listener.logind.stop()
            manager.sleeps(beginning=False)
        assert listener.news.empty()
