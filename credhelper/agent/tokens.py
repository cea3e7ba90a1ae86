"""The access token of each session: taken from its file, refreshed in time, forgotten when the file goes.

The file is the truth, because the AWS CLI and every SDK share it: each use looks at the file's signature and re-reads
it when that changed. Values are compared, not events: what we wrote ourselves changes nothing when it is read back.
"""

import asyncio
import logging
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from credhelper.agent.flights import Flights
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenCache, UnusableTokenFile
from credhelper.domain.errors import CredhelperError, LoginRequired, Refused, Throttled, Unavailable, UpstreamError
from credhelper.domain.freshness import Freshness, freshness, refresh_at
from credhelper.domain.model import SsoSession, Token
from credhelper.domain.text import safe
from credhelper.local import file_lock, private_files
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

REFRESH_DEADLINE = 8.0  # seconds; a caller waits 10 at most
PATIENCE = 2.0  # seconds a caller with a token that is still good waits for a better one
BEING_WRITTEN = 1.0  # seconds for which a torn file counts as being written rather than as gone
TORN_RETRIES = 3
TORN_PAUSE = 0.02  # seconds
LONGEST_RETRY_AFTER = 30.0
LONGEST_PAUSE = 60.0  # seconds between two refreshes that fail

OVER = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidClientException",
        "InvalidGrantException",
        "UnauthorizedClientException",
    }
)
"""CreateToken's errors after which only a new login helps."""


@dataclass(slots=True)
class _Held:
    """What is known of one session."""

    token: Token | None = None
    lifetime: timedelta = timedelta()
    epoch: int = 0
    """Counts the changes after which earlier role credentials no longer count: a login, a logout, a foreign token."""
    version: int = 0
    """Counts every change of the token, a refresh of our own included."""
    seen: private_files.Signature | None = None
    torn_since: float | None = None
    is_closed: bool = False
    """A logout is clearing the files: what is still in them no longer counts."""
    logged_out_access_token: str | None = field(default=None, repr=False)
    """A token that stays logged out even where its file could not be removed."""
    superseded_access_token: str | None = field(default=None, repr=False)
    """What the file still holds where ``token`` is newer but could not be written."""
    refused_access_token: str | None = field(default=None, repr=False)
    refused_refresh_token: str | None = field(default=None, repr=False)
    failures: int = 0
    failure: CredhelperError | None = None
    retry_at: float = 0.0
    last_error: str | None = None
    refresh: "Refresh | None" = None
    """The latest one, under way or ended."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set to tell a refresh in its thread that its result is no longer wanted."""


