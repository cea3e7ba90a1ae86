"""The values credhelper works with. Secrets do not show in a ``repr``; datetimes are aware and in UTC."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

ASSUMED_ROLE_SECONDS = 3600
"""How long AssumeRole's credentials live when nothing is asked for, and at most with another role's credentials."""


class Flow(StrEnum):
    """The two ways to log in (RFC 6749 section 4.1 with RFC 7636, and RFC 8628)."""

    AUTHORIZATION_CODE = "authorization_code"
    DEVICE_CODE = "device_code"


class Door(StrEnum):
    """How credentials leave the daemon; the audit calls it so."""

    GET = "get"
    EXPORT = "export"
    EXEC = "exec"
    CONSOLE = "console"
    WHOAMI = "whoami"
    CONTAINER = "container"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class SsoSession:
    """An ``[sso-session]`` section, or with ``name`` None the four ``sso_*`` keys of a legacy profile."""

    name: str | None
    start_url: str
    region: str
    scopes: tuple[str, ...] | None = None

    @property
    def cache_key(self) -> str:
        """What AWS's tools hash into the token file's name."""
        return self.start_url if self.name is None else self.name

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.cache_key


class LoginMethod(StrEnum):
    """How a ``[cognito_login.NAME]`` gets its tokens."""

    BROWSER = "browser"
    """The user pool's managed login: authorization code with PKCE."""
    SRP = "srp"
    """A password typed on a terminal, which itself never travels (USER_SRP_AUTH)."""
    COMMAND = "command"
    """A program that prints a token of whatever identity provider."""


class PoolFlow(StrEnum):
    """The two ways from an identity to credentials."""

    ENHANCED = "enhanced"
    """GetCredentialsForIdentity: the pool chooses the role."""
    BASIC = "basic"
    """GetOpenIdToken and AssumeRoleWithWebIdentity: the profile names the role."""


@dataclass(frozen=True, slots=True)
class CognitoLogin:
    """A ``[cognito_login.NAME]`` table of ``config.toml``: how users of identity pools sign in."""

    name: str
    method: LoginMethod
    provider: str
    """The key of the Logins map, such as ``cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123``."""
    user_pool_id: str | None = None
    """None with COMMAND only, as ``client_id``."""
    client_id: str | None = None
    redirect_ports: tuple[int, ...] = ()
    """On 127.0.0.1, the first that is free; each is registered as ``http://127.0.0.1:PORT/callback``."""
    scopes: tuple[str, ...] = ()
    domain: str | None = None
    """The managed login's address without a path, where it is not the one that discovery tells."""
    identity_provider: str | None = None
    """Which of the user pool's own providers the browser is sent to at once."""
    username: str | None = None
    token_command: tuple[str, ...] = field(default=(), repr=False)
    """A program and its arguments."""
    client_secret_command: tuple[str, ...] = field(default=(), repr=False)

    def __hash__(self) -> int:
        """Of what tells nearly all of them apart: the daemon looks for them often."""
        return hash((self.name, self.provider, self.client_id))

    @property
    def cache_key(self) -> str:
        """What tells it from every other way to sign in."""
        return f"cognito-login {self.name}"

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.name

    @property
    def region(self) -> str:
        """The user pool's, which its id begins with; "" where there is no user pool."""
        return (self.user_pool_id or "").rpartition("_")[0]


@dataclass(frozen=True, slots=True)
class Guests:
    """An identity pool's unauthenticated identities: nobody logs in, and nothing ends."""

    pool_id: str

    @property
    def cache_key(self) -> str:
        """What tells them from every other way to sign in."""
        return f"guests {self.pool_id}"

    @property
    def label(self) -> str:
        """What a person calls them."""
        return self.cache_key

    @property
    def region(self) -> str:
        """The pool's, which its id begins with."""
        return self.pool_id.partition(":")[0]


