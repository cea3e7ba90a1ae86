"""Identity pools at work: identities of guests and users, their tokens for STS, their credentials.

Refusals are worded as the service words them where public reports quote them. Which of them it gives when was checked
against documentation and such reports, not against the service.
"""

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from credhelper.identity_pools import scope_down
from credhelper.identity_pools.policy_language import Policy
from credhelper.sandbox import json_web_tokens, role_choice
from credhelper.sandbox.cognito_directory import CognitoDirectory, IdentityPool, WebRole
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.role_credentials import Assumed, IssuedCredentials, RoleCredentials
from credhelper.sandbox.user_pool_sessions import UserPools

ISSUER = "https://cognito-identity.amazonaws.com"
OPEN_ID_TOKEN_SECONDS = 600
ENHANCED_SECONDS = 3600
SESSION_NAME = "CognitoIdentityCredentials"

Logins = Mapping[str, str]


@dataclass
class Identity:
    """A guest's, until a login is linked to it. `logins`: by provider, who it is there."""

    identity_id: str
    pool_id: str
    logins: dict[str, str] = field(default_factory=dict)

    @property
    def is_guest(self) -> bool:
        """Whether nobody has ever signed in to it."""
        return not self.logins


@dataclass(frozen=True)
class Login:
    """A login token that was looked at."""

    provider: str
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def person(self) -> str:
        """Who, at the provider."""
        return str(self.claims["sub"])


