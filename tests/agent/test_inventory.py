"""Listing accounts and roles: once for everybody, at a polite pace, and never twice what was listed already."""

import asyncio
import json
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from credhelper.agent import listing, logout
from credhelper.agent.inventory import Wish
from credhelper.agent.pace import FASTEST
from credhelper.aws.config_file import ConfigPaths, load
from credhelper.domain.accounts import Listing
from credhelper.domain.errors import (
    AccessRefused,
    Locked,
    LoginRequired,
    RoleNotAssigned,
    Unavailable,
    UsageError,
)
from credhelper.local import inventory_files, places
from credhelper.sandbox.directory import large_directory
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.agent.world import ACCOUNT, World, failing, files_below, until
from tests.clocks import HandClock

MANY = 30
ONE_OF_MANY = "100000000007"


@pytest.fixture
def sandbox(
    request: pytest.FixtureRequest, clock: HandClock, lifetimes: Lifetimes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    """As a test asks for it with ``of``; the usual one otherwise."""
    with Sandbox(clock=clock.time, lifetimes=lifetimes, **getattr(request, "param", {})) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def of(accounts: int = MANY, roles: int = 2, **more: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sandbox", [{"directory": large_directory(accounts, roles), **more}], indirect=True)


async def take(world: World, **fields: str) -> Listing:
    found = await world.agent.list_inventory(world.everything() | {"sso_session": "corp"} | fields, lambda _: None)
    return cast(Listing, found)


def role_calls(world: World) -> int:
    return world.sandbox.calls["ListAccountRoles"]


def path(world: World) -> Any:
    return places.inventory_file(world.state, "corp")


async def interrupted(world: World, after: int) -> None:
    """A listing whose only caller leaves when the roles of so many accounts are known."""
    reached = asyncio.Event()

    def tell(event: dict[str, Any]) -> None:
        if event["done"] >= after:
            reached.set()

    found = asyncio.ensure_future(world.agent.inventory.take(world.corp, Wish(), tell))
    waiting = asyncio.ensure_future(reached.wait())
    await asyncio.wait({found, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert waiting.done()
    found.cancel()
    with suppress(asyncio.CancelledError):
        await found
    await world.settled()


# -- what is listed ---------------------------------------------------------------------------------------------------


async def test_every_account_is_listed_with_its_roles_by_name(world: World) -> None:
    world.log_in()
    found = await take(world)
    assert found["sso_session"] == "corp"
    assert found["start_url"] == world.sandbox.start_url
    assert found["listed_at"] == "2026-06-01T09:00:00Z"
    assert [(account["account_name"], account["roles"]) for account in found["accounts"]] == [
        ("Development", ["Administrator", "Developer", "ReadOnly"]),
        ("Production", ["ReadOnly"]),
        ("Staging", ["Developer", "ReadOnly"]),
    ]
    assert found["accounts"][0]["email"] == "aws+development@example.com"


async def test_the_accounts_alone_take_no_question_about_roles(world: World) -> None:
    world.log_in()
    found = await take(world, only="accounts")
    assert len(found["accounts"]) == 3
    assert not any("roles" in account for account in found["accounts"])
    assert role_calls(world) == 0


async def test_one_account_is_asked_about_alone(world: World) -> None:
    world.log_in()
    found = await take(world, account_id=ACCOUNT)
    (account,) = found["accounts"]
    assert (account["account_name"], len(account["roles"])) == ("Development", 3)
    assert (role_calls(world), world.sandbox.calls["ListAccounts"]) == (1, 1)
    await take(world)
    await take(world, account_id=ACCOUNT)
    assert world.sandbox.calls["ListAccounts"] == 2  # for its name, what is known already will do


async def test_an_account_of_others_is_refused(world: World) -> None:
    world.log_in()
    for account_id in ("444455556666", "999999999999"):
        assert account_id in await failing(take(world, account_id=account_id), RoleNotAssigned)


@pytest.mark.parametrize(
    "fields", [{"only": "names"}, {"max_age": "-1"}, {"max_age": "x"}, {"account_id": "12"}, {"only": ""}]
)
async def test_what_makes_no_sense_is_wrong_usage(world: World, fields: dict[str, str]) -> None:
    await failing(take(world, **fields), UsageError)


@of(230, 1)
async def test_lists_of_several_pages_are_read_to_their_end(world: World) -> None:
    world.log_in()
    found = await take(world, only="accounts")
    assert len({account["account_id"] for account in found["accounts"]}) == 230
    assert world.sandbox.calls["ListAccounts"] == 3


async def test_pages_that_go_round_in_circles_have_an_end(world: World) -> None:
    world.log_in()
    again = "YWNjb3VudExpc3Q6MA=="  # the first page
    world.sandbox.fail("ListAccounts", Fault(members={"nextToken": again}), times=None)
    assert "circles" in await failing(take(world), Unavailable)
    assert world.sandbox.calls["ListAccounts"] == 2


# -- which session ----------------------------------------------------------------------------------------------------


async def test_without_an_option_it_is_the_only_session_or_the_environments(world: World) -> None:
    world.log_in()
    fields = world.everything()
    several = await failing(world.agent.list_inventory(fields, lambda _: None), UsageError)
    assert "corp" in several
    by_environment = await world.agent.list_inventory(fields | {"AWS_PROFILE": "dev"}, lambda _: None)
    assert by_environment["sso_session"] == "corp"
    world.write_config(world.config.read_text().partition("[profile legacy]")[0])
    only_one = await world.agent.list_inventory(fields, lambda _: None)
    assert only_one["sso_session"] == "corp"


async def test_a_legacy_sessions_hint_names_a_profile(world: World) -> None:
    with pytest.raises(LoginRequired) as raised:
        await world.agent.list_inventory(world.fields("legacy"), lambda _: None)
    assert raised.value.hint == "credhelper login --profile legacy"


# -- once for everybody -----------------------------------------------------------------------------------------------


async def test_whoever_asks_meanwhile_joins_and_is_told_how_far_it_is(world: World) -> None:
    world.log_in()
    told: list[list[int]] = [[], []]
    with world.sandbox.hold("ListAccounts"):
        both = [
            asyncio.ensure_future(
                world.agent.inventory.take(world.corp, Wish(), lambda event, seen=seen: seen.append(event["done"]))  # type: ignore[misc]
            )
            for seen in told
        ]
        await world.held("ListAccounts")
    first, second = await asyncio.gather(*both)
    assert first == second
    assert (world.sandbox.calls["ListAccounts"], role_calls(world)) == (1, 3)
    for seen in told:
        assert seen == sorted(seen)
        assert seen[0] == 0


async def test_one_that_leaves_ends_nothing_for_the_others(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("ListAccounts"):
        stays, leaves = (asyncio.ensure_future(world.agent.inventory.take(world.corp, Wish())) for _ in range(2))
        await world.held("ListAccounts")
        leaves.cancel()
    assert len((await stays)["accounts"]) == 3


async def test_a_young_listing_is_answered_from_memory_in_every_shape(world: World) -> None:
    world.log_in()
    await take(world)
    calls = sum(world.sandbox.calls.values())
    world.clock.advance(minutes=4)
    assert len((await take(world, max_age="300"))["accounts"]) == 3
    assert "roles" not in (await take(world, max_age="300", only="accounts"))["accounts"][0]
    assert len((await take(world, max_age="300", account_id=ACCOUNT))["accounts"]) == 1
    assert sum(world.sandbox.calls.values()) == calls
    world.clock.advance(minutes=2)
    await take(world, max_age="300")
    assert sum(world.sandbox.calls.values()) == calls + 4


async def test_the_next_daemon_knows_the_names_and_answers_with_them_for_the_same_login(world: World) -> None:
    world.log_in()
    found = await take(world)
    assert stat.S_IMODE(path(world).stat().st_mode) == 0o600
    world.agent = world.new_agent()
    assert await world.agent.inventory.names(world.corp) == found
    calls = world.sandbox.calls["ListAccounts"]
    assert await take(world, max_age="60") == found
    assert world.sandbox.calls["ListAccounts"] == calls
    world.log_in(person="bob")
    world.agent = world.new_agent()
    assert await world.agent.inventory.names(world.corp) == found  # names, until there are better ones
    others = await take(world, max_age="60")
    assert [account["account_name"] for account in others["accounts"]] == [
        "Büro Zürich · Abrechnung",
        "Production",
        "Staging",
    ]


# -- politely ---------------------------------------------------------------------------------------------------------


@of(120, 1, rate_limit=20)
async def test_a_portal_that_takes_twenty_calls_a_second_refuses_none(world: World) -> None:
    world.log_in()
    began = world.clock.monotonic()
    found = await take(world)
    assert len(found["accounts"]) == 120
    assert world.sandbox.throttled == 0
    assert 0.8 * 122 / FASTEST <= world.clock.monotonic() - began <= 1.5 * 122 / FASTEST


@pytest.mark.parametrize(
    "sandbox",
    [
        {"directory": large_directory(MANY, 2), "rate_limit": 3, "burst": 10, "retry_after": retry_after}
        for retry_after in (None, 5)
    ],
    indirect=True,
)
async def test_a_portal_that_throttles_sooner_slows_the_listing_down_and_nobody_hears_of_it(world: World) -> None:
    world.log_in()
    found = await take(world)
    assert all(len(account["roles"]) == 2 for account in found["accounts"])
    assert len(found["accounts"]) == MANY
    assert 0 < world.sandbox.throttled < MANY
    assert world.agent.inventory.pace.rate < FASTEST


async def test_a_portal_that_only_ever_throttles_is_given_up(world: World) -> None:
    world.log_in()
    world.sandbox.fail("ListAccounts", Fault(status=429, error="TooManyRequestsException"), times=None)
    assert "throttling" in await failing(take(world), Exception)
    assert world.sandbox.calls["ListAccounts"] < 40


# -- what goes wrong --------------------------------------------------------------------------------------------------


async def test_one_who_is_offline_soon_knows(world: World) -> None:
    world.log_in()
    world.sandbox.fail("ListAccounts", Fault(status=503), times=None)
    began = world.clock.monotonic()
    await failing(take(world), Unavailable)
    assert world.clock.monotonic() - began < 5
    assert world.sandbox.calls["ListAccounts"] == 2


@pytest.mark.parametrize("status", [403, 404])
async def test_an_account_that_has_gone_meanwhile_has_no_roles_and_spoils_nothing(world: World, status: int) -> None:
    world.log_in()
    world.sandbox.fail("ListAccountRoles", Fault(status=status))
    found = await take(world)
    assert sorted(bool(account["roles"]) for account in found["accounts"]) == [False, True, True]


async def test_a_hiccup_of_the_portal_is_got_over(world: World) -> None:
    world.log_in()
    world.sandbox.fail("ListAccountRoles", Fault(status=500), times=3)
    assert all(account["roles"] for account in (await take(world))["accounts"])


@of()
async def test_an_outage_ends_it_and_afterwards_it_goes_on_where_it_was(world: World) -> None:
    world.log_in()
    await interrupted(world, 10)
    world.sandbox.fail("ListAccountRoles", Fault(status=500), times=None)
    await failing(take(world), Unavailable)
    world.sandbox.clear()
    before = role_calls(world)
    assert len((await take(world))["accounts"]) == MANY
    assert role_calls(world) - before <= MANY - 10
    assert world.sandbox.calls["ListAccounts"] == 1


@of(12)
async def test_one_account_that_fails_keeps_nobody_from_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "AT_ONCE", 1)
    world.log_in()
    await take(world, only="accounts")
    world.sandbox.fail("ListAccountRoles", Fault(status=500), times=listing.LATER_TRIES)
    await failing(take(world), Unavailable)
    before = role_calls(world)
    assert before == listing.LATER_TRIES + 11
    assert all(account["roles"] for account in (await take(world))["accounts"])
    assert role_calls(world) == before + 1


async def test_a_login_without_the_scope_for_accounts_says_what_is_missing(world: World) -> None:
    world.log_in()
    world.sandbox.fail("ListAccounts", Fault(status=403))
    assert "no access to accounts" in await failing(take(world), AccessRefused)


# -- going on where it was --------------------------------------------------------------------------------------------


@of()
async def test_what_was_listed_before_the_last_one_left_is_not_asked_again(world: World) -> None:
    world.log_in()
    await interrupted(world, 12)
    assert role_calls(world) < MANY
    assert len((await take(world))["accounts"]) == MANY
    assert world.sandbox.calls["ListAccounts"] == 1
    assert role_calls(world) <= MANY + 6  # those under way when it was interrupted


@of()
async def test_the_next_daemon_goes_on_where_the_last_one_was(world: World) -> None:
    world.log_in()
    await interrupted(world, 12)
    assert inventory_files.load(path(world)) is None
    kept = inventory_files.read(path(world)).parts
    assert kept is not None
    assert len(kept.roles) >= 12
    world.agent = world.new_agent()
    assert len((await take(world))["accounts"]) == MANY
    assert world.sandbox.calls["ListAccounts"] == 1
    assert role_calls(world) <= MANY + 6
    assert inventory_files.read(path(world)).parts is None


@of()
async def test_a_daemon_that_is_stopped_writes_down_what_it_has(world: World) -> None:
    world.log_in()
    found = asyncio.ensure_future(take(world))
    await until(lambda: role_calls(world) >= 10)
    await world.agent.stop()
    assert "stopping" in await failing(found, Unavailable)
    kept = inventory_files.read(path(world)).parts
    assert kept is not None
    assert kept.roles


@of()
async def test_parts_do_not_outlive_ten_minutes(world: World) -> None:
    world.log_in()
    await interrupted(world, 12)
    world.clock.advance(minutes=11)
    await take(world)
    assert world.sandbox.calls["ListAccounts"] == 2


@of()
async def test_parts_are_of_one_login_only(world: World) -> None:
    """The next one may be another person's."""
    world.log_in()
    await interrupted(world, 12)
    world.log_in()
    await take(world)
    assert world.sandbox.calls["ListAccounts"] == 2


@of()
async def test_a_login_in_the_middle_of_a_listing_begins_it_anew(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("ListAccountRoles"):
        found = asyncio.ensure_future(take(world))
        await world.held("ListAccountRoles")
        world.log_in()
    assert len((await found)["accounts"]) == MANY
    assert world.sandbox.calls["ListAccounts"] == 2


# -- the token --------------------------------------------------------------------------------------------------------


@of()
async def test_a_token_that_is_refused_in_the_middle_is_refreshed_once(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("ListAccountRoles"):
        found = asyncio.ensure_future(take(world))
        await world.held("ListAccountRoles")
        world.sandbox.revoke_access_tokens()
    assert len((await found)["accounts"]) == MANY
    assert world.refreshes() == 1


@of()
async def test_a_token_that_runs_out_in_the_middle_is_refreshed_and_nothing_is_asked_twice(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("ListAccountRoles"):
        found = asyncio.ensure_future(take(world))
        await world.held("ListAccountRoles")
        world.clock.advance(minutes=61)
    assert len((await found)["accounts"]) == MANY
    assert world.refreshes() == 1
    assert world.sandbox.calls["ListAccounts"] == 1  # a refresh of ours is no other login
    assert role_calls(world) <= MANY + 6


@of()
async def test_a_sign_in_that_ends_in_the_middle_takes_a_login_and_keeps_what_was_listed(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("ListAccountRoles"):
        found = asyncio.ensure_future(take(world))
        await world.held("ListAccountRoles")
        world.sandbox.end_session()
    assert "corp" in await failing(found, LoginRequired)
    await world.settled()
    assert inventory_files.read(path(world)).parts is not None


# -- logging out and locking ------------------------------------------------------------------------------------------


@of()
async def test_a_logout_ends_the_listing_and_leaves_no_file(world: World) -> None:
    world.log_in()
    await interrupted(world, 12)
    assert path(world).exists()
    with world.sandbox.hold("ListAccountRoles"):
        found = asyncio.ensure_future(take(world))
        await world.held("ListAccountRoles")
        receipt = await world.agent.logout(world.fields("dev"))
        assert "logged out" in await failing(found, LoginRequired)
    await world.settled()
    assert str(path(world)) in receipt["removed"]
    assert not path(world).exists()
    assert await world.agent.inventory.names(world.corp) is None


async def test_a_logout_of_everything_removes_every_name_cache(world: World) -> None:
    world.log_in()
    await take(world)
    forgotten = places.inventory_file(world.state, "a session that is in no file any more")
    forgotten.write_bytes(b"{}")
    receipt = await world.agent.logout(world.everything())
    assert {str(path(world)), str(forgotten)} <= {*receipt["removed"]}
    assert not {name for name in files_below(world.state) if "inventory" in name}


async def test_a_logout_of_one_session_leaves_the_others_names(world: World) -> None:
    world.log_in()
    await take(world)
    receipt = await world.agent.logout(world.fields("legacy"))
    assert str(path(world)) not in receipt["removed"]
    assert path(world).exists()


async def test_a_logout_without_a_daemon_removes_it_too_and_names_what_it_cannot(world: World) -> None:
    configuration = load(ConfigPaths.of({"HOME": str(world.home)}))
    vault = places.vault_directory(world.state)
    for is_removable in (True, False):
        path(world).unlink(missing_ok=True)
        path(world).parent.mkdir(parents=True, exist_ok=True)
        path(world).write_bytes(b"{}") if is_removable else path(world).mkdir()
        sweep = logout.Sweep(world.home, configuration, world.lock_path, vault=vault, state=world.state)
        receipt = sweep.one(world.corp)
        assert [name for name in receipt.removed if name == path(world)] == [path(world)] * is_removable
        assert [name for name, _ in receipt.left] == [path(world)] * (not is_removable)


async def test_another_programs_logout_takes_the_names_away_as_well(world: World) -> None:
    world.log_in()
    await take(world)
    world.token_path().unlink()
    world.agent.tokens.look(world.corp)
    await world.settled()
    assert not path(world).exists()


async def test_nothing_is_listed_while_it_is_locked_not_even_at_the_end(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("ListAccounts"):
        found = asyncio.ensure_future(take(world))
        await world.held("ListAccounts")
        await world.agent.lock.lock()
    await failing(found, Locked)
    with pytest.raises(Locked):
        world.agent.lock.check_operation("inventory")


async def test_a_disk_that_takes_no_name_cache_spoils_no_listing(world: World) -> None:
    world.log_in()
    path(world).mkdir(parents=True)
    assert len((await take(world))["accounts"]) == 3


async def test_the_name_cache_holds_no_token(world: World) -> None:
    token = world.log_in()
    await take(world)
    kept = path(world).read_text()
    assert token.access_token not in kept
    assert set(json.loads(kept)) == {"version", "login", "listing"}
