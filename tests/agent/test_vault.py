"""What outlives the daemon: sealed, written behind in order, gone with a logout; and all that can be wrong with it."""

import asyncio
import json
import logging
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent import vault as vaults
from credhelper.agent import vault_documents
from credhelper.agent.vault import Kept, KeyBox, SignIn, Vault
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.domain.model import AnyRole, ChainedRole, Role, RoleCredentials, SsoSession, Token
from credhelper.local import private_files, sealed_files
from credhelper.local.keychain import KeychainUnavailable
from credhelper.local.workers import Workers
from tests.clocks import HandClock

CORP = SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1", ("sso:account:access",))
LEGACY = SsoSession(None, "https://corp.awsapps.com/start", "eu-west-1")
NOW = datetime(2026, 6, 1, 9, 0, 0, 123456, tzinfo=UTC)
DEVELOPER = Role(CORP, "111122223333", "Developer")
READ_ONLY = Role(CORP, "111122223333", "ReadOnly")
SIGN_IN = SignIn("sign-in-1", "ab" * 32)
LONG_PAUSE = vaults.PAUSE + 1


def kept(role: AnyRole = DEVELOPER, number: int = 1, **changes: datetime | None) -> Kept:
    credentials = RoleCredentials(
        f"ASIA{number}", f"canary-secret-{number}", f"canary-session-{number}", NOW + timedelta(hours=1), NOW
    )
    return replace(Kept(role, credentials, SIGN_IN.id, NOW), **changes)  # type: ignore[arg-type]  # last_used_at


class Ring:
    """A keyring without a daemon: does as it is told, or fails, or hangs until it is let go."""

    seconds = 0.2

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.failure: str | None = None
        self.asked = 0
        self.go = threading.Event()
        self.go.set()

    def key(self, name: str) -> bytes:
        self._wait()
        return self.keys.setdefault(name, os.urandom(32))

    def delete(self, name: str) -> None:
        self._wait()
        self.keys.pop(name, None)

    def _wait(self) -> None:
        self.asked += 1
        self.go.wait()
        if self.failure:
            raise KeychainUnavailable(self.failure)


class Desk:
    """One home's vault, and the next daemon's."""

    def __init__(self, directory: Path, clock: HandClock) -> None:
        self.directory = directory
        self.clock = clock
        self.ring = Ring()
        self.made: list[Vault] = []

    def new(self, *, ring: Ring | None = None, box: KeyBox | None = None) -> Vault:
        vault = Vault(
            self.directory,
            ring or self.ring,
            "home-1",
            box or KeyBox(),
            Workers("keyring", 1),
            Workers("disk", 1),
            monotonic=self.clock.monotonic,
        )
        self.made.append(vault)
        return vault

    async def opened(self) -> Vault:
        vault = self.new()
        await vault.open()
        assert vault.state == "keyring"
        return vault

    def files(self) -> list[Path]:
        return sorted(self.directory.iterdir()) if self.directory.is_dir() else []

    def path(self, role: AnyRole = DEVELOPER) -> Path:
        return sealed_files.path_of(self.directory, role.session.cache_key, vault_documents.about_role(role))


async def written(vault: Vault) -> None:
    """Until the vault has nothing to do that it can do."""
    for task in (vault._opening, vault._writing):
        if task is not None:
            await asyncio.wait({task})
    if vault._writing is not None:
        await vault._writing


@pytest.fixture
async def desk(tmp_path: Path, clock: HandClock) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "vault", clock)
    yield desk
    desk.ring.go.set()
    for vault in desk.made:
        await vault.stop()


def condition(vault: Vault) -> tuple[str, str | None]:
    """What status says of it."""
    return vault.state, vault.trouble


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# -- what comes back --------------------------------------------------------------------------------------------------


