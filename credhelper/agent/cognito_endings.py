"""Ending a sign-in at a Cognito user pool: the refresh token is revoked, or the user signed out on every device."""

from datetime import datetime

from credhelper.agent.revocations import AnyEnding
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.user_pools import UserPools
from credhelper.domain.errors import CredhelperError, Refused
from credhelper.domain.model import CognitoLogin, CognitoTokens
from credhelper.local import printed

SECRET_SECONDS = 3.0  # for client_secret_command: a logout waits for nobody

SIGN_OUT_SCOPE = "aws.cognito.signin.user.admin"
TOKEN_NOT_TAKEN = "NotAuthorizedException"  # noqa: S105  # an error's name

_REVOCATION_IS_OFF = {
    "UnsupportedOperationException": "the app client has token revocation switched off (EnableTokenRevocation)",
    "UnsupportedTokenTypeException": "the user pool can revoke no token of this kind",
}


class CognitoEnding(AnyEnding):
    """The sign-in that tokens come from. Thread-safe; shows no secret."""

    def __init__(self, login: CognitoLogin, tokens: CognitoTokens, pools: UserPools, *, is_everywhere: bool) -> None:
        """``is_everywhere``: all of the user's sign-ins are to end, those on other devices too."""
        super().__init__(tokens.refresh_token or tokens.id_token, login.label)
        self._login = login
        self._pools = pools
        self._is_everywhere = is_everywhere
        self._access_token = tokens.access_token
        self._refresh_token = tokens.refresh_token
        self._client_id = tokens.client_id

    def _end(self, _: IdentityCenter, __: datetime) -> None:
        if self._login.user_pool_id is None:
            raise CredhelperError("the token came from token_command, and only whoever issued it can end it")
        secret = self._secret()
        refusal = self._sign_out_everywhere(secret) if self._is_everywhere else None
        if self._refresh_token is not None:
            self._pools.revoke(self._login, self._refresh_token, self._client_id, secret)
        elif not self._is_everywhere:
            raise CredhelperError("the login gave no refresh token: its other tokens end by themselves")
        if refusal is not None:
            raise CredhelperError(
                f"on other devices the sign-in goes on: {refusal} (a login with the scope {SIGN_OUT_SCOPE} can end it)"
            )

    def _sign_out_everywhere(self, secret: str | None) -> str | None:
        """GlobalSignOut; why it is refused, None where it is done."""
        try:
            self._sign_out()
        except Refused as error:
            if error.reason != TOKEN_NOT_TAKEN or self._refresh_token is None:
                return error.message
        else:
            return None
        try:  # the access token may just have expired
            fresh = self._pools.refresh(self._login, self._refresh_token, secret)
            self._access_token = fresh.access_token
            self._refresh_token = fresh.refresh_token or self._refresh_token
            self._sign_out()
        except Refused as error:
            return error.message
        return None

    def _sign_out(self) -> None:
        if self._access_token is None:
            raise Refused("there is no access token", reason=TOKEN_NOT_TAKEN)
        self._pools.sign_out_everywhere(self._login, self._access_token)

    def _secret(self) -> str | None:
        """The app client's, where it has one. Raises CredhelperError."""
        words = self._login.client_secret_command
        what = f"client_secret_command of [cognito_login.{self._login.name}]"
        return printed.of(words, what, seconds=SECRET_SECONDS) if words else None

    def _note_refusal(self, error: Refused, now: datetime) -> None:
        super()._note_refusal(error, now)
        self.error = _REVOCATION_IS_OFF.get(error.reason, error.message)
