"""`credhelper export` beside `aws configure export-credentials`, and in the shells that it is meant for."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credhelper.cli.shell_words import ASSIGNMENTS
from credhelper.sandbox.server import Sandbox
from tests.cli.shells import HOSTILE, set_by, values
from tests.machine import CONFIG

from . import clients
from .desk import Desk

pytestmark = pytest.mark.real_client

SHELLS = {"dash": "env", "zsh": "env", "fish": "fish"}


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Logged in; no test changes it."""
    with Sandbox() as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        desk.adopt("adopted")
        yield desk


@pytest.mark.parametrize("form", ["process", *ASSIGNMENTS])
def test_ordinary_values_stand_as_the_aws_cli_prints_them_and_the_account_comes_after(
    desk: Desk, aws_cli: Path, form: str
) -> None:
    theirs = desk.aws(aws_cli, "configure", "export-credentials", "--profile", "adopted", "--format", form)
    ours = desk.run("export", "--profile", "adopted", "--format", form)

    assert (theirs.status, ours.status, ours.err) == (0, 0, ""), theirs.err
    # The form of a time that every SDK reads, where the AWS CLI has Python's.
    told = theirs.out.replace("+00:00", "Z")
    if form == "process":
        assert ours.out == told.replace("\n}\n", ',\n  "AccountId": "111122223333"\n}\n')
    else:
        *lines, account = ours.out.splitlines(keepends=True)
        assert "".join(lines) == told
        assert re.fullmatch(r'(\S+ )*(\$Env:)?AWS_ACCOUNT_ID[ =]"?111122223333"?\n', account)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_hostile_value_arrives_as_it_is(shell: str, tmp_path: Path) -> None:
    clients._installed(shell)
    for arrived in set_by(shell, SHELLS[shell], list(HOSTILE), tmp_path):
        assert arrived == list(HOSTILE)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_any_value_arrives_as_it_is(shell: str) -> None:
    clients._installed(shell)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(values, min_size=1, max_size=80))
    def arrives(wanted: list[str]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for arrived in set_by(shell, SHELLS[shell], wanted, Path(scratch)):
                assert arrived == wanted

    arrives()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_evaluates_what_it_prints_is_the_role(desk: Desk, aws_cli: Path, shell: str) -> None:
    clients._installed(shell)
    lines = desk.run("export", "--profile", "dev", "--format", SHELLS[shell]).out
    source = "printf %s $argv[1] | source" if shell == "fish" else 'eval "$1"'
    tell = f"{aws_cli} sts get-caller-identity --query Account --output text --region us-east-1"
    name = [] if shell == "fish" else [shell]
    done = desk.run_program([shell, "-c", f"{source}\n{tell}", *name, lines], AWS_EC2_METADATA_DISABLED="true")
    assert (done.status, done.out) == (0, "111122223333\n"), done.err
