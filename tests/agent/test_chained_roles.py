"""Chained roles: assumed with their source's credentials, then served, renewed and dropped like the rest."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from credhelper.agent import agent as agent_module
from credhelper.agent import mfa_codes
from credhelper.agent.agent import Agent
from credhelper.agent.gate import Wanted
from credhelper.domain.documents import parse_timestamp
from credhelper.domain.errors import (
    AssumeRoleDenied,
    ConfigError,
    CredhelperError,
    LoginRequired,
    MfaRefused,
    MfaRequired,
    Refused,
    RoleNotAssigned,
    Throttled,
    TooShortLived,
    Unavailable,
    UsageError,
)
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings
from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from tests.agent.world import CONFIG, World, failing, minutes

STAGING = "222233334444"
DEVELOPER = frozenset({"111122223333/Developer"})
LONG = {"min_ttl": "3300"}

CHAINS = """
[profile deploy]
role_arn = arn:aws:iam::222233334444:role/Deploy
source_profile = dev

[profile further]
credhelper_role_arn = arn:aws:iam::333344445555:role/teams/blue/Further
credhelper_source_profile = deploy
region = eu-central-1

[profile guarded]
role_arn = arn:aws:iam::222233334444:role/Guarded
source_profile = dev
mfa_serial = arn:aws:iam::111122223333:mfa/alice

[profile behind]
role_arn = arn:aws:iam::333344445555:role/Behind
source_profile = guarded

