"""The federation endpoint: a token for exactly three secrets, used once; role chaining says nothing of time."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from credhelper.sandbox.server import Sandbox

from .clients import STAGING, Clients, Clock, Wire

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONSOLE = "https://eu-west-1.console.aws.amazon.com/s3/home"


def keys_of(clients: Clients) -> Any:
    return clients.role_credentials(clients.log_in()[1]["accessToken"])


def session(keys: Any, **changes: Any) -> str:
    given = {
        "sessionId": keys["accessKeyId"],
        "sessionKey": keys["secretAccessKey"],
        "sessionToken": keys["sessionToken"],
    }
    return json.dumps(given | changes)


def ask(wire: Wire, method: str = "POST", **parameters: str) -> tuple[int, dict[str, str], bytes]:
    if method == "GET":
        return wire.request("GET", "/federation?" + urlencode(parameters))
    return wire.request(method, "/federation", urlencode(parameters).encode(), FORM)


def token(wire: Wire, keys: Any, method: str = "POST", **more: str) -> str:
    status, _, body = ask(wire, method, Action="getSigninToken", Session=session(keys), **more)
    assert status == 200, body
    found = json.loads(body)
    assert list(found) == ["SigninToken"]
    return str(found["SigninToken"])


def log_in(wire: Wire, signin_token: str, method: str = "GET", destination: str = CONSOLE) -> tuple[int, str]:
    parameters = {"Action": "login", "Issuer": "https://corp.example", "Destination": destination}
    status, _, body = ask(wire, method, **parameters, SigninToken=signin_token)
    return status, body.decode()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_browser_is_signed_in_as_the_role(clients: Clients, wire: Wire, sandbox: Sandbox, method: str) -> None:
    found = token(wire, keys_of(clients), method, SessionDuration="43200")
    status, page = log_in(wire, found, method)
    assert status == 200
    assert "assumed-role/AWSReservedSSO_Developer_" in page
    assert CONSOLE in page
    assert "43200 s" in page
    assert (sandbox.calls["GetSigninToken"], sandbox.calls["ConsoleLogin"]) == (1, 1)


def test_a_token_is_good_once_and_for_a_quarter_of_an_hour(clients: Clients, wire: Wire, clock: Clock) -> None:
    keys = keys_of(clients)
    first, second, third = (token(wire, keys) for _ in range(3))
    assert log_in(wire, first)[0] == 200
    assert log_in(wire, first)[0] == 400
    clock.advance(899)
    assert log_in(wire, second)[0] == 200
    clock.advance(1)
    assert log_in(wire, third)[0] == 400
    assert log_in(wire, "x" * 400)[0] == 400


@pytest.mark.parametrize("seconds", ["900", "3600", "43200"])
def test_durations_that_aws_allows(clients: Clients, wire: Wire, seconds: str) -> None:
    token(wire, keys_of(clients), SessionDuration=seconds)


@pytest.mark.parametrize("seconds", ["0", "899", "43201", "-900", "1h", "", "9" * 30, "٣٦٠٠"])
def test_others_are_refused(clients: Clients, wire: Wire, seconds: str) -> None:
    status, headers, _ = ask(wire, Action="getSigninToken", Session=session(keys_of(clients)), SessionDuration=seconds)
    assert (status, headers["content-type"].partition(";")[0]) == (400, "text/html")


def test_credentials_of_role_chaining_name_no_duration(clients: Clients, wire: Wire) -> None:
    keys = keys_of(clients)
    sts = clients.make(
        "sts",
        aws_access_key_id=keys["accessKeyId"],
        aws_secret_access_key=keys["secretAccessKey"],
        aws_session_token=keys["sessionToken"],
    )
    assumed = sts.assume_role(RoleArn=f"arn:aws:iam::{STAGING}:role/Deploy", RoleSessionName="me")["Credentials"]
    sts.close()
    chained = session(
        {
            "accessKeyId": assumed["AccessKeyId"],
            "secretAccessKey": assumed["SecretAccessKey"],
            "sessionToken": assumed["SessionToken"],
        }
    )
    assert ask(wire, Action="getSigninToken", Session=chained, SessionDuration="900")[0] == 400
    status, _, body = ask(wire, Action="getSigninToken", Session=chained)
    assert status == 200
    assert f"arn:aws:sts::{STAGING}:assumed-role/Deploy/me" in log_in(wire, json.loads(body)["SigninToken"])[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"sessionKey": "x"},
        {"sessionToken": "x"},
        {"sessionId": "ASIAXXXXXXXXXXXXXXXX"},
        {"sessionId": None},
        {"sessionKey": 5},
        {"sessionKey": "\ud800"},
        {"more": "x"},
    ],
    ids=json.dumps,
)
def test_each_part_of_the_session_matters(clients: Clients, wire: Wire, changes: dict[str, Any]) -> None:
    assert ask(wire, Action="getSigninToken", Session=session(keys_of(clients), **changes))[0] == 400


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", "[" * 50_000, '{"sessionId": "a", "sessionKey": "b"}'])
def test_what_is_no_session_is_refused(wire: Wire, text: str) -> None:
    assert ask(wire, Action="getSigninToken", Session=text)[0] == 400


def test_expired_credentials_are_refused_and_end_a_sign_in(clients: Clients, wire: Wire, clock: Clock) -> None:
    keys = keys_of(clients)
    clock.advance(3599)
    found = token(wire, keys)
    clock.advance(1)
    assert ask(wire, Action="getSigninToken", Session=session(keys))[0] == 400
    assert log_in(wire, found)[0] == 400


@pytest.mark.parametrize(
    "destination",
    [
        "https://evil.example/",
        "http://console.aws.amazon.com/",
        "https://console.aws.amazon.com.evil.example/",
        "https://console.aws.amazon.com@evil.example/",
        "https://evilconsole.aws.amazon.com/",
        "/s3/home",
        "",
    ],
)
def test_a_sign_in_ends_at_the_console_only(clients: Clients, wire: Wire, destination: str) -> None:
    assert log_in(wire, token(wire, keys_of(clients)), destination=destination)[0] == 400


@pytest.mark.parametrize(
    "console",
    [
        "console.aws.amazon.com",
        "cn-north-1.console.amazonaws.cn",
        "console.amazonaws-us-gov.com",
        "a.console.amazonaws-eusc.eu",
    ],
)
def test_every_partition_has_one(clients: Clients, wire: Wire, console: str) -> None:
    assert log_in(wire, token(wire, keys_of(clients)), destination=f"https://{console}/x")[0] == 200


def test_parameters_are_those_and_each_once(clients: Clients, wire: Wire) -> None:
    text = session(keys_of(clients))
    twice = urlencode([("Action", "getSigninToken"), ("Session", text), ("Session", text)]).encode()
    assert wire.request("POST", "/federation", twice, FORM)[0] == 400
    assert ask(wire, Action="getSigninToken")[0] == 400
    assert ask(wire, Action="getSigninToken", Session=text, Extra="x")[0] == 400
    good = urlencode({"Action": "getSigninToken", "Session": text})
    assert wire.request("POST", "/federation?x=y", good.encode(), FORM)[0] == 400
    assert wire.request("POST", "/federation?" + good, b"", FORM)[0] == 404
    assert ask(wire, Action="getsignintoken", Session=text)[0] == 404
    assert wire.request("PUT", "/federation", good.encode(), FORM)[0] == 404
