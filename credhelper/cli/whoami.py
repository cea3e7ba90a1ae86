"""``credhelper whoami``: account, role and user, by AWS's own word."""

import argparse
import json

from credhelper.cli import asking, options, speech
from credhelper.domain.text import safe

WAIT = 20  # seconds; the role's credentials and STS have 9 each


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "whoami",
        help=summary,
        description="Calls STS GetCallerIdentity with the role's credentials and prints account, role and user.",
    )
    options.add_role(parser)
    parser.add_argument("--region", metavar="REGION", help="the region whose STS is asked (else the profile's)")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the identity."""
    fields = options.role_fields(args)
    options.refuse_empty(args, "region")
    if args.region is not None:
        fields["region"] = args.region
    answer = asking.ask("whoami", fields, seconds=WAIT)
    if args.json:
        speech.result(answer)
        return 0
    identity = json.loads(answer)
    rows = (
        ("Account", "account_id"),
        ("Role", "role_name"),
        ("User", "user"),
        ("Session", "sso_session"),
        ("ARN", "arn"),
    )
    for title, key in rows:
        if identity[key] is not None:
            speech.result(f"{title:<8} {safe(identity[key])}")
    return 0
