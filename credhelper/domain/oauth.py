"""The steps of the two logins that are pure rules: RFC 7636 (PKCE), RFC 8252 (loopback redirect), RFC 8628 (device)."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs, quote, urlencode

REDIRECT_URI = "http://127.0.0.1/oauth/callback"
"""What is registered: RFC 8252 section 7.3 lets the port of a loopback redirect vary, so it is left out."""

CALLBACK_PATH = "/oauth/callback"
DEFAULT_SCOPES = ("sso:account:access",)
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
AUTHORIZATION_GRANTS = ("authorization_code", "refresh_token")

SLOW_DOWN_STEP = 5.0
"""Seconds that each slow_down adds to the polling interval (RFC 8628 section 3.5)."""

_VERIFIER_LENGTH = 64  # characters; RFC 7636 section 4.1 allows 43 to 128


@dataclass(frozen=True, slots=True)
class Proof:
    """The PKCE pair of one login, and the state that ties its callback to it."""

    code_verifier: str = field(repr=False)
    state: str = field(repr=False)

    @classmethod
    def new(cls) -> "Proof":
        """A fresh pair from the system's randomness."""
        return cls(secrets.token_urlsafe(_VERIFIER_LENGTH)[:_VERIFIER_LENGTH], secrets.token_urlsafe(32))

    @property
    def code_challenge(self) -> str:
        """BASE64URL(SHA256(verifier)) without padding (RFC 7636 section 4.2, S256)."""
        digest = hashlib.sha256(self.code_verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorize_url(endpoint: str, *, client_id: str, redirect_uri: str, scopes: tuple[str, ...], proof: Proof) -> str:
    """Where the person's browser goes; parameters and their order as the AWS CLI sends them (``scopes`` is plural)."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": proof.state,
        "code_challenge_method": "S256",
        "scopes": " ".join(scopes),
        "code_challenge": proof.code_challenge,
    }
    return f"{endpoint.rstrip('/')}/authorize?{urlencode(query, quote_via=quote, safe='')}"


@dataclass(frozen=True, slots=True)
class Callback:
    """What came back to the redirect URI: a code, or the error the authorization server named (RFC 6749 4.1.2)."""

    code: str | None = field(default=None, repr=False)
    error: str | None = None


def read_callback(query: str, state: str) -> Callback | None:
    """The callback in a query string, or None when it is not ours: anyone on this machine can call the port.

    Only an answer that carries our ``state`` counts, an error included.
    """
    parameters = parse_qs(query, keep_blank_values=True)
    values = {key: found[0] for key, found in parameters.items() if len(found) == 1}
    if not hmac.compare_digest(values.get("state", "").encode(), state.encode()):
        return None
    if "error" in values:
        return Callback(error=values["error"])
    return Callback(code=values["code"]) if values.get("code") else None


class Poll(Enum):
    """What to do after a polling answer."""

    AGAIN = "again"
    SLOWER = "slower"
    DENIED = "denied"
    TOO_LATE = "too late"
    FAILED = "failed"


def after_poll(reason: str) -> Poll:
    """The meaning of CreateToken's error while a person decides (RFC 8628 section 3.5, in AWS's exception names)."""
    return {
        "AuthorizationPendingException": Poll.AGAIN,
        "SlowDownException": Poll.SLOWER,
        "AccessDeniedException": Poll.DENIED,
        "ExpiredTokenException": Poll.TOO_LATE,
    }.get(reason, Poll.FAILED)
