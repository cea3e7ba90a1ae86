"""The rules that look at the pool and its other role, and what they read of AWS's answers."""

import json
from typing import Any

import pytest

from credhelper.domain.errors import ConfigError
from credhelper.identity_pools import policy_language, pool_facts, pool_lint
from credhelper.identity_pools.pool_facts import MappedClaim, Pool, PoolRoles
from credhelper.identity_pools.trust_policies import Kind

from .trusts import POOL

ROLE = "arn:aws:iam::111122223333:role/path/Users"
USER_POOL = "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123:4client"
RULES = {
    "IdentityPoolId": POOL,
    "Roles": {"authenticated": ROLE, "unauthenticated": ROLE + "Not"},
    "RoleMappings": {
        USER_POOL: {
            "Type": "Rules",
            "AmbiguousRoleResolution": "Deny",
            "RulesConfiguration": {
                "Rules": [
                    {"Claim": "custom:team", "MatchType": "Equals", "Value": "ops", "RoleARN": ROLE + "Ops"},
                    {"Claim": "email_verified", "MatchType": "Equals", "Value": "true", "RoleARN": ROLE},
                ]
            },
        },
        "graph.facebook.com": {"Type": "Token", "AmbiguousRoleResolution": "Deny"},
    },
}


def policies(*statements: dict[str, Any]) -> list[policy_language.Policy]:
    written = [{"Effect": "Allow", "Resource": "*", **statement} for statement in statements]
    return [policy_language.parse(json.dumps({"Statement": written}), "role.json")]


@pytest.mark.parametrize(
    ("account", "flow", "is_found"),
    [("111122223333", "enhanced", False), ("444455556666", "enhanced", True), ("444455556666", "basic", False)],
)
def test_t11_the_enhanced_flow_stays_in_the_pools_account(account: str, flow: Any, is_found: bool) -> None:
    found = list(pool_lint.account(account, ROLE, flow))
    assert [(finding.rule, finding.level) for finding in found] == [("T11", "error")] * is_found


@pytest.mark.parametrize(
    ("answer", "is_found"),
    [
        ({"AllowUnauthenticatedIdentities": True, "AllowClassicFlow": True}, True),
        ({"AllowUnauthenticatedIdentities": True}, True),
        ({"AllowUnauthenticatedIdentities": True, "AllowClassicFlow": False}, False),
        ({"AllowUnauthenticatedIdentities": False, "AllowClassicFlow": True}, False),
        ({"AllowUnauthenticatedIdentities": False}, False),
    ],
)
def test_t12_guests_and_the_classic_flow_do_not_go_together(answer: dict[str, Any], is_found: bool) -> None:
    found = list(pool_lint.classic_flow(pool_facts.pool({"IdentityPoolId": POOL} | answer)))
    assert [(finding.rule, finding.level) for finding in found] == [("T12", "error")] * is_found


def test_a_classic_flow_that_nobody_has_set_is_told_from_one_that_is_off() -> None:
    answer = {"IdentityPoolId": POOL, "AllowUnauthenticatedIdentities": True}
    assert pool_facts.pool(answer) == Pool(POOL, True, "unset")
    assert pool_facts.pool(answer | {"AllowClassicFlow": False}).classic_flow == "off"


def test_t9_the_pool_gives_the_role_to_the_others() -> None:
    roles = pool_facts.pool_roles(RULES)
    assert not list(pool_lint.default_roles(roles, ROLE, Kind.AUTHENTICATED))
    assert not list(pool_lint.default_roles(roles, ROLE + "Else", Kind.GUEST))
    assert not list(pool_lint.default_roles(PoolRoles(ROLE, ROLE, ()), ROLE, Kind.GUEST))
    for role, kind in ((ROLE, Kind.GUEST), (ROLE + "Not", Kind.AUTHENTICATED)):
        (finding,) = pool_lint.default_roles(roles, role, kind)
        assert (finding.rule, finding.level) == ("T9", "error")


