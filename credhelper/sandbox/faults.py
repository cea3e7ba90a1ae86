"""Failing on purpose: what to do to the next calls of an operation, and holding calls back.

An operation is named as in the service model (`GetRoleCredentials`), CreateToken also by its grant
(`CreateToken:refresh_token`), a page by what it does (`Authorize`, `Device`, `SignIn`).
"""

import enum
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer

_HUGE = 32 * 1024 * 1024  # bytes
_CAPTIVE_PORTAL = b"<!DOCTYPE html><title>Welcome to Hotel Wi-Fi</title><p>Please accept our terms to go online.</p>"
_ERROR_OF_STATUS = {
    400: "InvalidRequestException",
    401: "UnauthorizedException",
    403: "ForbiddenException",
    404: "ResourceNotFoundException",
    429: "TooManyRequestsException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


class Body(enum.StrEnum):
    """How the body of an answer is spoilt."""

    HTML = "html"
    """A captive portal's page; the call is not performed."""
    REDIRECT = "redirect"
    """A captive portal's 302 to a page of its own; the call is not performed."""
    TRUNCATED = "truncated"
    """Half of the JSON, under a Content-Length that fits it."""
    EMPTY = "empty"
    LIST = "list"
    EMPTY_OBJECT = "empty_object"
    WRONG_TYPE = "wrong_type"
    """The right body declared as text/plain."""
    HUGE = "huge"
    """32 MiB of valid JSON."""


class Cut(enum.StrEnum):
    """Where the connection breaks."""

    BEFORE = "before"
    """Before the call is performed: nothing happened, nothing is answered."""
    MIDDLE = "middle"
    """After the call was performed, in the middle of the answer: a one-time token is gone for good."""


@dataclass(frozen=True)
class Fault:
    """`delay` (seconds, real ones) comes first and combines with everything else.

    `status` or `error` answer an error instead of performing the call; either may be left to follow from the
    other. `without` drops members from a good answer and `members` overwrites them, both by
    dotted path (`roleCredentials.expiration`); in XML by the element's name alone.
    """

    delay: float = 0.0
    status: int | None = None
    error: str | None = None
    message: str = "The sandbox was told to fail."
    retry_after: int | None = None
    body: Body | None = None
    without: tuple[str, ...] = ()
    members: Mapping[str, object] = field(default_factory=dict)
    cut: Cut | None = None

    @property
    def refusal(self) -> ApiError | None:
        """The error that stands in for the call."""
        if self.status is None and self.error is None:
            return None
        error = self.error or _ERROR_OF_STATUS.get(self.status or 0, "UnknownError")
        status = self.status or (429 if error == "TooManyRequestsException" else None)
        return ApiError(error, self.message, status=status, retry_after=self.retry_after)

    @property
    def replacement(self) -> Answer | None:
        """The answer of somebody who is not AWS."""
        if self.body is Body.HTML:
            return Answer(self.status or 200, _CAPTIVE_PORTAL, content_type="text/html; charset=utf-8")
        if self.body is Body.REDIRECT:
            return Answer(302, content_type="text/html", headers=(("Location", "http://127.0.0.1:9/portal"),))
        return None

    def spoil(self, answer: Answer) -> Answer:
        if self.without or self.members:
            answer = replace(answer, body=self._changed(answer.body))
        match self.body:
            case Body.TRUNCATED:
                return replace(answer, body=answer.body[: len(answer.body) // 2])
            case Body.EMPTY:
                return replace(answer, body=b"")
            case Body.LIST:
                return replace(answer, body=b"[" + answer.body + b"]")
            case Body.EMPTY_OBJECT:
                return replace(answer, body=b"{}")
            case Body.WRONG_TYPE:
                return replace(answer, content_type="text/plain")
            case Body.HUGE:
                return replace(answer, body=b'{"padding": "' + b"x" * _HUGE + b'"}')
        return answer

    def _changed(self, body: bytes) -> bytes:
        if body.startswith(b"<"):
            return self._changed_xml(body)
        document = json.loads(body)
        for path in self.without:
            parent, name = _parent(document, path)
            parent.pop(name, None)
        for path, value in self.members.items():
            parent, name = _parent(document, path)
            parent[name] = value
        return json.dumps(document).encode()

    def _changed_xml(self, body: bytes) -> bytes:
        for name in self.without:
            body = _element(name).sub(b"", body)
        for name, value in self.members.items():
            body = _element(name).sub(f"<{name}>{value}</{name}>".encode(), body)
        return body


def _element(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"<%(name)s>.*?</%(name)s>" % {b"name": name.encode()}, re.DOTALL)


def _parent(document: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The object that holds the last member of a dotted path, and that member's name."""
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    return document, name


@dataclass
class _Planned:
    fault: Fault
    times: int | None


class Hold:
    """A barrier before an operation: calls wait in it until it is released, at the latest by `with`."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting = 0
        self._released = False

    @property
    def waiting(self) -> int:
        """How many calls wait right now."""
        with self._condition:
            return self._waiting

    def wait_for(self, calls: int, timeout: float = 10.0) -> None:
        """Return once that many calls wait. Raises TimeoutError after `timeout` seconds."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._waiting >= calls, timeout):
                raise TimeoutError(f"{self._waiting} of {calls} calls have come")

    def release(self) -> None:
        """Let everyone through, now and later."""
        with self._condition:
            self._released = True
            self._condition.notify_all()

    def pass_through(self) -> None:
        """What a call does: wait for the release."""
        with self._condition:
            self._waiting += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._released)
            self._waiting -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Faults:
    """What is planned. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: dict[str, list[_Planned]] = {}
        self._holds: dict[str, Hold] = {}
        self._stopping = threading.Event()

    def plan(self, operation: str, fault: Fault, times: int | None) -> None:
        """For the next `times` calls, None for all until cleared. Plans of one operation queue up."""
        if times is not None and times < 1:
            raise ValueError("a fault is planned for at least one call")
        with self._lock:
            self._planned.setdefault(operation, []).append(_Planned(fault, times))

    def clear(self, operation: str | None = None) -> None:
        """Forget the plans of an operation, or all of them."""
        with self._lock:
            if operation is None:
                self._planned.clear()
            else:
                self._planned.pop(operation, None)

    def hold(self, operation: str) -> Hold:
        with self._lock:
            before = self._holds.get(operation)
            hold = self._holds[operation] = Hold()
        if before is not None:
            before.release()
        return hold

    def release(self, operation: str | None = None) -> None:
        with self._lock:
            chosen = list(self._holds) if operation is None else [operation]
            holds = [self._holds.pop(name) for name in chosen if name in self._holds]
        for hold in holds:
            hold.release()

    def waiting(self) -> dict[str, int]:
        with self._lock:
            return {operation: hold.waiting for operation, hold in self._holds.items()}

    def take(self, names: tuple[str, ...]) -> Fault | None:
        """The fault that strikes this call, if any."""
        with self._lock:
            for name in names:
                queue = self._planned.get(name)
                if queue:
                    return _take_from(queue)
        return None

    def wait_in_holds(self, names: tuple[str, ...]) -> None:
        with self._lock:
            holds = [self._holds[name] for name in names if name in self._holds]
        for hold in holds:
            hold.pass_through()

    def delay(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Wake everyone who waits; they find `stopping` true."""
        self._stopping.set()
        self.release()


def _take_from(queue: list[_Planned]) -> Fault:
    planned = queue[0]
    if planned.times is not None:
        planned.times -= 1
        if planned.times == 0:
            del queue[0]
    return planned.fault
