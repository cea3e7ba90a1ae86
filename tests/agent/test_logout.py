"""What a logout takes away, what it leaves alone, and whether its receipt tells the truth."""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent.gate import Wanted
from credhelper.agent.logout import Receipt, Sweep, assume_role_sources, revoke
from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.domain import documents
from credhelper.domain.errors import ConfigError, LoginRequired
from credhelper.domain.model import Role, SsoSession
from credhelper.local import file_lock, places, sealed_files
from credhelper.sandbox.faults import Body, Cut, Fault
from tests.agent.world import ACCOUNT, World, failing, files_below, sha1

Json = dict[str, Any]
ROLE_ARN = "arn:aws:iam::222233334444:role/Deploy"
SSO_ENTRY = {"ProviderType": "sso", "Credentials": {"AccessKeyId": "ASIA", "SecretAccessKey": "s"}}
ASSUMED_ENTRY = {
    "Credentials": {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Expiration": "2026-06-01T10:00:00UTC"},
    "AssumedRoleUser": {"AssumedRoleId": "AROA:x", "Arn": "arn:aws:sts::222233334444:assumed-role/Deploy/x"},
    "ResponseMetadata": {"HTTPStatusCode": 200},
}


def sweep(world: World) -> Sweep:
    """Without a daemon: the files alone."""
    return Sweep(world.home, configuration(world), world.lock_path, vault=vault(world))


def configuration(world: World) -> Configuration:
    return config_file.load(ConfigPaths.of({"HOME": str(world.home)}))


def vault(world: World) -> Path:
    return places.vault_directory(world.state)


def cli_cache(world: World) -> Path:
    return world.home / ".aws" / "cli" / "cache"


def put(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def removed(receipt: Receipt) -> set[Path]:
    return set(receipt.removed)


@contextlib.contextmanager
def unchangeable(directory: Path) -> Iterator[None]:
    """A directory whose files cannot be deleted, not even by root."""
    if subprocess.run(["chattr", "+i", directory], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system attributes here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", directory], check=True)


# -- everything -------------------------------------------------------------------------------------------------------


async def test_everything_goes_and_the_receipt_says_so(world: World) -> None:
    token = world.log_in()
    await world.get()
    entry = put(cli_cache(world) / documents.role_cache_file_name(world.developer), SSO_ENTRY)
    receipt = await world.agent.logout(world.everything())
    assert receipt == {
        "sessions": [
            {
                "source": "sso",
                "sso_session": "corp",
                "cognito_login": None,
                "start_url": world.corp.start_url,
                "token": "deleted",
                "revoked": True,
                "error": None,
            }
        ],
        "removed": [str(world.token_path()), str(world.cache.registration_path(world.corp)), str(entry)],
        "left": [],
        "still_valid": [
            {"account_id": ACCOUNT, "role_name": "Developer", "expires_at": "2026-06-01T10:00:00Z"},
        ],
    }
    assert files_below(world.home / ".aws") == {str(world.config)}
    await failing(world.get(), LoginRequired)
    world.save(token)
    world.clock.advance(seconds=2)
    await failing(world.get(), LoginRequired)


async def test_the_sign_in_is_ended_at_the_portal(world: World) -> None:
    """A copy of the token, made before, is worth nothing."""
    token = world.log_in()
    await world.agent.logout(world.everything())
    world.save(token)
    fresh = world.new_agent()
    with pytest.raises(LoginRequired):
        await fresh.hand_out(Wanted(world.fields()))


async def test_nothing_there_is_nothing_done(world: World) -> None:
    empty: Json = {"sessions": [], "removed": [], "left": [], "still_valid": []}
    assert await world.agent.logout(world.everything()) == empty
    world.log_in()
    await world.agent.logout(world.everything())
    assert await world.agent.logout(world.everything()) == empty


async def test_credentials_nobody_was_given_are_not_called_still_valid(world: World) -> None:
    world.log_in()
    given = await world.get()
    await world.live(minutes=45)
    assert world.fetches() == 2, "others have been fetched since, in the background"
    [still_valid] = (await world.agent.logout(world.everything()))["still_valid"]
    assert still_valid["expires_at"] == given["Expiration"]


async def test_credentials_that_have_expired_are_not_called_still_valid(world: World) -> None:
    world.log_in()
    await world.get()
    world.clock.advance(hours=1)
    assert (await world.agent.logout(world.everything()))["still_valid"] == []


def test_sessions_come_in_file_order_then_legacy_then_unknown(world: World) -> None:
    start = world.corp.start_url
    text = f"[profile old]\nsso_start_url = {start}/#\nsso_region = us-east-1\n"
    for name in ("zeta", "alpha", "mid"):
        text += f"[sso-session {name}]\nsso_start_url = {start}\nsso_region = us-east-1\n"
    world.write_config(text)
    sessions = [SsoSession(name, start, "us-east-1") for name in ("zeta", "alpha", "mid")]
    sessions.append(SsoSession(None, f"{start}/#", "us-east-1"))
    for session in reversed(sessions):
        world.log_in(replace(session, start_url=start) if session.name else session)
    put(world.cache.directory / "0000.json", {"accessToken": "x", "startUrl": "https://other.example/start"})
    receipt = sweep(world).everything().document()
    assert [(found["sso_session"], found["start_url"]) for found in receipt["sessions"]] == [
        ("zeta", start),
        ("alpha", start),
        ("mid", start),
        (None, f"{start}/#"),
        (None, "https://other.example/start"),
    ]


def test_a_session_that_had_nothing_is_not_listed(world: World) -> None:
    world.log_in(world.legacy)
    receipt = sweep(world).everything().document()
    assert [found["sso_session"] for found in receipt["sessions"]] == [None]


def test_every_file_with_an_access_token_goes_whatever_its_name(world: World) -> None:
    """As `aws sso logout` does it."""
    unknown = [
        put(world.cache.directory / name, {"accessToken": "x", "expiresAt": "2026-06-01T10:00:00Z"})
        for name in ("aws-toolkit-token.json", "no-extension", sha1("https://gone.example/start") + ".json")
    ]
    assert removed(sweep(world).everything()) == set(unknown)


def test_registrations_of_configured_sessions_go_even_without_a_token(world: World) -> None:
    world.log_in()
    world.token_path().unlink()
    assert removed(sweep(world).everything()) == {world.cache.registration_path(world.corp)}


def test_registrations_that_share_a_deleted_tokens_client_go(world: World) -> None:
    """As after a change of the scopes, which changes the registration's file name."""
    world.log_in()
    old = world.cache.registration_path(world.corp).rename(world.cache.directory / "old-name.json")
    assert removed(sweep(world).everything()) == {world.token_path(), old}


def test_other_registrations_stay(world: World) -> None:
    other = put(
        world.cache.directory / "ide.json",
        {"clientId": "theirs", "clientSecret": "theirs", "expiresAt": "2027-01-01T00:00:00Z"},
    )
    world.log_in()
    sweep(world).everything()
    assert other.exists()


def test_sso_entries_of_the_clis_role_cache_go_and_no_other_tools_files(world: World) -> None:
    cache = cli_cache(world)
    goes = [put(cache / "a.json", SSO_ENTRY), put(cache / "unknown-role.json", SSO_ENTRY)]
    stays = [
        put(cache / "process.json", {"ProviderType": "process", "Credentials": {}}),
        put(cache / "no-type.json", {"Credentials": {}}),
        put(cache / "list.json", [SSO_ENTRY]),
        put(cache / "number.json", 12345),
        put(cache / "broken.json", b"{bad"),
        put(cache / "session.db", b"SQLite format 3\0"),
        put(world.home / ".aws" / "login" / "cache" / "a.json", {"accessToken": {"accessKeyId": "x"}}),
        put(world.home / ".aws" / "boto" / "cache" / "a.json", SSO_ENTRY),
        put(world.home / ".aws" / "credentials", b"[default]\naws_access_key_id = x\n"),
        put(world.cache.directory / "note.json", {"hello": "world"}),
    ]
    assert removed(sweep(world).everything()) == set(goes)
    assert all(path.exists() for path in stays)


@pytest.mark.parametrize(
    "kind", ["list", "number", "string", "null", "empty", "broken", "fifo", "directory", "symlink"]
)
def test_strange_things_in_the_cache_stop_nothing_and_stay(world: World, kind: str) -> None:
    """A bare number makes `aws sso logout` fail."""
    world.log_in()
    path = world.cache.directory / "0-strange.json"
    contents = {
        "list": b"[]",
        "number": b"12345",
        "string": b'"accessToken"',
        "null": b"null",
        "empty": b"",
        "broken": b'{"accessToken"',
    }
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to(world.config)
    else:
        path.write_bytes(contents[kind])
    receipt = sweep(world).everything()
    assert receipt.left == []
    assert not world.token_path().exists()
    assert path.is_symlink() or path.exists()
    assert world.config.exists()


@pytest.mark.parametrize("value", [None, 7, [], {}, ["x"], {"x": "x"}, ""])
def test_members_of_strange_types_stop_nothing(world: World, value: object) -> None:
    members = ("region", "startUrl", "clientId", "clientSecret", "refreshToken", "expiresAt", "registrationExpiresAt")
    strange = dict.fromkeys(members, value)
    goes = put(world.cache.directory / "token.json", strange | {"accessToken": value})
    stays = put(world.cache.directory / "registration.json", strange)
    entry = put(cli_cache(world) / "role.json", {"ProviderType": value, "AssumedRoleUser": value})
    assert removed(sweep(world).everything()) == {goes, entry}
    assert stays.exists()


@pytest.mark.parametrize("kind", ["fifo", "symlink", "broken", "empty", "huge", "list"])
def test_whatever_is_in_a_known_tokens_place_goes(world: World, kind: str) -> None:
    world.cache.directory.mkdir(parents=True)
    path = world.token_path()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(world.config)
    else:
        path.write_bytes({"broken": b"{", "empty": b"", "huge": b" " * 300_000, "list": b"[1]"}[kind])
    receipt = sweep(world).everything()
    for outcome in receipt.outcomes:
        revoke(world.api, outcome, world.clock.now())
    found = receipt.document()["sessions"]
    assert [(one["token"], one["revoked"]) for one in found] == [("deleted", None)]
    assert "no token" in found[0]["error"]
    assert not os.path.lexists(path)
    assert world.config.exists()
    assert world.sandbox.calls["Logout"] == 0


def test_a_directory_in_the_tokens_place_is_left_and_told(world: World) -> None:
    world.token_path().mkdir(parents=True)
    receipt = sweep(world).everything().document()
    assert receipt["sessions"][0]["token"] == "kept"
    assert [left["path"] for left in receipt["left"]] == [str(world.token_path())]
    assert receipt["left"][0]["why"]
    assert receipt["removed"] == []


async def test_a_token_that_cannot_be_deleted_is_kept_told_revoked_and_not_served(world: World) -> None:
    world.log_in()
    await world.get()
    with unchangeable(world.cache.directory):
        receipt = await world.agent.logout(world.everything())
        assert (receipt["sessions"][0]["token"], receipt["sessions"][0]["revoked"]) == ("kept", True)
        left = {found["path"] for found in receipt["left"]}
        assert left == {str(world.token_path()), str(world.cache.registration_path(world.corp))}
        await failing(world.get(), LoginRequired)
        assert world.agent.status(world.everything())["status"]["sso_sessions"][0]["state"] == "logged_out"


def test_broken_configuration_does_not_keep_tokens(world: World) -> None:
    world.log_in()
    nothing = Configuration(ConfigPaths.of({"HOME": str(world.home)}))
    receipt = Sweep(world.home, nothing, world.lock_path, vault=vault(world)).everything()
    assert removed(receipt) == {world.token_path(), world.cache.registration_path(world.corp)}
    assert receipt.outcomes[0].session is None
    assert receipt.outcomes[0].start_url == world.corp.start_url


async def test_a_configuration_that_cannot_be_parsed_does_not_keep_anybody_in(world: World) -> None:
    world.log_in()
    world.write_config("[broken\n")
    receipt = await world.agent.logout(world.everything())
    assert receipt["sessions"][0]["token"] == "deleted"
    assert receipt["sessions"][0]["revoked"] is True


def test_a_busy_lock_delays_a_logout_only_for_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credhelper.agent.logout.LOCK_PATIENCE", 0.01)
    world.log_in()
    with file_lock.locked(world.lock_path("corp"), seconds=1):
        assert sweep(world).everything().outcomes[0].token == "deleted"


def test_missing_directories_are_fine(world: World) -> None:
    (world.home / ".aws" / "config").unlink()
    (world.home / ".aws").rmdir()
    assert sweep(world).everything().document()["sessions"] == []


# -- one --------------------------------------------------------------------------------------------------------------


async def test_with_a_selector_only_that_session_goes(world: World) -> None:
    lab = replace(world.corp, name="lab")
    world.write_config(
        world.config.read_text()
        + f"[sso-session lab]\nsso_start_url = {lab.start_url}\nsso_region = us-east-1\n"
        + "sso_registration_scopes = sso:account:access\n"
        + "[profile in-lab]\nsso_session = lab\nsso_account_id = 111122223333\nsso_role_name = Developer\n"
    )
    world.log_in()
    world.log_in(lab)
    await world.get("in-lab")
    await world.get("dev")
    mine = put(cli_cache(world) / documents.role_cache_file_name(world.developer), SSO_ENTRY)
    theirs = put(cli_cache(world) / documents.role_cache_file_name(Role(lab, ACCOUNT, "Developer")), SSO_ENTRY)
    unknown = put(cli_cache(world) / "unknown.json", SSO_ENTRY)
    foreign = put(world.cache.directory / "foreign.json", {"accessToken": "x"})
    receipt = await world.agent.logout(world.everything() | {"sso_session": "corp"})
    assert set(receipt["removed"]) == {
        str(world.token_path()),
        str(world.cache.registration_path(world.corp)),
        str(mine),
    }
    assert [found["sso_session"] for found in receipt["sessions"]] == ["corp"]
    assert all(path.exists() for path in (theirs, unknown, foreign, world.token_path(lab)))
    assert world.agent.hand_out_at_once(Wanted(world.fields("in-lab")))
    await failing(world.get("dev"), LoginRequired)


async def test_a_profile_selects_its_session(world: World) -> None:
    world.log_in()
    receipt = await world.agent.logout(world.fields("readonly"))
    assert [(found["sso_session"], found["token"]) for found in receipt["sessions"]] == [("corp", "deleted")]


async def test_a_selected_session_without_a_token_is_absent(world: World) -> None:
    receipt = await world.agent.logout(world.fields())
    assert [(found["token"], found["revoked"], found["error"]) for found in receipt["sessions"]] == [
        ("absent", None, None)
    ]


async def test_a_selected_session_that_is_not_configured_is_an_error(world: World) -> None:
    message = await failing(world.agent.logout(world.everything() | {"sso_session": "nope"}), ConfigError)
    assert "[sso-session nope]" in message


async def test_a_registration_with_the_tokens_client_goes_with_the_session(world: World) -> None:
    world.log_in()
    old = world.cache.registration_path(world.corp).rename(world.cache.directory / "old-name.json")
    receipt = await world.agent.logout(world.fields())
    assert str(old) in receipt["removed"]


# -- revoking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        Fault(status=500),
        Fault(status=403),
        Fault(status=429),
        Fault(body=Body.HTML, status=503),
        Fault(body=Body.REDIRECT),
        Fault(cut=Cut.BEFORE),
    ],
)
async def test_a_portal_that_fails_is_told_and_what_is_local_is_gone(world: World, failure: Fault) -> None:
    token = world.log_in()
    world.sandbox.fail("Logout", failure)
    receipt = await world.agent.logout(world.everything())
    found = receipt["sessions"][0]
    assert (found["token"], found["revoked"]) == ("deleted", False)
    assert found["error"]
    assert token.access_token not in json.dumps(receipt)
    assert receipt["left"] == []
    assert not world.token_path().exists()


async def test_a_portal_that_hangs_is_given_up_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credhelper.agent.logging_out.REVOKE_DEADLINE", 0.05)
    world.log_in()
    with world.sandbox.hold("Logout"):
        receipt = await world.agent.logout(world.everything())
    assert receipt["sessions"][0]["revoked"] is False
    assert "0.05 s" in receipt["sessions"][0]["error"]


async def test_the_files_are_gone_before_the_portal_is_asked(world: World) -> None:
    world.log_in()
    with world.sandbox.hold("Logout"):
        logout = world.agent.logout(world.everything())
        waiting = asyncio.ensure_future(logout)
        await world.held("Logout")
        assert not world.token_path().exists()
        await failing(world.get(), LoginRequired)
    assert (await waiting)["sessions"][0]["revoked"] is True


@pytest.mark.parametrize("region", [None, "evil.example/", "us-east-1.evil.example", "US-EAST-1", "", 7, "a" * 40])
def test_an_unknown_token_without_a_plausible_region_is_sent_nowhere(world: World, region: object) -> None:
    put(world.cache.directory / "unknown.json", {"accessToken": "CANARY", "region": region})
    receipt = sweep(world).everything()
    for outcome in receipt.outcomes:
        revoke(world.api, outcome, world.clock.now())
    found = receipt.document()["sessions"][0]
    assert (found["token"], found["revoked"]) == ("deleted", False)
    assert "region" in found["error"]
    assert world.sandbox.calls["Logout"] == 0


async def test_a_torn_file_is_revoked_from_memory(world: World) -> None:
    world.log_in()
    await world.get()
    world.token_path().write_text('{"acc')
    receipt = await world.agent.logout(world.everything())
    assert (receipt["sessions"][0]["token"], receipt["sessions"][0]["revoked"]) == ("deleted", True)


async def test_every_session_is_revoked_with_its_own_token(world: World) -> None:
    lab = replace(world.corp, name="lab")
    tokens = {world.log_in().access_token, world.log_in(lab).access_token}
    await world.agent.logout(world.everything())
    sent = {
        call.request.headers["x-amz-sso_bearer_token"] for call in world.sandbox.recorded if call.operation == "Logout"
    }
    assert sent == tokens


# -- registrations as older releases named them -----------------------------------------------------------------------


def old_registration(world: World, region: str = "us-east-1", content: object = None, **members: str) -> Path:
    document = {"clientId": "old", "clientSecret": "CANARY", "expiresAt": "2026-08-01T00:00:00Z"} | members
    path = world.cache.directory / f"botocore-client-id-{region}.json"
    return put(path, document if content is None else content)


@pytest.mark.parametrize("content", [None, b"{torn", b"", b"[1]", b" " * 5_000_000])
def test_the_old_registration_of_a_configured_region_goes_whatever_is_in_it(world: World, content: object) -> None:
    old = old_registration(world, content=content)
    elsewhere = old_registration(world, "eu-north-1")
    assert removed(sweep(world).everything()) == {old}
    assert elsewhere.exists()


def test_an_old_registration_of_another_region_goes_with_the_token_it_was_made_for(world: World) -> None:
    token = world.log_in()
    old = old_registration(world, "eu-north-1", clientId=token.client_id or "")
    assert old in removed(sweep(world).one(world.corp))


def test_with_a_selector_the_old_registration_of_its_region_goes_if_nobody_else_has_that_region(world: World) -> None:
    old = old_registration(world)
    assert removed(sweep(world).one(world.corp)) == set()  # the legacy profile has the same region
    text = world.config.read_text()
    world.write_config(text[: text.index("[profile legacy]")])
    assert removed(sweep(world).one(world.corp)) == {old}


# -- what was cut short, or cannot be read ----------------------------------------------------------------------------

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "content",
    [
        b'{"accessToken": "CANARY", "expiresAt": "2026-06-',
        b'{"startUrl": "https://x.example/start", "accessToken": "CANARY',
        b'{"accessToken": "CANARY", "deep": ' + DEEP,
        b'{"accessToken": "CANARY", "bad": "\xff\xfe"}',
        b'{"accessToken": "CANARY"} and more',
    ],
)
def test_a_token_in_a_file_that_is_no_json_goes_whatever_its_name(world: World, content: bytes) -> None:
    path = put(world.cache.directory / "anything.json", content)
    receipt = sweep(world).everything()
    assert removed(receipt) == {path}
    assert [outcome.token for outcome in receipt.outcomes] == ["deleted"]
    assert "CANARY" not in repr(receipt)


