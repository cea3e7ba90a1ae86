"""``credhelper cognito``: identity pools of Amazon Cognito, their policies made, checked and explained."""

from credhelper.cli import cognito_explain, cognito_policy, cognito_trust, options


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "cognito",
        help=summary,
        description="Makes, checks and explains the policies of an identity pool's roles. Nothing of it asks AWS, or"
        " needs the daemon.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cognito_trust.add(parts)
    cognito_policy.add(parts)
    cognito_explain.add(parts)
