"""Role credentials: fetched once for everybody, served while good, never beyond their end or their login's."""

import asyncio
import os
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from credhelper.agent import agent as agent_module
from credhelper.agent import role_credentials
from credhelper.agent.gate import Wanted
from credhelper.domain.documents import parse_timestamp
from credhelper.domain.errors import (
    ConfigError,
    CredhelperError,
    DaemonUnreachable,
    LoginRequired,
    RoleNotAssigned,
    Throttled,
    Unavailable,
    UpstreamError,
    UsageError,
)
from credhelper.domain.model import Flow
from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from tests.agent.world import ACCOUNT, World, failing, minutes

Document = dict[str, Any]

TRANSIENT = {
    "500": Fault(status=500),
    "503": Fault(status=503),
    "429": Fault(status=429, retry_after=1),
    "html": Fault(body=Body.HTML),
    "redirect": Fault(body=Body.REDIRECT),
    "empty": Fault(body=Body.EMPTY),
    "truncated": Fault(body=Body.TRUNCATED),
    "list": Fault(body=Body.LIST),
    "no credentials": Fault(body=Body.EMPTY_OBJECT),
    "half the credentials": Fault(without=("roleCredentials.secretAccessKey",)),
    "already over": Fault(members={"roleCredentials.expiration": 1000}),
    "cut before": Fault(cut=Cut.BEFORE),
    "cut in the middle": Fault(cut=Cut.MIDDLE),
    "a reason of tomorrow": Fault(error="TeapotException", status=400),
}


@pytest.fixture
def lifetimes() -> Lifetimes:
    """Tokens outlive role credentials here, so that the two renewals do not mix."""
    return Lifetimes(interval=0, access_token=8 * 3600)


def expires(document: Document) -> datetime:
    return parse_timestamp(document["Expiration"])


async def refusal(world: World, profile: str = "dev") -> CredhelperError:
    try:
        await world.get(profile)
    except CredhelperError as error:
        return error
    raise AssertionError("credentials were served")


# -- one call for everybody -------------------------------------------------------------------------------------------


async def test_the_document_is_what_a_credential_process_prints(world: World) -> None:
    world.log_in()
    document = await world.get()
    assert list(document) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId"]
    assert document["Version"] == 1
    assert document["AccountId"] == ACCOUNT
    assert expires(document) == world.clock.now() + minutes(60)


