"""Wildcards, compared with the plainest thing that could be right."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.identity_pools import patterns

texts = st.text("ab*?:/", max_size=7)
written = st.text("ab*?:/", max_size=6)


def plainly(pattern: str, text: str) -> bool:
    """By trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(plainly(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and plainly(pattern[1:], text[1:])


PATTERNS = ["".join(tokens) for length in range(4) for tokens in product("a*?", repeat=length)]
WORDS = ["".join(letters) for length in range(6) for letters in product("az", repeat=length)]
"""Enough to tell any two of the patterns apart; no pattern has a z of its own."""
WORDS_OF = {pattern: {word for word in WORDS if plainly(pattern, word)} for pattern in PATTERNS}


@settings(max_examples=150)
@given(written, texts)
def test_a_pattern_matches_as_trying_everything_does(pattern: str, text: str) -> None:
    assert patterns.matches(patterns.wild(pattern), text) is plainly(pattern, text)


@pytest.mark.parametrize("one", PATTERNS)
def test_two_patterns_overlap_when_some_text_is_of_both(one: str) -> None:
    for other in PATTERNS:
        expected = not WORDS_OF[one].isdisjoint(WORDS_OF[other])
        assert patterns.overlap(patterns.wild(one), patterns.wild(other)) is expected, other


@pytest.mark.parametrize("wide", PATTERNS)
def test_a_pattern_covers_another_when_every_text_of_it_is_its_own(wide: str) -> None:
    for narrow in PATTERNS:
        found = patterns.covers(patterns.wild(wide), patterns.wild(narrow))
        if found or "?" not in wide:
            assert found is (WORDS_OF[narrow] <= WORDS_OF[wide]), narrow


@given(st.text(max_size=20))
def test_a_literal_matches_itself_alone(text: str) -> None:
    assert patterns.matches(patterns.literal(text), text)
    assert not patterns.matches(patterns.literal(text), text + "x")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("s3:GetObject", "S3:getobject", True),
        ("S3:GET*", "s3:GetObjectAcl", True),
        ("s3:*", "s3-object-lambda:WriteGetObjectResponse", False),
        ("*", "ec2:RunInstances", True),
        ("*:*", "ec2:RunInstances", True),
        ("kms:ReEncrypt*", "kms:ReEncryptFrom", True),
        ("kms:ReEncrypt*", "kms:Encrypt", False),
        ("ec2:Describe?pcs", "ec2:DescribeVpcs", True),
    ],
)
def test_actions_are_the_same_in_upper_and_lower_case(pattern: str, name: str, expected: bool) -> None:
    assert patterns.matches_action(pattern, name) is expected


def test_a_hostile_pattern_takes_no_longer_than_it_is_long() -> None:
    assert not patterns.matches(patterns.wild("*a" * 60 + "b"), "a" * 300)
    assert not patterns.overlap(patterns.wild("*a" * 60 + "b"), patterns.wild("a*" * 60 + "c"))
