"""New tokens for a Cognito login without a person: blocking work, in the order that loses no refresh token.

With rotation on, a refresh token is dead once it has been used: so take the lock that all credhelper processes of this
machine share, look at the file again, ask, make the answer durable, and only then use it. A login by a command asks the
command again.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from credhelper.agent.cognito_store import CognitoStore, Stored, UnusableTokens, new_sign_in
from credhelper.aws.oidc import Oidc, UntrustedToken
from credhelper.aws.user_pools import REUSED, UserPools
from credhelper.domain import jwt
from credhelper.domain.errors import Refused
from credhelper.domain.jwt import MalformedToken
from credhelper.domain.model import CognitoLogin, CognitoTokens, LoginMethod
from credhelper.domain.text import safe
from credhelper.local import file_lock, printed
from credhelper.local.clock import Clock

log = logging.getLogger(__name__)

LOCK_PATIENCE = 4.0  # seconds
COMMAND_SECONDS = 6.0  # seconds at a refresh: a caller waits 10 at most
OPAQUE_LIFE = timedelta(minutes=5)
"""For how long a token that is no JWT, and so does not say it, is taken for good before its command is asked again."""

GIVE_JWTS = ("accounts.google.com", "appleid.apple.com", "cognito-idp.")
"""How the names of providers begin whose tokens are always JWTs; Facebook's, Amazon's and SAML's are not."""


@dataclass(slots=True)
class Sources:
    """Whoever gives tokens."""

    pools: UserPools
    oidc: Oidc
    store: CognitoStore
    lock_path: Callable[[str], Path]
    clock: Clock


class Refresh:
    """One refresh across processes; ``known`` is what memory holds, ``was_on_disk`` whether the file should too."""

    def __init__(
        self, sources: Sources, login: CognitoLogin, known: Stored, *, was_on_disk: bool, abandoned: threading.Event
    ) -> None:
        self.is_durable = False
        self.issued: Stored | None = None
        """What was given, whatever became of it then; may be looked at from the event loop while it runs."""
        self.is_under_way = True
        self._sources = sources
        self._login = login
        self._known = known
        self._was_on_disk = was_on_disk
        self._abandoned = abandoned
        self._result: Stored | None = None

    def run(self) -> Stored | None:
        """The renewed tokens, durable unless they cannot be; None where the file holds others, or none, by now.

        Raises Refused, CommandFailed, ConfigError, UpstreamError, LockBusy, UntrustedToken.
        """
        try:
            with locked(self._sources.lock_path(self._login.cache_key), LOCK_PATIENCE):
                self._result = self._refresh()
                return self._result
        finally:
            self.is_under_way = False

    def left_behind(self, known: Stored | None) -> Stored | None:
        """What it brought after it was given up on, if it was to renew ``known``: with rotation all that counts."""
        is_wanted = not (self.is_under_way or self._abandoned.is_set()) and self._known == known
        return self._result if is_wanted else None

    def _refresh(self) -> Stored | None:
        if self._has_changed():
            return None
        try:
            tokens = self._obtain()
        except Refused as error:
            # Rotation: perhaps another process was quicker, without the lock where there can be none.
            if error.reason == REUSED and self._has_changed():
                return None
            raise
        # A command may print another user's by now: what its first one was given must not be taken for theirs.
        is_same_user = _user(tokens) == _user(self._known.tokens)
        self.issued = Stored(tokens, self._known.sign_in if is_same_user else new_sign_in())
        return self._kept(self.issued)

    def _obtain(self) -> CognitoTokens:
        login, known = self._login, self._known.tokens
        now = self._sources.clock.now()
        if login.method is LoginMethod.COMMAND:
            return of_command(
                login, printed.of(login.token_command, token_command(login), seconds=COMMAND_SECONDS), now
            )
        found = self._sources.pools.refresh(login, known.refresh_token or "", client_secret(login))
        token = self._sources.oidc.check(login, found.id_token, now)
        if token.subject != known.subject:  # OpenID Connect Core section 12.2
            raise UntrustedToken("it is another user's")
        assert token.expires_at is not None  # noqa: S101  # it was checked
        return replace(
            known,
            id_token=found.id_token,
            expires_at=token.expires_at,
            access_token=found.access_token,
            # Without rotation there is no new one, and the old one stays.
            refresh_token=found.refresh_token or known.refresh_token,
        )

    def _kept(self, stored: Stored) -> Stored | None:
        # A logout elsewhere waits for no lock for long.
        if self._abandoned.is_set() or self._has_changed():
            return None
        try:
            self._sources.store.save(self._login, stored)
        except OSError as error:
            if self._sources.store.is_open:
                path = self._sources.store.path(self._login)
                log.warning("the refreshed tokens are only in memory: %s: %s", path, error.strerror)
            return stored
        if self._abandoned.is_set():  # a logout came between the look and the write
            self._sources.store.remove(self._login)
            return None
        self.is_durable = True
        return stored

    def _has_changed(self) -> bool:
        """Whether another process has written or removed the file."""
        if not self._was_on_disk:
            return False
        try:
            return self._sources.store.load(self._login) != self._known
        except UnusableTokens:
            return False  # sealed, or about to be mended by our own write


def of_command(login: CognitoLogin, token: str, now: datetime) -> CognitoTokens:
    """What a command has printed, for the Logins map: Cognito verifies it, whose business it is.

    Raises UntrustedToken for one that has expired, or that is an access token, or no token of its provider's.
    """
    try:
        found = jwt.read(token)
        expires_at = found.expires_at
    except MalformedToken:
        if login.provider.startswith(GIVE_JWTS):  # a login with it would be none
            raise UntrustedToken(f"it is no ID token of {safe(login.provider)}") from None
        return CognitoTokens(token, now + OPAQUE_LIFE, login.provider, "", "", client_id=login.client_id)
    if expires_at is None:
        expires_at = now + OPAQUE_LIFE
    elif expires_at <= now:
        raise UntrustedToken("it has expired; is this machine's clock right?")
    if found.claims.get("token_use") == "access":
        raise UntrustedToken("it is an access token, and identity pools take ID tokens")
    return CognitoTokens(token, expires_at, login.provider, found.issuer, found.subject, client_id=login.client_id)


def _user(tokens: CognitoTokens) -> tuple[str, str]:
    """Who it is, as far as the token says."""
    return tokens.issuer, tokens.subject


def client_secret(login: CognitoLogin) -> str | None:
    """The app client's secret, from the user's own command, which is asked each time; None without one. Blocks.

    Raises ConfigError, CommandFailed, Unavailable.
    """
    if not login.client_secret_command:
        return None
    what = f"[cognito_login.{safe(login.name)}] client_secret_command"
    return printed.of(login.client_secret_command, what, seconds=COMMAND_SECONDS)


def token_command(login: CognitoLogin) -> str:
    """What a person calls it."""
    return f"[cognito_login.{safe(login.name)}] token_command"


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Holds the lock; where it cannot be made (a full disk, one without locks) it does without. Raises LockBusy."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock.locked(path, seconds=seconds))
        except OSError as error:
            log.warning("going on without the lock %s: %s", path, error.strerror)
        yield


def worded(error: Exception) -> str:
    """Why a refresh failed, for a person."""
    if isinstance(error, UntrustedToken):
        return f"the token is not to be trusted: {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
