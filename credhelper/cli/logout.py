"""``credhelper logout`` and ``credhelper sso logout``: clears what is local, ends the sign-in, shows the receipt."""

import argparse
import contextlib
import json
import shlex
from typing import Any

from credhelper.cli import daemon_link, options, speech
from credhelper.domain.errors import CredhelperError, DaemonUnreachable, DoneInPart, UsageError
from credhelper.domain.text import safe

Json = dict[str, Any]

STOP_SECONDS = 3
DAEMON_SECONDS = 20  # a daemon that is slower than this is stuck, and the files can be cleared without it


def add(commands: options.Commands, summary: str) -> None:
    """Adds ``logout``."""
    parser = commands.add_parser(
        "logout",
        help=summary,
        description="Clears tokens, registrations and cached role credentials, works offline, then ends the sign-in at"
        " the portal. Without a selector: of every session. Role credentials that programs already hold stay valid at"
        " AWS until they expire; the receipt lists them.",
    )
    options.add_profile(parser)
    options.add_session(parser)
    parser.add_argument("--all", action="store_true", help="every session; the same as no selector")
    options.add_json(parser)
    parser.set_defaults(run=run)


def add_sso(commands: options.Commands) -> None:
    """Adds ``sso logout``."""
    parser = commands.add_parser(
        "logout",
        help="as `aws sso logout`: out of everything",
        description="Logs out as `aws sso logout` does: out of every session, whatever --profile says, and quietly.",
    )
    options.add_profile(parser)
    options.add_aws_cli_habits(parser)
    parser.set_defaults(run=run_sso)


def run(args: argparse.Namespace) -> int:
    """Logs out and prints the receipt."""
    fields = options.session_fields(args)
    if args.all and fields:
        raise UsageError("--all means every session: it excludes --profile and --sso-session")
    receipt = _log_out(fields)
    if args.json:
        speech.result(json.dumps(receipt))
    else:
        _show(receipt)
    _refuse_remains(receipt)
    return 0


def run_sso(_: argparse.Namespace) -> int:
    """Logs out of everything and says nothing unless something is left."""
    _refuse_remains(_log_out({}))
    return 0


def _log_out(fields: dict[str, str]) -> Json:
    try:
        receipt: Json = json.loads(daemon_link.ask("logout", fields, start=False, seconds=DAEMON_SECONDS))
    except DaemonUnreachable as error:
        if daemon_link.exists():
            speech.note(f"credhelper: warning: {safe(error.message)}; logging out without it")
            with contextlib.suppress(CredhelperError):  # what it holds in memory has to go as well
                daemon_link.ask("stop", {}, start=False, seconds=STOP_SECONDS)
        from credhelper.cli import logout_alone

        return logout_alone.log_out(fields)
    return receipt


def _show(receipt: Json) -> None:
    for session in receipt["sessions"]:
        name = safe(session["sso_session"] or session["start_url"] or "an unknown session")
        speech.result(f"{name}: {_outcome(session)}")
    if not receipt["sessions"]:
        speech.result("There was nothing to log out of.")
    if receipt["removed"]:
        speech.result(f"Removed {len(receipt['removed'])} file(s):")
        for path in receipt["removed"]:
            speech.result(f"  {safe(path)}")
    if receipt["still_valid"]:
        speech.result("AWS honours what was already handed out until it expires:")
        for role in receipt["still_valid"]:
            speech.result(
                f"  {safe(role['account_id'])} {safe(role['role_name'])}: {speech.moment(role['expires_at'])}"
            )


def _outcome(session: Json) -> str:
    if session["token"] == "absent":  # noqa: S105  # a state, no secret
        return "was not logged in"
    words = ["token deleted" if session["token"] == "deleted" else "the token could NOT be deleted"]  # noqa: S105
    if session["revoked"]:
        words.append("sign-in ended at the portal")
    elif session["revoked"] is False:
        words.append(f"sign-in not ended at the portal: {safe(session['error'] or 'no answer')}")
    return ", ".join(words)


def _refuse_remains(receipt: Json) -> None:
    if receipt["left"]:
        for left in receipt["left"]:
            speech.note(f"credhelper: warning: left: {safe(left['path'])}: {safe(left['why'])}")
        raise DoneInPart(
            f"{len(receipt['left'])} file(s) could not be removed",
            hint=shlex.join(["ls", "-ld", *(left["path"] for left in receipt["left"])]),
        )
