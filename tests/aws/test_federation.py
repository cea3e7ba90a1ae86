"""Signing in to the console: the right partition's, nobody else's page, and for as long as AWS allows."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore
import pytest

from credhelper.aws import federation
from credhelper.aws.federation import SIGN_IN_DOMAINS, Landing
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import ConfigError, CredhelperError, Refused, Throttled, Unavailable, UsageError
from credhelper.domain.model import AnyRole, ChainedRole, Role, RoleCredentials, SsoSession
from tests.aws.wire import Peer, Wire
from tests.clocks import HandClock

TOKEN = json.dumps({"SigninToken": "to ken&="}).encode()
CLOCK = HandClock()


def role(region: str = "us-east-1") -> Role:
    return Role(SsoSession("corp", "https://corp.example/start", region), "111122223333", "Developer")


def chained(arn: str, region: str = "us-east-1") -> ChainedRole:
    return ChainedRole(role(), arn, region)


def credentials(hours: float = 1, left: float = 1) -> RoleCredentials:
    """Good for ``hours`` when they came, and for ``left`` from now on."""
    end = CLOCK.now() + timedelta(hours=left)
    return RoleCredentials("ASIAEXAMPLE", "CANARY-secret", "CANARY-session", end, end - timedelta(hours=hours))


@pytest.fixture(scope="module")
def api() -> IdentityCenter:
    return IdentityCenter(CLOCK)


def land(api: IdentityCenter, role: AnyRole, region: str | None = None, **more: str) -> Landing:
    page: dict[str, Any] = {"service": None, "destination": None} | more
    return federation.landing(api.transport, role, region, **page)


# -- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "sign_in", "console"),
    [
        ("us-east-1", "https://us-east-1.signin.aws.amazon.com", "https://us-east-1.console.aws.amazon.com"),
        ("eu-west-1", "https://eu-west-1.signin.aws.amazon.com", "https://eu-west-1.console.aws.amazon.com"),
        ("cn-north-1", "https://cn-north-1.signin.amazonaws.cn", "https://cn-north-1.console.amazonaws.cn"),
        (
            "us-gov-west-1",
            "https://us-gov-west-1.signin.amazonaws-us-gov.com",
            "https://us-gov-west-1.console.amazonaws-us-gov.com",
        ),
        (
            "eusc-de-east-1",
            "https://eusc-de-east-1.signin.amazonaws-eusc.eu",
            "https://eusc-de-east-1.console.amazonaws-eusc.eu",
        ),
        (
            "us-iso-east-1",
            "https://us-iso-east-1.signin.c2shome.ic.gov",
            "https://us-iso-east-1.console.c2shome.ic.gov",
        ),
    ],
)
def test_each_partition_has_its_own_sign_in_and_console(
    api: IdentityCenter, region: str, sign_in: str, console: str
) -> None:
    assert land(api, role(region)) == Landing(region, sign_in, f"{console}/console/home?region={region}")


def test_botocore_has_sign_in_where_we_have_it() -> None:
    """For every partition that it knows of; its data are AWS's own."""
    data = Path(botocore.__file__).parent / "data"
    partitions = json.loads((data / "partitions.json").read_bytes())["partitions"]
    (rules,) = (data / "signin").glob("*/endpoint-rule-set-1.json.gz")
    hosts = set(re.findall(r"https://\{Region\}\.(signin\.[a-z0-9.-]+)", gzip.decompress(rules.read_bytes()).decode()))
    assert {partition["id"] for partition in partitions} == SIGN_IN_DOMAINS.keys()
    assert set(SIGN_IN_DOMAINS.values()) <= hosts


def test_a_profile_says_which_region_of_the_partition(api: IdentityCenter) -> None:
    assert land(api, role("us-east-1"), "ap-south-1").destination.startswith("https://ap-south-1.console.aws.amazon")
    with pytest.raises(ConfigError, match="cn-north-1 is not in the partition aws of the role Developer"):
        land(api, role("us-east-1"), "cn-north-1")
    with pytest.raises(ConfigError, match="“mars” is a region of no partition"):
        land(api, role("us-east-1"), "mars")


def test_the_partition_of_a_chained_role_stands_in_its_arn(api: IdentityCenter) -> None:
    there = chained("arn:aws-us-gov:iam::111122223333:role/x", "us-gov-east-1")
    assert land(api, there).sign_in == "https://us-gov-east-1.signin.amazonaws-us-gov.com"
    with pytest.raises(ConfigError, match="eu-west-1 is not in the partition aws-us-gov of the role x"):
        land(api, there, "eu-west-1")


@pytest.mark.parametrize(
    ("service", "page"),
    [
        ("ec2", "/ec2/home?region=eu-west-1"),
        ("stepfunctions", "/states/home?region=eu-west-1"),
        ("ssm", "/systems-manager/home?region=eu-west-1"),
        ("elastic-beanstalk", "/elastic-beanstalk/home?region=eu-west-1"),
    ],
)
def test_a_service_has_a_page(api: IdentityCenter, service: str, page: str) -> None:
    assert (
        land(api, role(), "eu-west-1", service=service).destination == "https://eu-west-1.console.aws.amazon.com" + page
    )


