"""Least-privilege policies: the documents' examples for their names, and safe for all names."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.domain.errors import UsageError
from credhelper.identity_pools import access_lint, policy_language, scope_down, templates
from credhelper.identity_pools.evaluation import Request
from credhelper.identity_pools.scope_down import Snapshot
from credhelper.identity_pools.trust_policies import Kind
from tests.identity_pools import access_documents as documents

WEST = {"region": "us-west-2", "account_id": "123456789012"}
EAST = {"region": "us-east-1", "account_id": "111122223333"}
NOTES = {**EAST, "bucket": "notes-app-uploads", "api_id": "ly55wbovq4", "stage": "prod"}


def same(document: dict[str, Any]) -> dict[str, Any]:
    """A policy without the order of its statements' elements."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("s3-object", {"bucket": "mybucket", "key": "assets/my_picture.jpg"}, documents.ONE_OBJECT),
        ("s3-folder", {"bucket": "mybucket"}, documents.OWN_FOLDER),
        ("dynamodb-items", {**WEST, "table": "MyTable"}, documents.OWN_ITEMS),
        ("lambda-invoke", {**WEST, "function": "MyFunction"}, documents.ONE_FUNCTION),
        ("kinesis-put", {**EAST, "stream": "stream1"}, documents.ONE_STREAM),
        ("sync-own-data", {"region": "us-east-1", "account_id": "123456789012"}, documents.OWN_SYNC_DATA),
    ],
)
def test_a_template_gives_the_documents_example_for_its_names(
    name: str, given: dict[str, str], expected: dict[str, Any]
) -> None:
    assert same(templates.document(name, given)) == expected


def test_every_template_of_the_list_is_tried_here() -> None:
    assert {*templates.TEMPLATES} == {*FULL}


FULL = {
    "s3-object": {"bucket": "b-b", "key": "a"},
    "s3-folder": {"bucket": "b-b", "prefix": "uploads/", "region": "eu-west-1"},
    "dynamodb-items": {**WEST, "table": "ttt"},
    "lambda-invoke": {**WEST, "function": "f"},
    "kinesis-put": {**WEST, "stream": "s"},
    "sync-own-data": WEST,
    "notes-app": {**NOTES, "method": "POST", "path": "/notes/*"},
}


@pytest.mark.parametrize("name", FULL)
def test_what_a_template_gives_is_linted_without_a_finding(name: str) -> None:
    text = json.dumps(templates.document(name, FULL[name]))
    found = access_lint.lint(policy_language.parse_access_policy(text, name), Kind.AUTHENTICATED)
    assert [finding.rule for finding in found] == (["AP1"] if name == "sync-own-data" else [])


def test_the_notes_application_gets_what_it_uses_and_no_more() -> None:
    policy = policy_language.parse_access_policy(json.dumps(templates.document("notes-app", FULL["notes-app"])), "n")
    identity = "us-east-1:12345678-1234-1234-1234-123456790ab0"
    context = scope_down.context_of(Kind.AUTHENTICATED, {"cognito-identity.amazonaws.com:sub": [identity]})

    def may(action: str, resource: str) -> bool:
        return scope_down.explain([policy], Request(action, resource, context), None).is_allowed

    files = "arn:aws:s3:::notes-app-uploads/private"
    api = "arn:aws:execute-api:us-east-1:111122223333:ly55wbovq4/prod"
    assert may("s3:PutObject", f"{files}/{identity}/a.txt")
    assert not may("s3:PutObject", f"{files}/us-east-1:others/a.txt")
    assert not may("s3:PutObjectAcl", f"{files}/{identity}/a.txt")
    assert may("execute-api:Invoke", f"{api}/POST/notes/1")
    assert not may("execute-api:Invoke", f"{api}/DELETE/notes/1")
    assert not may("execute-api:Invoke", "arn:aws:execute-api:us-east-1:999999999999:ly55wbovq4/prod/POST/notes/1")


def test_guests_can_have_every_template_but_sync() -> None:
    limit = scope_down.limit_of(Snapshot.DOCUMENT, None)
    for name, given_names in FULL.items():
        policy = policy_language.parse_access_policy(json.dumps(templates.document(name, given_names)), name)
        for statement in policy.statements:
            for action in statement.actions:
                asked = Request(action.replace("*", "ListRecords"), None)
                assert scope_down.explain([policy], asked, limit).is_allowed is (name != "sync-own-data"), action


@pytest.mark.parametrize(
    ("given", "partition", "token"),
    [
        ({}, "aws", "cognito-identity.amazonaws.com"),
        ({"partition": "aws"}, "aws", "cognito-identity.amazonaws.com"),
        ({"region": "us-gov-west-1"}, "aws-us-gov", "cognito-identity-us-gov.amazonaws.com"),
        ({"region": "cn-north-1", "partition": "aws-cn"}, "aws-cn", "cognito-identity.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_region_decides_on_partition_and_token(given: dict[str, str], partition: str, token: str) -> None:
    listing, objects = templates.document("s3-folder", {"bucket": "b-b", **given})["Statement"]
    assert listing["Resource"] == [f"arn:{partition}:s3:::b-b"]
    assert objects["Resource"] == [f"arn:{partition}:s3:::b-b/${{{token}:sub}}/*"]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("s3", {}, "no template “s3”"),
        ("s3-object", {"bucket": "b-b"}, "needs --key"),
        ("notes-app", EAST, "needs --bucket, --api-id, --stage"),
        ("s3-object", {"bucket": "b-b", "key": "k", "table": "ttt"}, "--table has no place"),
        ("s3-object", {"bucket": "Bucket*", "key": "k"}, "is not an S3 bucket"),
        ("s3-object", {"bucket": "b-b", "key": "a\nb"}, "is not an object's key"),
        ("lambda-invoke", {**EAST, "function": "f:*"}, "is not a Lambda function"),
        ("lambda-invoke", {**EAST, "function": "f", "account_id": "*"}, "is not the account"),
        ("lambda-invoke", {**EAST, "function": "f", "region": "*"}, "is not the region"),
        ("lambda-invoke", {**EAST, "function": "f", "partition": "aws-cn"}, "is in aws, not in aws-cn"),
        ("s3-object", {"bucket": "b-b", "key": "k", "partition": "aws-moon"}, "is none of aws, aws-cn"),
        ("s3-folder", {"bucket": "b-b", "partition": "aws-cn"}, "--region says which"),
        ("notes-app", {**NOTES, "method": "GET/*"}, "is not the HTTP method"),
        ("notes-app", {**NOTES, "stage": "*"}, "is not the API's stage"),
    ],
)
def test_what_cannot_be_is_refused(name: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("*", r"\*")):
        templates.document(name, given)


@settings(max_examples=60)
@given(st.text("ab*?$/{} .é", min_size=1, max_size=12).filter(lambda key: not key.startswith("/")))
def test_a_key_stands_for_itself_alone(key: str) -> None:
    """Whatever wildcards and variables it seems to have."""
    text = json.dumps(templates.document("s3-object", {"bucket": "b-b", "key": key}))
    policy = policy_language.parse_access_policy(text, "p")

    def may(asked: str) -> bool:
        return scope_down.explain([policy], Request("s3:GetObject", f"arn:aws:s3:::b-b/{asked}", {}), None).is_allowed

    assert may(key)
    assert not may(key + "x")
    assert not may(key.replace("*", "xx").replace("?", "y") + ("" if {"*", "?"} & {*key} else "z"))