async def test_what_was_kept_is_there_for_the_next_daemon(desk: Desk) -> None:
    vault = await desk.opened()
    of_legacy = kept(Role(LEGACY, "444455556666", "Ops"), last_used_at=None)
    vault.keep_sign_in(CORP, SIGN_IN)
    vault.keep_sign_in(LEGACY, SignIn("other", "cd" * 32))
    vault.keep(kept())
    vault.keep(of_legacy)
    await vault.stop()

    sign_ins, roles = await (await desk.opened()).load()
    assert sign_ins == {"corp": SIGN_IN, CORP.start_url: SignIn("other", "cd" * 32)}
    assert sorted(roles, key=lambda one: one.role.role_name) == [kept(), of_legacy]


CHAINED = ChainedRole(
    ChainedRole(
        DEVELOPER, "arn:aws:iam::222233334444:role/Deploy", "eu-west-1", mfa_serial="arn:aws:iam::111122223333:mfa/a"
    ),
    "arn:aws:iam::333344445555:role/x/Further",
    "eu-central-1",
    duration_seconds=900,
    role_session_name="me",
    external_id="ext",
    source_identity="alice",
    tags=(("team", "blue"), ("x", "")),
    transitive_tag_keys=("team",),
)
OTHERS = (
    CHAINED.source,
    replace(CHAINED, external_id="another"),
    replace(CHAINED, region="eu-west-1"),
    replace(CHAINED, source=DEVELOPER),
    replace(CHAINED, tags=()),
)


async def test_chained_roles_come_back_with_all_that_they_were_asked_for(desk: Desk) -> None:
    vault = await desk.opened()
    for role in (DEVELOPER, CHAINED, *OTHERS):
        vault.keep(kept(role))
    await vault.stop()
    _, found = await (await desk.opened()).load()
    assert {one.role for one in found} == {DEVELOPER, CHAINED, *OTHERS}
    assert {one.credentials for one in found} == {kept().credentials}


@pytest.mark.parametrize(
    "spoiling",
    [
        {"chain": {}},
        {"chain": ["x"]},
        {"role_arn": None},
        {"region": 1},
        {"duration_seconds": "900"},
        {"duration_seconds": True},
        {"tags": {}},
        {"tags": [["team"]]},
        {"tags": ["team"]},
        {"transitive_tag_keys": [1]},
        {"external_id": 1},
        {"role_arn": "x"},
        {"role_arn": "arn:aws:iam::1"},
    ],
    ids=str,
)
async def test_a_chain_that_makes_no_sense_is_removed(desk: Desk, spoiling: dict[str, Any]) -> None:
    vault = await desk.opened()
    document = json.loads(vault_documents.kept_document(kept(CHAINED)))
    if "chain" in spoiling:
        document |= spoiling
    else:
        document["chain"][-1] |= spoiling
    assert vault._box.key
    path = desk.path(CHAINED)
    private_files.write(path, sealed_files.seal(vault._box.key, json.dumps(document).encode(), path.name.encode()))
    assert await vault.load() == ({}, [])
    assert not path.exists()


async def test_of_two_versions_the_later_one_stays(desk: Desk) -> None:
    vault = await desk.opened()
    for number in range(20):
        vault.keep(kept(number=number))
    await written(vault)
    assert (await vault.load())[1] == [kept(number=19)]
    assert len(desk.files()) == 1


async def test_nothing_of_it_can_be_read_on_the_disk(desk: Desk) -> None:
    vault = await desk.opened()
    vault.keep_sign_in(CORP, SIGN_IN)
    vault.keep(kept())
    await written(vault)
    assert len(desk.files()) == 2
    assert desk.directory.stat().st_mode & 0o777 == 0o700
    for path in desk.files():
        assert path.stat().st_mode & 0o777 == 0o600
        for secret in (b"canary", b"corp", b"Developer", b"111122223333", SIGN_IN.access_token_hash.encode()):
            assert secret not in path.read_bytes() + path.name.encode()


