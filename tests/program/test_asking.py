"""A role that takes a word of the person first: `exec` and `export` ask for it on the terminal, and then go on."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Machine
from tests.program.support import refusal
from tests.terminal import Terminal, in_terminal

GUARDED = """
[profile guarded]
role_arn = arn:aws:iam::222233334444:role/Guarded
source_profile = dev
mfa_serial = arn:aws:iam::111122223333:mfa/alice
"""
RULE = '[[policy]]\nname = "be asked"\nmatch = ["guarded"]\nconfirm = true\n'


@pytest.fixture
def machine(machine: Machine, sandbox: Sandbox) -> Machine:
    """Logged in, with a role that wants a code and a confirmation."""
    trust = Trust(frozenset({"111122223333/Developer"}), mfa=True)
    sandbox.put_iam_role(IamRole("222233334444", "Guarded", trust))
    machine.write_config(CONFIG.format(start_url=sandbox.start_url) + GUARDED)
    settings = machine.home / ".config" / "credhelper" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(RULE)
    machine.log_in()
    return machine


@contextlib.contextmanager
def at_terminal(machine: Machine, *arguments: str) -> Iterator[Terminal]:
    command = [sys.executable, "-Im", "credhelper", *arguments]
    with in_terminal(command, machine.environment, Path(machine.home)) as terminal:
        yield terminal


def test_exec_asks_for_what_it_takes_and_runs_the_program(machine: Machine, sandbox: Sandbox) -> None:
    with at_terminal(machine, "exec", "--profile", "guarded", "--", "sh", "-c", "echo ran; exit 4") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("y\n")
        terminal.wait_for("MFA code of arn:aws:iam::111122223333:mfa/alice")
        terminal.type(sandbox.mfa_code() + "\n")
        status, out, _ = terminal.finish()
    assert (status, out) == (4, "ran\n")
    with at_terminal(machine, "export", "--profile", "guarded") as terminal:  # a yes is remembered, and so is the role
        status, out, err = terminal.finish()
    assert status == 0, err
    assert '"AccountId": "222233334444"' in out


def test_a_no_ends_it_before_the_program_runs(machine: Machine) -> None:
    with at_terminal(machine, "exec", "--profile", "guarded", "--env", "--", "echo", "ran") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("n\n")
        status, out, err = terminal.finish()
    assert (status, out) == (5, "")
    assert "be asked" in err
    assert "you said no" in err


def test_whoever_asks_aws_or_makes_a_lease_is_asked_too(machine: Machine, sandbox: Sandbox) -> None:
    with at_terminal(machine, "whoami", "--profile", "guarded") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("y\n")
        terminal.wait_for("MFA code of ")
        terminal.type("\n")
        assert terminal.finish()[0] == 3
    with at_terminal(machine, "lease", "create", "--profile", "guarded") as terminal:
        terminal.wait_for("MFA code of ")
        terminal.type(sandbox.mfa_code() + "\n")
        status, out, err = terminal.finish()
    assert status == 0, err
    assert out.startswith("Lease ")


def test_without_a_terminal_nobody_is_asked(machine: Machine) -> None:
    for command in (("exec", "--profile", "guarded", "--", "true"), ("export", "--profile", "guarded")):
        refusal(machine.run(*command), 5, "be asked")
