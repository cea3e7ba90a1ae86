"""Who and what Amazon Cognito knows here: user pools with their users and app clients, identity pools, their roles."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from credhelper.sandbox.directory import Person

USER_POOL_ID = "us-east-1_Sandbox01"
CLIENT_ID = "1sandboxclient0000000000000"
ROTATING_CLIENT_ID = "2sandboxrotating00000000000"
CONFIDENTIAL_CLIENT_ID = "3sandboxsecret0000000000000"
GUEST_POOL_ID = "us-east-1:11111111-1111-4111-8111-111111111111"
USERS_POOL_ID = "us-east-1:22222222-2222-4222-8222-222222222222"
REDIRECT_PORTS = (8400, 8401)
ACCOUNT_ID = "111122223333"


@dataclass(frozen=True)
class PoolUser:
    """A user of a user pool. `second` is what is asked for after the password: `totp`, `sms`, `email` or nothing."""

    name: str
    password: str = field(repr=False)
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """ARNs, as groups bring them: the claim `cognito:roles`."""
    preferred_role: str | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    """More claims of the ID token, such as `custom:department`."""
    second: str | None = None
    totp_secret: str | None = field(default=None, repr=False)
    must_change_password: bool = False
    disabled: bool = False

    @property
    def sub(self) -> str:
        """Their lasting id in the user pool."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.users.example.com"))


@dataclass(frozen=True)
class AppClient:
    """An app client of a user pool. Lifetimes in seconds."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    callbacks: frozenset[str] = field(
        default_factory=lambda: frozenset(f"http://127.0.0.1:{port}/callback" for port in REDIRECT_PORTS)
    )
    """Redirect URIs, each to the letter: a user pool knows no loopback with any port."""
    logout_uris: frozenset[str] = frozenset({"http://127.0.0.1/signed-out"})
    scopes: frozenset[str] = frozenset({"openid", "email", "profile", "aws.cognito.signin.user.admin"})
    rotates: bool = False
    rotation_grace: int = 0
    """How long a refresh token that was replaced goes on working: 0 to 60."""
    token_seconds: int = 3600
    """Of ID and access tokens."""
    refresh_seconds: int = 30 * 24 * 3600


@dataclass(frozen=True)
class UserPool:
    """Users and the clients they sign in with."""

    pool_id: str
    """`us-east-1_Sandbox01`."""
    users: tuple[PoolUser, ...]
    clients: tuple[AppClient, ...]

    @property
    def region(self) -> str:
        """From the id."""
        return self.pool_id.partition("_")[0]

    @property
    def provider(self) -> str:
        """The key of a Logins map."""
        return f"cognito-idp.{self.region}.amazonaws.com/{self.pool_id}"

    @property
    def issuer(self) -> str:
        """The claim `iss`."""
        return f"https://{self.provider}"


@dataclass(frozen=True)
class WebRole:
    """An IAM role that identity pools may use: its trust policy's `aud` and `amr`, and what it says of time."""

    account_id: str
    name: str
    pools: frozenset[str]
    who: str | None = None
    """`authenticated`, `unauthenticated`, or None without an amr condition."""
    max_session_seconds: int = 3600
    path: str = "/"

    @property
    def arn(self) -> str:
        """`arn:aws:iam::ACCOUNT:role/PATH/NAME`."""
        return f"arn:aws:iam::{self.account_id}:role{self.path}{self.name}"


@dataclass(frozen=True)
class Rule:
    """One rule of a mapping: `Equals`, `NotEqual`, `Contains` or `StartsWith`."""

    claim: str
    match: str
    value: str
    role_arn: str


@dataclass(frozen=True)
class RoleMapping:
    """How a provider's users get their role: by `Token` or by `Rules`."""

    kind: str
    ambiguous: str = "AuthenticatedRole"
    """Or `Deny`: what happens where none fits."""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class IdentityPool:
    """An identity pool. `providers`: by key of the Logins map, the audiences (app client ids) that it takes."""

    pool_id: str
    guests: bool = True
    classic: bool = False
    providers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    checks_server_side: frozenset[str] = frozenset()
    """Providers whose tokens are asked after at the user pool: a signed-out user's are refused."""
    guest_role: str | None = None
    authenticated_role: str | None = None
    mappings: Mapping[str, RoleMapping] = field(default_factory=dict)
    """By `provider:clientId`, or by the plain provider where it is no user pool."""
    account_id: str = ACCOUNT_ID

    @property
    def region(self) -> str:
        """From the id."""
        return self.pool_id.partition(":")[0]


@dataclass(frozen=True)
class CognitoDirectory:
    """All of it."""

    user_pools: tuple[UserPool, ...]
    identity_pools: tuple[IdentityPool, ...]
    roles: tuple[WebRole, ...]


def default_cognito(people: tuple[Person, ...]) -> CognitoDirectory:
    """One user pool with the directory's people, one identity pool for guests and one for users.

    `GUEST_POOL_ID` has guests only and both flows; `USERS_POOL_ID` takes the user pool's users and guests, enhanced
    flow only. Beside the people: carol (TOTP), dave (a first password that must be changed), erin (SMS).
    """
    users = tuple(
        PoolUser(person.name, person.password, claims={"email": f"{person.name}@example.com"}) for person in people
    )
    others = (
        PoolUser("carol", "correct-horse", second="totp", totp_secret="MFZWC3TENBQXEZDD"),  # noqa: S106 - gives itself away
        PoolUser("dave", "first-password", must_change_password=True),
        PoolUser("erin", "correct-horse", second="sms"),
    )
    clients = (
        AppClient(CLIENT_ID),
        AppClient(ROTATING_CLIENT_ID, rotates=True),
        AppClient(CONFIDENTIAL_CLIENT_ID, secret="sandbox-client-secret-of-one"),  # noqa: S106
    )
    pool = UserPool(USER_POOL_ID, users + others, clients)
    audiences = frozenset(client.client_id for client in clients)
    both = frozenset({GUEST_POOL_ID, USERS_POOL_ID})
    guest = WebRole(ACCOUNT_ID, "SandboxGuest", both, "unauthenticated")
    user = WebRole(ACCOUNT_ID, "SandboxUser", both, "authenticated")
    editor = WebRole(ACCOUNT_ID, "SandboxEditor", both, "authenticated", max_session_seconds=12 * 3600)
    return CognitoDirectory(
        user_pools=(pool,),
        identity_pools=(
            IdentityPool(GUEST_POOL_ID, classic=True, guest_role=guest.arn),
            IdentityPool(
                USERS_POOL_ID,
                providers={pool.provider: audiences},
                guest_role=guest.arn,
                authenticated_role=user.arn,
            ),
        ),
        roles=(guest, user, editor),
    )
