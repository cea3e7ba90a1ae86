"""Identity pools through the commands of every day: whoami, explain, status, logout with and without a daemon."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.local import places, private_files, sealed_files
from credhelper.sandbox.cognito_directory import ROTATING_CLIENT_ID, USER_POOL_ID, USERS_POOL_ID
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine
from tests.program.pools import log_in, pool_machine, settings_of
from tests.program.support import hint

PROVIDER = f"cognito-idp.us-east-1.amazonaws.com/{USER_POOL_ID}"
ROLES = {
    "IdentityPoolId": USERS_POOL_ID,
    "Roles": {"authenticated": "arn:aws:iam::111122223333:role/SandboxUser"},
    "RoleMappings": {
        f"{PROVIDER}:{ROTATING_CLIENT_ID}": {"Type": "Token", "AmbiguousRoleResolution": "AuthenticatedRole"}
    },
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """One for all."""
    with pool_machine(sandbox) as machine:
        yield machine


def roles_file(machine: Machine) -> str:
    path = machine.root / "roles.json"
    path.write_text(json.dumps(ROLES))
    return str(path)


def test_whoami_and_explain_role_speak_of_the_present_login(machine: Machine) -> None:
    refused = machine.run("cognito", "whoami", "--profile=notes")
    assert (refused.status, refused.out) == (3, "")
    assert hint(refused.err) == ["login", "--cognito-login", "notes"]
    log_in(machine)
    found = machine.run("cognito", "whoami", "--profile=notes", "--json").json()
    assert (found["identity_pool_id"], found["kind"], found["provider"]) == (USERS_POOL_ID, "authenticated", PROVIDER)
    told = machine.run("cognito", "whoami", "--profile=kiosk")
    assert told.status == 0
    assert "Kind      guest" in told.out.splitlines()
    explained = machine.run("cognito", "explain", "role", "--pool-roles", roles_file(machine), "--profile=notes")
    assert explained.out.splitlines()[1] == "Role: arn:aws:iam::111122223333:role/SandboxUser"


def test_status_names_the_login_and_what_the_pool_has_given(machine: Machine) -> None:
    log_in(machine)
    assert machine.run("get", "--profile=notes").status == 0
    found = machine.run("status", "--json", "--cognito-login=notes")
    assert found.status == 0
    assert [login["name"] for login in found.json()["cognito_logins"]] == ["notes"]
    assert {"cognito"} == {role["source"] for role in found.json()["role_credentials"]}
    told = machine.run("status").out
    assert "COGNITO LOGIN" in told
    assert "111122223333 SandboxUser" in told
    assert machine.run("status", "--prompt", "--profile=notes").out == "notes ok\n"


def test_a_logout_shows_the_receipt_and_guests_stay_served(machine: Machine) -> None:
    log_in(machine)
    assert machine.run("get", "--profile=notes").status == 0
    done = machine.run("logout", "--cognito-login=notes")
    assert done.status == 0
    assert "notes: token deleted, sign-in ended at the user pool" in done.out
    assert machine.run("get", "--profile=notes").status == 3
    assert machine.run("get", "--profile=kiosk").status == 0
    assert machine.run("logout", "--profile=kiosk").out == "There was nothing to log out of.\n"


def test_a_guests_identity_is_not_forgotten_unasked(machine: Machine) -> None:
    refused = machine.run("logout", "--profile=kiosk", "--forget-identity")
    assert (refused.status, refused.out) == (2, "")
    assert "add --yes" in refused.err
    assert machine.run("logout", "--profile=kiosk", "--forget-identity", "--yes").status == 0
    assert machine.run("logout", "--sso-session=x", "--everywhere").status == 2


def test_without_a_daemon_the_login_goes_and_the_receipt_is_the_same(machine: Machine) -> None:
    assert machine.run("get", "--profile=kiosk").status == 0
    assert machine.run("daemon", "stop").status == 0
    status = machine.run("status", "--json")
    assert (status.status, status.json()["cognito_logins"][0]["state"]) == (7, "logged_out")
    receipt = machine.run("logout", "--cognito-login=notes", "--json").json()
    assert [(each["cognito_login"], each["token"]) for each in receipt["sessions"]] == [("notes", "absent")]
    environment = {os.fsencode(name): os.fsencode(value) for name, value in machine.environment.items()}
    vault = places.vault_directory(places.state_directory(environment))
    credentials = sealed_files.path_of(vault, f"guests {USERS_POOL_ID}", "role")
    private_files.write(credentials, b"sealed")
    receipt = machine.run("logout", "--profile=kiosk", "--forget-identity", "--yes", "--json").json()
    assert len(receipt["removed"]) == 2
    assert not credentials.exists()


def test_a_login_that_is_not_there_is_named_with_the_file(machine: Machine) -> None:
    refused = machine.run("logout", "--cognito-login=nobody")
    assert refused.status == 4
    assert str(settings_of(machine)) in refused.err


def test_a_lease_and_exec_serve_a_pools_role(machine: Machine) -> None:
    asked = machine.run(
        *("exec", "--profile=kiosk", "--", sys.executable, "-c"),
        "import os, sys; sys.exit('AWS_CONTAINER_CREDENTIALS_FULL_URI' not in os.environ)",
    )
    assert asked.status == 0, asked.err
    lease = machine.run("lease", "create", "--profile=kiosk", "--json").json()
    assert Path(lease["socket"]).is_socket()
    served = machine.run("get", "--profile=kiosk", CREDHELPER_SOCKET=lease["socket"])
    assert served.status == 0, served.err
    assert machine.run("lease", "revoke", lease["id"]).status == 0
