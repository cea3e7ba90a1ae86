"""One daemon per user: it starts, stays alone, stops in order, and keeps what it holds to itself."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from credhelper import client
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine
from tests.program.support import (
    NOBODY,
    answers,
    as_user,
    give_away,
    hello,
    needs_root,
    refusal,
    running_daemon,
    until,
    what_comes_back,
)

MANY = 50

IMPATIENT_DAEMON = """
import sys
from credhelper import daemon
daemon.SOCKET_CHECK = 0.05
sys.exit(daemon.run(lambda _: None))
"""


@contextlib.contextmanager
def running_to_its_end(command: list[str], machine: Machine) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is killed if the test gives up on it."""
    with subprocess.Popen(command, env=machine.environment, cwd="/", stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def locks(machine: Machine) -> dict[str, int]:
    """Every lock file of the machine with its inode."""
    return {path.name: path.stat().st_ino for path in machine.home.rglob("*.lock")}


def started_pid(machine: Machine, *arguments: str) -> int:
    done = machine.run("daemon", *arguments)
    assert (done.status, done.out) == (0, ""), done
    return hello(machine.socket)


def test_start_and_stop_may_be_repeated(machine: Machine) -> None:
    nothing = machine.run("daemon", "stop")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "The daemon is not running.\n")

    started = machine.run("daemon", "start")
    pid = hello(machine.socket)
    assert (started.status, started.out, started.err) == (0, "", f"The daemon is running (pid {pid}).\n")
    again = machine.run("daemon", "start")
    assert (again.status, again.out, again.err) == (0, "", "The daemon is already running.\n")
    assert hello(machine.socket) == pid

    beside = machine.run("daemon", "run")
    assert (beside.status, beside.out) == (0, "")
    assert f"already running (pid {pid})" in beside.err

    stopped = machine.run("daemon", "stop")
    assert (stopped.status, stopped.out, stopped.err) == (0, "", "The daemon has stopped.\n")
    assert not machine.socket.exists()
    assert machine.run("daemon", "stop").status == 0


def test_restart_starts_another_one_whether_or_not_one_runs(machine: Machine) -> None:
    first = started_pid(machine, "restart")
    second = started_pid(machine, "restart")
    assert first != second


def test_fifty_started_at_once_leave_one(machine: Machine) -> None:
    started = [machine.start("daemon", "start" if number % 2 else "run") for number in range(MANY)]
    until(lambda: sum(process.poll() is None for process in started) <= 1, "all but one have ended")
    until(lambda: answers(machine.socket), "one serves")
    pid = hello(machine.socket)
    # Ended by now are all but the one that serves, if a "run" won; else even that one, which a "start" has left behind.
    until(lambda: all(process.poll() is not None or process.pid == pid for process in started), "the rest have ended")
    serving = [process for process in started if process.poll() is None]
    for process in started:
        if process not in serving:
            _, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, err
            assert "running" in err
    assert machine.run("daemon", "stop").status == 0
    for process in serving:
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, err
    assert not answers(machine.socket)


def test_a_killed_daemon_is_replaced_by_the_next_request_and_its_socket_by_the_next_daemon(machine: Machine) -> None:
    machine.log_in()
    killed = hello(machine.socket)
    os.kill(killed, signal.SIGKILL)
    until(lambda: not answers(machine.socket), "the killed daemon is gone")
    assert machine.socket.exists()
    assert machine.run("get", "--profile", "dev").status == 0
    assert hello(machine.socket) != killed


def test_lock_files_are_never_deleted(machine: Machine) -> None:
    started_pid(machine, "start")
    before = locks(machine)
    assert before
    assert machine.run("daemon", "stop").status == 0
    assert locks(machine) == before
    os.kill(started_pid(machine, "start"), signal.SIGKILL)
    started_pid(machine, "restart")
    assert locks(machine) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_removes_the_socket(machine: Machine, number: signal.Signals) -> None:
    with running_daemon(machine) as daemon:
        daemon.process.send_signal(number)
        assert daemon.process.wait(SECONDS) == 0
        assert not machine.socket.exists()
        assert "Traceback" not in daemon.log()


def test_a_signal_in_the_middle_of_a_login_ends_both(machine: Machine) -> None:
    with (
        running_daemon(machine) as daemon,
        machine.logging_in("--sso-session", "corp", "--json") as (login, event),
    ):
        assert event["event"] == "authorize"
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(SECONDS) == 0
        _, err = login.communicate(timeout=SECONDS)
        assert login.returncode in {3, 7}
        assert err.startswith("credhelper: error: ")
        assert not machine.token_file().exists()
        assert "Traceback" not in daemon.log()


def test_it_hears_sigterm_even_if_its_starter_had_blocked_it(machine: Machine) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        daemon = machine.start("daemon", "run")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    until(lambda: answers(machine.socket), "it serves")
    daemon.terminate()
    daemon.communicate(timeout=SECONDS)
    assert daemon.returncode == 0