async def test_all_callers_of_a_cold_role_cost_one_call(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("GetRoleCredentials"):
        callers = [asyncio.ensure_future(world.get()) for _ in range(100)]
        await world.held("GetRoleCredentials")
    documents = await asyncio.gather(*callers)
    assert len({document["AccessKeyId"] for document in documents}) == 1
    assert world.fetches() == 1


async def test_a_warm_role_costs_no_call_and_is_answered_at_once(world: World) -> None:
    world.log_in()
    first = await world.get()
    calls = world.sandbox.calls.copy()
    assert world.agent.hand_out_at_once(Wanted(world.fields())) is not None
    assert await world.get() == first
    assert world.sandbox.calls == calls


async def test_profiles_of_one_role_share_its_credentials(world: World) -> None:
    world.log_in()
    world.write_config(
        world.config.read_text().replace("[profile readonly]", "[profile other]").replace("ReadOnly", "Developer")
    )
    assert await world.get("dev") == await world.get("other")
    named = world.everything() | {"sso_session": "corp", "account_id": ACCOUNT, "role_name": "Developer"}
    assert world.agent.hand_out_at_once(Wanted(named)) is not None
    assert world.fetches() == 1


async def test_different_roles_are_fetched_side_by_side(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("GetRoleCredentials"):
        both = [asyncio.ensure_future(world.get(profile)) for profile in ("dev", "readonly")]
        await world.held("GetRoleCredentials", 2)
    one, other = await asyncio.gather(*both)
    assert one["AccessKeyId"] != other["AccessKeyId"]


async def test_a_caller_that_leaves_does_not_cancel_the_others(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("GetRoleCredentials"):
        leaving, staying = (asyncio.ensure_future(world.get()) for _ in range(2))
        await world.held("GetRoleCredentials")
        leaving.cancel()
        await asyncio.wait({leaving})
    assert (await staying)["AccessKeyId"]
    assert world.fetches() == 1


async def test_a_legacy_profile_is_served(world: World) -> None:
    world.log_in(world.legacy)
    assert (await world.get("legacy"))["AccountId"] == ACCOUNT


async def test_a_login_by_another_program_counts_at_once(world: World) -> None:
    await failing(world.get(), LoginRequired)
    world.log_in()
    assert await world.get()


# -- growing old ------------------------------------------------------------------------------------------------------


async def test_stale_credentials_are_served_while_one_fetch_runs(world: World) -> None:
    world.log_in()
    old = await world.get()
    world.clock.advance(minutes=42)
    with world.sandbox.hold("GetRoleCredentials"):
        assert [await world.get() for _ in range(10)] == [old] * 10
        await world.held("GetRoleCredentials")
    await world.settled()
    assert expires(await world.get()) > expires(old)
    assert world.fetches() == 2


async def test_below_15_minutes_a_caller_waits_for_better_credentials(world: World) -> None:
    """An SDK would ask again with every request."""
    world.log_in()
    old = await world.get()
    world.clock.advance(minutes=46)
    new = await world.get()
    assert expires(new) - world.clock.now() > minutes(15)
    assert new["AccessKeyId"] != old["AccessKeyId"]


@pytest.mark.parametrize("failure", TRANSIENT.values(), ids=TRANSIENT)
async def test_below_15_minutes_the_old_ones_are_served_when_aws_fails(world: World, failure: Fault) -> None:
    world.log_in()
    old = await world.get()
    world.clock.advance(minutes=55)
    world.sandbox.fail("GetRoleCredentials", failure, times=None)
    assert await world.get() == old
    assert await world.get() == old


async def test_below_15_minutes_the_old_ones_are_served_when_aws_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_credentials, "PATIENCE", 0.01)
    world.log_in()
    old = await world.get()
    world.clock.advance(minutes=55)
    with world.sandbox.hold("GetRoleCredentials"):
        assert await world.get() == old


@pytest.mark.parametrize("failure", TRANSIENT.values(), ids=TRANSIENT)
async def test_expired_credentials_are_never_served(world: World, failure: Fault) -> None:
    world.log_in()
    await world.get()
    world.clock.advance(minutes=60)
    world.sandbox.fail("GetRoleCredentials", failure, times=None)
    error = await refusal(world)
    assert isinstance(error, UpstreamError)
    assert error.status == 6


async def test_credentials_that_expire_while_better_ones_are_awaited_are_not_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_credentials, "PATIENCE", 0.02)
    world.log_in()
    old = await world.get()
    world.clock.advance(minutes=59)
    with world.sandbox.hold("GetRoleCredentials"):
        waiting = asyncio.ensure_future(world.get())
        await world.held("GetRoleCredentials")
        world.clock.advance(minutes=2)
        served, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not served
    assert (await waiting)["AccessKeyId"] != old["AccessKeyId"]


async def test_a_logout_while_better_ones_are_awaited_stops_the_old_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_credentials, "PATIENCE", 0.05)
    world.log_in()
    await world.get()
    world.clock.advance(minutes=55)
    with world.sandbox.hold("GetRoleCredentials"):
        waiting = asyncio.ensure_future(world.get())
        await world.held("GetRoleCredentials")
        await world.agent.logout(world.everything())
    await failing(waiting, LoginRequired)


async def test_one_slow_blip_of_the_portal_is_tried_again_unseen(world: World) -> None:
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", Fault(status=500))
    assert await world.get()
    assert world.fetches() == 2


