"""Every rule for trust policies, with what breaks it and what does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.domain.errors import UsageError
from credhelper.identity_pools import policy_language, trust_lint, trust_verdict
from credhelper.identity_pools.trust_policies import Kind
from credhelper.identity_pools.trust_reading import Subject
from credhelper.identity_pools.trust_verdict import Token

from .trusts import (
    AMR,
    AUD,
    DOCUMENTS,
    IDENTITY,
    OTHER_POOL,
    POOL,
    PROVIDER,
    SUB,
    condition,
    findings,
    found,
    policy,
    statement,
)

GUEST = Kind.GUEST
AMR_PLACE = "Statement[0].Condition.ForAnyValue:StringLike"
AUD_PLACE = "Statement[0].Condition.StringEquals"
OF_USER_POOL = "arn:aws:iam::111122223333:oidc-provider/cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"
TAG = "sts:TagSession"


def rules(*statements: dict[str, Any], **more: Any) -> list[str]:
    return [rule for rule, _, _ in found(*statements, **more)]


def test_the_documents_own_policy_is_clean() -> None:
    documents = policy_language.parse((DOCUMENTS / "trust-authenticated.json").read_bytes(), "document")
    pool = "us-west-2:abcdefg-1234-5678-910a-0e8443553f95"
    assert not list(trust_lint.lint(documents, Subject([pool], Kind.AUTHENTICATED, allows_guests=True)))


def test_the_role_for_user_import_is_no_role_of_an_identity_pool() -> None:
    documents = policy_language.parse((DOCUMENTS / "trust-user-import.json").read_bytes(), "document")
    found = {finding.rule for finding in trust_lint.lint(documents, Subject([POOL], Kind.AUTHENTICATED))}
    assert {"T1", "T2", "T3"} <= found


@pytest.mark.parametrize("kind", Kind)
def test_a_right_policy_is_clean(kind: Kind) -> None:
    assert not found(statement(kind), kind=kind, allows_guests=True)


def test_a_statement_alone_needs_no_list() -> None:
    wrong = policy_language.parse('{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole"}}', "one")
    places = {finding.place for finding in trust_lint.lint(wrong, Subject([POOL], Kind.AUTHENTICATED))}
    assert places == {"Statement"}


@pytest.mark.parametrize(
    "principal",
    [
        {"Service": PROVIDER},
        {"Service": "cognito-idp.amazonaws.com"},
        {"Federated": "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"},
        {"Federated": OF_USER_POOL},
        {"Federated": "cognito-identity-us-gov.amazonaws.com"},
        {"Federated": "accounts.google.com"},
        {"Federated": [PROVIDER, OF_USER_POOL]},
        {"AWS": "arn:aws:iam::111122223333:root"},
        {"AWS": "*"},
        "*",
    ],
)
def test_t1_the_principal_is_another(principal: Any) -> None:
    assert found(statement(Principal=principal)) == [("T1", "error", "Statement[0].Principal")]


def test_t1_the_statement_excepts_a_principal() -> None:
    wrong = statement(Principal=None, NotPrincipal={"Federated": PROVIDER})
    assert ("T1", "error", "Statement[0].NotPrincipal") in found(wrong)


def test_t1_no_statement_is_about_identity_pools() -> None:
    lambdas = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    assert found(lambdas) == [("T1", "error", "Statement")]


def test_other_doors_of_the_same_role_are_nobodys_business() -> None:
    lambdas = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    robots = {
        "Effect": "Allow",
        "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:o/r:*"}},
    }
    assert not found(lambdas, statement(), robots)


def test_t1_names_the_principal_of_the_pools_region() -> None:
    pool = POOL.replace("us-east-1", "us-gov-west-1")
    first = findings(statement(), pools=(pool,))[0]
    assert (first.rule, first.fix) == ("T1", '"Principal": {"Federated": "cognito-identity-us-gov.amazonaws.com"}')


@pytest.mark.parametrize("action", ["sts:AssumeRole", "sts:AssumeRoleWithSAML", ["sts:AssumeRole", TAG]])
def test_t2_the_action_is_another(action: Any) -> None:
    assert found(statement(Action=action)) == [("T2", "error", "Statement[0].Action")]


@pytest.mark.parametrize(
    "action", ["sts:*", "*", "sts:AssumeRole*", ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"]]
)
def test_t2_warns_of_more_actions_than_are_used(action: Any) -> None:
    assert found(statement(Action=action)) == [("T2", "warning", "Statement[0].Action")]


def test_t2_what_is_not_excepted_is_allowed() -> None:
    assert found(statement(Action=None, NotAction="sts:AssumeRole")) == [("T2", "warning", "Statement[0].NotAction")]
    assert rules(statement(Action=None, NotAction="sts:Assume*")) == ["T2"]


@pytest.mark.parametrize("action", ["STS:assumerolewithwebidentity", ["sts:AssumeRoleWithWebIdentity", TAG]])
def test_t2_takes_any_case_and_tags(action: Any) -> None:
    assert not found(statement(Action=action))


def test_t2_tags_may_have_a_statement_of_their_own_and_let_nobody_in_by_it() -> None:
    tags = statement(Action=TAG, Condition=None)
    assert not found(statement(), tags, has_tags=True)
    assert found(tags) == [("T2", "error", "Statement[0].Action")]


def test_t3_no_condition_at_all() -> None:
    assert found(statement(Condition=None)) == [
        ("T3", "error", "Statement[0]"),
        ("T4", "error", "Statement[0]"),
        ("T7", "warning", "Statement[0]"),
    ]


def test_t3_conditions_on_other_things_do_not_count() -> None:
    asked = {"StringEquals": {"aws:RequestedRegion": "us-east-1", "accounts.google.com:aud": "app"}}
    first = findings(statement(Condition=asked))[0]
    assert (first.rule, first.place) == ("T3", "Statement[0].Condition")
    assert "accounts.google.com:aud is not a key of these tokens" in first.reason


def test_t4_no_condition_names_the_pools() -> None:
    assert found(statement(Condition=condition(StringEquals=None))) == [("T4", "error", "Statement[0].Condition")]


def test_t4_pools_that_are_kept_out_are_not_named() -> None:
    asked = condition(StringEquals=None, StringNotEquals={AUD: OTHER_POOL})
    assert found(statement(Condition=asked)) == [("T4", "error", "Statement[0].Condition.StringNotEquals")]


def test_t4_keys_are_the_same_in_any_case() -> None:
    assert not found(statement(Condition=condition(StringEquals={AUD.upper(): POOL})))


@pytest.mark.parametrize(
    ("value", "word"), [("us-east-1_AbCdEf123", "user pool"), ("app", "region:guid"), ("", "region")]
)
def test_t5_aud_is_no_identity_pool(value: str, word: str) -> None:
    wrong = findings(statement(Condition=condition(StringEquals={AUD: [POOL, value]})))
    assert [(finding.rule, finding.level) for finding in wrong] == [("T5", "error")]
    assert word in wrong[0].reason


def test_t6_another_pool_is_trusted() -> None:
    assert found(statement(Condition=condition(StringEquals={AUD: OTHER_POOL}))) == [("T6", "error", AUD_PLACE)]


def test_t6_each_of_several_pools_must_be_there_in_whichever_statement() -> None:
    both = {"pools": (POOL, OTHER_POOL)}
    other = statement(Condition=condition(StringEquals={AUD: OTHER_POOL}))
    assert rules(statement(), **both) == ["T6"]
    assert not found(statement(Condition=condition(StringEquals={AUD: [OTHER_POOL, POOL]})), **both)
    assert not found(statement(), other, **both)


def test_t6_values_are_compared_to_the_letter() -> None:
    assert rules(statement(Condition=condition(StringEquals={AUD: POOL.upper().replace("US-EAST", "us-east")}))) == []
    shouted = IDENTITY.upper().replace("US-EAST", "us-east")
    assert rules(statement(Condition=condition(StringEquals={AUD: shouted})), pools=(IDENTITY,)) == ["T6"]


@pytest.mark.parametrize(
    "denied",
    [
        {"Condition": {"StringEquals": {AUD: POOL}}},
        {"Condition": None, "Principal": "*", "Action": "sts:*"},
        {"Condition": {"ForAnyValue:StringLike": {AMR: "authenticated"}}},
    ],
)
def test_t6_a_deny_keeps_the_pools_own_users_out(denied: dict[str, Any]) -> None:
    assert found(statement(), statement(Effect="Deny", **denied)) == [("T6", "error", "Statement[1]")]


def test_t6_another_providers_key_keeps_everyone_out() -> None:
    asked = condition(StringEquals={AUD: POOL, "accounts.google.com:aud": "app"})
    assert found(statement(Condition=asked)) == [("T6", "error", "Statement[0].Condition")]


def test_what_depends_on_the_request_is_not_guessed() -> None:
    assert not found(statement(Condition=condition(IpAddress={"aws:SourceIp": "192.0.2.0/24"})))


@pytest.mark.parametrize(("guests", "level"), [(None, "warning"), (False, "warning"), (True, "error")])
def test_t7_guests_can_assume_the_users_role(guests: bool | None, level: str) -> None:
    asked = condition(ForAnyValue__StringLike=None)
    assert found(statement(Condition=asked), allows_guests=guests) == [("T7", level, "Statement[0].Condition")]


def test_t7_users_can_assume_the_guests_role() -> None:
    asked = condition(ForAnyValue__StringLike=None)
    assert found(statement(Condition=asked), kind=GUEST, allows_guests=True) == [
        ("T7", "warning", "Statement[0].Condition")
    ]


def test_t7_a_deny_for_guests_is_as_good() -> None:
    keeping_out = statement(Effect="Deny", Condition={"ForAnyValue:StringLike": {AMR: "unauthenticated"}})
    assert not found(statement(Condition=condition(ForAnyValue__StringLike=None)), keeping_out, allows_guests=True)


@pytest.mark.parametrize(
    "operator", ["StringEquals", "StringLike", "ForAllValues:StringLike", "ForAllValues:StringEquals"]
)
@pytest.mark.parametrize("kind", Kind)
def test_t8_amr_is_a_list(operator: str, kind: Kind) -> None:
    asked = {"StringEqualsIgnoreCase": {AUD: POOL}, operator: {AMR: kind.value}}
    assert found(statement(Condition=asked), kind=kind) == [("T8", "error", f"Statement[0].Condition.{operator}")]


def test_t7_a_deny_for_the_guests_of_one_pool_is_none_for_the_others() -> None:
    asked = {"StringEquals": {AUD: [POOL, OTHER_POOL]}}
    one = {"ForAnyValue:StringLike": {AMR: "unauthenticated"}, "StringEquals": {AUD: POOL}}
    written = statement(Condition=asked), statement(Effect="Deny", Condition=one)
    assert rules(*written, pools=(POOL, OTHER_POOL)) == ["T7"]
    assert not rules(*written)


def test_t8_a_deny_that_compares_the_list_as_one_value_denies_nobody_knows_whom() -> None:
    denied = {"StringLike": {AMR: "unauthenticated"}}
    assert found(statement(), statement(Effect="Deny", Condition=denied)) == [
        ("T8", "error", "Statement[1].Condition.StringLike")
    ]


def test_t8_one_member_that_differs_is_always_there() -> None:
    asked = condition(ForAnyValue__StringLike=None, ForAnyValue__StringNotEquals={AMR: "unauthenticated"})
    assert "T8" in rules(statement(Condition=asked))


@pytest.mark.parametrize("operator", ["ForAnyValue:StringLike", "ForAnyValue:StringEquals"])
def test_t8_one_member_that_is_the_same_is_enough(operator: str) -> None:
    assert not found(statement(Condition={"StringEquals": {AUD: POOL}, operator: {AMR: "authenticated"}}))


@pytest.mark.parametrize("values", ["unauthenticated", ["authenticated", "unauthenticated"], "*", "*authenticated"])
def test_t9_the_users_role_is_open_to_guests(values: Any) -> None:
    assert found(statement(Condition=condition(ForAnyValue__StringLike={AMR: values}))) == [("T9", "error", AMR_PLACE)]


@pytest.mark.parametrize("values", ["authenticated", "graph.facebook.com"])
def test_t9_the_guests_role_is_closed_to_guests(values: str) -> None:
    asked = condition(ForAnyValue__StringLike={AMR: values})
    assert found(statement(Condition=asked), kind=GUEST) == [("T9", "error", AMR_PLACE)]


def test_t9_warns_where_users_can_assume_the_guests_role() -> None:
    asked = condition(ForAnyValue__StringLike={AMR: ["authenticated", "unauthenticated"]})
    assert found(statement(Condition=asked), kind=GUEST) == [("T9", "warning", AMR_PLACE)]


def test_t9_a_deny_is_seen() -> None:
    both = statement(Condition=condition(ForAnyValue__StringLike={AMR: "*"}))
    keeping_out = statement(Effect="Deny", Condition={"ForAnyValue:StringLike": {AMR: "unauth*"}})
    assert not found(both, keeping_out)


@pytest.mark.parametrize(
    "value", ["graph.facebook.com", "cognito-idp.us-east-1.amazonaws.com/*", "accounts.google.com"]
)
def test_t9_a_provider_stands_for_those_who_have_signed_in_with_it(value: str) -> None:
    assert not found(statement(Condition=condition(ForAnyValue__StringLike={AMR: value})))


def test_t9_a_word_that_is_no_providers_is_doubted() -> None:
    asked = condition(ForAnyValue__StringLike={AMR: "authentcated"})
    assert found(statement(Condition=asked)) == [("T9", "warning", AMR_PLACE)]


@pytest.mark.parametrize("value", ["4f1c2d3e-0000-1111-2222-333344445555", "google|1234", "us-east-1_AbCdEf123"])
def test_t10_sub_is_not_the_users_own(value: str) -> None:
    asked = condition(StringEquals={AUD: POOL, SUB: [IDENTITY, value]})
    assert found(statement(Condition=asked)) == [("T10", "error", AUD_PLACE)]


def test_t10_warns_of_wildcards_and_takes_identities() -> None:
    assert found(statement(Condition=condition(StringLike={SUB: "us-east-1:*"}))) == [
        ("T10", "warning", "Statement[0].Condition.StringLike")
    ]
    assert not found(statement(Condition=condition(StringEquals={AUD: POOL, SUB: IDENTITY})))


def test_t13_principal_tags_need_an_action_of_their_own() -> None:
    assert found(statement(), has_tags=True) == [("T13", "error", "Statement[0].Action")]
    assert not found(statement(Action=["sts:AssumeRoleWithWebIdentity", TAG]), has_tags=True)
    assert not found(statement(GUEST), kind=GUEST, has_tags=True)


def test_t16_several_statements_without_conditions() -> None:
    bare = statement(Condition=None)
    assert ("T16", "error", "Statement[2]") in found(bare, statement(), bare)


@pytest.mark.parametrize(
    ("operator", "value"), [("StringLike", "us-east-1:*"), ("StringEquals", "*"), ("StringLike", "?")]
)
def test_t16_a_wildcard_for_a_pool(operator: str, value: str) -> None:
    asked = condition(StringEquals=None) | {operator: {AUD: value}}
    assert found(statement(Condition=asked)) == [("T16", "error", f"Statement[0].Condition.{operator}")]


def test_pools_whose_principal_is_unknown_are_refused() -> None:
    with pytest.raises(UsageError):
        findings(statement(), pools=("us-east-1_AbCdEf123",))


OPERATORS = st.sampled_from(
    ["StringNotEquals", "StringNotLike", "ForAnyValue:StringEquals", "ForAllValues:StringLike", "Null", "IpAddress"]
)
KEYS = st.sampled_from([AUD, AMR, SUB, "aws:SourceIp", "accounts.google.com:aud"])
VALUES = st.sampled_from(
    [POOL, OTHER_POOL, "*", "authenticated", "unauthenticated", "false", "${aws:x}", [IDENTITY, "?"]]
)
CONDITIONS = st.dictionaries(OPERATORS, st.dictionaries(KEYS, VALUES, max_size=2), max_size=2)
PRINCIPALS = st.sampled_from([{"Federated": PROVIDER}, {"Service": "lambda.amazonaws.com"}, "*"])
ACTIONS = st.sampled_from(["sts:AssumeRoleWithWebIdentity", TAG, "sts:*", "sts:AssumeRole"])
OTHERS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Deny", "Allow"]), "Principal": PRINCIPALS, "Action": ACTIONS, "Condition": CONDITIONS}
)


@given(st.sampled_from(Kind), CONDITIONS, st.lists(OTHERS, max_size=2), st.booleans())
def test_any_policy_can_be_checked_and_without_an_error_it_lets_in_its_own_people(
    kind: Kind, more: dict[str, Any], others: list[dict[str, Any]], tags: bool
) -> None:
    right = statement(kind)
    statements = [right | {"Condition": more | right["Condition"]}, *others]
    wrong = findings(*statements, kind=kind, has_tags=tags, allows_guests=True)
    assert all(all(finding.document().values()) for finding in wrong)
    if not any(finding.level == "error" for finding in wrong):
        users = [("authenticated", "graph.facebook.com"), ("authenticated", POOL, OTHER_POOL, IDENTITY, "false")]
        tokens = [
            Token(PROVIDER, POOL, identity, amr)
            for identity in (IDENTITY, POOL, OTHER_POOL)
            for amr in ([("unauthenticated",)] if kind is GUEST else users)
        ]
        assert any(trust_verdict.judge(policy(*statements), token).is_accepted is not False for token in tokens)


def test_every_finding_says_what_to_write_instead() -> None:
    wrong = statement(Principal="*", Action="sts:*", Condition={"StringLike": {AUD: "*", SUB: "x", AMR: "y"}})
    for finding in findings(wrong, has_tags=True, allows_guests=True):
        assert all(finding.document().values())
