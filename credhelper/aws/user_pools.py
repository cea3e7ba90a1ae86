"""The API of Cognito user pools, as blocking unsigned calls that return our values: log in, refresh, end.

No password travels: ``begin_password`` and ``respond`` carry SRP's numbers. Passwords, codes and tokens are arguments
here, and never part of an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from credhelper.aws import srp
from credhelper.aws.answers import part, text
from credhelper.aws.calls import Caller, told
from credhelper.aws.transport import Answer, Refusal, Transport
from credhelper.domain.errors import AccessRefused, ConfigError, LoginRequired, Refused, Unavailable
from credhelper.domain.model import CognitoLogin
from credhelper.domain.text import safe
from credhelper.local.clock import Clock

CALL_DEADLINE = 7.0  # seconds, for all of a call
REVOKE_DEADLINE = 3.0  # seconds: a logout waits for nobody

REUSED = "RefreshTokenReuseException"
"""The refresh token has been rotated: whoever did so has the one that counts."""
OVER = frozenset({"NotAuthorizedException", REUSED, "UserNotFoundException", "PasswordResetRequiredException"})
"""GetTokensFromRefreshToken's errors after which only a new login helps."""
MISTYPED = "CodeMismatchException"
WEAK_PASSWORD = frozenset({"InvalidPasswordException", "PasswordHistoryPolicyViolationException"})

