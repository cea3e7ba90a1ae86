"""A daemon's insides with the sandbox behind them, for the doors that hand out credentials."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from credhelper.agent import role_credentials
from credhelper.local import process_ends
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.agent.world import World
from tests.clocks import HandClock
from tests.endpoints.knocking import Place


@contextlib.asynccontextmanager
async def placed(directory: Path) -> AsyncIterator[Place]:
    """Inside, session corp is logged in and the endpoint has begun; the owner of what is opened is this process."""
    clock = HandClock()
    with pytest.MonkeyPatch.context() as patch, Sandbox(clock=clock.time, lifetimes=Lifetimes(interval=0)) as sandbox:
        for name, value in sandbox.environment().items():
            patch.setenv(name, value)
        patch.setattr(role_credentials, "SECOND_TRY_PAUSE", 0.0)
        world = World(directory / "home", sandbox, clock)
        world.log_in()
        place = Place(world, process_ends.this_process())
        yield place
        sandbox.release()
        await place.http.stop()
        await world.agent.stop()
        await world.settled()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with placed(tmp_path) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting_place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One for all tests of a module, where time stands still."""
    async with placed(tmp_path_factory.mktemp("place")) as found:
        yield found
