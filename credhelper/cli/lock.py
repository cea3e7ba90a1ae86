"""``credhelper lock`` and ``credhelper unlock``: stop handing anything out, through any door, and resume."""

import argparse
import json
from typing import Any

from credhelper.cli import daemon_link, options, speech

Json = dict[str, Any]


def add(commands: options.Commands, summary: str) -> None:
    """Adds ``lock``."""
    parser = commands.add_parser(
        "lock",
        help=summary,
        description="From now on every request for credentials is refused (exit status 5), through every door, and by"
        " the next daemon too, until: credhelper unlock. Status, logout and what runs the daemon go on to work; a login"
        " does not. Credentials that programs already hold stay valid at AWS until they expire. No passphrase is asked"
        " for: whatever runs as you can unlock.",
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def add_unlock(commands: options.Commands, summary: str) -> None:
    """Adds ``unlock``."""
    parser = commands.add_parser("unlock", help=summary, description="Ends what `credhelper lock` has begun.")
    options.add_json(parser)
    parser.set_defaults(run=run_unlock)


def run(args: argparse.Namespace) -> int:
    """Locks."""
    done = _done("lock", args)
    if not args.json:
        since = speech.moment(done["since"])
        told = "Locked." if done["changed"] else f"It was locked already, since {since}."
        speech.result(f"{told} Nothing is handed out until: credhelper unlock")
    return 0


def run_unlock(args: argparse.Namespace) -> int:
    """Unlocks."""
    done = _done("unlock", args)
    if not args.json:
        speech.result("Unlocked." if done["changed"] else "It was not locked.")
    return 0


def _done(op: str, args: argparse.Namespace) -> Json:
    """The daemon's word, as JSON where that is wanted."""
    answer = daemon_link.ask(op, {})
    if args.json:
        speech.result(answer)
    found: Json = json.loads(answer)
    return found
