"""The federation endpoint of AWS Sign-In: role credentials for a sign-in token, and that for a page of the console.

As the IAM user guide has it: by GET or POST, the session as JSON with exactly three members, a duration of 900 to
43,200 seconds that credentials from role chaining may not name, tokens that are good for 15 minutes.
"""

import hmac
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from credhelper.sandbox import pages
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.role_credentials import RoleCredentials
from credhelper.sandbox.state import State

GET_SIGNIN_TOKEN = "GetSigninToken"  # noqa: S105  # an operation's name
CONSOLE_LOGIN = "ConsoleLogin"
OPERATIONS = {"getSigninToken": GET_SIGNIN_TOKEN, "login": CONSOLE_LOGIN}
"""What the parameter Action calls them, and CloudTrail."""

TOKEN_SECONDS = 15 * 60
SHORTEST, LONGEST = 900, 43_200  # seconds

_CONSOLE = re.compile(r"https://([a-z0-9-]+\.)*console\.(aws\.amazon\.com|amazonaws[a-z-]*\.(cn|com|eu))(/|$)")
_SESSION = {"sessionId", "sessionKey", "sessionToken"}
_TAKEN = {
    GET_SIGNIN_TOKEN: ({"Action", "Session"}, {"SessionDuration", "SessionType"}),
    CONSOLE_LOGIN: ({"Action", "Destination", "SigninToken"}, {"Issuer"}),
}
"""Parameters that must be there, and those that may."""


@dataclass(frozen=True)
class _SignIn:
    credentials: RoleCredentials = field(repr=False)
    good_until: float
    session_seconds: int | None


class Federation:
    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._sign_ins: dict[str, _SignIn] = {}

    def perform(self, operation: str, request: Request) -> Answer:
        given = _parameters(operation, request)
        if operation == GET_SIGNIN_TOKEN:
            return self._give_token(given)
        return self._log_in(given)

    def refuse(self, error: ApiError) -> Answer:
        """A web page, whatever was asked for, as the real one."""
        return pages.message_page("The request cannot be granted", error.message, error.status or 400)

    def _give_token(self, given: dict[str, str]) -> Answer:
        credentials = self._whose(given["Session"])
        seconds = _duration(given.get("SessionDuration"))
        if seconds is not None and credentials.assumed is not None:
            raise ApiError("InvalidCredentials", "Invalid credentials parameter: role chaining takes no duration.")
        token = secrets.token_urlsafe(300)
        self._sign_ins[token] = _SignIn(credentials, self._clock() + TOKEN_SECONDS, seconds)
        return Answer(200, json.dumps({"SigninToken": token}).encode())

    def _log_in(self, given: dict[str, str]) -> Answer:
        if not _CONSOLE.match(given["Destination"]):
            raise ApiError("InvalidDestination", "The destination is not a page of the console.")
        found = self._sign_ins.pop(given["SigninToken"], None)
        if (
            found is None
            or self._clock() >= found.good_until
            or self._state.credentials.have_expired(found.credentials)
        ):
            raise ApiError("InvalidToken", "The sign-in token is unknown, was used, or has expired.", status=400)
        credentials = found.credentials
        lasts = "with its credentials" if found.session_seconds is None else f"{found.session_seconds} s"
        return pages.message_page(
            "Signed in to the console",
            f"{credentials.arn} · {given['Destination']} · the session ends {lasts}",
        )

    def _whose(self, text: str) -> RoleCredentials:
        try:
            session = json.loads(text)
        except (ValueError, RecursionError):
            session = None
        if not isinstance(session, dict) or set(session) != _SESSION or not _are_texts(session):
            raise ApiError("InvalidSession", "Session is JSON with sessionId, sessionKey and sessionToken.")
        credentials = self._state.credentials.find(session["sessionId"])
        if (
            credentials is None
            or not _same(credentials.secret_access_key, session["sessionKey"])
            or not _same(credentials.session_token, session["sessionToken"])
            or self._state.credentials.have_expired(credentials)
        ):
            raise ApiError("InvalidCredentials", "Invalid credentials parameter.", status=400)
        return credentials


def operation_of(request: Request) -> str:
    """The operation that a request to ``/federation`` names; empty if it names none."""
    return OPERATIONS.get(dict(_pairs(request)).get("Action", ""), "")


def _pairs(request: Request) -> list[tuple[str, str]]:
    return request.form() if request.method == "POST" else request.query


def _parameters(operation: str, request: Request) -> dict[str, str]:
    pairs = _pairs(request)
    required, optional = _TAKEN[operation]
    names = Counter(name for name, _ in pairs)
    if request.method == "POST" and request.raw_query:
        raise ApiError("InvalidParameter", "A POST has its parameters in the body.")
    if set(names) - required - optional or required - set(names) or max(names.values()) > 1:
        raise ApiError("InvalidParameter", f"{operation} takes {', '.join(sorted(required | optional))}, each once.")
    return dict(pairs)


def _duration(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and SHORTEST <= int(text) <= LONGEST):
        raise ApiError("InvalidParameter", f"SessionDuration is {SHORTEST} to {LONGEST}.")
    return int(text)


def _are_texts(session: dict[str, object]) -> bool:
    return all(isinstance(value, str) for value in session.values())


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))
