"""The rules for a trust policy of an identity pool's role, T1 to T10, T13 and T16. Their numbers are in ``--json``."""

import re
from collections.abc import Callable, Iterator

from credhelper.identity_pools import pools
from credhelper.identity_pools import trust_verdict as verdict
from credhelper.identity_pools.findings import Finding, Level
from credhelper.identity_pools.policy_language import Condition, Policy, Statement
from credhelper.identity_pools.trust_policies import ASSUME, TAG, Kind
from credhelper.identity_pools.trust_reading import POSITIVE, Reading, Subject, is_wild

_CLAIMS = ("aud", "amr", "sub")
_USER_POOL_ID = re.compile(r"[a-z-]+-\d+_[0-9A-Za-z]+")


def lint(policy: Policy, subject: Subject) -> Iterator[Finding]:
    """What is wrong with it. Raises UsageError for pools whose principal is not known."""
    look = Reading(policy, subject, pools.provider_of(subject.pool_ids))
    found = [finding for rule in _RULES for finding in rule(look)]
    yield from found
    if not any(finding.level == "error" for finding in found):
        yield from _refused(look)


def _principals(look: Reading) -> Iterator[Finding]:
    """T1: the principal is Cognito's, as a federated provider."""
    said = False
    for statement in look.meant:
        wrong = _wrong_principal(statement, look.provider)
        if wrong is not None:
            said = True
            fix = f'"Principal": {{"Federated": "{look.provider}"}}'
            yield Finding("T1", "error", statement.place_of("Principal"), wrong, fix)
    if not said and not look.meant:
        reason = "no statement allows anything to the tokens of identity pools"
        yield Finding("T1", "error", "Statement", reason, f'a statement with "Federated": "{look.provider}"')


def _wrong_principal(statement: Statement, provider: str) -> str | None:
    if statement.principals is None:
        return "the statement has no Principal, which IAM does not save in a trust policy"
    if statement.is_not_principal:
        return "IAM takes no NotPrincipal in a trust policy"
    for kind, names in statement.principals.items():
        for name in names:
            wrong = _wrong_name(kind, name, provider)
            if wrong is not None:
                return wrong
    return None if provider in statement.principals.get("Federated", ()) else "the principal is not Cognito's"


def _wrong_name(kind: str, name: str, provider: str) -> str | None:
    if kind == "*" or (kind == "AWS" and name == "*"):
        return "the role trusts anyone, whatever has issued their token"
    if kind == "Federated" and name == provider:
        return None
    if "cognito-idp" in name:
        return f"{name} is a user pool's, and the token comes from the identity pool"
    if kind == "Federated" and name in pools.PROVIDERS:
        return f"{name} issues the tokens of other regions' pools"
    if "cognito-identity" in name:
        return f"tokens come from a federated provider, and {kind} {name} is none"
    return None


def _actions(look: Reading) -> Iterator[Finding]:
    """T2: the action is AssumeRoleWithWebIdentity."""
    opened = [statement for statement in look.doors if verdict.names_action(statement, ASSUME)]
    for statement in look.doors:
        if statement not in opened:
            reason = (
                f"{ASSUME} is what Cognito calls, and the statement does not allow it:"
                " users meet “Invalid identity pool configuration”"
            )
            yield Finding("T2", "error", statement.place_of("Action"), reason, f'"Action": "{ASSUME}"')
        elif statement.is_not_action or any(_is_too_much(action) for action in statement.actions):
            reason = "it allows more actions than identity pools use"
            yield Finding("T2", "warning", statement.place_of("Action"), reason, f'"Action": "{ASSUME}"')
    if look.meant and not look.doors:
        reason = f"{TAG} alone lets nobody in"
        yield Finding("T2", "error", look.meant[0].place_of("Action"), reason, f'"Action": ["{ASSUME}", "{TAG}"]')


def _is_too_much(action: str) -> bool:
    return action.lower() not in {ASSUME.lower(), TAG.lower()}


def _conditions(look: Reading) -> Iterator[Finding]:
    """T3: a condition on aud, amr or sub. T16: several statements without any."""
    bare = [each for each in look.doors if not any(look.on(each, claim) for claim in _CLAIMS)]
    for statement in bare:
        reason = f"no condition on {look.key('aud')}, amr or sub: IAM does not save such a statement"
        other = _key_of_others(statement, look)
        if other:
            reason += f" ({other} is not a key of these tokens)"
        yield Finding("T3", "error", _condition_place(statement), reason, _condition_fix(look))
    for statement in bare[1:]:
        reason = "one statement without conditions is enough to let everyone in, and here are several"
        yield Finding("T16", "error", statement.place, reason, "one statement, with conditions on aud and amr")


