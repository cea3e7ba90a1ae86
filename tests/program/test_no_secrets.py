"""No secret in any log, message, argument, environment or file it does not belong in.

Everything that the sandbox hands out, and everything that proves who one is, is a canary: a whole life of the program,
failures included, is recorded and searched for all of them.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine, Run
from tests.program.support import refusal, running_daemon

SECRETS = ("accessToken", "refreshToken", "clientSecret", "code", "codeVerifier", "deviceCode")
CALLERS_KEYS = {"AWS_SECRET_ACCESS_KEY": "canary-callers-secret-key", "AWS_SESSION_TOKEN": "canary-callers-token"}

FAULTS = (
    *(Fault(status=status) for status in (400, 401, 403, 404, 429, 500)),
    *(Fault(body=body) for body in Body if body is not Body.HUGE),
    *(Fault(cut=cut) for cut in Cut),
)


class Recorder:
    """Runs commands, keeps all they said, and learns every secret as it comes into being."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.secrets: set[str] = set(CALLERS_KEYS.values())
        self.said: list[str] = []
        self.processes: list[str] = []

    def run(self, *arguments: str) -> Run:
        run = self.machine.run("--debug", *arguments, **CALLERS_KEYS)
        # The answer of get is for a secret's owner; so is its stdout alone.
        self.said += [run.err] if arguments[0] == "get" else [run.out, run.err]
        if arguments[0] == "get" and run.status == 0:
            credentials = run.json()
            self.secrets |= {credentials["SecretAccessKey"], credentials["SessionToken"]}
        self.learn()
        return run

    def log_in(self, *arguments: str, deny: bool = False) -> int:
        with self.machine.logging_in(*arguments, "--json", "--debug") as (login, event):
            self.processes += list(process_table())
            self.learn()
            if "url" in event or "user_code" in event:
                page = self.machine.approve(event, deny=deny)
                self.said.append(page)
            out, err = login.communicate(timeout=SECONDS)
        self.said += [out, err, json.dumps(event) if "url" not in event else without_state(event["url"])]
        self.learn()
        return login.returncode

    def learn(self) -> None:
        """Every secret in the cache, and every one that went over the wire to the sandbox."""
        for path in self.machine.cache.glob("*.json"):
            self.secrets |= strings_of(json.loads(path.read_bytes()))
        for call in list(self.machine.sandbox.recorded):
            if call.request.body[:1] == b"{":
                self.secrets |= strings_of(json.loads(call.request.body))
            for name, value in call.request.headers.items():
                if name.lower() in {"x-amz-sso_bearer_token", "x-amz-security-token"}:
                    self.secrets.add(value)

    def assert_silent(self, text: str, where: str) -> None:
        found = [secret[:6] + "…" for secret in self.secrets if secret in text]
        assert found == [], f"{len(found)} secrets in {where}"


def strings_of(document: object) -> set[str]:
    if not isinstance(document, dict):
        return set()
    return {value for key, value in document.items() if key in SECRETS and isinstance(value, str) and len(value) > 7}


def without_state(url: str) -> str:
    """An authorize URL as it may be shown; its state and challenge are meant for the browser."""
    asked = parse_qs(urlsplit(url).query)
    return repr({key: value for key, value in asked.items() if key not in {"state", "code_challenge"}})