[profile twice]
role_arn = arn:aws:iam::333344445555:role/Twice
source_profile = guarded
mfa_serial = arn:aws:iam::111122223333:mfa/alice
"""

ROLES = (
    IamRole("333344445555", "Further", Trust(frozenset({f"{STAGING}/Deploy"})), path="/teams/blue/"),
    IamRole(STAGING, "Guarded", Trust(DEVELOPER, mfa=True), max_session_seconds=43_200),
    IamRole("333344445555", "Behind", Trust(frozenset({f"{STAGING}/Guarded"}))),
    IamRole("333344445555", "Twice", Trust(frozenset({f"{STAGING}/Guarded"}), mfa=True)),
)

TRANSIENT = {
    "500": Fault(status=500),
    "429": Fault(status=429, retry_after=1),
    "throttled as STS does": Fault(status=400, error="Throttling"),
    "html": Fault(body=Body.HTML),
    "redirect": Fault(body=Body.REDIRECT),
    "empty": Fault(body=Body.EMPTY),
    "truncated": Fault(body=Body.TRUNCATED),
    "not XML": Fault(body=Body.EMPTY_OBJECT),
    "huge": Fault(body=Body.HUGE),
    "cut before": Fault(cut=Cut.BEFORE),
    "cut in the middle": Fault(cut=Cut.MIDDLE),
    "a reason of tomorrow": Fault(error="Teapot", status=400),
}

Document = dict[str, Any]


@pytest.fixture
def lifetimes() -> Lifetimes:
    """Tokens outlive role credentials here, so that the renewals do not mix."""
    return Lifetimes(interval=0, access_token=8 * 3600)


@pytest.fixture
def world(world: World) -> World:
    """With chained profiles, the roles they stand for, and a login."""
    for role in ROLES:
        world.sandbox.put_iam_role(role)
    world.write_config(CONFIG.format(start_url=world.sandbox.start_url) + CHAINS)
    world.log_in()
    return world


def expires(document: Document) -> Any:
    return parse_timestamp(document["Expiration"])


def assumptions(world: World) -> int:
    return world.sandbox.calls["AssumeRole"]


async def refusal(world: World, profile: str = "deploy") -> CredhelperError:
    try:
        await world.get(profile)
    except CredhelperError as error:
        return error
    raise AssertionError("credentials were served")


async def whoami(world: World, profile: str) -> Document:
    return await world.agent.whoami(Wanted(world.fields(profile)))


async def named(world: World, profile: str = "guarded", *, step: int = 0, **fields: str) -> Document:
    """A person names the code that the device shows now, or some steps later."""
    return await world.agent.mfa_codes.use(world.fields(profile, mfa_code=world.sandbox.mfa_code(step=step), **fields))


def sent(world: World, operation: str = "AssumeRole") -> dict[str, str]:
    """The parameters of the last call."""
    return dict([call for call in world.sandbox.recorded if call.operation == operation][-1].request.form())


def change(world: World, old: str, new: str) -> None:
    text = world.config.read_text()
    assert old in text
    world.write_config(text.replace(old, new))


def statuses(world: World) -> dict[str, tuple[str, str, list[str]]]:
    found = world.agent.status(world.everything())["status"]["role_credentials"]
    return {role["role_name"]: (role["source"], role["state"], role["profiles"]) for role in found}


# -- assumed once, then served ----------------------------------------------------------------------------------------


async def test_a_chained_role_is_served_as_any_other(world: World) -> None:
    document = await world.get("deploy")
    assert list(document) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId"]
    assert document["AccountId"] == STAGING
    assert expires(document) == world.clock.now() + minutes(60)
    assert (await whoami(world, "deploy"))["arn"] == f"arn:aws:sts::{STAGING}:assumed-role/Deploy/alice"


async def test_a_chain_goes_on_through_both_kinds_of_profile(world: World) -> None:
    found = await whoami(world, "further")
    assert found["arn"] == "arn:aws:sts::333344445555:assumed-role/Further/alice"
    assert (found["account_id"], found["role_name"], found["sso_session"]) == ("333344445555", "Further", "corp")
    assert world.fetches() == 1
    assert assumptions(world) == 2


async def test_a_warm_chained_role_costs_no_call_and_is_answered_at_once(world: World) -> None:
    first = await world.get("further")
    calls = world.sandbox.calls.copy()
    entry = world.agent.hand_out_at_once(Wanted(world.fields("further")))
    assert entry is not None
    assert json.loads(entry.document) == first
    assert world.sandbox.calls == calls


async def test_all_callers_of_a_cold_chain_cost_one_call_of_each(world: World) -> None:
    with world.sandbox.hold("AssumeRole"):
        callers = [asyncio.ensure_future(world.get(name)) for name in ["deploy"] * 20 + ["further"] * 20]
        await world.held("AssumeRole")
    keys = {document["AccessKeyId"] for document in await asyncio.gather(*callers)}
    assert len(keys) == 2
    assert (world.fetches(), assumptions(world), world.sandbox.calls["GetCallerIdentity"]) == (1, 2, 1)


async def test_the_source_is_served_from_the_same_memory(world: World) -> None:
    source = await world.get("dev")
    await world.get("deploy")
    assert await world.get("dev") == source
    assert world.fetches() == 1


async def test_profiles_that_ask_for_the_same_share_it_and_others_do_not(world: World) -> None:
    world.write_config(
        world.config.read_text()
        + "[profile same]\ncredhelper_role_arn = arn:aws:iam::222233334444:role/Deploy\n"
        + "credhelper_source_profile = dev\nregion = eu-west-1\n"
        + "[profile other]\nrole_arn = arn:aws:iam::222233334444:role/Deploy\nsource_profile = dev\n"
        + "role_session_name = pipeline\n"
    )
    one, same, other = [await world.get(name) for name in ("deploy", "same", "other")]
    assert one == same != other
    assert (await whoami(world, "other"))["user"] == "pipeline"


async def test_everything_a_profile_says_is_asked_for(world: World) -> None:
    world.sandbox.put_iam_role(
        IamRole(
            STAGING,
            "Deploy",
            Trust(DEVELOPER, external_id="ext/1", source_identity="alice", tags=frozenset({"team", "cost-centre"})),
        )
    )
    change(
        world,
        "role/Deploy\n",
        "role/Deploy\nduration_seconds = 1800\nexternal_id = ext/1\nrole_session_name = me@work\n"
        "credhelper_source_identity = alice\ncredhelper_session_tags = team = blue, cost-centre=a=1\n"
        "credhelper_transitive_session_tags = team\n",
    )
    document = await world.get("deploy")
    assert expires(document) == world.clock.now() + minutes(30)
    assert sent(world) == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": f"arn:aws:iam::{STAGING}:role/Deploy",
        "RoleSessionName": "me@work",
        "DurationSeconds": "1800",
        "ExternalId": "ext/1",
        "SourceIdentity": "alice",
        "Tags.member.1.Key": "team",
        "Tags.member.1.Value": "blue",
        "Tags.member.2.Key": "cost-centre",
        "Tags.member.2.Value": "a=1",
        "TransitiveTagKeys.member.1": "team",
    }
    assert world.sandbox.calls["GetCallerIdentity"] == 0  # with a name of its own nobody is asked


async def test_a_source_with_a_name_of_its_own_hands_it_on(world: World) -> None:
    change(world, "role/Deploy\n", "role/Deploy\nrole_session_name = pipeline\n")
    assert (await whoami(world, "further"))["user"] == "pipeline"


async def test_who_logs_in_anew_gives_the_new_name(world: World) -> None:
    world.sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset({"111122223333"}))))
    assert (await whoami(world, "deploy"))["user"] == "alice"
    world.sandbox.assign("bob", "111122223333", "Developer")
    world.log_in(person="bob")
    assert (await whoami(world, "deploy"))["user"] == "bob"


async def test_where_aws_does_not_say_who_it_is_the_session_has_our_name(world: World) -> None:
    world.sandbox.fail("GetCallerIdentity", Fault(status=403, error="AccessDenied"))
    assert (await whoami(world, "deploy"))["user"] == "credhelper"


async def test_sts_is_asked_in_the_region_of_the_profile_else_of_its_source(world: World) -> None:
    await world.get("further")
    scopes = [
        call.request.headers["authorization"].split("/")[2]
        for call in world.sandbox.recorded
        if call.operation == "AssumeRole"
    ]
    assert scopes == ["eu-west-1", "eu-central-1"]


async def test_a_named_session_account_and_role_stands_for_no_chain(world: World) -> None:
    fields = world.everything() | {"sso_session": "corp", "account_id": STAGING, "role_name": "Deploy"}
    await failing(world.agent.hand_out(Wanted(fields)), RoleNotAssigned)
    assert assumptions(world) == 0


# -- growing old ------------------------------------------------------------------------------------------------------


async def test_stale_credentials_are_served_while_they_are_assumed_anew(world: World) -> None:
    old = await world.get("deploy")
    world.clock.advance(minutes=42)
    with world.sandbox.hold("AssumeRole"):
        assert [await world.get("deploy") for _ in range(10)] == [old] * 10
        await world.held("AssumeRole")
    await world.settled()
    assert expires(await world.get("deploy")) > expires(old)
    assert (world.fetches(), assumptions(world)) == (2, 2)


async def test_a_chain_in_use_is_renewed_before_anybody_asks_and_then_lapses(world: World) -> None:
    old = await world.get("further")
    await world.live(minutes=50)
    entry = world.agent.hand_out_at_once(Wanted(world.fields("further")))
    assert entry is not None
    assert expires(json.loads(entry.document)) > expires(old)
    await world.live(hours=2)
    calls = assumptions(world)
    await world.live(hours=4)
    assert assumptions(world) == calls
    assert statuses(world) == {}


@pytest.mark.parametrize("failure", TRANSIENT.values(), ids=TRANSIENT)
async def test_when_sts_fails_the_old_ones_are_served_to_their_end_and_not_beyond(world: World, failure: Fault) -> None:
    old = await world.get("deploy")
    world.sandbox.fail("AssumeRole", failure, times=None)
    world.clock.advance(minutes=55)
    assert await world.get("deploy") == old
    world.clock.advance(minutes=5)
    assert (await refusal(world)).status == 6
    world.sandbox.clear()
    world.clock.advance(minutes=2)
    assert expires(await world.get("deploy")) > world.clock.now()


async def test_a_failure_is_not_asked_for_again_at_once(world: World) -> None:
    world.sandbox.fail("AssumeRole", Fault(status=500), times=None)
    assert isinstance(await refusal(world), Unavailable)
    calls = assumptions(world)
    assert isinstance(await refusal(world), Unavailable)
    assert assumptions(world) == calls
    world.clock.advance(seconds=1.1)
    await refusal(world)
    assert assumptions(world) > calls


async def test_throttling_is_throttling(world: World) -> None:
    world.sandbox.fail("AssumeRole", Fault(status=400, error="Throttling"), times=None)
    assert isinstance(await refusal(world), Throttled)


async def test_a_source_that_fails_is_told_by_the_source_alone(world: World) -> None:
    world.sandbox.fail("GetRoleCredentials", Fault(status=500), times=2)
    assert isinstance(await refusal(world), Unavailable)
    assert isinstance(await refusal(world), Unavailable)
    assert world.fetches() == 2  # with the second try
    world.clock.advance(seconds=1.1)
    assert await world.get("deploy")


async def test_credentials_of_a_source_that_aws_honours_no_more_are_fetched_anew_once(world: World) -> None:
    await world.get("dev")
    world.sandbox.fail("AssumeRole", Fault(status=403, error="ExpiredToken"))
    assert await world.get("deploy")
    assert world.fetches() == 2
    world.sandbox.fail("AssumeRole", Fault(status=403, error="InvalidClientTokenId"), times=None)
    change(world, "role/Deploy\n", "role/Deploy\nduration_seconds = 900\n")
    error = await refusal(world)
    assert isinstance(error, Refused)
    assert error.status == 6
    assert world.fetches() == 3


async def test_the_same_where_it_is_found_when_asking_who_it_is(world: World) -> None:
    world.sandbox.fail("GetCallerIdentity", Fault(status=403, error="ExpiredToken"))
    assert await world.get("deploy")
    assert world.fetches() == 2


# -- refused ----------------------------------------------------------------------------------------------------------


async def test_a_role_that_trusts_somebody_else_is_refused(world: World) -> None:
    world.sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset({"999999999999"}))))
    error = await refusal(world)
    assert isinstance(error, AssumeRoleDenied)
    assert (error.status, error.code) == (5, "assume_role_denied")
    assert "Developer in 111122223333 may not assume arn:aws:iam::222233334444:role/Deploy" in error.message
    assert error.hint is not None
    assert "trust policy" in error.hint
    calls = assumptions(world)
    world.clock.advance(seconds=20)
    await refusal(world)
    assert assumptions(world) == calls  # told from memory for 30 s
    world.sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(DEVELOPER)))
    world.clock.advance(seconds=11)
    assert await world.get("deploy")


async def test_a_trust_that_ends_ends_what_was_assumed_by_it(world: World) -> None:
    await world.get("deploy")
    world.sandbox.delete_iam_role(f"arn:aws:iam::{STAGING}:role/Deploy")
    world.clock.advance(minutes=46)
    assert isinstance(await refusal(world), AssumeRoleDenied)


async def test_a_source_that_is_not_assigned_any_more_is_named(world: World) -> None:
    world.sandbox.unassign("alice", "111122223333", "Developer")
    error = await refusal(world)
    assert isinstance(error, RoleNotAssigned)
    assert "role Developer in account 111122223333 is not assigned" in error.message


@pytest.mark.parametrize(
    ("longest", "says"), [(43_200, "with another role's credentials"), (3600, "its own maximum session duration")]
)
async def test_a_duration_that_aws_does_not_allow_is_a_mistake_of_the_configuration(
    world: World, longest: int, says: str
) -> None:
    world.sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(DEVELOPER), max_session_seconds=longest))
    change(world, "role/Deploy\n", "role/Deploy\nduration_seconds = 7200\n")
    error = await refusal(world)
    assert isinstance(error, ConfigError)
    assert "duration_seconds = 7200" in error.message
    assert says.removeprefix("its own ") in error.message
    assert error.hint is not None
    assert "3600" in error.hint


async def test_no_login_no_chained_role(world: World) -> None:
    os.unlink(world.token_path())
    error = await refusal(world)
    assert type(error) is LoginRequired
    assert error.hint == "credhelper login --sso-session corp"
    assert assumptions(world) == 0


async def test_longer_than_aws_gives_cannot_be_had(world: World) -> None:
    wanted = Wanted(world.fields("deploy"), min_left=timedelta(hours=2))
    await failing(world.agent.hand_out(wanted), TooShortLived)


# -- logging out ------------------------------------------------------------------------------------------------------


async def test_a_logout_drops_chained_roles_and_tells_what_is_still_valid(world: World) -> None:
    document = await world.get("further")
    receipt = await world.agent.logout(world.everything())
    assert receipt["still_valid"] == [
        {"account_id": "333344445555", "role_name": "Further", "expires_at": document["Expiration"]}
    ]
    assert statuses(world) == {}
    assert isinstance(await refusal(world, "further"), LoginRequired)


async def test_a_logout_by_a_chained_profile_is_that_of_its_session(world: World) -> None:
    await world.get("dev")
    receipt = await world.agent.logout(world.fields("further"))
    assert [session["sso_session"] for session in receipt["sessions"]] == ["corp"]
    assert not world.token_path().exists()


async def test_what_is_being_assumed_during_a_logout_is_not_kept(world: World) -> None:
    with world.sandbox.hold("AssumeRole"):
        waiting = asyncio.ensure_future(world.get("deploy"))
        await world.held("AssumeRole")
        await world.agent.logout(world.everything())
    await failing(waiting, LoginRequired)
    assert statuses(world) == {}


async def test_what_another_login_came_over_is_assumed_anew(world: World) -> None:
    world.sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset({"111122223333"}))))
    world.sandbox.assign("bob", "111122223333", "Developer")
    with world.sandbox.hold("AssumeRole"):
        waiting = asyncio.ensure_future(world.get("deploy"))
        await world.held("AssumeRole")
        world.log_in(person="bob")
        world.agent.tokens.look_again(world.corp)
    await waiting
    assert (await whoami(world, "deploy"))["user"] == "bob"


# -- a restart --------------------------------------------------------------------------------------------------------


class Keyring:
    """One that is open."""

    seconds = 1.0

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}

    def key(self, name: str) -> bytes:
        return self._keys.setdefault(name, os.urandom(32))

    def delete(self, name: str) -> None:
        self._keys.pop(name, None)


@asynccontextmanager
async def daemon(world: World, keyring: Keyring) -> AsyncIterator[Agent]:
    """One of the world's home, with a vault."""
    world.agent = Agent(world.home, world.state, api=world.api, clock=world.clock, keychain=keyring)
    await world.agent.keeper.open()
    yield world.agent
    await world.settled()
    await world.agent.stop()


