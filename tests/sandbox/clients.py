"""A clock to move, the SDKs' clients, and raw requests."""

import base64
import contextlib
import functools
import hashlib
import http.client
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from credhelper.sandbox.server import Sandbox

VERIFIER = "a-verifier-" + "~" * 50
CALLBACK = "http://127.0.0.1/oauth/callback"
CALLBACK_WITH_PORT = "http://127.0.0.1:34567/oauth/callback"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ACCOUNT_ACCESS = "sso:account:access"
DEVELOPMENT, STAGING, PRODUCTION, BILLING = "111122223333", "222233334444", "333344445555", "444455556666"


@contextlib.contextmanager
def refused(error: str, status: int) -> Iterator[None]:
    """The block's call is answered with this error of the service model and this HTTP status."""
    with pytest.raises(ClientError) as caught:
        yield
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (error, status)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@functools.cache
def _session() -> botocore.session.Session:
    """One for all tests: what it has loaded of the service models it keeps."""
    return botocore.session.Session()


class Clients:
    """botocore clients as the SDKs have them, and the two logins in short."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.oidc = self.make("sso-oidc")
        self.portal = self.make("sso")

    def close(self) -> None:
        self.oidc.close()
        self.portal.close()

    def make(self, service: str, read_timeout: float = 5, **keys: str) -> Any:
        config = Config(
            signature_version=None if keys else UNSIGNED,
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=read_timeout,
        )
        return _session().create_client(
            service, region_name="us-east-1", endpoint_url=self.sandbox.url, config=config, **keys
        )

    def register_for_device(self, **more: Any) -> dict[str, str]:
        """clientId and clientSecret of a client as `aws sso login --use-device-code` registers it."""
        given = {"clientName": "botocore-client-corp", "clientType": "public", "scopes": [ACCOUNT_ACCESS]}
        return _identity(self.oidc.register_client(**{**given, **more}))

    def register_for_browser(self, **more: Any) -> dict[str, str]:
        """clientId and clientSecret of a client as `aws sso login` registers it."""
        given = {
            "clientName": "botocore-client-corp",
            "clientType": "public",
            "grantTypes": ["authorization_code", "refresh_token"],
            "redirectUris": [CALLBACK],
            "issuerUrl": self.sandbox.start_url,
            "scopes": [ACCOUNT_ACCESS],
        }
        return _identity(self.oidc.register_client(**{**given, **more}))

    def start_device(self, client: dict[str, str]) -> dict[str, Any]:
        start_url = self.sandbox.start_url
        answer: dict[str, Any] = self.oidc.start_device_authorization(**client, startUrl=start_url)
        return answer

    def poll(self, client: dict[str, str], device: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.oidc.create_token(
            **client, grantType=DEVICE_GRANT, deviceCode=device["deviceCode"]
        )
        return answer

    def refresh(self, client: dict[str, str], tokens: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.oidc.create_token(
            **client, grantType="refresh_token", refreshToken=tokens["refreshToken"]
        )
        return answer

    def authorize_url(self, client: dict[str, str], **changes: str | None) -> str:
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client["clientId"],
            "redirect_uri": CALLBACK_WITH_PORT,
            "state": str(uuid.uuid4()),
            "code_challenge_method": "S256",
            "scopes": ACCOUNT_ACCESS,
            "code_challenge": challenge(VERIFIER),
        }
        kept = {name: value for name, value in {**parameters, **changes}.items() if value is not None}
        return f"{self.sandbox.url}/authorize?{urlencode(kept, quote_via=quote)}"

    def redeem(self, client: dict[str, str], code: str, **changes: str) -> dict[str, Any]:
        given = {"code": code, "redirectUri": CALLBACK_WITH_PORT, "codeVerifier": VERIFIER}
        answer: dict[str, Any] = self.oidc.create_token(
            **client, grantType="authorization_code", **{**given, **changes}
        )
        return answer

    def log_in_by_browser(self, person: str = "alice") -> tuple[dict[str, str], dict[str, Any]]:
        """Registration and tokens of a finished authorization code login."""
        client = self.register_for_browser()
        location = self.sandbox.authorize(self.authorize_url(client), person)
        return client, self.redeem(client, query_of(location)["code"])

    def caller_identity(self, keys: Any) -> Any:
        sts = self.make(
            "sts",
            aws_access_key_id=keys["accessKeyId"],
            aws_secret_access_key=keys["secretAccessKey"],
            aws_session_token=keys["sessionToken"],
        )
        try:
            return sts.get_caller_identity()
        finally:
            sts.close()

    def log_in(self, person: str = "alice", **registration: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """Registration and tokens of a finished device login."""
        client = self.register_for_device(**registration)
        device = self.start_device(client)
        self.sandbox.approve(device["userCode"], person)
        return client, self.poll(client, device)

    def role_credentials(self, token: str, account: str = DEVELOPMENT, role: str = "Developer") -> Any:
        answer = self.portal.get_role_credentials(accessToken=token, accountId=account, roleName=role)
        return answer["roleCredentials"]


class Wire:
    """Requests byte for byte, for what no SDK would send."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self._sandbox.url).port or 0, timeout=5)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post_json(self, path: str, document: object) -> tuple[int, dict[str, str], Any]:
        status, headers, body = self.request(
            "POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"}
        )
        return status, headers, json.loads(body)


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def query_of(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query))


def _identity(registration: dict[str, Any]) -> dict[str, str]:
    return {"clientId": registration["clientId"], "clientSecret": registration["clientSecret"]}
