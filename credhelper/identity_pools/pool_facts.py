"""What the API's own descriptions of an identity pool say that decides over a role's safety.

Each reads one answer as the AWS CLI prints it: of ``cognito-identity`` describe-identity-pool, get-identity-pool-roles
and get-principal-tag-attribute-map, and of ``cognito-idp`` describe-user-pool-client. Shapes: botocore's models.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from credhelper.domain.errors import ConfigError
from credhelper.identity_pools.json_places import member

Json = Mapping[str, Any]
ClassicFlow = Literal["on", "off", "unset"]

STANDARD_ATTRIBUTES = frozenset(
    {
        *("address", "birthdate", "email", "family_name", "gender", "given_name", "locale", "middle_name", "name"),
        *("nickname", "phone_number", "picture", "preferred_username", "profile", "updated_at", "website", "zoneinfo"),
    }
)
"""What an app client may write when its WriteAttributes are not set (CreateUserPoolClient)."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool's own settings."""

    pool_id: str
    allows_guests: bool
    classic_flow: ClassicFlow


@dataclass(frozen=True, slots=True)
class MappedClaim:
    """A claim of a sign-in on which something depends."""

    place: str
    """A path in the answer that has it."""
    claim: str
    gives: str
    """What, in words."""


@dataclass(frozen=True, slots=True)
class PoolRoles:
    """The roles that a pool gives out."""

    guest: str | None
    authenticated: str | None
    claims: tuple[MappedClaim, ...]
    """Those of its rules, in their order."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The principal tags that a provider's users get."""

    is_on: bool
    claims: tuple[MappedClaim, ...]
    """Those of the pool's own mapping; the default one is of ``sub`` and ``aud``, which nobody can change."""


def pool(answer: Json) -> Pool:
    """Of ``describe-identity-pool``. Raises ConfigError for anything else."""
    pool_id, guests = answer.get("IdentityPoolId"), answer.get("AllowUnauthenticatedIdentities")
    if not isinstance(pool_id, str) or not isinstance(guests, bool):
        raise ConfigError("it is not what `aws cognito-identity describe-identity-pool` prints")
    classic = answer.get("AllowClassicFlow")
    return Pool(pool_id, guests, "unset" if classic is None else "on" if classic else "off")


def pool_roles(answer: Json) -> PoolRoles:
    """Of ``get-identity-pool-roles``. Raises ConfigError for anything else."""
    if not isinstance(answer.get("IdentityPoolId"), str):
        raise ConfigError("it is not what `aws cognito-identity get-identity-pool-roles` prints")
    roles = _object(answer.get("Roles"))
    return PoolRoles(
        _text(roles.get("unauthenticated")), _text(roles.get("authenticated")), tuple(_claims_of_rules(answer))
    )


def tags(answer: Json) -> Tags:
    """Of ``get-principal-tag-attribute-map``. Raises ConfigError for anything else."""
    if not isinstance(answer.get("IdentityProviderName"), str):
        raise ConfigError("it is not what `aws cognito-identity get-principal-tag-attribute-map` prints")
    if answer.get("UseDefaults") is True:
        return Tags(is_on=True, claims=())
    claims = tuple(
        MappedClaim(member("PrincipalTags", tag), claim, f"the principal tag {tag}")
        for tag, claim in _object(answer.get("PrincipalTags")).items()
        if isinstance(claim, str)
    )
    return Tags(is_on=bool(claims), claims=claims)


def writable_attributes(answer: Json) -> frozenset[str]:
    """The attributes that users may change about themselves: of ``describe-user-pool-client``. Raises ConfigError."""
    client = answer.get("UserPoolClient")
    if not isinstance(client, dict):
        raise ConfigError("it is not what `aws cognito-idp describe-user-pool-client` prints")
    written = client.get("WriteAttributes")
    if not isinstance(written, list):
        return STANDARD_ATTRIBUTES
    return frozenset(name for name in written if isinstance(name, str))


def _claims_of_rules(answer: Json) -> Iterator[MappedClaim]:
    for provider, mapping in _object(answer.get("RoleMappings")).items():
        rules = _object(_object(mapping).get("RulesConfiguration")).get("Rules")
        for number, rule in enumerate(rules if isinstance(rules, list) else ()):
            claim, role = _text(_object(rule).get("Claim")), _text(_object(rule).get("RoleARN"))
            if claim and role:
                place = f"{member('RoleMappings', provider)}.RulesConfiguration.Rules[{number}].Claim"
                yield MappedClaim(place, claim, f"the role {role}")


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