def test_what_can_be_made_out_of_a_torn_token_ends_the_sign_in(world: World) -> None:
    token = world.log_in()
    content = documents.token_document(token)
    world.token_path().write_bytes(content[: content.index(b'"clientSecret"')])
    receipt = sweep(world).one(world.corp)
    for outcome in receipt.outcomes:
        revoke(world.api, outcome, world.clock.now())
    assert receipt.outcomes[0].revoked is True
    assert world.cache.registration_path(world.corp) in removed(receipt)


def test_a_file_of_aws_tools_that_cannot_be_read_goes_with_everything_and_any_other_is_told(world: World) -> None:
    huge = b'{"accessToken": "CANARY"}'.ljust(5_000_000)
    theirs = put(world.cache.directory / (sha1("some session") + ".json"), huge)
    unknown = put(world.cache.directory / "unknown", huge)
    entry = put(cli_cache(world) / (sha1("some role") + ".json"), huge)
    receipt = sweep(world).everything()
    assert removed(receipt) == {theirs}
    assert {path for path, _ in receipt.left} == {unknown, entry}
    assert all("cannot be read" in why for _, why in receipt.left)
    assert sweep(world).one(world.corp).left == []


@pytest.mark.parametrize("content", [b"{", b"", b'{"ProviderType": "sso", "Credentials": {"Sec', DEEP])
@pytest.mark.parametrize("of_everything", [True, False])
def test_a_torn_role_entry_of_a_profile_goes_by_its_name(world: World, content: bytes, of_everything: bool) -> None:
    entry = put(cli_cache(world) / documents.role_cache_file_name(world.developer), content)
    receipt = sweep(world).everything() if of_everything else sweep(world).one(world.corp)
    assert removed(receipt) == {entry}


