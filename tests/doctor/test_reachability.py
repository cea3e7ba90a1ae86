"""What stands between credhelper and AWS is told apart: real listeners, each in the way in its own manner."""

import functools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from credhelper.aws import reachability
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.identity_center import IdentityCenter
from credhelper.sandbox.faults import Body, Fault
from credhelper.sandbox.server import Sandbox
from tests.aws.wire import Peer, Wire, tls_context

SESSION = {"sso_start_url": "https://corp.awsapps.com/start", "sso_region": "us-east-1"}
SECONDS = 30.0  # far more than anything here takes but what never ends


@pytest.fixture(scope="module", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """botocore reads megabytes of JSON for every session; the models are the same for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.lru_cache(botocore.session.create_loader))
        yield


@pytest.fixture(autouse=True)
def _no_authorities_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)


async def report(seconds: float = SECONDS, regions: tuple[str, ...] = ("us-east-1",)) -> Any:
    """The report of a configuration with a session in each of the regions."""
    sessions = {f"corp{number}": SESSION | {"sso_region": region} for number, region in enumerate(regions)}
    nothing = Path(os.devnull)
    configuration = Configuration(ConfigPaths(nothing, nothing), {}, sessions)
    return await reachability.report(IdentityCenter(), configuration, seconds)


def kinds(found: Any) -> set[str]:
    """How the endpoints behaved."""
    return {endpoint["kind"] for endpoint in found["endpoints"]}


def says(status: str, content_type: str, body: str, *more: str) -> Callable[[Peer], None]:
    """A server that gives everybody the same answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *more]
    return lambda peer: peer.say(("\r\n".join(head) + "\r\n\r\n" + body).encode())


async def test_aws_that_refuses_us_answers(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    found = await report(regions=("us-east-1", "eu-west-1", "us-east-1"))
    assert kinds(found) == {"answers"}
    assert [(each["service"], each["region"]) for each in found["endpoints"]] == [
        (service, region) for region in ("us-east-1", "eu-west-1") for service in ("sso-oidc", "sso", "sts")
    ]
    assert found["clock_skew"] == 0
    assert found["ca_bundle"] is None
    assert set(found["variables"]) == set(sandbox.environment())


@pytest.mark.parametrize("body", [Body.HTML, Body.REDIRECT])
async def test_one_endpoint_can_be_taken_over_while_the_others_answer(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, body: Body
) -> None:
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    sandbox.fail("CreateToken", Fault(body=body), times=None)
    endpoints = {each["service"]: each["kind"] for each in (await report())["endpoints"]}
    assert endpoints == {"sso-oidc": "in_the_way", "sso": "answers", "sts": "answers"}


@pytest.mark.parametrize(
    "script",
    [
        says("200 OK", "text/html", "<title>Hotel</title>"),
        says("200 OK", "application/json", "{}"),
        says("200 OK", "application/json", "nonsense"),
        says("302 Found", "text/html", "", "Location: http://hotel.example/"),
        says("511 Network Authentication Required", "text/html", "<title>Sign in</title>"),
        says("403 Forbidden", "text/html", "<title>Blocked</title>"),
    ],
    ids=["page", "accepts", "nonsense", "redirect", "511", "blocked"],
)
async def test_a_captive_portal_or_a_filter_is_recognised(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[Peer], None]
) -> None:
    with Wire(script) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        found = await report()
    assert kinds(found) == {"in_the_way"}, found


async def test_an_unwell_aws_is_not_the_users_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(says("503 Service Unavailable", "application/json", "")) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        assert kinds(await report()) == {"server"}


async def test_an_unknown_authority_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, trusted = tls_context(tmp_path)
    with Wire(says("404 Not Found", "application/json", "{}"), tls=context) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        found = await report()
        assert kinds(found) == {"tls"}
        assert {endpoint["issuer"] for endpoint in found["endpoints"]} == {"CN=wire"}
        assert "self-signed" in found["endpoints"][0]["detail"] or "self signed" in found["endpoints"][0]["detail"]
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
        found = await report()
        assert "tls" not in kinds(found)
        assert found["ca_bundle"] == {"variable": "AWS_CA_BUNDLE", "path": str(trusted), "error": None}


async def test_a_closed_port_is_a_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    found = await report()
    assert kinds(found) == {"connection"}
    assert "refused" in found["endpoints"][0]["detail"]


async def test_a_proxy_that_is_down_is_the_proxys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden-word@127.0.0.1:{port}")
    found = await report()
    assert kinds(found) == {"proxy"}
    assert found["variables"] == {"HTTPS_PROXY": f"http://***@127.0.0.1:{port}"}
    assert "hidden-word" not in str(found)


async def test_nobody_waits_for_a_listener_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(Peer.hang) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        found = await report(seconds=0.5, regions=("us-east-1", "eu-west-1"))
        assert kinds(found) <= {"connection", "late"}
        assert len(found["endpoints"]) == 6


async def test_a_loopback_url_with_a_password_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(says("404 Not Found", "application/json", "{}")) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url.replace("//", "//user:hidden-word@"))
        assert "hidden-word" not in str(await report())


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (str, "does not exist"),
        (lambda path: path.write_text("no certificate", encoding="utf-8"), "holds no certificate"),
        (os.mkfifo, "is not a file"),
    ],
    ids=["missing", "nonsense", "fifo"],
)
async def test_a_ca_bundle_that_is_none_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[Path], object], error: str
) -> None:
    make(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        found = await report(seconds=2.0, regions=())
    assert found["ca_bundle"]["error"] == error
    assert found["ca_bundle"]["variable"] == "REQUESTS_CA_BUNDLE"


def test_only_what_botocore_heeds_is_told_of_the_environment() -> None:
    found = reachability.variables({"HTTPS_PROXY": "http://u:hidden@proxy:1", "ALL_PROXY": "http://other:1"})
    assert found == {"HTTPS_PROXY": "http://***@proxy:1"}
