"""What is said of a session's token. Stands alone, so that ``status`` without a daemon loads no AWS client."""

from dataclasses import dataclass
from datetime import datetime

from credhelper.domain.freshness import Freshness


@dataclass(frozen=True, slots=True)
class TokenState:
    """A session's state in the contract's words."""

    state: str
    expires_at: datetime | None
    refreshable: bool
    next_refresh_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether a session will go on by itself."""

    ends_at: datetime
    """Its access token's end, by the wall clock."""
    sign_in: str
    """A name for the login that the token comes from; it outlives refreshes of our own."""
    left: float
    """Seconds until then; not positive: it has passed."""
    can_refresh: bool
    is_failing: bool
    """The last refresh failed; the next one may not."""
    is_over: bool
    """Only a login brings it back."""


def session_state(freshness: Freshness, *, is_refused: bool, can_refresh: bool) -> str:
    """active, refresh_due (little time left, or past but refreshable), expired (a login is needed)."""
    if is_refused or (freshness is Freshness.EXPIRED and not can_refresh):
        return "expired"
    return "active" if freshness is Freshness.FRESH else "refresh_due"
