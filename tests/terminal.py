"""A terminal of a test's own, with a program in it: what it shows, and what a person types."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

SECONDS = 60

# As a terminal's program does: a session of its own, whose terminal this is. Standard streams stay as they are.
_AS_ITS_TERMINAL = """\
import fcntl, os, sys, termios
os.setsid()
terminal = int(sys.argv[1])
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.close(terminal)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Terminal:
    """The person's side of one."""

    def __init__(self, process: "subprocess.Popen[str]", screen: int) -> None:
        self.process = process
        self.shown = ""
        """All of it so far."""
        self._screen = screen

    def wait_for(self, text: str) -> None:
        """Until ``text`` has been shown. Fails the test when it is not within a minute."""
        give_up = time.monotonic() + SECONDS
        while text not in self.shown:
            assert time.monotonic() < give_up, f"only this was shown: {self.shown!r}"
            if select.select([self._screen], [], [], 0.1)[0]:
                self.shown += os.read(self._screen, 65536).decode()
            else:
                assert self.process.poll() is None, f"it ended, and only this was shown: {self.shown!r}"

    def type(self, text: str) -> None:
        """Presses these keys."""
        os.write(self._screen, text.encode())

    def finish(self) -> tuple[int, str, str]:
        """Waits for its end; its status, standard output and standard error."""
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


@contextlib.contextmanager
def in_terminal(command: list[str], environment: Mapping[str, str], cwd: Path) -> Iterator[Terminal]:
    """The program, running, with pipes for its standard streams and a terminal beside them."""
    with contextlib.ExitStack() as stack:
        screen, terminal = pty.openpty()
        for side in (screen, terminal):  # the program's too: while nobody has it open, ours cannot be read
            stack.callback(os.close, side)
        process = subprocess.Popen(
            [sys.executable, "-ISc", _AS_ITS_TERMINAL, str(terminal), *command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[terminal],
        )
        stack.callback(_end, process)
        yield Terminal(process, screen)


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.kill()
    if process.stdout is not None and not process.stdout.closed:
        process.communicate()
