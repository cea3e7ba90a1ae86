"""A terminal with a shell in it, whose screen is looked at when it shows what a scene waits for."""

import copy
import os
import re
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pexpect
import pyte

SECONDS = 60
QUIET = 0.4  # seconds without a byte after which a screen is drawn to its end
RESTLESS = 1.5  # seconds that one is given which never rests
PROMPT = "$ "


@dataclass(frozen=True)
class Cell:
    """One character's place. ``text`` is empty behind a wide character; colours are pyte's words, or six hex digits."""

    text: str = " "
    front: str = "default"
    back: str = "default"
    bold: bool = False


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Frame:
    """What was on the screen, and for how long it is shown."""

    rows: tuple[Row, ...]
    seconds: float


class Screen(pyte.Screen):
    """One with a second page, which full-screen programs draw on and leave behind (xterm's mode 1049)."""

    SECOND_PAGE = 1049

    def set_mode(self, *modes: int, **how: Any) -> None:
        """Keeps what stands on the first page."""
        super().set_mode(*modes, **how)
        if self.SECOND_PAGE in modes:
            self._first_page = copy.deepcopy(self.buffer), self.cursor.y, self.cursor.x
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **how: Any) -> None:
        """Goes back to it."""
        super().reset_mode(*modes, **how)
        if self.SECOND_PAGE in modes:
            self.buffer, self.cursor.y, self.cursor.x = self._first_page


class Recording:
    """Use as a context manager. Each ``keep`` is one frame of the picture."""

    def __init__(self, environment: Mapping[str, str], cwd: Path, *, columns: int, rows: int) -> None:
        self.frames: list[Frame] = []
        self.columns = columns
        self._screen = Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._child: Any = pexpect.spawn(
            "bash",
            ["--noprofile", "--norc", "--noediting", "-i"],
            env={
                **environment,
                "PS1": PROMPT,
                "TERM": "xterm-256color",
                "LANG": "C.UTF-8",
                "TZ": "UTC",
                "HISTFILE": "",
            },
            cwd=str(cwd),
            dimensions=(rows, columns),
            timeout=SECONDS,
        )
        self.wait_for_prompt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def type(self, keys: str) -> None:
        """Presses them."""
        self._child.send(keys)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Until a match stands on the screen and all else is drawn. Raises TimeoutError."""
        give_up = time.monotonic() + SECONDS
        found = None
        while time.monotonic() < give_up:
            is_quiet = not self._read()
            if found is None and (found := self._find(pattern)):
                give_up = time.monotonic() + RESTLESS  # a spinner is never quiet
            if found and is_quiet:
                break
        if found := self._find(pattern):
            return found
        raise TimeoutError(f"{pattern!r} did not come; there is:\n{self.text}")

    def _find(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.text, re.MULTILINE)

    def wait_for_prompt(self) -> None:
        """Until the shell waits for the next command."""
        self.wait_for(rf"^{re.escape(PROMPT.rstrip())}\Z")

    @property
    def text(self) -> str:
        """The screen's text, without the blanks below it."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip("\n")

    def keep(self, seconds: float) -> None:
        """Makes a frame of what is on the screen now."""
        rows = tuple(tuple(self._cell(y, x) for x in range(self.columns)) for y in range(self._screen.lines))
        self.frames.append(Frame(rows, seconds))

    def _cell(self, y: int, x: int) -> Cell:
        found = self._screen.buffer[y][x]
        front, back = (found.bg, found.fg) if found.reverse else (found.fg, found.bg)
        return Cell(found.data, front, back, found.bold)

    def _read(self) -> bool:
        """Whether something came before it had been quiet for a while."""
        if not select.select([self._child.child_fd], [], [], QUIET)[0]:
            return False
        self._stream.feed(os.read(self._child.child_fd, 65_536))
        return True
