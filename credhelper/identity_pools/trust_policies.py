"""Trust policies for the roles of identity pools, as the Cognito developer guide writes them (IAM roles)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import pools

ASSUME = "sts:AssumeRoleWithWebIdentity"
TAG = "sts:TagSession"
LONGEST = 2048
"""Characters of a role's trust policy that IAM takes by default, white space aside (IAM quotas)."""

Json = dict[str, Any]


class Kind(StrEnum):
    """Whose role it is; the value is what Cognito writes to the ``amr`` of their tokens."""

    GUEST = "unauthenticated"
    AUTHENTICATED = "authenticated"

    @property
    def people(self) -> str:
        """The word for them in a sentence."""
        return "guests" if self is Kind.GUEST else "signed-in users"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a role is to trust."""

    pool_ids: Sequence[str]
    kind: Kind
    providers: Sequence[str] = ()
    """Names of identity providers, when not every sign-in will do."""
    identity_ids: Sequence[str] = ()
    """Identities of the pools, when not each of them may."""
    tags_session: bool = False
    """Whether Cognito may put principal tags on the session."""


def document(trust: Trust) -> Json:
    """The policy. Raises UsageError for what cannot be trusted so."""
    provider = pools.provider_of(trust.pool_ids)
    _refuse_impossible(trust)
    equal: Json = {f"{provider}:aud": _one_or_list(trust.pool_ids)}
    if trust.identity_ids:
        equal[f"{provider}:sub"] = _one_or_list(trust.identity_ids)
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": [ASSUME, TAG] if trust.tags_session else ASSUME,
        "Condition": {
            "StringEquals": equal,
            "ForAnyValue:StringLike": {f"{provider}:amr": _one_or_list(trust.providers or [trust.kind.value])},
        },
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _refuse_impossible(trust: Trust) -> None:
    if trust.providers and trust.kind is Kind.GUEST:
        raise UsageError("--provider goes with --authenticated: guests have signed in with none")
    for provider in trust.providers:
        # * and ? would be wildcards, and “authenticated” is no provider's name.
        if not provider or not provider.isascii() or not provider.isprintable() or {*provider} & {*"*?$ \"'"}:
            raise UsageError(f"--provider: “{safe(provider)}” is not an identity provider's name")
        if provider in {*Kind}:
            raise UsageError(f"--provider: “{provider}” is what a token says of everyone, not a provider's name")
    for identity_id in trust.identity_ids:
        if not pools.is_id(identity_id):
            raise UsageError(f"--identity-id: “{safe(identity_id)}” is not {pools.AN_IDENTITY_ID}")


def _one_or_list(values: Sequence[str]) -> str | list[str]:
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else different
