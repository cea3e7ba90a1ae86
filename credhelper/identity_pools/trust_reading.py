"""A trust policy of an identity pool's role, read beside what the role is for: whom it is about, and whom it lets in.

Who can assume the role is not read off the conditions' texts but asked of ``trust_verdict``, with a guest's token and a
user's: a deny elsewhere in the document, or a wildcard, counts as it does at STS.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from credhelper.identity_pools import pools
from credhelper.identity_pools import trust_verdict as verdict
from credhelper.identity_pools.policy_language import Condition, Policy, Statement
from credhelper.identity_pools.trust_policies import TAG, Kind
from credhelper.identity_pools.trust_verdict import Token

POSITIVE = frozenset({"StringEquals", "StringEqualsIgnoreCase", "StringLike"})
"""Operators that name the values which are let in."""
_SOME_PROVIDER = "cognito-idp.us-east-1.amazonaws.com/us-east-1_example"


@dataclass(frozen=True, slots=True)
class Subject:
    """The role whose trust policy it is."""

    pool_ids: Sequence[str]
    kind: Kind
    allows_guests: bool | None = None
    """Whether the pool does; None when nobody has said."""
    has_tags: bool = False
    """Whether the pool puts principal tags on sessions."""


class Reading:
    """A policy beside what it is for."""

    def __init__(self, policy: Policy, subject: Subject, provider: str) -> None:
        self.policy = policy
        self.subject = subject
        self.provider = provider
        self.meant = [statement for statement in policy.statements if self._is_meant(statement)]
        """What allows something to tokens of identity pools, or was to."""
        self.doors = [statement for statement in self.meant if not _is_for_tags_alone(statement)]
        """Those without the ones that add sts:TagSession to another."""

    def key(self, claim: str) -> str:
        """The condition key of one of the token's claims."""
        return f"{self.provider}:{claim}"

    def _is_meant(self, statement: Statement) -> bool:
        if not statement.is_allow:
            return False
        names = [name for names in (statement.principals or {}).values() for name in names]
        return (
            verdict.names_principal(statement, self.provider) is not False
            or any("cognito-" in name for name in names)
            or any("cognito-identity" in condition.key.lower() for condition in statement.conditions)
        )

    def on(self, statement: Statement, claim: str) -> list[Condition]:
        """A statement's conditions on one of the token's claims, which may ask for anything of it."""
        key = self.key(claim).lower()
        return [condition for condition in statement.conditions if condition.key.lower() == key]

    def limits(self, statement: Statement, claim: str) -> list[Condition]:
        """Those that name the values which are let in."""
        return [condition for condition in self.on(statement, claim) if condition.operator in POSITIVE]

    def token(self, kind: Kind, pool_id: str | None = None) -> Token:
        """A token that such a person of the pool could have, with what the policy's own conditions ask for."""
        pool_id = pool_id or self.subject.pool_ids[0]
        asked = [condition for statement in self.meant for condition in self.limits(statement, "sub")]
        identities = [value for condition in asked for value in condition.values if pools.is_id(value)]
        amr = (kind.value,) if kind is Kind.GUEST else (kind.value, *self._providers(), _SOME_PROVIDER)
        return Token(self.provider, pool_id, identities[0] if identities else f"{pool_id[:-1]}0", amr)

    def _providers(self) -> list[str]:
        asked = [condition for statement in self.meant for condition in self.limits(statement, "amr")]
        values = [value for condition in asked for value in condition.values]
        return [value for value in dict.fromkeys(values) if value not in {*Kind} and not is_wild(value)]

    def lets_in(self, statement: Statement, kind: Kind) -> bool:
        """Whether a statement's conditions on ``amr`` let such people in, and no deny keeps them out."""
        return self.asks_for(statement, kind) and not all(
            self._is_denied(self.token(kind, pool_id)) for pool_id in self.subject.pool_ids
        )

    def asks_for(self, statement: Statement, kind: Kind) -> bool:
        """Whether a statement's conditions on ``amr`` are met by such people."""
        # As if each compared the list's members: that one does not is a finding of its own.
        asked = [replace(each, quantifier="ForAnyValue") for each in self.limits(statement, "amr")]
        others = [each for each in self.on(statement, "amr") if each.operator not in POSITIVE]
        knows = self.policy.knows_variables
        return verdict.all_hold([*asked, *others], self.token(kind), knows_variables=knows) is not False

    def _is_denied(self, token: Token) -> bool:
        knows = self.policy.knows_variables
        denies = (statement for statement in self.policy.statements if not statement.is_allow)
        return any(verdict.speaks_of(statement, token, knows_variables=knows) is True for statement in denies)


def _is_for_tags_alone(statement: Statement) -> bool:
    return not statement.is_not_action and all(action.lower() == TAG.lower() for action in statement.actions)


def is_wild(text: str) -> bool:
    """Whether a value has a wildcard in it, where its operator knows them."""
    return "*" in text or "?" in text