def _key_of_others(statement: Statement, look: Reading) -> str | None:
    known = {look.key(claim).lower() for claim in _CLAIMS}
    ends = tuple(f":{claim}" for claim in _CLAIMS)
    keys = (condition.key for condition in statement.conditions)
    return next((key for key in keys if key.lower().endswith(ends) and key.lower() not in known), None)


def _condition_place(statement: Statement) -> str:
    return statement.place_of("Condition") if statement.conditions else statement.place


def _condition_fix(look: Reading) -> str:
    return (
        f'"Condition": {{"StringEquals": {{"{look.key("aud")}": "{look.subject.pool_ids[0]}"}},'
        f' "ForAnyValue:StringLike": {{"{look.key("amr")}": "{look.subject.kind.value}"}}}}'
    )


def _audiences(look: Reading) -> Iterator[Finding]:
    """T4: the pools are named. T5: as identity pools. T16: without wildcards. T6: the one in question among them."""
    spoiled = False
    for statement in look.doors:
        limits = look.limits(statement, "aud")
        if not limits:
            spoiled = True
            yield _without_audience(look, statement)
        for condition in limits:
            for value in condition.values:
                finding = _wrong_audience(condition, value, look)
                if finding is not None:
                    spoiled = True
                    yield finding
    if look.doors and not spoiled:
        yield from _missing_pools(look)


def _without_audience(look: Reading, statement: Statement) -> Finding:
    negated = look.on(statement, "aud")
    reason = (
        f"no condition names the pools ({look.key('aud')}): every identity pool of the role's account can use the role"
    )
    if negated:
        reason = (
            f"{negated[0].written_operator} names the pools that are kept out, and every other one can use the role"
        )
    reason += ", and STS refuses it to pools of other accounts"
    fix = f'"StringEquals": {{"{look.key("aud")}": "{look.subject.pool_ids[0]}"}}'
    return Finding("T4", "error", negated[0].place if negated else _condition_place(statement), reason, fix)


def _wrong_audience(condition: Condition, value: str, look: Reading) -> Finding | None:
    fix = f'"StringEquals": {{"{look.key("aud")}": "{look.subject.pool_ids[0]}"}}'
    if is_wild(value):
        is_literal = condition.operator != "StringLike"
        means = f"under {condition.operator} a wildcard is a character, and no pool has it in its id"
        reason = means if is_literal else "a wildcard lets in pools that are not yours"
        return Finding("T16", "error", condition.place, f"“{value}”: {reason}", fix)
    if pools.is_id(value):
        return None
    is_user_pool = _USER_POOL_ID.fullmatch(value) is not None
    reason = "is a user pool's id" if is_user_pool else "is not shaped like an identity pool's id, region:guid"
    return Finding("T5", "error", condition.place, f"“{value}” {reason}: no token has this aud", fix)


def _missing_pools(look: Reading) -> Iterator[Finding]:
    for pool_id in look.subject.pool_ids:
        token = look.token(look.subject.kind, pool_id)
        asked = [look.limits(statement, "aud") for statement in look.doors]
        if not any(verdict.all_hold(each, token) for each in asked):
            reason = f"{pool_id} is not among the pools that the role trusts"
            fix = f'"{look.key("aud")}": "{pool_id}"'
            yield Finding("T6", "error", asked[0][0].place, reason, fix)


def _methods(look: Reading) -> Iterator[Finding]:
    """T7: guests and users are told apart. T8: by an operator for lists. T9: as the role means it."""
    for statement in look.doors:
        asked = look.on(statement, "amr")
        if not asked:
            yield from _without_method(look, statement)
        for condition in asked:
            yield from _wrong_comparison(condition, look)
            yield from _odd_words(condition)
    for statement in look.policy.statements:
        for condition in () if statement.is_allow else look.on(statement, "amr"):
            if condition.quantifier is None:
                yield from _wrong_comparison(condition, look)
    yield from _wrong_people(look)


def _without_method(look: Reading, statement: Statement) -> Iterator[Finding]:
    kind = look.subject.kind
    other = Kind.GUEST if kind is Kind.AUTHENTICATED else Kind.AUTHENTICATED
    if not look.lets_in(statement, other):
        return
    is_open = kind is Kind.AUTHENTICATED and look.subject.allows_guests is True
    level: Level = "error" if is_open else "warning"
    reason = f"no condition on {look.key('amr')}: {other.people} of the pool can assume the role too"
    if is_open:
        reason += ", and the pool has them"
    fix = f'"ForAnyValue:StringLike": {{"{look.key("amr")}": "{kind.value}"}}'
    yield Finding("T7", level, _condition_place(statement), reason, fix)


