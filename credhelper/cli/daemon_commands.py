"""``credhelper daemon``: the background process itself."""

import argparse
import contextlib
import json
import os
import signal
from pathlib import Path

from credhelper.cli import daemon_link, options, speech
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import launcher, places, private_directory

STOP_ANSWER_SECONDS = 3
FORCE_SECONDS = 3.0


def add(commands: options.Commands) -> None:
    """Adds the commands."""
    parser = commands.add_parser("daemon", help="run, start, stop or restart the background process")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run_parser = parts.add_parser("run", help="run in the foreground until SIGTERM")
    run_parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    run_parser.set_defaults(run=run)
    for name, handler, text in (
        ("start", start, "start it in the background, unless it runs"),
        ("stop", stop, "stop it"),
        ("restart", restart, "stop it if it runs, and start it"),
    ):
        parts.add_parser(name, help=text).set_defaults(run=handler)


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
    launcher.start_daemon(os.environ)
    about = json.loads(daemon_link.ask("hello", {}, start=False))
    speech.note(f"The daemon is running (pid {about['pid']}).")
    return 0


def stop(_: argparse.Namespace) -> int:
    """Asks it to stop and waits until it is gone; one that does not answer is ended by signals."""
    pid = daemon_link.pid()
    try:
        daemon_link.ask("stop", {}, start=False, seconds=STOP_ANSWER_SECONDS)
    except DaemonUnreachable:
        if pid is None:
            if launcher.is_gone(0):
                speech.note("The daemon is not running.")
                return 0
            raise
    if not launcher.is_gone(launcher.STOP_SECONDS):
        _end_by_force(pid)
    speech.note("The daemon has stopped.")
    return 0


def _end_by_force(pid: int | None) -> None:
    """SIGTERM, then SIGKILL, to the process that listens at our socket, if it is a daemon of ours. Raises."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid is not None and _is_daemon(pid):
            speech.note(f"The daemon (pid {pid}) does not react; sending it {number.name}.")
            os.kill(pid, number)
            if launcher.is_gone(FORCE_SECONDS):
                return
    raise DaemonUnreachable("the daemon does not stop", hint=f"ps {pid or '-e'}")


def _is_daemon(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"daemon" in words and b"run" in words and any(b"credhelper" in word for word in words)


def restart(args: argparse.Namespace) -> int:
    """Stops and starts it."""
    stop(args)
    return start(args)
