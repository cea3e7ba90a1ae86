"""The sandbox as one object: start it, point clients at it, let it fail, look at what was called."""

import json
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self
from urllib.parse import parse_qsl, urlsplit

from credhelper.sandbox import admin, federation
from credhelper.sandbox.authorizations import RedirectedError
from credhelper.sandbox.browser import Browser
from credhelper.sandbox.cognito import OPERATIONS as COGNITO_OPERATIONS
from credhelper.sandbox.cognito import Cognito
from credhelper.sandbox.cognito_directory import CognitoDirectory, default_cognito
from credhelper.sandbox.directory import Assignment, Directory, IamRole, default_directory
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.faults import Cut, Fault, Faults, Hold
from credhelper.sandbox.federation import Federation
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.oidc import Oidc
from credhelper.sandbox.portal import Portal
from credhelper.sandbox.rate_limit import RateLimit
from credhelper.sandbox.registrations import GRANTS
from credhelper.sandbox.shapes import Shapes
from credhelper.sandbox.state import State
from credhelper.sandbox.sts import OPERATIONS, Sts, action
from credhelper.sandbox.transport import BrokenOff, HttpServer

START_URL = "https://sandbox.awsapps.com/start"
"""A label only, nobody connects to it: the AWS CLI takes no start URL that is not https and AWS's own."""

_REMEMBERED_CALLS = 10_000
_UNKNOWN = "UnknownOperation"


class _Door(Protocol):
    """One API, or the pages. Runs with the state locked."""

    def perform(self, operation: str, request: Request, /) -> Answer: ...
    def refuse(self, error: ApiError) -> Answer: ...


class _Nowhere:
    """What no route leads to; a wrong method counts as such, as with the real service."""

    def perform(self, _operation: str, _request: Request) -> Answer:
        raise ApiError("UnknownOperationException", "There is no such operation.")

    def refuse(self, error: ApiError) -> Answer:
        body = json.dumps({"message": error.message, "__type": error.name})
        return Answer(error.status or 404, body.encode(), headers=(("x-amzn-ErrorType", error.name),))


@dataclass(frozen=True)
class Call:
    """A request as it came in; `request` prints no values. `at`: seconds of the sandbox's clock."""

    operation: str
    at: float
    request: Request = field(repr=False)


