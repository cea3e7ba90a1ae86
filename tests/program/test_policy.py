"""Rules, questions and locks as a person meets them: commands, exit statuses, real programs that ask."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from credhelper import client
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.bus import NotificationServer, PrivateBus, needs_bus
from tests.machine import SECONDS, Machine, Run
from tests.program.support import until
from tests.terminal import in_terminal

PYTHON = os.path.realpath(sys.executable)
COMMAND = [sys.executable, "-Im", "credhelper"]
DEV = ("get", "--profile", "dev")

CONNECTS_AND_BECOMES_ANOTHER = """\
import _socket, os, sys
path, request, hello = sys.argv[1:]
def connect():
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect(path)
    return connection
asking, other = connect(), connect()
other.sendall(open(hello, "rb").read())
assert other.recv(9999)  # they were let in one after the other, and so we were looked at
os.dup2(asking.fileno(), 9)
os.execv("/bin/bash", ["bash", "-c", 'cat "$0" >&9; cat <&9', request])
"""
ASKS = """\
import _socket, sys
connection = _socket.socket(_socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(open(sys.argv[2], "rb").read())
while part := connection.recv(65536):
    sys.stdout.buffer.write(part)
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=0)) as running:
        yield running


@pytest.fixture(scope="module")
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """Logged in; each test has its own rules."""
    with Machine(sandbox) as found:
        found.log_in()
        yield found


@contextmanager
def rules(machine: Machine, text: str) -> Iterator[None]:
    """Inside, a daemon that has these settings."""
    path = machine.home / ".config" / "credhelper" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert machine.run("daemon", "reload").status == 0
    try:
        yield
    finally:
        path.unlink()
        assert machine.run("daemon", "reload").status == 0


def frame(machine: Machine, name: str, **fields: str) -> str:
    """A file with a request, for programs that connect by themselves."""
    request = {"v": client.PROTOCOL.decode(), "cwd": "/", "HOME": str(machine.home)} | fields
    path = machine.root / name
    path.write_bytes(client.frame({key.encode(): value.encode() for key, value in request.items()}))
    return str(path)


def run_typed(machine: Machine, code: str, *arguments: str) -> bytes:
    """What a program prints that a person has typed into a shell, and that calls itself credhelper."""
    program = machine.root / "bin" / "credhelper"
    program.unlink(missing_ok=True)
    program.symlink_to(sys.executable)
    line = shlex.join([str(program), "-IS", "-c", code, *arguments])
    done = subprocess.run(
        ["/bin/bash", "-c", f"{line}; true"],
        capture_output=True,
        start_new_session=True,
        timeout=SECONDS,
        check=True,
        env=machine.environment,
    )
    assert done.stderr == b""
    return done.stdout


# -- rules ------------------------------------------------------------------------------------------------------------


def test_a_rule_holds_from_the_reload_on_and_is_named(machine: Machine) -> None:
    assert machine.run(*DEV).status == 0
    with rules(machine, '[[policy]]\nname = "hands off"\nmatch = "dev"\ndeny = true\n'):
        for arguments in (
            DEV,
            ("get", "--sso-session", "corp", "--account-id", "111122223333", "--role-name", "Developer"),
        ):
            refused = machine.run(*arguments)
            assert (refused.status, refused.out) == (5, "")
            assert "the rule “hands off” denies" in refused.err
            assert "config.toml: [[policy]] “hands off”" in refused.err
        assert machine.run("whoami", "--profile", "dev").status == 5
    assert machine.run(*DEV).status == 0


def test_a_mistake_in_a_rule_leaves_the_rules_as_they_were(machine: Machine) -> None:
    with rules(machine, '[[policy]]\nname = "r"\nmatch = "dev"\ndeny = true\n'):
        path = machine.home / ".config" / "credhelper" / "config.toml"
        path.write_text('[[policy]]\nname = "r"\nmatch = "dev"\nallow_exe = "terraform"\n')
        reload = machine.run("daemon", "reload")
        assert reload.status == 4
        assert f"{path}: line 4: [[policy]] allow_exe" in reload.err
        assert machine.run(*DEV).status == 5


def test_the_program_that_runs_the_client_is_looked_at(machine: Machine) -> None:
    line = shlex.join(machine.process_line("dev"))
    bash = os.path.realpath("/bin/bash")
    with rules(machine, f'[[policy]]\nname = "tools"\nmatch = "dev"\nallow_exe = "{PYTHON}"\n'):
        run = [
            sys.executable,
            "-c",
            f"import subprocess; raise SystemExit(subprocess.call({machine.process_line('dev')}))",
        ]
        assert machine.run_program(run).status == 0
        refused = machine.run_program(["setsid", "--wait", "bash", "-c", f"{line}; exit $?"])
        assert (refused.status, refused.out) == (5, "")
        assert f"the rule “tools” does not let {bash} use dev" in refused.err


def test_a_program_that_becomes_an_allowed_one_between_its_connection_and_its_request_is_refused(
    machine: Machine,
) -> None:
    request, hello = frame(machine, "request", op="get", profile="dev"), frame(machine, "hello", op="hello")
    with rules(machine, f'[[policy]]\nname = "tools"\nmatch = "dev"\nallow_exe = ["/bin/bash", "{PYTHON}"]\n'):
        assert b'"AccessKeyId"' in run_typed(machine, ASKS, str(machine.socket), request)
        answer = run_typed(machine, CONNECTS_AND_BECOMES_ANOTHER, str(machine.socket), request, hello)
        assert b"status=5\0" in answer
        assert b"has become another one while it asked" in answer
        assert b"AccessKeyId" not in answer


# -- questions --------------------------------------------------------------------------------------------------------

