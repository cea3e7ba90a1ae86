"""No profile is chosen and there is no default: a list on a terminal, and wrong usage in a pipe."""

import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator

import pytest

from credhelper.sandbox.directory import Account, Assignment, Directory, default_directory
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.elsewhere import token_of_new_login
from tests.machine import Machine
from tests.program.support import ask, refusal
from tests.sandbox.clients import Clients
from tests.screen import Screen, shell

PROGRAM = f"{shlex.quote(sys.executable)} -Im credhelper"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202eevil"


def directory() -> Directory:
    """The default one, with an account whose name would command a terminal."""
    usual = default_directory()
    evil = Account("666677778888", HOSTILE, "aws@example.com")
    may_use = Assignment("alice", evil.account_id, "ReadOnly")
    return Directory(usual.people, (*usual.accounts, evil), usual.roles, usual.assignments | {may_use}, usual.iam_roles)


def log_in(machine: Machine) -> None:
    machine.cache.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Clients(machine.sandbox)) as clients:
        machine.token_file().write_bytes(token_of_new_login(machine.sandbox, clients, left=3600))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Logged in to session corp, whose accounts and roles have been listed once; no test changes it."""
    with Sandbox(lifetimes=Lifetimes(interval=0), directory=directory()) as sandbox, Machine(sandbox) as found:
        log_in(found)
        listed = found.run("roles", "--sso-session", "corp", "--json")
        assert listed.status == 0, listed.err
        yield found


def at_screen(machine: Machine, line: str, *, rows: int = 24, columns: int = 100) -> Screen:
    """A line of a shell's, on a terminal."""
    return Screen(["sh", "-c", line], machine.environment, machine.home, rows=rows, columns=columns)


def test_a_search_and_enter_choose_while_stdout_is_a_pipe(machine: Machine) -> None:
    line = f'eval "$({PROGRAM} export --format env)"; echo "got $AWS_ACCOUNT_ID"'
    with at_screen(machine, line) as screen:
        shown = screen.shows(r"search:")
        assert "ACCOUNT" in shown
        assert "Development" in shown
        screen.type("Nobody has this")
        screen.shows("Nothing matches")
        screen.type("\r")  # chooses nothing
        screen.type("\x15stag developer")  # Ctrl-U begins anew
        screen.shows(r"^Which role\? +1 of ")
        assert "222233334444  Developer" in screen.text
        screen.type("\r")
        screen.shows("got 222233334444")  # a role that no profile names
        assert "Chosen: --sso-session corp --account-id 222233334444 --role-name Developer" in screen.text
        assert screen.is_as_a_shell_wants_it()
        assert screen.ends() == 0


def test_what_was_used_last_comes_first_and_exec_gives_its_program_a_sane_terminal(machine: Machine) -> None:
    machine.run("get", "--profile", "native")
    ours = 'echo "ran as $CREDHELPER_EXEC"; stty -a; read word; echo "read $word"; exit 4'
    with at_screen(machine, f"{PROGRAM} exec -- sh -c {shlex.quote(ours)}") as screen:
        screen.shows(r"^> Development +111122223333 +Administrator +native")
        screen.type("\r")
        screen.shows("ran as native")
        screen.shows(" icanon ")
        screen.type("hello\r")
        screen.shows("read hello")
        assert screen.is_as_a_shell_wants_it()
        assert screen.ends() == 4


@pytest.mark.parametrize("key", ["\x1b", "\x03"], ids=["Esc", "Ctrl-C"])
def test_whoever_leaves_the_list_has_done_nothing(key: str, machine: Machine) -> None:
    with at_screen(machine, f"exec {PROGRAM} exec -- echo ran") as screen:
        screen.shows("search:")
        screen.type(key)
        assert screen.ends() == 130
        assert "nothing was done" in screen.text
        assert b"ran\r\n" not in screen.raw
        assert screen.is_as_a_shell_wants_it()


def test_login_offers_sessions(machine: Machine) -> None:
    with at_screen(machine, f"exec {PROGRAM} login") as screen:
        shown = screen.shows("search:")
        assert "Which session?" in shown
        assert "profile legacy" in shown
        screen.type("corp\r")
        screen.shows("Already logged in to corp")
        assert screen.ends() == 0


def test_the_only_session_needs_no_list(machine: Machine) -> None:
    (machine.home / "one").write_text(machine.config.read_text().partition("[profile ")[0])
    with at_screen(machine, f"AWS_CONFIG_FILE=~/one exec {PROGRAM} login") as screen:
        screen.shows("Chosen: --sso-session corp")
        assert screen.ends() == 0
        assert "Already logged in to corp" in screen.text


def test_in_a_pipe_and_where_nothing_can_be_drawn_it_is_wrong_usage(machine: Machine) -> None:
    refusal(machine.run("export"), 2, "no profile is chosen", "--profile")
    with at_screen(machine, f"exec {PROGRAM} export </dev/null") as screen:
        assert screen.ends() == 2
    with at_screen(machine, f"TERM=dumb exec {PROGRAM} export") as screen:
        assert screen.ends() == 2