@pytest.mark.parametrize("service", ["EC2", "s3/../iam", "ec2?x", "-", "a" * 64, "ec2\n", "é", " ec2"])
def test_what_is_no_service_has_none(api: IdentityCenter, service: str) -> None:
    with pytest.raises(UsageError, match="--service"):
        land(api, role(), service=service)


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ("/s3/home?a=b#c", "https://us-east-1.console.aws.amazon.com/s3/home?a=b#c"),
        ("//evil.example/", "https://us-east-1.console.aws.amazon.com//evil.example/"),
        ("https://console.aws.amazon.com/", "https://console.aws.amazon.com/"),
        ("https://console.aws.amazon.com", "https://console.aws.amazon.com"),
        ("https://eu-west-1.console.aws.amazon.com/ec2/home", "https://eu-west-1.console.aws.amazon.com/ec2/home"),
        ("https://s3.console.aws.amazon.com/s3?x=%20", "https://s3.console.aws.amazon.com/s3?x=%20"),
    ],
)
def test_a_destination_is_a_page_of_the_console(api: IdentityCenter, given: str, page: str) -> None:
    assert land(api, role(), destination=given).destination == page


@pytest.mark.parametrize(
    "given",
    [
        "https://evil.example/",
        "http://console.aws.amazon.com/",
        "https://console.aws.amazon.com.evil.example/",
        "https://evilconsole.aws.amazon.com/",
        "https://console.aws.amazon.com@evil.example/",
        "https://me:secret@console.aws.amazon.com/",
        "https://console.aws.amazon.com:8443/",
        "https://console.aws.amazon.com:x/",
        "https://console.amazonaws.cn/",
        "https://signin.aws.amazon.com/oauth",
        "https://console.aws.amazon.com\\@evil.example/",
        "https://console.aws.amazon.com/a b",
        "https://console.aws.amazon.com/\r\nx",
        "https://console.aws.amazon.com/é",
        "https://[::1/",
        "/\\evil.example",
        ".evil.example/",
        "@evil.example/",
        "javascript:alert(1)",
        "s3/home",
        "https:///s3",
    ],
)
def test_no_other_page_is(api: IdentityCenter, given: str) -> None:
    with pytest.raises(UsageError, match="--destination") as refusal:
        land(api, role(), destination=given)
    assert "secret" not in str(refusal.value)


def test_the_environment_redirects_sign_in_but_not_the_console(
    api: IdentityCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "https://us-east-1.signin.aws.amazon.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/")
    assert land(api, role()).sign_in == "http://127.0.0.1:4566"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SIGNIN", "https://signin.example")
    assert land(api, role()).sign_in == "https://signin.example"
    assert land(api, role()).destination == "https://us-east-1.console.aws.amazon.com/console/home?region=us-east-1"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert land(api, role()).sign_in == own
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SIGNIN", "http://me:secret@signin.example")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL_SIGNIN of the daemon is neither https nor") as refusal:
        land(api, role())
    assert "secret" not in str(refusal.value)


# -- the sign-in ------------------------------------------------------------------------------------------------------


