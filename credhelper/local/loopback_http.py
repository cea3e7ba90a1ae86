"""HTTP on loopback for doors that anybody on this machine may knock at: one request a connection, and few of those.

Web pages knock too: their browser runs here. What looks like one (its Host is a name that was made to lead here, or it
tells where it comes from) or like a proxy's request is turned away before anything is looked at that depends on it.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import h11

log = logging.getLogger(__name__)

REQUEST_SECONDS = 2.0  # seconds for all of a request
ANSWER_SECONDS = 2.0  # seconds for an answer to be taken
LARGEST_HEAD = 8 * 1024  # bytes
LONGEST_TARGET = 4 * 1024  # bytes
MOST_HEADERS = 32
VERSIONS = frozenset({b"1.0", b"1.1"})
READ_ONLY = frozenset({b"GET", b"HEAD"})

_NOT_FROM_A_TOOL = frozenset({b"origin", b"referer", b"forwarded", b"via", b"cookie"})
_HARDENING = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Connection", "close"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    more: tuple[tuple[str, str], ...] = ()
    """Headers that only this kind of answer has."""


Answering = Callable[[h11.Request], Answer | Coroutine[Any, Any, Answer]]


def refusal(status: int, text: str, *more: tuple[str, str]) -> Answer:
    """An answer that says in a line why there is no other."""
    return Answer(status, text.encode() + b"\n", more=more)


def hosts(address: str, port: int) -> frozenset[bytes]:
    """What a caller of this listener writes into its Host header, in lower case."""
    literal = f"[{address}]" if ":" in address else address
    return frozenset(f"{name}:{port}".encode() for name in (literal, "localhost"))


class Reception:
    """Where callers are let in, one request each, and answered. Lives on the event loop.

    Of too many the oldest has to go: whoever means well is done by then.
    """

    def __init__(
        self,
        answer: Answering,
        *,
        most: int,
        methods: Collection[bytes] = READ_ONLY,
        as_answer: Callable[[Answer], Answer] = lambda refused: refused,
    ) -> None:
        """``answer`` makes the answer to a request that nothing speaks against, at once or later.

        ``as_answer`` gives the form that answers have here to a plain refusal.
        """
        self.on_answer: Callable[[int], None] = lambda _: None
        """Told the status of each answer."""
        self.port: int | None = None
        """None while nothing listens."""
        self.conversations: dict[Conversation, None] = {}
        """In the order in which they came."""
        self._make = answer
        self._methods = methods
        self._as_answer = as_answer
        self._most = most
        self._hosts: frozenset[bytes] = frozenset()
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._starting: asyncio.Task[None] | None = None

    def open(self, address: IPv4Address | IPv6Address, port: int) -> int:
        """Listens; the port. Whoever connects before the server has started waits for it.

        Raises OSError, and ValueError where the address is none of loopback.
        """
        if not address.is_loopback:
            raise ValueError("it is no loopback address")
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        listener = socket.create_server((str(address), port), family=family, backlog=self._most)
        self._listener, self._starting = listener, asyncio.ensure_future(self._start(listener))
        self.port = bound = int(listener.getsockname()[1])
        self._hosts = hosts(str(address), bound)
        return bound

    def close(self) -> None:
        """Listens no more; whoever has been let in is still answered."""
        if self._starting is not None:
            self._starting.cancel()
        if self._server is not None:
            self._server.close()
        if self._listener is not None:
            self._listener.close()
        self._server = self._listener = self.port = None

    async def stop(self) -> None:
        """Listens no more, and breaks off what is under way."""
        self.close()
        tasks = [task for conversation in self.conversations if (task := conversation.task) is not None]
        tasks += [] if self._starting is None else [self._starting]
        for conversation in list(self.conversations):
            conversation.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        # Nothing of this is waited for before the server is ours to close.
        self._server = await loop.create_server(
            lambda: Conversation(self), sock=listener, backlog=self._most, start_serving=False
        )
        await self._server.start_serving()

    def admit(self, conversation: "Conversation") -> None:
        """One more."""
        if len(self.conversations) >= self._most:
            next(iter(self.conversations)).abort()
        self.conversations[conversation] = None

    def answer(self, request: h11.Request, trailing: bytes) -> Answer | Coroutine[Any, Any, Answer]:
        """The answer to a request after which ``trailing`` has come."""
        turned_away = objection(request, self._hosts, self._methods)
        if turned_away is None and trailing:
            turned_away = refusal(400, "this address takes one request on each connection")
        return self._make(request) if turned_away is None else self._as_answer(turned_away)

    def no_request(self, status: int, text: str) -> Answer:
        """The answer to what cannot be understood as a request."""
        return self._as_answer(refusal(status, text))

    def fault(self) -> Answer:
        """The answer where there is a fault of ours."""
        return self._as_answer(refusal(500, "a fault in the credhelper daemon; its log says more"))


class Conversation(asyncio.Protocol):
    """One caller: a request in, an answer out."""

    def __init__(self, reception: Reception) -> None:
        self.task: asyncio.Task[None] | None = None
        self._reception = reception
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._left = LARGEST_HEAD
        self._is_read = False
        """Whether the request is there: of what comes after it nothing is read."""
        self._wants_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From here on the request has its time."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream transport, by construction
        self._transport = transport
        self._reception.admit(self)
        self._within(REQUEST_SECONDS)

    def connection_lost(self, _: Exception | None) -> None:
        """Whoever leaves is no longer waited for."""
        self._reception.conversations.pop(self, None)
        self._cancel_deadline()
        if self.task is not None:
            self.task.cancel()

    def eof_received(self) -> bool:
        """Who has said all may still listen, if it was a request."""
        return self._is_read

    def data_received(self, data: bytes) -> None:
        """Collects the head of one request."""
        if self._is_read:
            return
        head, rest = data[: self._left], data[self._left :]
        self._left -= len(head)
        try:
            self._parser.receive_data(head)
            event = self._parser.next_event()
        except h11.RemoteProtocolError:
            self._answer(self._reception.no_request(400, "this is no HTTP/1.1 request"))
            return
        if isinstance(event, h11.Request):
            self._understood(event, self._parser.trailing_data[0] + rest)
        elif not self._left:
            self._answer(self._reception.no_request(431, "the head of the request is too large"))

    def abort(self) -> None:
        """Ends the connection, whatever has not left yet."""
        self._reception.conversations.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    def _understood(self, request: h11.Request, trailing: bytes) -> None:
        self._is_read = True
        self._wants_head = request.method == b"HEAD"
        self._cancel_deadline()
        try:
            answer = self._reception.answer(request, trailing)
        except Exception:
            log.exception("a fault while answering over HTTP")
            answer = self._reception.fault()
        if isinstance(answer, Answer):
            self._answer(answer)
        else:
            self.task = asyncio.ensure_future(self._answer_later(answer))

    async def _answer_later(self, coming: Coroutine[Any, Any, Answer]) -> None:
        try:
            answer = await coming
        except Exception:
            log.exception("a fault while answering over HTTP")
            answer = self._reception.fault()
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        """Sends it, and ends the connection once it has left."""
        self._is_read = True
        self._reception.on_answer(answer.status)
        if self._transport is None or self._transport.is_closing():
            return
        head = _head(answer.status, answer.content_type, len(answer.body), answer.more)
        self._transport.write(head if self._wants_head else head + answer.body)
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._within(ANSWER_SECONDS)

    def _within(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@lru_cache(maxsize=64)
def _head(status: int, content_type: str, length: int, more: tuple[tuple[str, str], ...]) -> bytes:
    """Ours alone goes into it: nothing that came from a caller."""
    headers = (("Content-Type", content_type), ("Content-Length", str(length)), *_HARDENING, *more)
    sent = h11.Connection(h11.SERVER)
    sent.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    sent.next_event()
    return sent.send(h11.Response(status_code=status, headers=list(headers))) or b""


def objection(
    request: h11.Request, allowed_hosts: Collection[bytes], methods: Collection[bytes] = READ_ONLY
) -> Answer | None:
    """Why a request is turned away whatever it asks for; None when it is not.

    What a web page could learn from comes last: one whose Host is wrong sees nothing else.
    """
    if request.http_version not in VERSIONS:
        return refusal(505, "this address speaks HTTP/1.1")
    headers = [(name, value.strip()) for name, value in request.headers]  # names in small letters: h11's
    if len(request.target) > LONGEST_TARGET:
        return refusal(414, "the address is too long")
    if len(headers) > MOST_HEADERS:
        return refusal(431, "there are too many headers")
    found = [value.lower() for name, value in headers if name == b"host"]
    if len(found) != 1 or found[0] not in allowed_hosts:
        return refusal(403, "this address answers only to its own name")
    if _is_from_a_page_or_a_proxy(headers):
        return refusal(403, "this address answers neither web pages nor proxies")
    if request.method not in methods:
        allowed = ", ".join(sorted(method.decode() for method in methods))
        return refusal(405, "this address takes " + allowed, ("Allow", allowed))
    if _has_body(headers):
        return refusal(400, "a request for this address has no body")
    return None


def _is_from_a_page_or_a_proxy(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name in _NOT_FROM_A_TOOL
        or name.startswith(b"x-forwarded-")
        or (name == b"sec-fetch-site" and value.lower() != b"none")
        for name, value in headers
    )


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")) for name, value in headers
    )
