"""Role credentials in memory: served while fresh, renewed before anybody has to wait, fetched once for everybody.

Those that are asked for are kept alive in the background; those that nobody has asked for during their last life lapse.
Failed fetches are remembered, so that a shell prompt asking ten times a second does not become a hammer.

A chained role's are assumed with its source's, which come out of the same memory, and belong to the same login. What
takes a code of an MFA device is fetched only when a person has named one. An identity pool's are got by whoever knows
identity pools, and are kept like all others.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from credhelper.agent.backoff import Backoff, asked_pause
from credhelper.agent.flights import Flights
from credhelper.agent.session_names import NO_GOOD, SessionNames
from credhelper.agent.sign_ins import Given, PoolSource, SignIns
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain import documents
from credhelper.domain.errors import (
    CredhelperError,
    LoginRequired,
    MfaRequired,
    Refused,
    RoleNotAssigned,
    TokenRefused,
    TooShortLived,
    Unavailable,
    UpstreamError,
)
from credhelper.domain.freshness import Freshness, Life
from credhelper.domain.model import (
    AnyRole,
    ChainedRole,
    CognitoLogin,
    CognitoTokens,
    Guests,
    PoolFlow,
    PoolRole,
    Role,
    RoleCredentials,
    SignInSource,
    SsoSession,
)
from credhelper.domain.text import safe
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

FETCH_DEADLINE = 8.5  # seconds; the contract gives a caller 10
SDK_WINDOW = timedelta(minutes=15)
"""Below this an SDK asks again for every request (botocore's advisory window), so callers rather wait."""

TOLD_AGAIN = 1.0  # seconds for which a failure is answered from memory
NOT_ASSIGNED_TOLD_AGAIN = 30.0
LONGEST_TOLD_AGAIN = 30.0  # where AWS asked for a pause
QUICK_FAILURE = 2.0  # seconds; a failure as quick as this is worth a second try
SECOND_TRY_PAUSE = 0.2
PATIENCE = 2.0  # seconds a caller waits for better credentials when those at hand are still good
CHANGES_OF_LOGIN = 4  # how often a fetch starts again because the login changed under it

EARLIER = 0.1
"""The part of the refresh window by which a fetch in the background comes before it, at most: jitter."""

FETCHES_A_SECOND = 10
"""In the background: after a night of suspend hundreds of roles are due at once, and AWS allows about 20."""

CLOCK_MAY_STEP = timedelta(minutes=5)
"""What was obtained later than that from now on was obtained while the clock was another: nothing is known of it."""

AS_GOOD_AS_NEW = 0.95
"""With this part of their life left, new credentials would hardly be better: no person is asked for another code."""

REMEMBERED = timedelta(hours=1)
"""How long ``status`` shows what has expired."""

T = TypeVar("T")


@dataclass(slots=True)
class Entry:
    """The credentials of one role, ready to be handed out."""

    credentials: RoleCredentials
    document: str = field(repr=False)
    """For a ``credential_process``."""
    container_document: bytes = field(repr=False)
    """For a container credentials endpoint."""
    life: Life
    epoch: int
    earlier: timedelta = timedelta()
    """How long before the beginning of the refresh window the background fetch comes: jitter."""
    is_asked_for: bool = True
    """Whether anybody has asked for the role since these credentials were obtained."""
    last_used_at: datetime | None = None
    account_id: str = ""
    """Whose they are by AWS's word, where the role itself does not say it: an identity pool chooses roles."""
    role_name: str = ""
    """As ``account_id``."""
    identity_id: str | None = None
    """Of an identity pool: whose credentials they are."""
    settled: PoolRole | None = None
    """The pool's role as these credentials show it to be; made once, for it is looked at with every request."""


@dataclass(slots=True)
class _Failure:
    """The latest of a row of failures to get a role's credentials."""

    error: CredhelperError
    token_version: int
    told_until: float
    backoff: Backoff


class RoleCredentialsCache:
    """Every role's credentials. Lives on the event loop."""

    def __init__(
        self,
        tokens: SignIns[SignInSource, Any],
        api: IdentityCenter,
        clock: Clock,
        workers: Workers,
        rng: random.Random,
    ) -> None:
        self.pools: PoolSource | None = None
        """Who gets the credentials of identity pools' roles."""
        self.on_fetched: Callable[[AnyRole, Entry], None] = lambda _, __: None
        self.on_first_use: Callable[[AnyRole, Entry], None] = lambda _, __: None
        """Told when credentials are handed out for the first time since they were obtained."""
        self.on_dropped: Callable[[AnyRole], None] = lambda _: None
        self.on_fetch: Callable[[str], None] = lambda _: None
        """Told how each fetch has ended: "ok", or an error's ``code``."""
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self._tokens = tokens
        self._api = api
        self._clock = clock
        self._workers = workers
        self._rng = rng
        self._session_names = SessionNames()
        self._entries: dict[AnyRole, Entry] = {}
        self._failures: dict[AnyRole, _Failure] = {}
        self._fetches: Flights[AnyRole, Entry] = Flights(on_landed=self._attend)
        self._starts: list[float] = []
        """When the latest background fetches began, to keep to their rate."""
        self._handed_out: dict[AnyRole, RoleCredentials] = {}
        """What AWS still honours, whoever logs out: the latest of each role, also after it was dropped here."""

    # -- handing out --------------------------------------------------------------------------------------------------

    def hit(self, role: AnyRole) -> Entry | None:
        """The role's credentials if they can be handed out at once; None when it takes a fetch.

        Credentials of a session that was logged out anywhere are dropped.
        """
        entry = self._valid_entry(role)
        if entry is None:
            return None
        state = self._freshness(entry)
        if state is Freshness.EXPIRED:
            return None
        self._tokens.refresh_behind(role.session)
        if state is Freshness.STALE:
            if self._is_below_sdk_window(entry) and self._may_fetch(role):
                return None
            self._fetch_behind(role)
        return self._hand_out(role, entry)

    async def get(self, role: AnyRole, *, min_left: timedelta | None = None) -> Entry:
        """The role's credentials, renewed first where they are good for less than ``min_left``.

        Raises LoginRequired (MfaRequired), RoleNotAssigned, ConfigError, UpstreamError; TooShortLived where AWS gives
        none that last so long.
        """
        entry = await self._present_entry(role)
        if min_left is not None and self._left(entry) < min_left:
            if not (self._wants_person(role) and entry.life.lifetime < min_left):  # a code would be of no use
                await self._fetch_now(role)
                entry = await self._present_entry(role)
            if self._left(entry) < min_left:
                raise TooShortLived(
                    f"the credentials of {called(role)} are good for"
                    f" {_minutes(self._left(entry))} min, and {_minutes(min_left)} min are asked for",
                    hint=f"ask for less; {_what_ends(role)}",
                )
        return self._hand_out(role, entry)

    def present(self, role: AnyRole) -> Entry | None:
        """What is in memory for the role, in whatever state; hands nothing out."""
        return self._entries.get(role)

    def settled(self, role: AnyRole) -> AnyRole:
        """The same role, and where identity pools choose, with what they have chosen by now, also further down."""
        if isinstance(role, Role):
            return role
        if isinstance(role, ChainedRole):
            source = self.settled(role.source)
            return role if source is role.source else replace(role, source=source)
        entry = self._entries.get(role)
        if entry is None:
            return role
        if entry.settled is None:
            entry.settled = role.as_given(entry.account_id, entry.role_name)
        return entry.settled

    def is_of_present_login(self, role: AnyRole, entry: Entry) -> bool:
        """Whether nobody has logged out, or in again, since these credentials were obtained."""
        return not self._is_of_past_login(entry, role.session)

    def entries(self) -> list[tuple[AnyRole, Entry, str]]:
        """Every role with its entry and state (fresh, stale, expired)."""
        return [
            (self.settled(role), entry, self._freshness(entry).value)
            for role in list(self._entries)
            if (entry := self._valid_entry(role)) is not None
        ]

    # -- codes of MFA devices -----------------------------------------------------------------------------------------

    def lacking_code(self, role: AnyRole, *, min_left: timedelta | None = None) -> ChainedRole | None:
        """The role that a code is to be named for now, so that ``role`` can be served for a while; None: without one.

        Of several in a chain that is the one nearest to the session. A while is ``min_left``, or what an SDK wants,
        but no more than new credentials would have.
        """
        if not isinstance(role, ChainedRole):
            return None
        entry = self._valid_entry(role)
        if entry is not None:
            lifetime = entry.life.lifetime
            enough = min(SDK_WINDOW, lifetime / 2) if min_left is None else min(min_left, lifetime * AS_GOOD_AS_NEW)
            if self._left(entry) >= enough:
                return None
        return self.lacking_code(role.source) or (role if role.mfa_serial is not None else None)

    async def assume_with_code(self, role: ChainedRole, code: str) -> None:
        """Gets the credentials of a role that ``lacking_code`` has named.

        Raises LoginRequired, MfaRefused, AssumeRoleDenied, ConfigError, UpstreamError.
        """
        await self._fetches.join(role, lambda: self._fetch(role, code))

    def _wants_person(self, role: AnyRole) -> bool:
        """Whether it can be fetched only with a code of an MFA device, its own or one further down."""
        if not isinstance(role, ChainedRole):
            return False
        if role.mfa_serial is not None:
            return True
        return self._wants_person(role.source) and not self._is_at_hand(role.source)

    def _is_at_hand(self, role: AnyRole) -> bool:
        entry = self._valid_entry(role)
        return entry is not None and self._freshness(entry) is not Freshness.EXPIRED

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def forget(self, session_key: str) -> list[tuple[AnyRole, RoleCredentials]]:
        """Drops a session's credentials and failures; returns those handed out that have not expired."""
        self._failures = {r: f for r, f in self._failures.items() if r.session.cache_key != session_key}
        self._entries = {r: e for r, e in self._entries.items() if r.session.cache_key != session_key}
        handed_out = [(r, c) for r, c in self._handed_out.items() if r.session.cache_key == session_key]
        for role, _ in handed_out:
            del self._handed_out[role]
        now = self._api.server_time.now()
        return [(role, credentials) for role, credentials in handed_out if credentials.expires_at > now]

    def drop_outlived(self, session: SignInSource) -> None:
        """Drops what was obtained before the session's last login or logout, wherever that happened."""
        epoch = self._tokens.epoch(session)
        for role, entry in list(self._entries.items()):
            if role.session.cache_key == session.cache_key and entry.epoch != epoch:
                self._drop(role)

    def forget_failures(self) -> None:
        """After a change of the configuration, what failed before may work; only a pause that AWS asked for is kept."""
        for role, failure in list(self._failures.items()):
            if asked_pause(failure.error) is None:
                del self._failures[role]

    # -- by itself ----------------------------------------------------------------------------------------------------

    def run_due(self) -> float | None:
        """Starts fetches that are due, 10 a second; seconds until the next will be, None when nothing is to come."""
        self._prune()
        pauses = []
        for role in list(self._entries):
            pause = self._due_in(role)
            if pause is not None and pause <= 0:
                pause = self._wait_for_turn()
                if pause <= 0:
                    self._starts.append(self._clock.monotonic())
                    self._fetches.start(role, lambda role=role: self._fetch(role))  # type: ignore[misc]
                    continue
            if pause is not None:
                pauses.append(pause)
        return min(pauses, default=None)

    def retry_now(self) -> None:
        """What could not be reached may be reached now: the network has changed, or the machine has slept."""
        for failure in self._failures.values():
            if isinstance(failure.error, UpstreamError):
                failure.backoff.forgive()
                failure.told_until = min(failure.told_until, failure.backoff.retry_at)

    def restore(self, role: AnyRole, given: Given, *, last_used_at: datetime | None, skew: timedelta) -> bool:
        """Takes back what a daemon before us obtained under the present login; whether it is of use.

        ``skew`` is how far AWS's clock was ahead of this machine's then: since the start nothing of it may have been
        measured yet, and a clock that is behind must keep nothing alive.
        """
        credentials = given.credentials
        now = max(self._api.server_time.now(), self._clock.now() + skew)
        if role in self._entries or not credentials.obtained_at - CLOCK_MAY_STEP <= now < credentials.expires_at:
            return False
        entry = self._new_entry(given, self._tokens.epoch(role.session), now)
        # Who asked for it last, and whether since it was obtained, is known only as of the last write.
        entry.last_used_at, entry.is_asked_for = last_used_at, True
        self._entries[role] = entry
        self._note_handed_out(role, credentials)
        self._failures.pop(role, None)
        self.on_attention()
        return True

    async def stop(self) -> None:
        """Ends every fetch."""
        await self._fetches.cancel_all()
        await self._session_names.stop()

    def _due_in(self, role: AnyRole) -> float | None:
        """Seconds until the background fetch of a role in use; None for one that is to lapse, or that has no chance."""
        entry = self._valid_entry(role)
        if not self._tokens.is_in_force(role.session):  # the section has been changed since
            return None
        if self._wants_person(role):
            return None
        if entry is None or not entry.is_asked_for or self._fetches.has(role) or self._tokens.is_over(role.session):
            return None
        # Also when it has expired, in a suspend for example: it was in use, and will be again.
        pause = (self._left(entry) - entry.life.window - entry.earlier).total_seconds()
        # Many roles must not try to refresh an expired token more often than the token's own pauses allow.
        pause = max(pause, self._tokens.expired_for(role.session))
        failure = self._failure(role)
        return pause if failure is None else max(pause, failure.backoff.retry_at - self._clock.monotonic())

    def _wait_for_turn(self) -> float:
        now = self._clock.monotonic()
        self._starts = [start for start in self._starts if now - start < 1.0]
        return 0.0 if len(self._starts) < FETCHES_A_SECOND else self._starts[0] + 1.0 - now

    def _prune(self) -> None:
        """Forgets what nobody can be given or told any more, so that months do not add up."""
        server_now, now = self._api.server_time.now(), self._clock.monotonic()
        for role, entry in list(self._entries.items()):
            if self._left(entry) > -REMEMBERED:
                continue
            is_wanted = entry.is_asked_for and not self._tokens.is_over(role.session)
            if not is_wanted or self._wants_person(role):
                self._drop(role)
        self._handed_out = {r: c for r, c in self._handed_out.items() if c.expires_at > server_now}
        self._failures = {
            r: f for r, f in self._failures.items() if r in self._entries or max(f.told_until, f.backoff.retry_at) > now
        }

    # -- the parts ----------------------------------------------------------------------------------------------------

    async def _entry(self, role: AnyRole) -> Entry:
        entry = self._valid_entry(role)
        state = Freshness.EXPIRED if entry is None else self._freshness(entry)
        if entry is not None and state is Freshness.FRESH:
            return entry
        if entry is not None and state is Freshness.STALE:
            return await self._better_or_same(role)
        failure = self._failure(role)
        if failure is not None and not self._wants_person(role) and self._clock.monotonic() < failure.told_until:
            raise failure.error.with_traceback(None)  # raised again and again, it would collect tracebacks
        try:
            return await self._fetch_now(role)
        except UpstreamError:
            restored = self._valid_entry(role)  # the vault may have been opened meanwhile
            if restored is None or self._freshness(restored) is Freshness.EXPIRED:
                raise
            return restored

    async def _present_entry(self, role: AnyRole) -> Entry:
        for _ in range(CHANGES_OF_LOGIN):
            entry = await self._entry(role)
            if self._valid_entry(role) is entry:  # else a logout or another login came just now
                return entry
        raise Unavailable(f"the login to {called_source(role.session)} keeps changing")

    async def _better_or_same(self, role: AnyRole) -> Entry:
        """Newer credentials if they come soon; else those at hand, unless they or their login ended meanwhile.

        Raises like ``get``.
        """
        if self._may_fetch(role):
            flight = self._fetches.start(role, lambda: self._fetch(role))
            await asyncio.wait({flight}, timeout=PATIENCE)
            if flight.done() and isinstance(flight.exception(), RoleNotAssigned):
                return await flight
        entry = self._valid_entry(role)
        if entry is not None and self._freshness(entry) is not Freshness.EXPIRED:
            return entry
        return await self._entry(role)

    def _attend(self) -> None:
        self.on_attention()

    def _valid_entry(self, role: AnyRole) -> Entry | None:
        entry = self._entries.get(role)
        if entry is None:
            return None
        if self._tokens.look(role.session) is None or entry.epoch != self._tokens.epoch(role.session):
            self._drop(role)
            return None
        return entry

    def _failure(self, role: AnyRole) -> _Failure | None:
        failure = self._failures.get(role)
        if failure is None:
            return None
        self._tokens.look(role.session)
        if failure.token_version != self._tokens.version(role.session):
            self._failures.pop(role, None)
            return None
        return failure

    def _drop(self, role: AnyRole) -> None:
        if self._entries.pop(role, None) is not None:
            self.on_dropped(role)

    def _left(self, entry: Entry) -> timedelta:
        return entry.life.left(self._api.server_time.now(), self._clock.boottime())

    def _freshness(self, entry: Entry) -> Freshness:
        """By AWS's clock: what it dates absolutely must not be judged by a clock that is set wrong."""
        return entry.life.freshness(self._api.server_time.now(), self._clock.boottime())

    def _is_below_sdk_window(self, entry: Entry) -> bool:
        """Little enough time is left that an SDK would ask again at once; less for sessions that are short anyway."""
        return self._left(entry) < min(SDK_WINDOW, entry.life.window * 0.75)

    def _may_fetch(self, role: AnyRole) -> bool:
        """Whether to try behind anybody's back, who has credentials that are still good."""
        if self._wants_person(role):
            return False
        failure = self._failure(role)
        return failure is None or failure.backoff.may_try(self._clock.monotonic())

    def _fetch_behind(self, role: AnyRole) -> None:
        if self._may_fetch(role):
            self._fetches.start(role, lambda: self._fetch(role))

    def _hand_out(self, role: AnyRole, entry: Entry) -> Entry:
        entry.last_used_at = self._clock.now()
        if not entry.is_asked_for:
            entry.is_asked_for = True
            self.on_first_use(role, entry)
            self.on_attention()
        self._note_handed_out(role, entry.credentials)
        return entry

    def _note_handed_out(self, role: AnyRole, credentials: RoleCredentials) -> None:
        """Under what the role is called by now: two that are equal may differ in that."""
        if not isinstance(role, Role):
            role = self.settled(role)
            self._handed_out.pop(role, None)
        self._handed_out[role] = credentials

    async def _fetch_now(self, role: AnyRole) -> Entry:
        """A fetch to wait for. Raises like ``get``."""
        if isinstance(role, ChainedRole) and role.mfa_serial is not None:
            await self._tokens.current(role.session)  # a code would be of no use before the login
            raise MfaRequired(
                f"the role {safe(role.role_name)} in {safe(role.account_id)} wants a code of the MFA device"
                f" {safe(role.mfa_serial)}"
            )
        return await self._fetches.join(role, lambda: self._fetch(role))

    async def _fetch(self, role: AnyRole, code: str | None = None) -> Entry:
        """One fetch for everybody who waits; its failure is remembered."""
        try:
            if isinstance(role, ChainedRole):
                entry = await self._assume(role, code)
            else:
                entry = await self._fetch_for_current_login(role)
        except CredhelperError as error:
            self.on_fetch(error.code)
            self._note_failure(role, error)
            raise
        except Exception:
            self.on_fetch(CredhelperError.code)
            self._note_failure(role, CredhelperError("a fault in the credhelper daemon; its log says more"))
            raise
        self.on_fetch("ok")
        before = self._entries.get(role)
        entry.last_used_at = before.last_used_at if before else None
        self._entries[role] = entry
        self._failures.pop(role, None)
        self.on_fetched(role, entry)
        return entry

    async def _assume(self, role: ChainedRole, code: str | None) -> Entry:
        is_source_new = False
        for _ in range(CHANGES_OF_LOGIN):
            source = await self._present_entry(role.source)
            try:
                credentials = await self._assume_with(source, role, code)
            except CredhelperError as error:
                if self._is_of_past_login(source, role.session):
                    continue
                if is_source_new or not isinstance(error, Refused) or error.reason not in NO_GOOD:
                    raise
                is_source_new = True
                if self._entries.get(role.source) is source:
                    self._drop(role.source)
                continue
            if not self._is_of_past_login(source, role.session):
                given = Given(credentials, role.account_id, role.role_name)
                return self._new_entry(given, source.epoch, self._api.server_time.now())
        raise Unavailable(f"the login to {called_source(role.session)} keeps changing")

    def _is_of_past_login(self, entry: Entry, session: SignInSource) -> bool:
        self._tokens.look(session)
        return entry.epoch != self._tokens.epoch(session)

    async def _assume_with(self, source: Entry, role: ChainedRole, code: str | None) -> RoleCredentials:
        place, lane, keys = f"STS in {role.region}", f"sts {role.region}", source.credentials
        name = await self._session_names.of(
            role,
            source.epoch,
            lambda: self.call(lambda: self._api.get_caller_identity(role.region, keys), place, lane),
        )
        return await self.call(lambda: self._api.assume_role(role, keys, name, code), place, lane)

    async def _fetch_for_current_login(self, role: Role | PoolRole) -> Entry:
        session = role.session
        may_refresh = True
        for _ in range(CHANGES_OF_LOGIN):
            token = await self._tokens.current(session)
            epoch = self._tokens.epoch(session)
            try:
                given = await self._fetch_with(token, role)
            except CredhelperError as error:
                if self._tokens.look(session) != token and epoch != self._tokens.epoch(session):
                    continue  # whatever it was, it was about another login
                if not _is_about_token(error):
                    raise
                await self._tokens.refused(session, token, may_refresh=may_refresh)
                may_refresh = False
                continue
            self._tokens.look(session)
            if epoch == self._tokens.epoch(session):
                return self._new_entry(given, epoch, self._api.server_time.now())
            # A logout or another login came in between: what was fetched belongs to the one before.
        raise Unavailable(f"the login to {called_source(session)} keeps changing")

    async def _fetch_with(self, token: Any, role: Role | PoolRole) -> Given:
        """``token`` is what ``current`` has given for the role's kind of sign-in."""
        if isinstance(role, Role):
            return Given(await self._call_portal(role, token.access_token), role.account_id, role.role_name)
        assert self.pools is not None  # noqa: S101  # whoever serves such roles has said who gets them
        return await self.pools.fetch(role, token if isinstance(token, CognitoTokens) else None)

    def _new_entry(self, given: Given, epoch: int, now: datetime) -> Entry:
        credentials = given.credentials
        left = credentials.expires_at - now
        deadline = self._clock.boottime() + left.total_seconds()
        life = Life(credentials.expires_at, deadline, credentials.lifetime)
        return Entry(
            credentials,
            documents.process_document(credentials, given.account_id),
            documents.container_document(credentials, given.account_id),
            life,
            epoch,
            earlier=life.window * (EARLIER * self._rng.random()),
            is_asked_for=False,
            account_id=given.account_id,
            role_name=given.role_name,
            identity_id=given.identity_id,
        )

    async def _call_portal(self, role: Role, access_token: str) -> RoleCredentials:
        session = role.session
        return await self.call(
            lambda: self._api.get_role_credentials(role, access_token),
            f"the portal in {session.region}",
            session.cache_key,
        )

    async def call(self, call: Callable[[], T], place: str, lane: str) -> T:
        """``call()`` in a thread; once more where it failed quickly. Raises what it raises, and Unavailable."""
        started = self._clock.monotonic()
        try:
            return await self._call_once(call, place, lane)
        except Unavailable as error:
            if error.retry_after is not None or self._clock.monotonic() - started > QUICK_FAILURE:
                raise
        await asyncio.sleep(SECOND_TRY_PAUSE)
        return await self._call_once(call, place, lane)

    async def _call_once(self, call: Callable[[], T], place: str, lane: str) -> T:
        try:
            return await self._workers.run(FETCH_DEADLINE, call, lane=lane)
        except DeadlineExceeded as error:
            raise Unavailable(f"{place} gave {error}") from None

    def _note_failure(self, role: AnyRole, error: CredhelperError) -> None:
        log.warning("no credentials for %s: %s", called(role), error)
        before = self._failures.get(role)
        backoff = Backoff() if before is None else before.backoff
        now, asked, told = self._clock.monotonic(), asked_pause(error), TOLD_AGAIN
        if isinstance(error, RoleNotAssigned):
            self._drop(role)
            asked = told = NOT_ASSIGNED_TOLD_AGAIN
        elif isinstance(error, LoginRequired) or self._tokens.remembers(role.session, error):
            told = 0.0  # it costs no call to find out again; told twice from memory, it would be told twice as long
        elif asked is not None:
            told = min(asked, LONGEST_TOLD_AGAIN)
        if isinstance(role, ChainedRole) and self._remembers(role.source, error):
            told = 0.0  # as above: its source tells it
        backoff.failed(now, self._rng, retry_after=asked)
        self._failures[role] = _Failure(error, self._tokens.version(role.session), now + told, backoff)

    def _remembers(self, role: AnyRole, error: CredhelperError) -> bool:
        failure = self._failures.get(role)
        return failure is not None and failure.error is error


def _what_ends(role: AnyRole) -> str:
    if not isinstance(role, PoolRole):
        return "it is the role's own session length that ends them, or a max_ttl rule of yours"
    if role.flow is PoolFlow.ENHANCED:
        return "Cognito's enhanced flow gives an hour and never more"
    return "it is credhelper_duration_seconds that ends them, or a max_ttl rule of yours"


def called(role: AnyRole) -> str:
    """What a message calls it: not even its account is known where only an identity pool knows."""
    if isinstance(role, PoolRole) and role.named_arn is None:
        return f"the identity pool {safe(role.pool_id)}"
    return f"{safe(role.role_name)} in {safe(role.account_id)}"


def called_source(source: SignInSource) -> str:
    """What a message calls that with which one signs in."""
    match source:
        case SsoSession():
            return f"session {safe(source.label)}"
        case CognitoLogin():
            return f"the cognito_login {safe(source.label)}"
        case Guests():
            return safe(source.label)


def _is_about_token(error: CredhelperError) -> bool:
    """Whether AWS does not take what the login has given: a refresh may help, or else a login."""
    if isinstance(error, TokenRefused):
        return True
    return isinstance(error, Refused) and error.reason == "UnauthorizedException"


def _minutes(span: timedelta) -> int:
    return round(span.total_seconds() / 60)
