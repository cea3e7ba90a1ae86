"""What is wrong with an access policy: each rule where it holds, and where it does not."""

import json
from typing import Any

import pytest

from credhelper.identity_pools import access_lint, policy_language
from credhelper.identity_pools.trust_policies import Kind
from tests.identity_pools.access_documents import EXAMPLES, NOTES_APPLICATION, SUB

OBJECTS = "arn:aws:s3:::b/*"
BUCKET = "arn:aws:s3:::b"
API = "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3/prod/GET/notes"
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/t"


def rules(*statements: dict[str, Any], kind: Kind | None = None, version: str = "2012-10-17") -> dict[str, str]:
    """The rules that are broken, and where."""
    document = {"Version": version, "Statement": [{"Effect": "Allow", "Resource": "*"} | each for each in statements]}
    found = access_lint.lint(policy_language.parse_access_policy(json.dumps(document), "p"), kind)
    assert all(finding.reason and finding.fix for finding in found)
    return {finding.rule: finding.place for finding in found}


def test_the_notes_applications_policy_is_linted_to_what_is_known_of_it() -> None:
    policy = policy_language.parse_access_policy(NOTES_APPLICATION, "app.json")
    found = access_lint.lint(policy, Kind.AUTHENTICATED)
    assert [(finding.rule, finding.level, finding.place) for finding in found] == [
        ("AP2", "error", "Statement[0].Action[1]"),  # over-broad …
        ("AP2", "error", "Statement[0].Action[2]"),
        ("AP1", "warning", "Statement[0].Action[1]"),  # … and pointless
        ("AP1", "warning", "Statement[0].Action[2]"),
        ("AP3", "warning", "Statement[0].Action[0]"),  # a service that there is no more
        ("AP5", "warning", "Statement[1].Action"),  # nothing for ListBucket
        ("AP6", "warning", "Statement[1].Action"),  # ACLs and the deletion of versions
        ("AP7", "warning", "Statement[2].Resource"),  # any account
        ("AP8", "warning", "Statement[2].Resource"),  # any stage and method
    ]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in {"notes application", "own sync data"}])
def test_the_developer_guides_examples_have_nothing_wrong(name: str) -> None:
    policy = policy_language.parse_access_policy(json.dumps(EXAMPLES[name]), name)
    assert access_lint.lint(policy, Kind.AUTHENTICATED) == []


ITEM = {"Action": "dynamodb:GetItem", "Resource": TABLE}
LEADING = {"dynamodb:LeadingKeys": [SUB]}


@pytest.mark.parametrize(
    ("rule", "broken", "kept"),
    [
        ("AP1", {"Action": "cognito-identity:GetId"}, {"Action": "cognito-idp:GetUser"}),
        ("AP2", {"Action": "sqs:*"}, {"Action": "sqs:*", "Resource": "arn:aws:sqs:eu-west-1:111122223333:q"}),
        ("AP2", {"Action": "*"}, {"Action": "sqs:SendMessage"}),
        ("AP2", {"Action": "sqs:*"}, {"Action": "sqs:*", "Condition": {"Bool": {"a:b": "true"}}}),
        ("AP3", {"Action": "mobileanalytics:PutEvents"}, {"Action": "mobiletargeting:PutEvents"}),
        ("AP4", {"Action": "s3:ListBucket", "Resource": OBJECTS}, {"Action": "s3:ListBucket", "Resource": BUCKET}),
        ("AP4", {"Action": "s3:GetObject", "Resource": BUCKET}, {"Action": "s3:GetObject", "Resource": OBJECTS}),
        ("AP4", {"Action": "s3:GetObject", "Resource": BUCKET}, {"Action": "s3:GetObject", "Resource": BUCKET + "*"}),
        ("AP5", {"Action": "s3:L*", "Resource": OBJECTS}, {"Action": "s3:L*", "Resource": [OBJECTS, BUCKET]}),
        ("AP6", {"Action": "s3:Put*", "Resource": OBJECTS}, {"Action": "s3:PutObject", "Resource": OBJECTS}),
        ("AP6", {"Action": "s3:PutB*", "Resource": BUCKET}, {"Action": "s3:PutB*", "Resource": OBJECTS}),
        (
            "AP7",
            {"Action": "execute-api:Invoke", "Resource": API.replace("111122223333", "*")},
            {"Action": "execute-api:Invoke", "Resource": API},
        ),
        (
            "AP8",
            {"Action": "execute-api:Invoke", "Resource": API.replace("GET", "*")},
            {"Action": "execute-api:Invoke", "Resource": API + "/*"},
        ),
        (
            "AP8",
            {"Action": "execute-api:Invoke", "Resource": API.partition("/")[0]},
            {"Action": "execute-api:Invoke", "Resource": API},
        ),
        (
            "AP10",
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/${cognito-identity.amazonaws.com:sub/}/*"},
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/${cognito-identity.amazonaws.com:aud}/*"},
        ),
        (
            "AP13",
            ITEM | {"Condition": {"StringEquals": LEADING}},
            ITEM | {"Condition": {"ForAllValues:StringEquals": LEADING}},
        ),
        (
            "AP13",
            ITEM | {"Action": "dynamodb:*", "Condition": {"ForAllValues:StringEquals": LEADING}},
            ITEM | {"Action": "dynamodb:Get*", "Condition": {"ForAllValues:StringEquals": LEADING}},
        ),
        ("AP13", ITEM | {"Condition": {"ForAnyValue:StringLike": LEADING}}, ITEM | {"Action": "dynamodb:Scan"}),
    ],
)
def test_a_rule_is_broken_or_kept(rule: str, broken: dict[str, Any], kept: dict[str, Any]) -> None:
    assert rule in rules(broken)
    assert rule not in rules(kept)
    assert rule not in rules(broken | {"Effect": "Deny"}) or rule == "AP10"


def test_an_old_document_has_no_variables() -> None:
    own = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::b/{SUB}/*"}
    assert rules(own, version="2008-10-17") == {"AP9": "Statement[0].Resource"}
    assert rules(own) == {}


def test_a_guests_identity_does_not_last() -> None:
    own = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::b/{SUB}/*"}
    assert rules(own, kind=Kind.GUEST) == {"AP11": "Statement[0].Resource"}
    assert rules(own, kind=Kind.AUTHENTICATED) == {}


def test_what_the_scope_down_takes_from_guests_is_named() -> None:
    machines = {"Action": ["s3:GetObject", "ec2:RunInstances"], "Resource": ["arn:aws:ec2:eu-west-1:1:x", OBJECTS]}
    assert rules(machines, kind=Kind.GUEST) == {"AP12": "Statement[0].Action[1]"}
    assert rules(machines) == {}
    assert rules({"Action": "cognito-sync:ListRecords"}, kind=Kind.GUEST) == {"AP1": "Statement[0].Action"}


def test_all_but_some_is_named() -> None:
    text = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "NotAction": "iam:*", "NotResource": "a"}}'
    found = access_lint.lint(policy_language.parse_access_policy(text, "p"))
    assert [(finding.rule, finding.place) for finding in found] == [
        ("AP14", "Statement.NotAction"),
        ("AP14", "Statement.NotResource"),
    ]


def test_a_list_of_everybodys_files_beside_folders_of_ones_own_is_named() -> None:
    own = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::b/{SUB}/*"}
    everything = {"Action": "s3:ListBucket", "Resource": BUCKET}
    mine = everything | {"Condition": {"StringLike": {"s3:prefix": f"{SUB}/*"}}}
    assert rules(own, everything) == {"AP15": "Statement[1].Action"}
    assert rules(own, mine) == {}
    assert rules(everything) == {}
