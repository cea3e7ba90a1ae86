"""Ending sign-ins at AWS: asked for by a logout, and asked again in the background as long as there is a chance.

The tokens this takes are kept in memory only: a daemon that stops forgets them.
"""

import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum

from credhelper.agent.backoff import Backoff, asked_pause
from credhelper.agent.flights import Flights
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import CredhelperError, Refused, UpstreamError
from credhelper.domain.model import SsoSession, Token
from credhelper.domain.text import safe
from credhelper.domain.urls import is_region
from credhelper.local.clock import Clock
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

ATTEMPT_DEADLINE = 10.0  # seconds; at most three calls: the portal refuses, a refresh, the portal again
FIRST_PAUSE = 5.0  # seconds
LONGEST_PAUSE = 600.0  # seconds, also where AWS asks for more
LONGEST_TRIES = 90 * 86_400.0  # seconds; no sign-in lives longer
FOREVER = datetime.max.replace(tzinfo=UTC)
"""Stands for the expiry that a token's file does not tell."""

TOKEN_REFUSED = "UnauthorizedException"  # noqa: S105  # an error's name
OVER = frozenset({TOKEN_REFUSED, "ExpiredTokenException", "InvalidGrantException"})
"""AWS's errors that say that there is no such sign-in any more."""


class Verdict(Enum):
    """What is known of a sign-in that is to end. OPEN: AWS has not been asked, or could not be reached."""

    OPEN = "open"
    ENDED = "ended"
    OVER = "over"
    """AWS says that it had ended before."""
    REFUSED = "refused"
    """AWS will not do it, however often it is asked."""


class AnyEnding(ABC):
    """One sign-in that is to end, and what ends it. Thread-safe; shows no secret."""

    def __init__(self, access_token: str, label: str) -> None:
        self.verdict = Verdict.OPEN
        self.error: str | None = None
        self.asked_pause: float | None = None
        """Seconds that AWS asked to be left alone for, the last time."""
        self.access_token = access_token
        """The token that the logout found."""
        self.label = label
        self._asking = threading.Lock()

    @property
    def chance_ends_at(self) -> datetime:
        """When nothing can end it any more; ``FOREVER`` where that is not known."""
        return FOREVER

    def attempt(self, api: IdentityCenter, now: datetime) -> None:
        """Asks AWS, unless its answer is known. Blocks; the outcome is in ``verdict`` and ``error``, raises nothing."""
        with self._asking:  # an attempt that was given up on may still be under way
            if self.verdict is not Verdict.OPEN:
                return
            self.asked_pause = None
            try:
                self._end(api, now)
            except Refused as error:
                self._note_refusal(error, now)
            except UpstreamError as error:
                self.error, self.asked_pause = error.message, asked_pause(error)
            except CredhelperError as error:  # no client can be made: not later either
                self.error, self.verdict = error.message, Verdict.REFUSED
            else:
                self.error, self.verdict = None, Verdict.ENDED

    @abstractmethod
    def _end(self, api: IdentityCenter, now: datetime) -> None:
        """Asks. Raises Refused, UpstreamError, CredhelperError."""

    def _note_refusal(self, error: Refused, _: datetime) -> None:
        """AWS will not do it."""
        self.error, self.verdict = error.message, Verdict.REFUSED


class Ending(AnyEnding):
    """A sign-in at a portal of Identity Center, and the token that ends it."""

    def __init__(self, token: Token, session: SsoSession | None) -> None:
        super().__init__(token.access_token, session.label if session else token.start_url or "an unknown session")
        self._token = token
        self._session = SsoSession(
            session.name if session else None,
            token.start_url or (session.start_url if session else ""),
            _region(token.region) or _region(session.region if session else None) or "",
        )

    @property
    def chance_ends_at(self) -> datetime:
        """When nothing can end it any more: its token has expired, and cannot be refreshed either."""
        token = self._token
        can_be_refreshed = token.refresh_token and token.client_id and token.client_secret
        registration_ends_at = token.registration_expires_at if can_be_refreshed else None
        return max(token.expires_at, registration_ends_at or token.expires_at)

    def _end(self, api: IdentityCenter, now: datetime) -> None:
        if not self._session.region:
            raise CredhelperError("the token names no region in which to revoke it")
        if self._token.expires_at <= now and self._token.is_refreshable(now):
            self._refresh(api)
        try:
            api.revoke(self._session.region, self._token.access_token)
        except Refused as error:
            if error.reason != TOKEN_REFUSED or not self._token.is_refreshable(now):
                raise
            self._refresh(api)
            api.revoke(self._session.region, self._token.access_token)

    def _refresh(self, api: IdentityCenter) -> None:
        """Once: what comes is saved nowhere, and its own refresh token is not used."""
        issued = api.refresh_token(self._session, self._token)
        self._token = replace(
            self._token, access_token=issued.access_token, expires_at=issued.expires_at, refresh_token=None
        )

    def _note_refusal(self, error: Refused, now: datetime) -> None:
        if error.reason not in OVER:
            self.error, self.verdict = error.message, Verdict.REFUSED
            return
        is_expired = error.reason == TOKEN_REFUSED and self._token.expires_at <= now
        what = "its token had expired already" if is_expired else "it had ended already"
        self.error, self.verdict = f"{what}: {error.message}", Verdict.OVER


