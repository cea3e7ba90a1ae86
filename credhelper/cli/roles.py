"""``credhelper roles``: the roles that a session's login may use, and the profiles that stand for them."""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from credhelper.cli import callers_files, inventory, options, speech
from credhelper.domain.accounts import Listing
from credhelper.domain.model import Role

Json = dict[str, Any]


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "roles",
        help=summary,
        description="Lists the roles that you may use, by account, fresh from IAM Identity Center, and which profiles"
        " of ~/.aws/config stand for them. Of many accounts that takes a while, for AWS takes only so many questions a"
        " second; a listing that was interrupted goes on where it was. Without an option: of the only session there is,"
        " or of the profile that AWS_PROFILE names.",
    )
    options.add_profile(parser)
    options.add_session(parser)
    parser.add_argument("--account-id", metavar="ID", help="of this account only, which is quick")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the roles."""
    listing = inventory.of_chosen(args, _which(args.account_id))
    roles = list(_roles(listing, _profiles_of(listing)))
    if args.json:
        about = {key: listing[key] for key in ("sso_session", "start_url", "listed_at")}
        speech.result(json.dumps(about | {"roles": roles}))
    elif not roles:
        inventory.tell_none(listing)
    else:
        speech.aligned([("ACCOUNT ID", "ACCOUNT", "ROLE", "PROFILES"), *map(_row, roles)])
    return 0


def _which(account_id: str | None) -> Mapping[str, str]:
    if account_id is None:
        return {}
    options.refuse_unless_account(account_id)
    return {"account_id": account_id}


def _profiles_of(listing: Listing) -> Mapping[tuple[str, str], Sequence[str]]:
    """The caller's profiles by account and role, of those that log in to the listing's session."""
    configuration, _ = callers_files.load_what_can_be()
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, role in configuration.roles().items():
        if isinstance(role, Role) and role.session.cache_key == (listing["sso_session"] or listing["start_url"]):
            found[role.account_id, role.role_name].append(name)
    return found


def _roles(listing: Listing, profiles: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[Json]:
    for account in listing["accounts"]:
        for role_name in account["roles"]:
            yield {
                "account_id": account["account_id"],
                "account_name": account["account_name"],
                "role_name": role_name,
                "profiles": profiles.get((account["account_id"], role_name), []),
            }


def _row(role: Json) -> tuple[str, ...]:
    names = (inventory.in_few_words(role[key]) for key in ("account_id", "account_name", "role_name"))
    return (*names, ", ".join(role["profiles"]) or "-")