async def test_the_next_daemon_serves_what_was_assumed_also_with_a_code(world: World) -> None:
    keyring = Keyring()
    async with daemon(world, keyring):
        await named(world)
        before = [await world.get(name) for name in ("further", "guarded")]
    calls = world.sandbox.calls.copy()
    async with daemon(world, keyring) as agent:
        assert [await world.get(name) for name in ("further", "guarded")] == before
        assert world.sandbox.calls == calls
        await agent.logout(world.everything())
    world.log_in()
    async with daemon(world, keyring):
        assert isinstance(await refusal(world, "guarded"), MfaRequired)


async def test_until_the_keyring_has_answered_nobody_is_asked_for_a_code_again(world: World) -> None:
    keyring = Keyring()
    async with daemon(world, keyring):
        await named(world)
        before = await world.get("guarded")
    world.agent = Agent(world.home, world.state, api=world.api, clock=world.clock, keychain=keyring)
    waiting = asyncio.ensure_future(world.get("guarded"))
    await asyncio.sleep(0)
    await world.agent.keeper.open()
    assert await waiting == before


async def test_a_keyring_that_does_not_answer_is_not_waited_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "KEYRING_PATIENCE", 0.01)
    world.agent = Agent(world.home, world.state, api=world.api, clock=world.clock, keychain=Keyring())
    assert isinstance(await refusal(world, "guarded"), MfaRequired)


