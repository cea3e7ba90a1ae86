"""Asking the daemon for accounts and roles, with a bar on the terminal that tells how far it is."""

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import closing

from credhelper.cli import daemon_link, options, speech
from credhelper.cli.daemon_link import Failed
from credhelper.cli.progress_bar import ProgressBar
from credhelper.domain.accounts import Listing
from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

FIRST_EVENT_SECONDS = 45  # the keyring and the disk may take their time; the portal is asked after the first event
EVENT_SECONDS = 400  # a portal that throttles may ask for a pause of five minutes
LONGEST_IN_TABLE = 64  # characters; AWS takes 50 for an account, 64 for a role
WORTH_A_BAR = 20  # accounts; fewer are there in a moment

Progress = Callable[[int, int], None]


def of_chosen(args: argparse.Namespace, more: Mapping[str, str]) -> Listing:
    """The listing of the session that the options choose, ``more`` saying of what.

    Where they choose none of several, a person at a terminal is asked. Raises Failed, UsageError, DaemonUnreachable.
    """
    fields = options.session_fields(args)
    with ProgressBar("Listing roles", least=WORTH_A_BAR) as bar:
        try:
            return ask({**fields, **more}, bar.show)
        except Failed as error:
            if fields or error.code != UsageError.code:
                raise
            from credhelper.cli.picking import pick  # only where there is something to choose from

            pick.pick_session(args)
            fields = options.session_fields(args)
            if not fields:
                raise
        return ask({**fields, **more}, bar.show)


def ask(fields: Mapping[str, str], on_progress: Progress = lambda _, __: None) -> Listing:
    """The daemon's listing; ``on_progress`` is told how many accounts of how many (0: not known yet).

    Raises Failed, DaemonUnreachable.
    """
    steps = daemon_link.stream("inventory", fields, seconds=FIRST_EVENT_SECONDS, next_seconds=EVENT_SECONDS)
    with closing(steps):
        while True:
            try:
                event = json.loads(next(steps))
            except StopIteration as end:
                listing: Listing = json.loads(end.value)
                return listing
            on_progress(event["done"], event["total"])


def in_few_words(text: str) -> str:
    """A name for a table: whole, unless somebody has made it longer than any of AWS's."""
    return text if len(text) <= LONGEST_IN_TABLE else text[: LONGEST_IN_TABLE - 1] + "…"


def tell_none(listing: Listing) -> None:
    """For a person: there is nothing to show, and why that may be."""
    name = listing["sso_session"] or listing["start_url"]
    speech.note(f"No account is assigned to you in session {safe(name)}.")
