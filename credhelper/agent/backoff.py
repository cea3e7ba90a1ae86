"""When to try again what failed: one retry layer for everything the daemon asks of AWS and of the disk."""

import random
from dataclasses import dataclass

from credhelper.domain.errors import Throttled, Unavailable

_JITTER = 0.25
"""Each pause is that much shorter or longer, so that a thousand machines do not come back at the same moment."""


@dataclass(slots=True)
class Backoff:
    """The pause after a row of failures: 1 s, 2 s, 4 s … 60 s, give or take a quarter, or what AWS asked for.

    Times are seconds; moments are of the monotonic clock.
    """

    first: float = 1.0
    longest: float = 60.0
    longest_asked: float = 300.0
    """A server that asks for more is not believed."""
    failures: int = 0
    retry_at: float = 0.0
    asked_until: float = 0.0

    def failed(self, now: float, rng: random.Random, *, retry_after: float | None = None) -> None:
        """Notes a failure; ``retry_after`` is what the server asked for."""
        pause = min(self.first * 2.0 ** min(self.failures, 16), self.longest)
        self.failures += 1
        self.asked_until = 0.0 if retry_after is None else now + min(retry_after, self.longest_asked)
        self.retry_at = max(now + pause * rng.uniform(1 - _JITTER, 1 + _JITTER), self.asked_until)

    def may_try(self, now: float) -> bool:
        """Whether the pause is over."""
        return now >= self.retry_at

    def forgive(self) -> None:
        """The reason of the failures may have gone; what the server asked for holds all the same."""
        self.failures, self.retry_at = 0, self.asked_until

    def reset(self) -> None:
        """After a success."""
        self.failures, self.retry_at, self.asked_until = 0, 0.0, 0.0


def asked_pause(error: BaseException) -> float | None:
    """The Retry-After of AWS's answer, in seconds, if it had one."""
    return error.retry_after if isinstance(error, Throttled | Unavailable) else None
