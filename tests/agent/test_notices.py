"""What the desktop is told, when, and how often: a person sits there who wants to work."""

import asyncio
import json
import logging
import random
import threading
import time as system_time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from credhelper.agent import notices
from credhelper.agent.agent import Agent
from credhelper.agent.callers import MOST_NAMES, Callers, listed
from credhelper.agent.cognito_store import Stored
from credhelper.agent.notices import Kind, label_of, quiet_for
from credhelper.domain.errors import LoginRequired
from credhelper.domain.model import CognitoTokens, Flow, Guests, IssuedToken, PoolRole, SsoSession, Token
from credhelper.local import places
from credhelper.local.desktop import DesktopUnavailable, Notice
from credhelper.local.peers import Caller
from credhelper.local.settings import Settings
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from tests.agent.pool_world import NOTES, PoolWorld
from tests.agent.world import World, failing, minutes, until
from tests.clocks import HandClock

REFRESH = "CreateToken:refresh_token"
COMMAND = "credhelper login --sso-session corp"


class Desk:
    """A desktop that keeps what it is shown; it can be locked, absent, or hang."""

    def __init__(self) -> None:
        self.shown: list[Notice] = []
        self.withdrawn: list[int] = []
        self.is_screen_locked = False
        self.asked = 0
        self.trouble: str | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def show(self, notice: Notice) -> int:
        """See Desktop."""
        self.may_answer.wait()
        if self.trouble:
            raise DesktopUnavailable(self.trouble)
        self.shown.append(notice)
        return notice.replaces or len(self.shown)

    def ask(self, question: Notice, _: float, on_shown: Callable[[int], None]) -> bool | None:
        """See Desktop. Nobody answers."""
        on_shown(self.show(question))
        return None

    def withdraw(self, number: int) -> None:
        """See Desktop."""
        if self.trouble:
            raise DesktopUnavailable(self.trouble)
        self.withdrawn.append(number)

    def is_locked(self) -> bool:
        """See Desktop."""
        self.asked += 1
        return self.is_screen_locked

    @property
    def summaries(self) -> list[str]:
        """The first line of each."""
        return [notice.summary for notice in self.shown]


class Nobody:
    """A watcher that tells of nothing."""

    def add(self, path: object) -> None:
        """Nothing."""

    discard = add


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.may_answer.set()


@pytest.fixture(autouse=True)
def _people_live_by_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    system_time.tzset()
    yield
    monkeypatch.undo()
    system_time.tzset()


@pytest.fixture
def lifetimes() -> Lifetimes:
    return Lifetimes(interval=0, sign_in_session=90 * 24 * 3600)


def sit_down(world: World, desk: Desk, **settings: Any) -> Agent:
    """A daemon with a desktop, in the place of the one before."""
    world.agent = Agent(
        world.home,
        world.state,
        api=world.api,
        clock=world.clock,
        desktop=desk,
        rng=random.Random(1),
        settings=Settings(**settings),
    )
    world.agent.begin(Nobody())
    return world.agent


def log_in_for(world: World, hours: float = 1, session: SsoSession | None = None) -> None:
    """A login that cannot be refreshed."""
    ends_at = world.clock.now() + minutes(60 * hours)
    world.log_in(session, refresh_token=None, expires_at=ends_at)


async def use(world: World, name: str | None, profile: str = "dev") -> None:
    """A program asks for a role, as over the socket."""
    await world.hand_out(world.fields(profile), Caller(name=name))


# -- a session that ends ----------------------------------------------------------------------------------------------


async def test_the_end_of_a_session_that_cannot_be_refreshed_is_told_ten_minutes_before(
    world: World, desk: Desk
) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=49, seconds=59)
    assert desk.shown == []
    await world.live(seconds=2)
    assert desk.shown == [
        Notice("AWS session corp ends at 10:00", f"It cannot be refreshed.\nTo go on, run: {COMMAND}")
    ]


async def test_its_end_is_told_too_in_the_place_of_the_first_notice_and_then_there_is_silence(
    world: World, desk: Desk
) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await world.live(hours=1, seconds=1)
    assert desk.summaries == ["AWS session corp ends at 10:00", "AWS session corp has ended"]
    assert desk.shown[1].body == f"To go on, run: {COMMAND}"
    assert desk.shown[1].replaces == 1
    for _ in range(20):
        await failing(use(world, "aws"), LoginRequired)
        await world.live(minutes=30)
    assert len(desk.shown) == 2


