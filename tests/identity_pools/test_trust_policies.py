"""The trust policies that are generated are those of AWS's documents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.domain.errors import UsageError
from credhelper.identity_pools import policy_language, trust_lint, trust_policies, trust_verdict
from credhelper.identity_pools.pools import is_id, provider_of
from credhelper.identity_pools.trust_policies import Kind, Trust
from credhelper.identity_pools.trust_reading import Subject
from credhelper.identity_pools.trust_verdict import Token

from .trusts import AMR, AUD, IDENTITY, POOL, PROVIDER, document

GUID = st.uuids().map(str)
REGIONS = st.sampled_from(
    ["us-east-1", "eu-central-2", "ap-southeast-3", "us-gov-west-1", "us-gov-east-1", "cn-north-1"]
)


def made(**of: Any) -> dict[str, Any]:
    return trust_policies.document(Trust(**({"pool_ids": [POOL], "kind": Kind.AUTHENTICATED} | of)))


def condition(**of: Any) -> Any:
    return made(**of)["Statement"][0]["Condition"]


def test_the_policy_for_signed_in_users_is_the_documents_own() -> None:
    assert made(pool_ids=["us-west-2:abcdefg-1234-5678-910a-0e8443553f95"]) == document("trust-authenticated")


def test_several_pools_are_named_as_in_the_document() -> None:
    whole = document("condition-several-pools")
    assert condition(pool_ids=whole["StringEquals"][AUD])["StringEquals"] == whole["StringEquals"]


def test_identities_are_named_as_in_the_document() -> None:
    whole = document("condition-identities")["StringEquals"]
    pool, identities = whole.values()
    assert condition(pool_ids=[pool], identity_ids=identities)["StringEquals"] == whole


def test_a_provider_is_named_as_in_the_document() -> None:
    whole = document("condition-provider")
    assert condition(providers=["login.myprovider.myapp"]) == {"StringEquals": {AUD: POOL}} | whole


def test_guests_are_told_by_the_other_word() -> None:
    assert condition(kind=Kind.GUEST)["ForAnyValue:StringLike"] == {AMR: "unauthenticated"}


def test_tags_on_the_session_need_a_second_action() -> None:
    actions = made(tags_session=True)["Statement"][0]["Action"]
    assert actions == ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]


def test_one_value_is_no_list_even_when_it_is_given_twice() -> None:
    assert made(pool_ids=[POOL, POOL]) == made()


@pytest.mark.parametrize(
    ("region", "principal"),
    [
        ("eu-west-1", PROVIDER),
        ("us-gov-west-1", "cognito-identity-us-gov.amazonaws.com"),
        ("us-gov-east-1", "cognito-identity.us-gov-east-1.amazonaws.com"),
        ("cn-north-1", "cognito-identity.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_principal_and_its_keys_follow_the_pools_region(region: str, principal: str) -> None:
    statement = made(pool_ids=[f"{region}:12345678-corner-cafe-123456790ab"])["Statement"][0]
    assert statement["Principal"] == {"Federated": principal}
    assert {key for tests in statement["Condition"].values() for key in tests} == {
        f"{principal}:aud",
        f"{principal}:amr",
    }


@pytest.mark.parametrize("region", ["eusc-de-east-1", "us-iso-east-1", "cn-northwest-1"])
def test_where_aws_documents_no_principal_none_is_made_up(region: str) -> None:
    with pytest.raises(UsageError, match=f"documents no principal for identity pools in {region}"):
        made(pool_ids=[f"{region}:11111111-2222-3333-4444-555555555555"])


@pytest.mark.parametrize(
    ("of", "complaint"),
    [
        ({"pool_ids": ["us-east-1_AbCdEf123"]}, "“us-east-1_AbCdEf123” is not an identity pool's id"),
        ({"pool_ids": ["us-east-1:*"]}, "is not an identity pool's id"),
        ({"pool_ids": [f"us-east-1:{'1-' * 30}1"]}, "is not an identity pool's id"),
        ({"pool_ids": [POOL, POOL.replace("us-east-1", "us-gov-west-1")]}, "no principal in common"),
        ({"identity_ids": ["12345"]}, "is not an identity's id"),
        ({"kind": Kind.GUEST, "providers": ["graph.facebook.com"]}, "guests have signed in with none"),
        ({"providers": ["*"]}, "is not an identity provider's name"),
        ({"providers": ["authenticated"]}, "not a provider's name"),
        ({"providers": [""]}, "is not an identity provider's name"),
    ],
)
def test_what_cannot_be_trusted_so_is_refused(of: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint.replace("*", r"\*")):
        made(**of)


@given(
    region=REGIONS,
    guids=st.lists(GUID, min_size=1, max_size=3, unique=True),
    kind=st.sampled_from(Kind),
    providers=st.lists(st.from_regex(r"[a-z0-9_.-]{1,20}\.[a-z0-9]{2,9}", fullmatch=True), max_size=2),
    identities=st.lists(GUID, max_size=2),
    tags=st.booleans(),
)
def test_whatever_is_generated_lints_clean_and_lets_in_those_it_is_for_and_no_others(
    region: str, guids: list[str], kind: Kind, providers: list[str], identities: list[str], tags: bool
) -> None:
    pool_ids = [f"{region}:{guid}" for guid in guids]
    identity_ids = [f"{region}:{guid}" for guid in identities]
    providers = providers if kind is Kind.AUTHENTICATED else []
    trust = Trust(pool_ids, kind, providers, identity_ids, tags_session=tags)
    policy = policy_language.parse(repr_json(trust_policies.document(trust)), "made")

    assert not list(trust_lint.lint(policy, Subject(pool_ids, kind, allows_guests=True, has_tags=tags)))

    identity = identity_ids[-1] if identity_ids else IDENTITY
    guest, user = ("unauthenticated",), ("authenticated", *(providers or ["graph.facebook.com"]))
    theirs, others = (guest, user) if kind is Kind.GUEST else (user, guest)
    provider = provider_of(pool_ids)
    assert trust_verdict.judge(policy, Token(provider, pool_ids[-1], identity, theirs, tags)).is_accepted is True
    for stranger in (
        Token(provider, pool_ids[-1], identity, others),
        Token(provider, f"{region}:0-0-0-0-0", identity, theirs),
        Token("accounts.google.com", pool_ids[-1], identity, theirs),
    ):
        assert trust_verdict.judge(policy, stranger).is_accepted is False


def repr_json(document: Any) -> str:
    import json

    return json.dumps(document)


@pytest.mark.parametrize("text", ["us-east-1", "us-east-1:", ":1-2", "us-east-1:1", "us-east-1:1-2\n", "ÜS-east-1:1-2"])
def test_what_has_not_the_shape_of_an_id_is_none(text: str) -> None:
    assert not is_id(text)
