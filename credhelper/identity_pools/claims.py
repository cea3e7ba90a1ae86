"""The claims of an ID token that a role may be chosen by, and the principal tags that are made of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from credhelper.domain.errors import ConfigError

Claims = Mapping[str, Any]

PREFERRED, ROLES = "cognito:preferred_role", "cognito:roles"

OF_THE_TOKEN = frozenset(
    {"at_hash", "auth_time", "event_id", "exp", "iat", "jti", "nbf", "nonce", "origin_jti", "token_use", "c_hash"}
)
"""Claims that are about the token, not about who it is of (OpenID Connect Core, section 2; user pools' own)."""

MOST_TAGS, LONGEST_KEY, LONGEST_ATTRIBUTE, LONGEST_TOGETHER = 50, 128, 256, 460
"""Of principal tags: their number, characters of a key and of an attribute's name, bytes of all values together."""
DEFAULT_TAGS = {"username": "sub", "client": "aud"}
"""What UseDefaults stands for."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A principal tag; without a ``value`` the token lacks the claim, and the session the tag."""

    key: str
    claim: str
    value: str | None


def of_person(claims: Claims) -> dict[str, Any]:
    """Those that a rule or a tag may be about, in the token's order."""
    return {name: value for name, value in claims.items() if name not in OF_THE_TOKEN}


def provider_of(claims: Claims) -> str | None:
    """How role mappings spell the provider that issued a token: ``cognito-idp.…/POOL:CLIENT``, or the bare issuer."""
    issuer, audience = claims.get("iss"), claims.get("aud")
    if not isinstance(issuer, str) or not issuer:
        return None
    provider = issuer.removeprefix("https://")
    if not provider.startswith("cognito-idp."):
        return provider
    return f"{provider}:{audience}" if isinstance(audience, str) else None


def roles_in(claims: Claims) -> list[str]:
    """``cognito:roles``: an array in the token, in the guide a text with commas."""
    found = claims.get(ROLES)
    members = found if isinstance(found, list) else str(found).split(",") if isinstance(found, str) else []
    return list(dict.fromkeys(role.strip() for role in members if isinstance(role, str) and role.strip()))


def plain(value: Any) -> str:
    """A claim as text: JSON has true where rules have "true"."""
    if isinstance(value, list):
        return ",".join(map(plain, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def tags(answer: Mapping[str, Any], claims: Claims) -> list[Tag]:
    """The session's principal tags by ``get-principal-tag-attribute-map``. Raises ConfigError for anything else."""
    if not isinstance(answer.get("IdentityProviderName"), str):
        raise ConfigError("it is not what `aws cognito-identity get-principal-tag-attribute-map` prints")
    named = DEFAULT_TAGS if answer.get("UseDefaults") is True else answer.get("PrincipalTags") or {}
    if not isinstance(named, dict) or not all(isinstance(claim, str) for claim in named.values()):
        raise ConfigError("PrincipalTags is not an object of claims")
    return [Tag(key, claim, plain(claims[claim]) if claim in claims else None) for key, claim in named.items()]


def mistakes_of(found: Iterable[Tag]) -> list[str]:
    """What of the tags is beyond AWS's limits."""
    given = list(found)
    mistakes = [f"there are {len(given)} tags, and AWS takes {MOST_TAGS}"] if len(given) > MOST_TAGS else []
    for tag in given:
        if len(tag.key) > LONGEST_KEY:
            mistakes.append(f"the key of a tag has {len(tag.key)} characters, and AWS takes {LONGEST_KEY}: {tag.key}")
        if len(tag.claim) > LONGEST_ATTRIBUTE:
            mistakes.append(f"the attribute of {tag.key} has {len(tag.claim)} characters, of {LONGEST_ATTRIBUTE}")
    size = sum(len((tag.value or "").encode()) for tag in given)
    if size > LONGEST_TOGETHER:
        mistakes.append(f"the values of the tags are {size} bytes together, and AWS takes {LONGEST_TOGETHER}")
    return mistakes
