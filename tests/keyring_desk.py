"""A desktop's keyring of its own: a private D-Bus session bus with a real GNOME Keyring, in a home of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import secretstorage
from jeepney import MatchRule, Message, message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection  # type: ignore[import-untyped]

PASSWORD = "the login password that opens the keyring"
SECRETS = "org.freedesktop.secrets"
SECONDS = 20  # for what happens within a tenth of one
PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")  # of the packages dbus and gnome-keyring

_OWNER_CHANGES = MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged")
_OWNER_CHANGES.add_arg_condition(0, SECRETS)


class KeyringDesk:
    """A context manager: inside, the keyring is there and open; outside, all that was started has ended.

    ``home`` is where the keyring keeps its files. Nothing of it reaches the session of whoever runs the tests.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._runtime = Path(tempfile.mkdtemp(prefix="desk-"))  # a socket's path must be short
        self._address = f"unix:path={self._runtime / 'bus'}"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._runtime, ignore_errors=True)
            self._start_bus(stack)
            stack.callback(self.kill)  # before the bus goes, which knows what it started
            self._stack = stack
            self.unlock()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a program of this desktop has in its environment. No display: nobody can be prompted."""
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "DBUS_SESSION_BUS_ADDRESS": self._address,
            "XDG_RUNTIME_DIR": str(self._runtime),
        }

    def unlock(self) -> None:
        """Puts an open keyring in the place of whatever is there, as a login does."""
        self.kill()
        with self._bus() as bus, self._changes_of_owner(bus) as changes:
            daemon = subprocess.Popen(
                ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.environment,
            )
            self._stack.callback(daemon.wait)
            self._stack.callback(daemon.kill)
            assert daemon.stdin is not None
            with daemon.stdin:
                daemon.stdin.write(PASSWORD.encode())
            _wait(bus, changes, until_owned=True)

    def lock(self) -> None:
        """Has the keyring closed, as a person does."""
        with self._bus() as bus:
            secretstorage.get_default_collection(bus).lock()

    def stop(self) -> None:
        """Has the keyring hang: connections to it are made and never answered."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Has it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the keyring at once. The bus starts another one, which is locked, for whoever asks next."""
        with self._bus() as bus, self._changes_of_owner(bus) as changes:
            pid = self._pid(bus)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                _wait(bus, changes, until_owned=False)

    def secrets(self) -> dict[str, bytes]:
        """What an open keyring holds: content by label."""
        with self._bus() as bus:
            items = secretstorage.get_default_collection(bus).get_all_items()
            return {item.get_label(): item.get_secret() for item in items}

    def _start_bus(self, stack: contextlib.ExitStack) -> None:
        bus = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", f"--address={self._address}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )
        stack.enter_context(bus)
        stack.callback(bus.terminate)
        assert bus.stdout is not None
        assert bus.stdout.readline(), "the session bus did not start"

    @contextlib.contextmanager
    def _bus(self) -> Iterator[DBusConnection]:
        with open_dbus_connection(self._address) as connection:
            yield connection

    @contextlib.contextmanager
    def _changes_of_owner(self, bus: DBusConnection) -> Iterator[deque[Message]]:
        Proxy(message_bus, bus).AddMatch(_OWNER_CHANGES)
        with bus.filter(_OWNER_CHANGES) as changes:
            yield changes

    def _pid(self, bus: DBusConnection) -> int | None:
        proxy = Proxy(message_bus, bus)
        if not proxy.NameHasOwner(SECRETS)[0]:
            return None
        return int(proxy.GetConnectionUnixProcessID(SECRETS)[0])

    def _signal(self, number: signal.Signals) -> None:
        with self._bus() as bus:
            pid = self._pid(bus)
            assert pid is not None, "no keyring is running"
            os.kill(pid, number)


def _wait(bus: DBusConnection, changes: deque[Message], *, until_owned: bool) -> None:
    """Until the keyring's name on the bus belongs to somebody, or to nobody."""
    while bool(bus.recv_until_filtered(changes, timeout=SECONDS).body[2]) is not until_owned:
        pass
