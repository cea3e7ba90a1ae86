"""A sandbox whose clock the test moves, and those who talk to it."""

from collections.abc import Iterator

import pytest

from credhelper.sandbox.server import Sandbox

from .clients import Clients, Clock, Wire


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        yield running


@pytest.fixture
def clients(sandbox: Sandbox) -> Iterator[Clients]:
    clients = Clients(sandbox)
    yield clients
    clients.close()


@pytest.fixture
def wire(sandbox: Sandbox) -> Wire:
    return Wire(sandbox)
