"""``credhelper service``: the daemon as a service of the user's systemd or launchd."""

import argparse
import json
import os
import select
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credhelper import __version__
from credhelper.cli import options, speech
from credhelper.domain.errors import ConfigError, CredhelperError, DaemonUnreachable, DoneInPart
from credhelper.domain.text import safe

if TYPE_CHECKING:  # `credhelper --help` knows the command without them
    from credhelper.local.service.changes import Changes
    from credhelper.local.service.manager import Manager, Report

Json = dict[str, Any]

ANSWER_SECONDS = 10.0  # from the start of the service to its first answer

STATE_WORDS = {
    "differs": "is not what this credhelper would write",
    "missing": "is missing",
    "foreign": "was not written by credhelper",
}


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "service",
        help=summary,
        description="Has the system start the daemon and keep it running. Without that, it starts with the first"
        " request.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    install_parser = parts.add_parser(
        "install",
        help="install it, enable it and start it",
        description="Installs the daemon as a service of yours: two systemd user units (Linux) or a launchd agent"
        " (macOS; never tried on a Mac). It then runs from your login on, is restarted when it fails, and on Linux is"
        " started by the first request too. Endpoints (AWS_ENDPOINT_URL…), AWS_CA_BUNDLE, proxies, CREDHELPER_CONFIG,"
        " CREDHELPER_SOCKET and XDG_*_HOME are taken from this shell. A second run changes what has to be changed.",
    )
    install_parser.add_argument(
        "--force", action="store_true", help="install even from an environment that looks like a temporary one"
    )
    install_parser.set_defaults(run=run_install)
    uninstall_parser = parts.add_parser(
        "uninstall",
        help="stop it and remove everything that install has made",
        description="Stops the service and removes everything that install has made. Profiles go on to work: their"
        " requests start a daemon as they did before.",
    )
    uninstall_parser.set_defaults(run=run_uninstall)
    for changing in (install_parser, uninstall_parser):
        changing.add_argument(
            "--dry-run", action="store_true", help="show every change to a file and every command; change nothing"
        )
    status_parser = parts.add_parser(
        "status",
        help="show how the service is",
        description="Shows how the service is; starts nothing. Exit status 0 when it runs and all is well, 8 when it"
        " runs and something should be put right, 7 when it does not run.",
    )
    options.add_json(status_parser)
    status_parser.set_defaults(run=run_status)


def run_install(args: argparse.Namespace) -> int:
    """Installs, and sees to it that the daemon answers."""
    from credhelper.local import places, settings
    from credhelper.local.service import interpreter

    refuse_sudo(os.environ)
    python = None if args.force else interpreter.lasting(os.environ)
    settings.load(places.settings_file(places.environment()))  # a mistake there would end the daemon at its start
    return install(_manager(python), rehearsal=args.dry_run)


def run_uninstall(args: argparse.Namespace) -> int:
    """Removes the service."""
    refuse_sudo(os.environ)
    return uninstall(_manager(), rehearsal=args.dry_run)


def run_status(args: argparse.Namespace) -> int:
    """Prints how the service is.

    With ``--json``: ``{"manager": "systemd|launchd"|null, "installed": bool, "enabled": bool, "active": "active|
    inactive|failed|…"|null, "listening": bool, "pid": …|null, "version": …|null, "started_at": …|null, "socket":
    …|null, "sandbox": "full|reduced"|null, "python": …|null, "variables": [names], "logs": …|null, "files": [{"path",
    "state": "current|differs|missing|foreign"}], "problems": […]}``. ``manager`` is null when there is none or it
    cannot be reached. ``listening``: the next request starts it. ``version`` and ``started_at`` are those of the
    daemon that answers as the service; ``variables``, what was taken of the installing shell.
    """
    found = status(_manager())
    if args.json:
        speech.result(json.dumps(found))
    else:
        _show(found)
    if not found["installed"] or found["active"] != "active":
        return DaemonUnreachable.status
    return DoneInPart.status if found["problems"] else 0


def _manager(python: Path | None = None) -> "Manager":
    import sys

    from credhelper.local import places
    from credhelper.local.service import manager

    return manager.of_this_machine(places.environment(), python or Path(sys.executable))


def refuse_sudo(environment: Mapping[str, str]) -> None:
    """Raises ConfigError when a user has made themselves root by sudo: the service would be root's."""
    if os.geteuid() == 0 and environment.get("SUDO_UID", "0") != "0":
        raise ConfigError(
            "by sudo, this would be about a service of root's, and not of yours",
            hint="run the same without sudo: credhelper service …",
        )


