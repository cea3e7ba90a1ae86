"""``credhelper login``: what a person and a program see of it, who joins whom, and how it can end."""

import json
import re
import signal
import stat
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from credhelper.sandbox.faults import Body, Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine
from tests.program.support import complaint, refusal, running_daemon, until

CORP = ("--sso-session", "corp")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NO_DISPLAY = {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_CONNECTION": ""}


def logins(machine: Machine) -> list[dict[str, str]]:
    found: list[dict[str, str]] = machine.run("status", "--json").json()["logins"]
    return found


def events(out: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in out.splitlines()]


def finish(login: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = login.communicate(timeout=SECONDS)
    return login.returncode, out, err


def test_by_code_in_json_it_is_one_event_a_line(machine: Machine, sandbox: Sandbox) -> None:
    with machine.logging_in(*CORP, "--json") as (login, event):
        assert event.keys() == {"event", "url"}
        assert event["event"] == "authorize"
        assert event["url"].startswith(f"{sandbox.url}/authorize?")
        assert logins(machine)[0].items() >= {"sso_session": "corp", "flow": "authorization_code"}.items()
        page = machine.approve(event)
        status, out, _ = finish(login)
    assert status == 0
    assert "You may close this tab" in page
    [logged_in] = events(out)
    assert logged_in.keys() == {"event", "sso_session", "start_url", "expires_at"}
    assert logged_in["event"] == "logged_in"
    assert logged_in["sso_session"] == "corp"
    assert logged_in["start_url"] == sandbox.start_url
    assert TIME.fullmatch(logged_in["expires_at"])
    token = json.loads(machine.token_file().read_bytes())
    assert token["expiresAt"] == logged_in["expires_at"]
    assert stat.S_IMODE(machine.token_file().stat().st_mode) == 0o600
    assert logins(machine) == []


@pytest.mark.parametrize("chosen", [(*CORP, "--use-device-code"), ("--profile", "legacy")])
def test_by_device_in_json_it_is_one_event_a_line(machine: Machine, sandbox: Sandbox, chosen: tuple[str, ...]) -> None:
    with machine.logging_in(*chosen, "--json") as (login, event):
        expected = {"event", "verification_uri", "verification_uri_complete", "user_code", "expires_at"}
        assert event.keys() == expected
        assert event["event"] == "device_authorization"
        assert event["user_code"] in event["verification_uri_complete"]
        assert TIME.fullmatch(event["expires_at"])
        [under_way] = logins(machine)
        assert under_way["flow"] == "device_code"
        assert under_way["expires_at"] == event["expires_at"]
        machine.approve(event)
        status, out, _ = finish(login)
    assert status == 0
    [logged_in] = events(out)
    assert logged_in["event"] == "logged_in"
    assert logged_in["sso_session"] == (None if "legacy" in chosen else "corp")
    assert logged_in["start_url"] == sandbox.start_url


def test_for_people_stdout_is_the_address_the_code_and_the_end(machine: Machine, sandbox: Sandbox) -> None:
    for device in (False, True):
        login = machine.start("login", *CORP, "--force", *(["--use-device-code"] if device else []))
        assert login.stdout is not None
        address = login.stdout.readline().strip()
        assert address.startswith(f"{sandbox.url}/{'device' if device else 'authorize?'}")
        if device:
            code = login.stdout.readline().strip()
            machine.approve({"event": "device_authorization", "user_code": code})
        else:
            machine.approve({"event": "authorize", "url": address})
        status, out, err = finish(login)
        assert status == 0
        assert out == f"Successfully logged into Start URL: {sandbox.start_url}\n"
        assert "Waiting for you to approve" in err


def test_it_returns_at_once_when_the_session_is_good_unless_forced(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    calls = dict(sandbox.calls)
    good = machine.run("login", *CORP)
    assert (good.status, good.out) == (0, "")
    assert "--force" in good.err
    [event] = events(machine.run("login", "--profile", "dev", "--json").out)
    assert event["event"] == "logged_in"
    assert event["expires_at"] == json.loads(machine.token_file().read_bytes())["expiresAt"]
    assert sandbox.calls == calls
    before = machine.token_file().read_bytes()
    machine.log_in(*CORP)
    assert machine.token_file().read_bytes() != before


def test_all_logs_in_to_every_session(machine: Machine) -> None:
    machine.log_in()
    with machine.logging_in("--all", "--json") as (login, event):
        assert event["event"] == "logged_in"
        assert login.stdout is not None
        machine.approve(json.loads(login.stdout.readline()))
        status, out, _ = finish(login)
    assert status == 0
    assert [event["sso_session"] for event in events(out)] == [None]
    assert {event["event"] for event in events(machine.run("login", "--all", "--json").out)} == {"logged_in"}


# -- together -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [False, True])
def test_a_second_caller_joins_the_first_and_ends_alike(machine: Machine, sandbox: Sandbox, device: bool) -> None:
    flow = ["--use-device-code"] if device else []
    with ExitStack() as stack:
        first, shown = stack.enter_context(machine.logging_in(*CORP, "--json", *flow))
        others = [
            stack.enter_context(machine.logging_in(*chosen, "--json"))
            for chosen in (CORP, ("--profile", "dev"), ("--profile", "native", "--force"))
        ]
        assert [event for _, event in others] == [shown] * 3
        assert len(logins(machine)) == 1
        machine.approve(shown)
        ends = [finish(login)[:2] for login in (first, *(login for login, _ in others))]
    assert {status for status, _ in ends} == {0}
    assert len({out for _, out in ends}) == 1
    assert sandbox.calls["CreateToken:authorization_code"] + sandbox.calls["StartDeviceAuthorization"] == 1


def test_a_denial_ends_it_for_everyone_with_5(machine: Machine) -> None:
    for flow in ([], ["--use-device-code"]):
        with (
            machine.logging_in(*CORP, "--json", *flow) as (first, event),
            machine.logging_in(*CORP, "--json") as (second, same),
        ):
            assert event == same
            page = machine.approve(event, deny=True)
            ends = [finish(login) for login in (first, second)]
        assert flow or "Access was denied" in page
        for status, out, err in ends:
            assert status == 5
            [failed] = events(out)
            assert failed.keys() == {"event", "code", "message"}
            assert (failed["event"], failed["code"]) == ("failed", "login_denied")
            complaint(err, "denied")
        assert not machine.token_file().exists()


def test_one_who_leaves_does_not_end_it_for_the_other_but_the_last_one_does(machine: Machine) -> None:
    with machine.logging_in(*CORP, "--json") as (first, event), machine.logging_in(*CORP, "--json") as (second, _):
        first.send_signal(signal.SIGINT)
        status, out, err = finish(first)
        assert (status, out) == (130, "")
        assert "Traceback" not in err
        assert len(logins(machine)) == 1
        second.send_signal(signal.SIGINT)
        assert finish(second)[0] == 130
    until(lambda: logins(machine) == [], "the login is cancelled")
    with pytest.raises(OSError, match="refused"):
        machine.approve(event)
    assert not machine.token_file().exists()


def test_a_login_process_that_is_killed_cancels_the_login(machine: Machine) -> None:
    with machine.logging_in(*CORP, "--json", "--use-device-code") as (login, _):
        login.kill()
        finish(login)
    until(lambda: logins(machine) == [], "the login is cancelled")


def test_a_logout_ends_a_login_under_way(machine: Machine) -> None:
    with machine.logging_in(*CORP, "--json") as (login, _):
        assert machine.run("logout", *CORP).status == 0
        status, out, err = finish(login)
    assert status == 3
    assert events(out)[-1]["event"] == "failed"
    complaint(err, "cancelled")


def test_only_login_commands_ever_start_one(machine: Machine, sandbox: Sandbox) -> None:
    for command in (("get", "--profile", "dev"), ("whoami", "--profile", "dev"), ("status",), ("logout",)):
        machine.run(*command)
    assert logins(machine) == []
    assert not sandbox.calls


# -- which flow, which browser --------------------------------------------------------------------------------------


def recorder(machine: Machine) -> tuple[Path, str]:
    """A browser that writes down what it is given, and where."""
    told, script = machine.root / "told", machine.root / "browser"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}.new\nmv {told}.new {told}\n', encoding="utf-8")
    script.chmod(0o755)
    return told, str(script)


def first_event(
    machine: Machine, *arguments: str, until_there: Path | None = None, **environment: str
) -> tuple[dict[str, str], str]:
    """The first event of a login that is then given up (once a browser has been told, if so wished), and its stderr."""
    login = machine.start("login", *CORP, "--json", *arguments, **environment)
    assert login.stdout is not None
    event: dict[str, str] = json.loads(login.stdout.readline())
    if until_there is not None:
        until(until_there.exists, "the browser has been told")
    login.send_signal(signal.SIGINT)
    _, err = login.communicate(timeout=SECONDS)
    until(lambda: logins(machine) == [], "the login is cancelled")
    return event, err


def test_the_browser_is_opened_by_the_client_with_the_address_alone(machine: Machine) -> None:
    told, browser = recorder(machine)
    event, _ = first_event(machine, BROWSER=browser, until_there=told)
    assert told.read_text(encoding="utf-8") == event["url"] + "\n"
    told.unlink()
    event, _ = first_event(machine, BROWSER=f"{browser} --new-window %s", until_there=told)
    assert told.read_text(encoding="utf-8") == f"--new-window\n{event['url']}\n"
    told.unlink()
    event, _ = first_event(machine, BROWSER=f"/nonexistent:{browser}", until_there=told)
    assert told.read_text(encoding="utf-8") == event["url"] + "\n"
    told.unlink()
    event, _ = first_event(machine, "--use-device-code", BROWSER=browser, until_there=told)
    assert told.read_text(encoding="utf-8") == event["verification_uri_complete"] + "\n"


def test_no_browser_opens_none_and_never_changes_the_flow(machine: Machine) -> None:
    told, browser = recorder(machine)
    for arguments in ((), ("--use-device-code",)):
        for variable in (browser, "/nonexistent"):
            there = told if variable == browser else None
            event, _ = first_event(machine, *arguments, BROWSER=variable, until_there=there)
            told.unlink(missing_ok=True)
            without, _ = first_event(machine, *arguments, "--no-browser", BROWSER=variable)
            assert without["event"] == event["event"]
            assert not told.exists()


def test_a_browser_that_cannot_be_started_means_a_device_code_and_it_says_why(machine: Machine) -> None:
    event, err = first_event(machine, BROWSER="/nonexistent/browser")
    assert event["event"] == "device_authorization"
    assert "because no browser can be started: BROWSER=/nonexistent/browser" in err


def test_without_browser_and_display_it_is_a_device_code_and_it_says_why(machine: Machine) -> None:
    del machine.environment["BROWSER"]
    event, err = first_event(machine, SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22", DISPLAY=":0")
    assert event["event"] == "device_authorization"
    assert "because this is an SSH connection" in err
    event, err = first_event(machine)
    assert event["event"] == "device_authorization"
    assert "because" in err
    event, err = first_event(machine, container="podman", DISPLAY=":0")
    assert event["event"] == "device_authorization"
    assert "because this is a container" in err


def test_browser_set_means_a_browser_even_over_ssh(machine: Machine) -> None:
    event, _ = first_event(machine, SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22")
    assert event["event"] == "authorize"


# -- failures -------------------------------------------------------------------------------------------------------


def test_failures_of_aws_end_it_with_6(machine: Machine, sandbox: Sandbox) -> None:
    for operation in ("RegisterClient", "StartDeviceAuthorization"):
        for fault in (Fault(status=500), Fault(body=Body.HTML), Fault(status=429)):
            sandbox.fail(operation, fault, times=None)
            run = machine.run("login", *CORP, "--use-device-code", "--json")
            sandbox.clear()
            assert run.status == 6, (operation, fault, run)
            assert [event["event"] for event in events(run.out)] == ["failed"]
            complaint(run.err)
    sandbox.fail("CreateToken:authorization_code", Fault(status=500), times=None)
    with machine.logging_in(*CORP, "--json") as (login, event):
        assert "The login failed" in machine.approve(event)
        assert finish(login)[0] == 6


def test_mistakes_of_the_configuration_end_it_with_4(machine: Machine) -> None:
    refusal(machine.run("login", "--profile", "nobody"), 4, str(machine.config))
    refusal(machine.run("login", "--sso-session", "nobody"), 4, str(machine.config), "[sso-session nobody]")


def test_a_directory_in_the_tokens_place_ends_it_with_1_and_is_named(machine: Machine) -> None:
    machine.token_file().mkdir(parents=True)
    with running_daemon(machine) as daemon:
        with machine.logging_in(*CORP, "--json") as (login, event):
            machine.approve(event)
            status, out, err = finish(login)
        assert "Traceback" not in daemon.log()
    assert status == 1
    assert events(out)[-1]["event"] == "failed"
    complaint(err, str(machine.token_file()))
    assert machine.token_file().is_dir()


# -- as the AWS CLI -------------------------------------------------------------------------------------------------


def test_sso_login_always_logs_in_anew(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    for arguments in (CORP, ("--profile", "dev", "--no-browser"), (*CORP, "--use-device-code")):
        login = machine.start("sso", "login", *arguments)
        assert login.stdout is not None
        address = login.stdout.readline().strip()
        if "--use-device-code" in arguments:
            machine.approve({"event": "device_authorization", "user_code": login.stdout.readline().strip()})
        else:
            machine.approve({"event": "authorize", "url": address})
        status, out, _ = finish(login)
        assert (status, out) == (0, f"Successfully logged into Start URL: {sandbox.start_url}\n")


def test_ctrl_c_before_anything_happened_is_130(machine: Machine, sandbox: Sandbox) -> None:
    with sandbox.hold("RegisterClient") as hold:
        login = machine.start("login", *CORP)
        hold.wait_for(1)
        login.send_signal(signal.SIGINT)
        assert finish(login)[0] == 130