class Sandbox:
    """An IAM Identity Center instance on 127.0.0.1. Everything may be called from any thread."""

    def __init__(
        self,
        *,
        port: int = 0,
        directory: Directory | None = None,
        cognito: CognitoDirectory | None = None,
        lifetimes: Lifetimes | None = None,
        region: str = "us-east-1",
        clock: Callable[[], float] = time.time,
        log: Callable[[str], None] | None = None,
        start_urls: Iterable[str] = (),
        rate_limit: float | None = None,
        burst: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        """`rate_limit`: how many calls of the portal a person may make in a second; see `RateLimit`.

        `start_urls`: more of them that the APIs here take, beside `start_url` and `/start`.
        """
        self.region = region
        self.start_url = START_URL
        self.admin_token = secrets.token_urlsafe(32)
        self.calls: Counter[str] = Counter()
        """How often each operation was called; CreateToken also by grant: `CreateToken:refresh_token`."""
        self.recorded: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._faults = Faults()
        self._http = HttpServer(port, self._serve, clock)
        self.url = f"http://127.0.0.1:{self._http.port}"
        self.directory = directory or default_directory()
        known = frozenset({self.start_url, f"{self.url}/start", *start_urls})
        self._state = State(clock, lifetimes or Lifetimes(), self.directory, known)
        shapes = Shapes()
        self._browser = Browser(self._state, clock, self._http.port)
        self._sts = Sts(self._state)
        self._federation = Federation(self._state, clock)
        self._rate_limit = RateLimit(clock, rate_limit, burst, retry_after)
        self.cognito = Cognito(
            clock,
            cognito or default_cognito(self.directory.people),
            self._state.credentials,
            shapes,
            self.url,
            self._lock,
        )
        portal = Portal(self._state, shapes, self._rate_limit)
        self._routes = _routes(Oidc(self._state, shapes, self.url), portal, self._browser)
        self._names = {operation for operation, _ in self._routes.values()}
        self._names |= {
            *OPERATIONS,
            *COGNITO_OPERATIONS,
            *federation.OPERATIONS.values(),
            *(f"CreateToken:{_short(grant)}" for grant in GRANTS),
        }
        self._admin = admin.Admin(self)

    def start(self) -> None:
        self._http.start()

    def stop(self) -> None:
        """Wake everything that hangs, close every connection, wait for every thread."""
        self._faults.stop()
        self._http.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def throttled(self) -> int:
        """How many calls were answered 429 because they came too fast."""
        return self._rate_limit.refused

    def environment(self) -> dict[str, str]:
        """What points the AWS CLI, the SDKs and credhelper here."""
        services = ("SSO", "SSO_OIDC", "STS", "SIGNIN", "COGNITO_IDENTITY", "COGNITO_IDENTITY_PROVIDER")
        return {f"AWS_ENDPOINT_URL_{service}": self.url for service in services}

    # What a person would do in a browser.

    def approve(self, user_code: str, person: str = "alice") -> None:
        """Approve a device. Raises LookupError if none waits under that code."""
        with self._lock:
            self._state.devices.approve(self._state.waiting_device(user_code), self._state.known_person(person))

    def deny(self, user_code: str) -> None:
        with self._lock:
            self._state.devices.deny(self._state.waiting_device(user_code))

    def authorize(self, authorize_url: str, person: str = "alice", deny: bool = False) -> str:
        """Allow (or deny) an authorization request; returns the location the browser would be sent to.

        Raises `RefusedError`, or for a user pool's managed login `ApiError`, where the browser would see an error page
        instead.
        """
        address = urlsplit(authorize_url)
        if f"{address.scheme}://{address.netloc}{address.path}" == f"{self.url}/oauth2/authorize":
            with self._lock:
                return self.cognito.authorize(address.query, person, deny=deny)
        if f"{address.scheme}://{address.netloc}{address.path}" != f"{self.url}/authorize":
            raise ValueError("not an authorize URL of this sandbox")
        with self._lock:
            authorizations = self._state.authorizations
            try:
                wanted = authorizations.check(parse_qsl(address.query, keep_blank_values=True))
            except RedirectedError as mistake:
                return mistake.location
            if deny:
                return authorizations.deny(wanted)
            return authorizations.approve(wanted, self._state.known_person(person))

    def mfa_serial(self, person: str = "alice") -> str:
        """The ARN of the person's MFA device."""
        return self._state.mfa.serial(person)

    def mfa_code(self, person: str = "alice", step: int = 0) -> str:
        """What the device shows now, or so many times 30 s later. Raises LookupError if they have none."""
        with self._lock:
            return self._state.mfa.code(person, step)

    # What an administrator would do.

    def assign(self, person: str, account_id: str, role_name: str) -> None:
        """Raises ValueError if the directory lacks one of them."""
        with self._lock:
            self._state.assign(Assignment(person, account_id, role_name))

    def unassign(self, person: str, account_id: str, role_name: str) -> None:
        with self._lock:
            self._state.assignments.discard(Assignment(person, account_id, role_name))

    def put_iam_role(self, role: IamRole) -> None:
        """Create an IAM role, or change the one of that name in that account."""
        with self._lock:
            self._state.iam_roles[role.arn] = role

    def delete_iam_role(self, arn: str) -> None:
        """Nobody can assume it any more; what was issued stays good."""
        with self._lock:
            self._state.iam_roles.pop(arn, None)

    def end_session(self, person: str = "alice") -> None:
        """End every sign-in session of a person: no token of theirs is good any more."""
        with self._lock:
            self._state.sign_ins.end_all(person)
            self._browser.end_visits(person)

    def revoke(self, token: str) -> None:
        """Revoke one access or refresh token."""
        with self._lock:
            self._state.sign_ins.revoke(token)

    def revoke_access_tokens(self, person: str = "alice") -> None:
        """Their refresh tokens stay good."""
        with self._lock:
            self._state.sign_ins.revoke_access_tokens(person)

    def revoke_refresh_tokens(self, person: str = "alice") -> None:
        """Their access tokens stay good."""
        with self._lock:
            self._state.sign_ins.revoke_refresh_tokens(person)

    def forget_client(self, client_id: str) -> None:
        """Make a registration unknown, as if it had expired."""
        with self._lock:
            self._state.registrations.forget(client_id)

    def rotate_refresh_tokens(self, on: bool) -> None:
        """Off: refreshing answers without `refreshToken`, and the old one stays good."""
        with self._lock:
            self._state.sign_ins.rotate = on

    # Failing on purpose.

    def fail(self, operation: str, fault: Fault, times: int | None = 1) -> None:
        """Let the next `times` calls fail, all of them with None. Plans for one operation queue up."""
        self._check_name(operation)
        self._faults.plan(operation, fault, times)

    def clear(self, operation: str | None = None) -> None:
        """No more planned faults for the operation; for none at all without an argument."""
        self._faults.clear(operation)

    def hold(self, operation: str) -> Hold:
        """From now on calls of the operation wait, before they are performed, until released."""
        self._check_name(operation)
        return self._faults.hold(operation)

    def release(self, operation: str | None = None) -> None:
        """Release what is held, of one operation or of all."""
        self._faults.release(operation)

    def waiting(self) -> dict[str, int]:
        """How many calls wait, by held operation."""
        return self._faults.waiting()

    def _check_name(self, operation: str) -> None:
        """A misspelt operation would never fail, and its test never notice."""
        if operation not in self._names:
            raise ValueError(f"there is no operation {operation}; there are {', '.join(sorted(self._names))}")

    # Answering.

    def _serve(self, request: Request) -> Answer | BrokenOff:
        if request.headers.get("host") not in {
            f"127.0.0.1:{self._http.port}",
            f"localhost:{self._http.port}",
        }:
            return Answer(421, b"{}")  # a page elsewhere that points its own name at us: DNS rebinding
        if request.path.startswith(admin.PREFIX):
            return self._admin.perform(request)
        operation, door = self._route(request)
        outcome = self._serve_operation(operation, door, request)
        if self._log is not None:
            self._log(f"{operation} {outcome.status if isinstance(outcome, Answer) else 'broken off'}")
        return outcome

    def _route(self, request: Request) -> tuple[str, _Door]:
        named = action(request) if request.path == "/" else ""
        cognito = self.cognito.route(request, named)
        if cognito is not None:
            return cognito
        if (request.method, request.path) == ("POST", "/"):
            if "x-amz-target" in request.headers:  # JSON, of an operation that is not played here
                return _UNKNOWN, _Nowhere()
            return (named if named in OPERATIONS else _UNKNOWN), self._sts
        if request.path == "/federation" and request.method in {"GET", "POST"}:
            named = federation.operation_of(request)
            return (named, self._federation) if named else (_UNKNOWN, _Nowhere())
        return self._routes.get((request.method, request.path), (_UNKNOWN, _Nowhere()))

    def _serve_operation(self, operation: str, door: _Door, request: Request) -> Answer | BrokenOff:
        names = _names(operation, request)
        with self._lock:
            self.calls.update(names)
            self.recorded.append(Call(operation, self._clock(), request))
        fault = self._faults.take(names) or Fault()
        self._faults.wait_in_holds(names)
        self._faults.delay(fault.delay)
        if self._faults.stopping or fault.cut is Cut.BEFORE:
            return BrokenOff()
        if fault.replacement is not None:
            return fault.replacement
        answer = fault.spoil(self._perform(operation, door, request, fault.refusal))
        return BrokenOff(answer) if fault.cut is Cut.MIDDLE else answer

    def _perform(self, operation: str, door: _Door, request: Request, refusal: ApiError | None) -> Answer:
        with self._lock:
            try:
                if refusal is not None:
                    raise refusal
                return door.perform(operation, request)
            except ApiError as error:
                return _with_retry_after(door.refuse(error), error.retry_after)


def _routes(oidc: Oidc, portal: Portal, browser: Browser) -> dict[tuple[str, str], tuple[str, _Door]]:
    """Method and path to operation and door; the API's as in the service models."""
    return {
        ("POST", "/client/register"): ("RegisterClient", oidc),
        ("POST", "/device_authorization"): ("StartDeviceAuthorization", oidc),
        ("POST", "/token"): ("CreateToken", oidc),
        ("GET", "/federation/credentials"): ("GetRoleCredentials", portal),
        ("GET", "/assignment/accounts"): ("ListAccounts", portal),
        ("GET", "/assignment/roles"): ("ListAccountRoles", portal),
        ("POST", "/logout"): ("Logout", portal),
        ("GET", "/authorize"): ("Authorize", browser),
        ("POST", "/authorize"): ("Authorize", browser),
        ("GET", "/device"): ("Device", browser),
        ("POST", "/device"): ("Device", browser),
        ("POST", "/sign-in"): ("SignIn", browser),
        ("POST", "/sign-out"): ("SignOut", browser),
        ("GET", "/start"): ("Start", browser),
        ("GET", "/"): ("Start", browser),
    }


def _names(operation: str, request: Request) -> tuple[str, ...]:
    """What a call is counted and planned for under, the most particular name first."""
    if operation != "CreateToken":
        return (operation,)
    try:
        grant = json.loads(request.body)["grantType"]
        known = grant in GRANTS
    except (
        ValueError,
        TypeError,
        LookupError,
        RecursionError,
    ):  # not a request that names a grant; it will be refused
        return (operation,)
    return (f"CreateToken:{_short(grant)}", operation) if known else (operation,)


def _short(grant: str) -> str:
    """`device_code` for RFC 8628's long name."""
    return grant.rpartition(":")[2]


def _with_retry_after(answer: Answer, seconds: int | None) -> Answer:
    if seconds is None:
        return answer
    return replace(answer, headers=(*answer.headers, ("Retry-After", str(seconds))))