# -- seen -------------------------------------------------------------------------------------------------------------


async def test_status_tells_chained_roles_from_the_others(world: World) -> None:
    await world.get("deploy")
    assert statuses(world) == {"Developer": ("sso", "fresh", ["dev"]), "Deploy": ("chained", "fresh", ["deploy"])}


async def test_calls_and_fetches_are_counted(world: World) -> None:
    await world.get("deploy")
    world.sandbox.fail("AssumeRole", Fault(status=403, error="AccessDenied"))
    await refusal(world, "further")
    calls = world.agent.counts.calls()[0]
    assert calls["AssumeRole", "ok"] == 1
    assert calls["AssumeRole", "assume_role_denied"] == 1
    assert (world.agent.counts.fetches["ok"], world.agent.counts.fetches["assume_role_denied"]) == (2, 1)


async def test_no_secret_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    document = await world.get("further")
    source = await world.get("dev")
    code = world.sandbox.mfa_code()
    await named(world)
    await failing(world.agent.mfa_codes.use(world.fields("twice", mfa_code=code)), MfaRefused)
    for secret in (code, *(one[key] for one in (document, source) for key in ("SecretAccessKey", "SessionToken"))):
        assert secret not in caplog.text


# -- codes of MFA devices ---------------------------------------------------------------------------------------------


