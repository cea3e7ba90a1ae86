"""A machine with a real `systemd --user` for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.systemd import manager
from tests.systemd.manager import ManagedMachine


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel of this repository installs."""
    manager.require()
    return manager.build(tmp_path_factory.mktemp("wheel") / "packages")


@pytest.fixture
def managed(sandbox: Sandbox, wheel: Path) -> Iterator[ManagedMachine]:
    """A person's machine with a service manager that is up, and credhelper installed, its units not yet."""
    with ManagedMachine(sandbox, wheel) as machine:
        yield machine
