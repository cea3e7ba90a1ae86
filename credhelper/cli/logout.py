"""``credhelper logout`` and ``credhelper sso logout``: clears what is local, ends the sign-in, shows the receipt."""

import argparse
import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterable
from typing import Any

from credhelper.cli import daemon_link, options, speech
from credhelper.domain.errors import CredhelperError, DaemonUnreachable, DoneInPart, Interrupted, UsageError
from credhelper.domain.text import safe

Json = dict[str, Any]

STOP_SECONDS = 3
_LONGEST_URL = 4000  # characters
DAEMON_SECONDS = 20  # a daemon that is slower than this is stuck, and the files can be cleared without it


def add(commands: options.Commands, summary: str) -> None:
    """Adds ``logout``."""
    parser = commands.add_parser(
        "logout",
        help=summary,
        description="Clears tokens, registrations and cached role credentials, works offline, then ends the sign-in at"
        " AWS. Without a selector: of every session and every Cognito login. Role credentials that programs already"
        " hold stay valid at AWS until they expire; the receipt lists them. Guests of identity pools have no login,"
        " and stay served.",
    )
    options.add_profile(parser)
    options.add_session(parser)
    options.add_cognito_login(parser)
    parser.add_argument("--all", action="store_true", help="every session and login; the same as no selector")
    cognito = parser.add_argument_group("Cognito")
    cognito.add_argument(
        "--everywhere",
        action="store_true",
        help="end the user's sign-ins on other devices too; takes a login with the scope aws.cognito.signin.user.admin",
    )
    cognito.add_argument(
        "--browser",
        action="store_true",
        help="have the browser forget who has signed in, which nothing else does: opens the user pool's sign-out page",
    )
    cognito.add_argument(
        "--forget-identity",
        action="store_true",
        help="forget who one is in identity pools as well; a guest is another one afterwards, and what is kept under"
        " the old identity is lost",
    )
    cognito.add_argument("--yes", action="store_true", help="forget a guest's identity without asking")
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
        raise UsageError("--all means every session: it excludes --profile, --sso-session and --cognito-login")
    if args.sso_session is not None and (args.everywhere or args.browser or args.forget_identity):
        raise UsageError("--everywhere, --browser and --forget-identity are for Cognito: they exclude --sso-session")
    if args.forget_identity and not args.yes:
        _confirm(fields)
    wishes = {name: "1" for name in ("everywhere", "browser", "forget_identity") if getattr(args, name)}
    receipt = _log_out(fields, wishes)
    if args.json:
        speech.result(json.dumps(receipt))
    else:
        _show(receipt)
    _open_pages(receipt.get("browser", ()))
    _refuse_remains(receipt)
    return 0


def _confirm(fields: dict[str, str]) -> None:
    """A guest's identity is nobody's any more once it is forgotten. Raises UsageError, Interrupted."""
    if "cognito_login" in fields:  # a user gets the same one again
        return
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("--forget-identity has to be confirmed, and there is no terminal", hint="add --yes")
    from credhelper.cli.configuring import questions

    speech.note("A guest of an identity pool is another one afterwards: what is kept under the old identity is lost.")
    if not questions.is_yes("Forget it?"):
        raise Interrupted("nothing was done")


def _open_pages(pages: Iterable[Json]) -> None:
    """Has the browser sign out, or says where it can. Nobody listens where it ends, and that is no failure."""
    from credhelper.cli import browser  # few logouts want it

    for page in pages:
        name = safe(page["cognito_login"])
        if page["url"] is None:
            speech.note(f"credhelper: warning: {name}: the browser stays signed in: {safe(page['error'] or '')}")
            continue
        words = browser.command(os.environ)
        why_not = browser.why_none_opens(os.environ, words)
        if why_not is None and words is not None and browser.open_url(words, page["url"]) is not None:
            speech.note(f"{name}: the browser was sent to the sign-out page; where it ends, there is no page to see.")
        else:
            speech.note(f"{name}: please open this address to sign the browser out: {safe(page['url'], _LONGEST_URL)}")


def run_sso(_: argparse.Namespace) -> int:
    """Logs out of everything and says nothing unless something is left."""
    _refuse_remains(_log_out({}, {}))
    return 0


def _log_out(fields: dict[str, str], wishes: dict[str, str]) -> Json:
    try:
        receipt: Json = json.loads(daemon_link.ask("logout", fields | wishes, start=False, seconds=DAEMON_SECONDS))
    except DaemonUnreachable as error:
        if daemon_link.exists():
            speech.note(f"credhelper: warning: {safe(error.message)}; logging out without it")
            with contextlib.suppress(CredhelperError):  # what it holds in memory has to go as well
                daemon_link.ask("stop", {}, start=False, seconds=STOP_SECONDS)
        from credhelper.cli import logout_alone

        return logout_alone.log_out(fields, wishes)
    return receipt


def _show(receipt: Json) -> None:
    for session in receipt["sessions"]:
        name = safe(session["sso_session"] or session["cognito_login"] or session["start_url"] or "an unknown session")
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
    where = "the user pool" if session["source"] == "cognito" else "the portal"
    words = ["token deleted" if session["token"] == "deleted" else "the token could NOT be deleted"]  # noqa: S105
    if session["revoked"]:
        words.append(f"sign-in ended at {where}")
    elif session["revoked"] is False:
        words.append(f"sign-in not ended at {where}: {safe(session['error'] or 'no answer')}")
    return ", ".join(words)


def _refuse_remains(receipt: Json) -> None:
    if receipt["left"]:
        for left in receipt["left"]:
            speech.note(f"credhelper: warning: left: {safe(left['path'])}: {safe(left['why'])}")
        raise DoneInPart(
            f"{len(receipt['left'])} file(s) could not be removed",
            hint=shlex.join(["ls", "-ld", *(left["path"] for left in receipt["left"])]),
        )
