"""A person's machine for one test: a home, a runtime directory, an environment, and credhelper as real processes."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from credhelper.sandbox.server import Sandbox

SECONDS = 60
SECRETS = {"clientSecret", "code", "codeVerifier", "deviceCode", "refreshToken"}
COGNITO_SECRETS = {"AccessToken", "ClientSecret", "RefreshToken", "Session", "Token"}
COGNITO_MAPS = {"AuthParameters", "ChallengeResponses", "Logins"}
NO_SECRETS = {"USERNAME", "USER_ID_FOR_SRP", "TIMESTAMP"}
SECRET_PARAMETERS = {"SigninToken", "WebIdentityToken", "client_secret", "code", "code_verifier"}
SECRET_HEADERS = {"x-amz-sso_bearer_token", "x-amz-security-token"}

CONFIG = """\
[sso-session corp]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access

[profile dev]
region = eu-west-1
credhelper_sso_session = corp
credhelper_sso_account_id = 111122223333
credhelper_sso_role_name = Developer

[profile native]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Administrator

[profile legacy]
region = eu-west-1
sso_start_url = {start_url}
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = ReadOnly
"""


@dataclass(frozen=True)
class Run:
    """A program that has ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.out)


class Machine:
    """Use as a context manager: at the end its daemon is stopped, and must stop."""

    def __init__(self, sandbox: Sandbox, config: str | None = None) -> None:
        self.sandbox = sandbox
        # Short: a socket's path holds 107 bytes, and pytest's own directories are long.
        self._said: list[str] = []
        self.root = Path(tempfile.mkdtemp(prefix="ch-"))
        self.home = self.root / "home"
        self.runtime = self.root / "run"
        for directory in (self.home / ".aws", self.runtime, self.root / "bin"):
            directory.mkdir(mode=0o700, parents=True)
        self.put_command("xdg-open", "exit 0")  # a real browser would still write to this home when we leave
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "BROWSER": "true",
            **sandbox.environment(),
        }
        self.write_config(CONFIG.format(start_url=sandbox.start_url) if config is None else config)

    def put_command(self, name: str, script: str) -> Path:
        """Puts a shell script in front of whatever the real machine calls ``name``."""
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stopped = self.run("daemon", "stop")
        self._said += [path.read_text("utf-8", "replace") for path in self.home.glob(".local/state/credhelper/*.log*")]
        shutil.rmtree(self.root)
        assert stopped.status == 0, stopped.err
        self._assert_that_no_secret_was_said()

    def _assert_that_no_secret_was_said(self) -> None:
        """The canary of every test: what went to the sandbox as a secret stands in no log and no message."""
        secrets = secrets_sent_to(self.sandbox)
        told = [secret[:6] + "…" for secret in secrets if any(secret in text for text in self._said)]
        assert told == [], f"{len(told)} of {len(secrets)} secrets were said"

    @property
    def config(self) -> Path:
        """``~/.aws/config``."""
        return self.home / ".aws" / "config"

    @property
    def cache(self) -> Path:
        """``~/.aws/sso/cache``."""
        return self.home / ".aws" / "sso" / "cache"

    @property
    def socket(self) -> Path:
        """Where the daemon serves."""
        return self.runtime / "credhelper" / "credhelper.sock"

    def write_config(self, text: str) -> None:
        """Replaces ``~/.aws/config``."""
        self.config.write_text(text, encoding="utf-8")

    def run(self, *arguments: str, **environment: str) -> Run:
        """Runs ``credhelper ARGUMENTS`` to its end, with ``environment`` on top of the machine's."""
        run = self.run_program([sys.executable, "-Im", "credhelper", *arguments], **environment)
        if not {"get", "export", "exec", "console"} & {*arguments}:  # whose stdout is for a secret's owner
            self._said.append(run.out)
        return run

    def imports_of(self, *arguments: str) -> set[str]:
        """The modules that ``credhelper ARGUMENTS`` loads, standard library included."""
        run = self.run_program([sys.executable, "-X", "importtime", "-Im", "credhelper", *arguments])
        lines = [line for line in run.err.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines}

    def run_program(self, argv: list[str], **environment: str) -> Run:
        """Runs any program to its end as this machine's user would."""
        done = subprocess.run(
            argv,
            env=self.environment | environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self._said.append(done.stderr)
        return Run(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Starts ``credhelper ARGUMENTS`` and leaves it running; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-Im", "credhelper", *arguments],
            env=self.environment | environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def log_in(self, *arguments: str, person: str = "alice") -> None:
        """Logs in to session corp (or as ``arguments`` say), the person approving at once."""
        chosen = arguments or ("--sso-session", "corp")
        with self.logging_in(*chosen, "--force", "--json") as (login, event):
            self.approve(event, person)
            out, err = login.communicate(timeout=SECONDS)
        assert login.returncode == 0, err
        assert '"logged_in"' in out

    @contextlib.contextmanager
    def logging_in(self, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
        """A ``credhelper login … `` under way, with its first event; ``--json`` must be among the arguments."""
        login = self.start("login", *arguments)
        assert login.stdout is not None
        try:
            line = login.stdout.readline()
            yield login, json.loads(line) if line else {}
        finally:
            if login.poll() is None:
                login.kill()
            login.communicate()

    def approve(self, event: dict[str, Any], person: str = "alice", *, deny: bool = False) -> str:
        """Decides as ``person`` would in the browser; for a redirect, the text of the page it ends on."""
        if event["event"] == "device_authorization":
            if deny:
                self.sandbox.deny(event["user_code"])
            else:
                self.sandbox.approve(event["user_code"], person)
            return ""
        return visit(self.sandbox.authorize(event["url"], person, deny))

    def process_line(self, profile: str) -> list[str]:
        """The fast client's command line for a profile."""
        return self.run("configure", "command", "--profile", profile).out.split()

    def token_file(self) -> Path:
        """The token file of session corp."""
        return self.cache / (hashlib.sha1(b"corp", usedforsecurity=False).hexdigest() + ".json")

    def daemon_pid(self) -> int:
        """The pid of the daemon that runs. Raises when none does."""
        return int(self.run("status", "--json").json()["daemon"]["pid"])


def secrets_sent_to(sandbox: Sandbox) -> set[str]:
    """Every token, client secret, code and verifier that a client has proved itself with."""
    found = set()
    for call in list(sandbox.recorded):
        body = json.loads(call.request.body) if call.request.body[:1] == b"{" else {}
        found |= {value for key, value in body.items() if key in SECRETS | COGNITO_SECRETS and isinstance(value, str)}
        for name in COGNITO_MAPS & {*body}:
            found |= {value for key, value in body[name].items() if key not in NO_SECRETS}
        found |= {value for name, value in call.request.headers.items() if name.lower() in SECRET_HEADERS}
        parameters = dict(call.request.query + call.request.form())
        found |= {value for name, value in parameters.items() if name in SECRET_PARAMETERS}
        if "Session" in parameters:
            found |= {*json.loads(parameters["Session"]).values()}
    return {secret for secret in found if len(secret) > 7}


def visit(url: str) -> str:
    """The text of a page, whatever its HTTP status."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            page = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            page = error.read().decode()
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
