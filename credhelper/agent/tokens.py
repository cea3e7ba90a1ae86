"""The access token of each session: taken from its file, refreshed before anybody asks, forgotten when the file goes.

The file is the truth, because the AWS CLI and every SDK share it. While the watch vouches for a file, memory is what
the file holds, and a use costs no look at the disk; otherwise each use looks at its signature. Values are compared,
not events: what we wrote ourselves changes nothing when it is read back.
"""

import asyncio
import hashlib
import logging
import random
import secrets
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from credhelper.agent.backoff import Backoff, asked_pause
from credhelper.agent.flights import Flights
from credhelper.agent.refresh import Refresh, TokenFile
from credhelper.agent.token_state import Outlook, TokenState, session_state
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenStore, UnusableTokenFile
from credhelper.domain.errors import CredhelperError, LoginRequired, Refused, Unavailable, UpstreamError
from credhelper.domain.freshness import Freshness, Life
from credhelper.domain.model import SsoSession, Token
from credhelper.domain.text import safe
from credhelper.local import file_lock, private_files
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

REFRESH_DEADLINE = 8.0  # seconds; a caller waits 10 at most
PATIENCE = 2.0  # seconds a caller with a token that is still good waits for a better one
BEING_WRITTEN = 1.0  # seconds after which something that is no token counts as absent, unless it is torn
TORN_RETRIES = 3
TORN_PAUSE = 0.02  # seconds
STOP_PATIENCE = 2.5  # seconds that a stop waits for refreshes: a refresh token that AWS has rotated must reach the disk
TOLD_AGAIN = 1.0  # seconds for which callers of an expired session are told of the same failure
LONGEST_TOLD_AGAIN = 30.0  # the same, where AWS asked for a pause
LEAST_GAIN_PAUSE = 30.0  # seconds after a refresh that brought no longer life
LEAST_GAIN = 2.0  # seconds; AWS tells lives in whole ones, and so one and the same end seems to move
REFRESH_TRIES = 3  # for a caller, where other programs write the file under a refresh
JITTER = 0.1
"""The part of the refresh window by which a refresh in the background is put off, at most."""

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

NOT_SEEN = private_files.Signature(0, 0, 0, 0)
"""Of a file that we have written and not looked at: it may have been removed since, as it was missing before."""

_NOT_SAVED = (OSError, file_lock.LockBusy, DeadlineExceeded)


@dataclass(slots=True)
class _Held:
    """What is known of one session."""

    token: Token | None = None
    life: Life | None = None
    put_off: timedelta = timedelta()
    """How long after the beginning of its window the background refresh comes: jitter."""
    no_gain_until: float = 0.0
    """Boottime until which a refresh would bring no longer life, so the last one has shown."""
    epoch: int = 0
    """Counts the changes after which earlier role credentials no longer count: a login, a logout, a foreign token."""
    version: int = 0
    """Counts every change of the token, a refresh of our own included."""
    sign_in: str = ""
    """A random name for the login that the token comes from; it outlives refreshes of our own."""
    first_token_hash: str | None = None
    """Of the token of this login that we found first: what a daemon before us knew it by."""
    seen: private_files.Signature | None = None
    torn_since: float | None = None
    has_warned: bool = False
    is_closed: bool = False
    """A logout is clearing the files: what is still in them no longer counts."""
    is_unsaved: bool = False
    """The token is only in memory: the disk refused it."""
    save_backoff: Backoff = field(default_factory=Backoff)
    logged_out_access_tokens: set[str] = field(default_factory=set, repr=False)
    """Tokens that stay logged out even where their file could not be removed."""
    unsaved_over: private_files.Signature | None = None
    """What was in the file's place when the disk refused ``token``, which is newer."""
    superseded_access_token: str | None = field(default=None, repr=False)
    """What the file still holds where ``token`` is newer but could not be written."""
    refused_access_token: str | None = field(default=None, repr=False)
    refused_refresh_token: str | None = field(default=None, repr=False)
    backoff: Backoff = field(default_factory=Backoff)
    failure: CredhelperError | None = None
    told_until: float = 0.0
    last_error: str | None = None
    has_told_end: bool = False
    refresh: "Refresh | None" = None
    """The latest one, under way or ended."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set to tell work in its thread that its result is no longer wanted."""


