"""What is counted: exactly what was done, by how it ended; and how the daemon says that it is."""

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from credhelper.agent.agent import Agent
from credhelper.agent.counts import BOUNDS, Counts, Durations
from credhelper.agent.gate import Wanted
from credhelper.agent.health import Trouble, without_daemon
from credhelper.agent.shown_login import ShownLogin
from credhelper.agent.upkeep import Upkeep
from credhelper.domain.errors import CredhelperError, LoginRequired, RoleNotAssigned, Unavailable
from credhelper.domain.model import Flow
from credhelper.endpoints import exposition
from credhelper.local.watch import Coverage
from credhelper.sandbox.faults import Fault
from tests.agent.world import World, failing, minutes, until
from tests.clocks import HandClock

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def samples(agent: Agent) -> Samples:
    """Every sample of a scrape by its name and labels."""
    text = exposition.render(agent.counts, await agent.health.vitals())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def counted(world: World, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    return (await samples(world.agent)).get((name, tuple(sorted(labels.items()))), 0.0)


# -- the numbers themselves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "part"), [(0.0, 0), (0.001, 0), (0.0011, 1), (0.5, 8), (10.0, 12), (10.5, 13), (3600.0, 13)]
)
def test_a_duration_falls_into_the_first_part_that_is_long_enough(seconds: float, part: int) -> None:
    durations = Durations()
    durations.add(seconds)
    assert durations.parts.index(1) == part
    assert durations.up_to() == [0] * part + [1] * (len(BOUNDS) + 1 - part)
    assert (durations.count, durations.sum) == (1, seconds)


@pytest.mark.parametrize(
    ("op", "outcome", "at_once", "cache"),
    [
        ("get", "ok", True, "hit"),
        ("get", "ok", False, "miss"),
        ("get", "login_required", False, "miss"),
        ("get", "config", True, "none"),
        ("status", "ok", False, "none"),
    ],
)
def test_a_request_is_a_hit_a_miss_or_neither(op: str, outcome: str, at_once: bool, cache: str) -> None:
    counts = Counts()
    counts.answered(op, outcome, 0.002, at_once=at_once)
    assert counts.requests == {(op, outcome): 1}
    assert {key: found.count for key, found in counts.answers.items()} == {(op, cache): 1}


def test_no_call_is_lost_when_threads_count_at_once() -> None:
    counts = Counts()

    def call() -> None:
        for _ in range(2000):
            counts.call("Logout", "ok", 0.01)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    calls, durations = counts.calls()
    assert calls == {("Logout", "ok"): 8000}
    assert durations["Logout"].count == 8000


def test_what_calls_are_told_as_does_not_change_any_more() -> None:
    counts = Counts()
    counts.call("Logout", "ok", 0.01)
    calls, durations = counts.calls()
    counts.call("Logout", "ok", 0.01)
    assert calls == {("Logout", "ok"): 1}
    assert durations["Logout"].count == 1


# -- what is counted ------------------------------------------------------------------------------------------------


async def test_a_fetch_is_counted_once_however_many_wait_for_it_and_a_hit_never(world: World) -> None:
    world.log_in()
    await asyncio.gather(*(world.agent.hand_out(Wanted(world.fields())) for _ in range(5)))
    for _ in range(7):
        assert world.agent.hand_out_at_once(Wanted(world.fields()))
    assert world.agent.counts.fetches["ok"] == world.fetches() == 1
    assert await counted(world, "credhelper_role_fetches_total", outcome="ok") == 1
    assert await counted(world, "credhelper_role_credentials", state="fresh") == 1


@pytest.mark.parametrize(
    ("fault", "outcome", "calls"),
    [
        (Fault(status=503, retry_after=3), "unavailable", 1),
        (Fault(status=429), "throttled", 1),
        (Fault(error="ForbiddenException", status=403), "role_not_assigned", 1),
        (Fault(status=500), "unavailable", 2),
    ],
    ids=["busy", "throttled", "not assigned", "tried twice"],
)
async def test_a_fetch_that_fails_counts_by_how_it_failed(world: World, fault: Fault, outcome: str, calls: int) -> None:
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", fault, times=None)
    await failing(world.agent.hand_out(Wanted(world.fields())), CredhelperError)
    assert await counted(world, "credhelper_role_fetches_total", outcome=outcome) == 1
    labels = {"operation": "GetRoleCredentials", "outcome": outcome}
    assert await counted(world, "credhelper_upstream_calls_total", **labels) == calls
    name = "credhelper_upstream_call_duration_seconds_count"
    assert await counted(world, name, operation="GetRoleCredentials") == calls