def process_table() -> Iterator[str]:
    """What ``ps`` shows of our processes, environments included where the kernel lets us."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (process / name).read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if "credhelper" in text and process.name != str(os.getpid()):
                yield text


def files_under(*roots: Path) -> Iterator[tuple[Path, str]]:
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes().decode("utf-8", "replace")


@pytest.fixture
def life(machine: Machine, sandbox: Sandbox) -> Iterator[Recorder]:
    """A whole life of the program with a daemon that says all it can, up to the logout."""
    recorder = Recorder(machine)
    with running_daemon(machine, "--debug", **CALLERS_KEYS) as daemon:
        live(recorder, machine, sandbox)
        recorder.processes += list(process_table())
        yield recorder
        recorder.assert_silent(daemon.log(), "the daemon's log")
        assert "corp" in daemon.log()


def live(recorder: Recorder, machine: Machine, sandbox: Sandbox) -> None:
    assert recorder.log_in("--profile", "legacy") == 0
    assert recorder.log_in("--sso-session", "corp") == 0
    assert recorder.log_in("--sso-session", "corp", "--force", "--use-device-code") == 0
    assert recorder.log_in("--sso-session", "corp", "--force", deny=True) == 5
    for profile in ("dev", "native", "legacy"):
        assert recorder.run("get", "--profile", profile).status == 0
    assert recorder.run("whoami", "--profile", "dev").status == 0
    for operation in ("GetRoleCredentials", "CreateToken:refresh_token"):
        for number, fault in enumerate(FAULTS):
            age(machine, seconds=-60 - number if operation.startswith("Create") else 3000)
            sandbox.fail(operation, fault, times=None)
            recorder.run("get", "--sso-session", "corp", "--account-id", "222233334444", "--role-name", "Developer")
            sandbox.clear()
    for fault in FAULTS[3:]:
        sandbox.fail("CreateToken:authorization_code", fault, times=None)
        assert recorder.log_in("--sso-session", "corp", "--force") in {0, 3, 5, 6}
        sandbox.clear()
    assert recorder.log_in("--sso-session", "corp", "--force") == 0
    age(machine, seconds=-60)
    assert recorder.run("get", "--profile", "dev").status == 0
    assert sandbox.calls["CreateToken:refresh_token"] > len(FAULTS) // 2
    recorder.run("status")
    recorder.run("status", "--json")
    recorder.run("configure", "command", "--profile", "dev")


def age(machine: Machine, seconds: int) -> None:
    """Gives the token of session corp ``seconds`` to live, as another tool would write it."""
    token = json.loads(machine.token_file().read_bytes())
    token["expiresAt"] = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine.token_file().write_text(json.dumps(token), encoding="utf-8")


def test_a_whole_life_tells_no_secret_and_a_logout_leaves_none(life: Recorder, machine: Machine) -> None:
    assert len(life.secrets) > 20
    for path, text in files_under(machine.root):
        if path.parent != machine.cache:
            life.assert_silent(text, str(path))
    receipt = life.run("logout", "--json")
    assert receipt.status == 0
    life.run("get", "--profile", "dev")
    for text in life.said:
        life.assert_silent(text, "what the commands said")
    for text in life.processes:
        life.assert_silent(re.sub(r"canary-callers-[a-z-]+", "", text), "the process table")
    left = dict(files_under(machine.root))
    assert any(path.name == "daemon.log" for path in left)
    for path, text in left.items():
        life.assert_silent(text, f"{path} after the logout")


def test_a_login_puts_no_secret_into_the_browsers_arguments(machine: Machine) -> None:
    told, script = machine.root / "told", machine.root / "browser"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\nenv >> {told}\n', encoding="utf-8")
    script.chmod(0o755)
    machine.environment["BROWSER"] = str(script)
    machine.log_in()
    recorder = Recorder(machine)
    recorder.learn()
    assert len(recorder.secrets) > 4
    recorder.assert_silent(told.read_text(encoding="utf-8"), "the browser's arguments and environment")


def test_a_fault_of_our_own_is_told_without_what_it_was_about(machine: Machine) -> None:
    """Faults show the kind of the exception, and with --debug where; never its text."""
    crash = (
        "import sys; from credhelper.cli import main, status;\n"
        "def crash(args): raise RuntimeError('canary-in-an-exception')\n"
        "status.run = crash\n"
        "sys.exit(main.main(['status']))"
    )
    run = machine.run_program([sys.executable, "-Ic", crash])
    refusal(run, 1, "RuntimeError")
    assert "canary" not in run.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_the_log_of_a_daemon_that_a_client_started_is_the_users_alone_and_tells_no_secret(machine: Machine) -> None:
    machine.log_in()
    recorder = Recorder(machine)
    assert recorder.run("get", "--profile", "dev").status == 0
    [log] = machine.home.rglob("*.log")
    assert log.stat().st_mode & 0o777 == 0o600
    recorder.assert_silent(log.read_text(encoding="utf-8"), "the log file")