async def test_nothing_of_it_is_shown_or_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    box = KeyBox()
    vault = desk.new(box=box)
    await vault.open()
    vault.keep(kept())
    assert box.key
    text = f"{kept()!r} {vault._pending!r} {vault!r} {box!r}"
    await written(vault)
    desk.path().write_bytes(desk.path().read_bytes() + b"x")
    await vault.load()
    for secret in ("canary", repr(box.key), box.key.hex()):
        assert secret not in text + caplog.text


async def test_a_role_that_lapsed_is_dropped(desk: Desk) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    vault.keep(kept(READ_ONLY))
    vault.drop(DEVELOPER)
    await written(vault)
    assert (await vault.load())[1] == [kept(READ_ONLY)]
    vault.drop(READ_ONLY)
    vault.drop(READ_ONLY)
    vault.keep(kept(READ_ONLY, 2))
    await written(vault)
    assert (await vault.load())[1] == [kept(READ_ONLY, 2)]


async def test_an_empty_vault_and_a_missing_one_hold_nothing(desk: Desk) -> None:
    assert await (await desk.opened()).load() == ({}, [])
    desk.directory.mkdir()
    assert await (await desk.opened()).load() == ({}, [])


# -- files that are not what they should be ---------------------------------------------------------------------------


async def test_what_another_key_has_sealed_is_removed(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    await written(vault)
    desk.ring.keys.clear()
    assert await (await desk.opened()).load() == ({}, [])
    assert desk.files() == []
    assert "another key" in warnings(caplog)[0]


async def test_without_the_key_nothing_is_removed(desk: Desk) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    await written(vault)
    desk.ring.failure = "the keyring is locked"
    locked = desk.new()
    await locked.open()
    assert await locked.load() == ({}, [])
    assert desk.files() == [desk.path()]


@pytest.mark.parametrize("moved_to", [READ_ONLY, Role(LEGACY, "111122223333", "Developer")], ids=["role", "session"])
async def test_a_file_that_was_moved_to_another_name_is_removed(desk: Desk, moved_to: Role) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    await written(vault)
    desk.path().rename(desk.path(moved_to))
    assert await vault.load() == ({}, [])
    assert desk.files() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[]",
        b"{}",
        vault_documents.sign_in_document(CORP, SIGN_IN),
        vault_documents.kept_document(kept(READ_ONLY)),
        vault_documents.kept_document(kept(Role(LEGACY, "111122223333", "Developer"))),
        vault_documents.kept_document(kept()).replace(b'"corp"', b"7"),
        vault_documents.kept_document(kept()).replace(b"2026-06-01", b"2026-13-01"),
        vault_documents.kept_document(kept()).replace(b"+00:00", b""),
        vault_documents.kept_document(kept()).replace(b'["sso:account:access"]', b'"all"'),
        vault_documents.kept_document(kept()).replace(b'"session"', b'"sessions"'),
        vault_documents.kept_document(kept()).replace(b'"canary-secret-1"', b"null"),
    ],
)
async def test_what_is_sealed_well_but_is_about_something_else_is_removed(desk: Desk, content: bytes) -> None:
    vault = await desk.opened()
    key = desk.ring.keys["home-1"]
    private_files.write(desk.path(), sealed_files.seal(key, content, desk.path().name.encode()))
    assert await vault.load() == ({}, [])
    assert desk.files() == []


async def test_what_cannot_be_read_is_left_and_spoils_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    await written(vault)
    os.mkfifo(desk.path(READ_ONLY))
    assert (await vault.load())[1] == [kept()]
    assert "not a regular file" in warnings(caplog)[0]
    vault.keep(kept(READ_ONLY))
    await written(vault)
    assert len((await vault.load())[1]) == 2


async def test_tokens_registrations_and_what_others_are_writing_are_left_alone(desk: Desk) -> None:
    vault = await desk.opened()
    other_box = KeyBox()
    other_box.key = b"k" * 32
    tokens = SealedTokenCache(desk.directory, other_box)
    tokens.save_token(CORP, Token("access", NOW))
    host = private_files._HOST
    being_written = desk.directory / f".{desk.path().name}.{host}-{os.getpid()}-01234567.tmp"
    being_written.write_bytes(b"CHS1")
    before = desk.files()
    assert await vault.load() == ({}, [])
    assert desk.files() == before


