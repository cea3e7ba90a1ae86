"""IAM's policy documents, read: statements and their parts as values, each with its place in the text.

What IAM would refuse to save is refused here too, with its line; what it would save is a value, however unwise it is.
(IAM user guide, "Grammar of the IAM JSON policy language".)
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe
from credhelper.identity_pools import json_places
from credhelper.identity_pools.json_places import Places, TooDeep, member

LONGEST = 65_536  # characters: many times what IAM takes, with any amount of white space
LONGEST_ACTION = 128  # characters; few of IAM's have more than 64
NEWEST_VERSION = "2012-10-17"
VERSIONS = (NEWEST_VERSION, "2008-10-17")

OPERATORS = frozenset(
    {
        *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
        *("StringLike", "StringNotLike"),
        *(f"Numeric{how}" for how in ("Equals", "NotEquals", "LessThan", "LessThanEquals")),
        *(f"Numeric{how}" for how in ("GreaterThan", "GreaterThanEquals")),
        *(f"Date{how}" for how in ("Equals", "NotEquals", "LessThan", "LessThanEquals")),
        *(f"Date{how}" for how in ("GreaterThan", "GreaterThanEquals")),
        *("Bool", "BinaryEquals", "IpAddress", "NotIpAddress"),
        *("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null"),
    }
)
QUANTIFIERS = ("ForAnyValue", "ForAllValues")

_POLICY_KEYS = ("Version", "Id", "Statement")
_STATEMENT_KEYS = (
    *("Sid", "Effect", "Principal", "NotPrincipal"),
    *("Action", "NotAction", "Resource", "NotResource", "Condition"),
)
_ACTION = re.compile(r"\*|[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+")
_WRAPPINGS = {
    "PolicyDocument": "PolicyDocument",
    "RoleName": "PolicyDocument",
    "PolicyVersion": "PolicyVersion.Document",
    "Role": "Role.AssumeRolePolicyDocument",
}
"""What the AWS CLI's answers begin with that have a policy somewhere in them, and where."""
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator applied to one condition key."""

    operator: str
    """Bare, such as ``StringLike``."""
    quantifier: str | None
    """``ForAnyValue``, ``ForAllValues`` or None."""
    is_if_exists: bool
    key: str
    """As written; keys are the same in upper and lower case."""
    values: tuple[str, ...]
    place: str

    @property
    def written_operator(self) -> str:
        """The operator as the document writes it, such as ``ForAnyValue:StringLikeIfExists``."""
        prefix = f"{self.quantifier}:" if self.quantifier else ""
        return f"{prefix}{self.operator}{'IfExists' if self.is_if_exists else ''}"

    def __str__(self) -> str:
        return f"{self.written_operator} {self.key} = {' or '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. A role's trust policy has principals and no resources, an access policy the reverse."""

    place: str
    sid: str | None
    effect: str
    """``Allow`` or ``Deny``."""
    actions: tuple[str, ...]
    is_not_action: bool
    resources: tuple[str, ...]
    """Empty where the statement has none."""
    is_not_resource: bool
    principals: Mapping[str, tuple[str, ...]] | None
    """By kind, such as ``Federated``; ``Principal: "*"`` is of the kind ``*``. None where the statement has none."""
    is_not_principal: bool
    conditions: tuple[Condition, ...]

    @property
    def is_allow(self) -> bool:
        """Whether it grants something."""
        return self.effect == "Allow"

    def place_of(self, element: str) -> str:
        """The place of one of its elements, ``Action`` or ``Resource`` being that or its negation."""
        negated = {"Action": self.is_not_action, "Resource": self.is_not_resource, "Principal": self.is_not_principal}
        return member(self.place, f"Not{element}" if negated.get(element) else element)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document."""

    name: str
    """What people call it: the file's name."""
    version: str
    """2008-10-17 where the document does not say."""
    statements: tuple[Statement, ...]
    places: Places

    @property
    def is_trust_policy(self) -> bool:
        """Whether it says who may assume a role, rather than what the role may do."""
        return any(statement.principals is not None for statement in self.statements)

    @property
    def knows_variables(self) -> bool:
        """Whether ``${…}`` stands for something; in the old version it is text like any other."""
        return self.version == NEWEST_VERSION

    def line(self, place: str) -> int:
        """The line of a place."""
        return self.places.line(place)


