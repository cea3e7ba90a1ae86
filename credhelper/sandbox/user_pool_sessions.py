"""User pools at work: signing in, tokens, refreshing with and without rotation, signing out."""

import math
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from credhelper.sandbox import json_web_tokens
from credhelper.sandbox.cognito_directory import AppClient, CognitoDirectory, PoolUser, UserPool
from credhelper.sandbox.errors import ApiError


@dataclass
class Session:
    """A user's sign-in with a client: all of its tokens live and die with it."""

    pool_id: str
    client_id: str
    user: str
    scopes: tuple[str, ...]
    began_at: float
    nonce: str | None = None
    ended: bool = False


@dataclass(frozen=True)
class PoolTokens:
    """What signing in or refreshing gives."""

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int


class UserPools:
    """All user pools of the sandbox. Every method wants the server's lock."""

    def __init__(self, clock: Callable[[], float], directory: CognitoDirectory) -> None:
        self._clock = clock
        self._pools = {pool.pool_id: pool for pool in directory.user_pools}
        self._sessions: list[Session] = []
        self._refresh_tokens: dict[str, tuple[Session, float | None]] = {}
        """And when each was replaced, where it was."""
        self._issued: dict[str, Session] = {}
        """ID and access tokens."""

    def pool(self, pool_id: str) -> UserPool:
        """Raises ResourceNotFoundException."""
        if pool_id not in self._pools:
            raise ApiError("ResourceNotFoundException", f"User pool {pool_id} does not exist.")
        return self._pools[pool_id]

    def put(self, pool: UserPool) -> None:
        """Creates a user pool or changes the one of that id."""
        self._pools[pool.pool_id] = pool

    def put_user(self, pool_id: str, user: PoolUser) -> None:
        """Adds a user or changes the one of that name."""
        pool = self.pool(pool_id)
        self.put(replace(pool, users=(*(each for each in pool.users if each.name != user.name), user)))

    def put_client(self, pool_id: str, client: AppClient) -> None:
        """Adds an app client or changes the one of that id."""
        pool = self.pool(pool_id)
        others = (each for each in pool.clients if each.client_id != client.client_id)
        self.put(replace(pool, clients=(*others, client)))

    def delete_user(self, pool_id: str, name: str) -> None:
        """The user is gone, and so are their sessions."""
        pool = self.pool(pool_id)
        self.put(replace(pool, users=tuple(each for each in pool.users if each.name != name)))
        self.end_all(pool_id, name)

    def client(self, client_id: str) -> tuple[UserPool, AppClient]:
        """An app client and its pool. Raises ResourceNotFoundException."""
        for pool in self._pools.values():
            for client in pool.clients:
                if client.client_id == client_id:
                    return pool, client
        raise ApiError("ResourceNotFoundException", f"User pool client {client_id} does not exist.")

    def user(self, pool_id: str, name: str) -> PoolUser | None:
        """Who is called so."""
        return next((user for user in self.pool(pool_id).users if user.name == name), None)

    def begin(
        self, pool: UserPool, client: AppClient, user: PoolUser, scopes: tuple[str, ...], nonce: str | None = None
    ) -> PoolTokens:
        """A new session, and its first tokens."""
        session = Session(pool.pool_id, client.client_id, user.name, scopes, self._clock(), nonce)
        self._sessions.append(session)
        return self._issue(session, client, self._new_refresh_token(session))

    def refresh(self, refresh_token: str, client_id: str, secret: str | None) -> PoolTokens:
        """GetTokensFromRefreshToken: the answer has a refresh token only where the client rotates them."""
        _, client = self.client(client_id)
        if client.secret is not None and secret != client.secret:
            raise ApiError("NotAuthorizedException", "Client credentials do not match.")
        session, replaced_at = self._refresh_tokens.get(refresh_token, (None, None))
        if session is None or session.client_id != client_id:
            raise ApiError("NotAuthorizedException", "Invalid Refresh Token")
        if session.ended:
            raise ApiError("NotAuthorizedException", "Refresh Token has been revoked")
        now = self._clock()
        if now >= session.began_at + client.refresh_seconds:
            raise ApiError("NotAuthorizedException", "Refresh Token has expired")
        if replaced_at is not None and now >= replaced_at + client.rotation_grace:
            raise ApiError("RefreshTokenReuseException", "Refresh token has been reused.")
        self._living_user(session)
        if not client.rotates:
            return self._issue(session, client, None)
        if replaced_at is None:
            self._refresh_tokens[refresh_token] = (session, now)
        return self._issue(session, client, self._new_refresh_token(session))

    def revoke(self, refresh_token: str, client_id: str, secret: str | None) -> None:
        """RevokeToken; of a token that nobody knows it says nothing."""
        _, client = self.client(client_id)
        if client.secret is not None and secret != client.secret:
            raise ApiError("NotAuthorizedException", "Client credentials do not match.")
        if refresh_token in self._issued:
            raise ApiError("UnsupportedTokenTypeException", "Unsupported token type")
        session, _ = self._refresh_tokens.get(refresh_token, (None, None))
        if session is None:
            return
        if session.client_id != client_id:
            raise ApiError("UnauthorizedException", "The token was issued to another client.")
        session.ended = True

    def sign_out_everywhere(self, access_token: str) -> None:
        """GlobalSignOut."""
        session = self.session_of(access_token, "access")
        if "aws.cognito.signin.user.admin" not in session.scopes:
            raise ApiError("NotAuthorizedException", "Access Token does not have required scopes")
        self.end_all(session.pool_id, session.user)

    def end_all(self, pool_id: str, name: str) -> None:
        """No session of the user goes on."""
        for session in self._sessions:
            if (session.pool_id, session.user) == (pool_id, name):
                session.ended = True

    def session_of(self, token: str, use: str) -> Session:
        """Whose access (or ID) token it is; one that is good. Raises NotAuthorizedException."""
        session = self._issued.get(token)
        claims = json_web_tokens.claims_of(token) if session else {}
        if session is None or claims["token_use"] != use:
            raise ApiError("NotAuthorizedException", "Invalid Access Token")
        if claims["exp"] <= self._clock():
            raise ApiError("NotAuthorizedException", "Access Token has expired")
        if session.ended:
            raise ApiError("NotAuthorizedException", "Access Token has been revoked")
        return session

    def is_signed_by_us(self, token: str) -> bool:
        """Whether an ID or access token was issued here, letter by letter."""
        return token in self._issued

    def goes_on(self, token: str) -> bool:
        """Whether the session of an ID token does, and its user is there: what a server-side check asks."""
        session = self._issued[token]
        user = self.user(session.pool_id, session.user)
        return not session.ended and user is not None and not user.disabled

    def _living_user(self, session: Session) -> PoolUser:
        user = self.user(session.pool_id, session.user)
        if user is None:
            raise ApiError("UserNotFoundException", "User does not exist.")
        if user.disabled:
            raise ApiError("NotAuthorizedException", "User is disabled.")
        return user

    def _new_refresh_token(self, session: Session) -> str:
        """Opaque, in five parts as the service's encrypted ones."""
        token = "eyJjdHkiOiJKV1Qi." + ".".join(secrets.token_urlsafe(24) for _ in range(4))
        self._refresh_tokens[token] = (session, None)
        return token

    def _issue(self, session: Session, client: AppClient, refresh_token: str | None) -> PoolTokens:
        user, pool = self._living_user(session), self.pool(session.pool_id)
        now = math.floor(self._clock())
        common: dict[str, Any] = {
            "sub": user.sub,
            "iss": pool.issuer,
            "origin_jti": str(uuid.uuid4()),
            "event_id": str(uuid.uuid4()),
            "auth_time": math.floor(session.began_at),
            "iat": now,
            "exp": now + client.token_seconds,
            **({"cognito:groups": list(user.groups)} if user.groups else {}),
        }
        identity = common | _identity_claims(user, client) | ({"nonce": session.nonce} if session.nonce else {})
        access = common | {
            "token_use": "access",
            "client_id": client.client_id,
            "username": user.name,
            "scope": " ".join(session.scopes),
        }
        tokens = [json_web_tokens.sign(claims | {"jti": str(uuid.uuid4())}) for claims in (identity, access)]
        self._issued |= dict.fromkeys(tokens, session)
        return PoolTokens(tokens[0], tokens[1], refresh_token, client.token_seconds)


def _identity_claims(user: PoolUser, client: AppClient) -> dict[str, Any]:
    return {
        **user.claims,
        "token_use": "id",
        "aud": client.client_id,
        "cognito:username": user.name,
        **({"cognito:roles": list(user.roles)} if user.roles else {}),
        **({"cognito:preferred_role": user.preferred_role} if user.preferred_role else {}),
    }
