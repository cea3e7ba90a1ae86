"""Credentials from identity pools: an identity for each user and pool, kept, repaired, and no guest's by mistake."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from credhelper.agent.identities import Identities, owner_of
from credhelper.agent.pool_credentials import PoolCredentials
from credhelper.aws.cognito import IdentityPools
from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import (
    ConfigError,
    CredhelperError,
    IdentityRefused,
    LoginRequired,
    PoolRefused,
    Throttled,
    TokenRefused,
    Unavailable,
)
from credhelper.domain.model import Guests, PoolRole
from credhelper.local import identity_ids
from credhelper.local.workers import Workers
from tests.aws import pools
from tests.aws.pools import ARN, GUEST, IDENTITY, OTHER_IDENTITY, POOL, TOKENS, USER, basic
from tests.aws.recorded import Recorded, Said, json_refusal, xml_refusal
from tests.clocks import HandClock

T = TypeVar("T")

GONE = json_refusal("ResourceNotFoundException", f"Identity '{IDENTITY}' not found.")
FORBIDDEN = json_refusal("NotAuthorizedException", f"Access to Identity '{IDENTITY}' is forbidden.")
THROTTLED = json_refusal("TooManyRequestsException", "Rate exceeded")
EXPIRED = json_refusal("NotAuthorizedException", "Invalid login token. Token expired: 1667365798 >= 1667235770")
CUSTOM = replace(USER, custom_role_arn="arn:aws:iam::111122223333:role/Editors")


@pytest.fixture(scope="module")
def server() -> Iterator[Recorded]:
    with Recorded() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def center(server: Recorded) -> IdentityCenter:
    """Clients are dear to make."""
    return IdentityCenter(HandClock())


class Daemon:
    """What a daemon of this home knows of identity pools."""

    def __init__(self, state: Path, center: IdentityCenter) -> None:
        self.state = state
        self.workers = Workers("aws", 8)
        self.identities = Identities(state, Workers("disk", 4))
        self.pools = PoolCredentials(IdentityPools(center), center.get_caller_identity, self.identities, self.call)
        self.new_identities: list[tuple[str, str]] = []
        self.pools.on_new_identity = lambda _, old, new: self.new_identities.append((old, new))

    async def call(self, call: Callable[[], T], place: str, lane: str) -> T:
        return await self.workers.run(5.0, call, lane=f"{place} {lane}")

    async def known(self, role: PoolRole) -> str | None:
        owner = owner_of(role, pools.tokens_of(role))
        assert owner is not None
        return await self.identities.known(owner)

    async def fetch(self, role: PoolRole) -> tuple[str, str, str]:
        given = await self.pools.fetch(role, pools.tokens_of(role))
        return given.credentials.access_key_id, given.account_id, given.role_name


@pytest.fixture
def aws(server: Recorded) -> Recorded:
    server.forget()
    pools.all_is_well(server)
    return server


@pytest.fixture
def daemon(tmp_path: Path, center: IdentityCenter) -> Daemon:
    return Daemon(tmp_path / "state", center)


async def failing(daemon: Daemon, role: PoolRole, kind: type[CredhelperError]) -> CredhelperError:
    with pytest.raises(kind) as caught:
        await daemon.fetch(role)
    assert "CANARY" not in f"{caught.value} {caught.value.hint}"
    return caught.value


# -- the two flows, for guests and users ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [GUEST, USER], ids=["guest", "user"])
async def test_the_enhanced_flow_learns_from_the_credentials_which_role_the_pool_has_chosen(
    daemon: Daemon, aws: Recorded, role: PoolRole
) -> None:
    assert await daemon.fetch(role) == ("ASIAPOOL", "111122223333", "Kiosk")
    assert aws.operations == ["GetId", "GetCredentialsForIdentity", "GetCallerIdentity"]
    assert (await daemon.pools.fetch(role, pools.tokens_of(role))).identity_id == IDENTITY


@pytest.mark.parametrize("role", [GUEST, USER], ids=["guest", "user"])
async def test_the_basic_flow_has_the_role_that_the_profile_names(
    daemon: Daemon, aws: Recorded, role: PoolRole
) -> None:
    assert await daemon.fetch(basic(role)) == ("ASIASTS", "210987654321", "Reports")
    assert aws.operations == ["GetId", "GetOpenIdToken", "AssumeRoleWithWebIdentity"]
    assert aws.asked[2].fields["RoleArn"] == ARN


async def test_nobody_need_be_asked_about_a_role_of_ones_own_choice(daemon: Daemon, aws: Recorded) -> None:
    assert await daemon.fetch(CUSTOM) == ("ASIAPOOL", "111122223333", "Editors")
    assert "GetCallerIdentity" not in aws.operations


async def test_credentials_that_are_no_assumed_roles_have_an_account_and_no_role(daemon: Daemon, aws: Recorded) -> None:
    aws.says("GetCallerIdentity", pools.caller("arn:aws:sts::123456789012:user/moto"))
    assert await daemon.fetch(GUEST) == ("ASIAPOOL", "123456789012", "")


async def test_a_profile_that_cannot_be_is_told_before_anybody_is_asked(daemon: Daemon, aws: Recorded) -> None:
    await failing(daemon, basic(GUEST, scope_down=True, session_policy="{}"), ConfigError)
    assert aws.asked == []


# -- one identity -----------------------------------------------------------------------------------------------------


async def test_an_identity_is_asked_for_once_also_over_restarts(
    daemon: Daemon, aws: Recorded, center: IdentityCenter
) -> None:
    for each in (daemon, daemon, Daemon(daemon.state, center)):
        await each.fetch(GUEST)
    assert aws.operations.count("GetId") == 1


async def test_whoever_asks_at_once_for_different_roles_shares_one_question(daemon: Daemon, aws: Recorded) -> None:
    await asyncio.gather(*(daemon.fetch(role) for role in (GUEST, basic(GUEST), basic(GUEST, duration_seconds=900))))
    assert aws.operations.count("GetId") == 1


async def test_users_and_guests_and_pools_have_identities_of_their_own(daemon: Daemon, aws: Recorded) -> None:
    aws.says("GetId", pools.identity(IDENTITY), pools.identity(OTHER_IDENTITY))
    aws.says("GetCredentialsForIdentity", lambda fields: pools.credentials(fields["IdentityId"]))
    await daemon.fetch(GUEST)
    await daemon.fetch(USER)
    assert await daemon.known(GUEST) == IDENTITY
    assert await daemon.known(USER) == OTHER_IDENTITY
    other = replace(GUEST, pool_id=POOL[:-1] + "2", login=Guests(POOL[:-1] + "2"))
    assert await daemon.known(other) is None


def test_who_a_user_is_depends_on_the_provider_the_issuer_and_the_subject() -> None:
    others = (replace(TOKENS, provider="p"), replace(TOKENS, issuer="i"), replace(TOKENS, subject="s"))
    assert len({owner_of(USER, tokens) for tokens in (TOKENS, *others)}) == 4
    assert owner_of(USER, replace(TOKENS, id_token="renewed", access_token="x")) == owner_of(USER, TOKENS)


async def test_a_token_that_does_not_say_whose_it_is_has_its_identity_asked_for_each_time(
    daemon: Daemon, aws: Recorded
) -> None:
    for _ in range(2):
        await daemon.pools.fetch(USER, replace(TOKENS, subject="", issuer=""))
    assert aws.operations.count("GetId") == 2
    assert not list(daemon.state.glob("identity-*"))


@pytest.mark.parametrize("flow", [lambda role: role, basic], ids=["enhanced", "basic"])
async def test_the_identity_that_an_answer_names_takes_the_place_of_the_one_that_was_asked_for(
    daemon: Daemon, aws: Recorded, flow: Callable[[PoolRole], PoolRole]
) -> None:
    aws.says("GetCredentialsForIdentity", pools.credentials(OTHER_IDENTITY))
    aws.says("GetOpenIdToken", pools.open_id_token(OTHER_IDENTITY))
    await daemon.fetch(flow(USER))
    assert await daemon.known(USER) == OTHER_IDENTITY


async def test_a_disk_that_takes_no_file_costs_nothing_but_the_memory_over_restarts(
    daemon: Daemon, aws: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.state.write_text("not a directory")
    for _ in range(2):
        await daemon.fetch(GUEST)
    assert aws.operations.count("GetId") == 1
    assert "is only in memory" in caplog.text


async def test_a_file_that_somebody_has_been_at_is_not_sent_to_aws(daemon: Daemon, aws: Recorded) -> None:
    owner = owner_of(GUEST, None)
    assert owner is not None
    identity_ids.save(daemon.state, owner, "us-east-1:\x1b[31m")
    await daemon.fetch(GUEST)
    assert aws.asked[1].fields == {"IdentityId": IDENTITY}


# -- repair -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [GONE, FORBIDDEN], ids=["gone", "forbidden"])
@pytest.mark.parametrize("flow", [lambda role: role, basic], ids=["enhanced", "basic"])
async def test_a_guest_whose_identity_is_refused_becomes_a_new_guest_and_is_told(
    daemon: Daemon,
    aws: Recorded,
    caplog: pytest.LogCaptureFixture,
    refusal: Said,
    flow: Callable[[PoolRole], PoolRole],
) -> None:
    await daemon.fetch(GUEST)
    aws.says("GetId", pools.identity(OTHER_IDENTITY))
    aws.says("GetCredentialsForIdentity", refusal, pools.credentials(OTHER_IDENTITY))
    aws.says("GetOpenIdToken", refusal, pools.open_id_token(OTHER_IDENTITY))
    caplog.set_level(logging.WARNING)
    await daemon.fetch(flow(GUEST))
    assert daemon.new_identities == [(IDENTITY, OTHER_IDENTITY)]
    assert "no longer within reach" in caplog.text
    assert await daemon.known(GUEST) == OTHER_IDENTITY


async def test_a_guest_is_made_anew_once_only(daemon: Daemon, aws: Recorded) -> None:
    aws.says("GetCredentialsForIdentity", GONE)
    await failing(daemon, GUEST, IdentityRefused)
    assert aws.operations == ["GetId", "GetCredentialsForIdentity"] * 2


async def test_a_user_whose_identity_was_deleted_has_a_new_one_and_is_told(daemon: Daemon, aws: Recorded) -> None:
    await daemon.fetch(USER)
    aws.says("GetId", pools.identity(OTHER_IDENTITY))
    aws.says("GetCredentialsForIdentity", GONE, pools.credentials(OTHER_IDENTITY))
    await daemon.fetch(USER)
    assert daemon.new_identities == [(IDENTITY, OTHER_IDENTITY)]
    assert all("Logins" in asked.fields for asked in aws.asked if asked.operation == "GetId")


async def test_a_user_whose_identity_is_forbidden_has_to_log_in_and_becomes_nobody_else(
    daemon: Daemon, aws: Recorded
) -> None:
    await daemon.fetch(USER)
    aws.says("GetCredentialsForIdentity", FORBIDDEN)
    await failing(daemon, USER, TokenRefused)
    assert aws.operations.count("GetId") == 1
    assert daemon.new_identities == []
    assert await daemon.known(USER) is None  # the next login finds out


async def test_a_token_that_is_not_taken_is_the_logins_trouble_and_the_identity_stays(
    daemon: Daemon, aws: Recorded
) -> None:
    await daemon.fetch(USER)
    aws.says("GetCredentialsForIdentity", EXPIRED)
    await failing(daemon, USER, TokenRefused)
    assert await daemon.known(USER) == IDENTITY


async def test_without_a_login_nobody_is_asked_and_nobody_is_a_guest(daemon: Daemon, aws: Recorded) -> None:
    with pytest.raises(LoginRequired) as caught:
        await daemon.pools.fetch(USER, None)
    assert caught.value.hint == "credhelper login --cognito-login notes"
    assert aws.asked == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (THROTTLED, Throttled),
        (json_refusal("InternalErrorException", "oops", 500), Unavailable),
        (Said(200, "text/html", b"<html/>"), Unavailable),
        (json_refusal("NotAuthorizedException", "Unauthenticated access is not supported for this pool."), PoolRefused),
        (json_refusal("InvalidIdentityPoolConfigurationException", "Check assigned IAM roles"), PoolRefused),
    ],
    ids=["throttled", "broken", "a web page", "guests off", "no role"],
)
async def test_whatever_else_is_wrong_the_identity_is_kept(
    daemon: Daemon, aws: Recorded, answer: Said, kind: type[CredhelperError]
) -> None:
    await daemon.fetch(GUEST)
    aws.says("GetCredentialsForIdentity", answer)
    await failing(daemon, GUEST, kind)
    assert await daemon.known(GUEST) == IDENTITY
    assert aws.operations.count("GetId") == 1


async def test_an_identity_refused_to_many_at_once_is_replaced_once(daemon: Daemon, aws: Recorded) -> None:
    await daemon.fetch(GUEST)
    aws.forget()
    pools.all_is_well(aws)
    aws.says("GetId", pools.identity(OTHER_IDENTITY))
    for operation, good in (
        ("GetCredentialsForIdentity", pools.credentials(OTHER_IDENTITY)),
        ("GetOpenIdToken", pools.open_id_token(OTHER_IDENTITY)),
    ):
        aws.says(operation, partial(_gone_or, good))
    await asyncio.gather(daemon.fetch(GUEST), daemon.fetch(basic(GUEST)))
    assert await daemon.known(GUEST) == OTHER_IDENTITY
    assert aws.operations.count("GetId") == 1


def _gone_or(good: Said, fields: dict[str, Any]) -> Said:
    return GONE if fields["IdentityId"] == IDENTITY else good


async def test_a_token_that_was_used_too_late_is_fetched_anew_once(daemon: Daemon, aws: Recorded) -> None:
    late = xml_refusal("ExpiredTokenException", "Token expired")
    aws.says("AssumeRoleWithWebIdentity", late, pools.assumed())
    assert (await daemon.fetch(basic(GUEST)))[0] == "ASIASTS"
    assert aws.operations.count("GetOpenIdToken") == 2


# -- forgetting -------------------------------------------------------------------------------------------------------


async def test_forgetting_a_login_takes_its_identities_only(daemon: Daemon, aws: Recorded) -> None:
    await daemon.fetch(GUEST)
    await daemon.fetch(USER)
    gone = await daemon.identities.forget(USER.session.cache_key)
    assert len(gone) == 1
    assert await daemon.known(USER) is None
    assert await daemon.known(GUEST) == IDENTITY
    assert len(await daemon.identities.forget(None)) == 1


async def test_an_answer_that_comes_after_everything_was_forgotten_is_not_written(
    daemon: Daemon, aws: Recorded
) -> None:
    owner = owner_of(GUEST, None)
    assert owner is not None

    async def ask() -> str:
        await daemon.identities.forget(None)
        return IDENTITY

    assert await daemon.identities.of(owner, ask) == IDENTITY
    assert identity_ids.load(daemon.state, owner) is None
