"""The real clients as fixtures. One that is not at hand skips the test, unless it is required."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import clients
from .browser import Browser
from .ministack import Ministack
from .moto import Moto


@pytest.fixture
def aws_cli() -> Path:
    """The program `aws`, version 2."""
    return clients.find_aws_cli()


@pytest.fixture
def js_sdk() -> Path:
    """A directory whose `node_modules` holds the AWS SDK for JavaScript."""
    return clients.find_js_sdk()


@pytest.fixture
def go_sdk() -> Path:
    """A program with the AWS SDK for Go v2."""
    return clients.find_go_sdk()


@pytest.fixture
def java_sdk() -> list[str]:
    """The command of a program with the AWS SDK for Java v2."""
    return clients.find_java_sdk()


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """Cognito, IAM and STS by others: ministack, which checks who asks."""
    with Ministack(clients.find_ministack(), tmp_path_factory.mktemp("ministack")) as running:
        yield running


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """An identity pool whose credentials live for 90 seconds."""
    with Moto(clients.find_moto(), tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """A running chromium with an empty profile."""
    program, driver = clients.find_chromium()
    with Browser(program, driver) as browser:
        yield browser


@pytest.fixture
def home(tmp_path: Path) -> clients.Home:
    """An isolated home without a configuration."""
    return clients.Home(tmp_path / "home")
