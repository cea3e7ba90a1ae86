"""Adopting and releasing as a person and a running daemon meet it."""

import json
import signal
import sys

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Machine
from tests.program.support import running_daemon
from tests.program.terminal import Terminal

ADOPT = [sys.executable, "-Im", "credhelper", "configure", "adopt", "--profile", "native"]


def test_a_running_daemon_serves_on_through_adoption_and_release(machine: Machine) -> None:
    with running_daemon(machine):
        machine.log_in()
        before = json.loads(machine.run("whoami", "--profile", "native", "--json").out)
        adopted = machine.run("configure", "adopt", "--all", "--yes")
        assert adopted.status == 0, adopted.err
        text = machine.config.read_text()
        line = next(line for line in text.splitlines() if line.endswith("client.py native"))
        ran = machine.run_program(line.partition(" = ")[2].split())
        assert ran.status == 0, ran.err
        assert ran.json()["AccountId"] == before["account_id"]
        assert json.loads(machine.run("whoami", "--profile", "native", "--json").out) == before

        released = machine.run("configure", "release", "--profile", "native", "legacy", "--yes")
        assert released.status == 0, released.err
        assert machine.config.read_text() == CONFIG.format(start_url=machine.sandbox.start_url).replace(
            "credhelper_sso_role_name = Developer\n", f"credhelper_sso_role_name = Developer\n{line[:-6]}dev\n"
        )
        assert json.loads(machine.run("whoami", "--profile", "native", "--json").out) == before


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 130), ("\n", 130), ("\x04", 130)])
def test_the_person_sees_the_difference_and_decides(machine: Machine, answer: str, status: int) -> None:
    before = machine.config.read_text()
    with Terminal(machine.environment, machine.home) as terminal:
        terminal.shows(r"\$ ")
        terminal.enter(" ".join(ADOPT) + "; echo status=$?")
        terminal.shows(r"\+credhelper_sso_session = corp")
        terminal.shows(r"Adopt native in .*config\? \[y/N\] ")
        terminal.type(answer)
        terminal.shows(f"status={status}\n")
    assert (machine.config.read_text() == before) == (status != 0)


def test_what_was_typed_before_the_question_is_no_answer_to_it(machine: Machine) -> None:
    before = machine.config.read_text()
    with Terminal(machine.environment, machine.home) as terminal:
        terminal.shows(r"\$ ")
        terminal.type("read line; " + " ".join(ADOPT) + "; echo status=$?\nis read by the shell\ny\n")
        terminal.shows(r"\[y/N\] ")
        terminal.enter("")
        terminal.shows("status=130\n")
    assert machine.config.read_text() == before


def test_ctrl_c_at_the_question_leaves_the_file_and_the_terminal_as_they_were(sandbox: Sandbox) -> None:
    with Machine(sandbox) as machine:
        before = machine.config.read_text()
        with Terminal(machine.environment, machine.home) as terminal:
            terminal.shows(r"\$ ")
            terminal.enter("stty -g; " + " ".join(ADOPT) + "; echo status=$?; stty -g")
            sane = terminal.shows(r"^([0-9a-f:]{20,})\n")[1]
            terminal.shows(r"\[y/N\] ")
            terminal.type(chr(signal.SIGINT + 1))
            terminal.shows("status=130\n")
            assert terminal.shows(r"^([0-9a-f:]{20,})\n")[1] == sane
        assert machine.config.read_text() == before
        assert sorted(path.name for path in machine.config.parent.iterdir()) == ["config"]
