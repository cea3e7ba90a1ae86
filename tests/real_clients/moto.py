"""moto's server: an identity pool on loopback whose credentials live for 90 seconds. It checks nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from . import clients

REGION = "us-east-1"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
LIFE = 90
"""Seconds."""

PROGRAM = """
import sys
from moto import server

class Declared(server.DomainDispatcherApplication):
    def __call__(self, environ, start_response):
        def start(status, headers, *more):
            if "HTTP_X_AMZ_TARGET" in environ:
                headers = [pair for pair in headers if pair[0].lower() != "content-type"]
                headers.append(("Content-Type", "application/x-amz-json-1.1"))
            return start_response(status, headers, *more)
        return super().__call__(environ, start)

server.DomainDispatcherApplication = Declared
server.main(sys.argv[1:])
"""
"""The server with one correction: it declares its JSON to be HTML, which credhelper takes for a captive portal's."""


class Moto:
    """A running server, with nothing in it. Leaving the `with` block ends it."""

    def __init__(self, python: str, scratch: Path) -> None:
        self._python = python
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with socket.socket() as probe:  # it takes no socket that is open already
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        quiet = {name: value for name, value in os.environ.items() if not name.startswith(clients.NOT_INHERITED)}
        with (self._scratch / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._python, "-I", "-c", PROGRAM, "-H", "127.0.0.1", "-p", str(port)],
                env=quiet | {"HOME": str(self._scratch)},
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            clients.until(self._is_ready, what="moto")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def environment(self) -> dict[str, str]:
        """What points credhelper and the SDKs here."""
        return {f"AWS_ENDPOINT_URL_{service}": self.url for service in ("COGNITO_IDENTITY", "STS")}

    def pool(self) -> str:
        """A new identity pool that lets guests in."""
        config = Config(retries={"total_max_attempts": 1}, proxies={})
        client: Any = boto3.client("cognito-identity", endpoint_url=self.url, region_name=REGION, config=config, **KEYS)
        made = client.create_identity_pool(IdentityPoolName="guests", AllowUnauthenticatedIdentities=True)
        return str(made["IdentityPoolId"])

    def requests(self) -> int:
        """How many requests have been answered."""
        return (self._scratch / "log").read_text().count('"POST / HTTP')

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"moto ended:\n{(self._scratch / 'log').read_text()}")
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{self.url}/moto-api/data.json", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