SignInSource = SsoSession | CognitoLogin | Guests
"""What credentials begin and end with."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one asks credentials for: a role in an account, reached through a session."""

    session: SsoSession
    account_id: str
    role_name: str


@dataclass(frozen=True, slots=True)
class ChainedRole:
    """A role that is assumed with another one's credentials (STS AssumeRole), which may be a chained one itself."""

    source: "Role | PoolRole | ChainedRole"
    role_arn: str
    region: str
    """Whose STS is asked."""
    duration_seconds: int | None = None
    role_session_name: str | None = None
    external_id: str | None = None
    source_identity: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    transitive_tag_keys: tuple[str, ...] = ()
    mfa_serial: str | None = None

    @property
    def session(self) -> SignInSource:
        """The session at the bottom of the chain: with its login everything above begins and ends."""
        return self.source.session

    @property
    def account_id(self) -> str:
        """From the ARN, which has been looked at: ``arn:PARTITION:iam::ACCOUNT:role/PATH/NAME``."""
        return account_of(self.role_arn)

    @property
    def role_name(self) -> str:
        """From the ARN, without its path."""
        return role_name_of(self.role_arn)

    def lasting(self, seconds: int) -> "ChainedRole":
        """The same role, whose credentials live for so many seconds at most."""
        present = ASSUMED_ROLE_SECONDS if self.duration_seconds is None else self.duration_seconds
        return self if present <= seconds else replace(self, duration_seconds=seconds)


@dataclass(frozen=True, slots=True)
class PoolRole:
    """A role that a Cognito identity pool gives to who signs in with ``login``, or to its guests.

    With the enhanced flow the pool chooses it, unless ``custom_role_arn`` does; with the basic flow ``role_arn`` does,
    and all that follows that belongs to the basic flow alone.
    """

    pool_id: str
    """``REGION:GUID``."""
    login: CognitoLogin | Guests
    flow: PoolFlow = PoolFlow.ENHANCED
    custom_role_arn: str | None = None
    role_arn: str | None = None
    duration_seconds: int | None = None
    session_policy: str | None = None
    """A policy document as JSON without white space."""
    session_policy_arns: tuple[str, ...] = ()
    scope_down: bool = False
    """Whether what Cognito lets guests do at most in the enhanced flow bounds these credentials too."""
    given: tuple[str, str] = field(default=("", ""), compare=False)
    """Account and role of what was given for it the last time, where only the pool knows. No part of its identity."""

    def __hash__(self) -> int:
        """Of what tells nearly all of them apart: each request looks for its role in several tables."""
        return hash((self.pool_id, self.login.cache_key, self.role_arn, self.custom_role_arn, self.session_policy))

    @property
    def session(self) -> CognitoLogin | Guests:
        """What it begins and ends with, as of any role."""
        return self.login

    @property
    def is_guest(self) -> bool:
        """Whether nobody signs in for it."""
        return isinstance(self.login, Guests)

    @property
    def region(self) -> str:
        """The pool's, whose Cognito and STS are asked."""
        return self.pool_id.partition(":")[0]

    @property
    def named_arn(self) -> str | None:
        """The role's ARN where a profile says it; None where only the pool knows."""
        return self.role_arn or self.custom_role_arn

    @property
    def account_id(self) -> str:
        """From the ARN; where only the pool knows, what was given says it, and before that it is ""."""
        return account_of(self.named_arn) if self.named_arn else self.given[0]

    @property
    def role_name(self) -> str:
        """As ``account_id``."""
        return role_name_of(self.named_arn) if self.named_arn else self.given[1]

    def as_given(self, account_id: str, role_name: str) -> "PoolRole":
        """The same role, with what its credentials turned out to be of."""
        is_known = self.named_arn is not None or (account_id, role_name) == self.given
        return self if is_known else replace(self, given=(account_id, role_name))

    def lasting(self, seconds: int) -> "PoolRole":
        """The same role, whose credentials live for so many seconds at most. Only the basic flow lets us choose."""
        present = ASSUMED_ROLE_SECONDS if self.duration_seconds is None else self.duration_seconds
        if self.flow is PoolFlow.ENHANCED or present <= seconds:
            return self
        return replace(self, duration_seconds=seconds)


