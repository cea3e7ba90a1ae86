"""IAM Identity Center in memory: strict about what it has issued, and exactly as unreliable as it is told to be."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from credhelper.aws.identity_center import Identity, IdentityCenter
from credhelper.aws.server_time import ServerTime
from credhelper.aws.transport import Transport
from credhelper.domain import oauth
from credhelper.domain.documents import moment_after
from credhelper.domain.errors import CredhelperError, Refused, RoleNotAssigned, Throttled, Unavailable
from credhelper.domain.model import (
    DeviceAuthorization,
    Flow,
    IssuedToken,
    Registration,
    Role,
    RoleCredentials,
    SsoSession,
    Token,
)
from tests.simulation.simulated_time import SimulatedTime

T = TypeVar("T")

ACCESS_TOKEN = timedelta(hours=1)
REGISTRATION = timedelta(days=12)
"""90 days in truth; a month of simulation shall see some of them end."""
DEVICE_CODE = timedelta(minutes=2)
"""10 minutes in truth; a person here is quick, and a poll every 5 s costs."""
POLLING_INTERVAL = 5.0  # seconds
CALL_DEADLINE = 7.0  # seconds; the real API object gives up a call that hangs
REVOKE_DEADLINE = 3.0
ROUND_TRIP = (0.02, 0.4)  # seconds
SLOW_ROUND_TRIP = (1.0, 6.0)


class Weather(Enum):
    """How AWS, and the way to it, are."""

    FINE = "fine"
    SLOW = "slow"
    UNREACHABLE = "unreachable"
    HANGS = "hangs"
    SERVER_ERROR = "server error"
    THROTTLES = "throttles"
    LOSES_ANSWERS = "loses answers"
    """The worst: what was asked for is done, a refresh token spent, and nobody hears of it."""


@dataclass(eq=False, slots=True)
class SignIn:
    """One login, as AWS sees it."""

    session: SsoSession
    client_id: str
    ends_at: datetime
    is_ended: bool = False
    refresh_token: str | None = field(default=None, repr=False)
    """The one that is good."""

    def goes_on(self, now: datetime) -> bool:
        """Whether tokens of this login are good for anything."""
        return not self.is_ended and self.ends_at - now >= timedelta(seconds=1)


@dataclass(eq=False, slots=True)
class AccessToken:
    """An access token that was issued; both times are true ones."""

    sign_in: SignIn
    issued_at: datetime
    expires_at: datetime
    is_withdrawn: bool = False
    """Whether the portal refuses it, though its login goes on."""

    def is_good(self, now: datetime) -> bool:
        """Whether the portal accepts it."""
        return now < self.expires_at and self.sign_in.goes_on(now) and not self.is_withdrawn


@dataclass(frozen=True, slots=True)
class IssuedCredentials:
    """Role credentials that were issued; both times are true ones."""

    role: Role
    sign_in: SignIn
    issued_at: datetime
    expires_at: datetime
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


@dataclass(slots=True)
class _Device:
    client_id: str
    session: SsoSession
    expires_at: datetime
    has_refresh_token: bool
    is_denied: bool = False
    sign_in: SignIn | None = None


@dataclass(slots=True)
class Aws:
    """What AWS knows. Its clock is right. One thread at a time."""

    now: Callable[[], datetime]
    ends_family_on_reuse: bool = False
    """Whether a refresh token that comes a second time ends the whole login (RFC 9700 section 4.14.2)."""
    weather: Weather = Weather.FINE
    retry_after: float | None = None
    sign_in_time: timedelta = timedelta(hours=8)
    sign_ins: list[SignIn] = field(default_factory=list)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    refresh_tokens: dict[str, SignIn] = field(default_factory=dict)
    """Every one that was ever issued."""
    credentials: dict[str, IssuedCredentials] = field(default_factory=dict)
    unassigned: set[Role] = field(default_factory=set)
    durations: dict[str, timedelta] = field(default_factory=dict)
    """Session durations by role name, where they are not one hour."""
    registrations: dict[str, datetime] = field(default_factory=dict)
    """When each client ends."""
    _devices: dict[str, _Device] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    # -- sso-oidc -----------------------------------------------------------------------------------------------------

    def register(self, session: SsoSession) -> Registration:
        """RegisterClient."""
        expires_at = self._whole(self.now() + REGISTRATION)
        registration = Registration(self._name("client"), self._name("client-secret"), expires_at, session.scopes)
        self.registrations[registration.client_id] = expires_at
        return registration

    def start_device(self, session: SsoSession, registration: Registration) -> tuple[str, str]:
        """StartDeviceAuthorization: the device code and the user code, which are the same here but for their name."""
        self._check_client(registration.client_id)
        number = next(self._numbers)
        # A client of a legacy profile asks for no scope, and gets no refresh token.
        self._devices[f"device-{number}"] = _Device(
            registration.client_id, session, self.now() + DEVICE_CODE, session.name is not None
        )
        return f"device-{number}", f"user-{number}"

    def decide(self, user_code: str, *, approves: bool) -> None:
        """The person's decision about a device; the first one counts."""
        device = self._devices.get(user_code.replace("user", "device"))
        if device is None or device.sign_in or device.is_denied:
            return
        device.is_denied = not approves
        if approves:
            device.sign_in = self._sign_in(device)

    def redeem(self, client_id: str, device_code: str) -> tuple[str, str | None]:
        """CreateToken for a device code."""
        device = self._devices.get(device_code)
        if device is None or device.client_id != client_id:  # it has been redeemed, and the answer was lost
            raise _refused("InvalidGrantException")
        if self.now() >= device.expires_at:
            raise _refused("ExpiredTokenException")
        if device.is_denied:
            raise _refused("AccessDeniedException")
        if device.sign_in is None:
            raise _refused("AuthorizationPendingException")
        del self._devices[device_code]
        return self.issue(device.sign_in, with_refresh_token=device.has_refresh_token)

    def log_in(self, session: SsoSession, registration: Registration) -> tuple[str, str | None]:
        """A login from beginning to end, by another program."""
        has_refresh_token = session.name is not None
        device = _Device(registration.client_id, session, self.now(), has_refresh_token)
        return self.issue(self._sign_in(device), with_refresh_token=has_refresh_token)

    def issue(self, sign_in: SignIn, *, with_refresh_token: bool) -> tuple[str, str | None]:
        """A new access token and, when it can be refreshed, the only refresh token that is good from now on."""
        if not sign_in.goes_on(self.now()):
            raise _refused("InvalidGrantException")
        now = self.now()
        access_token = self._name("access")
        expires_in = timedelta(seconds=int(min(ACCESS_TOKEN, sign_in.ends_at - now).total_seconds()))
        self.access_tokens[access_token] = AccessToken(sign_in, now, now + expires_in)
        if with_refresh_token:
            sign_in.refresh_token = self._name("refresh")
            self.refresh_tokens[sign_in.refresh_token] = sign_in
        return access_token, sign_in.refresh_token

    def refresh(self, client_id: str, refresh_token: str) -> tuple[str, str | None]:
        """CreateToken for a refresh token: it works once."""
        self._check_client(client_id)
        sign_in = self.refresh_tokens.get(refresh_token)
        if sign_in is None or sign_in.client_id != client_id:
            raise _refused("InvalidGrantException")
        if sign_in.refresh_token != refresh_token:
            sign_in.is_ended |= self.ends_family_on_reuse
            raise _refused("InvalidGrantException")
        return self.issue(sign_in, with_refresh_token=True)

    # -- the portal ---------------------------------------------------------------------------------------------------

    def role_credentials(self, role: Role, access_token: str) -> tuple[str, IssuedCredentials]:
        """GetRoleCredentials: the access key id and the rest."""
        sign_in = self.bearer(access_token)
        if role in self.unassigned:
            raise RoleNotAssigned(f"role {role.role_name} is not assigned")
        now = self.now()
        issued = IssuedCredentials(
            role,
            sign_in,
            now,
            self._whole(now + self.durations.get(role.role_name, timedelta(hours=1))),
            self._name("secret-key"),
            self._name("session-token"),
        )
        key = self._name("ASIA")
        self.credentials[key] = issued
        return key, issued

    def revoke(self, access_token: str) -> None:
        """Logout."""
        self.bearer(access_token).is_ended = True

    def bearer(self, access_token: str) -> SignIn:
        """The login behind an access token."""
        token = self.access_tokens.get(access_token)
        if token is None or not token.is_good(self.now()):
            raise _refused("UnauthorizedException")
        return token.sign_in

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _sign_in(self, device: _Device) -> SignIn:
        sign_in = SignIn(device.session, device.client_id, self._whole(self.now() + self.sign_in_time))
        self.sign_ins.append(sign_in)
        return sign_in

    def _check_client(self, client_id: str) -> None:
        if self.registrations.get(client_id, self.now()) <= self.now():
            raise _refused("InvalidClientException")

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"

    def _whole(self, moment: datetime) -> datetime:
        return moment.replace(microsecond=0)


