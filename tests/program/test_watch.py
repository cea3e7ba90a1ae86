"""``credhelper status --watch`` on a terminal, and for programs."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine
from tests.program.support import ask, refusal
from tests.program.test_pick import log_in
from tests.screen import ALTERNATE, Screen, shell

COMMAND = [sys.executable, "-Im", "credhelper", "status", "--watch"]


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Sandbox(lifetimes=Lifetimes(interval=0)) as sandbox, Machine(sandbox) as found:
        log_in(found)
        yield found


def watching(machine: Machine, **environment: str) -> Screen:
    return Screen(COMMAND, machine.environment | environment, machine.home)


def test_it_shows_what_changes_and_outlives_the_daemon(machine: Machine) -> None:
    machine.run("daemon", "start")
    with watching(machine) as screen:
        screen.shows(r"^corp +active +59 min \d\d s +renewed by itself")
        ask(machine, "get", profile="dev")
        screen.shows(r"^111122223333 Developer +fresh")
        assert "CLIENTS" in screen.text
        screen.resize(9, 40)
        screen.shows(r"^… and \d+ more lines")
        screen.resize(24, 100)
        screen.shows("ROLE CREDENTIALS")
        ask(machine, "stop")
        screen.shows("The daemon is not running")
        assert "active" in screen.shows("^corp ")  # by the files
        machine.run("daemon", "start")
        screen.shows(r"^credhelper [0-9.]+, pid \d+")
        screen.type("q")
        assert screen.ends() == 0
        assert screen.is_as_a_shell_wants_it()


def test_ctrl_c_ends_it_with_130_and_a_sane_terminal(machine: Machine) -> None:
    with watching(machine, NO_COLOR="1") as screen:
        screen.shows("The daemon is not running")
        screen.type("\x03")
        assert screen.ends() == 130
        assert screen.is_as_a_shell_wants_it()
        assert b"\x1b[33m" not in screen.raw
        assert not machine.socket.exists()  # it starts nothing


def test_without_a_terminal_it_is_wrong_usage(machine: Machine) -> None:
    refusal(machine.run("status", "--watch"), 2, "terminal", "--watch --json")
    refusal(machine.run("status", "--watch", "--profile", "dev"), 2, "--profile")


@pytest.mark.long
def test_with_json_each_change_is_a_line(machine: Machine) -> None:
    machine.run("daemon", "start")
    watch = machine.start("status", "--watch", "--json")
    assert watch.stdout is not None
    told = map(json.loads, watch.stdout)
    first = next(told)
    assert first.keys() == machine.run("status", "--json").json().keys()
    ask(machine, "get", profile="dev")
    second = next(each for each in told if each["role_credentials"])  # an upkeep may have changed something before
    assert second["role_credentials"][0]["role_name"] == "Developer"
    machine.run("daemon", "stop")
    assert any(not each["daemon"]["running"] for each in told)
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=SECONDS)
    assert (watch.returncode, err) == (130, "\n")


@pytest.mark.long
def test_with_json_it_ends_when_its_reader_has_left(machine: Machine) -> None:
    line = f"{shlex.join(COMMAND)} --json | head -n 1"
    assert machine.run_program(["sh", "-c", line]).err == ""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_sane(number: signal.Signals, machine: Machine) -> None:
    with watching(machine) as screen:
        screen.shows("The daemon is not running")
        os.kill(screen.pid, number)
        assert screen.ends() == 128 + number
        assert screen.is_as_a_shell_wants_it()


@pytest.mark.long
def test_it_can_be_stopped_and_brought_back(machine: Machine) -> None:
    with shell(machine.environment, machine.home) as screen:
        screen.shows(r"\$$")
        screen.type(shlex.join(COMMAND) + "\r")
        screen.shows("q ends")
        screen.type("\x1a")
        screen.shows("Stopped")
        assert screen.is_as_a_shell_wants_it()
        screen.type("stty sane; fg\r")
        screen.shows("q ends")
        screen.type("q")
        screen.shows(r"^\$$")


@pytest.mark.long
def test_a_daemon_that_hangs_is_told_and_keys_are_heard(machine: Machine) -> None:
    machine.run("daemon", "start")
    pid = machine.daemon_pid()
    with watching(machine) as screen:
        screen.shows("^corp ")
        os.kill(pid, signal.SIGSTOP)
        try:
            screen.shows("The daemon does not answer")
            screen.type("q")
            assert screen.ends() == 0
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.long
def test_a_terminal_that_cannot_be_drawn_on_gets_an_error(machine: Machine) -> None:
    with watching(machine, TERM="dumb") as screen:
        assert screen.ends() == 2


@pytest.mark.long
def test_through_a_lease_it_is_refused_before_anything_is_drawn(machine: Machine) -> None:
    created = machine.run("lease", "create", "--profile", "dev", "--json")
    assert created.status == 0, created.err
    with watching(machine, CREDHELPER_SOCKET=created.json()["socket"]) as screen:
        assert screen.ends() == 5
        assert ALTERNATE not in screen.raw


@pytest.mark.long
def test_a_terminal_that_goes_away_ends_it(machine: Machine) -> None:
    with watching(machine) as screen:
        screen.shows("The daemon is not running")
        screen.hang_up()
