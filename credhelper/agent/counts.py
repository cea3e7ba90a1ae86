"""What has happened since the daemon's start, in plain numbers; ``endpoints/metrics.py`` tells them.

Counted where it happens, on the event loop; only calls to AWS are counted from their threads. One answer costs an
increment in a dictionary and a search among a dozen bounds. Nothing is counted by person, account, role, session or
profile: what stands here may be read by everybody on the machine.
"""

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper ends of the parts of a histogram; above the last there is one part more."""

CALL_OUTCOMES = ("ok", "refused", "throttled", "unavailable")
"""The usual ones; those told from the first moment on can be compared with what they become."""


class Durations:
    """A histogram of seconds."""

    __slots__ = ("parts", "sum")

    def __init__(self) -> None:
        self.parts = [0] * (len(BOUNDS) + 1)
        """How many fell into each part."""
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        self.parts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.parts)

    def copy(self) -> "Durations":
        """One that stays as it is."""
        copy = Durations()
        copy.parts, copy.sum = list(self.parts), self.sum
        return copy

    def up_to(self) -> list[int]:
        """How many were no longer than each bound, and last how many there were."""
        return list(accumulate(self.parts))


class Counts:
    """All counters of one daemon. An outcome is "ok" or the ``code`` of an error of ours."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """Requests on the Unix socket by (operation, outcome); "left" where the caller did not wait for it."""
        self.answers: defaultdict[tuple[str, str], Durations] = defaultdict(Durations)
        """How long they took by (operation, cache): "hit" from memory, "miss", "none" where no role was looked up."""
        self.dropped: Counter[str] = _zeros("crowded", "malformed", "other_user", "senseless", "slow")
        """Connections on the Unix socket that were broken off, by reason."""
        self.http: Counter[int] = Counter()
        """Answers of the metrics endpoint by HTTP status."""
        self.container: Counter[int] = Counter()
        """Answers of the container credentials endpoint by HTTP status."""
        self.refreshes: Counter[str] = _zeros(*CALL_OUTCOMES)
        """Refreshes of tokens by outcome; "not_needed" where another program had done it, "logged_out"."""
        self.fetches: Counter[str] = _zeros(*CALL_OUTCOMES)
        """Fetches of role credentials by outcome, with the second tries and refreshes that belong to them."""
        self.logins: Counter[str] = _zeros("ok", "login_denied", "login_required")
        """Logins that have ended by outcome; "login_required" where nobody approved in time, or it was cancelled."""
        self.logouts: Counter[str] = _zeros("ok", "done_in_part")
        self.notices: Counter[str] = Counter()
        """Notices shown on the desktop by kind."""
        self.late = Durations()
        """By how much later than it could have been each piece of work on the event loop was run."""
        self._calling = threading.Lock()  # of the two below
        self._calls: Counter[tuple[str, str]] = Counter()
        self._call_durations: defaultdict[str, Durations] = defaultdict(Durations)

    def answered(self, op: str, outcome: str, seconds: float, *, at_once: bool) -> None:
        """Counts a request; ``at_once``: it took no task."""
        self.requests[op, outcome] += 1
        self.answers[op, _cache(op, outcome, at_once=at_once)].add(seconds)

    def call(self, operation: str, outcome: str, seconds: float) -> None:
        """Counts a call to AWS, from any thread."""
        with self._calling:
            self._calls[operation, outcome] += 1
            self._call_durations[operation].add(seconds)

    def calls(self) -> tuple[dict[tuple[str, str], int], dict[str, Durations]]:
        """Calls to AWS by (operation, outcome), and how long they took by operation.

        The outcome is "pending" where AWS was asked whether a person has decided about a login, who had not.
        """
        with self._calling:
            return dict(self._calls), {operation: found.copy() for operation, found in self._call_durations.items()}


def _cache(op: str, outcome: str, *, at_once: bool) -> str:
    if op != "get" or (at_once and outcome != "ok"):
        return "none"
    return "hit" if at_once else "miss"


def _zeros(*names: str) -> Counter[str]:
    return Counter(dict.fromkeys(names, 0))
