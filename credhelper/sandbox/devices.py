"""Device authorizations (RFC 8628): a code is shown, a person approves it elsewhere, the device polls."""

import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.registrations import Registration
from credhelper.sandbox.sign_ins import SignIn, SignIns

_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: no vowels, so no words
_SLOW_DOWN_STEP = 5  # RFC 8628, section 3.5

_POLLS_BEFORE_PACING = 2
"""The AWS CLI polls once before it shows anything (the client may be authorized already) and again right
after showing the code; only from then on does it pause. So pauses count from the second poll."""


class Decision(enum.Enum):
    PENDING = enum.auto()
    APPROVED = enum.auto()
    DENIED = enum.auto()
    REDEEMED = enum.auto()


@dataclass
class DeviceAuthorization:
    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    registration: Registration
    expires_at: float
    interval: int
    decision: Decision = Decision.PENDING
    sign_in: SignIn | None = None
    polls: int = 0
    polled_at: float = 0.0


class Devices:
    def __init__(self, clock: Callable[[], float], lifetimes: Lifetimes, sign_ins: SignIns) -> None:
        self._clock = clock
        self._lifetimes = lifetimes
        self._sign_ins = sign_ins
        self._by_device_code: dict[str, DeviceAuthorization] = {}
        self._by_user_code: dict[str, DeviceAuthorization] = {}

    def start(self, registration: Registration) -> DeviceAuthorization:
        device = DeviceAuthorization(
            device_code=secrets.token_urlsafe(48),
            user_code=_new_user_code(),
            registration=registration,
            expires_at=self._clock() + self._lifetimes.device_code,
            interval=self._lifetimes.interval,
        )
        self._by_device_code[device.device_code] = device
        self._by_user_code[device.user_code] = device
        return device

    def waiting(self, user_code: str) -> DeviceAuthorization | None:
        """The authorization a person may still decide about; the code may be typed small or undashed."""
        letters = "".join(letter for letter in user_code.upper() if letter.isalnum())
        device = self._by_user_code.get(f"{letters[:4]}-{letters[4:]}")
        if device is None or device.decision is not Decision.PENDING or self._is_over(device):
            return None
        return device

    def approve(self, device: DeviceAuthorization, person: str) -> None:
        registration = device.registration
        device.sign_in = self._sign_ins.begin(person, registration.client_id, registration.granted_scopes)
        device.decision = Decision.APPROVED

    def deny(self, device: DeviceAuthorization) -> None:
        device.decision = Decision.DENIED

    def poll(self, device_code: str, registration: Registration) -> SignIn:
        """The approved session, once; before that one of RFC 8628's errors (section 3.5)."""
        device = self._by_device_code.get(device_code)
        if device is None or device.registration is not registration:
            raise ApiError("InvalidGrantException", "The device code is unknown.")
        if device.decision is Decision.REDEEMED:
            raise ApiError("InvalidGrantException", "The device code has been used.")
        if self._is_over(device):
            raise ApiError("ExpiredTokenException", "The device code has expired.")
        self._keep_pace(device)
        if device.decision is Decision.DENIED:
            raise ApiError("AccessDeniedException", "The person denied the request.")
        if device.sign_in is None:
            raise ApiError("AuthorizationPendingException", "The person has not decided yet.")
        device.decision = Decision.REDEEMED
        return device.sign_in

    def _keep_pace(self, device: DeviceAuthorization) -> None:
        now = self._clock()
        too_early = device.polls >= _POLLS_BEFORE_PACING and now - device.polled_at < device.interval
        device.polls += 1
        device.polled_at = now
        if too_early:
            device.interval += _SLOW_DOWN_STEP
            raise ApiError("SlowDownException", "The device polls too often; it must wait 5 s longer.")

    def _is_over(self, device: DeviceAuthorization) -> bool:
        return self._clock() >= device.expires_at


def _new_user_code() -> str:
    letters = "".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
