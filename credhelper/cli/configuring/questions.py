"""Questions to a person on the terminal, one line each, with what to take when nothing is typed in brackets."""

import sys
from collections.abc import Callable

from credhelper.cli import speech, terminal
from credhelper.domain.errors import Interrupted
from credhelper.domain.text import safe

Mistake = Callable[[str], str | None]
"""What is wrong with an answer, in words that follow its name; None: nothing."""


def is_yes(question: str) -> bool:
    """Whether the person says yes; anything but a plain one is a no. Raises as ``ask``.

    What was typed before the question stood there is no answer to it: a listing may have taken a minute.
    """
    terminal.forget_what_was_typed(sys.stdin)
    return _line(f"{safe(question)} [y/N] ").lower() in terminal.YES


def ask(question: str, default: str | None, mistake: Mistake) -> str:
    """The answer, asked for until nothing is wrong with it. Raises Interrupted when the person ends the input."""
    bracketed = "" if default is None else f" [{safe(default)}]"
    while True:
        answer = _line(f"{question}{bracketed}: ") or default
        wrong = "is needed" if answer is None else mistake(answer)
        if answer is not None and wrong is None:
            return answer
        speech.note(f"  {question} {wrong}.")


def _line(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:  # end of input: the question's line is still open
        speech.note("")
        raise Interrupted("nothing was changed")
    return line.strip()
