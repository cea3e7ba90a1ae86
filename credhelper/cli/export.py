"""``credhelper export``: a role's credentials, in the words of a shell."""

import argparse
import json
import sys
from typing import Any

from credhelper import client
from credhelper.cli import asking, options, shell_words, spans
from credhelper.cli.options import Fields
from credhelper.cli.picking import pick
from credhelper.domain.errors import UpstreamError

PROCESS = "process"

Document = dict[str, Any]

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
    "AWS_CREDENTIAL_EXPIRATION": "Expiration",
    "AWS_ACCOUNT_ID": "AccountId",
}
"""In the AWS CLI's order, which has no account; and where ``credential_process`` JSON has each."""


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "export",
        help=summary,
        description="Prints the credentials of a role as `aws configure export-credentials` does, and its account. They"
        " do not refresh themselves: `credhelper exec` gives a program some that do. " + pick.HELP,
        epilog='for example: eval "$(credhelper export --profile dev --format env)"',
    )
    options.add_role(parser)
    parser.add_argument(
        "--format",
        choices=(PROCESS, *shell_words.ASSIGNMENTS),
        default=PROCESS,
        help=f"the words to print it in (default: {PROCESS}, which is JSON)",
    )
    add_min_ttl(parser)
    parser.set_defaults(run=run)


def add_min_ttl(parser: argparse.ArgumentParser) -> None:
    """``--min-ttl``."""
    parser.add_argument(
        "--min-ttl", metavar="TIME", help="how long they must be good for at least, such as 10m, 2h or 90 (seconds)"
    )


def run(args: argparse.Namespace) -> int:
    """Prints them, all or none."""
    text = _text(ask(args, "export"), args.format)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0


def ask(args: argparse.Namespace, door: str) -> Document:
    """The chosen role's credentials as ``credential_process`` JSON, through ``exec`` with the profile's ``Region``.

    Raises UsageError, Failed, DaemonUnreachable.
    """
    fields = wanted_fields(args)
    document = asking.ask("get", fields | {"door": door}, seconds=client.DEADLINE)
    found: Document = json.loads(document)
    return found


def wanted_fields(args: argparse.Namespace) -> Fields:
    """A request's fields for the chosen role, and how long its credentials must last. Raises UsageError."""
    pick.pick_role(args)
    fields = options.role_fields(args)
    if args.min_ttl is not None:
        fields["min_ttl"] = str(spans.seconds(args.min_ttl, "--min-ttl"))
    return fields


def variables(document: Document) -> dict[str, str]:
    """The environment variables that hold these credentials."""
    return {name: document[key] for name, key in VARIABLES.items() if key in document}


def _text(document: Document, form: str) -> str:
    if form == PROCESS:
        return json.dumps(document, indent=2)
    assign = shell_words.ASSIGNMENTS[form]
    lines = []
    for name, value in variables(document).items():
        try:
            line = assign(name, value)
            line.encode(sys.stdout.encoding)
        except ValueError:
            raise UpstreamError(
                f"{name} holds a character that cannot be written safely for --format {form}",
                hint="credhelper export --format process",
            ) from None
        lines.append(line)
    return "\n".join(lines)