async def test_a_role_that_wants_a_code_is_given_to_nobody_without(world: World) -> None:
    error = await refusal(world, "guarded")
    assert isinstance(error, MfaRequired)
    assert (error.status, error.hint) == (3, "credhelper login --profile guarded")
    assert "arn:aws:iam::111122223333:mfa/alice" in error.message
    assert assumptions(world) == 0
    assert world.agent.notices.run_due() is None  # the session has not ended


async def test_the_code_is_used_once_and_what_it_brought_is_served(world: World) -> None:
    wanted = await world.agent.mfa_codes.use(world.fields("guarded"))
    assert wanted == {
        "mfa_serial": "arn:aws:iam::111122223333:mfa/alice",
        "account_id": STAGING,
        "role_name": "Guarded",
        "command": "credhelper login --profile guarded",
    }
    assert (await named(world))["mfa_serial"] is None
    assert sent(world)["SerialNumber"] == "arn:aws:iam::111122223333:mfa/alice"
    assert await world.get("guarded") == await world.get("guarded")
    assert (await whoami(world, "guarded"))["arn"] == f"arn:aws:sts::{STAGING}:assumed-role/Guarded/alice"
    assert assumptions(world) == 1


@pytest.mark.parametrize("code", ["000000", "12345", "1234567", "abcdef", "", "\uff11\uff12\uff13\uff14\uff15\uff16"])
async def test_a_wrong_code_is_told(world: World, code: str) -> None:
    await failing(world.agent.mfa_codes.use(world.fields("guarded", mfa_code=code)), MfaRefused)
    assert isinstance(await refusal(world, "guarded"), MfaRequired)
    assert (await named(world))["mfa_serial"] is None


