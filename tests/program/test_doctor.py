"""``credhelper doctor`` as a whole: real daemons, real obstacles; it ends, changes nothing and says how to go on."""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import credhelper
from credhelper.sandbox.server import Sandbox
from tests.aws.wire import Peer, Wire, tls_context
from tests.machine import Machine, Run
from tests.program.support import NOBODY, answers, as_user, give_away, needs_root, running_daemon, until

ABOUT_THE_MACHINE = {"keyring.answers", "tools.running", "environment.keys"}
"""What may be amiss on the machine that runs the tests."""


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """A machine with a session, a native and an adopted profile, and a token."""
    with Machine(sandbox) as found:
        config = found.config.read_text(encoding="utf-8").partition("[profile legacy]")[0]
        line = " ".join(found.process_line("dev"))
        found.write_config(config.replace("[profile dev]\n", f"[profile dev]\ncredential_process = {line}\n"))
        yield found


def checks(run: Run, state: str) -> dict[str, str]:
    """The details of all findings in a state, by id; the whole document must have the contract's shape."""
    document = run.json()
    assert document.keys() == {"checks"}
    for check in document["checks"]:
        assert check.keys() == {"id", "state", "detail", "remedy"}
        assert check["state"] in {"ok", "warning", "problem"}
        assert (check["remedy"] is None) == (check["state"] == "ok")
    problems = [check for check in document["checks"] if check["state"] == "problem"]
    assert run.status == (8 if problems else 0)
    return {check["id"]: check["detail"] for check in document["checks"] if check["state"] == state}


def everything_below(root: Path) -> dict[str, Any]:
    """Names, modes, times and contents."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(state.st_mode) else None
        found[str(path)] = (state.st_mode, state.st_mtime_ns, state.st_ino, content)
    return found


def test_a_healthy_machine_passes_with_a_daemon_and_without(machine: Machine) -> None:
    machine.log_in()
    run = machine.run("doctor", "--json")
    assert checks(run, "problem") == {}
    assert checks(run, "warning").keys() <= ABOUT_THE_MACHINE
    found = checks(run, "ok")
    assert {"daemon.running", "line.runs", "network.endpoint", "clock.skew", "config.readable"} <= found.keys()
    assert run.err == ""
    assert machine.run("daemon", "stop").status == 0
    run = machine.run("doctor", "--json")
    assert checks(run, "problem") == {}
    assert checks(run, "warning").keys() <= ABOUT_THE_MACHINE | {"daemon.running"}
    assert "network.endpoint" in checks(run, "ok")
    assert "line.runs" not in checks(run, "ok")  # which would have started a daemon


def test_a_line_that_asks_for_a_login_is_in_order(machine: Machine) -> None:
    assert machine.run("daemon", "start").status == 0
    run = machine.run("doctor", "--json")
    assert checks(run, "problem") == {}
    assert "dev" in checks(run, "ok")["line.runs"]


def test_it_starts_no_daemon_and_changes_nothing(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("daemon", "stop").status == 0
    before = everything_below(machine.root)
    assert machine.run("doctor").status == 0
    assert everything_below(machine.root) == before


def test_what_is_broken_ends_with_8_and_is_told_with_its_remedy(machine: Machine) -> None:
    machine.write_config(machine.config.read_text(encoding="utf-8") + "\n[profile dev]\nregion = x\n")
    run = machine.run("doctor", "--json")
    assert checks(run, "problem").keys() == {"config.duplicate_section"}
    for_people = machine.run("doctor")
    assert for_people.status == 8
    assert "✗" in for_people.out
    assert "[profile dev] is there twice" in for_people.out
    assert for_people.out.splitlines()[-1].startswith("1 problem, ")
    plain = machine.run_program([sys.executable, "-m", "credhelper", "doctor"], PYTHONIOENCODING="ascii")
    assert plain.out.isascii()
    assert "problem: " in plain.out


def test_the_daemons_endpoints_are_tried_whatever_the_shell_says(machine: Machine) -> None:
    machine.log_in()
    run = machine.run("doctor", "--json", AWS_ENDPOINT_URL_SSO="http://127.0.0.1:9", HTTPS_PROXY="http://u:hidden@x:1")
    assert checks(run, "problem") == {}
    told = checks(run, "warning")["environment.daemon"]
    assert "AWS_ENDPOINT_URL_SSO" in told
    assert "HTTPS_PROXY" in told
    assert "hidden" not in run.out


@pytest.mark.real_client  # it waits for seconds
def test_a_daemon_that_hangs_holds_nobody_up(machine: Machine) -> None:
    with running_daemon(machine) as daemon:
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            run = machine.run("doctor", "--json")
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
    assert checks(run, "problem").keys() == {"daemon.answers"}
    assert "network.endpoint" in checks(run, "ok")


@pytest.mark.real_client  # it waits for seconds
def test_endpoints_that_never_answer_hold_nobody_up(machine: Machine) -> None:
    with Wire(Peer.hang) as wire:
        silent = dict.fromkeys(machine.sandbox.environment(), wire.url)
        with running_daemon(machine, **silent):
            run = machine.run("doctor", "--json", **silent)
    assert checks(run, "problem").keys() <= {"network.connection", "network.late"}
    assert run.status == 8


def test_a_captive_portal_is_recognised(machine: Machine) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nHello"
    with Wire(lambda peer: peer.say(page)) as wire:
        run = machine.run("doctor", "--json", **dict.fromkeys(machine.sandbox.environment(), wire.url))
    assert checks(run, "problem").keys() == {"network.captive_portal"}


def test_who_signed_an_unknown_certificate_is_named(machine: Machine) -> None:
    context, trusted = tls_context(machine.root)
    with Wire(Peer.hang, tls=context) as wire:
        elsewhere = dict.fromkeys(machine.sandbox.environment(), wire.url)
        run = machine.run("doctor", "--json", **elsewhere)
        assert checks(run, "problem").keys() == {"network.tls"}
        assert "CN=wire" in checks(run, "problem")["network.tls"]
        run = machine.run("doctor", "--json", AWS_CA_BUNDLE=str(trusted) + ".gone", **elsewhere)
        assert "network.ca_bundle" in checks(run, "problem")


def test_offline_it_says_so(machine: Machine) -> None:
    """In a network of its own, with nothing in it; AWS's own names are asked for, and nobody hears it."""
    isolated = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-rn"]
    aws = dict.fromkeys(machine.sandbox.environment(), "")
    run = machine.run_program([*isolated, sys.executable, "-Im", "credhelper", "doctor", "--json"], **aws)
    assert checks(run, "problem").keys() <= {"network.dns", "network.late", "network.connection"}
    assert run.status == 8


