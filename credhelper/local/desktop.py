"""The desktop of whoever sits there: shows a notice, takes it away, and says whether the screen is locked.

Linux and the BSDs: the Freedesktop services on the session bus, and logind. macOS: ``osascript``, whose text goes as
arguments and is never part of a script. A machine without a desktop has nothing of this, and that is no fault.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from credhelper.local import dbus, logind
from credhelper.local.dbus import Bus, BusUnavailable

log = logging.getLogger(__name__)

SECONDS = 3.0  # for each of the two questions; a desktop answers within some milliseconds

APPLICATION = "credhelper"
ICON = "dialog-password"  # of the Freedesktop icon names
_NORMAL = 1  # urgency: not "critical", which breaks through do-not-disturb and stays in the way until it is clicked
_AS_USUAL = -1  # how long it is shown is the desktop's choice

_NOTIFICATIONS = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.freedesktop.Notifications")
_SCREEN_SAVERS = (
    ("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver"),
    ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver"),
)
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
        script = [word for line in _SCRIPT for word in ("-e", line)]
        try:
            done = subprocess.run(
                ["osascript", *script, notice.summary, notice.body],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in the text
            raise DesktopUnavailable(f"osascript cannot be run: {error}") from error
        except subprocess.TimeoutExpired:
            raise DesktopUnavailable("osascript did not end") from None
        if done.returncode != 0:
            raise DesktopUnavailable(f"osascript ended with status {done.returncode}")
        return 0

    def withdraw(self, number: int) -> None:
        """See Desktop. Whoever runs osascript cannot."""

    def is_locked(self) -> bool:
        """See Desktop."""
        return False


def _notify(bus: Bus, notice: Notice) -> int:
    body = _escaped(notice.body) if _reads_markup(bus) else notice.body
    hints = {"urgency": ("y", _NORMAL)}
    arguments: tuple[object, ...] = (APPLICATION, notice.replaces, ICON, notice.summary, body, [], hints, _AS_USUAL)
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
