"""A person at a terminal, with a shell that has job control."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from pathlib import Path
from typing import Self

from tests.machine import SECONDS

ROWS, COLUMNS = 24, 200


class Terminal:
    """A program, by default a shell that prompts with ``$ ``, on a terminal of its own. Use as a context manager."""

    def __init__(self, environment: dict[str, str], cwd: Path, command: list[str] | None = None) -> None:
        environment = environment | {"PS1": "$ ", "TERM": "dumb", "HISTFILE": ""}
        command = command or ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        self.pid, self._ours = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(command[0], command, environment)  # noqa: S606  # what pty.fork() is for
        self.resize(ROWS, COLUMNS)
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Closes the terminal, and waits for the program to end."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
            give_up = time.monotonic() + SECONDS
            while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > give_up:
                    os.kill(self.pid, signal.SIGKILL)
                select.select([], [], [], 0.01)

    def resize(self, rows: int, columns: int) -> None:
        """Makes the window as large as that."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Types ``text``; ``^C`` and ``^Z`` are ``\\x03`` and ``\\x1a``."""
        os.write(self._ours, text.encode())

    def enter(self, line: str) -> None:
        """Types a line."""
        self.type(line + "\n")

    def shows(self, pattern: str) -> re.Match[str]:
        """Waits until a match of ``pattern`` stands on the screen, after what was waited for before."""
        give_up = time.monotonic() + SECONDS
        while (found := re.search(pattern, self._said, re.MULTILINE)) is None:
            ready = select.select([self._ours], [], [], max(0.0, give_up - time.monotonic()))[0]
            assert ready, f"{pattern!r} did not come; there is {self._said!r}"
            try:
                self._said += os.read(self._ours, 65_536).decode(errors="replace").replace("\r\n", "\n")
            except OSError as error:  # the other side has been closed
                raise AssertionError(f"{pattern!r} did not come before the end; there is {self._said!r}") from error
        self._said = self._said[found.end() :]
        return found