class Tokens:
    """All sessions' tokens. Lives on the event loop."""

    def __init__(
        self,
        cache: TokenCache,
        api: IdentityCenter,
        clock: Clock,
        workers: Workers,
        lock_path: Callable[[str], Path],
    ) -> None:
        self.cache = cache
        self._api = api
        self._clock = clock
        self._workers = workers
        self._lock_path = lock_path
        self._held: dict[str, _Held] = {}
        self._sessions: dict[str, SsoSession] = {}
        self._refreshes: Flights[str, None] = Flights()

    def look(self, session: SsoSession) -> Token | None:
        """The session's token as its file has it now, whatever its age; None when there is none."""
        held = self._of(session)
        if held.is_closed:
            return None
        path = self.cache.token_path(session)
        seen = private_files.signature(path)
        if seen == held.seen and held.torn_since is None:
            return held.token
        try:
            found = self.cache.load_token(session)
        except UnusableTokenFile as error:
            return self._look_past_torn_file(held, path, seen, error)
        held.seen, held.torn_since = seen, None
        if found is not None and found.access_token == held.logged_out_access_token:
            found = None
        if found is not None and found.access_token == held.superseded_access_token:
            found = held.token
        if found != held.token:
            # A refresh of ours may have written its token already without having reported it yet.
            is_ours = found is not None and held.refresh is not None and held.refresh.has_issued(found)
            self._adopt(held, found, same_sign_in=is_ours)
        return held.token

    def epoch(self, session: SsoSession) -> int:
        """A number that changes whenever role credentials obtained before must no longer be used."""
        return self._of(session).epoch

    def version(self, session: SsoSession) -> int:
        """A number that changes with every change of the token, so that a failure is not told beyond it."""
        return self._of(session).version

    async def current(self, session: SsoSession) -> Token:
        """A token that has not expired, refreshed first when it is time and it can be.

        Raises LoginRequired, UpstreamError.
        """
        token = await self._settled(session)
        held = self._of(session)
        if token is None:
            raise login_required(session, "you are not logged in to")
        state = self._freshness(held)
        if state is not Freshness.FRESH and self._may_refresh(held):
            # An expired token: to the end of the refresh. One that is still good: for a moment.
            flight = self._refreshes.start(session.cache_key, lambda: self._refresh(session))
            await asyncio.wait({flight}, timeout=None if state is Freshness.EXPIRED else PATIENCE)
        token = self.look(session)
        if token is None:
            raise login_required(session, "you are not logged in to")
        if self._freshness(held) is Freshness.EXPIRED:
            raise self._why_expired(session, held)
        if token.access_token == held.refused_access_token:
            raise login_required(session, "the portal no longer accepts your login to")
        return token

    async def refused(self, session: SsoSession, token: Token, *, may_refresh: bool) -> None:
        """Notes that the portal refused ``token``, unless another one has come, from the file or by one refresh.

        Raises UpstreamError when whether it can be refreshed cannot be found out now.
        """
        held = self._of(session)
        if self.look(session) == token and may_refresh and self._can_refresh(held):
            await self._refreshes.join(session.cache_key, lambda: self._refresh(session))
        if self.look(session) == token:
            if may_refresh and self._can_refresh(held) and held.failure is not None:
                raise held.failure.with_traceback(None)
            held.refused_access_token = token.access_token

    def is_good(self, session: SsoSession) -> bool:
        """Whether a login would be superfluous: the token is unexpired and not known to be refused."""
        token = self.look(session)
        held = self._of(session)
        return bool(
            token and token.access_token != held.refused_access_token and self._freshness(held) is not Freshness.EXPIRED
        )

    def refresh_behind(self, session: SsoSession) -> None:
        """Starts a refresh that is due, without anybody waiting for it."""
        held = self._of(session)
        if self._freshness(held) is not Freshness.FRESH and self._may_refresh(held):
            self._refreshes.start(session.cache_key, lambda: self._refresh(session))

    def adopt_login(self, session: SsoSession, token: Token) -> None:
        """Takes over the token of a login that has just been written to its file."""
        held = self._of(session)
        self._abandon_refresh(held)
        self._adopt(held, token)
        held.is_closed, held.logged_out_access_token = False, None

    def close(self, session: SsoSession) -> Token | None:
        """Begins a logout: drops what is in memory and serves nothing until ``reopen``. Returns the token dropped.

        A refresh under way will not bring anything back.
        """
        dropped = self.look(session)
        held = self._of(session)
        self._abandon_refresh(held)
        self._adopt(held, None)
        held.is_closed = True
        if dropped is not None:
            held.logged_out_access_token = dropped.access_token
        return dropped

    def reopen(self, session: SsoSession) -> None:
        """Ends a logout: from now on the file counts again, unless it still holds the token that was logged out."""
        held = self._of(session)
        held.is_closed, held.seen, held.torn_since = False, None, None

    def sessions(self) -> list[SsoSession]:
        """Every session that was ever asked for."""
        return list(self._sessions.values())

    def describe(self, session: SsoSession) -> "TokenState":
        """The session's state for a person."""
        token = self.look(session)
        held = self._of(session)
        is_refused = token is not None and token.access_token == held.refused_access_token
        return describe(
            self._clock.now(),
            token,
            held.lifetime,
            is_refused=is_refused,
            can_refresh=self._can_refresh(held),
            last_error=held.last_error,
        )

    async def stop(self) -> None:
        """Ends every refresh."""
        await self._refreshes.cancel_all()

    def _of(self, session: SsoSession) -> _Held:
        held = self._held.get(session.cache_key)
        if held is None:
            held = self._held[session.cache_key] = _Held()
        if self._sessions.get(session.cache_key) != session:
            # The section has been changed, or another file has one of the same name: what failed there may work here.
            self._sessions[session.cache_key] = session
            _forget_failures(held)
        return held

    def _adopt(self, held: _Held, token: Token | None, *, same_sign_in: bool = False) -> None:
        """Takes over ``token``. Only a renewal of the same sign-in lets earlier role credentials live on."""
        held.token = token
        held.lifetime = token.expires_at - self._clock.now() if token else timedelta()
        held.version += 1
        if not same_sign_in:
            held.epoch += 1
        held.superseded_access_token = None
        _forget_failures(held)

    def _abandon_refresh(self, held: _Held) -> None:
        held.abandoned.set()
        held.abandoned = threading.Event()

    def _look_past_torn_file(
        self, held: _Held, path: Path, seen: private_files.Signature | None, error: UnusableTokenFile
    ) -> Token | None:
        """Other programs write in place: for a moment a torn file means "being written", then it counts as absent."""
        now = self._clock.monotonic()
        if held.torn_since is None or seen != held.seen:
            held.seen, held.torn_since = seen, now
            log.warning("ignoring the token file %s: %s", path, error)
        if now - held.torn_since >= BEING_WRITTEN and held.token is not None:
            self._adopt(held, None)
        return held.token

    async def _settled(self, session: SsoSession) -> Token | None:
        held = self._of(session)
        for _ in range(TORN_RETRIES):
            token = self.look(session)
            if token is not None or held.torn_since is None:
                return token
            await asyncio.sleep(TORN_PAUSE)
        return self.look(session)

    def _freshness(self, held: _Held) -> Freshness:
        if held.token is None:
            return Freshness.EXPIRED
        return freshness(self._clock.now(), held.token.expires_at, held.lifetime)

    def _can_refresh(self, held: _Held) -> bool:
        """Whether a refresh has a chance at all."""
        token = held.token
        return bool(
            token and token.is_refreshable(self._clock.now()) and token.refresh_token != held.refused_refresh_token
        )

    def _may_refresh(self, held: _Held) -> bool:
        """Whether to try one now: it has a chance, and the last failure is long enough ago."""
        return self._can_refresh(held) and self._clock.monotonic() >= held.retry_at

    async def _refresh(self, session: SsoSession) -> None:
        """One refresh, its outcome noted in the session's state. Never raises for a failure of AWS or the disk."""
        held = self._of(session)
        known, abandoned = held.token, held.abandoned
        if known is None:
            return
        on_file = held.superseded_access_token or known.access_token
        refresh = Refresh(self.cache, self._api, session, known, on_file, self._lock_path(session.cache_key), abandoned)
        held.refresh = refresh
        try:
            token = await self._workers.run(REFRESH_DEADLINE, refresh.run, lane="refresh " + session.cache_key)
        except (CredhelperError, DeadlineExceeded, OSError, file_lock.LockBusy) as error:
            if not abandoned.is_set():
                self._note_failure(session, held, known, error)
            return
        if not abandoned.is_set() and token is not None:
            self._adopt(held, token, same_sign_in=True)
            held.superseded_access_token = None if refresh.is_durable else on_file
            log.info("refreshed the token of session %s, good until %s", safe(session.label), token.expires_at)

    def _note_failure(self, session: SsoSession, held: _Held, known: Token, error: Exception) -> None:
        log.warning("could not refresh the token of session %s: %s", safe(session.label), error)
        held.last_error = str(error)
        if isinstance(error, Refused) and error.reason in OVER:
            held.refused_refresh_token = known.refresh_token
            return
        if isinstance(error, UpstreamError):
            held.failure = error
        else:
            held.failure = Unavailable(f"the token of session {safe(session.label)} could not be refreshed: {error}")
        if isinstance(error, Throttled) and error.retry_after is not None:
            pause = min(error.retry_after, LONGEST_RETRY_AFTER)
        elif self._freshness(held) is Freshness.EXPIRED:
            pause = 1.0  # callers of an expired session are told of the same failure for a second at most
        else:
            pause = min(2.0**held.failures, LONGEST_PAUSE)
        held.failures += 1
        held.retry_at = self._clock.monotonic() + pause

    def _why_expired(self, session: SsoSession, held: _Held) -> CredhelperError:
        if held.failure is not None and self._can_refresh(held):
            return held.failure.with_traceback(None)  # raised again and again, it would collect tracebacks
        return login_required(session, "your login has expired in")


