"""Fifty AWS CLIs start at once on a token that has expired, at a portal whose refresh tokens work only once.

Each process works in a role of its own, for the AWS CLI's cache of roles would spare most of them the token.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Self

import pytest

from credhelper.sandbox.directory import Assignment, Role, default_directory
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Run

from .desk import ACCOUNT, QUIET, Desk, move_expiry

pytestmark = [pytest.mark.real_client, pytest.mark.timeout(600)]  # fifty AWS CLIs take two cores a quarter of a minute

PROCESSES = 50
ALONE = 20  # without credhelper: enough to show it
AT_ONCE = 10  # of these, how many certainly hold the same refresh token in their hands
SECONDS = 500
ROLES = [f"Role{number:02}" for number in range(PROCESSES)]

NATIVE = """
[profile {role}]
region = eu-west-1
sso_session = corp
sso_account_id = {account}
sso_role_name = {role}
"""
ADOPTED = """
[profile {role}]
region = eu-west-1
credential_process = {line}
credhelper_sso_session = corp
credhelper_sso_account_id = {account}
credhelper_sso_role_name = {role}
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    known = default_directory()
    roles = known.roles + tuple(Role(name) for name in ROLES)
    assignments = known.assignments | {Assignment("alice", ACCOUNT, name) for name in ROLES}
    with Sandbox(
        lifetimes=Lifetimes(interval=0), directory=replace(known, roles=roles, assignments=assignments)
    ) as running:
        running.rotate_refresh_tokens(True)
        yield running


@pytest.fixture
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    """Logged in, with the daemon up."""
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        yield desk


def append(desk: Desk, *sections: str) -> None:
    desk.write_config(desk.config.read_text(encoding="utf-8") + "".join(sections))


def have_native_profiles(desk: Desk) -> None:
    append(desk, *(NATIVE.format(role=role, account=ACCOUNT) for role in ROLES))


def have_adopted_profiles(desk: Desk) -> None:
    first, *others = ROLES
    line = desk.adopt(first, first)
    sections = (ADOPTED.format(role=role, account=ACCOUNT, line=line.replace(first, role)) for role in others)
    append(desk, *sections)


class Crowd:
    """An AWS CLI for each of the roles, started at once. Leaving the block ends those that are still there."""

    def __init__(self, desk: Desk, aws_cli: Path, roles: list[str]) -> None:
        self._stack = ExitStack()
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]] = []
        for role in roles:
            # Files, and no pipes: nobody reads while all of them start.
            out = self._stack.enter_context((desk.root / f"{role}.out").open("w+b"))
            err = self._stack.enter_context((desk.root / f"{role}.err").open("w+b"))
            process = subprocess.Popen(
                [str(aws_cli), "configure", "export-credentials", f"--profile={role}"],
                env=desk.environment | QUIET,
                cwd=desk.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            self._stack.callback(process.wait)
            self._stack.callback(process.kill)
            self._started.append((process, out, err))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def finish(self) -> list[Run]:
        """What each of them came to."""
        return [Run(process.wait(SECONDS), _text(out), _text(err)) for process, out, err in self._started]


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def assert_all_have_credentials(runs: list[Run]) -> None:
    failures = Counter(run.err for run in runs if run.status != 0)
    assert not failures
    keys = {json.loads(run.out)["AccessKeyId"] for run in runs}
    assert len(keys) == PROCESSES, "each got its own role's"


def test_fifty_processes_on_adopted_profiles_take_one_refresh(desk: Desk, aws_cli: Path, sandbox: Sandbox) -> None:
    have_adopted_profiles(desk)
    sandbox.fail("CreateToken:refresh_token", Fault(delay=3))  # the first of them come while it is under way
    before = move_expiry(desk.token_file(), minutes=-1)

    with Crowd(desk, aws_cli, ROLES) as crowd:
        assert_all_have_credentials(crowd.finish())

    assert desk.refreshes() == 1
    assert sandbox.calls["GetRoleCredentials"] == PROCESSES
    assert json.loads(desk.token_file().read_text())["refreshToken"] != before["refreshToken"]


def test_fifty_processes_that_read_the_token_file_themselves_find_it_refreshed(
    desk: Desk, aws_cli: Path, sandbox: Sandbox
) -> None:
    have_native_profiles(desk)
    before = move_expiry(desk.token_file(), minutes=-1)

    with Crowd(desk, aws_cli, ROLES) as crowd:
        assert_all_have_credentials(crowd.finish())

    assert desk.refreshes() == 1
    assert sandbox.calls["GetRoleCredentials"] == PROCESSES
    assert json.loads(desk.token_file().read_text())["refreshToken"] != before["refreshToken"]


def test_without_credhelper_it_is_a_race(desk: Desk, aws_cli: Path, sandbox: Sandbox) -> None:
    """What the two tests above would be worth little without. How it ends for each is up to the AWS CLI."""
    have_native_profiles(desk)
    desk.stop_daemon()
    move_expiry(desk.token_file(), minutes=-1)

    with sandbox.hold("CreateToken:refresh_token") as hold, Crowd(desk, aws_cli, ROLES[:ALONE]) as crowd:
        hold.wait_for(AT_ONCE, timeout=SECONDS)
        hold.release()
        runs = crowd.finish()

    failed = sum(run.status != 0 for run in runs)
    print(f"without credhelper {failed} of {ALONE} AWS CLIs failed, after {desk.refreshes()} tries to refresh")
    assert desk.refreshes() > 1
