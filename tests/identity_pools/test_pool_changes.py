"""What a change makes of a pool: all that is not named stays, and what Cognito would refuse is refused before."""

from typing import Any

import pytest

from credhelper.domain.errors import ConfigError, CredhelperError, UsageError
from credhelper.identity_pools import pool_changes
from credhelper.identity_pools.import_roles import ImportRole, provider_of_user_pool
from credhelper.identity_pools.pool_changes import PoolState, Wishes

POOL = "us-east-1:01234567-89ab-cdef-0123-456789abcdef"
PROVIDER = "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"
ROLE = "arn:aws:iam::111122223333:role/Users"
RULE = {"Claim": "custom:team", "MatchType": "Equals", "Value": "ops", "RoleARN": ROLE}
SAML = "arn:aws:iam::111122223333:saml-provider/Okta"
OIDC = "arn:aws:iam::111122223333:oidc-provider/login.example.com"


def mapping(*rules: Any, **changed: Any) -> dict[str, Any]:
    found = {"Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": {"Rules": list(rules)}}
    return {name: value for name, value in (found | changed).items() if value is not None}


@pytest.fixture
def pool() -> PoolState:
    """One with something in every place."""
    settings = {
        "IdentityPoolId": POOL,
        "IdentityPoolName": "notes",
        "AllowUnauthenticatedIdentities": False,
        "AllowClassicFlow": False,
        "SupportedLoginProviders": {"graph.facebook.com": "1"},
        "CognitoIdentityProviders": [{"ProviderName": PROVIDER, "ClientId": "web", "ServerSideTokenCheck": True}],
        "SamlProviderARNs": [SAML],
        "IdentityPoolTags": {"team": "notes"},
        "ResponseMetadata": {},
    }
    roles = {"Roles": {"authenticated": ROLE}, "RoleMappings": {f"{PROVIDER}:web": mapping(RULE)}}
    tags = {PROVIDER: {"UseDefaults": False, "PrincipalTags": {"dept": "custom:dept"}}, SAML: None}
    return pool_changes.state_of(settings, roles, tags)


def test_an_update_sends_everything_of_the_pool_with_one_thing_changed(pool: PoolState) -> None:
    after = pool_changes.changed(pool, Wishes(allows_guests=True))
    (request,) = pool_changes.requests(pool, after)
    assert request.operation == "update_identity_pool"
    kept = {name: value for name, value in pool.settings.items() if name != "IdentityPoolId"}
    assert request.fields == kept | {"AllowUnauthenticatedIdentities": True}
    assert [line for line in pool_changes.difference(pool, after) if line[:1] in "+-"][2:] == [
        '-    "AllowUnauthenticatedIdentities": false,',
        '+    "AllowUnauthenticatedIdentities": true,',
    ]


def test_roles_and_rules_are_sent_together_whichever_changes(pool: PoolState) -> None:
    (request,) = pool_changes.requests(pool, pool_changes.changed(pool, Wishes(guest_role=ROLE + "2")))
    assert request.operation == "set_identity_pool_roles"
    assert request.fields == {
        "Roles": {"authenticated": ROLE, "unauthenticated": ROLE + "2"},
        "RoleMappings": pool.mappings,
    }
    (request,) = pool_changes.requests(pool, pool_changes.changed(pool, Wishes(remove_mappings=[f"{PROVIDER}:web"])))
    assert request.fields == {"Roles": pool.roles, "RoleMappings": {}}


def test_what_is_as_wished_already_makes_no_call(pool: PoolState) -> None:
    after = pool_changes.changed(pool, Wishes(name="notes", add_providers=["us-east-1_AbCdEf123:web"], guest_role=None))
    assert pool_changes.requests(pool, after) == []
    assert pool_changes.difference(pool, after) == []


def test_a_flag_that_was_never_set_is_sent_as_it_counts(pool: PoolState) -> None:
    """UpdateIdentityPool without AllowClassicFlow would leave it to what Cognito thinks."""
    del pool.settings["AllowClassicFlow"]
    after = pool_changes.changed(pool, Wishes(allows_guests=True))
    assert after.settings["AllowClassicFlow"] is True
    assert any(told.startswith("T12") for told in pool_changes.warnings(pool, after))


def test_a_new_pool_refuses_the_classic_flow_unless_asked() -> None:
    assert pool_changes.new_pool("p", Wishes(add_providers=["eu-west-1_AbCdEf123:web"])) == {
        "IdentityPoolName": "p",
        "AllowUnauthenticatedIdentities": False,
        "AllowClassicFlow": False,
        "CognitoIdentityProviders": [
            {
                "ProviderName": "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123",
                "ClientId": "web",
                "ServerSideTokenCheck": False,
            }
        ],
    }
    assert pool_changes.new_pool("p", Wishes(classic_flow=True))["AllowClassicFlow"] is True


@pytest.mark.parametrize(
    ("provider", "key", "value"),
    [
        (OIDC, "OpenIdConnectProviderARNs", [OIDC]),
        (SAML + "2", "SamlProviderARNs", [SAML, SAML + "2"]),
        (
            "accounts.google.com=abc",
            "SupportedLoginProviders",
            {"graph.facebook.com": "1", "accounts.google.com": "abc"},
        ),
    ],
)
def test_providers_of_every_kind_come_and_go(pool: PoolState, provider: str, key: str, value: Any) -> None:
    after = pool_changes.changed(pool, Wishes(add_providers=[provider]))
    assert after.settings[key] == value
    back = pool_changes.changed(after, Wishes(remove_providers=[provider.partition("=")[0]]))
    assert (back.settings.get(key) or None) == pool.settings.get(key)