def test_a_torn_entry_that_says_what_it_is_goes_under_any_name_and_another_tools_stays(world: World) -> None:
    cache = cli_cache(world)
    goes = [
        put(cache / "torn.json", b'{"ProviderType": "sso", "Credentials": {"SecretAccessKey": "CANARY", '),
        put(cache / "assumed.json", b'{"Credentials": {"AccessKeyId": "ASIA", "SecretAccessKey": "CANARY", "Sess'),
    ]
    stays = put(cache / "process.json", b'{"ProviderType": "process", "Credentials": {"SecretAccessKey": "x"')
    assert removed(sweep(world).everything()) == set(goes)
    assert stays.exists()


def test_a_link_to_a_torn_token_is_removed_and_what_it_leads_to_is_told(world: World) -> None:
    target = put(world.home / "elsewhere", b'{"accessToken": "CANARY", "expires')
    world.cache.directory.mkdir(parents=True)
    world.token_path().symlink_to(target)
    receipt = sweep(world).everything()
    assert removed(receipt) == {world.token_path()}
    assert [path for path, _ in receipt.left] == [target]


def test_what_a_killed_writer_left_goes_even_when_there_is_no_token(world: World) -> None:
    world.log_in()
    path = world.token_path()
    torn = path.rename(path.with_name(f".{path.name}.0123abcd-99999-89abcdef.tmp"))
    assert torn in removed(sweep(world).one(world.corp))


