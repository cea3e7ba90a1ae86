"""The address of ``credhelper console`` in a real browser."""

import pytest

from tests.machine import Machine

from .browser import Browser

pytestmark = pytest.mark.real_client


def test_the_browser_is_signed_in_as_the_role(machine: Machine, chromium: Browser) -> None:
    machine.log_in()
    run = machine.run("console", "--profile", "dev", "--print", "--service", "ec2")
    assert run.status == 0
    chromium.open(run.out.strip())
    assert chromium.title.startswith("Signed in to the console")
    assert "assumed-role/AWSReservedSSO_Developer_" in chromium.text
    assert "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1" in chromium.text
    chromium.open(run.out.strip())
    assert "was used" in chromium.text
