"""``credhelper sso``: login and logout for fingers and scripts that know ``aws sso``."""

from credhelper.cli import login, logout, options


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "sso",
        help=summary,
        description="For fingers and scripts that know the AWS CLI's commands. `credhelper login` and `credhelper"
        " logout` can do more, and log in only where that is needed.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    login.add_sso(parts)
    logout.add_sso(parts)