# -- the vault --------------------------------------------------------------------------------------------------------


def seal_some(world: World, session: SsoSession, *what: str) -> set[Path]:
    return {put(sealed_files.path_of(vault(world), session.cache_key, name), b"sealed") for name in what}


def test_what_is_sealed_of_the_session_goes_with_it(world: World) -> None:
    mine = seal_some(world, world.corp, "token", "registration", "sign-in", "role:111122223333/Developer")
    path = sealed_files.path_of(vault(world), "corp", "token")
    mine.add(put(path.with_name(f".{path.name}.0123abcd-99999-89abcdef.tmp"), b"half"))
    theirs = seal_some(world, world.legacy, "token", "sign-in")
    receipt = sweep(world).one(world.corp)
    assert removed(receipt) == mine
    assert [outcome.token for outcome in receipt.outcomes] == ["deleted"]
    assert all(path.exists() for path in theirs)


def test_with_everything_goes_all_that_is_sealed_and_a_token_of_nobody_is_told(world: World) -> None:
    gone = replace(world.corp, name="no longer configured")
    files = seal_some(world, world.corp, "token") | seal_some(world, gone, "token", "sign-in")
    foreign = put(vault(world) / "notes.txt", b"mine")
    receipt = sweep(world).everything()
    assert removed(receipt) == files
    assert [(outcome.session, outcome.token) for outcome in receipt.outcomes] == [
        (world.corp, "deleted"),
        (None, "deleted"),
    ]
    assert foreign.exists()


