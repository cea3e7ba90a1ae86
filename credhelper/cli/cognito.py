"""``credhelper cognito``: identity pools of Amazon Cognito, their policies and pools."""

from credhelper.cli import cognito_explain, cognito_policy, cognito_trust, cognito_whoami, options
from credhelper.cli.pools import commands as pools


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "cognito",
        help=summary,
        description="Shows who a Cognito profile is; makes, checks and explains the policies of an identity pool's"
        " roles, which asks AWS nothing and needs no daemon, unless --admin-profile says whose role may; and shows and"
        " changes pools.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cognito_trust.add(parts)
    cognito_policy.add(parts)
    cognito_explain.add(parts)
    pools.add(parts)
    cognito_whoami.add(parts)
