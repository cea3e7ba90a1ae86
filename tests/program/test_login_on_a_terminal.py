"""``credhelper login`` on a terminal: what a person sees, at each size, and that all is as before afterwards."""

import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credhelper.cli.logging_in.large_letters import large
from credhelper.cli.logging_in.login_screen import qr_code
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine
from tests.program.support import until
from tests.program.terminal import Terminal
from tests.screen import Screen

CREDHELPER = (sys.executable, "-Im", "credhelper")
CORP = ("--sso-session", "corp")
BY_DEVICE = (*CORP, "--use-device-code", "--no-browser")
OVER_SSH = {"BROWSER": "", "SSH_CONNECTION": "203.0.113.9 50000 203.0.113.7 2222", "USER": "alice"}
AT_AWS = "https://corp-example.awsapps.com/start/#/device?user_code=ABCD-EFGH"
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
ERASE = b"\x1b[K"
"""The one thing that is done to the screen beside printing: what is left of the last line is cleared."""
WAITING = r"left to approve it there\."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=0)) as running:
        yield running


@pytest.fixture(scope="module")
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """One for all: each login here is given up, or forced."""
    with Machine(sandbox) as found:
        yield found


def login(
    machine: Machine,
    *arguments: str,
    size: tuple[int, int] = (80, 24),
    stdout: Path | None = None,
    settings: dict[str, str] | None = None,
) -> Screen:
    """A login in a window of so many columns and rows; its stdout in a file where one is named."""
    command = [*CREDHELPER, "login", "--force", *arguments]
    if stdout is not None:
        command = ["sh", "-c", f"exec {shlex.join(command)} > {shlex.quote(str(stdout))}"]
    return Screen(command, machine.environment | (settings or {}), machine.home, columns=size[0], rows=size[1])


def lines_of(screen: Screen) -> list[str]:
    return screen.text.rstrip().split("\n")


def code_of(screen: Screen) -> str:
    found = re.search(r"\b[A-Z]{4}-[A-Z]{4}\b", screen.text)
    assert found is not None
    return found[0]


def give_up(screen: Screen) -> None:
    screen.type("\x03")
    assert screen.ends() == 130
    assert "The login was given up here." in screen.text.replace("\n", "")  # behind "^C", and perhaps wrapped
    assert "Traceback" not in screen.text


def test_at_once_one_sees_which_session_which_address_which_code_how_long_and_for_whom(
    machine: Machine, sandbox: Sandbox
) -> None:
    assert machine.run("get", "--profile", "dev").status == 3
    with login(machine, *BY_DEVICE) as screen:
        screen.shows(r"left to approve it there\. \S+ waits for it\.")
        lines, code = lines_of(screen), code_of(screen)
        assert lines[0] == "Session corp: to log in, open this address in any browser:"
        assert lines[1] == f"{sandbox.url}/device"
        assert lines[3] == code
        for part in (large(code[:5]), large(code[5:])):  # in two pieces beside the picture
            assert part is not None
            assert all(any(row.rstrip() in line for line in lines) for row in part)
        assert re.search(r"^. 9:5\d left to approve it there\. \S+ waits for it\. Ctrl-C gives up\.$", lines[-1])
        address = f"{sandbox.url}/device?user_code={code}"
        assert f"With the code filled in: {address}" in lines
        squares = qr_code(address)
        above = next(number for number, line in enumerate(lines) if "█▀▀▀▀▀█" in line) - 1
        picture = lines[above : above + len(squares)]
        assert [row[: len(squares[0])].rstrip() for row in picture] == [square.rstrip() for square in squares]
        sandbox.approve(code)
        assert screen.ends() == 0
        assert screen.is_as_a_shell_wants_it()
    assert lines_of(screen)[-1] == f"Successfully logged into Start URL: {sandbox.start_url}"
    assert lines_of(screen)[-2].startswith("The token is good until")
    assert "left to approve" not in screen.text


def test_a_qr_code_of_aws_fits_into_the_smallest_usual_window_with_all_that_must_be_seen(
    machine: Machine, sandbox: Sandbox
) -> None:
    members = {"verificationUriComplete": AT_AWS, "userCode": "ABCD-EFGH"}
    sandbox.fail("StartDeviceAuthorization", Fault(members=members))
    with login(machine, *CORP, settings=OVER_SSH) as screen:
        screen.shows(WAITING)
        lines, squares = lines_of(screen), qr_code(AT_AWS)
        assert (len(squares[0]), len(squares), len(lines)) == (37, 19, 24)
        assert lines[0].startswith("Session corp: ")
        assert "Logging in with a device code" in screen.text
        assert [line[:37].rstrip() for line in lines[4:23]] == [square.rstrip() for square in squares]
        assert screen.raw.count(b"48;2;255;255;255m") + screen.raw.count(b"48;5;231m") >= 19  # each row on white
        give_up(screen)


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "has_picture", "has_letters"),
    [((120, 40), True, True), ((46, 40), True, True), ((80, 20), False, True), ((40, 12), False, False)],
)
def test_what_there_is_no_room_for_is_left_out_and_nothing_scrolls_away(
    machine: Machine, size: tuple[int, int], has_picture: bool, has_letters: bool
) -> None:
    with login(machine, *BY_DEVICE, size=size) as screen:
        screen.shows("left")
        assert lines_of(screen)[0].startswith("Session corp: ")
        assert ("█▀▀▀▀▀█" in screen.text) is has_picture
        letters = large(code_of(screen)[:5])
        assert letters is not None
        assert (letters[0].strip() in screen.text) is has_letters
        assert code_of(screen) in lines_of(screen)
        give_up(screen)


