"""What guests may do: the documents' own table of services, and which layer refuses."""

import json
from typing import Any

import pytest

from credhelper.domain.errors import UsageError
from credhelper.identity_pools import policy_language, scope_down
from credhelper.identity_pools.evaluation import Request
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.scope_down import Explanation, Snapshot
from credhelper.identity_pools.trust_policies import Kind
from tests.identity_pools.access_documents import SUB

TABLE = {
    "Amazon Data Firehose": "firehose",
    "Amazon Managed Service for Apache Flink": "kinesisanalytics",
    "Amazon Simple Queue Service": "sqs",
    "Amazon Mobile Analytics": "mobileanalytics",
    "Amazon Simple Email Service": "ses",
    "AWS Lambda": "lambda",
    "Amazon DynamoDB": "dynamodb",
    "Amazon SimpleDB": "sdb",
    "AWS AppSync": "appsync",
    "Amazon Location Service": "geo",
    "Amazon Simple Notification Service": "sns",
    "Amazon Pinpoint": "mobiletargeting",
    "Amazon GameLift": "gamelift",
    "AWS IoT": "iot",
    "Amazon CodeWhisperer": "codewhisperer",
    "Amazon Comprehend": "comprehend",
    "Amazon Lex": "lex",
    "Amazon Machine Learning": "machinelearning",
    "Personalize": "personalize",
    "Amazon Polly": "polly",
    "Amazon Rekognition": "rekognition",
    "Amazon Transcribe": "transcribe",
    "Amazon Translate": "translate",
    "Amazon CloudWatch": "cloudwatch",
    "Amazon CloudWatch Logs": "logs",
    "Amazon API Gateway": "execute-api",
    "Amazon Cognito user pools": "cognito-idp",
    "Amazon Simple Storage Service": "s3",
}
"""The services of the table that guests may use whole."""

TABLE_IN_PART = {
    "kms": ["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey"],
    "sagemaker": ["InvokeEndpoint"],
    "textract": ["DetectDocumentText", "AnalyzeDocument"],
    "sumerian": ["ViewRelease"],
}
"""Those with a footnote: some actions alone."""

TABLE_ALONE = {"kinesisanalytics", "geo"}
"""The table has them, and neither of the two policies beside it grants them."""

POLICIES_ALONE = {"kinesis", "scs", "rum", "cognito-identity", "cognito-sync"}
"""A policy beside the table grants something of them, and the table does not have them."""

ANYTHING = policy_language.parse_access_policy(
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}', "anything"
)


def role(*statements: dict[str, Any]) -> Policy:
    return policy_language.parse_access_policy(
        json.dumps({"Version": "2012-10-17", "Statement": [{"Resource": "*"} | each for each in statements]}), "role"
    )


def as_guest(
    action: str,
    of: Policy = ANYTHING,
    resource: str | None = None,
    *,
    snapshot: Snapshot = Snapshot.DOCUMENT,
    region: str | None = None,
    told: dict[str, str] | None = None,
) -> Explanation:
    context = scope_down.context_of(Kind.GUEST, {key: [value] for key, value in (told or {}).items()})
    return scope_down.explain([of], Request(action, resource, context), scope_down.limit_of(snapshot, region))


@pytest.mark.parametrize("service", TABLE)
def test_guests_have_the_services_of_the_documents_table(service: str) -> None:
    prefix = TABLE[service]
    found = as_guest(f"{prefix}:DoSomething")
    assert found.is_allowed is (prefix not in TABLE_ALONE)
    assert found.denied_by == (None if found.is_allowed else "scope-down")


@pytest.mark.parametrize("prefix", TABLE_IN_PART)
def test_guests_have_some_actions_alone_of_the_services_with_a_footnote(prefix: str) -> None:
    assert all(as_guest(f"{prefix}:{name}").is_allowed for name in TABLE_IN_PART[prefix])
    assert as_guest(f"{prefix}:DoSomething").denied_by == "scope-down"


def test_nothing_beyond_the_table_is_granted_but_for_what_is_known() -> None:
    granted = {action.partition(":")[0] for action in scope_down.limit_of(Snapshot.DOCUMENT, None).actions}
    assert granted - {*TABLE.values(), *TABLE_IN_PART} == POLICIES_ALONE
    assert {*TABLE.values(), *TABLE_IN_PART} - granted == TABLE_ALONE


@pytest.mark.parametrize("action", ["ec2:RunInstances", "iam:GetUser", "sts:AssumeRole", "rds:CreateDBInstance"])
def test_other_services_are_refused_by_the_scope_down(action: str) -> None:
    assert as_guest(action).denied_by == "scope-down"


