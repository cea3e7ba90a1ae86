"""One login serves credhelper, the AWS CLI and boto3, whichever of them a person logged in with or out of."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Run

from .desk import ACCOUNT, Desk, look, move_expiry

pytestmark = pytest.mark.real_client

MORE = """
[sso-session unscoped]
sso_start_url = {start_url}
sso_region = us-east-1

[profile unscoped]
sso_session = unscoped
sso_account_id = 111122223333
sso_role_name = Developer

[sso-session "Büro \\"Zürich\\""]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access , , sso:account:access

[profile office]
sso_session = Büro "Zürich"
sso_account_id = 111122223333
sso_role_name = Developer
"""
FLOWS = pytest.mark.parametrize("flags", [(), ("--use-device-code",)], ids=["browser", "device code"])


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=1)) as running:
        yield running


@pytest.fixture
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    with Desk(sandbox, (CONFIG + MORE).format(start_url=sandbox.start_url)) as desk:
        yield desk


def assert_needs_login(done: Run) -> None:
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("credhelper: error: ")
    assert "credhelper: hint: credhelper login --sso-session corp\n" in done.err


@FLOWS
def test_a_login_by_credhelper_serves_native_profiles_and_is_refreshed_without_credhelper(
    desk: Desk, aws_cli: Path, flags: tuple[str, ...]
) -> None:
    login = desk.login("--profile", "native", *flags)
    assert login.status == 0, login.err
    desk.stop_daemon()

    exported = desk.aws(aws_cli, "configure", "export-credentials", "--profile", "native").json()
    assert exported["Version"] == 1
    assert desk.boto3_role("native") == "Administrator"
    assert desk.refreshes() == 0

    written = look(desk.cache)
    before = move_expiry(desk.token_file(), minutes=-1)
    shutil.rmtree(desk.home / ".aws" / "cli" / "cache")
    assert desk.aws_role(aws_cli, "native") == "Administrator"
    assert desk.refreshes() == 1
    assert json.loads(desk.token_file().read_text())["accessToken"] != before["accessToken"]
    assert look(desk.cache) == written, "the AWS CLI writes it in the same form"
    assert not desk.socket.exists(), "nobody started a daemon"

    assert desk.run("get", "--profile", "dev").status == 0
    assert desk.refreshes() == 1


def test_boto3_refreshes_what_credhelper_wrote_and_credhelper_takes_it_over(desk: Desk) -> None:
    desk.log_in()
    assert desk.run("get", "--profile", "dev").status == 0, "the daemon knows the old token"
    before = move_expiry(desk.token_file(), minutes=-1)

    assert desk.boto3_role("native") == "Administrator"

    assert desk.refreshes() == 1
    assert json.loads(desk.token_file().read_text())["refreshToken"] != before["refreshToken"]
    assert desk.run("get", "--profile", "dev").status == 0
    assert desk.refreshes() == 1


@FLOWS
def test_a_login_by_the_aws_cli_serves_credhelper_at_once_and_is_refreshed_by_it(
    desk: Desk, aws_cli: Path, flags: tuple[str, ...]
) -> None:
    assert_needs_login(desk.run("get", "--profile", "dev"))
    assert desk.aws_login(aws_cli, "--profile", "native", *flags).status == 0

    found = desk.run("get", "--profile", "dev")
    assert found.status == 0, found.err
    assert found.json()["AccountId"] == ACCOUNT
    good = desk.run("login", "--profile", "dev")
    assert (good.status, good.out) == (0, ""), "there is nothing to log in to"
    assert desk.refreshes() == 0

    written = look(desk.cache)
    before = move_expiry(desk.token_file(), minutes=-1)
    assert desk.run("get", "--profile", "dev").status == 0
    assert desk.refreshes() == 1
    assert json.loads(desk.token_file().read_text())["refreshToken"] != before["refreshToken"]
    assert look(desk.cache) == written, "credhelper writes it in the same form"

    assert desk.aws_role(aws_cli, "native") == "Administrator"
    assert desk.refreshes() == 1


@pytest.mark.parametrize(
    ("profile", "flags"),
    [
        ("native", ()),
        ("native", ("--use-device-code",)),
        ("unscoped", ()),
        ("office", ()),
        ("legacy", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value) or "as usual",
)
def test_both_write_the_same_files_and_use_each_others_registration(
    desk: Desk, aws_cli: Path, sandbox: Sandbox, profile: str, flags: tuple[str, ...]
) -> None:
    with Desk(sandbox, desk.config.read_text(encoding="utf-8")) as other:
        ours = desk.login("--profile", profile, *flags)
        theirs = other.aws_login(aws_cli, "--profile", profile, *flags)
        assert (ours.status, theirs.status) == (0, 0), ours.err + theirs.err

        assert look(desk.cache) == look(other.cache)
        assert len(look(desk.cache)) == 2, "a token and a registration"
        assert sandbox.calls["RegisterClient"] == 2

        assert desk.aws_login(aws_cli, "--profile", profile, *flags).status == 0
        assert other.login("--profile", profile, "--force", *flags).status == 0
        assert sandbox.calls["RegisterClient"] == 2, "each used what the other had registered"
        assert look(desk.cache) == look(other.cache)


def test_switching_the_flow_registers_anew_whoever_does_it(desk: Desk, aws_cli: Path, sandbox: Sandbox) -> None:
    assert desk.login("--profile", "native", "--use-device-code").status == 0
    assert desk.aws_login(aws_cli, "--profile", "native").status == 0
    assert sandbox.calls["RegisterClient"] == 2
    assert desk.login("--profile", "native", "--force", "--use-device-code").status == 0
    assert sandbox.calls["RegisterClient"] == 3

    assert desk.run("get", "--profile", "dev").status == 0


def test_a_logout_by_the_aws_cli_is_noticed(desk: Desk, aws_cli: Path) -> None:
    desk.log_in()
    line = desk.process_line("dev")
    assert desk.run_program(line).status == 0
    assert desk.run("get", "--profile", "native").status == 0

    assert desk.aws(aws_cli, "sso", "logout") == Run(0, "", "")

    assert_needs_login(desk.run("get", "--profile", "dev"))
    assert_needs_login(desk.run_program(line))
    assert_needs_login(desk.run_program(line, CREDHELPER_NO_AUTOSTART="1"))
    assert_needs_login(desk.run("get", "--profile", "native"))
    desk.stop_daemon()
    assert_needs_login(desk.run_program(line))


def test_a_logout_by_credhelper_is_noticed(desk: Desk, aws_cli: Path) -> None:
    desk.log_in()
    assert desk.aws_role(aws_cli, "native") == "Administrator"
    assert list((desk.home / ".aws" / "cli" / "cache").glob("*.json")), "the AWS CLI keeps what it got"

    assert desk.run("logout").status == 0

    done = desk.aws(aws_cli, "sts", "get-caller-identity", "--profile", "native")
    assert (done.status, done.out) == (255, "")
    assert "Token for corp does not exist" in done.err
    assert desk.boto3("native").status == 1
    assert_needs_login(desk.run("get", "--profile", "dev"))
    assert desk.aws_login(aws_cli, "--profile", "native").status == 0
    assert desk.run("get", "--profile", "dev").status == 0


def test_a_login_with_a_browser_ends_on_a_page_of_credhelper(desk: Desk, sandbox: Sandbox) -> None:
    browser = desk.browser()

    done = desk.run("login", "--profile", "dev", BROWSER=str(browser.program))

    assert done.status == 0
    url, end = done.out.splitlines()
    assert url.startswith(f"{sandbox.url}/authorize?")
    assert end == f"Successfully logged into Start URL: {sandbox.start_url}"
    last = browser.seen()[-1]
    assert last.status == 200
    assert "You may close this tab" in last.text
    assert re.match(r"http://127\.0\.0\.1:\d+/oauth/callback\?code=", last.url)
