"""Role credentials in memory: served while fresh, renewed behind a caller while stale, fetched once for everybody.

Failed fetches are remembered, so that a shell prompt asking ten times a second does not become a hammer.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from credhelper.agent.flights import Flights
from credhelper.agent.tokens import Tokens
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain import documents
from credhelper.domain.errors import (
    CredhelperError,
    LoginRequired,
    Refused,
    RoleNotAssigned,
    Throttled,
    Unavailable,
)
from credhelper.domain.freshness import Freshness, freshness, refresh_at
from credhelper.domain.model import Role, RoleCredentials
from credhelper.domain.text import safe
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

FETCH_DEADLINE = 8.5  # seconds; the contract gives a caller 10
SDK_WINDOW = timedelta(minutes=15)
"""Below this an SDK asks again for every request (botocore's advisory window), so callers rather wait."""

TOLD_AGAIN = 1.0  # seconds for which a failure is answered from memory
NOT_ASSIGNED_TOLD_AGAIN = 30.0
LONGEST_RETRY_AFTER = 30.0
LONGEST_PAUSE = 60.0  # seconds between two renewals in the background that fail
QUICK_FAILURE = 2.0  # seconds; a failure as quick as this is worth a second try
SECOND_TRY_PAUSE = 0.2
PATIENCE = 2.0  # seconds a caller waits for better credentials when those at hand are still good
CHANGES_OF_LOGIN = 4  # how often a fetch starts again because the login changed under it


@dataclass(slots=True)
class Entry:
    """The credentials of one role, ready to be handed out."""

    credentials: RoleCredentials
    document: str = field(repr=False)
    epoch: int
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    error: CredhelperError
    token_version: int
    told_until: float
    retry_at: float
    count: int


class RoleCredentialsCache:
    """Every role's credentials. Lives on the event loop."""

    def __init__(self, tokens: Tokens, api: IdentityCenter, clock: Clock, workers: Workers) -> None:
        self._tokens = tokens
        self._api = api
        self._clock = clock
        self._workers = workers
        self._entries: dict[Role, Entry] = {}
        self._failures: dict[Role, _Failure] = {}
        self._fetches: Flights[Role, Entry] = Flights()
        self._handed_out: dict[Role, RoleCredentials] = {}
        """What AWS still honours, whoever logs out: the latest of each role, also after it was dropped here."""

    def hit(self, role: Role) -> str | None:
        """The role's ``credential_process`` document if it can be answered at once; None when it takes a fetch.

        Looks at the token file: credentials of a session that was logged out anywhere are dropped.
        """
        entry = self._valid_entry(role)
        if entry is None or self._is_due(entry) is Freshness.EXPIRED:
            return None
        self._tokens.refresh_behind(role.session)
        if self._is_due(entry) is Freshness.STALE:
            if self._is_below_sdk_window(entry) and self._may_fetch(role):
                return None
            self._fetch_behind(role)
        return self._hand_out(role, entry)

    async def get(self, role: Role) -> str:
        """The role's ``credential_process`` document. Raises LoginRequired, RoleNotAssigned, UpstreamError."""
        entry = await self._entry(role)
        if self._valid_entry(role) is not entry:  # a logout or another login came just now
            entry = await self._entry(role)
        return self._hand_out(role, entry)

    async def credentials(self, role: Role) -> RoleCredentials:
        """The role's credentials themselves, for calls of our own."""
        return (await self._entry(role)).credentials

    def forget(self, session_key: str) -> list[tuple[Role, RoleCredentials]]:
        """Drops a session's credentials and failures; returns those handed out that have not expired."""
        self._failures = {r: f for r, f in self._failures.items() if r.session.cache_key != session_key}
        self._entries = {r: e for r, e in self._entries.items() if r.session.cache_key != session_key}
        handed_out = [(r, c) for r, c in self._handed_out.items() if r.session.cache_key == session_key]
        for role, _ in handed_out:
            del self._handed_out[role]
        return [(role, credentials) for role, credentials in handed_out if credentials.expires_at > self._clock.now()]

    def forget_failures(self) -> None:
        """After a change of the configuration, what failed before may work."""
        self._failures.clear()

    def entries(self) -> list[tuple[Role, Entry, str]]:
        """Every role with its entry and state (fresh, stale, expired)."""
        return [
            (role, entry, self._is_due(entry).value)
            for role in list(self._entries)
            if (entry := self._valid_entry(role)) is not None
        ]

    async def stop(self) -> None:
        """Ends every fetch."""
        await self._fetches.cancel_all()

    async def _entry(self, role: Role) -> Entry:
        entry = self._valid_entry(role)
        state = Freshness.EXPIRED if entry is None else self._is_due(entry)
        if entry is not None and state is Freshness.FRESH:
            return entry
        if entry is not None and state is Freshness.STALE:
            return await self._better_or_same(role)
        failure = self._failure(role)
        if failure is not None and self._clock.monotonic() < failure.told_until:
            raise failure.error.with_traceback(None)  # raised again and again, it would collect tracebacks
        return await self._fetches.join(role, lambda: self._fetch(role))

    async def _better_or_same(self, role: Role) -> Entry:
        """Newer credentials if they come soon; else those at hand, unless they or their login ended meanwhile.

        Raises like ``get``.
        """
        if self._may_fetch(role):
            flight = self._fetches.start(role, lambda: self._fetch(role))
            await asyncio.wait({flight}, timeout=PATIENCE)
            if flight.done() and isinstance(flight.exception(), RoleNotAssigned):
                return await flight
        entry = self._valid_entry(role)
        if entry is not None and self._is_due(entry) is not Freshness.EXPIRED:
            return entry
        return await self._entry(role)

    def _valid_entry(self, role: Role) -> Entry | None:
        entry = self._entries.get(role)
        if entry is None:
            return None
        if self._tokens.look(role.session) is None or entry.epoch != self._tokens.epoch(role.session):
            del self._entries[role]
            return None
        return entry

    def _failure(self, role: Role) -> _Failure | None:
        failure = self._failures.get(role)
        if failure is None:
            return None
        self._tokens.look(role.session)
        if failure.token_version != self._tokens.version(role.session):
            del self._failures[role]
            return None
        return failure

    def _is_due(self, entry: Entry) -> Freshness:
        return freshness(self._clock.now(), entry.credentials.expires_at, entry.credentials.lifetime)

    def _is_below_sdk_window(self, entry: Entry) -> bool:
        """Little enough time is left that an SDK would ask again at once; less for sessions that are short anyway."""
        credentials = entry.credentials
        window = credentials.expires_at - refresh_at(credentials.expires_at, credentials.lifetime)
        return credentials.expires_at - self._clock.now() < min(SDK_WINDOW, window * 0.75)

    def _may_fetch(self, role: Role) -> bool:
        failure = self._failure(role)
        return failure is None or self._clock.monotonic() >= failure.retry_at

    def _fetch_behind(self, role: Role) -> None:
        if self._may_fetch(role):
            self._fetches.start(role, lambda: self._fetch(role))

    def _hand_out(self, role: Role, entry: Entry) -> str:
        entry.last_used_at = self._clock.now()
        self._handed_out[role] = entry.credentials
        return entry.document

    async def _fetch(self, role: Role) -> Entry:
        """One fetch for everybody who waits; its failure is remembered."""
        try:
            entry = await self._fetch_for_current_login(role)
        except CredhelperError as error:
            self._note_failure(role, error)
            raise
        before = self._entries.get(role)
        entry.last_used_at = before.last_used_at if before else None
        self._entries[role] = entry
        self._failures.pop(role, None)
        return entry

    async def _fetch_for_current_login(self, role: Role) -> Entry:
        session = role.session
        may_refresh = True
        for _ in range(CHANGES_OF_LOGIN):
            token = await self._tokens.current(session)
            epoch = self._tokens.epoch(session)
            try:
                credentials = await self._call(role, token.access_token)
            except CredhelperError as error:
                if self._tokens.look(session) != token and epoch != self._tokens.epoch(session):
                    continue  # whatever it was, it was about another login
                if not isinstance(error, Refused) or error.reason != "UnauthorizedException":
                    raise
                await self._tokens.refused(session, token, may_refresh=may_refresh)
                may_refresh = False
                continue
            self._tokens.look(session)
            if epoch == self._tokens.epoch(session):
                return Entry(credentials, documents.process_document(credentials, role.account_id), epoch)
            # A logout or another login came in between: what was fetched belongs to the one before.
        raise Unavailable(f"the login to session {safe(session.label)} keeps changing")

    async def _call(self, role: Role, access_token: str) -> RoleCredentials:
        started = self._clock.monotonic()
        try:
            return await self._call_once(role, access_token)
        except Unavailable:
            if self._clock.monotonic() - started > QUICK_FAILURE:
                raise
        await asyncio.sleep(SECOND_TRY_PAUSE)
        return await self._call_once(role, access_token)

    async def _call_once(self, role: Role, access_token: str) -> RoleCredentials:
        try:
            return await self._workers.run(
                FETCH_DEADLINE, lambda: self._api.get_role_credentials(role, access_token), lane=role.session.cache_key
            )
        except DeadlineExceeded as error:
            raise Unavailable(f"the portal in {role.session.region} gave {error}") from None

    def _note_failure(self, role: Role, error: CredhelperError) -> None:
        log.warning("no credentials for %s in %s: %s", safe(role.role_name), safe(role.account_id), error)
        before = self._failures.get(role)
        count = 0 if before is None else before.count + 1
        told = TOLD_AGAIN
        if isinstance(error, RoleNotAssigned):
            self._entries.pop(role, None)
            told = NOT_ASSIGNED_TOLD_AGAIN
        elif isinstance(error, Throttled) and error.retry_after is not None:
            told = min(error.retry_after, LONGEST_RETRY_AFTER)
        elif isinstance(error, LoginRequired):
            told = 0.0  # it costs no call to find out again
        now = self._clock.monotonic()
        self._failures[role] = _Failure(
            error=error,
            token_version=self._tokens.version(role.session),
            told_until=now + told,
            retry_at=now + max(told, min(2.0**count, LONGEST_PAUSE)),
            count=count,
        )
