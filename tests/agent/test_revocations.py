"""A sign-in is ended by all that its token allows, and for as long as there is a chance, though AWS is out of reach."""

import logging
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from credhelper.agent import revocations as revocations_module
from credhelper.agent.logout import Outcome, revoke
from credhelper.agent.revocations import FOREVER, Ending, Revocations, Verdict
from credhelper.domain.errors import Refused
from credhelper.domain.model import Token
from credhelper.local.workers import Workers
from credhelper.sandbox.faults import Body, Cut, Fault
from tests.agent.world import World, minutes, until

UNREACHABLE = Fault(cut=Cut.BEFORE)


@pytest.fixture
async def revocations(world: World) -> AsyncIterator[Revocations]:
    found = Revocations(world.api, world.clock, Workers("aws", 8), random.Random(7))
    yield found
    world.sandbox.release()
    await found.stop()


def attempt(world: World, token: Token) -> Ending:
    """One attempt to end the sign-in of a token of session corp."""
    ending = Ending(token, world.corp)
    attempt_again(world, ending)
    return ending


def attempt_again(world: World, ending: Ending) -> Verdict:
    ending.attempt(world.api, world.clock.now())
    return ending.verdict


def has_ended(world: World, token: Token) -> bool:
    """Whether the sign-in is over, by its refresh token too; asks for the last time, for it spends that."""
    try:
        world.api.refresh_token(world.corp, token)
    except Refused:
        return True
    return False


def bearers(world: World) -> list[str]:
    """The access tokens that Logout was called with."""
    return [
        call.request.headers["x-amz-sso_bearer_token"] for call in world.sandbox.recorded if call.operation == "Logout"
    ]


async def tried(world: World, revocations: Revocations) -> None:
    """Lets the next attempts become due, and end."""
    pause = revocations.run_due()
    if pause is not None:
        world.clock.advance(seconds=pause + 0.001)
        revocations.run_due()
    await world.settled()


# -- one attempt ------------------------------------------------------------------------------------------------------


async def test_a_good_token_ends_the_sign_in_without_a_refresh(world: World) -> None:
    token = world.log_in()
    ending = attempt(world, token)
    assert (ending.verdict, ending.error) == (Verdict.ENDED, None)
    assert (world.refreshes(), bearers(world)) == (0, [token.access_token])
    assert has_ended(world, token)


async def test_an_expired_token_is_refreshed_once_and_nothing_of_that_is_saved(world: World) -> None:
    token = world.log_in()
    world.token_path().unlink()
    world.clock.advance(hours=2)
    assert attempt(world, token).verdict is Verdict.ENDED
    assert world.refreshes() == 1
    [bearer] = bearers(world)
    assert bearer != token.access_token
    assert not world.token_path().exists()
    assert has_ended(world, token)


async def test_a_token_that_the_portal_refuses_is_refreshed_once(world: World) -> None:
    token = world.log_in()
    world.sandbox.revoke_access_tokens()
    assert attempt(world, token).verdict is Verdict.ENDED
    assert world.refreshes() == 1
    assert len(bearers(world)) == 2


async def test_a_portal_that_refuses_the_refreshed_token_too_is_believed(world: World) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", Fault(status=401), times=None)
    ending = attempt(world, token)
    assert ending.verdict is Verdict.OVER
    assert (world.refreshes(), len(bearers(world))) == (1, 2)


@pytest.mark.parametrize("hours", [0, 2])
async def test_a_refresh_token_that_is_over_says_that_the_sign_in_had_ended(world: World, hours: int) -> None:
    token = world.log_in()
    world.sandbox.end_session()
    world.clock.advance(hours=hours)
    ending = attempt(world, token)
    assert ending.verdict is Verdict.OVER
    assert "it had ended already" in (ending.error or "")
    assert world.refreshes() == 1


async def test_with_an_expired_registration_the_token_is_tried_as_it_is(world: World) -> None:
    token = world.log_in(registration_expires_at=world.clock.now() + minutes(1))
    world.clock.advance(hours=2)
    ending = attempt(world, token)
    assert ending.verdict is Verdict.OVER
    assert "its token had expired already" in (ending.error or "")
    assert (world.refreshes(), bearers(world)) == (0, [token.access_token])


