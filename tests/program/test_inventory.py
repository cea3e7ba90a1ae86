"""``credhelper accounts`` and ``roles``: tables for people, JSON for programs, and nothing smuggled into either."""

import contextlib
import json
import os
import re
import signal
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from credhelper.sandbox.directory import Account, Assignment, Directory, Person, Role, large_directory
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS, Machine
from tests.program.support import ask, connect, read_frame, refusal, request, until
from tests.screen import Screen

ESCAPES = "\x1b]0;owned\x07\x1b[31mRed\x1b[2J"
BIDI = "safe\u202egnp.exe\u2066x\u2069"
LINES = "one\ntwo\r\nthree\x85four\u2028five"
LONG = "N" * 10_000
HOSTILE = (ESCAPES, BIDI, LINES, LONG)

CORP_ONLY = CONFIG.partition("[profile legacy]")[0]


def hostile_directory() -> Directory:
    accounts = tuple(Account(f"{111122223333 + n}", name, name[:200]) for n, name in enumerate(HOSTILE))
    roles = (Role("Developer"), *map(Role, HOSTILE))
    return Directory(
        people=(Person("alice", "correct-horse"),),
        accounts=accounts,
        roles=roles,
        assignments=frozenset(
            Assignment("alice", account.account_id, role.name) for account in accounts for role in roles
        ),
    )


@contextlib.contextmanager
def logged_in(sandbox: Sandbox) -> Iterator[Machine]:
    """A machine with one session, which is logged in."""
    with sandbox, Machine(sandbox, CORP_ONLY.format(start_url=sandbox.start_url)) as machine:
        machine.log_in()
        yield machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with logged_in(Sandbox()) as machine:
        yield machine


def test_accounts_are_listed_by_name(machine: Machine) -> None:
    run = machine.run("accounts")
    assert run.status == 0
    assert [line.split()[:2] for line in run.out.splitlines()] == [
        ["ACCOUNT", "ID"],
        ["111122223333", "Development"],
        ["333344445555", "Production"],
        ["222233334444", "Staging"],
    ]
    assert run.err == ""
    found = machine.run("accounts", "--sso-session", "corp", "--json").json()
    assert found["sso_session"] == "corp"
    assert found["start_url"] == machine.sandbox.start_url
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["listed_at"])
    assert found["accounts"][0] == {
        "account_id": "111122223333",
        "account_name": "Development",
        "email": "aws+development@example.com",
    }


def test_roles_are_listed_by_account_with_their_profiles(machine: Machine) -> None:
    run = machine.run("roles", "--profile", "dev")
    assert run.status == 0
    assert [re.split(r"  +", line) for line in run.out.splitlines()][:4] == [
        ["ACCOUNT ID", "ACCOUNT", "ROLE", "PROFILES"],
        ["111122223333", "Development", "Administrator", "native"],
        ["111122223333", "Development", "Developer", "dev"],
        ["111122223333", "Development", "ReadOnly", "-"],
    ]
    found = machine.run("roles", "--account-id", "222233334444", "--json").json()
    assert found["roles"] == [
        {"account_id": "222233334444", "account_name": "Staging", "role_name": name, "profiles": []}
        for name in ("Developer", "ReadOnly")
    ]


def test_what_cannot_be_listed_is_refused_by_the_contract(machine: Machine) -> None:
    refusal(machine.run("roles", "--account-id", "12"), 2, "12 digits")
    refusal(machine.run("roles", "--account-id", "999999999999"), 5, "999999999999")
    refusal(machine.run("accounts", "--sso-session", "none"), 4, "none")


def test_a_request_may_only_ask_for_what_there_is(machine: Machine) -> None:
    answer = ask(machine, "inventory", sso_session="corp", only="names")
    assert answer["status"] == "2"


def test_the_last_frame_has_the_listing_and_those_before_say_how_far_it_is(machine: Machine) -> None:
    with connect(machine.socket) as connection:
        connection.sendall(request(machine, "inventory", sso_session="corp"))
        frames = [read_frame(connection)]
        while "event" in frames[-1]:
            frames.append(read_frame(connection))
    *events, last = frames
    assert {json.loads(frame["event"])["event"] for frame in events} == {"progress"}
    assert json.loads(events[0]["event"]) == {"event": "progress", "done": 0, "total": 0}
    assert len(json.loads(last["out"])["accounts"]) == 3