def parse(content: bytes | str, name: str) -> Policy:
    """The policy in ``content``, of either kind. Raises ConfigError with ``name`` and the line."""
    text = _text(content, name)
    document, places = _json(text, name)
    reader = _Reader(name, places)
    for place in places.duplicates:
        reader.fail(place, f"{place} is there twice")
    return reader.policy(document)


def parse_access_policy(content: bytes | str, name: str) -> Policy:
    """The same for what a role may do: every statement names resources, and no principals. Raises ConfigError."""
    policy = parse(content, name)
    if policy.is_trust_policy:
        raise ConfigError(
            f"{safe(name)} says who may assume a role (it has a Principal), not what the role may do",
            hint="take one of the role's permission policies",
        )
    for statement in policy.statements:
        if not statement.resources:
            line = policy.line(statement.place)
            raise ConfigError(f"{safe(name)}, line {line}: {statement.place} has neither Resource nor NotResource")
    return policy


def _text(content: bytes | str, name: str) -> str:
    if len(content) > LONGEST:
        raise ConfigError(f"{safe(name)} is longer than {LONGEST} characters, which no policy is")
    if isinstance(content, str):
        return content.removeprefix(_BOM)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{safe(name)}, line {line}: not UTF-8") from None


def _json(text: str, name: str) -> tuple[Any, Places]:
    try:
        return json.loads(text, parse_constant=_refuse_constant), json_places.find(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{safe(name)}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, TooDeep):
        raise ConfigError(f"{safe(name)} is nested more deeply than a policy is") from None
    except ValueError as error:  # NaN and its like, and numbers too long for Python
        raise ConfigError(f"{safe(name)}: not JSON: {safe(str(error))}") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(word)


