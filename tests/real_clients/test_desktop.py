"""The whole program at a desktop: a locked screen, a session that ends, and who used it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.bus import LoginManager, NotificationServer, PrivateBus, ScreenSaver, needs_bus
from tests.machine import Machine
from tests.program.support import Daemon, running_daemon, until

pytestmark = [pytest.mark.real_client, needs_bus]

LIFE = 300  # seconds: less than the ten minutes before which an end is told


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=0, access_token=LIFE)) as running:
        yield running


@pytest.fixture
def session_bus() -> Iterator[PrivateBus]:
    with PrivateBus() as bus:
        yield bus


@pytest.fixture
def system_bus() -> Iterator[PrivateBus]:
    with PrivateBus() as bus:
        yield bus


@pytest.fixture
def daemon(machine: Machine, session_bus: PrivateBus, system_bus: PrivateBus) -> Iterator[Daemon]:
    machine.environment |= {
        "DBUS_SESSION_BUS_ADDRESS": session_bus.address,
        "DBUS_SYSTEM_BUS_ADDRESS": system_bus.address,
        "TZ": "UTC",
    }
    with running_daemon(machine, "--debug") as running:
        yield running


def program(machine: Machine, name: str, profile: str) -> str:
    """A program that wants credentials as an SDK does: it runs the profile's line."""
    path = Path(machine.root, name)
    path.write_text(f"#!/bin/sh\n{' '.join(machine.process_line(profile))} > /dev/null\nexit $?\n")
    path.chmod(0o755)
    return str(path)


def test_the_end_of_a_session_is_told_after_the_unlock_and_names_who_used_it(
    machine: Machine, daemon: Daemon, session_bus: PrivateBus, system_bus: PrivateBus
) -> None:
    with (
        NotificationServer(session_bus, "body", "body-markup") as desktop,
        ScreenSaver(session_bus) as saver,
        LoginManager(system_bus) as logind,
    ):
        saver.is_locked = True
        machine.log_in("--profile", "legacy")
        saver.asked.get(timeout=60)  # the notice is due, and kept
        for name in ("terraform", "aws"):
            assert machine.run_program([program(machine, name, "legacy")]).status == 0
        until(lambda: "logind tells of sleep and locks" in daemon.log(), "it listens to logind")
        saver.is_locked = False
        logind.lock(locked=False)
        shown = desktop.next()
        assert shown.summary.startswith("AWS session sandbox.awsapps.com/start ends at ")
        assert shown.body == (
            "It cannot be refreshed.\naws and terraform used it in the last hour.\n"
            "To go on, run: credhelper login --profile legacy"
        )
        machine.log_in("--profile", "legacy")
        assert "used it" in desktop.next().body
        until(lambda: desktop.withdrawn == [1], "the notice of the login before is taken away")
        assert len(desktop.shown) == 2


def test_a_resume_that_logind_tells_has_everything_looked_at_again(
    machine: Machine, daemon: Daemon, system_bus: PrivateBus
) -> None:
    with LoginManager(system_bus) as logind:
        until(lambda: "logind tells of sleep and locks" in daemon.log(), "it listens to logind")
        logind.sleeps(beginning=True)
        logind.sleeps(beginning=False)
        until(lambda: "looking at everything again" in daemon.log(), "it has woken")
        assert machine.run("status").status == 0


def test_buses_that_hang_delay_no_request_and_no_stop(
    machine: Machine, daemon: Daemon, session_bus: PrivateBus, system_bus: PrivateBus
) -> None:
    session_bus.hang()
    system_bus.hang()
    machine.log_in("--profile", "legacy")
    for _ in range(3):
        assert machine.run_program([program(machine, "aws", "legacy")]).status == 0
    until(lambda: "no notice can be shown: it did not answer" in daemon.log(), "it has given up for now")
    assert machine.run_program([program(machine, "aws", "legacy")]).status == 0
