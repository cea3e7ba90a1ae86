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


@dataclass(frozen=True, slots=True)
class Role:
    """What one asks credentials for: a role in an account, reached through a session."""

    session: SsoSession
    account_id: str
    role_name: str


@dataclass(frozen=True, slots=True)
class ChainedRole:
    """A role that is assumed with another one's credentials (STS AssumeRole), which may be a chained one itself."""

    source: "Role | ChainedRole"
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
    def session(self) -> SsoSession:
        """The session at the bottom of the chain: with its login everything above begins and ends."""
        return self.source.session

    @property
    def account_id(self) -> str:
        """From the ARN, which has been looked at: ``arn:PARTITION:iam::ACCOUNT:role/PATH/NAME``."""
        return self.role_arn.split(":")[4]

    @property
    def role_name(self) -> str:
        """From the ARN, without its path."""
        return self.role_arn.rpartition("/")[2]

    def lasting(self, seconds: int) -> "ChainedRole":
        """The same role, whose credentials live for so many seconds at most."""
        present = ASSUMED_ROLE_SECONDS if self.duration_seconds is None else self.duration_seconds
        return self if present <= seconds else replace(self, duration_seconds=seconds)


AnyRole = Role | ChainedRole


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