async def test_a_failing_renewal_is_tried_at_growing_distances(world: World) -> None:
    world.log_in()
    old = await world.get()
    world.clock.advance(minutes=42)
    before = world.fetches()
    world.sandbox.fail("GetRoleCredentials", Fault(status=429), times=None)
    for _ in range(30):
        assert await world.get() == old
        await world.settled()
        world.clock.advance(seconds=10)
    assert 5 <= world.fetches() - before <= 15


class TestShortSessions:
    """A role whose sessions last 20 minutes, less than the usual windows together."""

    @pytest.fixture
    def lifetimes(self) -> Lifetimes:
        return Lifetimes(interval=0, role_credentials=20 * 60)

    async def test_fresh_ones_are_served_without_asking_again(self, world: World) -> None:
        world.log_in()
        first = await world.get()
        world.clock.advance(minutes=9)
        assert await world.get() == first
        await world.settled()
        assert world.fetches() == 1

    async def test_half_way_they_are_renewed_behind_the_caller(self, world: World) -> None:
        world.log_in()
        first = await world.get()
        world.clock.advance(minutes=11)
        assert await world.get() == first
        await world.settled()
        assert await world.get() != first
        assert world.fetches() == 2

    async def test_near_the_end_the_caller_waits(self, world: World) -> None:
        world.log_in()
        first = await world.get()
        world.clock.advance(minutes=14)
        assert await world.get() != first


# -- failures are remembered, for a moment ----------------------------------------------------------------------------


@pytest.fixture(params=sorted(set(TRANSIENT) - {"429"}))
def failure(request: pytest.FixtureRequest) -> Fault:
    return TRANSIENT[request.param]


async def test_a_failure_is_told_from_memory_for_a_second(world: World, failure: Fault) -> None:
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", failure, times=None)
    first = await refusal(world)
    calls = world.fetches()
    world.clock.advance(seconds=0.9)
    assert str(await refusal(world)) == str(first)
    assert world.fetches() == calls
    world.sandbox.clear()
    world.clock.advance(seconds=0.2)
    assert await world.get()


async def test_not_assigned_is_told_for_30_seconds(world: World) -> None:
    world.log_in()
    world.sandbox.unassign("alice", ACCOUNT, "Developer")
    error = await refusal(world)
    assert isinstance(error, RoleNotAssigned)
    assert (error.status, world.fetches()) == (5, 1)
    assert "Developer" in error.message
    assert ACCOUNT in error.message
    world.sandbox.assign("alice", ACCOUNT, "Developer")
    world.clock.advance(seconds=29)
    await failing(world.get(), RoleNotAssigned)
    assert world.fetches() == 1
    world.clock.advance(seconds=2)
    assert await world.get()


@pytest.mark.parametrize(("said", "kept"), [(10, 10.0), (600, 30.0), (None, 1.0)])
async def test_throttling_is_told_until_its_retry_after_but_not_beyond_30_seconds(
    world: World, said: int | None, kept: float
) -> None:
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", Fault(status=429, retry_after=said))
    await failing(world.get(), Throttled)
    world.clock.advance(seconds=kept - 0.1)
    await failing(world.get(), Throttled)
    assert world.fetches() == 1
    world.clock.advance(seconds=0.2)
    assert await world.get()


@pytest.mark.parametrize("change", ["login", "token file", "config file", "config file elsewhere"])
async def test_a_failure_is_not_told_beyond_a_change_that_may_cure_it(world: World, change: str) -> None:
    world.log_in()
    world.sandbox.unassign("alice", ACCOUNT, "Developer")
    await failing(world.get(), RoleNotAssigned)
    world.sandbox.assign("alice", ACCOUNT, "Developer")
    if change == "login":
        login, _ = world.agent.login(world.fields(flow=Flow.DEVICE_CODE.value, force="1"))
        assert login is not None
        async for event in login.follow():
            if event["event"] == "device_authorization":
                world.sandbox.approve(event["user_code"])
    elif change == "token file":
        world.log_in()
    elif change == "config file":
        world.write_config(world.config.read_text() + "\n# a comment\n")
    else:
        os.utime(world.config, ns=(1, 1))
    assert await world.get()