def test_an_allow_in_either_session_policy_is_enough() -> None:
    """Under an intersection of the two, neither would be left."""
    assert as_guest("rum:PutRumEvents").is_allowed, "in the managed one alone"
    assert as_guest("s3:GetObject").is_allowed, "in the inline one alone"


def test_the_inline_policy_fits_among_session_policies() -> None:
    """2,048 characters for all session policies of a request (STS API reference, AssumeRoleWithWebIdentity)."""
    assert len(json.dumps(scope_down.inline_document(), separators=(",", ":"))) == 649


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("action", ["cognito-identity:GetId", "cognito-sync:ListRecords"])
def test_identity_pools_and_sync_are_refused_to_everyone(kind: Kind, action: str) -> None:
    limit = scope_down.limit_of(Snapshot.DOCUMENT, None) if kind is Kind.GUEST else None
    found = scope_down.explain([ANYTHING], Request(action, None), limit)
    assert (found.is_allowed, found.is_refused_to_all) == (False, True)


ONLY_WHERE_ACCOUNTS_BEGIN = [
    *("sumerian:ViewRelease", "codewhisperer:GenerateRecommendations", "sdb:Select"),
    *("textract:DetectDocumentText", "textract:AnalyzeDocument"),
]


@pytest.mark.parametrize("action", [*ONLY_WHERE_ACCOUNTS_BEGIN, "s3:GetObject", "rum:PutRumEvents"])
def test_in_other_regions_six_entries_are_missing(action: str) -> None:
    assert as_guest(action, region="eu-west-1").is_allowed
    assert as_guest(action, region="af-south-1").is_allowed is (action not in ONLY_WHERE_ACCOUNTS_BEGIN)


def test_in_other_regions_nothing_else_is_missing() -> None:
    here, there = (scope_down.limit_of(Snapshot.DOCUMENT, region) for region in ("us-east-1", "me-south-1"))
    missing = {*here.policies[0].statements[0].actions} - {*there.policies[0].statements[0].actions}
    assert len(missing) == 6
    assert here.policies[1].statements == there.policies[1].statements


def test_what_is_no_region_is_refused() -> None:
    with pytest.raises(UsageError):
        scope_down.limit_of(Snapshot.LATEST, "everywhere")


def test_the_newer_managed_policy_grants_reading_of_maps_and_says_where_it_is_from() -> None:
    assert as_guest("geo:GetMapTile", snapshot=Snapshot.LATEST).is_allowed
    assert as_guest("geo:CreateMap", snapshot=Snapshot.LATEST).denied_by == "scope-down"
    assert as_guest("kinesisanalytics:CreateApplication", snapshot=Snapshot.LATEST).denied_by == "scope-down"
    assert "v4" in scope_down.limit_of(Snapshot.LATEST, None).sources[1]
    assert all("developer guide" in source for source in scope_down.limit_of(Snapshot.DOCUMENT, None).sources)


def test_what_a_wider_entry_grants_is_not_named_again() -> None:
    actions = scope_down.limit_of(Snapshot.LATEST, None).actions
    assert "kms:GenerateDataKey*" in actions
    assert "kms:GenerateDataKeyPair" not in actions


def test_the_newer_managed_policy_takes_nothing_away() -> None:
    old, new = (scope_down.limit_of(snapshot, None).policies[1].statements[0] for snapshot in Snapshot)
    assert {*old.actions} < {*new.actions}


# -- layers -----------------------------------------------------------------------------------------------------------


def test_what_the_role_does_not_allow_is_refused_by_the_role_even_where_the_scope_down_would_refuse_too() -> None:
    found = as_guest("ec2:RunInstances", role({"Effect": "Allow", "Action": "s3:*"}))
    assert found.denied_by == "role"
    assert found.session is not None
    assert not found.session.is_allowed


def test_a_deny_of_the_role_counts_more_than_any_allow() -> None:
    found = as_guest("s3:GetObject", role({"Effect": "Allow", "Action": "*"}, {"Effect": "Deny", "Action": "s3:Get*"}))
    assert found.denied_by == "role"
    assert found.role.by is not None
    assert found.role.by[1].place == "Statement[1]"


def test_signed_in_users_and_the_basic_flow_have_no_scope_down() -> None:
    found = scope_down.explain([ANYTHING], Request("ec2:RunInstances", None), None)
    assert (found.is_allowed, found.session) == (True, None)


