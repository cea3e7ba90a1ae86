"""``credhelper configure sso-session``: from an empty machine to a login, by options and by questions."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine, Run
from tests.program.support import refusal
from tests.program.terminal import Terminal
from tests.vanity import PORTAL, company

CORP = ("--sso-session", "corp")
SECTION = """\
[sso-session corp]
sso_start_url = https://sandbox.awsapps.com/start
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=0), start_urls=[PORTAL]) as running:
        yield running


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[Machine]:
    """One without any configuration."""
    with Machine(sandbox, "") as found:
        found.config.unlink()
        yield found


def configure(machine: Machine, *arguments: str) -> Run:
    return machine.run("configure", "sso-session", *arguments)


def test_a_section_is_checked_shown_and_written(machine: Machine, sandbox: Sandbox) -> None:
    url = ("--sso-start-url", "sandbox.awsapps.com/start/#/?tab=accounts")
    wanted = (*CORP, *url, "--sso-region", "us-east-1")
    shown = configure(machine, *wanted, "--diff")
    assert shown.status == 0, shown.err
    assert [line[1:] for line in shown.out.splitlines() if line.startswith("+")][1:] == SECTION.splitlines()
    assert not machine.config.exists()

    done = configure(machine, *wanted, "--yes")
    assert (done.status, machine.config.read_text()) == (0, SECTION)
    assert done.out == f"[sso-session corp] is written to {machine.config}\n"
    assert "Taken as https://sandbox.awsapps.com/start\n" in done.err
    assert done.err.splitlines()[-1] == "Log in with: credhelper login --sso-session corp"
    machine.log_in()

    again = configure(machine, *CORP, "--yes", "--json")
    assert again.json() == {
        "sso_session": "corp",
        "start_url": sandbox.start_url,
        "region": "us-east-1",
        "scopes": ["sso:account:access"],
        "checked": True,
        "changed": False,
        "config": str(machine.config),
        "backup": None,
    }


def test_what_aws_does_not_take_is_refused_unless_nobody_asks_it(machine: Machine) -> None:
    machine.write_config(SECTION)
    other = (*CORP, "--sso-start-url", "https://other.awsapps.com/start", "--yes")
    refusal(configure(machine, *other), 4, "AWS in us-east-1 does not take the start URL https://other.awsapps.com")
    assert machine.config.read_text() == SECTION
    done = configure(machine, *other, "--no-check", "--json")
    assert (done.json()["checked"], done.json()["changed"]) == (False, True)
    assert machine.config.read_text() == SECTION.replace("sandbox", "other")
    assert Path(done.json()["backup"]).read_text() == SECTION
    again = configure(machine, *CORP, "--sso-region", "eu-west-1", "--no-check", "--yes")
    assert again.err.splitlines()[-1] == "Log in with: credhelper login --force --sso-session corp"


def test_without_a_terminal_the_missing_option_is_named(machine: Machine) -> None:
    refusal(configure(machine), 2, "--sso-session is missing", "--sso-start-url URL")
    refusal(configure(machine, *CORP, "--yes"), 2, "--sso-start-url is missing")
    url = ("--sso-start-url", "https://sandbox.awsapps.com/start")
    refusal(configure(machine, *CORP, *url, "--yes"), 2, "--sso-region is missing")
    region = ("--sso-region", "us-east-1")
    refusal(configure(machine, *CORP, *url, *region), 2, "no terminal", "--sso-region us-east-1 --yes")
    refusal(configure(machine, "--sso-session", "a]b", *url, "--yes"), 2, "cannot be a section's name")
    assert not machine.config.exists()


