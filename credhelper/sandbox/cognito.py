"""Amazon Cognito in the sandbox as one object, with the levers of its administrators and users.

It stands in for what no other backend here enforces: role mappings, custom roles, the refusals of the basic flow,
guests that are off, server-side token checks, rotated refresh tokens, deleted identities, the guests' scope-down. All
of that was checked against documentation and public reports of the service's own words, never against the service.
"""

from collections.abc import Callable, Mapping
from typing import Any

from credhelper.sandbox import cognito_api, managed_login
from credhelper.sandbox.cognito_directory import (
    CLIENT_ID,
    USER_POOL_ID,
    AppClient,
    CognitoDirectory,
    IdentityPool,
    PoolUser,
    UserPool,
    WebRole,
)
from credhelper.sandbox.identities import IdentityPools
from credhelper.sandbox.managed_login import ManagedLogin
from credhelper.sandbox.messages import Request
from credhelper.sandbox.mfa import STEP, totp
from credhelper.sandbox.role_credentials import IssuedCredentials
from credhelper.sandbox.shapes import Shapes
from credhelper.sandbox.user_pool_sessions import PoolTokens, UserPools
from credhelper.sandbox.user_pool_sign_in import SignIn
from credhelper.sandbox.web_identity import ASSUME_ROLE_WITH_WEB_IDENTITY, WebIdentity

OPERATIONS = frozenset({*cognito_api.OPERATIONS, *managed_login.OPERATIONS, ASSUME_ROLE_WITH_WEB_IDENTITY})


class Cognito:
    """User pools, identity pools and their doors. The levers may be called from any thread."""

    def __init__(
        self,
        clock: Callable[[], float],
        directory: CognitoDirectory,
        credentials: IssuedCredentials,
        shapes: Shapes,
        url: str,
        lock: Any,
    ) -> None:
        self._clock = clock
        self._lock = lock
        self._users = UserPools(clock, directory)
        self._pools = IdentityPools(clock, directory, self._users, credentials)
        self._sign_in = SignIn(clock, self._users, cognito_api.result)
        self._api = cognito_api.CognitoApi(shapes, self._users, self._pools, self._sign_in)
        self._managed_login = ManagedLogin(clock, self._users, url)
        self._web_identity = WebIdentity(self._pools, credentials)

    def route(self, request: Request, query_action: str) -> tuple[str, Any] | None:
        """Operation and door; None where the request is not for Cognito. `query_action`: STS's, where it is one."""
        if (request.method, request.path) == ("POST", "/"):
            if query_action == ASSUME_ROLE_WITH_WEB_IDENTITY:
                return query_action, self._web_identity
            operation = cognito_api.operation_of(request)
            return (operation, self._api) if operation else None
        operation = managed_login.operation_of(request)
        return (operation, self._managed_login) if operation else None

    # What users do.

    def authorize(self, raw_query: str, name: str, *, deny: bool = False) -> str:
        """Signs in at the managed login (or calls it off); see `ManagedLogin.authorize`. Wants the lock."""
        return self._managed_login.authorize(raw_query, name, deny=deny)

    def log_in(self, name: str = "alice", client_id: str = CLIENT_ID) -> PoolTokens:
        """Tokens of a user, as a login of theirs gives them."""
        with self._lock:
            pool, client = self._users.client(client_id)
            user = self._users.user(pool.pool_id, name)
            if user is None:
                raise LookupError(f"nobody in {pool.pool_id} is called {name}")
            return self._users.begin(pool, client, user, tuple(sorted(client.scopes)))

    def external_token(self, issuer: str, audience: str, person: str, claims: Mapping[str, Any] | None = None) -> str:
        """An ID token of another identity provider, such as `https://accounts.google.com`."""
        with self._lock:
            return self._pools.external_token(issuer, audience, person, claims or {})

    def code_sent_to(self, name: str) -> str:
        """The last SMS or e-mail code. Raises KeyError where none was sent."""
        with self._lock:
            return self._sign_in.sent[name]

    def totp(self, name: str, user_pool_id: str = USER_POOL_ID) -> str:
        """What a user's authenticator shows now. Raises LookupError where they have none."""
        with self._lock:
            user = self._users.user(user_pool_id, name)
            if user is None or user.totp_secret is None:
                raise LookupError(f"{name} has no authenticator")
            return totp(user.totp_secret, int(self._clock() // STEP))

    # What administrators do.

    def identity_pool(self, pool_id: str) -> IdentityPool:
        """As it is now; `dataclasses.replace` it and put it back."""
        with self._lock:
            return self._pools.pool(pool_id)

    def put_identity_pool(self, pool: IdentityPool) -> None:
        """Creates an identity pool or changes the one of that id."""
        with self._lock:
            self._pools.put(pool)

    def delete_identity_pool(self, pool_id: str) -> None:
        """With all of its identities."""
        with self._lock:
            self._pools.delete(pool_id)

    def identities(self) -> list[str]:
        """The ids of all there are, in the order in which they came."""
        with self._lock:
            return list(self._pools.identities)

    def delete_identity(self, identity_id: str) -> None:
        """Whoever comes with it is told that there is none."""
        with self._lock:
            del self._pools.identities[identity_id]

    def put_role(self, role: WebRole) -> None:
        """Creates an IAM role or changes the one of that ARN."""
        with self._lock:
            self._pools.roles[role.arn] = role

    def delete_role(self, arn: str) -> None:
        """Nobody can have it any more."""
        with self._lock:
            del self._pools.roles[arn]

    def user_pool(self, pool_id: str = USER_POOL_ID) -> UserPool:
        """As it is now."""
        with self._lock:
            return self._users.pool(pool_id)

    def client(self, client_id: str = CLIENT_ID) -> AppClient:
        """As it is now; `dataclasses.replace` it and put it back."""
        with self._lock:
            return self._users.client(client_id)[1]

    def put_user_pool(self, pool: UserPool) -> None:
        """Creates a user pool or changes the one of that id."""
        with self._lock:
            self._users.put(pool)

    def user(self, name: str, user_pool_id: str = USER_POOL_ID) -> PoolUser:
        """Raises LookupError."""
        with self._lock:
            found = self._users.user(user_pool_id, name)
        if found is None:
            raise LookupError(f"nobody in {user_pool_id} is called {name}")
        return found

    def put_user(self, user: PoolUser, user_pool_id: str = USER_POOL_ID) -> None:
        """Adds a user or changes the one of that name."""
        with self._lock:
            self._users.put_user(user_pool_id, user)

    def delete_user(self, name: str, user_pool_id: str = USER_POOL_ID) -> None:
        """With all of their sessions."""
        with self._lock:
            self._users.delete_user(user_pool_id, name)

    def sign_out(self, name: str = "alice", user_pool_id: str = USER_POOL_ID) -> None:
        """Ends every session of a user, as AdminUserGlobalSignOut does."""
        with self._lock:
            self._users.end_all(user_pool_id, name)

    def put_client(self, client: AppClient, user_pool_id: str = USER_POOL_ID) -> None:
        """Adds an app client or changes the one of that id."""
        with self._lock:
            self._users.put_client(user_pool_id, client)