def test_a_sealed_token_is_not_called_revoked_where_nobody_has_its_key(world: World) -> None:
    seal_some(world, world.corp, "token")
    [outcome] = sweep(world).everything().outcomes
    revoke(world.api, outcome, world.clock.now())
    assert outcome.receipt()["revoked"] is False
    assert "sealed" in outcome.receipt()["error"]


def test_a_sealed_token_ends_the_sign_in_where_its_key_is_at_hand(world: World) -> None:
    token = world.log_in()
    box = sealed_files.KeyBox()
    box.key = bytes(32)
    cache = SealedTokenCache(vault(world), box)
    cache.save_token(world.corp, token)
    world.token_path().unlink()
    receipt = Sweep(world.home, configuration(world), world.lock_path, vault=vault(world), cache=cache).one(world.corp)
    [outcome] = receipt.outcomes
    revoke(world.api, outcome, world.clock.now())
    assert (outcome.token, outcome.revoked) == ("deleted", True)
    assert world.cache.registration_path(world.corp) in removed(receipt)
    assert list(vault(world).iterdir()) == []


def test_a_sealed_token_that_cannot_be_removed_is_kept_though_the_shared_one_is_gone(world: World) -> None:
    world.log_in()
    stuck = sealed_files.path_of(vault(world), "corp", "token")
    stuck.mkdir(parents=True)
    receipt = sweep(world).everything()
    assert [outcome.token for outcome in receipt.outcomes] == ["kept"]
    assert [path for path, _ in receipt.left] == [stuck]
    assert not world.token_path().exists()


