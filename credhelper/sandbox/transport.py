"""Sockets: HTTP/1.1 on 127.0.0.1, a thread per connection, one write per answer, a stop that leaves none."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from credhelper.sandbox.messages import Answer, Request

_LARGEST_BODY = 1024 * 1024  # bytes; no request of these APIs comes near it


@dataclass(frozen=True)
class BrokenOff:
    """Instead of an answer: the connection is closed, after half of `answer` if there is one."""

    answer: Answer | None = field(default=None, repr=False)


Serve = Callable[[Request], Answer | BrokenOff]


class HttpServer:
    """Bound from the start, so that its port is known; serves between `start` and `stop`."""

    def __init__(self, port: int, serve: Serve, clock: Callable[[], float]) -> None:
        self._server = _Server(port, serve, clock)
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, name="sandbox", daemon=True)
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and wait for their threads."""
        if self._thread.is_alive():
            self._stopping = True
            # The thread waits for a connection, so it gets one; polling a flag would make every stop wait.
            socket.create_connection(("127.0.0.1", self.port)).close()
            self._thread.join()
        self._server.server_close()
        self._server.close_connections()

    def _accept(self) -> None:
        while not self._stopping:
            self._server.handle_request()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int, serve: Serve, clock: Callable[[], float]) -> None:
        self.serve = serve
        self.clock = clock
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would look up the host's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self._converse, args=(request, client_address), daemon=True)
        with self._connections_lock:
            self._connections[request] = thread
        thread.start()

    def _converse(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._connections_lock:
                self._connections.pop(request, None)

    def close_connections(self) -> None:
        with self._connections_lock:
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):  # it ended by itself meanwhile
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "credhelper-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client went away; there is nobody to tell
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Silence: request lines hold codes and tokens."""

    def _respond(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, raw_query = self.path.partition("?")
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        outcome = self.server.serve(Request(self.command, path, raw_query, headers, body))
        if isinstance(outcome, Answer):
            self._write(outcome)
            return
        self.close_connection = True
        if outcome.answer is not None:
            head, content = self._encode(outcome.answer)
            self.wfile.write(head + content[: len(content) // 2])

    def _read_body(self) -> bytes | None:
        """None: refused and answered. What comes after would be read as a request, so we close."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            refusal = HTTPStatus.LENGTH_REQUIRED
        elif len(length) > 9 or int(length) > _LARGEST_BODY:
            refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            refusal = HTTPStatus.BAD_REQUEST  # the client ended in the middle of it
        self.close_connection = True
        self._write(Answer(refusal, content_type="text/plain"))
        return None

    def _write(self, answer: Answer) -> None:
        head, content = self._encode(answer)
        self.wfile.write(head + content)

    def _encode(self, answer: Answer) -> tuple[bytes, bytes]:
        """Head and body; together one write, so that no part waits for an acknowledgement."""
        lines = [
            f"HTTP/1.1 {answer.status} {_phrase(answer.status)}",
            f"Date: {self.date_time_string(int(self.server.clock()))}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers),
            *(["Connection: close"] if self.close_connection else []),
        ]
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode("latin-1"), b"" if self.command == "HEAD" else answer.body

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _respond  # noqa: N815


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
