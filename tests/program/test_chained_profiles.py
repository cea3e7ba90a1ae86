"""Profiles of assumed roles, as a person and programs use them: commands, codes of an MFA device, a broken chain."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Machine
from tests.program.support import refusal
from tests.terminal import Terminal, in_terminal

STAGING = "222233334444"
PROGRAM = [sys.executable, "-Im", "credhelper"]
HINT = "credhelper: hint: credhelper login --profile guarded"

CHAINS = f"""
[profile deploy]
role_arn = arn:aws:iam::{STAGING}:role/Deploy
source_profile = dev

[profile guarded]
credhelper_role_arn = arn:aws:iam::{STAGING}:role/Guarded
credhelper_source_profile = dev
credhelper_mfa_serial = arn:aws:iam::111122223333:mfa/alice

[profile circle]
role_arn = arn:aws:iam::{STAGING}:role/Circle
source_profile = circle
"""


@pytest.fixture
def machine(machine: Machine, sandbox: Sandbox) -> Machine:
    """With chained profiles."""
    trust = Trust(frozenset({"111122223333/Developer"}), mfa=True)
    sandbox.put_iam_role(IamRole(STAGING, "Guarded", trust))
    machine.write_config(CONFIG.format(start_url=sandbox.start_url) + CHAINS)
    return machine


@contextlib.contextmanager
def at_terminal(machine: Machine, *arguments: str) -> Iterator[Terminal]:
    with in_terminal([*PROGRAM, *arguments], machine.environment, Path(machine.home)) as terminal:
        yield terminal


def arn(machine: Machine, profile: str) -> str:
    found: str = machine.run("whoami", "--profile", profile, "--json").json()["arn"]
    return found


def test_a_chained_profile_serves_every_command(machine: Machine) -> None:
    machine.log_in("--profile", "deploy")  # of the session at its bottom
    got = machine.run("get", "--profile", "deploy")
    assert (got.status, got.json()["AccountId"]) == (0, STAGING)
    assert machine.run_program(machine.process_line("deploy")) == got
    assert arn(machine, "deploy") == f"arn:aws:sts::{STAGING}:assumed-role/Deploy/alice"
    [role] = [r for r in machine.run("status", "--json").json()["role_credentials"] if r["source"] == "chained"]
    assert role.items() >= {"sso_session": "corp", "role_name": "Deploy", "profiles": ["deploy"]}.items()
    assert f"{STAGING} Deploy" in machine.run("status").out
    metrics = machine.run("daemon", "metrics").out
    assert 'credhelper_upstream_calls_total{operation="AssumeRole",outcome="ok"} 1' in metrics
    receipt = machine.run("logout", "--profile", "deploy", "--json").json()
    assert {role["role_name"] for role in receipt["still_valid"]} == {"Deploy"}
    assert machine.run("get", "--profile", "deploy").status == 3


def test_a_role_that_may_not_be_assumed_and_a_broken_chain_have_their_statuses(
    machine: Machine, sandbox: Sandbox
) -> None:
    machine.log_in()
    sandbox.delete_iam_role(f"arn:aws:iam::{STAGING}:role/Deploy")
    refusal(machine.run("get", "--profile", "deploy"), 5, "may not assume", "trust policy")
    place = f"{machine.config}: [profile circle]: "
    refusal(machine.run("get", "--profile", "circle"), 4, place + "the sources go round in a circle")


def test_a_code_is_asked_for_on_the_terminal_and_by_login_alone(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    refusal(machine.run("get", "--profile", "guarded"), 3, HINT)
    refusal(machine.run_program(machine.process_line("guarded")), 3, HINT)
    with at_terminal(machine, "login", "--profile", "guarded") as terminal:
        terminal.wait_for("MFA code of arn:aws:iam::111122223333:mfa/alice for the role Guarded in 222233334444: ")
        terminal.type(sandbox.mfa_code() + "\n")
        status, out, err = terminal.finish()
    assert (status, out) == (0, "")
    assert "Already logged in to corp" in err
    assert arn(machine, "guarded") == f"arn:aws:sts::{STAGING}:assumed-role/Guarded/alice"
    again = machine.run("login", "--profile", "guarded")  # nothing to ask for
    assert (again.status, again.out) == (0, "")


def test_without_a_terminal_the_login_is_done_and_the_code_is_what_is_missing(machine: Machine) -> None:
    with machine.logging_in("--profile", "guarded", "--json") as (login, event):
        machine.approve(event)
        out, err = login.communicate()
    assert login.returncode == 3
    logged_in, failed = (json.loads(line) for line in out.splitlines())
    assert logged_in["event"] == "logged_in"
    assert (failed["event"], failed["code"]) == ("failed", "mfa_required")
    assert "there is no terminal to ask for it" in err
    assert err.splitlines()[-1] == HINT
    assert machine.run("get", "--profile", "dev").status == 0


@pytest.mark.parametrize(
    ("typed", "status", "says"), [("000000\n", 5, "does not take"), ("\n", 3, "no code was given")]
)
def test_a_wrong_code_is_told_and_none_is_none(machine: Machine, typed: str, status: int, says: str) -> None:
    machine.log_in()
    with at_terminal(machine, "login", "--profile", "guarded") as terminal:
        terminal.wait_for("MFA code of")
        terminal.type(typed)
        ended, out, err = terminal.finish()
    assert (ended, out) == (status, "")
    assert says in err
    assert machine.run("get", "--profile", "guarded").status == 3


def test_a_code_in_a_pipe_is_not_read(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    run = machine.run_program(
        ["sh", "-c", f"echo {sandbox.mfa_code()} | setsid {sys.executable} -Im credhelper login --profile guarded"]
    )
    assert run.status == 3
    assert "there is no terminal" in run.err


@pytest.mark.parametrize("chosen", [("sso", "login", "--profile", "guarded"), ("login", "--sso-session", "corp")])
def test_whoever_logs_in_to_the_session_alone_is_asked_for_no_code(machine: Machine, chosen: tuple[str, ...]) -> None:
    login = machine.start(*chosen, "--no-browser")
    assert login.stdout is not None
    machine.approve({"event": "authorize", "url": login.stdout.readline().strip()})
    out, err = login.communicate()
    assert (login.returncode, "MFA" in out + err) == (0, False)
