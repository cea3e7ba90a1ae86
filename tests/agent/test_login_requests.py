"""What a login is asked for and told beside its own steps: a port, whom it is waited for by, and nothing hostile."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from credhelper.agent.shown_login import MOST_WAITING, Event, ShownLogin
from credhelper.domain.errors import CredhelperError, LoginRequired, Unavailable
from credhelper.domain.model import Door, Flow
from credhelper.local.peers import Caller
from credhelper.sandbox.faults import Fault
from tests.agent.world import World

ESCAPE = "\x1b]0;pwned\x07"


@contextlib.asynccontextmanager
async def begun(world: World, **fields: str) -> AsyncIterator[tuple[ShownLogin, Event]]:
    """A login as a person asks for it, and the first thing that it says."""
    asked = {"flow": Flow.AUTHORIZATION_CODE.value, "force": "1"} | fields
    login, _ = world.agent.login(world.fields("dev") | asked)
    assert login is not None
    events = login.follow()
    try:
        yield login, await anext(events)
    finally:
        await events.aclose()


async def refused(world: World, name: str, profile: str = "dev", door: Door = Door.GET) -> None:
    """A program that wants credentials and is told to have somebody log in."""
    with pytest.raises(LoginRequired):
        await world.hand_out(world.fields(profile), Caller(name=name), door)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as there:
        return int(there.getsockname()[1])


# -- the port -----------------------------------------------------------------------------------------------------


async def test_the_browser_comes_back_to_the_port_that_was_asked_for(world: World) -> None:
    port = free_port()
    async with begun(world, redirect_port=str(port)) as (_, event):
        assert f"redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Foauth%2Fcallback&" in event["url"]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    async with begun(world, redirect_port=str(port)) as (_, event):  # at once again
        assert f"%3A{port}%2F" in event["url"]


async def test_a_port_in_use_ends_the_login_with_the_way_out(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with begun(world, redirect_port=str(port)) as (login, event):
            assert event["event"] == "failed"
    assert login.error is not None
    assert type(login.error) is CredhelperError
    assert f"port {port} on 127.0.0.1: it is in use" in login.error.message
    assert login.error.hint == "credhelper login --sso-session corp --use-device-code"


async def test_it_says_which_of_our_own_logins_holds_the_port(world: World) -> None:
    port = free_port()
    world.write_config(
        world.config.read_text() + world.config.read_text().replace("corp", "other").split("[profile")[0]
    )
    async with begun(world, redirect_port=str(port)):
        fields = {"HOME": str(world.home), "cwd": "/", "sso_session": "other", "flow": "authorization_code"}
        login, _ = world.agent.login(fields | {"redirect_port": str(port)})
        assert login is not None
        assert [event["event"] async for event in login.follow()] == ["failed"]
        assert login.error is not None
        assert "the login to session “corp” waits there" in login.error.message


@pytest.mark.parametrize(
    ("configured", "fields", "flow"),
    [
        (0, {"flow": "device_code", "by_itself": "1"}, Flow.DEVICE_CODE),
        (18767, {"flow": "device_code", "by_itself": "1"}, Flow.AUTHORIZATION_CODE),
        (18767, {"flow": "device_code"}, Flow.DEVICE_CODE),
        (18767, {"flow": "device_code", "by_itself": "1", "profile": "legacy"}, Flow.DEVICE_CODE),
    ],
)
async def test_a_configured_port_is_the_wish_for_a_browser_unless_a_device_code_was_asked_for(
    world: World, configured: int, fields: dict[str, str], flow: Flow
) -> None:
    world.agent.settings.now = replace(world.agent.settings.now, login_redirect_port=configured)
    async with begun(world, **fields) as (login, event):
        assert login.flow is flow
        assert flow is Flow.DEVICE_CODE or f"%3A{configured}%2F" in event["url"]


# -- who waits ----------------------------------------------------------------------------------------------------


async def test_what_was_refused_lately_is_told_and_what_is_refused_meanwhile(world: World) -> None:
    await refused(world, "long-ago")
    world.clock.advance(seconds=700)
    await refused(world, "terraform")
    await refused(world, "other-session", "legacy")
    await refused(world, "credhelper", door=Door.EXEC)  # a person typed it, and has read what it said
    async with begun(world) as (login, event):
        assert event["event"] == "authorize"
        assert login.events[1:] == [{"event": "waiting", "clients": ["terraform"]}]
        await refused(world, "terraform")
        await refused(world, "aws")
        await refused(world, "aws")
        assert login.events[2:] == [{"event": "waiting", "clients": ["terraform", "aws"]}]
        assert login.about() == {
            "event": "about",
            "sso_session": "corp",
            "start_url": world.sandbox.start_url,
            "flow": "authorization_code",
            "expires_at": "2026-06-01T09:21:40Z",
        }


async def test_nobody_waits_for_what_is_there(world: World) -> None:
    await refused(world, "terraform")
    world.sleep.then = lambda _: world.sandbox.approve(world.agent.logins.under_way()[0].events[0]["user_code"])
    async with begun(world, flow="device_code") as (login, _):
        assert [event["event"] async for event in login.follow()][-1] == "logged_in"
    async with begun(world) as (login, _):
        assert [event["event"] for event in login.events] == ["authorize"]


async def test_a_crowd_of_names_does_not_fill_the_memory(world: World) -> None:
    async with begun(world) as (login, _):
        for number in range(MOST_WAITING + 20):
            login.waited_for_by([f"program-{number}"])
        assert len(login.events) == 1 + MOST_WAITING
        assert len(login.events[-1]["clients"]) == MOST_WAITING


# -- nothing hostile ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"userCode": f"ABCD{ESCAPE}"},
        {"userCode": "ABCD-\u202eHGFE"},
        {"userCode": "ABCD EFGH"},
        {"userCode": "A" * 40},
        {"userCode": "ABCD-EFGH\n"},
        {"userCode": "\u0410BCD-EFGH"},  # a Cyrillic A
        {"verificationUri": f"https://device.example/{ESCAPE}"},
        {"verificationUri": "https://device.example/\nhttps://evil.example"},
        {"verificationUri": "https://corp.awsapps.com@evil.example/"},
        {"verificationUri": "https://device.example/" + "x" * 3000},
        {"verificationUriComplete": "https://\u0430ws.example/"},
        {"verificationUriComplete": "https://device.example/\x9b2J"},
    ],
)
async def test_what_a_terminal_would_obey_or_a_person_misread_is_shown_to_nobody(
    world: World, members: dict[str, object]
) -> None:
    world.sandbox.fail("StartDeviceAuthorization", Fault(members=members))
    async with begun(world, flow="device_code") as (login, event):
        assert event["event"] == "failed"
        assert isinstance(login.error, Unavailable)
        assert login.error.message.isprintable()
        assert len(login.events) == 1
        assert not any(str(value) in json.dumps(login.events, ensure_ascii=False) for value in members.values())


@pytest.mark.parametrize("code", ["ABCD-EFGH", "abcd-1234", "ABCDEFGH", "1234"])
async def test_codes_of_the_usual_kinds_are_shown(world: World, code: str) -> None:
    world.sandbox.fail("StartDeviceAuthorization", Fault(members={"userCode": code}))
    async with begun(world, flow="device_code") as (_, event):
        assert event["user_code"] == code


@pytest.mark.parametrize("operation", ["RegisterClient", "StartDeviceAuthorization", "CreateToken:device_code"])
async def test_an_error_text_of_aws_is_told_without_being_obeyed(world: World, operation: str) -> None:
    world.sandbox.fail(operation, Fault(error=f"Invalid{ESCAPE}", message=f"no{ESCAPE}\u202e\r\nway"))
    async with begun(world, flow="device_code") as (login, _):
        assert [event["event"] async for event in login.follow()][-1] == "failed"
    assert login.error is not None
    assert "Invalid" in login.error.message
    assert login.error.message.isprintable()
