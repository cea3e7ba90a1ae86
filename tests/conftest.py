"""What every test can ask for."""

import os
from collections.abc import Iterator

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine

FOR_THE_TESTS = {"CREDHELPER_REQUIRE_REAL_CLIENTS", "CREDHELPER_CLIENT_CACHE"}


def pytest_xdist_auto_num_workers() -> int:
    """Half of its time a test waits for a process or a socket: so there are half as many again as there are cores."""
    return max(2, len(os.sched_getaffinity(0)) * 3 // 2) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Nobody's AWS, credhelper, XDG or proxy settings reach a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            is_setting = name.startswith(("AWS_", "CREDHELPER_", "XDG_")) or name.lower().endswith("_proxy")
            if is_setting and name not in FOR_THE_TESTS:
                patch.delenv(name)
        yield


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An Identity Center that nobody waits for: devices may poll at once."""
    with Sandbox(lifetimes=Lifetimes(interval=0)) as running:
        yield running


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """A machine whose ``~/.aws/config`` has the session corp and the profiles dev, native and legacy."""
    with Machine(sandbox) as found:
        yield found
