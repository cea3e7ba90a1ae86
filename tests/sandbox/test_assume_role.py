"""AssumeRole: who may become which role, with what, for how long; parameters as strict as the service's."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from credhelper.sandbox.directory import Directory, IamRole, Person, Trust
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.mfa import MfaDevices
from credhelper.sandbox.server import Sandbox

from .clients import DEVELOPMENT, PRODUCTION, STAGING, Clients, Clock, Wire, refused

DEPLOY = f"arn:aws:iam::{STAGING}:role/Deploy"
DEVELOPER = f"{DEVELOPMENT}/Developer"
FORM = "application/x-www-form-urlencoded"

Keys = dict[str, Any]


@pytest.fixture
def keys(clients: Clients) -> Keys:
    """Alice's as a developer."""
    found: Keys = clients.role_credentials(clients.log_in()[1]["accessToken"])
    return found


def assume(clients: Clients, keys: Keys, arn: str = DEPLOY, **given: Any) -> Keys:
    """The answer; its Credentials under the portal's names too."""
    sts = clients.make(
        "sts",
        aws_access_key_id=keys["accessKeyId"],
        aws_secret_access_key=keys["secretAccessKey"],
        aws_session_token=keys["sessionToken"],
    )
    try:
        answer: Keys = sts.assume_role(**{"RoleArn": arn, "RoleSessionName": "me"} | given)
    finally:
        sts.close()
    found = answer["Credentials"]
    names = {"accessKeyId": "AccessKeyId", "secretAccessKey": "SecretAccessKey", "sessionToken": "SessionToken"}
    return answer | {ours: found[name] for ours, name in names.items()}


def put(sandbox: Sandbox, *principals: str, **trust: Any) -> None:
    sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset(principals or {DEVELOPER}), **trust)))


def test_what_is_issued_works_and_says_who_it_is(clients: Clients, keys: Keys, clock: Clock) -> None:
    answer = assume(clients, keys)
    arn = f"arn:aws:sts::{STAGING}:assumed-role/Deploy/me"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    assert answer["Credentials"]["Expiration"].timestamp() == clock.now + 3600
    identity = clients.caller_identity(answer)
    assert (identity["Arn"], identity["Account"]) == (arn, STAGING)
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    clock.advance(3600)
    with refused("ExpiredToken", 403):
        clients.caller_identity(answer)


def test_what_was_assumed_may_assume_and_outlives_what_it_came_from(
    clients: Clients, sandbox: Sandbox, keys: Keys, clock: Clock
) -> None:
    sandbox.put_iam_role(IamRole(PRODUCTION, "Next", Trust(frozenset({f"{STAGING}/Deploy"})), path="/a/b/"))
    clock.advance(3000)
    answer = assume(clients, assume(clients, keys), f"arn:aws:iam::{PRODUCTION}:role/a/b/Next")
    clock.advance(1000)
    assert clients.caller_identity(answer)["Arn"] == f"arn:aws:sts::{PRODUCTION}:assumed-role/Next/me"
    with refused("ExpiredToken", 403):
        assume(clients, keys)


@pytest.mark.parametrize(("principal", "may"), [(DEVELOPMENT, True), (STAGING, False), (f"{STAGING}/Developer", False)])
def test_whom_the_role_trusts(clients: Clients, sandbox: Sandbox, keys: Keys, principal: str, may: bool) -> None:
    put(sandbox, principal)
    if may:
        assert assume(clients, keys)
        return
    with refused("AccessDenied", 403):
        assume(clients, keys)


@pytest.mark.parametrize("arn", [DEPLOY + "x", f"arn:aws:iam::{PRODUCTION}:role/Deploy", DEPLOY.replace("/", "/p/")])
def test_what_does_not_exist_is_refused_like_what_one_may_not(clients: Clients, keys: Keys, arn: str) -> None:
    with refused("AccessDenied", 403):
        assume(clients, keys, arn)


TAGS = [{"Key": "team", "Value": "blue"}]