# -- what was in memory only ------------------------------------------------------------------------------------------


def test_a_token_that_only_memory_had_is_listed_and_revoked(world: World) -> None:
    """As after a login with a full disk."""
    token = world.log_in()
    registration = world.cache.load_registration(world.corp)
    assert registration is not None
    world.token_path().unlink()
    gone = replace(world.corp, name="no longer configured")
    receipt = sweep(world).everything({gone: world.new_token(gone, registration), world.corp: token})
    for outcome in receipt.outcomes:
        revoke(world.api, outcome, world.clock.now())
    assert [(one.session, one.token, one.revoked) for one in receipt.outcomes] == [
        (world.corp, "deleted", True),
        (gone, "deleted", True),
    ]


def test_an_older_token_in_the_file_of_a_sign_in_that_has_been_ended_is_no_failure(world: World) -> None:
    """As after a refresh with a full disk: both tokens are of one sign-in."""
    old = world.log_in()
    issued = world.api.refresh_token(world.corp, old)
    new = replace(old, access_token=issued.access_token, refresh_token=issued.refresh_token)
    receipt = sweep(world).one(world.corp, new)
    [outcome] = receipt.outcomes
    revoke(world.api, outcome, world.clock.now())
    assert (outcome.token, outcome.revoked, outcome.error) == ("deleted", True, None)


