"""The line of every key of a TOML text, whatever the text hides it among."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.local.toml_lines import Lines, Place


def lines_of(text: str, *places: Place) -> list[int | None]:
    tomllib.loads(text.replace("\r\n", "\n"))
    lines = Lines(text)
    return [lines.of(place) for place in places]


def test_keys_stand_where_they_are_written() -> None:
    text = "# first\na = 1\n\n  b = 2 # a comment\n[t]\n\nc = 3"
    assert lines_of(text, ("a",), ("b",), ("t",), ("t", "c")) == [2, 4, 5, 7]


@pytest.mark.parametrize(
    "value",
    [
        '"""\nz = 1\n[t]\n"""',
        '"""\\\n  one \\""" two\n"""',
        '"""a""b\n"c""""',
        '"""x"""""',
        "'''\n# ' ''\nz = 1\\'''",
        "'''x'''''",
        "[\n1, # ]\n2,\n]",
        "[[\n'[', \"]\"],\n['''\n]''', '#'],\n]",
        '"# no \\" comment ["',
        "'[ \\'",
        "{x = [1,\n2], y = '}'}",
        "''",
        '""',
        '""""""',
        "''''''",
    ],
)
def test_no_value_hides_what_follows_it(value: str) -> None:
    text = f"a = {value}\nz = 1\n[t]\nz = 2\n"
    height = value.count("\n")
    assert lines_of(text, ("a",), ("z",), ("t",), ("t", "z")) == [1, 2 + height, 3 + height, 4 + height]


def test_dotted_and_quoted_keys_name_a_way_down() -> None:
    text = "a.b = 1\na . \"c d\".'e' = 2\n[ x . 'y.z' ]\nk.l = 1\n"
    places = [("a",), ("a", "b"), ("a", "c d"), ("a", "c d", "e"), ("x",), ("x", "y.z"), ("x", "y.z", "k", "l")]
    assert lines_of(text, *places) == [1, 1, 2, 2, 3, 3, 4]


def test_the_keys_of_an_inline_table_stand_on_its_line() -> None:
    assert lines_of("\nt = { a = 1, b = { c = 2 } }", ("t", "a"), ("t", "b", "c")) == [2, 2]


def test_entries_of_an_array_of_tables_are_told_apart() -> None:
    text = "[[p]]\nn = 1\n[[p]]\n[p.q]\nn = 2\n[[p.r]]\nn = 3\n[[p.r]]\nn = 4\n[[p]]\n[[p.r]]\nn = 5\n"
    places: list[Place] = [("p", 0), ("p", 0, "n"), ("p", 1), ("p", 1, "q", "n")]
    places += [("p", 1, "r", 0, "n"), ("p", 1, "r", 1, "n"), ("p", 2), ("p", 2, "r", 0, "n")]
    assert lines_of(text, *places) == [1, 2, 3, 5, 7, 9, 10, 12]


def test_what_has_no_line_of_its_own_has_that_of_what_is_around_it() -> None:
    text = "a = [1, 2]\n[t]\n"
    assert lines_of(text, ("a", 1), ("t", "missing"), ("missing",)) == [1, 2, None]


def test_lines_may_end_as_they_do_on_windows() -> None:
    assert lines_of('a = """\r\nx"""\r\n\r\nb = 1\r\n', ("a",), ("b",)) == [1, 4]


def test_an_empty_text_has_no_lines() -> None:
    assert lines_of("", ("a",)) == [None]


@pytest.mark.parametrize(
    "text",
    [
        "x = [\n" + "1,\n" * 60_000 + "]\nz = 1",
        'x = """\n' + ']\n""\n' * 30_000 + '"""\nz = 1',
        "".join(f"x{number} = 1\n" for number in range(20_000)) + "z = 1",
    ],
    ids=["array", "string", "keys"],
)
def test_a_text_as_long_as_may_be_is_gone_through_once(text: str) -> None:
    assert lines_of(text, ("z",)) == [text.count("\n") + 1]


# -- any text ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "'c d'", '"e#"', "f.g", "a . b"])
VALUES = st.sampled_from(["1", "'#['", '"]\\""', "[ 1,\n # ]\n '[' ]", '"""\n[a]\na = 1"""', "'''\n\"\n'''", "{h = 1}"])
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("[{}]".format, NAMES),
    st.builds("[[{}]] # [".format, NAMES),
    st.sampled_from(["", "# a = 1", "  # ''' \"\"\""]),
)


def keys_of(value: object, place: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*place, name)
            yield from keys_of(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from keys_of(inner, (*place, number))


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.lists(STATEMENTS, max_size=7))
def test_every_key_of_any_text_is_found_on_a_line_that_names_it(statements: list[str]) -> None:
    text = "\n".join(statements)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    lines = Lines(text)
    for place in keys_of(document):
        line = lines.of(place)
        assert line is not None, place
        name = next(name for name in reversed(place) if isinstance(name, str))
        assert name in text.split("\n")[line - 1], place
