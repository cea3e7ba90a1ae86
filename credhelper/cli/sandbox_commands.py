"""``credhelper sandbox`` and ``credhelper demo``: an Identity Center of one's own, and a tour."""

import argparse

from credhelper.cli import options


def add(commands: options.Commands) -> None:
    """Adds the commands."""
    parser = commands.add_parser("sandbox", help="an embedded IAM Identity Center on loopback, to try things with")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run_parser = parts.add_parser(
        "run",
        help="run it in the foreground",
        description="Runs a strict IAM Identity Center on 127.0.0.1 and prints what to put into the environment and"
        " into ~/.aws/config to use it.",
    )
    run_parser.add_argument("--port", type=int, default=0, metavar="N", help="the port (default: any free one)")
    run_parser.set_defaults(run=run_sandbox)


def run_sandbox(args: argparse.Namespace) -> int:
    """Serves until interrupted."""
    from credhelper.sandbox import run

    return run.run(args.port)


def add_demo(commands: options.Commands) -> None:
    """Adds ``demo``."""
    parser = commands.add_parser(
        "demo",
        help="a tour: log in, use, log out, in a temporary home",
        description="Shows the whole story against the embedded Identity Center, in a temporary home of its own."
        " Touches nothing of yours and leaves nothing behind.",
    )
    parser.add_argument("--yes", action="store_true", help="approve the login without opening a browser")
    parser.set_defaults(run=run_demo)


def run_demo(args: argparse.Namespace) -> int:
    """Runs the tour."""
    from credhelper import demo

    return demo.run(yes=args.yes)