async def test_what_failed_is_told_to_everyone_who_waited_for_it(world: World) -> None:
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", Fault(status=403))
    with world.sandbox.hold("GetRoleCredentials"):
        callers = [asyncio.ensure_future(world.get()) for _ in range(20)]
        await world.held("GetRoleCredentials")
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(outcome, RoleNotAssigned) for outcome in outcomes)
    assert world.fetches() == 1


# -- refused, unassigned, somebody else's ------------------------------------------------------------------------------


async def test_a_refused_token_is_refreshed_once_and_tried_again(world: World) -> None:
    world.log_in()
    world.sandbox.revoke_access_tokens()
    assert await world.get()
    assert (world.refreshes(), world.fetches()) == (1, 2)


async def test_a_token_refused_again_needs_a_login(world: World) -> None:
    world.log_in()
    world.sandbox.fail("GetRoleCredentials", Fault(status=401), times=None)
    error = await refusal(world)
    assert isinstance(error, LoginRequired)
    assert error.hint == "credhelper login --sso-session corp"
    assert (world.refreshes(), world.fetches()) == (1, 2)


async def test_a_login_known_to_be_refused_is_not_called_good(world: World) -> None:
    """The command of the hint must never answer that nothing is to do."""
    world.log_in()
    world.sandbox.end_session()
    await failing(world.get(), LoginRequired)
    assert not world.agent.tokens.is_good(world.corp)
    login, _ = world.agent.login(world.fields(flow=Flow.DEVICE_CODE.value))
    assert login is not None
    async for event in login.follow():
        if event["event"] == "device_authorization":
            world.sandbox.approve(event["user_code"])
    assert await world.get()


async def test_a_refused_token_whose_refresh_fails_for_a_moment_needs_no_login(world: World) -> None:
    """Whether the sign-in is over is not known yet: that is AWS's failure, and it passes."""
    world.log_in()
    world.sandbox.revoke_access_tokens()
    world.sandbox.fail("CreateToken:refresh_token", Fault(status=500))
    await failing(world.get(), Unavailable)
    world.clock.advance(seconds=2)
    assert await world.get()


async def test_a_refused_login_costs_no_call_until_something_changes(world: World) -> None:
    world.log_in()
    world.sandbox.end_session()
    await failing(world.get(), LoginRequired)
    calls = world.sandbox.calls.total()
    for _ in range(5):
        await failing(world.get(), LoginRequired)
        world.clock.advance(seconds=30)
    assert world.sandbox.calls.total() == calls
    world.log_in()
    assert await world.get()


async def test_the_hint_of_a_legacy_profile_names_the_profile(world: World) -> None:
    error = await refusal(world, "legacy")
    assert error.hint == "credhelper login --profile legacy"


async def test_a_role_taken_away_drops_its_credentials(world: World) -> None:
    world.log_in()
    await world.get()
    world.sandbox.unassign("alice", ACCOUNT, "Developer")
    world.clock.advance(minutes=50)
    await failing(world.get(), RoleNotAssigned)
    await failing(world.get(), RoleNotAssigned)
    assert world.agent.roles.entries() == []


async def test_another_persons_login_ends_the_credentials_of_the_first(world: World) -> None:
    world.log_in()
    await world.get()
    world.log_in(person="bob")
    await failing(world.get(), RoleNotAssigned)


