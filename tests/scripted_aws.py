"""A loopback server that answers AWS's operations as a test has written it down, for what no emulator does.

It looks at nobody's signature. JSON operations are named by X-Amz-Target, IAM's by Action; each has a function from the
request to an answer, or ``Refusal``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote
from xml.sax.saxutils import escape

Json = dict[str, Any]
Answer = Callable[[Json], Any]


class Refusal(Exception):
    """What an operation refuses with."""

    def __init__(self, code: str, message: str = "no", status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Call:
    """One that came."""

    operation: str
    request: Json
    headers: Mapping[str, str]


class ScriptedAws:
    """Runs while in use as a context manager. ``script`` may change meanwhile."""

    def __init__(self, script: Mapping[str, Answer]) -> None:
        self.script = dict(script)
        self.calls: list[Call] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                status, kind, body = outer._answer(dict(self.headers.items()), content)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """What points botocore here."""
        services = ("COGNITO_IDENTITY", "COGNITO_IDENTITY_PROVIDER", "IAM")
        return {f"AWS_ENDPOINT_URL_{service}": self.url for service in services}

    def requests(self, operation: str) -> list[Json]:
        """Those of one operation, in order."""
        return [call.request for call in self.calls if call.operation == operation]

    def _answer(self, headers: dict[str, str], content: bytes) -> tuple[int, str, bytes]:
        target = next((value for name, value in headers.items() if name.lower() == "x-amz-target"), None)
        if target is not None:
            operation, request = target.rpartition(".")[2], json.loads(content)
        else:
            request = {name: values[0] for name, values in parse_qs(content.decode()).items()}
            operation = request["Action"]
        self.calls.append(Call(operation, request, headers))
        try:
            answer = self.script.get(operation, _absent)(request)
        except Refusal as refusal:
            return _refused(refusal, is_json=target is not None)
        if target is not None:
            return 200, "application/x-amz-json-1.1", json.dumps(answer or {}).encode()
        result = f"<{operation}Result>{_xml(answer or {})}</{operation}Result>"
        return 200, "text/xml", f"<{operation}Response>{result}</{operation}Response>".encode()


def _absent(request: Json) -> None:
    raise Refusal("NoSuchEntity" if "Action" in request else "ResourceNotFoundException", "there is none")


def _refused(refusal: Refusal, *, is_json: bool) -> tuple[int, str, bytes]:
    if is_json:
        body = json.dumps({"__type": refusal.code, "message": refusal.message})
        return refusal.status, "application/x-amz-json-1.1", body.encode()
    error = f"<Error><Type>Sender</Type><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
    return refusal.status, "text/xml", f"<ErrorResponse>{error}</ErrorResponse>".encode()


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_xml(inner)}</{name}>" for name, inner in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{_xml(inner)}</member>" for inner in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


def document(policy: Json) -> str:
    """A policy document as IAM puts it into its answers."""
    return quote(json.dumps(policy))