def _wrong_comparison(condition: Condition, look: Reading) -> Iterator[Finding]:
    if condition.operator == "Null" or (condition.quantifier == "ForAnyValue" and condition.operator in POSITIVE):
        return
    values = " or ".join(condition.values)
    fix = f'"ForAnyValue:StringLike": {{"{look.key("amr")}": "{look.subject.kind.value}"}}'
    if condition.quantifier == "ForAnyValue":
        reason = f"{condition.written_operator} is true as soon as one member of the list is not {values}"
    elif condition.quantifier == "ForAllValues":
        reason = "amr holds the providers of the sign-in too, so not all of its members are what is asked for"
    else:
        reason = f"amr is a list, and {condition.written_operator} compares a single value"
    yield Finding("T8", "error", condition.place, reason, fix)


def _odd_words(condition: Condition) -> Iterator[Finding]:
    for value in condition.values if condition.operator in POSITIVE else ():
        if value not in {*Kind} and "." not in value and not is_wild(value):
            reason = f"“{value}” is neither of Cognito's words, and a provider's name only if a developer chose it so"
            yield Finding("T9", "warning", condition.place, reason, f"“{Kind.AUTHENTICATED}”, or the provider's name")


def _wrong_people(look: Reading) -> Iterator[Finding]:
    kind = look.subject.kind
    asking = [statement for statement in look.doors if look.on(statement, "amr")]
    fix = f'"ForAnyValue:StringLike": {{"{look.key("amr")}": "{kind.value}"}}'
    is_reached = any(look.asks_for(statement, kind) for statement in look.doors)
    for statement in asking:
        place = look.on(statement, "amr")[0].place
        if kind is Kind.AUTHENTICATED and look.lets_in(statement, Kind.GUEST):
            reason = "guests can assume the role, and it is the signed-in users'"
            yield Finding("T9", "error", place, reason, fix)
        elif not is_reached:
            reason = f"{kind.people} cannot assume the role, and it is theirs"
            yield Finding("T9", "error", place, reason, fix)
        elif kind is Kind.GUEST and look.lets_in(statement, Kind.AUTHENTICATED):
            reason = "signed-in users can assume the guests' role too"
            yield Finding("T9", "warning", place, reason, fix)


def _identities(look: Reading) -> Iterator[Finding]:
    """T10: a token's sub is the identity's id."""
    for statement in look.doors:
        for condition in look.limits(statement, "sub"):
            for value in condition.values:
                if condition.operator == "StringLike" and is_wild(value):
                    reason = f"“{value}”: a wildcard lets in identities that nobody has named"
                    yield Finding("T10", "warning", condition.place, reason, "the identities' ids, in full")
                elif not pools.is_id(value):
                    reason = f"“{value}” is not an identity's id, region:guid, and no other sub is in these tokens"
                    yield Finding("T10", "error", condition.place, reason, "the identity's id, as GetId answers it")


def _tags(look: Reading) -> Iterator[Finding]:
    """T13: a pool with principal tags needs TagSession."""
    is_asked = look.subject.has_tags and look.subject.kind is Kind.AUTHENTICATED
    if is_asked and look.doors and not any(verdict.names_action(statement, TAG) for statement in look.meant):
        reason = f"the pool puts principal tags on its users' sessions, and the policy does not allow {TAG}"
        fix = f'"Action": ["{ASSUME}", "{TAG}"]'
        yield Finding("T13", "error", look.doors[0].place_of("Action"), reason, fix)


def _refused(look: Reading) -> Iterator[Finding]:
    """T6: whatever else may keep the pool's own people out, such as a deny or another provider's key."""
    for pool_id in look.subject.pool_ids:
        answer = verdict.judge(look.policy, look.token(look.subject.kind, pool_id))
        if answer.is_accepted is False:
            people = f"{look.subject.kind.people} of {pool_id}"
            reason = f"the statement keeps {people} out" if answer.place else f"no statement lets {people} in"
            fix = "what is denied, or the conditions besides aud, amr and sub"
            yield Finding("T6", "error", answer.place or look.doors[0].place_of("Condition"), reason, fix)


_RULES: tuple[Callable[[Reading], Iterator[Finding]], ...] = (
    _principals,
    _actions,
    _conditions,
    _audiences,
    _methods,
    _identities,
    _tags,
)