def test_through_a_companys_own_address_the_region_is_found_and_kept_up_to_date(
    machine: Machine, tmp_path: Path
) -> None:
    with company(tmp_path) as (vanity, trusted):
        machine.environment["AWS_CA_BUNDLE"] = trusted
        done = configure(machine, *CORP, "--sso-start-url", vanity.url, "--yes", "--json")
        assert done.status == 0, done.err
        assert (done.json()["start_url"], done.json()["region"]) == (vanity.url, "eu-west-1")
        profile = "\n[profile dev]\nsso_session = corp\nsso_region = {}\n"
        before = machine.config.read_text() + profile.format("eu-west-1") + "# mine\n"
        machine.write_config(before.replace("eu-west-1", "us-east-1"))
        with machine.logging_in(*CORP, "--json") as (login, event):
            machine.approve(event)
            out, err = login.communicate()
    assert login.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["event"] == "logged_in"
    assert '"region"' not in out
    assert f"sso_region in {machine.config} says so now" in err
    assert machine.config.read_text() == before
    assert json.loads(machine.token_file().read_bytes())["region"] == "eu-west-1"


def test_on_a_terminal_it_asks_for_what_no_option_says(machine: Machine) -> None:
    command = [sys.executable, "-Im", "credhelper", "configure", "sso-session"]
    with Terminal(machine.environment, machine.home, command) as terminal:
        terminal.shows(r"SSO session name: $")
        terminal.enter("co[rp")
        terminal.shows(r"cannot be a section's name")
        terminal.shows(r"SSO session name: $")
        terminal.enter("corp")
        terminal.shows(r"SSO start URL: $")
        terminal.enter("https://sandbox.awsapps.com/start/#/")
        terminal.shows(r"Taken as https://sandbox\.awsapps\.com/start$")
        terminal.shows(r"SSO region: $")
        terminal.enter("us-east-1")
        terminal.shows(r"SSO registration scopes \[sso:account:access\]: $")
        terminal.enter("x:y")
        terminal.shows(r"does not take the scopes x:y")  # it asks once more, and proposes what was typed
        terminal.shows(r"SSO start URL \[https://sandbox\.awsapps\.com/start\]: $")
        terminal.enter("")
        terminal.shows(r"SSO region \[us-east-1\]: $")
        terminal.enter("us-east-1")
        terminal.shows(r"SSO registration scopes \[sso:account:access\]: $")
        terminal.enter("")
        terminal.shows(r"AWS in us-east-1 takes this start URL")
        terminal.shows(r"^\+sso_region = us-east-1$")
        terminal.shows(r"Write this to .*\[y/N\] $")
        terminal.enter("y")
        terminal.shows(r"Log in with: credhelper login --sso-session corp$")
    assert machine.config.read_text() == SECTION


@pytest.mark.parametrize(("key", "said"), [("\x03", r"\^C"), ("\x04", "nothing was changed")])
def test_a_person_may_leave_at_any_question_and_nothing_is_written(machine: Machine, key: str, said: str) -> None:
    machine.write_config(SECTION)
    shell = ["sh", "-c", 'trap : INT; "$@"; echo "status $?"; stty -a', "sh", sys.executable, "-Im", "credhelper"]
    with Terminal(machine.environment, machine.home, [*shell, "configure", "sso-session"]) as terminal:
        terminal.shows(r"SSO session name \[corp\]: $")
        terminal.enter("")
        terminal.shows(r"SSO start URL \[https://sandbox\.awsapps\.com/start\]: $")
        terminal.type(key)
        terminal.shows(said)
        terminal.shows(r"^status 130$")
        terminal.shows(r"(?s)[^-]icanon.*[^-]echo ")
    assert machine.config.read_text() == SECTION


def test_a_region_that_cannot_be_written_is_told_and_the_login_is_good(machine: Machine, tmp_path: Path) -> None:
    with company(tmp_path) as (vanity, trusted):
        machine.environment["AWS_CA_BUNDLE"] = trusted
        machine.write_config(f"[default]\nsso_start_url = {vanity.url}\n[profile x]\nregion = eu-west-1\n")
        (machine.home / ".aws" / "credentials").write_text("[default]\nsso_region = us-east-1\n")
        with machine.logging_in("--json") as (login, event):
            machine.approve(event)
            out, err = login.communicate()
    assert login.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["event"] == "logged_in"
    assert f"sso_region could not be set: {machine.home}/.aws/credentials: [default] has sso_region" in err
