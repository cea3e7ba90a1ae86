"""When to try again what failed: one retry layer for everything the daemon asks of AWS and of the disk."""

import random
from dataclasses import dataclass

from credhelper.domain.errors import Throttled, Unavailable

LONGEST_PAUSE = 60.0  # seconds
LONGEST_RETRY_AFTER = 300.0  # seconds; a server that asks for more is not believed
_JITTER = 0.25
"""Each pause is that much shorter or longer, so that a thousand machines do not come back at the same moment."""


@dataclass(slots=True)
class Backoff:
    """The pause after a row of failures: 1 s, 2 s, 4 s … 60 s, give or take a quarter, or what AWS asked for.

    Times are seconds of the monotonic clock.
    """

    failures: int = 0
    retry_at: float = 0.0

    def failed(self, now: float, rng: random.Random, *, retry_after: float | None = None) -> None:
        """Notes a failure; ``retry_after`` is what the server asked for, in seconds."""
        pause = min(2.0 ** min(self.failures, 16), LONGEST_PAUSE) * rng.uniform(1 - _JITTER, 1 + _JITTER)
        if retry_after is not None:
            pause = max(pause, min(retry_after, LONGEST_RETRY_AFTER))
        self.failures += 1
        self.retry_at = now + pause

    def may_try(self, now: float) -> bool:
        """Whether the pause is over."""
        return now >= self.retry_at

    def reset(self) -> None:
        """After a success, or when the reason of the failures may have gone."""
        self.failures, self.retry_at = 0, 0.0


def asked_pause(error: BaseException) -> float | None:
    """The Retry-After of AWS's answer, in seconds, if it had one."""
    return error.retry_after if isinstance(error, Throttled | Unavailable) else None
