"""What the tests of the whole program share: waiting, the wire, a daemon whose log can be read, other users."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from credhelper import client
from tests.machine import SECONDS, Machine, Run

NOBODY = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root and setpriv: it acts as another user"
)


def until(condition: Callable[[], object], what: str) -> None:
    """Returns once ``condition`` holds; fails the test when it does not within a minute."""
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < give_up, f"waited in vain until {what}"
        select.select([], [], [], 0.02)


@dataclass(frozen=True)
class Daemon:
    """A ``credhelper daemon run`` of this test, and what it has logged."""

    process: "subprocess.Popen[bytes]"
    log_file: Path

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def log(self) -> str:
        """Everything it has said so far."""
        return self.log_file.read_text(encoding="utf-8")

    def descriptors(self) -> int:
        """How many it has open. Takes root, for it is undumpable."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@contextlib.contextmanager
def running_daemon(machine: Machine, *options: str, **environment: str) -> Iterator[Daemon]:
    """A daemon in the foreground, ready; at the end it is told to stop and must do so with status 0."""
    log_file = machine.root / "daemon.log"
    with open(log_file, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-Im", "credhelper", *options, "daemon", "run"],
            env=machine.environment | environment,
            cwd=machine.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    daemon = Daemon(process, log_file)
    try:
        path = Path(environment.get("CREDHELPER_SOCKET", machine.socket))
        until(lambda: process.poll() is not None or answers(path), "the daemon serves")
        assert process.poll() is None, daemon.log()
        yield daemon
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, daemon.log()


def answers(path: Path) -> bool:
    """Whether a daemon serves at ``path``."""
    try:
        hello(path)
    except (OSError, EOFError):
        return False
    return True


def hello(path: Path) -> int:
    """The pid of the daemon at ``path``."""
    answer = ask_at(path, {"v": client.PROTOCOL.decode(), "op": "hello"})
    return int(json.loads(answer["out"])["pid"])


def connect(path: Path) -> socket.socket:
    """A connection to ``path`` with a generous time-out."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(SECONDS)
    try:
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        raise
    return connection


def frame(fields: dict[str, str]) -> bytes:
    """A frame as the daemon wants it."""
    return client.frame({key.encode(): value.encode() for key, value in fields.items()})


def request(machine: Machine, op: str, **fields: str) -> bytes:
    """A good request of a caller on ``machine``."""
    return frame({"v": client.PROTOCOL.decode(), "op": op, "HOME": str(machine.home), "cwd": "/", **fields})


def read_frame(connection: socket.socket) -> dict[str, str]:
    """The next frame. Raises EOFError."""
    size = int.from_bytes(_exactly(connection, 4), "big")
    return {key.decode(): value.decode() for key, value in client.parse(_exactly(connection, size)).items()}


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return received


def ask_at(path: Path, fields: dict[str, str]) -> dict[str, str]:
    """The answer to one request."""
    with connect(path) as connection:
        connection.sendall(frame(fields))
        return read_frame(connection)


def ask(machine: Machine, op: str, **fields: str) -> dict[str, str]:
    """The daemon's answer to a good request."""
    with connect(machine.socket) as connection:
        connection.sendall(request(machine, op, **fields))
        return read_frame(connection)


def what_comes_back(path: Path, sent: bytes) -> bytes:
    """Everything the daemon says to ``sent`` until it ends the connection; a reset counts as an end."""
    received = b""
    with connect(path) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sent)
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def as_user(uid: int, argv: list[str]) -> list[str]:
    """``argv`` run as another user; takes root."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv]


def give_away(root: Path, uid: int) -> None:
    """Makes everything under ``root`` belong to another user."""
    for path in (root, *root.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def refusal(run: Run, status: int, *words: str) -> None:
    """Asserts that ``run`` failed by the contract: its status, an empty stdout, ``words`` on stderr."""
    assert run.status == status, run
    assert run.out == ""
    complaint(run.err, *words)


def complaint(err: str, *words: str) -> None:
    """Asserts that ``err`` is one line of error and perhaps one of hint, and holds ``words``."""
    lines = err.splitlines()
    assert 1 <= len(lines) <= 2, err
    assert lines[0].startswith("credhelper: error: "), err
    assert all(line.startswith("credhelper: hint: ") for line in lines[1:]), err
    for word in words:
        assert word in err


def hint(err: str) -> list[str]:
    """The words of the command that a hint names, without ``credhelper``."""
    line = next(line for line in err.splitlines() if line.startswith("credhelper: hint: "))
    words = line.removeprefix("credhelper: hint: ").split()
    assert words[0] == "credhelper"
    return words[1:]
