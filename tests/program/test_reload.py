"""config.toml of a daemon that runs: taken up when told, without anybody noticing; a broken one changes nothing."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine, Run
from tests.program.support import Daemon, answers, ask, connect, read_frame, refusal, request, running_daemon, until

CONNECTIONS = 50
RELOADS = 20

JSON_LOG = '[log]\nformat = "json"\n'
BROKEN = 'token_stor = "keyring"\n\n[log]\nlevel = "loud"\nformat = "text"\n'
MISTAKES = (
    "line 1: there is no key token_stor (did you mean token_store?)",
    'line 4: [log] level is "loud", and must be',
)


@pytest.fixture
def settings_file(machine: Machine) -> Path:
    """Where the machine's config.toml belongs; it is not there yet."""
    path = machine.home / ".config" / "credhelper" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def daemon(machine: Machine) -> Iterator[Daemon]:
    with running_daemon(machine) as running:
        yield running


def reload(machine: Machine) -> Run:
    return machine.run("daemon", "reload")


def settings_error(machine: Machine) -> str | None:
    error: str | None = machine.run("status", "--json").json()["daemon"]["settings_error"]
    return error


def assert_done(run: Run, *words: str) -> None:
    assert (run.status, run.out) == (0, ""), run
    for word in words:
        assert word in run.err


# -- the command ------------------------------------------------------------------------------------------------------


def test_without_a_daemon_there_is_nothing_to_reload_and_none_is_started(machine: Machine, settings_file: Path) -> None:
    settings_file.write_text(BROKEN)
    refusal(reload(machine), 7, "the daemon is not running", "credhelper: hint: credhelper daemon start")
    assert not answers(machine.socket)


def test_a_reload_names_what_has_changed(machine: Machine, settings_file: Path, daemon: Daemon) -> None:
    assert_done(reload(machine), f"Nothing has changed in {settings_file}.\n")
    settings_file.write_text(JSON_LOG + '[notify]\nquiet_hours = "22:00-07:00"\n')
    assert_done(reload(machine), "Changed: [log] format, [notify] quiet_hours.\n")
    assert_done(reload(machine), f"Nothing has changed in {settings_file}.\n")
    settings_file.unlink()
    assert_done(reload(machine), "Changed: [log] format, [notify] quiet_hours.\n")


def test_where_secrets_lie_changes_at_the_next_start_only_and_the_rest_at_once(
    machine: Machine, settings_file: Path, daemon: Daemon
) -> None:
    settings_file.write_text('token_store = "keyring"\n[vault]\nbackend = "kwallet"\n' + JSON_LOG)
    later = "What token_store, [vault] backend says now takes effect at the next start"
    assert_done(reload(machine), "Changed: [log] format.\n", later, "credhelper daemon restart")
    assert_done(reload(machine), f"Nothing has changed in {settings_file}.\n", later)
    assert "a restart of the daemon is needed for: token_store, [vault] backend" in daemon.log()
    machine.log_in()
    assert machine.token_file().exists()


def test_a_restart_with_a_broken_file_leaves_the_daemon_running(
    machine: Machine, settings_file: Path, daemon: Daemon
) -> None:
    settings_file.write_text(BROKEN)
    refused = machine.run("daemon", "restart")
    refusal(refused, 4, f"credhelper: error: {settings_file}: ", *MISTAKES)
    assert json.loads(machine.run("daemon", "health").out)["pid"] == daemon.pid


def test_a_broken_file_changes_nothing_and_every_mistake_is_told(
    machine: Machine, settings_file: Path, daemon: Daemon
) -> None:
    settings_file.write_text(JSON_LOG)
    assert_done(reload(machine), "Changed: [log] format.")
    settings_file.write_text(BROKEN)
    broken = reload(machine)
    refusal(broken, 4, f"credhelper: error: {settings_file}: ", *MISTAKES)
    assert broken.err.endswith("credhelper: hint: mend the file, then: credhelper daemon reload\n")

    logged = [json.loads(line) for line in daemon.log().splitlines() if line.startswith("{")]
    told = [one["message"] for one in logged if one["level"] == "error"]
    assert [message.partition(f"{settings_file}: ")[0] for message in told] == ["the settings stay as they were: "]
    assert machine.run("get", "--profile", "dev").status == 3, "it serves as before"

    why = settings_error(machine)
    assert why is not None
    assert why.startswith(f"{settings_file}: line 1: there is no key token_stor")
    assert f"The last reload changed no settings: {settings_file}: line 1" in machine.run("status").out
    settings_file.write_text("")
    assert_done(reload(machine), "Changed: [log] format.")
    assert settings_error(machine) is None


def test_a_mistake_is_told_alike_by_a_start_and_by_a_reload(
    machine: Machine, settings_file: Path, daemon: Daemon
) -> None:
    bad = {
        b"[log]\nlevel = debug\n": "line 2: is not TOML",
        b"[metrics]\nlisten = '0.0.0.0:9418'\n": 'line 2: [metrics] listen is "0.0.0.0:9418"',
        b"[notify]\n\nbefore_minutes = '5'\n": 'line 3: [notify] before_minutes is "5"',
        b"[[notify]]\n": "line 1: notify is a list",
        b"# caf\xe9\n": "line 1: is not UTF-8 text",
    }
    for content, told in bad.items():
        settings_file.write_bytes(content)
        for command in ("reload", "run"):
            refusal(machine.run("daemon", command), 4, f"credhelper: error: {settings_file}: {told}")