@pytest.mark.parametrize("missing", ["refresh_token", "client_id", "client_secret", "registration_expires_at"])
async def test_nothing_is_refreshed_without_all_that_it_takes(world: World, missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    token = world.log_in(**changes)
    world.clock.advance(hours=2)
    assert attempt(world, token).verdict is Verdict.OVER
    assert world.refreshes() == 0


async def test_a_client_that_aws_no_longer_knows_cannot_end_the_sign_in(world: World) -> None:
    token = world.log_in()
    world.sandbox.forget_client(token.client_id or "")
    world.clock.advance(hours=2)
    ending = attempt(world, token)
    assert ending.verdict is Verdict.REFUSED
    assert "InvalidClientException" in (ending.error or "")


@pytest.mark.parametrize(
    "fault", [UNREACHABLE, Fault(status=500), Fault(status=503), Fault(status=429), Fault(body=Body.HTML)]
)
async def test_what_is_no_word_of_aws_on_it_leaves_it_open(world: World, fault: Fault) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", fault)
    ending = attempt(world, token)
    assert ending.verdict is Verdict.OPEN
    assert ending.error
    assert attempt_again(world, ending) is Verdict.ENDED
    assert ending.error is None


async def test_a_refresh_that_succeeded_is_not_repeated_when_the_portal_fails_then(world: World) -> None:
    token = world.log_in()
    world.clock.advance(hours=2)
    world.sandbox.fail("Logout", UNREACHABLE)
    ending = attempt(world, token)
    assert ending.verdict is Verdict.OPEN
    assert attempt_again(world, ending) is Verdict.ENDED
    assert world.refreshes() == 1


async def test_what_is_known_is_not_asked_again(world: World) -> None:
    ending = attempt(world, world.log_in())
    attempt_again(world, ending)
    assert len(bearers(world)) == 1


async def test_the_files_region_counts_and_the_sessions_where_it_is_none(world: World) -> None:
    for region in (None, "evil.example/", "us-east-1"):
        assert attempt(world, world.log_in(region=region)).verdict is Verdict.ENDED
    unknown = Ending(world.log_in(region="evil.example/"), None)
    assert attempt_again(world, unknown) is Verdict.REFUSED
    assert "region" in (unknown.error or "")


async def test_no_secret_shows(world: World) -> None:
    token = world.log_in()
    outcome = Outcome(world.corp, world.corp.start_url)
    outcome.end_with(token)
    world.sandbox.fail("Logout", Fault(status=403))
    revoke(world.api, outcome, world.clock.now())
    shown = repr(outcome) + repr(outcome.endings) + str(outcome.receipt())
    for secret in (token.access_token, token.refresh_token, token.client_secret):
        assert str(secret) not in shown


async def test_a_token_that_no_header_can_carry_is_none(world: World) -> None:
    outcome = Outcome(world.corp, world.corp.start_url, token="deleted")
    for text in ("ä", "a\nb", "a\r\nHost: evil.example"):
        outcome.end_with(replace(world.log_in(), access_token=text))
    revoke(world.api, outcome, world.clock.now())
    assert outcome.revoked is None
    assert bearers(world) == []


# -- in the background ------------------------------------------------------------------------------------------------


async def test_it_is_tried_again_until_it_succeeds(world: World, revocations: Revocations) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", UNREACHABLE, times=4)
    assert revocations.add(attempt(world, token))
    for _ in range(3):
        await tried(world, revocations)
        assert len(revocations) == 1
    await tried(world, revocations)
    assert len(revocations) == 0
    assert revocations.run_due() is None
    assert bearers(world) == [token.access_token] * 5
    assert has_ended(world, token)


async def test_the_pauses_grow_from_five_seconds_to_ten_minutes(world: World, revocations: Revocations) -> None:
    token = world.log_in(expires_at=world.clock.now() + timedelta(hours=8))
    world.sandbox.fail("Logout", UNREACHABLE, times=None)
    revocations.add(attempt(world, token))
    pauses = []
    for _ in range(10):
        pauses.append(revocations.run_due() or 0.0)
        await tried(world, revocations)
    for number, pause in enumerate(pauses):
        usual = min(5 * 2**number, 600)
        assert 0.75 * usual <= pause <= 1.25 * usual
    assert len({pause / min(5 * 2**number, 600) for number, pause in enumerate(pauses)}) == 10, "no jitter"


async def test_nothing_is_asked_before_its_time(world: World, revocations: Revocations) -> None:
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, world.log_in()))
    world.clock.advance(seconds=3.7)
    assert revocations.run_due()
    await world.settled()
    assert len(bearers(world)) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_the_pause_that_aws_asks_for_is_kept(world: World, revocations: Revocations, status: int) -> None:
    world.sandbox.fail("Logout", Fault(status=status, retry_after=120))
    revocations.add(attempt(world, world.log_in()))
    assert revocations.run_due() == 120
    revocations.retry_now()
    assert revocations.run_due() == 120
    await tried(world, revocations)
    assert len(revocations) == 0


