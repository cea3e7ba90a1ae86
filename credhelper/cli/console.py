"""``credhelper console``: the AWS console in a browser, signed in as a role."""

import argparse
import json
import os
from typing import Any

from credhelper.cli import asking, browser, options, speech
from credhelper.cli.picking import pick
from credhelper.domain.text import safe

WAIT = 20  # seconds; the role's credentials and the sign-in have 9 each
LINK = "Whoever opens it is signed in: it is good for 15 minutes."

Json = dict[str, Any]


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "console",
        help=summary,
        description="Signs a browser in to the AWS console with a role's credentials, in the role's partition and the"
        " profile's region. The session lasts as long as the role's sessions do; a chained role's ends with its"
        " credentials. " + pick.HELP,
        epilog="While it starts, the browser's command line holds the address, which other users of this machine may"
        " see: where that matters, use --print.",
    )
    options.add_role(parser)
    parser.add_argument("--region", metavar="REGION", help="the console's region (else the profile's)")
    page = parser.add_mutually_exclusive_group()
    page.add_argument("--service", metavar="NAME", help="begin with this service, such as ec2 or s3")
    page.add_argument("--destination", metavar="URL", help="begin with this page of the console, by URL or path")
    parser.add_argument("--print", action="store_true", help="print the address instead of opening it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Opens the console, or prints its address where that was asked for or no browser can be started."""
    pick.pick_role(args)
    fields = options.role_fields(args)
    names = ("region", "service", "destination")
    options.refuse_empty(args, *names)
    fields |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    found: Json = json.loads(asking.ask("console", fields, seconds=WAIT))
    who = f"{safe(found['role_name'])} in {safe(found['account_id'])}, {safe(found['region'])}"
    until = f"until {speech.moment(found['expires_at'])}"
    why_not = None if args.print else _open(found["url"])
    if args.print or why_not is not None:
        if why_not is not None:
            speech.note(f"No browser was opened, because {why_not}. Please open this address by hand:")
        speech.result(found["url"])
        speech.note(f"It is the console of {who}, {until}. {LINK}")
    else:
        speech.note(f"Opened the console of {who}, {until}.")
    return 0


def _open(url: str) -> str | None:
    """Opens a browser; why there is none, in words that follow "because", or None."""
    words = browser.command(os.environ)
    reason = browser.why_none_opens(os.environ, words)
    if reason is not None:
        return reason
    if words is None or browser.open_url(words, url) is None:
        named = os.environ.get("BROWSER")
        return "none can be started" + (f": BROWSER={safe(named)}" if named else "")
    return None
