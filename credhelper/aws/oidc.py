"""The managed login of a Cognito user pool: OpenID Connect discovery, the code's exchange, and ID tokens verified.

Blocking calls through ``transport``. Nothing of a discovery document is believed before it was looked at: a token may
only be sent where it says if that is https, or does not leave this machine; and the issuer must be the user pool's own.
"""

import base64
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from credhelper.aws.transport import Answer, Refusal, Transport
from credhelper.domain import jwt
from credhelper.domain.errors import ConfigError, LoginRequired, Unavailable
from credhelper.domain.jwt import Jwt, MalformedToken
from credhelper.domain.model import CognitoLogin
from credhelper.domain.oauth import Proof
from credhelper.domain.text import safe
from credhelper.domain.urls import is_fit_to_show, is_https_or_loopback

CALLBACK_PATH = "/callback"
"""Of the redirect URIs that are registered with an app client."""

CALL_DEADLINE = 7.0  # seconds, for all of a call
MOST_KEYS = 64  # of a JWKS; user pools have two
LEAST_KEY_BITS, LARGEST_KEY_BITS = 2048, 8192
LEEWAY = timedelta(minutes=5)
"""By how much the clock of whoever issued a token may be ahead of ours."""

FORGOTTEN_CLIENT = frozenset({"invalid_client", "unauthorized_client"})


class UntrustedToken(Exception):
    """An ID token that is not what this login may take; says why, never what it contained."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What a user pool's discovery document says, looked at."""

    authorization_endpoint: str
    token_endpoint: str


@dataclass(frozen=True, slots=True)
class Issued:
    """The token endpoint's answer."""

    tokens: Answer

    def text(self, name: str) -> str | None:
        """A member that is text; None where there is none."""
        found = self.tokens.get(name)
        return found if isinstance(found, str) and found else None


class Oidc:
    """The OpenID Connect endpoints of user pools. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def provider(self, login: CognitoLogin) -> Provider:
        """Where the user pool's managed login is. Raises ConfigError where it has none, and as ``Transport.json``."""
        if login.domain is not None:
            return Provider(f"{login.domain}/oauth2/authorize", f"{login.domain}/oauth2/token")
        address = f"{self._base(login)}/.well-known/openid-configuration"
        found = self._transport.json(address, login.region, deadline=CALL_DEADLINE, meaning=_no_user_pool)
        if found.get("issuer") not in self._issuers(login):
            raise Unavailable(f"{found.place} speaks for another issuer than the user pool {login.user_pool_id}")
        if not found.get("authorization_endpoint"):
            raise ConfigError(
                f"the user pool {login.user_pool_id} has no domain, and so no page to log in at:"
                f" [cognito_login.{safe(login.name)}] method = “browser” needs one",
                hint="give the user pool a domain, or set domain in the table, or use another method",
            )
        return Provider(_address(found, "authorization_endpoint"), _address(found, "token_endpoint"))

    def exchange(
        self, provider: Provider, login: CognitoLogin, *, code: str, redirect_uri: str, proof: Proof, secret: str | None
    ) -> Issued:
        """The tokens for a code (RFC 6749 section 4.1.3). Raises as ``Transport.json``; LoginRequired for a code
        that is not taken.
        """
        form = {
            "grant_type": "authorization_code",
            "client_id": login.client_id or "",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": proof.code_verifier,
        }
        headers = {}
        if secret is not None:
            pair = f"{quote(login.client_id or '', safe='')}:{quote(secret, safe='')}"  # RFC 6749 section 2.3.1
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return Issued(
            self._transport.json(
                provider.token_endpoint,
                login.region,
                deadline=CALL_DEADLINE,
                form=form,
                headers=headers,
                meaning=lambda refusal: _exchange_meaning(login, refusal),
            )
        )

    def verify(self, login: CognitoLogin, id_token: str, now: datetime, *, nonce: str | None = None) -> Jwt:
        """An ID token that is the user pool's own and for this login: signature and claims.

        Raises UntrustedToken, and as ``Transport.json`` where the keys cannot be had.
        """
        token = read(id_token)
        # Not what the discovery document says: user pools have their keys here, and who verifies asks nobody else.
        keys = self._transport.json(
            f"{self._base(login)}/.well-known/jwks.json", login.region, deadline=CALL_DEADLINE, meaning=_no_user_pool
        )
        verify_signature(token, keys.get("keys"))
        check_claims(token, login, self._issuers(login), now, nonce=nonce)
        return token

    def check(self, login: CognitoLogin, id_token: str, now: datetime) -> Jwt:
        """The same without the signature, for a token that the user pool's API itself has just sent over TLS.

        (OpenID Connect Core section 3.1.3.7, 6.) Raises UntrustedToken.
        """
        token = read(id_token)
        check_claims(token, login, self._issuers(login), now)
        return token

    def _base(self, login: CognitoLogin) -> str:
        endpoint = self._transport.endpoint("cognito-idp", login.region).rstrip("/")
        return f"{endpoint}/{login.user_pool_id}"

    def _issuers(self, login: CognitoLogin) -> frozenset[str]:
        """The user pool's own; and its address where the daemon's environment has sent us to another one."""
        return frozenset({f"https://{login.provider}", self._base(login)})