async def test_without_a_login_nothing_is_asked_of_aws(world: World) -> None:
    await failing(world.agent.hand_out(Wanted(world.fields())), LoginRequired)
    assert world.agent.counts.fetches["login_required"] == 1
    assert world.agent.counts.calls() == ({}, {})


async def test_calls_are_counted_as_aws_counts_them(world: World) -> None:
    world.log_in()
    await world.get()
    await world.agent.whoami(Wanted(world.fields()))
    await world.live(hours=3)
    await world.agent.logout(world.fields())
    calls, durations = world.agent.counts.calls()
    by_operation = Counter[str]()
    for (operation, _), number in calls.items():
        by_operation[operation] += number
    theirs = {name: number for name, number in world.sandbox.calls.items() if ":" not in name}
    assert dict(by_operation) == theirs
    assert {operation: found.count for operation, found in durations.items()} == theirs


async def test_polls_before_a_person_has_decided_are_no_refusals(world: World) -> None:
    login, _ = world.agent.login(world.fields("legacy") | {"flow": "device_code"})
    assert login is not None

    def then(number: int) -> None:
        if number == 3:
            world.sandbox.approve(login.events[0]["user_code"])

    world.sleep.then = then
    assert [event async for event in login.follow()][-1]["event"] == "logged_in"
    calls, _ = world.agent.counts.calls()
    assert calls["CreateToken", "pending"] == 2
    assert calls["CreateToken", "ok"] == 1
    assert ("CreateToken", "refused") not in calls
    assert world.agent.counts.logins["ok"] == 1


async def test_a_login_is_counted_once_for_all_who_follow_it_and_by_how_it_ends(world: World) -> None:
    fields = world.fields("legacy") | {"flow": "device_code"}
    first, _ = world.agent.login(fields)
    second, _ = world.agent.login(fields)
    assert first is not None
    assert first is second
    world.sleep.then = lambda _: world.sandbox.deny(first.events[0]["user_code"])
    await asyncio.gather(*(_to_the_end(first) for _ in range(2)))
    world.sleep.then = lambda _: None
    third, _ = world.agent.login(fields)
    assert third is not None
    await until(lambda: bool(third.events))
    await third.cancel()
    counts = world.agent.counts.logins
    assert counts == {"ok": 0, "login_denied": 1, "login_required": 1}


async def _to_the_end(login: ShownLogin) -> None:
    async for _ in login.follow():
        pass


REFRESHES: dict[str, tuple[Fault | None, str]] = {
    "done": (None, "ok"),
    "refused": (Fault(error="InvalidGrantException"), "refused"),
    "throttled": (Fault(status=429, retry_after=1), "throttled"),
    "unavailable": (Fault(status=503), "unavailable"),
}


@pytest.mark.parametrize("case", REFRESHES)
async def test_a_refresh_counts_by_how_it_ended(world: World, case: str) -> None:
    fault, outcome = REFRESHES[case]
    world.log_in()
    world.agent.tokens.take_up(world.corp)
    if fault is not None:
        world.sandbox.fail("CreateToken:refresh_token", fault)
    world.clock.advance(minutes=55)
    world.agent.tokens.run_due()
    await world.settled()
    assert {name: number for name, number in world.agent.counts.refreshes.items() if number} == {outcome: 1}
    assert await counted(world, "credhelper_token_refreshes_total", outcome=outcome) == 1


async def test_a_refresh_that_another_program_made_first_is_not_needed(world: World) -> None:
    token = world.log_in()
    other = world.new_agent()
    for agent in (world.agent, other):
        agent.tokens.take_up(world.corp)
    world.clock.advance(minutes=55)
    other.tokens.run_due()
    await world.settled()
    assert world.token() != token
    # Nobody has told this one of the change: what it remembers is the token before.
    world.agent.tokens.is_vouched_for = lambda _: True
    world.agent.tokens.run_due()
    await world.settled()
    assert world.agent.counts.refreshes["not_needed"] == 1
    assert other.counts.refreshes["ok"] == 1


async def test_a_refresh_that_a_logout_overtook_is_neither_good_nor_bad(world: World) -> None:
    world.log_in()
    world.agent.tokens.take_up(world.corp)
    world.clock.advance(minutes=55)
    world.sandbox.hold("CreateToken")
    world.agent.tokens.run_due()
    await world.held("CreateToken")
    world.agent.tokens.close(world.corp)
    world.sandbox.release()
    await until(lambda: world.agent.counts.refreshes["logged_out"] == 1)
    world.agent.tokens.reopen(world.corp)
    assert world.agent.counts.refreshes["ok"] == 0


