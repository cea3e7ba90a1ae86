"""A user pool's managed login: discovery, keys, the sign-in page, authorization codes with PKCE, the sign-out address.

Unlike Identity Center it knows no loopback redirect with any port: a redirect URI is registered to the letter.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from credhelper.sandbox import json_web_tokens, pages
from credhelper.sandbox.cognito_directory import AppClient, PoolUser, UserPool
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.user_pool_sessions import UserPools

_CODE_SECONDS = 300
_COOKIE_SECONDS = 3600

ROUTES = {
    ("GET", "/oauth2/authorize"): "ManagedLogin",
    ("POST", "/oauth2/authorize"): "ManagedLogin",
    ("POST", "/oauth2/token"): "ManagedToken",
    ("GET", "/logout"): "ManagedLogout",
}
OPERATIONS = frozenset({"OpenIdConfiguration", "JsonWebKeySet", *ROUTES.values()})
_WELL_KNOWN = {"openid-configuration": "OpenIdConfiguration", "jwks.json": "JsonWebKeySet"}


@dataclass(frozen=True)
class _Wanted:
    """An authorization request that was looked at."""

    pool: UserPool
    client: AppClient
    redirect_uri: str
    state: str
    scopes: tuple[str, ...]
    challenge: str
    nonce: str | None


@dataclass(frozen=True)
class _Code:
    wanted: _Wanted
    user: PoolUser = field(repr=False)
    expires_at: float


def operation_of(request: Request) -> str:
    """What a request is for; empty where it is not for us."""
    parts = request.path.split("/")
    if request.method == "GET" and len(parts) == 4 and parts[2] == ".well-known":
        return _WELL_KNOWN.get(parts[3], "")
    return ROUTES.get((request.method, request.path), "")


class ManagedLogin:
    """The door of all of it."""

    def __init__(self, clock: Callable[[], float], users: UserPools, url: str) -> None:
        self._clock = clock
        self._users = users
        self._url = url
        self._codes: dict[str, _Code] = {}
        self._cookies: dict[str, tuple[str, str, float]] = {}
        """Signed-in browsers: pool, user, until when."""

    def perform(self, operation: str, request: Request) -> Answer:
        """Raises ApiError."""
        match operation:
            case "OpenIdConfiguration":
                return _json(self._configuration(self._users.pool(request.path.split("/")[1])))
            case "JsonWebKeySet":
                self._users.pool(request.path.split("/")[1])
                return _json(json_web_tokens.key_set())
            case "ManagedToken":
                return self._exchange(request)
            case "ManagedLogout":
                return self._log_out(request)
        return self._sign_in(request)

    def refuse(self, error: ApiError) -> Answer:
        """OAuth's errors as JSON (RFC 6749, section 5.2); all others as a page."""
        if error.name == "oauth":
            return _json({"error": error.message}, 400)
        if error.name.endswith("Exception"):
            return _json({"message": error.message, "__type": error.name}, error.status or 400)
        return pages.message_page("Something went wrong", error.message, error.status or 400)

    def authorize(self, raw_query: str, name: str, *, deny: bool = False) -> str:
        """Where the browser of somebody who signs in (or, with `deny`, calls it off) is sent to.

        Raises ApiError where they would see an error page, and LookupError for a user who is not there.
        """
        wanted = self._check(raw_query)
        if deny:
            return _location(wanted, {"error": "access_denied", "error_description": "The user said no"})
        user = self._users.user(wanted.pool.pool_id, name)
        if user is None:
            raise LookupError(f"nobody in {wanted.pool.pool_id} is called {name}")
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(wanted, user, self._clock() + _CODE_SECONDS)
        return _location(wanted, {"code": code})

    def _configuration(self, pool: UserPool) -> Mapping[str, object]:
        return {
            "issuer": pool.issuer,
            "authorization_endpoint": f"{self._url}/oauth2/authorize",
            "token_endpoint": f"{self._url}/oauth2/token",
            "end_session_endpoint": f"{self._url}/logout",
            "jwks_uri": f"{self._url}/{pool.pool_id}/.well-known/jwks.json",
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "token"],
            "scopes_supported": ["openid", "email", "phone", "profile"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    def _check(self, raw_query: str) -> _Wanted:
        pairs = parse_qsl(raw_query, keep_blank_values=True)
        given = dict(pairs)
        if len(given) != len(pairs) or given.get("response_type") != "code":
            raise ApiError("InvalidRequest", "Invalid request")
        pool, client = self._users.client(given.get("client_id", ""))
        if given.get("redirect_uri") not in client.callbacks:
            raise ApiError("InvalidRequest", "redirect_mismatch")
        scopes = tuple(given.get("scope", "").split()) or tuple(sorted(client.scopes))
        if not client.scopes.issuperset(scopes) or "openid" not in scopes:
            raise ApiError("InvalidRequest", "invalid_scope")
        if given.get("code_challenge_method") != "S256" or len(given.get("code_challenge", "")) != 43:
            raise ApiError("InvalidRequest", "the sandbox takes PKCE with S256 only")
        return _Wanted(
            pool,
            client,
            given["redirect_uri"],
            given.get("state", ""),
            scopes,
            given["code_challenge"],
            given.get("nonce"),
        )

    def _sign_in(self, request: Request) -> Answer:
        raw_query = request.raw_query if request.method == "GET" else dict(request.form()).get("request", "")
        wanted = self._check(raw_query)
        if request.method == "GET":
            pool_id, name, until = self._cookies.get(_cookie(request), ("", "", 0.0))
            if pool_id == wanted.pool.pool_id and self._clock() < until:
                return pages.redirect(self.authorize(raw_query, name))
            return _page(raw_query, wanted.pool)
        form = dict(request.form())
        user = self._users.user(wanted.pool.pool_id, form.get("username", ""))
        given = form.get("password", "").encode()
        if user is None or user.disabled or not hmac.compare_digest(user.password.encode(), given):
            return _page(raw_query, wanted.pool, wrong=True)
        answer = pages.redirect(self.authorize(raw_query, user.name))
        cookie = secrets.token_urlsafe(24)
        self._cookies[cookie] = (wanted.pool.pool_id, user.name, self._clock() + _COOKIE_SECONDS)
        setting = ("Set-Cookie", f"cognito={cookie}; Path=/; HttpOnly; SameSite=Lax")
        return Answer(answer.status, answer.body, answer.content_type, (*answer.headers, setting))

    def _exchange(self, request: Request) -> Answer:
        given = dict(request.form())
        if given.get("grant_type") != "authorization_code":
            raise ApiError("oauth", "unsupported_grant_type")
        code = self._codes.pop(given.get("code", ""), None)
        if code is None or self._clock() >= code.expires_at:
            raise ApiError("oauth", "invalid_grant")
        wanted = code.wanted
        _check_client(wanted.client, request, given)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        if given.get("redirect_uri") != wanted.redirect_uri or not hmac.compare_digest(challenge, wanted.challenge):
            raise ApiError("oauth", "invalid_grant")
        tokens = self._users.begin(wanted.pool, wanted.client, code.user, wanted.scopes, wanted.nonce)
        return _json(
            {
                "id_token": tokens.id_token,
                "access_token": tokens.access_token,
                "refresh_token": tokens.refresh_token,
                "expires_in": tokens.expires_in,
                "token_type": "Bearer",
            }
        )

    def _log_out(self, request: Request) -> Answer:
        """Forgets the browser, and sends it where it is registered to go."""
        given = dict(request.query)
        _, client = self._users.client(given.get("client_id", ""))
        if given.get("logout_uri") not in client.logout_uris:
            raise ApiError("InvalidRequest", "Required String parameter 'redirect_uri' is not present")
        self._cookies.pop(_cookie(request), None)
        return pages.redirect(given["logout_uri"])


def _check_client(client: AppClient, request: Request, given: Mapping[str, str]) -> None:
    """A client with a secret shows it in the header or in the body."""
    client_id, secret = given.get("client_id"), given.get("client_secret")
    header = request.headers.get("authorization", "")
    if header.startswith("Basic "):
        client_id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
    if client_id != client.client_id or (client.secret is not None and secret != client.secret):
        raise ApiError("oauth", "invalid_client")


def _location(wanted: _Wanted, answer: Mapping[str, str]) -> str:
    return f"{wanted.redirect_uri}?{urlencode({**answer, 'state': wanted.state})}"


def _cookie(request: Request) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get("cognito")
    except CookieError:  # another server on this host has set a strange one
        return ""
    return morsel.value if morsel else ""


def _page(raw_query: str, pool: UserPool, *, wrong: bool = False) -> Answer:
    complaint = '<p class="wrong" role="alert">Incorrect username or password.</p>' if wrong else ""
    hints = "".join(
        f"<li><code>{escape(user.name)}</code> / <code>{escape(user.password)}</code></li>" for user in pool.users
    )
    return pages.page(
        "Sign in to the user pool",
        f"""{complaint}
<form method="post" action="/oauth2/authorize">
<input type="hidden" name="request" value="{escape(raw_query)}">
<label for="username">Username</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<div class="buttons"><button class="main">Sign in</button></div>
</form>
<div class="hint"><p>The users of this sandbox:</p><ul>{hints}</ul></div>""",
        status=403 if wrong else 200,
        brand="Amazon Cognito · sandbox",
    )


def _json(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode(), headers=(("Cache-Control", "no-store"),))