class Tokens:
    """All sessions' tokens. Lives on the event loop."""

    def __init__(
        self,
        cache: TokenStore,
        api: IdentityCenter,
        clock: Clock,
        workers: Workers,
        lock_path: Callable[[str], Path],
        rng: random.Random,
    ) -> None:
        self.cache = cache
        self.is_vouched_for: Callable[[Path], bool] = lambda _: False
        """Whether somebody watches a file, and memory is what it holds."""
        self.on_new_session: Callable[[SsoSession], None] = lambda _: None
        self.on_change: Callable[[SsoSession], None] = lambda _: None
        """Told after every change of a token."""
        self.on_orphan: Callable[[SsoSession, Token], None] = lambda _, __: None
        """Told of a token that AWS issued while the session was being logged out: the sign-in may live on in it."""
        self.on_end: Callable[[SsoSession], None] = lambda _: None
        """Told when only a login can bring a session back, or keep it beyond its token's end; once for each token."""
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self.on_refresh: Callable[[str], None] = lambda _: None
        """Told how each refresh that was tried has ended: "ok", an error's ``code``, "lock_busy", "logged_out",

        or "not_needed" where another program has renewed or removed the token.
        """
        self._api = api
        self._clock = clock
        self._workers = workers
        self._lock_path = lock_path
        self._rng = rng
        self._held: dict[str, _Held] = {}
        self._sessions: dict[str, SsoSession] = {}
        self._refreshes: Flights[str, None] = Flights(on_landed=self._attend)
        self._saves: Flights[str, None] = Flights(on_landed=self._attend)

    # -- what is there ------------------------------------------------------------------------------------------------

    def look(self, session: SsoSession) -> Token | None:
        """The session's token as its file has it now, whatever its age; None when there is none.

        Where the watch vouches for the file that may be some milliseconds old, and costs no look at the disk.
        """
        held = self._of(session)
        if held.torn_since is None and not held.is_closed and self.is_vouched_for(self.cache.token_path(session)):
            return held.token
        return self._look_at_file(session, held)

    def _look_at_file(self, session: SsoSession, held: _Held) -> Token | None:
        if held.is_closed:
            return None
        path = self.cache.token_path(session)
        seen = private_files.signature(path)
        if seen == held.seen and held.torn_since is None:
            return held.token
        return self._read(session, held, seen)

    def look_again(self, session: SsoSession) -> None:
        """Reads the session's file, whatever its signature: two writes within one tick of the clock have the same."""
        held = self._of(session)
        if not held.is_closed:
            self._read(session, held, private_files.signature(self.cache.token_path(session)))

    def take_up(self, session: SsoSession) -> None:
        """A session of the configuration: it is kept alive before anybody asks."""
        self._put_in_force(session)
        self.look(session)

    def is_in_force(self, session: SsoSession) -> bool:
        """Whether this is what a session of its name means today."""
        return self._sessions.get(session.cache_key) == session

    def is_gone(self, session: SsoSession) -> bool:
        """Whether it is logged out as far as is known: there is no file, not even one that cannot be used."""
        held = self._of(session)
        return held.token is None and held.seen is None and held.torn_since is None

    def epoch(self, session: SsoSession) -> int:
        """A number that changes whenever role credentials obtained before must no longer be used."""
        return self._of(session).epoch

    def version(self, session: SsoSession) -> int:
        """A number that changes with every change of the token, so that a failure is not told beyond it."""
        return self._of(session).version

    def sign_in(self, session: SsoSession) -> tuple[str, str] | None:
        """The name of the login that the session's token comes from, with the hash of that token; None without one."""
        held = self._of(session)
        return None if held.token is None else (held.sign_in, access_token_hash(held.token))

    def resume_sign_in(self, session: SsoSession, name: str, token_hash: str) -> bool:
        """After a restart: the token is still the one of the login called ``name``. Whether that is so.

        We may have refreshed it since we started: the keyring takes its time.
        """
        token = self.look(session)
        held = self._of(session)
        if token is None or held.first_token_hash != token_hash:
            return False
        held.sign_in = name
        return True

    def sessions(self) -> list[SsoSession]:
        """Every session that was ever asked for."""
        return list(self._sessions.values())

    def is_good(self, session: SsoSession) -> bool:
        """Whether a login would be superfluous: the token is unexpired and not known to be refused."""
        token = self.look(session)
        held = self._of(session)
        return bool(
            token and token.access_token != held.refused_access_token and self._freshness(held) is not Freshness.EXPIRED
        )

    def is_over(self, session: SsoSession) -> bool:
        """Whether only a login can bring this session back: AWS need not be asked for anything."""
        return not self.is_good(session) and not self._can_refresh(self._of(session))

    def expired_for(self, session: SsoSession) -> float:
        """Seconds until an expired token that could not be refreshed is tried again; 0 when there is no such pause.

        Until then nothing can be had from AWS, and whatever wants it in the background waits too.
        """
        held = self._of(session)
        if self._freshness(held) is not Freshness.EXPIRED:
            return 0.0
        return max(0.0, held.backoff.retry_at - self._clock.monotonic())

    def remembers(self, session: SsoSession, error: CredhelperError) -> bool:
        """Whether ``error`` is how the last refresh failed, which ``current`` raises from memory while that counts."""
        held = self._of(session)
        return held.failure is error and self._freshness(held) is Freshness.EXPIRED

    def describe(self, session: SsoSession) -> "TokenState":
        """The session's state for a person."""
        token = self.look(session)
        held = self._of(session)
        if token is None or held.life is None:
            return TokenState("logged_out", None, False, None, held.last_error)
        can_refresh = self._can_refresh(held)
        is_refused = token.access_token == held.refused_access_token
        next_at = self._clock.now() + timedelta(seconds=max(0.0, self._due_in(held))) if can_refresh else None
        state = session_state(self._freshness(held), is_refused=is_refused, can_refresh=can_refresh)
        next_at = None if state == "expired" else next_at
        return TokenState(state, token.expires_at, can_refresh and not is_refused, next_at, held.last_error)

    def outlook(self, session: SsoSession) -> Outlook | None:
        """Whether the session will go on by itself, without a look at its file; None without a token."""
        held = self._of(session)
        if held.token is None or held.is_closed:
            return None
        left = self._left(held).total_seconds()
        is_refused = held.token.access_token == held.refused_access_token
        can_refresh = self._can_refresh(held) and not is_refused
        return Outlook(
            held.token.expires_at,
            held.sign_in,
            left,
            can_refresh=can_refresh,
            is_failing=held.failure is not None,
            is_over=is_refused or (left <= 0 and not can_refresh),
        )

    # -- using it -----------------------------------------------------------------------------------------------------

    async def current(self, session: SsoSession) -> Token:
        """A token that has not expired, refreshed first when it is time and it can be.

        Raises LoginRequired, UpstreamError.
        """
        held = self._put_in_force(session)
        token = await self._settled(session)
        if token is None:
            raise self._why_none(session)
        for _ in range(REFRESH_TRIES):
            state = self._freshness(held)
            if state is Freshness.FRESH or not self._may_refresh_for_caller(held):
                break
            # An expired token: to the end of the refresh. One that is still good: for a moment.
            flight, before = self._start_refresh(session), held.failure
            await asyncio.wait({flight}, timeout=None if state is Freshness.EXPIRED else PATIENCE)
            if held.failure is not before or self._freshness(held) is not Freshness.EXPIRED:
                break
            # Neither renewed nor failed: the file had been written meanwhile, and what it holds has expired too.
        token = self.look(session)
        if token is None:
            raise self._why_none(session)
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
        is_worth_it = may_refresh and held.backoff.may_try(self._clock.monotonic())
        if self.look(session) == token and is_worth_it and self._can_refresh(held):
            await asyncio.shield(self._start_refresh(session))
        if self.look(session) == token:
            if may_refresh and self._can_refresh(held) and held.failure is not None:
                raise held.failure.with_traceback(None)
            held.refused_access_token = token.access_token
            self._tell_end(session, held)

    def refresh_behind(self, session: SsoSession) -> None:
        """Starts a refresh that is due, without anybody waiting for it."""
        held = self._of(session)
        if self._freshness(held) is not Freshness.FRESH and self._may_refresh_for_caller(held):
            self._start_refresh(session)

    # -- logging in and out -------------------------------------------------------------------------------------------

    def adopt_login(self, session: SsoSession, token: Token, *, is_saved: bool = True) -> None:
        """Takes over the token of a login that has just been written to its file, or that the disk has refused."""
        held = self._put_in_force(session)
        if not is_saved:
            self.look_again(session)  # it replaces what the file holds now, and nobody may have looked for long
        on_file = held.superseded_access_token
        if not held.is_unsaved and held.token is not None:
            on_file = held.token.access_token
        self._abandon(held)
        self._adopt(session, held, token)
        held.is_closed = False
        held.logged_out_access_tokens.clear()
        held.seen = NOT_SEEN
        if not is_saved:
            held.is_unsaved, held.superseded_access_token = True, on_file
            held.unsaved_over = private_files.signature(self.cache.token_path(session))
            held.seen, held.torn_since = held.unsaved_over, None
            held.last_error = "the token is only in memory: it could not be written"
            held.save_backoff.failed(self._clock.monotonic(), self._rng)

    def close(self, session: SsoSession) -> Token | None:
        """Begins a logout: drops what is in memory and serves nothing until ``reopen``. Returns the token dropped.

        Work under way will not bring anything back.
        """
        dropped = self.look(session)
        held = self._of(session)
        ended = {dropped and dropped.access_token, held.superseded_access_token} - {None}
        self._abandon(held)
        self._adopt(session, held, None)
        held.is_closed = True
        held.logged_out_access_tokens |= {token for token in ended if token}
        return dropped

    def reopen(self, session: SsoSession, ended: Iterable[str] = ()) -> None:
        """Ends a logout: from now on the file counts again, unless it still holds a token that was logged out.

        ``ended`` are access tokens that the logout has found besides those that were in memory.
        """
        held = self._of(session)
        held.logged_out_access_tokens.update(ended)
        held.is_closed, held.seen, held.torn_since = False, None, None
        self.look_again(session)

    # -- by itself ----------------------------------------------------------------------------------------------------

    def run_due(self) -> float | None:
        """Starts every refresh and save that is due; seconds until the next will be, None when nothing is to come."""
        pauses = [pause for session in self.sessions() for pause in self._run_due(session)]
        return min(pauses, default=None)

    def retry_now(self) -> None:
        """What failed may work now: the network has changed, or the machine has slept."""
        for held in self._held.values():
            held.backoff.forgive()
            held.save_backoff.forgive()
            held.told_until = min(held.told_until, held.backoff.retry_at)

    async def stop(self) -> None:
        """Lets refreshes under way reach the disk, for a moment; then ends them."""
        await asyncio.gather(self._refreshes.settle(STOP_PATIENCE), self._saves.settle(STOP_PATIENCE))

    def _run_due(self, session: SsoSession) -> Iterator[float]:
        held = self._of(session)
        if held.torn_since is not None:
            yield from self._look_at_torn_file(session, held)
        if held.token is None or held.is_closed:
            return
        if held.is_unsaved and not self._saves.has(session.cache_key):
            pause = held.save_backoff.retry_at - self._clock.monotonic()
            if pause > 0:
                yield pause
            else:
                self._saves.start(session.cache_key, lambda: self._save(session))
        if not self._refreshes.has(session.cache_key):
            yield from self._refresh_or_tell_end(session, held)

    def _look_at_torn_file(self, session: SsoSession, held: _Held) -> Iterator[float]:
        self.look_again(session)
        if held.torn_since is not None:
            pause = held.torn_since + BEING_WRITTEN - self._clock.monotonic()
            if pause > 0:
                yield pause

    def _refresh_or_tell_end(self, session: SsoSession, held: _Held) -> Iterator[float]:
        is_refused = held.token is not None and held.token.access_token == held.refused_access_token
        can_go_on = self._can_refresh(held) and not is_refused
        if not can_go_on and held.has_told_end:
            return
        pause = self._due_in(held) if can_go_on else self._left(held).total_seconds()
        if pause > 0:
            yield pause
        elif can_go_on:
            self._start_refresh(session)
        else:
            self._tell_end(session, held)

    def _due_in(self, held: _Held) -> float:
        """Seconds until the refresh in the background; not positive: now."""
        assert held.life is not None  # noqa: S101  # there is a token
        window = held.life.window - held.put_off
        return max(
            (self._left(held) - window).total_seconds(),
            held.no_gain_until - self._clock.boottime() if self._is_without_gain(held) else 0.0,
            held.backoff.retry_at - self._clock.monotonic(),
        )

    async def _save(self, session: SsoSession) -> None:
        """Another try to write a token that is only in memory."""
        held = self._of(session)
        token, abandoned = held.token, held.abandoned
        if token is None:
            return
        file = self._file(session, held.superseded_access_token, abandoned)
        try:
            is_saved = await self._workers.run(
                REFRESH_DEADLINE, lambda: file.save(token), lane="save " + session.cache_key
            )
        except _NOT_SAVED as error:
            log.info("the token of session %s is still only in memory: %s", safe(session.label), error)
            held.save_backoff.failed(self._clock.monotonic(), self._rng)
            return
        if abandoned.is_set() or held.token != token:
            return
        held.is_unsaved, held.last_error = False, None
        held.save_backoff.reset()
        if is_saved:
            held.superseded_access_token = None
            log.info("the token of session %s could be written after all", safe(session.label))
        else:
            self.look_again(session)

    def _tell_end(self, session: SsoSession, held: _Held) -> None:
        """Says once that a session is over, with the command that begins another."""
        if not held.has_told_end:
            held.has_told_end = True
            error = login_required(session, "the login is over for")
            log.warning("%s; run: %s", safe(error.message), safe(error.hint or "credhelper login"))
            self.on_end(session)

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _of(self, session: SsoSession) -> _Held:
        held = self._held.get(session.cache_key)
        if held is None:
            held = self._held[session.cache_key] = _Held()
            self._sessions[session.cache_key] = session
            self.on_new_session(session)
        return held

    def _put_in_force(self, session: SsoSession) -> _Held:
        """``_of`` for what a request or the configuration means by a session; what memory means may be out of date."""
        held = self._of(session)
        before = self._sessions[session.cache_key]
        self._sessions[session.cache_key] = session
        if (before.start_url, before.region) != (session.start_url, session.region):
            _forget_failures(held)  # the section has been changed: what failed there may work here
        return held

    def _attend(self) -> None:
        self.on_attention()

    def _file(self, session: SsoSession, on_file: str | None, abandoned: threading.Event) -> TokenFile:
        return TokenFile(self.cache, session, on_file, self._lock_path(session.cache_key), abandoned)

    def _read(self, session: SsoSession, held: _Held, seen: private_files.Signature | None) -> Token | None:
        try:
            found = self.cache.load_token(session)
        except UnusableTokenFile as error:
            return self._look_past_unusable_file(session, held, seen, error)
        held.seen, held.torn_since = seen, None
        if found is not None and found.access_token in held.logged_out_access_tokens:
            found = None
        if held.is_unsaved and found is not None and found == held.token:  # our own write, though perhaps given up
            held.is_unsaved, held.superseded_access_token = False, None
        if held.is_unsaved and self._is_superseded(held, found, seen):
            found = held.token
        if found != held.token:
            # A refresh of ours may have written its token already without having reported it yet.
            is_ours = found is not None and held.refresh is not None and held.refresh.has_issued(found)
            self._adopt(session, held, found, same_sign_in=is_ours)
        return held.token

    def _is_superseded(self, held: _Held, found: Token | None, seen: private_files.Signature | None) -> bool:
        """Whether the file holds what our token was to replace, or what nobody could read then."""
        on_file = None if found is None else found.access_token
        return on_file == held.superseded_access_token or (seen is not None and seen == held.unsaved_over)

    def _adopt(self, session: SsoSession, held: _Held, token: Token | None, *, same_sign_in: bool = False) -> None:
        """Takes over ``token``. Only a renewal of the same sign-in lets earlier role credentials live on."""
        held.token, held.life = token, None
        held.version += 1
        held.no_gain_until = 0.0
        if token is not None:
            now, boottime = self._clock.now(), self._clock.boottime()
            held.life = Life.beginning(token.expires_at, now=now, boottime=boottime)
            held.put_off = held.life.window * (JITTER * self._rng.random())
        if not same_sign_in:
            held.epoch += 1
            held.sign_in = secrets.token_hex(8)
            held.first_token_hash = None if token is None else access_token_hash(token)
        held.superseded_access_token, held.is_unsaved, held.unsaved_over = None, False, None
        _forget_failures(held)
        self.on_change(session)

    def _abandon(self, held: _Held) -> None:
        held.abandoned.set()
        held.abandoned = threading.Event()

    def _look_past_unusable_file(
        self, session: SsoSession, held: _Held, seen: private_files.Signature | None, error: UnusableTokenFile
    ) -> Token | None:
        """Other programs write in place: a torn file is being written, and what was in it last goes on to count.

        Anything else that is no token counts as absent after a moment, unless memory has what it was to be replaced by.
        """
        now = self._clock.monotonic()
        if held.torn_since is None or seen != held.seen:
            held.seen, held.torn_since, held.has_warned = seen, now, False
        has_lasted = now - held.torn_since >= BEING_WRITTEN
        # Each write in place is torn for a moment; while there is something to go on with, that is worth no line.
        is_worth_telling = has_lasted or not error.is_torn or held.token is None
        if is_worth_telling and not held.has_warned:
            held.has_warned = True
            log.warning("ignoring the token file %s: %s", self.cache.token_path(session), error)
        is_absent = has_lasted and not (error.is_torn or held.is_unsaved)
        if is_absent and held.token is not None:
            self._adopt(session, held, None)
        return held.token

    async def _settled(self, session: SsoSession) -> Token | None:
        held = self._of(session)
        for _ in range(TORN_RETRIES):
            # Whoever waits for AWS can wait for a look at the file: a login elsewhere may have ended just now.
            token = self._look_at_file(session, held)
            if token is not None or held.torn_since is None:
                return token
            await asyncio.sleep(TORN_PAUSE)
        return self._look_at_file(session, held)

    def _left(self, held: _Held) -> timedelta:
        if held.life is None:
            return timedelta()
        return held.life.left(self._clock.now(), self._clock.boottime())

    def _freshness(self, held: _Held) -> Freshness:
        if held.life is None:
            return Freshness.EXPIRED
        return held.life.freshness(self._clock.now(), self._clock.boottime())

    def _can_refresh(self, held: _Held) -> bool:
        """Whether a refresh has a chance at all."""
        token = held.token
        return bool(
            token and token.is_refreshable(self._clock.now()) and token.refresh_token != held.refused_refresh_token
        )

    def _may_refresh_for_caller(self, held: _Held) -> bool:
        """Whether to try one now that somebody asks: it has a chance, and the last failure is long enough ago."""
        if not self._can_refresh(held):
            return False
        now = self._clock.monotonic()
        if self._is_without_gain(held):
            return False
        return now >= held.told_until if self._freshness(held) is Freshness.EXPIRED else held.backoff.may_try(now)

    def _is_without_gain(self, held: _Held) -> bool:
        """Whether AWS would only give what there is already: unless it is just a wall clock that calls it expired."""
        boottime = self._clock.boottime()
        if boottime >= held.no_gain_until or held.life is None:
            return False
        return held.life.deadline < boottime + LEAST_GAIN or self._freshness(held) is not Freshness.EXPIRED

    def _start_refresh(self, session: SsoSession) -> asyncio.Task[None]:
        known = self._of(session).token
        return self._refreshes.start(session.cache_key, lambda: self._refresh(session, known))

    async def _refresh(self, session: SsoSession, known: Token | None) -> None:
        """One refresh, its outcome noted in the session's state. Never raises for a failure of AWS or the disk."""
        held = self._of(session)
        abandoned, before = held.abandoned, held.life
        if known is None or known != held.token:  # a look at the file has found a newer one since
            return
        if held.refresh is not None and held.refresh.is_under_way:  # given up on, but what it brings will be ours
            self._note_failure(session, held, known, DeadlineExceeded("the refresh before is still under way"))
            return
        on_file = held.superseded_access_token if held.is_unsaved else known.access_token
        refresh = Refresh(self._file(session, on_file, abandoned), self._api, known)
        held.refresh = refresh
        try:
            token = await self._workers.run(REFRESH_DEADLINE, refresh.run, lane="refresh " + session.cache_key)
        except Exception as error:
            if not isinstance(error, (CredhelperError, *_NOT_SAVED)):
                log.exception("a fault while refreshing the token of session %s", safe(session.label))
            self.on_refresh(_failed_refresh(error))
            if not abandoned.is_set():
                self._note_failure(session, held, known, error)
            return
        self.on_refresh("logged_out" if abandoned.is_set() else "not_needed" if token is None else "ok")
        if abandoned.is_set():
            if refresh.issued is not None and self._of(session).token is None:  # logged out, not logged in anew
                self.on_orphan(session, refresh.issued)
        elif token is None:
            self.look_again(session)
        else:
            if held.token != token:  # a look at the file may have been quicker
                self._adopt(session, held, token, same_sign_in=True)
            self._note_refreshed(held, before, on_file, is_durable=refresh.is_durable)
            log.info("refreshed the token of session %s, good until %s", safe(session.label), token.expires_at)

    def _note_refreshed(self, held: _Held, before: Life | None, on_file: str | None, *, is_durable: bool) -> None:
        if before is not None and held.life is not None and held.life.deadline < before.deadline + LEAST_GAIN:
            half = self._left(held).total_seconds() / 2
            held.no_gain_until = self._clock.boottime() + max(half, LEAST_GAIN_PAUSE)
        if is_durable:
            held.seen = NOT_SEEN
        else:
            held.is_unsaved, held.superseded_access_token = True, on_file
            held.last_error = "the token is only in memory: it could not be written"
            held.save_backoff.failed(self._clock.monotonic(), self._rng)

    def _note_failure(self, session: SsoSession, held: _Held, known: Token, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        log.warning("could not refresh the token of session %s: %s", safe(session.label), why)
        held.last_error = why
        if isinstance(error, Refused) and error.reason in OVER:
            held.refused_refresh_token = known.refresh_token
            self._tell_end(session, held)
        elif isinstance(error, UpstreamError):
            held.failure = error
        else:
            held.failure = Unavailable(f"the token of session {safe(session.label)} could not be refreshed: {why}")
        asked = asked_pause(error)
        now = self._clock.monotonic()
        held.backoff.failed(now, self._rng, retry_after=asked)
        held.told_until = now + (TOLD_AGAIN if asked is None else min(asked, LONGEST_TOLD_AGAIN))

    def _why_none(self, session: SsoSession) -> LoginRequired:
        is_sealed = not self.cache.is_open and private_files.signature(self.cache.token_path(session)) is not None
        what = "the keyring does not open, which is needed to unseal" if is_sealed else "you are not logged in to"
        return login_required(session, what)

    def _why_expired(self, session: SsoSession, held: _Held) -> CredhelperError:
        if held.failure is not None and self._can_refresh(held):
            return held.failure.with_traceback(None)  # raised again and again, it would collect tracebacks
        return login_required(session, "your login has expired in")


def access_token_hash(token: Token) -> str:
    """What tells a token from another without being one."""
    return hashlib.sha256(token.access_token.encode()).hexdigest()


def _failed_refresh(error: Exception) -> str:
    """The outcome of a refresh that failed: the error's code, or "lock_busy" where another process holds the lock."""
    match error:
        case CredhelperError():
            return error.code
        case DeadlineExceeded():
            return Unavailable.code
        case file_lock.LockBusy():
            return "lock_busy"
        case _:
            return "fault"


def _forget_failures(held: _Held) -> None:
    held.backoff.reset()
    held.failure, held.told_until, held.last_error = None, 0.0, None
    held.refused_access_token = held.refused_refresh_token = None
    held.has_told_end = False


def login_required(session: SsoSession, what: str) -> LoginRequired:
    """The error of a session that needs a person; a legacy session's hint is completed where its profile is known."""
    hint = None if session.name is None else "credhelper login --sso-session " + shlex.quote(session.name)
    return LoginRequired(f"{what} session “{safe(session.label)}”", hint=hint)
