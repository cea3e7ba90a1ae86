"""A daemon whose socket somebody else has bound, as a service manager does; here, the test is the manager."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import SECONDS, Machine
from tests.program.support import (
    connect,
    frame,
    hello,
    read_frame,
    refusal,
    request,
    running_daemon,
    until,
)

PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-Im", "credhelper", "daemon", "run"])
"""


class Manager:
    """Holds the daemon's socket, and starts the daemon with it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.log_file = machine.root / "daemon.log"
        machine.socket.parent.mkdir(mode=0o700, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(os.fspath(machine.socket))
        machine.socket.chmod(0o600)
        self.listener.listen(4096)
        self.hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.hears.bind("")
        self.hears.settimeout(SECONDS)

    @contextlib.contextmanager
    def daemon(self, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A daemon that has been started; at the end it is stopped, if it has not ended before."""
        descriptor = self.listener.fileno()
        with open(self.log_file, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-Ic", PASS_ON, str(descriptor)],
                env={
                    **self.machine.environment,
                    "LISTEN_FDS": "1",
                    "LISTEN_FDNAMES": "rpc",
                    "NOTIFY_SOCKET": "@" + self.hears.getsockname()[1:].decode(),
                    **environment,
                },
                pass_fds=[descriptor],
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(SECONDS)

    def log(self) -> str:
        """What its daemons have said."""
        return self.log_file.read_text(encoding="utf-8")


@pytest.fixture
def manager(machine: Machine) -> Iterator[Manager]:
    found = Manager(machine)
    with found.listener, found.hears:
        yield found


def ready(manager: Manager) -> None:
    """Until the daemon has said that it serves."""
    while not manager.hears.recv(4096).startswith(b"READY=1\n"):
        continue


def test_who_asks_before_it_runs_is_answered_and_its_socket_outlives_it(machine: Machine, manager: Manager) -> None:
    inode = machine.socket.lstat().st_ino
    for _ in range(2):
        with connect(machine.socket) as early:
            early.sendall(request(machine, "get", profile="dev"))
            with manager.daemon() as daemon:
                ready(manager)
                assert read_frame(early)["status"] == "3"
                assert hello(machine.socket) == daemon.pid
                daemon.terminate()
                assert manager.hears.recv(4096).startswith(b"STOPPING=1\n")
                assert daemon.wait(SECONDS) == 0
        assert machine.socket.lstat().st_ino == inode
    assert "Traceback" not in manager.log()


def test_who_waits_at_a_stop_is_answered_by_this_daemon_or_the_next(machine: Machine, manager: Manager) -> None:
    with manager.daemon() as first:
        ready(manager)
        first.send_signal(signal.SIGSTOP)
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(connect(machine.socket)) for _ in range(50)]
            for connection in waiting:
                connection.sendall(request(machine, "get", profile="dev"))
            first.terminate()
            first.send_signal(signal.SIGCONT)
            assert first.wait(SECONDS) == 0
            with manager.daemon():
                assert {read_frame(connection)["status"] for connection in waiting} == {"3"}


def test_its_children_know_nothing_of_the_manager(machine: Machine, manager: Manager) -> None:
    with manager.daemon(WATCHDOG_USEC="60000000") as daemon:
        ready(manager)
        if os.geteuid() == 0:
            with open(f"/proc/{daemon.pid}/fdinfo/3", encoding="ascii") as info:
                flags = next(line.split()[1] for line in info if line.startswith("flags:"))
            assert int(flags, 8) & os.O_CLOEXEC


def test_the_watchdog_is_fed_by_answers_at_its_own_socket(machine: Machine, manager: Manager) -> None:
    with manager.daemon(WATCHDOG_USEC="100000") as daemon:
        ready(manager)
        for _ in range(3):
            assert manager.hears.recv(4096) == b"WATCHDOG=1"
        machine.socket.rename(machine.root / "elsewhere")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as impostor:
            impostor.bind(os.fspath(machine.socket))  # where nobody listens
            until(lambda: "no answer at our own socket" in manager.log() or daemon.poll() is not None, "it notices")
        assert daemon.wait(SECONDS) == 0  # its place was taken
        assert "has become another daemon's" in manager.log()


