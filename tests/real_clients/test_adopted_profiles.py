"""The real clients get credentials through the line that `credhelper configure command` prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG

from .desk import ACCOUNT, Desk, role_of

pytestmark = pytest.mark.real_client

FOR_EVERY_SDK = ["plain", "a/b@c.d", "100%", "%41", "-dash", "under_score-9"]
"""The JavaScript SDK takes no other characters in the name of a section."""
AWKWARD = [
    "two words",
    "Büro Zürich",
    "a#b",
    "# first",
    "a;b",
    "it's",
    'say "so"',
    "-x --y",
    "~tilde",
    "$HOME",
    "a+b=c&d|e>f*?",
    "日本 🗝",
]
EVERY = FOR_EVERY_SDK + AWKWARD

LISTED_BY_BOTOCORE = "import sys, botocore.session; print(*botocore.session.Session().available_profiles, sep='\\n')"


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Logged in, with a profile under each name; no test changes it."""
    with Sandbox() as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        for profile in EVERY:
            desk.adopt(profile)
        yield desk


def lines(desk: Desk) -> dict[str, str]:
    """Each profile's line as it stands in `~/.aws/config`."""
    found = [line.partition(" = ")[2] for line in desk.config.read_text().splitlines() if "credential_process" in line]
    return dict(zip(EVERY, found, strict=True))


def test_botocore_reads_each_name(desk: Desk) -> None:
    listed = desk.run_program([sys.executable, "-c", LISTED_BY_BOTOCORE])

    assert set(EVERY) <= set(listed.out.splitlines())


@pytest.mark.parametrize("profile", ["plain", "-dash", *AWKWARD[:8]])
def test_the_aws_cli_runs_the_line(desk: Desk, aws_cli: Path, profile: str) -> None:
    done = desk.aws(aws_cli, "configure", "export-credentials", f"--profile={profile}")

    assert done.status == 0, done.err
    assert done.json()["AccessKeyId"] == desk.run("get", f"--profile={profile}").json()["AccessKeyId"]


def test_the_aws_cli_works_in_the_role(desk: Desk, aws_cli: Path) -> None:
    assert desk.aws_role(aws_cli, "Büro Zürich") == "Developer"


def test_boto3_runs_each_line_and_learns_the_account(desk: Desk) -> None:
    found = desk.boto3(*EVERY)

    assert found.status == 0, found.err
    assert {profile: (role_of(arn), account) for profile, (arn, account) in found.json().items()} == dict.fromkeys(
        EVERY, ("Developer", ACCOUNT)
    )


@pytest.mark.parametrize("provider", ["fromProcess", "fromIni", "fromNodeProviderChain"])
def test_the_javascript_sdk_runs_each_line_it_can_name(desk: Desk, js_sdk: Path, provider: str) -> None:
    found = desk.javascript(js_sdk, provider, *FOR_EVERY_SDK)

    assert found.status == 0, found.err
    assert {profile: (role_of(arn), account) for profile, (arn, account) in found.json().items()} == dict.fromkeys(
        FOR_EVERY_SDK, ("Developer", ACCOUNT)
    )


def test_a_shell_and_a_split_into_words_run_the_same(desk: Desk) -> None:
    for profile, line in lines(desk).items():
        split = desk.run_program(shlex.split(line))
        by_shell = desk.run_program(["sh", "-c", line])
        by_bash = desk.run_program(["bash", "-c", line])
        assert (split.status, split.err) == (0, ""), profile
        assert split == by_shell == by_bash, profile
        assert split.json()["AccountId"] == ACCOUNT


def test_the_line_is_as_plain_as_every_parser_needs(desk: Desk) -> None:
    for profile, line in lines(desk).items():
        assert line.isascii(), profile
        assert not set("#;$\\\"'`~*?&|<>()") & set(line), profile
        interpreter, flags, copy, argument = line.split(" ")
        assert flags == "-IS"
        assert Path(interpreter).is_absolute()
        assert copy == str(desk.home / ".local/share/credhelper/client.py")
        assert not argument.startswith("-")


def test_a_data_directory_with_a_space_in_its_path(sandbox: Sandbox, aws_cli: Path, js_sdk: Path) -> None:
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        data = desk.root / "my data" / "ü"
        desk.environment["XDG_DATA_HOME"] = str(data)
        desk.log_in()
        line = desk.adopt("spaced")
        desk.adopt("two words")

        interpreter = line.split(" ")[1]
        assert line == f'/usr/bin/env {interpreter} -IS "{data}/credhelper/client.py" spaced'
        assert desk.aws_role(aws_cli, "two words") == "Developer"
        assert desk.boto3_role("two words") == "Developer"
        assert desk.javascript(js_sdk, "fromProcess", "spaced").json()["spaced"][1] == ACCOUNT
        assert desk.run_program(shlex.split(line)) == desk.run_program(["sh", "-c", line])
        # An SDK need not pass on where the data directory is.
        del desk.environment["XDG_DATA_HOME"]
        assert desk.run_program(shlex.split(line)).status == 0


def test_without_a_login_every_client_shows_what_credhelper_says(sandbox: Sandbox, aws_cli: Path, js_sdk: Path) -> None:
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.adopt("two words")
        desk.adopt("plain")

        hint = "credhelper: hint: credhelper login --sso-session corp"
        by_cli = desk.aws(aws_cli, "sts", "get-caller-identity", "--profile", "two words")
        by_boto3 = desk.boto3("two words")
        by_javascript = desk.javascript(js_sdk, "fromProcess", "plain")
        for done in (by_cli, by_boto3, by_javascript):
            assert done.status != 0
            assert done.out == ""
            assert "credhelper: error: you are not logged in to session “corp”" in done.err
            assert hint in done.err


def test_a_client_that_waits_for_the_pipes_end_is_not_held_up_by_the_daemon_it_started(sandbox: Sandbox) -> None:
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        line = desk.adopt("plain")
        # As Node's exec() and Go do, this waits for the end of both pipes; a daemon must not hold them.
        done = desk.run_program(["sh", "-c", line])
        assert (done.status, done.out) == (3, "")
        assert desk.daemon_pid()
