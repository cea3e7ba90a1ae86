"""Peers for what is ours: the JavaScript SDK's provider beside credhelper, and ministack beside the sandbox's Cognito.

The first shows that credhelper says to Cognito what Amazon's own provider says; the second, that the sandbox and people
who have never seen it answer alike, as far as they both look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from credhelper.sandbox import json_web_tokens
from credhelper.sandbox.cognito_directory import GUEST_POOL_ID, ROTATING_CLIENT_ID, USER_POOL_ID, USERS_POOL_ID, WebRole
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine
from tests.program import pools
from tests.sandbox.clients import Clients

from .desk import QUIET
from .ministack import Ministack
from .pool_scene import IDENTITIES_BY_JS, PoolScene

pytestmark = pytest.mark.real_client

PROVIDER = f"cognito-idp.us-east-1.amazonaws.com/{USER_POOL_ID}"


# -- credhelper beside the JavaScript SDK -----------------------------------------------------------------------------


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """With a Cognito of its own."""
    with Sandbox() as running:
        yield running


def said(sandbox: Sandbox, act: Callable[[], object]) -> list[tuple[str, Any, dict[str, str]]]:
    """Which operations of Cognito an act calls, with what; of tokens, whose they are."""
    before = len(sandbox.recorded)
    act()
    found = []
    for call in list(sandbox.recorded)[before:]:
        if call.operation in {"GetId", "GetCredentialsForIdentity"}:
            body = json.loads(call.request.body)
            logins = {
                provider: json_web_tokens.claims_of(token)["sub"]
                for provider, token in (body.pop("Logins", None) or {}).items()
            }
            body.pop("IdentityId", None)
            found.append((call.operation, body, logins))
    return found


def by_js(machine: Machine, js_sdk: Path, *arguments: str) -> None:
    """The SDK's own provider, once."""
    command = ["node", "-e", IDENTITIES_BY_JS, *arguments]
    done = machine.run_program(command, NODE_PATH=str(js_sdk / "node_modules"), **QUIET)
    assert done.status == 0, done.err


def test_a_guest_is_asked_for_as_the_sdk_does(sandbox: Sandbox, js_sdk: Path) -> None:
    with pools.pool_machine(sandbox) as machine:
        ours = said(sandbox, lambda: machine.run("get", "--profile=kiosk"))
        theirs = said(sandbox, lambda: by_js(machine, js_sdk, USERS_POOL_ID, sandbox.url))
    assert [call[0] for call in ours] == ["GetId", "GetCredentialsForIdentity"]
    assert ours == theirs


def test_a_user_is_asked_for_as_the_sdk_does(sandbox: Sandbox, js_sdk: Path) -> None:
    with pools.pool_machine(sandbox) as machine:
        pools.log_in(machine)
        ours = said(sandbox, lambda: machine.run("get", "--profile=notes"))
        token = sandbox.cognito.log_in("alice", ROTATING_CLIENT_ID).id_token
        theirs = said(sandbox, lambda: by_js(machine, js_sdk, USERS_POOL_ID, sandbox.url, PROVIDER, token))
    assert [call[0] for call in ours] == ["GetId", "GetCredentialsForIdentity"]
    assert ours == theirs
    assert len(sandbox.cognito.identities()) == 1


# -- the sandbox beside ministack -------------------------------------------------------------------------------------


@dataclass
class Backend:
    """Cognito and STS as clients see them; a pool with both flows, its two roles and a user's tokens."""

    identities: Any
    sts: Any
    pool_id: str
    provider: str
    guest_role: str
    user_role: str
    id_token: str
    access_token: str

    def get_id(self, **logins: str) -> str:
        """GetId."""
        return str(self.identities.get_id(IdentityPoolId=self.pool_id, **_logins(logins))["IdentityId"])

    def credentials(self, identity: str, **logins: str) -> Any:
        """GetCredentialsForIdentity."""
        return self.identities.get_credentials_for_identity(IdentityId=identity, **_logins(logins))

    def open_id(self, identity: str, **logins: str) -> str:
        """GetOpenIdToken."""
        return str(self.identities.get_open_id_token(IdentityId=identity, **_logins(logins))["Token"])

    def assume(self, role: str, token: str, **given: Any) -> Any:
        """AssumeRoleWithWebIdentity."""
        return self.sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="peer", WebIdentityToken=token, **given
        )


