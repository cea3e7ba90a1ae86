"""On which line of a TOML text each of its keys stands: tomllib does not say.

Loaded only when there is a mistake to tell.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

Place = tuple[str | int, ...]
"""A way down the document: the names of tables and keys, and the number (from 0) of an entry of an array of tables."""

# What can hide the end of a statement: strings, comments and brackets.
_PIECE = re.compile(
    r"""
      "{3} (?: [^"\\] | \\. | "{1,2}(?!") )*+ "{3,5}   # up to two quotes may stand before the closing three
    | '{3} (?: [^']         | '{1,2}(?!') )*+ '{3,5}
    | "    (?: [^"\\\n] | \\. )*+ "
    | '    [^'\n]*+ '
    | \#   [^\n]*+
    | [\[\]{}\n]
    | [^"'\#\[\]{}\n]++
    """,
    re.VERBOSE | re.DOTALL,
)


class Lines:
    """The lines of a text that tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._found: dict[Place, int] = {}
        self._entries: dict[Place, int] = {}
        """Of each array of tables, how many entries have begun."""
        table: Place = ()
        for line, statement in _statements(text.replace("\r\n", "\n")):
            if statement.startswith("["):
                table = self._begin_table(line, statement)
            else:
                self._note(table, tomllib.loads(statement), line)

    def of(self, place: Place) -> int | None:
        """The line (from 1) on which ``place``, or the nearest thing around it, is first named; None for no line."""
        return next((self._found[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self._found), None)

    def _begin_table(self, line: int, header: str) -> Place:
        table: Place = ()
        for name in _names_in(header):
            table = (*self._last_entry(table), name)
            self._found.setdefault(table, line)
        if header.startswith("[["):
            self._entries[table] = self._entries.get(table, 0) + 1
            table = self._last_entry(table)
            self._found[table] = line
        return table

    def _last_entry(self, table: Place) -> Place:
        """Below the name of an array of tables, a header speaks of its last entry."""
        return (*table, self._entries[table] - 1) if table in self._entries else table

    def _note(self, table: Place, values: Mapping[str, object], line: int) -> None:
        for name, value in values.items():
            place = (*table, name)
            self._found.setdefault(place, line)
            if isinstance(value, dict):
                self._note(place, value, line)


def _names_in(header: str) -> list[str]:
    names: list[str] = []
    inner = tomllib.loads(header)
    while inner:
        [(name, below)] = inner.items()
        names.append(name)
        inner = below[0] if isinstance(below, list) else below
    return names


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Every header and every ``key = value``, with the line on which it begins."""
    statement, line, depth = "", 1, 0
    for piece in _PIECE.findall(text + "\n"):
        if piece == "\n" and depth == 0:
            if statement.strip():
                yield line - statement.count("\n"), statement.strip()
            statement = ""
        elif not piece.startswith("#"):
            depth += (piece in {"[", "{"}) - (piece in {"]", "}"})
            statement += piece
        line += piece.count("\n")