def test_a_start_with_several_mistakes_tells_them_all(machine: Machine, settings_file: Path) -> None:
    settings_file.write_text(BROKEN)
    refusal(machine.run("daemon", "run"), 4, f"credhelper: error: {settings_file}: ", *MISTAKES)


def test_of_thirty_mistakes_none_is_left_out(machine: Machine, settings_file: Path, daemon: Daemon) -> None:
    settings_file.write_text("".join(f"unheard_of_{number} = true\n" for number in range(30)))
    told = [f"line {number + 1}: there is no key unheard_of_{number}" for number in range(30)]
    for command in ("run", "reload", "start", "restart"):
        if command == "start":
            assert machine.run("daemon", "stop").status == 0
        run = machine.run("daemon", command)
        assert [mistake for mistake in told if mistake not in run.err] == [], command


def test_a_directory_in_the_files_place_is_told(machine: Machine, settings_file: Path, daemon: Daemon) -> None:
    settings_file.mkdir()
    refusal(reload(machine), 4, f"{settings_file}: is not a regular file")


def test_the_file_that_the_daemons_own_environment_names_is_read(machine: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine.toml"
    with running_daemon(machine, CREDHELPER_CONFIG=str(elsewhere)):
        elsewhere.write_text(JSON_LOG)
        assert_done(reload(machine), "Changed: [log] format.")


def test_what_cannot_be_applied_is_told_and_the_rest_is(machine: Machine, settings_file: Path, daemon: Daemon) -> None:
    with taken_port() as port:
        settings_file.write_text(f'[metrics]\nlisten = "127.0.0.1:{port}"\n' + JSON_LOG)
        run = reload(machine)
    assert (run.status, run.out) == (8, "")
    assert "Changed: [log] format, [metrics] listen.\n" in run.err
    assert f"127.0.0.1:{port}" in run.err.splitlines()[1]


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port of the loopback that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# -- SIGHUP -----------------------------------------------------------------------------------------------------------


def test_sighup_does_what_the_command_does(machine: Machine, settings_file: Path, daemon: Daemon) -> None:
    settings_file.write_text(JSON_LOG)
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: '"the settings have been read anew; changed: [log] format"' in daemon.log(), "it has reloaded")
    settings_file.write_text(BROKEN)
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: settings_error(machine) is not None, "the mistakes are known")
    for mistake in MISTAKES:
        assert json.dumps(mistake)[1:-1] in daemon.log()


IN_A_TERMINAL = """
import os, signal, sys
if sys.argv[2:] == ["nohup"]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    os.close(os.open(sys.argv[1], os.O_RDWR))
    os.execv(sys.executable, [sys.executable, "-Im", "credhelper", "daemon", "run"])
os.wait()
"""


@contextlib.contextmanager
def daemon_in_a_terminal(machine: Machine, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A daemon that has reloaded once, as the child of a process that ends with it; and the terminal's other side."""
    person, terminal = pty.openpty()
    command = [sys.executable, "-c", IN_A_TERMINAL, os.ttyname(terminal), *options]
    log = machine.root / "daemon.log"
    with open(log, "ab") as said, subprocess.Popen(command, env=machine.environment, stderr=said) as parent:
        os.close(terminal)
        until(lambda: answers(machine.socket), "it serves")
        os.kill(machine.daemon_pid(), signal.SIGHUP)
        until(lambda: "have been read anew" in log.read_text(), "it has reloaded")
        yield parent, person
        assert parent.wait(SECONDS) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="opening a terminal makes it one's own on Linux")
def test_a_daemon_in_a_terminal_ends_with_it(machine: Machine) -> None:
    with daemon_in_a_terminal(machine) as (parent, person):
        os.close(person)
        assert parent.wait(SECONDS) == 0
    assert not answers(machine.socket)


@pytest.mark.skipif(sys.platform != "linux", reason="opening a terminal makes it one's own on Linux")
def test_a_daemon_that_nohup_has_started_outlives_its_terminal(machine: Machine) -> None:
    log = machine.root / "daemon.log"
    with daemon_in_a_terminal(machine, "nohup") as (_, person):
        os.close(person)
        until(lambda: log.read_text().count("have been read anew") == 2, "it has heard of the end, and reloaded")
        assert machine.run("daemon", "stop").status == 0


# -- nobody notices ---------------------------------------------------------------------------------------------------


def test_many_reloads_lose_no_connection_and_no_login(
    machine: Machine, sandbox: Sandbox, settings_file: Path, daemon: Daemon
) -> None:
    machine.log_in("--profile", "legacy")
    with (
        sandbox.hold("GetRoleCredentials") as hold,
        machine.logging_in("--sso-session", "corp", "--json") as (login, event),
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor(2) as pool,
    ):
        waiting = [stack.enter_context(connect(machine.socket)) for _ in range(CONNECTIONS)]
        for connection in waiting:
            connection.sendall(request(machine, "get", profile="legacy"))
        hold.wait_for(1)
        for number in range(RELOADS):
            settings_file.write_text(BROKEN if number % 3 == 2 else JSON_LOG * (number % 3))
            if number % 2:
                os.kill(daemon.pid, signal.SIGHUP)
            together = [pool.submit(ask, machine, "reload") for _ in range(2)]
            assert [one.result()["status"] for one in together] == ["0", "0"]
        hold.release()
        given = [read_frame(connection) for connection in waiting]
        machine.approve(event)
        out, _ = login.communicate(timeout=SECONDS)
    assert {answer["status"] for answer in given} == {"0"}
    assert len({answer["out"] for answer in given}) == 1
    assert sandbox.calls["GetRoleCredentials"] == 1
    assert login.returncode == 0
    assert '"logged_in"' in out
