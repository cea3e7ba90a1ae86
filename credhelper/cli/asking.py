"""Asking for a role where a person is: what the daemon wants of them first is asked on the terminal."""

from collections.abc import Mapping

from credhelper.cli import daemon_link
from credhelper.cli.daemon_link import Failed

MOST_QUESTIONS = 4
"""A code of an MFA device and a confirmation, and each of them a second time."""


def ask(op: str, fields: Mapping[str, str], *, seconds: int) -> str:
    """The daemon's answer to a request for the role that ``fields`` choose.

    Where it takes a code of an MFA device or a confirmation, and there is a terminal, the person is asked for it and
    the daemon once more. Raises Failed, DaemonUnreachable.
    """
    for _ in range(MOST_QUESTIONS):
        try:
            return daemon_link.ask(op, fields, seconds=seconds)
        except Failed as error:
            from credhelper.cli import confirm, mfa  # most roles take neither

            if not (mfa.ask_if_needed(error, fields) or confirm.ask_if_needed(error)):
                raise
    return daemon_link.ask(op, fields, seconds=seconds)