# -- what the AWS CLI assumed with it ---------------------------------------------------------------------------------

CHAINS = f"""
[profile deploy]
role_arn = {ROLE_ARN}
source_profile = dev

[profile deploy-further]
role_arn = {ROLE_ARN}Further
source_profile = deploy
external_id = äx
mfa_serial = arn:aws:iam::1:mfa/x
role_session_name = me
duration_seconds = 900

[profile adopted]
credential_process = /usr/bin/python3 -IS /x/client.py adopted
credhelper_sso_session = corp
credhelper_sso_account_id = 111122223333
credhelper_sso_role_name = Developer

[profile from-adopted]
role_arn = {ROLE_ARN}Adopted
source_profile = adopted

[profile adopted-chain]
credential_process = /usr/bin/python3 -IS /x/client.py adopted-chain
credhelper_role_arn = {ROLE_ARN}AdoptedChain
credhelper_source_profile = adopted

[profile from-adopted-chain]
role_arn = {ROLE_ARN}FromAdoptedChain
source_profile = adopted-chain

[profile keys]
aws_access_key_id = AKIA
aws_secret_access_key = x

[profile from-keys]
role_arn = {ROLE_ARN}Keys
source_profile = keys

[profile itself]
role_arn = {ROLE_ARN}Itself
source_profile = itself
aws_access_key_id = AKIA
aws_secret_access_key = x

[profile instance]
role_arn = {ROLE_ARN}Instance
credential_source = Ec2InstanceMetadata

[profile web]
role_arn = {ROLE_ARN}Web
web_identity_token_file = /tmp/token

[profile orphan]
role_arn = {ROLE_ARN}Orphan
source_profile = nobody

[profile circle]
role_arn = {ROLE_ARN}Circle
source_profile = elcric

[profile elcric]
role_arn = {ROLE_ARN}Elcric
source_profile = circle
"""


