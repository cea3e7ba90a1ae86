"""What a person at a terminal waits for: the first paint of a list over 2,500 roles; and what a live status costs."""

import contextlib
import json
import statistics
import sys
import time
from pathlib import Path

from credhelper.sandbox.directory import large_directory
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests import vitals
from tests.bench import shell
from tests.elsewhere import token_of_new_login
from tests.machine import Machine
from tests.program.support import ask
from tests.sandbox.clients import Clients
from tests.screen import Screen

Figure = tuple[str, str]

ACCOUNTS, ROLES = 500, 5
SESSION = """\
[sso-session corp]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""
PROFILE = """
[profile {name}]
sso_session = corp
sso_account_id = {account}
sso_role_name = {role}
region = eu-west-1
"""


def figures(runs: int, seconds: float) -> list[Figure]:
    """All of them, on a machine of their own with a profile for each of 2,500 roles."""
    directory = large_directory(ACCOUNTS, ROLES)
    names = [(account.account_id, role.name) for account in directory.accounts for role in directory.roles]
    profiles = (PROFILE.format(name=f"{account}-{role}", account=account, role=role) for account, role in names)
    with (
        Sandbox(lifetimes=Lifetimes(interval=0), directory=directory) as sandbox,
        Machine(sandbox, SESSION.format(start_url=sandbox.start_url) + "".join(profiles)) as machine,
    ):
        machine.cache.mkdir(parents=True)
        with contextlib.closing(Clients(sandbox)) as clients:
            machine.token_file().write_bytes(token_of_new_login(sandbox, clients, left=3600))
        assert machine.run("daemon", "start").status == 0
        offered = [_offer(machine, len(names)) for _ in range(runs)]
        painted, searched = zip(*(_paint(machine) for _ in range(runs)), strict=True)
        many = f"{len(names):,} roles"
        return [
            (f"the daemon's answer to what there is to choose from, {many}, median of {runs}", _ms(offered)),
            (f"`credhelper export`: process start to the first paint of a list over {many}, median", _ms(painted)),
            ("from a key in that list to what it finds, median", _ms(searched)),
            _watch(machine, seconds),
            *shell.figures(machine, names[-1][0], runs),
        ]


def _offer(machine: Machine, count: int) -> float:
    started = time.perf_counter()
    found = json.loads(ask(machine, "choices")["out"])
    took = time.perf_counter() - started
    assert len(found["profiles"]) == count, len(found["profiles"])
    return took


def _paint(machine: Machine) -> tuple[float, float]:
    started = time.perf_counter()
    with Screen([_program(), "export"], machine.environment, machine.home) as screen:
        screen.said(b"Role00")
        painted = time.perf_counter() - started
        screen.shows("search:")
        started = time.perf_counter()
        screen.type("3")
        screen.shows("search: 3")
        return painted, time.perf_counter() - started


def _watch(machine: Machine, seconds: float) -> Figure:
    """The processors' time that both sides take while nothing happens but the time left running."""
    pid = machine.daemon_pid()
    with Screen([_program(), "status", "--watch"], machine.environment, machine.home) as screen:
        screen.shows("^corp ")
        before = vitals.cpu_seconds(screen.pid), vitals.cpu_seconds(pid)
        screen.look_on(seconds)
        watcher, daemon = (
            (vitals.cpu_seconds(each) - then) / seconds for each, then in zip((screen.pid, pid), before, strict=True)
        )
        screen.type("q")
        assert screen.ends() == 0
    return (
        f"`status --watch`, of one processor: itself, and the daemon with {ACCOUNTS * ROLES:,} profiles, {seconds:g} s",
        f"{watcher:.1%}, {daemon:.1%}",
    )


def _program() -> str:
    return str(Path(sys.executable).with_name("credhelper"))


def _ms(took: "tuple[float, ...] | list[float]") -> str:
    return f"{statistics.median(took) * 1000:.0f} ms"
