"""The real clients work in the same roles before an adoption, after it, and after the release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG

from .desk import Desk

pytestmark = pytest.mark.real_client

STAGING, TOP = "222233334444", "333344445555"
CHAINED = f"""
[profile "two words"]
sso_session=corp
sso_account_id=111122223333
sso_role_name=Developer
region = eu-west-1

[profile deploy]
role_arn = arn:aws:iam::{STAGING}:role/Deploy
source_profile = two words
external_id = ext/1
role_session_name = me@work
region = eu-west-1

[profile top]
role_arn = arn:aws:iam::{TOP}:role/Top
source_profile = deploy
role_session_name = me@top
region = eu-west-1
"""
PROFILES = ["native", "two words", "deploy", "top"]
LEGACY = "legacy"


@pytest.fixture
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    """Logged in, with native, legacy and chained profiles, and a role of each."""
    sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset({"111122223333/Developer"}), external_id="ext/1")))
    sandbox.put_iam_role(IamRole(TOP, "Top", Trust(frozenset({f"{STAGING}/Deploy"}))))
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url) + CHAINED) as desk:
        desk.log_in()
        desk.log_in("--profile", LEGACY)
        yield desk


def by_aws_cli(desk: Desk, aws_cli: Path) -> dict[str, str]:
    """Who the AWS CLI is in each profile."""
    found = {}
    for profile in [*PROFILES, LEGACY]:
        done = desk.aws(aws_cli, "sts", "get-caller-identity", f"--profile={profile}")
        assert done.status == 0, (profile, done.err)
        found[profile] = done.json()["Arn"]
    return found


def by_boto3(desk: Desk) -> dict[str, str]:
    """Who boto3 is in each profile."""
    done = desk.boto3(*PROFILES, LEGACY)
    assert done.status == 0, done.err
    return {profile: arn for profile, (arn, _) in done.json().items()}


def test_who_one_is_stays_the_same_there_and_back(desk: Desk, aws_cli: Path) -> None:
    content = desk.config.read_bytes()
    cli, boto3 = by_aws_cli(desk, aws_cli), by_boto3(desk)
    assert cli == boto3
    assert cli["top"] == f"arn:aws:sts::{TOP}:assumed-role/Top/me@top"

    assert desk.run("configure", "adopt", "--profile", *PROFILES, LEGACY, "--yes").status == 0
    adopted = desk.config.read_text()
    assert adopted.count("credential_process = ") == 5
    assert by_aws_cli(desk, aws_cli) == cli
    assert by_boto3(desk) == cli

    assert desk.run("configure", "release", "--profile", *PROFILES, LEGACY, "--yes").status == 0
    assert desk.config.read_bytes() == content
    assert by_aws_cli(desk, aws_cli) == cli
    assert by_boto3(desk) == cli


def test_a_client_goes_on_assuming_roles_over_a_source_that_is_adopted(desk: Desk, aws_cli: Path) -> None:
    cli = by_aws_cli(desk, aws_cli)
    for profile in ("two words", "deploy"):  # below top, which stays native
        assert desk.run("configure", "adopt", "--profile", profile, "--yes").status == 0
        assert by_aws_cli(desk, aws_cli) == cli
        assert by_boto3(desk) == cli


def test_the_login_that_is_named_in_place_of_the_lost_one_works(desk: Desk, aws_cli: Path) -> None:
    said = desk.run("configure", "adopt", "--profile", "native", "--yes").err
    assert "aws sso login --sso-session corp" in said
    assert desk.run("logout").status in {0, 8}
    assert desk.aws_login(aws_cli, "--profile", "native").status != 0
    assert desk.aws_login(aws_cli, "--sso-session", "corp").status == 0
    assert desk.aws_role(aws_cli, "native") == "Administrator"
