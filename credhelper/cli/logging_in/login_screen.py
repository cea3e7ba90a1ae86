"""A login on a terminal: a code that can be compared across a desk, a QR code, and a line that counts down.

Loaded only where stderr is a terminal that can be drawn on. stdout gets what it always does, each thing once; all else
is on stderr. Only the last line ever changes, by a carriage return: the cursor is never hidden nor moved up, and the
terminal's modes stay as they are, so that whatever ends us leaves the terminal as it was. A program that is stopped and
continued, or whose window has become too narrow for what stands there, draws it anew below.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from credhelper.agent.callers import listed
from credhelper.cli import speech
from credhelper.cli.logging_in import large_letters, login_lines, login_ways
from credhelper.cli.logging_in.login_lines import Event, safe_url
from credhelper.cli.logging_in.login_ways import Way
from credhelper.domain.text import safe

BESIDE_GAP = 3  # columns between the QR code and what stands beside it
LEAST_BESIDE = 26  # columns; narrower, the words would be a tall pillar
QUIET_ZONE = 2  # modules around the QR code, which stands on white of its own
ON_PAPER = "#000000 on #ffffff"  # a QR code of light on dark is beyond many cameras
SPINNER, PLAIN_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
HURRY = 60  # seconds
SCAN = "Scan the picture to open the address with the code filled in, and compare the code all the same."


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what stands above the line that changes."""

    text: Text
    is_result: bool = False
    """Whether stdout gets it."""
    is_picture: bool = False
    """Whether it must not be wrapped."""


