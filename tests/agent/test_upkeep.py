"""What happens before anybody asks: refreshes, fetches, and looking again after a suspend or a clock that was set."""

import asyncio
import errno
import logging
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from credhelper.domain.errors import LoginRequired, Unavailable
from credhelper.domain.model import IssuedToken, SsoSession, Token
from credhelper.local import private_files
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from tests.agent.world import World, failing, minutes, until

LONG = Lifetimes(interval=0, sign_in_session=90 * 24 * 3600)
SERVER_ERROR = Fault(status=500)
REFRESH = "CreateToken:refresh_token"
FETCH = "GetRoleCredentials"


@pytest.fixture
def lifetimes() -> Lifetimes:
    return LONG


def take_up(world: World) -> None:
    """As the daemon does at its start, with a watcher that tells of nothing."""

    class Nobody:
        def add(self, path: object) -> None:
            """Nothing."""

        discard = add

    world.agent.begin(Nobody())


def left(world: World) -> timedelta:
    return world.token().expires_at - world.clock.now()


# -- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_is_refreshed_before_anybody_asks(world: World) -> None:
    world.log_in()
    take_up(world)
    await world.live(minutes=39)
    assert world.refreshes() == 0, "it was still fresh"
    await world.live(minutes=4)
    assert world.refreshes() == 1
    assert left(world) > minutes(50)


async def test_refreshes_go_on_for_days_without_anybody_asking(world: World) -> None:
    world.log_in()
    take_up(world)
    for _ in range(48):
        await world.live(hours=1)
        assert left(world) > minutes(15), "an SDK would have refreshed by itself"
    assert 48 * 60 / 42 - 2 < world.refreshes() < 48 * 60 / 40 + 2


async def test_refreshes_of_many_sessions_do_not_come_at_the_same_moment(world: World) -> None:
    names = [f"s{number}" for number in range(8)]
    sections = "".join(
        f"[sso-session {name}]\nsso_start_url = {world.sandbox.start_url}\nsso_region = us-east-1\n"
        "sso_registration_scopes = sso:account:access\n"
        for name in names
    )
    world.write_config(sections)
    for name in names:
        world.log_in(replace(world.corp, name=name))
    take_up(world)
    pause = world.agent.upkeep.run_due()
    assert pause is not None
    await world.live(seconds=pause + 0.1)
    assert world.refreshes() == 1


async def test_a_short_token_is_refreshed_at_half_of_its_life(world: World) -> None:
    world.log_in(expires_at=world.clock.now() + minutes(10))
    take_up(world)
    await world.live(minutes=4, seconds=59)
    assert world.refreshes() == 0
    await world.live(minutes=1)
    assert world.refreshes() == 1


async def test_a_refresh_that_brings_no_longer_life_waits_half_of_what_remains(world: World) -> None:
    end = world.clock.now() + minutes(60)
    world.log_in()
    take_up(world)
    refresh = world.api.refresh_token
    world.api.refresh_token = (  # type: ignore[method-assign]  # the sign-in ends at a fixed moment
        lambda session, token: replace(refresh(session, token), expires_at=end)
    )
    await world.live(minutes=42)
    assert world.refreshes() == 1
    await world.live(minutes=7)
    assert world.refreshes() == 1
    await world.live(minutes=3)
    assert world.refreshes() == 2
    await world.live(minutes=8)
    assert world.refreshes() < 10, "a token that cannot live longer became a hammer"


async def test_a_session_that_is_over_costs_no_calls_and_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "credhelper")
    world.log_in()
    take_up(world)
    await world.get()
    world.sandbox.end_session("alice")
    await world.live(days=2)
    calls = world.sandbox.calls.total()
    await world.live(days=2)
    assert world.sandbox.calls.total() == calls
    assert world.agent.tokens.describe(world.corp).state == "expired"
    notices = [record.message for record in caplog.records if "over for" in record.message]
    assert len(notices) == 1
    assert "credhelper login --sso-session corp" in notices[0]
    assert await failing(world.get(), LoginRequired)


