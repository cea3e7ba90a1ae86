"""The tokens of each Cognito login: taken from the vault, refreshed when somebody needs them, forgotten at a logout.

``SignIns`` of Cognito logins. Unlike a session's token they are not kept alive before anybody asks: an ID token is
wanted only where new AWS credentials are, which live on without it. The file is the truth where there is a key, and
memory where there is none.
"""

import asyncio
import hashlib
import logging
import random
import shlex
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from credhelper.agent import cognito_refresh
from credhelper.agent.backoff import Backoff, asked_pause
from credhelper.agent.cognito_refresh import Refresh, Sources
from credhelper.agent.cognito_store import Stored, UnusableTokens
from credhelper.agent.flights import Flights
from credhelper.agent.token_state import Outlook, TokenState, session_state
from credhelper.aws.oidc import UntrustedToken
from credhelper.aws.user_pools import OVER
from credhelper.domain.errors import ConfigError, CredhelperError, LoginRequired, Refused, Unavailable, UpstreamError
from credhelper.domain.freshness import Freshness, Life
from credhelper.domain.model import CognitoLogin, CognitoTokens, LoginMethod
from credhelper.domain.text import safe
from credhelper.local import file_lock, private_files
from credhelper.local.printed import CommandFailed
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

REFRESH_DEADLINE = 8.0  # seconds; a caller waits 10 at most
STOP_PATIENCE = 2.5  # seconds that a stop waits for refreshes: a refresh token that was rotated must reach the disk
TOLD_AGAIN = 1.0  # seconds for which callers of expired tokens are told of the same failure
LONGEST_TOLD_AGAIN = 30.0  # the same, where AWS asked for a pause
ABOUT_TO_EXPIRE = timedelta(minutes=1)
"""With less left an ID token may be refused before it has arrived."""

NOT_SEEN = private_files.Signature(0, 0, 0, 0)
"""Of a file that we have written and not looked at."""

_NOT_DONE = (OSError, file_lock.LockBusy, DeadlineExceeded, UntrustedToken)


@dataclass(slots=True)
class _Held:
    """What is known of one login."""

    stored: Stored | None = None
    life: Life | None = None
    epoch: int = 0
    """Counts the changes after which earlier role credentials no longer count: a login, a logout."""
    version: int = 0
    """Counts every change of the tokens."""
    seen: private_files.Signature | None = None
    is_closed: bool = False
    """A logout is clearing the file: what is still in it no longer counts."""
    is_unsaved: bool = False
    """They are only in memory: there is no key, or the disk refused them."""
    is_sealed: bool = False
    """There is a file that nobody can read without the key."""
    logged_out: str | None = None
    """The sign-in that stays logged out even where its file could not be removed."""
    refused_id_token: str | None = field(default=None, repr=False)
    is_refresh_over: bool = False
    """The user pool no longer takes the refresh token."""
    backoff: Backoff = field(default_factory=Backoff)
    save_backoff: Backoff = field(default_factory=Backoff)
    failure: CredhelperError | None = None
    told_until: float = 0.0
    last_error: str | None = None
    refresh: Refresh | None = None
    """The latest one, under way or ended."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set to tell work in its thread that its result is no longer wanted."""


