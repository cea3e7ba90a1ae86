"""Text in a terminal's columns, of which a character may take none, one or two."""

import unicodedata
from functools import lru_cache

GAP = 2
"""Columns between two cells of a table."""
ELLIPSIS = "…"


def width(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def cut(text: str, columns: int) -> str:
    """``text`` in at most so many columns."""
    if width(text) <= columns:
        return text
    kept, room = "", columns - 1
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        kept += character
    return kept + ELLIPSIS if columns > 0 else ""


def padded(text: str, columns: int) -> str:
    """``text`` in at least so many columns."""
    return text + " " * (columns - width(text))
