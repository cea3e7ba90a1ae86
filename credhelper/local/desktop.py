"""The desktop of whoever sits there: shows a notice or a question, takes it away, says whether the screen is locked.

Linux and the BSDs: the Freedesktop services on the session bus, and logind. macOS: ``osascript``, whose text goes as
arguments and is never part of a script. A machine without a desktop has nothing of this, and that is no fault.
"""

import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from credhelper.local import dbus, logind
from credhelper.local.dbus import Bus, BusUnavailable

log = logging.getLogger(__name__)

SECONDS = 3.0  # for each of the two questions; a desktop answers within some milliseconds

APPLICATION = "credhelper"
ICON = "dialog-password"  # of the Freedesktop icon names
_NORMAL = 1  # urgency: not "critical", which breaks through do-not-disturb and stays in the way until it is clicked
_CRITICAL = 2  # a question: somebody waits for the answer, and it stays until there is one
_AS_USUAL = -1  # how long it is shown is the desktop's choice

_NOTIFICATIONS = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.freedesktop.Notifications")
_SCREEN_SAVERS = (
    ("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver"),
    ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver"),
)
_ALLOW, _DENY = "allow", "deny"
_BUTTONS = (_ALLOW, "Allow", _DENY, "Deny")
_DIALOG = 'display dialog (item 2 of argv) with title (item 1 of argv) buttons {"Deny", "Allow"} default button "Deny"'
_QUESTION = ("on run argv", _DIALOG + " giving up after ((item 3 of argv) as integer)", "end run")
_SCRIPT = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


class DesktopUnavailable(Exception):
    """Nothing could be shown; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A few words for whoever sits there, in plain text; the number of an earlier one that this takes the place of."""

    summary: str
    body: str
    replaces: int = 0


class Desktop(Protocol):
    """Its methods block for some seconds at most; they belong in a worker thread."""

    def show(self, notice: Notice) -> int:
        """Shows it; the number by which a later one can take its place, 0 where that is not known.

        Raises DesktopUnavailable when it was certainly not shown.
        """

    def ask(self, question: Notice, seconds: float, on_shown: Callable[[int], None], /) -> bool | None:
        """Shows a question with two buttons and waits, here alone for so many ``seconds``, until one is pressed.

        True for Allow, False for Deny, None when neither was: it was put aside, withdrawn, or nobody was there.
        ``on_shown`` is told the number by which it can be withdrawn, from this thread. Raises DesktopUnavailable.
        """

    def withdraw(self, number: int) -> None:
        """Takes a notice away if it is still to be seen. Raises DesktopUnavailable."""

    def is_locked(self) -> bool:
        """Whether the screen is known to be locked. Never raises."""


def this_desktop() -> Desktop:
    """The desktop of this process's environment."""
    return MacDesktop() if sys.platform == "darwin" else FreedesktopDesktop(os.environ)


class FreedesktopDesktop:
    """A desktop that is reached over D-Bus."""

    def __init__(self, environment: Mapping[str, str], seconds: float = SECONDS) -> None:
        self._environment = environment
        self._seconds = seconds

    def show(self, notice: Notice) -> int:
        """See Desktop."""
        try:
            with self._session_bus() as bus:
                return _notify(bus, notice)
        except BusUnavailable as error:
            raise DesktopUnavailable(str(error)) from error

    def ask(self, question: Notice, seconds: float, on_shown: Callable[[int], None]) -> bool | None:
        """See Desktop. Where the desktop shows no buttons, the words alone are shown."""
        give_up = time.monotonic() + seconds
        try:
            with self._session_bus() as bus:
                if "actions" not in bus.call(*_NOTIFICATIONS, "GetCapabilities", may_start=True)[0]:
                    on_shown(_notify(bus, question, urgency=_CRITICAL))
                    return None
                for member in ("ActionInvoked", "NotificationClosed"):
                    bus.listen(sender=_NOTIFICATIONS[0], interface=_NOTIFICATIONS[2], member=member)
                number = _notify(bus, question, _BUTTONS, _CRITICAL, expires=round(seconds * 1000))
                on_shown(number)
                return _button(bus, number, give_up)
        except BusUnavailable as error:
            raise DesktopUnavailable(str(error)) from error

    def withdraw(self, number: int) -> None:
        """See Desktop."""
        try:
            with self._session_bus() as bus:
                bus.call(*_NOTIFICATIONS, "CloseNotification", "u", (number,))
        except BusUnavailable as error:
            raise DesktopUnavailable(str(error)) from error

    def is_locked(self) -> bool:
        """See Desktop. Desktops say it in one of three ways; one that says yes is believed."""
        return self._is_so(self._screen_saver_is_active) or self._is_so(self._logind_says_locked)

    def _is_so(self, asking: Callable[[], bool]) -> bool:
        try:
            return asking()
        except BusUnavailable as error:
            log.debug("whether the screen is locked could not be asked: %s", error)
            return False

    def _screen_saver_is_active(self) -> bool:
        with self._session_bus() as bus:
            return any(self._is_so(lambda saver=saver: _is_active(bus, saver)) for saver in _SCREEN_SAVERS)  # type: ignore[misc]

    def _logind_says_locked(self) -> bool:
        address = dbus.system_bus(self._environment)
        if address is None:
            return False
        with Bus(address, self._seconds) as bus:
            return logind.is_locked(bus, os.getuid())

    def _session_bus(self) -> Bus:
        """Raises BusUnavailable."""
        address = dbus.session_bus(self._environment)
        if address is None:
            raise BusUnavailable("there is no session bus")
        return Bus(address, self._seconds)


