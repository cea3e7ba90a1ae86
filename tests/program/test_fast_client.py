"""What stands behind ``credential_process``: a small file that answers like ``credhelper get``, nearly at once."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper import client
from tests.machine import SECONDS, Machine, Run
from tests.program.support import (
    NOBODY,
    answers,
    as_user,
    ask,
    complaint,
    connect,
    frame,
    hello,
    needs_root,
    read_frame,
    refusal,
    running_daemon,
    until,
)

BASE = ["-IS", "-c", "import sys; print(*sorted(sys.modules))"]

ITS_MODULES = """
import posix, sys
path, sys.argv = sys.argv[1], ["client.py", "dev"]
space = {"__name__": "client", "__file__": path}
exec(compile(open(path).read(), path, "exec"), space)
def end(status):
    posix.write(2, " ".join(sorted(sys.modules)).encode())
    posix._exit(status)
space["_exit"] = end
space["main"]()
"""

ANOTHER_SERVER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    print("received", len(connection.recv(65536)), flush=True)
    connection.close()
"""


@pytest.fixture
def line(machine: Machine) -> list[str]:
    """The fast client's command line for the profile dev, logged in."""
    machine.log_in()
    return machine.process_line("dev")


def place(line: list[str]) -> Path:
    return Path(line[2])


def test_it_answers_exactly_like_get(machine: Machine) -> None:
    expected = {"dev": 0, "legacy": 3, "unassigned": 5, "no-such-profile": 4, "with space": 0, "käse/ß@x.y": 0}
    expected |= {"100%": 0, "-dash": 0, "%2D": 0}
    text = machine.config.read_text(encoding="utf-8")
    for name, role in (("unassigned", "Billing"), ("with space", "Developer"), ("käse/ß@x.y", "Developer")):
        text += f'\n[profile "{name}"]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = {role}\n'
    for name in ("100%", "-dash", "%2D"):
        text += f"\n[profile {name}]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = ReadOnly\n"
    machine.write_config(text)
    machine.log_in()
    for profile, status in expected.items():
        line = machine.run("configure", "command", f"--profile={profile}").out.split()
        assert len(line) == 4
        quick = machine.run_program(line)
        assert quick == machine.run("get", f"--profile={profile}")
        assert quick.status == status, quick.err


def test_it_imports_nothing_but_what_the_interpreter_has_loaded_anyway_and_sockets(
    machine: Machine, line: list[str]
) -> None:
    assert machine.run_program(line).status == 0
    bare = machine.run_program([line[0], *BASE]).out.split()
    run = machine.run_program([line[0], "-IS", "-c", ITS_MODULES, line[2]])
    assert run.status == 0
    assert set(run.err.split()) - set(bare) == {"_socket"}


def test_it_stands_alone(machine: Machine, line: list[str]) -> None:
    alone = machine.root / "elsewhere.py"
    shutil.copy(place(line), alone)
    run = machine.run_program([line[0], "-IS", str(alone), "dev"], PYTHONPATH="/nonexistent", PYTHONHOME="")
    assert run == machine.run("get", "--profile", "dev")


def test_it_needs_neither_stdin_nor_a_terminal_nor_a_current_directory(machine: Machine, line: list[str]) -> None:
    gone = machine.root / "gone"
    gone.mkdir()
    shell = ["sh", "-c", f'cd {gone} && rmdir {gone} && exec "$@" <&-', "sh", *line]
    assert machine.run_program(shell) == machine.run("get", "--profile", "dev")


def test_it_is_for_one_profile(machine: Machine, line: list[str]) -> None:
    for arguments in ([], ["dev", "more"], ["--profile", "dev"], ["-h"], [""]):
        refusal(machine.run_program([*line[:3], *arguments]), 2, "usage: client.py PROFILE")
    refusal(machine.run_program([*line[:3], "%zz"]), machine.run("get", "--percent-encoded-profile", "%zz").status)


def test_without_a_daemon_it_starts_one(machine: Machine, line: list[str]) -> None:
    assert machine.run("daemon", "stop").status == 0
    assert machine.run_program(line).status == 0
    assert answers(machine.socket)
    assert machine.run("daemon", "stop").status == 0
    refusal(machine.run_program(line, CREDHELPER_NO_AUTOSTART="1"), 7, "hint: credhelper daemon start")


def test_a_client_of_another_protocol_hands_over_to_the_installation(machine: Machine, line: list[str]) -> None:
    text = place(line).read_text(encoding="utf-8")
    ours = f'PROTOCOL = b"{client.PROTOCOL.decode()}"'
    assert ours in text
    place(line).write_text(text.replace(ours, 'PROTOCOL = b"1"'), encoding="utf-8")
    assert machine.run_program(line) == machine.run("get", "--profile", "dev")
    (place(line).parent / "installation").unlink()
    refusal(machine.run_program(line), 7, "the installation that wrote this client is gone")


def test_the_daemon_brings_an_old_copy_up_to_date(machine: Machine, line: list[str]) -> None:
    now = place(line).read_bytes()
    place(line).write_text("print('old')\n", encoding="utf-8")
    assert machine.run("daemon", "restart").status == 0
    until(lambda: place(line).read_bytes() == now, "the copy is new again")


def test_without_daemon_and_installation_it_says_what_to_do(machine: Machine, line: list[str]) -> None:
    assert machine.run("daemon", "stop").status == 0
    note = place(line).parent / "installation"
    for content in (b"/nonexistent/python\n", b"", b"\0"):
        note.write_bytes(content)
        refusal(machine.run_program(line), 7, "is gone", "hint: install credhelper again")
    note.unlink()
    refusal(machine.run_program(line), 7, "is gone")


# -- servers that are not the daemon --------------------------------------------------------------------------------


