"""A sign-in to the console is handed out like credentials: once for each request, to whoever may have them."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from credhelper.agent.gate import Outcome, Wanted
from credhelper.domain.errors import ConfigError, CredhelperError, Locked, LoginRequired, Unavailable, UsageError
from credhelper.domain.model import Door
from credhelper.sandbox.faults import Fault
from tests.agent.world import World, failing
from tests.machine import visit

STAGING = "222233334444"
MORE = f"""
[profile deploy]
role_arn = arn:aws:iam::{STAGING}:role/Deploy
source_profile = dev

[profile china]
region = cn-north-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Developer
"""


@pytest.fixture
def world(world: World) -> World:
    """With a chained profile and one of another partition."""
    world.config.write_text(world.config.read_text() + MORE)
    return world


@pytest.fixture
def outcomes(world: World) -> list[Outcome]:
    """What the gate has told."""
    told: list[Outcome] = []
    world.agent.gate.on_outcome.append(told.append)
    return told


def wanted(world: World, profile: str = "dev", **more: str) -> Wanted:
    return Wanted(world.fields(profile, **more), door=Door.CONSOLE)


async def page(url: str) -> str:
    return await asyncio.to_thread(visit, url)


async def test_a_role_of_identity_center_gets_a_session_of_its_own_length(world: World) -> None:
    world.log_in()
    await world.get()
    world.clock.advance(minutes=40)
    found = await world.agent.console(wanted(world))
    shown = await page(found.pop("url"))
    assert "assumed-role/AWSReservedSSO_Developer_" in shown
    assert "https://eu-west-1.console.aws.amazon.com/console/home?region=eu-west-1" in shown
    assert "the session ends 3600 s" in shown
    assert found == {
        "expires_at": (world.clock.now().replace(microsecond=0)).strftime("%Y-%m-%dT") + found["expires_at"][11:],
        "account_id": "111122223333",
        "role_name": "Developer",
        "region": "eu-west-1",
        "profile": "dev",
    }


async def test_a_chained_role_gets_one_that_ends_with_its_credentials(world: World) -> None:
    world.log_in()
    found = await world.agent.console(wanted(world, "deploy", service="ec2"))
    assert found["expires_at"] == (await world.get("deploy"))["Expiration"]
    shown = await page(found["url"])
    assert f"arn:aws:sts::{STAGING}:assumed-role/Deploy/" in shown
    assert "/ec2/home?region=eu-west-1" in shown
    assert "the session ends with its credentials" in shown


async def test_where_aws_does_not_take_the_duration_there_is_a_sign_in_all_the_same(world: World) -> None:
    world.log_in()
    world.sandbox.fail("GetSigninToken", Fault(status=400))
    found = await world.agent.console(wanted(world))
    assert "the session ends with its credentials" in await page(found["url"])
    assert world.sandbox.calls["GetSigninToken"] == 2


async def test_the_issuer_is_where_a_person_signs_in_again(world: World) -> None:
    world.log_in()
    found = await world.agent.console(wanted(world))
    assert parse_qs(urlsplit(found["url"]).query)["Issuer"] == [world.sandbox.start_url]


@pytest.mark.parametrize(
    ("profile", "more", "error"),
    [
        ("dev", {"destination": "https://evil.example/"}, UsageError),
        ("dev", {"destination": "https://console.amazonaws.cn/"}, UsageError),
        ("dev", {"service": "../x"}, UsageError),
        ("dev", {"region": "cn-north-1"}, UsageError),
        ("dev", {"region": "mars"}, UsageError),
        ("dev", {"region": "a.b"}, UsageError),
        ("china", {}, ConfigError),
        ("nope", {}, ConfigError),
    ],
    ids=str,
)
async def test_what_cannot_be_is_refused_before_anything_is_asked_for_and_told_once(
    world: World, outcomes: list[Outcome], profile: str, more: dict[str, str], error: type[CredhelperError]
) -> None:
    world.log_in()
    await failing(world.agent.console(wanted(world, profile, **more)), error)
    assert world.fetches() == world.sandbox.calls["GetSigninToken"] == 0
    assert [outcome.outcome for outcome in outcomes] == [error.code]


async def test_each_request_is_told_once(world: World, outcomes: list[Outcome]) -> None:
    await failing(world.agent.console(wanted(world)), LoginRequired)
    world.log_in()
    await world.agent.console(wanted(world))
    world.sandbox.fail("GetSigninToken", Fault(status=503))
    await failing(world.agent.console(wanted(world)), Unavailable)
    found = [(outcome.passage.wanted.door, outcome.outcome, outcome.is_hit) for outcome in outcomes]
    door = Door.CONSOLE
    assert found == [(door, "login_required", False), (door, "ok", False), (door, "unavailable", False)]


async def test_a_lock_while_the_browser_is_signed_in_holds(world: World, outcomes: list[Outcome]) -> None:
    world.log_in()
    world.sandbox.hold("GetSigninToken")
    asking = asyncio.ensure_future(world.agent.console(wanted(world)))
    await world.held("GetSigninToken")
    await world.agent.lock.lock()
    world.sandbox.release()
    await failing(asking, Locked)
    assert [outcome.outcome for outcome in outcomes] == ["locked"]


@pytest.mark.parametrize("comes_back", [False, True])
async def test_nobody_is_signed_in_who_has_logged_out_meanwhile(world: World, comes_back: bool) -> None:
    world.log_in()
    world.sandbox.hold("GetSigninToken")
    asking = asyncio.ensure_future(world.agent.console(wanted(world)))
    await world.held("GetSigninToken")
    await world.agent.logout(world.everything())
    if comes_back:
        world.log_in()
    world.sandbox.release()
    await failing(asking, Unavailable if comes_back else LoginRequired)


async def test_no_credentials_are_in_the_address(world: World) -> None:
    world.log_in()
    document = await world.get()
    url = (await world.agent.console(wanted(world)))["url"]
    assert not [key for key in ("AccessKeyId", "SecretAccessKey", "SessionToken") if document[key] in url]
    recorded = [call.request for call in world.sandbox.recorded]
    assert not [each for each in recorded if document["SecretAccessKey"] in each.path + each.raw_query]
