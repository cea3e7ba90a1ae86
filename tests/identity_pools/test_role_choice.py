"""Which role a pool gives, and why: R1 to R7 of the developer guide, with what it leaves open told as such."""

from dataclasses import replace
from typing import Any

import pytest

from credhelper.domain.errors import ConfigError
from credhelper.identity_pools import claims, role_choice, role_mappings
from credhelper.identity_pools.role_choice import Choice, SignIn
from credhelper.identity_pools.role_mappings import RoleTable

from .trusts import POOL

PROVIDER = "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123:4client"
ISSUER = {"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123", "aud": "4client"}
ROLE = "arn:aws:iam::111122223333:role/{}".format
DEFAULTS = {"authenticated": ROLE("Users"), "unauthenticated": ROLE("Guests")}


def rule(claim: str, match: str, value: str, role: str) -> dict[str, str]:
    return {"Claim": claim, "MatchType": match, "Value": value, "RoleARN": ROLE(role)}


def table(*rules: dict[str, str], ambiguous: str | None = "Deny", **changes: Any) -> RoleTable:
    """A pool whose user pool's mapping has these rules, or without any goes by the token."""
    mapping: dict[str, Any] = {"Type": "Rules" if rules else "Token", "AmbiguousRoleResolution": ambiguous}
    if rules:
        mapping["RulesConfiguration"] = {"Rules": list(rules)}
    answer = {"IdentityPoolId": POOL, "Roles": DEFAULTS, "RoleMappings": {PROVIDER: mapping}}
    return role_mappings.read(answer | changes)


def choose(found: RoleTable, custom: str | None = None, **token: Any) -> Choice:
    named = {name.replace("__", ":"): value for name, value in token.items()}
    return role_choice.of_sign_in(found, SignIn(PROVIDER, ISSUER | named), custom=custom)


def test_r1_without_a_mapping_each_kind_has_its_default_role() -> None:
    plain = table(RoleMappings={})
    assert choose(plain).role_arn == ROLE("Users")
    assert role_choice.of_guest(plain).role_arn == ROLE("Guests")
    assert role_choice.of_guest(table(rule("a", "Equals", "b", "X"))).role_arn == ROLE("Guests")


def test_r1_a_default_role_that_the_pool_does_not_have_is_a_refusal_in_cognitos_words() -> None:
    bare = table(Roles={}, RoleMappings={})
    for choice in (choose(bare), role_choice.of_guest(bare)):
        assert (choice.role_arn, choice.decided_by) == (None, "none")
        assert role_choice.MISSING_ROLE in choice.reason


@pytest.mark.parametrize(
    ("match", "value", "claim", "fits"),
    [
        ("Equals", "ops", "ops", True),
        ("Equals", "ops", "Ops", False),
        ("NotEqual", "ops", "dev", True),
        ("NotEqual", "ops", "ops", False),
        ("StartsWith", "al", "alice", True),
        ("StartsWith", "ice", "alice", False),
        ("Contains", "lic", "alice", True),
        ("Contains", "lick", "alice", False),
        ("Equals", "true", True, True),
        ("Equals", "3", 3, True),
    ],
)
def test_r2_each_way_to_match(match: str, value: str, claim: Any, fits: bool) -> None:
    choice = choose(table(rule("custom:team", match, value, "Ops")), custom__team=claim)
    assert (choice.role_arn == ROLE("Ops")) is fits


def test_r2_the_first_rule_that_matches_decides_and_the_rest_is_not_looked_at() -> None:
    rules = [rule("a", "Equals", "x", "One"), rule("a", "StartsWith", "y", "Two"), rule("a", "Equals", "yes", "Three")]
    choice = choose(table(*rules), a="yes")
    assert (choice.role_arn, choice.decided_by, choice.rule) == (ROLE("Two"), "rule", 2)
    assert [step.verdict for step in choice.steps] == ["does not match", "matches", "is not looked at"]


def test_r2_not_equal_of_a_claim_that_is_missing_is_not_evaluated() -> None:
    choice = choose(table(rule("custom:team", "NotEqual", "ops", "Others")))
    assert (choice.role_arn, choice.decided_by) == (None, "ambiguous")
    assert "NotEqual is not evaluated" in choice.steps[0].why


def test_r2_a_custom_attribute_without_its_prefix_is_pointed_out() -> None:
    choice = choose(table(rule("team", "Equals", "ops", "Ops")), custom__team="ops")
    assert "it has custom:team" in choice.steps[0].why


def test_r2_more_than_twenty_five_rules_and_lists_are_remarked_upon() -> None:
    rules = [rule("cognito:groups", "Equals", f"group{number}", "X") for number in range(26)]
    remarks = choose(table(*rules), cognito__groups=["group25", "other"]).remarks
    assert any("26 rules, and AWS takes 25" in remark for remark in remarks)
    assert any("cognito:groups" in remark and "not documented" in remark for remark in remarks)


def test_r3_the_preferred_role_then_the_only_one() -> None:
    one, two = ROLE("One"), ROLE("Two")
    choice = choose(table(), cognito__roles=[one, two], cognito__preferred_role=two)
    assert (choice.role_arn, choice.decided_by) == (two, "preferred_role")
    assert choose(table(), cognito__roles=[one]).decided_by == "only_role"
    assert choose(table(), cognito__roles=f"{one}, {two}").decided_by == "ambiguous"