@pytest.fixture
def entries(world: World) -> dict[str, Path]:
    """The AWS CLI's AssumeRole entries of every profile, and one that no profile explains."""
    world.write_config(world.config.read_text() + CHAINS)
    cache = cli_cache(world)
    found = {
        name: put(cache / documents.assume_role_cache_file_name(keys), ASSUMED_ENTRY)
        for name, keys in configuration(world).profiles.items()
        if "role_arn" in keys
    }
    return found | {"unexplained": put(cache / (sha1("?") + ".json"), ASSUMED_ENTRY)}


def test_what_was_assumed_goes_unless_another_source_explains_it(world: World, entries: dict[str, Path]) -> None:
    sweep(world).everything()
    left = {name for name, path in entries.items() if path.exists()}
    assert left == {"from-keys", "itself", "instance", "web", "circle", "elcric"}


def test_with_a_selector_only_what_was_assumed_through_that_session_goes(
    world: World, entries: dict[str, Path]
) -> None:
    receipt = sweep(world).one(world.corp)
    assert removed(receipt) == {
        entries[name] for name in ("deploy", "deploy-further", "from-adopted", "from-adopted-chain")
    }
    assert removed(sweep(world).one(world.legacy)) == set()


def test_a_role_that_two_sources_may_have_assumed_stays(world: World) -> None:
    world.write_config(
        world.config.read_text() + CHAINS + f"[profile twin]\nrole_arn = {ROLE_ARN}\nsource_profile = keys\n"
    )
    entry = put(cli_cache(world) / documents.assume_role_cache_file_name({"role_arn": ROLE_ARN}), ASSUMED_ENTRY)
    sweep(world).everything()
    assert entry.exists()


def test_what_has_the_name_of_an_entry_but_is_none_stays(world: World, entries: dict[str, Path]) -> None:
    put(entries["deploy"], {"Credentials": {}})
    sweep(world).everything()
    assert entries["deploy"].exists()


def test_a_torn_entry_goes_by_the_profile_that_explains_it(world: World, entries: dict[str, Path]) -> None:
    for name in ("deploy", "from-keys"):
        put(entries[name], b'{"Credentials": {"AccessKeyId": "ASIA", "SecretAccessKey": "CANARY", "SessionTok')
    assert entries["deploy"] in removed(sweep(world).one(world.corp))
    sweep(world).everything()
    assert entries["from-keys"].exists()


def test_a_chain_ends_in_the_session_of_its_last_profile(world: World, entries: dict[str, Path]) -> None:
    sources = assume_role_sources(configuration(world))
    assert sources[entries["deploy-further"].name] == {world.corp}
    assert sources[entries["from-keys"].name] == {None}
    assert entries["orphan"].name not in sources
