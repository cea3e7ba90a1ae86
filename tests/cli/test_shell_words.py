"""The words of each shell: an ordinary value looks as everywhere, and a hostile one arrives as it is."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.cli import shell_words
from credhelper.cli.shell_words import ASSIGNMENTS, Unspeakable
from tests.cli.shells import HOSTILE, read_as_cmd, read_as_powershell, set_by, values

ORDINARY = "FwoGZXIvYXdzE/+aDA//9x0=="


def test_an_ordinary_value_stands_as_the_aws_cli_prints_it() -> None:
    said = {form: assign("K", ORDINARY) for form, assign in ASSIGNMENTS.items()}
    assert said == {
        "env": f"export K={ORDINARY}",
        "env-no-export": f"K={ORDINARY}",
        "powershell": f'$Env:K="{ORDINARY}"',
        "windows-cmd": f"set K={ORDINARY}",
        "fish": f'set -gx K "{ORDINARY}"',
    }


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_hostile_value_arrives_as_it_is(shell: str, tmp_path: Path) -> None:
    for arrived in set_by(shell, "env", list(HOSTILE), tmp_path):
        assert arrived == list(HOSTILE)
    assert not (tmp_path / "pwned").exists()


@settings(max_examples=10, deadline=None)
@given(st.lists(values, min_size=1, max_size=80))
def test_any_value_arrives_as_it_is(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for shell in ("sh", "bash"):
            for arrived in set_by(shell, "env", wanted, Path(scratch)):
                assert arrived == wanted


@given(values | st.sampled_from(HOSTILE))
def test_powershell_reads_any_value_as_it_is(value: str) -> None:
    assert read_as_powershell(ASSIGNMENTS["powershell"]("K", value)) == ("K", value)


@given(values | st.sampled_from(HOSTILE) | st.text(st.sampled_from("ab &|<>^()'`;,= "), min_size=1))
def test_cmd_reads_a_value_as_it_is_or_is_not_told_it(value: str) -> None:
    try:
        line = ASSIGNMENTS["windows-cmd"]("K", value)
    except Unspeakable:
        assert not (value.isascii() and value.isprintable()) or set('%!"') & set(value)
    else:
        assert read_as_cmd(line) == ("K", value)


@given(values | st.sampled_from(HOSTILE))
def test_what_shells_may_read_line_by_line_is_one_line(value: str) -> None:
    for form in ("powershell", "fish"):
        assert "\n" not in ASSIGNMENTS[form]("K", value)


@pytest.mark.parametrize("form", ASSIGNMENTS)
@pytest.mark.parametrize("value", ["a\0b", "\ud800"], ids=["NUL", "half a character"])
def test_what_no_environment_can_hold_is_refused(form: str, value: str) -> None:
    with pytest.raises(Unspeakable):
        ASSIGNMENTS[form]("K", value)


def test_an_empty_value_is_refused_where_it_would_remove_the_variable() -> None:
    assert shell_words.posix("") == "''"
    assert shell_words.fish("") == '""'
    for form in ("powershell", "windows-cmd"):
        with pytest.raises(Unspeakable):
            ASSIGNMENTS[form]("K", "")
