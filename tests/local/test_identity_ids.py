"""Identity ids on disk: what is kept, for whom, and what is made of files that somebody else has been at."""

import json
import os
import stat
from pathlib import Path

import pytest

from credhelper.local import identity_ids
from credhelper.local.identity_ids import GUEST, Owner
from tests.aws.pools import IDENTITY, OTHER_IDENTITY, POOL

KIOSK = Owner(POOL, GUEST, f"guests {POOL}")
ALICE = Owner(POOL, "a" * 64, "cognito-login notes")
OTHER_POOL = "eu-west-1:22222222-2222-4222-8222-222222222222"


def test_what_was_saved_is_known_to_the_next_process_and_to_nobody_else(tmp_path: Path) -> None:
    identity_ids.save(tmp_path / "state", KIOSK, IDENTITY)
    assert identity_ids.load(tmp_path / "state", KIOSK) == IDENTITY
    path = identity_ids.path_of(tmp_path / "state", KIOSK)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_each_user_and_each_pool_has_a_file_of_its_own(tmp_path: Path) -> None:
    identity_ids.save(tmp_path, KIOSK, IDENTITY)
    identity_ids.save(tmp_path, ALICE, OTHER_IDENTITY)
    assert identity_ids.load(tmp_path, KIOSK) == IDENTITY
    assert identity_ids.load(tmp_path, ALICE) == OTHER_IDENTITY
    assert identity_ids.load(tmp_path, Owner(OTHER_POOL, GUEST, "")) is None
    assert identity_ids.load(tmp_path, Owner(POOL, "b" * 64, "cognito-login notes")) is None


def test_a_user_is_the_same_by_whichever_login(tmp_path: Path) -> None:
    identity_ids.save(tmp_path, ALICE, IDENTITY)
    assert identity_ids.load(tmp_path, Owner(POOL, ALICE.user, "cognito-login same-user-pool")) == IDENTITY


@pytest.mark.parametrize(
    "change",
    [
        {"identity_id": "x"},
        {"identity_id": None},
        {"identity_id": "eu-west-1:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"},
        {"pool_id": OTHER_POOL},
        {"user": "b" * 64},
        {"version": 2},
    ],
)
def test_a_file_that_says_something_else_says_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    identity_ids.save(tmp_path, KIOSK, IDENTITY)
    path = identity_ids.path_of(tmp_path, KIOSK)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert identity_ids.load(tmp_path, KIOSK) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 3000, b"\xff", b"x" * 5000])
def test_torn_and_foreign_files_are_no_identity_and_are_replaced(tmp_path: Path, content: bytes) -> None:
    path = identity_ids.path_of(tmp_path, KIOSK)
    path.write_bytes(content)
    assert identity_ids.load(tmp_path, KIOSK) is None
    identity_ids.save(tmp_path, KIOSK, IDENTITY)
    assert identity_ids.load(tmp_path, KIOSK) == IDENTITY


def test_a_link_and_a_pipe_are_not_followed(tmp_path: Path) -> None:
    identity_ids.save(tmp_path, ALICE, IDENTITY)
    path = identity_ids.path_of(tmp_path, KIOSK)
    path.symlink_to(identity_ids.path_of(tmp_path, ALICE))
    assert identity_ids.load(tmp_path, KIOSK) is None
    path.unlink()
    os.mkfifo(path)
    assert identity_ids.load(tmp_path, KIOSK) is None


def test_dropping_spares_what_has_come_since(tmp_path: Path) -> None:
    identity_ids.save(tmp_path, KIOSK, OTHER_IDENTITY)
    identity_ids.drop(tmp_path, KIOSK, IDENTITY)
    assert identity_ids.load(tmp_path, KIOSK) == OTHER_IDENTITY
    identity_ids.drop(tmp_path, KIOSK, OTHER_IDENTITY)
    assert not identity_ids.path_of(tmp_path, KIOSK).exists()
    identity_ids.drop(tmp_path, KIOSK, OTHER_IDENTITY)


def test_forgetting_takes_what_is_named_and_what_cannot_be_told(tmp_path: Path) -> None:
    for owner in (KIOSK, ALICE):
        identity_ids.save(tmp_path, owner, IDENTITY)
    assert identity_ids.forget(tmp_path, "cognito-login another") == []
    assert identity_ids.forget(tmp_path, "cognito-login notes") == [identity_ids.path_of(tmp_path, ALICE)]
    assert identity_ids.forget(tmp_path, KIOSK.login_key, OTHER_POOL) == []
    torn = identity_ids.path_of(tmp_path, ALICE)
    torn.write_text("{")
    assert set(identity_ids.forget(tmp_path, None)) == {identity_ids.path_of(tmp_path, KIOSK), torn}
    assert identity_ids.forget(tmp_path / "nowhere", None) == []


def test_a_file_tells_neither_the_user_nor_a_token(tmp_path: Path) -> None:
    identity_ids.save(tmp_path, ALICE, IDENTITY)
    found = json.loads(identity_ids.path_of(tmp_path, ALICE).read_text())
    assert set(found) == {"version", "pool_id", "user", "login", "identity_id"}
    assert found["user"] == "a" * 64