def test_of_several_sessions_one_has_to_be_named(machine: Machine) -> None:
    machine.write_config(CONFIG.format(start_url=machine.sandbox.start_url))
    try:
        refusal(machine.run("accounts"), 2, "--sso-session", "corp")
    finally:
        machine.write_config(CORP_ONLY.format(start_url=machine.sandbox.start_url))


@pytest.fixture(scope="module")
def hostile() -> Iterator[Machine]:
    with logged_in(Sandbox(directory=hostile_directory())) as machine:
        yield machine


@pytest.mark.parametrize("command", ["accounts", "roles"])
def test_names_cannot_smuggle_anything_onto_the_terminal(hostile: Machine, command: str) -> None:
    run = hostile.run(command)
    assert run.status == 0
    for line in run.out.splitlines():
        assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert len(line) < 400
    assert len(run.out.splitlines()) == 1 + len(HOSTILE) * (1 if command == "accounts" else len(HOSTILE))
    assert re.search(r"^\d{12}  .*Red", run.out, re.MULTILINE)


@pytest.mark.parametrize("command", ["accounts", "roles"])
def test_in_json_names_are_as_they_are_and_ascii_all_the_same(hostile: Machine, command: str) -> None:
    run = hostile.run(command, "--json")
    assert run.out.isascii()
    assert run.out.count("\n") == 1
    assert run.out[:-1].isprintable()
    names = {entry["account_name"] for entry in run.json()[command]}
    assert names == {ESCAPES, BIDI, LINES, LONG[:256]}


def test_a_log_out_without_a_daemon_removes_the_names(hostile: Machine) -> None:
    """Last in this file for this machine: it ends its login."""
    (path,) = hostile.home.glob(".local/state/credhelper/inventory-*.json")
    assert hostile.run("daemon", "stop").status == 0
    receipt = hostile.run("logout", "--sso-session", "corp", "--json", CREDHELPER_NO_AUTOSTART="1").json()
    assert str(path) in receipt["removed"]
    assert not path.exists()


@pytest.mark.long
def test_on_a_terminal_a_bar_tells_how_far_it_is_and_ctrl_c_leaves_nothing_behind_but_what_was_listed() -> None:
    with logged_in(Sandbox(directory=large_directory(21, 1))) as machine:
        command = [sys.executable, "-Im", "credhelper", "roles"]
        with Screen(command, machine.environment, machine.home) as screen:
            screen.shows(r"Listing roles .* 1\d/21")
            screen.type("\x03")
            assert screen.ends() == 130
            assert "Listing" not in screen.text
            assert screen.is_as_a_shell_wants_it()
        with Screen(command, machine.environment, machine.home) as screen:
            screen.shows(r"Listing roles .* [12]\d/21")
            screen.shows("Account 0020  Role00  -")
            assert screen.ends() == 0
            assert "Listing" not in screen.text
        assert machine.sandbox.calls["ListAccounts"] == 1
        assert machine.sandbox.calls["ListAccountRoles"] <= 21 + 6  # those under way at the Ctrl-C


@pytest.mark.long
def test_five_hundred_accounts_are_listed_without_a_single_refusal_and_a_killed_daemon_costs_little() -> None:
    sandbox = Sandbox(directory=large_directory(500, 5), rate_limit=20)
    with logged_in(sandbox) as machine:
        first = machine.start("roles", "--json")
        until(lambda: sandbox.calls["ListAccountRoles"] >= 250, "half of it is listed")
        os.kill(machine.daemon_pid(), signal.SIGKILL)
        _, err = first.communicate(timeout=SECONDS)
        assert first.returncode == 7, err
        second = machine.start("roles", "--json")
        out, err = second.communicate(timeout=2 * SECONDS)
        assert second.returncode == 0, err
        assert len(json.loads(out)["roles"]) == 2500
        assert sandbox.throttled == 0
        assert sandbox.calls["ListAccounts"] == 5
        assert sandbox.calls["ListAccountRoles"] <= 500 + 70  # what was found since it was last written down
