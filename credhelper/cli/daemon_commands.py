"""``credhelper daemon``: the background process itself."""

import argparse
import contextlib
import json
import os
import signal
from pathlib import Path

from credhelper.cli import daemon_health, daemon_link, options, speech
from credhelper.domain.errors import ConfigError, CredhelperError, DaemonUnreachable, DoneInPart
from credhelper.local import launcher, places, private_directory

STOP_ANSWER_SECONDS = 3
FOR_GOOD = "systemctl --user stop credhelper.socket credhelper.service"
FORCE_SECONDS = 3.0


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "daemon",
        help=summary,
        description="Every command that needs the daemon starts it, so that this is seldom needed. `credhelper service"
        " install` has the system run it; `credhelper status` and `credhelper doctor` tell how it is.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run_parser = parts.add_parser(
        "run",
        help="run in the foreground until SIGTERM",
        description="Runs in the foreground and logs to stderr, for service managers and for looking at. SIGTERM ends"
        " it, SIGHUP has it read config.toml anew. Exit status 4 when that file has a mistake.",
    )
    run_parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    run_parser.set_defaults(run=run)
    for name, handler, text in (
        ("start", start, "start it in the background, unless it runs"),
        ("stop", stop, "stop it"),
        ("restart", restart, "stop it if it runs, and start it"),
        ("reload", reload, "have it read its config.toml anew; it goes on serving"),
    ):
        described = f"{text[0].upper()}{text[1:]}."
        parts.add_parser(name, help=text, description=described).set_defaults(run=handler)
    metrics_parser = parts.add_parser(
        "metrics",
        help="print its metrics in Prometheus's text format",
        description="Prints the daemon's metrics in Prometheus's text format. [metrics] listen in config.toml has it"
        " serve them over HTTP.",
    )
    metrics_parser.set_defaults(run=daemon_health.metrics)
    health_parser = parts.add_parser(
        "health",
        help="print how it is, as JSON; exit status 7 unless it is well",
        description="Prints how the daemon is, as JSON. Exit status 0 when it is well, 7 when it is not, or does not"
        " run.",
    )
    health_parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    health_parser.set_defaults(run=daemon_health.health)


def run(args: argparse.Namespace) -> int:
    """Becomes the daemon."""
    from credhelper import daemon

    told: list[str] = []

    def ready(text: str) -> None:
        if args.ready_fd is not None and not told:
            told.append(text)
            with contextlib.suppress(OSError):  # whoever started us may have left: no reason to end
                os.write(args.ready_fd, text.encode(errors="replace") + b"\n")
            os.close(args.ready_fd)

    try:
        _set_up_log(args)
        return daemon.run(ready)
    except CredhelperError as error:
        ready(error.message)
        raise
    except OSError as error:
        ready(f"{error.filename or 'the system'}: {error.strerror}")
        raise


def _set_up_log(args: argparse.Namespace) -> None:
    from credhelper import log

    if args.ready_fd is None:
        if not args.debug:  # with it, main has done so
            log.to_stderr(debug=False)
        return
    # Started by a client, with nobody at its stderr.
    os.umask(0o077)
    state = places.state_directory(places.environment())
    private_directory.ensure(state)
    log.to_file(places.daemon_log(state), debug=args.debug)


def start(_: argparse.Namespace) -> int:
    """Starts it and waits until it serves."""
    if daemon_link.is_running():
        speech.note("The daemon is already running.")
        return 0
    return _start()


def _start() -> int:
    daemon_link.start_daemon()
    about = json.loads(daemon_link.ask("hello", {}))
    speech.note(f"The daemon is running (pid {about['pid']}).")
    return 0


def stop(_: argparse.Namespace) -> int:
    """Asks it to stop and waits until it is gone; one that does not answer is ended by signals."""
    if not _has_stopped():
        speech.note("The daemon is not running.")
        return 0
    speech.note("The daemon has stopped.")
    if _is_managed():
        launcher.await_rest(_socket())
        speech.note(f"The next request starts it again (to end that: {FOR_GOOD}).")
    return 0


def _is_managed() -> bool:
    return launcher.is_managed(_socket())


def _socket() -> Path:
    return places.socket_path(places.environment())


def _has_stopped() -> bool:
    """Stops it; False when there was none. Raises DaemonUnreachable."""
    pid = daemon_link.pid()
    try:
        daemon_link.ask("stop", {}, start=False, seconds=STOP_ANSWER_SECONDS)
    except DaemonUnreachable:
        if pid is None:
            if launcher.is_gone(0):
                return False
            raise
    if not launcher.is_gone(launcher.STOP_SECONDS, pid):
        _end_by_force(pid)
        if _is_managed():  # systemd takes a SIGKILL for a crash
            launcher.stop_service()
    return True


def _end_by_force(pid: int | None) -> None:
    """SIGTERM, then SIGKILL, to the process that listens at our socket, if it is a daemon of ours. Raises."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid is not None and _is_daemon(pid):
            speech.note(f"The daemon (pid {pid}) does not react; sending it {number.name}.")
            os.kill(pid, number)
            if launcher.is_gone(FORCE_SECONDS, pid):
                return
    raise DaemonUnreachable("the daemon does not stop", hint=f"ps {pid or '-e'}")


def _is_daemon(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"daemon" in words and b"run" in words and any(b"credhelper" in word for word in words)


def restart(_: argparse.Namespace) -> int:
    """Stops and starts it. Raises ConfigError, and leaves it running, where the next one would refuse its settings."""
    from credhelper.local import settings  # no other command reads them

    settings.load(places.settings_file(places.environment()))
    speech.note("The daemon has stopped." if _has_stopped() else "The daemon is not running.")
    return _start()


def reload(_: argparse.Namespace) -> int:
    """Has it read its settings anew. Raises ConfigError with every mistake in them."""
    found = json.loads(daemon_link.ask("reload", {}, start=False))
    if found["error"]:
        raise ConfigError(found["error"], hint="mend the file, then: credhelper daemon reload")
    changed = ", ".join(found["changed"])
    speech.note(f"Changed: {changed}." if changed else f"Nothing has changed in {found['file']}.")
    if found["at_next_start"]:
        names = ", ".join(found["at_next_start"])
        speech.note(f"What {names} says now takes effect at the next start (run: credhelper daemon restart).")
    if found["problems"]:
        raise DoneInPart("; ".join(found["problems"]), hint="credhelper daemon reload")
    return 0
