"""Trust policies to try the rules with: the documents' own one, and what tests change about it."""

import copy
import json
from pathlib import Path
from typing import Any

from credhelper.identity_pools import policy_language, trust_lint
from credhelper.identity_pools.findings import Finding
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.trust_policies import Kind
from credhelper.identity_pools.trust_reading import Subject

Json = dict[str, Any]

DOCUMENTS = Path(__file__).parent / "documents"

PROVIDER = "cognito-identity.amazonaws.com"
AUD, AMR, SUB = (f"{PROVIDER}:{claim}" for claim in ("aud", "amr", "sub"))
POOL = "us-east-1:11111111-2222-3333-4444-555555555555"
OTHER_POOL = "us-east-1:99999999-2222-3333-4444-555555555555"
IDENTITY = "us-east-1:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


def document(name: str) -> Json:
    """One of AWS's own documents."""
    found: Json = json.loads((DOCUMENTS / f"{name}.json").read_text())
    return found


def statement(kind: Kind = Kind.AUTHENTICATED, **changed: Any) -> Json:
    """The statement that trusts ``POOL``; what is changed to None is left out."""
    whole = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {AUD: POOL}, "ForAnyValue:StringLike": {AMR: kind.value}},
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def condition(**changed: Any) -> Json:
    """The statement's condition for signed-in users, operators changed or (None) left out; ``A__B`` is ``A:B``."""
    whole = copy.deepcopy(statement()["Condition"])
    whole |= {name.replace("__", ":"): tests for name, tests in changed.items()}
    return {name: tests for name, tests in whole.items() if tests is not None}


def policy(*statements: Json) -> Policy:
    """The statements as a document."""
    return policy_language.parse(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), "trust.json")


def findings(
    *statements: Json, kind: Kind = Kind.AUTHENTICATED, pools: tuple[str, ...] = (POOL,), **known: Any
) -> list[Finding]:
    """What the rules find."""
    return list(trust_lint.lint(policy(*statements), Subject(pools, kind, **known)))


def found(*statements: Json, **more: Any) -> list[tuple[str, str, str]]:
    """The same as rule, level and place; of a place in a condition only the operator."""
    return [
        (finding.rule, finding.level, finding.place.partition('["')[0]) for finding in findings(*statements, **more)
    ]
