"""The sandbox fails as it is told, and waits as it is told."""

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.server import Sandbox

from .clients import Clients, Wire, refused

REGISTRATION = {"clientName": "c", "clientType": "public"}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_a_throttled_operation_says_when_to_come_back(clients: Clients, sandbox: Sandbox, wire: Wire) -> None:
    _, tokens = clients.log_in()
    sandbox.fail("GetRoleCredentials", Fault(status=429, retry_after=7), times=2)
    status, headers, _ = wire.request("GET", "/federation/credentials")
    assert (status, headers["retry-after"]) == (429, "7")
    with refused("TooManyRequestsException", 429):
        clients.role_credentials(tokens["accessToken"])
    assert clients.role_credentials(tokens["accessToken"])


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault(error="InternalServerException"), "InternalServerException", 500),
        (Fault(error="InvalidClientException"), "InvalidClientException", 401),
        (Fault(error="InvalidGrantException"), "InvalidGrantException", 400),
        (Fault(error="TooManyRequestsException"), "TooManyRequestsException", 429),
        (Fault(status=503), "ServiceUnavailableException", 503),
        (Fault(status=418), "UnknownError", 418),
        (Fault(status=500, error="SlowDownException"), "SlowDownException", 500),
    ],
)
def test_modelled_errors_come_with_their_status(
    clients: Clients, sandbox: Sandbox, fault: Fault, error: str, status: int
) -> None:
    sandbox.fail("RegisterClient", fault)
    with refused(error, status):
        clients.register_for_device()


def test_sts_fails_in_xml(clients: Clients, sandbox: Sandbox) -> None:
    keys = clients.role_credentials(clients.log_in()[1]["accessToken"])
    sandbox.fail("GetCallerIdentity", Fault(status=503, error="ServiceUnavailable"))
    with refused("ServiceUnavailable", 503):
        clients.caller_identity(keys)


def test_a_fault_lasts_until_cleared(clients: Clients, sandbox: Sandbox) -> None:
    sandbox.fail("RegisterClient", Fault(status=500), times=None)
    for _ in range(3):
        with refused("InternalServerException", 500):
            clients.register_for_device()
    sandbox.clear("RegisterClient")
    assert clients.register_for_device()


def test_plans_of_an_operation_follow_one_another(clients: Clients, sandbox: Sandbox) -> None:
    sandbox.fail("RegisterClient", Fault(status=500))
    sandbox.fail("RegisterClient", Fault(status=503))
    with refused("InternalServerException", 500):
        clients.register_for_device()
    with refused("ServiceUnavailableException", 503):
        clients.register_for_device()
    sandbox.fail("RegisterClient", Fault(status=500))
    sandbox.clear()
    assert clients.register_for_device()


def test_one_grant_can_fail_alone(clients: Clients, sandbox: Sandbox) -> None:
    sandbox.fail("CreateToken:refresh_token", Fault(status=500))
    client, tokens = clients.log_in()
    with refused("InternalServerException", 500):
        clients.refresh(client, tokens)
    assert sandbox.calls["CreateToken"] == 2
    assert sandbox.calls["CreateToken:refresh_token"] == 1
    assert sandbox.calls["CreateToken:device_code"] == 1


def test_a_plan_that_could_never_come_true_is_told(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="at least one"):
        sandbox.fail("GetRoleCredentials", Fault(status=500), times=0)
    with pytest.raises(ValueError, match="GetRoleCredential;"):
        sandbox.fail("GetRoleCredential", Fault(status=500))
    with pytest.raises(ValueError, match="Nothing"):
        sandbox.hold("Nothing")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (Body.HTML, (200, "text/html; charset=utf-8", b"<!DOCTYPE html>")),
        (Body.REDIRECT, (302, "text/html", b"")),
        (Body.TRUNCATED, (200, "application/json", b'{"clientId"')),
        (Body.EMPTY, (200, "application/json", b"")),
        (Body.LIST, (200, "application/json", b'[{"clientId"')),
        (Body.EMPTY_OBJECT, (200, "application/json", b"{}")),
        (Body.WRONG_TYPE, (200, "text/plain", b'{"clientId"')),
        (Body.HUGE, (200, "application/json", b'{"padding"')),
    ],
)
def test_a_body_is_spoilt(sandbox: Sandbox, wire: Wire, body: Body, expected: tuple[int, str, bytes]) -> None:
    sandbox.fail("RegisterClient", Fault(body=body))
    document = b'{"clientName": "c", "clientType": "public"}'
    status, headers, answer = wire.request("POST", "/client/register", document, {"Content-Type": "application/json"})
    assert (status, headers["content-type"], answer[: len(expected[2])]) == expected
    assert (len(answer) > 30_000_000) == (body is Body.HUGE)


