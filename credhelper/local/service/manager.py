"""What a service manager must be able to do for credhelper, and which one this machine has."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from credhelper import client
from credhelper.domain.errors import ConfigError
from credhelper.local.service.changes import Changes
from credhelper.local.service.runner import Runner

WITHOUT_MANAGER = (
    "put `credhelper daemon start` into ~/.profile or your desktop's autostart (the first request starts it, too)"
)


class NoManager(ConfigError):
    """There is no service manager that would run a service of this user's."""


@dataclass(frozen=True, slots=True)
class Report:
    """A service as it is. ``files``: each path that is there or should be, with its ``ServiceFile.state``.

    ``active`` is the manager's own word ("active", "inactive", "failed" …); ``listening``: the next request starts it;
    ``sandbox`` "full", "reduced", or None where the manager has none; ``python`` the interpreter that the installed
    service names; ``variables`` the names of what was captured of the installing shell; ``logs`` the command that
    shows its log.
    """

    manager: str
    installed: bool
    files: tuple[tuple[Path, str], ...]
    enabled: bool
    active: str
    listening: bool
    pid: int | None
    socket: Path
    sandbox: str | None
    python: Path | None
    variables: tuple[str, ...]
    logs: str


class Manager(Protocol):
    """A service manager, seen from the shell that installs, removes or looks."""

    @property
    def service(self) -> str:
        """The service's name there."""

    @property
    def runner(self) -> Runner:
        """What runs its programs."""

    def as_installed(self) -> "Manager":
        """The same, seen from the shell that has installed the service: for questions about what is there."""

    def require(self) -> None:
        """Raises NoManager, with the manager's own words, or another ConfigError when it is not this user's."""

    def is_settled(self) -> bool:
        """Whether an installation would change nothing: files, enabled, running. Raises ConfigError."""

    def is_known(self) -> bool:
        """Whether anything of an installation is there."""

    def pid(self) -> int | None:
        """The service's process, None when it does not run. Raises CommandFailed."""

    def install(self, changes: Changes, stop_other: Callable[[], None]) -> None:
        """Writes, enables and (re)starts; ``stop_other`` ends a daemon that runs without the manager.

        Raises CredhelperError, DaemonUnreachable when the service does not start.
        """

    def uninstall(self, changes: Changes) -> list[Path]:
        """Stops and removes everything that ``install`` made; returns what is somebody else's and stays.

        Raises CredhelperError.
        """

    def report(self) -> Report:
        """How things stand, as far as can be found out."""


def of_this_machine(environment: Mapping[bytes, bytes], python: Path) -> Manager:
    """The one that belongs to this operating system; ``python`` is what a service is to run."""
    shell = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    if sys.platform == "darwin":
        from credhelper.local.service.launchd import Launchd

        return Launchd(Runner(shell), shell, python)
    from credhelper.local.service.systemd_user import Systemd

    usual = b"/run/user/%d" % os.getuid()
    if not shell.get("XDG_RUNTIME_DIR") and client.is_private_directory(usual, os.getuid()):
        shell["XDG_RUNTIME_DIR"] = os.fsdecode(usual)  # a shell such as cron's lacks it, and systemctl needs it
    return Systemd(Runner(shell), shell, python)