async def test_what_was_fetched_for_the_login_before_is_not_kept(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("GetRoleCredentials"):
        waiting = asyncio.ensure_future(world.get())
        await world.held("GetRoleCredentials")
        world.log_in(person="bob")
    await failing(waiting, RoleNotAssigned)


async def test_a_refresh_keeps_the_credentials_it_does_not_concern(world: World) -> None:
    world.log_in(expires_at=world.clock.now() + minutes(30))
    first = await world.get()
    world.clock.advance(minutes=20)
    await world.get()
    await world.settled()
    assert world.refreshes() == 1
    assert await world.get() == first
    assert world.fetches() == 1


async def test_a_deleted_token_file_ends_the_credentials(world: World) -> None:
    """`aws sso logout` does no more than that."""
    world.log_in()
    await world.get()
    world.token_path().unlink()
    await failing(world.get(), LoginRequired)
    world.token_path().parent.rename(world.home / "elsewhere")
    await failing(world.get(), LoginRequired)
    assert world.agent.roles.entries() == []


async def test_an_expired_token_does_not_end_credentials_that_are_good(world: World) -> None:
    world.log_in(refresh_token=None, expires_at=world.clock.now() + minutes(5))
    first = await world.get()
    world.clock.advance(minutes=30)
    assert await world.get() == first
    world.clock.advance(minutes=20)
    assert await world.get() == first
    world.clock.advance(minutes=20)
    await failing(world.get(), LoginRequired)


# -- files in the token's place ---------------------------------------------------------------------------------------


async def test_a_torn_file_is_being_written_and_what_was_in_it_goes_on_to_count(world: World) -> None:
    world.log_in()
    first = await world.get()
    whole = world.token_path().read_bytes()
    for torn in (whole[:50], b""):
        world.token_path().write_bytes(torn)
        for _ in range(3):
            assert await world.get() == first
            world.clock.advance(minutes=1)
    world.token_path().unlink()
    await failing(world.get(), LoginRequired)
    world.token_path().write_bytes(whole)
    assert await world.get()


async def test_something_that_is_no_token_counts_as_absent_after_a_moment(world: World) -> None:
    world.log_in()
    first = await world.get()
    world.token_path().write_text('{"whole": "but no token"}')
    assert await world.get() == first
    world.clock.advance(seconds=0.9)
    assert await world.get() == first
    world.clock.advance(seconds=0.2)
    await failing(world.get(), LoginRequired)


async def test_a_file_that_is_written_in_place_costs_nothing(world: World) -> None:
    world.log_in()
    first = await world.get()
    whole = world.token_path().read_bytes()
    for part in (b"", whole[:10], whole):
        world.token_path().write_bytes(part)
        assert await world.get() == first
    assert world.fetches() == 1


HOSTILE = ["empty", "list", "number", "huge", "fifo", "directory", "symlink", "binary", "no token", "nested"]


@pytest.mark.parametrize("kind", HOSTILE)
async def test_something_else_in_the_tokens_place_is_no_token_and_spoils_no_other_session(
    world: World, kind: str
) -> None:
    lab = replace(world.corp, name="lab")
    world.write_config(
        world.config.read_text().replace("[sso-session corp]", "[sso-session lab]").replace("= corp", "= lab")
        + world.config.read_text()[: world.config.read_text().index("[profile dev]")]
        + "[profile broken]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Developer\n"
    )
    world.log_in(lab)
    path = world.token_path()
    contents = {
        "empty": b"",
        "list": b'[{"accessToken": "x"}]',
        "number": b"12345",
        "huge": b'{"accessToken": "' + b"x" * 300_000 + b'"}',
        "binary": bytes(range(256)),
        "no token": b'{"expiresAt": "2030-01-01T00:00:00Z"}',
        "nested": b"[" * 100_000,
    }
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to(world.token_path(lab))
    else:
        path.write_bytes(contents[kind])
    await failing(world.get("broken"), LoginRequired)
    assert await world.get("dev")
    states = {s["name"]: s["state"] for s in world.agent.status(world.everything())["status"]["sso_sessions"]}
    assert states == {"lab": "active", "corp": "logged_out", None: "logged_out"}


async def test_the_warning_about_an_unusable_file_names_it_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.log_in()
    world.token_path().write_text('{"accessToken": "CANARY-9f3')
    for _ in range(5):
        await failing(world.get(), LoginRequired)
    warnings = [record.getMessage() for record in caplog.records if str(world.token_path()) in record.getMessage()]
    assert len(warnings) == 1
    assert "CANARY" not in caplog.text


# -- deadlines and choices ----------------------------------------------------------------------------------------


async def test_a_portal_that_hangs_is_an_upstream_failure_before_the_callers_time_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "GET_DEADLINE", 0.05)
    world.log_in()
    with world.sandbox.hold("GetRoleCredentials"):
        error = await refusal(world)
        assert isinstance(error, Unavailable)
        assert "0.05 s" in error.message
    await world.settled()
    assert await world.get()
    assert world.fetches() == 1


