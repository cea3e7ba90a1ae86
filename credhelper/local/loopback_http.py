"""HTTP on loopback for doors that anybody on this machine may knock at: one request a connection, and few of those.

Web pages knock too: their browser runs here. What looks like one (its Host is a name that was made to lead here, or it
tells where it comes from) or like a proxy's request is turned away before anything is looked at that depends on it.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import h11

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


def refusal(status: int, text: str, *more: tuple[str, str]) -> Answer:
    """An answer that says in a line why there is no other."""
    return Answer(status, text.encode() + b"\n", more=more)


def hosts(address: str, port: int) -> frozenset[bytes]:
    """What a caller of this listener writes into its Host header, in lower case."""
    literal = f"[{address}]" if ":" in address else address
    return frozenset(f"{name}:{port}".encode() for name in (literal, "localhost"))


class Exchange:
    """One request and its answer, on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
        self._is_head = False

    async def request(self, seconds: float) -> h11.Request | Answer | None:
        """The head of the request, or the refusal of what is none; None when the caller leaves without one.

        Raises TimeoutError, OSError.
        """
        left = LARGEST_HEAD
        try:
            async with asyncio.timeout(seconds):
                while (event := self._connection.next_event()) is h11.NEED_DATA:
                    if not left:
                        return refusal(431, "the head of the request is too large")
                    received = await self._reader.read(left)
                    left -= len(received)
                    self._connection.receive_data(received)
        except h11.RemoteProtocolError:
            return refusal(400, "this is no HTTP/1.1 request")
        if not isinstance(event, h11.Request):
            return None
        self._is_head = event.method == b"HEAD"
        return event

    async def answer(self, answer: Answer, seconds: float) -> None:
        """Sends it, and ends the connection once it has left. Raises TimeoutError, OSError."""
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *_HARDENING,
            *answer.more,
        ]
        events: list[h11.Event] = [h11.Response(status_code=answer.status, headers=headers)]
        events += [h11.Data(data=b"" if self._is_head else answer.body), h11.EndOfMessage()]
        self._writer.write(b"".join(self._connection.send(event) or b"" for event in events))
        self._writer.close()
        async with asyncio.timeout(seconds):
            await self._writer.wait_closed()

    def end(self) -> None:
        """Ends the connection, whatever has not left yet."""
        self._writer.transport.abort()


def objection(
    request: h11.Request, allowed_hosts: Collection[bytes], methods: Collection[bytes] = READ_ONLY
) -> Answer | None:
    """Why a request is turned away whatever it asks for; None when it is not.

    What a web page could learn from comes last: one whose Host is wrong sees nothing else.
    """
    if request.http_version not in VERSIONS:
        return refusal(505, "this address speaks HTTP/1.1")
    headers = [(name.lower(), value.strip()) for name, value in request.headers]
    if len(request.target) > LONGEST_TARGET:
        return refusal(414, "the address is too long")
    if len(headers) > MOST_HEADERS:
        return refusal(431, "there are too many headers")
    if [value.lower() for name, value in headers if name == b"host"] not in [[host] for host in allowed_hosts]:
        return refusal(403, "this address answers only to its own name")
    if _is_from_a_page_or_a_proxy(headers):
        return refusal(403, "this address answers neither web pages nor proxies")
    if request.method not in methods:
        allowed = ", ".join(sorted(method.decode() for method in methods))
        return refusal(405, "this address takes " + allowed, ("Allow", allowed))
    if methods == READ_ONLY and _has_body(headers):
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
