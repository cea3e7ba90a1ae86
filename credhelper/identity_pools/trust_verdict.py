"""Would STS accept this token with this trust policy: what AssumeRoleWithWebIdentity answers, as far as tokens decide.

An answer may be None: it hangs on something else in the request, such as its address, or AWS does not document it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from credhelper.identity_pools import conditions, patterns
from credhelper.identity_pools.conditions import Context, Truth
from credhelper.identity_pools.policy_language import Condition, Policy, Statement
from credhelper.identity_pools.trust_policies import ASSUME, TAG

_OF_THE_REQUEST = ("aws:", "sts:")
"""What keys begin with that no token has a claim for."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an identity pool's token says that a trust policy may ask for."""

    provider: str
    """Who issued it, such as ``cognito-identity.amazonaws.com``."""
    pool_id: str
    identity_id: str
    amr: tuple[str, ...]
    """``unauthenticated``, or ``authenticated`` and the providers of the sign-in."""
    carries_tags: bool = False
    """Whether it has principal tags for the session."""

    def values(self) -> dict[str, tuple[str, ...]]:
        """The values of its condition keys, by the keys in lower case."""
        claims = {"aud": (self.pool_id,), "sub": (self.identity_id,), "amr": self.amr}
        return {f"{self.provider}:{claim}".lower(): values for claim, values in claims.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """STS's answer."""

    is_accepted: Truth
    place: str | None
    """The statement that decides; None where no statement speaks of the token."""


def judge(policy: Policy, token: Token, *, crosses_accounts: bool = False) -> Verdict:
    """What STS would answer. ``crosses_accounts``: the role is in another account than the token's pool."""
    actions = (ASSUME, TAG) if token.carries_tags else (ASSUME,)
    verdicts = [_judge(policy, token, action, crosses_accounts) for action in actions]
    worst = conditions.all_of(verdict.is_accepted for verdict in verdicts)
    return next(verdict for verdict in verdicts if verdict.is_accepted is worst)


def _judge(policy: Policy, token: Token, action: str, crosses_accounts: bool) -> Verdict:
    denies = [statement for statement in policy.statements if not statement.is_allow]
    allows = [
        statement
        for statement in policy.statements
        # STS refuses a role of another account without it (Cognito developer guide, "IAM roles").
        if statement.is_allow
        and (not crosses_accounts or any(is_on(each, token, "aud") for each in statement.conditions))
    ]
    denied, denied_at = _first(denies, token, action, policy)
    allowed, allowed_at = _first(allows, token, action, policy)
    if denied or allowed is False:
        return Verdict(False, denied_at if denied else None)
    if denied is None:
        return Verdict(None, denied_at)
    return Verdict(allowed, allowed_at)


def _first(statements: Sequence[Statement], token: Token, action: str, policy: Policy) -> tuple[Truth, str | None]:
    """Whether one of them speaks of the token, and which: the first that does, else the first that may."""
    truths = [speaks_of(statement, token, action, knows_variables=policy.knows_variables) for statement in statements]
    answer = conditions.any_of(truths)
    return answer, None if answer is False else statements[truths.index(answer)].place


def speaks_of(statement: Statement, token: Token, action: str = ASSUME, *, knows_variables: bool = True) -> Truth:
    """Whether a statement is about a token: by its principal, its action and all of its conditions."""
    return conditions.all_of(
        (
            names_principal(statement, token.provider),
            names_action(statement, action),
            all_hold(statement.conditions, token, knows_variables=knows_variables),
        )
    )


def names_principal(statement: Statement, provider: str) -> Truth:
    """Whether a statement's principals are ``provider``, or anyone. None for NotPrincipal, which IAM takes in none."""
    if statement.is_not_principal:
        return None
    principals = statement.principals or {}
    # "AWS": "*" is another way to write "*" (IAM user guide, "Principal").
    return provider in principals.get("Federated", ()) or "*" in principals or "*" in principals.get("AWS", ())


def names_action(statement: Statement, action: str) -> bool:
    """Whether a statement's actions, or those that its NotAction leaves, are ``action``."""
    is_named = any(patterns.matches_action(pattern, action) for pattern in statement.actions)
    return is_named is not statement.is_not_action


def is_on(condition: Condition, token: Token, claim: str) -> bool:
    """Whether a condition asks for a claim of such tokens."""
    return condition.key.lower() == f"{token.provider}:{claim}".lower()


def all_hold(asked: Sequence[Condition], token: Token, *, knows_variables: bool = True) -> Truth:
    """Whether a token satisfies every one of the conditions."""
    context = _context(asked, token.values())
    return conditions.all_of(
        None
        # AWS documents set operators alone for a key with several values, and amr is a list even with one in it.
        if is_on(condition, token, "amr") and condition.quantifier is None and condition.operator != "Null"
        else conditions.holds(condition, context, knows_variables=knows_variables)
        for condition in asked
    )


def _context(asked: Sequence[Condition], values: Mapping[str, tuple[str, ...]]) -> Context:
    """The token's keys; every other provider's are known to be absent, and the request's own are not known."""
    keys = (condition.key.lower() for condition in asked)
    return {key: () for key in keys if not key.startswith(_OF_THE_REQUEST)} | dict(values)
