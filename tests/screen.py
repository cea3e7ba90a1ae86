"""A terminal with a screen: what stands on it after everything a program has written, and what a person types."""

import os
import re
import select
import signal
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pexpect
import pyte

SECONDS = 60
ALTERNATE, PLAIN = b"\x1b[?1049h", b"\x1b[?1049l"
"""To the alternate screen and back (xterm's control sequences, "Alternate Screen Buffer")."""
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
"""The cursor."""


class Screen:
    """A program on a terminal that can be drawn on. Use as a context manager: at its end the program is killed."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, *, rows: int = 24, columns: int = 100
    ) -> None:
        name, *arguments = command
        env = {"TERM": "xterm-256color", **environment}
        self._process = pexpect.spawn(
            name, arguments, cwd=str(cwd), env=env, dimensions=(rows, columns), timeout=SECONDS
        )
        self._process.delaybeforesend = None
        self._process.ptyproc.delayafterclose = 0
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        """All that was written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.isalive():
            self._process.kill(signal.SIGKILL)
            self._process.wait()
        self._process.close()

    @property
    def pid(self) -> int:
        """The program's."""
        return int(self._process.pid)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, pattern: str) -> str:
        """Waits until a match of ``pattern`` is on the screen; the screen."""
        give_up = time.monotonic() + SECONDS
        while re.search(pattern, self.text, re.MULTILINE) is None:
            assert self._read(give_up), f"{pattern!r} did not come before the end; there is:\n{self.text}"
        return self.text

    def said(self, what: bytes) -> None:
        """Waits until that has been written."""
        give_up = time.monotonic() + SECONDS
        while what not in self.raw:
            assert self._read(give_up), f"{what!r} did not come before the end; there is {self.raw[-500:]!r}"

    def look_on(self, seconds: float) -> None:
        """Takes in for so long whatever is written."""
        give_up = time.monotonic() + seconds
        while (left := give_up - time.monotonic()) > 0:
            if select.select([self._process.child_fd], [], [], left)[0]:
                assert self._read(give_up + SECONDS), f"it has ended; there is:\n{self.text}"

    def type(self, text: str) -> None:
        """Presses these keys."""
        self._process.send(text)

    def resize(self, rows: int, columns: int) -> None:
        """Makes the window as large as that."""
        self._process.setwinsize(rows, columns)
        self._screen.resize(rows, columns)

    def hang_up(self) -> None:
        """Closes the terminal, and waits for the program to end."""
        self._process.ptyproc.fileobj.close()
        self._process.wait()

    def ends(self) -> int:
        """Waits for the end of the program; its exit status, or 128 + N after signal N."""
        give_up = time.monotonic() + SECONDS
        while self._read(give_up):
            pass
        self._process.wait()
        if self._process.signalstatus is not None:
            return 128 + int(self._process.signalstatus)
        return int(self._process.exitstatus)

    def is_as_a_shell_wants_it(self) -> bool:
        """Whether keys are echoed and lines edited, the cursor is there, and it is not the alternate screen."""
        modes = termios.tcgetattr(self._process.child_fd)[3]
        is_cooked = bool(modes & termios.ECHO and modes & termios.ICANON and modes & termios.ISIG)
        return is_cooked and self.raw.rfind(PLAIN) >= self.raw.rfind(ALTERNATE) and self._has_cursor()

    def _has_cursor(self) -> bool:
        return self.raw.rfind(SHOW) >= self.raw.rfind(HIDE)

    def _read(self, give_up: float) -> bool:
        """Takes in what has been written meanwhile; False at the end."""
        ready = select.select([self._process.child_fd], [], [], max(0.0, give_up - time.monotonic()))[0]
        assert ready, f"nothing has come for a minute; there is:\n{self.text}"
        try:
            found = os.read(self._process.child_fd, 65_536)
        except OSError:  # Linux: the other side has been closed
            return False
        self.raw += found
        self._stream.feed(found)
        return bool(found)


def shell(environment: Mapping[str, str], cwd: Path) -> Screen:
    """A shell with job control, which prompts with ``$ ``."""
    return Screen(["bash", "--norc", "--noprofile", "--noediting", "-i"], {"PS1": "$ ", **environment}, cwd)