@pytest.mark.parametrize("lost", ["socket", "directory"])
def test_a_name_that_is_deleted_is_made_again_by_this_daemon_and_by_the_next(
    machine: Machine, manager: Manager, lost: str
) -> None:
    with manager.daemon() as daemon:
        ready(manager)
        machine.socket.unlink()
        if lost == "directory":
            machine.socket.parent.rmdir()
        until(machine.socket.exists, "it is there again")
        assert hello(machine.socket) == daemon.pid
    assert not machine.socket.exists()  # this one it has made itself
    with manager.daemon() as daemon:
        ready(manager)
        assert hello(machine.socket) == daemon.pid


def test_what_a_killed_daemon_left_at_its_place_is_replaced(machine: Machine, manager: Manager) -> None:
    machine.socket.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fspath(machine.socket))
    with manager.daemon() as daemon:
        ready(manager)
        assert hello(machine.socket) == daemon.pid


def test_a_daemon_without_a_manager_gives_way_to_one_with(machine: Machine) -> None:
    with running_daemon(machine) as client_started:
        machine.socket.unlink()  # as systemd does
        manager = Manager(machine)
        with manager.listener, manager.hears, manager.daemon() as daemon:
            ready(manager)
            assert hello(machine.socket) == daemon.pid
            assert client_started.process.wait(SECONDS) == 0
            assert hello(machine.socket) == daemon.pid


def test_a_daemon_that_has_taken_a_lost_name_gives_way_as_well(machine: Machine, manager: Manager) -> None:
    machine.socket.unlink()
    with running_daemon(machine) as client_started, manager.daemon() as daemon:
        ready(manager)
        assert client_started.process.wait(SECONDS) == 0
        assert hello(machine.socket) == daemon.pid


def test_whoever_waits_is_told_why_it_cannot_run(machine: Machine, manager: Manager) -> None:
    settings = machine.home / ".config/credhelper/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("colour = 'blue'\n", encoding="utf-8")
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(machine.socket)) for _ in range(3)]
        for connection in waiting[:2]:
            connection.sendall(request(machine, "get", profile="dev"))
        with manager.daemon() as daemon:
            assert daemon.wait(SECONDS) == 4
        for connection in waiting[:2]:
            answer = read_frame(connection)
            assert answer["status"] == "7"
            assert "colour" in answer["err"]
        assert waiting[2].recv(1) == b""  # it has asked nothing
    manager.listener.setblocking(False)
    with pytest.raises(BlockingIOError):  # which is what keeps a manager from starting it again and again
        manager.listener.accept()


def test_another_socket_than_expected_is_refused(machine: Machine, manager: Manager) -> None:
    with manager.daemon(LISTEN_FDNAMES="http") as daemon:
        assert daemon.wait(SECONDS) == 1
    assert "hint: credhelper service install" in manager.log()


# -- clients --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def breaking_server(path: Path, *, breaks: int) -> Iterator[list[bytes]]:
    """Reads each request, breaks off the first so many answers, and gives the others; the requests."""
    received: list[bytes] = []
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if over.is_set():
                    return
                received.append(connection.recv(65_536))
                if len(received) > breaks:
                    connection.sendall(frame({"status": "0", "out": "an answer\n", "err": ""}))

    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        try:
            yield received
        finally:
            over.set()
            connect(path).close()
            thread.join(SECONDS)


def test_the_fast_client_asks_once_more_by_itself_when_an_answer_breaks_off(machine: Machine) -> None:
    machine.log_in()
    line = machine.process_line("dev")
    (Path(line[2]).parent / "installation").unlink()  # there is no full program to hand over to
    path = machine.root / "fake" / "s"
    with breaking_server(path, breaks=1) as received:
        assert machine.run_program(line, CREDHELPER_SOCKET=str(path)).out == "an answer\n"
    assert len(received) == 2
    assert received[0] == received[1]


def test_what_breaks_off_again_and_again_is_explained(machine: Machine) -> None:
    machine.log_in()
    path = machine.root / "fake" / "s"
    with breaking_server(path, breaks=99) as received:
        refusal(machine.run_program(machine.process_line("dev"), CREDHELPER_SOCKET=str(path)), 7, "broke off")
    assert len(received) == 4