async def test_the_end_of_a_session_that_cannot_be_refreshed_is_told_when_it_comes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.log_in(refresh_token=None)
    take_up(world)
    await world.live(minutes=59)
    assert not [record for record in caplog.records if "over for" in record.message]
    await world.live(minutes=2)
    assert [record for record in caplog.records if "over for" in record.message]


async def test_failures_are_tried_again_ever_more_rarely_and_a_success_resets_that(world: World) -> None:
    world.log_in()
    take_up(world)
    world.sandbox.fail(REFRESH, SERVER_ERROR, times=None)
    await world.live(minutes=50)
    first = world.refreshes()
    assert 8 <= first <= 16
    await world.live(minutes=5)
    assert 4 <= world.refreshes() - first <= 7
    world.sandbox.clear()
    await world.live(minutes=2)
    assert left(world) > minutes(50)


async def test_retry_after_is_honoured(world: World) -> None:
    world.log_in()
    take_up(world)
    world.sandbox.fail(REFRESH, Fault(status=429, retry_after=120), times=None)
    await world.live(minutes=43)
    assert world.refreshes() in {1, 2}
    count = world.refreshes()
    await world.live(seconds=100)
    assert world.refreshes() <= count + 1


async def test_a_change_of_the_network_ends_the_pauses(world: World) -> None:
    world.log_in()
    take_up(world)
    world.sandbox.fail(REFRESH, SERVER_ERROR, times=None)
    await world.live(minutes=55)
    world.sandbox.clear()
    count = world.refreshes()
    world.agent.upkeep.network_changed()
    world.agent.upkeep.run_due()
    await world.settled()
    assert world.refreshes() == count + 1
    assert left(world) > minutes(50)


async def test_after_a_suspend_everything_is_looked_at_again_at_once(world: World) -> None:
    world.log_in()
    take_up(world)
    world.agent.upkeep.run_due()
    world.clock.suspend(hours=9)
    world.agent.upkeep.run_due()
    await world.settled()
    assert world.refreshes() == 1
    assert left(world) > minutes(50)


async def test_a_wall_clock_set_back_keeps_no_token_alive(world: World) -> None:
    world.log_in(refresh_token=None)
    take_up(world)
    world.agent.upkeep.run_due()
    world.clock.jump(hours=-5)
    await world.live(minutes=61)
    assert world.agent.tokens.describe(world.corp).state == "expired"


async def test_a_wall_clock_set_ahead_costs_one_refresh_and_no_storm(world: World) -> None:
    world.log_in()
    take_up(world)
    world.agent.upkeep.run_due()
    world.clock.jump(days=10)
    await world.live(minutes=30)
    assert world.refreshes() == 1
    assert world.agent.tokens.describe(world.corp).state == "active"


# -- the disk ---------------------------------------------------------------------------------------------------------


async def test_a_token_that_the_disk_refused_is_written_when_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in()
    take_up(world)
    old = world.token()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", refuse)
        await world.live(minutes=45)
        assert world.token() == old
        assert (await world.agent.tokens.current(world.corp)).access_token != old.access_token
        assert "memory" in str(world.agent.tokens.describe(world.corp).last_error)
    await world.live(minutes=2)
    assert world.token() == await world.agent.tokens.current(world.corp)
    assert world.agent.tokens.describe(world.corp).last_error is None
    assert world.refreshes() == 1


async def test_a_token_that_waits_for_the_disk_gives_way_to_a_login_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in()
    take_up(world)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", refuse)
        await world.live(minutes=45)
    newer = world.log_in(person="bob")
    await world.live(minutes=3)
    assert world.token() == newer == await world.agent.tokens.current(world.corp)


# -- role credentials -------------------------------------------------------------------------------------------------


