"""Our verdict on access policies beside that of an IAM that others have written: every policy with every request.

ministack's policy simulator takes no condition keys, so that conditions and variables are left to our own tests. It
knows no scope-down; for that, the session policies are laid beside the role's as two simulations.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from credhelper.identity_pools import evaluation, policy_language, scope_down
from credhelper.identity_pools.evaluation import Request
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.scope_down import Snapshot

from .ministack import Ministack

pytestmark = pytest.mark.real_client

Json = dict[str, Any]

ACTIONS = [
    *("s3:GetObject", "s3:getobjectacl", "S3:PutObject", "s3:ListBucket", "s3-object-lambda:WriteGetObjectResponse"),
    *("kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateKey", "ec2:RunInstances", "rum:PutRumEvents", "sqs:SendMessage"),
]
RESOURCES = [
    *("*", "arn:aws:s3:::b", "arn:aws:s3:::b/a", "arn:aws:s3:::b/a/b:c", "arn:aws:s3:::B/a"),
    "arn:aws:sqs:eu-west-1:111122223333:q",
]
_ACTIONS_OF_ALLOWS: list[Json] = [
    *({"Action": action} for action in ("*", "s3:*", "S3:GET*", "s3:Get?bject", "kms:*crypt*", "*:*Object", "s3:x")),
    *({"NotAction": action} for action in ("s3:*", "*", "kms:Re*")),
    {"Action": ["sqs:*", "s3:List*"]},
    {"NotAction": ["sqs:*", "s3:*"]},
]
_RESOURCES_OF_ALLOWS: list[Json] = [
    *({"Resource": resource} for resource in ("*", "arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::?/a", "arn:*")),
    *({"NotResource": resource} for resource in ("arn:aws:s3:::*", "arn:aws:s3:::b/a/*")),
]
_DENIES: list[Json | None] = [
    None,
    {"Action": "s3:Put*", "Resource": "*"},
    {"NotAction": "s3:*", "NotResource": "arn:aws:sqs:*"},
]


def _policies() -> list[str]:
    found = []
    for action, resource, deny in itertools.product(_ACTIONS_OF_ALLOWS, _RESOURCES_OF_ALLOWS, _DENIES):
        statements: list[Json] = [{"Effect": "Allow", **action, **resource}]
        statements += [{"Effect": "Deny", **deny}] if deny else []
        found.append(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    return found


def theirs(iam: Any, policies: list[str], resource: str) -> dict[str, bool]:
    """ministack's verdicts on all actions."""
    answer = iam.simulate_custom_policy(PolicyInputList=policies, ActionNames=ACTIONS, ResourceArns=[resource])
    return {each["EvalActionName"]: each["EvalDecision"] == "allowed" for each in answer["EvaluationResults"]}


def ours(policies: list[Policy], resource: str) -> dict[str, bool]:
    """Our verdicts on the same."""
    return {action: evaluation.decide(policies, Request(action, resource)).is_allowed for action in ACTIONS}


def test_every_verdict_is_the_same(ministack: Ministack) -> None:
    iam = ministack.client("iam")
    told = {True: 0, False: 0}
    for text, resource in itertools.product(_policies(), RESOURCES):
        policy = policy_language.parse_access_policy(text, "role")
        found = ours([policy], resource)
        assert found == theirs(iam, [text], resource), (text, resource)
        for verdict in found.values():
            told[verdict] += 1
    assert min(told.values()) > 2000, "a grid in which all is refused proves nothing"


@pytest.mark.parametrize("snapshot", Snapshot)
def test_what_guests_may_do_is_what_the_role_and_one_of_the_session_policies_allow(
    ministack: Ministack, snapshot: Snapshot
) -> None:
    iam = ministack.client("iam")
    limit = scope_down.limit_of(snapshot, None)
    session = [
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": [*policy.statements[0].actions], "Resource": "*"}],
            }
        )
        for policy in limit.policies
    ]
    by_session = theirs(iam, session, "*")
    for text in _policies()[::7]:
        by_role = theirs(iam, [text], "*")
        role = [policy_language.parse_access_policy(text, "role")]
        for action in ACTIONS:
            found = scope_down.explain(role, Request(action, "*"), limit)
            assert found.is_allowed is (by_role[action] and by_session[action]), (text, action)
            expected = None if found.is_allowed else "scope-down" if by_role[action] else "role"
            assert found.denied_by == expected, (text, action)
