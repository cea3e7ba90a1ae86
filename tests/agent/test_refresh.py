"""Access tokens are renewed in time, once, and never at the price of one that is still good."""

import asyncio
import errno
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent import tokens as tokens_module
from credhelper.aws.token_cache import TokenCache
from credhelper.domain.errors import LoginRequired, Unavailable
from credhelper.domain.model import SsoSession, Token
from credhelper.local import file_lock, private_files
from credhelper.local.workers import Workers
from credhelper.sandbox.faults import Body, Cut, Fault
from tests.agent.world import World, failing, minutes, until

FAILURES = {
    "500": Fault(status=500),
    "429": Fault(status=429, retry_after=1),
    "html": Fault(body=Body.HTML),
    "redirect": Fault(body=Body.REDIRECT),
    "empty": Fault(body=Body.EMPTY),
    "truncated": Fault(body=Body.TRUNCATED),
    "list": Fault(body=Body.LIST),
    "no token": Fault(body=Body.EMPTY_OBJECT),
    "cut before": Fault(cut=Cut.BEFORE),
    "cut in the middle": Fault(cut=Cut.MIDDLE),
    "invalid grant": Fault(error="InvalidGrantException"),
    "invalid client": Fault(error="InvalidClientException"),
    "a reason of tomorrow": Fault(error="TeapotException", status=400),
}


async def current(world: World, session: SsoSession | None = None) -> Token:
    return await world.agent.tokens.current(session or world.corp)


# -- when -------------------------------------------------------------------------------------------------------------


async def test_a_fresh_token_is_used_without_a_call(world: World) -> None:
    token = world.log_in()
    world.clock.advance(minutes=39, seconds=59)
    assert await current(world) == token
    assert world.refreshes() == 0


async def test_a_token_with_under_20_minutes_left_is_refreshed_silently(world: World) -> None:
    old = world.log_in()
    assert await current(world) == old
    world.clock.advance(minutes=40, seconds=1)
    new = await current(world)
    assert world.refreshes() == 1
    assert new.access_token != old.access_token
    assert new.expires_at == world.clock.now().replace(microsecond=0) + minutes(60)
    assert world.token() == new


async def test_half_the_lifetime_counts_when_that_is_less(world: World) -> None:
    """A token of 10 minutes is renewed with 5 left, not at once."""
    token = world.log_in(expires_at=world.clock.now() + minutes(10))
    assert await current(world) == token
    world.clock.advance(minutes=4, seconds=59)
    await current(world)
    assert world.refreshes() == 0
    world.clock.advance(seconds=2)
    await current(world)
    assert world.refreshes() == 1


async def test_the_lifetime_of_anothers_token_is_what_it_had_left_when_first_seen(world: World) -> None:
    """Found with 8 minutes left: renewed with 4 left."""
    world.log_in()
    world.clock.advance(minutes=52)
    await current(world)
    assert world.refreshes() == 0
    world.clock.advance(minutes=4, seconds=1)
    await current(world)
    assert world.refreshes() == 1


async def test_an_expired_token_is_refreshed_without_a_person(world: World) -> None:
    world.log_in()
    world.clock.advance(hours=2)
    token = await current(world)
    assert token.expires_at > world.clock.now()
    assert world.refreshes() == 1


async def test_the_lifetime_that_counts_after_a_refresh_is_the_new_one(world: World) -> None:
    world.log_in(expires_at=world.clock.now() + minutes(2))
    await current(world)
    world.clock.advance(minutes=1, seconds=30)
    await current(world)
    world.clock.advance(minutes=30)
    await current(world)
    assert world.refreshes() == 1


async def test_a_wall_clock_set_back_costs_nothing(world: World) -> None:
    token = world.log_in()
    await current(world)
    world.clock.jump(days=-400)
    assert await current(world) == token
    assert world.refreshes() == 0


async def test_a_wall_clock_set_far_ahead_is_an_expired_token(world: World) -> None:
    world.log_in()
    await current(world)
    world.clock.jump(days=200)  # beyond the registration too
    await failing(current(world), LoginRequired)


# -- once ---------------------------------------------------------------------------------------------------------


async def test_one_refresh_serves_all_callers(world: World) -> None:
    world.log_in()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        callers = [asyncio.ensure_future(current(world)) for _ in range(50)]
        await world.held("CreateToken:refresh_token")
    found = await asyncio.gather(*callers)
    assert len({token.access_token for token in found}) == 1
    assert world.refreshes() == 1


async def test_a_caller_that_leaves_does_not_end_the_refresh(world: World) -> None:
    world.log_in()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        leaving, staying = (asyncio.ensure_future(current(world)) for _ in range(2))
        await world.held("CreateToken:refresh_token")
        leaving.cancel()
        await asyncio.wait({leaving})
    assert (await staying).expires_at > world.clock.now()
    assert world.refreshes() == 1


