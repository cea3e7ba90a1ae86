"""The inventory: which accounts and roles each session's login may use, listed once for everybody who asks.

A whole listing takes a call for every account, some fifty seconds for 500. What it has found is kept, in memory and in
the name cache, so that one that was interrupted goes on where it was: by Ctrl-C, by an outage, by the daemon's end.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from credhelper.agent.followed import Followed
from credhelper.agent.listing import LoginHasChanged, Means, Walk
from credhelper.agent.pace import Pace
from credhelper.agent.tokens import Tokens, access_token_hash, login_required
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.accounts import Account, ListedAccount, Listing, Parts, is_account_id, listed
from credhelper.domain.documents import parse_timestamp, timestamp
from credhelper.domain.errors import CredhelperError, RoleNotAssigned, Unavailable, UsageError
from credhelper.domain.model import SsoSession
from credhelper.domain.text import safe
from credhelper.local import inventory_files, private_files
from credhelper.local.clock import Clock
from credhelper.local.inventory_files import Kept
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

PARTS_LAST = timedelta(minutes=10)
"""How old what an interrupted listing has found may be when the next one goes on with it."""
SAVED_EVERY = 5.0  # seconds, while a listing is under way
DISK_DEADLINE = 3.0
STOP_PATIENCE = 1.5  # seconds that a stop waits for what is being written
CHANGES_OF_LOGIN = 4  # how often a listing starts again because the login changed under it
LONGEST_MAX_AGE = 7 * 86_400  # seconds
LONGEST_NUMBER = 20  # digits; int() refuses some thousands

Fields = Mapping[str, str]
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be listed: everything, the accounts without their roles, or one account with its roles."""

    account_id: str | None = None
    is_for_accounts: bool = False
    max_age: timedelta = timedelta()

    @classmethod
    def of(cls, fields: Fields) -> "Wish":
        """Raises UsageError."""
        only, age, account_id = fields.get("only"), fields.get("max_age", "0"), fields.get("account_id")
        if only not in {None, "accounts"} or (only and account_id is not None):
            raise UsageError(f"“{safe(only or '')}” is nothing that can be listed by itself")
        if not (age.isascii() and age.isdigit() and len(age) <= LONGEST_NUMBER):
            raise UsageError(f"“{safe(age)}” is no number of seconds")
        if account_id is not None and not is_account_id(account_id):
            raise UsageError(f"--account-id: “{safe(account_id)}” is not 12 digits")
        return cls(account_id, only is not None, timedelta(seconds=min(int(age), LONGEST_MAX_AGE)))

    @property
    def key(self) -> str:
        """What tells it from other wishes about the same session."""
        return self.account_id or ("accounts" if self.is_for_accounts else "")


@dataclass(slots=True)
class _Known:
    """What is known of one session."""

    listing: Listing | None = None
    parts: Parts | None = None
    epoch: int = -1
    """The login that both were listed with; other logins' names are of use, but no answer."""
    as_of: float | None = None
    """Boottime of the listing; None where it is of another login, or of one that cannot be told."""
    saved_at: float = 0.0
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    abandoned: Event = field(default_factory=Event)
    """Tells work in its thread that the session was logged out, and nothing is to stay."""


