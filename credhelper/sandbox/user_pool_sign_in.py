"""Signing in to a user pool without a browser: USER_SRP_AUTH and what it may ask after the password.

The order of the challenges was checked against documentation, not against the service.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from credhelper.sandbox import secure_remote_password as srp
from credhelper.sandbox.cognito_directory import AppClient, PoolUser, UserPool
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.mfa import STEP, totp
from credhelper.sandbox.user_pool_sessions import PoolTokens, UserPools

_Json = Mapping[str, Any]

_SCOPES = ("aws.cognito.signin.user.admin",)
_WRONG = "Incorrect username or password."
_CODES = {"totp": "SOFTWARE_TOKEN_MFA", "sms": "SMS_MFA", "email": "EMAIL_OTP"}
_SESSION_SECONDS = 180
_DAY, _MONTH = "Mon|Tue|Wed|Thu|Fri|Sat|Sun", "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_TIMESTAMP = re.compile(rf"(?:{_DAY}) (?:{_MONTH}) [1-9][0-9]? [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} UTC [0-9]{{4}}")
"""English, whatever the client's locale, and no zero before the day."""


@dataclass(frozen=True)
class _Waiting:
    """A challenge that was put and waits for its response."""

    challenge: str
    pool: UserPool
    client: AppClient
    user: PoolUser
    until: float
    exchange: srp.Exchange | None = field(default=None, repr=False)
    code: str = field(default="", repr=False)