async def test_a_logout_counts_by_what_it_left(world: World) -> None:
    world.log_in()
    await world.agent.logout(world.fields())
    assert world.agent.counts.logouts == {"ok": 1, "done_in_part": 0}
    path = world.token_path()
    path.mkdir()
    (path / "something").touch()
    await world.agent.logout(world.everything())
    assert world.agent.counts.logouts == {"ok": 1, "done_in_part": 1}


# -- what there is now ----------------------------------------------------------------------------------------------


async def test_sessions_and_roles_are_told_by_state(world: World) -> None:
    world.log_in()
    await world.get("dev")
    await world.get("readonly")
    await failing(world.agent.hand_out(Wanted(world.fields("legacy"))), LoginRequired)
    assert (await world.agent.health.vitals()).sessions == {
        "active": 1,
        "refresh_due": 0,
        "expired": 0,
        "logged_out": 1,
    }
    assert await counted(world, "credhelper_role_credentials", state="fresh") == 2
    world.clock.advance(hours=2)
    world.sandbox.fail("CreateToken:refresh_token", Fault(error="InvalidGrantException"), times=None)
    await failing(world.agent.hand_out(Wanted(world.fields())), LoginRequired)
    assert await counted(world, "credhelper_role_credentials", state="fresh") == 0
    assert await counted(world, "credhelper_sso_sessions", state="active") == 0
    assert await counted(world, "credhelper_sso_sessions", state="expired") == 1


async def test_nothing_that_is_told_names_a_person_an_account_a_role_a_session_or_a_file(world: World) -> None:
    world.log_in()
    await world.get()
    world.sandbox.fail("CreateToken:refresh_token", Fault(error="InvalidGrantException"), times=None)
    await world.live(hours=9)
    world.agent.health.asks.append(lambda: Trouble("something", f"a path: {world.home}"))
    text = exposition.render(world.agent.counts, await world.agent.health.vitals())
    is_healthy, document = await world.agent.health.public_document()
    assert is_healthy
    assert document["troubles"] == ["something", "sessions whose token is in trouble: 1"]
    for told in (text, json.dumps(document)):
        for secret in ("alice", "corp", "111122223333", "Developer", str(world.home), world.sandbox.start_url):
            assert secret not in told, secret


async def test_the_daemons_own_user_is_told_which_session_is_in_trouble(world: World) -> None:
    world.log_in()
    world.agent.tokens.take_up(world.corp)
    world.sandbox.fail("CreateToken:refresh_token", Fault(status=503), times=None)
    world.clock.advance(minutes=55)
    world.agent.tokens.run_due()
    await world.settled()
    [trouble] = (await world.agent.health.document())["troubles"]
    assert trouble.startswith("sessions whose token is in trouble: 1: corp: ")
    assert "503" in trouble


async def test_only_what_a_restart_mends_makes_it_unhealthy(world: World) -> None:
    health = world.agent.health
    for trouble, is_healthy in ((Trouble("a small one"), True), (Trouble("the end", is_fatal=True), False)):
        health.asks = [lambda trouble=trouble: trouble]  # type: ignore[misc]
        assert (await health.document())["healthy"] is is_healthy
        assert (await health.public_document())[0] is is_healthy
        assert await counted(world, "credhelper_healthy") == is_healthy
        assert await counted(world, "credhelper_troubles") == 1