@pytest.mark.parametrize(
    ("trust", "right", "wrong"),
    [
        ({"external_id": "id"}, {"ExternalId": "id"}, [{}, {"ExternalId": "other"}]),
        ({"source_identity": "alice"}, {"SourceIdentity": "alice"}, [{}, {"SourceIdentity": "bob"}]),
        ({}, {"ExternalId": "any"}, [{"SourceIdentity": "alice"}, {"Tags": TAGS}]),
        (
            {"tags": frozenset({"team"})},
            {"Tags": TAGS, "TransitiveTagKeys": ["team"]},
            [{}, {"Tags": [{"Key": "x", "Value": ""}]}, {"Tags": [*TAGS, {"Key": "x", "Value": ""}]}],
        ),
    ],
)
def test_what_the_role_wants_must_be_brought(
    clients: Clients, sandbox: Sandbox, keys: Keys, trust: Keys, right: Keys, wrong: list[Keys]
) -> None:
    put(sandbox, **trust)
    assert assume(clients, keys, **right)
    for given in wrong:
        with refused("AccessDenied", 403):
            assume(clients, keys, **given)


def test_source_identity_and_transitive_tags_go_on_unchanged(clients: Clients, sandbox: Sandbox, keys: Keys) -> None:
    put(sandbox, source_identity="alice", tags=frozenset({"team"}))
    next_arn = f"arn:aws:iam::{PRODUCTION}:role/Next"
    sandbox.put_iam_role(IamRole(PRODUCTION, "Next", Trust(frozenset({STAGING}))))
    first = assume(clients, keys, SourceIdentity="alice", Tags=TAGS, TransitiveTagKeys=["team"])
    assert assume(clients, first, next_arn)["SourceIdentity"] == "alice"
    sandbox.put_iam_role(IamRole(PRODUCTION, "Next", Trust(frozenset({STAGING}), tags=frozenset({"team"}))))
    with refused("AccessDenied", 403):
        assume(clients, first, next_arn, Tags=TAGS)
    sandbox.put_iam_role(IamRole(PRODUCTION, "Next", Trust(frozenset({STAGING}), source_identity="bob")))
    with refused("AccessDenied", 403):
        assume(clients, first, next_arn, SourceIdentity="bob")


def test_mfa(clients: Clients, sandbox: Sandbox, keys: Keys, clock: Clock) -> None:
    put(sandbox, mfa=True)
    serial = sandbox.mfa_serial()
    for given in (
        {},
        {"SerialNumber": serial},
        {"TokenCode": sandbox.mfa_code()},
        {"SerialNumber": serial, "TokenCode": sandbox.mfa_code(step=5)},
        {"SerialNumber": sandbox.mfa_serial("bob"), "TokenCode": sandbox.mfa_code()},
    ):
        with refused("AccessDenied", 403):
            assume(clients, keys, **given)
    for step in (0, 1, -1):
        code = sandbox.mfa_code(step=step)
        assert assume(clients, keys, SerialNumber=serial, TokenCode=code)
        with refused("AccessDenied", 403):
            assume(clients, keys, SerialNumber=serial, TokenCode=code)
    clock.advance(60)
    assert assume(clients, keys, SerialNumber=serial, TokenCode=sandbox.mfa_code())


@pytest.mark.parametrize(
    ("seconds", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_the_codes_are_those_of_rfc_6238(seconds: float, code: str) -> None:
    """Its appendix B, of whose eight digits these are the last six."""
    people = (Person("alice", "", base64.b32encode(b"12345678901234567890").decode()), Person("bob", ""))
    devices = MfaDevices(lambda: seconds, Directory(people, (), (), frozenset()))
    assert devices.code("alice") == code
    with pytest.raises(LookupError):
        devices.code("bob")


@pytest.mark.parametrize(
    ("longest", "seconds", "says"),
    [(43_200, 3600, None), (3600, 900, None), (43_200, 3601, "role chaining"), (3600, 7200, "MaxSessionDuration")],
)
def test_how_long_it_may_last(
    clients: Clients, sandbox: Sandbox, keys: Keys, clock: Clock, longest: int, seconds: int, says: str | None
) -> None:
    sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset({DEVELOPER})), max_session_seconds=longest))
    if says is None:
        assert assume(clients, keys, DurationSeconds=seconds)["Credentials"]["Expiration"].timestamp() == (
            clock.now + seconds
        )
        return
    with pytest.raises(ClientError, match=says) as caught:
        assume(clients, keys, DurationSeconds=seconds)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


