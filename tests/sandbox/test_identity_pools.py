"""Identity pools: who gets which identity, what is refused and in which words, which role comes out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from credhelper.sandbox.cognito_directory import (
    CLIENT_ID,
    GUEST_POOL_ID,
    USERS_POOL_ID,
    IdentityPool,
    RoleMapping,
    Rule,
    WebRole,
)
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.server import Sandbox

from .clients import Clients, Clock
from .pool_clients import PROVIDER, ROLE, PoolClients, refused


@pytest.fixture
def pools(clients: Clients) -> PoolClients:
    return PoolClients(clients)


def change(sandbox: Sandbox, pool_id: str = USERS_POOL_ID, **members: Any) -> IdentityPool:
    """Changes a pool as an administrator would."""
    pool = replace(sandbox.cognito.identity_pool(pool_id), **members)
    sandbox.cognito.put_identity_pool(pool)
    return pool


def test_every_guest_is_new_and_every_user_is_the_same(pools: PoolClients) -> None:
    assert pools.identity() != pools.identity()
    assert pools.identity(**pools.logins()) == pools.identity(**pools.logins())
    assert pools.identity(**pools.logins()) != pools.identity(**pools.logins("bob"))


def test_guests_and_users_have_their_default_roles_for_an_hour(pools: PoolClients, clock: Clock) -> None:
    guest = pools.identity()
    given = pools.identities.get_credentials_for_identity(IdentityId=guest)
    assert given["IdentityId"] == guest
    assert given["Credentials"]["Expiration"].timestamp() == int(clock.now) + 3600
    assert pools.caller(given["Credentials"]).endswith("assumed-role/SandboxGuest/CognitoIdentityCredentials")
    logins = pools.logins()
    assert pools.role(pools.identity(**logins), **logins) == "SandboxUser"


def test_a_guest_who_signs_in_keeps_the_identity_and_a_second_one_is_merged(pools: PoolClients) -> None:
    logins = pools.logins()
    first, second = pools.identity(), pools.identity()
    assert pools.identities.get_credentials_for_identity(IdentityId=first, **logins)["IdentityId"] == first
    assert pools.identities.get_credentials_for_identity(IdentityId=second, **logins)["IdentityId"] == first
    with refused("ResourceNotFoundException", f"Identity '{second}' not found"):
        pools.identities.get_credentials_for_identity(IdentityId=second)


def test_a_users_identity_takes_its_own_logins_only(pools: PoolClients) -> None:
    identity = pools.identity(**pools.logins())
    with refused("NotAuthorizedException", f"Access to Identity '{identity}' is forbidden"):
        pools.identities.get_credentials_for_identity(IdentityId=identity)
    with refused("NotAuthorizedException", "Logins don't match"):
        pools.identities.get_credentials_for_identity(IdentityId=identity, **pools.logins("bob"))


def test_guests_can_be_off(pools: PoolClients, sandbox: Sandbox) -> None:
    guest = pools.identity()
    change(sandbox, guests=False)
    why = "Unauthenticated access is not supported for this identity pool"
    with refused("NotAuthorizedException", why):
        pools.identity()
    with refused("NotAuthorizedException", why):
        pools.role(guest)


def test_a_deleted_pool_and_a_deleted_identity_are_not_found(pools: PoolClients, sandbox: Sandbox) -> None:
    guest = pools.identity()
    sandbox.cognito.delete_identity(guest)
    with refused("ResourceNotFoundException", "Identity '"):
        pools.role(guest)
    sandbox.cognito.delete_identity_pool(USERS_POOL_ID)
    with refused("ResourceNotFoundException", "IdentityPool '"):
        pools.identity()


def test_login_tokens_are_looked_at(pools: PoolClients, sandbox: Sandbox, clock: Clock) -> None:
    tokens = sandbox.cognito.log_in()
    other_key = tokens.id_token[:-6] + ("AAAAAA" if not tokens.id_token.endswith("AAAAAA") else "BBBBBB")
    for token, why in (
        ("nothing", "Not a valid OpenId Connect"),
        (tokens.access_token, "Missing a required claim: aud"),
        (other_key, "signature"),
        (sandbox.cognito.external_token("https://accounts.google.com", "app", "me"), "Issuer doesn't match"),
    ):
        with refused("NotAuthorizedException", f"Invalid login token. .*{why}"):
            pools.identity(Logins={PROVIDER: token})
    with refused("NotAuthorizedException", "not from a supported provider"):
        pools.identity(GUEST_POOL_ID, Logins={PROVIDER: tokens.id_token})
    clock.advance(3600)
    with refused("NotAuthorizedException", "Token expired"):
        pools.identity(Logins={PROVIDER: tokens.id_token})


def test_a_server_side_check_notices_who_has_signed_out(pools: PoolClients, sandbox: Sandbox) -> None:
    logins = pools.logins()
    sandbox.cognito.sign_out()
    assert pools.identity(**logins)
    change(sandbox, checks_server_side=frozenset({PROVIDER}))
    with refused("NotAuthorizedException", "Invalid login token"):
        pools.identity(**logins)


def test_other_providers_users_are_taken_where_the_pool_says_so(pools: PoolClients, sandbox: Sandbox) -> None:
    change(sandbox, providers={"accounts.google.com": frozenset({"app"})})
    logins: dict[str, Any] = {
        "Logins": {"accounts.google.com": sandbox.cognito.external_token("https://accounts.google.com", "app", "me")}
    }
    assert pools.role(pools.identity(**logins), **logins) == "SandboxUser"


RULES = (
    Rule("custom:team", "Equals", "money", ROLE("SandboxEditor")),
    Rule("custom:team", "StartsWith", "mon", ROLE("SandboxUser")),
    Rule("email", "NotEqual", "alice@example.com", ROLE("SandboxEditor")),
    Rule("absent", "NotEqual", "x", ROLE("SandboxGuest")),
)


@pytest.mark.parametrize(
    ("mapping", "user", "expected"),
    [
        (RoleMapping("Rules", rules=RULES), {"claims": {"custom:team": "money"}}, "SandboxEditor"),
        (RoleMapping("Rules", rules=RULES), {"claims": {"custom:team": "months"}}, "SandboxUser"),
        (RoleMapping("Rules", rules=RULES), {"claims": {"email": "alice@example.com"}}, "SandboxUser"),
        (RoleMapping("Rules", "Deny", RULES), {"claims": {"email": "alice@example.com"}}, None),
        (RoleMapping("Token"), {"preferred_role": ROLE("SandboxEditor")}, "SandboxEditor"),
        (RoleMapping("Token"), {"roles": (ROLE("SandboxEditor"),)}, "SandboxEditor"),
        (RoleMapping("Token"), {"roles": (ROLE("SandboxEditor"), ROLE("SandboxUser"))}, "SandboxUser"),
        (RoleMapping("Token", "Deny"), {"roles": (ROLE("SandboxEditor"), ROLE("SandboxUser"))}, None),
        (RoleMapping("Token", "Deny"), {}, None),
    ],
)
def test_role_mappings(
    pools: PoolClients, sandbox: Sandbox, mapping: RoleMapping, user: Mapping[str, Any], expected: str | None
) -> None:
    change(sandbox, mappings={f"{PROVIDER}:{CLIENT_ID}": mapping})
    sandbox.cognito.put_user(replace(sandbox.cognito.user("alice"), **user))
    logins = pools.logins()
    identity = pools.identity(**logins)
    if expected is not None:
        assert pools.role(identity, **logins) == expected
        return
    with refused("NotAuthorizedException", "ambiguous role mapping rules"):
        pools.role(identity, **logins)


def test_a_custom_role_must_be_one_of_the_tokens(pools: PoolClients, sandbox: Sandbox) -> None:
    sandbox.cognito.put_user(replace(sandbox.cognito.user("alice"), roles=(ROLE("SandboxEditor"), ROLE("SandboxUser"))))
    logins = pools.logins()
    identity = pools.identity(**logins)
    assert pools.role(identity, CustomRoleArn=ROLE("SandboxEditor"), **logins) == "SandboxEditor"
    with refused("NotAuthorizedException"):
        pools.role(identity, CustomRoleArn=ROLE("SandboxGuest"), **logins)


@pytest.mark.parametrize(
    "members",
    [
        {"guest_role": None},
        {"guest_role": ROLE("SandboxUser")},
        {"guest_role": ROLE("Nobody")},
        {"account_id": "222233334444"},
    ],
)
def test_a_role_that_the_pool_cannot_have_is_a_wrong_configuration(
    pools: PoolClients, sandbox: Sandbox, members: dict[str, Any]
) -> None:
    guest = pools.identity()
    change(sandbox, **members)
    with refused("InvalidIdentityPoolConfigurationException", "Check assigned IAM roles for this pool"):
        pools.role(guest)


def test_the_basic_flow_can_be_off_and_mappings_rule_it_out(pools: PoolClients, sandbox: Sandbox) -> None:
    guest = pools.identity()
    with refused("InvalidParameterException", "flow is not enabled"):
        pools.identities.get_open_id_token(IdentityId=guest)
    change(sandbox, classic=True, mappings={f"{PROVIDER}:{CLIENT_ID}": RoleMapping("Token")})
    with refused("InvalidParameterException", "not supported with RoleMappings"):
        pools.identities.get_open_id_token(IdentityId=guest)


def web_identity(pools: PoolClients, token: str, role: str = "SandboxGuest", **given: Any) -> dict[str, Any]:
    """AssumeRoleWithWebIdentity."""
    answer: dict[str, Any] = pools.sts.assume_role_with_web_identity(
        RoleArn=ROLE(role), RoleSessionName="test", WebIdentityToken=token, **given
    )
    return answer


def guest_token(pools: PoolClients) -> str:
    """For STS, of a new guest."""
    identity = pools.identity(GUEST_POOL_ID)
    return str(pools.identities.get_open_id_token(IdentityId=identity)["Token"])


def test_the_basic_flow_gives_the_role_that_is_named(pools: PoolClients, clock: Clock) -> None:
    answer = web_identity(pools, guest_token(pools), DurationSeconds=900)
    assert answer["Credentials"]["Expiration"].timestamp() == int(clock.now) + 900
    assert answer["Audience"] == GUEST_POOL_ID
    assert pools.caller(answer["Credentials"]).endswith("assumed-role/SandboxGuest/test")


def test_sts_refuses_what_trust_policies_and_bounds_refuse(pools: PoolClients, sandbox: Sandbox, clock: Clock) -> None:
    token = guest_token(pools)
    sandbox.cognito.put_role(WebRole("111122223333", "Elsewhere", frozenset({USERS_POOL_ID})))
    for role in ("SandboxUser", "Nobody", "Elsewhere"):
        with refused("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"):
            web_identity(pools, token, role)
    with refused("ValidationError", "MaxSessionDuration"):
        web_identity(pools, token, DurationSeconds=7200)
    with refused("MalformedPolicyDocument"):
        web_identity(pools, token, Policy='{"Statement": 1}')
    with refused("PackedPolicyTooLarge"):
        web_identity(pools, token, Policy="{}", PolicyArns=[{"arn": f"arn:aws:iam::aws:policy/{'x' * 500}"}] * 5)
    with refused("InvalidIdentityToken"):
        web_identity(pools, sandbox.cognito.log_in().id_token)
    clock.advance(600)
    with refused("ExpiredTokenException"):
        web_identity(pools, token)


READ = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}'
DEPLOY = "arn:aws:iam::222233334444:role/Deploy"


def test_what_bounds_a_session_bounds_what_it_may_assume(pools: PoolClients, clients: Clients) -> None:
    def assume(credentials: dict[str, Any]) -> None:
        keys = {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials.get("SecretKey") or credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }
        clients.make("sts", **keys).assume_role(RoleArn=DEPLOY, RoleSessionName="test")

    scoped = pools.identities.get_credentials_for_identity(IdentityId=pools.identity())["Credentials"]
    narrowed = web_identity(pools, guest_token(pools), Policy=READ)["Credentials"]
    for credentials in (scoped, narrowed):
        with refused("AccessDenied", "because no session policy allows"):
            assume(credentials)
    with refused("AccessDenied", f"on resource: {DEPLOY}$"):
        assume(web_identity(pools, guest_token(pools))["Credentials"])


def test_cognitos_operations_fail_on_purpose_as_all_others(pools: PoolClients, sandbox: Sandbox) -> None:
    sandbox.fail("GetId", Fault(error="TooManyRequestsException", status=400))
    with refused("TooManyRequestsException"):
        pools.identity()
    assert pools.identity()
    assert sandbox.calls["GetId"] == 2
