"""``credhelper export``: a role's credentials in the words of each shell, all of them or nothing."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.cli.shells import read_as_cmd, read_as_powershell
from tests.machine import Machine, Run
from tests.program.support import refusal

NAMES = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
    "AWS_CREDENTIAL_EXPIRATION": "Expiration",
    "AWS_ACCOUNT_ID": "AccountId",
}
SHELLS = ("env", "env-no-export", "powershell", "windows-cmd", "fish")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Logged in."""
    with Sandbox(lifetimes=Lifetimes(interval=0)) as sandbox, Machine(sandbox) as found:
        found.log_in()
        yield found


def export(machine: Machine, form: str, *options: str, profile: str = "dev") -> Run:
    return machine.run("export", "--profile", profile, "--format", form, *options)


def wanted(machine: Machine, profile: str = "dev") -> dict[str, str]:
    """The variables that should be set, in order."""
    document = machine.run("get", "--profile", profile).json()
    return {name: document[key] for name, key in NAMES.items()}


def test_by_default_it_prints_the_process_json_with_the_account(machine: Machine) -> None:
    run = machine.run("export", "--profile", "dev")
    assert (run.status, run.err) == (0, "")
    assert run.json() == machine.run("get", "--profile", "dev").json()
    assert run.out == json.dumps(run.json(), indent=2) + "\n"
    assert run == export(machine, "process")
    assert list(run.json()) == [
        *("Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId"),
    ]


def test_a_shell_that_evaluates_the_lines_has_the_credentials(machine: Machine) -> None:
    for form, tell in (("env", "env"), ("env-no-export", "set")):
        done = subprocess.run(
            ["sh", "-c", f'eval "$1"; {tell}', "sh", export(machine, form).out],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
        assert {name: said[name].strip("'") for name in NAMES} == wanted(machine)


def test_each_line_sets_one_variable_in_the_aws_clis_order(machine: Machine) -> None:
    for form, read in (("powershell", read_as_powershell), ("windows-cmd", read_as_cmd)):
        assert [read(line) for line in export(machine, form).out.splitlines()] == [*wanted(machine).items()]
    lines = [f'set -gx {name} "{value}"' for name, value in wanted(machine).items()]
    assert export(machine, "fish").out.splitlines() == lines


def hostile(machine: Machine, key: str, value: str) -> None:
    """Has AWS's next credentials hold ``value``."""
    machine.sandbox.fail("GetRoleCredentials", Fault(members={f"roleCredentials.{key}": value}))


def test_hostile_values_are_quoted(machine: Machine) -> None:
    value = "a'b \"$(touch pwned)`touch pwned`\\%!"
    hostile(machine, "secretAccessKey", value)
    lines = export(machine, "env", profile="native").out
    script = 'eval "$1"; printf %s "$AWS_SECRET_ACCESS_KEY"'
    said = subprocess.run(
        ["sh", "-c", script, "sh", lines], capture_output=True, text=True, check=True, cwd=machine.home
    ).stdout
    assert said == value
    assert not (machine.home / "pwned").exists()


def test_what_a_shell_cannot_be_told_safely_is_refused_and_nothing_is_printed(machine: Machine) -> None:
    role = ("--sso-session", "corp", "--account-id", "222233334444", "--role-name", "ReadOnly")
    hostile(machine, "sessionToken", "two\nlines")
    run = machine.run("export", *role, "--format", "windows-cmd")
    refusal(run, 6, "AWS_SESSION_TOKEN", "windows-cmd", "credhelper export --format process")
    assert "lines" not in run.err
    assert machine.run("export", *role).json()["SessionToken"] == "two\nlines"


def test_what_the_daemon_says_is_told_and_nothing_printed(machine: Machine) -> None:
    for form in ("process", *SHELLS):
        refusal(export(machine, form, profile="nobody"), 4, "nobody")
        refusal(export(machine, form, profile="legacy"), 3, "credhelper login")
    refusal(export(machine, "env", "--min-ttl", "2h"), 6)
    assert export(machine, "env", "--min-ttl", "30m").status == 0


def test_wrong_usage(machine: Machine) -> None:
    refusal(machine.run("export"), 2, "--profile")
    refusal(export(machine, "tcsh"), 2, "tcsh")
    refusal(export(machine, "env", "--min-ttl", "1x"), 2, "1x")
