"""What ``status --watch`` shows, as text: the daemon's document turned into lines and tables, and nothing drawn yet.

Two views that are equal look alike, so that whoever draws has nothing to do while nothing changes.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from credhelper.cli import speech
from credhelper.cli.status import COLOURS
from credhelper.domain.text import safe

Json = Mapping[str, Any]
Cells = tuple[str, ...]

BRIEF = 60
"""Characters of what is told at length by ``credhelper status``."""

FLOWS = {"authorization_code": "in the browser", "device_code": "with a code"}


class Line(NamedTuple):
    """One, in its colour."""

    text: str
    colour: str = ""


class Table(NamedTuple):
    """Titles and rows; ``colours`` are those of the rows' second cells."""

    titles: Cells
    rows: tuple[Cells, ...]
    colours: Cells = ()


class View(NamedTuple):
    """All of it, from the top."""

    parts: tuple[Line | Table, ...]


def view(found: Json, now: datetime, trouble: str | None) -> View:
    """What there is to see of a ``watch`` document; ``trouble``: why it is not the daemon's present word."""
    status = found["status"]
    return View(
        (
            *_head(status["daemon"], now, trouble),
            *(Line(f"  {safe(mistake)}", "yellow") for mistake in found["mistakes"]),
            _sessions(status["sso_sessions"], now),
            *_errors(status["sso_sessions"]),
            *_cognito_logins(status.get("cognito_logins", ()), now),
            *_table(("LOGIN UNDER WAY", "HOW", "TIME LEFT"), _logins(status["logins"], now)),
            *_table(("CLIENTS", "WHO ASKED IN THE LAST HOUR"), _clients(found.get("clients", ()))),
            *_table(("LEASE", "PROFILE", "TIME LEFT"), _leases(status["leases"], now)),
            *_roles(status["role_credentials"], now),
        )
    )


def _head(daemon: Json, now: datetime, trouble: str | None) -> Iterable[Line]:
    clock = now.astimezone().strftime("%H:%M")
    if trouble is not None:
        yield Line(f"{trouble}   {clock}   q ends", "yellow")
    else:
        since = speech.moment(daemon["started_at"], now)
        yield Line(f"credhelper {safe(daemon['version'])}, pid {daemon['pid']}, since {since}   {clock}   q ends")
    if daemon.get("locked"):
        yield Line("It is locked: nothing is handed out (run: credhelper unlock).", "yellow")
    if daemon.get("settings_error"):
        yield Line(f"The last reload changed no settings: {safe(daemon['settings_error'])}", "yellow")
    if daemon.get("vault_error"):
        yield Line(f"Role credentials are in memory only: {safe(daemon['vault_error'], BRIEF)}", "yellow")


def _sessions(sessions: Iterable[Json], now: datetime) -> Table:
    rows, colours = [], []
    for session in sessions:
        rows.append(
            (
                safe(session["name"] or "(legacy)"),
                session["state"],
                left(session["expires_at"], now),
                _then(session),
                safe(session["start_url"]),
            )
        )
        colours.append(COLOURS.get(session["state"], ""))
    return Table(("SSO SESSION", "STATE", "TIME LEFT", "THEN", "START URL"), tuple(rows), tuple(colours))


def _then(session: Json) -> str:
    """An access token lasts an hour, and a session as long as somebody renews it."""
    if session["state"] in {"expired", "logged_out"}:
        return "log in"
    return "renewed by itself" if session["refreshable"] else "log in again"


def _cognito_logins(logins: Iterable[Json], now: datetime) -> Iterable[Table]:
    found = list(logins)
    if found:
        rows = tuple((safe(login["name"]), login["state"], left(login["expires_at"], now)) for login in found)
        colours = tuple(COLOURS.get(login["state"], "") for login in found)
        yield Table(("COGNITO LOGIN", "STATE", "TIME LEFT"), rows, colours)


def _errors(sessions: Iterable[Json]) -> Iterable[Line]:
    for session in sessions:
        if session["last_error"]:
            yield Line(f"  {safe(session['name'] or session['start_url'])}: {safe(session['last_error'])}", "red")


def _logins(logins: Iterable[Json], now: datetime) -> Iterable[Cells]:
    for login in logins:
        name = safe(login["sso_session"] or login.get("cognito_login") or "a legacy profile")
        yield name, FLOWS.get(login["flow"], safe(login["flow"])), left(login["expires_at"], now)


def _clients(clients: Iterable[Json]) -> Iterable[Cells]:
    for client in clients:
        name = client["sso_session"] or client.get("cognito_login") or "(legacy)"
        yield safe(name), ", ".join(map(safe, client["names"]))


def _leases(leases: Iterable[Json], now: datetime) -> Iterable[Cells]:
    for lease in leases:
        ends = left(lease["expires_at"], now) if lease["expires_at"] else "until a revoke or logout"
        yield safe(lease["id"]), safe(lease["profile"] or "-"), ends


def _roles(roles: Iterable[Json], now: datetime) -> Iterable[Table]:
    rows, colours = [], []
    for role in sorted(roles, key=lambda each: each["last_used_at"] or "", reverse=True):
        rows.append(
            (
                f"{safe(role['account_id'])} {safe(role['role_name'])}",
                role["state"],
                left(role["expires_at"], now),
                speech.moment(role["last_used_at"], now),
                safe(", ".join(role["profiles"]) or "-"),
            )
        )
        colours.append(COLOURS.get(role["state"], ""))
    if rows:
        titles = ("ROLE CREDENTIALS", "STATE", "TIME LEFT", "LAST USED", "PROFILES")
        yield Table(titles, tuple(rows), tuple(colours))


def _table(titles: Cells, rows: Iterable[Cells]) -> Iterable[Table]:
    found = tuple(rows)
    if found:
        yield Table(titles, found)


def left(until: str | None, now: datetime) -> str:
    """The time until then, which is seen to run: to the second in the last hour, else to the minute."""
    if until is None:
        return "-"
    seconds = int((datetime.fromisoformat(until) - now).total_seconds())
    if seconds <= 0:
        return "over"
    if seconds >= 3600:
        return speech.duration(seconds)
    return f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"
