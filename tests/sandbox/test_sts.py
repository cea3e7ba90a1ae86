"""GetCallerIdentity: real signatures over credentials of this server."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from credhelper.sandbox.server import Sandbox

from .clients import Clients, Clock, Wire, refused

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = "application/x-www-form-urlencoded"


def _keys(clients: Clients) -> Any:
    return clients.role_credentials(clients.log_in()[1]["accessToken"])


def test_it_names_account_role_and_person(clients: Clients) -> None:
    identity = clients.caller_identity(_keys(clients))
    assert identity["Account"] == "111122223333"
    assert re.fullmatch(
        r"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Developer_[0-9a-f]{16}/alice", identity["Arn"]
    )
    assert re.fullmatch(r"AROA[A-Z0-9]{17}:alice", identity["UserId"])


def test_the_role_has_one_name_for_all(clients: Clients) -> None:
    first, second = clients.caller_identity(_keys(clients)), clients.caller_identity(_keys(clients))
    assert first["Arn"] == second["Arn"]


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("accessKeyId", "InvalidClientTokenId"),
        ("sessionToken", "InvalidClientTokenId"),
        ("secretAccessKey", "SignatureDoesNotMatch"),
    ],
)
def test_each_part_of_the_credentials_matters(clients: Clients, part: str, error: str) -> None:
    keys = _keys(clients)
    with refused(error, 403):
        clients.caller_identity({**keys, part: keys[part][:-1] + ("1" if keys[part].endswith("0") else "0")})


def test_the_parts_must_be_of_one_set(clients: Clients) -> None:
    with refused("InvalidClientTokenId", 403):
        clients.caller_identity({**_keys(clients), "sessionToken": _keys(clients)["sessionToken"]})


def test_expired_credentials_are_refused(clients: Clients, clock: Clock) -> None:
    keys = _keys(clients)
    clock.advance(3599)
    assert clients.caller_identity(keys)
    clock.advance(1)
    with refused("ExpiredToken", 403):
        clients.caller_identity(keys)


def _signed(sandbox: Sandbox, keys: Any, body: bytes = BODY, service: str = "sts") -> dict[str, str]:
    request = AWSRequest("POST", f"{sandbox.url}/", {"Content-Type": FORM}, body)
    credentials = Credentials(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"])
    SigV4Auth(credentials, service, "eu-central-1").add_auth(request)
    return dict(request.headers.items())


def test_any_region_will_do(clients: Clients, sandbox: Sandbox, wire: Wire) -> None:
    status, headers, body = wire.request("POST", "/", BODY, _signed(sandbox, _keys(clients)))
    assert (status, headers["content-type"]) == (200, "text/xml")
    assert body.startswith(b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">')


def _replaced(name: str, change: Callable[[str], str]) -> Callable[[dict[str, str]], None]:
    def apply(headers: dict[str, str]) -> None:
        headers[name] = change(headers[name])

    return apply


@pytest.mark.parametrize(
    ("tamper", "error", "status"),
    [
        (_replaced("Content-Type", lambda text: f"{text}; charset=utf-8"), b"SignatureDoesNotMatch", 403),
        (
            _replaced("X-Amz-Date", lambda text: f"{text[:9]}{'11' if text[9:11] == '00' else '00'}{text[11:]}"),
            b"SignatureDoesNotMatch",
            403,
        ),
        (_replaced("X-Amz-Date", lambda _: "19700101T000000Z"), b"SignatureDoesNotMatch", 403),
        (lambda headers: headers.update({"X-Amz-Extra": "unsigned"}), b"SignatureDoesNotMatch", 403),
        (_replaced("Authorization", lambda text: text.replace("host;", "")), b"SignatureDoesNotMatch", 403),
        (_replaced("Authorization", lambda text: text[:-1]), b"IncompleteSignature", 400),
        (_replaced("Authorization", lambda _: "Bearer x"), b"IncompleteSignature", 400),
        (lambda headers: headers.pop("Authorization"), b"MissingAuthenticationToken", 403),
        (lambda headers: headers.pop("X-Amz-Security-Token"), b"InvalidClientTokenId", 403),
    ],
)
def test_a_request_changed_after_signing_is_refused(
    clients: Clients,
    sandbox: Sandbox,
    wire: Wire,
    tamper: Callable[[dict[str, str]], None],
    error: bytes,
    status: int,
) -> None:
    headers = _signed(sandbox, _keys(clients))
    tamper(headers)
    got, _, body = wire.request("POST", "/", BODY, headers)
    assert (got, b"<Code>" + error + b"</Code>" in body) == (status, True)


def test_a_body_changed_after_signing_is_refused(clients: Clients, sandbox: Sandbox, wire: Wire) -> None:
    reordered = b"Version=2011-06-15&Action=GetCallerIdentity"
    status, _, body = wire.request("POST", "/", reordered, _signed(sandbox, _keys(clients)))
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)


def test_a_signature_for_another_service_is_refused(clients: Clients, sandbox: Sandbox, wire: Wire) -> None:
    status, _, body = wire.request("POST", "/", BODY, _signed(sandbox, _keys(clients), service="iam"))
    assert (status, b"IncompleteSignature" in body) == (400, True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"Action=GetCallerIdentity&Version=2010-01-01", b"ValidationError"),
        (b"Action=GetCallerIdentity&Version=2011-06-15&Extra=1", b"ValidationError"),
        (b"Action=AssumeRoleWithSAML&Version=2011-06-15", b"InvalidAction"),
        (b"", b"InvalidAction"),
    ],
)
def test_other_requests_are_refused(wire: Wire, body: bytes, error: bytes) -> None:
    status, _, answer = wire.request("POST", "/", body, {"Content-Type": FORM})
    assert (status, error in answer) == (400, True)
