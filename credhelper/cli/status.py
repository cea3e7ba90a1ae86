"""``credhelper status``: sessions, role credentials and the daemon, in one look."""

import argparse
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from credhelper import client
from credhelper.cli import daemon_link, options, speech
from credhelper.domain.errors import DaemonUnreachable, LoginRequired
from credhelper.domain.text import safe

Json = dict[str, Any]

USABLE = {"active", "refresh_due"}
SKEW_SHOWN = 60  # seconds; less troubles nobody
COLOURS = {"active": "green", "fresh": "green", "refresh_due": "yellow", "stale": "yellow", "expired": "red"}


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "status",
        help=summary,
        description="Shows every session, the role credentials in memory and the daemon. Starts nothing."
        " Exit status 3 when a session has expired, or when the one chosen is not usable; 7 without a daemon.",
    )
    options.add_profile(parser)
    options.add_session(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the status; the exit status says whether a login is needed."""
    fields = options.session_fields(args)
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
    states = [session["state"] for session in status["sso_sessions"]]
    needs_login = "expired" in states or (found["chosen"] is not None and found["chosen"] not in USABLE)
    return LoginRequired.status if needs_login else 0


def _ask(fields: dict[str, str]) -> Json:
    try:
        found: Json = json.loads(daemon_link.ask("status", fields, start=False, seconds=client.DEADLINE))
    except DaemonUnreachable:
        return _from_files()
    return found


def _from_files() -> Json:
    from credhelper.agent import status
    from credhelper.aws.token_cache import TokenCache
    from credhelper.cli import callers_files
    from credhelper.local import places

    configuration, mistakes = callers_files.load_what_can_be()
    is_locked = os.path.lexists(places.locked_marker(places.state_directory(places.environment())))
    cache = TokenCache.of_home(callers_files.home())
    found = status.from_files(configuration, cache, datetime.now(UTC), is_locked=is_locked)
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
        "No Identity Center session is configured (run: aws configure sso)." if is_whole else "None that can be used.",
    )
    for session in status["sso_sessions"]:
        if session["last_error"]:
            speech.result(f"  {safe(session['name'] or session['start_url'])}: {safe(session['last_error'])}")
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
        name = safe(login["sso_session"] or "a legacy profile")
        speech.result(f"A login to {name} waits for a person until {speech.moment(login['expires_at'])}.")


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
