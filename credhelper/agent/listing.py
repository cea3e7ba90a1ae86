"""One walk through what a login may use: the accounts page by page, then the roles of each, a few accounts at a time.

Every call waits for its turn. What AWS refuses for being too much is asked again later and reaches nobody; what fails
otherwise is tried a few times; an account that has gone meanwhile has no roles.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from credhelper.agent.backoff import Backoff
from credhelper.agent.pace import Pace
from credhelper.agent.tokens import Tokens
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.accounts import Account, Page, Parts
from credhelper.domain.errors import Refused, RoleNotAssigned, Throttled, Unavailable
from credhelper.domain.model import SsoSession, Token
from credhelper.domain.text import safe
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_DEADLINE = 8.5  # seconds
AT_ONCE = 6
"""Calls under way at the same time: AWS takes some tenths of a second for one, and the pace allows ten a second."""
FIRST_TRIES = 2
"""Before anything was listed: whoever is offline wants to know."""
LATER_TRIES = 4
MOST_FAILURES_IN_A_ROW = 6  # accounts: then it is no matter of the account
MOST_PAGES_OF_ACCOUNTS = 1000  # of a hundred each
MOST_PAGES_OF_ROLES = 50
UNAUTHORIZED = "UnauthorizedException"


class LoginHasChanged(Exception):
    """Somebody has logged in anew: what was listed until now may be another person's."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a walk is made with."""

    tokens: Tokens
    api: IdentityCenter
    clock: Clock
    workers: Workers
    rng: random.Random
    pace: Pace


@dataclass(slots=True)
class _Tries:
    """Of one call."""

    backoff: Backoff = field(default_factory=Backoff)
    may_refresh: bool = True


class Walk:
    """Lists for the present login of one session. Every method raises LoginRequired, UpstreamError, LoginHasChanged."""

    def __init__(self, means: Means, session: SsoSession) -> None:
        self._means = means
        self._session = session
        self._tokens = means.tokens
        self._tokens.look(session)
        self._epoch = self._tokens.epoch(session)
        self._has_listed = False
        self._failures_in_a_row = 0

    async def accounts(self) -> tuple[Account, ...]:
        """Every account, once."""
        api, session = self._means.api, self._session
        found = await self._all_pages(partial(api.list_accounts, session), MOST_PAGES_OF_ACCOUNTS)
        return tuple({account.account_id: account for account in found}.values())

    async def roles_of(self, account_id: str) -> tuple[str, ...]:
        """The roles in one account. Raises RoleNotAssigned where there are none for this person."""
        api, session = self._means.api, self._session
        found = await self._all_pages(partial(api.list_account_roles, session, account_id), MOST_PAGES_OF_ROLES)
        return tuple(dict.fromkeys(found))

    async def complete(self, parts: Parts, on_listed: Callable[[], None]) -> None:
        """Adds to ``parts`` the roles of each account that lacks them; ``on_listed`` is told after each.

        An account that cannot be asked about keeps nobody from the others; then it raises.
        """
        waiting = deque(parts.missing)
        failures: list[Unavailable] = []

        async def work_off() -> None:
            while waiting:
                account_id = waiting.popleft().account_id
                try:
                    parts.roles[account_id] = await self._roles_or_none(account_id)
                except Unavailable as error:
                    self._note_failure(account_id, error)
                    failures.append(error)
                else:
                    self._failures_in_a_row = 0
                    on_listed()

        workers = [asyncio.ensure_future(work_off()) for _ in range(min(AT_ONCE, len(waiting)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if failures:
            raise failures[-1]

    async def _roles_or_none(self, account_id: str) -> tuple[str, ...]:
        try:
            return await self.roles_of(account_id)
        except RoleNotAssigned:  # it was removed since the accounts were listed
            return ()

    def _note_failure(self, account_id: str, error: Unavailable) -> None:
        """Raises ``error`` where it seems to be about more than this account."""
        log.warning("the roles in %s could not be listed: %s", safe(account_id), error)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MOST_FAILURES_IN_A_ROW:
            raise error

    async def _all_pages(self, ask: Callable[[str, str | None], Page[T]], most: int) -> list[T]:
        found: list[T] = []
        next_token, seen = None, set[str]()
        for _ in range(most):
            page: Page[T] = await self._page(lambda token, at=next_token: ask(token.access_token, at))  # type: ignore[misc]
            found += page.items
            next_token = page.next_token
            if next_token is None:
                return found
            if next_token in seen:
                raise Unavailable(f"the portal in {self._session.region} goes round in circles with its pages")
            seen.add(next_token)
        raise Unavailable(f"the portal in {self._session.region} has more than {most} pages of one list")

    async def _page(self, ask: Callable[[Token], Page[T]]) -> Page[T]:
        tries = _Tries()
        while True:
            page = await self._try(ask, tries)
            self._tokens.look(self._session)
            if self._tokens.epoch(self._session) != self._epoch:
                raise LoginHasChanged
            if page is not None:
                self._means.pace.went_well()
                self._has_listed = True
                return page

    async def _try(self, ask: Callable[[Token], Page[T]], tries: _Tries) -> Page[T] | None:
        """One call; None where it is to be made again."""
        turn = await self._means.pace.turn()
        token = await self._tokens.current(self._session)
        try:
            return await self._call(partial(ask, token))
        except Throttled as error:
            self._means.pace.throttled(turn, error)
        except Unavailable as error:
            await self._pause_or_give_up(tries, error)
        except Refused as error:
            if error.reason != UNAUTHORIZED:
                raise
            await self._tokens.refused(self._session, token, may_refresh=tries.may_refresh)
            tries.may_refresh = False
        return None

    async def _call(self, call: Callable[[], T]) -> T:
        lane = "inventory " + self._session.cache_key
        try:
            return await self._means.workers.run(CALL_DEADLINE, call, lane=lane)
        except DeadlineExceeded as error:
            raise Unavailable(f"the portal in {self._session.region} gave {error}") from None

    async def _pause_or_give_up(self, tries: _Tries, error: Unavailable) -> None:
        now = self._means.clock.monotonic()
        tries.backoff.failed(now, self._means.rng, retry_after=error.retry_after)
        if tries.backoff.failures >= (LATER_TRIES if self._has_listed else FIRST_TRIES):
            raise error
        await self._means.pace.pause(tries.backoff.retry_at - now)
