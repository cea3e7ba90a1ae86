"""The daemon's log as a whole: the form that was asked for, on every line, and no secret whoever asks for more."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine, secrets_sent_to
from tests.program.support import answers, refusal, running_daemon, until
from tests.program.test_no_secrets import Recorder, age, strings_of

TIMED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ \S|    ")

ROLE = ("--sso-session", "corp", "--account-id", "222233334444", "--role-name", "Developer")


def write_settings(machine: Machine, text: str) -> None:
    path = machine.home / ".config" / "credhelper" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def live(machine: Machine, sandbox: Sandbox) -> Recorder:
    """Logs in, gets, refreshes, meets errors of several kinds, reloads and logs out; the secrets that came to be."""
    recorder = Recorder(machine)
    assert recorder.log_in("--sso-session", "corp") == 0
    assert recorder.run("get", "--profile", "dev").status == 0
    assert recorder.run("whoami", "--profile", "dev").status == 0
    faults = (Fault(status=500), Fault(status=400), Fault(cut=Cut.MIDDLE), Fault(body=Body.LIST), Fault(body=Body.HTML))
    for number, fault in enumerate(faults):
        for operation in ("CreateToken:refresh_token", "GetRoleCredentials"):
            sandbox.fail(operation, fault, times=None)
        age(machine, seconds=60 - number)
        recorder.run("get", *ROLE)
        sandbox.clear()
    assert recorder.log_in("--sso-session", "corp", "--force", "--use-device-code", deny=True) == 5
    assert recorder.log_in("--sso-session", "corp", "--force") == 0
    assert recorder.run("daemon", "reload").status == 0
    assert recorder.run("logout").status == 0
    assert recorder.run("get", "--profile", "dev").status == 3
    return recorder


@contextlib.contextmanager
def strange_daemon(machine: Machine, preparation: str) -> Iterator[Path]:
    """A daemon whose process somebody has prepared; the file that holds all it says."""
    code = (
        f"import sys\n{preparation}\nfrom credhelper.cli.main import main\nsys.exit(main(['--debug', 'daemon', 'run']))"
    )
    log = machine.root / "daemon.log"
    with open(log, "ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-Ic", code], env=machine.environment, cwd="/", stdin=subprocess.DEVNULL, stderr=said
        )
    try:
        until(lambda: process.poll() is not None or answers(machine.socket), "it serves")
        yield log
    finally:
        process.terminate()
        assert process.wait(SECONDS) == 0, log.read_text()


# -- no secret --------------------------------------------------------------------------------------------------------

CURIOUS = """
import logging
logging.basicConfig(level=logging.DEBUG)
import boto3, botocore.session
boto3.set_stream_logger("", logging.DEBUG)
botocore.session.get_session().set_debug_logger("botocore")
for name in ("botocore.endpoint", "botocore.parsers", "urllib3.connectionpool", "asyncio", "h11", "keyring"):
    logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger(name).addHandler(logging.StreamHandler())
"""


def test_not_even_somebody_who_has_switched_on_all_logging_sees_a_secret(machine: Machine, sandbox: Sandbox) -> None:
    with strange_daemon(machine, CURIOUS) as log:
        recorder = live(machine, sandbox)
        said = log.read_text()
    recorder.secrets |= secrets_sent_to(sandbox)
    assert len(recorder.secrets) > 15
    recorder.assert_silent(said, "the daemon's log")
    ours = said[said.index(" INFO serving at ") :]
    assert "botocore" not in ours
    for text in recorder.said:
        recorder.assert_silent(text, "what the commands said")


FAULTY = """
from credhelper.agent.agent import Agent
async def fail(self, fields):
    token = " ".join(path.read_text() for path in (self.home / ".aws/sso/cache").glob("*.json"))
    raise RuntimeError(token) from KeyError(token)