def test_directory_and_socket_are_the_users_alone(machine: Machine) -> None:
    started_pid(machine, "start")
    for path, kind, mode in ((machine.socket.parent, stat.S_ISDIR, 0o700), (machine.socket, stat.S_ISSOCK, 0o600)):
        found = path.lstat()
        assert kind(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == mode
        assert found.st_uid == os.getuid()
    state = machine.home / ".local" / "state" / "credhelper"
    assert stat.S_IMODE(state.lstat().st_mode) == 0o700


def test_a_directory_that_others_may_enter_is_refused_by_name(machine: Machine) -> None:
    directory = machine.socket.parent
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    refusal(machine.run("daemon", "run"), 1, str(directory), f"hint: chmod 700 {directory}")
    refusal(machine.run("get", "--profile", "dev"), 7, str(directory))
    assert list(directory.iterdir()) == []
    directory.chmod(0o700)
    assert machine.run("daemon", "start").status == 0


@pytest.mark.parametrize("what", ["a link", "a file"])
def test_what_is_no_directory_is_refused_by_name(machine: Machine, what: str) -> None:
    elsewhere = machine.root / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if what == "a link":
        machine.socket.parent.symlink_to(elsewhere)
    else:
        machine.socket.parent.touch()
    refusal(machine.run("daemon", "run"), 1, str(machine.socket.parent))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("lost", ["socket", "directory"])
def test_it_listens_again_when_its_socket_is_deleted(machine: Machine, lost: str) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-Ic", IMPATIENT_DAEMON], env=machine.environment, cwd="/", stderr=subprocess.PIPE
    )
    with daemon:
        try:
            until(lambda: answers(machine.socket), "it serves")
            machine.socket.unlink()
            if lost == "directory":
                machine.socket.parent.rmdir()
            until(lambda: daemon.poll() is not None or answers(machine.socket), "it serves again")
            assert daemon.poll() is None
            assert hello(machine.socket) == daemon.pid
            assert stat.S_IMODE(machine.socket.lstat().st_mode) == 0o600
        finally:
            daemon.terminate()
        assert daemon.wait(SECONDS) == 0
    assert not machine.socket.exists()


def test_without_its_lock_files_it_still_is_the_only_one(machine: Machine) -> None:
    with running_daemon(machine) as daemon:
        for lock in machine.home.rglob("daemon-*.lock"):
            lock.unlink()
        beside = machine.run("daemon", "run")
        assert beside.status == 0
        assert f"already running (pid {daemon.pid})" in beside.err
        assert hello(machine.socket) == daemon.pid


def test_one_that_was_displaced_gives_way_and_leaves_the_others_socket(machine: Machine) -> None:
    """Only one that hangs and whose lock files were deleted can be displaced."""
    with running_to_its_end([sys.executable, "-Ic", IMPATIENT_DAEMON], machine) as displaced:
        until(lambda: answers(machine.socket), "the first serves")
        displaced.send_signal(signal.SIGSTOP)
        for lock in machine.home.rglob("daemon-*.lock"):
            lock.unlink()
        second = machine.start("daemon", "run")
        inode = machine.socket.stat().st_ino
        until(lambda: machine.socket.exists() and machine.socket.stat().st_ino != inode, "the second has taken over")
        until(lambda: answers(machine.socket), "the second serves")
        displaced.send_signal(signal.SIGCONT)
        assert displaced.wait(SECONDS) == 0
        assert hello(machine.socket) == second.pid
        second.terminate()
        second.communicate(timeout=SECONDS)
        assert second.returncode == 0


@pytest.mark.skipif(
    client.is_private_directory(b"/run/user/%d" % os.getuid(), os.getuid()),
    reason="this user has a runtime directory of the system's, where a daemon of theirs may run",
)
@pytest.mark.parametrize("runtime", ["unset", "relative", "open to others", "a link", "missing"])
def test_without_a_private_runtime_directory_the_socket_lies_in_the_state_directory(
    machine: Machine, runtime: str
) -> None:
    places = {"unset": "", "relative": "run", "a link": str(machine.root / "link"), "missing": str(machine.root / "no")}
    (machine.root / "link").symlink_to(machine.runtime)
    if runtime == "open to others":
        machine.runtime.chmod(0o755)
    machine.environment["XDG_RUNTIME_DIR"] = places.get(runtime, str(machine.runtime))
    started = machine.run("daemon", "start")
    assert started.status == 0, started.err
    expected = machine.home / ".local/state/credhelper" / f"run-{os.uname().nodename}" / "credhelper.sock"
    assert machine.run("status", "--json").json()["daemon"]["socket"] == str(expected)
    assert stat.S_IMODE(expected.parent.lstat().st_mode) == 0o700
    assert list(machine.runtime.iterdir()) == []


def test_credhelper_socket_names_the_socket(machine: Machine) -> None:
    path = machine.root / "mine" / "s"
    machine.environment["CREDHELPER_SOCKET"] = str(path)
    assert machine.run("daemon", "start").status == 0
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert not machine.socket.exists()
    assert machine.run("status", "--json").json()["daemon"]["socket"] == str(path)


