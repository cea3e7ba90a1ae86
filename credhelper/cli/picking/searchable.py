"""Rows of a list that a person searches: which match, which is pointed at, and how they look in so many columns.

Knows no terminal. What it shows has gone through ``safe``, and is cut where it is too long.
"""

from collections.abc import Sequence
from functools import cached_property

from credhelper.cli.columns import GAP, cut, padded, width
from credhelper.domain.text import safe

Cells = tuple[str, ...]

LEAST = 12  # columns that a cell keeps where there is little room, an account id whole; then the line is cut
LONGEST_CELL = 60  # columns


class Searchable:
    """The rows, a search for some of them, and the one among those that is pointed at."""

    def __init__(self, titles: Cells, rows: Sequence[Cells]) -> None:
        """``rows`` in the order in which they are to be shown; a column in which no row has anything is left out."""
        shown = [column for column in range(len(titles)) if any(row[column] for row in rows)]
        self._titles = tuple(titles[column] for column in shown)
        self._rows = [tuple(safe(row[column]) for column in shown) for row in rows]
        self._widest = [
            min(LONGEST_CELL, max(map(width, (title, *column))))
            for title, column in zip(self._titles, zip(*self._rows, strict=True), strict=True)
        ]
        self.matches = list(range(len(rows)))
        """The numbers of the rows that are found, in order."""
        self.position = 0
        """Which of them is pointed at."""
        self.top = 0
        """Which of them is shown first."""

    def __len__(self) -> int:
        return len(self._rows)

    def search(self, text: str) -> None:
        """From now on only rows that have every word of ``text`` somewhere, in any case; points at the first."""
        words = text.casefold().split()
        self.matches = [number for number, row in enumerate(self._folded) if all(word in row for word in words)]
        self.position = self.top = 0

    @cached_property
    def _folded(self) -> list[str]:
        """Nobody waits for it who only looks."""
        return ["  ".join(row).casefold() for row in self._rows]

    def move(self, by: int) -> None:
        """Points at another row: so many further down, or up; it stops at the ends."""
        self.position = max(0, min(self.position + by, len(self.matches) - 1))

    @property
    def chosen(self) -> int | None:
        """The number of the row that is pointed at; None where none is found."""
        return self.matches[self.position] if self.matches else None

    def title(self, columns: int) -> str:
        """The line above the rows."""
        return self._line(self._titles, self._fitted(columns), columns)

    def window(self, lines: int, columns: int) -> list[tuple[str, bool]]:
        """What is shown in so many lines: text, and whether it is what is pointed at, which is always among it."""
        lines = max(1, lines)
        self.top = max(self.position - lines + 1, min(self.top, self.position, max(0, len(self.matches) - lines)))
        widths = self._fitted(columns)
        return [
            (self._line(self._rows[self.matches[at]], widths, columns), at == self.position)
            for at in range(self.top, min(self.top + lines, len(self.matches)))
        ]

    def _fitted(self, columns: int) -> list[int]:
        """The cells' widths: where they do not fit, the widest ones give way."""
        widths = list(self._widest)
        excess = sum(widths) + GAP * (len(widths) - 1) - columns
        while excess > 0 and max(widths, default=0) > LEAST:
            widths[widths.index(max(widths))] -= 1
            excess -= 1
        return widths

    def _line(self, cells: Cells, widths: Sequence[int], columns: int) -> str:
        fitted = (padded(cut(cell, to), to) for cell, to in zip(cells, widths, strict=True))
        return cut((" " * GAP).join(fitted).rstrip(), columns)