GOOD = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": DEPLOY, "RoleSessionName": "me"}


@pytest.mark.parametrize(
    ("changes", "error", "status"),
    [
        ({}, b"", 200),
        ({"RoleArn": None}, b"ValidationError", 400),
        ({"RoleSessionName": None}, b"ValidationError", 400),
        ({"Version": "2010-01-01"}, b"ValidationError", 400),
        ({"RoleSessionName": "x"}, b"ValidationError", 400),
        ({"RoleSessionName": "two words"}, b"ValidationError", 400),
        ({"RoleSessionName": "\xe4b"}, b"ValidationError", 400),
        ({"RoleSessionName": "x" * 65}, b"ValidationError", 400),
        ({"RoleArn": "Deploy"}, b"ValidationError", 400),
        ({"DurationSeconds": "899"}, b"ValidationError", 400),
        ({"DurationSeconds": "43201"}, b"ValidationError", 400),
        ({"DurationSeconds": "1h"}, b"ValidationError", 400),
        ({"ExternalId": "x"}, b"ValidationError", 400),
        ({"ExternalId": "a b"}, b"ValidationError", 400),
        ({"SourceIdentity": "aws:x"}, b"ValidationError", 400),
        ({"TokenCode": "12345"}, b"ValidationError", 400),
        ({"SerialNumber": "short"}, b"ValidationError", 400),
        ({"Tags.member.1.Key": "team"}, b"ValidationError", 400),
        ({"Tags.member.51.Key": "k", "Tags.member.51.Value": "v"}, b"ValidationError", 400),
        ({"Tags.member.1.Key": "a;b", "Tags.member.1.Value": "v"}, b"ValidationError", 400),
        ({"TransitiveTagKeys.member.1": "team"}, b"InvalidParameterValue", 400),
        ({f"Tags.member.{n}.{k}": "x" for n in (1, 2) for k in ("Key", "Value")}, b"InvalidParameterValue", 400),
        ({"Policy": "{}"}, b"ValidationError", 400),
    ],
)
def test_parameters_are_checked_as_the_service_does(
    sandbox: Sandbox, keys: Keys, wire: Wire, changes: dict[str, str | None], error: bytes, status: int
) -> None:
    body = urlencode({key: value for key, value in {**GOOD, **changes}.items() if value is not None}).encode()
    request = AWSRequest("POST", f"{sandbox.url}/", {"Content-Type": FORM}, body)
    SigV4Auth(
        Credentials(keys["accessKeyId"], keys["secretAccessKey"], keys["sessionToken"]), "sts", "eu-west-1"
    ).add_auth(request)
    got, _, answer = wire.request("POST", "/", body, dict(request.headers.items()))
    assert (got, error in answer) == (status, True)


def test_a_parameter_given_twice_is_refused(wire: Wire) -> None:
    body = urlencode([*GOOD.items(), ("RoleArn", DEPLOY)]).encode()
    status, _, answer = wire.request("POST", "/", body, {"Content-Type": FORM})
    assert (status, b"ValidationError" in answer) == (400, True)


def test_it_fails_on_purpose_as_every_operation(clients: Clients, sandbox: Sandbox, keys: Keys) -> None:
    sandbox.fail("AssumeRole", Fault(error="RegionDisabledException", status=403))
    with refused("RegionDisabledException", 403):
        assume(clients, keys)
    sandbox.fail("AssumeRole", Fault(members={"AccessKeyId": "ASIACHANGED"}))
    assert assume(clients, keys)["accessKeyId"] == "ASIACHANGED"
    assert sandbox.calls["AssumeRole"] == 2
    sandbox.delete_iam_role(DEPLOY)
    with refused("AccessDenied", 403):
        assume(clients, keys)
