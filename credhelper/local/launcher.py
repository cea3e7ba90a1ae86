"""Starting the daemon behind a client, detached from everything the client's parent may wait for; seeing it end.

Where a service manager holds the daemon's socket, it starts the daemon, and is asked about that here.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from credhelper.domain.errors import DaemonUnreachable
from credhelper.local import file_lock, places, process

START_SECONDS = 8.0
STOP_SECONDS = 6.0  # the daemon gives itself 5
REST_SECONDS = 1.0
SYSTEMCTL_SECONDS = 15.0  # systemd gives the daemon 10 to end


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


def is_gone(seconds: float, pid: int | None = None) -> bool:
    """Whether the daemon at our socket has ended within ``seconds``: the kernel frees its lock with the process.

    A service manager may have started another one by then; that ``pid`` has ended tells as much.
    """
    env = places.environment()
    lock = places.instance_lock(places.state_directory(env), places.socket_path(env))
    descriptor = file_lock.open_lock_file(lock)
    try:
        give_up = time.monotonic() + seconds
        while not file_lock.try_lock(descriptor) and (pid is None or _exists(pid)):
            if time.monotonic() > give_up:
                return False
            select.select([], [], [], 0.02)
        return True
    finally:
        os.close(descriptor)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # it has ended, or its number is another user's by now
        return False
    return True


def awaits_request(path: Path) -> bool:
    """Whether a service manager listens at ``path``, and starts the daemon when the next request comes."""
    return _socket_unit(path) == "listening"


def await_rest(path: Path) -> None:
    """Waits until the service manager has noticed that its daemon has ended, unless it soon starts another one."""
    give_up = time.monotonic() + REST_SECONDS
    while not awaits_request(path) and time.monotonic() < give_up:
        select.select([], [], [], 0.02)


def is_managed(path: Path) -> bool:
    """Whether a service manager has bound the socket at ``path``."""
    return _socket_unit(path) in {"listening", "running"}


def stop_service() -> None:
    """Has the service manager end its daemon, and start it no more before the next request comes."""
    _systemctl("stop", "credhelper.service")


def _socket_unit(path: Path) -> str:
    """The state of the unit that listens at ``path``; "" without one."""
    said = _systemctl("show", "--property=SubState,Listen", "credhelper.socket", runtime=path.parents[1])
    properties = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return properties.get("SubState", "") if properties.get("Listen") == f"{path} (Stream)" else ""


def _systemctl(*arguments: str, runtime: Path | None = None) -> str:
    """What systemctl says; "" where there is none, or it has no manager to talk to."""
    # Where the variable is unset, as under cron, clients find the socket all the same; so must systemctl the manager.
    env = {"XDG_RUNTIME_DIR": str(runtime), **os.environ} if runtime else dict(os.environ)
    try:
        done = subprocess.run(
            ["systemctl", "--user", *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