async def test_it_names_who_used_the_session_in_the_last_hour(world: World, desk: Desk) -> None:
    log_in_for(world, 2)
    sit_down(world, desk)
    await use(world, "long-ago")
    await world.live(hours=1)
    for name in ("node", "python3", "terraform", "aws", None):
        await use(world, name)
    await world.live(minutes=50)
    assert "aws, terraform and 2 others used it in the last hour.\n" in desk.shown[0].body


async def test_a_session_that_can_be_refreshed_is_never_told_of(world: World, desk: Desk) -> None:
    world.log_in()
    sit_down(world, desk)
    for _ in range(24):
        await use(world, "aws")
        await world.live(hours=1)
    assert world.refreshes() > 20
    assert desk.shown == []
    assert desk.asked == 0


async def test_a_refresh_token_that_aws_refuses_makes_an_end_of_it(world: World, desk: Desk) -> None:
    world.log_in()
    sit_down(world, desk)
    world.sandbox.fail(REFRESH, Fault(status=400, error="InvalidGrantException"), times=None)
    await world.live(minutes=49)
    assert world.refreshes() == 1
    assert desk.shown == []
    await world.live(minutes=12)
    assert desk.summaries == ["AWS session corp ends at 10:00", "AWS session corp has ended"]


async def test_a_sign_in_that_the_portal_no_longer_accepts_has_ended_there_and_then(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    world.sandbox.fail("GetRoleCredentials", Fault(status=401, error="UnauthorizedException"), times=None)
    await failing(use(world, "aws"), LoginRequired)
    await world.live(seconds=1)
    assert desk.summaries == ["AWS session corp has ended"]
    assert desk.shown[0].body.startswith("aws used it in the last hour.\n")
    await world.live(hours=2)
    assert len(desk.shown) == 1


async def test_refreshes_that_go_on_failing_are_told_and_end_in_no_call_for_a_login(world: World, desk: Desk) -> None:
    world.log_in()
    sit_down(world, desk)
    world.sandbox.fail(REFRESH, Fault(status=500), times=None)
    await world.live(minutes=51)
    assert desk.summaries == ["AWS session corp ends at 10:00"]
    assert desk.shown[0].body.startswith("Refreshing it fails so far.\n")
    await world.live(hours=1)
    assert len(desk.shown) == 1, "a refresh can still bring it back"


async def test_a_network_that_is_late_after_a_suspend_is_nobodys_trouble(world: World, desk: Desk) -> None:
    world.log_in()
    sit_down(world, desk)
    await world.live(minutes=30)
    world.sandbox.fail(REFRESH, Fault(status=500), times=3)
    world.clock.suspend(minutes=25)
    await world.live(minutes=5)
    assert world.refreshes() == 4
    assert desk.shown == []


# -- what would annoy -------------------------------------------------------------------------------------------------


async def test_a_session_that_nobody_has_logged_in_to_is_no_news_even_if_it_is_asked_for(
    world: World, desk: Desk
) -> None:
    sit_down(world, desk)
    for _ in range(3):
        await failing(use(world, "aws"), LoginRequired)
        await world.live(hours=1)
    assert desk.shown == []


async def test_whoever_logs_out_is_not_told_to_log_in(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await use(world, "aws")
    await world.agent.logout(world.everything())
    await failing(use(world, "aws"), LoginRequired)
    await world.live(hours=2)
    assert desk.shown == []


async def test_a_session_that_had_ended_before_the_start_is_told_when_somebody_asks_for_it_and_once(
    world: World, desk: Desk
) -> None:
    log_in_for(world)
    world.clock.advance(days=2)
    sit_down(world, desk)
    await world.live(hours=1)
    assert desk.shown == []
    for _ in range(3):
        await failing(use(world, "terraform"), LoginRequired)
        await world.live(minutes=1)
    assert desk.summaries == ["AWS session corp has ended"]
    assert "terraform used it in the last hour" in desk.shown[0].body


async def test_a_restart_repeats_nothing(world: World, desk: Desk) -> None:
    log_in_for(world)
    for _ in range(3):
        sit_down(world, desk)
        await world.live(minutes=51 if not desk.shown else 2)
        await world.agent.stop()
    assert len(desk.shown) == 1
    for _ in range(3):
        sit_down(world, desk)
        await world.live(minutes=10)
        await failing(use(world, "aws"), LoginRequired)
        await world.live(minutes=1)
        await world.agent.stop()
    assert desk.summaries == ["AWS session corp ends at 10:00", "AWS session corp has ended"]


async def test_what_was_told_is_noted_without_a_word_of_whose_session_it_is(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=51)
    path = places.told_notices(world.state)
    assert path.stat().st_mode & 0o777 == 0o600
    (ends,) = json.loads(path.read_text()).values()
    assert ends == {"ending": datetime(2026, 6, 1, 10, tzinfo=UTC).timestamp()}
    assert "corp" not in path.read_text()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 1}', b'{"a": {"ended": "x"}}', b"\xff", b"[" * 9999])
async def test_a_note_that_makes_no_sense_is_as_good_as_none(world: World, desk: Desk, content: bytes) -> None:
    path = places.told_notices(world.state)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=51)
    assert len(desk.shown) == 1


