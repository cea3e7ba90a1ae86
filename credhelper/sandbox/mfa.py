"""MFA devices: each person's shows another code every 30 seconds (RFC 6238), and AWS takes each code once."""

import base64
import hmac
from collections.abc import Callable

from credhelper.sandbox.directory import Directory

STEP = 30  # seconds
DIGITS = 6
TOLERATED = 1  # steps before and after the present one: people's clocks are not AWS's


class MfaDevices:
    def __init__(self, clock: Callable[[], float], directory: Directory) -> None:
        self._clock = clock
        self._directory = directory
        self._used: set[tuple[str, int]] = set()

    def serial(self, person: str) -> str:
        """A virtual device's ARN. It belongs to the directory's first account."""
        return f"arn:aws:iam::{self._directory.accounts[0].account_id}:mfa/{person}"

    def code(self, person: str, step: int = 0) -> str:
        """What the person's device shows now, or some steps later. Raises LookupError if they have none."""
        found = self._directory.person(person)
        if found is None or found.mfa_secret is None:
            raise LookupError(f"{person} has no MFA device")
        return totp(found.mfa_secret, self._step() + step)

    def accept(self, person: str, serial: str, code: str) -> bool:
        """Whether it is a code of the person's own device that was not used before; it is used then."""
        found = self._directory.person(person)
        if found is None or found.mfa_secret is None or serial != self.serial(person):
            return False
        for step in range(self._step() - TOLERATED, self._step() + TOLERATED + 1):
            if hmac.compare_digest(totp(found.mfa_secret, step).encode(), code.encode()):
                is_new = (person, step) not in self._used
                self._used.add((person, step))
                return is_new
        return False

    def _step(self) -> int:
        return int(self._clock() // STEP)


def totp(secret: str, step: int) -> str:
    """RFC 4226, section 5.3, of the step's number."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"
