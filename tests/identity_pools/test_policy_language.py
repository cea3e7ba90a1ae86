"""Policy documents as IAM reads them: what is one, and in which line it is none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.domain.errors import ConfigError
from credhelper.identity_pools import json_places, policy_language
from tests.identity_pools.access_documents import EXAMPLES, NOTES_APPLICATION


def read(statement: dict[str, Any]) -> policy_language.Statement:
    return policy_language.parse(json.dumps({"Version": "2012-10-17", "Statement": statement}), "p").statements[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_documents_own_policies_are_read(name: str) -> None:
    policy = policy_language.parse_access_policy(json.dumps(EXAMPLES[name]), name)
    assert policy.knows_variables
    assert not policy.is_trust_policy


def test_each_part_has_its_line() -> None:
    policy = policy_language.parse(NOTES_APPLICATION, "app.json")
    assert [policy.line(statement.place) for statement in policy.statements] == [4, 15, 24]
    assert policy.line("Statement[0].Action[2]") == 9
    assert policy.line("Statement[2].Resource[0]") == 30
    assert policy.line("Statement[2].Nothing.Of.That") == 24


def test_one_statement_needs_no_list_and_one_value_neither() -> None:
    statement = read({"Effect": "Deny", "NotAction": "iam:*", "NotResource": ["a", "b"], "NotPrincipal": "*"})
    assert (statement.place, statement.is_allow) == ("Statement", False)
    assert (statement.actions, statement.is_not_action, statement.place_of("Action")) == (
        ("iam:*",),
        True,
        "Statement.NotAction",
    )
    assert (statement.resources, statement.is_not_resource) == (("a", "b"), True)
    assert (statement.principals, statement.is_not_principal) == ({"*": ("*",)}, True)


def test_conditions_have_operator_quantifier_key_and_place() -> None:
    test = {
        "ForAnyValue:StringLikeIfExists": {"aws:PrincipalTag/a.b": ["x", "y"]},
        "Bool": {"aws:SecureTransport": True},
    }
    tag, secure = read({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": test}).conditions
    assert (tag.operator, tag.quantifier, tag.is_if_exists) == ("StringLike", "ForAnyValue", True)
    assert tag.written_operator == "ForAnyValue:StringLikeIfExists"
    assert tag.place == 'Statement.Condition.ForAnyValue:StringLikeIfExists["aws:PrincipalTag/a.b"]'
    assert str(tag) == "ForAnyValue:StringLikeIfExists aws:PrincipalTag/a.b = x or y"
    assert secure.values == ("true",)


def test_without_a_version_it_is_of_the_old_one() -> None:
    policy = policy_language.parse('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}', "p")
    assert not policy.knows_variables


GOOD = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"Version":\n}', "line 3, column 1: Expecting value"),
        ("", "line 1, column 1: Expecting value"),
        (b"\n\xff", "line 2: not UTF-8"),
        ("[]", "line 1: a policy is a JSON object"),
        ('{"Version": NaN}', "not JSON: NaN"),
        ("[" * 5000 + "]" * 5000, "nested more deeply than a policy is"),
        ("[" * 30 + "]" * 30, "nested more deeply than a policy is"),
        (" " * 70_000, "longer than 65536 characters"),
        ('{"Statement": []}', "one Statement or a list"),
        ('{"Version": "2012-10-18", "Statement": {}}', "Version is 2012-10-17"),
        ('{\n"Statement": {},\n"Statement": {}}', "line 3: Statement is there twice"),
        ('{"Statement": 1, "statement": 2}', "it is spelled Statement"),
        ({}, "Effect is “Allow” or “Deny”"),
        (GOOD | {"Effect": "allow"}, "Effect is “Allow” or “Deny”"),
        (GOOD | {"NotAction": "s3:*"}, "both Action and NotAction"),
        ({"Effect": "Allow", "Resource": "*"}, "neither Action nor NotAction"),
        (GOOD | {"Action": "s3"}, "“s3” is no action"),
        (GOOD | {"Action": "s3:" + "x" * 300}, "is no action"),
        (GOOD | {"Action": []}, "and not empty"),
        (GOOD | {"Action": ["s3:GetObject", 1]}, "text or a list of texts"),
        (GOOD | {"Resource": ""}, "and not empty"),
        (GOOD | {"Sid": 1}, "Sid is not text"),
        (GOOD | {"Principals": "*"}, "no element of a policy"),
        (GOOD | {"Principal": "someone"}, "an object such as {Federated: …}"),
        (GOOD | {"Principal": {"Federate": "x"}}, "no element of a policy"),
        (GOOD | {"Condition": []}, "is not an object"),
        (GOOD | {"Condition": {"StringLike": "x"}}, "condition keys and values"),
        (GOOD | {"Condition": {"StringAlike": {"a": "b"}}}, "no condition operator"),
        (GOOD | {"Condition": {"stringlike": {"a": "b"}}}, "it is spelled StringLike"),
        (GOOD | {"Condition": {"ForSome:StringLike": {"a": "b"}}}, "only ForAnyValue and ForAllValues"),
        (GOOD | {"Condition": {"NullIfExists": {"a": "true"}}}, "no condition operator"),
        (GOOD | {"Condition": {"StringLike": {"a": {}}}}, "a value or a list of values"),
        (GOOD | {"Condition": {"StringLike": {"a": []}}}, "a value or a list of values"),
    ],
)
def test_what_iam_would_not_save_is_refused_with_its_line(content: str | bytes | dict[str, Any], message: str) -> None:
    text = json.dumps({"Statement": [content]}) if isinstance(content, dict) else content
    with pytest.raises(ConfigError) as caught:
        policy_language.parse(text, "role.json")
    assert message in caught.value.message
    assert caught.value.message.startswith("role.json")


def test_an_answer_of_the_aws_cli_is_told_from_a_policy() -> None:
    with pytest.raises(ConfigError) as caught:
        policy_language.parse(json.dumps({"PolicyVersion": {"Document": {"Statement": GOOD}}}), "p")
    assert caught.value.hint is not None
    assert "--query PolicyVersion.Document" in caught.value.hint


def test_two_statements_may_not_have_one_sid() -> None:
    text = json.dumps({"Statement": [GOOD | {"Sid": "A"}, GOOD | {"Sid": "A"}]})
    with pytest.raises(ConfigError, match="two statements have the Sid A"):
        policy_language.parse(text, "p")


def test_an_access_policy_has_resources_and_no_principal() -> None:
    with pytest.raises(ConfigError, match="who may assume a role"):
        policy_language.parse_access_policy(json.dumps({"Statement": GOOD | {"Principal": "*"}}), "p")
    with pytest.raises(ConfigError, match="neither Resource nor NotResource"):
        policy_language.parse_access_policy('{"Statement": {"Effect": "Allow", "Action": "s3:*"}}', "p")


def test_nothing_in_a_document_reaches_a_terminal_as_a_control() -> None:
    with pytest.raises(ConfigError) as caught:
        policy_language.parse(json.dumps({"Statement": GOOD | {"\x1b[2J": 1}}), "a\nb")
    assert caught.value.message.isprintable()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(values, st.sampled_from([None, 1]))
def test_every_value_of_any_json_has_a_place(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    places = json_places.find(text)
    assert places.duplicates == ()

    def look(found: Any, place: str) -> None:
        line = text.splitlines()[places.lines[place] - 1] if text else ""
        inner: list[tuple[str, Any]] = []
        if isinstance(found, dict):
            inner = [(json_places.member(place, key), each) for key, each in found.items()]
        elif isinstance(found, list):
            inner = [(f"{place}[{number}]", each) for number, each in enumerate(found)]
        else:
            assert json.dumps(found) in line
        for where, each in inner:
            look(each, where)

    look(value, "")


@settings(max_examples=60)
@given(st.text(max_size=40) | values.map(json.dumps) | values.map(lambda value: json.dumps({"Statement": value})))
def test_any_text_is_a_policy_or_a_mistake_with_a_name(text: str) -> None:
    try:
        policy = policy_language.parse(text, "p")
    except ConfigError as error:
        told = error.message
    else:
        told = policy.name
    assert told.startswith("p")
