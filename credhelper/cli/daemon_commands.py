"""``credhelper daemon``: the background process itself."""

import argparse
import json
import os
import select
import time

from credhelper.cli import daemon_link, options, speech
from credhelper.domain.errors import DaemonUnreachable
from credhelper.local import file_lock, launcher, places, private_directory

STOP_SECONDS = 8.0


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
    from credhelper import daemon, log

    if args.ready_fd is not None:
        # Started by a client, with nobody at its stderr.
        os.umask(0o077)
        state = places.state_directory(places.environment())
        private_directory.ensure(state)
        log.to_file(places.daemon_log(state), debug=args.debug)
    elif not args.debug:
        log.to_stderr(debug=False)
    told: list[str] = []

    def ready(text: str) -> None:
        if args.ready_fd is not None and not told:
            os.write(args.ready_fd, text.encode(errors="replace") + b"\n")
            os.close(args.ready_fd)
        told.append(text)

    return daemon.run(ready)


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
    """Asks it to stop and waits until it is gone."""
    try:
        daemon_link.ask("stop", {}, start=False)
    except DaemonUnreachable as error:
        if error.hint == "credhelper daemon restart":
            raise
        speech.note("The daemon is not running.")
        return 0
    _wait_until_gone()
    speech.note("The daemon has stopped.")
    return 0


def restart(args: argparse.Namespace) -> int:
    """Stops and starts it."""
    stop(args)
    return start(args)


def _wait_until_gone() -> None:
    """Until the instance lock is free, which the kernel frees with the process."""
    env = places.environment()
    lock = places.instance_lock(places.state_directory(env), places.socket_path(env))
    give_up = time.monotonic() + STOP_SECONDS
    descriptor = file_lock.open_lock_file(lock)
    try:
        while not file_lock.try_lock(descriptor):
            if time.monotonic() > give_up:
                raise DaemonUnreachable(f"the daemon has not stopped within {STOP_SECONDS:g} s")
            select.select([], [], [], 0.02)
    finally:
        os.close(descriptor)
