"""The server as such: connections, its own levers over HTTP, what it tells and what it keeps to itself."""

import json
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from credhelper.sandbox.server import Sandbox

from .clients import DEVELOPMENT, Clients, Clock, Wire, query_of, refused


class Levers:
    def __init__(self, sandbox: Sandbox, wire: Wire) -> None:
        self._sandbox = sandbox
        self._wire = wire

    def pull(self, lever: str, **arguments: Any) -> Any:
        status, answer = self.try_to(lever, **arguments)
        assert status == 200, answer
        return answer["result"]

    def try_to(self, lever: str, **arguments: Any) -> tuple[int, Any]:
        headers = {"X-Sandbox-Admin": self._sandbox.admin_token}
        body = json.dumps(arguments).encode()
        status, _, answer = self._wire.request("POST", f"/_sandbox/{lever}", body, headers)
        return status, json.loads(answer)


@pytest.fixture
def levers(sandbox: Sandbox, wire: Wire) -> Levers:
    return Levers(sandbox, wire)


def test_everything_works_over_http_too(clients: Clients, levers: Levers) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    levers.pull("approve", user_code=device["userCode"], person="bob")
    tokens = clients.poll(client, device)
    levers.pull("fail", operation="ListAccounts", status=429, retry_after=1, times=1)
    with refused("TooManyRequestsException", 429):
        clients.portal.list_accounts(accessToken=tokens["accessToken"])
    levers.pull("fail", operation="ListAccounts", body="empty_object", without=["nextToken"], times=None)
    assert "accountList" not in clients.portal.list_accounts(accessToken=tokens["accessToken"])
    levers.pull("clear")
    assert levers.pull("calls")["ListAccounts"] == 2
    levers.pull("assign", person="bob", account_id=DEVELOPMENT, role_name="Developer")
    assert clients.role_credentials(tokens["accessToken"])
    levers.pull("end-session", person="bob")
    with refused("UnauthorizedException", 401):
        clients.role_credentials(tokens["accessToken"])


def test_authorizing_and_holding_over_http(clients: Clients, levers: Levers) -> None:
    client = clients.register_for_browser()
    location = levers.pull("authorize", authorize_url=clients.authorize_url(client))
    assert clients.redeem(client, query_of(location)["code"])["accessToken"]
    levers.pull("hold", operation="ListAccounts")
    assert levers.pull("waiting") == {"ListAccounts": 0}
    levers.pull("release", operation="ListAccounts")
    levers.pull("fail", operation="RegisterClient", cut="before")
    assert levers.pull("waiting") == {}


@pytest.mark.parametrize(
    ("lever", "arguments"),
    [
        ("approve", {"user_code": "ABCD-EFGH"}),
        ("approve", {"unknown": 1}),
        ("fail", {"operation": "Nothing", "status": 500}),
        ("fail", {"operation": "ListAccounts", "body": "odd"}),
        ("fail", {"operation": "ListAccounts", "odd": 1}),
        ("authorize", {"authorize_url": "http://127.0.0.1/"}),
        ("assign", {"person": "alice", "account_id": "1", "role_name": "R"}),
    ],
)
def test_a_wrong_use_of_a_lever_is_told(levers: Levers, lever: str, arguments: dict[str, Any]) -> None:
    status, answer = levers.try_to(lever, **arguments)
    assert (status, bool(answer["error"])) == (400, True)


def test_without_the_admin_token_there_are_no_levers(sandbox: Sandbox, wire: Wire) -> None:
    token = sandbox.admin_token
    for headers in ({}, {"X-Sandbox-Admin": "guessed"}, {"Authorization": token}):
        assert wire.request("POST", "/_sandbox/calls", b"{}", headers)[0] == 404
    assert wire.request("GET", "/_sandbox/calls", headers={"X-Sandbox-Admin": token})[0] == 404
    assert wire.request("POST", "/_sandbox/nothing", headers={"X-Sandbox-Admin": token})[0] == 404


