"""A desktop's message bus of its own: a real dbus-daemon, with services on it that do as the test says."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from jeepney import (  # type: ignore[import-untyped]
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection  # type: ignore[import-untyped]

SECONDS = 60  # for what happens within some milliseconds
LOOK_AT_STOP = 0.03  # seconds

needs_bus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="takes a dbus-daemon")

Answer = tuple[str, tuple[Any, ...]]
"""A D-Bus signature, and what is of that shape."""


class PrivateBus:
    """A context manager: inside, a bus runs at ``address``."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bus-"))  # a socket's path must be short
        self.path = self.directory / "bus"
        self.address = f"unix:path={self.path}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Begins; its socket is there when this returns."""
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", f"--address={self.address}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.directory)},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the bus did not start"

    def end(self) -> None:
        """Ends it, and with it every connection."""
        if self._process is not None:
            self._process.kill()
            with self._process:
                self._process = None

    def hang(self) -> None:
        """From now on connections are taken, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends that."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Service:
    """A context manager: inside, somebody on the bus answers to ``names`` by ``answers``, in a thread."""

    names: tuple[str, ...] = ()

    def __init__(self, bus: PrivateBus) -> None:
        self.answers: dict[str, Callable[..., Answer]] = {}
        """By method: what it answers to its arguments. Raising LookupError makes an error of D-Bus."""
        self.asked: queue.Queue[str] = queue.Queue()
        """Every method that was called, in turn."""
        self._bus = bus
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._connection: DBusConnection = None

    def __enter__(self) -> Self:
        self._connection = open_dbus_connection(self._bus.address)
        for name in self.names:
            Proxy(message_bus, self._connection).RequestName(name)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(SECONDS)
        self._connection.close()

    def emit(self, path: str, interface: str, member: str, signature: str = "", body: tuple[Any, ...] = ()) -> None:
        """Tells everybody who listens."""
        message = new_signal(DBusAddress(path, interface=interface), member, signature or None, body)
        self._connection.send(message)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self._connection.receive(timeout=LOOK_AT_STOP)
            except TimeoutError:
                continue
            except OSError:  # the bus has ended
                return
            if message.header.message_type is MessageType.method_call:
                self._answer(message)

    def _answer(self, message: Message) -> None:
        method = message.header.fields[HeaderFields.member]
        self.asked.put(method)
        try:
            signature, body = self.answers[method](*message.body)
            answer = new_method_return(message, signature or None, body)
        except LookupError:
            answer = new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")
        with contextlib.suppress(OSError):  # whoever asked has gone, or the bus
            self._connection.send(answer)


@dataclass(frozen=True)
class Shown:
    """A notice as the notification server got it."""

    application: str
    replaces: int
    icon: str
    summary: str
    body: str
    actions: list[str]
    hints: dict[str, Any]
    expires: int


class NotificationServer(Service):
    """org.freedesktop.Notifications: what it has been given to show, numbered from 1 on."""

    names = ("org.freedesktop.Notifications",)

    def __init__(self, bus: PrivateBus, *capabilities: str) -> None:
        super().__init__(bus)
        self.shown: list[Shown] = []
        self.news: queue.Queue[Shown] = queue.Queue()
        self.withdrawn: list[int] = []
        self.answers = {
            "GetCapabilities": lambda: ("as", (list(capabilities),)),
            "Notify": self._notify,
            "CloseNotification": self._close,
        }

    def next(self) -> Shown:
        """The next one that comes, or has come; fails the test when none does."""
        return self.news.get(timeout=SECONDS)

    def press(self, number: int, button: str) -> None:
        """Tells that a button of a notice was pressed."""
        self._tell("ActionInvoked", "us", (number, button))

    def put_aside(self, number: int) -> None:
        """Tells that a notice was closed by the person."""
        self._tell("NotificationClosed", "uu", (number, 2))

    def _notify(self, *arguments: Any) -> Answer:
        application, replaces, icon, summary, body, actions, hints, expires = arguments
        shown = Shown(application, replaces, icon, summary, body, actions, hints, expires)
        self.shown.append(shown)
        self.news.put(shown)
        return "u", (replaces or len(self.shown),)

    def _close(self, number: int) -> Answer:
        self.withdrawn.append(number)
        self._tell("NotificationClosed", "uu", (number, 3))
        return "", ()

    def _tell(self, member: str, signature: str, body: tuple[Any, ...]) -> None:
        self.emit("/org/freedesktop/Notifications", "org.freedesktop.Notifications", member, signature, body)


class ScreenSaver(Service):
    """A desktop's own screen lock, under one of its names."""

    def __init__(self, bus: PrivateBus, name: str = "org.freedesktop.ScreenSaver") -> None:
        super().__init__(bus)
        self.names = (name,)
        self.is_locked = False
        self.answers = {"GetActive": lambda: ("b", (self.is_locked,))}


class LoginManager(Service):
    """org.freedesktop.login1, with one user in one graphical session."""

    names = ("org.freedesktop.login1",)
    session = "/org/freedesktop/login1/session/_32"

    def __init__(self, bus: PrivateBus) -> None:
        super().__init__(bus)
        self.is_locked = False
        self.display = self.session
        self.answers = {"GetUser": self._user, "Get": self._property}

    def sleeps(self, *, beginning: bool) -> None:
        """Tells that the machine is about to sleep, or has slept."""
        self.emit("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", (beginning,))

    def lock(self, *, locked: bool) -> None:
        """Locks or unlocks the screen, and tells so."""
        self.is_locked = locked
        self.changed(LockedHint=("b", locked))

    def changed(self, **properties: tuple[str, Any]) -> None:
        """Tells that properties of the session have changed."""
        body: tuple[Any, ...] = ("org.freedesktop.login1.Session", properties, [])
        self.emit(self.session, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", body)

    def wants_unlocked(self) -> None:
        """Tells the session to unlock itself, as ``loginctl unlock-session`` does."""
        self.emit(self.session, "org.freedesktop.login1.Session", "Unlock")

    def _user(self, uid: int) -> Answer:
        if uid != os.getuid():
            raise LookupError
        return "o", ("/org/freedesktop/login1/user/_1000",)

    def _property(self, interface: str, name: str) -> Answer:
        found = {
            "Display": ("(so)", ("2" if self.display != "/" else "", self.display)),
            "LockedHint": ("b", self.is_locked),
        }[name]
        assert interface == "org.freedesktop.login1." + ("User" if name == "Display" else "Session")
        return "v", (found,)