async def test_a_fetch_that_hangs_ends_by_its_own_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_credentials, "FETCH_DEADLINE", 0.05)
    monkeypatch.setattr(role_credentials, "QUICK_FAILURE", -1.0)
    world.log_in()
    with world.sandbox.hold("GetRoleCredentials"):
        assert "us-east-1" in (await refusal(world)).message


async def test_a_home_that_is_not_the_daemons_is_refused(world: World) -> None:
    fields = world.fields() | {"HOME": "/somewhere/else"}
    with pytest.raises(DaemonUnreachable) as caught:
        await world.agent.hand_out(Wanted(fields))
    assert str(world.home) in caught.value.message
    assert "/somewhere/else" in caught.value.message


async def test_no_profile_and_no_default_is_wrong_usage(world: World) -> None:
    with pytest.raises(UsageError):
        await world.agent.hand_out(Wanted(world.everything()))


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({"AWS_PROFILE": "readonly", "AWS_DEFAULT_PROFILE": "dev"}, "readonly"),
        ({"AWS_DEFAULT_PROFILE": "readonly"}, "readonly"),
        ({"profile": "readonly", "AWS_PROFILE": "dev"}, "readonly"),
    ],
)
async def test_a_profile_is_chosen_in_the_aws_clis_order(world: World, variables: dict[str, str], chosen: str) -> None:
    world.log_in()
    who = await world.agent.whoami(Wanted(world.everything() | variables))
    assert (who["profile"], who["role_name"]) == (chosen, "ReadOnly")


async def test_whoami_tells_whose_credentials_they_are(world: World) -> None:
    world.log_in()
    who = await world.agent.whoami(Wanted(world.fields()))
    assert (who["account_id"], who["role_name"], who["user"]) == (ACCOUNT, "Developer", "alice")
    assert ":assumed-role/AWSReservedSSO_Developer_" in who["arn"]


async def test_an_unknown_profile_is_a_configuration_error(world: World) -> None:
    message = await failing(world.get("nobody"), ConfigError)
    assert "nobody" in message
    assert str(world.config) in message


async def test_a_change_of_the_configuration_counts_at_once(world: World) -> None:
    world.log_in()
    await world.get("dev")
    world.write_config(world.config.read_text().replace("Developer", "ReadOnly"))
    await world.get("dev")
    assert [role.role_name for role, _, _ in world.agent.roles.entries()] == ["Developer", "ReadOnly"]


async def test_status_describes_roles_with_their_profiles_and_times(world: World) -> None:
    world.log_in()
    await world.get("dev")
    found = world.agent.status(world.everything())["status"]["role_credentials"]
    assert found == [
        {
            "source": "sso",
            "sso_session": "corp",
            "account_id": ACCOUNT,
            "role_name": "Developer",
            "profiles": ["dev"],
            "state": "fresh",
            "expires_at": "2026-06-01T10:00:00Z",
            "last_used_at": "2026-06-01T09:00:00Z",
        }
    ]
