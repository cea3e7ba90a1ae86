"""Thirty days of a machine's life, and short stories found by search: none in which a promise is broken.

Nothing expired is served, and nothing after a logout; nobody is sent to log in whose login is good; AWS is called no
more often than the rules allow; no refresh token is lost.
"""

import os
import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from credhelper.domain.errors import Refused, RoleNotAssigned, Throttled, Unavailable
from credhelper.domain.model import SsoSession
from tests.simulation.fake_identity_center import Weather
from tests.simulation.machine import CORP, ROLES, SESSIONS, Machine

DAYS = 30
EVENTS = 10_000
SEED = "20260601"

PROFILES = list(ROLES)
HOW = ["atomically", "in place", "slowly", "halfway"]
DECISIONS = ["approves", "denies", "ignores", "interrupts"]
SPOILT = ["", "{", "[]", "{}", '{"accessToken": 1}']
WRONG_BY = [-400 * 86400.0, -86400.0, -3600.0, -300.0, 300.0, 3600.0, 10 * 86400.0, 200 * 86400.0]
TOLD_AFTER = [0.0, 0.0, 2.0, 30.0]
RETRY_AFTER = [None, None, 1.0, 20.0, 3600.0]
SIGN_IN_HOURS = [8.0, 12.0, 72.0, 240.0]


def memory_directory() -> "tempfile.TemporaryDirectory[str]":
    """In memory, where there is such a place: whatever is kept is kept with fsync."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="credhelper-simulation-", dir=place)


# -- stories found by search ------------------------------------------------------------------------------------------

profiles, sessions = st.sampled_from(PROFILES), st.sampled_from(SESSIONS)
told_after = st.sampled_from(TOLD_AFTER)


class Story(RuleBasedStateMachine):
    """A story, the shorter the better, in which a promise is broken: hypothesis looks for one."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.machine = Machine(Path(self._stack.enter_context(memory_directory())), "story")
        self._stack.callback(self.machine.close)

    def teardown(self) -> None:
        """Ends this story."""
        self._stack.close()

    @rule(profile=profiles, waits=st.booleans())
    def ask(self, profile: str, *, waits: bool) -> None:
        """Events, as the machine knows them; so are all that follow."""
        self.machine.ask(profile, waits=waits)

    @rule()
    def ask_for_all(self) -> None:
        self.machine.ask_for_all()

    @rule()
    def look_at_status(self) -> None:
        self.machine.look_at_status()

    @rule(profile=profiles)
    def ask_who_i_am(self, profile: str) -> None:
        self.machine.ask_who_i_am(profile)

    @rule(session=sessions, decision=st.sampled_from(DECISIONS), is_forced=st.booleans())
    def log_in(self, session: SsoSession, decision: str, *, is_forced: bool) -> None:
        self.machine.log_in(session, decision, is_forced=is_forced)

    @rule(session=st.none() | sessions, waits=st.booleans())
    def log_out(self, session: SsoSession | None, *, waits: bool) -> None:
        self.machine.log_out(session, waits=waits)

    @rule(session=sessions, how=st.sampled_from(HOW))
    def log_in_elsewhere(self, session: SsoSession, how: str) -> None:
        self.machine.log_in_elsewhere(session, how)

    @rule(session=sessions, how=st.sampled_from(HOW))
    def refresh_elsewhere(self, session: SsoSession, how: str) -> None:
        self.machine.refresh_elsewhere(session, how)

    @rule(revokes=st.booleans())
    def log_out_elsewhere(self, *, revokes: bool) -> None:
        self.machine.log_out_elsewhere(revokes=revokes)

    @rule(session=sessions, content=st.sampled_from(SPOILT))
    def spoil_the_file(self, session: SsoSession, content: str) -> None:
        self.machine.spoil_the_file(session, content)

    @rule(seconds=st.sampled_from([0.05, 0.5, 5.0, 60.0, 900.0, 2500.0, 4000.0, 40000.0]))
    def live(self, seconds: float) -> None:
        self.machine.live(seconds)

    @rule(seconds=st.sampled_from([60.0, 3000.0, 40000.0]), told_after=told_after)
    def suspend(self, seconds: float, told_after: float) -> None:
        self.machine.suspend(seconds, told_after=told_after)

    @rule(seconds=st.sampled_from([0.0, *WRONG_BY]), told_after=told_after)
    def set_clock(self, seconds: float, told_after: float) -> None:
        self.machine.set_clock(seconds, told_after=told_after)

    @rule()
    def fill_disk(self) -> None:
        self.machine.fill_disk()

    @rule()
    def free_disk(self) -> None:
        self.machine.free_disk()

    @rule(is_killed=st.booleans(), has_keyring=st.booleans(), is_watched=st.booleans())
    def restart(self, *, is_killed: bool, has_keyring: bool, is_watched: bool) -> None:
        self.machine.restart(is_killed=is_killed, has_keyring=has_keyring, is_watched=is_watched)

    @rule(is_locked=st.booleans())
    def lock_keyring(self, *, is_locked: bool) -> None:
        self.machine.lock_keyring(is_locked=is_locked)

    @rule(weather=st.sampled_from(Weather), retry_after=st.sampled_from(RETRY_AFTER), is_told=st.booleans())
    def change_weather(self, weather: Weather, retry_after: float | None, *, is_told: bool) -> None:
        self.machine.change_weather(weather, retry_after, is_told=is_told)

    @rule(session=sessions)
    def revoke_at_aws(self, session: SsoSession) -> None:
        self.machine.revoke_at_aws(session)

    @rule(session=sessions)
    def withdraw_access_token(self, session: SsoSession) -> None:
        self.machine.withdraw_access_token(session)

    @rule(profile=profiles, is_assigned=st.booleans())
    def assign(self, profile: str, *, is_assigned: bool) -> None:
        self.machine.assign(profile, is_assigned=is_assigned)

    @rule(ends_family_on_reuse=st.booleans(), hours=st.sampled_from(SIGN_IN_HOURS))
    def change_rules_of_aws(self, *, ends_family_on_reuse: bool, hours: float) -> None:
        self.machine.change_rules_of_aws(ends_family_on_reuse=ends_family_on_reuse, hours=hours)