@pytest.fixture
def turned_away(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every attempt to take a lock that somebody holds."""
    found: list[int] = []
    try_lock = file_lock.try_lock

    def observed(descriptor: int) -> bool:
        taken = try_lock(descriptor)
        if not taken:
            found.append(descriptor)
        return taken

    monkeypatch.setattr(file_lock, "try_lock", observed)
    return found


async def test_two_daemons_refresh_once_between_them(world: World, turned_away: list[int]) -> None:
    """The second waits for the lock, reads the file again and makes no call: refresh tokens are used up."""
    world.log_in()
    other = world.new_agent()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        first = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        second = asyncio.ensure_future(other.tokens.current(world.corp))
        await until(lambda: bool(turned_away))
        assert not second.done()
    assert await first == await second
    assert world.refreshes() == 1


async def test_a_refresh_waits_for_the_lock_and_takes_what_lies_there_then(
    world: World, turned_away: list[int]
) -> None:
    world.log_in()
    await current(world)
    world.clock.advance(hours=2)
    with file_lock.locked(world.lock_path("corp"), seconds=1):
        waiting = asyncio.ensure_future(current(world))
        await until(lambda: bool(turned_away))
        assert not waiting.done()
        rival = world.log_in()
    assert await waiting == rival
    assert world.refreshes() == 0


async def test_the_lock_lies_outside_the_cache_directory(world: World) -> None:
    world.log_in()
    world.clock.advance(hours=2)
    await current(world)
    assert sorted(path.suffix for path in world.cache.directory.iterdir()) == [".json", ".json"]
    assert world.lock_path("corp").exists()


async def test_sessions_are_refreshed_side_by_side(world: World) -> None:
    lab = replace(world.corp, name="lab")
    world.log_in()
    world.log_in(lab)
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        both = [asyncio.ensure_future(current(world, session)) for session in (world.corp, lab)]
        await world.held("CreateToken:refresh_token", 2)
    await asyncio.gather(*both)


# -- rivals -------------------------------------------------------------------------------------------------------


async def test_after_invalid_grant_a_rivals_token_in_the_file_is_used(world: World) -> None:
    """The AWS CLI takes no lock: it may spend our refresh token while we are on the way."""
    known = world.log_in()
    await current(world)
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        waiting = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        world.sandbox.revoke(known.refresh_token or "")
        rival = world.log_in()
    assert await waiting == rival
    assert world.refreshes() == 1


async def test_invalid_grant_ends_the_session_and_no_further_call_is_made(world: World) -> None:
    world.log_in()
    await current(world)
    world.sandbox.end_session()
    world.clock.advance(hours=2)
    for _ in range(3):
        await failing(current(world), LoginRequired)
        world.clock.advance(minutes=5)
    assert world.refreshes() == 1


async def test_after_invalid_grant_a_valid_token_is_used_to_its_end(world: World) -> None:
    token = world.log_in()
    await current(world)
    world.sandbox.revoke_refresh_tokens()
    world.clock.advance(minutes=41)
    for _ in range(3):
        assert await current(world) == token
        world.clock.advance(minutes=5)
    assert world.refreshes() == 1


async def test_a_new_login_by_others_makes_refreshing_possible_again(world: World) -> None:
    world.log_in()
    world.sandbox.end_session()
    world.clock.advance(hours=2)
    await failing(current(world), LoginRequired)
    world.log_in()
    world.clock.advance(minutes=50)
    await current(world)
    world.clock.advance(minutes=50)
    await current(world)
    assert world.refreshes() == 2


# -- failing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_a_refresh_that_fails_does_not_stop_a_valid_token_from_being_used(world: World, failure: Fault) -> None:
    token = world.log_in()
    await current(world)
    world.clock.advance(minutes=50)
    world.sandbox.fail("CreateToken:refresh_token", failure, times=None)
    assert await current(world) == token
    assert world.token() == token


async def test_a_refresh_that_hangs_does_not_stop_a_valid_token_from_being_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "PATIENCE", 0.01)
    token = world.log_in()
    await current(world)
    world.clock.advance(minutes=50)
    with world.sandbox.hold("CreateToken:refresh_token"):
        assert await current(world) == token
    await world.settled()
    assert (await current(world)).access_token != token.access_token
    assert world.refreshes() == 1


@pytest.mark.parametrize("failure", ["500", "html", "cut before"])
async def test_an_expired_token_that_cannot_be_refreshed_now_is_an_upstream_failure(world: World, failure: str) -> None:
    """Not a login: a person could do nothing about it."""
    world.log_in()
    world.clock.advance(hours=2)
    world.sandbox.fail("CreateToken:refresh_token", FAILURES[failure])
    message = await failing(current(world), Unavailable)
    assert world.sandbox.url in message
    world.clock.advance(seconds=2)
    assert (await current(world)).expires_at > world.clock.now()


async def test_failing_refreshes_are_tried_at_growing_distances(world: World) -> None:
    token = world.log_in()
    await current(world)
    world.clock.advance(minutes=41)
    world.sandbox.fail("CreateToken:refresh_token", Fault(status=500), times=None)
    for _ in range(600):  # ten minutes of a shell prompt that asks every second
        assert await current(world) == token
        world.clock.advance(seconds=1)
    assert 8 <= world.refreshes() <= 20


async def test_the_last_error_is_told_and_forgotten(world: World) -> None:
    world.log_in()
    await current(world)
    world.clock.advance(minutes=41)
    world.sandbox.fail("CreateToken:refresh_token", Fault(status=503))
    await current(world)
    state = world.agent.tokens.describe(world.corp)
    assert state.state == "refresh_due"
    assert "503" in (state.last_error or "")
    world.clock.advance(minutes=1)
    await current(world)
    state = world.agent.tokens.describe(world.corp)
    assert (state.state, state.last_error) == ("active", None)


async def test_an_expired_token_that_nothing_can_renew_needs_a_login(world: World) -> None:
    world.log_in(refresh_token=None)
    world.clock.advance(hours=2)
    message = await failing(current(world), LoginRequired)
    assert "corp" in message
    assert world.refreshes() == 0


@pytest.mark.parametrize("missing", ["refresh_token", "client_id", "client_secret", "registration_expires_at"])
async def test_half_of_what_a_refresh_needs_is_none(world: World, missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    world.log_in(None, person="alice", **changes)
    world.clock.advance(minutes=50)
    await current(world)
    world.clock.advance(hours=2)
    await failing(current(world), LoginRequired)
    assert world.refreshes() == 0


async def test_an_expired_registration_refreshes_nothing(world: World) -> None:
    world.log_in(registration_expires_at=world.clock.now() + minutes(30))
    world.clock.advance(minutes=50)
    await current(world)
    assert world.refreshes() == 0


async def test_a_legacy_login_is_never_refreshed_without_a_refresh_token(world: World) -> None:
    token = world.log_in(world.legacy)
    assert token.refresh_token is None
    world.clock.advance(minutes=59)
    assert await current(world, world.legacy) == token
    world.clock.advance(minutes=2)
    await failing(current(world, world.legacy), LoginRequired)
    assert world.refreshes() == 0


# -- what is written --------------------------------------------------------------------------------------------------


async def test_an_answer_without_a_refresh_token_keeps_the_old_one(world: World) -> None:
    """RFC 6749 section 6; the AWS CLI loses it."""
    old = world.log_in()
    world.sandbox.rotate_refresh_tokens(False)
    world.clock.advance(hours=1, minutes=1)
    first = await current(world)
    assert first.refresh_token == old.refresh_token == world.token().refresh_token
    world.clock.advance(hours=1, minutes=1)
    assert (await current(world)).access_token != first.access_token


async def test_a_refresh_keeps_the_registration_and_writes_the_configured_session(world: World) -> None:
    old = world.log_in(start_url=None, region=None)
    world.clock.advance(hours=2)
    await current(world)
    new = world.token()
    assert (new.start_url, new.region) == (world.corp.start_url, world.corp.region)
    assert (new.client_id, new.client_secret) == (old.client_id, old.client_secret)
    assert new.registration_expires_at == old.registration_expires_at
    assert new.refresh_token not in {None, old.refresh_token}


async def test_the_rotated_token_is_durable_before_anybody_uses_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between use and write would lose the session."""
    in_use: list[str] = []
    save = TokenCache.save_token

    def observed(cache: TokenCache, session: SsoSession, token: Token) -> None:
        held = world.agent.tokens.look(session)
        in_use.append(held.access_token if held else "")
        save(cache, session, token)

    monkeypatch.setattr(TokenCache, "save_token", observed)
    old = world.log_in()
    world.clock.advance(hours=2)
    assert (await current(world)).access_token != old.access_token
    assert in_use[-1] == old.access_token


async def test_the_token_file_is_private_even_where_it_was_not(world: World) -> None:
    world.log_in()
    world.token_path().chmod(0o644)
    world.clock.advance(hours=2)
    await current(world)
    assert world.token_path().stat().st_mode & 0o777 == 0o600


async def test_a_token_of_another_tool_with_fractions_is_refreshed_like_any_other(world: World) -> None:
    """What is read back must equal what was written, or our own refresh would look like a stranger's login."""
    later = world.clock.now() + timedelta(days=80, milliseconds=123)
    world.log_in(registration_expires_at=later)
    text = world.token_path().read_text()
    exact = later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    world.token_path().write_text(text.replace(later.strftime("%Y-%m-%dT%H:%M:%SZ"), exact))
    await current(world)
    epoch = world.agent.tokens.epoch(world.corp)
    world.clock.advance(hours=2)
    await current(world)
    assert world.refreshes() == 1
    assert world.agent.tokens.epoch(world.corp) == epoch


# -- a disk that refuses ----------------------------------------------------------------------------------------------


def full_disk(path: Path, content: bytes, **_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_does_not_cost_the_login(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = world.log_in()
    world.clock.advance(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", full_disk)
        new = await current(world)
    assert new.access_token != old.access_token
    assert world.token() == old
    assert await current(world) == new


async def test_a_token_that_is_only_in_memory_is_refreshed_and_written_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file holds a spent refresh token by then: it is no rival's news."""
    world.log_in()
    world.clock.advance(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", full_disk)
        in_memory = await current(world)
    world.clock.advance(hours=2)
    newest = await current(world)
    assert newest.access_token != in_memory.access_token
    assert world.token() == newest


async def test_a_superseded_file_that_somebody_touches_stays_superseded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in()
    world.clock.advance(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", full_disk)
        in_memory = await current(world)
    world.token_path().touch()
    assert await current(world) == in_memory


async def test_a_lock_that_cannot_be_made_prevents_no_refresh(world: World) -> None:
    """As with a state directory that is a file, on a full disk, or on one without locks."""
    token = world.log_in()
    await current(world)
    world.state.parent.mkdir(parents=True)
    world.state.write_text("in the way")
    world.clock.advance(minutes=50)
    assert await current(world) != token
    assert world.refreshes() == 1


# -- logouts in between -----------------------------------------------------------------------------------------------


async def test_a_logout_during_a_refresh_is_not_undone_by_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credhelper.agent.logout.LOCK_PATIENCE", 0.01)
    monkeypatch.setattr("credhelper.agent.logging_out.REVOKE_DEADLINE", 0.05)
    world.log_in()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        waiting = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        receipt = await world.agent.logout(world.everything())
    await failing(waiting, LoginRequired)
    await world.settled()
    assert receipt["sessions"][0]["token"] == "deleted"
    assert not world.token_path().exists()
    await failing(current(world), LoginRequired)


async def test_a_logout_between_the_last_look_and_the_write_is_not_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in()
    world.clock.advance(hours=2)
    save = TokenCache.save_token

    def late(cache: TokenCache, session: SsoSession, token: Token) -> None:
        world.agent.tokens.close(session)
        cache.token_path(session).unlink()
        save(cache, session, token)

    monkeypatch.setattr(TokenCache, "save_token", late)
    await failing(current(world), LoginRequired)
    await world.settled()
    assert not world.token_path().exists()


async def test_a_logout_by_another_program_during_a_refresh_is_not_undone(world: World) -> None:
    """`aws sso logout` knows no lock: it deletes the file while our refresh is on the way."""
    world.log_in()
    await current(world)
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        waiting = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        world.token_path().unlink()
    await failing(waiting, LoginRequired)
    assert not world.token_path().exists()


async def test_a_login_by_another_program_during_a_refresh_stays(world: World) -> None:
    world.log_in()
    await current(world)
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        waiting = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        theirs = world.log_in(person="bob")
    assert await waiting == theirs == world.token()


async def test_a_torn_file_is_mended_by_the_refresh(world: World) -> None:
    world.log_in()
    await current(world)
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        waiting = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        world.token_path().write_text('{"accessTok')
    token = await waiting
    assert world.token() == token


async def test_stopping_ends_refreshes_under_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "STOP_PATIENCE", 0.05)
    world.log_in()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        waiting = asyncio.ensure_future(current(world))
        await world.held("CreateToken:refresh_token")
        await world.agent.tokens.stop()
    await asyncio.wait({waiting})


async def test_a_refresh_that_hangs_until_the_deadline_is_an_upstream_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "REFRESH_DEADLINE", 0.05)
    world.log_in()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        assert "no answer within" in await failing(current(world), Unavailable)


async def test_the_result_of_a_refresh_given_up_on_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the thread any more, but the rotated token reaches the file and is found there."""
    monkeypatch.setattr(tokens_module, "REFRESH_DEADLINE", 0.05)
    old = world.log_in()
    world.clock.advance(hours=2)
    with world.sandbox.hold("CreateToken:refresh_token"):
        await failing(current(world), Unavailable)
    await until(lambda: world.token().access_token != old.access_token)
    assert await current(world) == world.token()
    assert world.refreshes() == 1


async def test_workers_that_are_all_busy_delay_no_valid_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "PATIENCE", 0.01)
    monkeypatch.setattr(tokens_module, "STOP_PATIENCE", 0.05)
    token = world.log_in()
    none = Workers("none", 0)
    monkeypatch.setattr(world.agent.tokens, "_workers", none)
    await current(world)
    world.clock.advance(minutes=50)
    assert await current(world) == token