async def test_a_code_that_was_used_is_not_taken_again(world: World) -> None:
    await named(world)
    await world.agent.logout(world.everything())
    world.log_in()
    await failing(named(world), MfaRefused)


async def test_what_a_code_brought_ends_without_being_assumed_anew(world: World) -> None:
    await named(world)
    await world.get("guarded")
    calls = assumptions(world)
    await world.live(minutes=59)
    assert await world.get("guarded")
    await world.live(minutes=2)
    assert isinstance(await refusal(world, "guarded"), MfaRequired)
    await world.live(hours=3)
    assert assumptions(world) == calls
    assert "Guarded" not in statuses(world)


async def test_shortly_before_its_end_a_person_who_logs_in_is_asked_for_the_next_code(world: World) -> None:
    await named(world)
    await world.live(minutes=30)
    assert (await world.agent.mfa_codes.use(world.fields("guarded")))["mfa_serial"] is None
    assert (await world.agent.mfa_codes.use(world.fields("guarded", **LONG)))["mfa_serial"] is not None
    await world.live(minutes=20)
    old = await world.get("guarded")
    assert (await named(world))["mfa_serial"] is None
    assert expires(await world.get("guarded")) > expires(old)


async def test_longer_than_is_left_takes_a_code_and_longer_than_aws_gives_none(world: World) -> None:
    await named(world)
    world.clock.advance(minutes=30)
    wanted = Wanted(world.fields("guarded"), min_left=minutes(50))
    await failing(world.agent.hand_out(wanted), MfaRequired)
    await named(world, min_ttl="3000")
    assert await world.agent.hand_out(wanted)
    await failing(world.agent.hand_out(replace(wanted, min_left=minutes(90))), TooShortLived)
    assert (await world.agent.mfa_codes.use(world.fields("guarded", min_ttl="5400")))["mfa_serial"] is None


