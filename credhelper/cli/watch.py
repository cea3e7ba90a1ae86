"""``credhelper status --watch``: the status, live, until the person has seen enough.

The daemon is asked once a second, and the screen is drawn only when something on it has changed. A daemon that goes is
waited for, and nothing here starts one. With ``--json`` every change is one line, for programs.
"""

import contextlib
import errno
import json
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from credhelper.cli import daemon_link, speech, terminal, watch_view
from credhelper.cli.columns import GAP, padded, width
from credhelper.cli.watch_view import Line, Table, View
from credhelper.domain.errors import DaemonUnreachable, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

EVERY = 1.0  # seconds
PATIENCE = 2  # seconds that the daemon has for its answer
FILES_EVERY = 10.0  # seconds between two looks at the files while there is no daemon
HEARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGWINCH)

Json = dict[str, Any]


def run(*, as_json: bool) -> int:
    """Shows it until ``q`` (0), Ctrl-C (KeyboardInterrupt), or a signal that ends us. Raises UsageError, Failed."""
    if as_json:
        return _tell_changes()
    if not terminal.can_draw(sys.stdout):
        raise UsageError("--watch is for a terminal that can be drawn on", hint="credhelper status --watch --json")
    watched = Watched()
    watched.look()  # what ends us is told before anything is drawn
    with _Signals() as signals:
        while True:
            with _screen() as live:
                ended_by = _show(watched, live, signals)
            if ended_by == signal.SIGTSTP:
                signals.obey(ended_by)  # goes on when the person comes back
                continue
            if ended_by == signal.SIGINT:
                raise KeyboardInterrupt
            if ended_by:
                signals.obey(ended_by)
            return 0


class Watched:
    """The daemon's word, or, while there is none, that of the files."""

    def __init__(self) -> None:
        self.found: Json | None = None
        self.trouble: str | None = None
        """Why it is not the daemon's."""
        self._files_again = 0.0

    def look(self) -> Json:
        """A ``watch`` document of this moment. Raises Failed."""
        try:
            self.found = json.loads(daemon_link.ask("watch", {}, start=False, seconds=PATIENCE))
            self.trouble, self._files_again = None, 0.0
        except DaemonUnreachable as error:
            does_not_answer = daemon_link.exists()
            self.trouble = (
                f"The daemon does not answer ({safe(error.message)}). Waiting for it; from the files:"
                if does_not_answer
                else "The daemon is not running. Waiting for it; from the files:"
            )
            self._look_at_files()
        assert self.found is not None  # noqa: S101  # one of the two
        return self.found

    def _look_at_files(self) -> None:
        if time.monotonic() >= self._files_again:
            from credhelper.cli import status

            self.found = status.from_files()
            self._files_again = time.monotonic() + FILES_EVERY


def _tell_changes() -> int:
    """A line for each state that differs from the one before, in the shape of ``status --json``."""
    watched, told = Watched(), None
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)  # only whether the reader has left
    while True:
        status = watched.look()["status"]
        if status != told:
            speech.result(json.dumps(status))
            told = status
        if reader.poll(EVERY * 1000):
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))


# -- the terminal -----------------------------------------------------------------------------------------------------


class _Signals:
    """Inside, signals are noted, and end a wait; what they ask for is done where the terminal is in order."""

    def __init__(self) -> None:
        self.wake_up, self._note = os.pipe()
        os.set_blocking(self.wake_up, False)
        os.set_blocking(self._note, False)
        self._noted: list[int] = []

    def __enter__(self) -> Self:
        self._before_fd = signal.set_wakeup_fd(self._note, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._heard) for number in HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        os.close(self.wake_up)
        os.close(self._note)

    def _heard(self, number: int, _: FrameType | None) -> None:
        self._noted.append(number)

    def take(self) -> int:
        """The next one that was noted and asks for more than to draw anew; 0 when there is none."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_up, 4096)
        while self._noted:
            number = self._noted.pop(0)
            if number != signal.SIGWINCH:
                return number
        return 0

    def obey(self, number: int) -> None:
        """Does what the signal does to a program that does not hear it: ends or stops us."""
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._heard)


@contextlib.contextmanager
def _screen() -> Iterator["Live"]:
    """Inside, the screen is ours, and keys come one by one; afterwards all is as before."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False)
    live = Live(
        console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True
    )
    with _keys_one_by_one(), live:
        yield live


@contextlib.contextmanager
def _keys_one_by_one() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _show(watched: Watched, live: "Live", signals: _Signals) -> int:
    """Until the person ends it (0), or a signal asks for something: its number."""
    drawn: tuple[View, tuple[int, int]] | None = None
    look_at = 0.0
    while True:
        if time.monotonic() >= look_at:
            found, look_at = watched.look(), time.monotonic() + EVERY
        console = live.console
        size = (console.width, console.height)
        now = watch_view.view(found, datetime.now(UTC), watched.trouble)
        if drawn != (now, size):
            drawn = (now, size)
            live.update(_drawn(now, console), refresh=True)
        is_over = _wait(max(0.0, look_at - time.monotonic()), signals)
        if (number := signals.take()) or is_over:
            return number


def _wait(seconds: float, signals: _Signals) -> bool:
    """Until something happens or the time is over; whether the person wants no more of it."""
    keys = [sys.stdin.fileno()] if sys.stdin.isatty() else []
    ready = select.select([signals.wake_up, *keys], [], [], seconds)[0]
    if not keys or keys[0] not in ready:
        return False
    typed = os.read(keys[0], 1024)
    return not typed or b"q" in typed.lower()


def _drawn(view: View, console: "Console") -> "RenderableType":
    """The view in as many lines as there are; what does not fit is counted."""
    from rich.console import Group
    from rich.segment import Segment, SegmentLines

    texts = [text for part in view.parts for text in (_line(part) if isinstance(part, Line) else _table(part))]
    lines = console.render_lines(Group(*texts), pad=False)
    room = console.height
    if len(lines) > room:
        hidden = len(lines) - room + 1
        lines = [*lines[: room - 1], [Segment(f"… and {hidden} more lines"[: console.width])]]
    return SegmentLines(lines, new_lines=True)


def _line(line: Line) -> "Iterator[Text]":
    from rich.text import Text

    yield Text(line.text, style=line.colour)


def _table(table: Table) -> "Iterator[Text]":
    """Below an empty line, each row on one: what a narrow terminal has no room for is cut at its end."""
    from rich.text import Text

    yield Text()
    widths = [max(map(width, column)) for column in zip(table.titles, *table.rows, strict=True)]
    for number, row in enumerate((table.titles, *table.rows)):
        colour = table.colours[number - 1] if number and table.colours else ""
        styled = [
            (padded(cell, to + GAP), colour if at == 1 else "")
            for at, (cell, to) in enumerate(zip(row, widths, strict=True))
        ]
        yield Text.assemble(*styled, style="" if number else "bold", no_wrap=True, overflow="ellipsis")
