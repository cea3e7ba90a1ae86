"""The sandbox's pages in a real browser: what a person sees, presses and is told."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox

from .browser import Browser

pytestmark = pytest.mark.real_client

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B
ALICE = ("alice", "correct-horse")
BOB = ("bob", "battery-staple")


@dataclass
class Callback:
    """A client's loopback redirect URI, and what arrived there."""

    url: str
    arrived: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def callback() -> Iterator[Callback]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urllib.parse.urlsplit(self.path)
            if path.path == "/oauth/callback":
                arrived.append(dict(urllib.parse.parse_qsl(path.query)))
            self.send_response(200 if path.path == "/oauth/callback" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<title>client</title><p>Back at the client.</p>")

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 -- the name in http.server
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        there = Callback(f"http://127.0.0.1:{server.server_port}/oauth/callback")
        arrived = there.arrived
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield there
        server.shutdown()
        thread.join()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=0)) as running:
        yield running


def post(sandbox: Sandbox, path: str, content: dict[str, Any]) -> dict[str, Any]:
    """A call of the OIDC API, as a client makes it."""
    connection = HTTPConnection("127.0.0.1", urllib.parse.urlsplit(sandbox.url).port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def register(sandbox: Sandbox, **more: Any) -> dict[str, str]:
    known = {"clientName": "botocore-client-corp", "clientType": "public", "scopes": ["sso:account:access"]}
    answer = post(sandbox, "/client/register", known | more)
    return {name: answer[name] for name in ("clientId", "clientSecret")}


def authorize_url(sandbox: Sandbox, callback: Callback) -> str:
    client = register(
        sandbox,
        grantTypes=["authorization_code", "refresh_token"],
        redirectUris=["http://127.0.0.1/oauth/callback"],
        issuerUrl=sandbox.start_url,
    )
    query = {
        "response_type": "code",
        "client_id": client["clientId"],
        "redirect_uri": callback.url,
        "state": "a-state",
        "code_challenge_method": "S256",
        "scopes": "sso:account:access",
        "code_challenge": CHALLENGE,
    }
    return f"{sandbox.url}/authorize?{urllib.parse.urlencode(query)}"


def start_device(sandbox: Sandbox) -> tuple[dict[str, str], dict[str, Any]]:
    client = register(sandbox)
    return client, post(sandbox, "/device_authorization", client | {"startUrl": sandbox.start_url})


def poll(sandbox: Sandbox, client: dict[str, str], device: dict[str, Any]) -> dict[str, Any]:
    grant = {"grantType": "urn:ietf:params:oauth:grant-type:device_code", "deviceCode": device["deviceCode"]}
    return post(sandbox, "/token", client | grant)


def sign_in(browser: Browser, person: tuple[str, str] = ALICE) -> None:
    browser.fill(name=person[0], password=person[1])
    browser.press("Sign in")


def test_signing_in_and_allowing_leads_back_to_the_client_with_a_code(
    chromium: Browser, sandbox: Sandbox, callback: Callback, tmp_path: Path
) -> None:
    chromium.open(authorize_url(sandbox, callback))
    chromium.screenshot(tmp_path / "sign-in.png")
    assert chromium.fields() == ["name", "password"]
    sign_in(chromium)
    chromium.screenshot(tmp_path / "allow.png")
    assert "botocore-client-corp asks for access" in chromium.text
    assert "Signed in as alice" in chromium.text

    chromium.press("Allow")

    assert chromium.text == "Back at the client."
    assert [sorted(answer) for answer in callback.arrived] == [["code", "state"]]
    assert callback.arrived[0]["state"] == "a-state"


def test_denying_leads_back_to_the_client_with_an_error(
    chromium: Browser, sandbox: Sandbox, callback: Callback
) -> None:
    chromium.open(authorize_url(sandbox, callback))
    sign_in(chromium)

    chromium.press("Deny")

    assert chromium.text == "Back at the client."
    assert [answer["error"] for answer in callback.arrived] == ["access_denied"]


def test_a_wrong_password_says_so_and_lets_the_person_try_again(
    chromium: Browser, sandbox: Sandbox, callback: Callback, tmp_path: Path
) -> None:
    chromium.open(authorize_url(sandbox, callback))
    sign_in(chromium, ("alice", "wrong"))
    chromium.screenshot(tmp_path / "wrong-password.png")
    assert "Name or password is wrong." in chromium.text
    assert callback.arrived == []

    sign_in(chromium)

    assert chromium.buttons()[:2] == ["Allow", "Deny"]


def test_another_person_can_sign_in_instead(chromium: Browser, sandbox: Sandbox, callback: Callback) -> None:
    chromium.open(authorize_url(sandbox, callback))
    sign_in(chromium)

    chromium.press("Not you?")
    sign_in(chromium, BOB)

    assert "Signed in as bob" in chromium.text


def test_a_person_who_is_signed_in_is_only_asked_to_allow(
    chromium: Browser, sandbox: Sandbox, callback: Callback
) -> None:
    chromium.open(authorize_url(sandbox, callback))
    sign_in(chromium)
    chromium.press("Allow")

    chromium.open(authorize_url(sandbox, callback))
    chromium.press("Allow")

    assert len({answer["code"] for answer in callback.arrived}) == 2


def test_a_request_that_names_a_foreign_redirect_uri_is_not_redirected(
    chromium: Browser, sandbox: Sandbox, callback: Callback, tmp_path: Path
) -> None:
    url = authorize_url(sandbox, Callback(callback.url.replace("/oauth/callback", "/elsewhere")))

    chromium.open(url)
    chromium.screenshot(tmp_path / "refused.png")

    assert chromium.url == url
    assert "This request cannot be granted" in chromium.text
    assert callback.arrived == []


def test_a_device_is_allowed_when_its_code_matches(chromium: Browser, sandbox: Sandbox, tmp_path: Path) -> None:
    client, device = start_device(sandbox)
    chromium.open(device["verificationUriComplete"])
    sign_in(chromium)
    chromium.screenshot(tmp_path / "device.png")
    assert device["userCode"] in chromium.text
    assert poll(sandbox, client, device)["error"] == "authorization_pending"

    chromium.press("Allow")
    chromium.screenshot(tmp_path / "device-allowed.png")

    assert "Access allowed" in chromium.text
    assert poll(sandbox, client, device)["accessToken"]


def test_a_device_is_denied(chromium: Browser, sandbox: Sandbox) -> None:
    client, device = start_device(sandbox)
    chromium.open(device["verificationUriComplete"])
    sign_in(chromium)

    chromium.press("Deny")

    assert "Access denied" in chromium.text
    assert poll(sandbox, client, device)["error"] == "access_denied"


def test_a_code_can_be_typed_in_small_letters_and_a_wrong_one_is_refused(
    chromium: Browser, sandbox: Sandbox, tmp_path: Path
) -> None:
    _, device = start_device(sandbox)
    chromium.open(device["verificationUri"])
    chromium.screenshot(tmp_path / "code.png")
    chromium.fill(user_code="AAAA-AAAA")
    chromium.press("Continue")
    chromium.screenshot(tmp_path / "wrong-code.png")
    assert "No device waits under this code" in chromium.text

    chromium.fill(user_code=device["userCode"].lower().replace("-", ""))
    chromium.press("Continue")
    sign_in(chromium)

    assert device["userCode"] in chromium.text
