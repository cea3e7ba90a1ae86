"""How a pool chooses the role of a sign-in: its answer to ``get-identity-pool-roles``, mappings included.

Shapes and limits: botocore's model of ``cognito-identity`` (RoleMapping, MappingRule; 25 rules a provider), and the
developer guide on role-based access control.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe
from credhelper.identity_pools import pool_facts
from credhelper.identity_pools.json_places import member

Json = Mapping[str, Any]
Match = Literal["Equals", "NotEqual", "StartsWith", "Contains"]
Resolution = Literal["AuthenticatedRole", "Deny"]

MATCHES: tuple[Match, ...] = ("Equals", "NotEqual", "StartsWith", "Contains")
OF_OTHER_ANSWERS = frozenset({"IdentityPoolName", "IdentityProviderName"})
"""Members of answers about a pool that say nothing of its roles: a pool without any answers with its id alone."""

MOST_RULES = 25
"""Of one provider."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a provider; ``number`` counts from 1 in the order in which Cognito looks at them."""

    number: int
    claim: str
    match: Match
    value: str
    role_arn: str

    @property
    def text(self) -> str:
        """The rule in one line."""
        return f"{self.claim} {self.match} “{self.value}”"


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """One provider's: by its rules in order, or with ``rules`` None by the roles in the token."""

    provider: str
    """With a user pool ``provider:clientId``, else the provider alone."""
    rules: tuple[Rule, ...] | None
    if_ambiguous: Resolution | None
    """What happens where nothing decides; None where the answer does not say."""


@dataclass(frozen=True, slots=True)
class RoleTable:
    """All the roles that a pool can give."""

    pool_id: str
    guest: str | None
    authenticated: str | None
    mappings: tuple[RoleMapping, ...]

    def mapping_of(self, provider: str) -> RoleMapping | None:
        """The provider's own mapping, if it has one."""
        return next((each for each in self.mappings if each.provider == provider), None)


def read(answer: Json) -> RoleTable:
    """Of ``get-identity-pool-roles``. Raises ConfigError for anything else, naming the place."""
    facts = pool_facts.pool_roles(answer)
    if not OF_OTHER_ANSWERS.isdisjoint(answer):
        raise ConfigError("it is not what `aws cognito-identity get-identity-pool-roles` prints")
    found = answer.get("RoleMappings")
    if not isinstance(found, dict | None):
        raise ConfigError("RoleMappings is not an object")
    mappings = tuple(_mapping(provider, mapping) for provider, mapping in (found or {}).items())
    return RoleTable(answer["IdentityPoolId"], facts.guest, facts.authenticated, mappings)


def _mapping(provider: str, found: Any) -> RoleMapping:
    place = member("RoleMappings", provider)
    mapping = _object(found, place)
    kind = mapping.get("Type")
    if kind not in {"Rules", "Token"}:
        raise ConfigError(f"{safe(place)}.Type is neither Rules nor Token")
    resolution = mapping.get("AmbiguousRoleResolution")
    if resolution not in {None, "AuthenticatedRole", "Deny"}:
        raise ConfigError(f"{safe(place)}.AmbiguousRoleResolution is neither AuthenticatedRole nor Deny")
    rules = tuple(_rules(mapping, place)) if kind == "Rules" else None
    return RoleMapping(provider, rules, resolution)


def _rules(mapping: Json, place: str) -> Iterator[Rule]:
    place = f"{place}.RulesConfiguration"
    rules = _object(mapping.get("RulesConfiguration"), place).get("Rules")
    if not isinstance(rules, list):
        raise ConfigError(f"{safe(place)}.Rules is not a list")
    for number, found in enumerate(rules, start=1):
        yield _rule(number, found, f"{place}.Rules[{number - 1}]")


def _rule(number: int, found: Any, place: str) -> Rule:
    rule = _object(found, place)
    match = next((each for each in MATCHES if each == rule.get("MatchType")), None)
    if match is None:
        raise ConfigError(f"{safe(place)}.MatchType is none of {', '.join(MATCHES)}")
    return Rule(number, _text(rule, "Claim", place), match, _text(rule, "Value", place), _text(rule, "RoleARN", place))


def _object(value: Any, place: str) -> Json:
    if not isinstance(value, dict):
        raise ConfigError(f"{safe(place)} is not an object")
    return value


def _text(found: Json, key: str, place: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{safe(place)}.{key} is missing")
    return value