async def test_a_role_behind_one_that_wants_a_code_takes_that_code(world: World) -> None:
    error = await refusal(world, "behind")
    assert isinstance(error, MfaRequired)
    assert error.hint == "credhelper login --profile behind"
    assert (await world.agent.mfa_codes.use(world.fields("behind")))["role_name"] == "Guarded"
    assert (await named(world, "behind"))["mfa_serial"] is None
    assert (await world.get("behind"))["AccountId"] == "333344445555"
    await world.live(minutes=50)  # renewed while the one before it is good
    late = await world.get("behind")
    calls = assumptions(world)
    await world.live(minutes=45)
    assert await world.get("behind") == late
    assert assumptions(world) == calls  # without a person there is nothing to be had
    await world.live(minutes=15)
    assert isinstance(await refusal(world, "behind"), MfaRequired)


async def test_each_role_of_a_chain_takes_a_code_of_its_own(world: World) -> None:
    assert (await named(world, "twice"))["role_name"] == "Twice"
    assert (await named(world, "twice", step=1))["mfa_serial"] is None
    assert (await world.get("twice"))["AccountId"] == "333344445555"


async def test_a_code_before_the_login_is_of_no_use(world: World) -> None:
    os.unlink(world.token_path())
    assert type(await refusal(world, "guarded")) is LoginRequired
    await failing(named(world), LoginRequired)


async def test_what_a_code_brings_lasts_no_longer_than_the_persons_own_rules_let_it(world: World) -> None:
    for apply in world.agent.settings.on_change:
        apply(Settings(policy=(Rule("short", ("guarded",), max_ttl=900),)))
    await named(world)
    assert sent(world)["DurationSeconds"] == "900"
    assert expires(await world.get("guarded")) == world.clock.now() + minutes(15)
    assert statuses(world)["Guarded"] == ("chained", "fresh", ["guarded"])


async def test_an_answer_that_takes_too_long_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mfa_codes, "DEADLINE", 0.01)
    with world.sandbox.hold("AssumeRole"):
        await failing(named(world), Unavailable)


@pytest.mark.parametrize("profile", ["dev", "deploy"])
async def test_other_profiles_want_no_code(world: World, profile: str) -> None:
    wanted = await world.agent.mfa_codes.use(world.fields(profile, mfa_code="123456"))
    assert wanted["mfa_serial"] is None
    assert assumptions(world) == 0


async def test_a_role_that_was_named_by_itself_or_by_no_profile_wants_no_code(world: World) -> None:
    named_role = world.everything() | {"sso_session": "corp", "account_id": STAGING, "role_name": "Guarded"}
    assert (await world.agent.mfa_codes.use(named_role))["mfa_serial"] is None
    await failing(world.agent.mfa_codes.use(world.everything()), UsageError)


# -- the configuration ------------------------------------------------------------------------------------------------


async def test_a_broken_chain_is_told_and_spoils_nothing_else(world: World) -> None:
    change(world, "source_profile = dev\n\n[profile further]", "source_profile = further\n\n[profile further]")
    error = await refusal(world, "further")
    assert isinstance(error, ConfigError)
    assert "further -> deploy -> further" in error.message
    assert await world.get("dev")


async def test_a_change_of_the_profile_is_another_role(world: World) -> None:
    world.sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(DEVELOPER, external_id="right")))
    assert isinstance(await refusal(world), AssumeRoleDenied)
    change(world, "role/Deploy\n", "role/Deploy\nexternal_id = right\n")
    assert await world.get("deploy")
