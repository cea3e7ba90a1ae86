"""Roles of identity pools are served as all others are: from memory, renewed, forgotten, and kept over a restart."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent import vault_documents
from credhelper.agent.agent import Agent
from credhelper.agent.cognito_store import Stored
from credhelper.agent.gate import Wanted
from credhelper.agent.role_credentials import Entry
from credhelper.agent.sign_ins import GuestSignIns
from credhelper.agent.vault_documents import Kept, SignIn
from credhelper.domain import jwt
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.errors import ConfigError, LoginRequired, PolicyRefused, TooShortLived
from credhelper.domain.model import (
    AnyRole,
    ChainedRole,
    CognitoLogin,
    CognitoTokens,
    Guests,
    LoginMethod,
    PoolFlow,
    PoolRole,
    Role,
    RoleCredentials,
)
from credhelper.local.cognito_login_table import provider_of
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings
from credhelper.sandbox.cognito_directory import CLIENT_ID, GUEST_POOL_ID, USER_POOL_ID, USERS_POOL_ID
from credhelper.sandbox.faults import Fault
from tests.agent.test_chained_roles import Keyring
from tests.agent.world import CONFIG, World

NOTES = CognitoLogin("notes", LoginMethod.SRP, provider_of(USER_POOL_ID), USER_POOL_ID, CLIENT_ID)
GUEST_ARN = "arn:aws:iam::111122223333:role/SandboxGuest"
PROFILES = f"""
[profile kiosk]
credhelper_identity_pool_id = {GUEST_POOL_ID}
credhelper_guest = true

[profile narrow]
credhelper_identity_pool_id = {GUEST_POOL_ID}
credhelper_guest = true
credhelper_flow = basic
credhelper_role_arn = {GUEST_ARN}
credhelper_scope_down = none
credhelper_session_policy = file:narrow.json