async def test_a_note_that_cannot_be_written_keeps_no_notice_back(world: World, desk: Desk) -> None:
    places.told_notices(world.state).mkdir(parents=True)
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=59)
    assert len(desk.shown) == 1


async def test_after_a_login_the_next_end_is_told_again(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=61)
    log_in_for(world)
    world.agent.files_have_changed(frozenset({world.token_path()}), frozenset())
    await world.live(minutes=45)
    assert len(desk.shown) == 2
    await world.live(minutes=6)
    assert desk.summaries[2:] == ["AWS session corp ends at 11:01"]


async def test_a_login_right_after_the_first_is_another_one(world: World, desk: Desk) -> None:
    log_in_for(world, 0.1)
    sit_down(world, desk)
    await world.live(seconds=1)
    log_in_for(world, 0.1)
    world.agent.files_have_changed(frozenset({world.token_path()}), frozenset())
    await world.live(seconds=1)
    assert len(desk.shown) == 2
    assert desk.withdrawn == [1]


async def test_an_end_that_moves_by_a_second_with_each_refresh_is_the_same_end(world: World, desk: Desk) -> None:
    ends_at = world.clock.now() + minutes(60)
    world.log_in()
    sit_down(world, desk)
    refresh = world.api.refresh_token
    wobble = iter(range(1, 1000))

    def refreshed(session: SsoSession, token: Token) -> IssuedToken:
        issued = refresh(session, token)
        return replace(issued, expires_at=ends_at + timedelta(seconds=next(wobble) % 2))

    world.api.refresh_token = refreshed  # type: ignore[method-assign]  # the sign-in ends at a fixed moment
    await world.live(minutes=58)
    assert world.refreshes() > 3
    world.sandbox.fail(REFRESH, Fault(status=400, error="InvalidGrantException"), times=None)
    await world.live(minutes=10)
    assert desk.summaries[-1] == "AWS session corp has ended"
    assert len(desk.shown) <= 2


async def test_a_notice_that_is_no_longer_true_is_taken_away(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=61)
    assert desk.withdrawn == []
    log_in_for(world)
    world.agent.files_have_changed(frozenset({world.token_path()}), frozenset())
    await world.live(minutes=1)
    assert desk.withdrawn == [1]
    await world.live(minutes=50)
    assert desk.shown[2].replaces == 0, "the earlier one is gone"
    await world.agent.logout(world.everything())
    await world.live(minutes=1)
    assert desk.withdrawn == [1, 3]


