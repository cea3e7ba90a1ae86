"""Every command and every option says what it is for."""

import argparse
from collections.abc import Iterator

import pytest

from credhelper.cli import main


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """This one and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from commands(inner)


ALL = {parser.prog: parser for parser in commands(main.parser(is_whole=True))}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_command_is_described_and_so_is_each_of_its_options(name: str) -> None:
    parser = ALL[name]
    assert parser.description
    assert parser.description.rstrip().endswith("."), "a sentence"
    silent = [action.dest for action in parser._actions if not action.help and not action.choices]
    assert silent == []


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_help_fits_a_terminal_and_begins_with_its_usage(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = ALL[name].format_help().splitlines()
    assert lines[0].startswith(f"usage: {name}")
    assert max(map(len, lines)) <= 100