[profile notes]
credhelper_identity_pool_id = {USERS_POOL_ID}
credhelper_cognito_login = notes
"""
END = datetime(2026, 6, 1, 12, tzinfo=UTC)
NARROW = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}


@pytest.fixture
def pools(world: World) -> World:
    """A world with profiles of identity pools and the login that one of them names."""
    world.write_config(CONFIG.format(start_url=world.sandbox.start_url) + PROFILES)
    world.config.with_name("narrow.json").write_text(json.dumps(NARROW))
    apply(world.agent, NOTES)
    return world


def apply(agent: Agent, *logins: CognitoLogin, **more: object) -> None:
    """What a reload does with such a ``config.toml``."""
    agent.settings.now = replace(Settings(), cognito_login=logins, **more)  # type: ignore[arg-type]  # a field's value
    for act in agent.settings.on_change:
        act(agent.settings.now)


def log_in(world: World, name: str = "alice", sign_in: str = "a sign-in") -> CognitoTokens:
    """As a login would end, in memory only where there is no key."""
    given = world.sandbox.cognito.log_in(name, CLIENT_ID)
    claims = jwt.read(given.id_token).claims
    tokens = CognitoTokens(
        given.id_token,
        world.clock.now().replace(microsecond=0) + timedelta(seconds=given.expires_in),
        NOTES.provider,
        str(claims["iss"]),
        str(claims["sub"]),
        given.access_token,
        given.refresh_token,
        CLIENT_ID,
    )
    store = world.agent.cognito_tokens.store
    if store.is_open:
        store.save(NOTES, Stored(tokens, sign_in))
    world.agent.cognito_tokens.adopt_login(NOTES, Stored(tokens, sign_in), is_saved=store.is_open)
    return tokens


async def get(world: World, profile: str) -> Entry:
    """What a program gets that asks over the socket."""
    return await world.hand_out(world.fields(profile))


def counted(world: World) -> Iterator[int]:
    """How often each of the three was called."""
    return (world.sandbox.calls[name] for name in ("GetId", "GetCredentialsForIdentity", "GetCallerIdentity"))


# -- serving ----------------------------------------------------------------------------------------------------------


async def test_a_guest_is_served_and_then_from_memory(pools: World) -> None:
    entry = await get(pools, "kiosk")
    document = json.loads(entry.document)
    assert (document["Version"], document["AccountId"]) == (1, "111122223333")
    assert (entry.account_id, entry.role_name) == ("111122223333", "SandboxGuest")
    before = list(counted(pools))
    hit = pools.agent.hand_out_at_once(Wanted(pools.fields("kiosk")))
    assert hit is entry
    assert list(counted(pools)) == before == [1, 1, 1]


async def test_a_user_is_served_with_the_tokens_of_the_login(pools: World) -> None:
    log_in(pools)
    entry = await get(pools, "notes")
    assert (entry.account_id, entry.role_name) == ("111122223333", "SandboxUser")
    assert pools.agent.hand_out_at_once(Wanted(pools.fields("notes"))) is entry


async def test_without_a_login_the_command_that_logs_in_is_named_and_nobody_is_served_as_a_guest(pools: World) -> None:
    with pytest.raises(LoginRequired) as caught:
        await get(pools, "notes")
    assert caught.value.hint == "credhelper login --cognito-login notes"
    assert pools.sandbox.calls["GetId"] == 0


async def test_tokens_that_a_pool_no_longer_takes_are_renewed_once(pools: World) -> None:
    log_in(pools)
    refused = Fault(error="NotAuthorizedException", message="Invalid login token. Token expired: 1 >= 0")
    pools.sandbox.fail("GetCredentialsForIdentity", refused)
    entry = await get(pools, "notes")
    assert entry.role_name == "SandboxUser"
    assert pools.sandbox.calls["GetTokensFromRefreshToken"] == 1


async def test_what_is_asked_for_is_renewed_before_it_ends(pools: World) -> None:
    first = await get(pools, "kiosk")
    await pools.live(minutes=50)
    hit = pools.agent.hand_out_at_once(Wanted(pools.fields("kiosk")))
    assert hit is not None
    assert hit.credentials.expires_at > first.credentials.expires_at
    assert pools.sandbox.calls["GetId"] == 1


async def test_what_nobody_asks_for_lapses(pools: World) -> None:
    await get(pools, "kiosk")
    await pools.live(hours=5)
    assert pools.agent.roles.entries() == []


async def test_the_end_of_a_login_ends_what_was_got_with_it_and_no_guest(pools: World) -> None:
    log_in(pools)
    await get(pools, "notes")
    await get(pools, "kiosk")
    pools.agent.cognito_tokens.close(NOTES)
    assert [role.session for role, _, _ in pools.agent.roles.entries()] == [Guests(GUEST_POOL_ID)]
    with pytest.raises(LoginRequired):
        await get(pools, "notes")


async def test_another_user_gets_credentials_of_their_own(pools: World) -> None:
    log_in(pools, "alice", "the first")
    alice = await get(pools, "notes")
    log_in(pools, "bob", "the second")
    assert (await get(pools, "notes")).credentials != alice.credentials


async def test_guests_whose_identity_is_forgotten_get_other_credentials(pools: World) -> None:
    await get(pools, "kiosk")
    pools.agent.guests.end(Guests(GUEST_POOL_ID))
    pools.agent.roles.drop_outlived(Guests(GUEST_POOL_ID))
    assert pools.agent.roles.entries() == []
    assert pools.agent.hand_out_at_once(Wanted(pools.fields("kiosk"))) is None


async def test_a_role_is_assumed_with_a_pools_credentials(pools: World) -> None:
    chained = "[profile chained]\nrole_arn = arn:aws:iam::111122223333:role/Deploy\nsource_profile = kiosk\n"
    pools.config.write_text(pools.config.read_text() + chained)
    role = pools.agent.choices.role(pools.fields("chained"))[0]
    assert isinstance(role, ChainedRole)
    assert role.session == Guests(GUEST_POOL_ID)
    entry = await pools.agent.roles.get(role.source)
    assert pools.agent.roles.is_of_present_login(role, entry)


# -- what a profile means ---------------------------------------------------------------------------------------------


async def test_a_login_that_is_added_while_the_daemon_runs_can_be_named_at_once(pools: World) -> None:
    apply(pools.agent)
    with pytest.raises(ConfigError, match=r"there is no \[cognito_login.notes\] in config.toml"):
        await get(pools, "notes")
    apply(pools.agent, NOTES)
    with pytest.raises(LoginRequired):
        await get(pools, "notes")


async def test_a_login_that_is_changed_is_another_one(pools: World) -> None:
    log_in(pools)
    await get(pools, "notes")
    other = replace(NOTES, client_id="another")
    apply(pools.agent, other)
    assert pools.agent.choices.sign_in(pools.fields("notes")) == other
    with pytest.raises(LoginRequired):
        await get(pools, "notes")


async def test_a_session_policy_that_is_changed_holds_from_the_next_request_on(pools: World) -> None:
    before = await get(pools, "narrow")
    role = pools.agent.choices.role(pools.fields("narrow"))[0]
    assert isinstance(role, PoolRole)
    assert (role.flow, role.scope_down) == (PoolFlow.BASIC, False)
    path = pools.config.with_name("narrow.json")
    narrower = {"Statement": NARROW["Statement"] * 2}
    path.write_text(json.dumps(narrower))
    assert (await get(pools, "narrow")).credentials != before.credentials
    path.unlink()
    with pytest.raises(ConfigError, match="there is no file"):
        await get(pools, "narrow")


async def test_a_changed_policy_file_is_seen_though_the_watch_vouches_for_the_rest(pools: World) -> None:
    await get(pools, "narrow")
    path = pools.config.with_name("narrow.json")
    own = pools.agent.configurations.own_files
    pools.agent.files_have_changed(frozenset(), own)
    path.write_text("{}")
    with pytest.raises(ConfigError):  # nobody vouches for the policy's file
        await get(pools, "narrow")
    path.write_text(json.dumps(NARROW))
    await get(pools, "narrow")
    pools.agent.files_have_changed(frozenset(), own | {path})
    path.write_text("{}")
    pools.agent.files_have_changed(frozenset({path}), own | {path})
    with pytest.raises(ConfigError):
        await get(pools, "narrow")


async def test_what_is_asked_for_by_name_is_found_whatever_its_kind(pools: World) -> None:
    choices = pools.agent.choices
    assert choices.sign_in(pools.everything() | {"cognito_login": "notes"}) == NOTES
    assert choices.sign_in(pools.fields("kiosk")) == Guests(GUEST_POOL_ID)
    assert choices.sign_in(pools.fields("dev")) == pools.corp
    assert choices.is_session_chosen({"cognito_login": "notes"})
    assert choices.selector(NOTES, {}) == "--cognito-login notes"
    assert choices.selector(Guests(GUEST_POOL_ID), pools.fields("kiosk")) == "--profile kiosk"
    with pytest.raises(ConfigError, match=r"\[profile kiosk\]: it is the profile of an identity pool"):
        choices.session(pools.fields("kiosk"))


async def test_pools_profiles_and_logins_are_offered(pools: World) -> None:
    found = await pools.agent.offers.document(pools.everything())
    offered = {role["profile"]: role for role in found["profiles"]}
    assert (offered["kiosk"]["identity_pool_id"], offered["kiosk"]["cognito_login"]) == (GUEST_POOL_ID, None)
    assert (offered["notes"]["cognito_login"], offered["notes"]["sso_session"]) == ("notes", None)
    assert (offered["narrow"]["account_id"], offered["narrow"]["role_name"]) == ("111122223333", "SandboxGuest")
    assert "identity_pool_id" not in offered["dev"]
    assert found["logins"] == [{"name": "notes", "provider": NOTES.provider, "state": "logged_out"}]
    log_in(pools)
    assert (await pools.agent.offers.document(pools.everything()))["logins"][0]["state"] == "active"


async def test_what_was_used_last_is_offered_first_whatever_the_pool_has_chosen(pools: World) -> None:
    await get(pools, "kiosk")
    pools.clock.advance(seconds=1)
    await get(pools, "narrow")
    found = await pools.agent.offers.document(pools.everything())
    assert [role["profile"] for role in found["profiles"]][:2] == ["narrow", "kiosk"]


async def test_what_lasts_too_short_is_told_with_what_ends_it(pools: World) -> None:
    for profile, what in (("kiosk", "enhanced flow gives an hour"), ("narrow", "credhelper_duration_seconds")):
        with pytest.raises(TooShortLived) as caught:
            await pools.agent.hand_out(Wanted(pools.fields(profile), min_left=timedelta(hours=2)))
        assert what in (caught.value.hint or "")


async def test_a_rule_about_a_pools_role_is_obeyed_though_only_the_pool_knows_it(pools: World) -> None:
    apply(pools.agent, NOTES, policy=(Rule("no guests", ("*/111122223333/SandboxGuest",), deny=True),))
    with pytest.raises(PolicyRefused):
        await get(pools, "kiosk")
    with pytest.raises(PolicyRefused):
        await get(pools, "kiosk")


# -- over a restart ---------------------------------------------------------------------------------------------------


async def restarted(world: World, keyring: Keyring) -> Agent:
    """The next daemon of the same home, once it has taken back what the one before has kept."""
    await world.agent.stop()
    world.agent = Agent(world.home, world.state, api=world.api, clock=world.clock, keychain=keyring)
    apply(world.agent, NOTES)
    await world.agent.keeper.open()
    return world.agent


async def test_a_restart_loses_neither_guests_nor_users(pools: World) -> None:
    keyring = Keyring()
    await restarted(pools, keyring)
    log_in(pools)
    before = {profile: await get(pools, profile) for profile in ("kiosk", "narrow", "notes")}
    await restarted(pools, keyring)
    for profile, entry in before.items():
        found = pools.agent.hand_out_at_once(Wanted(pools.fields(profile)))
        assert found is not None, profile
        assert found.document == entry.document
        assert (found.role_name, found.identity_id) == (entry.role_name, entry.identity_id)


async def test_after_a_restart_another_login_serves_nothing_of_the_one_before(pools: World) -> None:
    keyring = Keyring()
    await restarted(pools, keyring)
    log_in(pools, "alice", "the first")
    await get(pools, "notes")
    store = pools.agent.cognito_tokens.store
    stored = store.load(NOTES)
    assert stored is not None
    await pools.agent.stop()
    store.save(NOTES, replace(stored, sign_in="the second"))
    await restarted(pools, keyring)
    assert pools.agent.roles.entries() == []


NARROWED = PoolRole(
    USERS_POOL_ID,
    CognitoLogin(
        *("notes", LoginMethod.BROWSER, "a provider", USER_POOL_ID, CLIENT_ID, (8400, 8401), ("openid", "email")),
        *("https://login.example.com", "Okta", "alice", ("print", "token"), ("print", "secret")),
    ),
    PoolFlow.BASIC,
    role_arn=GUEST_ARN,
    duration_seconds=900,
    session_policy=json.dumps(NARROW),
    session_policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
    scope_down=True,
)
KEYS = RoleCredentials("AKID", "canary-secret-1", "canary-token-1", END, END - timedelta(hours=1))


@pytest.mark.parametrize(
    "role",
    [
        NARROWED,
        PoolRole(USERS_POOL_ID, NOTES, custom_role_arn=GUEST_ARN),
        PoolRole(GUEST_POOL_ID, Guests(GUEST_POOL_ID)),
        ChainedRole(NARROWED, "arn:aws:iam::222233334444:role/Deploy", "eu-west-1"),
    ],
)
def test_what_the_vault_keeps_of_a_pools_role_is_read_as_it_was(role: AnyRole) -> None:
    kept = Kept(role, KEYS, "a sign-in", END, account_id="111122223333", role_name="SandboxUser", identity_id="an:id")
    assert vault_documents.parse_kept(vault_documents.kept_document(kept)) == kept
    document = vault_documents.sign_in_document(role.session, SignIn("a sign-in", "a hash"))
    assert vault_documents.parse_sign_in(document) == (role.session, SignIn("a sign-in", "a hash"))


def test_roles_of_one_pool_that_differ_in_anything_are_different_files() -> None:
    changes: list[dict[str, Any]] = [
        {"role_arn": "arn:aws:iam::111122223333:role/Other"},
        {"duration_seconds": 901},
        {"session_policy": None},
        {"session_policy_arns": ()},
        {"scope_down": False},
    ]
    roles = [NARROWED, *(replace(NARROWED, **change) for change in changes)]
    assert len({vault_documents.about_role(role) for role in roles}) == len(set(roles)) == len(roles)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"kind": "cognito_login"', b'"kind": "another"'),
        (b'"method": "browser"', b'"method": "telepathy"'),
        (b'"redirect_ports": [8400, 8401]', b'"redirect_ports": ["8400"]'),
        (b'"scopes": ["openid", "email"]', b'"scopes": "openid"'),
        (b'"username": "alice"', b'"username": 7'),
        (b'"flow": "basic"', b'"flow": "classic"'),
        (b'"pool": {', b'"pond": {'),
        (b'"duration_seconds": 900', b'"duration_seconds": "900"'),
        (b'"given": ["111122223333"', b'"given": [7'),
    ],
)
def test_what_is_no_document_of_a_pools_role_is_refused(good: bytes, bad: bytes) -> None:
    document = vault_documents.kept_document(Kept(NARROWED, KEYS, "x", END, account_id="111122223333", role_name="R"))
    assert good in document
    with pytest.raises(MalformedDocument):
        vault_documents.parse_kept(document.replace(good, bad))


# -- ways to sign in --------------------------------------------------------------------------------------------------


async def test_guests_are_always_there() -> None:
    guests, pool = GuestSignIns(), Guests(GUEST_POOL_ID)
    assert (guests.look(pool), await guests.current(pool)) == (pool, pool)
    assert guests.is_good(pool)
    assert guests.is_in_force(pool)
    assert not guests.is_over(pool)
    assert guests.resume_sign_in(pool, *(guests.sign_in(pool) or ("", "")))
    await guests.refused(pool, pool, may_refresh=True)
    assert (guests.epoch(pool), guests.version(pool)) == (0, 0)
    guests.end(pool)
    assert (guests.epoch(pool), guests.version(pool), guests.epoch(Guests("eu-west-1:a-b"))) == (1, 1, 0)


async def test_each_kind_of_sign_in_is_asked_for_its_own_sources(pools: World) -> None:
    pools.log_in()
    tokens = log_in(pools)
    sign_ins = pools.agent.sign_ins
    assert sign_ins.look(pools.corp) == pools.token()
    assert sign_ins.look(NOTES) == tokens
    assert sign_ins.look(Guests(GUEST_POOL_ID)) == Guests(GUEST_POOL_ID)
    for source in (pools.corp, NOTES, Guests(GUEST_POOL_ID)):
        assert sign_ins.is_good(source)
        assert not sign_ins.is_over(source)
        assert sign_ins.sign_in(source) is not None
        assert sign_ins.expired_for(source) == 0.0
    assert not isinstance(pools.agent.choices.role(pools.fields("kiosk"))[0], Role)
    assert Path(pools.agent.cognito_tokens.store.path(NOTES)).parent.name.startswith("vault")
