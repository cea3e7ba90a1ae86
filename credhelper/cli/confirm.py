"""``credhelper confirm``: answers the questions that ``[[policy]]`` rules with ``confirm`` have put to the person.

For the commands that may speak to a person, ``ask_if_needed(error)`` asks on the terminal and says whether to try
again; ``get`` never asks. A question keeps accidents away, and scripts that nobody looks at: a program of the same user
that means ill can type into the person's terminal, press the desktop's buttons, or call this command's operation.
"""

import argparse
import contextlib
import json
import os
from typing import Any

from credhelper.cli import daemon_link, options, speech, terminal
from credhelper.cli.daemon_link import Failed
from credhelper.domain.errors import ConfirmationPending, PolicyRefused, UsageError
from credhelper.domain.text import safe

Json = dict[str, Any]


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "confirm",
        help=summary,
        description="Asks on the terminal whatever a [[policy]] rule with confirm wants to know: whether a program may"
        " have the credentials of a role. A yes is remembered for the rule's time, a no for a minute.",
    )
    parser.add_argument("--list", action="store_true", help="show the questions, and ask nothing")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Shows the questions and, unless told otherwise, has the person answer them."""
    if not (args.list or args.json or _has_terminal()):
        raise UsageError(
            "questions are answered on a terminal, and there is none", hint="credhelper confirm --list   # shows them"
        )
    questions = _standing()
    if args.json:
        speech.result(json.dumps({"questions": questions}))
        return 0
    if not questions:
        speech.result("No question waits for an answer.")
        return 0
    if args.list:
        for question in questions:
            speech.result(f"{_worded(question)} Asked {speech.moment(question['asked_at'])}.")
        return 0
    answers = [_answer(question) for question in questions]
    return 0 if all(answers) else PolicyRefused.status


def ask_if_needed(error: Failed) -> bool:
    """Whether ``error`` was an open question, and the person has just answered: try again then, or hear of their no.

    False for any other error and where nobody can be asked.
    """
    if error.code != ConfirmationPending.code or not _has_terminal():
        return False
    questions = _standing()
    ours = [question for question in questions if question["pid"] in {os.getpid(), os.getppid()}]
    answers = [_answer(question) for question in ours or questions]
    return bool(answers) and None not in answers


def _has_terminal() -> bool:
    with contextlib.suppress(OSError), terminal.opened():
        return True
    return False


def _standing() -> list[Json]:
    found: list[Json] = json.loads(daemon_link.ask("confirm", {}))["questions"]
    return found


def _answer(question: Json) -> bool | None:
    """Asks it and hands in the answer; anything but a plain yes is a no. None: it stood no longer."""
    with terminal.opened() as screen:
        terminal.forget_what_was_typed(screen)
        screen.write(f"credhelper: {_worded(question)} [y/N] ")
        is_yes = screen.readline().strip().lower() in terminal.YES
    answer = json.loads(daemon_link.ask("confirm", {"id": question["id"], "verdict": "yes" if is_yes else "no"}))
    if not answer["answered"]:
        speech.note("credhelper: warning: the question no longer stands; whoever wants to know asks again")
        return None
    return is_yes


def _worded(question: Json) -> str:
    role = f"{question['role_name']} in {question['account_id']}"
    named = f"{question['profile']} ({role})" if question["profile"] else role
    who = question["program"] + (f" (pid {question['pid']})" if question["pid"] else "")
    return safe(f"rule “{question['rule']}”: may {who} use {named} for {speech.duration(question['remembered'])}?")
