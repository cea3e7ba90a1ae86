"""``credhelper demo``: the whole story in a temporary home, against the embedded Identity Center.

Everything it needs is its own: home, runtime directory, socket, daemon, sandbox. Nothing of the user's is read or
touched, and everything is gone at the end, also when it is interrupted.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from credhelper.cli import browser, speech
from credhelper.domain.errors import CredhelperError
from credhelper.domain.text import safe
from credhelper.sandbox.directory import Person
from credhelper.sandbox.server import Sandbox

SECONDS = 30  # for each step that takes no person
PERSON_SECONDS = 600
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_CONFIG = """\
[sso-session demo]
sso_start_url = {start_url}
sso_region = {region}
sso_registration_scopes = sso:account:access

[profile demo]
region = {region}
credential_process = {process}
credhelper_sso_session = demo
credhelper_sso_account_id = 111122223333
credhelper_sso_role_name = Developer
"""

# What any program that uses an AWS SDK does; it knows nothing of credhelper.
_SDK_PROGRAM = """\
import botocore.session
print(botocore.session.Session(profile="demo").create_client("sts").get_caller_identity()["Arn"])
"""

_PROGRAM_WITHOUT_PROFILE = """\
import botocore.session
print(botocore.session.Session().create_client("sts").get_caller_identity()["Arn"])
"""


def run(*, yes: bool) -> int:
    """Runs the tour; with ``yes`` it approves the login by itself. The exit status."""
    with _Undoing() as undoing:
        _Demo(undoing, approve_by_itself=yes).run()
    return 0


class _Demo:
    def __init__(self, undoing: "_Undoing", *, approve_by_itself: bool) -> None:
        self._undoing = undoing
        self._approve_by_itself = approve_by_itself
        self._number = 0
        self._root = Path()
        self._environment: dict[str, str] = {}

    def run(self) -> None:
        """Every step, in order."""
        sandbox = self._start_sandbox()
        self._start_daemon()
        self._log_in(sandbox)
        self._use_with_an_sdk()
        self._use_again(sandbox)
        self._use_with_exec()
        self._show_the_audit()
        self._log_out()
        self._step("That was all. The sandbox, the daemon and this demo's home are gone now.")

    def _start_sandbox(self) -> Sandbox:
        with self._undoing.noting() as later:
            self._root = Path(tempfile.mkdtemp(prefix="credhelper-demo-"))
            later(lambda: shutil.rmtree(self._root, ignore_errors=True))
        sandbox = Sandbox()
        with self._undoing.noting() as later:
            sandbox.start()
            later(sandbox.stop)
        home, runtime = self._root / "home", self._root / "run"
        for directory in (home / ".aws", runtime):
            directory.mkdir(mode=0o700, parents=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TERM", "TZ", "NO_COLOR") if name in os.environ}
        self._environment = kept | {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)} | sandbox.environment()
        process = self._credhelper("configure", "command", "--profile", "demo").strip()
        config = _CONFIG.format(start_url=sandbox.start_url, region=sandbox.region, process=process)
        (home / ".aws" / "config").write_text(config, encoding="utf-8")
        self._step(f"A pretend IAM Identity Center runs at {sandbox.url}; the home of this demo is {home}.")
        return sandbox

    def _start_daemon(self) -> None:
        ready, tell = os.pipe()
        with self._undoing.noting() as later:
            daemon = subprocess.Popen(
                [*_PROGRAM, "daemon", "run", "--ready-fd", str(tell)],
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[tell],
            )
            later(lambda: _end(daemon))
        os.close(tell)
        with os.fdopen(ready, encoding="utf-8", errors="replace") as told:
            said = told.readline().strip()
        if said != "ready":
            raise CredhelperError(f"the demo's daemon did not start: {safe(said)}")
        self._step(f"The daemon runs (pid {daemon.pid}). It holds nothing yet.")

    def _log_in(self, sandbox: Sandbox) -> None:
        person = sandbox.directory.people[0]
        login = subprocess.Popen(
            [*_PROGRAM, "login", "--sso-session", "demo", "--no-browser", "--json"],
            env=self._environment
            | {"BROWSER": sys.executable},  # the browser is ours to open, with the user's own environment
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        with login:
            try:
                self._approve(sandbox, person, _authorize_url(login))
                login.communicate(timeout=SECONDS if self._approve_by_itself else PERSON_SECONDS)
            except BaseException:
                login.kill()
                raise
        if login.returncode != 0:
            raise CredhelperError("the login was not approved")
        self._step("Logged in. The token lies where the AWS CLI keeps its own: ~/.aws/sso/cache.")

    def _approve(self, sandbox: Sandbox, person: Person, url: str) -> None:
        if self._approve_by_itself:
            self._step(f"`credhelper login` would open a browser; because of --yes, {person.name} approves at once.")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(sandbox.authorize(url, person.name), timeout=SECONDS):
                return
        self._step(f"Sign in as {person.name}, password {person.password}, and approve:")
        speech.result(f"   {url}")
        command = browser.command(os.environ)
        if command is None or browser.open_url(command, url) is None:
            speech.result("   (No browser could be started: please open the address by hand.)")

    def _use_with_an_sdk(self) -> None:
        arn = self._output([sys.executable, "-c", _SDK_PROGRAM]).strip()
        self._step(
            f"An SDK read the profile “demo”, ran its credential_process, and the pretend AWS says: {safe(arn)}."
        )

    def _use_again(self, sandbox: Sandbox) -> None:
        line = self._credhelper("configure", "command", "--profile", "demo").split()
        started = time.perf_counter()
        self._output(line)
        took = (time.perf_counter() - started) * 1000
        fetched = sandbox.calls["GetRoleCredentials"]
        self._step(
            f"A second process got the same credentials from the daemon's memory in {took:.0f} ms,"
            f" start of the process included; it was fetched {'once' if fetched == 1 else f'{fetched} times'}."
        )

    def _use_with_exec(self) -> None:
        arn = self._credhelper("exec", "--profile", "demo", "--", sys.executable, "-c", _PROGRAM_WITHOUT_PROFILE)
        self._step(
            "`credhelper exec --profile demo -- …` ran a program that names no profile; it got the role from an"
            f" endpoint on loopback, where credentials renew themselves for as long as it runs: {safe(arn.strip())}."
        )

    def _show_the_audit(self) -> None:
        records = [json.loads(line) for line in self._credhelper("audit", "--json").splitlines()]
        times = Counter(record["door"] for record in records)
        told = ", ".join(f"{door} {count} times" if count > 1 else f"{door} once" for door, count in times.items())
        self._step(f"`credhelper audit` knows every request, with its time, program and outcome: {told}.")

    def _log_out(self) -> None:
        receipt = json.loads(self._credhelper("logout", "--json"))
        ended = all(session["revoked"] for session in receipt["sessions"])
        self._step(
            f"Logged out: {len(receipt['removed'])} files removed,"
            f" sign-in {'ended' if ended else 'NOT ended'} at the portal."
        )
        cache = self._root / "home" / ".aws" / "sso" / "cache"
        left = sorted(path.name for path in cache.iterdir()) if cache.exists() else []
        asked = subprocess.run(
            [*_PROGRAM, "get", "--profile", "demo"], env=self._environment, capture_output=True, text=True, check=False
        )
        if left or receipt["left"] or asked.returncode != 3 or asked.stdout:
            raise CredhelperError(f"something is left after the logout: {', '.join(left) or 'credentials'}")
        self._step(
            f"Nothing is left: the cache is empty, and a program that asks now is told: {_first_line(asked.stderr)}"
        )

    def _step(self, text: str) -> None:
        self._number += 1
        speech.result(f"{self._number}. {text}")

    def _credhelper(self, *arguments: str) -> str:
        return self._output([*_PROGRAM, *arguments])

    def _output(self, argv: list[str]) -> str:
        done = subprocess.run(
            argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise CredhelperError(f"a step of the demo failed: {_first_line(done.stderr)}")
        return done.stdout


_PROGRAM = [sys.executable, "-Im", "credhelper"]


def _authorize_url(login: "subprocess.Popen[str]") -> str:
    event = json.loads((login.stdout.readline() if login.stdout else "") or "{}")
    if event.get("event") != "authorize":
        raise CredhelperError("the demo's login did not begin")
    return str(event["url"])


def _first_line(text: str) -> str:
    return safe(next(iter(text.splitlines()), "it said nothing"))


def _end(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


class _Undoing:
    """Notes what to undo and undoes it all at the end, last things first, also when a signal ends the tour."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._before: dict[signal.Signals, Any] = {}
        self._is_held = False
        self._is_pending = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:  # a second Ctrl-C must not interrupt the cleaning up
            signal.signal(number, signal.SIG_IGN)
        self._stack.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def noting(self) -> Iterator[Callable[[Callable[[], object]], object]]:
        """Gives the function that notes an undoing; no signal comes between making a thing and noting it."""
        self._is_held = True
        try:
            yield self._stack.callback
        finally:
            self._is_held = False
        if self._is_pending:
            raise KeyboardInterrupt

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_held:
            raise KeyboardInterrupt
        self._is_pending = True
