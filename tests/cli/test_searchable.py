"""The rows of a list that is searched: what is found, what is pointed at, and how it fits."""

import pytest

from credhelper.cli.columns import cut, width
from credhelper.cli.picking.searchable import Cells, Searchable

TITLES = ("ACCOUNT", "ID", "ROLE", "PROFILE")
ROWS: list[Cells] = [
    ("Development", "111122223333", "Developer", "dev"),
    ("Production", "333344445555", "ReadOnly", ""),
    ("Büro Zürich", "444455556666", "Billing", "büro"),
]


def many(count: int) -> Searchable:
    return Searchable(("NAME",), [(f"row {number:04}",) for number in range(count)])


def shown(rows: Searchable, lines: int, columns: int = 80) -> list[str]:
    return [text for text, _ in rows.window(lines, columns)]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [0, 1, 2]),
        ("dev", [0]),
        ("DEV", [0]),
        ("3333", [0, 1]),
        ("read prod", [1]),
        ("zürich", [2]),
        ("ZÜRICH  bill", [2]),
        ("nothing like it", []),
    ],
)
def test_every_word_must_be_somewhere_in_any_case(search: str, found: list[int]) -> None:
    rows = Searchable(TITLES, ROWS)
    rows.search(search)
    assert rows.matches == found
    assert rows.chosen == (found[0] if found else None)


def test_nothing_is_chosen_where_nothing_is_found() -> None:
    rows = Searchable(TITLES, ROWS)
    rows.search("nobody")
    rows.move(1)
    assert rows.chosen is None
    assert rows.window(5, 80) == []
    rows.search("")
    assert rows.chosen == 0


def test_moving_stops_at_the_ends() -> None:
    rows = many(5)
    rows.move(-1)
    assert rows.chosen == 0
    rows.move(100)
    assert rows.chosen == 4
    rows.move(-2)
    assert rows.chosen == 2


def test_what_is_pointed_at_is_always_in_the_window() -> None:
    rows = many(100)
    assert shown(rows, 3) == ["row 0000", "row 0001", "row 0002"]
    rows.move(3)
    assert rows.window(3, 80) == [("row 0001", False), ("row 0002", False), ("row 0003", True)]
    rows.move(-1)
    assert shown(rows, 3) == ["row 0001", "row 0002", "row 0003"]  # it does not move where it need not
    rows.move(1000)
    assert shown(rows, 3)[-1] == "row 0099"
    assert shown(rows, 1) == ["row 0099"]
    assert shown(rows, 50)[0] == "row 0050"  # a larger window is filled
    assert len(shown(rows, 500)) == 100


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    rows = Searchable(TITLES, [(name, account, role, "") for name, account, role, _ in ROWS])
    assert rows.title(80) == "ACCOUNT      ID            ROLE"
    assert shown(rows, 3) == [
        "Development  111122223333  Developer",
        "Production   333344445555  ReadOnly",
        "Büro Zürich  444455556666  Billing",
    ]


@pytest.mark.parametrize("columns", range(1, 60))
def test_nothing_is_wider_than_the_terminal(columns: int) -> None:
    rows = Searchable(TITLES, [*ROWS, ("開発環境" * 10, "1" * 12, "R" * 100, "p" * 100)])
    for line in (rows.title(columns), *shown(rows, 9, columns)):
        assert width(line) <= columns


def test_what_gives_way_says_so() -> None:
    rows = Searchable(("NAME", "ID"), [("a" * 40, "111122223333")])
    assert shown(rows, 1, 30) == ["a" * 15 + "…  111122223333"]


@pytest.mark.parametrize(
    ("text", "columns", "left"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("開発環境", 5, "開発…"), ("abc", 0, "")]
)
def test_cutting_counts_columns(text: str, columns: int, left: str) -> None:
    assert cut(text, columns) == left


def test_names_cannot_command_the_terminal() -> None:
    rows = Searchable(("NAME",), [("\x1b]0;owned\x07\x1b[2J\u202ename\nnext",)])
    (line,) = shown(rows, 1)
    assert line.isprintable()
    assert "name next" in line
