"""``credhelper audit`` with a daemon: who asked is recorded within moments, and to look changes nothing."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from credhelper.local.audit_log import KEYS
from tests.machine import SECONDS, Machine
from tests.program.support import complaint, running_daemon, until


def log_file(machine: Machine) -> Path:
    return machine.home / ".local" / "state" / "credhelper" / f"audit-{os.uname().nodename}.jsonl"


@pytest.fixture
def machine(machine: Machine) -> Machine:
    """Logged in."""
    machine.log_in()
    return machine


def test_a_request_of_the_fast_client_is_recorded_with_the_program_that_made_it(machine: Machine) -> None:
    line = machine.process_line("dev")
    place = machine.root / "project"
    place.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({line!r})"],
        cwd=place,
        env=machine.environment,
        stdout=subprocess.PIPE,
    ) as tool:
        document = json.loads(tool.communicate(timeout=SECONDS)[0])
    until(lambda: log_file(machine).exists() and log_file(machine).read_bytes().endswith(b"\n"), "it is written")
    run = machine.run("audit", "--json", "--since", "1h", "--profile", "dev")
    assert (run.status, run.err) == (0, "")
    assert tuple(run.json()) == KEYS
    assert run.json() == {
        "time": run.json()["time"],
        "door": "get",
        "uid": os.getuid(),
        "pid": tool.pid,
        "exe": os.path.realpath(sys.executable),
        "cwd": str(place),
        "profile": "dev",
        "account_id": "111122223333",
        "role_name": "Developer",
        "outcome": "ok",
        "cache_hit": False,
        "expires_at": document["Expiration"],
    }
    assert "client.py" not in log_file(machine).read_text()  # an argument of the program's
    assert stat.S_IMODE(log_file(machine).stat().st_mode) == 0o600


def test_it_goes_on_with_the_next_daemon_and_starts_none(machine: Machine) -> None:
    assert machine.run("get", "--profile", "dev").status == 0
    assert machine.run("daemon", "stop").status == 0
    before = machine.run("audit", "--json").out
    assert json.loads(before)["profile"] == "dev"
    assert not machine.socket.exists()
    assert machine.run("whoami", "--profile", "native").status == 0
    after = machine.run("audit", "--json").out
    assert after.startswith(before)
    assert json.loads(after.splitlines()[1])["door"] == "whoami"


def test_what_cannot_be_written_is_told_and_refuses_nobody(machine: Machine) -> None:
    machine.run("daemon", "stop")
    with running_daemon(machine) as daemon:
        os.mkfifo(log_file(machine))
        assert machine.run("get", "--profile", "dev").status == 0
        run = machine.run("audit")
        assert run.status == 1
        warning, error = run.err.splitlines()
        assert warning.startswith("credhelper: warning: 1 records are missing here: ")
        complaint(error, "the audit cannot be read: ", "not a regular file")
        health = machine.run("daemon", "health")
        assert health.status == 0
        assert "the audit cannot be written" in health.out
        assert daemon.log().count("the audit cannot be written") == 1
        log_file(machine).unlink()
        assert machine.run("audit", "--json").json()["profile"] == "dev"