class Flight(Followed):
    """One listing under way, or ended, and everybody who follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = (0, 0)
        """How many accounts of how many; of none where that is not known yet."""
        self._listing: Listing | None = None
        self._error: CredhelperError | None = None

    def begin(self, work: Callable[["Flight"], Awaitable[Listing]]) -> None:
        """Starts it."""
        self._start(self._run(work))

    def tell(self, parts: Parts) -> None:
        """How far it is."""
        self.progress = (len(parts.accounts) - len(parts.missing), len(parts.accounts))
        self._wake()

    @property
    def is_open(self) -> bool:
        """Whether it can still be joined."""
        return not self.has_ended and self._error is None

    @property
    def listing(self) -> Listing:
        """What it has found. Raises what it failed with."""
        if self._error is not None:
            raise self._error.with_traceback(None)  # raised for each follower, it would collect tracebacks
        assert self._listing is not None  # noqa: S101  # it has ended
        return self._listing

    async def follow(self) -> AsyncGenerator[tuple[int, int], None]:
        """How far it is, now and whenever that changes. When the last follower leaves before the end, it is ended."""
        async with self._followed():
            while not self.has_ended:
                news = self._news
                yield self.progress
                await self._next(news)

    async def end(self, error: CredhelperError) -> None:
        """Ends it with ``error`` for everybody, if it is still under way."""
        if not self.has_ended:
            self._error = error
            await self._cancel()

    async def _left_alone(self) -> None:
        await self.end(Unavailable("nobody waits for the listing any more"))

    async def _run(self, work: Callable[["Flight"], Awaitable[Listing]]) -> None:
        try:
            self._listing = await work(self)
        except CredhelperError as error:
            self._error = error
        except asyncio.CancelledError:
            self._error = self._error or Unavailable("the daemon is stopping")
        except Exception:
            log.exception("a fault while listing accounts and roles")
            self._error = CredhelperError("a fault in the credhelper daemon; its log says more")


class Inventory:
    """Every session's accounts and roles. Lives on the event loop; ``file_of`` names a session's name cache."""

    def __init__(
        self,
        tokens: Tokens,
        api: IdentityCenter,
        clock: Clock,
        network: Workers,
        disk: Workers,
        rng: random.Random,
        file_of: Callable[[str], Path],
    ) -> None:
        self.pace = Pace(clock, rng)
        self._means = Means(tokens, api, clock, network, rng, self.pace)
        self._tokens = tokens
        self._clock = clock
        self._disk = disk
        self._file_of = file_of
        self._known: dict[str, _Known] = {}
        self._reading = asyncio.Lock()
        self._flights: dict[tuple[str, str], Flight] = {}
        self._saves: set[asyncio.Task[None]] = set()

    async def take(self, session: SsoSession, wish: Wish, tell: Tell = lambda _: None) -> Listing:
        """What ``wish`` asks for; from memory where that is young enough. ``tell`` is given events of the progress.

        Raises LoginRequired, UpstreamError, AccessRefused.
        """
        known = await self._of(session)
        if wish.max_age and (recalled := self._recall(session, known, wish)) is not None:
            return recalled
        flight = self._join(session, wish)
        async with aclosing(flight.follow()) as steps:
            async for done, total in steps:
                tell({"event": "progress", "done": done, "total": total})
        return flight.listing

    async def names(self, session: SsoSession) -> Listing | None:
        """The last whole listing of a session, of whatever age, without the network; None: not that anybody knows."""
        return (await self._of(session)).listing

    # -- logging out, and the end -------------------------------------------------------------------------------------

    def forget(self, session: SsoSession) -> None:
        """The session is being logged out of: nothing of it is known from here on, and nothing is written that stays.

        Its file is the business of whoever logs out; listings under way are that of ``end``.
        """
        known = self._known.pop(session.cache_key, None)
        if known is not None:
            known.abandoned.set()

    async def end(self, session: SsoSession) -> None:
        """Ends the listings of a session that is logged out."""
        error = login_required(session, "you have been logged out of")
        found = [flight for (key, _), flight in self._flights.items() if key == session.cache_key]
        await asyncio.gather(*(flight.end(error) for flight in found))

    async def clear(self, session: SsoSession) -> None:
        """Another program has logged out: the file goes too. Raises nothing."""
        self.forget(session)
        await self.end(session)
        path = self._file_of(session.cache_key)
        try:
            await self._disk.run(DISK_DEADLINE, partial(private_files.remove, path))
        except (OSError, DeadlineExceeded) as error:
            log.warning("%s could not be removed: %s", path, error)

    async def stop(self) -> None:
        """Ends every listing; what they have found is written down."""
        error = Unavailable("the daemon is stopping; ask again to go on")
        await asyncio.gather(*(flight.end(error) for flight in list(self._flights.values())))
        if self._saves:
            await asyncio.wait(self._saves, timeout=STOP_PATIENCE)

    # -- memory and the name cache ------------------------------------------------------------------------------------

    async def _of(self, session: SsoSession) -> _Known:
        """What is known of a session; at first, what the daemon before us has written down."""
        async with self._reading:
            known = self._known.get(session.cache_key)
            if known is None:
                known = self._known[session.cache_key] = _Known()
                path = self._file_of(session.cache_key)
                try:
                    kept = await self._disk.run(DISK_DEADLINE, partial(inventory_files.read, path))
                except DeadlineExceeded as error:
                    log.warning("%s could not be read: %s", path, error)
                else:
                    self._take_in(session, known, kept)
        if known.epoch != self._epoch(session):
            known.parts = None
        if known.listing is not None and known.listing["start_url"] != session.start_url:
            known.listing = known.as_of = None  # the section leads to another portal now
        return known

    def _take_in(self, session: SsoSession, known: _Known, kept: Kept) -> None:
        if kept.listing is None or kept.listing["start_url"] == session.start_url:
            known.listing = kept.listing
        login, now = self._login(session), self._clock.now()
        if login is None:
            return
        known.epoch = self._epoch(session)
        if kept.parts is not None and kept.parts_login == login and kept.parts.began_at <= now:
            known.parts = kept.parts
        if known.listing is not None and kept.login == login:
            age = (now - parse_timestamp(known.listing["listed_at"])).total_seconds()
            known.as_of = self._clock.boottime() - age if age >= 0 else None

    def _epoch(self, session: SsoSession) -> int:
        self._tokens.look(session)
        return self._tokens.epoch(session)

    def _login(self, session: SsoSession) -> str | None:
        """What tells the present login from another one, also after a restart."""
        token = self._tokens.look(session)
        return None if token is None else access_token_hash(token)[:16]

    def _recall(self, session: SsoSession, known: _Known, wish: Wish) -> Listing | None:
        if known.listing is None or known.as_of is None or known.epoch != self._epoch(session):
            return None
        if self._clock.boottime() - known.as_of > wish.max_age.total_seconds() or self._tokens.is_over(session):
            return None
        accounts: list[ListedAccount] = known.listing["accounts"]
        if wish.is_for_accounts:
            accounts = [_without_roles(account) for account in accounts]
        elif wish.account_id is not None:
            accounts = [account for account in accounts if account["account_id"] == wish.account_id]
            if not accounts:
                return None
        return Listing(**(known.listing | {"accounts": accounts}))

    def _save(self, session: SsoSession, known: _Known) -> "asyncio.Task[None]":
        """Writes down what is known. Nobody has to wait for it; it raises nothing."""
        known.saved_at = self._clock.monotonic()
        task = asyncio.ensure_future(self._write(session, known))
        self._saves.add(task)
        task.add_done_callback(self._saves.discard)
        return task

    async def _write(self, session: SsoSession, known: _Known) -> None:
        path, abandoned = self._file_of(session.cache_key), known.abandoned
        async with known.saving:
            login = self._login(session) if known.epoch == self._epoch(session) else None
            parts = known.parts and Parts(known.parts.began_at, known.parts.accounts, dict(known.parts.roles))
            kept = Kept(known.listing, login if known.as_of is not None else None, parts, login)

            def work() -> None:
                if abandoned.is_set():
                    return
                inventory_files.write(path, kept)
                if abandoned.is_set():  # a logout came between the look and the write
                    private_files.remove(path)

            try:
                await self._disk.run(DISK_DEADLINE, work)
            except (OSError, DeadlineExceeded) as error:
                log.warning("the name cache %s could not be written: %s", path, error)

    # -- listing ------------------------------------------------------------------------------------------------------

    def _join(self, session: SsoSession, wish: Wish) -> Flight:
        key = (session.cache_key, wish.key)
        flight = self._flights.get(key)
        if flight is None or not flight.is_open:
            flight = self._flights[key] = Flight()
            flight.begin(lambda flight: self._run(session, wish, flight))
        return flight

    async def _run(self, session: SsoSession, wish: Wish, flight: Flight) -> Listing:
        try:
            for _ in range(CHANGES_OF_LOGIN):
                try:
                    return await self._list_for_one_login(session, wish, flight)
                except LoginHasChanged:
                    continue
            raise Unavailable(f"the login to session {safe(session.label)} keeps changing")
        finally:
            key = (session.cache_key, wish.key)
            if self._flights.get(key) is flight:
                del self._flights[key]

    async def _list_for_one_login(self, session: SsoSession, wish: Wish, flight: Flight) -> Listing:
        walk, now = Walk(self._means, session), self._clock.now()
        if wish.account_id is not None:
            return await self._one(session, wish.account_id, walk)
        if wish.is_for_accounts:
            return _listing(session, now, listed(await walk.accounts()))
        return await self._whole(session, walk, flight)

    async def _one(self, session: SsoSession, account_id: str, walk: Walk) -> Listing:
        now = self._clock.now()
        roles = await walk.roles_of(account_id)
        if not roles:
            raise RoleNotAssigned(f"no role in account {safe(account_id)} is assigned to you")
        account = self._name_of(await self._of(session), account_id)
        if account is None:
            found = {account.account_id: account for account in await walk.accounts()}
            account = found.get(account_id, Account(account_id))
        return _listing(session, now, listed((account,), {account_id: roles}))

    def _name_of(self, known: _Known, account_id: str) -> Account | None:
        accounts = known.listing["accounts"] if known.listing else []
        return next(
            (
                Account(account_id, account["account_name"], account["email"])
                for account in accounts
                if account["account_id"] == account_id
            ),
            None,
        )

    async def _whole(self, session: SsoSession, walk: Walk, flight: Flight) -> Listing:
        known = await self._of(session)
        parts = known.parts
        if parts is None or self._clock.now() - parts.began_at > PARTS_LAST:
            parts = Parts(self._clock.now(), await walk.accounts())
            self._begin_anew(session, known, parts)
        else:
            log.info("going on with a listing of session %s: %d accounts left", safe(session.label), len(parts.missing))
        flight.tell(parts)

        def on_listed() -> None:
            flight.tell(parts)
            if self._clock.monotonic() - known.saved_at >= SAVED_EVERY:
                self._save(session, known)

        try:
            await walk.complete(parts, on_listed)
        finally:
            if parts.missing and known.parts is parts:
                self._save(session, known)
        return await self._conclude(session, known, parts)

    def _begin_anew(self, session: SsoSession, known: _Known, parts: Parts) -> None:
        epoch = self._epoch(session)
        if known.epoch != epoch:
            known.as_of = None  # the listing is of another login: names, and no answer
        known.parts, known.epoch, known.saved_at = parts, epoch, self._clock.monotonic()

    async def _conclude(self, session: SsoSession, known: _Known, parts: Parts) -> Listing:
        age = (self._clock.now() - parts.began_at).total_seconds()
        known.listing = _listing(session, parts.began_at, listed(parts.accounts, parts.roles))
        known.parts, known.as_of = None, self._clock.boottime() - max(0.0, age)
        listing = known.listing
        await asyncio.shield(self._save(session, known))  # whoever completes names next is to find them
        return listing


def _listing(session: SsoSession, listed_at: datetime, accounts: list[ListedAccount]) -> Listing:
    return Listing(
        sso_session=session.name, start_url=session.start_url, listed_at=timestamp(listed_at), accounts=accounts
    )


def _without_roles(account: ListedAccount) -> ListedAccount:
    return ListedAccount(account_id=account["account_id"], account_name=account["account_name"], email=account["email"])