class _Reader:
    """Makes values of parsed JSON, and complaints of what is no policy."""

    def __init__(self, name: str, places: Places) -> None:
        self._name = name
        self._places = places

    def fail(self, place: str, what: str, *, hint: str | None = None) -> NoReturn:
        """Raises ConfigError for something at ``place``."""
        raise ConfigError(f"{safe(self._name)}, line {self._places.line(place)}: {safe(what)}", hint=hint)

    def policy(self, document: Any) -> Policy:
        """The whole."""
        if not isinstance(document, dict):
            self.fail("", "a policy is a JSON object")
        self._refuse_unknown("", document, _POLICY_KEYS)
        version = document.get("Version", VERSIONS[-1])
        if version not in VERSIONS:
            self.fail("Version", f"Version is {NEWEST_VERSION}, or for a very old document {VERSIONS[-1]}")
        if not isinstance(document.get("Id", ""), str):
            self.fail("Id", "Id is not text")
        found = document.get("Statement")
        if isinstance(found, dict):
            statements = [self._statement("Statement", found)]
        elif isinstance(found, list) and found:
            statements = [self._statement(f"Statement[{number}]", each) for number, each in enumerate(found)]
        else:
            self.fail("Statement", "a policy has one Statement or a list of them")
        self._refuse_repeated_sids(statements)
        return Policy(self._name, version, tuple(statements), self._places)

    def _refuse_repeated_sids(self, statements: Sequence[Statement]) -> None:
        seen: set[str] = set()
        for statement in statements:
            if statement.sid and statement.sid in seen:
                self.fail(member(statement.place, "Sid"), f"two statements have the Sid {statement.sid}")
            seen.add(statement.sid or "")

    def _refuse_unknown(self, place: str, found: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in found:
            if key in known:
                continue
            meant = next((name for name in known if name.lower() == key.lower()), None)
            meaning = f"it is spelled {meant}" if meant else f"there are {', '.join(known)}"
            hint = f"aws iam … --query {_WRAPPINGS[key]}, for the document alone" if key in _WRAPPINGS else None
            self.fail(member(place, key), f"{member(place, key)}: no element of a policy; {meaning}", hint=hint)

    def _statement(self, place: str, found: Any) -> Statement:
        if not isinstance(found, dict):
            self.fail(place, f"{place} is not an object")
        self._refuse_unknown(place, found, _STATEMENT_KEYS)
        if found.get("Effect") not in {"Allow", "Deny"}:
            self.fail(member(place, "Effect"), f"{place}: Effect is “Allow” or “Deny”, so written")
        sid = found.get("Sid")
        if sid is not None and not isinstance(sid, str):
            self.fail(member(place, "Sid"), f"{place}: Sid is not text")
        action = self._one_of(place, found, "Action")
        if action is None:
            self.fail(place, f"{place} has neither Action nor NotAction")
        resource = self._one_of(place, found, "Resource")
        principal = self._one_of(place, found, "Principal")
        return Statement(
            place=place,
            sid=sid,
            effect=found["Effect"],
            actions=self._actions(member(place, action), found[action]),
            is_not_action=action.startswith("Not"),
            resources=() if resource is None else self._texts(member(place, resource), found[resource]),
            is_not_resource=resource == "NotResource",
            principals=None if principal is None else self._principals(member(place, principal), found[principal]),
            is_not_principal=principal == "NotPrincipal",
            conditions=tuple(self._conditions(member(place, "Condition"), found.get("Condition", {}))),
        )

    def _one_of(self, place: str, found: Mapping[str, Any], element: str) -> str | None:
        """Which of an element and its negation is there, None where neither is."""
        there = [name for name in (element, f"Not{element}") if name in found]
        if len(there) > 1:
            self.fail(member(place, there[1]), f"{place} has both {element} and Not{element}")
        return there[0] if there else None

    def _actions(self, place: str, found: Any) -> tuple[str, ...]:
        actions = self._texts(place, found)
        for action in actions:
            if len(action) > LONGEST_ACTION or not _ACTION.fullmatch(action):
                self.fail(place, f"{place}: “{action}” is no action; actions are like s3:GetObject or s3:Get*")
        return actions

    def _principals(self, place: str, found: Any) -> dict[str, tuple[str, ...]]:
        if found == "*":
            return {"*": ("*",)}
        if not isinstance(found, dict) or not found:
            self.fail(place, f"{place} is an object such as {{Federated: …}}, or *")
        self._refuse_unknown(place, found, ("AWS", "Federated", "Service", "CanonicalUser"))
        return {kind: self._texts(member(place, kind), names) for kind, names in found.items()}

    def _texts(self, place: str, found: Any) -> tuple[str, ...]:
        values = found if isinstance(found, list) else [found]
        if not values or not all(isinstance(value, str) and value for value in values):
            self.fail(place, f"{place} is text or a list of texts, and not empty")
        return tuple(values)

    def _conditions(self, place: str, found: Any) -> list[Condition]:
        if not isinstance(found, dict):
            self.fail(place, f"{place} is not an object")
        conditions = []
        for written, tests in found.items():
            inner = member(place, written)
            quantifier, operator, is_if_exists = self._operator(inner, written)
            if not isinstance(tests, dict):
                self.fail(inner, f"{inner} is an object of condition keys and values")
            for key, values in tests.items():
                where = member(inner, key)
                conditions.append(
                    Condition(operator, quantifier, is_if_exists, key, self._values(where, values), where)
                )
        return conditions

    def _operator(self, place: str, written: str) -> tuple[str | None, str, bool]:
        quantifier, colon, bare = written.rpartition(":")
        if colon and quantifier not in QUANTIFIERS:
            self.fail(place, f"{place}: only {' and '.join(QUANTIFIERS)} stand before an operator")
        operator = bare.removesuffix("IfExists")
        is_if_exists = operator != bare
        if operator not in OPERATORS or (is_if_exists and operator == "Null"):
            meant = next((name for name in OPERATORS if name.lower() == operator.lower()), None)
            self.fail(place, f"{place}: no condition operator{f'; it is spelled {meant}' if meant else ''}")
        return quantifier or None, operator, is_if_exists

    def _values(self, place: str, found: Any) -> tuple[str, ...]:
        """A condition's values; numbers and truth values may stand without quotation marks."""
        values = found if isinstance(found, list) else [found]
        if not values or not all(isinstance(value, str | bool | int | float) for value in values):
            self.fail(place, f"{place} is a value or a list of values")
        return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)
