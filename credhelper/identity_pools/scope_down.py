"""What is left of a guest role's permissions: Cognito's scope-down, and which layer refuses.

In the enhanced flow Cognito assumes a guest's role with two session policies, one inline and one that AWS manages. STS
takes the session policies of a request as one set, in which an allow of either counts, and grants what that set and the
role both allow:

    role and (inline or managed), less explicit denies

That either of the two is enough is seen in what guests can do: ``rum:PutRumEvents`` is in the managed policy alone and
``s3:*`` in the inline one alone, and both work. Cognito adds none for signed-in users, nor in the basic flow.

The two documents change without notice, so that they are kept here as dated copies that say where they come from.
(Cognito developer guide, "IAM roles", access policies.)
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import evaluation, patterns, policy_language, pools
from credhelper.identity_pools.conditions import Context
from credhelper.identity_pools.evaluation import Request, Verdict
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.trust_policies import Kind

MANAGED = "AmazonCognitoUnAuthedIdentitiesSessionPolicy"

REFUSED_TO_ALL = ("cognito-identity:*", "cognito-sync:*")
"""Calls that Cognito takes from nobody with an identity pool's credentials, whatever the policies say."""

DEFAULT_REGIONS = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"),
        *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    }
)
"""Those that an account has from the start (Account Management guide, "Enable or disable AWS Regions"). In all others
the inline policy is shorter."""

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}", re.ASCII)


class Snapshot(StrEnum):
    """Which copies of the two documents are asked."""

    DOCUMENT = "document"
    """Both as the developer guide has them."""
    LATEST = "latest"
    """The newest of each whose source is known."""


_FILES = {
    Snapshot.DOCUMENT: ("inline-document", "managed-document"),
    Snapshot.LATEST: ("inline-document", "managed-v4"),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """What guests can have at most."""

    policies: tuple[Policy, ...]
    sources: tuple[str, ...]
    """Where each of the policies comes from, in words."""

    @property
    def actions(self) -> list[str]:
        """The patterns of all actions that some role could give to guests."""
        written = dict.fromkeys(
            action for policy in self.policies for statement in policy.statements for action in statement.actions
        )
        known = {action: patterns.action(action) for action in written}
        return [
            action
            for action, pattern in known.items()
            if not any(other != action and patterns.covers(wider, pattern) for other, wider in known.items())
        ]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer, and what each layer said."""

    is_allowed: bool
    denied_by: str | None
    """``role``, ``scope-down`` or None."""
    role: Verdict
    session: Verdict | None
    """What the session policies said; None where there are none."""
    is_refused_to_all: bool
    """Whether it is one of the calls that Cognito itself takes from nobody."""
    boundary: Verdict | None = None
    """What the role's permissions boundary said; None where it has none, or that is not known."""

    @property
    def doubts(self) -> tuple[evaluation.Doubt, ...]:
        """What an allow depends on."""
        if not self.is_allowed:
            return ()
        return self.role.doubts + (self.boundary.doubts if self.boundary else ())


def is_default_region(region: str) -> bool:
    """Whether accounts have the region from the start. Raises UsageError for what is no region's name."""
    if not _REGION.fullmatch(region):
        raise UsageError(f"--region: “{safe(region)}” is not a region, such as eu-west-1")
    return region in DEFAULT_REGIONS


def limit_of(snapshot: Snapshot, region: str | None) -> Limit:
    """The session policies of guests; without a region, those of the regions that accounts begin with.

    Raises UsageError for what is no region's name.
    """
    is_default = region is None or is_default_region(region)
    found = [_load(name) for name in _FILES[snapshot]]
    return Limit(
        policies=tuple(_policy(document, is_default_region=is_default) for document in found),
        sources=tuple(f"{document['title']}: {document['source']}" for document in found),
    )


def _load(name: str) -> dict[str, Any]:
    text = resources.files("credhelper.identity_pools").joinpath("documents", f"{name}.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _policy(document: Mapping[str, Any], *, is_default_region: bool) -> Policy:
    policy = _in_region(document, is_default_region=is_default_region)
    return policy_language.parse_access_policy(json.dumps(policy, indent=2), document["title"])


def _in_region(document: Mapping[str, Any], *, is_default_region: bool) -> dict[str, Any]:
    policy: dict[str, Any] = document["policy"]
    if not is_default_region:
        absent = document["absent_in_other_regions"]
        for statement in policy["Statement"]:
            statement["Action"] = [action for action in statement["Action"] if action not in absent]
    return policy


def inline_document(region: str | None = None) -> dict[str, Any]:
    """Cognito's inline session policy to the letter of the developer guide; without a region, that of the regions that
    accounts begin with. Raises UsageError for what is no region's name.
    """
    found = _load("inline-document")
    return _in_region(found, is_default_region=region is None or is_default_region(region))


def context_of(kind: Kind, told: Mapping[str, Sequence[str]]) -> Context:
    """What is known of a session's condition keys: what one has been told, and whether it is a guest's."""
    known: dict[str, tuple[str, ...]] = {"aws:username": ()}  # users of IAM have one, sessions of a role do not
    if kind is Kind.GUEST:
        known |= {f"{provider}:amr": (kind.value,) for provider in pools.PROVIDERS}
    return known | {key.lower(): tuple(values) for key, values in told.items()}


def explain(
    role: Sequence[Policy], request: Request, limit: Limit | None, boundary: Policy | None = None
) -> Explanation:
    """Whether a session of the role may do it, and who refuses; ``limit`` is None where there is no scope-down.

    What the role's permissions boundary does not allow, the role does not.
    """
    is_refused = any(patterns.matches_action(pattern, request.action) for pattern in REFUSED_TO_ALL)
    by_role = evaluation.decide(role, request)
    by_session = None if limit is None else evaluation.decide(limit.policies, request)
    by_boundary = None if boundary is None else evaluation.decide([boundary], request)
    if not by_role.is_allowed or (by_boundary is not None and not by_boundary.is_allowed):
        return Explanation(False, "role", by_role, by_session, is_refused, by_boundary)
    is_allowed = not is_refused and (by_session is None or by_session.is_allowed)
    denied_by = None if is_allowed else "scope-down"
    return Explanation(is_allowed, denied_by, by_role, by_session, is_refused, by_boundary)
