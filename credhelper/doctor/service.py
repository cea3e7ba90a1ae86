"""The daemon as a service of systemd or launchd: looked at only where one was installed, which nobody has to."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from credhelper.doctor.findings import Finding, listed, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import CredhelperError

INSTALL = "credhelper service install"
_NAMES = ("credhelper.service", "credhelper.socket", "credhelper.daemon.plist")


def installed(scene: Scene) -> Iterator[Finding]:
    """``service.installed``, ``.files``, ``.active``, ``.socket``, ``.interpreter`` and ``.manager``."""
    if not any(_is_there(directory) for directory in _directories(scene)):
        yield ok("service.installed", f"no service is installed; the first request starts the daemon (or: {INSTALL})")
        return
    from credhelper.local.service import manager

    try:
        report = manager.of_this_machine(scene.env, Path(sys.executable)).as_installed().report()
    except CredhelperError as error:
        yield warning("service.manager", f"a service is installed, and {error.message}", error.hint or INSTALL)
        return
    yield from _files(report.files)
    if report.python is not None and not os.access(report.python, os.X_OK):
        yield problem("service.interpreter", f"the service runs {report.python}, which is gone", INSTALL)
    elif report.active == "failed" or not (report.listening or report.active == "active"):
        yield problem("service.active", f"the service is installed and {report.active}", f"{report.logs}; {INSTALL}")
    elif not report.enabled:
        yield warning("service.active", "the service is installed and does not start at login", INSTALL)
    else:
        yield ok("service.active", f"the service is {report.active}, by {report.manager}")
        if report.manager == "systemd" and not report.listening:
            yield warning("service.socket", "the service has lost its socket: a restart of it loses requests", INSTALL)


def _directories(scene: Scene) -> list[Path]:
    """Where either kind of service has its files."""
    bases = [scene.home / ".config", Path(scene.environment.get("XDG_CONFIG_HOME") or scene.home / ".config")]
    return [*(base / "systemd" / "user" for base in bases), scene.home / "Library" / "LaunchAgents"]


def _is_there(directory: Path) -> bool:
    return any(os.path.lexists(directory / name) for name in _NAMES)


def _files(files: tuple[tuple[Path, str], ...]) -> Iterator[Finding]:
    """The installed files are what this version would write. (Which interpreter they name is looked at apart.)"""
    differing = [str(path) for path, state in files if state == "differs"]
    missing = [str(path) for path, state in files if state == "missing"]
    foreign = [str(path) for path, state in files if state == "foreign"]
    if missing:
        yield problem("service.files", f"the service is half installed; missing: {listed(missing)}", INSTALL)
    if foreign:
        yield warning("service.files", f"not written by credhelper: {listed(foreign)}", f"ls -l {foreign[0]}")
    if differing:
        yield warning("service.files", f"written by another version or setting: {listed(differing)}", INSTALL)
    if not (missing or foreign or differing):
        yield ok("service.files", "the service's files are up to date")