async def test_what_killed_writers_left_is_removed(desk: Desk) -> None:
    desk.directory.mkdir()
    (desk.directory / f".{desk.path().name}.{private_files._HOST}-0999999999-01234567.tmp").write_bytes(b"CHS1")
    await (await desk.opened()).load()
    assert desk.files() == []


# -- the keyring ------------------------------------------------------------------------------------------------------


async def test_a_vault_that_is_switched_off_writes_nothing_and_says_so(desk: Desk) -> None:
    vault = Vault(desk.directory, None, "home-1", KeyBox(), Workers("keyring", 1), Workers("disk", 1))
    await vault.open()
    assert condition(vault) == ("memory", "switched off in credhelper's configuration")
    assert vault.opened.is_set()
    vault.keep(kept())
    vault.keep_sign_in(CORP, SIGN_IN)
    vault.forget("corp")
    await vault.forget_key()
    await written(vault)
    await vault.stop()
    assert desk.files() == []
    assert await vault.load() == ({}, [])


async def test_before_the_keyring_has_answered_it_is_memory_only(desk: Desk) -> None:
    vault = desk.new()
    assert condition(vault) == ("memory", "the keyring has not answered yet")
    assert not vault.opened.is_set()
    await vault.stop()


async def test_a_keyring_that_fails_is_told_once_and_left_alone_for_ten_minutes(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.ring.failure = "the keyring is locked"
    vault = desk.new()
    await vault.open()
    assert condition(vault) == ("memory", "the keyring is locked")
    assert vault.opened.is_set()
    for number in range(5):
        vault.keep(kept(number=number))
        await written(vault)
        await vault.open()
    assert desk.ring.asked == 1
    desk.clock.advance(seconds=LONG_PAUSE)
    vault.keep(kept())
    vault.keep(kept(READ_ONLY))
    await written(vault)
    assert desk.ring.asked == 2
    assert warnings(caplog) == ["nothing outlives a restart of the daemon: the keyring is locked"]
    assert desk.files() == []


async def test_once_the_keyring_is_back_everything_that_was_kept_is_written(desk: Desk) -> None:
    desk.ring.failure = "the keyring is locked"
    vault = desk.new()
    await vault.open()
    vault.keep_sign_in(CORP, SIGN_IN)
    vault.keep(kept(READ_ONLY))
    await written(vault)
    desk.ring.failure = None
    desk.clock.advance(seconds=LONG_PAUSE)
    vault.keep(kept())
    await written(vault)
    assert condition(vault) == ("keyring", None)
    sign_ins, roles = await vault.load()
    assert sign_ins == {"corp": SIGN_IN}
    assert [one.role for one in sorted(roles, key=lambda one: one.role.role_name)] == [DEVELOPER, READ_ONLY]


async def test_a_keyring_that_hangs_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults, "GRACE", 0.0)
    desk.ring.seconds = 0.01
    desk.ring.go.clear()
    box = KeyBox()
    vault = desk.new(box=box)
    await vault.open()
    assert condition(vault) == ("memory", "no answer within 0.01 s")
    desk.ring.go.set()
    vault.keep(kept())
    await written(vault)
    assert box.key is None


async def test_what_is_kept_while_the_keyring_takes_its_time_is_written_afterwards(desk: Desk) -> None:
    desk.ring.seconds = 20
    desk.ring.go.clear()
    vault = desk.new()
    opening = asyncio.ensure_future(vault.open())
    vault.keep(kept())
    assert await vault.load() == ({}, [])
    assert desk.files() == []
    desk.ring.go.set()
    await opening
    await written(vault)
    assert (await vault.load())[1] == [kept()]
    assert desk.ring.asked == 1


