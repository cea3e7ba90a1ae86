"""What a program of the user's own prints: a token, or a secret, which a keyring's or another tool's command names.

No shell, no terminal for it unless it is run in front of a person, and no more time and output than agreed. What it
prints is nobody's to see: neither it nor what the program says on stderr is ever part of an error.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence

from credhelper.domain.errors import ConfigError, CredhelperError, Unavailable
from credhelper.domain.text import safe

LARGEST = 60_000  # bytes; a login's token has 50 000 at most
QUIET_SECONDS = 20.0  # seconds for a program that nobody watches
PERSON_SECONDS = 300.0  # seconds for one that may have to ask its person
FAREWELL = 1.0  # seconds between asking a program to end and ending it
NOT_GIVEN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Of our environment: it is asked for another's credentials."""


class CommandFailed(CredhelperError):
    """The program ended with a failure, or printed nothing; perhaps it wants its person. No fault of credhelper's."""

    status = 6
    code = "command_failed"


def of(words: Sequence[str], what: str, *, seconds: float = QUIET_SECONDS, in_front_of_person: bool = False) -> str:
    """What a program prints on stdout, without the white space around it. Blocks.

    ``what`` is how a person calls the setting. In front of a person it has their terminal's stdin and stderr. Raises
    ConfigError where there is no such program, CommandFailed, and Unavailable where it takes too long.
    """
    process = _started(words, what, in_front_of_person=in_front_of_person)
    try:
        output = _read(process, seconds, what)
        status = process.wait(timeout=FAREWELL)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what} printed something and did not end") from None
    finally:
        _end(process, is_group=not in_front_of_person)
    if status != 0:
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise CommandFailed(f"{what} failed: {safe(words[0])} ended with {how}")
    text = output.decode("utf-8", "replace").strip()
    if not text:
        raise CommandFailed(f"{what} failed: {safe(words[0])} printed nothing")
    if not (text.isascii() and text.isprintable()):
        raise CommandFailed(f"{what} failed: {safe(words[0])} printed more than one line of plain text")
    return text


def _started(words: Sequence[str], what: str, *, in_front_of_person: bool) -> "subprocess.Popen[bytes]":
    env = {name: value for name, value in os.environ.items() if name not in NOT_GIVEN}
    quiet = None if in_front_of_person else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            list(words),
            stdin=quiet,
            stdout=subprocess.PIPE,
            stderr=quiet,
            env=env,
            start_new_session=not in_front_of_person,
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it cannot be a command"
        raise ConfigError(
            f"{what} cannot be run: {safe(words[0])}: {why}", hint="write the program's absolute path in config.toml"
        ) from None


def _read(process: "subprocess.Popen[bytes]", seconds: float, what: str) -> bytes:
    assert process.stdout is not None  # noqa: S101  # a pipe
    output, give_up = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = give_up - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise Unavailable(f"{what} gave no answer within {seconds:g} s")
            chunk = os.read(process.stdout.fileno(), LARGEST + 1)
            if not chunk:
                return output
            output += chunk
            if len(output) > LARGEST:
                raise CommandFailed(f"{what} failed: it printed more than {LARGEST} bytes")


def _end(process: "subprocess.Popen[bytes]", *, is_group: bool) -> None:
    """Whatever is still there of it goes."""
    if process.stdout is not None:
        process.stdout.close()
    if is_group:  # what it has started may have outlived it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()