async def test_role_credentials_in_use_are_fetched_again_before_20_minutes_are_left(world: World) -> None:
    world.log_in()
    take_up(world)
    await world.get()
    for _ in range(12):
        await world.live(minutes=20)
        fetched = world.fetches()
        document = await world.get()
        assert world.fetches() == fetched, "a caller had to wait"
        assert document["Expiration"] > f"{world.clock.now() + minutes(15):%Y-%m-%dT%H:%M:%SZ}"
    assert world.fetches() <= 12


async def test_role_credentials_that_nobody_asked_for_lapse(world: World) -> None:
    world.log_in()
    take_up(world)
    await world.get()
    await world.live(hours=10)
    assert world.fetches() == 2, "one life in which it was asked for, one in which it was not"
    assert world.agent.roles.entries() == []


@pytest.mark.parametrize("lifetimes", [replace(LONG, role_credentials=900)], ids=["15 min"])
async def test_short_role_sessions_are_renewed_at_half_of_their_life(world: World) -> None:
    world.log_in()
    take_up(world)
    for _ in range(20):
        await world.get()
        await world.live(minutes=5)
    assert 12 <= world.fetches() <= 16


async def test_stale_credentials_are_served_while_aws_fails_until_their_true_end(world: World) -> None:
    world.log_in()
    take_up(world)
    first = await world.get()
    world.sandbox.fail(FETCH, SERVER_ERROR, times=None)
    await world.live(minutes=59)
    assert await world.get() == first
    await world.live(minutes=2)
    await failing(world.get(), Unavailable)


async def test_role_credentials_in_use_are_fetched_after_a_night_of_suspend(world: World) -> None:
    world.log_in()
    take_up(world)
    await world.get()
    world.agent.upkeep.run_due()
    world.clock.suspend(hours=9)
    await world.live(seconds=1)
    fetched = world.fetches()
    await world.get()
    assert world.fetches() == fetched


async def test_background_fetches_are_limited_to_ten_a_second(world: World) -> None:
    roles = [f"Role{number}" for number in range(35)]
    fetch = world.api.get_role_credentials
    world.api.get_role_credentials = (  # type: ignore[method-assign]  # the sandbox has fewer roles
        lambda role, access_token: fetch(world.developer, access_token)  # noqa: ARG005
    )
    world.write_config(
        world.config.read_text()
        + "".join(
            f"[profile {role}]\nsso_session = corp\nsso_account_id = {world.developer.account_id}\n"
            f"sso_role_name = {role}\n"
            for role in roles
        )
    )
    world.log_in()
    take_up(world)
    await asyncio.gather(*(world.get(role) for role in roles))
    world.agent.upkeep.run_due()
    world.clock.suspend(hours=2)
    before = world.fetches()
    for second in range(1, 5):
        await world.live(seconds=1)
        assert world.fetches() - before <= 10 * (second + 1)
    await world.live(seconds=3)
    assert world.fetches() - before == len(roles)


async def test_what_was_logged_out_is_not_fetched_any_more(world: World) -> None:
    world.log_in()
    take_up(world)
    await world.get()
    await world.agent.logout(world.everything())
    calls = world.sandbox.calls[FETCH] + world.sandbox.calls[REFRESH]
    await world.live(days=1)
    assert world.sandbox.calls[FETCH] + world.sandbox.calls[REFRESH] == calls


async def test_a_machine_whose_clock_is_wrong_serves_by_the_clock_of_aws(world: World) -> None:
    world.clock.jump(hours=-3)
    world.log_in()
    take_up(world)
    await world.get()
    assert world.agent.status(world.everything())["status"]["daemon"]["clock_skew"] == pytest.approx(3 * 3600, abs=3)
    await world.live(minutes=50)
    await world.get()
    await world.live(minutes=20)
    document = await world.get()
    assert document["Expiration"] > f"{world.clock.true_now() + minutes(15):%Y-%m-%dT%H:%M:%SZ}"


