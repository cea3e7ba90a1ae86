"""How long things live."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lifetimes:
    """Whole seconds. The defaults are those of a new IAM Identity Center instance."""

    access_token: int = 3600
    role_credentials: int = 3600
    """Where the role names no session duration of its own."""
    sign_in_session: int = 8 * 3600
    """From the approval on; refreshing never extends it."""
    registration: int = 90 * 24 * 3600
    device_code: int = 600
    interval: int = 5
    """The pause a device must keep between two polls (RFC 8628, section 3.5); 0 lifts the rule."""
    authorization_code: int = 60
