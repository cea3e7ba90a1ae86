"""The name cache: what is written comes back, and whatever else lies there counts as nothing."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from credhelper.domain.accounts import Account, Listing, Parts, listed
from credhelper.local import inventory_files
from credhelper.local.inventory_files import Kept

ACCOUNTS = (Account("222222222222", "beta", "b@example.com"), Account("111111111111", "Alpha", "a@example.com"))
ROLES = {"111111111111": ("Zeta", "admin"), "222222222222": ()}
LISTING = Listing(
    sso_session="corp",
    start_url="https://corp.awsapps.com/start",
    listed_at="2026-06-01T09:00:00Z",
    accounts=listed(ACCOUNTS, ROLES),
)
PARTS = Parts(datetime(2026, 6, 1, 9, 5, tzinfo=UTC), ACCOUNTS, {"222222222222": ("Reader",)})


def test_accounts_and_roles_are_sorted_by_name() -> None:
    assert [(each["account_name"], each["roles"]) for each in LISTING["accounts"]] == [
        ("Alpha", ["admin", "Zeta"]),
        ("beta", []),
    ]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state" / "inventory.json"
    inventory_files.write(path, Kept(LISTING, "login", PARTS, "another"))
    kept = inventory_files.read(path)
    assert inventory_files.load(path) == LISTING
    assert (kept.login, kept.parts_login) == ("login", "another")
    assert kept.parts is not None
    assert kept.parts.roles == PARTS.roles
    assert {*kept.parts.accounts} == {*ACCOUNTS}
    assert kept.parts.began_at == PARTS.began_at
    assert [account.name for account in kept.parts.missing] == ["Alpha"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert inventory_files.read(tmp_path / "none") == Kept()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"version": 1}', b'{"version": 2, "listing": {}}'],
)
def test_what_is_no_name_cache_is_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inventory.json"
    path.write_bytes(content)
    assert inventory_files.read(path) == Kept()


@pytest.mark.parametrize(
    "changes",
    [
        {"accounts": None},
        {"accounts": {}},
        {"accounts": [1]},
        {"accounts": [{"account_id": "1", "account_name": "x", "email": "y"}]},
        {"accounts": [{"account_id": 1, "account_name": "x", "email": "y", "roles": []}]},
        {"accounts": [{"account_id": "1", "account_name": "x", "email": "y", "roles": [1]}]},
        {"accounts": [{"account_id": "1", "account_name": "x", "email": "y", "roles": "ab"}]},
        {"listed_at": "yesterday"},
        {"listed_at": None},
        {"sso_session": 5},
        {"start_url": None},
    ],
)
def test_a_listing_with_anything_wrong_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "inventory.json"
    path.write_text(json.dumps({"version": 1, "listing": {**LISTING, **changes}}))
    assert inventory_files.load(path) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "inventory.json"
    inventory_files.write(elsewhere, Kept(LISTING))
    path.symlink_to(elsewhere)
    assert inventory_files.load(path) is None