async def test_what_aws_issues_during_a_logout_is_ended_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.log_in()
    take_up(world)
    refresh, has_issued, may_answer = world.api.refresh_token, threading.Event(), threading.Event()

    def answering_late(session: SsoSession, token: Token) -> IssuedToken:
        issued = refresh(session, token)
        has_issued.set()
        assert may_answer.wait(30)
        return issued

    monkeypatch.setattr(world.api, "refresh_token", answering_late)
    world.clock.advance(minutes=45)
    world.agent.upkeep.run_due()
    await until(has_issued.is_set)
    receipt = await world.agent.logout(world.everything())
    assert receipt["sessions"][0]["token"] == "deleted"
    ended = world.sandbox.calls["Logout"]
    may_answer.set()
    await world.settled()
    await world.live(seconds=10)
    assert world.sandbox.calls["Logout"] == ended + 1
    assert not world.token_path().exists()


async def test_a_stop_lets_a_refresh_reach_the_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.log_in()
    take_up(world)
    refresh, has_issued, may_answer = world.api.refresh_token, threading.Event(), threading.Event()

    def answering_late(session: SsoSession, token: Token) -> IssuedToken:
        issued = refresh(session, token)
        has_issued.set()
        assert may_answer.wait(30)
        return issued

    monkeypatch.setattr(world.api, "refresh_token", answering_late)
    before = world.token()
    world.clock.advance(minutes=45)
    world.agent.upkeep.run_due()
    await until(has_issued.is_set)
    stopping = asyncio.ensure_future(world.agent.stop())
    await asyncio.sleep(0)
    may_answer.set()
    await stopping
    assert world.token().refresh_token != before.refresh_token


async def test_lack_of_descriptors_is_no_logout(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.log_in()
    first = await world.get()

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    world.token_path().touch()
    with monkeypatch.context() as patch:
        patch.setattr("credhelper.local.private_files.os.open", refuse)
        for _ in range(3):
            assert await world.get() == first
            world.clock.advance(minutes=1)
    assert await world.get() == first
    assert world.fetches() == 1


async def test_a_token_older_than_the_one_in_memory_is_logged_out_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk took neither the newer token nor, later, the deletion of the older one."""
    world.log_in()
    take_up(world)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(private_files, "write", refuse)
    monkeypatch.setattr(private_files, "remove", refuse)
    await world.live(minutes=45)
    assert await world.get()
    receipt = await world.agent.logout(world.everything())
    assert receipt["sessions"][0]["token"] == "kept"
    await failing(world.get(), LoginRequired)
    assert world.agent.tokens.describe(world.corp).state == "logged_out"


async def test_a_fault_of_our_own_is_told_and_does_not_spin(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.log_in()
    take_up(world)
    tries = []

    def broken(*_: object) -> IssuedToken:
        tries.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(world.api, "refresh_token", broken)
    await world.live(minutes=45)
    assert 1 <= len(tries) <= 16
    assert "a fault while refreshing" in caplog.text


async def test_two_sections_of_one_name_do_not_annul_the_pauses(world: World) -> None:
    world.log_in()
    take_up(world)
    await world.get()
    other = replace(world.corp, scopes=("sso:account:access", "other"))
    world.sandbox.fail(REFRESH, SERVER_ERROR, times=None)
    world.clock.advance(hours=2)
    for _ in range(20):
        for session in (world.corp, other):
            await failing(world.agent.tokens.current(session), Unavailable)
    assert world.refreshes() == 1


async def test_a_network_that_changes_all_the_time_ends_the_pauses_now_and_then(world: World) -> None:
    world.log_in()
    take_up(world)
    world.sandbox.fail(REFRESH, SERVER_ERROR, times=None)
    await world.live(minutes=50)
    count = world.refreshes()
    for _ in range(60):
        world.agent.upkeep.network_changed()
        await world.live(seconds=1)
    assert world.refreshes() - count <= 20
