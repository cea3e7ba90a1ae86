"""Who asks over a socket: real processes, called as people call theirs."""

import contextlib
import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credhelper.local import peers
from credhelper.local.peers import NOBODY, Caller, identify, look
from tests.program.support import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

SECONDS = 60
CLIENT = "import _socket, sys; s = _socket.socket(_socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"

Ask = Callable[[list[str]], str | None]
Meet = Callable[[list[str]], tuple["subprocess.Popen[bytes]", socket.socket]]


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
        def getsockopt(self, _: int, option: int, __: int) -> bytes:
            if option != socket.SO_PEERCRED:
                raise OSError(errno.ENOPROTOOPT, "an older kernel")
            return pid.to_bytes(4, sys.byteorder) + bytes(8)

    assert identify(Strange()) == Caller(uid=0, pid=pid)


# -- for certain ------------------------------------------------------------------------------------------------------

CONNECT = (
    "import _socket, os, sys; s = _socket.socket(_socket.AF_UNIX); s.connect(sys.argv[1]);"
    " os.set_inheritable(s.fileno(), True)"
)
"""A program that connects by itself; what it does then is up to the test."""
TYPED = "credhelper"
"""A client of this name, typed into a shell, asks for itself."""


@pytest.fixture
def meet(directory: Path) -> Iterator[Meet]:
    """Starts a program and takes its connection; both are ended afterwards."""
    with contextlib.ExitStack() as stack, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        listener.listen()
        listener.settimeout(SECONDS)

        def meeting(command: list[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            stack.callback(_end, process)
            connection = stack.enter_context(listener.accept()[0])
            return process, connection

        yield meeting


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started, which are in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def typed(directory: Path, then: str) -> list[str]:
    """A shell that leads a session, in which a client is run that connects and does something ``then``."""
    program = directory / TYPED
    program.symlink_to(sys.executable)
    line = shlex.join([str(program), "-IS", "-c", f"{CONNECT}\n{then}", str(directory / "socket")])
    return ["/bin/bash", "-c", f"{line}; true"]


def go_on(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_the_file_that_a_program_runs_and_where_it_is_are_seen(directory: Path, meet: Meet, client: str) -> None:
    line = f"cd {shlex.quote(str(directory))}; {client}"
    _, connection = meet(["bash", "-c", line])
    caller = identify(connection)
    assert caller.program == caller.exe == os.path.realpath("/bin/bash")
    assert (caller.uid, caller.cwd, caller.has_changed) == (os.getuid(), os.path.realpath(directory), False)


def test_a_script_is_its_interpreter(directory: Path, meet: Meet, client: str) -> None:
    _, connection = meet([script(directory, "deploy", client)])
    caller = identify(connection)
    assert (caller.name, caller.exe) == ("deploy", os.path.realpath("/bin/sh"))


def test_two_looks_at_the_same_programs_see_the_same(directory: Path, meet: Meet, client: str) -> None:
    _, connection = meet([script(directory, "terraform", client)])
    assert look(connection) == look(connection)


def test_a_client_that_becomes_another_program_after_it_has_connected_is_seen(directory: Path, meet: Meet) -> None:
    process, connection = meet(
        typed(directory, "input(); os.execv('/bin/sleep', ['credhelper', '60'])")  # with our connection, and its pid
    )
    before = look(connection)
    assert before.caller.exe == os.path.realpath(sys.executable)
    go_on(process)
    until(lambda: look(connection).caller.exe != before.caller.exe, "it became another program")
    after = look(connection)
    assert after.process != before.process


def test_a_tool_that_becomes_another_program_while_its_client_asks_is_seen(directory: Path, meet: Meet) -> None:
    connecting = f"{CONNECT}; s.recv(1)"
    parent = (
        f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-IS', '-c', {connecting!r}, sys.argv[1]]);"
        " input(); os.execv('/bin/sleep', ['aws', '60'])"
    )
    process, connection = meet([sys.executable, "-IS", "-c", parent, str(directory / "socket")])
    before = look(connection)
    assert before.caller.pid == process.pid
    go_on(process)
    until(lambda: look(connection).caller.exe == os.path.realpath("/bin/sleep"), "it became another program")
    assert look(connection).caller.pid == process.pid
    assert look(connection).process != before.process


def test_a_client_whose_parent_ends_is_another_ones_child_by_then(directory: Path, meet: Meet) -> None:
    parent = f"{sys.executable} -IS -c {shlex.quote(f'{CONNECT}; s.recv(1)')} {directory / 'socket'} & read _; exit 0"
    process, connection = meet(["/bin/bash", "-c", parent])
    before = look(connection)
    go_on(process)
    process.wait(SECONDS)
    until(lambda: look(connection).caller.pid != process.pid, "its parent has gone")
    assert look(connection).process != before.process


def test_a_client_that_has_gone_is_nobody_for_certain(directory: Path, meet: Meet) -> None:
    """Its number may be another's by now."""
    process, connection = meet([sys.executable, "-IS", "-c", f"{CONNECT}; os._exit(0)", str(directory / "socket")])
    process.wait(SECONDS)
    assert identify(connection).program is None


def test_a_connection_that_outlives_its_maker_is_not_the_heirs(directory: Path, meet: Meet) -> None:
    then = "os.fork() or (s.recv(1), os._exit(0)); os._exit(0)"
    process, connection = meet([sys.executable, "-IS", "-c", f"{CONNECT}\n{then}", str(directory / "socket")])
    process.wait(SECONDS)
    assert identify(connection).program is None


def test_a_program_that_was_upgraded_under_its_process_keeps_its_name(directory: Path, meet: Meet, client: str) -> None:
    program = directory / "tool"
    shutil.copy("/bin/bash", program)
    _, connection = meet([str(program), "-c", client])
    assert identify(connection).program == os.path.realpath(program)
    program.unlink()
    assert identify(connection).program == os.path.realpath(directory) + "/tool"


def test_a_program_that_hides_is_called_by_its_name_which_is_no_path(
    directory: Path, meet: Meet, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not be looked at calls itself what it likes."""
    _, connection = meet([script(directory, "evil", f"echo /usr/bin/aws > /proc/$$/comm; {client}")])
    assert identify(connection).name == "/usr/bin/aws"

    def refuse(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(os, "readlink", refuse)
    caller = identify(connection)
    assert (caller.exe, caller.program) == ("_usr_bin_aws", None)


def test_older_kernels_are_asked_for_the_number_instead(directory: Path, meet: Meet, client: str) -> None:
    _, connection = meet([script(directory, "terraform", client)])

    class Older:
        def getsockopt(self, level: int, option: int, length: int) -> bytes:
            if option != socket.SO_PEERCRED:
                raise OSError(errno.ENOPROTOOPT, "no such option")
            return connection.getsockopt(level, option, length)

    assert look(Older()) == look(connection)


def test_a_kernel_without_pidfds_at_all_leaves_the_start_time(
    directory: Path, meet: Meet, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connection = meet([script(directory, "terraform", client)])
    expected = look(connection)
    monkeypatch.setattr(peers, "_SO_PEERPIDFD", 9999)
    monkeypatch.delattr(os, "pidfd_open")
    assert look(connection) == expected


def test_looking_leaves_no_descriptor_behind(directory: Path, meet: Meet, client: str) -> None:
    _, connection = meet([script(directory, "terraform", client)])
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        identify(connection)
    assert os.listdir("/proc/self/fd") == before


def test_elsewhere_no_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert identify(ours) == NOBODY
