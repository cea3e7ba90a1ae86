"""What the doctor's tests can ask for."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.homes import Home
from tests.systemd.conftest import managed, wheel

__all__ = ["home", "managed", "wheel"]


@pytest.fixture
def home() -> Iterator[Home]:
    """A healthy home. Its path is short, for a socket's holds 107 bytes."""
    root = Path(tempfile.mkdtemp(prefix="ch-"))
    yield Home(root)
    shutil.rmtree(root, ignore_errors=True)
