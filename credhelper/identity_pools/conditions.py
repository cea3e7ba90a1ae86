"""IAM's conditions: what is known of a request put beside what a statement asks of it.

The answer may be that it cannot be known: a condition key that nobody has told the value of is not guessed. Rules: IAM
user guide, "Condition operators", "Set operators for multivalued context keys" and "Variables and tags".
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from credhelper.identity_pools import patterns
from credhelper.identity_pools.patterns import Pattern, Wild
from credhelper.identity_pools.policy_language import Condition

Context = Mapping[str, tuple[str, ...]]
"""What is known of a request: condition keys in lower case and their values; none: the request has no such key."""

Truth = bool | None
"""None: it depends on what is not known."""

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAMED = re.compile(r"\s*([^\s,']+)\s*(?:,\s*'(.*)'\s*)?", re.DOTALL)
_ESCAPES = frozenset("*?$")
_ARN_PARTS = 6


class Unresolved(Enum):
    """Why a text with variables in it stands for nothing."""

    ABSENT = "the request has no such key"
    UNKNOWN = "nobody has said what it is"


def any_of(truths: Iterable[Truth]) -> Truth:
    """Whether one of them is true."""
    found = set(truths)
    return True if True in found else None if None in found else False


def all_of(truths: Iterable[Truth]) -> Truth:
    """Whether every one of them is true."""
    found = set(truths)
    return False if False in found else None if None in found else True


def variables(text: str) -> list[str]:
    """The condition keys whose values ``text`` asks for, as written."""
    found = []
    for match in _VARIABLE.finditer(text):
        named = _NAMED.fullmatch(match[1])
        if named is not None and match[1] not in _ESCAPES:
            found.append(named[1])
    return found


def expand(
    text: str,
    context: Context,
    *,
    is_wild: bool = True,
    knows_variables: bool = True,
    unknown: Wild | None = None,
) -> Pattern | Unresolved:
    """The pattern that a text stands for: variables replaced, and with ``is_wild`` the wildcards seen.

    ``unknown`` stands in for a variable whose value nobody has told.
    """
    plain = patterns.wild if is_wild else patterns.literal
    if not knows_variables:
        return plain(text)
    found: list[str | Wild] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        value = _value(match[1], context)
        found += plain(text[end : match.start()])
        if isinstance(value, str):
            found += value
        elif value is Unresolved.UNKNOWN and unknown is not None:
            found.append(unknown)
        else:
            return value
        end = match.end()
    return (*found, *plain(text[end:]))


def _value(inside: str, context: Context) -> str | Unresolved:
    """The value of a variable. A key with several values cannot be one: it counts as absent."""
    if inside in _ESCAPES:
        return inside
    named = _NAMED.fullmatch(inside)
    if named is None:
        return Unresolved.ABSENT
    values = context.get(named[1].lower())
    if values is None:
        return Unresolved.UNKNOWN
    if len(values) == 1:
        return values[0]
    default: str | None = named[2]
    return Unresolved.ABSENT if default is None else default


def holds(condition: Condition, context: Context, *, knows_variables: bool = True) -> Truth:
    """Whether a request of which ``context`` is known satisfies the condition."""
    found = context.get(condition.key.lower())
    if found is None:
        return None
    if condition.operator == "Null":
        return any(value.lower() == str(not found).lower() for value in condition.values)
    if not found:
        return _holds_without_key(condition)
    wanted = [
        expand(value, context, is_wild=_is_wild(condition.operator), knows_variables=knows_variables)
        for value in condition.values
    ]
    results = [_holds_for(condition, value, wanted) for value in found]
    if condition.quantifier == "ForAnyValue":
        return any_of(results)
    if condition.quantifier == "ForAllValues":
        return all_of(results)
    return results[0] if len(results) == 1 else None  # AWS does not say what becomes of several values


def _holds_without_key(condition: Condition) -> bool:
    if condition.is_if_exists or condition.quantifier == "ForAllValues":
        return True
    return condition.quantifier is None and _is_negated(condition.operator)


def _is_negated(name: str) -> bool:
    return "Not" in name


def _is_wild(name: str) -> bool:
    return name.startswith("Arn") or name in {"StringLike", "StringNotLike"}


def _holds_for(condition: Condition, value: str, wanted: Iterable[Pattern | Unresolved]) -> Truth:
    test = _TESTS[condition.operator.replace("Not", "")]
    one = any_of(_compare(test, value, pattern) for pattern in wanted)
    return one if one is None or not _is_negated(condition.operator) else not one


def _compare(test: "Test", value: str, pattern: Pattern | Unresolved) -> Truth:
    if isinstance(pattern, Unresolved):
        return None if pattern is Unresolved.UNKNOWN else False
    try:
        return test(value, pattern)
    except (ValueError, InvalidOperation):  # one of the two is no number, date or address, so they are not the same
        return False


def _plain(pattern: Pattern) -> str:
    return "".join(token.value if isinstance(token, Wild) else token for token in pattern)


def _same(value: str, pattern: Pattern) -> bool:
    return value == _plain(pattern)


def _same_but_for_case(value: str, pattern: Pattern) -> bool:
    return value.lower() == _plain(pattern).lower()


def _same_arn(value: str, pattern: Pattern) -> bool:
    """Part by part: in a condition no wildcard crosses the colons of an ARN's first five parts."""
    parts: list[Pattern] = []
    rest = pattern
    while len(parts) < _ARN_PARTS - 1 and ":" in rest:
        end = rest.index(":")
        parts.append(rest[:end])
        rest = rest[end + 1 :]
    parts.append(rest)
    values = value.split(":", _ARN_PARTS - 1)
    return len(values) == len(parts) == _ARN_PARTS and all(map(patterns.matches, parts, values))


def _same_address(value: str, pattern: Pattern) -> bool:
    import ipaddress  # the only test that needs it

    return ipaddress.ip_address(value) in ipaddress.ip_network(_plain(pattern), strict=False)


def _moment(text: str) -> datetime:
    """ISO 8601, or seconds since 1970."""
    if re.fullmatch(r"\d{1,11}(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


Test = Callable[[str, Pattern], bool]

_ORDERS = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}


def _orders(kind: str, read: Callable[[str], Decimal | datetime]) -> dict[str, Test]:
    def test(compare: Callable[[Any, Any], bool]) -> Test:
        return lambda value, pattern: compare(read(value), read(_plain(pattern)))

    return {f"{kind}{name}": test(compare) for name, compare in _ORDERS.items()}


_TESTS: dict[str, Test] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _same_but_for_case,
    "StringLike": lambda value, pattern: patterns.matches(pattern, value),
    "Bool": _same_but_for_case,
    "BinaryEquals": _same,
    "ArnEquals": _same_arn,
    "ArnLike": _same_arn,
    "IpAddress": _same_address,
    **_orders("Numeric", _number),
    **_orders("Date", _moment),
}
"""By operator, without its ``Not``."""