class CognitoSignIns:
    """All Cognito logins' tokens. Lives on the event loop."""

    def __init__(self, sources: Sources, workers: Workers, rng: random.Random) -> None:
        self.is_vouched_for: Callable[[Path], bool] = lambda _: False
        """Whether somebody watches a file, and memory is what it holds."""
        self.on_new_login: Callable[[CognitoLogin], None] = lambda _: None
        self.on_change: Callable[[CognitoLogin], None] = lambda _: None
        """Told after every change of the tokens."""
        self.on_orphan: Callable[[CognitoLogin, CognitoTokens], None] = lambda _, __: None
        """Told of tokens that were issued while the login was being logged out: the sign-in may live on in them."""
        self.on_end: Callable[[CognitoLogin], None] = lambda _: None
        """Told when a refresh has shown that only a login can bring one back."""
        self.on_attention: Callable[[], None] = lambda: None
        self.on_refresh: Callable[[str], None] = lambda _: None
        """Told how each refresh has ended, as of sessions."""
        self.wait_for_key: Callable[[], Awaitable[None]] = _no_wait
        """Waits for a moment for the key that opens the files, where it is being asked for."""
        self.sources = sources
        self.store = sources.store
        self._clock = sources.clock
        self._workers = workers
        self._rng = rng
        self._held: dict[str, _Held] = {}
        self._logins: dict[str, CognitoLogin] = {}
        self._refreshes: Flights[str, None] = Flights(on_landed=self._attend)

    # -- what is there ------------------------------------------------------------------------------------------------

    def look(self, session: CognitoLogin) -> CognitoTokens | None:
        """The login's tokens, whatever their age; None when nobody is logged in."""
        held = self._of(session)
        if not (held.is_closed or held.is_unsaved or self.is_vouched_for(self.store.path(session))):
            self._look_at_file(session, held)
        return self._usable(session, held)

    def look_again(self, login: CognitoLogin) -> None:
        """Reads the login's file, whatever its signature."""
        held = self._of(login)
        if not (held.is_closed or held.is_unsaved):
            self._read(login, held, private_files.signature(self.store.path(login)))

    def take_up(self, login: CognitoLogin) -> None:
        """A login of the configuration."""
        self._put_in_force(login)
        self.look(login)

    def logins(self) -> list[CognitoLogin]:
        """Every login that was ever asked for."""
        return list(self._logins.values())

    def is_in_force(self, session: CognitoLogin) -> bool:
        """Whether this is what a login of its name means today."""
        return self._logins.get(session.cache_key) == session

    def epoch(self, session: CognitoLogin) -> int:
        """A number that changes whenever role credentials obtained before must no longer be used."""
        return self._of(session).epoch

    def version(self, session: CognitoLogin) -> int:
        """A number that changes with every change of the tokens, so that a failure is not told beyond it."""
        return self._of(session).version

    def sign_in(self, session: CognitoLogin) -> tuple[str, str] | None:
        """The name of the present sign-in, and a hash of its token; None without one."""
        held = self._of(session)
        return None if held.stored is None else (held.stored.sign_in, token_hash(held.stored.tokens))

    def resume_sign_in(self, session: CognitoLogin, name: str, _token_hash: str) -> bool:
        """After a restart: whether the present sign-in is the one called ``name``. Its file says so itself."""
        self.look(session)
        held = self._of(session)
        return held.stored is not None and held.stored.sign_in == name

    def is_good(self, session: CognitoLogin) -> bool:
        """Whether a login would be superfluous: the ID token is unexpired and not known to be refused."""
        tokens = self.look(session)
        held = self._of(session)
        return (
            tokens is not None
            and tokens.id_token != held.refused_id_token
            and self._freshness(held) is not Freshness.EXPIRED
        )

    def is_over(self, session: CognitoLogin) -> bool:
        """Whether only a login can bring it back: nobody need be asked for anything."""
        return not self.is_good(session) and not self._can_refresh(session)

    def expired_for(self, session: CognitoLogin) -> float:
        """Seconds until expired tokens that could not be refreshed are tried again; 0 when there is no such pause."""
        held = self._of(session)
        if self._freshness(held) is not Freshness.EXPIRED:
            return 0.0
        return max(0.0, held.backoff.retry_at - self._clock.monotonic())

    def remembers(self, session: CognitoLogin, error: CredhelperError) -> bool:
        """Whether ``error`` is how the last refresh failed, which ``current`` raises from memory while that counts."""
        held = self._of(session)
        return held.failure is error and self._freshness(held) is Freshness.EXPIRED

    def describe(self, login: CognitoLogin) -> TokenState:
        """The login's state for a person: ``refresh_due`` is an ID token that is renewed when somebody wants it."""
        tokens = self.look(login)
        held = self._of(login)
        if tokens is None:
            return TokenState("logged_out", None, False, None, held.last_error)
        is_refused, can_refresh = tokens.id_token == held.refused_id_token, self._can_refresh(login)
        state = session_state(self._freshness(held), is_refused=is_refused and not can_refresh, can_refresh=can_refresh)
        return TokenState(state, tokens.expires_at, can_refresh, None, held.last_error)

    def outlook(self, login: CognitoLogin) -> Outlook | None:
        """Whether the login will go on by itself, without a look at its file; None without tokens."""
        held = self._of(login)
        if held.stored is None or held.is_closed:
            return None
        left, can_refresh = self._left(held).total_seconds(), self._can_refresh(login)
        return Outlook(
            held.stored.tokens.expires_at,
            held.stored.sign_in,
            left,
            can_refresh=can_refresh,
            is_failing=held.failure is not None,
            is_over=not can_refresh and (left <= 0 or held.stored.tokens.id_token == held.refused_id_token),
        )

    # -- using it -----------------------------------------------------------------------------------------------------

    async def current(self, session: CognitoLogin) -> CognitoTokens:
        """Tokens that have not expired, refreshed first when they have, or are about to, and can be.

        Raises LoginRequired, ConfigError, UpstreamError.
        """
        held = self._put_in_force(session)
        tokens = self.look(session)
        if tokens is None and held.is_sealed:
            await self.wait_for_key()
            tokens = self.look(session)
        if tokens is None:
            raise self._why_none(session, held)
        if self._left(held) < self._enough(held) and self._may_refresh_now(session, held):
            await asyncio.shield(self._start_refresh(session))
            tokens = self.look(session)
        if tokens is None:
            raise self._why_none(session, held)
        if self._freshness(held) is Freshness.EXPIRED:
            raise self._why_expired(session, held)
        if tokens.id_token == held.refused_id_token:
            raise login_required(session, "Cognito does not accept, or no longer accepts, the token of")
        return tokens

    async def refused(self, session: CognitoLogin, token: CognitoTokens, *, may_refresh: bool) -> None:
        """Notes that Cognito refused these tokens, unless others have come, perhaps by one refresh.

        Raises UpstreamError when whether they can be refreshed cannot be found out now.
        """
        held = self._of(session)
        is_worth_it = may_refresh and held.backoff.may_try(self._clock.monotonic())
        if self.look(session) == token and is_worth_it and self._can_refresh(session):
            await asyncio.shield(self._start_refresh(session))
        if self.look(session) == token:
            if may_refresh and self._can_refresh(session) and held.failure is not None:
                raise held.failure.with_traceback(None)
            held.refused_id_token = token.id_token
            self.on_end(session)

    def refresh_behind(self, session: CognitoLogin) -> None:
        """Nothing: the next fetch refreshes what it needs."""

    async def renewed(self, login: CognitoLogin) -> CognitoTokens | None:
        """Tokens that are good without a person, by a refresh if need be; None where it takes a login. Never raises."""
        if self.look(login) is None and self._of(login).is_sealed:
            await self.wait_for_key()
        if self._can_refresh(login) and not self.is_good(login):
            self._of(login).told_until = 0.0
            await asyncio.shield(self._start_refresh(login))
        return self.look(login) if self.is_good(login) else None

    # -- logging in and out -------------------------------------------------------------------------------------------

    def adopt_login(self, login: CognitoLogin, stored: Stored, *, is_saved: bool) -> None:
        """Takes over what a login has given, which is in its file, or in memory only."""
        held = self._put_in_force(login)
        self._abandon(held)
        held.is_closed, held.logged_out, held.is_sealed = False, None, False
        self._adopt(login, held, stored, is_saved=is_saved)
        self.on_attention()

    def close(self, login: CognitoLogin) -> CognitoTokens | None:
        """Begins a logout: drops what is in memory and serves nothing until ``reopen``. Returns what was dropped.

        Work under way will not bring anything back.
        """
        self.look(login)
        held = self._of(login)
        dropped = held.stored
        self._abandon(held)
        held.is_closed = True
        self._adopt(login, held, None)
        if dropped is not None:
            held.logged_out = dropped.sign_in
        return None if dropped is None else dropped.tokens

    def reopen(self, login: CognitoLogin) -> None:
        """Ends a logout: from now on the file counts again, unless it still holds the sign-in that was ended."""
        held = self._of(login)
        held.is_closed, held.seen = False, None
        self.look_again(login)

    # -- by itself ----------------------------------------------------------------------------------------------------

    def run_due(self) -> float | None:
        """Writes what is only in memory as soon as that can be; seconds until another try, None when none is due."""
        pauses = [pause for login in self.logins() if (pause := self._save_if_due(login)) is not None]
        return min(pauses, default=None)

    def retry_now(self) -> None:
        """What failed may work now: the network has changed, the machine has slept, or a key has come."""
        for held in self._held.values():
            held.backoff.forgive()
            held.save_backoff.forgive()
            held.told_until = min(held.told_until, held.backoff.retry_at)

    def key_has_come(self) -> None:
        """What is sealed can be read now, and what is only in memory be written."""
        for login in self.logins():
            self._of(login).seen = None
            self.look_again(login)
        self.retry_now()

    async def stop(self) -> None:
        """Lets refreshes under way reach the disk, for a moment; then ends them."""
        await self._refreshes.settle(STOP_PATIENCE)

    def _save_if_due(self, login: CognitoLogin) -> float | None:
        held = self._of(login)
        if not held.is_unsaved or held.stored is None or not self.store.is_open or self._refreshes.has(login.cache_key):
            return None
        pause = held.save_backoff.retry_at - self._clock.monotonic()
        if pause > 0:
            return pause
        self._refreshes.start(login.cache_key, lambda: self._save(login, held))
        return None

    async def _save(self, login: CognitoLogin, held: _Held) -> None:
        stored, abandoned = held.stored, held.abandoned
        if stored is None:
            return
        try:
            is_saved = await self._workers.run(
                REFRESH_DEADLINE, lambda: save(self.sources, login, stored, abandoned), lane="save " + login.cache_key
            )
        except (OSError, file_lock.LockBusy, DeadlineExceeded) as error:
            log.info("the tokens of Cognito login %s are still only in memory: %s", safe(login.label), error)
            held.save_backoff.failed(self._clock.monotonic(), self._rng)
            return
        if is_saved and held.stored == stored:
            held.is_unsaved, held.seen = False, NOT_SEEN
            held.save_backoff.reset()

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        self.on_attention()

    def _of(self, login: CognitoLogin) -> _Held:
        held = self._held.get(login.cache_key)
        if held is None:
            held = self._held[login.cache_key] = _Held()
            self._logins[login.cache_key] = login
            self.on_new_login(login)
        return held

    def _put_in_force(self, login: CognitoLogin) -> _Held:
        """``_of`` for what a request or the configuration means by a login; what memory means may be out of date."""
        held = self._of(login)
        before = self._logins[login.cache_key]
        self._logins[login.cache_key] = login
        if before != login:  # the table has been changed: what failed there may work here
            _forget_failures(held)
            if (before.provider, before.client_id) != (login.provider, login.client_id):
                held.seen = None
                self._adopt(login, held, None)
        return held

    def _usable(self, login: CognitoLogin, held: _Held) -> CognitoTokens | None:
        """What is held, if it is of this login as it stands, and not one of its name with another app client."""
        if held.stored is None or held.is_closed:
            return None
        tokens = held.stored.tokens
        is_ours = (tokens.provider, tokens.client_id) == (login.provider, login.client_id)
        return tokens if is_ours else None

    def _look_at_file(self, login: CognitoLogin, held: _Held) -> None:
        seen = private_files.signature(self.store.path(login))
        if seen != held.seen or held.is_sealed:
            self._read(login, held, seen)

    def _read(self, login: CognitoLogin, held: _Held, seen: private_files.Signature | None) -> None:
        try:
            found = self.store.load(login)
        except UnusableTokens as error:
            if not error.is_locked and seen != held.seen:
                log.warning("ignoring the sealed tokens %s: %s", self.store.path(login), error)
            held.seen, held.is_sealed = seen, error.is_locked
            if not error.is_locked and held.stored is not None:
                self._adopt(login, held, None)
            return
        held.seen, held.is_sealed = seen, False
        if found is not None and found.sign_in == held.logged_out:
            found = None
        if found != held.stored:
            is_same = found is not None and held.stored is not None and found.sign_in == held.stored.sign_in
            self._adopt(login, held, found, same_sign_in=is_same, is_read=True)

    def _adopt(
        self,
        login: CognitoLogin,
        held: _Held,
        stored: Stored | None,
        *,
        same_sign_in: bool = False,
        is_saved: bool = True,
        is_read: bool = False,
    ) -> None:
        """Takes over ``stored``. Only a renewal of the same sign-in lets earlier role credentials live on.

        All is in place before anybody is told: whoever is told looks.
        """
        held.stored, held.life, held.is_unsaved = stored, None, not is_saved
        if stored is not None and not is_read:
            held.seen = NOT_SEEN
        held.version += 1
        if stored is not None:
            now, boottime = self._clock.now(), self._clock.boottime()
            held.life = Life.beginning(stored.tokens.expires_at, now=now, boottime=boottime)
        if not same_sign_in:
            held.epoch += 1
        _forget_failures(held)
        self.on_change(login)

    def _abandon(self, held: _Held) -> None:
        held.abandoned.set()
        held.abandoned = threading.Event()

    def _left(self, held: _Held) -> timedelta:
        if held.life is None:
            return timedelta()
        return held.life.left(self._clock.now(), self._clock.boottime())

    def _freshness(self, held: _Held) -> Freshness:
        if held.life is None:
            return Freshness.EXPIRED
        return held.life.freshness(self._clock.now(), self._clock.boottime())

    def _enough(self, held: _Held) -> timedelta:
        lifetime = timedelta() if held.life is None else held.life.lifetime
        return min(ABOUT_TO_EXPIRE, lifetime / 2)

    def _can_refresh(self, login: CognitoLogin) -> bool:
        """Whether a refresh has a chance at all."""
        held = self._of(login)
        tokens = self._usable(login, held)
        if tokens is None or held.is_refresh_over:
            return False
        return login.method is LoginMethod.COMMAND or tokens.refresh_token is not None

    def _may_refresh_now(self, login: CognitoLogin, held: _Held) -> bool:
        if not self._can_refresh(login):
            return False
        now = self._clock.monotonic()
        return now >= held.told_until if self._freshness(held) is Freshness.EXPIRED else held.backoff.may_try(now)

    def _start_refresh(self, login: CognitoLogin) -> asyncio.Task[None]:
        if not self._refreshes.has(login.cache_key):
            self._take_left_behind(login)
        known = self._of(login).stored
        return self._refreshes.start(login.cache_key, lambda: self._refresh(login, known))

    def _take_left_behind(self, login: CognitoLogin) -> None:
        """What the last refresh brought too late for whoever waited is in no file where there is no key."""
        held = self._of(login)
        before = held.stored
        found = None if held.refresh is None else held.refresh.left_behind(before)
        if found is not None and held.refresh is not None and before is not None:
            is_same = found.sign_in == before.sign_in
            self._adopt(login, held, found, same_sign_in=is_same, is_saved=held.refresh.is_durable)

    async def _refresh(self, login: CognitoLogin, known: Stored | None) -> None:
        """One refresh, its outcome noted. Never raises for a failure of AWS, a command or the disk."""
        held = self._of(login)
        abandoned = held.abandoned
        if known is None or known != held.stored:  # a look at the file has found newer ones since
            return
        if held.refresh is not None and held.refresh.is_under_way:  # given up on, but what it brings will be ours
            self._note_failure(login, held, DeadlineExceeded("the refresh before is still under way"))
            return
        refresh = Refresh(self.sources, login, known, was_on_disk=not held.is_unsaved, abandoned=abandoned)
        held.refresh = refresh
        try:
            found = await self._workers.run(REFRESH_DEADLINE, refresh.run, lane="refresh " + login.cache_key)
        except Exception as error:
            if not isinstance(error, (CredhelperError, *_NOT_DONE)):
                log.exception("a fault while refreshing the tokens of Cognito login %s", safe(login.label))
            self.on_refresh(error.code if isinstance(error, CredhelperError) else Unavailable.code)
            if not abandoned.is_set():
                self._note_failure(login, held, error)
            return
        self.on_refresh("logged_out" if abandoned.is_set() else "not_needed" if found is None else "ok")
        if abandoned.is_set():
            if refresh.issued is not None and self._of(login).stored is None:  # logged out, not logged in anew
                self.on_orphan(login, refresh.issued.tokens)
        elif found is None:
            self.look_again(login)
            if refresh.issued is not None and self._of(login).stored is None:  # logged out by another process
                self.on_orphan(login, refresh.issued.tokens)
        else:
            is_same = found.sign_in == known.sign_in
            self._adopt(login, held, found, same_sign_in=is_same, is_saved=refresh.is_durable)
            log.info("refreshed the tokens of Cognito login %s", safe(login.label))

    def _note_failure(self, login: CognitoLogin, held: _Held, error: Exception) -> None:
        why = cognito_refresh.worded(error)
        log.warning("could not refresh the tokens of Cognito login %s: %s", safe(login.label), why)
        held.last_error = why
        if isinstance(error, Refused) and error.reason in OVER:
            held.is_refresh_over = True
            self.on_end(login)
        elif isinstance(error, UpstreamError | ConfigError):
            held.failure = error
        elif isinstance(error, CommandFailed):  # which may want its person: to sign in to whatever it asks
            held.failure = LoginRequired(error.message, hint=login_command(login))
        else:
            held.failure = Unavailable(
                f"the tokens of the Cognito login “{safe(login.label)}” could not be refreshed: {why}"
            )
        asked = asked_pause(error)
        now = self._clock.monotonic()
        held.backoff.failed(now, self._rng, retry_after=asked)
        held.told_until = now + (TOLD_AGAIN if asked is None else min(asked, LONGEST_TOLD_AGAIN))

    def _why_none(self, login: CognitoLogin, held: _Held) -> LoginRequired:
        what = "you are not logged in with"
        if held.is_sealed and not self.store.is_open:
            what = "the keyring does not open, which is needed to unseal the tokens of"
        return login_required(login, what)

    def _why_expired(self, login: CognitoLogin, held: _Held) -> CredhelperError:
        if held.failure is not None and self._can_refresh(login):
            return held.failure.with_traceback(None)  # raised again and again, it would collect tracebacks
        return login_required(login, "your login has expired with")


