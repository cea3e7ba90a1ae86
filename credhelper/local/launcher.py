"""Starting the daemon behind a client, detached from everything the client's parent may wait for; seeing it end."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping

from credhelper.domain.errors import DaemonUnreachable
from credhelper.local import file_lock, places, process

START_SECONDS = 8.0
STOP_SECONDS = 6.0  # the daemon gives itself 5


def start_daemon(environment: Mapping[str, str], *, seconds: float = START_SECONDS) -> None:
    """Starts ``credhelper daemon run`` in a session of its own and waits until it serves, or another one does.

    It inherits neither the caller's descriptors (an SDK waits for the end of a pipe, not of a process) nor its profile
    and keys. Raises DaemonUnreachable with the daemon's own words.
    """
    env = dict(environment)
    process.forget_callers_choices(env)
    ready, tell = os.pipe()
    try:
        try:
            subprocess.Popen(
                [sys.executable, "-Im", "credhelper", "daemon", "run", "--ready-fd", str(tell)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=env,
                start_new_session=True,
                pass_fds=[tell],
            ).returncode = 0  # it outlives us on purpose; without a status, Popen warns that nobody waited for it
        except OSError as error:
            raise DaemonUnreachable(f"the daemon could not be started: {error.strerror}") from error
        finally:
            os.close(tell)
        said = _read_all(ready, seconds)
    finally:
        os.close(ready)
    if said.strip() != "ready":
        raise DaemonUnreachable(f"the daemon could not be started: {said.strip()}", hint="credhelper daemon run")


def _read_all(descriptor: int, seconds: float) -> str:
    """What the daemon says of its start, or what can be said of one that says nothing."""
    said = b""
    give_up = time.monotonic() + seconds
    while select.select([descriptor], [], [], max(0.0, give_up - time.monotonic()))[0]:
        chunk = os.read(descriptor, 4096)
        said += chunk
        if said == b"ready\n":
            break
        if not chunk:
            return said.decode(errors="replace") or "it ended at once and did not say why"
    return said.decode(errors="replace") or f"it did not say that it is ready within {seconds:g} s"


def is_gone(seconds: float) -> bool:
    """Whether the daemon at our socket has ended within ``seconds``: the kernel frees its lock with the process."""
    env = places.environment()
    lock = places.instance_lock(places.state_directory(env), places.socket_path(env))
    descriptor = file_lock.open_lock_file(lock)
    try:
        give_up = time.monotonic() + seconds
        while not file_lock.try_lock(descriptor):
            if time.monotonic() > give_up:
                return False
            select.select([], [], [], 0.02)
        return True
    finally:
        os.close(descriptor)
