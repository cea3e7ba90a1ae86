"""What a set of policies says to one request: an allow counts in any of them, a deny in any of them counts more.

Where that hangs on a condition or variable that nobody has told the value of, the answer is an allow that says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from credhelper.identity_pools import conditions, patterns
from credhelper.identity_pools.conditions import Context, Truth, Unresolved
from credhelper.identity_pools.patterns import Wild
from credhelper.identity_pools.policy_language import Policy, Statement


@dataclass(frozen=True, slots=True)
class Request:
    """One call of an API."""

    action: str
    resource: str | None
    """An ARN; None asks about any resource there is."""
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that the answer depends on."""

    policy: str
    place: str
    what: str
    """The condition, or what a variable must stand for."""
    is_of_deny: bool
    """Whether it is a deny that does or does not apply, instead of an allow."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request."""

    is_allowed: bool
    """With doubts: it is, if those are settled in its favour."""
    by: tuple[Policy, Statement] | None
    """The statement that allows, or the one that denies; None when no statement speaks of the request."""
    doubts: tuple[Doubt, ...] = ()
    others: int = 0
    """How many more statements allow it if their own doubts are settled, where ``by`` has some."""


@dataclass(frozen=True, slots=True)
class _Match:
    """How far a statement speaks of a request."""

    policy: Policy
    statement: Statement
    truth: Truth
    doubts: tuple[Doubt, ...]


def decide(policies: Iterable[Policy], request: Request) -> Verdict:
    """What the policies together say."""
    found = [
        match
        for policy in policies
        for statement in policy.statements
        if (match := _match(policy, statement, request)).truth is not False
    ]
    denies = [match for match in found if not match.statement.is_allow]
    certain = next((match for match in denies if match.truth), None)
    if certain is not None:
        return Verdict(is_allowed=False, by=(certain.policy, certain.statement))
    allows = sorted((match for match in found if match.statement.is_allow), key=lambda match: match.truth is not True)
    if not allows:
        return Verdict(is_allowed=False, by=None)
    best = allows[0]
    doubts = [*best.doubts, *(doubt for match in denies for doubt in match.doubts)]
    others = 0 if best.truth else len(allows) - 1
    return Verdict(is_allowed=True, by=(best.policy, best.statement), doubts=tuple(doubts), others=others)


def _match(policy: Policy, statement: Statement, request: Request) -> _Match:
    doubts: list[Doubt] = []

    def doubt(place: str, what: str) -> None:
        doubts.append(Doubt(policy.name, place, what, not statement.is_allow))

    truths: list[Truth] = [_names_action(statement, request.action)]
    if truths[0]:
        resource = _names_resource(policy, statement, request)
        if resource is None:
            doubt(statement.place_of("Resource"), _what_resource(statement, request))
        truths.append(resource)
    for condition in statement.conditions if False not in truths else ():
        truth = conditions.holds(condition, request.context, knows_variables=policy.knows_variables)
        if truth is None:
            doubt(condition.place, str(condition))
        truths.append(truth)
    return _Match(policy, statement, conditions.all_of(truths), tuple(doubts))


def _names_action(statement: Statement, action: str) -> bool:
    named = any(patterns.matches_action(pattern, action) for pattern in statement.actions)
    return named is not statement.is_not_action


def _names_resource(policy: Policy, statement: Statement, request: Request) -> Truth:
    if request.resource is None:
        if statement.is_allow or ("*" in statement.resources and not statement.is_not_resource):
            return True
        return None  # a deny of some resources
    named = conditions.any_of(
        _is_resource(policy, pattern, request.resource, request.context) for pattern in statement.resources
    )
    return named if named is None or not statement.is_not_resource else not named


def _is_resource(policy: Policy, pattern: str, resource: str, context: Context) -> Truth:
    if pattern == resource:
        return True
    expanded = conditions.expand(pattern, context, knows_variables=policy.knows_variables)
    if not isinstance(expanded, Unresolved):
        return patterns.matches(expanded, resource)
    if expanded is Unresolved.ABSENT:
        return False
    loose = conditions.expand(pattern, context, unknown=Wild.ANY)
    return None if not isinstance(loose, Unresolved) and patterns.matches(loose, resource) else False


def _what_resource(statement: Statement, request: Request) -> str:
    names = " or ".join(statement.resources)
    if request.resource is None:
        return f"the resource is {'none of' if statement.is_not_resource else ''} {names}".replace("  ", " ")
    return f"{names} {'is not' if statement.is_not_resource else 'is'} {request.resource}"
