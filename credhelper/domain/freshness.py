"""When something that expires should be renewed: one rule for access tokens and role credentials alike."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

REFRESH_WINDOW = timedelta(minutes=20)
"""SDKs ask for new credentials, and refresh tokens, at 15 minutes left; we are earlier than all of them."""

REGISTRATION_WINDOW = timedelta(minutes=15)
"""A client registration with less left is made anew before a login (as the AWS CLI does)."""


class Freshness(Enum):
    """FRESH: use it. STALE: use it, and renew it. EXPIRED: it is of no use."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Life:
    """How long something is good, on two clocks: people and time servers set the wall's, and nobody the other.

    It has expired when either says so; so a wall clock that is set back keeps nothing alive.
    """

    expires_at: datetime
    """By the wall clock (aware)."""
    deadline: float
    """The same moment in seconds of the clock that only runs on, through suspends too (CLOCK_BOOTTIME)."""
    lifetime: timedelta
    """What it was issued for, or what it had left when it was first seen."""

    @classmethod
    def beginning(cls, expires_at: datetime, *, now: datetime, boottime: float) -> "Life":
        """The life of something that was issued, or first seen, at this moment."""
        lifetime = expires_at - now
        return cls(expires_at, boottime + lifetime.total_seconds(), lifetime)

    @property
    def window(self) -> timedelta:
        """With this much left it is renewed: 20 minutes, or half of its life when that is less."""
        return min(REFRESH_WINDOW, max(self.lifetime, timedelta()) / 2)

    def left(self, now: datetime, boottime: float) -> timedelta:
        """What is left of it, by the clock that gives it less."""
        return min(self.expires_at - now, timedelta(seconds=self.deadline - boottime))

    def freshness(self, now: datetime, boottime: float) -> Freshness:
        """How good it is."""
        left = self.left(now, boottime)
        if left <= timedelta():
            return Freshness.EXPIRED
        return Freshness.FRESH if left > self.window else Freshness.STALE
