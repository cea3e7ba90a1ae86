"""``credhelper logout``: what is local goes whatever the network says, and the receipt tells the truth."""

import json
import os
import re

import pytest

from credhelper.sandbox.faults import Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Machine
from tests.program.support import refusal

CORP = ("--sso-session", "corp")
EMPTY: dict[str, list[object]] = {"sessions": [], "removed": [], "left": [], "still_valid": []}


def two_sessions(machine: Machine) -> None:
    """Logs in to a second session, other, and to corp and the legacy profile."""
    url = machine.sandbox.start_url
    machine.write_config(
        f"[sso-session other]\nsso_start_url = {url}\nsso_region = us-east-1\n\n" + CONFIG.format(start_url=url)
    )
    for chosen in (CORP, ("--sso-session", "other"), ("--profile", "legacy", "--use-device-code")):
        machine.log_in(*chosen)


def cached(machine: Machine) -> set[str]:
    return {str(path) for path in machine.cache.iterdir()}


@pytest.mark.parametrize("with_daemon", [True, False])
def test_of_everything_it_clears_all_and_ends_every_sign_in(
    machine: Machine, sandbox: Sandbox, with_daemon: bool
) -> None:
    two_sessions(machine)
    assert machine.run("get", "--profile", "dev").status == 0
    files = cached(machine)
    if not with_daemon:
        assert machine.run("daemon", "stop").status == 0
    run = machine.run("logout", "--json")
    assert (run.status, run.err) == (0, "")
    assert run.out.count("\n") == 1
    receipt = run.json()
    assert receipt.keys() == EMPTY.keys()
    assert [session["sso_session"] for session in receipt["sessions"]] == ["other", "corp", None]
    for session in receipt["sessions"]:
        expected = {"source": "sso", "cognito_login": None, "start_url": sandbox.start_url, "token": "deleted"}
        assert session == expected | {"sso_session": session["sso_session"], "revoked": True, "error": None}
    assert set(receipt["removed"]) == files
    assert receipt["left"] == []
    if with_daemon:
        [role] = receipt["still_valid"]
        assert role.keys() == {"account_id", "role_name", "expires_at"}
        assert (role["account_id"], role["role_name"]) == ("111122223333", "Developer")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", role["expires_at"])
    else:
        assert receipt["still_valid"] == []
        assert not machine.socket.exists()
    assert sandbox.calls["Logout"] == 3
    assert list(machine.cache.iterdir()) == []
    refusal(machine.run("get", "--profile", "dev"), 3)


@pytest.mark.parametrize("with_daemon", [True, False])
def test_twice_the_second_has_nothing_to_do(machine: Machine, with_daemon: bool) -> None:
    machine.log_in()
    if not with_daemon:
        assert machine.run("daemon", "stop").status == 0
    assert machine.run("logout", "--json").json()["sessions"] != []
    again = machine.run("logout", "--json")
    assert (again.status, again.json()) == (0, EMPTY)
    chosen = machine.run("logout", *CORP, "--json")
    assert chosen.status == 0
    [session] = chosen.json()["sessions"]
    assert (session["token"], session["revoked"], session["error"]) == ("absent", None, None)
    assert machine.run("logout").out == "There was nothing to log out of.\n"


@pytest.mark.parametrize("with_daemon", [True, False])
@pytest.mark.parametrize("chosen", [CORP, ("--profile", "dev")])
def test_with_a_selector_only_that_session_goes(machine: Machine, with_daemon: bool, chosen: tuple[str, ...]) -> None:
    two_sessions(machine)
    if not with_daemon:
        assert machine.run("daemon", "stop").status == 0
    receipt = machine.run("logout", *chosen, "--json").json()
    assert [session["sso_session"] for session in receipt["sessions"]] == ["corp"]
    assert str(machine.token_file()) in receipt["removed"]
    refusal(machine.run("get", "--profile", "dev"), 3)
    assert machine.run("login", "--sso-session", "other").status == 0
    assert machine.run("get", "--profile", "legacy").status == 0