async def test_an_absurd_pause_is_not_believed(world: World, revocations: Revocations) -> None:
    world.sandbox.fail("Logout", Fault(status=429, retry_after=1_000_000))
    revocations.add(attempt(world, world.log_in()))
    assert revocations.run_due() == 600


async def test_a_change_of_the_network_brings_the_next_attempt_at_once(world: World, revocations: Revocations) -> None:
    world.sandbox.fail("Logout", UNREACHABLE, times=5)
    revocations.add(attempt(world, world.log_in()))
    for _ in range(4):
        await tried(world, revocations)
    revocations.retry_now()
    assert revocations.run_due() is None
    await world.settled()
    assert len(revocations) == 0


async def test_it_is_given_up_when_the_token_has_expired(world: World, revocations: Revocations) -> None:
    token = world.log_in(refresh_token=None)
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, token))
    world.clock.suspend(hours=1)
    assert revocations.run_due() is None
    assert len(revocations) == 0
    assert len(bearers(world)) == 1


async def test_whoever_waits_is_woken_for_the_end_too(world: World, revocations: Revocations) -> None:
    token = world.log_in(refresh_token=None, expires_at=world.clock.now() + timedelta(seconds=2))
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, token))
    assert revocations.run_due() == pytest.approx(2)


async def test_a_wall_clock_that_is_set_ahead_ends_no_chance(world: World, revocations: Revocations) -> None:
    token = world.log_in(refresh_token=None)
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, token))
    world.clock.jump(days=3)
    await tried(world, revocations)
    assert bearers(world) == [token.access_token] * 2
    assert len(revocations) == 0


async def test_a_token_that_has_expired_meanwhile_is_refreshed_to_end_the_sign_in(
    world: World, revocations: Revocations
) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, token))
    world.clock.advance(hours=3)
    await tried(world, revocations)
    assert len(revocations) == 0
    assert world.refreshes() == 1
    assert has_ended(world, token)


async def test_after_a_refresh_the_new_tokens_end_is_the_end_of_the_chance(
    world: World, revocations: Revocations
) -> None:
    token = world.log_in()
    world.clock.advance(hours=2)
    world.sandbox.fail("Logout", UNREACHABLE, times=None)
    revocations.add(attempt(world, token))
    await tried(world, revocations)
    assert len(revocations) == 1
    world.clock.advance(hours=1)
    assert revocations.run_due() is None
    assert len(revocations) == 0
    assert world.refreshes() == 1


async def test_a_token_whose_end_nobody_knows_is_tried_for_as_long_as_a_sign_in_can_live(
    world: World, revocations: Revocations
) -> None:
    token = world.log_in(expires_at=FOREVER, refresh_token=None)
    world.sandbox.fail("Logout", UNREACHABLE)
    assert revocations.add(attempt(world, replace(token, expires_at=FOREVER)))
    world.clock.suspend(days=89)
    assert revocations.run_due() is not None
    world.clock.suspend(days=1)
    assert revocations.run_due() is None
    assert len(revocations) == 0


async def test_a_refusal_ends_it(world: World, revocations: Revocations, caplog: pytest.LogCaptureFixture) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", UNREACHABLE)
    world.sandbox.fail("Logout", Fault(status=403))
    revocations.add(attempt(world, token))
    await tried(world, revocations)
    assert len(revocations) == 0
    assert "cannot be ended" in caplog.text
    assert "ForbiddenException" in caplog.text


async def test_what_is_settled_or_has_no_chance_is_not_taken(world: World, revocations: Revocations) -> None:
    assert not revocations.add(attempt(world, world.log_in()))
    token = world.log_in(refresh_token=None)
    world.clock.advance(hours=1)
    world.sandbox.fail("Logout", UNREACHABLE)
    assert not revocations.add(attempt(world, token))
    assert len(revocations) == 0


