"""``credhelper accounts``: the AWS accounts that a session's login may use."""

import argparse
import json

from credhelper.cli import inventory, options, speech


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "accounts",
        help=summary,
        description="Lists the AWS accounts in which you have a role, by name, fresh from IAM Identity Center. Without"
        " an option: of the only session there is, or of the profile that AWS_PROFILE names.",
    )
    options.add_profile(parser)
    options.add_session(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the accounts."""
    listing = inventory.of_chosen(args, {"only": "accounts"})
    if args.json:
        speech.result(json.dumps(listing))
    elif not listing["accounts"]:
        inventory.tell_none(listing)
    else:
        rows = [
            tuple(inventory.in_few_words(account[key]) for key in ("account_id", "account_name", "email"))
            for account in listing["accounts"]
        ]
        speech.aligned([("ACCOUNT ID", "ACCOUNT", "EMAIL"), *rows])
    return 0