class MacDesktop:
    """macOS. It keeps notices by itself while the screen is locked, and tells nobody that it is."""

    def show(self, notice: Notice) -> int:
        """See Desktop."""
        _osascript(_SCRIPT, (notice.summary, notice.body), SECONDS)
        return 0

    def ask(self, question: Notice, seconds: float, _: Callable[[int], None]) -> bool | None:
        """See Desktop. It cannot be withdrawn, and gives up by itself."""
        words = (question.summary, question.body, str(max(1, round(seconds))))
        said = _osascript(_QUESTION, words, seconds + SECONDS)
        return {"button returned:Allow": True, "button returned:Deny": False}.get(said.partition(",")[0])

    def withdraw(self, number: int) -> None:
        """See Desktop. Whoever runs osascript cannot."""

    def is_locked(self) -> bool:
        """See Desktop."""
        return False


def _osascript(script: Sequence[str], arguments: Sequence[str], seconds: float) -> str:
    """What the script says. Raises DesktopUnavailable."""
    try:
        done = subprocess.run(
            ["osascript", *(word for line in script for word in ("-e", line)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in the text
        raise DesktopUnavailable(f"osascript cannot be run: {error}") from error
    except subprocess.TimeoutExpired:
        raise DesktopUnavailable("osascript did not end") from None
    if done.returncode != 0:
        raise DesktopUnavailable(f"osascript ended with status {done.returncode}")
    return done.stdout.decode("utf-8", "replace").strip()


def _button(bus: Bus, number: int, give_up: float) -> bool | None:
    """Which one is pressed of the notice with that number; None when it is closed first, or the time is over.

    Raises BusUnavailable.
    """
    while True:
        for signal in bus.heard():
            if signal.body[:1] != (number,):  # somebody else's notice
                continue
            if signal.member == "ActionInvoked" and signal.body[1] in {_ALLOW, _DENY}:
                return bool(signal.body[1] == _ALLOW)
            if signal.member == "NotificationClosed":
                return None
        left = give_up - time.monotonic()
        if left <= 0 or not select.select([bus], [], [], left)[0]:
            return None


def _notify(
    bus: Bus, notice: Notice, buttons: Sequence[str] = (), urgency: int = _NORMAL, expires: int = _AS_USUAL
) -> int:
    body = _escaped(notice.body) if _reads_markup(bus) else notice.body
    hints = {"urgency": ("y", urgency)}
    arguments: tuple[object, ...] = (
        *(APPLICATION, notice.replaces, ICON, notice.summary, body),
        *(list(buttons), hints, expires),
    )
    try:
        (number,) = bus.call(*_NOTIFICATIONS, "Notify", "susssasa{sv}i", arguments, may_start=True)
    except dbus.NoAnswer:  # it was sent, and may be shown yet: another try would show it twice
        return 0
    return int(number)


def _reads_markup(bus: Bus) -> bool:
    """Whether the body's ``&`` and ``<`` mean something there; where that is not told, they may."""
    try:
        (capabilities,) = bus.call(*_NOTIFICATIONS, "GetCapabilities", may_start=True)
    except dbus.NoAnswer:
        raise
    except BusUnavailable:
        return True
    return "body-markup" in capabilities


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_active(bus: Bus, saver: tuple[str, str, str]) -> bool:
    return bus.call(*saver, "GetActive") == (True,)
