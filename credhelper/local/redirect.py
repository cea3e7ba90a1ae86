"""The loopback redirect URI of one login (RFC 8252 section 7.3): listens on 127.0.0.1, for one answer that is ours.

Anyone on this machine can call the port, so everything but a GET of the callback path with the right Host and the
right state is turned away and changes nothing. The browser that brought the answer is kept waiting until the login is
decided, so that its page can tell the truth.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import h11

from credhelper.domain import oauth
from credhelper.domain.pages import page

REQUEST_SECONDS = 5.0  # seconds for a browser to send its request
LARGEST_REQUEST = 16 * 1024  # bytes
FAREWELL = 2.0  # seconds for the last page to leave

_HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Connection", "close"),
]


class Redirect:
    """An async context manager: listening inside, closed outside."""

    def __init__(self, state: str, port: int = 0, path: str = oauth.CALLBACK_PATH) -> None:
        """``port`` is where to listen; 0: at any that is free. Entering raises OSError where it cannot be had."""
        self._state = state
        self._path = path
        self._server: asyncio.Server | None = None
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._callback: asyncio.Future[oauth.Callback] = loop.create_future()
        self._final_page: asyncio.Future[str] = loop.create_future()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=LARGEST_REQUEST)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.conclude("The login was cancelled", "Nothing was granted. You may close this tab.")
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=FAREWELL)
        for connection in self._connections:  # browsers open some in advance and send nothing on them
            connection.cancel()

    @property
    def uri(self) -> str:
        """The redirect URI with the port of this login."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    async def callback(self) -> oauth.Callback:
        """Waits for the browser to bring the answer."""
        return await asyncio.shield(self._callback)

    def take(self, address: str) -> bool:
        """Whether ``address``, which a person has copied from their browser, brought the answer. Another one may."""
        path, query = _parts(address)
        callback = oauth.read_callback(query, self._state) if path == self._path else None
        if callback is not None and not self._callback.done():
            self._callback.set_result(callback)
        return callback is not None

    def conclude(self, title: str, text: str) -> None:
        """Shows the waiting browser how it ended; only the first conclusion counts."""
        if not self._final_page.done():
            self._final_page.set_result(page(title, text))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._track(self._connections)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_REQUEST)
        try:
            with contextlib.suppress(
                OSError, TimeoutError, h11.ProtocolError
            ):  # who breaks off has only itself to blame
                request = await self._request(connection, reader)
                if request is not None:
                    status, body = await self._answer(request)
                    writer.write(_response(connection, status, "" if request.method == b"HEAD" else body))
                    await writer.drain()
        finally:
            writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _track(self, tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _request(self, connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
        async with asyncio.timeout(REQUEST_SECONDS):
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Request):
                    return event
                if event is not h11.NEED_DATA:
                    return None
                connection.receive_data(await reader.read(LARGEST_REQUEST))

    async def _answer(self, request: h11.Request) -> tuple[int, str]:
        hosts = [value for name, value in request.headers if name == b"host"]
        if hosts != [f"127.0.0.1:{self._port}".encode()]:
            return 403, page("Not here", "This address answers only to 127.0.0.1.")
        path, query = _parts(request.target.decode("ascii", "replace"))
        if path != self._path:
            return 404, page("Not found", "There is nothing at this address.")
        if request.method != b"GET":
            return 405, page("Not allowed", "This address takes GET only.")
        callback = oauth.read_callback(query, self._state)
        if callback is None:
            return 400, page("Not this login", "This answer does not belong to the login that is waiting here.")
        if not self._callback.done():
            self._callback.set_result(callback)
        self._track(self._waiting)
        return 200, await asyncio.shield(self._final_page)


def _parts(address: str) -> tuple[str, str]:
    """Path and query of an address; nothing of what is none."""
    try:
        found = urlsplit(address)
    except ValueError:
        return "", ""
    return found.path, found.query


def _response(connection: h11.Connection, status: int, body: str) -> bytes:
    content = body.encode()
    head = connection.send(h11.Response(status_code=status, headers=[*_HEADERS, ("Content-Length", str(len(content)))]))
    return (
        (head or b"") + (connection.send(h11.Data(data=content)) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    )