def save(sources: Sources, login: CognitoLogin, stored: Stored, abandoned: threading.Event) -> bool:
    """Writes what is only in memory, under the lock; False when that is no longer wanted. Blocking.

    Raises OSError, LockBusy.
    """
    with cognito_refresh.locked(sources.lock_path(login.cache_key), cognito_refresh.LOCK_PATIENCE):
        if abandoned.is_set():
            return False
        sources.store.save(login, stored)
        if abandoned.is_set():  # a logout came between the look and the write
            sources.store.remove(login)
            return False
        return True


def token_hash(tokens: CognitoTokens) -> str:
    """What tells a token from another without being one."""
    return hashlib.sha256(tokens.id_token.encode()).hexdigest()


def login_command(login: CognitoLogin) -> str:
    """The command that logs in."""
    return "credhelper login --cognito-login " + shlex.quote(login.name)


def login_required(login: CognitoLogin, what: str) -> LoginRequired:
    """The error of a login that needs its person."""
    return LoginRequired(f"{what} Cognito login “{safe(login.label)}”", hint=login_command(login))


def _forget_failures(held: _Held) -> None:
    held.backoff.reset()
    held.failure, held.told_until, held.last_error = None, 0.0, None
    held.refused_id_token, held.is_refresh_over = None, False


async def _no_wait() -> None:
    """There is no key to wait for."""
