"""Who asks over a socket: real processes, called as people call theirs."""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credhelper.local.peers import NOBODY, Caller, identify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

SECONDS = 60
CLIENT = "import _socket, sys; s = _socket.socket(_socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"

Ask = Callable[[list[str]], str | None]


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        yield Path(name)


@pytest.fixture
def ask(directory: Path) -> Iterator[Ask]:
    """What the process that a command starts, sooner or later, is called when it has connected as a client does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        listener.listen()
        listener.settimeout(SECONDS)

        def asking(command: list[str]) -> str | None:
            with subprocess.Popen(command) as process:
                connection, _ = listener.accept()
                with connection:
                    name = identify(connection).name
                assert process.wait(SECONDS) == 0
                return name

        yield asking


@pytest.fixture
def client(directory: Path) -> str:
    """A shell's words for the client, which stays a child of the shell."""
    return shlex.join([sys.executable, "-IS", "-c", CLIENT, str(directory / "socket")]) + "; true"


def script(directory: Path, name: str, content: str) -> str:
    """A program of that name."""
    program = directory / name
    program.write_text(f"#!/bin/sh\n{content}\n")
    program.chmod(0o755)
    return str(program)


def test_the_program_that_runs_the_client_is_who_asks(directory: Path, ask: Ask, client: str) -> None:
    assert ask([script(directory, "terraform", client)]) == "terraform"


def test_a_shell_in_between_is_passed_over(directory: Path, ask: Ask, client: str) -> None:
    inner = f"/bin/sh -c {shlex.quote(client)}; true"
    assert ask([script(directory, "node", inner)]) == "node"


def test_a_name_may_hold_anything_and_is_made_safe_and_short(directory: Path, ask: Ask, client: str) -> None:
    assert ask([script(directory, "a) R 1 (b\x1bé", client)]) == "a) R 1 (b é"
    assert ask([script(directory, "quite-a-long-name-for-a-program", client)]) == "quite-a-long-na"


def test_credhelper_itself_is_named_where_a_person_typed_it(directory: Path, ask: Ask, client: str) -> None:
    """The shell that a person types into leads a session."""
    typed = os.fspath(directory / "credhelper")
    os.symlink(sys.executable, typed)
    line = shlex.join([typed, "-IS", "-c", CLIENT, str(directory / "socket")]) + "; true"
    assert ask(["setsid", "--wait", "bash", "-c", line]) == "credhelper"
    assert ask([script(directory, "backup.sh", line)]) == "backup.sh"
    assert ask(["setsid", "--wait", "bash", "-c", client]) == "bash"


@pytest.mark.parametrize("pid", [0, 1, 2**22 + 1])
def test_what_cannot_be_told_is_not_told(pid: int) -> None:
    class Strange:
        def getsockopt(self, *_: int) -> bytes:
            return pid.to_bytes(4, sys.byteorder) + bytes(8)

    assert identify(Strange()) == Caller(uid=0, pid=pid)


def test_elsewhere_no_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert identify(ours) == NOBODY
