"""The manual page is one: mandoc and groff have nothing to say against it, and man shows it."""

import subprocess
from pathlib import Path

import pytest

import credhelper
from tests.real_clients.clients import find_program

pytestmark = pytest.mark.real_client

PAGE = Path(credhelper.__file__).parent / "man" / "credhelper.1"
NO_DATE = "missing date"
"""The page tells its version instead, so that it is the same whenever it is made."""


def test_the_checkers_of_both_families_find_nothing() -> None:
    lint = subprocess.run(
        [str(find_program("mandoc")), "-Tlint", str(PAGE)], capture_output=True, text=True, check=False
    )
    assert [line for line in lint.stdout.splitlines() if NO_DATE not in line] == []
    groff = [str(find_program("groff")), "-man", "-Tutf8", "-ww", "-z", str(PAGE)]
    checked = subprocess.run(groff, capture_output=True, text=True, check=True)
    assert checked.stderr == ""


def test_it_can_be_read() -> None:
    argv = [str(find_program("mandoc")), "-Tutf8", "-O", "width=78", str(PAGE)]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    plain = _without_overstrikes(shown)
    for words in ("EXIT STATUS", "ENVIRONMENT", "credhelper lease create", "--use-device-code", "~/.aws/config"):
        assert words in plain


def _without_overstrikes(shown: str) -> str:
    """Bold letters are written twice in the same place."""
    kept: list[str] = []
    for character in shown:
        if character == "\b":
            kept.pop()
        else:
            kept.append(character)
    return "".join(kept)
