"""Profiles of identity pools through all that the daemon does: status, rules, doors, the audit, logout and whoami."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent import pool_identity
from credhelper.agent.cognito_endings import CognitoEnding
from credhelper.agent.cognito_logout import SealedLogins
from credhelper.agent.cognito_store import Stored
from credhelper.agent.gate import Outcome, Passage, Wanted
from credhelper.agent.logout import Sweep, assume_role_sources, revoke
from credhelper.agent.openings import identity_of, refuse_other_role
from credhelper.domain.errors import AccessRefused, ConfigError, Locked, LoginRequired, PolicyRefused, Refused
from credhelper.domain.model import PoolRole
from credhelper.local.policy_table import Rule
from credhelper.sandbox.cognito_directory import GUEST_POOL_ID, USERS_POOL_ID
from credhelper.sandbox.faults import Fault
from tests.agent.pool_world import NOTES, PROVIDER, PoolWorld
from tests.agent.world import World, until

ACCOUNT, USER_ROLE, GUEST_ROLE = "111122223333", "SandboxUser", "SandboxGuest"


@pytest.fixture
async def pools(world: World) -> AsyncIterator[PoolWorld]:
    found = PoolWorld(world)
    yield found
    await found.agent.stop()


async def test_status_shows_the_role_that_a_pool_has_chosen(pools: PoolWorld) -> None:
    pools.log_in()
    await pools.get("notes-app")
    await pools.get("kiosk")
    found = {role["profiles"][0]: role for role in pools.roles()}
    assert [found[name]["source"] for name in ("notes-app", "kiosk")] == ["cognito", "cognito"]
    assert (found["notes-app"]["account_id"], found["notes-app"]["role_name"]) == (ACCOUNT, USER_ROLE)
    assert (found["kiosk"]["account_id"], found["kiosk"]["role_name"]) == (ACCOUNT, GUEST_ROLE)
    assert found["kiosk"]["sso_session"] is None


async def test_status_tells_of_cognito_logins_in_the_contracts_shape(pools: PoolWorld) -> None:
    status = pools.agent.status(pools.fields("notes-app"))
    assert status["status"]["cognito_logins"] == [{"name": "notes", "state": "logged_out", "expires_at": None}]
    assert status["chosen"] == "logged_out"
    pools.log_in()
    status = pools.agent.status(pools.fields(cognito_login="notes"))
    assert status["status"]["cognito_logins"][0]["state"] == status["chosen"] == "active"
    assert pools.agent.status(pools.fields("kiosk"))["chosen"] == "active"


async def test_the_prompt_speaks_of_a_login_and_has_nothing_to_say_of_guests(pools: PoolWorld) -> None:
    pools.log_in()
    assert pools.agent.prompt(pools.fields("notes-app")) == "notes ok"
    assert pools.agent.prompt(pools.fields(cognito_login="notes")) == "notes ok"
    assert pools.agent.prompt(pools.fields("kiosk")) == ""


async def test_the_audit_names_the_role_that_the_pool_has_chosen(pools: PoolWorld) -> None:
    outcomes: list[Outcome] = []
    pools.agent.gate.on_outcome.append(outcomes.append)
    pools.log_in()
    await pools.get("notes-app")
    assert pools.agent.hand_out_at_once(Wanted(pools.fields("notes-app"))) is not None
    roles = [
        outcome.passage.role and (outcome.passage.role.account_id, outcome.passage.role.role_name)
        for outcome in outcomes
    ]
    assert roles == [(ACCOUNT, USER_ROLE)] * 2
    assert [outcome.is_hit for outcome in outcomes] == [False, True]


@pytest.mark.parametrize(
    "pattern", [f"*/{ACCOUNT}/{USER_ROLE}", f"notes/{ACCOUNT}/*", f"{USERS_POOL_ID}/*", "notes/*", "notes-app"]
)
async def test_a_rule_finds_a_pools_role_by_whatever_it_is_called(world: World, pattern: str) -> None:
    pools = PoolWorld(world, Rule(name="no", match=(pattern,), deny=True))
    pools.log_in()
    with pytest.raises(PolicyRefused):
        await pools.get("notes-app")
    with pytest.raises(PolicyRefused):  # also now that the role is known
        pools.agent.hand_out_at_once(Wanted(pools.fields("notes-app")))
    await pools.get("kiosk")
    await pools.agent.stop()


async def test_a_rule_about_what_a_pool_gives_holds_for_what_is_assumed_with_it(world: World) -> None:
    pools = PoolWorld(world, Rule(name="no", match=(f"notes/{ACCOUNT}/{USER_ROLE}",), deny=True))
    pools.log_in()
    for profile in ("notes-app", "above"):  # with the first it is known which role the pool gives
        with pytest.raises(PolicyRefused):
            await pools.get(profile)
    await pools.agent.stop()


async def test_a_lifetime_that_the_enhanced_flow_cannot_have_is_refused(world: World) -> None:
    pools = PoolWorld(world, Rule(name="short", match=("kiosk",), max_ttl=1800))
    with pytest.raises(ConfigError, match="the enhanced flow of identity pools fixes"):
        await pools.get("kiosk")
    await pools.agent.stop()


async def test_a_door_leads_to_one_pool_though_two_have_the_same_guests_and_login(pools: PoolWorld) -> None:
    role, _ = pools.agent.choices.role(pools.fields("notes-app"))
    bound = Wanted(pools.fields("notes-app"), bound_to=identity_of(role))
    refuse_other_role(Passage(bound, role, "notes-app"))
    assert isinstance(role, PoolRole)
    other = replace(role, pool_id=GUEST_POOL_ID)
    with pytest.raises(AccessRefused, match="another one now"):
        refuse_other_role(Passage(bound, other, "notes-app"))


async def test_a_logout_of_everything_ends_the_login_and_leaves_guests_served(pools: PoolWorld) -> None:
    tokens = pools.log_in()
    await pools.get("notes-app")
    guest = await pools.get("kiosk")
    receipt = await pools.agent.logout(pools.fields())
    assert receipt["sessions"] == [
        {
            "source": "cognito",
            "sso_session": None,
            "cognito_login": "notes",
            "start_url": None,
            "token": "deleted",
            "revoked": True,
            "error": None,
        }
    ]
    (valid,) = receipt["still_valid"]
    assert (valid["account_id"], valid["role_name"]) == (ACCOUNT, USER_ROLE)
    with pytest.raises(LoginRequired):
        await pools.get("notes-app")
    assert await pools.get("kiosk") == guest
    with pytest.raises(Refused):
        pools.agent.user_pools.refresh(NOTES, tokens.refresh_token or "", None)


async def test_logging_out_of_one_kind_leaves_the_other_alone(pools: PoolWorld) -> None:
    pools.world.log_in()
    pools.log_in()
    receipt = await pools.agent.logout(pools.fields(cognito_login="notes"))
    assert [session["source"] for session in receipt["sessions"]] == ["cognito"]
    assert pools.world.token()
    pools.log_in()
    receipt = await pools.agent.logout(pools.fields("dev"))
    assert [session["source"] for session in receipt["sessions"]] == ["sso"]
    await pools.get("notes-app")


async def test_a_logout_of_everything_lists_cognito_logins_last(pools: PoolWorld) -> None:
    pools.world.log_in()
    pools.log_in()
    receipt = await pools.agent.logout(pools.fields())
    assert [(each["source"], each["revoked"]) for each in receipt["sessions"]] == [("sso", True), ("cognito", True)]


async def test_a_login_without_tokens_was_not_logged_in(pools: PoolWorld) -> None:
    (session,) = (await pools.agent.logout(pools.fields(cognito_login="notes")))["sessions"]
    assert (session["token"], session["revoked"], session["error"]) == ("absent", None, None)


async def test_offline_what_is_local_goes_and_the_daemon_goes_on_trying(pools: PoolWorld) -> None:
    pools.log_in()
    pools.sandbox.fail("RevokeToken", Fault(status=503))
    (session,) = (await pools.agent.logout(pools.fields(cognito_login="notes")))["sessions"]
    assert (session["token"], session["revoked"]) == ("deleted", False)
    assert session["error"].endswith("the daemon goes on trying")
    assert len(pools.agent.revocations) == 1
    assert pools.agent.status(pools.fields(cognito_login="notes"))["chosen"] == "logged_out"


async def test_everywhere_ends_the_sign_ins_of_other_devices_too(pools: PoolWorld) -> None:
    elsewhere = pools.sandbox.cognito.log_in("alice")
    pools.log_in()
    (session,) = (await pools.agent.logout(pools.fields(cognito_login="notes")))["sessions"]
    assert session["revoked"] is True
    assert pools.agent.user_pools.refresh(NOTES, elsewhere.refresh_token or "", None)
    pools.log_in()
    (session,) = (await pools.agent.logout(pools.fields(cognito_login="notes", everywhere="1")))["sessions"]
    assert session["revoked"] is True
    with pytest.raises(Refused):
        pools.agent.user_pools.refresh(NOTES, elsewhere.refresh_token or "", None)


async def test_everywhere_renews_an_access_token_that_has_just_expired(pools: PoolWorld) -> None:
    pools.log_in(access_token="expired.or.mangled")
    (session,) = (await pools.agent.logout(pools.fields(cognito_login="notes", everywhere="1")))["sessions"]
    assert (session["revoked"], session["error"]) == (True, None)


async def test_a_token_of_a_command_is_its_issuers_to_end(pools: PoolWorld) -> None:
    tokens = pools.log_in()
    google = replace(NOTES, name="google", user_pool_id=None, client_id=None, provider="accounts.google.com")
    ending = CognitoEnding(google, tokens, pools.agent.user_pools, is_everywhere=False)
    ending.attempt(pools.world.api, pools.world.clock.now())
    assert ending.error is not None
    assert "only whoever issued it" in ending.error


async def test_a_guest_keeps_the_identity_until_it_is_forgotten(pools: PoolWorld) -> None:
    before = await whose(pools, "kiosk")
    receipt = await pools.agent.logout(pools.fields("kiosk"))
    assert (receipt["sessions"], receipt["removed"]) == ([], [])
    assert await whose(pools, "kiosk") == before
    receipt = await pools.agent.logout(pools.fields("kiosk", forget_identity="1"))
    assert len(receipt["removed"]) == 1
    assert [valid["role_name"] for valid in receipt["still_valid"]] == [GUEST_ROLE]
    assert await whose(pools, "kiosk") != before


async def test_what_a_forgotten_guest_is_being_given_just_now_is_not_served(pools: PoolWorld) -> None:
    with pools.sandbox.hold("GetCredentialsForIdentity") as hold:
        asking = asyncio.create_task(pools.get("kiosk"))
        await until(lambda: hold.waiting == 1)
        await pools.agent.logout(pools.fields(forget_identity="1"))
    await asking
    assert pools.sandbox.calls["GetId"] == 2


async def test_a_users_identity_outlives_a_logout_and_comes_again_when_forgotten(pools: PoolWorld) -> None:
    pools.log_in()
    before = await whose(pools, "notes-app")
    receipt = await pools.agent.logout(pools.fields())
    assert not [path for path in receipt["removed"] if "identity-" in path]
    pools.log_in()
    assert await whose(pools, "notes-app") == before
    receipt = await pools.agent.logout(pools.fields(cognito_login="notes", forget_identity="1"))
    assert len([path for path in receipt["removed"] if "identity-" in path]) == 1
    pools.log_in()
    assert await whose(pools, "notes-app") == before


async def test_the_browsers_sign_out_page_is_the_managed_logins(pools: PoolWorld) -> None:
    receipt = await pools.agent.logout(pools.fields(cognito_login="notes", browser="1"))
    (page,) = receipt["browser"]
    assert page["url"].startswith(f"{pools.sandbox.url}/logout?client_id={NOTES.client_id}&logout_uri=http%3A%2F%2F127")


async def test_a_logout_that_is_under_way_is_not_overtaken_by_a_refresh(pools: PoolWorld) -> None:
    pools.log_in()
    await pools.get("notes-app")
    await pools.agent.logout(pools.fields("notes-app"))
    assert pools.agent.cognito_tokens.look(NOTES) is None
    assert not [role for role in pools.roles() if role["role_name"] == USER_ROLE]


async def test_whoami_tells_the_identity_and_the_claims_and_no_token(pools: PoolWorld) -> None:
    tokens = pools.log_in()
    found = await pool_identity.identity(pools.agent, Wanted(pools.fields("notes-app")))
    assert (found["profile"], found["identity_pool_id"], found["kind"]) == ("notes-app", USERS_POOL_ID, "authenticated")
    assert (found["cognito_login"], found["provider"], found["role_name"]) == ("notes", PROVIDER, USER_ROLE)
    assert found["identity_id"] in pools.sandbox.cognito.identities()
    assert found["claims"]["sub"] == tokens.subject
    assert not {"exp", "jti", "nonce"} & found["claims"].keys()
    secrets = (tokens.id_token, tokens.access_token or "", tokens.refresh_token or "")
    assert not [secret for secret in secrets if secret in str(found)]


async def test_whoami_of_a_guest_has_no_claims(pools: PoolWorld) -> None:
    found = await pool_identity.identity(pools.agent, Wanted(pools.fields("kiosk")))
    assert (found["kind"], found["cognito_login"], found["provider"], found["claims"]) == ("guest", None, None, {})


async def test_whoami_of_another_kind_of_profile_asks_for_nothing(pools: PoolWorld) -> None:
    with pytest.raises(ConfigError, match="none of an identity pool"):
        await pool_identity.identity(pools.agent, Wanted(pools.fields("dev")))


async def test_the_claims_are_told_without_a_call_and_not_while_locked(pools: PoolWorld) -> None:
    pools.log_in()
    before = len(pools.sandbox.calls)
    found = await pool_identity.claims(pools.agent, pools.fields("notes-app"))
    assert found["role_provider"] == f"{PROVIDER}:{NOTES.client_id}"
    assert (await pool_identity.claims(pools.agent, pools.fields(cognito_login="notes")))["claims"] == found["claims"]
    assert (await pool_identity.claims(pools.agent, pools.fields("kiosk")))["kind"] == "guest"
    assert len(pools.sandbox.calls) == before
    await pools.agent.lock.lock()
    with pytest.raises(Locked):
        await pool_identity.claims(pools.agent, pools.fields("notes-app"))


async def test_account_and_role_reach_get_and_whoami(pools: PoolWorld) -> None:
    pools.log_in()
    entry = await pools.agent.hand_out(Wanted(pools.fields("notes-app")))
    assert f'"AccountId": "{ACCOUNT}"' in entry.document
    found: dict[str, Any] = await pools.agent.whoami(Wanted(pools.fields("notes-app")))
    assert (found["account_id"], found["role_name"], found["sso_session"]) == (ACCOUNT, USER_ROLE, None)


async def test_the_console_opens_with_the_role_that_a_pool_gives(pools: PoolWorld) -> None:
    pools.log_in()
    found = await pools.agent.console(Wanted(pools.fields("notes-app")))
    assert (found["account_id"], found["role_name"], found["region"]) == (ACCOUNT, USER_ROLE, "us-east-1")
    assert "Issuer" not in found["url"]  # nobody knows where a person of a pool signs in


async def test_a_refusal_before_the_pool_has_spoken_is_recorded_without_a_role(pools: PoolWorld) -> None:
    with pytest.raises(LoginRequired):
        await pools.get("notes-app")
    document = await pools.agent.audit.flush()
    (record,) = records(document["path"])
    assert (record["profile"], record["account_id"], record["role_name"]) == ("notes-app", None, None)


async def test_what_is_sealed_is_unsealed_to_end_the_sign_in_and_then_goes(pools: PoolWorld) -> None:
    tokens = pools.log_in()
    store = pools.agent.cognito_tokens.store
    store.key_box.key = bytes(32)
    store.save(NOTES, Stored(tokens, "a sign-in"))
    sweep = Sweep(
        pools.world.home,
        pools.agent.configurations.of(pools.fields()),
        pools.world.lock_path,
        vault=store.directory,
        logins=SealedLogins(pools.agent.cognito_tokens.sources),
    )
    (outcome,) = sweep.everything(logins={NOTES: None}).outcomes
    assert (outcome.token, store.path(NOTES).exists()) == ("deleted", False)
    revoke(pools.world.api, outcome, pools.world.clock.now())
    assert (outcome.revoked, outcome.error) == (True, None)


async def test_what_cannot_be_unsealed_goes_all_the_same(pools: PoolWorld) -> None:
    store = pools.agent.cognito_tokens.store
    store.key_box.key = bytes(32)
    store.save(NOTES, Stored(pools.log_in(), "a sign-in"))
    store.key_box.key = None
    pools.agent.cognito_tokens.close(NOTES)
    pools.agent.cognito_tokens.reopen(NOTES)
    (session,) = (await pools.agent.logout(pools.fields(cognito_login="notes")))["sessions"]
    assert (session["token"], session["revoked"], store.path(NOTES).exists()) == ("deleted", False, False)
    assert "its key is not at hand" in session["error"]


async def test_a_chain_over_a_login_explains_the_aws_clis_entry(pools: PoolWorld) -> None:
    sources = assume_role_sources(pools.agent.configurations.of(pools.fields()))
    assert list(sources.values()) == [{NOTES}]


def records(path: str) -> list[dict[str, Any]]:
    """Of the audit."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


async def whose(pools: PoolWorld, profile: str) -> str:
    """The identity that a profile's credentials are of."""
    found = await pool_identity.identity(pools.agent, Wanted(pools.fields(profile)))
    return str(found["identity_id"])