@pytest.mark.parametrize("with_daemon", [True, False])
def test_offline_what_is_local_is_gone_and_the_receipt_says_not_revoked(
    machine: Machine, sandbox: Sandbox, with_daemon: bool
) -> None:
    machine.log_in()
    if not with_daemon:
        assert machine.run("daemon", "stop").status == 0
    sandbox.stop()
    run = machine.run("logout", "--json")
    assert run.status == 0
    [session] = run.json()["sessions"]
    assert (session["token"], session["revoked"]) == ("deleted", False)
    assert "cannot be reached" in session["error"]
    assert list(machine.cache.iterdir()) == []


def test_a_portal_that_fails_or_hangs_is_no_failure(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    sandbox.fail("Logout", Fault(status=500), times=None)
    run = machine.run("logout", *CORP, "--json")
    assert (run.status, run.json()["sessions"][0]["revoked"]) == (0, False)
    sandbox.clear()
    machine.log_in()
    with sandbox.hold("Logout"):
        run = machine.run("logout", *CORP)
    assert run.status == 0
    assert "sign-in not ended at the portal" in run.out
    assert not machine.token_file().exists()


@pytest.mark.parametrize("with_daemon", [True, False])
def test_what_cannot_be_removed_is_listed_with_8(machine: Machine, with_daemon: bool) -> None:
    machine.token_file().mkdir(parents=True)
    if with_daemon:
        assert machine.run("daemon", "start").status == 0
    run = machine.run("logout", "--json")
    assert run.status == 8
    [left] = run.json()["left"]
    assert left.keys() == {"path", "why"}
    assert left["path"] == str(machine.token_file())
    assert [session["token"] for session in run.json()["sessions"]] == ["kept"]
    assert str(machine.token_file()) in run.err
    assert machine.run("sso", "logout").status == 8


def test_a_broken_configuration_keeps_nobody_from_logging_out_of_everything(machine: Machine) -> None:
    machine.log_in()
    for stopped in (False, True):
        machine.write_config("[sso-session corp\n")
        if stopped:
            assert machine.run("daemon", "stop").status == 0
        refusal(machine.run("logout", *CORP), 4, str(machine.config))
        assert machine.run("logout").status == 0
        assert not machine.token_file().exists()
        machine.write_config(CONFIG.format(start_url=machine.sandbox.start_url))
        if not stopped:
            machine.log_in()


def test_sso_logout_is_of_everything_and_silent(machine: Machine) -> None:
    two_sessions(machine)
    run = machine.run("sso", "logout", "--profile", "legacy")
    assert (run.status, run.out, run.err) == (0, "", "")
    assert list(machine.cache.iterdir()) == []
    for profile in ("dev", "legacy"):
        refusal(machine.run("get", "--profile", profile), 3)


def test_it_clears_the_aws_clis_role_cache_of_sso_entries(machine: Machine) -> None:
    machine.log_in()
    cache = machine.home / ".aws" / "cli" / "cache"
    cache.mkdir(parents=True)
    (cache / "sso.json").write_text(json.dumps({"ProviderType": "sso", "Credentials": {}}), encoding="utf-8")
    (cache / "notes.txt").write_text("mine", encoding="utf-8")
    assert str(cache / "sso.json") in machine.run("logout", "--json").json()["removed"]
    assert os.listdir(cache) == ["notes.txt"]


def test_after_a_logout_nothing_is_served_though_it_was_in_memory(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    assert machine.run("get", "--profile", "dev").status == 0
    assert machine.run("logout").status == 0
    calls = sandbox.calls["GetRoleCredentials"]
    refusal(machine.run("get", "--profile", "dev"), 3)
    assert sandbox.calls["GetRoleCredentials"] == calls
    machine.log_in()
    assert machine.run("get", "--profile", "dev").status == 0