class Screen:
    """Shows one login at a time on stderr's terminal."""

    def __init__(self, way: Way, env: Mapping[str, str]) -> None:
        self._way = way
        self._env = env
        self._about: Event = {}
        self._asked: Event = {}
        self._waiting: list[str] = []
        self._frame = 0
        self._is_line_shown = False
        self._size = _size()
        self._drawn_for = self._size
        self._widest = 0
        """Columns of the widest picture that stands there."""
        self._is_back = False
        """Whether we were stopped, and other things may stand below by now."""
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGCONT, self._continued)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGCONT, self._before)
        self._clear_line()
        if kind is KeyboardInterrupt and self._asked:
            speech.note("The login was given up here.")

    def _continued(self, *_: object) -> None:
        self._is_back = True

    def show(self, event: Event, *, is_first: bool) -> None:
        """Draws what is new."""
        self._clear_line()
        match event["event"]:
            case "about":
                self._about = event
            case "waiting":
                self._waiting = [safe(name) for name in event["clients"]]
            case "authorize" | "device_authorization":
                self._asked = event
                self._draw()
            case "logged_in":
                self._asked = {}
                login_lines.tell_end(event, is_first=is_first)
            case "failed" | "region":
                self._asked = {}
        self._paint()

    def note(self, text: str) -> None:
        """A remark, above the line that changes."""
        self._clear_line()
        speech.note(text)

    def meanwhile(self) -> None:
        """The line counts on; after a change of the window's size that lasts, or a stop, all is looked at again."""
        if not self._asked or not _is_in_foreground():
            return
        size = _size()
        if size != self._size:  # it may be on its way to another one
            self._size = size
            return
        if self._is_back or (size != self._drawn_for and size[0] < self._widest):
            self._is_back = False
            self._draw(again=True)
        self._frame += 1
        self._paint()

    # -- what stands ------------------------------------------------------------------------------------------------

    def _draw(self, *, again: bool = False) -> None:
        """Everything but the last line; ``again`` without stdout, which has had its part."""
        columns, rows = self._drawn_for = self._size = _size()
        console = _console(columns)
        lines = self._lines(columns, rows)
        self._widest = max((line.text.cell_len for line in lines if line.is_picture), default=0)
        if again:
            _write("\n")
        for line in lines:
            is_told = line.is_result and not again
            if is_told:
                speech.result(line.text.plain)
            if not is_told or not _is_one_terminal():
                _write(_rendered(console, line.text) + "\n")

    def _lines(self, columns: int, rows: int) -> list[Line]:
        name = self._about.get("sso_session") or self._about.get("start_url")
        session = Text.assemble("Session ", (safe(name), "bold"), ": ") if name else Text()
        if user := self._about.get("cognito_login"):
            session = Text.assemble("Cognito login ", (safe(user), "bold"), ": ")
        if self._asked["event"] == "authorize":
            return list(self._address(session, columns))
        return fitting(device_lines(self._asked, session, self._way, columns, _can_draw()), columns, rows)

    def _address(self, session: Text, columns: int) -> Iterator[Line]:
        url = self._asked["url"]
        if self._way.opener is not None:
            what = "your browser opens now. If it does not, open this address on this machine:"
        elif login_ways.is_elsewhere(self._way, self._env):
            what = "to log in, open this address in a browser:"
        else:
            what = "to log in, open this address in a browser on this machine:"
        yield from _sentence(session, what, columns)
        yield Line(Text(safe_url(url)), is_result=True)
        for line in login_ways.advice(self._way, url, self._env):
            yield from [Line(Text(line, "bold"))] if line.startswith(" ") else _wrapped(Text(line), columns)

    # -- the line that changes --------------------------------------------------------------------------------------

    def _paint(self) -> None:
        if not self._asked or not _is_in_foreground():
            return
        columns = _size()[0]
        expires_at = self._about.get("expires_at") or self._asked.get("expires_at")
        left = None if expires_at is None else (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
        frames = SPINNER if _can_draw() else PLAIN_SPINNER
        text = waiting_line(frames[self._frame % len(frames)], left, self._waiting, columns - 1)
        _write("\r" + _rendered(_console(columns), text) + "\x1b[K")
        self._is_line_shown = True

    def _clear_line(self) -> None:
        if self._is_line_shown:
            _write("\r\x1b[K")
            self._is_line_shown = False


def waiting_line(spinner: str, seconds: float | None, waiting: list[str], columns: int) -> Text:
    """What is waited for, how long still, and who waits too, in at most so many columns; what matters less goes first.

    ``seconds`` is the time left, None where it is not known.
    """
    left = "" if seconds is None else f"{max(0, int(seconds)) // 60}:{max(0, int(seconds)) % 60:02} left"
    who = f"{listed(waiting)} {'waits' if len(waiting) == 1 else 'wait'} for it." if waiting else ""
    asked, leave = (
        (f"{left} to approve it there." if left else "Waiting for you to approve it there."),
        "Ctrl-C gives up.",
    )
    for words in ((asked, who, leave), (asked, who), (f"{left}." if left else "", who)):
        text = " ".join(word for word in (spinner, *words) if word)
        if cell_len(text) <= columns:
            break
    found = Text(text, no_wrap=True, overflow="ellipsis")
    found.truncate(columns, overflow="ellipsis")
    found.stylize("cyan", 0, len(spinner))
    if seconds is not None and left:
        at = found.plain.find(left)
        found.stylize("bold yellow" if seconds < HURRY else "bold", max(at, 0), max(at, 0) + len(left))
    return found


@dataclass(frozen=True, slots=True)
class DeviceLines:
    """A device login's lines, before it is known what there is room for."""

    above: list[Line]
    reasons: list[Line]
    pictures: list[tuple[list[Line], bool]]
    """From the best on: lines, and whether the reasons stand among them."""
    below: list[Line]


def device_lines(event: Event, session: Text, way: Way, columns: int, can_draw: bool) -> DeviceLines:
    """What may be shown of a device login on a terminal of so many columns."""
    code, complete = safe(event["user_code"]), safe_url(event["verification_uri_complete"])
    what = "to log in, open this address in any browser:"
    if way.opener is not None:
        what = "your browser opens now. Or open this address in any other:"
    reasons = login_lines.reasons(way)
    return DeviceLines(
        above=[
            *_sentence(session, what, columns),
            Line(Text(safe_url(event["verification_uri"])), is_result=True),
            *_wrapped(Text("Enter this code there, or compare it with the one shown:"), columns),
            Line(Text(code), is_result=True),
        ],
        reasons=[line for reason in reasons for line in _wrapped(Text(reason), columns)],
        pictures=list(_pictures(code, complete, reasons, columns)) if can_draw else [],
        below=[Line(Text(f"With the code filled in: {complete}"))],
    )


def fitting(found: DeviceLines, columns: int, rows: int) -> list[Line]:
    """The best picture that fits on the screen with all that must stand there, and with air where there is some."""
    spaced = [Line(Text("  " + " ".join(found.above[-1].text.plain), "bold"), is_picture=True)]
    best: list[Line] = [*found.reasons, *found.above, *spaced, *found.below]
    for picture, has_reasons in found.pictures:
        above = found.above if has_reasons else [*found.reasons, *found.above]
        blank = [Line(Text())]
        roomy = [*above, *blank, *picture, *blank, *found.below]
        for lines in (roomy, [*above, *picture, *found.below], [*above, *picture]):
            if _height(lines, columns) < rows:  # one more is the line that changes
                return lines
    return best


def _height(lines: Iterable[Line], columns: int) -> int:
    """How many rows they take, wrapped by the terminal."""
    return sum(max(1, -(-line.text.cell_len // columns)) for line in lines)


def _pictures(code: str, address: str, reasons: Sequence[str], columns: int) -> Iterator[tuple[list[Line], bool]]:
    """The code large, and a QR code of the address, as far as the width allows: from the best picture on."""
    squares, large = qr_code(address), _large(code, columns)
    width = len(squares[0]) if squares else 0
    if squares and columns - width - BESIDE_GAP > LEAST_BESIDE:
        room = columns - width - BESIDE_GAP - 1
        beside = _large(code, room)
        for words in (SCAN, *reasons):
            beside += [Text(), *(line.text for line in _wrapped(Text(words), room))]
        if len(beside) <= len(squares):
            yield [_beside(square, words, width) for square, words in zip_longest(squares, beside)], True
    papers = [Line(Text(square, ON_PAPER), is_picture=True) for square in squares]
    letters = [Line(line, is_picture=True) for line in large]
    if squares and width + 4 <= columns:
        yield [*letters, Line(Text()), *papers], False
        yield papers, False
    yield letters, False


def _beside(square: str, words: Text | None, width: int) -> Line:
    gap = " " * BESIDE_GAP
    return Line(Text.assemble((square.ljust(width), ON_PAPER), gap, words or Text()), is_picture=True)


def _large(code: str, columns: int) -> list[Text]:
    """The code as large as the width allows: in one piece, in two, or its letters apart."""
    pieces = [code] if len(code) * large_letters.WIDTH <= columns else code.partition("-")[::2]
    if len(pieces) == 2:
        pieces = [pieces[0] + "-", pieces[1]]
    found: list[Text] = []
    for piece in pieces:
        large = large_letters.large(piece)
        if not large or len(piece) * large_letters.WIDTH > columns:
            return [Text(" ".join(code), "bold")]
        found += [Text(line, "bold") for line in large]
    return found


def qr_code(address: str) -> list[str]:
    """The QR code of ``address`` in half blocks, dark for dark: two modules a character, on light of its own."""
    from qrcode.constants import ERROR_CORRECT_L
    from qrcode.main import QRCode

    code = QRCode(error_correction=ERROR_CORRECT_L, border=QUIET_ZONE)
    code.add_data(address)
    code.make(fit=True)
    modules: list[list[bool]] = code.get_matrix()
    light = [False] * len(modules[0])
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    pairs = zip_longest(modules[::2], modules[1::2], fillvalue=light)
    return ["".join(blocks[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs]


def _sentence(session: Text, what: str, columns: int) -> list[Line]:
    """``what`` behind the session's name; without one, a sentence of its own."""
    return _wrapped(session + Text(what if session else what[0].upper() + what[1:]), columns)


def _wrapped(words: Text, columns: int) -> list[Line]:
    """Between its words, which a terminal does not care for."""
    return [Line(line) for line in words.wrap(_console(columns), columns)]


# -- the terminal ---------------------------------------------------------------------------------------------------


def _console(columns: int) -> Console:
    return Console(file=sys.stderr, width=max(columns, 1), force_terminal=True, highlight=False, soft_wrap=True)


def _rendered(console: Console, text: Text) -> str:
    with console.capture() as captured:
        console.print(text, end="", soft_wrap=True)
    return captured.get()


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # the terminal has gone
        speech.close(sys.stderr)


def _size() -> tuple[int, int]:
    """Columns and rows of the terminal; where it does not say, as much as terminals used to have."""
    with contextlib.suppress(OSError):
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
        if columns and rows:
            return columns, rows
    return shutil.get_terminal_size()


def _can_draw() -> bool:
    """Whether stderr's encoding has blocks and dots."""
    return (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"


def _is_one_terminal() -> bool:
    """Whether stdout is where stderr is: then what stands on stdout is there to be seen."""
    try:
        out, err = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return out.st_rdev == err.st_rdev and sys.stdout.isatty()


def _is_in_foreground() -> bool:
    """Whether the terminal is ours to write to now; where that cannot be told, it is."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except OSError:
        return True