# -- install ----------------------------------------------------------------------------------------------------------


def install(manager: "Manager", *, rehearsal: bool = False) -> int:
    """Brings the service up to date. Raises CredhelperError."""
    manager.require()
    if manager.is_settled() and (rehearsal or _answering_pid() == manager.pid()):
        speech.result("The service is installed and runs; there is nothing to change.")
        return 0
    changes = _changes(manager, rehearsal=rehearsal)
    manager.install(changes, lambda: _stop_other(manager, changes))
    if rehearsal:
        speech.result("Nothing has been changed.")
        return 0
    pid = _await_answer(manager)
    report = manager.report()
    speech.result(f"The daemon runs as {manager.service} (pid {pid}) and answers at {report.socket}.")
    if report.variables:
        speech.result(f"Taken from this shell: {', '.join(report.variables)}.")
    speech.note(f"Its log: {report.logs}")
    _remark_on_lingering(report)
    return 0


def _changes(manager: "Manager", *, rehearsal: bool) -> "Changes":
    from credhelper.local.service.changes import Changes

    return Changes(manager.runner, lambda line: speech.result(safe_line(line)), rehearsal=rehearsal)


def safe_line(line: str) -> str:
    """A line of a difference or of a command, of any length, with nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in line)


def _stop_other(manager: "Manager", changes: "Changes") -> None:
    """Ends a daemon that a client or a person has started: the service needs its socket."""
    from credhelper.cli import daemon_commands

    pid = _answering_pid()
    if pid is None or pid == manager.pid():
        return
    if changes.rehearsal:
        speech.result(f"would stop the daemon that was started without the service (pid {pid})")
        return
    daemon_commands.stop(argparse.Namespace())


def _answering_pid() -> int | None:
    """The daemon that answers at this shell's socket, None without one. Starts nothing."""
    from credhelper.cli import daemon_link

    try:
        return int(json.loads(daemon_link.ask("hello", {}, start=False, seconds=5))["pid"])
    except DaemonUnreachable:
        return None


def _await_answer(manager: "Manager") -> int:
    """The service's pid, once it answers at this shell's socket. Raises DaemonUnreachable."""
    from credhelper.local import places

    give_up = time.monotonic() + ANSWER_SECONDS
    while True:
        pid = _answering_pid()
        if pid is not None and pid == manager.pid():
            return pid
        if time.monotonic() > give_up:
            break
        select.select([], [], [], 0.05)
    place = places.socket_path(places.environment())
    if pid is not None:
        raise DaemonUnreachable(
            f"another daemon (pid {pid}) answers at {place}, and not the service",
            hint=f"kill {pid}; credhelper service install",
        )
    report = manager.report()
    raise DaemonUnreachable(f"the service is {report.active} and does not answer at {place}", hint=report.logs)


def _remark_on_lingering(report: "Report") -> None:
    """Who works here by SSH alone may want more than a service that ends with the last login."""
    user = os.environ.get("USER", "")
    if (
        report.manager == "systemd"
        and "SSH_CONNECTION" in os.environ
        and not Path("/var/lib/systemd/linger", user).exists()
    ):
        speech.note("It ends with your last login here; to keep it running: loginctl enable-linger")


# -- uninstall --------------------------------------------------------------------------------------------------------


def uninstall(manager: "Manager", *, rehearsal: bool = False) -> int:
    """Removes the service. Raises CredhelperError."""
    if manager.is_known():
        manager.require()
    changes = _changes(manager, rehearsal=rehearsal)
    kept = manager.as_installed().uninstall(changes)
    if changes.count == 0:
        speech.result("There is no service to remove.")
    elif rehearsal:
        speech.result("Nothing has been changed.")
    else:
        speech.result("The service is gone.")
    for path in kept:
        speech.note(f"Kept, as credhelper has not written it: {path}")
    if changes.count:
        _remark_on_profiles()
    return 0


def _remark_on_profiles() -> None:
    from credhelper.cli import callers_files
    from credhelper.doctor import lines

    configuration, _ = callers_files.load_what_can_be()
    profiles = [name for name, keys in configuration.profiles.items() if lines.is_ours(keys)]
    if not profiles:
        return
    speech.note(f"These profiles run credhelper: {safe(', '.join(profiles))}")
    if os.environ.get("CREDHELPER_NO_AUTOSTART") == "1":
        speech.note("With CREDHELPER_NO_AUTOSTART=1 they need a daemon that you start: credhelper daemon start")
    else:
        speech.note("They go on to work: the first request starts a daemon.")
    speech.note(
        "Before you remove credhelper itself, take the lines `credential_process = …` out of their sections in"
        f" {configuration.paths.config}: nobody would answer them any more."
    )