@pytest.mark.long
def test_by_code_one_sees_the_session_and_the_address_and_how_long(machine: Machine, sandbox: Sandbox) -> None:
    with login(machine, *CORP) as screen:
        screen.shows(WAITING)
        assert " ".join(lines_of(screen)[:2]) == (
            "Session corp: your browser opens now. If it does not, open this address on this machine:"
        )
        assert f"{sandbox.url}/authorize?response_type=code&client_id=" in screen.text
        give_up(screen)


def test_over_ssh_a_port_of_ones_own_means_a_browser_elsewhere_and_the_way_back_is_told(machine: Machine) -> None:
    with login(machine, *CORP, "--redirect-port", "18765", "--copy", settings=OVER_SSH) as screen:
        screen.shows(r"^The address was sent to your terminal's clipboard\.$")
        assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A18765%2Foauth%2Fcallback" in screen.text.replace("\n", "")
        assert "  ssh -N -L 18765:127.0.0.1:18765 -p 2222 alice@203.0.113.7" in lines_of(screen)
        assert b"\x1b]52;c;" in screen.raw
        give_up(screen)


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_declines_gets_plain_lines(machine: Machine, plain: dict[str, str]) -> None:
    with login(machine, *BY_DEVICE, settings=plain) as screen:
        screen.shows(r"Ctrl-C gives up\.")
        assert b"\x1b" not in screen.raw
        assert lines_of(screen)[0] == "To log in, open this address in any browser:"
        screen.type("\x03")
        assert screen.ends() == 130


def test_where_stdout_is_a_file_it_gets_its_part_and_the_person_still_sees_everything(
    machine: Machine, sandbox: Sandbox
) -> None:
    out = machine.root / "out"
    with login(machine, *BY_DEVICE, stdout=out) as screen:
        screen.shows(WAITING)
        code = code_of(screen)
        assert code in lines_of(screen)
        assert f"{sandbox.url}/device" in lines_of(screen)
        sandbox.approve(code)
        assert screen.ends() == 0
    success = f"Successfully logged into Start URL: {sandbox.start_url}\n"
    assert out.read_text(encoding="utf-8") == f"{sandbox.url}/device\n{code}\n{success}"


@pytest.mark.long
def test_nothing_is_done_to_the_terminal_that_would_have_to_be_undone(machine: Machine) -> None:
    with login(machine, *BY_DEVICE) as screen:
        screen.shows("left")
        assert screen.is_as_a_shell_wants_it()
        os.kill(screen.pid, signal.SIGKILL)
        assert screen.ends() == 128 + signal.SIGKILL
        assert screen.is_as_a_shell_wants_it()
        assert b"\x1b" not in COLOUR.sub(b"", screen.raw).replace(ERASE, b"")


def test_a_second_one_sees_the_same_and_both_what_comes_to_wait_meanwhile(machine: Machine, sandbox: Sandbox) -> None:
    assert machine.run("logout").status == 0
    with login(machine, *BY_DEVICE) as first:
        first.shows(WAITING)  # whoever comes first decides how
        with login(machine, *CORP) as second:
            second.shows(WAITING)
            assert code_of(first) == code_of(second)
            job = machine.put_command("night-job", f"{shlex.join(CREDHELPER)} get --profile dev; exit $?")
            assert machine.run_program([str(job)]).status == 3
            first.shows(r"night-job waits? for it\.|and night-job wait for it\.")
            second.shows(r"night-job waits? for it\.|and night-job wait for it\.")
            sandbox.approve(code_of(first))
            assert (first.ends(), second.ends()) == (0, 0)
            assert "Successfully logged into" in second.text


@pytest.mark.long
def test_a_window_that_becomes_too_narrow_is_drawn_anew(machine: Machine) -> None:
    with login(machine, *BY_DEVICE) as screen:
        screen.shows("left")
        code = code_of(screen)
        letters = large(code[:5])
        assert letters is not None
        screen.resize(24, 34)
        screen.shows(r"^Session corp: to log in, open this$")
        screen.shows(re.escape(letters[-1].strip()))
        screen.shows("left")
        assert code in lines_of(screen)
        count = screen.raw.count(b"Session ")
        screen.resize(30, 100)
        screen.shows(WAITING)
        assert screen.raw.count(b"Session ") == count
        give_up(screen)