def test_no_short_story_breaks_a_promise() -> None:
    """A few hundred events, the same ones each time."""
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


EVERY_EVENT = {name for name, found in vars(Machine).items() if hasattr(found, "__wrapped__")}
EVERY_OUTCOME = {
    "served",
    "LoginRequired",
    "RoleNotAssigned",
    "Throttled",
    "Unavailable",
    "whoami",
    "login logged_in",
    "login login_denied",
    "login login_required",
    "login interrupted",
    "logout",
    "refreshed elsewhere",
}
EVERY_ANSWER = {
    (operation, error)
    for operation in ("refresh", "fetch", "login", "revoke")
    for error in (type(None), Unavailable, Refused)
} | {("fetch", RoleNotAssigned), ("fetch", Throttled), ("refresh", Throttled)}

# -- thirty days ------------------------------------------------------------------------------------------------------

Chance = random.Random
Happening = Callable[[Machine, Chance], None]


def often(weight: float, happening: Happening) -> tuple[float, Happening]:
    """A line of the table below: how often something happens, beside the rest."""
    return weight, happening


def night(machine: Machine, chance: Chance) -> None:
    machine.suspend(chance.uniform(3600, 12 * 3600), told_after=chance.choice(TOLD_AFTER))
    machine.ask_for_all()


def lunch(machine: Machine, chance: Chance) -> None:
    """Everything is in use, and when the machine wakes, everything is due."""
    machine.ask_for_all()
    machine.suspend(chance.uniform(2500, 3300), told_after=chance.choice(TOLD_AFTER))
    machine.live(60)


def outage(machine: Machine, chance: Chance) -> None:
    machine.change_weather(chance.choice(list(Weather)), chance.choice(RETRY_AFTER), is_told=chance.random() < 0.2)


def wrong_clock(machine: Machine, chance: Chance) -> None:
    machine.set_clock(chance.choice(WRONG_BY), told_after=chance.choice(TOLD_AFTER))


def restart(machine: Machine, chance: Chance) -> None:
    machine.restart(
        is_killed=chance.random() < 0.5, has_keyring=chance.random() < 0.7, is_watched=chance.random() < 0.7
    )


def other_rules(machine: Machine, chance: Chance) -> None:
    machine.change_rules_of_aws(ends_family_on_reuse=chance.random() < 0.5, hours=chance.choice(SIGN_IN_HOURS))