def answer(body: bytes = TOKEN, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


class Endpoint:
    """A federation endpoint that says what the test wants, and keeps what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[bytes, dict[str, list[str]]]] = []

    def __call__(self, peer: Peer) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += peer.connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int((re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"])[0])
        while len(body) < length:
            body += peer.connection.recv(65536)
        form = body or head.split(b" ", 2)[1].partition(b"?")[2]
        self.asked.append((head, parse_qs(form.decode(), strict_parsing=True)))
        peer.say(self._answers.pop(0))


def sign_in(api: IdentityCenter, url: str, of: AnyRole | None = None, **age: float) -> federation.ConsoleSession:
    place = Landing("us-east-1", url, "https://console.aws.amazon.com/s3/home?a=b&c")
    return federation.sign_in(api, of or role(), credentials(**age), place)


def test_the_credentials_are_posted_and_the_address_holds_a_token_only(api: IdentityCenter) -> None:
    endpoint = Endpoint(answer())
    with Wire(endpoint, unasked=True) as wire:
        session = sign_in(api, wire.url)
    ((head, form),) = endpoint.asked
    assert head.startswith(b"POST /federation HTTP/1.1\r\n")
    assert b"CANARY" not in head
    assert form["Action"] == ["getSigninToken"]
    assert json.loads(form["Session"][0]) == {
        "sessionId": "ASIAEXAMPLE",
        "sessionKey": "CANARY-secret",
        "sessionToken": "CANARY-session",
    }
    address = urlsplit(session.url)
    assert f"{address.scheme}://{address.netloc}{address.path}" == wire.url + "/federation"
    assert parse_qs(address.query) == {
        "Action": ["login"],
        "Issuer": ["https://corp.example/start"],
        "Destination": ["https://console.aws.amazon.com/s3/home?a=b&c"],
        "SigninToken": ["to ken&="],
    }
    assert "CANARY" not in session.url
    assert "token" not in repr(session).lower()


@pytest.mark.parametrize("status", [b"405 Method Not Allowed", b"501 Unsupported method"])
def test_an_endpoint_that_takes_no_post_is_asked_as_tools_usually_do(api: IdentityCenter, status: bytes) -> None:
    endpoint = Endpoint(answer(b"", status, b"Connection: close"), answer())
    with Wire(endpoint, unasked=True) as wire:
        assert "SigninToken=to%20ken%26%3D" in sign_in(api, wire.url).url
    (_, posted), (head, asked) = endpoint.asked
    assert head.startswith(b"GET /federation?Action=getSigninToken&")
    assert asked == posted


@pytest.mark.parametrize(
    ("hours", "left", "seconds"),
    [(1, 1, 3600), (1, 0.1, 3600), (8, 0.5, 28_800), (12, 12, 43_200), (36, 36, 43_200), (0.1, 0.1, 900)],
)
def test_the_session_lasts_as_long_as_the_roles_sessions_do(
    api: IdentityCenter, hours: float, left: float, seconds: int
) -> None:
    endpoint = Endpoint(answer())
    with Wire(endpoint, unasked=True) as wire:
        session = sign_in(api, wire.url, hours=hours, left=left)
    assert endpoint.asked[0][1]["SessionDuration"] == [str(seconds)]
    assert session.expires_at == CLOCK.now() + timedelta(seconds=seconds)


def test_a_chained_role_may_name_no_duration_and_ends_with_its_credentials(api: IdentityCenter) -> None:
    endpoint = Endpoint(answer())
    with Wire(endpoint, unasked=True) as wire:
        session = sign_in(api, wire.url, chained("arn:aws:iam::111122223333:role/x"), hours=1, left=0.5)
    assert "SessionDuration" not in endpoint.asked[0][1]
    assert session.expires_at == CLOCK.now() + timedelta(hours=0.5)


def test_where_aws_takes_no_duration_it_is_asked_without_one(api: IdentityCenter) -> None:
    endpoint = Endpoint(answer(b"<html>", b"400 Bad Request", b"Connection: close"), answer())
    with Wire(endpoint, unasked=True) as wire:
        session = sign_in(api, wire.url, left=0.25)
    assert ["SessionDuration" in form for _, form in endpoint.asked] == [True, False]
    assert session.expires_at == CLOCK.now() + timedelta(hours=0.25)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (answer(b"<html>", b"400 Bad Request"), Refused, "refused: HTTP 400"),
        (answer(b"", b"403 Forbidden"), Refused, "refused: HTTP 403"),
        (answer(b"", b"404 Not Found"), Unavailable, "answered HTTP 404, but not as AWS does"),
        (answer(b"", b"302 Found", b"Location: https://evil.example/"), Unavailable, "answered HTTP 302"),
        (answer(b"", b"503 Slow Down"), Unavailable, "answered HTTP 503"),
        (answer(b"", b"429 Too Many Requests", b"Retry-After: 7"), Throttled, "throttling"),
        (answer(b"<html>Please log in to the airport's network"), Unavailable, "not AWS's; is a captive portal"),
        (answer(b"[]"), Unavailable, "not AWS's"),
        (answer(b"{}"), Unavailable, "without SigninToken"),
        (answer(b'{"SigninToken": 5}'), Unavailable, "without SigninToken"),
        (answer(b'{"SigninToken": ""}'), Unavailable, "without SigninToken"),
        (answer(b"[" * 100_000), Unavailable, "not AWS's"),
        (b"what?\r\n\r\n", Unavailable, "cannot be reached"),
        (b"", Unavailable, "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000, Unavailable, "more than 1024 KiB"),
    ],
)
def test_whatever_else_comes_is_an_error_that_repeats_nothing(
    api: IdentityCenter, said: bytes, error: type[CredhelperError], words: str
) -> None:
    with Wire(Endpoint(said, said), unasked=True) as wire, pytest.raises(error, match=words) as failure:
        sign_in(api, wire.url, chained("arn:aws:iam::111122223333:role/x"))
    assert "CANARY" not in str(failure.value)
    assert "airport" not in str(failure.value)


def test_a_server_that_does_not_answer_is_given_up(api: IdentityCenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credhelper.aws.identity_center.FEDERATION_DEADLINE", 0.2)
    hang: Callable[[Peer], None] = lambda peer: peer.hang()  # noqa: E731  # a script
    with Wire(hang) as wire, pytest.raises(Unavailable, match="no answer in time"):
        sign_in(api, wire.url)


def test_each_call_is_told_of(api: IdentityCenter) -> None:
    told: list[tuple[str, str]] = []
    api.on_call = lambda operation, outcome, _: told.append((operation, outcome))
    with Wire(Endpoint(answer(b"", b"400 Bad Request", b"Connection: close"), answer()), unasked=True) as wire:
        sign_in(api, wire.url)
    assert told == [("GetSigninToken", "refused"), ("GetSigninToken", "ok")]
