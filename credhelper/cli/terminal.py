"""The person's terminal: whether there is one, what it is good for, and itself where the standard streams are pipes."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

PATH = "/dev/tty"
YES = frozenset({"y", "yes"})
"""What a person says who agrees; anything else is a no."""
UNABLE = frozenset({"", "dumb"})
"""What TERM says where nothing is known of the terminal, or nothing good."""


def can_ask() -> bool:
    """Whether somebody sits there who sees a question on stderr and can answer it on stdin."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def can_draw(stream: TextIO) -> bool:
    """Whether more than lines can be put there: a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in UNABLE


def forget_what_was_typed(stream: TextIO) -> None:
    """Before a question whose yes does something: what was typed while nothing was asked is no answer to it."""
    import termios

    termios.tcflush(stream, termios.TCIFLUSH)


@contextlib.contextmanager
def opened() -> Iterator[io.TextIOWrapper]:
    """The terminal of this process, to write to and to read from. Raises OSError when there is none."""
    descriptor = os.open(PATH, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    # Unbuffered below: a terminal cannot seek, which a buffered file for both ways has to.
    with io.TextIOWrapper(io.FileIO(descriptor, "r+"), errors="replace", write_through=True) as terminal:
        yield terminal
