"""Conditions and variables: true, false, or not to be known."""

import json
from typing import Any

import pytest

from credhelper.identity_pools import conditions, patterns, policy_language
from credhelper.identity_pools.conditions import Unresolved

CONTEXT = {
    "s3:prefix": ("private/a/",),
    "aws:tagkeys": ("one", "two"),
    "aws:username": (),
    "cognito-identity.amazonaws.com:sub": ("us-east-1:1-2",),
    "star": ("*",),
    "n": ("10",),
    "when": ("2026-06-01T12:00:00Z",),
    "ip": ("192.0.2.7",),
    "arn": ("arn:aws:iam::111122223333:role/a:b",),
    "secure": ("true",),
}


def holds(operator: str, key: str, *values: Any, **more: bool) -> bool | None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {operator: {key: [*values]}}}
    policy = policy_language.parse(json.dumps({"Version": "2012-10-17", "Statement": statement}), "p")
    return conditions.holds(policy.statements[0].conditions[0], CONTEXT, **more)


@pytest.mark.parametrize(
    ("operator", "key", "value", "expected"),
    [
        ("StringEquals", "s3:prefix", "private/a/", True),
        ("StringEquals", "S3:PREFIX", "private/a/", True),
        ("StringEquals", "s3:prefix", "Private/a/", False),
        ("StringEquals", "s3:prefix", "private/*", False),
        ("StringNotEquals", "s3:prefix", "private/a/", False),
        ("StringEqualsIgnoreCase", "s3:prefix", "PRIVATE/A/", True),
        ("StringNotEqualsIgnoreCase", "s3:prefix", "PRIVATE/A/", False),
        ("StringLike", "s3:prefix", "private/*", True),
        ("StringLike", "s3:prefix", "private/?/", True),
        ("StringNotLike", "s3:prefix", "private/*", False),
        ("StringLike", "star", "${*}", True),
        ("StringLike", "s3:prefix", "${*}", False),
        ("StringLike", "s3:prefix", "private/a/${star}", False),
        ("NumericLessThan", "n", 11, True),
        ("NumericLessThanEquals", "n", "10.0", True),
        ("NumericGreaterThan", "n", "9e0", True),
        ("NumericGreaterThanEquals", "n", "x", False),
        ("NumericNotEquals", "n", "10", False),
        ("NumericEquals", "n", "NaN", False),
        ("DateLessThan", "when", "2026-06-01T14:00:01+02:00", True),
        ("DateGreaterThan", "when", "1780315199", True),
        ("DateEquals", "when", "no date", False),
        ("IpAddress", "ip", "192.0.2.0/24", True),
        ("NotIpAddress", "ip", "192.0.2.0/24", False),
        ("IpAddress", "ip", "2001:db8::/32", False),
        ("IpAddress", "ip", "everywhere", False),
        ("ArnLike", "arn", "arn:aws:iam::*:role/*", True),
        ("ArnLike", "arn", "arn:aws:*:role/*", False),
        ("ArnEquals", "arn", "arn:aws:iam::1111*:role/a:b", True),
        ("ArnNotLike", "arn", "arn:aws:iam::*:role/*", False),
        ("Bool", "secure", True, True),
        ("Bool", "secure", "FALSE", False),
        ("BinaryEquals", "n", "10", True),
        ("Null", "secure", "false", True),
        ("Null", "aws:username", "true", True),
        ("Null", "nobody-said", "true", None),
        ("StringEquals", "nobody-said", "x", None),
        ("StringEqualsIfExists", "nobody-said", "x", None),
        ("StringEquals", "s3:prefix", "${nobody:said}", None),
        ("StringNotEquals", "s3:prefix", "${nobody:said}", None),
        ("StringEquals", "s3:prefix", "${aws:username}", False),
        ("StringEquals", "s3:prefix", "private/${aws:username, 'a'}/", True),
        ("StringEquals", "s3:prefix", "${}", False),
        # a key that the request does not have
        ("StringEquals", "aws:username", "x", False),
        ("StringNotEquals", "aws:username", "x", True),
        ("StringEqualsIfExists", "aws:username", "x", True),
        ("ForAllValues:StringEquals", "aws:username", "x", True),
        ("ForAnyValue:StringEquals", "aws:username", "x", False),
        ("ForAnyValue:StringNotEquals", "aws:username", "x", False),
        # several values
        ("ForAnyValue:StringLike", "aws:TagKeys", "o*", True),
        ("ForAllValues:StringLike", "aws:TagKeys", "o*", False),
        ("ForAllValues:StringNotLike", "aws:TagKeys", "x*", True),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", "one", True),
        ("StringEquals", "aws:TagKeys", "one", None),
    ],
)
def test_a_condition_by_example(operator: str, key: str, value: object, expected: bool | None) -> None:
    assert holds(operator, key, value) is expected


def test_one_of_several_values_is_enough_and_of_none_for_a_negation() -> None:
    assert holds("StringEquals", "s3:prefix", "x", "private/a/") is True
    assert holds("StringNotEquals", "s3:prefix", "x", "private/a/") is False
    assert holds("StringEquals", "s3:prefix", "${nobody:said}", "private/a/") is True


def test_an_old_document_has_no_variables() -> None:
    assert holds("StringEquals", "star", "${*}", knows_variables=False) is False
    assert conditions.expand("${a}", {}, knows_variables=False) == patterns.wild("${a}")


def test_every_operator_of_the_language_has_a_test() -> None:
    for operator in policy_language.OPERATORS:
        assert holds(operator, "n", "10") in {True, False}, operator


def test_variables_become_what_they_stand_for() -> None:
    sub = "${cognito-identity.amazonaws.com:sub}"
    assert conditions.expand(f"a/{sub}/*", CONTEXT) == patterns.wild("a/us-east-1:1-2/*")
    assert conditions.expand("${star}", CONTEXT) == patterns.literal("*")
    assert conditions.expand("${aws:username}", CONTEXT) is Unresolved.ABSENT
    assert conditions.expand("${aws:TagKeys}", CONTEXT) is Unresolved.ABSENT, "with several values it is no variable"
    assert conditions.expand("${nobody:said}", CONTEXT) is Unresolved.UNKNOWN
    assert conditions.variables("${a:b}/${ c , 'd' }/${*}/${$}") == ["a:b", "c"]
    assert conditions.variables("${${${a:b}") == ["a:b"], "read once from the left, however many open"
