"""Profiles of identity pools in the whole program. The sandbox's Cognito was checked against documentation."""

import contextlib
import json
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from credhelper.sandbox.cognito_directory import (
    CLIENT_ID,
    GUEST_POOL_ID,
    ROTATING_CLIENT_ID,
    USERS_POOL_ID,
    RoleMapping,
)
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.server import Call, Sandbox
from tests.machine import SECONDS, Machine
from tests.program.pools import NOTES_KEYS, log_in, pool_machine, settings_of
from tests.program.support import ask, hint, refusal, until

CROWD = 50


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A Cognito of its own for each test."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """Nobody has logged in."""
    with pool_machine(sandbox) as machine:
        yield machine


def crowd_gets(machine: Machine, profile: str, sandbox: Sandbox, held: str) -> set[str]:
    """Has fifty clients ask at once, the first call of an operation waiting until all of them have; their keys."""
    with ThreadPoolExecutor(CROWD) as pool, sandbox.hold(held) as hold:
        asked = [pool.submit(ask, machine, "get", profile=profile) for _ in range(CROWD)]
        hold.wait_for(1, SECONDS)
        until(lambda: waiting_for(machine) >= CROWD, "all of them wait")
        hold.release()
        answers = [each.result() for each in asked]
    assert {answer["status"] for answer in answers} == {"0"}, answers
    return {json.loads(answer["out"])["AccessKeyId"] for answer in answers}


def waiting_for(machine: Machine) -> int:
    """How many connections the daemon's socket has."""
    with open("/proc/net/unix") as table:
        return sum(1 for line in table if line.rstrip().endswith(str(machine.socket))) - 1


def test_fifty_guests_at_a_cold_pool_are_one_to_cognito(machine: Machine, sandbox: Sandbox) -> None:
    assert machine.run("daemon", "start").status == 0
    assert len(crowd_gets(machine, "kiosk", sandbox, "GetId")) == 1
    assert (sandbox.calls["GetId"], sandbox.calls["GetCredentialsForIdentity"]) == (1, 1)


@pytest.mark.long
def test_fifty_who_find_the_token_old_cause_one_refresh(machine: Machine, sandbox: Sandbox) -> None:
    with short_tokens(sandbox):
        log_in(machine)
        wait_until_old()
    assert len(crowd_gets(machine, "notes", sandbox, "GetTokensFromRefreshToken")) == 1
    assert sandbox.calls["GetTokensFromRefreshToken"] == 1
    assert (sandbox.calls["GetId"], sandbox.calls["GetCredentialsForIdentity"]) == (1, 1)


SHORT = 4  # seconds


@contextlib.contextmanager
def short_tokens(sandbox: Sandbox) -> Iterator[None]:
    """Inside, ID tokens live for four seconds, and are refreshed for whoever needs one when two are left."""
    client = sandbox.cognito.client(ROTATING_CLIENT_ID)
    sandbox.cognito.put_client(replace(client, token_seconds=SHORT))
    yield
    sandbox.cognito.put_client(client)


def wait_until_old() -> None:
    """Returns when a short token that there is now must be refreshed."""
    then = time.monotonic() + SHORT / 2
    until(lambda: time.monotonic() > then, "half of the token's life is over")


@pytest.mark.long
def test_a_guest_stays_the_same_guest_after_a_restart(machine: Machine, sandbox: Sandbox) -> None:
    assert machine.run("get", "--profile=kiosk").status == 0
    assert machine.run("daemon", "restart").status == 0
    assert machine.run("get", "--profile=kiosk").status == 0
    assert sandbox.calls["GetId"] == 1
    assert len(sandbox.cognito.identities()) == 1


def test_a_profile_that_runs_us_is_not_asked_for_our_own_credentials(machine: Machine, sandbox: Sandbox) -> None:
    """Whoever looked for credentials to call Cognito with would find this profile, run its line, and so on."""
    line = shlex.join(machine.process_line("kiosk"))
    counting = machine.put_command("counting", f'echo started >> "{machine.root}/starts"\nexec {line}')
    text = machine.config.read_text().replace("[profile kiosk]", f"[profile kiosk]\ncredential_process = {counting}", 1)
    machine.write_config(text)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        machine.environment[name] = "kiosk"
    assert machine.run("daemon", "restart").status == 0
    by_boto3 = "import boto3; print(boto3.Session().get_credentials().get_frozen_credentials().access_key)"
    asked = machine.run_program([sys.executable, "-c", by_boto3], AWS_EC2_METADATA_DISABLED="true")
    assert asked.out.startswith("ASIA"), asked.err
    assert (machine.root / "starts").read_text() == "started\n"
    assert sandbox.calls["GetId"] == 1