@pytest.mark.parametrize("command", [("daemon", "run"), ("daemon", "start"), ("get", "--profile", "dev")])
def test_a_socket_path_that_cannot_be_used_is_explained(machine: Machine, command: tuple[str, ...]) -> None:
    long = str(machine.root / ("x" * 100) / "s")
    refusal(machine.run(*command, CREDHELPER_SOCKET=long), 1, "longer than", long, "hint: set CREDHELPER_SOCKET")
    refusal(machine.run(*command, CREDHELPER_SOCKET="s"), 1, "not an absolute path: s")


def test_a_caller_with_another_home_is_turned_away_with_both_named(machine: Machine) -> None:
    machine.log_in()
    other = machine.root / "other"
    (other / ".aws").mkdir(parents=True)
    token = machine.token_file().read_bytes()
    for command in (("get", "--profile", "dev"), ("login", "--sso-session", "corp"), ("status",), ("logout",)):
        refusal(machine.run(*command, HOME=str(other)), 7, str(machine.home), str(other))
    assert machine.token_file().read_bytes() == token


def test_clients_start_it_unless_they_are_told_not_to(machine: Machine) -> None:
    for command in (("get", "--profile", "dev"), ("whoami", "--profile", "dev"), ("login", "--sso-session", "corp")):
        told = machine.run(*command, CREDHELPER_NO_AUTOSTART="1")
        refusal(told, 7, "CREDHELPER_NO_AUTOSTART", "hint: credhelper daemon start")
        assert not machine.socket.exists()
    refusal(machine.run("get", "--profile", "dev"), 3)
    assert answers(machine.socket)


def test_status_and_logout_never_start_it(machine: Machine) -> None:
    assert machine.run("status").status == 7
    assert machine.run("logout").status == 0
    assert machine.run("sso", "logout").status == 0
    assert not machine.socket.exists()


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def streams(process: "subprocess.Popen[bytes]") -> list[IO[bytes]]:
    return [file for file in (process.stdin, process.stdout, process.stderr) if file is not None]


@pytest.mark.parametrize("starter", ["get", "fast client", "daemon start"])
def test_started_by_a_client_it_is_detached_from_everything_of_its_caller(machine: Machine, starter: str) -> None:
    command = [sys.executable, "-Im", "credhelper", "get"]
    if starter == "fast client":
        command = machine.process_line("dev")
    elif starter == "daemon start":
        command = [sys.executable, "-Im", "credhelper", "daemon", "start"]
    theirs = {
        "AWS_PROFILE": "dev",
        "AWS_DEFAULT_PROFILE": "dev",
        "AWS_CONFIG_FILE": str(machine.config),
        "AWS_ACCESS_KEY_ID": "AKIACALLER",
        "AWS_SECRET_ACCESS_KEY": "callers-secret",
        "AWS_SESSION_TOKEN": "callers-token",
        "AWS_BEARER_TOKEN_BEDROCK": "callers-bearer",
    }
    inherited, tell = os.pipe()
    callers = {os.readlink(f"/proc/self/fd/{inherited}")}
    with subprocess.Popen(
        command,
        env=machine.environment | theirs,
        cwd=machine.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[tell],
    ) as process:
        os.close(tell)
        callers |= {os.readlink(f"/proc/self/fd/{file.fileno()}") for file in streams(process)}
        process.communicate(timeout=SECONDS)  # to the end of both pipes: a daemon that held one would hang us here
    assert os.read(inherited, 1) == b""
    os.close(inherited)

    pid = hello(machine.socket)
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    targets = {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert {targets[number] for number in (0, 1, 2)} == {"/dev/null"}
    assert not callers & set(targets.values())
    assert not [target for target in targets.values() if target.startswith(str(machine.home / ".aws"))]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {variable.partition(b"=")[0].decode() for variable in environment}
    assert not names & theirs.keys()
    assert {"HOME", "AWS_ENDPOINT_URL_SSO"} <= names
    assert b"callers-" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_leaves_no_core(machine: Machine) -> None:
    limits = Path(f"/proc/{started_pid(machine, 'start')}/limits").read_text(encoding="ascii")
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[-3:] == ["0", "0", "bytes"]


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nobody_else_of_the_same_user_may_look_into_it(sandbox: Sandbox) -> None:
    machine = Machine(sandbox)
    give_away(machine.root, NOBODY)
    command = as_user(NOBODY, [sys.executable, "-Im", "credhelper", "daemon", "run"])
    with subprocess.Popen(command, env=machine.environment, cwd="/", stderr=subprocess.DEVNULL) as daemon:
        try:
            until(machine.socket.exists, "it listens")
            assert what_comes_back(machine.socket, b"") == b""  # once it serves: we are another user to it
            process = Path(f"/proc/{daemon.pid}")
            assert "Uid:\t65534" in (process / "status").read_text(encoding="ascii")
            assert (process / "environ").stat().st_uid == 0  # the kernel's mark of an undumpable process
            for secret in ("environ", "mem", "maps", "fd"):
                look = ["ls", str(process / secret)] if secret == "fd" else ["cat", str(process / secret)]
                looked = machine.run_program(as_user(NOBODY, look))
                assert looked.status != 0
                assert looked.out == ""
                assert "Permission denied" in looked.err
        finally:
            daemon.terminate()
        assert daemon.wait(SECONDS) == 0
    shutil.rmtree(machine.root)
