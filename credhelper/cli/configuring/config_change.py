"""A change of ``~/.aws/config`` as a person meets it: shown, agreed to, and written with a backup.

For every command that rewrites a part of the file: ``show``, ``agree``, ``write``, in this order.
"""

import argparse
from typing import TYPE_CHECKING

from credhelper.cli import options, speech, terminal
from credhelper.cli.configuring import questions
from credhelper.domain.errors import Interrupted, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.aws.editing.config_edits import Change

_LONGEST = 2000  # characters of a line of the difference
_COLOURS = {"+": "green", "-": "red"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--diff``, ``--yes`` and ``--json``."""
    parser.add_argument("--diff", action="store_true", help="show the difference, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options.add_json(parser)


def show(change: "Change") -> None:
    """Prints the difference on stdout, in colour on a terminal."""
    for line in lines_of(change):
        colour = _COLOURS.get(line[:1])
        speech.result(speech.paint(line, colour) if colour and line[:3] not in {"+++", "---"} else line)


def lines_of(change: "Change") -> list[str]:
    """The difference's lines, without anything that a terminal would obey."""
    return [safe(line.rstrip("\r\n").expandtabs(), _LONGEST) for line in change.diff()]


def agree(question: str, *, hint: str) -> None:
    """Asks on the terminal, and returns once the person has said yes.

    Raises UsageError with the hint, a command line that needs no question, when there is no terminal to ask on, and
    Interrupted for anything but a yes.
    """
    refuse_without_terminal(hint)
    if not questions.is_yes(question):
        raise Interrupted("nothing was changed")


def refuse_without_terminal(hint: str) -> None:
    """Raises UsageError when nobody can be asked."""
    if not terminal.can_ask():
        raise UsageError("there is no terminal to ask on, and nothing was changed", hint=hint)


def write(change: "Change") -> "Path | None":
    """Writes it, and says on stderr where the backup lies, which it returns. Raises ConfigError."""
    backup = change.write(backup=True)
    if backup is not None:
        speech.note(f"The file as it was is kept in {safe(str(backup))}")
    return backup
