"""Roles that are assumed: by the real clients over credhelper's credentials, and by credhelper for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG

from .desk import Desk

pytestmark = pytest.mark.real_client

STAGING = "222233334444"
DEPLOY = f"arn:aws:iam::{STAGING}:role/Deploy"
ASSUMED = f"arn:aws:sts::{STAGING}:assumed-role/Deploy/"

BESIDE = f"""
[profile by-the-client]
role_arn = {DEPLOY}
source_profile = adopted
external_id = ext/1
role_session_name = me@work
duration_seconds = 1800
region = eu-west-1
"""


@pytest.fixture
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    """Logged in; one profile's role the clients assume, and the same one credhelper does for them."""
    sandbox.put_iam_role(IamRole(STAGING, "Deploy", Trust(frozenset({"111122223333/Developer"}), external_id="ext/1")))
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        desk.adopt("adopted")
        line = desk.run("configure", "command", "--profile=by-credhelper").out
        keys = BESIDE.replace("by-the-client", "by-credhelper").replace("\nr", "\ncredhelper_r")
        for key in ("source_profile", "external_id", "duration_seconds"):
            keys = keys.replace(key, f"credhelper_{key}")
        keys = keys.replace("credhelper_region", "region") + f"credential_process = {line}"
        desk.write_config(desk.config.read_text() + BESIDE + keys)
        yield desk


def test_the_aws_cli_gets_to_the_same_role_both_ways(desk: Desk, aws_cli: Path, sandbox: Sandbox) -> None:
    arns = {}
    for profile in ("by-the-client", "by-credhelper"):
        done = desk.aws(aws_cli, "sts", "get-caller-identity", f"--profile={profile}")
        assert done.status == 0, done.err
        arns[profile] = done.json()["Arn"]
    assert arns == dict.fromkeys(arns, ASSUMED + "me@work")
    assert desk.run("whoami", "--profile=by-the-client", "--json").json()["arn"] == ASSUMED + "me@work"
    by_cli, by_credhelper = (dict(call.request.form()) for call in sandbox.recorded if call.operation == "AssumeRole")
    assert by_cli == by_credhelper


def test_what_the_aws_cli_keeps_of_it_goes_with_the_logout(desk: Desk, aws_cli: Path) -> None:
    assert desk.aws(aws_cli, "sts", "get-caller-identity", "--profile=by-the-client").status == 0
    [kept] = [path for path in (desk.home / ".aws/cli/cache").glob("*.json") if "AssumedRoleUser" in path.read_text()]
    receipt = json.loads(desk.run("logout", "--json").out)
    assert str(kept) in receipt["removed"]
    assert not kept.exists()
    assert desk.aws(aws_cli, "sts", "get-caller-identity", "--profile=by-credhelper").status != 0


def test_boto3_and_the_javascript_sdk_run_the_line_of_a_chained_profile(desk: Desk, js_sdk: Path) -> None:
    expected = [ASSUMED + "me@work", STAGING]
    assert desk.boto3("by-credhelper").json() == {"by-credhelper": expected}
    assert desk.javascript(js_sdk, "fromNodeProviderChain", "by-credhelper").json() == {"by-credhelper": expected}


def test_a_client_that_assumes_a_role_on_top_of_a_chained_one(desk: Desk, aws_cli: Path, sandbox: Sandbox) -> None:
    sandbox.put_iam_role(IamRole("333344445555", "Top", Trust(frozenset({f"{STAGING}/Deploy"}))))
    top = "\n[profile top]\nrole_arn = arn:aws:iam::333344445555:role/Top\nsource_profile = by-credhelper\n"
    desk.write_config(desk.config.read_text() + top)
    by_cli = desk.aws(aws_cli, "sts", "get-caller-identity", "--profile=top", AWS_REGION="eu-west-1").json()["Arn"]
    assert by_cli.startswith("arn:aws:sts::333344445555:assumed-role/Top/")
    by_credhelper = desk.run("whoami", "--profile=top", "--json").json()["arn"]
    assert by_credhelper == "arn:aws:sts::333344445555:assumed-role/Top/me@work"
