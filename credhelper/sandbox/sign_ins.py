"""Sign-in sessions and their tokens: one approval begins a session, its tokens live and die with it."""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.lifetimes import Lifetimes


@dataclass
class SignIn:
    """A person's yes to a client. Ends at `ends_at` or when somebody logs out."""

    person: str
    client_id: str
    scopes: tuple[str, ...]
    ends_at: float
    ended: bool = False


@dataclass(frozen=True)
class Tokens:
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(repr=False)


@dataclass(frozen=True)
class _AccessToken:
    sign_in: SignIn
    expires_at: float


class SignIns:
    def __init__(self, clock: Callable[[], float], lifetimes: Lifetimes) -> None:
        self._clock = clock
        self._lifetimes = lifetimes
        self._sign_ins: list[SignIn] = []
        self._access_tokens: dict[str, _AccessToken] = {}
        self._refresh_tokens: dict[str, SignIn] = {}
        self.rotate = True
        """Off: a refresh answers without a refresh token and the old one stays good (RFC 6749, section 6)."""

    def begin(self, person: str, client_id: str, scopes: tuple[str, ...]) -> SignIn:
        sign_in = SignIn(person, client_id, scopes, self._clock() + self._lifetimes.sign_in_session)
        self._sign_ins.append(sign_in)
        return sign_in

    def issue(self, sign_in: SignIn, *, with_refresh_token: bool) -> Tokens:
        """New tokens; an access token never outlives its session."""
        if not self._is_going_on(sign_in):
            raise ApiError("InvalidGrantException", "The sign-in session has ended.")
        now = self._clock()
        expires_in = math.floor(min(self._lifetimes.access_token, sign_in.ends_at - now))
        access_token = "aoa" + secrets.token_urlsafe(48)
        self._access_tokens[access_token] = _AccessToken(sign_in, now + expires_in)
        refresh_token = None
        if with_refresh_token:
            refresh_token = "aor" + secrets.token_urlsafe(48)
            self._refresh_tokens[refresh_token] = sign_in
        return Tokens(access_token, expires_in, refresh_token)

    def refresh(self, refresh_token: str, client_id: str, scopes: list[str] | None) -> Tokens:
        """A refresh token works once, for the client it was made for; the answer holds its successor."""
        sign_in = self._refresh_tokens.get(refresh_token)
        if sign_in is None or sign_in.client_id != client_id:
            raise ApiError("InvalidGrantException", "The refresh token is unknown, used or revoked.")
        if not set(scopes or ()) <= set(sign_in.scopes):
            raise ApiError("InvalidScopeException", "A refresh cannot add scopes.")
        tokens = self.issue(sign_in, with_refresh_token=self.rotate)
        if self.rotate:
            del self._refresh_tokens[refresh_token]
        return tokens

    def bearer(self, access_token: str) -> SignIn:
        """The session behind a bearer token of the portal."""
        token = self._access_tokens.get(access_token)
        if token is None or self._clock() >= token.expires_at or not self._is_going_on(token.sign_in):
            raise ApiError("UnauthorizedException", "Session token not found or invalid")
        return token.sign_in

    def revoke(self, token: str) -> None:
        """Forget one access or refresh token; its siblings stay."""
        self._refresh_tokens.pop(token, None)
        self._access_tokens.pop(token, None)

    def revoke_access_tokens(self, person: str) -> None:
        self._access_tokens = {
            value: token for value, token in self._access_tokens.items() if token.sign_in.person != person
        }

    def revoke_refresh_tokens(self, person: str) -> None:
        self._refresh_tokens = {
            value: sign_in for value, sign_in in self._refresh_tokens.items() if sign_in.person != person
        }

    def end_all(self, person: str) -> None:
        for sign_in in self._sign_ins:
            if sign_in.person == person:
                sign_in.ended = True

    def _is_going_on(self, sign_in: SignIn) -> bool:
        return not sign_in.ended and sign_in.ends_at - self._clock() >= 1
