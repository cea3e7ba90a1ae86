"""Credentials over HTTP from the whole program: a grant ends with the program that has it, and with nothing before."""

import http.client
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from credhelper.local import places
from tests.machine import SECONDS, Machine
from tests.program.support import ask, request, until

HOLDER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as daemon:
    daemon.connect(sys.argv[1])
    daemon.sendall(bytes.fromhex(sys.argv[2]))
    print(b"".join(iter(lambda: daemon.recv(65536), b"")).hex(), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Holder:
    """A program that has been granted something, and lives until it is told to end."""

    process: "subprocess.Popen[str]"
    granted: dict[str, Any]

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(SECONDS) == 0

    def status(self, **changes: str) -> int | None:
        """How the daemon answers it; None when nobody listens there."""
        return self.answer(**changes)[0]

    def answer(self, **changes: str) -> tuple[int | None, dict[str, Any]]:
        found = self.granted | changes
        address, _, path = found["uri"].removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        try:
            connection.request("GET", "/" + path, headers={"Authorization": found["token"]})
            with connection.getresponse() as answer:
                return answer.status, json.loads(answer.read())
        except ConnectionError:
            return None, {}
        finally:
            connection.close()


def hold(machine: Machine, profile: str) -> Holder:
    sent = request(machine, "grant", profile=profile)
    process = subprocess.Popen(
        [sys.executable, "-IS", "-c", HOLDER, str(machine.socket), sent.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    answer = bytes.fromhex(process.stdout.readline())
    return Holder(process, json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1]))


def test_a_grant_lives_as_long_as_its_program_whatever_becomes_of_the_daemon(machine: Machine) -> None:
    machine.log_in()
    dev, native = hold(machine, "dev"), hold(machine, "native")
    assert dev.granted["uri"].rpartition("/")[0] == native.granted["uri"].rpartition("/")[0]
    assert len({holder.answer()[1]["AccessKeyId"] for holder in (dev, native)}) == 2
    assert dev.status(token=native.granted["token"]) == 403
    assert dev.status(token="x" * 43) == 401
    state = machine.home / ".local/state/credhelper"
    doors = places.open_doors(state, machine.socket)
    assert doors.stat().st_mode & 0o777 == 0o600
    os.kill(machine.daemon_pid(), signal.SIGKILL)
    until(lambda: dev.status() is None, "the daemon has died")
    assert machine.run("daemon", "start").status == 0
    assert {dev.status(), native.status()} == {200}
    dev.end()
    until(lambda: dev.status() == 401, "its grant has ended with it")
    assert native.status() == 200
    written = doors.read_text(encoding="utf-8") + places.daemon_log(state).read_text(encoding="utf-8")
    assert machine.run("daemon", "stop").status == 0
    native.end()
    assert machine.run("daemon", "start").status == 0
    assert native.status() is None, "it ended while nobody was there to see it"
    assert not doors.exists()
    for holder in (dev, native):
        assert holder.granted["token"] not in written


def test_a_logout_ends_every_grant_and_a_later_login_brings_none_back(machine: Machine) -> None:
    machine.log_in()
    dev, native = hold(machine, "dev"), hold(machine, "native")
    assert json.loads(ask(machine, "revoke", id=native.granted["id"])["out"]) == {"revoked": True}
    assert json.loads(ask(machine, "revoke", id=native.granted["id"])["out"]) == {"revoked": False}
    assert (dev.status(), native.status()) == (200, 401)
    assert machine.run("logout", "--sso-session", "corp").status == 0
    assert dev.status() is None
    machine.log_in()
    assert dev.status() is None
    again = hold(machine, "dev")
    assert again.status() == 200
    assert again.status(token=dev.granted["token"]) == 401
    for holder in (dev, native, again):
        holder.end()


def test_who_cannot_be_granted_anything_is_told_as_by_get(machine: Machine) -> None:
    assert machine.run("daemon", "start").status == 0
    refused = ask(machine, "grant", profile="dev")
    assert refused["status"] == "3"
    assert "credhelper login --sso-session corp" in refused["err"]
    assert ask(machine, "grant", profile="nobody")["status"] == "4"
    machine.log_in()
    assert ask(machine, "grant", profile="dev", min_ttl=str(7 * 86_400))["status"] == "6"
    assert ask(machine, "grant", profile="dev", ttl="soon")["status"] == "2"