class SignIn:
    """InitiateAuth and RespondToAuthChallenge."""

    def __init__(
        self, clock: Callable[[], float], users: UserPools, result: Callable[[PoolTokens], dict[str, Any]]
    ) -> None:
        self._clock = clock
        self._users = users
        self._result = result
        self._waiting: dict[str, _Waiting] = {}
        self._by_user: dict[str, _Waiting] = {}
        """Without a session in between: PASSWORD_VERIFIER, by secret block."""
        self.sent: dict[str, str] = {}
        """The last code that was sent to a user's telephone or mailbox."""

    def initiate(self, given: _Json) -> _Json:
        """Only the flow in which the password does not travel."""
        pool, client = self._users.client(given["ClientId"])
        parameters = given.get("AuthParameters", {})
        if given["AuthFlow"] != "USER_SRP_AUTH":
            raise ApiError("InvalidParameterException", f"{given['AuthFlow']} flow not enabled for this client")
        name = parameters.get("USERNAME", "")
        _check_secret_hash(client, name, parameters)
        user = self._users.user(pool.pool_id, name)
        if user is None:
            raise ApiError("UserNotFoundException", "User does not exist.")
        try:
            exchange = srp.begin(_name(pool), user.sub, user.password, int(parameters.get("SRP_A", ""), 16))
        except ValueError as error:
            raise ApiError("InvalidParameterException", "SRP_A is no number that can be used.") from error
        block = base64.b64encode(exchange.secret_block).decode("ascii")
        until = self._clock() + _SESSION_SECONDS
        self._by_user[block] = _Waiting("PASSWORD_VERIFIER", pool, client, user, until, exchange)
        return {
            "ChallengeName": "PASSWORD_VERIFIER",
            "ChallengeParameters": {
                "SALT": f"{exchange.salt:x}",
                "SRP_B": f"{exchange.public:x}",
                "SECRET_BLOCK": block,
                "USERNAME": user.name,
                "USER_ID_FOR_SRP": user.sub,
            },
        }

    def respond(self, given: _Json) -> _Json:
        """The next challenge, or tokens."""
        responses = given.get("ChallengeResponses", {})
        waiting = self._find(given, responses)
        if waiting is None or waiting.client.client_id != given["ClientId"] or self._clock() >= waiting.until:
            raise ApiError("NotAuthorizedException", "Invalid session for the user, session is expired.")
        name = responses.get("USERNAME", "")
        if name not in {waiting.user.name, waiting.user.sub}:
            raise ApiError("NotAuthorizedException", _WRONG)
        _check_secret_hash(waiting.client, name, responses)
        match waiting.challenge:
            case "PASSWORD_VERIFIER":
                _check_password(waiting, responses)
            case "NEW_PASSWORD_REQUIRED":
                return self._change_password(waiting, responses.get("NEW_PASSWORD", ""))
            case challenge:
                self._check_code(given, waiting, responses.get(f"{challenge}_CODE", ""))
                return self._done(waiting)
        return self._after_password(waiting)

    def _find(self, given: _Json, responses: Mapping[str, str]) -> _Waiting | None:
        if given["ChallengeName"] == "PASSWORD_VERIFIER":
            return self._by_user.pop(responses.get("PASSWORD_CLAIM_SECRET_BLOCK", ""), None)
        waiting = self._waiting.get(given.get("Session", ""))
        return waiting if waiting is not None and waiting.challenge == given["ChallengeName"] else None

    def _after_password(self, waiting: _Waiting) -> _Json:
        if waiting.user.must_change_password:
            return self._ask(waiting, "NEW_PASSWORD_REQUIRED", {"requiredAttributes": "[]", "userAttributes": "{}"})
        if waiting.user.second is None:
            return self._done(waiting)
        if waiting.user.second == "totp":
            return self._ask(waiting, "SOFTWARE_TOKEN_MFA", {"FRIENDLY_DEVICE_NAME": "phone"})
        code = f"{secrets.randbelow(10**6):06}"
        self.sent[waiting.user.name] = code
        medium = {"sms": ("SMS", "+*******1234"), "email": ("EMAIL", "e***@e***")}[waiting.user.second]
        told = {"CODE_DELIVERY_DELIVERY_MEDIUM": medium[0], "CODE_DELIVERY_DESTINATION": medium[1]}
        return self._ask(replace(waiting, code=code), _CODES[waiting.user.second], told)

    def _ask(self, waiting: _Waiting, challenge: str, parameters: Mapping[str, str]) -> _Json:
        session = secrets.token_urlsafe(64)
        until = self._clock() + _SESSION_SECONDS
        self._waiting[session] = replace(waiting, challenge=challenge, until=until)
        return {
            "ChallengeName": challenge,
            "Session": session,
            "ChallengeParameters": {"USER_ID_FOR_SRP": waiting.user.sub, **parameters},
        }

    def _change_password(self, waiting: _Waiting, password: str) -> _Json:
        if len(password) < 8:
            raise ApiError("InvalidPasswordException", "Password did not conform with policy: Password not long enough")
        user = replace(waiting.user, password=password, must_change_password=False)
        self._users.put_user(waiting.pool.pool_id, user)
        return self._done(replace(waiting, user=user))

    def _check_code(self, given: _Json, waiting: _Waiting, code: str) -> None:
        """A wrong code can be followed by another one, under the same session."""
        good = {waiting.code}
        if waiting.challenge == "SOFTWARE_TOKEN_MFA":
            step = int(self._clock() // STEP)
            good = {totp(waiting.user.totp_secret or "", step + each) for each in (-1, 0, 1)}
        if not any(hmac.compare_digest(each.encode(), code.encode()) for each in good):
            raise ApiError("CodeMismatchException", "Invalid code received for user")
        del self._waiting[given["Session"]]

    def _done(self, waiting: _Waiting) -> _Json:
        tokens = self._users.begin(waiting.pool, waiting.client, waiting.user, _SCOPES)
        return {"ChallengeParameters": {}, "AuthenticationResult": self._result(tokens)}


def secret_hash(client: AppClient, name: str) -> str:
    """SECRET_HASH of a client that has a secret."""
    digest = hmac.digest((client.secret or "").encode(), f"{name}{client.client_id}".encode(), "sha256")
    return base64.b64encode(digest).decode("ascii")


def _check_secret_hash(client: AppClient, name: str, parameters: Mapping[str, str]) -> None:
    if client.secret is None:
        return
    if not hmac.compare_digest(secret_hash(client, name).encode(), parameters.get("SECRET_HASH", "").encode()):
        raise ApiError("NotAuthorizedException", f"Unable to verify secret hash for client {client.client_id}")


def _check_password(waiting: _Waiting, responses: Mapping[str, str]) -> None:
    assert waiting.exchange is not None  # noqa: S101 - this challenge always has one
    timestamp = responses.get("TIMESTAMP", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise ApiError("InvalidParameterException", "TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.")
    expected = srp.signature(waiting.exchange, _name(waiting.pool), waiting.user.sub, timestamp)
    try:
        given = base64.b64decode(responses.get("PASSWORD_CLAIM_SIGNATURE", ""), validate=True)
    except binascii.Error:
        given = b""
    if not hmac.compare_digest(expected, given) or waiting.user.disabled:
        raise ApiError("NotAuthorizedException", "User is disabled." if waiting.user.disabled else _WRONG)


def _name(pool: UserPool) -> str:
    return pool.pool_id.partition("_")[2]
