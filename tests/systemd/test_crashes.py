"""Whatever happens to the daemon, whoever asks is answered: systemd holds the socket, and starts another one."""

import json
import signal
import subprocess

import pytest

from tests.machine import SECONDS
from tests.program.support import until
from tests.systemd.manager import ManagedMachine

pytestmark = pytest.mark.real_client

SERVICE = "credhelper.service"
CRASHES = 20
RESTARTS = 10
KILLS = 10
REQUESTS = 1000
TIMES_FED = 9

ASK = """
import json, subprocess, sys, time
line, many = sys.argv[2:], int(sys.argv[1])
lost, slowest = [], 0.0
for number in range(many):
    began = time.monotonic()
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    slowest = max(slowest, time.monotonic() - began)
    if done.returncode != 0 or '"AccessKeyId"' not in done.stdout:
        lost.append([done.returncode, done.stderr])
    if number % 10 == 9:
        print(number + 1, flush=True)
print(json.dumps({"lost": lost, "slowest": slowest}))
"""
"""Runs a command line again and again, says after each tenth how many there have been, and how it went at the end."""


@pytest.fixture
def logged_in(managed: ManagedMachine) -> ManagedMachine:
    """A machine whose service runs, with session corp logged in."""
    managed.install_units()
    managed.do("enable", "--now", "credhelper.socket", SERVICE)
    managed.log_in()
    assert managed.run("get", "--profile", "dev").status == 0
    return managed


def pid(managed: ManagedMachine) -> int:
    """The service's process; 0 without one."""
    return int(managed.show("MainPID"))


def successor(managed: ManagedMachine, before: int) -> int:
    """The pid of the next daemon, once it serves."""
    until(lambda: pid(managed) not in {0, before} and managed.show("StatusText") == "Serving", "another daemon serves")
    return pid(managed)


def test_the_watchdog_replaces_a_daemon_that_hangs_and_whoever_waits_is_answered(logged_in: ManagedMachine) -> None:
    logged_in.drop_in("impatient", "[Service]\nWatchdogSec=2s\n")
    line = logged_in.process_line("dev")
    assert logged_in.run("daemon", "restart").status == 0
    hanging = pid(logged_in)
    logged_in.signal(hanging, signal.SIGSTOP)
    assert logged_in.run_program(line).status == 0
    assert pid(logged_in) not in {0, hanging}
    log = logged_in.daemon_log.read_text(encoding="utf-8")
    assert "Fatal Python error: Aborted" in log  # and below it, where it hung
    assert "selectors.py" in log


def test_the_watchdog_leaves_a_daemon_alone_that_answers(logged_in: ManagedMachine) -> None:
    """With all of the time gone more than once; a machine that is busy must not lose it either."""
    logged_in.drop_in("impatient", "[Service]\nWatchdogSec=1s\n")
    assert logged_in.run("daemon", "restart").status == 0
    first = pid(logged_in)
    fed: set[str] = set()

    def is_fed_again() -> bool:
        fed.add(logged_in.show("WatchdogTimestampMonotonic"))
        return len(fed) > TIMES_FED

    until(is_fed_again, "it is fed again and again")
    assert pid(logged_in) == first


def test_a_killed_daemon_is_replaced_without_anybody_asking(logged_in: ManagedMachine) -> None:
    killed = pid(logged_in)
    logged_in.signal(killed, signal.SIGKILL)
    assert successor(logged_in, killed) != killed
    assert logged_in.run("get", "--profile", "dev").status == 0


def test_twenty_crashes_in_a_row_are_no_reason_to_give_up(logged_in: ManagedMachine) -> None:
    line = logged_in.process_line("dev")
    for _ in range(CRASHES):
        crashed = pid(logged_in)
        logged_in.signal(crashed, signal.SIGSEGV)
        successor(logged_in, crashed)
    assert logged_in.run_program(line).status == 0
    assert logged_in.show("ActiveState") == logged_in.show("ActiveState", "credhelper.socket") == "active"
    assert int(logged_in.show("NRestarts")) == CRASHES


def test_of_a_thousand_requests_none_is_lost_over_ten_restarts_and_ten_kills(logged_in: ManagedMachine) -> None:
    line = logged_in.process_line("dev")
    with logged_in.popen([logged_in.python, "-Ic", ASK, str(REQUESTS), *line]) as asking:
        assert asking.stdout is not None
        troubles = ["restart", "kill"] * RESTARTS
        for number, trouble in enumerate(troubles, start=1):
            while int(asking.stdout.readline()) < number * REQUESTS // (len(troubles) + 1) // 10 * 10:
                continue
            before = pid(logged_in)
            if trouble == "kill":
                logged_in.do("kill", "--signal=KILL", SERVICE)
            else:
                logged_in.do("restart", SERVICE)
            successor(logged_in, before)
        out, err = asking.communicate(timeout=SECONDS)
    assert asking.returncode == 0, err
    found = json.loads(out.splitlines()[-1])
    print(f"\n{REQUESTS} requests, {len(troubles)} times another daemon, the slowest took {found['slowest']:.3f} s")
    assert found["lost"] == []


def test_requests_that_are_under_way_at_a_stop_are_answered_and_those_that_wait_go_to_the_next(
    logged_in: ManagedMachine,
) -> None:
    with logged_in.sandbox.hold("GetRoleCredentials") as hold:
        asked = [start_get(logged_in, "native") for _ in range(3)]
        hold.wait_for(1)
        first = pid(logged_in)
        logged_in.signal(first, signal.SIGTERM)
        late = [start_get(logged_in, "native") for _ in range(3)]
        until(lambda: pid(logged_in) not in {0, first}, "another daemon has been started")
    for process in asked + late:
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, err
        assert '"AccessKeyId"' in out


def start_get(managed: ManagedMachine, profile: str) -> "subprocess.Popen[str]":
    return managed.start("get", "--profile", profile)