@pytest.mark.long
def test_no_call_to_cognito_is_signed_and_none_comes_with_credentials(machine: Machine, sandbox: Sandbox) -> None:
    machine.environment |= {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wrong"}
    for profile in ("kiosk", "basic"):
        assert machine.run("get", f"--profile={profile}").status == 0
    unsigned = [call for call in sandbox.recorded if call.operation != "GetCallerIdentity"]
    assert {call.operation for call in unsigned} >= {"GetId", "GetOpenIdToken", "AssumeRoleWithWebIdentity"}
    assert [call.operation for call in unsigned if "authorization" in call.request.headers] == []


@pytest.mark.long
def test_it_needs_nothing_but_a_home(machine: Machine, sandbox: Sandbox) -> None:
    """No keys, no metadata service, no HOME-less guesses: what a kiosk's service manager passes on."""
    with socket.create_server(("127.0.0.1", 0)) as metadata:
        bare = {name: machine.environment[name] for name in ("HOME", "XDG_RUNTIME_DIR", *sandbox.environment())}
        bare["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{metadata.getsockname()[1]}"
        argv = [sys.executable, "-Im", "credhelper", "get", "--profile", "kiosk"]
        done = subprocess.run(argv, env=bare, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        metadata.setblocking(False)
        with pytest.raises(BlockingIOError):
            metadata.accept()


@pytest.mark.long
def test_a_user_is_never_served_as_a_guest(machine: Machine, sandbox: Sandbox) -> None:
    refused = machine.run("get", "--profile=notes")
    refusal(refused, 3, "notes")
    assert hint(refused.err) == ["login", "--cognito-login", "notes"]
    log_in(machine)
    assert machine.run("get", "--profile=notes").json()["AccountId"] == "111122223333"
    sandbox.cognito.sign_out()
    provider = next(iter(sandbox.cognito.identity_pool(USERS_POOL_ID).providers))
    pool = replace(sandbox.cognito.identity_pool(USERS_POOL_ID), checks_server_side=frozenset({provider}))
    sandbox.cognito.put_identity_pool(pool)
    assert machine.run("daemon", "restart").status == 0
    refusal(machine.run("get", "--profile=notes"), 3)
    bodies = [json.loads(call.request.body) for call in calls(sandbox, "GetCredentialsForIdentity")]
    assert [body for body in bodies if "Logins" not in body] == []


def calls(sandbox: Sandbox, operation: str) -> list[Call]:
    """The requests of an operation, oldest first."""
    return [call for call in sandbox.recorded if call.operation == operation]


@pytest.mark.long
def test_a_deleted_identity_is_replaced_once_and_told(machine: Machine, sandbox: Sandbox) -> None:
    assert machine.run("get", "--profile=kiosk").status == 0
    (before,) = sandbox.cognito.identities()
    sandbox.cognito.delete_identity(before)
    assert machine.run("daemon", "restart").status == 0
    assert machine.run("get", "--profile=kiosk").status == 0
    assert sandbox.calls["GetId"] == 2
    assert before not in sandbox.cognito.identities()


@pytest.mark.long
def test_throttling_keeps_the_identity(machine: Machine, sandbox: Sandbox) -> None:
    assert machine.run("get", "--profile=kiosk").status == 0
    assert machine.run("daemon", "restart").status == 0
    sandbox.fail("GetCredentialsForIdentity", Fault(error="TooManyRequestsException", status=400), None)
    refusal(machine.run("get", "--profile=kiosk"), 6)
    sandbox.clear()
    until(lambda: machine.run("get", "--profile=kiosk").status == 0, "the pause is over")
    assert sandbox.calls["GetId"] == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("profile", "members", "words"),
    [
        ("kiosk", {"guests": False}, "guest access is off in pool"),
        ("kiosk", {"guest_role": None}, "role"),
        ("basic", {"classic": False}, "the basic (classic) flow is off in pool"),
        ("basic", {"mappings": {"accounts.google.com": RoleMapping("Token")}}, "enhanced"),
    ],
)
def test_what_a_pool_refuses_is_said_in_words(
    machine: Machine, sandbox: Sandbox, profile: str, members: dict[str, Any], words: str
) -> None:
    for pool_id in (USERS_POOL_ID, GUEST_POOL_ID):
        sandbox.cognito.put_identity_pool(replace(sandbox.cognito.identity_pool(pool_id), **members))
    refused = machine.run("get", f"--profile={profile}")
    refusal(refused, 5)
    assert words in refused.err, refused.err


def test_a_logout_takes_the_login_and_leaves_the_guests(machine: Machine, sandbox: Sandbox) -> None:
    log_in(machine)
    for profile in ("kiosk", "notes"):
        assert machine.run("get", f"--profile={profile}").status == 0
    receipt = machine.run("logout", "--json")
    assert receipt.status == 0, receipt.err
    session = next(each for each in receipt.json()["sessions"] if each["source"] == "cognito")
    assert (session["cognito_login"], session["token"], session["revoked"]) == ("notes", "deleted", True)
    refusal(machine.run("get", "--profile=notes"), 3)
    assert machine.run("get", "--profile=kiosk").status == 0
    assert sandbox.calls["GetId"] == 2, "the guest is a new one"


@pytest.mark.long
def test_of_rotated_refresh_tokens_the_newest_is_used(machine: Machine, sandbox: Sandbox) -> None:
    """Cognito refuses the one before at once."""
    roles = tuple(f"arn:aws:iam::111122223333:role/{name}" for name in ("SandboxUser", "SandboxEditor"))
    sandbox.cognito.put_user(replace(sandbox.cognito.user("alice"), roles=roles))
    for name, role in zip(("first", "second"), roles, strict=True):
        section = f"[profile {name}]\ncredhelper_custom_role_arn = {role}\n"
        with machine.config.open("a") as config:
            config.write(section + NOTES_KEYS)
    with short_tokens(sandbox):
        log_in(machine)
        for name in ("first", "second"):
            wait_until_old()
            assert machine.run("get", f"--profile={name}").status == 0
    refreshes = calls(sandbox, "GetTokensFromRefreshToken")
    used = [json.loads(call.request.body)["RefreshToken"] for call in refreshes]
    assert len(used) == len(set(used)) == 2


@pytest.mark.long
def test_another_app_client_means_another_login(machine: Machine) -> None:
    log_in(machine)
    settings = settings_of(machine)
    settings.write_text(settings.read_text().replace(ROTATING_CLIENT_ID, CLIENT_ID))
    assert machine.run("daemon", "reload").status == 0
    refusal(machine.run("get", "--profile=notes"), 3)
