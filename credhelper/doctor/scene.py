"""What the checks look at: one person's home, environment and machine, and the daemon's word where there is one.

Everything that several checks need is found out once, by whichever of them asks first; the others wait for it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from credhelper.aws import config_file, pool_profiles
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.token_cache import TokenCache
from credhelper.doctor import ini, link
from credhelper.doctor.libraries import Libraries
from credhelper.doctor.link import Daemon
from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.local import places
from credhelper.local.clock import Clock, SystemClock

SECONDS = 4.4  # for everything; with the program's start it stays below five
LEAST = 0.5  # seconds, in which AWS can answer

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command that was run; ``status`` is None when it did not end in time, or could not be started."""

    status: int | None
    out: str = field(default="", repr=False)  # of a credential_process it is a secret
    err: str = ""


class Once(Generic[T]):
    """A value that is found out at the first asking. Thread-safe; a failure is remembered too."""

    def __init__(self, find: Callable[[], T]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._found: list[T] = []
        self._error: Exception | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._found:
                try:
                    self._found.append(self._find())
                except Exception as error:
                    self._error = error
                    raise
            return self._found[0]


def run_command(argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> Outcome:
    """Runs a command without a shell or a terminal; it and what it started are killed after ``seconds``."""
    try:
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Outcome(None, err=(getattr(error, "strerror", None) or type(error).__name__))
    with process:
        try:
            out, err = process.communicate(timeout=max(0.1, seconds))
        except subprocess.TimeoutExpired:
            return Outcome(None, err=f"it did not end within {seconds:.1f} s")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):  # it has just ended
                    os.killpg(process.pid, signal.SIGKILL)
    return Outcome(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


class Scene:
    """One person's machine. ``environment`` has a HOME; times are ``clock``'s."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        cwd: str = "/",
        clock: Clock | None = None,
        seconds: float = SECONDS,
        find_browser: Callable[[Mapping[str, str]], list[str] | None] = lambda _: None,
        headless_reason: Callable[[Mapping[str, str]], str | None] = lambda _: None,
    ) -> None:
        self.environment = environment
        self.home = Path(environment["HOME"])
        self.cwd = cwd
        self.clock = clock or SystemClock()
        self.uid = os.getuid()
        self.process_directory = Path("/proc")
        self.platform = sys.platform
        self.libraries = Libraries()
        self.find_browser = find_browser
        self.headless_reason = headless_reason
        self.run = run_command
        self.paths = ConfigPaths.of(environment, cwd)
        self.cache = TokenCache.of_home(self.home)
        self.daemon = Once(self._meet_daemon)
        self.configuration = Once(self._load_configuration)
        self.config_lines = Once(lambda: _lines_of(self.paths.config))
        self.credentials_lines = Once(lambda: _lines_of(self.paths.credentials))
        self.network = Once(self._ask_about_network)
        self.is_parsed = True
        """Whether ``configuration`` is what the files say; known once it was asked for."""
        self._end = time.monotonic() + seconds

    @property
    def env(self) -> dict[bytes, bytes]:
        """The environment as ``local.places`` takes it."""
        return {os.fsencode(name): os.fsencode(value) for name, value in self.environment.items()}

    @property
    def aws_directory(self) -> Path:
        """``~/.aws``."""
        return self.home / ".aws"

    def seconds_left(self) -> float:
        """Until nobody waits for a check any more."""
        return max(0.0, self._end - time.monotonic())

    def socket(self) -> Path:
        """Where the daemon should be. Raises CredhelperError."""
        return places.socket_path(self.env)

    def _meet_daemon(self) -> Daemon:
        try:
            return link.meet(self.socket(), self.env)
        except CredhelperError:  # no socket can be there; another check says so
            return Daemon(link.Presence.ABSENT)

    def _load_configuration(self) -> Configuration:
        """Empty where it cannot be parsed; another check says so."""
        try:
            return config_file.load(self.paths, self._login_tables)
        except ConfigError:
            self.is_parsed = False
            return Configuration(self.paths)

    def _login_tables(self) -> pool_profiles.LoginTables:
        """Those that profiles of identity pools may name. Raises ConfigError."""
        return pool_profiles.tables_in(places.settings_file(self.env))()

    def _ask_about_network(self) -> Json:
        """``reachability.report``'s document: the daemon's, or our own where there is none that would tell."""
        daemon = self.daemon()
        if daemon.is_running and not daemon.error:
            try:
                return link.ask(self.socket(), self.env, "check", link.ANSWER_SECONDS)
            except BlockingIOError:
                return _nothing_heard(f"the daemon did not say within {link.ANSWER_SECONDS} s")
            except (OSError, EOFError, ValueError, KeyError, link.Refused):
                pass  # it is an older one, or is ending just now
        return self._look_at_network()

    def _look_at_network(self) -> Json:
        import asyncio

        from credhelper.aws import reachability
        from credhelper.aws.identity_center import IdentityCenter

        seconds = min(reachability.SECONDS, self.seconds_left() - 0.2)
        if seconds < LEAST:
            return _nothing_heard("no time was left to try it")
        return asyncio.run(reachability.report(IdentityCenter(self.clock), self.configuration(), seconds))


def _lines_of(path: Path) -> ini.Text:
    """What a configuration file has, as far as it can be read at all."""
    try:
        return ini.read(config_file.read(path).decode("utf-8-sig", "replace"))
    except (OSError, ConfigError):
        return ini.Text()


def _nothing_heard(why: str) -> Json:
    silent = {"service": "", "region": "", "url": "", "kind": "late", "detail": why, "issuer": None}
    return {"endpoints": [silent], "clock_skew": None, "variables": {}, "ca_bundle": None}


def parsed(text: str) -> Json:
    """A JSON object, empty when it is none."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}
