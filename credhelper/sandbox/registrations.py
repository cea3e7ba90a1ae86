"""Client registrations: who may ask for tokens, and how (RegisterClient; RFC 7591 by another name)."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.lifetimes import Lifetimes

AUTHORIZATION_CODE = "authorization_code"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant
GRANTS = frozenset({AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN})

ACCOUNT_ACCESS = "sso:account:access"
SCOPES = frozenset(
    {
        ACCOUNT_ACCESS,
        "codecatalyst:read_write",
        "codewhisperer:analysis",
        "codewhisperer:completions",
        "codewhisperer:conversations",
        "codewhisperer:taskassist",
        "codewhisperer:transformations",
    }
)
"""The scopes AWS documents for registered clients (Identity Center guide, "access scopes")."""


@dataclass(frozen=True)
class Registration:
    """`grant_types` and `scopes` are None where the client named none: then it is a device."""

    client_id: str
    client_secret: str = field(repr=False)
    name: str
    scopes: tuple[str, ...] | None
    grant_types: frozenset[str] | None
    redirect_uris: tuple[str, ...]
    issued_at: int
    expires_at: int

    def may_use(self, grant: str) -> bool:
        if self.grant_types is None:
            return grant in {DEVICE_CODE, REFRESH_TOKEN}
        return grant in self.grant_types

    @property
    def gets_refresh_tokens(self) -> bool:
        """A client that named its grants gets them if it named that one, any other if it asked for scopes."""
        if self.grant_types is None:
            return ACCOUNT_ACCESS in (self.scopes or ())
        return REFRESH_TOKEN in self.grant_types

    @property
    def granted_scopes(self) -> tuple[str, ...]:
        return (ACCOUNT_ACCESS,) if self.scopes is None else self.scopes


class Registrations:
    def __init__(self, clock: Callable[[], float], lifetimes: Lifetimes) -> None:
        self._clock = clock
        self._lifetimes = lifetimes
        self._by_id: dict[str, Registration] = {}

    def register(
        self,
        name: str,
        client_type: str,
        scopes: list[str] | None,
        grant_types: list[str] | None,
        redirect_uris: list[str] | None,
        has_issuer: bool,
    ) -> Registration:
        if client_type != "public":
            raise ApiError("InvalidClientMetadataException", "The only client type supported is public.")
        if not set(scopes or ()) <= SCOPES:
            raise ApiError("InvalidScopeException", "A requested scope does not exist.")
        if not set(grant_types or ()) <= GRANTS:
            raise ApiError("UnsupportedGrantTypeException", "A requested grant type is not supported.")
        if not all(is_loopback_redirect(uri) for uri in redirect_uris or ()):
            raise ApiError("InvalidRedirectUriException", "A redirect URI must be http://127.0.0.1/<path>.")
        if AUTHORIZATION_CODE in (grant_types or ()):
            if not redirect_uris:
                raise ApiError("InvalidRedirectUriException", "authorization_code needs a redirect URI.")
            if not has_issuer:
                raise ApiError("InvalidRequestException", "authorization_code needs an issuerUrl.")
        issued_at = int(self._clock())
        registration = Registration(
            client_id=secrets.token_urlsafe(16),
            client_secret=secrets.token_urlsafe(48),
            name=name,
            scopes=None if scopes is None else tuple(scopes),
            grant_types=None if grant_types is None else frozenset(grant_types),
            redirect_uris=tuple(redirect_uris or ()),
            issued_at=issued_at,
            expires_at=issued_at + self._lifetimes.registration,
        )
        self._by_id[registration.client_id] = registration
        return registration

    def find(self, client_id: str) -> Registration | None:
        """The registration, unless it has expired."""
        registration = self._by_id.get(client_id)
        if registration is None or self._clock() >= registration.expires_at:
            return None
        return registration

    def authenticate(self, client_id: str, client_secret: str) -> Registration:
        registration = self.find(client_id)
        expected = registration.client_secret if registration else ""
        if registration is None or not hmac.compare_digest(expected.encode(), client_secret.encode()):
            raise ApiError("InvalidClientException", "The client is unknown, expired, or its secret is wrong.")
        return registration

    def forget(self, client_id: str) -> None:
        self._by_id.pop(client_id, None)


def is_loopback_redirect(uri: str) -> bool:
    """A native app's redirect URI: http, the IPv4 loopback literal, just a path (RFC 8252, section 7.3)."""
    return _loopback_path(uri) is not None


def same_loopback_redirect(registered: str, requested: str) -> bool:
    """Equal but for the port, which the operating system chooses anew each time (RFC 8252, section 7.3)."""
    return is_loopback_redirect(requested) and _loopback_path(registered) == _loopback_path(requested)


def _loopback_path(uri: str) -> str | None:
    if not uri.isascii() or not uri.isprintable() or " " in uri:
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    authority = "127.0.0.1" if port is None else f"127.0.0.1:{port}"
    bare = f"http://{authority}{parts.path}"
    return parts.path if uri == bare and parts.path.startswith("/") else None
