"""What a person agrees to before AWS is changed: a difference shown, and for what nobody can undo a name typed out."""

import argparse
import sys
from collections.abc import Iterable

from credhelper.cli import options, speech, terminal
from credhelper.cli.configuring import config_change, questions
from credhelper.domain.errors import Interrupted, UsageError
from credhelper.domain.text import safe

_COLOURS = {"+": "green", "-": "red"}
_LONGEST = 2000  # characters of a line of the difference


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--diff``, ``--yes`` and ``--json``."""
    parser.add_argument("--diff", action="store_true", help="show what would be done, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options.add_json(parser)


def show(lines: Iterable[str]) -> None:
    """Prints the lines of a difference on stdout, in colour on a terminal."""
    for line in lines:
        colour = _COLOURS.get(line[:1]) if line[:3] not in {"+++", "---"} else None
        text = safe(line, _LONGEST)
        speech.result(speech.paint(text, colour) if colour else text)


def warn(sentences: Iterable[str]) -> None:
    """Says on stderr what should be known before."""
    for sentence in sentences:
        speech.note(f"credhelper: warning: {safe(sentence, _LONGEST)}")


def agree(args: argparse.Namespace, question: str) -> None:
    """Returns once the person has said yes, or ``--yes`` has. Raises UsageError without a terminal, and Interrupted."""
    if not args.yes:
        config_change.agree(question, hint="the same command with --yes, or with --diff to see what it would do")


def typed_out(expected: str, given: str | None, *, what: str, option: str) -> None:
    """Returns once ``expected`` has been typed, on the terminal or behind ``option``.

    Raises UsageError for anything else behind the option and without a terminal, and Interrupted for anything else on
    the terminal.
    """
    if given is None:
        config_change.refuse_without_terminal(f"the same command with {option} and the {what}, which deletes for good")
        terminal.forget_what_was_typed(sys.stdin)
        typed = questions.ask(f"This cannot be undone. Type the {what} to go on", None, lambda _: None)
        if typed != safe(expected).strip():  # as it was shown, and as the line comes
            raise Interrupted("nothing was changed")
    elif given != expected:
        raise UsageError(f"{option}: “{safe(given)}” is not the {what}, and nothing was changed")