# -- status -----------------------------------------------------------------------------------------------------------


def status(manager: "Manager") -> Json:
    """The document of ``service status --json``."""
    try:
        report = manager.as_installed().report()
    except ConfigError as error:
        return _unknown(error)
    daemon = _daemon(report) if report.active == "active" else {}
    return {
        "manager": report.manager,
        "installed": report.installed,
        "enabled": report.enabled,
        "active": report.active,
        "listening": report.listening,
        "pid": report.pid,
        "version": daemon.get("version"),
        "started_at": daemon.get("started_at"),
        "socket": str(report.socket),
        "sandbox": report.sandbox,
        "python": None if report.python is None else str(report.python),
        "variables": list(report.variables),
        "logs": report.logs,
        "files": [{"path": str(path), "state": state} for path, state in report.files],
        "problems": _problems(report, daemon),
    }


def _unknown(error: CredhelperError) -> Json:
    nothing = ("manager", "active", "pid", "version", "started_at", "socket", "sandbox", "python", "logs")
    return {
        **dict.fromkeys(nothing),
        "installed": False,
        "enabled": False,
        "listening": False,
        "variables": [],
        "files": [],
        "problems": [error.message],
    }


def _daemon(report: "Report") -> Json:
    """What the daemon at this shell's socket says of itself; nothing when none answers."""
    from credhelper.cli import daemon_link

    try:
        found: Json = json.loads(daemon_link.ask("status", {}, start=False, seconds=5))["status"]["daemon"]
    except CredhelperError:
        return {}
    return found if found["pid"] == report.pid else {"pid": found["pid"]}


def _problems(report: "Report", daemon: Json) -> list[str]:
    """What should be put right, one sentence each."""
    again = "credhelper service install"
    if not report.installed:
        return [f"{path} {STATE_WORDS[state]}" for path, state in report.files if state == "foreign"]
    found = [f"{path} {STATE_WORDS[state]} (run: {again})" for path, state in report.files if state in STATE_WORDS]
    if report.python is not None and not os.access(report.python, os.X_OK):
        found.append(f"{report.python}, which it runs, is not there (run: {again})")
    if not report.enabled:
        found.append(f"it is not enabled: it does not start at a login (run: {again})")
    if report.active == "failed":
        found.append(f"it has failed (see: {report.logs})")
    if report.active == "active":
        found += _problems_of_daemon(report, daemon)
    return found


def _problems_of_daemon(report: "Report", daemon: Json) -> list[str]:
    if not daemon:
        return [f"it does not answer at this shell's socket (it should at {report.socket}; run: credhelper doctor)"]
    if daemon["pid"] != report.pid:
        return [f"another daemon (pid {daemon['pid']}) answers in its place (run: credhelper daemon restart)"]
    if daemon["version"] != __version__:
        return [f"it is version {daemon['version']}, and this is {__version__} (run: credhelper daemon restart)"]
    return []


def _show(found: Json) -> None:
    if found["installed"]:
        _show_installed(found)
    elif found["manager"] is not None:
        speech.result("The service is not installed (run: credhelper service install).")
    for problem in found["problems"]:
        speech.result(f"{speech.paint('Problem:', 'red')} {safe(problem)}")


def _show_installed(found: Json) -> None:
    enabled = "enabled" if found["enabled"] else "not enabled"
    facts = [found["active"]]
    if found["active"] == "active":
        facts += [f"pid {found['pid']}"]
        facts += [f"version {found['version']}, since {speech.moment(found['started_at'])}"] if found["version"] else []
    elif found["listening"]:
        facts += ["starts with the next request"]
    lines = {
        "Service": f"{found['manager']}, {enabled}",
        "State": ", ".join(facts),
        "Socket": found["socket"],
        "Sandbox": {"full": "full", "reduced": "reduced (compat.conf: no namespaces on this machine)"}.get(
            found["sandbox"]
        ),
        "Python": found["python"],
        "Taken": f"from the installing shell: {', '.join(found['variables'])}" if found["variables"] else None,
        "Log": found["logs"],
    }
    for name, text in lines.items():
        if text:
            speech.result(f"{name:9}{safe(text)}")