class IdentityPools:
    """All identity pools of the sandbox. Every method wants the server's lock."""

    def __init__(
        self,
        clock: Callable[[], float],
        directory: CognitoDirectory,
        user_pools: UserPools,
        credentials: IssuedCredentials,
    ) -> None:
        self._clock = clock
        self._users = user_pools
        self._credentials = credentials
        self._pools = {pool.pool_id: pool for pool in directory.identity_pools}
        self.roles: dict[str, WebRole] = {role.arn: role for role in directory.roles}
        self.identities: dict[str, Identity] = {}
        self._external: set[str] = set()
        """Tokens of other providers that the sandbox has made."""
        self._open_id_tokens: set[str] = set()

    def pool(self, pool_id: str) -> IdentityPool:
        """Raises ResourceNotFoundException."""
        if pool_id not in self._pools:
            raise ApiError("ResourceNotFoundException", f"IdentityPool '{pool_id}' not found.")
        return self._pools[pool_id]

    def put(self, pool: IdentityPool) -> None:
        """Creates an identity pool or changes the one of that id."""
        self._pools[pool.pool_id] = pool

    def delete(self, pool_id: str) -> None:
        """The pool is gone, and its identities with it."""
        del self._pools[pool_id]
        for identity in [each for each in self.identities.values() if each.pool_id == pool_id]:
            del self.identities[identity.identity_id]

    def external_token(self, issuer: str, audience: str, person: str, claims: Mapping[str, Any]) -> str:
        """An ID token of some other provider, good for an hour."""
        now = math.floor(self._clock())
        token = json_web_tokens.sign(
            {"iss": issuer, "aud": audience, "sub": person, "iat": now, "exp": now + 3600, **claims}
        )
        self._external.add(token)
        return token

    def get_id(self, pool_id: str, logins: Logins) -> str:
        """A user's identity is always the same one; every guest is new."""
        pool = self.pool(pool_id)
        found = self._check_logins(pool, logins)
        if not found:
            _let_guests_in(pool)
            return self._new(pool).identity_id
        identity = self._owner(pool, found) or self._new(pool)
        identity.logins |= {login.provider: login.person for login in found}
        return identity.identity_id

    def open_id_token(self, identity_id: str, logins: Logins) -> tuple[str, str]:
        """For the basic flow: the identity (maybe another one) and a token for STS that lives ten minutes."""
        pool, identity, found = self._open(identity_id, logins)
        if pool.mappings:
            raise ApiError(
                "InvalidParameterException",
                "Basic (classic) flow is not supported with RoleMappings, please use enhanced flow.",
            )
        if not pool.classic:
            raise ApiError(
                "InvalidParameterException", "Basic (classic) flow is not enabled, please use enhanced flow."
            )
        now = math.floor(self._clock())
        amr = ["unauthenticated"]
        if found:
            amr = ["authenticated", *(name for login in found for name in _methods(login))]
        token = json_web_tokens.sign(
            {
                "sub": identity.identity_id,
                "aud": pool.pool_id,
                "amr": amr,
                "iss": ISSUER,
                "iat": now,
                "exp": now + OPEN_ID_TOKEN_SECONDS,
            }
        )
        self._open_id_tokens.add(token)
        return identity.identity_id, token

    def credentials(self, identity_id: str, logins: Logins, custom: str | None) -> tuple[str, RoleCredentials]:
        """The enhanced flow: the identity (maybe another one) and an hour's credentials, a guest's scoped down."""
        pool, identity, found = self._open(identity_id, logins)
        if found:
            arn = role_choice.role_of_user(pool, found[0].provider, found[0].claims, custom)
        else:
            if custom is not None:
                raise ApiError("NotAuthorizedException", "The custom role is not one of the roles of the token.")
            arn = role_choice.role_of_guest(pool)
        role = self.roles.get(arn or "")
        who = "authenticated" if found else "unauthenticated"
        if role is None or not trusts(role, pool.pool_id, [who]) or role.account_id != pool.account_id:
            raise ApiError(
                "InvalidIdentityPoolConfigurationException",
                "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
            )
        session_policies = None if found else _scope_down(pool.region)
        assumed = Assumed(SESSION_NAME, None, {}, frozenset(), session_policies)
        return identity.identity_id, self._credentials.issue_web(
            identity.identity_id, role.account_id, role.name, ENHANCED_SECONDS, assumed
        )

    def check_open_id_token(self, token: str) -> dict[str, Any]:
        """The claims of a token made by `open_id_token`. Raises STS's errors."""
        if token not in self._open_id_tokens:
            raise ApiError("InvalidIdentityToken", "No OpenIDConnect provider found in your account for the token.")
        claims = json_web_tokens.claims_of(token)
        if claims["exp"] <= self._clock():
            raise ApiError("ExpiredTokenException", "Token expired: current date/time must be before its expiration")
        return claims

    def _new(self, pool: IdentityPool) -> Identity:
        identity = Identity(f"{pool.region}:{uuid.uuid4()}", pool.pool_id)
        self.identities[identity.identity_id] = identity
        return identity

    def _owner(self, pool: IdentityPool, found: list[Login]) -> Identity | None:
        """Whose identity one of the logins is."""
        for identity in self.identities.values():
            if identity.pool_id == pool.pool_id and any(
                identity.logins.get(login.provider) == login.person for login in found
            ):
                return identity
        return None

    def _open(self, identity_id: str, logins: Logins) -> tuple[IdentityPool, Identity, list[Login]]:
        """An identity for whoever comes with these logins: linked with a guest's, or the one they have already."""
        if identity_id not in self.identities:
            raise ApiError("ResourceNotFoundException", f"Identity '{identity_id}' not found.")
        identity = self.identities[identity_id]
        pool = self.pool(identity.pool_id)
        found = self._check_logins(pool, logins)
        if not found:
            if not identity.is_guest:
                raise ApiError("NotAuthorizedException", f"Access to Identity '{identity_id}' is forbidden.")
            _let_guests_in(pool)
            return pool, identity, found
        owner = self._owner(pool, found)
        if owner is not identity and not identity.is_guest:
            raise ApiError(
                "NotAuthorizedException",
                "Logins don't match. Please include at least one valid login for this identity or identity pool.",
            )
        if owner is not None and owner is not identity:
            del self.identities[identity_id]  # merged: the guest's id is dead from now on
            identity = owner
        identity.logins |= {login.provider: login.person for login in found}
        return pool, identity, found

    def _check_logins(self, pool: IdentityPool, logins: Logins) -> list[Login]:
        return [Login(provider, self._claims(pool, provider, token)) for provider, token in logins.items()]

    def _claims(self, pool: IdentityPool, provider: str, token: str) -> dict[str, Any]:
        try:
            claims = json_web_tokens.claims_of(token)
        except (ValueError, TypeError):
            raise _invalid("Not a valid OpenId Connect identity token.") from None
        if claims.get("iss") not in {f"https://{provider}", provider}:
            raise _invalid("Issuer doesn't match providerName")
        if "aud" not in claims:
            raise _invalid("Missing a required claim: aud")
        if claims["aud"] not in pool.providers.get(provider, ()):
            raise ApiError("NotAuthorizedException", "Token is not from a supported provider of this identity pool.")
        is_users = self._users.is_signed_by_us(token)
        if not is_users and token not in self._external:
            raise _invalid("Token signature invalid.")
        now = math.floor(self._clock())
        if claims["exp"] <= now:
            raise _invalid(f"Token expired: {claims['exp']} >= {now}")
        if is_users and provider in pool.checks_server_side and not self._users.goes_on(token):
            raise _invalid("Token is revoked.")
        return claims


def trusts(role: WebRole, pool_id: str, amr: list[str]) -> bool:
    """Whether a role's trust policy lets a session of the pool have it."""
    return pool_id in role.pools and (role.who is None or role.who in amr)


def _let_guests_in(pool: IdentityPool) -> None:
    if not pool.guests:
        raise ApiError("NotAuthorizedException", "Unauthenticated access is not supported for this identity pool.")


def _methods(login: Login) -> tuple[str, str]:
    return login.provider, f"{login.provider}:CognitoSignIn:{login.person}"


def _invalid(why: str) -> ApiError:
    return ApiError("NotAuthorizedException", f"Invalid login token. {why}")


def _scope_down(region: str) -> tuple[Policy, ...]:
    """The session policies that the service adds for guests, as the developer guide has them."""
    return scope_down.limit_of(scope_down.Snapshot.DOCUMENT, region).policies