def _region(text: str | None) -> str | None:
    """``text`` if it may become part of a host name."""
    return text if text and is_region(text) else None


@dataclass(slots=True)
class _Waiting:
    """A sign-in that waits for the next attempt to end it."""

    ending: AnyEnding = field(repr=False)
    chance_ends_at: datetime
    give_up_at: float
    """The same as seconds of the clock that runs on in suspends, which nobody sets."""
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE))


class Revocations:
    """The sign-ins that are still to end, because AWS could not be reached. Lives on the event loop."""

    def __init__(self, api: IdentityCenter, clock: Clock, workers: Workers, rng: random.Random) -> None:
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self._api = api
        self._clock = clock
        self._workers = workers
        self._rng = rng
        self._waiting: dict[str, _Waiting] = {}
        self._attempts: Flights[str, None] = Flights(on_landed=self._attend)

    def __len__(self) -> int:
        """How many are still to end."""
        return len(self._waiting)

    def add(self, ending: AnyEnding) -> bool:
        """Goes on trying to end a sign-in for as long as there is a chance; whether there is one."""
        if ending.verdict is not Verdict.OPEN or self._seconds_left(ending) <= 0:
            return False
        if ending.access_token not in self._waiting:  # a second logout with the same token changes nothing
            waiting = _Waiting(ending, ending.chance_ends_at, self._clock.boottime() + self._seconds_left(ending))
            self._waiting[ending.access_token] = waiting
            self._put_off(waiting)
            self.on_attention()
        return True

    def run_due(self) -> float | None:
        """Starts the attempts that are due, waiting for none; seconds until the next is, None when none is to come."""
        self._give_up()
        pauses = []
        for key, waiting in self._waiting.items():
            if self._attempts.has(key):
                continue
            pause = waiting.backoff.retry_at - self._clock.monotonic()
            if pause > 0:
                pauses.append(min(pause, waiting.give_up_at - self._clock.boottime()))
            else:
                waiting.backoff.retry_at = self._clock.monotonic() + LONGEST_PAUSE  # a fault of ours must not spin
                self._attempts.start(key, lambda key=key: self._attempt(key))  # type: ignore[misc]
        return min(pauses, default=None)

    def retry_now(self) -> None:
        """What could not be reached may be reached now. Where AWS asked for a pause, it is kept."""
        for waiting in self._waiting.values():
            waiting.backoff.forgive()

    async def stop(self) -> None:
        """Ends every attempt and forgets every token."""
        await self._attempts.cancel_all()
        self._waiting.clear()

    def _attend(self) -> None:
        self.on_attention()

    async def _attempt(self, key: str) -> None:
        waiting = self._waiting[key]
        ending = waiting.ending
        try:
            await self._workers.run(
                ATTEMPT_DEADLINE, lambda: ending.attempt(self._api, self._clock.now()), lane="revoke later"
            )
            error = ending.error
        except DeadlineExceeded as late:
            error = f"AWS gave {late}"
        if ending.verdict is Verdict.OPEN:
            self._put_off(waiting)
            log.debug("the sign-in to %s could not be ended yet: %s", safe(ending.label), error)
            return
        del self._waiting[key]
        if ending.verdict is Verdict.REFUSED:
            log.warning("the sign-in to %s cannot be ended: %s", safe(ending.label), error)
        else:
            log.info("ended the sign-in to %s%s", safe(ending.label), f": {error}" if error else "")

    def _put_off(self, waiting: _Waiting) -> None:
        waiting.backoff.failed(self._clock.monotonic(), self._rng, retry_after=waiting.ending.asked_pause)
        if waiting.ending.chance_ends_at != waiting.chance_ends_at:  # it has been refreshed
            waiting.chance_ends_at = waiting.ending.chance_ends_at
            waiting.give_up_at = self._clock.boottime() + self._seconds_left(waiting.ending)

    def _give_up(self) -> None:
        for key, waiting in list(self._waiting.items()):
            if waiting.give_up_at <= self._clock.boottime() and not self._attempts.has(key):
                log.info("the sign-in to %s was not ended before its token expired", safe(waiting.ending.label))
                del self._waiting[key]

    def _seconds_left(self, ending: AnyEnding) -> float:
        return min((ending.chance_ends_at - self._clock.now()).total_seconds(), LONGEST_TRIES)