Agent.whoami = fail
"""


def test_a_fault_of_the_daemon_is_logged_with_its_place_and_not_with_its_text(machine: Machine) -> None:
    with strange_daemon(machine, FAULTY) as log:
        machine.log_in()
        content = strings_of(json.loads(machine.token_file().read_bytes()))
        refusal(machine.run("whoami", "--profile", "dev"), 1, "a fault in the credhelper daemon; its log says more")
        said = log.read_text()
    assert "ERROR a fault while answering whoami\n    KeyError\n    which led to:\n" in said
    assert ", in fail\n" in said
    assert "\n    RuntimeError\n" in said
    assert len(content) == 3
    assert not [secret for secret in content if secret in said]
    assert [line for line in said.splitlines() if not TIMED.match(line)] == [], "a line without a time is indented"


def test_a_fault_of_a_command_is_told_with_debug_by_its_place_and_not_by_its_text(machine: Machine) -> None:
    crash = (
        "import sys; from credhelper.cli import main, status;\n"
        "def crash(args): raise RuntimeError(''.join(('can', 'ary')))\n"
        "status.run = crash\n"
        "sys.exit(main.main(['status', '--debug']))"
    )
    run = machine.run_program([sys.executable, "-Ic", crash])
    assert run.status == 1
    assert "in crash" in run.err
    assert "RuntimeError" in run.err
    assert "canary" not in run.err


# -- its form ---------------------------------------------------------------------------------------------------------


def test_every_line_of_a_json_log_is_an_object(machine: Machine, sandbox: Sandbox) -> None:
    write_settings(machine, '[log]\nformat = "json"\nlevel = "debug"\n')
    with running_daemon(machine) as daemon:
        machine.log_in()
        sandbox.fail("GetRoleCredentials", Fault(status=500), times=None)
        assert machine.run("get", *ROLE).status == 6
        logged = [json.loads(line) for line in daemon.log().splitlines()]
    assert {one["level"] for one in logged} >= {"info", "warning"}
    for one in logged:
        assert one.keys() - {"exception"} == {"time", "level", "logger", "message"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["time"])
        assert one["logger"].startswith("credhelper.")


@pytest.mark.parametrize("form", ["text", "json"])
def test_to_the_journal_every_line_has_its_level_and_leaves_the_time_to_it(machine: Machine, form: str) -> None:
    write_settings(machine, f'[log]\nformat = "{form}"\n')
    log = machine.root / "daemon.log"
    log.touch()
    found = log.stat()
    with running_daemon(machine, JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}") as daemon:
        machine.log_in()
        machine.run("get", *ROLE)
        lines = daemon.log().splitlines()
    assert f"<6>serving at {machine.socket}" in lines or form == "json"
    for line in lines:
        assert re.match(r"<[3467]>", line), line
        if form == "json":
            json.loads(line[3:])
        else:
            assert not TIMED.match(line[3:]) or line[3:].startswith("    ")


def test_the_level_holds_from_the_start_unless_debug_is_asked_for(machine: Machine) -> None:
    write_settings(machine, '[log]\nlevel = "error"\n')
    with running_daemon(machine) as daemon:
        machine.run("daemon", "reload")
        assert daemon.log() == ""
    with running_daemon(machine, "--debug") as daemon:
        assert f"INFO serving at {machine.socket}" in daemon.log()


def test_the_log_file_of_a_daemon_that_a_client_started_follows_the_settings(machine: Machine) -> None:
    write_settings(machine, '[log]\nformat = "json"\n')
    assert machine.run("daemon", "start").status == 0
    [log] = machine.home.rglob("daemon-*.log")
    assert log.stat().st_mode & 0o777 == 0o600
    assert all(json.loads(line)["time"] for line in log.read_text().splitlines())
    write_settings(machine, "")
    assert machine.run("daemon", "reload").status == 0
    assert TIMED.match(log.read_text().splitlines()[-1])
    assert os.listdir(log.parent).count(log.name) == 1