def test_the_environment_points_clients_here(sandbox: Sandbox) -> None:
    assert sandbox.environment() == {
        "AWS_ENDPOINT_URL_SSO": sandbox.url,
        "AWS_ENDPOINT_URL_SSO_OIDC": sandbox.url,
        "AWS_ENDPOINT_URL_STS": sandbox.url,
        "AWS_ENDPOINT_URL_SIGNIN": sandbox.url,
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY": sandbox.url,
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": sandbox.url,
    }
    assert (sandbox.start_url, sandbox.region) == ("https://sandbox.awsapps.com/start", "us-east-1")


def test_a_name_rebound_to_loopback_is_not_served(wire: Wire) -> None:
    assert wire.request("GET", "/device", headers={"Host": "evil.example"})[0] == 421


def test_it_listens_on_loopback_only(sandbox: Sandbox) -> None:
    address = urlsplit(sandbox.url)
    assert address.hostname == "127.0.0.1"
    with Sandbox(port=0) as other:
        assert other.url != sandbox.url
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=address.port or 0)


def _converse(sandbox: Sandbox, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /token HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /token HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /token HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST /token HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{}", b"400"),
        (b"POST /token HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
        (b"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", b"501"),
    ],
)
def test_malformed_http_is_refused(sandbox: Sandbox, sent: bytes, status: bytes) -> None:
    assert _converse(sandbox, sent).split(b" ")[1] == status


def test_a_connection_serves_many_requests_without_delay(sandbox: Sandbox, clients: Clients) -> None:
    """Nagle's algorithm against delayed acknowledgements would cost 40 ms each."""
    _, tokens = clients.log_in()
    started = time.monotonic()
    for _ in range(50):
        clients.portal.list_accounts(accessToken=tokens["accessToken"])
    assert time.monotonic() - started < 50 * 0.04


def test_many_clients_are_served_at_once(sandbox: Sandbox, wire: Wire) -> None:
    document = {"clientName": "c", "clientType": "public"}
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(wire.post_json("/client/register", document)[0]))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 50
    assert sandbox.calls["RegisterClient"] == 50


def test_stopping_leaves_no_thread_and_no_port(clients: Clients) -> None:
    before = threading.active_count()
    with Sandbox() as sandbox:
        idle = socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0))
        assert Wire(sandbox).request("GET", "/start")[0] == 200
    assert threading.active_count() <= before
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionError):
        Wire(sandbox).request("GET", "/start")
    sandbox.stop()


def test_calls_are_recorded_but_print_no_values(clients: Clients, sandbox: Sandbox, clock: Clock) -> None:
    client, tokens = clients.log_in()
    keys = clients.role_credentials(tokens["accessToken"])
    assert [call.operation for call in sandbox.recorded] == [
        "RegisterClient",
        "StartDeviceAuthorization",
        "CreateToken",
        "GetRoleCredentials",
    ]
    last = sandbox.recorded[-1]
    assert last.at == clock.now
    assert dict(last.request.query) == {"role_name": "Developer", "account_id": DEVELOPMENT}
    assert last.request.headers["x-amz-sso_bearer_token"] == tokens["accessToken"]
    shown = repr((list(sandbox.recorded), [call.request for call in sandbox.recorded], sandbox.directory))
    for secret in (client["clientSecret"], tokens["accessToken"], tokens["refreshToken"], "correct-horse"):
        assert secret not in shown
    assert keys["secretAccessKey"] not in shown


def test_the_log_holds_operation_and_status_only(clock: Clock) -> None:
    lines: list[str] = []
    with Sandbox(clock=clock, log=lines.append) as sandbox:
        clients = Clients(sandbox)
        clients.log_in()
        Wire(sandbox).request("GET", "/elsewhere?secret")
        Wire(sandbox).request("POST", "/", b"Action=a%0Ab", {"Content-Type": "application/x-www-form-urlencoded"})
        clients.close()
    assert lines == [
        "RegisterClient 200",
        "StartDeviceAuthorization 200",
        "CreateToken 200",
        "UnknownOperation 404",
        "UnknownOperation 400",
    ]


def test_dates_are_those_of_the_sandboxs_clock(wire: Wire) -> None:
    assert wire.request("GET", "/start")[1]["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
