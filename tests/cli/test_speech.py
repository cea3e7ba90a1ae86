"""How times and tables are told to people."""

import io
import sys
from datetime import UTC, datetime, timedelta

import pytest

from credhelper.cli import speech
from credhelper.cli.main import main

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(60, "1 min"), (3599, "59 min"), (3600, "1 h"), (11_100, "3 h 5 min"), (86_400, "24 h"), (172_800, "2 days")],
)
def test_a_span_of_time_has_no_empty_part(seconds: int, told: str) -> None:
    assert speech.duration(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(30, "in less than a minute"), (-30, "less than a minute ago"), (2520, "in 42 min"), (-60, "1 min ago")],
)
def test_a_moment_is_told_with_how_far_away_it_is(seconds: int, told: str) -> None:
    then = (NOW + timedelta(seconds=seconds)).isoformat()
    assert speech.moment(then, NOW).endswith(f", {told}")


def test_a_table_is_aligned_and_its_text_made_safe(capsys: pytest.CaptureFixture[str]) -> None:
    speech.aligned([("A", "LONGER"), ("much longer", "x\x1b[31m")])
    assert capsys.readouterr().out == "A            LONGER\nmuch longer  x [31m\n"


def test_a_byte_that_is_no_character_is_heard_as_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"eu-w\xffst-1\n"), encoding="utf-8"))
    assert main(["completion", "bash"]) == 0
    assert sys.stdin.readline() == "eu-w\ufffdst-1\n"
