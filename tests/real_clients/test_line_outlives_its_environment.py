"""A line in a profile goes on working when the virtual environment that wrote it is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import botocore
import pytest

import credhelper
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Run

from .desk import Desk

pytestmark = pytest.mark.real_client


@dataclass(frozen=True)
class Environment:
    """A virtual environment that credhelper is installed in; it can be deleted, modules, data files and all."""

    path: Path
    desk: Desk

    def build(self) -> None:
        """Makes it, with links in place of copies."""
        base = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([base, "-Im", "venv", "--without-pip", self.path], check=True)
        packages = next(self.path.glob("lib/python*/site-packages"))
        # What botocore needs lies beside it.
        for found in [*Path(botocore.__file__).parents[1].iterdir(), Path(credhelper.__file__).parent]:
            if found.is_dir() or found.suffix == ".py":
                (packages / found.name).symlink_to(found)

    def delete(self) -> None:
        """Removes it; what its links lead to stays."""
        shutil.rmtree(self.path)

    def run(self, *arguments: str) -> Run:
        """Runs this environment's credhelper."""
        return self.desk.run_program([str(self.path / "bin" / "python"), "-Im", "credhelper", *arguments])


@pytest.fixture
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        yield desk


@pytest.fixture
def old(desk: Desk) -> Environment:
    """The environment that writes the line."""
    environment = Environment(desk.root / "old", desk)
    environment.build()
    return environment


@pytest.fixture
def new(desk: Desk) -> Environment:
    """Where credhelper is installed again, elsewhere."""
    environment = Environment(desk.root / "elsewhere" / "new", desk)
    environment.build()
    return environment


def write_line(environment: Environment) -> list[str]:
    printed = environment.run("configure", "command", "--profile", "dev")
    assert printed.status == 0, printed.err
    assert str(environment.path) not in printed.out, "the line names nothing that goes with it"
    return printed.out.split()


def test_the_line_works_again_once_the_new_environment_has_started_the_daemon(
    desk: Desk, old: Environment, new: Environment
) -> None:
    line = write_line(old)
    assert old.run("daemon", "start").status == 0
    desk.log_in()
    assert desk.run_program(line).status == 0
    assert old.run("daemon", "stop").status == 0
    old.delete()
    gone = desk.run_program(line)
    assert (gone.status, gone.out) == (7, "")
    assert "the installation that wrote this client is gone" in gone.err
    assert "credhelper: hint: install credhelper again, then run: credhelper daemon start" in gone.err

    assert new.run("daemon", "start").status == 0
    with_daemon = desk.run_program(line)
    pid = desk.daemon_pid()
    assert new.run("daemon", "stop").status == 0
    by_itself = desk.run_program(line)

    assert (with_daemon.status, with_daemon.err) == (0, "")
    assert (by_itself.status, by_itself.err) == (0, "")
    assert desk.daemon_pid() != pid
    assert Path(f"/proc/{desk.daemon_pid()}/cmdline").read_text().startswith(str(new.path))


def test_the_line_works_again_once_the_new_environment_has_printed_one(
    desk: Desk, old: Environment, new: Environment
) -> None:
    line = write_line(old)
    desk.log_in()
    desk.stop_daemon()
    old.delete()

    assert write_line(new) == line
    done = desk.run_program(line)

    assert (done.status, done.err) == (0, "")


def test_a_daemon_whose_environment_was_deleted_is_replaced_where_it_cannot_go_on(
    desk: Desk, aws_cli: Path, old: Environment, new: Environment
) -> None:
    line = write_line(old)
    assert old.run("daemon", "start").status == 0
    assert desk.aws_login(aws_cli, "--profile", "native").status == 0
    before = desk.daemon_pid()
    old.delete()

    # It has not called AWS yet, and does not find all that this takes; nor is there another installation to turn to.
    cold = desk.run_program(line)
    assert (cold.status, cold.out) == (7, "")
    assert "credhelper: hint: install credhelper again" in cold.err

    assert write_line(new) == line
    assert desk.run_program(line).status == 0
    assert desk.daemon_pid() != before


def test_a_daemon_whose_environment_was_deleted_serves_what_it_has(desk: Desk, old: Environment) -> None:
    line = write_line(old)
    assert old.run("daemon", "start").status == 0
    desk.log_in()
    served = desk.run_program(line)
    old.delete()

    assert served.status == 0
    assert desk.run_program(line) == served
    # A role in a session that it has called AWS for before.
    assert desk.run("get", "--profile", "native").status == 0


def test_a_login_through_a_daemon_whose_environment_was_deleted_replaces_it_first(desk: Desk, old: Environment) -> None:
    assert old.run("daemon", "start").status == 0
    before = desk.daemon_pid()
    old.delete()

    desk.log_in()

    assert desk.daemon_pid() != before
