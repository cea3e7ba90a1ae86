"""What differs from one recording to the next, made the same: the time, process ids, the figures of a wait."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from tests.pictures.recording import Cell, Frame, Row

SHOWN_NOW = 14 * 60 + 2
"""What the clock says in the pictures, in minutes of the day."""

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def frames(recorded: list[Frame], began: datetime) -> list[Frame]:
    """The same, as if the recording had begun at a certain minute; ``began`` is when it did."""
    changes = (
        (re.compile(r"\b([01]\d|2[0-3]):([0-5]\d)\b(?! left)"), _moved(began)),
        (re.compile(r"(?<= min )[0-5]\d(?= s\b)"), lambda _: "41"),
        (re.compile(r"(?<=pid )\d+"), lambda _: "4711"),
        (re.compile(r"/tmp/ch-\w+/home\b"), lambda _: "/home/alice"),
        (re.compile(r"(?<=-backup-)\d{8}T\d{6}\.\d{6}"), lambda _: "20260601T140207.184213"),
        (re.compile(r"\b\d+:[0-5]\d(?= left)"), lambda _: "9:58"),
        (re.compile(f"[{SPINNER}]"), lambda _: SPINNER[0]),
    )
    return [Frame(tuple(_changed(row, changes) for row in frame.rows), frame.seconds) for frame in recorded]


Change = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def _moved(began: datetime) -> Callable[[re.Match[str]], str]:
    utc = began.astimezone(UTC)
    offset = SHOWN_NOW - (utc.hour * 60 + utc.minute)

    def moved(found: re.Match[str]) -> str:
        minutes = (int(found[1]) * 60 + int(found[2]) + offset) % (24 * 60)
        return f"{minutes // 60:02}:{minutes % 60:02}"

    return moved


def _changed(row: Row, changes: tuple[Change, ...]) -> Row:
    for pattern, replacement in changes:
        text = "".join(cell.text or "\0" for cell in row)  # one character for each cell
        if len(text) != len(row):  # combining characters: none of what is changed has any
            return row
        for found in reversed(list(pattern.finditer(text))):
            style = row[found.start()]
            new = tuple(Cell(character, style.front, style.back, style.bold) for character in replacement(found))
            row = _as_long_as(row[: found.start()] + new + row[found.end() :], len(row))
    return row


def _as_long_as(row: Row, columns: int) -> Row:
    return (row + (Cell(),) * columns)[:columns]
