"""The authorization code grant with PKCE (RFC 6749, section 4.1; RFC 7636; RFC 8252 for the redirect URI)."""

import base64
import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.registrations import (
    AUTHORIZATION_CODE,
    Registration,
    Registrations,
    same_loopback_redirect,
)
from credhelper.sandbox.sign_ins import SignIn, SignIns

_CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes, unpadded: RFC 7636, section 4.2
_CODE_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1


class RefusedError(Exception):
    """Nothing says that the redirect URI is the client's: tell the person, never redirect (4.1.2.1)."""


class RedirectedError(Exception):
    """The client made a mistake and hears of it at its redirect URI."""

    def __init__(self, location: str) -> None:
        super().__init__("the authorization request is answered with an error at the redirect URI")
        self.location = location


@dataclass(frozen=True)
class AuthorizationRequest:
    registration: Registration
    redirect_uri: str
    state: str = field(repr=False)
    code_challenge: str = field(repr=False)
    scopes: tuple[str, ...]

    def answer(self, **parameters: str) -> str:
        """The redirect URI with the answer and the client's state; what the browser is sent to."""
        return _with_query(self.redirect_uri, {**parameters, "state": self.state})


@dataclass
class _Code:
    request: AuthorizationRequest
    sign_in: SignIn
    expires_at: float
    used: bool = False


class Authorizations:
    def __init__(
        self,
        clock: Callable[[], float],
        lifetimes: Lifetimes,
        registrations: Registrations,
        sign_ins: SignIns,
    ) -> None:
        self._clock = clock
        self._lifetimes = lifetimes
        self._registrations = registrations
        self._sign_ins = sign_ins
        self._codes: dict[str, _Code] = {}

    def check(self, pairs: list[tuple[str, str]]) -> AuthorizationRequest:
        """Read the query of /authorize. Raises `RefusedError` or `RedirectedError`."""
        repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        if repeated:
            raise RefusedError("A parameter of the request is repeated.")
        given = dict(pairs)
        registration = self._registrations.find(given.get("client_id", ""))
        if registration is None:
            raise RefusedError("The client is unknown, or its registration has expired.")
        redirect_uri = given.get("redirect_uri", "")
        if not any(same_loopback_redirect(uri, redirect_uri) for uri in registration.redirect_uris):
            raise RefusedError("The redirect URI is not one the client registered.")
        scopes = tuple(given["scopes"].split(" ")) if "scopes" in given else registration.granted_scopes
        mistake = _mistake(given, registration, scopes)
        if mistake:
            error, description = mistake
            answer = {"error": error, "error_description": description}
            if given.get("state"):
                answer["state"] = given["state"]
            raise RedirectedError(_with_query(redirect_uri, answer))
        return AuthorizationRequest(registration, redirect_uri, given["state"], given["code_challenge"], scopes)

    def approve(self, request: AuthorizationRequest, person: str) -> str:
        """The redirect location with a fresh code."""
        sign_in = self._sign_ins.begin(person, request.registration.client_id, request.scopes)
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(request, sign_in, self._clock() + self._lifetimes.authorization_code)
        return request.answer(code=code)

    def deny(self, request: AuthorizationRequest) -> str:
        return request.answer(error="access_denied", error_description="The person denied the request.")

    def redeem(self, code: str, registration: Registration, redirect_uri: str, code_verifier: str) -> SignIn:
        """The session behind a code. One attempt is all a code allows, successful or not."""
        if not _CODE_VERIFIER.fullmatch(code_verifier):
            raise ApiError("InvalidRequestException", "The code verifier breaks RFC 7636, section 4.1.")
        found = self._codes.get(code)
        if found is None or found.request.registration is not registration:
            raise ApiError("InvalidGrantException", "The authorization code is unknown.")
        if found.used:
            found.sign_in.ended = True  # it may be in the wrong hands: RFC 6749, section 4.1.2
            raise ApiError("InvalidGrantException", "The authorization code has been used.")
        found.used = True
        if self._clock() >= found.expires_at:
            raise ApiError("InvalidGrantException", "The authorization code has expired.")
        if redirect_uri != found.request.redirect_uri:
            raise ApiError("InvalidGrantException", "The redirect URI is not that of the authorization.")
        if not hmac.compare_digest(_challenge_of(code_verifier), found.request.code_challenge):
            raise ApiError("InvalidGrantException", "The code verifier does not match the code challenge.")
        return found.sign_in


def _mistake(given: dict[str, str], registration: Registration, scopes: tuple[str, ...]) -> tuple[str, str] | None:
    """Error code and description as in RFC 6749, section 4.1.2.1, or None."""
    if given.get("response_type") != "code":
        return "unsupported_response_type", "response_type must be code."
    if not registration.may_use(AUTHORIZATION_CODE):
        return "unauthorized_client", "The client did not register for this grant."
    if not given.get("state"):
        return "invalid_request", "state is missing."
    if given.get("code_challenge_method") != "S256":
        return "invalid_request", "code_challenge_method must be S256."
    if not _CODE_CHALLENGE.fullmatch(given.get("code_challenge", "")):
        return "invalid_request", "code_challenge is not the base64url form of a SHA-256."
    if not set(scopes) <= set(registration.granted_scopes):
        return "invalid_scope", "The client did not register for one of the scopes."
    return None


def _challenge_of(code_verifier: str) -> str:
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _with_query(redirect_uri: str, parameters: dict[str, str]) -> str:
    return f"{redirect_uri}?{urlencode(parameters)}"
