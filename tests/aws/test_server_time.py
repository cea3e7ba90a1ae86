"""AWS's clock: how its answers' dates tell it, and that a machine's wrong clock spoils no credentials."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.server_time import ServerTime, http_date
from credhelper.domain.errors import CredhelperError, RoleNotAssigned, Unavailable
from credhelper.domain.model import Flow, Role, SsoSession, Token
from credhelper.sandbox.faults import Body, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.aws.wire import Peer, Wire
from tests.clocks import HandClock

HALF = timedelta(seconds=0.5)  # what a Date cuts off, on average


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def note(time: ServerTime, clock: HandClock, *, off: float = 0.0, round_trip: float = 0.0) -> None:
    """A call that ends now; its Date was written in its middle by a clock that is ``off`` (seconds) the true time."""
    written = clock.true_now() + timedelta(seconds=off - round_trip / 2)
    time.note(written.replace(microsecond=0), clock.boottime() - round_trip, clock.boottime())


# -- a measurement ----------------------------------------------------------------------------------------------------


def test_before_the_first_answer_the_machines_clock_is_all_there_is(clock: HandClock) -> None:
    time = ServerTime(clock)
    assert time.skew is None
    assert time.now() == clock.now()


@pytest.mark.parametrize("off", [-1.4, -0.9, 0.0, 0.9, 1.9])
def test_clocks_that_agree_within_two_seconds_are_the_same(clock: HandClock, off: float) -> None:
    clock.advance(milliseconds=700)
    time = ServerTime(clock)
    note(time, clock, off=off)
    assert time.skew == timedelta()
    assert time.now() == clock.now()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_machine_an_hour_off_knows_awss_time(clock: HandClock, hours: int) -> None:
    clock.jump(hours=hours)
    time = ServerTime(clock)
    note(time, clock)
    assert time.now() == clock.true_now() + HALF
    assert time.skew == timedelta(hours=-hours) + HALF


def test_awss_time_goes_on_through_jumps_and_suspends(clock: HandClock) -> None:
    time = ServerTime(clock)
    note(time, clock)
    changes: list[Callable[[], None]] = [
        lambda: clock.jump(hours=1),
        lambda: clock.advance(minutes=10),
        lambda: clock.jump(days=-3),
        lambda: clock.suspend(hours=9),
    ]
    for change in changes:
        change()
        assert time.now() == clock.true_now() + HALF
    clock.jump(hours=-1, days=3)  # set right
    assert time.now() == clock.true_now()
    assert time.skew == timedelta()


def test_a_wrong_clock_that_is_set_right_is_believed_at_once(clock: HandClock) -> None:
    clock.jump(hours=2)
    time = ServerTime(clock)
    note(time, clock)
    clock.jump(hours=-2)
    assert time.skew == timedelta()


def test_the_estimate_stands_in_the_middle_of_the_call(clock: HandClock) -> None:
    clock.jump(hours=1)
    time = ServerTime(clock)
    note(time, clock, round_trip=4.0)
    assert time.now() == clock.true_now() + HALF


def test_a_measurement_that_could_be_the_same_changes_nothing(clock: HandClock) -> None:
    clock.jump(hours=1)
    time = ServerTime(clock)
    note(time, clock)
    before = time.skew
    for off, round_trip in ((1.0, 0.0), (-2.0, 0.0), (3.0, 4.0), (-3.0, 4.0)):
        note(time, clock, off=off, round_trip=round_trip)
        assert time.skew == before
    note(time, clock, off=3.0)
    assert time.skew == (before or timedelta()) + timedelta(seconds=3)


@pytest.mark.parametrize("round_trip", [5.1, 3600.0, -1.0])
def test_an_answer_that_took_too_long_tells_no_time(clock: HandClock, round_trip: float) -> None:
    time = ServerTime(clock)
    note(time, clock, off=7200.0, round_trip=round_trip)
    assert time.skew is None


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_a_date_at_the_end_of_the_calendar_tells_no_time(clock: HandClock, year: int) -> None:
    time = ServerTime(clock)
    time.note(datetime(year, 1, 1, tzinfo=UTC), 0.0, 0.0)
    assert time.skew is None


def test_many_threads_may_note_at_once(clock: HandClock, caplog: pytest.LogCaptureFixture) -> None:
    clock.jump(hours=-1)
    time, together = ServerTime(clock), threading.Barrier(8)

    def work() -> None:
        together.wait()
        for _ in range(200):
            note(time, clock)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.now() == clock.true_now() + HALF
    assert len(caplog.records) == 1


# -- what is said of it -----------------------------------------------------------------------------------------------


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [f"{record.levelname}: {record.getMessage()}" for record in caplog.records]
    caplog.clear()
    return found


def test_a_clock_that_is_off_is_told_once_and_again_when_it_changes(
    clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="credhelper")
    time = ServerTime(clock)
    for jump, words in (
        (timedelta(minutes=-4), []),
        (timedelta(minutes=-8), ["WARNING: this machine's clock is 12 min behind AWS's"]),
        (timedelta(), []),
        (timedelta(minutes=-4), []),
        (timedelta(hours=5), ["WARNING: this machine's clock is 4 h 44 min ahead of AWS's"]),
        (timedelta(days=20), ["WARNING: this machine's clock is 20 days ahead of AWS's"]),
        (timedelta(days=-20, hours=-5, minutes=16), ["INFO: this machine's clock agrees with AWS's again"]),
        (timedelta(), []),
    ):
        clock.jump(seconds=jump.total_seconds())
        note(time, clock)
        note(time, clock)
        assert said(caplog) == words


# -- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_all_three_forms_of_an_http_date_are_read(header: str) -> None:
    assert http_date(header) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


NO_DATES = [
    None,
    "",
    " ",
    "yesterday",
    "0",
    "1780304400",
    "2026-06-01T09:00:00Z",
    "Mon, 32 Jun 2026 09:00:00 GMT",
    "Mon, 01 Jun 2026 25:00:00 GMT",
    "Mon, 01 Jun 99999 09:00:00 GMT",
    "Mon, 01 Jun 0000 09:00:00 GMT",
    "Mon, 01 Jun 2026",
    "Mon, 01 Jun 2026 09:00:00 +9999999",
    "01 Jun 2026 09:00:00 GMT",
    "Mon, 01 Jun 2026 09:00:00 UTC",
    "Mon, 01 Jun 2026 09:00:00 GMT, and more",
    "\u0661 Jun 2026 09:00:00 GMT",
]


@pytest.mark.parametrize("header", NO_DATES)
def test_what_is_no_date_is_none(header: str | None) -> None:
    assert http_date(header) is None


@given(st.text(max_size=70) | st.text(alphabet="MonJu0123456789 :,+-GT()", max_size=70))
def test_no_text_is_too_odd_to_be_asked_for_its_date(header: str) -> None:
    moment = http_date(header)
    assert moment is None or moment.tzinfo is UTC


# -- at the border ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(clock=clock.time, lifetimes=Lifetimes(interval=0)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def session(sandbox: Sandbox) -> SsoSession:
    return SsoSession("corp", sandbox.start_url, "us-east-1", ("sso:account:access",))


@pytest.fixture
def role(session: SsoSession) -> Role:
    return Role(session, "111122223333", "Developer")


def log_in(api: IdentityCenter, session: SsoSession, sandbox: Sandbox) -> Token:
    registration = api.register_client(session, Flow.DEVICE_CODE)
    device = api.start_device_authorization(session, registration)
    sandbox.approve(device.user_code)
    issued = api.poll_device(session, registration, device.device_code)
    return Token(issued.access_token, issued.expires_at)


@pytest.mark.parametrize("hours", [-30, -1, 0, 1, 30])
def test_credentials_are_good_whatever_the_machines_clock_says(
    clock: HandClock, sandbox: Sandbox, session: SsoSession, role: Role, hours: int
) -> None:
    clock.jump(hours=hours)
    api = IdentityCenter(clock)
    token = log_in(api, session, sandbox)
    for jump in (0, 3, -5):
        clock.jump(hours=jump)
        credentials = api.get_role_credentials(role, token.access_token)
        assert credentials.expires_at == clock.true_now() + timedelta(hours=1)
        assert abs(credentials.obtained_at - clock.true_now()) <= HALF


def test_the_first_answer_of_all_tells_the_time_by_which_it_is_judged(
    clock: HandClock, sandbox: Sandbox, session: SsoSession, role: Role
) -> None:
    token = log_in(IdentityCenter(clock), session, sandbox)
    clock.jump(hours=6)
    assert IdentityCenter(clock).get_role_credentials(role, token.access_token)


def test_credentials_that_are_over_by_awss_clock_are_none(
    clock: HandClock, sandbox: Sandbox, session: SsoSession, role: Role
) -> None:
    clock.jump(hours=-6)
    api = IdentityCenter(clock)
    token = log_in(api, session, sandbox)
    past = int(clock.true_now().timestamp() - 60) * 1000
    sandbox.fail("GetRoleCredentials", Fault(members={"roleCredentials.expiration": past}))
    with pytest.raises(Unavailable, match="already expired"):
        api.get_role_credentials(role, token.access_token)


def test_a_token_ends_by_the_machines_clock_for_other_tools_read_its_file(
    clock: HandClock, sandbox: Sandbox, session: SsoSession
) -> None:
    clock.jump(hours=6)
    api = IdentityCenter(clock)
    assert log_in(api, session, sandbox).expires_at == clock.now() + timedelta(hours=1)
    assert api.server_time.now() == clock.true_now() + HALF


def test_awss_errors_tell_the_time_too(clock: HandClock, sandbox: Sandbox, role: Role, session: SsoSession) -> None:
    token = log_in(IdentityCenter(clock), session, sandbox)
    clock.jump(hours=1)
    for fault in (Fault(status=429), Fault(status=403), Fault(status=500)):
        api = IdentityCenter(clock)
        sandbox.fail("GetRoleCredentials", fault)
        with pytest.raises(CredhelperError):
            api.get_role_credentials(role, token.access_token)
        assert api.server_time.skew == timedelta(hours=-1) + HALF


@pytest.mark.parametrize("status", [None, 403, 404, 503, 511])
def test_a_captive_portals_page_tells_no_time(
    clock: HandClock, sandbox: Sandbox, role: Role, status: int | None
) -> None:
    clock.jump(hours=1)
    api = IdentityCenter(clock)
    sandbox.fail("GetRoleCredentials", Fault(body=Body.HTML, status=status))
    with pytest.raises((Unavailable, RoleNotAssigned)):
        api.get_role_credentials(role, "some token")
    assert api.server_time.skew is None


def answering(status: str, body: bytes, date: str | None) -> Callable[[Peer], None]:
    dated = "" if date is None else f"Date: {date}\r\n"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{dated}Content-Length: {len(body)}\r\n\r\n"
    return lambda peer: peer.say(head.encode("utf-8") + body)


@pytest.mark.parametrize("status", ["302 Found", "403 Forbidden", "407 Auth", "429 Slow", "502 Bad", "503 Busy"])
def test_a_proxys_error_tells_no_time(clock: HandClock, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    with Wire(answering(status, b"", "Mon, 01 Jun 2026 12:00:00 GMT")) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        api = IdentityCenter(clock)
        with pytest.raises(CredhelperError):
            api.get_role_credentials(Role(SsoSession("corp", "https://c", "us-east-1"), "1" * 12, "R"), "some token")
    assert api.server_time.skew is None


@pytest.mark.parametrize("date", NO_DATES)
def test_an_answer_without_a_good_date_is_as_good(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    found = {"accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T"}
    found |= {"expiration": (clock.now() + timedelta(hours=1)).timestamp() * 1000}  # type: ignore[dict-item]
    with Wire(answering("200 OK", json.dumps({"roleCredentials": found}).encode(), date)) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        api = IdentityCenter(clock)
        role = Role(SsoSession("corp", "https://c", "us-east-1"), "1" * 12, "R")
        assert api.get_role_credentials(role, "some token").lifetime == timedelta(hours=1)
    assert api.server_time.skew is None
