"""The one way out: whatever is handed out through any door is asked for here first, and told here afterwards.

Who may have what is for the ``checks`` to say, and what became of it is for ``on_outcome`` to keep.
"""

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from credhelper.domain.errors import CredhelperError
from credhelper.domain.model import AnyRole, Door
from credhelper.local.peers import NOBODY, Caller

OK = "ok"
LEFT = "left"
"""Whoever asked has not waited for the answer."""

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for the credentials of the role that ``fields`` choose."""

    fields: Fields
    caller: Caller = NOBODY
    door: Door = Door.GET
    is_standing: bool = False
    """Whether it comes through a door that was opened before, for somebody who was looked at then."""
    min_left: timedelta | None = None
    """How long the credentials must be good for at least; None: no longer than usual."""
    patience: float | None = None
    """Seconds that the caller waits at most; None: as long as the contract gives to everybody."""
    bound_to: tuple[str, str, str] | None = None
    """Session key, account and role that it must lead to, where that was decided before."""
    opening: str | None = None
    """The id of what was opened before and it comes through."""


@dataclass(slots=True)
class Passage:
    """A request on its way: what it wants is known once its configuration has been read."""

    wanted: Wanted
    role: AnyRole | None = None
    profile: str | None = None

    def leads_to(self, role: AnyRole, profile: str | None) -> None:
        """The role it is about, and the profile it was named by, if it was."""
        self.role, self.profile = role, profile


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: "ok", "left", or the ``code`` of the error."""

    passage: Passage
    outcome: str
    is_hit: bool
    """Whether it was answered from memory, at once."""
    expires_at: datetime | None


class Gate:
    """Lives on the event loop."""

    def __init__(self) -> None:
        self.checks: list[Callable[[Passage], None]] = []
        """Each raises an error of ours where a passage may not be; its role is known by then."""
        self.on_outcome: list[Callable[[Outcome], None]] = []

    def admit(self, passage: Passage) -> None:
        """Raises what the first check raises that refuses it."""
        for check in self.checks:
            check(passage)

    def passed(self, passage: Passage, expires_at: datetime, *, is_hit: bool) -> None:
        """Credentials are handed out."""
        self._tell(Outcome(passage, OK, is_hit, expires_at))

    @contextmanager
    def noting_refusals(self, passage: Passage) -> Iterator[None]:
        """Whatever ends the passage is told, and goes on."""
        try:
            yield
        except BaseException as error:
            self._tell(Outcome(passage, _why(error), is_hit=False, expires_at=None))
            raise

    def _tell(self, outcome: Outcome) -> None:
        for note in self.on_outcome:
            note(outcome)


def _why(error: BaseException) -> str:
    if isinstance(error, CredhelperError):
        return error.code
    return LEFT if isinstance(error, CancelledError) else CredhelperError.code
