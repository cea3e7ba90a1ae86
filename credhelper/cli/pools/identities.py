"""``credhelper cognito identities``: the identities that a pool has given out, listed, shown and deleted."""

import argparse
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from credhelper.cli import speech
from credhelper.cli.configuring import config_change
from credhelper.cli.pools import admin, commands
from credhelper.domain.errors import CredhelperError, DoneInPart, Throttled, UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import pools

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

Json = dict[str, Any]


def run_list(args: argparse.Namespace) -> int:
    """Prints them."""
    pool_id = commands.pool_id_of(args)
    if args.max_items < 1:
        raise UsageError("--max-items is a number above 0")
    return list_all(admin.connect(args), pool_id, args)


def list_all(asked: "Admin", pool_id: str, args: argparse.Namespace) -> int:
    """The same with an administrator's calls: what came before AWS asked to slow down is printed all the same."""
    found: list[Json] = []
    after, why = args.starting_token, None
    while len(found) < args.max_items:
        try:
            page, after = asked.identities(pool_id, args.max_items - len(found), after)
        except Throttled as error:
            if not found:
                raise
            why = error.message
            break
        found += page
        if after is None:
            break
    identities = [_document(each) for each in found]
    if args.json:
        speech.result(json.dumps({"identities": identities, "next_token": after}))
    elif not identities:
        speech.note("There are none.")
    else:
        speech.aligned([("IDENTITY ID", "SIGNED IN WITH", "CREATED"), *map(_row, identities)])
    if after is not None and not args.json:
        speech.note(f"There are more: --starting-token {safe(after, 2000)}")
    if why is not None:
        raise DoneInPart(f"not all are listed: {why}")
    return 0


def _row(identity: Json) -> tuple[str, str, str]:
    logins = ", ".join(identity["logins"]) or "nobody (a guest)"
    return identity["identity_id"], logins, speech.moment(identity["created_at"])


def _document(identity: Json) -> Json:
    return {
        "identity_id": str(identity.get("IdentityId")),
        "logins": [str(login) for login in identity.get("Logins") or ()],
        "created_at": _moment(identity.get("CreationDate")),
        "modified_at": _moment(identity.get("LastModifiedDate")),
    }


def _moment(found: object) -> str | None:
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(found, datetime) else None


def run_show(args: argparse.Namespace) -> int:
    """Prints one."""
    _refuse_unless_identities([args.identity_id])
    return show(admin.connect(args), args.identity_id, as_json=args.json)


def show(asked: "Admin", identity_id: str, *, as_json: bool) -> int:
    """The same with an administrator's calls."""
    found = _document(asked.identity(identity_id))
    if as_json:
        speech.result(json.dumps(found))
        return 0
    speech.result(f"Identity        {safe(found['identity_id'])}")
    speech.result(f"Signed in with  {safe(', '.join(found['logins']) or 'nobody: a guest')}")
    for title, key in (("Created", "created_at"), ("Changed", "modified_at")):
        speech.result(f"{title:<16}{speech.moment(found[key])}")
    return 0


def run_delete(args: argparse.Namespace) -> int:
    """Deletes some once the person agrees."""
    wanted = list(dict.fromkeys(args.identity_id))
    _refuse_unless_identities(wanted)
    if len({pools.region_of(each) for each in wanted}) > 1:
        raise UsageError("these identities are of several regions: each needs a command of its own")
    if not args.yes:
        config_change.agree(
            f"Delete {len(wanted)} {_noun(len(wanted))} for good? What is stored under the id is then nobody's.",
            hint="the same command with --yes",
        )
    return delete_some(admin.connect(args), wanted, as_json=args.json)


def delete_some(asked: "Admin", wanted: Sequence[str], *, as_json: bool) -> int:
    """The same with an administrator's calls; each call takes what AWS takes at once."""
    left: dict[str, str] = {}
    for part in _parts(wanted):
        try:
            left |= asked.delete_identities(part)
        except CredhelperError as error:
            if part[0] == wanted[0]:
                raise
            left |= dict.fromkeys(part, safe(error.message))
    deleted = [each for each in wanted if each not in left]
    if as_json:
        rest = [{"identity_id": each, "why": why} for each, why in left.items()]
        speech.result(json.dumps({"deleted": deleted, "left": rest}))
    else:
        speech.result(f"Deleted {len(deleted)} {_noun(len(deleted))}.")
        for each, why in left.items():
            speech.result(f"Left: {safe(each)} ({safe(why)})")
    return DoneInPart.status if left else 0


def _parts(wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    from credhelper.aws.cognito_admin import MOST_IDENTITIES

    for start in range(0, len(wanted), MOST_IDENTITIES):
        yield wanted[start : start + MOST_IDENTITIES]


def _noun(count: int) -> str:
    return "identity" if count == 1 else "identities"


def _refuse_unless_identities(found: Sequence[str]) -> None:
    for each in found:
        if not pools.is_id(each):
            raise UsageError(f"--identity-id: “{safe(each)}” is not {pools.AN_IDENTITY_ID}")
