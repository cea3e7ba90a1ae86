"""``credhelper login --cognito-login``: what a person is asked, shown and told, and what a program is."""

import json
import re
import socket
import sys
from collections.abc import Iterator

import pytest

from credhelper.sandbox.cognito_directory import CLIENT_ID, USER_POOL_ID, USERS_POOL_ID, AppClient
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine
from tests.program.terminal import Terminal
from tests.screen import Screen

CREDHELPER = (sys.executable, "-Im", "credhelper")
PASSWORD = "correct-horse"
OVER_SSH = {"BROWSER": "", "SSH_CONNECTION": "203.0.113.9 50000 203.0.113.7 2222", "USER": "alice"}
SETTINGS = """\
[cognito_login.notes]
user_pool_id = "{pool}"
client_id = "{client}"
redirect_port = [{port}]

[cognito_login.typed]
method = "srp"
user_pool_id = "{pool}"
client_id = "{client}"
username = "carol"

[cognito_login.printed]
method = "command"
provider = "accounts.google.com"
token_command = ["/bin/cat", "{token}"]
"""
PROFILES = f"""\
[profile notes-app]
credhelper_identity_pool_id = {USERS_POOL_ID}
credhelper_cognito_login = notes

[profile kiosk]
credhelper_identity_pool_id = {USERS_POOL_ID}
credhelper_guest = true
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=0)) as running:
        yield running


@pytest.fixture(scope="module")
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """One for all: each login here is forced, or the first of its name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sandbox.cognito.put_client(AppClient(CLIENT_ID, callbacks=frozenset({f"http://127.0.0.1:{port}/callback"})))
    with Machine(sandbox, PROFILES) as found:
        settings = found.home / ".config" / "credhelper" / "config.toml"
        settings.parent.mkdir(parents=True)
        token = found.home / "token"
        settings.write_text(SETTINGS.format(pool=USER_POOL_ID, client=CLIENT_ID, port=port, token=token))
        yield found


def terminal(machine: Machine, *arguments: str, **settings: str) -> Terminal:
    """One that can show lines only."""
    return Terminal(machine.environment | settings, machine.home, [*CREDHELPER, "login", *arguments])


def test_the_browsers_answer_logs_in_and_the_second_time_nothing_is_to_be_done(machine: Machine) -> None:
    opened = machine.home / "opened"
    machine.put_command("a-browser", f'echo "$1" >> "{opened}"')
    with terminal(machine, "--profile", "notes-app", BROWSER="a-browser") as person:
        url = person.shows(r"^http://\S+/oauth2/authorize\?\S+")[0]
        visit(machine, url)
        person.shows("only in the daemon's memory")  # there is no keyring
        person.shows("^Successfully logged in with Cognito login: notes$")
    again = machine.run("login", "--profile", "notes-app")
    assert again.status == 0
    assert again.err.startswith("Already logged in to notes until ")
    assert machine.run("login", "--cognito-login", "notes", "--json").json()["cognito_login"] == "notes"
    assert machine.run("whoami", "--profile", "notes-app", "--json").json()["role_name"] == "SandboxUser"


def test_where_no_browser_can_come_back_the_copied_address_is_pasted(machine: Machine) -> None:
    with terminal(machine, "--cognito-login", "notes", "--force", **OVER_SSH) as person:
        url = person.shows(r"^http://\S+/oauth2/authorize\?\S+")[0]
        person.shows("ssh -N -L")
        person.shows("paste it here and press Enter")
        person.enter("http://127.0.0.1/callback?code=1&state=2")
        person.shows("not the address that this login ends at")
        person.enter(machine.sandbox.authorize(url))
        person.shows("^Successfully logged in with Cognito login: notes$")


def test_a_password_and_a_code_are_typed_unseen(machine: Machine) -> None:
    command = [*CREDHELPER, "login", "--cognito-login", "typed"]
    with Screen(command, machine.environment, machine.home) as screen:
        screen.shows("Password of carol:")
        screen.type(PASSWORD + "\n")
        screen.shows("Code of the authenticator app:")
        code = machine.sandbox.cognito.totp("carol")
        screen.type(code + "\n")
        screen.shows("Successfully logged in with Cognito login: typed")
        assert screen.ends() == 0
        assert PASSWORD.encode() not in screen.raw
        assert code.encode() not in screen.raw


def test_who_gives_up_at_the_password_has_their_terminal_as_it_was(machine: Machine) -> None:
    command = [*CREDHELPER, "login", "--cognito-login", "typed", "--force"]
    with Screen(command, machine.environment, machine.home) as screen:
        screen.shows("Password of carol:")
        screen.type("\x03")
        assert screen.ends() == 130
        assert screen.is_as_a_shell_wants_it()
        assert "Traceback" not in screen.text
    status = machine.run("status", "--json").json()
    assert status["logins"] == []


def test_without_a_terminal_nobody_is_asked(machine: Machine) -> None:
    run = machine.run("login", "--cognito-login", "typed", "--force")
    assert (run.status, run.out) == (2, "")
    assert "there is no terminal" in run.err
    assert "hint: in a terminal: credhelper login --cognito-login typed" in run.err
    program = machine.run("login", "--cognito-login", "typed", "--force", "--json")
    assert program.status == 2
    assert program.json()["event"] == "failed"


def test_a_persons_command_is_run_in_front_of_them(machine: Machine) -> None:
    token = machine.home / "token"
    token.write_text(machine.sandbox.cognito.external_token("https://accounts.google.com", "audience", "alice"))
    run = machine.run("login", "--cognito-login", "printed", "--json")
    assert run.status == 0
    assert [json.loads(line)["event"] for line in run.out.splitlines()] == ["logged_in"]
    assert token.read_text() not in run.out + run.err
    token.unlink()
    failed = machine.run("login", "--cognito-login", "printed", "--force")
    assert failed.status == 6
    assert "[cognito_login.printed] token_command failed: /bin/cat ended with exit status 1" in failed.err
    assert "hint: run the command by itself until it prints a token, then: credhelper login" in failed.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--cognito-login", "nobody"), 4, "nobody"),
        (("--cognito-login", ""), 2, "--cognito-login needs a value"),
        (("--cognito-login", "notes", "--profile", "kiosk"), 2, "exclude each other"),
        (("--cognito-login", "notes", "--all"), 2, "--all means every session"),
        (("--cognito-login", "notes", "--use-device-code", "--force"), 2, "no login by device code"),
        (("--profile", "kiosk"), 2, "served without a login"),
    ],
)
def test_what_cannot_be_is_said(machine: Machine, arguments: tuple[str, ...], status: int, said: str) -> None:
    run = machine.run("login", *arguments)
    assert (run.status, run.out) == (status, "")
    assert said in run.err


def visit(machine: Machine, url: str) -> None:
    """The person signs in, and their browser goes where it is sent."""
    location = machine.sandbox.authorize(url)
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/\S+)", location)
    assert found is not None
    with socket.create_connection(("127.0.0.1", int(found[1]))) as browser:
        browser.sendall(f"GET {found[2]} HTTP/1.1\r\nHost: 127.0.0.1:{found[1]}\r\n\r\n".encode())
        browser.recv(1)
