"""When something that expires should be renewed: one rule for access tokens and role credentials alike."""

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


def refresh_at(expires_at: datetime, lifetime: timedelta) -> datetime:
    """The moment to renew: 20 minutes before the end, or at half of the lifetime when that is less than 40 minutes."""
    return expires_at - min(REFRESH_WINDOW, max(lifetime, timedelta()) / 2)


def freshness(now: datetime, expires_at: datetime, lifetime: timedelta) -> Freshness:
    """How good something is at ``now`` that was issued for ``lifetime`` and ends at ``expires_at`` (aware)."""
    if now >= expires_at:
        return Freshness.EXPIRED
    return Freshness.FRESH if now < refresh_at(expires_at, lifetime) else Freshness.STALE