def test_a_role_may_have_several_policies() -> None:
    some = [role({"Effect": "Allow", "Action": "s3:*"}), role({"Effect": "Allow", "Action": "sqs:*"})]
    limit = scope_down.limit_of(Snapshot.DOCUMENT, None)
    assert scope_down.explain(some, Request("sqs:SendMessage", None), limit).is_allowed


def test_all_but_some_actions_and_resources() -> None:
    of = role({"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"})
    assert as_guest("s3:GetObject", of).is_allowed
    assert as_guest("s3:DeleteObject", of).denied_by == "role"
    of = policy_language.parse_access_policy(
        '{"Statement": {"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::a/*"}}', "role"
    )
    assert as_guest("s3:GetObject", of, "arn:aws:s3:::b/x").is_allowed
    assert as_guest("s3:GetObject", of, "arn:aws:s3:::a/x").denied_by == "role"


# -- what depends on something ----------------------------------------------------------------------------------------

OWN_OBJECTS = role({"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::b/{SUB}/*"})
OWN_LIST = role({"Effect": "Allow", "Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "a/*"}}})
IDENTITY = "us-east-1:12345678-1234-1234-1234-123456790ab0"


def test_a_variable_that_nobody_has_told_is_named_and_not_guessed() -> None:
    found = as_guest("s3:GetObject", OWN_OBJECTS, f"arn:aws:s3:::b/{IDENTITY}/x")
    assert found.is_allowed
    assert [doubt.place for doubt in found.doubts] == ["Statement[0].Resource"]
    assert as_guest("s3:GetObject", OWN_OBJECTS, "arn:aws:s3:::other/x/y").denied_by == "role"


def test_a_variable_that_one_has_told_decides() -> None:
    told = {"cognito-identity.amazonaws.com:sub": IDENTITY}
    mine = as_guest("s3:GetObject", OWN_OBJECTS, f"arn:aws:s3:::b/{IDENTITY}/x", told=told)
    assert (mine.is_allowed, mine.doubts) == (True, ())
    assert as_guest("s3:GetObject", OWN_OBJECTS, "arn:aws:s3:::b/us-east-1:others/x", told=told).denied_by == "role"


def test_a_condition_that_nobody_has_told_is_named_and_not_guessed() -> None:
    (doubt,) = as_guest("s3:ListBucket", OWN_LIST).doubts
    assert (doubt.what, doubt.is_of_deny) == ("StringLike s3:prefix = a/*", False)
    assert as_guest("s3:ListBucket", OWN_LIST, told={"s3:prefix": "a/b"}).doubts == ()
    assert as_guest("s3:ListBucket", OWN_LIST, told={"s3:prefix": "b"}).denied_by == "role"


def test_a_deny_that_may_apply_is_named() -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    found = as_guest("s3:GetObject", role({"Effect": "Allow", "Action": "s3:*"}, deny))
    assert found.is_allowed
    assert [(doubt.place, doubt.is_of_deny) for doubt in found.doubts] == [
        ("Statement[1].Condition.Bool.aws:SecureTransport", True)
    ]


def test_a_deny_of_some_resources_is_named_when_no_resource_was() -> None:
    of = role({"Effect": "Allow", "Action": "s3:*"}, {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::b"})
    assert [doubt.is_of_deny for doubt in as_guest("s3:GetObject", of).doubts] == [True]
    assert as_guest("s3:GetObject", of, "arn:aws:s3:::b").denied_by == "role"
    assert as_guest("s3:GetObject", of, "arn:aws:s3:::c").doubts == ()


def test_an_allow_without_conditions_leaves_no_doubt_beside_one_with_them() -> None:
    of = role(
        {"Effect": "Allow", "Action": "s3:*", "Condition": {"Bool": {"x:y": "true"}}},
        {"Effect": "Allow", "Action": "s3:List*"},
    )
    found = as_guest("s3:ListBucket", of)
    assert (found.doubts, found.role.others) == ((), 0)


def test_statements_that_may_allow_it_too_are_counted() -> None:
    conditions = [{"StringLike": {"s3:prefix": f"{folder}/*"}} for folder in "abc"]
    of = role(*({"Effect": "Allow", "Action": "s3:*", "Condition": condition} for condition in conditions))
    assert as_guest("s3:ListBucket", of).role.others == 2
    assert as_guest("s3:ListBucket", of, told={"s3:prefix": "b/x"}).role.others == 0


def test_a_guest_is_known_to_be_one() -> None:
    condition = {"ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"}}
    of = role({"Effect": "Allow", "Action": "s3:*", "Condition": condition})
    assert as_guest("s3:GetObject", of).denied_by == "role"
