"""Which role an identity pool gives: default roles, rules, the token's own, and what is asked for.

Checked against documentation (Cognito developer guide, "Using role-based access control"), not against the service.
"""

from collections.abc import Mapping
from typing import Any

from credhelper.sandbox.cognito_directory import IdentityPool, RoleMapping, Rule
from credhelper.sandbox.errors import ApiError

AMBIGUOUS = "The ambiguous role mapping rules for: cognito-identity.amazonaws.com denied this request."


def role_of_guest(pool: IdentityPool) -> str | None:
    """The ARN, or None where the pool has none."""
    return pool.guest_role


def role_of_user(pool: IdentityPool, provider: str, claims: Mapping[str, Any], custom: str | None) -> str | None:
    """The ARN, or None where the pool has none. Raises NotAuthorizedException where the mapping says no."""
    mapping = pool.mappings.get(f"{provider}:{claims.get('aud')}") or pool.mappings.get(provider)
    if custom is not None:
        return _custom(mapping, claims, custom)
    if mapping is None:
        return pool.authenticated_role
    found = _by_rules(mapping.rules, claims) if mapping.kind == "Rules" else _by_token(claims)
    if found is not None:
        return found
    if mapping.ambiguous == "Deny":
        raise ApiError("NotAuthorizedException", AMBIGUOUS)
    return pool.authenticated_role


def _custom(mapping: RoleMapping | None, claims: Mapping[str, Any], custom: str) -> str:
    """It must be among the token's roles, or among those of the rules."""
    permitted = set(claims.get("cognito:roles", ()))
    if mapping is not None and mapping.kind == "Rules":
        permitted = {rule.role_arn for rule in mapping.rules if _fits(rule, claims)}
    if custom not in permitted:
        raise ApiError("NotAuthorizedException", "The custom role is not one of the roles of the token.")
    return custom


def _by_rules(rules: tuple[Rule, ...], claims: Mapping[str, Any]) -> str | None:
    return next((rule.role_arn for rule in rules if _fits(rule, claims)), None)


def _by_token(claims: Mapping[str, Any]) -> str | None:
    """The preferred one; else the only one, for several are ambiguous."""
    preferred = claims.get("cognito:preferred_role")
    roles = claims.get("cognito:roles", ())
    if preferred:
        return str(preferred)
    return str(roles[0]) if len(roles) == 1 else None


def _fits(rule: Rule, claims: Mapping[str, Any]) -> bool:
    """A claim that is not there fits no rule, NotEqual included."""
    if rule.claim not in claims:
        return False
    claim = claims[rule.claim]
    value = ",".join(claim) if isinstance(claim, list) else str(claim)
    return {
        "Equals": value == rule.value,
        "NotEqual": value != rule.value,
        "Contains": rule.value in value,
        "StartsWith": value.startswith(rule.value),
    }[rule.match]
