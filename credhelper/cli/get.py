"""``credhelper get``: the ``credential_process`` JSON of a role."""

import argparse
import os
import sys

from credhelper import client
from credhelper.cli import daemon_link, options
from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "get",
        help=summary,
        description="Prints the credentials of a role as one line of JSON, as credential_process wants it."
        " Never opens a browser and never waits for a person.",
    )
    options.add_role(parser)
    # The fast client hands over with the argument it was given.
    parser.add_argument("--percent-encoded-profile", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the JSON, or says why there is none."""
    if args.percent_encoded_profile is not None:
        args.profile = _decoded(args.percent_encoded_profile)
    document = daemon_link.ask("get", options.role_fields(args), seconds=client.DEADLINE)
    sys.stdout.write(document)
    sys.stdout.flush()
    return 0


def _decoded(argument: str) -> str:
    try:
        return os.fsdecode(client.decode_profile(os.fsencode(argument)))
    except ValueError:
        raise UsageError(
            f"“{safe(argument)}” is not a percent-encoded profile name",
            hint="credhelper configure command --profile NAME",
        ) from None
