"""Who asked for what lately, by their programs' names: a notice says whom the end of a session hits.

And whom it has hit: a person who is asked to log in sees what waits for it.
"""

from credhelper.domain.model import SignInSource
from credhelper.local.clock import Clock

LATELY = 3600.0  # seconds
WAITING = 600.0  # seconds for which a program that was told to have somebody log in counts as waiting
MOST_NAMES = 32  # of one session

NAMED = 2  # how many are called by their names


class Callers:
    """The programs that used each session, or were refused. Lives on the event loop."""

    def __init__(self, clock: Clock, *, lately: float = LATELY) -> None:
        """``lately`` is for how many seconds they are remembered."""
        self._clock = clock
        self._lately = lately
        self._seen: dict[str, dict[str, float]] = {}
        """By session, then by name, the latest last: when, in seconds of the clock that runs on in suspends."""

    def note(self, session: SignInSource, name: str | None) -> None:
        """The program ``name`` asks for a role of ``session``; None: nobody knows which it is."""
        if name is None:
            return
        seen = self._seen.setdefault(session.cache_key, {})
        seen.pop(name, None)
        seen[name] = self._clock.boottime()
        if len(seen) > MOST_NAMES:
            del seen[next(iter(seen))]

    def forget(self, session: SignInSource) -> None:
        """From here on it is as if nobody had asked for a role of ``session``."""
        self._seen.pop(session.cache_key, None)

    def lately(self, session: SignInSource) -> list[str]:
        """The names of those that asked lately, the latest first."""
        since = self._clock.boottime() - self._lately
        seen = self._seen.get(session.cache_key, {})
        return [name for name, when in reversed(seen.items()) if when >= since]


def listed(names: list[str]) -> str:
    """``names``, of which there is at least one, as they stand in a sentence: "aws, terraform and 2 others"."""
    if len(names) <= NAMED + 1:
        return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"
