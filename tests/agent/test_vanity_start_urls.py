"""Logins through a company's own start URL: AWS is told where it leads, the files keep what is configured."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent.shown_login import Event
from credhelper.domain.errors import ConfigError, Unavailable
from credhelper.domain.model import Flow, SsoSession
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.agent.world import CONFIG, World, failing
from tests.aws.wire import Wire
from tests.clocks import HandClock
from tests.machine import visit
from tests.vanity import PORTAL, company, leads_to


@pytest.fixture
def sandbox(clock: HandClock, lifetimes: Lifetimes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(clock=clock.time, lifetimes=lifetimes, start_urls=[PORTAL]) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def vanity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with company(tmp_path) as (wire, trusted):
        monkeypatch.setenv("AWS_CA_BUNDLE", trusted)
        yield wire


async def logged_in(world: World, session: SsoSession, flow: Flow) -> list[Event]:
    login = world.agent.logins.join(session, flow, force=True)
    assert login is not None
    events = []
    async for event in login.follow():
        events.append(event)
        if event["event"] == "authorize":
            location = world.sandbox.authorize(event["url"])
            await asyncio.to_thread(visit, location)
        elif event["event"] == "device_authorization":
            world.sandbox.approve(event["user_code"])
    return [event for event in events if event["event"] in {"region", "logged_in", "failed"}]


def told(world: World, operation: str) -> dict[str, Any]:
    """What AWS was told in the last call of ``operation``."""
    found: dict[str, Any] = next(
        json.loads(call.request.body) for call in reversed(world.sandbox.recorded) if call.operation == operation
    )
    return found


async def test_by_code_aws_is_told_of_the_portal_and_the_files_keep_the_configured_url(
    world: World, vanity: Wire
) -> None:
    corp = replace(world.corp, start_url=vanity.url)
    region, end = await logged_in(world, corp, Flow.AUTHORIZATION_CODE)
    assert region == {"event": "region", "sso_session": "corp", "region": "eu-west-1"}
    assert (end["event"], end["start_url"]) == ("logged_in", vanity.url)
    assert told(world, "RegisterClient")["issuerUrl"] == PORTAL
    found = json.loads(world.token_path(corp).read_bytes())
    assert (found["startUrl"], found["region"]) == (vanity.url, "eu-west-1")
    assert world.cache.registration_path(replace(corp, region="eu-west-1")).exists()
    assert not world.cache.registration_path(corp).exists()
    assert len(vanity.heads) == 1

    # Once the configuration says so too, everything goes on from there.
    world.write_config(CONFIG.format(start_url=vanity.url).replace("us-east-1", "eu-west-1"))
    assert (await world.get())["AccessKeyId"]
    assert len(vanity.heads) == 1


async def test_by_device_a_legacy_token_lies_under_the_configured_url(world: World, vanity: Wire) -> None:
    legacy = SsoSession(None, vanity.url, "eu-west-1")
    [end] = await logged_in(world, legacy, Flow.DEVICE_CODE)  # the region is what it should be: nothing to tell
    assert end["event"] == "logged_in"
    assert told(world, "StartDeviceAuthorization")["startUrl"] == PORTAL
    assert world.token(legacy).start_url == vanity.url


async def test_one_that_leads_elsewhere_ends_the_login_before_aws_hears_of_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with company(tmp_path, leads_to("https://evil.example/start")) as (wire, trusted):
        monkeypatch.setenv("AWS_CA_BUNDLE", trusted)
        [end] = await logged_in(world, replace(world.corp, start_url=wire.url), Flow.AUTHORIZATION_CODE)
    assert (end["event"], end["code"]) == ("failed", "config")
    assert "evil.example" in end["message"]
    assert not world.sandbox.calls
    assert not list(world.cache.directory.glob("*.json"))


async def test_a_portal_is_checked_by_what_a_login_begins_with(world: World, vanity: Wire) -> None:
    look = world.agent.portals.look
    assert await look({"start_url": vanity.url}) == {"start_url": PORTAL, "region": "eu-west-1", "checked": False}
    assert not world.sandbox.calls
    wanted = {"sso_session": "corp", "scopes": "sso:account:access"}
    found = await look({"start_url": vanity.url, "sso_region": "us-east-1"} | wanted)
    assert found == {"start_url": PORTAL, "region": "eu-west-1", "checked": True}
    assert told(world, "RegisterClient")["clientName"] == "botocore-client-corp"
    assert not list(world.cache.directory.glob("*"))  # a question leaves nothing behind
    here = {"start_url": world.sandbox.start_url, "sso_region": "us-east-1"}
    assert (await look(here | wanted))["checked"]
    of_this_machine = here | wanted | {"start_url": f"{world.sandbox.url}/start"}
    assert (await look(of_this_machine))["start_url"] == f"{world.sandbox.url}/start"
    unknown = here | wanted | {"start_url": "https://other.awsapps.com/start"}
    assert "does not take the start URL https://other" in await failing(look(unknown), ConfigError)
    assert "does not take the scopes x:y" in await failing(look(here | wanted | {"scopes": "x:y"}), ConfigError)
    for wrong in ({"start_url": "ftp://x"}, {}, here | {"sso_region": "EU West"}):
        assert "is not a" in await failing(look(wrong), ConfigError)


async def test_a_vanity_url_that_hangs_is_given_up_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credhelper.agent.login.LOOK_DEADLINE", 0.1)
    with company(tmp_path, lambda peer: peer.drip(b"HTTP/1.1 302 Found\r\nX: ")) as (wire, trusted):
        monkeypatch.setenv("AWS_CA_BUNDLE", trusted)
        [end] = await logged_in(world, replace(world.corp, start_url=wire.url), Flow.DEVICE_CODE)
    assert (end["event"], end["code"]) == ("failed", Unavailable.code)
    assert "no answer within" in end["message"]