def _logins(logins: dict[str, str]) -> dict[str, Any]:
    return {"Logins": logins} if logins else {}


def outcome(act: Callable[[], object]) -> object:
    """What an act comes to, or the code of the error that it ends with."""
    try:
        return act()
    except ClientError as error:
        return error.response["Error"]["Code"]


def story(backend: Backend) -> dict[str, object]:
    """What happens, in words that no id or time is in."""
    user = {backend.provider: backend.id_token}
    first, second = backend.get_id(), backend.get_id()
    mine = backend.get_id(**user)
    merged = backend.credentials(first, **user)["IdentityId"]
    guest_token = backend.open_id(second)
    user_token = backend.open_id(mine, **user)
    guest_claims, user_claims = (json_web_tokens.claims_of(token) for token in (guest_token, user_token))
    return {
        "a guest is new": first != second,
        "a user is not": backend.get_id(**user) == mine,
        "a guest's identity that a user comes with": merged == mine,
        "a guest's credentials": sorted(backend.credentials(second)["Credentials"]),
        "a user's identity without the login": outcome(lambda: backend.credentials(mine)),
        "an access token": outcome(lambda: backend.get_id(**{backend.provider: backend.access_token})),
        "a forged token": outcome(lambda: backend.get_id(**{backend.provider: _forged(backend.id_token)})),
        "another provider": outcome(lambda: backend.get_id(**{"accounts.google.com": backend.id_token})),
        "no such pool": outcome(
            lambda: backend.identities.get_id(IdentityPoolId="us-east-1:00000000-0000-4000-8000-000000000000")
        ),
        "a guest's token": (
            guest_claims["aud"] == backend.pool_id,
            guest_claims["sub"] == second,
            guest_claims["amr"],
            guest_claims["exp"] - guest_claims["iat"],
        ),
        "a user's token": (user_claims["sub"] == mine, user_claims["amr"][0], backend.provider in user_claims["amr"]),
        "a guest in the guests' role": sorted(backend.assume(backend.guest_role, guest_token)["Credentials"]),
        "a guest in the users' role": outcome(lambda: backend.assume(backend.user_role, guest_token)),
        "a user in the users' role": sorted(backend.assume(backend.user_role, user_token)["Credentials"]),
        "a user in the guests' role": outcome(lambda: backend.assume(backend.guest_role, user_token)),
        "a role that is not there": outcome(lambda: backend.assume(backend.guest_role + "x", guest_token)),
    }


def _forged(token: str) -> str:
    """The same claims under a signature that nobody made."""
    content, _, signature = token.rpartition(".")
    return f"{content}.{signature[::-1]}"


def in_sandbox(sandbox: Sandbox) -> Backend:
    """The sandbox's pool of users, with the basic flow on."""
    clients = Clients(sandbox)
    sandbox.cognito.put_identity_pool(replace(sandbox.cognito.identity_pool(USERS_POOL_ID), classic=True))
    sandbox.cognito.put_role(WebRole("111122223333", "Unused", frozenset({GUEST_POOL_ID})))
    tokens = sandbox.cognito.log_in()
    return Backend(
        clients.make("cognito-identity"),
        clients.make("sts"),
        USERS_POOL_ID,
        PROVIDER,
        "arn:aws:iam::111122223333:role/SandboxGuest",
        "arn:aws:iam::111122223333:role/SandboxUser",
        tokens.id_token,
        tokens.access_token,
    )


def in_ministack(ministack: Ministack) -> Backend:
    """A pool in ministack."""
    scene = PoolScene(ministack, "peer")
    tokens = scene.tokens()
    return Backend(
        ministack.client("cognito-identity", unsigned=True),
        ministack.client("sts", unsigned=True),
        scene.pool_id,
        scene.provider,
        scene.guest_role,
        scene.user_role,
        tokens["IdToken"],
        tokens["AccessToken"],
    )


def test_the_sandbox_and_ministack_tell_the_same_story(sandbox: Sandbox, ministack: Ministack) -> None:
    assert story(in_sandbox(sandbox)) == story(in_ministack(ministack))
