"""``credhelper configure sync`` as a person uses it: the file before and after, what is said, and what is asked."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest

from credhelper.sandbox.directory import large_directory
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Machine
from tests.program.support import refusal
from tests.screen import HIDE, Screen

SYNC = ("configure", "sync", "--sso-session", "corp")

SETTINGS = """\
[[sync]]
sso_session = "corp"
name_template = "{account_name:lower}-{role_name}"
region = "eu-west-1"
regions = [{ match = "Production", region = "us-east-1" }]
exclude = ["*/Administrator"]
"""

ACCOUNTS, ROLES = 500, 5


@contextlib.contextmanager
def logged_in(sandbox: Sandbox, config: str = CONFIG) -> Iterator[Machine]:
    with sandbox, Machine(sandbox, config.format(start_url=sandbox.start_url)) as machine:
        settings = machine.home / ".config" / "credhelper" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS)
        machine.log_in()
        yield machine


@pytest.fixture(scope="module")
def shared() -> Iterator[Machine]:
    with logged_in(Sandbox(lifetimes=Lifetimes(interval=0))) as machine:
        yield machine


@pytest.fixture
def machine(shared: Machine) -> Machine:
    """A machine that is logged in, with its configuration as at first."""
    shared.write_config(CONFIG.format(start_url=shared.sandbox.start_url))
    return shared


def profiles(path: Path) -> dict[str, dict[str, str]]:
    """What botocore reads."""
    session = botocore.session.Session()
    session.set_config_variable("config_file", str(path))
    found: dict[str, dict[str, str]] = session.full_config["profiles"]
    return found


def test_every_role_gets_a_profile_that_works_and_nothing_else_is_touched(machine: Machine) -> None:
    own = machine.config.read_text() + "\n[profile staging-Developer]\nregion = xx-mine-1\n"
    machine.write_config(own)
    shown = machine.run(*SYNC, "--diff")
    assert (shown.status, machine.config.read_text()) == (0, own)
    assert [line.split()[:2] for line in shown.out.splitlines()] == [
        ["+", "development-Developer"],
        ["+", "development-ReadOnly"],
        ["+", "production-ReadOnly"],
        ["+", "staging-Developer-222233334444"],
        ["+", "staging-ReadOnly"],
    ]
    done = machine.run(*SYNC, "--yes")
    assert (done.status, done.out) == (0, shown.out)
    assert machine.config.read_text().startswith(own)
    found = profiles(machine.config)
    assert found["staging-Developer"] == {"region": "xx-mine-1"}
    assert found["production-ReadOnly"]["region"] == "us-east-1"
    assert machine.run("get", "--profile", "staging-Developer-222233334444").json()["AccountId"] == "222233334444"
    assert machine.run_program(found["development-ReadOnly"]["credential_process"].split()).status == 0

    before = machine.config.stat()
    again = machine.run(*SYNC[:2], "--yes")  # there is only one session
    assert (again.status, again.out) == (0, "")
    assert "Nothing to do" in again.err
    assert machine.config.stat() == before


def test_a_role_that_was_taken_away_is_stale_until_it_is_pruned(machine: Machine) -> None:
    assert machine.run(*SYNC, "--yes").status == 0
    machine.sandbox.unassign("alice", "222233334444", "ReadOnly")
    try:
        kept = machine.run(*SYNC, "--yes", "--json").json()
        assert (kept["written"], kept["unchanged"]) == (False, 4)
        assert [one["profile"] for one in kept["stale"]] == ["staging-ReadOnly"]
        pruned = machine.run(*SYNC, "--yes", "--prune", "--json").json()
        assert [one["profile"] for one in pruned["removed"]] == ["staging-ReadOnly"]
        assert "[profile staging-ReadOnly]" in Path(pruned["backup"]).read_text()
        assert "staging-ReadOnly" not in profiles(machine.config)
    finally:
        machine.sandbox.assign("alice", "222233334444", "ReadOnly")


def test_options_win_over_the_settings_and_it_is_said_how_to_keep_them(machine: Machine) -> None:
    options = ("--native", "--name-template", "{role_name}", "--include", "1*/*d*", "--region-for", "*/R*=eu-north-1")
    run = machine.run(*SYNC, "--yes", *options)
    assert run.status == 0
    found = profiles(machine.config)["ReadOnly"]
    assert (found["sso_session"], found["region"]) == ("corp", "eu-north-1")
    start = run.err.index("[[sync]]")
    kept = "\n".join(line.strip() for line in run.err[start:].splitlines())
    (machine.home / ".config" / "credhelper" / "config.toml").write_text(kept)
    try:
        assert "Nothing to do" in machine.run(*SYNC, "--yes").err
    finally:
        (machine.home / ".config" / "credhelper" / "config.toml").write_text(SETTINGS)


def test_what_cannot_be_done_is_refused_and_changes_nothing(machine: Machine) -> None:
    own = machine.config.read_text() + "# BEGIN credhelper configure sync --sso-session corp\n"
    machine.write_config(own)
    refusal(machine.run(*SYNC), 2, "no terminal to ask on", f"credhelper {' '.join(SYNC)} --yes")
    refusal(machine.run(*SYNC, "--yes"), 4, str(machine.config), "line 24")
    refusal(machine.run(*SYNC[:-1], "none", "--yes"), 4, "there is no section [sso-session none]")
    refusal(machine.run(*SYNC, "--region-for", "x", "--yes"), 2, "--region-for: “x” is not of the form PATTERN=REGION")
    refusal(machine.run(*SYNC, "--name-template", "{x}", "--yes"), 2, "--name-template has the field {x}")
    own += "[sso-session other]\n"
    machine.write_config(own)
    refusal(machine.run(*SYNC[:2], "--yes"), 2, "has several sessions: corp, other", f"credhelper {' '.join(SYNC)}")
    assert machine.config.read_text() == own


def person(machine: Machine, *options: str) -> Screen:
    command = [sys.executable, "-Im", "credhelper", *SYNC, *options]
    return Screen(command, machine.environment, machine.home, columns=120)


def test_on_a_terminal_a_person_sees_the_difference_and_is_asked(machine: Machine) -> None:
    before = machine.config.read_text()
    with person(machine) as screen:
        shown = screen.shows(r"Write this to .*\? \[y/N\]")
        assert "+ staging-ReadOnly" in shown
        assert "5 added" in shown
        screen.type("n\n")
        assert screen.ends() == 130
    assert machine.config.read_text() == before
    with person(machine) as screen:
        screen.shows(r"Write this to .*\? \[y/N\]")
        screen.type("y\n")
        assert screen.ends() == 0
        assert screen.is_as_a_shell_wants_it()
    assert "staging-ReadOnly" in profiles(machine.config)


def test_ctrl_c_while_it_lists_leaves_the_file_and_the_terminal_as_they_were(machine: Machine) -> None:
    before = machine.config.read_text()
    machine.sandbox.hold("ListAccountRoles")
    try:
        with person(machine) as screen:
            screen.shows("Listing accounts and roles .* 0/3")
            screen.type("\x03")
            assert screen.ends() == 130
            assert screen.is_as_a_shell_wants_it()
            assert "Listing" not in screen.text
            assert HIDE not in screen.raw  # whatever ends it would have to show the cursor again
    finally:
        machine.sandbox.release()
    assert machine.config.read_text() == before


def test_what_is_edited_while_it_lists_counts(machine: Machine) -> None:
    machine.sandbox.hold("ListAccountRoles")
    try:
        with person(machine, "--yes") as screen:
            screen.shows("Listing accounts and roles .* 0/3")
            own = machine.config.read_text() + "\n[profile staging-ReadOnly]\nregion = xx-mine-1\n"
            machine.config.write_text(own)
            machine.sandbox.release()
            assert screen.ends() == 0
    finally:
        machine.sandbox.release()
    assert machine.config.read_text().startswith(own)
    assert "staging-ReadOnly-222233334444" in profiles(machine.config)


def test_without_a_login_it_says_how_to_log_in(sandbox: Sandbox) -> None:
    with Machine(sandbox) as machine:
        refusal(machine.run(*SYNC, "--yes"), 3, "credhelper login --sso-session corp")


@pytest.mark.long
@pytest.mark.timeout(400)
def test_five_hundred_accounts_with_five_roles_each_are_synced_without_a_throttling_failure() -> None:
    """The portal throttles as AWS's does, and half-way somebody breaks it off; the second sync takes up from there."""
    sandbox = Sandbox(directory=large_directory(ACCOUNTS, ROLES), lifetimes=Lifetimes(interval=0), rate_limit=20)
    config = CONFIG.partition("[profile dev]")[0]
    with logged_in(sandbox, config) as machine:
        with person(machine, "--yes") as screen:
            screen.shows(r" 1\d\d/500")
            os.kill(screen.pid, signal.SIGINT)
            assert screen.ends() == 130
        listed = machine.sandbox.calls["ListAccountRoles"]
        run = machine.run(*SYNC, "--yes")
        assert (run.status, len(run.out.splitlines())) == (0, ACCOUNTS * ROLES)
        assert machine.sandbox.calls["ListAccountRoles"] - listed < ACCOUNTS - 50
        found = profiles(machine.config)
        assert len(found) == ACCOUNTS * ROLES
        assert found["account-0499-Role04"]["credhelper_sso_account_id"] == "100000000499"
        assert machine.run("get", "--profile", "account-0250-Role02").json()["AccountId"] == "100000000250"