@dataclass(eq=False, slots=True)
class Call:
    """One call of a daemon's; its times are seconds of the monotonic clock."""

    daemon: int
    operation: str
    session_key: str
    started: float
    role: Role | None = None
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    epoch: int = 0
    is_certain: bool = True
    """Whether the daemon knew what there was to know when it called, and did not give up before the answer came."""
    ended: float | None = None
    error: CredhelperError | None = None
    issued: IssuedToken | IssuedCredentials | None = None
    """What has arrived."""

    @property
    def was_refused(self) -> bool:
        """Whether the portal, or the token endpoint, said that the token is no good."""
        return isinstance(self.error, Refused) and self.error.reason in {
            "UnauthorizedException",
            "InvalidGrantException",
            "InvalidClientException",
        }


class Ledger:
    """All calls, in the order in which they began; ``on_call`` and ``on_answer`` are told of each."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.on_call: Callable[[Call], None] = lambda _: None
        self.on_answer: Callable[[Call], None] = lambda _: None


class FakeIdentityCenter(IdentityCenter):
    """One daemon's way to AWS, with the real one's methods and errors. Its calls take simulated time."""

    def __init__(self, aws: Aws, time: SimulatedTime, ledger: Ledger, daemon: int, chance: Callable[[], float]) -> None:
        self.server_time = ServerTime(time.clock)
        self._transport = Transport(time.clock, self.server_time)  # for identity pools, which nobody here asks
        self._aws = aws
        self._time = time
        self._clock = time.clock
        self._ledger = ledger
        self._daemon = daemon
        self._chance = chance

    def register_client(self, session: SsoSession, flow: Flow) -> Registration:
        """RegisterClient; the simulation has no browser, and so no other flow than the device's."""
        assert flow is Flow.DEVICE_CODE
        return self._ask(self._call("register", session), lambda: self._aws.register(session))

    def start_device_authorization(self, session: SsoSession, registration: Registration) -> DeviceAuthorization:
        """StartDeviceAuthorization."""
        call = self._call("device", session)
        device_code, user_code = self._ask(call, lambda: self._aws.start_device(session, registration))
        return DeviceAuthorization(
            device_code=device_code,
            user_code=user_code,
            verification_uri=session.start_url,
            verification_uri_complete=f"{session.start_url}?user_code={user_code}",
            expires_at=moment_after(self._clock.now(), DEVICE_CODE.total_seconds()),
            interval=POLLING_INTERVAL,
        )

    def authorize_url(
        self, session: SsoSession, registration: Registration, redirect_uri: str, proof: oauth.Proof
    ) -> str:
        """Nobody comes here."""
        raise NotImplementedError

    def poll_device(self, session: SsoSession, registration: Registration, device_code: str) -> IssuedToken:
        """CreateToken for a device code."""
        client_id = registration.client_id
        return self._obtain(self._call("login", session), lambda: self._aws.redeem(client_id, device_code))

    def refresh_token(self, session: SsoSession, token: Token) -> IssuedToken:
        """CreateToken for a refresh token."""
        client_id, refresh_token = token.client_id, token.refresh_token
        assert client_id is not None
        assert refresh_token is not None
        call = self._call("refresh", session)
        call.access_token, call.refresh_token = token.access_token, refresh_token
        return self._obtain(call, lambda: self._aws.refresh(client_id, refresh_token))

    def get_role_credentials(self, role: Role, access_token: str) -> RoleCredentials:
        """GetRoleCredentials."""
        call = self._call("fetch", role.session)
        call.role, call.access_token = role, access_token
        key, issued = self._ask(call, lambda: self._aws.role_credentials(role, access_token))
        obtained_at = self.server_time.now()
        if issued.expires_at <= obtained_at:
            raise Unavailable("credentials that have already expired")
        return RoleCredentials(key, issued.secret_access_key, issued.session_token, issued.expires_at, obtained_at)

    def revoke(self, region: str, access_token: str) -> None:
        """Logout at the portal."""
        sign_in = self._aws.access_tokens[access_token].sign_in
        assert region == sign_in.session.region
        call = self._call("revoke", sign_in.session)
        call.access_token = access_token
        self._ask(call, lambda: self._aws.revoke(access_token), deadline=REVOKE_DEADLINE)

    def get_caller_identity(self, region: str, credentials: RoleCredentials) -> Identity:
        """STS's."""
        role = self._aws.credentials[credentials.access_key_id].role
        assert region == role.session.region
        call = self._call("identity", role.session)
        arn = f"arn:aws:sts::{role.account_id}:assumed-role/AWSReservedSSO_{role.role_name}/alice"
        return self._ask(call, lambda: Identity(role.account_id, arn, "AROA:alice"))

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _call(self, operation: str, session: SsoSession) -> Call:
        return Call(self._daemon, operation, session.cache_key, self._clock.monotonic())

    def _obtain(self, call: Call, work: Callable[[], tuple[str, str | None]]) -> IssuedToken:
        def issue() -> tuple[AccessToken, IssuedToken]:
            access_token, refresh_token = work()
            token = self._aws.access_tokens[access_token]
            return token, IssuedToken(access_token, token.expires_at, refresh_token)

        token, issued = self._ask(call, issue)
        # As the real one: by this machine's clock, whatever that shows.
        seconds = int((token.expires_at - token.issued_at).total_seconds())
        return IssuedToken(issued.access_token, moment_after(self._clock.now(), seconds), issued.refresh_token)

    def _ask(self, call: Call, work: Callable[[], T], *, deadline: float = CALL_DEADLINE) -> T:
        self._ledger.calls.append(call)
        self._ledger.on_call(call)
        try:
            answer = self._travel(work, deadline)
        except CredhelperError as error:
            call.error = error
            raise
        finally:
            call.ended = self._clock.monotonic()
            if call.error is not None:
                self._ledger.on_answer(call)
        call.issued = _what_was_issued(answer)
        self._ledger.on_answer(call)
        return answer

    def _travel(self, work: Callable[[], T], deadline: float) -> T:
        asked = self._clock.boottime()
        shortest, longest = SLOW_ROUND_TRIP if self._aws.weather is Weather.SLOW else ROUND_TRIP
        round_trip = min(shortest + (longest - shortest) * self._chance(), deadline * 0.9)
        self._time.sleep(round_trip / 2)
        weather = self._aws.weather
        self._fail_before(weather, deadline - round_trip / 2)
        date = self._aws.now().replace(microsecond=0)
        refusal: CredhelperError | None = None
        answer: T | None = None
        try:
            answer = work()
        except CredhelperError as error:
            refusal = error
        self._time.sleep(round_trip / 2)
        if weather is Weather.LOSES_ANSWERS:
            raise Unavailable("the connection was closed before the answer came")
        self.server_time.note(date, asked, self._clock.boottime())
        if refusal is not None:
            raise refusal
        return answer  # type: ignore[return-value]  # T, where there is no refusal

    def _fail_before(self, weather: Weather, seconds: float) -> None:
        match weather:
            case Weather.UNREACHABLE:
                raise Unavailable("no route to host")
            case Weather.HANGS:
                self._time.sleep(seconds)
                raise Unavailable("no answer in time")
            case Weather.SERVER_ERROR:
                raise Unavailable("HTTP 503", retry_after=self._aws.retry_after)
            case Weather.THROTTLES:
                raise Throttled("too many requests", retry_after=self._aws.retry_after)


def _what_was_issued(answer: object) -> IssuedToken | IssuedCredentials | None:
    match answer:
        case (_, IssuedToken() | IssuedCredentials() as issued):
            return issued
    return None


def _refused(reason: str) -> Refused:
    return Refused(f"AWS refused: {reason}", reason=reason)
