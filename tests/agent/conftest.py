"""The world of one test."""

import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import botocore.session
import pytest

from credhelper.agent import role_credentials
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.agent.world import World
from tests.clocks import HandClock


@pytest.fixture(scope="package", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """botocore reads megabytes of JSON for every session; the models are the same for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.lru_cache(botocore.session.create_loader))
        yield


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def lifetimes() -> Lifetimes:
    """Overridden by modules that want shorter ones."""
    return Lifetimes(interval=0)


@pytest.fixture
def sandbox(clock: HandClock, lifetimes: Lifetimes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(clock=clock.time, lifetimes=lifetimes) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
async def world(
    tmp_path: Path, sandbox: Sandbox, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(role_credentials, "SECOND_TRY_PAUSE", 0.0)
    world = World(tmp_path / "home", sandbox, clock)
    yield world
    sandbox.release()
    await world.agent.stop()
    await world.settled()