async def test_whoever_waits_for_the_key_is_told_each_time_one_comes(desk: Desk) -> None:
    box, seen = KeyBox(), []
    vault = desk.new(box=box)
    vault.on_key = lambda: seen.append(box.key)
    desk.ring.failure = "the keyring is locked"
    await vault.open()
    assert seen == []
    desk.ring.failure = None
    desk.clock.advance(seconds=LONG_PAUSE)
    await vault.open()
    await vault.open()
    await vault.forget_key()
    await vault.open()
    assert len(set(seen)) == len(seen) == 2


async def test_two_that_open_at_once_ask_once(desk: Desk) -> None:
    vault = desk.new()
    await asyncio.gather(vault.open(), vault.open(), vault.open())
    assert desk.ring.asked == 1


# -- the disk ---------------------------------------------------------------------------------------------------------


async def test_a_disk_that_takes_nothing_is_told_once_and_tried_again_with_the_next_one(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    vault = await desk.opened()
    desk.directory.write_text("in the way")
    for number in range(3):
        vault.keep(kept(number=number))
        vault.keep(kept(READ_ONLY, number))
        await written(vault)
    assert len(warnings(caplog)) == 1
    assert "cannot be written: " in warnings(caplog)[0]
    state, trouble = condition(vault)
    assert state == "memory"
    assert trouble
    assert trouble.startswith("the vault cannot be written: ")
    desk.directory.unlink()
    vault.keep(kept(number=4))
    await written(vault)
    assert condition(vault) == ("keyring", None)
    roles = (await vault.load())[1]
    assert sorted(roles, key=lambda one: one.role.role_name) == [kept(number=4), kept(READ_ONLY, 2)]


async def test_a_directory_where_a_file_should_be_spoils_nothing_else(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    vault = await desk.opened()
    (desk.path() / "x").mkdir(parents=True)
    vault.drop(DEVELOPER)
    vault.forget("corp")
    await written(vault)
    assert len(warnings(caplog)) == 1
    assert vault.state == "keyring"
    vault.keep(kept(READ_ONLY))
    await written(vault)
    assert (await vault.load())[1] == [kept(READ_ONLY)]


async def test_a_vault_that_cannot_be_listed_is_empty(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.directory.symlink_to(desk.directory)
    assert await (await desk.opened()).load() == ({}, [])
    assert "cannot be read" in warnings(caplog)[0]


async def test_stopping_waits_for_what_is_being_written_and_for_nothing_else(desk: Desk) -> None:
    desk.ring.seconds = 20
    vault = await desk.opened()
    vault.keep(kept())
    await vault.stop()
    assert desk.files() == [desk.path()]
    desk.ring.go.clear()
    hanging = desk.new()
    hanging.keep(kept(READ_ONLY))
    await hanging.stop()
    await hanging.stop()
    assert desk.files() == [desk.path()]


# -- logging out ------------------------------------------------------------------------------------------------------


async def test_a_logout_takes_everything_of_the_session_and_nothing_else(desk: Desk) -> None:
    vault = await desk.opened()
    ops = Role(LEGACY, "111122223333", "Ops")
    vault.keep_sign_in(CORP, SIGN_IN)
    for role in (DEVELOPER, READ_ONLY, ops):
        vault.keep(kept(role))
    await written(vault)
    vault.forget("corp")
    await written(vault)
    assert await vault.load() == ({}, [kept(ops)])


async def test_a_logout_works_while_the_keyring_is_locked(desk: Desk) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    await written(vault)
    desk.ring.failure = "the keyring is locked"
    locked = desk.new()
    await locked.open()
    locked.forget("corp")
    await written(locked)
    assert desk.files() == []


async def test_what_was_queued_before_a_logout_is_not_written(desk: Desk) -> None:
    desk.ring.failure = "the keyring is locked"
    vault = desk.new()
    await vault.open()
    vault.keep(kept())
    vault.keep_sign_in(CORP, SIGN_IN)
    vault.forget("corp")
    desk.ring.failure = None
    desk.clock.advance(seconds=LONG_PAUSE)
    vault.keep(kept(Role(LEGACY, "111122223333", "Ops")))
    await written(vault)
    assert [one.role.session for one in (await vault.load())[1]] == [LEGACY]


async def test_what_a_new_login_brings_is_kept(desk: Desk) -> None:
    vault = await desk.opened()
    vault.keep(kept())
    vault.forget("corp")
    vault.keep(kept(number=2))
    vault.keep_sign_in(CORP, SIGN_IN)
    await written(vault)
    assert await vault.load() == ({"corp": SIGN_IN}, [kept(number=2)])


async def test_a_new_login_s_token_survives_the_end_of_the_logout_before(desk: Desk) -> None:
    box = KeyBox()
    vault = desk.new(box=box)
    await vault.open()
    vault.keep(kept())
    await written(vault)
    vault.forget("corp")
    tokens = SealedTokenCache(desk.directory, box)
    tokens.save_token(CORP, Token("access", NOW.replace(microsecond=0)))
    name = tokens.registration_path(CORP).name
    being_written = desk.directory / f".{name}.{private_files._HOST}-{os.getpid()}-01234567.tmp"
    being_written.touch()
    await written(vault)
    assert tokens.load_token(CORP)
    assert desk.files() == sorted([tokens.token_path(CORP), being_written])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_write_that_a_logout_overtakes_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Also one that was given up at its deadline and goes on by itself, after the logout has swept."""
    reached, go, done = threading.Event(), threading.Event(), threading.Event()
    real_write, real_work = private_files.write, Vault._write_file

    def slow_write(path: Path, content: bytes) -> None:
        if moment == "after":
            real_write(path, content)
        reached.set()
        go.wait()
        if moment == "before":
            real_write(path, content)

    def watched(*arguments: object) -> None:
        try:
            real_work(*arguments)  # type: ignore[arg-type]  # as they came
        finally:
            done.set()

    monkeypatch.setattr(private_files, "write", slow_write)
    monkeypatch.setattr(Vault, "_write_file", watched)
    monkeypatch.setattr(vaults, "DISK_SECONDS", 0.05)
    vault = await desk.opened()
    vault.keep(kept())
    await asyncio.to_thread(reached.wait)
    vault.forget("corp")
    await written(vault)
    go.set()
    await asyncio.to_thread(done.wait)
    assert desk.files() == []


async def test_a_logout_of_everything_takes_the_key_too_and_the_next_thing_kept_makes_another(desk: Desk) -> None:
    box = KeyBox()
    vault = desk.new(box=box)
    await vault.open()
    first = box.key
    vault.forget("corp")
    await vault.forget_key()
    assert box.key is None
    assert desk.ring.keys == {}
    assert condition(vault) == ("keyring", None)
    vault.keep(kept())
    await written(vault)
    [second] = desk.ring.keys.values()
    assert second != first
    assert (await vault.load())[1] == [kept()]


async def test_a_key_that_the_keyring_does_not_let_go_leaves_memory_all_the_same(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    box = KeyBox()
    vault = desk.new(box=box)
    await vault.open()
    desk.ring.failure = "the keyring is locked"
    await vault.forget_key()
    assert box.key is None
    assert "still holds the vault's key" in warnings(caplog)[0]
    asked = desk.ring.asked
    vault.keep(kept())
    await written(vault)
    assert desk.ring.asked == asked  # nobody is prompted at once again


async def test_a_keyring_that_hangs_holds_up_no_logout_and_its_late_answer_counts_for_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vaults, "GRACE", 0.0)
    desk.ring.seconds = 20
    desk.ring.go.clear()
    box = KeyBox()
    vault = desk.new(box=box)
    opening = asyncio.ensure_future(vault.open())
    while not desk.ring.asked:  # noqa: ASYNC110  # threads cannot set an asyncio.Event
        await asyncio.sleep(0)
    desk.ring.seconds = 0.01
    await vault.forget_key()
    assert vault.trouble == "no answer within 0.01 s"
    desk.ring.go.set()
    await opening
    assert box.key is None
