"""Spans of time on a command line."""

import pytest

from credhelper.cli import spans
from credhelper.domain.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)],
)
def test_they_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert spans.seconds(text, "--ttl") == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "-5", "1.5h", "h", "1m2h", "1h 5m", "5x", "1h5", "٣", "²m", "999999999999", "400d"]
)
def test_anything_else_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(UsageError, match="--ttl"):
        spans.seconds(text, "--ttl")
