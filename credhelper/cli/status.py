"""``credhelper status``: sessions, role credentials and the daemon, in one look."""

import argparse
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from credhelper import client
from credhelper.cli import daemon_link, options, speech
from credhelper.domain.errors import DaemonUnreachable, LoginRequired, UsageError
from credhelper.domain.text import safe

Json = dict[str, Any]

USABLE = {"active", "refresh_due"}
NO_SESSION = "No Identity Center session is configured (run: credhelper configure sso-session)."
SKEW_SHOWN = 60  # seconds; less troubles nobody
COLOURS = {"active": "green", "fresh": "green", "refresh_due": "yellow", "stale": "yellow", "expired": "red"}


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "status",
        help=summary,
        description="Shows every session, the role credentials in memory and the daemon. Starts nothing."
        " Exit status 3 when a session has expired, or when the one chosen is not usable; 7 without a daemon.",
        epilog="--prompt tells of the chosen session, or of all that somebody logged in to: ok (it goes on by itself),"
        " 42m (it ends then, for nothing renews it), expired (log in again), - (not logged in), failing (AWS cannot be"
        " reached, and nothing is left to use), locked. Its exit status is always 0.",
    )
    options.add_profile(parser)
    options.add_session(parser)
    options.add_cognito_login(parser)
    options.add_json(parser)
    parser.add_argument(
        "--prompt",
        action="store_true",
        help="one short line for a shell's prompt, such as “corp ok” or “corp 42m”; nothing without a daemon",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show it live, with the time left and who asks, until q is pressed; with --json a line for each change",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the status; the exit status says whether a login is needed."""
    fields = options.session_fields(args)
    if args.prompt:
        return _prompt(args, fields)
    if args.watch:
        return _watch(args, fields)
    found = _ask(fields)
    status = found["status"]
    if args.json:
        speech.result(json.dumps(status))
    elif found.get("is_lease"):
        _show_lease(status)
    else:
        _show(status, is_whole=not found["mistakes"])
    for mistake in found["mistakes"]:
        speech.note(f"credhelper: warning: {safe(mistake)}")
    if not status["daemon"]["running"]:
        return DaemonUnreachable.status
    states = [session["state"] for session in (*status["sso_sessions"], *status["cognito_logins"])]
    needs_login = "expired" in states or (found["chosen"] is not None and found["chosen"] not in USABLE)
    return LoginRequired.status if needs_login else 0


def _watch(args: argparse.Namespace, fields: dict[str, str]) -> int:
    from credhelper.cli import watch

    if fields:
        raise UsageError("--watch shows every session: it excludes --profile, --sso-session and --cognito-login")
    return watch.run(as_json=args.json)


def _prompt(args: argparse.Namespace, fields: dict[str, str]) -> int:
    from credhelper.cli import prompt

    if args.json:
        raise UsageError("--prompt and --json exclude each other")
    return prompt.show(fields)


def _ask(fields: dict[str, str]) -> Json:
    try:
        found: Json = json.loads(daemon_link.ask("status", fields, start=False, seconds=client.DEADLINE))
    except DaemonUnreachable:
        return from_files()
    return found


def from_files() -> Json:
    """What the daemon would tell if it ran, as far as the files tell it."""
    from credhelper.agent import status
    from credhelper.aws.token_cache import TokenCache
    from credhelper.cli import callers_files
    from credhelper.local import places

    configuration, mistakes = callers_files.load_what_can_be()
    state = places.state_directory(places.environment())
    logins, wrong = callers_files.cognito_logins()
    found = status.from_files(
        configuration,
        TokenCache.of_home(callers_files.home()),
        datetime.now(UTC),
        cognito_logins=logins,
        vault=places.vault_directory(state),
        is_locked=os.path.lexists(places.locked_marker(state)),
    )
    mistakes += wrong
    return {"status": found, "chosen": None, "mistakes": mistakes}


def _show(status: Json, *, is_whole: bool) -> None:
    daemon = status["daemon"]
    if daemon["running"]:
        started = speech.moment(daemon["started_at"])
        speech.result(f"Daemon {safe(daemon['version'])}, pid {daemon['pid']}, since {started}")
        _show_troubles(daemon)
    elif daemon_link.exists():
        speech.result("The daemon does not answer (run: credhelper daemon restart). From the files:")
    else:
        speech.result("The daemon is not running; it starts with the first request (or: credhelper daemon start).")
    if daemon.get("locked"):
        speech.result("It is locked: nothing is handed out (run: credhelper unlock).")
    _table(
        "SSO SESSION",
        ("STATE", "TOKEN EXPIRES", "START URL"),
        (
            (
                session["name"] or "(legacy)",
                session["state"],
                speech.moment(session["expires_at"]),
                session["start_url"],
            )
            for session in status["sso_sessions"]
        ),
        _nothing(status, is_whole=is_whole),
    )
    for session in status["sso_sessions"]:
        if session["last_error"]:
            speech.result(f"  {safe(session['name'] or session['start_url'])}: {safe(session['last_error'])}")
    if status["cognito_logins"]:
        _table(
            "COGNITO LOGIN",
            ("STATE", "TOKEN EXPIRES"),
            ((login["name"], login["state"], speech.moment(login["expires_at"])) for login in status["cognito_logins"]),
            "",
        )
    roles = status["role_credentials"]
    if roles:
        _table(
            "ROLE CREDENTIALS",
            ("STATE", "EXPIRE", "PROFILES"),
            (
                (
                    f"{role['account_id']} {role['role_name']}",
                    role["state"],
                    speech.moment(role["expires_at"]),
                    ", ".join(role["profiles"]) or "-",
                )
                for role in roles
            ),
            "",
        )
    _show_leases(status["leases"])
    for login in status["logins"]:
        speech.result("")
        name = safe(login["sso_session"] or login.get("cognito_login") or "a legacy profile")
        speech.result(f"A login to {name} waits for a person until {speech.moment(login['expires_at'])}.")


def _nothing(status: Json, *, is_whole: bool) -> str:
    """What stands where there is no session of Identity Center."""
    if not is_whole:
        return "None that can be used."
    return "None of Identity Center is configured." if status["cognito_logins"] else NO_SESSION


def _show_leases(leases: list[Json]) -> None:
    if not leases:
        return
    speech.result("")
    rows = ((lease["id"], lease["profile"] or "-", speech.end_of_lease(lease)) for lease in leases)
    speech.aligned([("LEASE", "PROFILE", "ENDS"), *rows])


def _show_lease(status: Json) -> None:
    """What is to be seen through a lease's socket."""
    daemon, (lease,) = status["daemon"], status["leases"]
    ends = f"until {speech.moment(lease['expires_at'])}" if lease["expires_at"] else "until it is revoked"
    speech.result(f"A lease for {safe(lease['profile'] or 'one role')}, {ends}: {safe(lease['id'])}")
    speech.result(f"Daemon {safe(daemon['version'])}; it shows nothing else here.")
    if daemon["locked"]:
        speech.result("It is locked: nothing is handed out.")


def _show_troubles(daemon: Json) -> None:
    if daemon.get("settings_error"):
        speech.result(f"The last reload changed no settings: {safe(daemon['settings_error'])}")
    if daemon.get("vault_error"):
        speech.result(f"Role credentials are in memory only, for this daemon's life: {safe(daemon['vault_error'])}")
    skew = daemon.get("clock_skew")
    if skew is not None and abs(skew) >= SKEW_SHOWN:
        side = "behind" if skew > 0 else "ahead of"
        speech.result(f"This machine's clock is {speech.duration(abs(skew))} {side} AWS's; it should be set right.")


def _table(first: str, titles: tuple[str, ...], rows: Iterable[tuple[str, ...]], empty: str) -> None:
    """A plain table whose second column, the state, is coloured."""
    cells = [(first, *titles), *rows]
    speech.result("")
    if len(cells) == 1:
        speech.result(empty)
        return
    speech.aligned(cells, colours=COLOURS)
