"""Which statements of a role come to nothing for guests."""

import json
from typing import Any

from credhelper.identity_pools import dead_statements, policy_language, scope_down
from credhelper.identity_pools.dead_statements import State, StatementState
from credhelper.identity_pools.scope_down import Snapshot

GUESTS = scope_down.limit_of(Snapshot.DOCUMENT, None)


def examine(*statements: dict[str, Any], limit: scope_down.Limit | None = GUESTS) -> list[StatementState]:
    text = json.dumps({"Statement": [{"Effect": "Allow", "Resource": "*"} | each for each in statements]})
    return dead_statements.examine([policy_language.parse_access_policy(text, "role")], limit)


def states(*actions: str, limit: scope_down.Limit | None = GUESTS) -> list[State]:
    return [state.state for state in examine({"Action": [*actions]}, limit=limit)[0].actions]


def test_what_guests_can_have_is_alive_what_they_cannot_is_dead() -> None:
    assert states("s3:GetObject", "s3:*", "rum:PutRumEvents", "KMS:encrypt") == [State.ALIVE] * 4
    assert states("ec2:*", "rum:PutRum", "kms:CreateKey", "kms:Create*") == [State.DEAD] * 4
    assert states("kms:*", "*", "k*:*", "rum:*") == [State.PARTLY] * 4


def test_what_is_left_of_a_pattern_is_named() -> None:
    (state,) = examine({"Action": "textract:*"})[0].actions
    assert state.left == ("textract:DetectDocumentText", "textract:AnalyzeDocument")
    (state,) = examine({"Action": "*"})[0].actions
    assert "cognito-idp:*" in state.left
    assert "cognito-identity:*" not in state.left, "the inline policy names it, and Cognito refuses it"


def test_calls_that_cognito_takes_from_nobody_are_dead_for_everybody() -> None:
    assert states("cognito-sync:*", "cognito-identity:GetId") == [State.DEAD] * 2
    assert states("cognito-sync:*", "cognito-*:*", "ec2:*", limit=None) == [State.DEAD, State.PARTLY, State.ALIVE]


def test_a_statement_is_dead_when_all_of_it_is() -> None:
    found = examine({"Action": ["ec2:*", "iam:*"]}, {"Action": ["ec2:*", "s3:*"]}, {"Action": "s3:*"})
    assert [state.state for state in found] == [State.DEAD, State.PARTLY, State.ALIVE]


def test_a_deny_is_not_listed() -> None:
    assert examine({"Effect": "Deny", "Action": "ec2:*"}) == []


def test_all_but_some_actions_leaves_guests_the_rest_of_what_they_can_have() -> None:
    text = '{"Statement": {"Effect": "Allow", "NotAction": ["s3:*", "k*:*"], "Resource": "*"}}'
    role = [policy_language.parse_access_policy(text, "role")]
    (found,) = dead_statements.examine(role, GUESTS)
    assert found.state is State.PARTLY
    assert "sqs:*" in found.actions[0].left
    assert not {"s3:*", "kinesis:*", "kms:Encrypt"} & {*found.actions[0].left}


def test_all_but_everything_is_dead() -> None:
    text = '{"Statement": {"Effect": "Allow", "NotAction": "*", "Resource": "*"}}'
    (found,) = dead_statements.examine([policy_language.parse_access_policy(text, "role")], GUESTS)
    assert found.document()["state"] == "dead"
