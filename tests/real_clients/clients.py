"""Where the real clients are, and the isolated home in which each test runs them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import pytest

from . import fetch_clients, person

Value = TypeVar("Value")

REQUIRED = "CREDHELPER_REQUIRE_REAL_CLIENTS"
PROGRAM_SECONDS = 60
NOT_INHERITED = ("AWS_", "XDG_", "CREDHELPER_", "PYTHON", "SSH_", "LD_")
NOT_INHERITED_NAMES = {
    "BROWSER",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "NODE_OPTIONS",
    "NO_COLOR",
    "WAYLAND_DISPLAY",
    *(name for word in ("http", "https", "all", "no") for name in (f"{word}_proxy", f"{word.upper()}_PROXY")),
}


def find_aws_cli() -> Path:
    """The `aws` program. Not fetched, it skips the test, or fails it where clients are required."""
    return _fetched(fetch_clients.aws_cli_program(), "the AWS CLI")


def find_js_sdk() -> Path:
    """The directory whose `node_modules` holds the JavaScript SDK."""
    _installed("node")
    directory = fetch_clients.js_sdk_directory()
    _fetched(directory / "VERSION", "the JavaScript SDK")
    return directory


def find_go_sdk() -> Path:
    """The program that uses Go's SDK."""
    return _fetched(fetch_clients.go_sdk_directory() / "whoami", "the program with the Go SDK")


def find_java_sdk() -> list[str]:
    """The command that runs the program that uses Java's SDK."""
    java = _installed("java")
    directory = fetch_clients.java_sdk_directory()
    _fetched(directory / "WhoAmI.class", "the program with the Java SDK")
    return [str(java), "-XX:TieredStopAtLevel=1", "-cp", f"{directory}:{directory}/lib/*", "WhoAmI"]


def find_ministack() -> list[str]:
    """The command that runs ministack."""
    directory = fetch_clients.ministack_directory()
    _fetched(directory / "VERSION", "ministack")
    return [str(directory / "bin" / "python"), "-I", "-m", "ministack"]


def find_moto() -> str:
    """The interpreter that has moto."""
    directory = fetch_clients.moto_directory()
    _fetched(directory / "VERSION", "moto")
    return str(directory / "bin" / "python")


def find_chromium() -> tuple[Path, Path]:
    """The programs chromium and chromedriver."""
    return _installed("chromium"), _installed("chromedriver")


def find_program(name: str) -> Path:
    """A program of the system, such as a shell."""
    return _installed(name)


def find_file(path: str) -> Path:
    """A file of the system that belongs to a program."""
    found = Path(path)
    if not found.is_file():
        _absent(f"{found} is not installed")
    return found


def _fetched(path: Path, name: str) -> Path:
    if not path.is_file():
        _absent(f"{name} is not in the cache: run tests/real_clients/fetch")
    return path


def _installed(program: str) -> Path:
    found = shutil.which(program)
    if found is None:
        _absent(f"{program} is not installed")
    return Path(found)


def _absent(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


def until(condition: Callable[[], Value | None], *, seconds: float = 20, what: str = "the condition") -> Value:
    """The first value of `condition` that counts as true; for what another process does."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Finished:
    """What a program that ended left."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Standard output, once it is clear that the program is content."""
        assert self.status == 0, f"status {self.status}\n{self.stdout}\n{self.stderr}"
        return json.loads(self.stdout)


class Running:
    """A program that goes on. Leaving the `with` block ends it, if it has not ended by itself."""

    def __init__(self, command: list[str], environ: Mapping[str, str], cwd: Path, scratch: Path) -> None:
        self._command = command
        self._stdout = scratch / "stdout"
        self._stderr = scratch / "stderr"
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._process = subprocess.Popen(
                command, env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def said(self, pattern: str, *, seconds: float = 20) -> re.Match[str]:
        """Waits until standard output holds a match of `pattern`."""
        return until(lambda: self._search(pattern), seconds=seconds, what=f"{pattern!r} on standard output")

    def finish(self, *, seconds: float = PROGRAM_SECONDS) -> Finished:
        """Waits until the program has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        return Finished(self._process.returncode, self._stdout.read_text(), self._stderr.read_text())

    def _search(self, pattern: str) -> re.Match[str] | None:
        found = re.search(pattern, self._stdout.read_text(), re.MULTILINE)
        if found is None and self._process.poll() is not None:
            found = re.search(pattern, self._stdout.read_text(), re.MULTILINE)
            if found is None:
                raise AssertionError(f"{self._command} ended without {pattern!r}: {self.finish()}")
        return found


class Home:
    """A home directory of its own and an environment that knows nothing of the tester's."""

    def __init__(self, path: Path, variables: Mapping[str, str] | None = None) -> None:
        path.mkdir(parents=True, mode=0o700)
        self.path = path
        self._scratch = path.parent / f"{path.name}-scratch"
        self._scratch.mkdir()
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(NOT_INHERITED) and name not in NOT_INHERITED_NAMES
        }
        quiet = {
            "HOME": str(path),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        self.environ: dict[str, str] = inherited | quiet | dict(variables or {})

    @property
    def sso_cache(self) -> Path:
        return self.path / ".aws" / "sso" / "cache"

    def write_config(self, text: str) -> Path:
        """Writes `~/.aws/config`."""
        config = self.path / ".aws" / "config"
        config.parent.mkdir(exist_ok=True)
        config.write_text(text)
        return config

    def cached(self, key: str) -> Path:
        """The file in which the token of an sso-session, or of a legacy start URL, is kept."""
        return self.sso_cache / f"{hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()}.json"

    def run(self, *command: str | Path, seconds: float = PROGRAM_SECONDS, **variables: str) -> Finished:
        """Runs a program to its end, with no terminal and nothing on its standard input."""
        with self.start(*command, **variables) as program:
            return program.finish(seconds=seconds)

    def start(self, *command: str | Path, **variables: str) -> Running:
        """Starts a program; use it as a context manager."""
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        return Running([str(word) for word in command], self.environ | variables, self.path, scratch)

    def browser(self, username: str, password: str, decision: str = "allow") -> BrowserStub:
        """A person behind `BROWSER`, for the programs that open a browser from this home."""
        return BrowserStub(Path(tempfile.mkdtemp(dir=self._scratch)), username, password, decision)


class BrowserStub:
    """An executable that visits the URL it is given as a person would; `program` goes into `BROWSER`.

    The visit goes on in the background, as in a browser. `seen` is what came of it.
    """

    def __init__(self, scratch: Path, username: str, password: str, decision: str) -> None:
        self.program = scratch / "browser"
        self._seen = scratch / "seen"
        visit = [sys.executable, "-I", person.__file__, "--username", username, "--password", password]
        visit += ["--decision", decision, "--seen", str(self._seen)]
        self.program.write_text(f'#!/bin/sh\nunset LD_LIBRARY_PATH\nexec {shlex.join(visit)} "$1"\n')
        self.program.chmod(0o755)

    def seen(self, *, seconds: float = 20) -> list[person.Seen]:
        """Waits until the visit is over: every page of it, in order."""
        until(self._seen.exists, seconds=seconds, what="the browser's visit")
        return [person.Seen(**json.loads(line)) for line in self._seen.read_text().splitlines()]

    def was_opened(self) -> bool:
        """Whether a visit has come to its end."""
        return self._seen.exists()