class Refresh:
    """One refresh across processes, blocking: lock, look again, ask AWS, write before use."""

    def __init__(
        self,
        cache: TokenCache,
        api: IdentityCenter,
        session: SsoSession,
        known: Token,
        on_file: str,
        lock: Path,
        abandoned: threading.Event,
    ) -> None:
        self.is_durable = False
        self._issued_access_token: str | None = None
        self._cache = cache
        self._api = api
        self._session = session
        self._known = known
        self._on_file = on_file
        self._lock = lock
        self._abandoned = abandoned

    def run(self) -> Token | None:
        """The renewed token, durable unless the disk refuses; None when the file holds another one, or none, by now.

        Raises Refused, UpstreamError, OSError, LockBusy.
        """
        with file_lock.locked(self._lock, seconds=REFRESH_DEADLINE):
            if self._file_has_changed():
                return None
            try:
                issued = self._api.refresh_token(self._session, self._known)
            except Refused:
                # Refresh tokens rotate: perhaps another program was quicker, and its token lies there now.
                if self._file_has_changed():
                    return None
                raise
            return self._store(
                replace(
                    self._known,
                    start_url=self._session.start_url,
                    region=self._session.region,
                    access_token=issued.access_token,
                    expires_at=issued.expires_at,
                    # RFC 6749 section 6: no new refresh token in the answer means the old one stays.
                    refresh_token=issued.refresh_token or self._known.refresh_token,
                )
            )

    def has_issued(self, token: Token) -> bool:
        """Whether ``token`` is this refresh's own; may be asked from the event loop while it runs."""
        return token.access_token == self._issued_access_token

    def _store(self, token: Token) -> Token | None:
        if self._abandoned.is_set() or self._file_has_changed():  # a logout or a login, here or by another program
            return None
        path = self._cache.token_path(self._session)
        self._issued_access_token = token.access_token
        try:
            self._cache.save_token(self._session, token)
            self.is_durable = True
        except OSError as error:
            log.warning("the refreshed token is only in memory: %s: %s", path, error.strerror)
        if self._abandoned.is_set():  # a logout came between the look and the write
            private_files.remove(path)
            return None
        return token

    def _file_has_changed(self) -> bool:
        try:
            found = self._cache.load_token(self._session)
        except UnusableTokenFile:
            return False  # being written, or about to be mended by our own write
        return found is None or found.access_token != self._on_file