_SENTENCES = {
    "UserNotConfirmedException": "the user has not confirmed the sign-up yet",
    "PasswordResetRequiredException": "an administrator wants the password reset first",
    "UserNotFoundException": "the user name or the password is wrong",
    "ExpiredCodeException": "the code has expired",
    "ForbiddenException": "the user pool's firewall refuses this",
    "UserLambdaValidationException": "a rule of the user pool's own refuses this user",
    "SoftwareTokenMFANotFoundException": "no authenticator app is set up for this user",
    "MFAMethodNotFoundException": "no second factor is set up for this user",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """AuthenticationResult."""

    id_token: str = field(repr=False)
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the user pool wants next before it gives tokens."""

    name: str
    session: str | None = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)


class UserPools(Caller):
    """Thread-safe."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        super().__init__(clock)
        self._transport = transport

    @told("InitiateAuth")
    def begin_password(
        self, login: CognitoLogin, username: str, client: srp.Client, secret: str | None
    ) -> Challenge | Tokens:
        """USER_SRP_AUTH. Raises ConfigError, AccessRefused, UpstreamError."""
        parameters = {"USERNAME": username, "SRP_A": client.srp_a} | _hashed(login, username, secret)
        request = {"AuthFlow": "USER_SRP_AUTH", "ClientId": login.client_id, "AuthParameters": parameters}
        return _outcome(self._call(login, "initiate_auth", request))

    @told("RespondToAuthChallenge")
    def respond(
        self, login: CognitoLogin, challenge: Challenge, username: str, answers: Mapping[str, str], secret: str | None
    ) -> Challenge | Tokens:
        """The answer to a challenge.

        Raises Refused where the person may answer once more (``MISTYPED``, ``WEAK_PASSWORD``), AccessRefused where
        they may not; ConfigError, UpstreamError.
        """
        request = {
            "ClientId": login.client_id,
            "ChallengeName": challenge.name,
            "ChallengeResponses": {"USERNAME": username} | dict(answers) | _hashed(login, username, secret),
        }
        if challenge.session is not None:
            request["Session"] = challenge.session
        return _outcome(self._call(login, "respond_to_auth_challenge", request))

    @told("GetTokensFromRefreshToken")
    def refresh(self, login: CognitoLogin, refresh_token: str, secret: str | None) -> Tokens:
        """New tokens, with rotation a new refresh token among them.

        Raises Refused (see ``OVER``), ConfigError, UpstreamError.
        """
        request = {"RefreshToken": refresh_token, "ClientId": login.client_id}
        if secret is not None:
            request["ClientSecret"] = secret
        answer = self._transport.call(
            "cognito-idp",
            login.region,
            "get_tokens_from_refresh_token",
            request,
            deadline=CALL_DEADLINE,
            meaning=lambda refusal: _client_meaning(login, refusal),
        )
        return _tokens(part(answer, "AuthenticationResult"))

    @told("RevokeToken")
    def revoke(self, login: CognitoLogin, refresh_token: str, client_id: str | None, secret: str | None) -> None:
        """Ends a refresh token and the access tokens that came of it. Raises UpstreamError, ConfigError.

        ``client_id`` is the app client's that it was issued to.
        """
        request = {"Token": refresh_token, "ClientId": client_id or login.client_id}
        if secret is not None:
            request["ClientSecret"] = secret
        self._transport.call("cognito-idp", login.region, "revoke_token", request, deadline=REVOKE_DEADLINE)

    @told("GlobalSignOut")
    def sign_out_everywhere(self, login: CognitoLogin, access_token: str) -> None:
        """Ends every sign-in of the user, on all devices. Raises Refused, UpstreamError, ConfigError.

        The access token has to have the scope ``aws.cognito.signin.user.admin``.
        """
        request = {"AccessToken": access_token}
        self._transport.call("cognito-idp", login.region, "global_sign_out", request, deadline=REVOKE_DEADLINE)

    def _call(self, login: CognitoLogin, operation: str, request: Mapping[str, Any]) -> Answer:
        return self._transport.call(
            "cognito-idp",
            login.region,
            operation,
            request,
            deadline=CALL_DEADLINE,
            meaning=lambda refusal: _meaning(login, refusal),
        )


def _hashed(login: CognitoLogin, username: str, secret: str | None) -> dict[str, str]:
    if secret is None:
        return {}
    return {"SECRET_HASH": srp.secret_hash(username, login.client_id or "", secret)}


def _outcome(answer: Answer) -> Challenge | Tokens:
    if answer.get("ChallengeName"):
        parameters = part(answer, "ChallengeParameters")
        known = {key: value for key, value in parameters.items() if isinstance(value, str)}
        session = answer.get("Session")
        return Challenge(text(answer, "ChallengeName"), session if isinstance(session, str) else None, known)
    return _tokens(part(answer, "AuthenticationResult"))


def _tokens(result: Answer) -> Tokens:
    if result.get("TokenType", "Bearer") != "Bearer":
        raise Unavailable(f"{result.place} gave tokens of a kind that nobody knows")
    access, refresh = result.get("AccessToken"), result.get("RefreshToken")
    return Tokens(
        text(result, "IdToken"),
        access if isinstance(access, str) else None,
        refresh if isinstance(refresh, str) and refresh else None,
    )


def _meaning(login: CognitoLogin, refusal: Refusal) -> Exception | None:
    """What a refusal means while a person logs in; AWS's own sentence is looked at and never repeated."""
    if refusal.reason == MISTYPED or refusal.reason in WEAK_PASSWORD:
        return None
    if refusal.reason == "NotAuthorizedException" and "secret" not in refusal.message.lower():
        if "session" in refusal.message.lower():
            return LoginRequired("the user pool waits no longer: the login took too long")
        if "attempts" in refusal.message.lower():
            return AccessRefused("the user pool takes no more attempts for a while")
        return AccessRefused("the user name or the password is wrong, or the user may not log in")
    sentence = _SENTENCES.get(refusal.reason)
    return _client_meaning(login, refusal) if sentence is None else AccessRefused(sentence)


def _client_meaning(login: CognitoLogin, refusal: Refusal) -> Exception | None:
    """Refusals that are about the app client, and that its table in config.toml can be mended by."""
    words = refusal.message.lower()
    table = f"[cognito_login.{safe(login.name)}]"
    if refusal.reason == "ResourceNotFoundException":
        return ConfigError(
            f"{table} there is no user pool {login.user_pool_id}, or no app client {safe(login.client_id or '')} in it",
            hint="check user_pool_id and client_id in config.toml",
        )
    if "secret" in words or "not configured for secret" in words:
        return ConfigError(
            f"{table} the app client has a secret, and the one of client_secret_command is not it, or missing",
            hint="check client_secret_command in config.toml",
        )
    if refusal.reason == "InvalidParameterException" and "srp" in words:
        return ConfigError(
            f"{table} the app client does not allow ALLOW_USER_SRP_AUTH, which method = “srp” needs",
            hint="allow it for the app client, or use method = “browser”",
        )
    if refusal.reason in {"OperationNotEnabledException", "UnsupportedOperationException"}:
        return Refused("the user pool does not offer this operation", reason=refusal.reason)
    return None
