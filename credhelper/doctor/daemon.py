"""The daemon: whether it runs, answers, is ours and of our version; its socket and the directories around it."""

import fcntl
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from credhelper import __version__, client
from credhelper.doctor.findings import Finding, ok, problem, warning
from credhelper.doctor.link import Daemon, Presence
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.local import audit_log, places, settings

RESTART = "credhelper daemon restart"
START = "credhelper daemon start"
PACKAGE = Path(__file__).parent.parent


def running(scene: Scene) -> Iterator[Finding]:
    """``daemon.running``, ``daemon.answers``, ``daemon.stranger`` and ``daemon.lock``."""
    daemon = scene.daemon()
    match daemon.presence:
        case Presence.RUNNING:
            yield ok("daemon.running", f"the daemon runs (pid {daemon.hello.get('pid')})")
        case Presence.SILENT:
            yield problem("daemon.answers", f"the daemon at {scene.socket()} does not answer: {daemon.error}", RESTART)
        case Presence.STRANGER:
            yield problem(
                "daemon.stranger",
                f"what listens at {scene.socket()} is not yours: {daemon.error}",
                "export CREDHELPER_SOCKET=…   # a path in a directory that only you can enter",
            )
        case Presence.ABSENT:
            yield from _absent(scene)


def _absent(scene: Scene) -> Iterator[Finding]:
    if _is_lock_held(scene):
        yield problem("daemon.lock", "a daemon runs and does not listen at its socket", RESTART)
    elif scene.environment.get("CREDHELPER_NO_AUTOSTART") == "1":
        yield warning("daemon.running", "the daemon does not run, and CREDHELPER_NO_AUTOSTART keeps it so", START)
    else:
        yield warning("daemon.running", "the daemon does not run; it starts with the first request", START)


def _is_lock_held(scene: Scene) -> bool:
    with suppress(OSError, CredhelperError):  # no lock file, or none that can be opened: nobody has it
        lock = places.instance_lock(places.state_directory(scene.env), scene.socket())
        descriptor = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def identity(scene: Scene) -> Iterator[Finding]:
    """``daemon.version``, ``daemon.protocol``, ``daemon.home`` and ``daemon.status``."""
    daemon = scene.daemon()
    if not daemon.is_running:
        return
    version, protocol = daemon.hello.get("version"), daemon.hello.get("protocol")
    if protocol != client.PROTOCOL.decode():
        yield problem(
            "daemon.protocol", f"the daemon speaks protocol {protocol}, we speak {client.PROTOCOL.decode()}", RESTART
        )
        return
    if version != __version__:
        yield warning("daemon.version", f"the daemon is version {version}, this is {__version__}", RESTART)
    else:
        yield ok("daemon.version", f"the daemon is of this version ({version})")
    yield from _refusal(daemon)


def _refusal(daemon: Daemon) -> Iterator[Finding]:
    if not daemon.error:
        return
    if "serves the home" in daemon.error:
        yield problem("daemon.home", daemon.error, "export CREDHELPER_SOCKET=…   # a socket of its own for this home")
    elif "installation" not in daemon.error:  # which has a finding of its own
        yield problem("daemon.status", f"the daemon refuses to tell its status: {daemon.error}", RESTART)


def installation(scene: Scene) -> Iterator[Finding]:
    """``daemon.installation``: the program that the daemon runs from is still there, and is this one."""
    daemon = scene.daemon()
    if not daemon.is_running:
        return
    if "installation" in daemon.error:
        yield problem("daemon.installation", daemon.error, RESTART)
        return
    if daemon.error:
        return
    found = scene.network().get("installation", {})
    package = str(found.get("package", ""))
    if not found.get("exists", True):
        yield problem("daemon.installation", f"the installation that the daemon runs from is gone: {package}", RESTART)
    elif package and not _is_same(Path(package), PACKAGE):
        yield warning(
            "daemon.installation", f"the daemon runs from another installation: {package}, and not {PACKAGE}", RESTART
        )
    else:
        yield ok("daemon.installation", f"the daemon runs from {package}")


