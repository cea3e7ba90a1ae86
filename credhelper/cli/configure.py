"""``credhelper configure``: what goes into ``~/.aws/config``."""

import argparse

from credhelper.cli import options, speech
from credhelper.cli.configuring import adopt, configure_session, sync
from credhelper.domain.errors import UsageError
from credhelper.local import places


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "configure",
        help=summary,
        description="Changes ~/.aws/config (AWS_CONFIG_FILE) and keeps all else in it as it stands: each command shows"
        " the difference first, and keeps a copy of the file. On a new machine begin with sso-session, then login, then"
        " sync; where there are profiles already, with adopt.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    configure_session.add(parts)
    adopt.add(parts)
    sync.add(parts)
    command = parts.add_parser(
        "command",
        help="print the value to put behind `credential_process =`",
        description="Prints the value to put behind `credential_process =` in a profile, and keeps the small client it"
        " runs up to date. The profile names its role with credhelper_sso_session, credhelper_sso_account_id and"
        " credhelper_sso_role_name: SDKs would prefer the same keys without the prefix to the command.",
    )
    command.add_argument(
        "--profile", metavar="NAME", default=argparse.SUPPRESS, help="the profile that the line is for"
    )
    command.set_defaults(run=run_command)


def run_command(args: argparse.Namespace) -> int:
    """Prints the line."""
    if not args.profile:
        raise UsageError("--profile says which profile the line is for")
    if "\n" in args.profile or "\0" in args.profile:
        raise UsageError("a profile's name has one line")
    from credhelper.local import installation

    copy = installation.put_in_place(places.environment())
    speech.result(installation.process_line(args.profile, copy, installation.base_interpreter()))
    return 0
