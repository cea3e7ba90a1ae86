"""Requests no SDK would send."""

import json
from typing import Any

import pytest

from credhelper.sandbox.server import Sandbox
from credhelper.sandbox.shapes import Shapes, write_output

from .clients import Clients, Wire

REGISTRATION = {"clientName": "c", "clientType": "public"}
JSON = {"Content-Type": "application/json"}


def test_a_plain_request_is_accepted(wire: Wire) -> None:
    status, headers, body = wire.post_json("/client/register", REGISTRATION)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert body.keys() == {
        "clientId",
        "clientSecret",
        "clientIdIssuedAt",
        "clientSecretExpiresAt",
        "authorizationEndpoint",
        "tokenEndpoint",
    }


@pytest.mark.parametrize(
    "document",
    [
        {"clientName": "c"},
        {**REGISTRATION, "unknown": "x"},
        {**REGISTRATION, "clientName": 7},
        {**REGISTRATION, "clientName": None},
        {**REGISTRATION, "clientName": "\ud800"},
        {**REGISTRATION, "scopes": "sso:account:access"},
        {**REGISTRATION, "scopes": [1]},
        {**REGISTRATION, "scopes": {}},
        [],
        None,
        "text",
    ],
)
def test_what_the_model_forbids_is_an_invalid_request(wire: Wire, document: Any) -> None:
    status, headers, body = wire.post_json("/client/register", document)
    assert (status, headers["x-amzn-errortype"], body["error"]) == (
        400,
        "InvalidRequestException",
        "invalid_request",
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"clientName": "a", "clientName": "b", "clientType": "public"}',
        b'{"clientName": "\xff", "clientType": "public"}',
        b"clientName=c&clientType=public",
        b"[" * 100_000,
    ],
)
def test_a_body_must_be_one_json_object(wire: Wire, body: bytes) -> None:
    status, headers, _ = wire.request("POST", "/client/register", body, JSON)
    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidRequestException")
    status, _, _ = wire.request("POST", "/token", body, JSON)
    assert status == 400


def test_a_body_must_be_declared_as_json(wire: Wire) -> None:
    body = json.dumps(REGISTRATION).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        status, _, _ = wire.request("POST", "/client/register", body, {"Content-Type": content_type})
        assert status == 400
    status, _, _ = wire.request("POST", "/client/register", body)
    assert status == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("account_id=111122223333&role_name=Developer", 200),
        ("account_id=111122223333&role_name=%44eveloper", 200),
        ("account_id=111122223333", 400),
        ("role_name=Developer", 400),
        ("account_id=111122223333&role_name=Developer&unknown=1", 400),
        ("account_id=111122223333&role_name=Developer&role_name=Developer", 400),
        ("accountId=111122223333&roleName=Developer", 400),
        ("account_id=1111&role_name=Developer", 400),
        (
            "account_id=%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1&role_name=R",
            400,
        ),
    ],
)
def test_a_query_holds_what_the_operation_takes(clients: Clients, wire: Wire, query: str, status: int) -> None:
    bearer = {"x-amz-sso_bearer_token": clients.log_in()[1]["accessToken"]}
    assert wire.request("GET", f"/federation/credentials?{query}", headers=bearer)[0] == status


@pytest.mark.parametrize("size", ["0", "101", "-1", "ten", "1.5", "1" * 30, ""])
def test_a_page_holds_one_to_a_hundred(clients: Clients, wire: Wire, size: str) -> None:
    bearer = {"x-amz-sso_bearer_token": clients.log_in()[1]["accessToken"]}
    assert wire.request("GET", f"/assignment/accounts?max_result={size}", headers=bearer)[0] == 400


def test_an_operation_without_body_takes_none(clients: Clients, wire: Wire) -> None:
    bearer = {"x-amz-sso_bearer_token": clients.log_in()[1]["accessToken"]}
    assert wire.request("GET", "/assignment/accounts", b"surplus", bearer)[0] == 400
    assert wire.request("POST", "/logout", b"", bearer)[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/token"),
        ("PUT", "/token"),
        ("POST", "/federation/credentials"),
        ("DELETE", "/logout"),
        ("GET", "/nowhere"),
        ("POST", "/Token"),
        ("POST", "/token/"),
    ],
)
def test_method_and_path_must_be_right(wire: Wire, method: str, path: str) -> None:
    status, headers, _ = wire.request(method, path)
    assert (status, headers["x-amzn-errortype"]) == (404, "UnknownOperationException")


def test_an_operation_of_cognito_that_is_not_played_here_is_refused_as_json(wire: Wire) -> None:
    named = {"X-Amz-Target": "AWSCognitoIdentityService.ListIdentities", "Content-Type": "application/x-amz-json-1.1"}
    _, headers, body = wire.request("POST", "/", b"{}", named)
    assert headers["x-amzn-errortype"] == "UnknownOperationException"
    assert b"UnknownOperationException" in body


def test_a_query_on_an_operation_without_one_is_refused(wire: Wire) -> None:
    assert wire.post_json("/token?aws_iam=t", {})[0] == 400


def test_complaints_never_repeat_what_was_sent(wire: Wire) -> None:
    secret = "a-very-secret-value"
    document = {"clientId": "c", "clientSecret": [secret], "grantType": secret, secret: secret}
    assert secret not in str(wire.post_json("/token", document))


def test_an_answer_the_model_does_not_know_is_never_sent() -> None:
    shapes = Shapes()
    create_token = shapes.operation("sso-oidc", "CreateToken")
    for output in ({"expiresIn": "3600"}, {"expiresIn": True}, {"access_token": "t"}, {"accessToken": None}):
        with pytest.raises(ValueError, match="CreateToken"):
            write_output(create_token, output)


def test_errors_of_the_model_reach_botocore_as_its_exceptions(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    with pytest.raises(clients.oidc.exceptions.AuthorizationPendingException) as caught:
        clients.poll(client, device)
    assert caught.value.response["error"] == "authorization_pending"
    assert caught.value.response["error_description"]
    with pytest.raises(clients.portal.exceptions.UnauthorizedException):
        clients.portal.list_accounts(accessToken="made-up")