def test_r3_a_custom_role_must_be_one_of_the_tokens() -> None:
    roles = [ROLE("One"), ROLE("Two")]
    assert choose(table(), ROLE("Two"), cognito__roles=roles).role_arn == ROLE("Two")
    refused = choose(table(), ROLE("Three"), cognito__roles=roles, cognito__preferred_role=roles[0])
    assert (refused.role_arn, refused.decided_by) == (None, "custom_role_arn")


def test_r3_a_custom_role_overrides_rules_and_one_of_no_rule_is_doubted() -> None:
    rules = table(rule("a", "Equals", "x", "One"), rule("a", "Equals", "y", "Two"))
    choice = choose(rules, ROLE("Two"), a="x")
    assert (choice.role_arn, choice.decided_by, choice.remarks) == (ROLE("Two"), "custom_role_arn", [])
    assert any("not documented" in remark for remark in choose(rules, ROLE("Three"), a="x").remarks)


@pytest.mark.parametrize(("ambiguous", "role"), [("Deny", None), ("AuthenticatedRole", ROLE("Users"))])
def test_r4_where_nothing_decides_the_mapping_says_what_happens(ambiguous: str, role: str | None) -> None:
    for found in (table(ambiguous=ambiguous), table(rule("a", "Equals", "x", "One"), ambiguous=ambiguous)):
        choice = choose(found)
        assert (choice.role_arn, choice.decided_by) == (role, "ambiguous")


def test_r5_the_mapping_is_of_the_provider_and_its_client() -> None:
    found = table(rule("a", "Equals", "x", "One"))
    assert claims.provider_of(ISSUER) == PROVIDER
    assert claims.provider_of({"iss": "https://accounts.google.com", "aud": "app"}) == "accounts.google.com"
    assert claims.provider_of({"aud": "4client"}) is None
    other = role_choice.of_sign_in(found, SignIn(PROVIDER.replace("4client", "5client"), {"a": "x"}))
    assert (other.role_arn, other.decided_by) == (ROLE("Users"), "default")
    assert any("another app client" in remark for remark in other.remarks)


def test_r6_a_pool_that_maps_roles_refuses_the_basic_flow() -> None:
    basic = role_choice.of_sign_in(table(), SignIn(PROVIDER, ISSUER), flow="basic")
    assert (basic.role_arn, basic.decided_by) == (None, "flow")
    assert role_choice.NO_BASIC_FLOW in basic.reason
    plain = role_choice.of_sign_in(table(RoleMappings={}), SignIn(PROVIDER, ISSUER), flow="basic")
    assert "credhelper_role_arn" in plain.reason


def test_r7_principal_tags_are_those_of_the_map_or_the_default_ones() -> None:
    answer = {"IdentityProviderName": "x", "PrincipalTags": {"team": "custom:team", "none": "missing"}}
    found = claims.tags(answer, ISSUER | {"custom:team": "ops"})
    assert [(tag.key, tag.value) for tag in found] == [("team", "ops"), ("none", None)]
    default = claims.tags({"IdentityProviderName": "x", "UseDefaults": True}, ISSUER | {"sub": "me"})
    assert [(tag.key, tag.claim, tag.value) for tag in default] == [
        ("username", "sub", "me"),
        ("client", "aud", "4client"),
    ]
    assert claims.tags({"IdentityProviderName": "x", "UseDefaults": False}, ISSUER) == []


def test_r7_tags_beyond_awss_limits_are_told() -> None:
    long = claims.Tag("k" * 129, "c" * 257, "v" * 461)
    assert len(claims.mistakes_of([long])) == 3
    assert "51 tags" in claims.mistakes_of([replace(long, key="k", claim="c", value="")] * 51)[0]


@pytest.mark.parametrize(
    ("mapping", "what"),
    [
        ([], "is not an object"),
        ({"Type": "Magic"}, "Type is neither Rules nor Token"),
        ({"Type": "Token", "AmbiguousRoleResolution": "Maybe"}, "AmbiguousRoleResolution is neither"),
        ({"Type": "Rules"}, "RulesConfiguration is not an object"),
        ({"Type": "Rules", "RulesConfiguration": {"Rules": {}}}, "Rules is not a list"),
        ({"Type": "Rules", "RulesConfiguration": {"Rules": [{"MatchType": "Like"}]}}, r"Rules\[0\].MatchType is none"),
        (
            {"Type": "Rules", "RulesConfiguration": {"Rules": [{"MatchType": "Equals", "Claim": "a", "Value": ""}]}},
            r"Rules\[0\].Value is missing",
        ),
    ],
)
def test_a_mapping_of_another_shape_is_told_with_its_place(mapping: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        table(RoleMappings={PROVIDER: mapping})


def test_claims_about_the_token_are_not_the_persons() -> None:
    assert claims.of_person(ISSUER | {"exp": 1, "jti": "j", "email": "a@b"}) == ISSUER | {"email": "a@b"}