@pytest.mark.long
def test_one_that_was_stopped_comes_back_whole_and_keeps_silent_in_the_background(machine: Machine) -> None:
    command = shlex.join([*CREDHELPER, "login", "--force", *BY_DEVICE])
    with Terminal(machine.environment, machine.home) as shell:
        shell.shows(r"\$ ")
        shell.enter("TERM=xterm " + command)
        shell.shows(r"Session .*corp")
        shell.shows("left")
        shell.type("\x1a")
        shell.shows("Stopped")
        shell.enter("echo be''tween")  # so that the echo of these keys is not taken for it
        shell.shows("between")
        shell.enter("fg")
        shell.shows(r"Session .*corp")
        shell.shows("left")
        shell.type("\x1a")
        shell.shows("Stopped")
        shell.enter("bg; echo hid''den")
        shell.shows("hidden")
        shell.enter("credhelper() { " + shlex.join(CREDHELPER) + ' "$@"; }; credhelper status; echo e""nd')
        assert "left to" not in shell.shows(r"A login to corp waits(.*\n)*.*end$")[0]
        shell.enter("fg")
        shell.shows("left")
        shell.type("\x03")
        shell.shows(r"\$ ")
        shell.enter("echo sta''tus $?; stty -a")
        shell.shows("status 130")
        shell.shows(r"(?<!-)echo\b")


def test_each_of_all_sessions_says_which_of_how_many_it_is(machine: Machine) -> None:
    machine.log_in()
    machine.log_in("--profile", "legacy")
    with Screen([*CREDHELPER, "login", "--all"], machine.environment, machine.home) as screen:
        assert screen.ends() == 0
        assert lines_of(screen)[0] == "Session 1 of 2: corp"
        assert lines_of(screen)[1].startswith("Already logged in to corp until ")
        assert any(line.startswith("Session 2 of 2: http") for line in lines_of(screen))


# -- in a pipe ------------------------------------------------------------------------------------------------------


def test_in_a_pipe_nothing_that_draws_is_loaded(machine: Machine) -> None:
    machine.log_in()
    loaded = machine.imports_of("login", *CORP)
    assert not {"rich", "qrcode", "questionary", "tomllib", "credhelper.cli.logging_in.login_screen"} & loaded
    assert not {name for name in loaded if name.startswith(("rich.", "qrcode."))}


def test_json_has_none_of_what_is_told_beside_the_login(machine: Machine) -> None:
    assert machine.run("logout").status == 0
    assert machine.run("get", "--profile", "dev").status == 3
    with machine.logging_in(*BY_DEVICE, "--json") as (process, event):
        machine.approve(event)
        out, _ = process.communicate(timeout=SECONDS)
    events: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["logged_in"]


def test_a_port_in_use_is_told_with_what_to_do(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = machine.run("login", *CORP, "--force", "--redirect-port", str(port))
    assert run.status == 1
    assert run.out == ""
    assert f"port {port} on 127.0.0.1: it is in use" in run.err
    assert "credhelper: hint: credhelper login --sso-session corp --use-device-code" in run.err


def test_a_port_in_config_toml_makes_the_flow_over_ssh_by_code(machine: Machine) -> None:
    config = machine.home / ".config" / "credhelper" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[login]\nredirect_port = 18766\n", encoding="utf-8")
    try:
        assert machine.run("daemon", "reload").status == 0
        process = machine.start("login", *CORP, "--force", "--json", **OVER_SSH)
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
        assert "127.0.0.1%3A18766%2F" in event["url"]
        assert "ssh -N -L 18766:127.0.0.1:18766 -p 2222 alice@203.0.113.7" in err
        until(lambda: machine.run("status", "--json").json()["logins"] == [], "the login is cancelled")
    finally:
        config.unlink()
        assert machine.run("daemon", "reload").status == 0


# -- nothing hostile ------------------------------------------------------------------------------------------------


def test_no_command_prints_what_a_terminal_would_obey(machine: Machine, sandbox: Sandbox) -> None:
    escape = "\x1b]0;pwned\x07\u202e"
    machine.log_in()
    for operation in ("StartDeviceAuthorization", "Logout", "GetRoleCredentials"):
        sandbox.fail(operation, Fault(error=f"Invalid{escape}", status=400, message=f"no{escape}"), times=None)
    for command in (
        ("login", *CORP, "--force", "--use-device-code"),
        ("login", *CORP, "--force", "--use-device-code", "--json"),
        ("get", "--profile", "native"),
        ("status",),
        ("logout",),
    ):
        run = machine.run(*command)
        assert not {character for character in run.out + run.err if not character.isprintable()} - {"\n"}, command
    sandbox.clear()
