"""``credhelper audit``: who asked for what, when, and what became of it."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from credhelper import client
from credhelper.cli import daemon_link, options, spans, speech
from credhelper.domain.errors import CredhelperError, DaemonUnreachable, UsageError
from credhelper.domain.text import safe

Json = dict[str, Any]

TITLES = ("TIME", "DOOR", "PROGRAM", "PID", "PROFILE", "ROLE", "OUTCOME")
SPOKEN = {
    "config": "configuration error",
    "fault": "fault in credhelper",
    "login_required": "login required",
    "policy": "refused by policy",
    "role_not_assigned": "not assigned",
    "upstream": "AWS failed",
    "usage": "wrong usage",
}


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "audit",
        help=summary,
        description="Shows every request for credentials: when, through which door, by which program, for which role,"
        " and what became of it. Starts nothing: without a daemon it reads what the last one has written.",
        epilog="Secrets and command lines are never recorded. The records are kept in the state directory; the oldest"
        " go when there are some 20 MB of them.",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="only from then on: 30m, 1h, 2d, today, yesterday, 2026-11-24 or 2026-11-24T09:30 (local time)",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default=argparse.SUPPRESS,  # it may stand before the command too, as in the AWS CLI
        help="only requests for this profile",
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the records, the oldest first."""
    since = None if args.since is None else _moment(args.since, datetime.now(UTC))
    profile = None if args.profile is None else safe(options.profile_fields(args)["profile"])
    records = _chosen(_records(_place()), since, profile)
    if args.json:
        sys.stdout.writelines(json.dumps(record) + "\n" for record in records)
    else:
        _show(list(records))
    return 0


def _place() -> Path:
    """Where the records are; a daemon that runs has written all of them by now."""
    from credhelper.local import places

    try:
        found = json.loads(daemon_link.ask("audit", {}, start=False, seconds=client.DEADLINE))
    except DaemonUnreachable:
        return places.audit_log(places.state_directory(places.environment()))
    if found["unwritten"]:
        why = found["trouble"] or "they are being written"
        speech.note(f"credhelper: warning: {found['unwritten']} records are missing here: {safe(why)}")
    return Path(found["path"])


def _records(path: Path) -> Iterator[Json]:
    from credhelper.local import audit_log
    from credhelper.local.private_files import UnusableFile

    try:
        for found in audit_log.read(path):
            if isinstance(found, audit_log.Unreadable):
                lines = "1 line is no record" if found.lines == 1 else f"{found.lines} lines are no records"
                speech.note(f"credhelper: warning: {safe(str(found.path))}: {lines}, and left out")
            else:
                yield found
    except UnusableFile as error:
        raise CredhelperError(f"the audit cannot be read: {error}") from None


def _chosen(records: Iterable[Json], since: str | None, profile: str | None) -> Iterator[Json]:
    for record in records:
        is_recent = since is None or str(record["time"]) >= since
        if is_recent and profile in {None, record["profile"]}:
            yield record


def _moment(text: str, now: datetime) -> str:
    """The moment that ``--since`` names, as records tell time. Raises UsageError."""
    try:
        then = _past(text.strip(), now).astimezone(UTC)
        return then.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
    except (ValueError, OverflowError, UsageError):
        raise UsageError(
            f"--since: “{safe(text)}” is neither a span of time such as 1h or 2d"
            " nor a moment such as today, 2026-11-24 or 2026-11-24T09:30",
            hint="credhelper audit --since 1h",
        ) from None


def _past(text: str, now: datetime) -> datetime:
    """Raises ValueError, OverflowError, UsageError."""
    today = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if text in {"today", "yesterday"}:
        return (today - timedelta(days=text == "yesterday")).astimezone()
    if "-" in text:
        return datetime.fromisoformat(text).astimezone()
    return now - timedelta(seconds=spans.seconds(text, "--since"))


def _show(records: list[Json]) -> None:
    if not records:
        speech.result("No requests are recorded.")
        return
    now = datetime.now(UTC).astimezone()
    rows = [TITLES, *(tuple(safe(cell) for cell in _row(record, now)) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for number, row in enumerate(rows):
        *cells, outcome = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        if number > 0:
            outcome = speech.paint(outcome.rstrip(), "green" if row[-1].startswith("ok") else "red")
        sys.stdout.write("  ".join((*cells, outcome)).rstrip() + "\n")


def _row(record: Json, now: datetime) -> tuple[str, ...]:
    if record["outcome"] == "lost":
        return _local(record["time"], now), "-", "-", "-", "-", "-", f"{record.get('lost')} requests were not recorded"
    role = " ".join(str(part) for part in (record["account_id"], record["role_name"]) if part)
    outcome = str(record["outcome"])
    outcome = SPOKEN.get(outcome, outcome.replace("_", " "))
    return (
        _local(record["time"], now),
        str(record["door"] or "-"),
        str(record["exe"] or "-").rpartition("/")[2],
        str(record["pid"] or "-"),
        str(record["profile"] or "-"),
        role or "-",
        outcome + (", from memory" if record["cache_hit"] else ""),
    )


def _local(time: object, now: datetime) -> str:
    """Today's by the clock, others with the date."""
    try:
        then = datetime.fromisoformat(str(time)).astimezone()
    except ValueError:
        return str(time)
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")
