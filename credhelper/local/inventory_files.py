"""The name cache: the last listing of a session's accounts and roles, and what an interrupted one has found so far.

One file for each session in the state directory, 0600; for completion, pickers and the next daemon. It holds names,
not secrets: ``login`` tells the login that it was listed with from another one, and is no token.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from credhelper.domain.accounts import Account, ListedAccount, Listing, Parts, listed
from credhelper.domain.documents import MalformedDocument, parse_timestamp, timestamp
from credhelper.local import private_files

VERSION = 1
LARGEST = 16 * 1024 * 1024  # bytes; 500 accounts with 5 roles each take 80,000


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds. ``login`` is that of the listing, ``parts_login`` that of the parts."""

    listing: Listing | None = None
    login: str | None = None
    parts: Parts | None = None
    parts_login: str | None = None


def load(path: Path) -> Listing | None:
    """The last whole listing, of whatever age and login; None when there is none, or none that can be used."""
    return read(path).listing


def read(path: Path) -> Kept:
    """All that the file holds, nothing of what cannot be used. Raises nothing."""
    try:
        content = private_files.read(path, largest=LARGEST)
        found = json.loads(content or b"{}")
    except (private_files.UnusableFile, ValueError, RecursionError):
        return Kept()
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return Kept()
    listing, parts = found.get("listing"), _parts(found.get("unfinished"))
    return Kept(
        cast(Listing, listing) if _is_listing(listing) else None,
        _text(found.get("login")),
        parts,
        None if parts is None else _text(found["unfinished"].get("login")),
    )


def write(path: Path, kept: Kept) -> None:
    """Replaces the file. Raises OSError."""
    document: dict[str, Any] = {"version": VERSION}
    if kept.listing is not None:
        document |= {"login": kept.login, "listing": kept.listing}
    if kept.parts is not None:
        document["unfinished"] = {
            "login": kept.parts_login,
            "began_at": timestamp(kept.parts.began_at),
            "accounts": listed(kept.parts.accounts, kept.parts.roles),
        }
    private_files.write(path, json.dumps(document).encode())


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _is_listing(found: object) -> bool:
    return (
        isinstance(found, dict)
        and (found.get("sso_session") is None or isinstance(found["sso_session"], str))
        and isinstance(found.get("start_url"), str)
        and _moment(found.get("listed_at")) is not None
        and _are_accounts(found.get("accounts"))
        and all("roles" in account for account in found["accounts"])
    )


def _are_accounts(found: object) -> bool:
    return isinstance(found, list) and all(map(_is_account, found))


def _is_account(found: object) -> bool:
    if not isinstance(found, dict):
        return False
    roles = found.get("roles", [])
    return (
        all(isinstance(found.get(key), str) for key in ("account_id", "account_name", "email"))
        and isinstance(roles, list)
        and all(isinstance(role, str) for role in roles)
    )


def _parts(found: object) -> Parts | None:
    if not isinstance(found, dict) or not _are_accounts(found.get("accounts")):
        return None
    began_at = _moment(found.get("began_at"))
    if began_at is None:
        return None
    accounts: list[ListedAccount] = found["accounts"]
    return Parts(
        began_at,
        tuple(Account(each["account_id"], each["account_name"], each["email"]) for each in accounts),
        {each["account_id"]: tuple(each["roles"]) for each in accounts if "roles" in each},
    )


def _moment(found: object) -> datetime | None:
    try:
        return parse_timestamp(found)
    except MalformedDocument:
        return None
