"""What a person reads: results on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from credhelper.domain.errors import CredhelperError
from credhelper.domain.text import safe

LONGEST_ERROR = 20_000  # characters: a configuration may have many mistakes, and each is told


def result(text: str) -> None:
    """Prints a result, and at once: whoever reads it may be waiting for this line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Prints a remark; where it cannot be written, the exit status still tells."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        close(sys.stderr)


def close(stream: TextIO) -> None:
    """Nobody reads it any more, or its disk is full: Python must not try again at exit, nor complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def complain(error: CredhelperError) -> None:
    """Prints what went wrong, and below it what to do."""
    note(f"credhelper: error: {safe(error.message, LONGEST_ERROR)}")
    if error.hint:
        note(f"credhelper: hint: {safe(error.hint)}")


def is_coloured() -> bool:
    """Whether stdout may be coloured: a terminal, and the person has not declined (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """``text`` in green, yellow or red, where that is wanted."""
    codes = {"green": 32, "yellow": 33, "red": 31}
    return f"\x1b[{codes[colour]}m{text}\x1b[0m" if is_coloured() else text


def aligned(rows: Sequence[tuple[str, ...]], *, colours: Mapping[str, str] | None = None) -> None:
    """Prints a table, its titles first; ``colours`` are those of the words in its second column."""
    from credhelper.cli.columns import GAP, padded, width

    cells = [tuple(safe(cell) for cell in row) for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        fitted = [padded(cell, to) for cell, to in zip(row, widths, strict=True)]
        if number > 0 and colours is not None and row[1] in colours:
            fitted[1] = paint(fitted[1], colours[row[1]])
        result((" " * GAP).join(fitted).rstrip())


def end_of_lease(lease: Mapping[str, Any]) -> str:
    """When a lease ends, for a person."""
    return moment(lease["expires_at"]) if lease["expires_at"] else "at a revoke or logout"


def moment(text: str | None, now: datetime | None = None) -> str:
    """A time of a JSON document for a person: local, and how far away ("14:05, in 42 min")."""
    if text is None:
        return "-"
    then = datetime.fromisoformat(text)
    now = now or datetime.now(UTC)
    local = then.astimezone()
    clock = local.strftime("%H:%M" if local.date() == now.astimezone().date() else "%Y-%m-%d %H:%M")
    return f"{clock}, {_distance((then - now).total_seconds())}"


def _distance(seconds: float) -> str:
    amount = duration(abs(seconds)) if abs(seconds) >= 60 else "less than a minute"
    return f"in {amount}" if seconds >= 0 else f"{amount} ago"


def duration(seconds: float) -> str:
    """A span of time for a person ("42 min", "1 h", "3 h 5 min", "12 days")."""
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // (24 * 60)
    if days >= 2:
        return f"{days} days"
    if hours >= 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min"