@pytest.mark.parametrize(
    ("guests", "users", "beyond"),
    [
        ({"Action": "s3:GetObject"}, {"Action": "s3:Get*"}, None),
        ({"Action": ["S3:getobject", "s3:PutObject"]}, {"Action": "s3:GetObject"}, "s3:PutObject on *"),
        ({"Action": "s3:*"}, {"Action": "s3:Get*"}, "s3:* on *"),
        (
            {"Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"},
            {"Action": "*", "Resource": "arn:aws:s3:::b/a*"},
            "s3:Get*",
        ),
        ({"NotAction": "iam:*"}, {"Action": "*"}, "everything but a list"),
        ({"NotAction": "iam:*"}, {"NotAction": "iam:*"}, None),
        ({"Action": "s3:*"}, {"NotAction": "iam:*"}, "s3:*"),
        ({"Action": "s3:*"}, {"Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": True}}}, "s3:*"),
        ({"Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": True}}}, {"Action": "s3:*"}, None),
        ({"Effect": "Deny", "Action": "*"}, {"Action": "s3:*"}, None),
        ({"Action": "s3:*"}, {"Effect": "Deny", "Action": "*"}, "s3:*"),
    ],
)
def test_t14_guests_are_allowed_no_more_than_users(guests: Any, users: Any, beyond: str | None) -> None:
    found = list(pool_lint.breadth(policies(guests), policies(users)))
    assert [(finding.rule, finding.level) for finding in found] == [("T14", "warning")] * (beyond is not None)
    assert all(beyond is not None and beyond in finding.reason for finding in found)


def test_t15_a_claim_that_users_can_write_decides_over_a_role_or_tag() -> None:
    tags = pool_facts.tags(
        {"IdentityProviderName": "x", "PrincipalTags": {"cost centre": "custom:cc", "mail": "email"}}
    )
    client = {"UserPoolClient": {"WriteAttributes": ["custom:team", "custom:cc", "name"]}}
    mapped = [*pool_facts.pool_roles(RULES).claims, *tags.claims]
    found = list(pool_lint.claims(mapped, pool_facts.writable_attributes(client)))
    assert [(finding.rule, finding.level, finding.place) for finding in found] == [
        ("T15", "warning", f'RoleMappings["{USER_POOL}"].RulesConfiguration.Rules[0].Claim'),
        ("T15", "warning", 'PrincipalTags["cost centre"]'),
    ]


def test_t15_an_app_client_without_a_list_lets_users_write_the_standard_attributes() -> None:
    writable = pool_facts.writable_attributes({"UserPoolClient": {"ClientId": "4client"}})
    claims = [MappedClaim("Rules[0]", claim, "a role") for claim in ("email", "custom:team", "sub", "cognito:groups")]
    assert [finding.reason.split()[7] for finding in pool_lint.claims(claims, writable)] == ["email"]


@pytest.mark.parametrize(
    ("answer", "is_on", "claims"),
    [
        ({"UseDefaults": True, "PrincipalTags": {}}, True, []),
        ({"UseDefaults": False}, False, []),
        ({"PrincipalTags": {"team": "custom:team"}}, True, ["custom:team"]),
    ],
)
def test_the_default_tags_are_tags_that_nobody_can_write(
    answer: dict[str, Any], is_on: bool, claims: list[str]
) -> None:
    tags = pool_facts.tags({"IdentityProviderName": "graph.facebook.com"} | answer)
    assert (tags.is_on, [claim.claim for claim in tags.claims]) == (is_on, claims)


@pytest.mark.parametrize(
    "read", [pool_facts.pool, pool_facts.pool_roles, pool_facts.tags, pool_facts.writable_attributes]
)
@pytest.mark.parametrize("answer", [{}, {"IdentityPoolId": 1}, {"UserPoolClient": []}, {"Error": {"Code": "X"}}])
def test_another_answer_of_awss_is_refused(read: Any, answer: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="it is not what `aws cognito-i"):
        read(answer)


def test_rules_that_are_none_are_passed_over() -> None:
    strange = {
        "IdentityPoolId": POOL,
        "RoleMappings": {"a": 1, "b": {"RulesConfiguration": {"Rules": [1, {"Claim": 2}]}}},
    }
    assert pool_facts.pool_roles(strange) == PoolRoles(None, None, ())


@pytest.mark.parametrize("arn", ["", "arn:aws:iam::1:role/x", "arn:aws:iam::111122223333:user/x", f"{ROLE}\n", "x"])
def test_what_is_no_roles_arn_has_no_account(arn: str) -> None:
    assert pool_lint.account_of(arn) is None