async def test_the_same_token_counts_once(world: World, revocations: Revocations) -> None:
    """As when a person logs out again on a disk that is read-only."""
    token = world.log_in()
    world.sandbox.fail("Logout", UNREACHABLE, times=2)
    for _ in range(2):
        assert revocations.add(attempt(world, token))
    assert len(revocations) == 1


async def test_whoever_upkeeps_is_told_of_what_comes_and_of_what_has_been_tried(
    world: World, revocations: Revocations
) -> None:
    told = []
    revocations.on_attention = lambda: told.append(len(revocations))
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, world.log_in()))
    assert told == [1]
    await tried(world, revocations)
    assert told == [1, 0]


async def test_a_hanging_portal_costs_one_attempt_and_holds_up_no_other(
    world: World, revocations: Revocations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations_module, "ATTEMPT_DEADLINE", 0.05)
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, world.log_in()))
    with world.sandbox.hold("Logout"):
        await tried(world, revocations)
        assert len(revocations) == 1
        assert revocations.run_due()


async def test_an_attempt_that_was_given_up_on_and_succeeds_later_is_not_repeated(
    world: World, revocations: Revocations, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sandbox.fail("Logout", UNREACHABLE)
    ending = attempt(world, world.log_in())
    revocations.add(ending)
    with monkeypatch.context() as patch, world.sandbox.hold("Logout") as hold:
        patch.setattr(revocations_module, "ATTEMPT_DEADLINE", 0.05)
        await tried(world, revocations)
        await until(lambda: hold.waiting == 1)
    await until(lambda: ending.verdict is Verdict.ENDED)
    calls = len(bearers(world))
    await tried(world, revocations)
    assert len(revocations) == 0
    assert len(bearers(world)) == calls


async def test_stopping_waits_for_no_attempt_and_forgets_every_token(world: World, revocations: Revocations) -> None:
    world.sandbox.fail("Logout", UNREACHABLE)
    revocations.add(attempt(world, world.log_in()))
    with world.sandbox.hold("Logout"):
        world.clock.advance(seconds=10)
        revocations.run_due()
        await world.held("Logout")
        await revocations.stop()
    assert len(revocations) == 0
    assert revocations.run_due() is None


async def test_the_log_tells_of_success_and_failure_and_no_secret(
    world: World, revocations: Revocations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "credhelper")
    token = world.log_in()
    world.sandbox.fail("Logout", UNREACHABLE, times=2)
    revocations.add(attempt(world, token))
    await tried(world, revocations)
    assert "could not be ended yet" in caplog.text
    await tried(world, revocations)
    assert "ended the sign-in to corp" in caplog.text
    for secret in (token.access_token, token.refresh_token, token.client_secret):
        assert str(secret) not in caplog.text


# -- from a logout ----------------------------------------------------------------------------------------------------


async def test_the_receipt_says_that_the_daemon_goes_on_trying(world: World, revocations: Revocations) -> None:
    outcome = Outcome(world.corp, world.corp.start_url, token="deleted")
    outcome.end_with(world.log_in())
    world.sandbox.fail("Logout", UNREACHABLE)
    revoke(world.api, outcome, world.clock.now())
    assert "goes on" not in outcome.receipt()["error"]
    outcome.hand_over(revocations)
    assert outcome.receipt()["revoked"] is False
    assert outcome.receipt()["error"].endswith("; the daemon goes on trying")
    assert len(revocations) == 1


async def test_what_has_ended_or_was_refused_is_not_handed_over(world: World, revocations: Revocations) -> None:
    for fault in (None, Fault(status=403)):
        outcome = Outcome(world.corp, world.corp.start_url, token="deleted")
        outcome.end_with(world.log_in())
        if fault:
            world.sandbox.fail("Logout", fault)
        revoke(world.api, outcome, world.clock.now())
        outcome.hand_over(revocations)
        assert "goes on" not in (outcome.receipt()["error"] or "")
    assert len(revocations) == 0


async def test_a_logout_out_of_reach_of_aws_is_made_good_by_the_daemon(world: World) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", UNREACHABLE)
    receipt = await world.agent.logout(world.everything())
    assert receipt["sessions"][0]["revoked"] is False
    assert "goes on trying" in receipt["sessions"][0]["error"]
    await tried(world, world.agent.revocations)
    assert len(world.agent.revocations) == 0
    assert has_ended(world, token)