async def test_a_notice_that_cannot_be_taken_away_stays(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    await world.live(minutes=51)
    desk.trouble = "there is no session bus"
    await world.agent.logout(world.everything())
    await world.live(minutes=1)
    assert desk.withdrawn == []


async def test_nothing_is_said_while_a_person_is_logging_in(world: World, desk: Desk) -> None:
    log_in_for(world)
    agent = sit_down(world, desk)
    await world.live(minutes=40)
    login = agent.logins.join(world.corp, Flow.AUTHORIZATION_CODE, force=True)
    assert login is not None
    await until(lambda: bool(login.events))
    agent.upkeep.run_due()
    world.clock.advance(minutes=11)
    pause = agent.upkeep.run_due()
    assert pause is not None
    assert 1 < pause <= 45
    assert desk.asked == 0
    await login.cancel()
    await world.live(minutes=1)
    assert len(desk.shown) == 1


async def test_each_session_speaks_for_itself(world: World, desk: Desk) -> None:
    log_in_for(world)
    log_in_for(world, session=world.legacy)
    sit_down(world, desk)
    await use(world, "aws")
    await use(world, "node", "legacy")
    await world.live(minutes=51)
    corp, legacy = sorted(desk.shown, key=lambda notice: "credhelper login --profile" in notice.body)
    assert "aws used it" in corp.body
    assert COMMAND in corp.body
    assert "node used it" in legacy.body
    assert legacy.body.endswith("To go on, run: credhelper login --profile legacy")
    assert (corp.replaces, legacy.replaces) == (0, 0)


# -- when it is kept --------------------------------------------------------------------------------------------------


async def test_while_the_screen_is_locked_it_is_kept_and_shown_as_soon_as_an_unlock_is_told(
    world: World, desk: Desk
) -> None:
    log_in_for(world)
    agent = sit_down(world, desk)
    desk.is_screen_locked = True
    await world.live(minutes=52)
    assert desk.shown == []
    agent.notices.screen_changed()
    await world.live(seconds=0)
    assert desk.shown == [], "it was a lock, or another screen"
    desk.is_screen_locked = False
    agent.notices.screen_changed()
    await world.live(seconds=0)
    assert desk.summaries == ["AWS session corp ends at 10:00"]


async def test_an_unlock_that_nobody_tells_is_found_out_within_a_minute(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk)
    desk.is_screen_locked = True
    await world.live(minutes=52)
    desk.is_screen_locked = False
    await world.live(minutes=1)
    assert len(desk.shown) == 1


async def test_an_unlock_in_the_moment_of_asking_is_not_lost(world: World, desk: Desk) -> None:
    log_in_for(world)
    agent = sit_down(world, desk)
    answers = iter([True, False])

    def answer() -> bool:
        locked = next(answers)
        if locked:
            loop.call_soon_threadsafe(agent.notices.screen_changed)
        return locked

    loop = asyncio.get_running_loop()
    desk.is_locked = answer  # type: ignore[method-assign]  # it unlocks while it is asked
    await world.live(minutes=50, seconds=1)
    assert len(desk.shown) == 1


async def test_after_a_night_only_what_is_still_true_is_said(world: World, desk: Desk) -> None:
    log_in_for(world, 1)
    log_in_for(world, 1, world.legacy)
    agent = sit_down(world, desk)
    desk.is_screen_locked = True
    await world.live(hours=8)
    assert desk.asked < 8 * 3600 / 40, "an idle daemon sleeps"
    log_in_for(world, 9, world.legacy)
    desk.is_screen_locked = False
    agent.notices.screen_changed()
    await world.live(seconds=0)
    assert desk.summaries == ["AWS session corp has ended"]


async def test_a_screen_that_changes_is_of_no_interest_while_there_is_nothing_to_say(world: World, desk: Desk) -> None:
    world.log_in()
    agent = sit_down(world, desk)
    await world.live(minutes=1)
    woken: list[None] = []
    agent.notices.on_attention = lambda: woken.append(None)
    agent.notices.screen_changed()
    assert woken == []
    assert desk.asked == 0


async def test_in_quiet_hours_it_is_kept_until_they_end(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk, notify_quiet_hours=((time(9, 45), time(9, 55)),))
    await world.live(minutes=54, seconds=59)
    assert desk.asked == 0
    await world.live(seconds=2)
    assert len(desk.shown) == 1


async def test_what_is_no_longer_true_after_the_quiet_hours_is_not_said(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk, notify_quiet_hours=((time(9, 30), time(10, 30)),))
    await world.live(minutes=80)
    log_in_for(world)
    await world.live(minutes=30)
    assert desk.shown == []


@pytest.mark.parametrize(
    ("spans", "now", "hours"),
    [
        ([(22, 7)], 23, 8),
        ([(22, 7)], 3, 4),
        ([(22, 7)], 7, 0),
        ([(22, 7)], 12, 0),
        ([(22, 7)], 22, 9),
        ([(12, 13)], 12, 1),
        ([(12, 13), (12, 14)], 12, 2),
        ([(12, 12)], 12, 0),
        ([], 12, 0),
    ],
)
def test_quiet_hours_may_go_past_midnight(spans: list[tuple[int, int]], now: int, hours: int) -> None:
    chosen = tuple((time(begin), time(until)) for begin, until in spans)
    assert quiet_for(chosen, datetime(2026, 6, 1, now, tzinfo=UTC)) == hours * 3600


def test_a_night_in_which_the_clocks_go_forward_is_an_hour_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    system_time.tzset()
    evening = datetime(2026, 3, 28, 22, tzinfo=UTC).astimezone()  # 23:00 there
    assert quiet_for(((time(22), time(7)),), evening) == 7 * 3600


@pytest.mark.parametrize(("minute_of_utc", "left"), [(10, 20), (70, 20), (100, 0)])
def test_quiet_hours_that_end_in_the_hour_that_comes_twice_end_in_it_each_time(
    monkeypatch: pytest.MonkeyPatch, minute_of_utc: int, left: int
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    system_time.tzset()
    now = datetime(2026, 10, 25, tzinfo=UTC) + minutes(minute_of_utc)  # from 02:10 in summer time on
    assert quiet_for(((time(22), time(2, 30)),), now.astimezone()) == left * 60


async def test_who_wants_no_notices_gets_none_and_a_reload_changes_that(world: World, desk: Desk) -> None:
    log_in_for(world)
    agent = sit_down(world, desk, notify_enabled=False)
    await world.live(minutes=55)
    assert desk.asked == 0
    agent.notices.apply(Settings())
    await world.live(seconds=0)
    assert len(desk.shown) == 1


async def test_zero_minutes_before_means_only_afterwards(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk, notify_before_minutes=0)
    await world.live(hours=2)
    assert desk.summaries == ["AWS session corp has ended"]


async def test_another_time_before_is_kept_to(world: World, desk: Desk) -> None:
    log_in_for(world)
    sit_down(world, desk, notify_before_minutes=30)
    await world.live(minutes=29, seconds=59)
    assert desk.shown == []
    await world.live(seconds=2)
    assert len(desk.shown) == 1


# -- a desktop that is not there --------------------------------------------------------------------------------------


async def test_without_a_desktop_one_line_says_so_and_it_is_tried_ever_more_rarely(
    world: World, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "credhelper")
    log_in_for(world)
    agent = sit_down(world, desk)
    desk.trouble = "there is no session bus"
    await world.live(hours=24)
    assert caplog.text.count("no notice can be shown: there is no session bus") == 1
    assert 24 < desk.asked < 36
    desk.trouble = None
    agent.notices.screen_changed()  # somebody has come
    await world.live(seconds=0)
    assert desk.summaries == ["AWS session corp has ended"]


async def test_an_agent_without_a_desktop_has_nothing_to_do_for_one(world: World) -> None:
    log_in_for(world)
    world.agent.begin(Nobody())
    await world.live(hours=2)
    assert not places.told_notices(world.state).exists()


async def test_a_desktop_that_hangs_delays_nobody_and_what_it_may_have_shown_is_not_repeated(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "SHOW_DEADLINE", 0.3)
    log_in_for(world)
    agent = sit_down(world, desk)
    desk.may_answer.clear()
    await world.live(minutes=49)
    world.clock.advance(minutes=2)
    agent.upkeep.run_due()
    assert agent.notices._flights.has("show")
    await use(world, "aws")  # it is the desktop that hangs
    await world.live(minutes=5)
    assert not agent.notices._flights.has("show")
    desk.may_answer.set()
    await until(lambda: len(desk.shown) == 1)
    await world.live(minutes=3)
    assert len(desk.shown) == 1


async def test_a_fault_of_ours_does_not_spin(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bool:
        desk.asked += 1
        raise ZeroDivisionError

    log_in_for(world)
    sit_down(world, desk)
    monkeypatch.setattr(desk, "is_locked", broken)
    await world.live(minutes=55)
    assert 1 <= desk.asked <= 6
    assert "a fault in the background work" in caplog.text


async def test_what_is_shown_can_be_counted(world: World, desk: Desk) -> None:
    log_in_for(world)
    agent = sit_down(world, desk)
    counted: list[Kind] = []
    agent.notices.on_shown = counted.append
    await world.live(hours=1, seconds=1)
    assert counted == [Kind.ENDING, Kind.ENDED]


# -- the words --------------------------------------------------------------------------------------------------------


def test_an_end_on_another_day_says_which() -> None:
    now = datetime(2026, 6, 1, 23, 55, tzinfo=UTC)
    assert notices._local(now + minutes(4), now) == "23:59"
    assert notices._local(now + minutes(10), now) == "00:05 on Tuesday"


@pytest.mark.parametrize(
    ("start_url", "label"),
    [
        ("https://corp.awsapps.com/start/", "corp.awsapps.com/start"),
        ("https://user:secret@corp.example/start?token=secret#secret", "corp.example/start"),
        ("https://[bad", "without a name"),
        ("", "without a name"),
        ("https://corp.example/" + "a" * 200, "corp.example/" + "a" * 47 + "…"),
    ],
)
def test_of_a_start_url_only_host_and_path_are_shown(start_url: str, label: str) -> None:
    assert label_of(SsoSession(None, start_url, "us-east-1")) == label


def test_a_name_is_shown_without_what_a_screen_would_obey() -> None:
    assert label_of(SsoSession("co\u202erp\n", "", "us-east-1")) == "co rp "


async def test_a_command_is_quoted_for_a_shell(world: World, desk: Desk) -> None:
    spaced = replace(world.corp, name="my corp")
    world.write_config(world.config.read_text().replace("corp", "'my corp'").replace("= 'my corp'", "= my corp"))
    log_in_for(world, session=spaced)
    sit_down(world, desk)
    await world.live(minutes=51)
    assert desk.shown[0].body.endswith("credhelper login --sso-session 'my corp'")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d"], "a, b and 2 others"),
    ],
)
def test_names_are_listed_as_people_do(names: list[str], said: str) -> None:
    assert listed(names) == said


def test_callers_are_remembered_for_an_hour_the_latest_first_and_not_without_end() -> None:
    clock = HandClock()
    callers, session = Callers(clock), SsoSession("corp", "", "us-east-1")
    for number in range(1000):
        callers.note(session, f"program-{number}")
    assert len(callers.lately(session)) == MOST_NAMES
    clock.suspend(minutes=59)
    callers.note(session, "program-990")
    assert callers.lately(session)[:2] == ["program-990", "program-999"]
    clock.suspend(minutes=2)
    assert callers.lately(session) == ["program-990"]
    assert callers.lately(replace(session, name="other")) == []


# -- identities in pools ----------------------------------------------------------------------------------------------

POOL, OLD, NEW = (f"us-east-1:{digit * 8}-1111-4111-8111-{digit * 12}" for digit in "123")


async def test_that_somebody_is_another_in_an_identity_pool_now_is_told_once(world: World, desk: Desk) -> None:
    agent = sit_down(world, desk)
    agent.notices.new_identity(PoolRole(POOL, Guests(POOL)), OLD, NEW)
    await world.live(minutes=5)
    assert desk.summaries == ["A new identity in an AWS identity pool"]
    assert all(each in desk.shown[0].body for each in (POOL, OLD, NEW, "out of reach"))


async def test_a_new_identity_waits_for_the_screen_to_be_unlocked(world: World, desk: Desk) -> None:
    agent = sit_down(world, desk)
    desk.is_screen_locked = True
    agent.notices.new_identity(PoolRole(POOL, Guests(POOL)), OLD, NEW)
    await world.live(minutes=2)
    assert desk.shown == []
    desk.is_screen_locked = False
    await world.live(minutes=2)
    assert len(desk.shown) == 1


async def test_a_new_identity_is_told_again_where_the_desktop_was_not_there(world: World, desk: Desk) -> None:
    agent = sit_down(world, desk)
    desk.trouble = "gone"
    agent.notices.new_identity(PoolRole(POOL, Guests(POOL)), OLD, NEW)
    await world.live(minutes=1)
    desk.trouble = None
    await world.live(minutes=5)
    assert len(desk.shown) == 1


# -- Cognito logins ---------------------------------------------------------------------------------------------------


async def test_the_end_of_a_cognito_login_is_told_with_the_command_that_brings_it_back(
    world: World, desk: Desk
) -> None:
    agent = sit_down(world, desk, cognito_login=(NOTES,))
    ends_at = world.clock.now() + minutes(60)
    tokens = CognitoTokens("an ID token", ends_at, NOTES.provider, "issuer", "me", client_id=NOTES.client_id)
    agent.cognito_tokens.adopt_login(NOTES, Stored(tokens, "a sign-in"), is_saved=False)
    await world.live(minutes=51)
    await world.live(minutes=10)
    assert desk.summaries == ["Cognito login notes ends at 10:00", "Cognito login notes has ended"]
    assert desk.shown[1].body == "To go on, run: credhelper login --cognito-login notes"


async def test_a_cognito_login_that_can_be_refreshed_is_never_told_of(world: World, desk: Desk) -> None:
    pools = PoolWorld(world, desktop=desk)
    world.agent = pools.agent
    pools.log_in()
    await world.live(hours=3)
    assert desk.shown == []