TROUBLES: dict[str, tuple[Callable[[World], object], str]] = {
    "an event loop that was held up": (lambda world: world.agent.health.lag.note(1.5), "held up for 1.5 s"),
    "files without a watch": (
        lambda world: setattr(world.agent.health, "coverage", lambda: Coverage(3, 0, 2)),
        "looked at on each use: 2",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_it_says_what_troubles_it(world: World, trouble: str) -> None:
    cause, words = TROUBLES[trouble]
    assert (await world.agent.health.document())["troubles"] == []
    cause(world)
    [told] = (await world.agent.health.document())["troubles"]
    assert words in told


async def test_a_sign_in_that_could_not_be_ended_is_a_trouble_until_it_is(world: World) -> None:
    world.log_in()
    world.sandbox.fail("Logout", Fault(status=503), times=2)
    await world.agent.logout(world.fields())
    assert await counted(world, "credhelper_revocations_pending") == 1
    assert "could not be told to end yet: 1" in (await world.agent.health.document())["troubles"][0]
    await world.live(minutes=5)
    assert await counted(world, "credhelper_revocations_pending") == 0


async def test_a_clock_that_is_wrong_is_told_with_its_side(world: World) -> None:
    world.clock.jump(minutes=-10)
    world.log_in()
    assert 599 < await counted(world, "credhelper_clock_skew_seconds") < 601
    [told] = (await world.agent.health.document())["troubles"]
    assert told.endswith("s behind AWS's")


@pytest.mark.parametrize(
    ("coverage", "watching"),
    [(None, None), (Coverage(5, 0, 0), "events"), (Coverage(4, 1, 0), "polling"), (Coverage(4, 0, 1), "polling")],
)
async def test_how_files_are_watched_is_told(world: World, coverage: Coverage | None, watching: str | None) -> None:
    world.agent.health.coverage = lambda: coverage
    assert (await world.agent.health.document())["watching"] == watching
    told = {how: await counted(world, "credhelper_watched_paths", how=how) for how in ("events", "polling", "on_use")}
    assert list(told.values()) == ([0, 0, 0] if coverage is None else [*_numbers(coverage)])


def _numbers(coverage: Coverage) -> tuple[int, int, int]:
    return coverage.told, coverage.polled, coverage.unwatched


async def test_uptime_counts_the_hours_of_a_suspend(world: World) -> None:
    started = world.clock.true_now().timestamp()
    world.clock.suspend(hours=2)
    world.clock.jump(minutes=5)
    assert (await world.agent.health.document())["uptime_seconds"] == 7200
    assert await counted(world, "credhelper_start_time_seconds") == started


async def test_a_keyring_that_was_switched_off_on_purpose_troubles_nobody_and_one_that_fails_does(
    world: World, tmp_path: Path
) -> None:
    assert (await world.agent.health.document())["troubles"] == []

    class Broken:
        seconds = 0.1

        def key(self, name: str) -> bytes:
            raise AssertionError(name)

        def delete(self, name: str) -> None:
            raise AssertionError(name)

    agent = Agent(tmp_path, tmp_path, api=world.api, clock=world.clock, keychain=Broken(), rng=random.Random(1))
    document = await agent.health.document()
    await agent.stop()
    assert document["vault"] == "memory"
    assert document["troubles"] == [
        "role credentials do not outlive a restart of the daemon: the keyring has not answered yet"
    ]


async def test_the_delay_of_each_result_that_comes_home_is_counted(world: World) -> None:
    before = world.agent.counts.late.count
    world.log_in()
    await world.get()
    assert world.agent.counts.late.count > before
    assert await counted(world, "credhelper_event_loop_lag_seconds") == world.agent.health.lag.worst()


async def test_a_round_of_background_work_that_begins_late_is_noticed() -> None:
    told: list[float] = []

    class Restless:
        def run_due(self) -> float | None:
            return 0.0

        def retry_now(self) -> None:
            raise AssertionError

    upkeep = Upkeep((Restless(),), HandClock())
    upkeep.on_delay = told.append
    running = asyncio.ensure_future(upkeep.run())
    await until(lambda: bool(told))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told[0] >= 0


async def test_without_a_daemon_the_document_has_the_same_keys(world: World) -> None:
    assert list(without_daemon("why")) == list(await world.agent.health.document())


async def test_every_metric_says_what_it_is(world: World) -> None:
    world.log_in()
    await world.get()
    text = exposition.render(world.agent.counts, await world.agent.health.vitals())
    families = list(text_string_to_metric_families(text))
    assert len(families) > 20
    for family in families:
        assert family.name.startswith(("credhelper_", "process_"))
        assert family.documentation.endswith(".")
        assert len(family.samples) <= 15 * 20, family.name
    assert len({family.name for family in families}) == len(families)


async def test_an_error_keeps_its_meaning_for_who_asked(world: World) -> None:
    """What is counted on the way must not change it."""
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", Fault(error="ForbiddenException", status=403))
    assert "not assigned" in await failing(world.agent.hand_out(Wanted(world.fields())), RoleNotAssigned)
    token = replace(world.token(), expires_at=world.clock.now() + minutes(1))
    world.save(token)
    world.sandbox.fail("CreateToken:refresh_token", Fault(status=500), times=None)
    world.clock.advance(minutes=2)
    await failing(world.agent.hand_out(Wanted(world.fields("readonly"))), Unavailable)
    registration = await asyncio.to_thread(world.api.register_client, world.corp, Flow.DEVICE_CODE)
    assert registration.client_id
