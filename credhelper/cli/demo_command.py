"""``credhelper demo``: a tour."""

import argparse

from credhelper.cli import options


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "demo",
        help=summary,
        description="Shows the whole story against the embedded Identity Center, in a temporary home of its own."
        " Touches nothing of yours and leaves nothing behind.",
    )
    parser.add_argument("--yes", action="store_true", help="approve the login without opening a browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the tour."""
    from credhelper import demo

    return demo.run(yes=args.yes)