@pytest.mark.parametrize("fault", [Fault(body=Body.HTML), Fault(body=Body.TRUNCATED), Fault(cut=Cut.MIDDLE)])
def test_botocore_takes_a_spoilt_answer_for_an_empty_one(clients: Clients, sandbox: Sandbox, fault: Fault) -> None:
    """It checks neither the length of an answer nor that it is JSON: callers must look for themselves."""
    _, tokens = clients.log_in()
    sandbox.fail("ListAccounts", fault)
    assert clients.portal.list_accounts(accessToken=tokens["accessToken"]).keys() == {"ResponseMetadata"}


def test_a_proxys_error_page_comes_with_its_status(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.fail("ListAccounts", Fault(status=502, body=Body.HTML))
    status, headers, _ = wire.request("GET", "/assignment/accounts")
    assert (status, headers["content-type"]) == (502, "text/html; charset=utf-8")


def test_members_can_be_dropped_or_changed(clients: Clients, sandbox: Sandbox) -> None:
    _, tokens = clients.log_in()
    changed = Fault(without=("roleCredentials.sessionToken",), members={"roleCredentials.expiration": 0})
    sandbox.fail("GetRoleCredentials", changed)
    keys = clients.role_credentials(tokens["accessToken"])
    assert keys.keys() == {"accessKeyId", "secretAccessKey", "expiration"}
    assert keys["expiration"] == 0


def test_a_connection_cut_before_the_answer_leaves_the_call_undone(clients: Clients, sandbox: Sandbox) -> None:
    client, tokens = clients.log_in()
    sandbox.fail("CreateToken:refresh_token", Fault(cut=Cut.BEFORE))
    with pytest.raises(ConnectionClosedError):
        clients.refresh(client, tokens)
    assert clients.refresh(client, tokens)["accessToken"]


def test_a_connection_cut_in_the_answer_loses_the_refresh_token(clients: Clients, sandbox: Sandbox, wire: Wire) -> None:
    client, tokens = clients.log_in()
    sandbox.fail("CreateToken:refresh_token", Fault(cut=Cut.MIDDLE))
    with pytest.raises(http.client.IncompleteRead):
        wire.post_json("/token", {**client, "grantType": "refresh_token", "refreshToken": tokens["refreshToken"]})
    with refused("InvalidGrantException", 400):
        clients.refresh(client, tokens)


def test_a_delay_is_kept(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.fail("RegisterClient", Fault(delay=0.2))
    started = time.monotonic()
    assert wire.post_json("/client/register", REGISTRATION)[0] == 200
    assert time.monotonic() - started >= 0.2


def test_calls_can_be_held_counted_and_released(sandbox: Sandbox, wire: Wire, pool: ThreadPoolExecutor) -> None:
    with sandbox.hold("RegisterClient") as hold:
        calls = [pool.submit(wire.post_json, "/client/register", REGISTRATION) for _ in range(5)]
        hold.wait_for(5)
        assert (hold.waiting, sandbox.waiting()["RegisterClient"]) == (5, 5)
        assert not any(call.done() for call in calls)
        assert wire.post_json("/token", {})[0] == 400  # others are not held
    assert [call.result(5)[0] for call in calls] == [200] * 5
    assert hold.waiting == 0
    assert wire.post_json("/client/register", REGISTRATION)[0] == 200


def test_waiting_for_calls_that_do_not_come_ends(sandbox: Sandbox) -> None:
    with sandbox.hold("RegisterClient") as hold, pytest.raises(TimeoutError):
        hold.wait_for(1, timeout=0.01)


def test_a_new_hold_lets_go_what_the_old_one_held(sandbox: Sandbox, wire: Wire, pool: ThreadPoolExecutor) -> None:
    hold = sandbox.hold("RegisterClient")
    call = pool.submit(wire.post_json, "/client/register", REGISTRATION)
    hold.wait_for(1)
    sandbox.hold("RegisterClient")
    assert call.result(5)[0] == 200
    sandbox.release()
    assert wire.post_json("/client/register", REGISTRATION)[0] == 200


def test_a_hanging_server_runs_clients_into_their_timeout(sandbox: Sandbox, clients: Clients) -> None:
    impatient = clients.make("sso-oidc", read_timeout=0.1)
    with sandbox.hold("RegisterClient"), pytest.raises(ReadTimeoutError):
        impatient.register_client(**REGISTRATION)
    impatient.close()


def test_stopping_wakes_and_breaks_off_everything(pool: ThreadPoolExecutor) -> None:
    sandbox = Sandbox()
    sandbox.start()
    wire = Wire(sandbox)
    sandbox.fail("ListAccounts", Fault(delay=60))
    hold = sandbox.hold("RegisterClient")
    calls = [
        pool.submit(wire.post_json, "/client/register", REGISTRATION),
        pool.submit(wire.request, "GET", "/assignment/accounts"),
    ]
    hold.wait_for(1)
    while not sandbox.calls["ListAccounts"]:
        threading.Event().wait(0.001)
    sandbox.stop()
    for call in calls:
        assert isinstance(call.exception(5), ConnectionError)
