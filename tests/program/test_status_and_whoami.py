"""``credhelper status`` and ``credhelper whoami``: facts for people and programs, and statuses for scripts."""

import json
import os
import socket
from typing import Any

import pytest

from credhelper import __version__
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine
from tests.program.support import hello, refusal

SESSION = {"name", "start_url", "region", "state", "expires_at", "refreshable", "next_refresh_at", "last_error"}
ROLE = {"source", "sso_session", "account_id", "role_name", "profiles", "state", "expires_at", "last_used_at"}
WHOLE = {"daemon", "sso_sessions", "cognito_logins", "role_credentials", "logins", "leases"}


def corp(document: Any) -> Any:
    return next(session for session in document["sso_sessions"] if session["name"] == "corp")


def age(machine: Machine, *, refreshable: bool) -> None:
    """Lets the token of session corp have expired."""
    token = json.loads(machine.token_file().read_bytes())
    token["expiresAt"] = "2020-01-01T00:00:00Z"
    if not refreshable:
        del token["refreshToken"]
    machine.token_file().write_text(json.dumps(token), encoding="utf-8")


def test_its_shape_with_everything_under_way(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    assert machine.run("get", "--profile", "dev").status == 0
    with machine.logging_in("--profile", "legacy", "--json"):
        run = machine.run("status", "--json")
    assert (run.status, run.err) == (0, "")
    found = run.json()
    assert found.keys() == WHOLE
    contract = {"running", "pid", "version", "started_at", "socket", "vault"}
    assert found["daemon"].keys() == contract | {"vault_error", "clock_skew", "settings_error", "locked"}
    assert found["daemon"]["running"] is True
    assert found["daemon"]["pid"] == hello(machine.socket)
    assert found["daemon"]["version"] == __version__
    assert found["daemon"]["socket"] == str(machine.socket)
    assert [session["name"] for session in found["sso_sessions"]] == ["corp", None]
    assert {frozenset(session) for session in found["sso_sessions"]} == {frozenset(SESSION)}
    token = json.loads(machine.token_file().read_bytes())
    assert (
        corp(found).items()
        >= {
            "start_url": sandbox.start_url,
            "region": "us-east-1",
            "state": "active",
            "expires_at": token["expiresAt"],
            "refreshable": True,
            "last_error": None,
        }.items()
    )
    assert corp(found)["next_refresh_at"] < token["expiresAt"]
    [role] = found["role_credentials"]
    assert role.keys() == ROLE
    assert (
        role.items()
        >= {
            "source": "sso",
            "sso_session": "corp",
            "account_id": "111122223333",
            "role_name": "Developer",
            "profiles": ["dev"],
            "state": "fresh",
        }.items()
    )
    [login] = found["logins"]
    assert login.keys() == {"sso_session", "flow", "started_at", "expires_at"}
    assert (login["sso_session"], login["flow"]) == (None, "device_code")
    assert (found["cognito_logins"], found["leases"]) == ([], [])
    for secret in ("accessToken", "refreshToken", "clientSecret"):
        assert token[secret] not in run.out


def test_every_state_and_its_exit_status(machine: Machine, sandbox: Sandbox) -> None:
    def state_and_statuses() -> tuple[str, int, int]:
        run = machine.run("status", "--json")
        return corp(run.json())["state"], run.status, machine.run("status", "--profile", "dev").status

    assert machine.run("daemon", "start").status == 0
    assert state_and_statuses() == ("logged_out", 0, 3)
    machine.log_in()
    assert state_and_statuses() == ("active", 0, 0)
    sandbox.fail("CreateToken:refresh_token", Fault(status=500), times=None)  # else it is refreshed at once
    age(machine, refreshable=True)
    assert state_and_statuses() == ("refresh_due", 0, 0)
    age(machine, refreshable=False)
    assert state_and_statuses() == ("expired", 3, 3)
    sandbox.clear()
    machine.log_in()
    sandbox.end_session()
    assert machine.run("get", "--profile", "dev").status == 3
    assert state_and_statuses() == ("expired", 3, 3)
    assert machine.run("status", "--profile", "legacy").status == 3


def test_the_session_chosen_may_be_named_either_way(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("status", "--sso-session", "corp").status == 0
    assert machine.run("status", "--profile", "native", "--json").status == 0
    for chosen in (("--profile", "nobody"), ("--sso-session", "nobody")):
        run = machine.run("status", *chosen, "--json")
        assert run.status == 3  # "not usable"; the rest is shown all the same
        assert corp(run.json())["state"] == "active"
        assert "credhelper: warning:" in run.err
        assert "nobody" in run.err


def test_without_a_daemon_it_reads_the_files_and_ends_with_7(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("daemon", "stop").status == 0
    run = machine.run("status", "--json")
    assert (run.status, run.err) == (7, "")
    found = run.json()
    assert found.keys() == WHOLE
    assert found["daemon"]["running"] is False
    assert corp(found)["state"] == "active"
    assert corp(found)["expires_at"] == json.loads(machine.token_file().read_bytes())["expiresAt"]
    age(machine, refreshable=False)
    assert corp(machine.run("status", "--json").json())["state"] == "expired"
    machine.token_file().write_text("torn", encoding="utf-8")
    assert corp(machine.run("status", "--json").json())["state"] == "logged_out"
    assert not machine.socket.exists()
    with socket.socket(socket.AF_UNIX) as listener:  # a daemon that is killed leaves its socket lying
        listener.bind(str(machine.socket))
    assert "not running" in machine.run("status").out


@pytest.mark.parametrize("with_daemon", [True, False])
def test_no_broken_section_or_file_makes_it_fail(machine: Machine, with_daemon: bool) -> None:
    if with_daemon:
        machine.log_in()
    expected = 0 if with_daemon else 7
    good = machine.config.read_text(encoding="utf-8")
    machine.write_config(good + "\n[sso-session half]\nsso_region = eu-west-1\n\n[profile broken]\nsso_session = no\n")
    run = machine.run("status", "--json")
    assert run.status == expected
    assert "corp" in [session["name"] for session in run.json()["sso_sessions"]]
    assert "credhelper: warning:" in run.err
    assert "[sso-session half]" in run.err
    machine.write_config("no section\n")
    run = machine.run("status", "--json")
    assert run.status == expected
    assert run.json()["sso_sessions"] == []
    assert str(machine.config) in run.err
    machine.write_config(good)
    machine.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    machine.token_file().unlink(missing_ok=True)
    os.mkfifo(machine.token_file())
    assert corp(machine.run("status", "--json").json())["state"] in {"logged_out", "active"}


def test_for_people_it_is_a_table(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("get", "--profile", "dev").status == 0
    out = machine.run("status").out
    assert f"pid {hello(machine.socket)}" in out
    assert "corp" in out
    assert "active" in out
    assert "111122223333 Developer" in out
    assert "min" in out


# -- whoami ---------------------------------------------------------------------------------------------------------


def test_whoami_is_what_sts_says(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    run = machine.run("whoami", "--profile", "dev", "--json")
    assert (run.status, run.err) == (0, "")
    found = run.json()
    assert found["account_id"] == "111122223333"
    assert found["role_name"] == "Developer"
    assert found["user"] == "alice"
    assert found["arn"].startswith("arn:aws:sts::111122223333:assumed-role/")
    assert sandbox.calls["GetCallerIdentity"] == 1
    for_people = machine.run("whoami", "--profile", "dev").out
    for word in ("111122223333", "Developer", "alice"):
        assert word in for_people
    by_name = ("--sso-session", "corp", "--account-id", "222233334444", "--role-name", "ReadOnly")
    assert machine.run("whoami", *by_name, "--region", "eu-west-1", "--json").json()["account_id"] == "222233334444"


def test_whoami_fails_as_get_does(machine: Machine, sandbox: Sandbox) -> None:
    refusal(machine.run("whoami", "--profile", "dev"), 3, "hint: credhelper login --sso-session corp")
    refusal(machine.run("whoami", "--profile", "nobody"), 4, str(machine.config))
    machine.log_in()
    billing = ("--sso-session", "corp", "--account-id", "111122223333", "--role-name", "Billing")
    refusal(machine.run("whoami", *billing), 5, "Billing")
    assert machine.run("get", "--profile", "dev").status == 0
    sandbox.stop()
    refusal(machine.run("whoami", "--profile", "dev"), 6, "cannot be reached")


def test_whoami_refuses_a_region_that_is_none(machine: Machine) -> None:
    machine.log_in()
    refusal(machine.run("whoami", "--profile", "dev", "--region", "evil.example/x"), 2, "region")
    config = machine.config.read_text(encoding="utf-8")
    machine.write_config(config.replace("region = eu-west-1", "region = not a region"))
    refusal(machine.run("whoami", "--profile", "dev"), 4, str(machine.config), "[profile dev]", "region")


HEAVY = {"asyncio", "botocore", "dataclasses", "hashlib", "inspect", "logging", "subprocess", "traceback"}
"""What costs milliseconds to import, and a look at the daemon does not need."""


def test_it_loads_nothing_heavy_to_ask_the_daemon(machine: Machine) -> None:
    machine.log_in()
    loaded = machine.imports_of("status", "--json")
    assert "credhelper.cli.daemon_link" in loaded
    assert loaded & HEAVY == set()


def test_it_loads_no_aws_client_to_read_the_files(machine: Machine) -> None:
    loaded = machine.imports_of("status", "--json")
    assert "credhelper.agent.status" in loaded
    assert loaded & {"asyncio", "botocore"} == set()