def test_a_daemon_of_another_home_is_named(machine: Machine) -> None:
    assert machine.run("daemon", "start").status == 0
    other = machine.root / "other"
    (other / ".aws").mkdir(parents=True)
    run = machine.run("doctor", "--json", HOME=str(other))
    assert checks(run, "problem").keys() == {"daemon.home"}
    assert str(machine.home) in checks(run, "problem")["daemon.home"]


@pytest.mark.real_client  # it waits for seconds
def test_a_daemon_whose_installation_was_deleted_is_found(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("daemon", "stop").status == 0
    copy = machine.root / "installed"
    shutil.copytree(Path(credhelper.__file__).parent, copy / "credhelper", symlinks=False)
    environment = machine.environment | {"PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "credhelper", "daemon", "run"]
    with subprocess.Popen(command, env=environment, cwd=copy, stderr=subprocess.DEVNULL) as daemon:
        until(lambda: answers(machine.socket), "the daemon serves")
        assert "daemon.installation" in checks(machine.run("doctor", "--json"), "warning")
        shutil.rmtree(copy)
        run = machine.run("doctor", "--json")
        daemon.terminate()
    assert "daemon.installation" in checks(run, "problem")


def test_fifos_wherever_a_file_belongs_hold_nobody_up(machine: Machine) -> None:
    machine.log_in()
    data = machine.home / ".local/share/credhelper"
    settings = machine.home / ".config/credhelper/config.toml"
    settings.parent.mkdir(parents=True)
    files = [machine.config, machine.config.with_name("credentials"), machine.token_file(), settings]
    for path in [*files, data / "client.py", data / "installation"]:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    run = machine.run("doctor", "--json", AWS_CA_BUNDLE=str(machine.token_file()))
    assert {"config.unreadable", "settings.valid", "files.kind"} <= checks(run, "problem").keys()
    assert "doctor.late" not in checks(run, "problem")
    for path in [*files, data / "client.py", data / "installation"]:
        path.unlink()


@needs_root
def test_what_cannot_be_written_or_read_is_found(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("daemon", "stop").status == 0
    give_away(machine.root, NOBODY)
    machine.token_file().chmod(0)
    machine.cache.chmod(0o500)
    program = as_user(NOBODY, [sys.executable, "-Im", "credhelper", "doctor", "--json"])
    try:
        run = machine.run_program(program)
        machine.config.chmod(0)
        unreadable = machine.run_program(program)
    finally:
        give_away(machine.root, 0)
        machine.config.chmod(0o600)
        machine.cache.chmod(0o700)
        machine.token_file().chmod(0o600)
    assert {"files.unwritable", "cache.token"} <= checks(run, "problem").keys()
    assert "config.unreadable" in checks(unreadable, "problem")