AnyRole = Role | ChainedRole | PoolRole


def sso_session_name(source: SignInSource) -> str | None:
    """The ``[sso-session]`` it is; None for a legacy profile's, and for what is none of Identity Center's."""
    return source.name if isinstance(source, SsoSession) else None


def cognito_login_name(source: SignInSource) -> str | None:
    """The ``[cognito_login.NAME]`` it is, if it is one."""
    return source.name if isinstance(source, CognitoLogin) else None


def kind_of(role: AnyRole) -> str:
    """Where its credentials come from, as ``status`` says it: "sso", "chained", "cognito"."""
    match role:
        case ChainedRole():
            return "chained"
        case PoolRole():
            return "cognito"
        case _:
            return "sso"


def region_behind(role: AnyRole) -> str:
    """The region of the service that gives its credentials."""
    return role.session.region if isinstance(role, Role) else role.region


def pool_role_behind(role: AnyRole) -> PoolRole | None:
    """The identity pool's role at the bottom of a chain; None where the chain has another one there."""
    while isinstance(role, ChainedRole):
        role = role.source
    return role if isinstance(role, PoolRole) else None


def account_of(role_arn: str) -> str:
    """The account in ``arn:PARTITION:iam::ACCOUNT:role/PATH/NAME``."""
    return role_arn.split(":")[4]


def role_name_of(role_arn: str) -> str:
    """The name in a role's ARN, without its path."""
    return role_arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Registration:
    """What RegisterClient gave: the OAuth client of one session on this machine."""

    client_id: str
    client_secret: str = field(repr=False)
    expires_at: datetime
    scopes: tuple[str, ...] | None = None
    grant_types: tuple[str, ...] = ()

    @property
    def flow(self) -> Flow:
        """The flow it is good for: only an authorization-code registration says so in the file."""
        return Flow.AUTHORIZATION_CODE if "authorization_code" in self.grant_types else Flow.DEVICE_CODE


@dataclass(frozen=True, slots=True)
class Token:
    """A token file: the access token, and what renews it when it can be renewed."""

    access_token: str = field(repr=False)
    expires_at: datetime
    start_url: str | None = None
    region: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    registration_expires_at: datetime | None = None

    def is_refreshable(self, now: datetime) -> bool:
        """Whether it holds all that the refresh_token grant needs."""
        return bool(
            self.refresh_token
            and self.client_id
            and self.client_secret
            and self.registration_expires_at
            and self.registration_expires_at > now
        )


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """CreateToken's answer, its life turned into a moment."""

    access_token: str = field(repr=False)
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CognitoTokens:
    """What a login with a ``CognitoLogin`` gave: the token for the Logins map, and what renews and ends it."""

    id_token: str = field(repr=False)
    """Of a user pool the ID token, which Cognito takes; of a command what it printed."""
    expires_at: datetime
    """The ID token's end."""
    provider: str
    """The key of the Logins map that it goes with."""
    issuer: str
    """Its ``iss``; "" for a token that is no JWT."""
    subject: str
    """Its ``sub``: with the issuer, who it is; "" for a token that is no JWT."""
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    """The app client that they were issued to: another one can neither renew nor revoke them."""


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """StartDeviceAuthorization's answer (RFC 8628 section 3.2); ``interval`` in seconds."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_at: datetime
    interval: float


@dataclass(frozen=True, slots=True)
class RoleCredentials:
    """GetRoleCredentials' answer, with the moment it was obtained."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime
    obtained_at: datetime

    @property
    def lifetime(self) -> timedelta:
        """How long they were good for when they came."""
        return self.expires_at - self.obtained_at