@contextlib.contextmanager
def fake_server(path: Path, answer: bytes) -> Iterator[None]:
    """Answers every request at ``path`` with the same bytes."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen()
    over = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if over.is_set():
                    return
                read_frame(connection)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        connect(path).close()
        thread.join(SECONDS)
        listener.close()
        path.unlink()


def both(machine: Machine, line: list[str], **environment: str) -> list[Run]:
    return [machine.run_program(line, **environment), machine.run("get", "--profile", "dev", **environment)]


def test_a_daemon_of_another_version_is_explained(machine: Machine, line: list[str]) -> None:
    told = {"status": "7", "out": "", "err": "credhelper: error: old\ncredhelper: hint: credhelper daemon restart\n"}
    path = machine.root / "fake" / "s"
    with fake_server(path, frame(told | {"retry": "1"})):
        for run in both(machine, line, CREDHELPER_SOCKET=str(path)):
            refusal(run, 7, "credhelper daemon restart")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0\0", b"HTTP/1.1 200 OK\r\n\r\n", frame({"status": "0"}), frame({"status": "x", "out": "", "err": ""})],
    ids=["nothing", "cut", "HTTP", "incomplete", "no number"],
)
def test_a_server_that_makes_no_sense_is_explained(machine: Machine, line: list[str], answer: bytes) -> None:
    path = machine.root / "fake" / "s"
    with fake_server(path, answer):
        for run in both(machine, line, CREDHELPER_SOCKET=str(path)):
            refusal(run, 7, "daemon")


@needs_root
def test_a_server_of_another_user_is_told_nothing(machine: Machine, line: list[str]) -> None:
    directory = machine.root / "theirs"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    machine.root.chmod(0o755)
    path = directory / "s"
    command = as_user(NOBODY, [sys.executable, "-Ic", ANOTHER_SERVER, str(path)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        runs = both(machine, line, CREDHELPER_SOCKET=str(path))
        server.terminate()
        heard = server.stdout.read()
    for run in runs:
        refusal(run, 7, "another user answers at the daemon's socket")
    assert set(heard.splitlines()) == {"received 0"}


# -- how little a warm hit takes ------------------------------------------------------------------------------------


@needs_root
@pytest.mark.skipif(shutil.which("strace") is None, reason="counts system calls with strace")
def test_a_warm_hit_costs_the_daemon_no_file_no_thread_and_no_network(machine: Machine) -> None:
    with running_daemon(machine) as daemon:
        machine.log_in()
        assert ask(machine, "get", profile="dev")["status"] == "0"
        for _ in range(20):  # until the watch on the files has begun, and the start has said all it has to say
            calls = calls_of_50_hits(machine, daemon.pid)
            if not {"stat", "lstat", "newfstatat", "statx", "write", "clone", "clone3"} & set(calls):
                break
    assert calls.count("accept4") >= 50
    allowed = {"accept4", "getsockopt", "setsockopt", "getsockname", "getpeername", "ioctl", "fcntl", "epoll_wait"}
    allowed |= {"epoll_ctl", "recvfrom", "read", "sendto", "close", "getuid"}
    allowed |= {
        "shutdown",
        "futex",
        "brk",
        "mmap",
        "munmap",
        "madvise",
        "epoll_pwait",
        "recv",
        "send",
        "fstat",
        "getuid",
    }
    allowed |= {"restart_syscall", "getpid", "clock_gettime", "rt_sigreturn"}
    allowed |= {"pidfd_open", "pidfd_send_signal"}  # whether whoever asks is still the same process
    assert set(calls) <= allowed, set(calls) - allowed


def calls_of_50_hits(machine: Machine, pid: int) -> list[str]:
    """The system calls of the daemon's one thread that answers: making another would be one of them."""
    trace = machine.root / "trace"
    strace = ["strace", "-o", str(trace), "-p", str(pid)]
    with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.kill()
            pytest.skip(f"strace may not attach here: {said}")
        assert [ask(machine, "get", profile="dev")["status"] for _ in range(50)] == ["0"] * 50
        tracer.terminate()
        tracer.communicate(timeout=SECONDS)
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    # The kernel is asked who calls, which takes no disk.
    return [line.partition("(")[0] for line in lines if "(" in line and '"/proc/' not in line]


def test_a_warm_client_opens_only_its_own_file_and_the_socket(machine: Machine, line: list[str]) -> None:
    if shutil.which("strace") is None:
        pytest.skip("counts system calls with strace")
    assert machine.run_program(line).status == 0
    trace = machine.root / "trace"
    run = machine.run_program(["strace", "-f", "-o", str(trace), "-e", "trace=%file,%network,%process", *line])
    if run.status != 0:
        pytest.skip(f"strace may not trace here: {run.err}")
    lines = trace.read_text(encoding="utf-8").splitlines()
    own = next(number for number, text in enumerate(lines) if str(place(line)) in text and "open" in text)
    ours = lines[own:]
    assert sum("connect(" in text for text in ours) == 1
    assert not [text for text in ours if "clone" in text or "fork" in text]
    opened = [text for text in ours if "open" in text and "ENOENT" not in text and str(machine.home) in text]
    assert all(str(place(line)) in text for text in opened), opened


@pytest.mark.long
def test_a_daemon_that_hangs_is_given_up_after_ten_seconds(machine: Machine, line: list[str]) -> None:
    """The one test of this folder that waits: no other clock than the kernel's counts for a caller."""
    pid = hello(machine.socket)
    os.kill(pid, 19)
    try:
        run = machine.run_program(line)
    finally:
        os.kill(pid, 18)
    assert (run.status, run.out) == (7, "")
    complaint(run.err, "did not answer within 10 s", "hint: credhelper daemon restart")
    assert client.DEADLINE == 10