def a_login(machine: Machine, chance: Chance) -> None:
    decision = chance.choices(DECISIONS, [6, 1, 1, 1])[0]
    machine.log_in(chance.choice(SESSIONS), decision, is_forced=chance.random() < 0.3)


HAPPENINGS = [
    often(50, lambda machine, chance: machine.ask(chance.choice(PROFILES), waits=chance.random() < 0.8)),
    often(1, lambda machine, _: machine.ask_for_all()),
    often(3, lambda machine, _: machine.look_at_status()),
    often(1, lambda machine, chance: machine.ask_who_i_am(chance.choice(PROFILES))),
    often(5, a_login),
    often(3, lambda machine, chance: machine.log_in_elsewhere(chance.choice(SESSIONS), chance.choice(HOW))),
    often(2, lambda machine, chance: machine.refresh_elsewhere(chance.choice(SESSIONS), chance.choice(HOW))),
    often(0.7, lambda machine, chance: machine.log_out(chance.choice(SESSIONS), waits=chance.random() < 0.5)),
    often(0.2, lambda machine, chance: machine.log_out(None, waits=chance.random() < 0.5)),
    often(0.3, lambda machine, chance: machine.log_out_elsewhere(revokes=chance.random() < 0.5)),
    often(0.5, lambda machine, chance: machine.spoil_the_file(chance.choice(SESSIONS), chance.choice(SPOILT))),
    often(1, lambda machine, chance: machine.live(chance.uniform(600, 8000))),
    often(0.5, night),
    often(0.3, lunch),
    often(1, lambda machine, chance: machine.suspend(chance.uniform(1, 3000), told_after=chance.choice(TOLD_AFTER))),
    often(0.4, wrong_clock),
    often(1, lambda machine, chance: machine.set_clock(0.0, told_after=chance.choice(TOLD_AFTER))),
    often(0.3, lambda machine, _: machine.fill_disk()),
    often(1, lambda machine, _: machine.free_disk()),
    often(1, restart),
    often(0.3, lambda machine, chance: machine.lock_keyring(is_locked=chance.random() < 0.5)),
    often(2, outage),
    often(5, lambda machine, chance: machine.change_weather(Weather.FINE, None, is_told=chance.random() < 0.5)),
    often(0.5, lambda machine, chance: machine.revoke_at_aws(chance.choice(SESSIONS))),
    often(0.5, lambda machine, chance: machine.withdraw_access_token(chance.choice(SESSIONS))),
    often(0.5, lambda machine, chance: machine.assign(chance.choice(PROFILES), is_assigned=False)),
    often(1, lambda machine, chance: machine.assign(chance.choice(PROFILES), is_assigned=True)),
    often(0.2, other_rules),
]


def pause(chance: Chance) -> float:
    """Seconds between two events: often too few for anything to end, mostly a minute or two."""
    return chance.choice((0.0, 0.05, 0.6, chance.expovariate(1 / 20), chance.expovariate(1 / 1500)))


def thirty_days(machine: Machine, seed: str) -> None:
    """Lives them, and longer when too little has happened."""
    chance = Chance(seed)
    begin = machine.clock.true_now()
    weights, happenings = zip(*HAPPENINGS, strict=True)
    machine.log_in_elsewhere(CORP, "atomically")
    while machine.happened.total() < EVENTS or (machine.clock.true_now() - begin).days < DAYS:
        chance.choices(happenings, weights)[0](machine, chance)
        machine.live(pause(chance))


@pytest.mark.long
def test_thirty_days_break_no_promise() -> None:
    """Everything happens that can happen, and often; CREDHELPER_SIMULATION_SEED is another month."""
    seed = os.environ.get("CREDHELPER_SIMULATION_SEED", SEED)
    with memory_directory() as directory, ExitStack() as stack:
        machine = Machine(Path(directory), seed)
        stack.callback(machine.close)
        thirty_days(machine, seed)
    assert machine.happened.total() >= EVENTS
    assert set(machine.happened) == EVERY_EVENT
    assert set(machine.outcomes) >= EVERY_OUTCOME
    tried = {(call.operation, type(call.error)) for call in machine.ledger.calls}
    assert tried >= EVERY_ANSWER, EVERY_ANSWER - tried
