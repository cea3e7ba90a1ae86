"""Calls of AWS's APIs through botocore, and the border where its errors become ours.

The only module that imports botocore. Retries are not its business here: whoever calls knows how long it may take.
Endpoints, proxies and CA bundle come from the environment of this process (botocore reads ``AWS_ENDPOINT_URL*``,
``AWS_CA_BUNDLE``, ``HTTPS_PROXY``), never from the files or the environment of a caller. Redirects are not followed.
"""

import contextlib
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import botocore.exceptions
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.parsers import ResponseParserError

from credhelper import __version__, log
from credhelper.aws.limits import limited, limited_pool
from credhelper.aws.server_time import ServerTime, http_date
from credhelper.domain.errors import ConfigError, Refused, Throttled, Unavailable
from credhelper.domain.text import safe
from credhelper.local.clock import Clock

log.silence("botocore", "urllib3")  # their debug output carries tokens; nobody may switch it on here

CONNECT_TIMEOUT = 4  # seconds
READ_TIMEOUT = 6  # seconds between two bytes
LARGEST_ANSWER = 1024 * 1024  # bytes, headers included; AWS's own have a few thousand

UNREADABLE = (ResponseParserError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What botocore's parsers raise over answers that are not of AWS's shape, such as a list where an object belongs."""

NOT_TAKEN = frozenset({405, 501})
"""What a server says that knows GET only, to anything else (RFC 9110 sections 15.5.6 and 15.6.2)."""

OAUTH_ERROR = re.compile(r"[a-z_]{3,40}", re.ASCII)
"""The form of the errors that RFC 6749 and its extensions name."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The answers whose Location header is the address to go to instead (RFC 9110 section 15.4)."""

NO_MATTER_WHERE = "us-east-1"
"""The region of a client that asks no API of AWS's, for botocore makes none without."""

IN_THE_WAY = "is a captive portal or a proxy in the way?"

UNSENT = "ParamValidationError"
"""botocore's name for a request that it does not send, because AWS would not take its form."""

THROTTLING = frozenset({"TooManyRequestsException", "Throttling", "ThrottlingException", "RequestLimitExceeded"})
"""AWS's names for it; STS answers them with HTTP 400."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of an API's. ``message`` is AWS's own sentence, to be looked at and never repeated."""

    status: int
    reason: str
    message: str = field(repr=False)


Meaning = Callable[[Refusal], Exception | None]
"""What a refusal means for one operation; None: no more than what its reason says."""


class Answer(dict[str, Any]):
    """An answer that remembers who gave it, for the error message when something is missing."""

    def __init__(self, fields: Mapping[str, Any], place: str) -> None:
        super().__init__(fields)
        self.place = place


class Transport:
    """botocore's clients, made when they are needed. Thread-safe. Tells ``server_time`` of every Date of AWS's."""

    def __init__(self, clock: Clock, server_time: ServerTime) -> None:
        self._clock = clock
        self._server_time = server_time
        self._clients: dict[tuple[str, str], Any] = {}
        self._making = threading.Lock()  # creating a client is not thread-safe, using one is
        # Nothing of the user's files: a profile there may name credhelper itself, or send tokens elsewhere. And no
        # profile's name of the environment, which botocore would miss in the files it does not read.
        self._session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        for variable in ("config_file", "credentials_file"):
            self._session.set_config_variable(variable, os.devnull)

    def endpoint(self, service: str, region: str) -> str:
        """The URL at which a service is called. Raises ConfigError."""
        url: str = self._client(service, region).meta.endpoint_url
        return url

    def call(
        self,
        service: str,
        region: str,
        operation: str,
        request: Mapping[str, Any],
        *,
        deadline: float,
        keys: Mapping[str, str] | None = None,
        meaning: Meaning | None = None,
    ) -> Answer:
        """One call, unsigned without ``keys``, that is over after ``deadline`` seconds.

        Raises Unavailable, Throttled, Refused or what ``meaning`` makes of the refusal, and ConfigError.
        """
        if keys is None:
            return self._perform(self._client(service, region), operation, request, deadline, meaning)
        with self._signing_client(service, region, keys) as client:
            return self._perform(client, operation, request, deadline, meaning)

    def post_form(self, url: str, region: str, form: Mapping[str, str], *, deadline: float) -> Answer:
        """A form for an endpoint that is none of botocore's APIs, and answers with a JSON object.

        In the address, where the endpoint takes no POST. Over after ``deadline`` seconds. Raises Unavailable,
        Throttled, Refused and ConfigError.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": f"credhelper/{__version__}"}
        encoded = urlencode(form)
        post = AWSRequest("POST", url, headers, encoded.encode("ascii")).prepare()
        get = AWSRequest("GET", f"{url}?{encoded}", {"User-Agent": headers["User-Agent"]}).prepare()
        place = safe(url)
        status, found, body = self._exchange(url, region, (post, get), deadline)
        about = {"HTTPStatusCode": status, "HTTPHeaders": found}
        if status != 200:
            # AWS's own refusals are web pages here: their status is all there is to tell.
            reason = f"HTTP {status}" if status in {400, 401, 403} else str(status)
            answer = {"ResponseMetadata": about, "Error": {"Code": reason}}
            raise _explain(answer, place, None, self._server_time.now())
        return Answer(_json_object(body, place), place)

    def json(
        self,
        url: str,
        region: str,
        *,
        deadline: float,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        meaning: Meaning | None = None,
    ) -> Answer:
        """The JSON object that a web address has, or answers to ``form`` with, which is only ever posted.

        OAuth's refusals have their ``error`` as reason (RFC 6749 section 5.2). Over after ``deadline`` seconds. Raises
        Unavailable, Throttled, Refused or what ``meaning`` makes of the refusal, and ConfigError.
        """
        told = {"Accept": "application/json", "User-Agent": f"credhelper/{__version__}"} | dict(headers or {})
        if form is None:
            request = AWSRequest("GET", url, told).prepare()
        else:
            told["Content-Type"] = "application/x-www-form-urlencoded"
            request = AWSRequest("POST", url, told, urlencode(form).encode("ascii")).prepare()
        place = safe(url)
        status, found, body = self._exchange(url, region, (request,), deadline)
        if status == 200:
            return Answer(_json_object(body, place), place)
        about = {"HTTPStatusCode": status, "HTTPHeaders": found}
        reason = f"HTTP {status}" if status in {400, 401, 403, 404} else str(status)
        answer = {"ResponseMetadata": about, "Error": {"Code": _oauth_error(body) or reason}}
        raise _explain(answer, place, meaning, self._server_time.now())

    def redirection(self, url: str, *, deadline: float) -> str | None:
        """Where a web address sends whoever asks; None where it has an answer of its own.

        A HEAD, or a GET where that is not taken; no body is read and nothing is followed. Over after ``deadline``
        seconds. Raises Unavailable, Throttled, Refused and ConfigError.
        """
        headers = {"User-Agent": f"credhelper/{__version__}"}
        head, get = (AWSRequest(method, url, headers, stream_output=True).prepare() for method in ("HEAD", "GET"))
        status, found, _ = self._exchange(url, NO_MATTER_WHERE, (head, get), deadline)
        place = safe(url)
        if status in REDIRECTS:
            return found.get("location") or None
        if 200 <= status < 300:
            return None
        if status in {407, 511}:  # a proxy's word, or a network's own: not that of the address
            raise Unavailable(f"{place} answered HTTP {status}; {IN_THE_WAY}")
        about = {"HTTPStatusCode": status, "HTTPHeaders": found}
        answer = {"ResponseMetadata": about, "Error": {"Code": f"HTTP {status}"}}
        raise _explain(answer, place, None, self._server_time.now())

    def partition(self, region: str) -> str:
        """The partition that a region belongs to, such as ``aws-cn``. Reads botocore's data. Raises ConfigError."""
        try:
            with self._making:
                found: str = self._session.get_partition_for_region(region)
        except botocore.exceptions.BotoCoreError:
            raise ConfigError(f"“{safe(region)}” is a region of no partition of AWS's that is known here") from None
        return found

    def _exchange(
        self, url: str, region: str, requests: tuple[Any, ...], deadline: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (in lower case) and body of an answer to the first request, or to the last where the first
        is not taken. The body is left unread where the request wants a stream. Raises Unavailable and ConfigError.
        """
        place = safe(url)
        with self._posting_client(url, region) as client:
            send = client._endpoint.http_session.send
            try:
                with limited(deadline, LARGEST_ANSWER):
                    reply = send(requests[0])
                    if reply.status_code in NOT_TAKEN and len(requests) > 1:
                        reply.raw.close()
                        reply = send(requests[-1])
                    with contextlib.closing(reply.raw):
                        body = b"" if requests[0].stream_output else reply.content
                    return reply.status_code, {name.lower(): value for name, value in reply.headers.items()}, body
            except (botocore.exceptions.BotoCoreError, OSError) as error:
                raise _unavailable(error, place) from None
            except UNREADABLE:
                raise Unavailable(f"{place} sent an answer that cannot be read") from None

    def _perform(
        self, client: Any, operation: str, request: Mapping[str, Any], deadline: float, meaning: Meaning | None
    ) -> Answer:
        place = safe(str(client.meta.endpoint_url))
        asked = self._clock.boottime()
        try:
            with limited(deadline, LARGEST_ANSWER):
                answer = getattr(client, operation)(**request)
        except botocore.exceptions.ClientError as error:
            if _is_awss(error.response):
                self._note_date(error.response, asked)
            # Not its own text, which may repeat what was sent.
            raise _explain(error.response, place, meaning, self._server_time.now()) from None
        except botocore.exceptions.ParamValidationError:
            # Not its report, which repeats what was to be sent.
            raise Refused(f"{operation}: a value is not of the form that AWS takes", reason=UNSENT) from None
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise _unavailable(error, place) from None
        except UNREADABLE:
            raise Unavailable(f"{place} sent an answer that cannot be read") from None
        if _is_web_page(answer):  # not even Logout, whose answer is empty, may be taken for done
            raise Unavailable(f"{place} answered with a web page; {IN_THE_WAY}")
        self._note_date(answer, asked)
        return Answer(answer, place)

    def _note_date(self, answer: Mapping[str, Any], asked: float) -> None:
        date = http_date(_headers(answer).get("date"))
        if date is not None:
            self._server_time.note(date, asked, self._clock.boottime())

    def _client(self, service: str, region: str) -> Any:
        with self._making:
            key = (service, region)
            if key not in self._clients:
                self._clients[key] = self._make_client(service, region, signature_version=UNSIGNED)
            return self._clients[key]

    @contextlib.contextmanager
    def _signing_client(self, service: str, region: str, keys: Mapping[str, str]) -> Iterator[Any]:
        with self._making:
            client = self._make_client(service, region, keys)
        with contextlib.closing(client):
            yield client

    @contextlib.contextmanager
    def _posting_client(self, url: str, region: str) -> Iterator[Any]:
        """One whose proxy, CA bundle and connections are those for ``url``; its service plays no part."""
        with self._making:
            client = self._make_client("sts", region, {"endpoint_url": url}, signature_version=UNSIGNED)
        with contextlib.closing(client):
            yield client

    def _make_client(self, service: str, region: str, keys: Mapping[str, str] | None = None, **more: Any) -> Any:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=16,
            user_agent_extra=f"credhelper/{__version__}",
            **more,
        )
        try:
            client = self._session.create_client(service, region_name=region, config=config, **(keys or {}))
        except (botocore.exceptions.BotoCoreError, OSError, ValueError) as error:
            raise ConfigError(
                f"no client for {service} in {safe(region)} can be made from the daemon's environment"
                f" (AWS_ENDPOINT_URL…, AWS_CA_BUNDLE, proxies): {safe(str(error))}",
                hint="mend the variable, then: credhelper daemon restart",
            ) from None
        # botocore has no setting for its connections. An HTTP session of our own making would have to find proxies
        # and CA bundle by itself; its own keeps them.
        pools = client._endpoint.http_session._pool_classes_by_scheme
        pools.update({scheme: limited_pool(kind) for scheme, kind in pools.items()})
        return client


def _json_object(body: bytes, place: str) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"{place} gave an answer that is not AWS's; {IN_THE_WAY}")
    return found


def _oauth_error(body: bytes) -> str | None:
    """The ``error`` of an OAuth endpoint's answer; None where it has none of the form that RFC 6749 gives it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, str) and OAUTH_ERROR.fullmatch(error) else None


def _explain(answer: Mapping[str, Any], place: str, meaning: Meaning | None, now: datetime) -> Exception:
    reason, status = _reason(answer), _status(answer)
    if status == 429 or reason in THROTTLING:
        wait = _retry_after(_headers(answer).get("retry-after"), now)
        return Throttled(f"{place} is throttling: too many requests", retry_after=wait)
    if status >= 500 or 300 <= status < 400:
        wait = _retry_after(_headers(answer).get("retry-after"), now)
        return Unavailable(f"{place} answered HTTP {status}", retry_after=wait)
    if not reason.endswith("Exception") and status in {400, 403, 404, 407, 511} and reason == str(status):
        return Unavailable(f"{place} answered HTTP {status}, but not as AWS does; is a proxy in the way?")
    refusal = Refusal(status, reason, str(answer.get("Error", {}).get("Message") or ""))
    return (meaning and meaning(refusal)) or Refused(f"{place} refused: {reason}", reason=reason)


def _unavailable(error: Exception, place: str) -> Unavailable:
    inner = getattr(error, "kwargs", {}).get("error")
    if isinstance(inner, Unavailable):
        return Unavailable(f"{place} {inner.message}; {IN_THE_WAY}")
    return Unavailable(f"{place} cannot be reached: {_cause(error)}")


def _cause(error: Exception) -> str:
    """Why a connection failed, in a line. botocore's own texts repeat the whole URL, query included."""
    match error:
        case botocore.exceptions.ConnectTimeoutError():
            return "no connection in time"
        case botocore.exceptions.ReadTimeoutError():
            return "no answer in time"
        case botocore.exceptions.SSLError():
            return f"TLS: {_innermost(error)}"
        case botocore.exceptions.ProxyConnectionError():
            return f"the proxy does not answer: {_innermost(error)}"
        case _:
            return _innermost(error)


def _innermost(error: BaseException) -> str:
    inner = getattr(error, "kwargs", {}).get("error") or error
    while True:
        below = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
        if not isinstance(below, BaseException) or below is inner:
            break
        inner = below
    if isinstance(inner, OSError) and inner.strerror:
        return safe(inner.strerror)
    return safe(type(inner).__name__)


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    headers: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _status(answer: Mapping[str, Any]) -> int:
    status: int = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _reason(answer: Mapping[str, Any]) -> str:
    """AWS's name of an error; the status where there is none."""
    return safe(str(answer.get("Error", {}).get("Code") or "unknown"))


def _is_awss(refusal: Mapping[str, Any]) -> bool:
    """Whether an error has a name, as AWS's have; what stands before AWS answers in its own way."""
    return not _is_web_page(refusal) and _reason(refusal) not in {"unknown", str(_status(refusal))}


def _is_web_page(answer: Mapping[str, Any]) -> bool:
    return str(_headers(answer).get("content-type", "")).lower().startswith("text/html")


def _retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3: seconds, or a date by the server's clock)."""
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        moment = http_date(header)
        return None if moment is None else max(0.0, (moment - now).total_seconds())
    return max(0.0, seconds) if math.isfinite(seconds) else None