CONFIRM = '[[policy]]\nname = "ask me"\nmatch = "dev"\nconfirm = true\n'


def answered(machine: Machine, typed: str, *arguments: str) -> Run:
    """A command at a terminal that asks one question, and what the person types."""
    with in_terminal([*COMMAND, *arguments], machine.environment, machine.home) as terminal:
        terminal.wait_for("[y/N] ")
        assert "rule “ask me”: may " in terminal.shown
        terminal.type(typed + "\n")
        return Run(*terminal.finish())


def test_get_never_waits_and_passes_once_a_person_has_said_yes(machine: Machine) -> None:
    with rules(machine, CONFIRM):
        refused = machine.run(*DEV)
        assert (refused.status, refused.out) == (5, "")
        assert "credhelper: hint: credhelper confirm\n" in refused.err
        assert answered(machine, "y", "confirm").status == 0
        assert machine.run(*DEV).status == 0


def test_anything_but_a_yes_is_a_no(machine: Machine) -> None:
    with rules(machine, CONFIRM):
        machine.run(*DEV)
        assert answered(machine, "", "confirm").status == 5
        assert "you said no" in machine.run(*DEV).err


def test_commands_at_a_terminal_ask_at_once_and_go_on(machine: Machine) -> None:
    with rules(machine, CONFIRM):
        export = answered(machine, "yes", "export", "--profile", "dev", "--format", "env")
        assert export.status == 0
        assert "AWS_ACCESS_KEY_ID" in export.out
    with rules(machine, CONFIRM):
        refused = answered(machine, "n", "export", "--profile", "dev", "--format", "env")
        assert (refused.status, refused.out) == (5, "")


def test_questions_are_shown_without_a_terminal_and_answered_with_one(machine: Machine) -> None:
    with rules(machine, CONFIRM):
        assert machine.run("confirm", "--list").out == "No question waits for an answer.\n"
        machine.run(*DEV)
        (question,) = machine.run("confirm", "--json").json()["questions"]
        assert (question["rule"], question["program"]) == ("ask me", PYTHON)
        assert "may " + PYTHON in machine.run("confirm", "--list").out
        alone = machine.run_program(["setsid", "--wait", *COMMAND, "confirm"])
        assert (alone.status, alone.out) == (2, "")
        assert machine.run(*DEV).status == 5


@needs_bus
def test_a_person_at_a_desktop_answers_with_a_button(sandbox: Sandbox) -> None:
    with PrivateBus() as bus, NotificationServer(bus, "actions", "body") as desktop, Machine(sandbox) as machine:
        machine.environment |= {"DBUS_SESSION_BUS_ADDRESS": bus.address, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/none"}
        machine.log_in()
        quiet = '[notify]\nquiet_hours = ["00:00-12:00", "12:00-00:00"]\n'
        with rules(machine, quiet + CONFIRM):
            assert machine.run(*DEV).status == 5
            shown = desktop.next()
            assert shown.summary == f"Let {PYTHON.rpartition('/')[2]} use dev?"
            desktop.press(1, "allow")
            until(lambda: machine.run(*DEV).status == 0, "the answer holds")


# -- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_holds_over_a_restart_until_it_is_undone(machine: Machine) -> None:
    try:
        locked = machine.run("lock")
        assert (locked.status, locked.out) == (0, "Locked. Nothing is handed out until: credhelper unlock\n")
        assert machine.run("lock").out.startswith("It was locked already, since ")
        assert machine.run("daemon", "restart").status == 0
        refused = machine.run(*DEV)
        assert (refused.status, refused.out) == (5, "")
        assert refused.err.endswith("credhelper: hint: credhelper unlock\n")
        assert machine.run("login", "--sso-session", "corp", "--force", "--no-browser").status == 5
        status = machine.run("status")
        assert status.status == 0
        assert "It is locked: nothing is handed out (run: credhelper unlock)." in status.out
        assert machine.run("status", "--json").json()["daemon"]["locked"] is True
        assert "policy.locked" in json.dumps(machine.run("doctor", "--json").json())
    finally:
        unlocked = machine.run("unlock", "--json")
    assert unlocked.json() == {"locked": False, "since": None, "changed": True}
    assert machine.run("unlock").out == "It was not locked.\n"
    assert machine.run(*DEV).status == 0


def test_what_one_daemon_of_a_home_is_told_holds_for_the_other(machine: Machine) -> None:
    elsewhere = {"CREDHELPER_SOCKET": str(machine.root / "other.sock")}
    lease = ("lease", "create", "--profile", "dev")
    try:
        assert machine.run(*lease, **elsewhere).status == 0
        assert machine.run("lock").status == 0
        until(lambda: machine.run(*DEV, **elsewhere).status == 5, "the other daemon's lock")
        assert machine.run("unlock").status == machine.run("unlock", **elsewhere).status == 0
        assert machine.run("logout").status == 0
        until(lambda: not machine.run("lease", "list", "--json", **elsewhere).json()["leases"], "the lease's end")
        machine.log_in()
        assert machine.run(*DEV, **elsewhere).status == 0
    finally:
        machine.run("unlock")
        machine.run("daemon", "stop", **elsewhere)


def test_a_lock_is_known_without_a_daemon_too(machine: Machine) -> None:
    machine.run("lock")
    try:
        machine.run("daemon", "stop")
        assert machine.run("status", "--json").json()["daemon"]["locked"] is True
        assert "It is locked" in machine.run("status").out
    finally:
        assert machine.run("unlock").status == 0


def test_what_a_lock_costs_a_start(machine: Machine) -> None:
    for command in ("lock", "unlock", "confirm"):
        assert not {"asyncio", "botocore"} & machine.imports_of(command, "--help"), command
