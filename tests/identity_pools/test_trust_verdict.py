"""What STS would answer to a token, case by case; the same against an independent STS is with the real clients."""

from typing import Any

import pytest

from credhelper.identity_pools import trust_verdict
from credhelper.identity_pools.trust_policies import Kind
from credhelper.identity_pools.trust_verdict import Token

from .trusts import AMR, AUD, IDENTITY, OTHER_POOL, POOL, PROVIDER, SUB, condition, policy, statement

USER = Token(PROVIDER, POOL, IDENTITY, ("authenticated", "graph.facebook.com"))
GUEST = Token(PROVIDER, POOL, IDENTITY, ("unauthenticated",))
TAG = "sts:TagSession"


def is_accepted(*statements: dict[str, Any], token: Token = USER, **more: Any) -> bool | None:
    return trust_verdict.judge(policy(*statements), token, **more).is_accepted


def test_a_user_of_the_pool_is_accepted_and_nobody_else() -> None:
    assert is_accepted(statement())
    for other in (
        GUEST,
        Token(PROVIDER, OTHER_POOL, IDENTITY, USER.amr),
        Token("accounts.google.com", POOL, IDENTITY, USER.amr),
    ):
        assert is_accepted(statement(), token=other) is False


def test_the_statement_that_decides_is_named() -> None:
    deny = statement(Effect="Deny", Condition=None)
    assert trust_verdict.judge(policy(statement(Kind.GUEST), statement()), USER).place == "Statement[1]"
    assert trust_verdict.judge(policy(statement(), deny), USER).place == "Statement[1]"
    assert trust_verdict.judge(policy(statement(Kind.GUEST)), USER).place is None


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"Federated": ["accounts.google.com", PROVIDER]}])
def test_anyone_and_a_list_are_the_provider_too(principal: Any) -> None:
    assert is_accepted(statement(Principal=principal))


def test_what_is_in_no_document_of_awss_has_no_answer() -> None:
    assert is_accepted(statement(Principal=None, NotPrincipal={"Federated": "accounts.google.com"})) is None
    assert is_accepted(statement(Condition={"StringEquals": {AUD: POOL, AMR: "authenticated"}})) is None


def test_what_the_request_decides_has_no_answer_unless_the_token_is_refused_anyway() -> None:
    asked = condition(IpAddress={"aws:SourceIp": "192.0.2.0/24"})
    assert is_accepted(statement(Condition=asked)) is None
    assert is_accepted(statement(Condition=asked), token=GUEST) is False
    maybe = statement(Effect="Deny", Condition={"StringLike": {"sts:RoleSessionName": "x*"}})
    assert is_accepted(statement(), maybe) is None


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"Null": {AUD: "false"}}, True),
        ({"Null": {"accounts.google.com:aud": True}}, True),
        ({"Null": {AMR: "true"}}, False),
        ({"StringEqualsIfExists": {"accounts.google.com:aud": "app"}}, True),
        ({"StringEquals": {"accounts.google.com:aud": "app"}}, False),
        ({"StringNotEquals": {"accounts.google.com:aud": "app"}}, True),
        ({"ForAnyValue:StringNotEquals": {"accounts.google.com:aud": "app"}}, False),
        ({"ForAllValues:StringEquals": {"accounts.google.com:aud": "app"}}, True),
        ({"ForAllValues:StringLike": {AMR: "*"}}, True),
        ({"ForAllValues:StringLike": {AMR: "authenticated"}}, False),
        ({"ForAnyValue:StringNotLike": {AMR: "authenticated"}}, True),
        ({"StringLike": {AUD: "us-east-?:*", SUB: ["x", "us-*"]}}, True),
        ({"StringEquals": {AUD: [OTHER_POOL, POOL]}}, True),
        ({"StringNotEquals": {AUD: [OTHER_POOL, POOL]}}, False),
        ({"NumericEquals": {AUD: "1"}}, False),
    ],
)
def test_conditions_are_met_as_iam_documents_it(asked: dict[str, Any], answer: bool) -> None:
    assert is_accepted(statement(Condition=asked)) is answer


def test_without_a_condition_the_pools_of_the_same_account_are_accepted_and_others_are_not() -> None:
    bare = statement(Condition=None)
    assert is_accepted(bare)
    assert is_accepted(bare, crosses_accounts=True) is False
    assert is_accepted(statement(), crosses_accounts=True)


def test_tags_on_the_session_must_be_allowed_too() -> None:
    tagged = Token(PROVIDER, POOL, IDENTITY, USER.amr, carries_tags=True)
    assert is_accepted(statement(), token=tagged) is False
    assert is_accepted(statement(), statement(Action=TAG), token=tagged)
    assert is_accepted(statement(Action="sts:*"), statement(Effect="Deny", Action=TAG), token=tagged) is False