def writing(scene: Scene) -> Iterator[Finding]:
    """``daemon.unwritable``: it may write where we may.

    A sandboxed service keeps the directories of its start: one that was deleted and made anew is read-only for it.
    """
    if not scene.daemon().is_running:
        return
    for place in scene.network().get("unwritable", []):
        if os.access(place, os.W_OK) or os.access(scene.home, os.W_OK):
            yield problem(
                "daemon.unwritable",
                f"the daemon cannot write to {place}, perhaps made anew since its start: what it has is in memory only",
                RESTART,
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def socket(scene: Scene) -> Iterator[Finding]:
    """``socket.path``, ``socket.directory``, ``socket.file`` and ``socket.runtime``."""
    try:
        path = scene.socket()
    except CredhelperError as error:
        yield problem("socket.path", error.message, error.hint or "unset CREDHELPER_SOCKET")
        return
    runtime = scene.environment.get("XDG_RUNTIME_DIR", "")
    is_private = client.is_private_directory(os.fsencode(runtime), scene.uid)
    if runtime and not is_private and not scene.environment.get("CREDHELPER_SOCKET"):
        yield warning(
            "socket.runtime",
            f"XDG_RUNTIME_DIR={runtime} is no directory that only you can enter; the socket lies elsewhere",
            f"export XDG_RUNTIME_DIR=/run/user/{scene.uid}",
        )
    mistakes = [*_directory(path.parent, scene, "socket.directory"), *_socket_file(path, scene)]
    yield from mistakes or [ok("socket.file", f"the socket's place is {path}")]


def state(scene: Scene) -> Iterator[Finding]:
    """``daemon.state``: the directory of the locks and of sealed credentials lets in nobody else."""
    path = places.state_directory(scene.env)
    mistakes = list(_directory(path, scene, "daemon.state"))
    yield from mistakes or [ok("daemon.state", f"its state lies in {path}")]


def audit(scene: Scene) -> Iterator[Finding]:
    """``daemon.audit``: who asked for what can be recorded and read."""
    path = places.audit_log(places.state_directory(scene.env))
    mistakes = [mistake for each in audit_log.paths(path) for mistake in _record_file(each, scene)]
    yield from mistakes or [ok("daemon.audit", f"who asked for what is recorded in {path}")]


def _record_file(path: Path, scene: Scene) -> Iterator[Finding]:
    quoted = shlex.quote(str(path))
    try:
        found = os.lstat(path)
    except OSError:  # it is made when it is needed; and what is wrong with its directory is said there
        return
    if not stat.S_ISREG(found.st_mode):
        remove = "rm -r" if stat.S_ISDIR(found.st_mode) else "rm"
        yield problem("daemon.audit", f"{path} is not a file: nothing can be recorded there", f"{remove} {quoted}")
    elif found.st_uid != scene.uid:
        yield problem(
            "daemon.audit", f"{path} belongs to another user (uid {found.st_uid})", f"sudo chown {scene.uid} {quoted}"
        )
    elif found.st_mode & 0o077:
        yield warning("daemon.audit", f"{path} can be read by others", f"chmod 600 {quoted}")


def _directory(path: Path, scene: Scene, name: str) -> Iterator[Finding]:
    """What makes the daemon refuse a directory; one that is not there yet is made as it should be."""
    quoted = shlex.quote(str(path))
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield problem(name, f"{path} cannot be looked at: {error.strerror}", f"ls -ld {quoted}")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield problem(name, f"{path} is not a directory", f"rm {quoted}")
    elif found.st_uid != scene.uid:
        yield problem(name, f"{path} belongs to another user (uid {found.st_uid})", f"sudo chown {scene.uid} {quoted}")
    elif found.st_mode & 0o077:
        yield problem(name, f"others may enter {path}; the daemon refuses it", f"chmod 700 {quoted}")


def _socket_file(path: Path, scene: Scene) -> Iterator[Finding]:
    quoted = shlex.quote(str(path))
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        yield problem("socket.file", f"{path} is not a socket", f"rm {quoted}")
    elif found.st_uid != scene.uid:
        yield problem("socket.file", f"{path} belongs to another user (uid {found.st_uid})", f"sudo rm {quoted}")
    elif found.st_mode & 0o077:
        yield warning("socket.file", f"others may connect to {path}; they are turned away", RESTART)


def own_settings(scene: Scene) -> Iterator[Finding]:
    """``settings.valid``: credhelper's own configuration, in the file and as the daemon has it."""
    try:
        path = places.settings_file(scene.env)
    except ConfigError as error:
        yield problem("settings.valid", error.message, error.hint or "unset CREDHELPER_CONFIG")
        return
    try:
        settings.load(path)
    except ConfigError as error:
        yield problem("settings.valid", error.message, f"$EDITOR {shlex.quote(str(path))}; credhelper daemon reload")
        return
    told = str(path) if path.exists() else f"there is no {path}: all as it comes"
    yield ok("settings.valid", f"credhelper's own settings are valid ({told})")
    kept = scene.daemon().status.get("settings_error")
    if kept:
        yield warning("settings.daemon", f"the daemon keeps earlier settings: {kept}", "credhelper daemon reload")