def test_names_cannot_smuggle_anything_onto_the_terminal(machine: Machine) -> None:
    with at_screen(machine, f"exec {PROGRAM} export") as screen:
        screen.shows("search:")
        screen.type("evil")
        screen.shows(r"^Which role\? +1 of ")
        assert b"]0;owned\x07" not in screen.raw
        assert "\u202e".encode() not in screen.raw
        screen.type("\x03")
        assert screen.ends() == 130


@pytest.mark.long
def test_a_default_that_can_be_used_needs_no_list(machine: Machine) -> None:
    config = machine.config.read_text()
    with Machine(machine.sandbox, config.replace("[profile native]", "[default]")) as other:
        log_in(other)
        with at_screen(other, f"exec {PROGRAM} export") as screen:
            assert screen.ends() == 0
            assert "AccessKeyId" in screen.text


@pytest.mark.long
def test_one_that_stands_for_no_role_does(machine: Machine) -> None:
    config = machine.config.read_text() + "\n[default]\nregion = eu-west-1\n"
    with Machine(machine.sandbox, config) as other, at_screen(other, f"exec {PROGRAM} console --print") as screen:
        screen.shows("search:")
        screen.type("\x1b")
        assert screen.ends() == 130


@pytest.mark.long
def test_an_empty_list_is_an_error_that_says_what_to_do(machine: Machine) -> None:
    session = machine.config.read_text().partition("[profile")[0]
    for config, status, hint in (("", 4, "configure sso-session"), (session, 2, "configure sync --sso-session corp")):
        with Machine(machine.sandbox, config) as other, at_screen(other, f"exec {PROGRAM} export") as screen:
            assert screen.ends() == status
            assert hint in screen.text


@pytest.mark.long
def test_the_keys_that_move_and_a_window_that_changes(machine: Machine) -> None:
    with at_screen(machine, f"exec {PROGRAM} export", rows=8) as screen:
        screen.shows("search:")
        screen.type("\x1b[F")  # End
        lines = screen.shows("^> .*legacy|^> .*ReadOnly").splitlines()
        assert (lines[2].split()[0], lines[6][0]) == ("ACCOUNT", ">")  # four rows, the last of them pointed at
        screen.type("\x1b[H\x1b[B\x1b[B\x1b[A\x1b[6~\x1b[5~")  # Home, Down, Down, Up, Page Down, Page Up
        screen.resize(24, 40)
        screen.shows(r"^> .*…$")
        screen.type("\x15ReadOnly")
        screen.shows("search: ReadOnly")
        screen.resize(4, 100)
        screen.shows("Esc leaves")
        screen.type("\x07")
        assert screen.ends() == 130
        assert screen.is_as_a_shell_wants_it()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_sane(number: signal.Signals, machine: Machine) -> None:
    with at_screen(machine, f"exec {PROGRAM} export") as screen:
        screen.shows("search:")
        os.kill(screen.pid, number)
        assert screen.ends() == (130 if number == signal.SIGINT else 128 + number)
        assert screen.is_as_a_shell_wants_it()


@pytest.mark.long
def test_a_paste_and_a_suspension_do_no_harm(machine: Machine) -> None:
    with shell(machine.environment, machine.home) as screen:
        screen.shows(r"\$$")
        screen.type(f"{PROGRAM} export --format env\r")
        screen.shows("search:")
        screen.type("\x1a")
        screen.shows("Stopped")
        screen.type("fg\r")
        screen.shows("search:")
        screen.type("\x1b[200~native\nrm -rf /\n\x1b[201~")
        screen.shows("search: native rm -rf /")
        screen.shows("Nothing matches")
        screen.type("\x15native\r")
        screen.shows("AWS_ACCOUNT_ID=111122223333")


@pytest.mark.long
def test_roles_and_accounts_offer_sessions_too(machine: Machine) -> None:
    with at_screen(machine, f"exec {PROGRAM} roles") as screen:
        screen.shows(r"^Which session\?")
        screen.type("corp\r")
        screen.shows("222233334444 +Staging +Developer")
        assert screen.ends() == 0


@pytest.mark.long
def test_only_who_is_asked_pays_for_the_list(machine: Machine) -> None:
    for command in (("export", "--profile", "dev"), ("login", "--profile", "dev"), ("export",)):
        assert not {"prompt_toolkit", "questionary", "rich", "asyncio"} & machine.imports_of(*command)


@pytest.mark.long
def test_choices_are_documents_for_programs_too(machine: Machine) -> None:
    found = json.loads(ask(machine, "choices")["out"])
    assert {role["profile"] for role in found["profiles"]} == {"dev", "native", "legacy"}
    assert HOSTILE in {role["account_name"] for role in found["roles"]}
