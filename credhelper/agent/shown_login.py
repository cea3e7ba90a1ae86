"""A login as it is shown: events, for everyone who asked for it, whatever kind of login it is.

The daemon runs it and reports; showing it and opening a browser is the caller's business, for the daemon has neither a
terminal nor a display. When the last one who follows it leaves, it is over.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from typing import Any

from credhelper.agent.followed import Followed
from credhelper.domain.errors import CredhelperError
from credhelper.domain.model import Flow

Event = dict[str, Any]

AUTHORIZATION_TIME = timedelta(minutes=10)
"""How long a person has to sign in in the browser, second factors included (the AWS CLI gives the same)."""

MOST_WAITING = 32  # names of programs that one login tells of

SUCCESS = (
    "You are logged in",
    "credhelper has what it needs. You may close this tab and go back to your terminal.",
)
DENIED = (
    "Access was denied",
    "Nothing was granted. You may close this tab; to try again, start the login again.",
)
FAILED = ("The login failed", "Your terminal says why. You may close this tab.")


class ShownLogin(Followed, ABC):
    """One login under way, or ended; ``events`` is what everyone who follows it is shown."""

    def __init__(self, flow: Flow, started_at: datetime, hint: str | None) -> None:
        super().__init__()
        self.flow = flow
        self.hint = hint
        """The command that starts it again."""
        self.abandoned = threading.Event()
        """Tells work in its thread, which cannot be cancelled, that its result is no longer wanted."""
        self.logged_out = threading.Event()
        """The same, and what has been written already must go again."""
        self.started_at = started_at
        self.expires_at = started_at + AUTHORIZATION_TIME
        self.events: list[Event] = []
        self.error: CredhelperError | None = None
        self.on_end: Callable[[str], None] = lambda _: None
        """Told how it ended: "ok", or an error's ``code``."""
        self._waiting: list[str] = []
        self._has_asked = False

    @abstractmethod
    def about(self) -> Event:
        """What it is about, for whoever begins to follow it; not among ``events``, for it is no step of the login."""

    def tell(self, event: Event) -> None:
        """Adds an event for every follower, present and future."""
        self.events.append(event)
        self._wake()

    def ask(self, event: Event) -> None:
        """Tells the event that shows a person where to go; what waits for the login is told after it."""
        self.tell(event)
        self._has_asked = True
        self._tell_who_waits()

    def waited_for_by(self, names: list[str]) -> None:
        """These programs cannot go on without it. Followers are told when one of them is new."""
        new = [name for name in names if name not in self._waiting][: MOST_WAITING - len(self._waiting)]
        if new:
            self._waiting += new
            self._tell_who_waits()

    async def follow(self) -> AsyncGenerator[Event, None]:
        """Every event from the first on. When the last follower leaves before the end, the login is cancelled."""
        shown = 0
        async with self._followed():
            while True:
                news = self._news
                while shown < len(self.events):
                    yield self.events[shown]
                    shown += 1
                if self.has_ended:
                    return
                await self._next(news)

    async def cancel(self) -> None:
        """Ends the flow if it is still under way."""
        if not self.has_ended:
            self.abandoned.set()
            await self._cancel()

    async def _left_alone(self) -> None:
        await self.cancel()

    def _tell_who_waits(self) -> None:
        if self._waiting and self._has_asked:
            self.tell({"event": "waiting", "clients": list(self._waiting)})

    def _fail(self, error: CredhelperError) -> None:
        error.__cause__ = error.__context__ = None
        self.error = error.with_traceback(None)  # the frames behind it hold what a person has typed
        self.tell({"event": "failed", "code": error.code, "message": error.message})