def authorize_url(provider: Provider, login: CognitoLogin, redirect_uri: str, proof: Proof, nonce: str) -> str:
    """Where the person's browser goes. Raises Unavailable for an address that nobody may be sent to."""
    query = {
        "response_type": "code",
        "client_id": login.client_id or "",
        "redirect_uri": redirect_uri,
        "scope": " ".join(login.scopes),
        "state": proof.state,
        "nonce": nonce,
        "code_challenge": proof.code_challenge,
        "code_challenge_method": "S256",
    }
    if login.identity_provider:
        query["identity_provider"] = login.identity_provider
    if login.username:
        query["login_hint"] = login.username
    joint = "&" if "?" in provider.authorization_endpoint else "?"
    url = f"{provider.authorization_endpoint}{joint}{urlencode(query, quote_via=quote, safe='')}"
    if not is_fit_to_show(url):
        raise Unavailable(f"the user pool {login.user_pool_id} named a log-in address that nobody may be sent to")
    return url


def read(token: str) -> Jwt:
    """The parts of an ID token. Raises UntrustedToken."""
    try:
        return jwt.read(token)
    except MalformedToken as error:
        raise UntrustedToken(f"it is no token: {error}") from None


def verify_signature(token: Jwt, keys: object) -> None:
    """Whether one of a JWKS' keys has signed it, with RS256 and nothing else (RFC 8725 section 3.1).

    Raises UntrustedToken.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    if token.header.get("alg") != "RS256" or "crit" in token.header:
        raise UntrustedToken("it is not signed with RS256")
    found = _key(keys, token.header.get("kid"))
    try:
        _public_key(found).verify(token.signature, token.signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise UntrustedToken("its signature is not the user pool's") from None
    except (ValueError, MalformedToken):
        raise UntrustedToken("the user pool's key cannot be used") from None


def check_claims(
    token: Jwt, login: CognitoLogin, issuers: Iterable[str], now: datetime, *, nonce: str | None = None
) -> None:
    """Whether it is an ID token for this login, now (OpenID Connect Core section 3.1.3.7). Raises UntrustedToken."""
    if token.issuer not in issuers:
        raise UntrustedToken("it was issued by somebody else")
    if token.audience != (login.client_id,):
        raise UntrustedToken("it is for another app client")
    if token.claims.get("token_use") != "id":
        raise UntrustedToken("it is no ID token")
    if not token.subject:
        raise UntrustedToken("it does not say whose it is")
    if nonce is not None and not hmac.compare_digest(str(token.claims.get("nonce", "")).encode(), nonce.encode()):
        raise UntrustedToken("it belongs to another login")
    try:
        expires_at, issued_at = token.expires_at, jwt.moment(token.claims, "iat")
    except MalformedToken as error:
        raise UntrustedToken(str(error)) from None
    if expires_at is None or expires_at <= now:
        raise UntrustedToken("it has expired; is this machine's clock right?")
    if issued_at is not None and issued_at > now + LEEWAY:
        raise UntrustedToken("it is of the future; is this machine's clock right?")


def _key(keys: object, kid: object) -> dict[str, Any]:
    if not isinstance(keys, list) or len(keys) > MOST_KEYS or not isinstance(kid, str):
        raise UntrustedToken("no key is known for it")
    fit = [key for key in keys if isinstance(key, dict) and key.get("kid") == kid and _may_sign(key)]
    if len(fit) != 1:
        raise UntrustedToken("no key is known for it")
    return fit[0]


def _may_sign(key: dict[str, Any]) -> bool:
    return (
        key.get("kty") == "RSA"
        and key.get("use", "sig") == "sig"
        and key.get("alg", "RS256") == "RS256"
        and isinstance(key.get("n"), str)
        and isinstance(key.get("e"), str)
    )


def _public_key(key: dict[str, Any]) -> Any:
    """Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    modulus, exponent = (int.from_bytes(jwt.decoded(key[name])) for name in ("n", "e"))
    if not LEAST_KEY_BITS <= modulus.bit_length() <= LARGEST_KEY_BITS:
        raise ValueError("a key of that size")
    return RSAPublicNumbers(exponent, modulus).public_key()


def _address(found: Answer, name: str) -> str:
    address = found.get(name)
    if not isinstance(address, str) or not is_https_or_loopback(address):
        raise Unavailable(f"{found.place} names no {name} that a token may be sent to")
    return address


def _no_user_pool(refusal: Refusal) -> Exception | None:
    if refusal.status in {400, 404}:
        return ConfigError("there is no such user pool", hint="check user_pool_id in config.toml")
    return None


def _exchange_meaning(login: CognitoLogin, refusal: Refusal) -> Exception | None:
    if refusal.reason in FORGOTTEN_CLIENT:
        return ConfigError(
            f"[cognito_login.{safe(login.name)}] the user pool does not take client_id {safe(login.client_id or '')}:"
            " it is unknown, or has a secret that is not the one of client_secret_command",
            hint="check client_id and client_secret_command in config.toml",
        )
    if refusal.reason == "invalid_grant":
        return LoginRequired("the user pool no longer takes the code that the browser brought")
    return None