@pytest.mark.parametrize("name", [PROVIDER, "us-east-1_AbCdEf123", f"{PROVIDER}:web", "us-east-1_AbCdEf123:web"])
def test_a_user_pool_is_taken_out_by_any_of_its_names_and_who_loses_by_it_is_said(pool: PoolState, name: str) -> None:
    after = pool_changes.changed(pool, Wishes(remove_providers=[name]))
    assert after.settings["CognitoIdentityProviders"] == []
    assert [told for told in pool_changes.warnings(pool, after) if PROVIDER in told]


def test_another_app_client_in_place_of_the_one_that_is_there_locks_people_out_and_that_is_said(
    pool: PoolState,
) -> None:
    wishes = Wishes(add_providers=["us-east-1_AbCdEf123:ios"], remove_providers=["us-east-1_AbCdEf123:web"])
    (warning,) = pool_changes.warnings(pool, pool_changes.changed(pool, wishes))
    assert warning.startswith(f"Who signs in through app client web of {PROVIDER} gets no more credentials")


def test_principal_tags_are_set_for_a_provider_and_taken_off(pool: PoolState) -> None:
    default = {"UseDefaults": True, "PrincipalTags": {}}
    after = pool_changes.changed(pool, Wishes(set_tags={SAML: default}, remove_tags=[PROVIDER]))
    assert pool_changes.requests(pool, after) == [
        (
            "set_principal_tag_attribute_map",
            {"IdentityProviderName": PROVIDER, "UseDefaults": False, "PrincipalTags": {}},
        ),
        ("set_principal_tag_attribute_map", {"IdentityProviderName": SAML, **default}),
    ]
    assert any("sts:TagSession" in told for told in pool_changes.warnings(pool, after))


def test_the_name_of_a_developer_provider_is_set_once(pool: PoolState) -> None:
    after = pool_changes.changed(pool, Wishes(developer_provider="login.app"))
    assert any("never be changed" in told for told in pool_changes.warnings(pool, after))
    with pytest.raises(UsageError, match="lets nobody change it"):
        pool_changes.changed(after, Wishes(developer_provider="login.other"))


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(name="no/slash"),
        Wishes(add_providers=["google"]),
        Wishes(add_providers=["us-east-1_AbCdEf123"]),
        Wishes(remove_providers=["graph.google.com"]),
        Wishes(authenticated_role="Users"),
        Wishes(remove_mappings=["p"]),
        Wishes(set_mappings={str(number): mapping(RULE) for number in range(10)}),
        Wishes(set_mappings={"p": mapping(*[RULE] * 26)}),
        Wishes(set_mappings={"p": mapping()}),
        Wishes(set_mappings={"p": mapping(RULE, AmbiguousRoleResolution=None)}),
        Wishes(set_mappings={"p": mapping(RULE | {"MatchType": "Like"})}),
        Wishes(set_tags={"p": {"UseDefaults": True, "PrincipalTags": {}}}),
        Wishes(set_tags={SAML: {"UseDefaults": False, "PrincipalTags": {"t": 1}}}),
        Wishes(set_tags={SAML: {"UseDefaults": False, "PrincipalTags": dict.fromkeys(map(str, range(51)), "c")}}),
        Wishes(remove_tags=[SAML]),
        Wishes(remove_pool_tags=["owner"]),
    ],
)
def test_what_cannot_be_is_refused_before_a_call(pool: PoolState, wishes: Wishes) -> None:
    with pytest.raises(CredhelperError) as caught:
        pool_changes.changed(pool, wishes)
    assert isinstance(caught.value, UsageError | ConfigError)


def test_token_checks_are_for_user_pools(pool: PoolState) -> None:
    after = pool_changes.changed(pool, Wishes(server_side_token_check=False))
    assert after.settings["CognitoIdentityProviders"][0]["ServerSideTokenCheck"] is False
    with pytest.raises(UsageError):
        pool_changes.new_pool("p", Wishes(server_side_token_check=True))


def test_the_role_of_an_import_is_the_documents_with_conditions_of_account_and_user_pool() -> None:
    plain = ImportRole("111122223333", "us-east-1", is_conditional=False)
    statement = {"Effect": "Allow", "Principal": {"Service": "cognito-idp.amazonaws.com"}, "Action": "sts:AssumeRole"}
    assert plain.trust() == {"Version": "2012-10-17", "Statement": [statement]}
    assert plain.permissions()["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": ["arn:aws:logs:us-east-1:111122223333:log-group:/aws/cognito/*"],
        }
    ]
    one = ImportRole("111122223333", "cn-north-1", "cn-north-1_AbCdEf123").trust()["Statement"][0]
    assert one == statement | {
        "Condition": {
            "StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {
                "aws:SourceArn": "arn:aws-cn:cognito-idp:cn-north-1:111122223333:userpool/cn-north-1_AbCdEf123"
            },
        }
    }


def test_a_user_pool_is_a_provider_under_its_partitions_name() -> None:
    assert provider_of_user_pool("us-east-1_AbCdEf123") == PROVIDER
    assert provider_of_user_pool("cn-north-1_AbC").startswith("cognito-idp.cn-north-1.amazonaws.com.cn/")
    for wrong in (POOL, "us-east-1", "us-east-1_", "../us-east-1_a"):
        with pytest.raises(UsageError):
            provider_of_user_pool(wrong)