@dataclass(frozen=True, slots=True)
class TokenState:
    """A session's state in the contract's words."""

    state: str
    expires_at: datetime | None
    refreshable: bool
    next_refresh_at: datetime | None
    last_error: str | None


def describe(
    now: datetime,
    token: Token | None,
    lifetime: timedelta,
    *,
    is_refused: bool,
    can_refresh: bool,
    last_error: str | None,
) -> TokenState:
    """active, refresh_due (little time left, or past but refreshable), expired (a login is needed), logged_out."""
    if token is None:
        return TokenState("logged_out", None, False, None, last_error)
    state = freshness(now, token.expires_at, lifetime)
    refreshable = can_refresh and not is_refused
    word = "active" if state is Freshness.FRESH else "refresh_due"
    if is_refused or (state is Freshness.EXPIRED and not refreshable):
        word = "expired"
    next_refresh = refresh_at(token.expires_at, lifetime) if refreshable else None
    return TokenState(word, token.expires_at, refreshable, next_refresh, last_error)


def _forget_failures(held: _Held) -> None:
    held.failures, held.failure, held.retry_at, held.last_error = 0, None, 0.0, None
    held.refused_access_token = held.refused_refresh_token = None


def login_required(session: SsoSession, what: str) -> LoginRequired:
    """The error of a session that needs a person; a legacy session's hint is completed where its profile is known."""
    hint = None if session.name is None else "credhelper login --sso-session " + shlex.quote(session.name)
    return LoginRequired(f"{what} session “{safe(session.label)}”", hint=hint)
