"""Whoever calls AWS, and how each call is told to whoever counts them."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from credhelper.domain import oauth
from credhelper.domain.errors import CredhelperError, Refused
from credhelper.local.clock import Clock

NOT_DECIDED = frozenset({oauth.Poll.AGAIN, oauth.Poll.SLOWER})


class Telling(Protocol):
    """What has methods that make one call each, marked with ``told``."""

    def begin(self) -> float:
        """The moment at which a call begins, for ``tell``."""

    def tell(self, operation: str, outcome: str, began: float) -> None:
        """Tells of a call that has ended now."""


class Caller:
    """A Telling one that has a listener of its own."""

    def __init__(self, clock: Clock) -> None:
        self.on_call: Callable[[str, str, float], None] = lambda _, __, ___: None
        """Told of each call in its thread: AWS's name for it, how it ended, and how many seconds it took.

        It ended "ok", as an error's ``code`` says, or "pending" where a person has not decided about a login yet.
        """
        self._clock = clock

    def begin(self) -> float:
        """The moment at which a call begins, for ``tell``."""
        return self._clock.monotonic()

    def tell(self, operation: str, outcome: str, began: float) -> None:
        """Tells of a call that has ended now."""
        self.on_call(operation, outcome, self._clock.monotonic() - began)


C = TypeVar("C", bound=Telling)
P = ParamSpec("P")
T = TypeVar("T")


def told(operation: str) -> Callable[[Callable[Concatenate[C, P], T]], Callable[Concatenate[C, P], T]]:
    """A method that makes one call of AWS's ``operation``: ``on_call`` is told of it."""

    def around(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
        @functools.wraps(method)
        def call(self: C, /, *args: P.args, **named: P.kwargs) -> T:
            began, outcome = self.begin(), "fault"
            try:
                answer = method(self, *args, **named)
                outcome = "ok"
                return answer
            except CredhelperError as error:
                outcome = _outcome(error)
                raise
            finally:
                self.tell(operation, outcome, began)

        return call

    return around


def _outcome(error: CredhelperError) -> str:
    is_pending = isinstance(error, Refused) and oauth.after_poll(error.reason) in NOT_DECIDED
    return "pending" if is_pending else error.code
