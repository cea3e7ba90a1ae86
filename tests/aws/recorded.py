"""A server that says what AWS has been recorded to say, and notes to the byte what it was asked.

The shapes are the service models'; the sentences of refusals are those that users of AWS's SDKs have reported.
"""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request: of a JSON API its body, of STS its form."""

    operation: str
    headers: dict[str, str]
    fields: dict[str, Any]


Decides = Callable[[dict[str, Any]], Said]


def json_ok(**fields: Any) -> Said:
    """Cognito's answer."""
    return Said(200, "application/x-amz-json-1.1", json.dumps(fields).encode())


def json_refusal(reason: str, message: str, status: int = 400, retry_after: int | None = None) -> Said:
    """Cognito's refusal."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = json.dumps({"__type": reason, "message": message}).encode()
    return Said(status, "application/x-amz-json-1.1", body, {"x-amzn-ErrorType": f"{reason}:", **headers})


def xml_ok(operation: str, inner: str) -> Said:
    """The answer of STS."""
    text = (
        f'<{operation}Response xmlns="{STS_NAMESPACE}"><{operation}Result>{inner}</{operation}Result>'
        f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{operation}Response>"
    )
    return Said(200, "text/xml", text.encode())


def xml_refusal(reason: str, message: str, status: int = 400) -> Said:
    """The refusal of STS."""
    text = (
        f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>Sender</Type><Code>{reason}</Code>'
        f"<Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
    return Said(status, "text/xml", text.encode())


class Recorded:
    """Answers each operation with what it was told to, the last answer again and again. Ends with ``with``."""

    def __init__(self) -> None:
        self._answers: defaultdict[str, deque[Said | Decides]] = defaultdict(deque)
        self._guard = threading.Lock()
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """Where the APIs are for whoever starts with these variables."""
        return {"AWS_ENDPOINT_URL_COGNITO_IDENTITY": self.url, "AWS_ENDPOINT_URL_STS": self.url}

    def says(self, operation: str, *answers: Said | Decides) -> None:
        """From now on, the last of them again and again; one that decides is told what was asked."""
        with self._guard:
            self._answers[operation] = deque(answers)

    def forget(self) -> None:
        """What was asked and what was to be answered."""
        with self._guard:
            self._answers.clear()
            self.asked.clear()

    @property
    def operations(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.operation for asked in self.asked]

    def answer(self, asked: Asked) -> Said:
        """Notes a request and answers it."""
        with self._guard:
            self.asked.append(asked)
            answers = self._answers[asked.operation]
            if not answers:
                return Said(501, "text/plain", b"no such answer")
            found = answers.popleft() if len(answers) > 1 else answers[0]
            return found if isinstance(found, Said) else found(asked.fields)


def _handler(recorded: Recorded) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # a connection for each request: none outlives its test

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            target = headers.get("x-amz-target")
            fields = dict(parse_qsl(body.decode())) if target is None else json.loads(body)
            operation = fields["Action"] if target is None else target.partition(".")[2]
            said = recorded.answer(Asked(operation, headers, fields))
            self.send_response_only(said.status)
            for name, value in {"Content-Type": said.content_type, **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *_: object) -> None:
            """Says nothing on stderr."""

    return Handler
