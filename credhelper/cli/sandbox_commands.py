"""``credhelper sandbox``: an Identity Center of one's own."""

import argparse

from credhelper.cli import options


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "sandbox", help=summary, description="For trying things out, and for tests. `credhelper demo` is a tour of it."
    )
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
