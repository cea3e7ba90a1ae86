"""Real clients that `credhelper exec` runs work in the chosen role, whatever a `[default]` of another account holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG

from .desk import QUIET, Desk, role_of

pytestmark = pytest.mark.real_client

BY_BOTO3 = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
BY_JS = """
const {STSClient, GetCallerIdentityCommand} = require("@aws-sdk/client-sts");
new STSClient({}).send(new GetCallerIdentityCommand({})).then(found => console.log(found.Arn), error => {
  console.error(error); process.exitCode = 1;
});
"""
OTHER = "222233334444"
DEFAULTS = {
    "nothing": "",
    "a role of a session": f"sso_session = corp\nsso_account_id = {OTHER}\nsso_role_name = ReadOnly\n",
    "keys": "aws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n",
    "a process": 'credential_process = sh -c "exit 1"\n',
    "a chained role": f"role_arn = arn:aws:iam::{OTHER}:role/Other\nsource_profile = native\n",
    "web identity": f"role_arn = arn:aws:iam::{OTHER}:role/Other\nweb_identity_token_file = /nonexistent\n",
}
IN_CREDENTIALS_FILE = "keys in the credentials file"


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Logged in."""
    with Sandbox() as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        yield desk


@pytest.fixture(params=[*DEFAULTS, IN_CREDENTIALS_FILE])
def hiding(desk: Desk, request: pytest.FixtureRequest) -> Desk:
    """With a `[default]` that every client prefers to the endpoint."""
    kind: str = request.param
    keys = DEFAULTS["keys"] if kind == IN_CREDENTIALS_FILE else ""
    (desk.home / ".aws" / "credentials").write_text(f"[default]\n{keys}")
    default = f"[default]\nregion = us-east-2\n{DEFAULTS.get(kind, '')}"
    desk.write_config(CONFIG.format(start_url=desk.sandbox.start_url) + default)
    return desk


def role_in_exec(desk: Desk, *command: str, **environment: str) -> str:
    """The role in which a program that prints its ARN works."""
    stale = {"AWS_PROFILE": "native", "AWS_ACCESS_KEY_ID": "AKIASTALE", "AWS_SECRET_ACCESS_KEY": "stale"}
    done = desk.run("exec", "--profile", "dev", "--", *command, **QUIET | stale | environment)
    assert done.status == 0, done.err
    return role_of(done.out.strip())


def test_the_aws_cli_boto3_and_the_javascript_sdk_work_in_the_chosen_role(
    hiding: Desk, aws_cli: Path, js_sdk: Path
) -> None:
    by_cli = ("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    assert role_in_exec(hiding, str(aws_cli), *by_cli) == "Developer"
    assert role_in_exec(hiding, sys.executable, "-c", BY_BOTO3) == "Developer"
    assert role_in_exec(hiding, "node", "-e", BY_JS, NODE_PATH=str(js_sdk / "node_modules")) == "Developer"


def test_the_same_default_does_hide_the_endpoint_without_the_copies(desk: Desk, js_sdk: Path) -> None:
    """What the test above shows is worth something only as long as this holds."""
    own = desk.root / "own"
    own.write_text(f"[default]\nregion = us-east-2\n{DEFAULTS['keys']}")
    undone = ["env", f"AWS_CONFIG_FILE={own}", f"AWS_SHARED_CREDENTIALS_FILE={own}"]
    for command in ([sys.executable, "-c", BY_BOTO3], ["node", "-e", BY_JS]):
        done = desk.run(
            *("exec", "--profile", "dev", "--", *undone, *command), **QUIET, NODE_PATH=str(js_sdk / "node_modules")
        )
        assert done.status != 0, done.out


def test_fixed_credentials_serve_them_too(hiding: Desk, aws_cli: Path, js_sdk: Path) -> None:
    env = ("exec", "--profile", "dev", "--env", "--")
    by_cli = ("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    for command in ([str(aws_cli), *by_cli], [sys.executable, "-c", BY_BOTO3], ["node", "-e", BY_JS]):
        done = hiding.run(*env, *command, **QUIET, NODE_PATH=str(js_sdk / "node_modules"))
        assert done.status == 0, done.err
        assert role_of(done.out.strip()) == "Developer"


def test_other_profiles_can_still_be_named_in_it(hiding: Desk, aws_cli: Path) -> None:
    named = ("sts", "get-caller-identity", "--profile", "native", "--query", "Arn", "--output", "text")
    assert role_in_exec(hiding, str(aws_cli), *named) == "Administrator"


def test_keys_of_boto_do_not_hide_it_either(desk: Desk) -> None:
    desk.write_config(CONFIG.format(start_url=desk.sandbox.start_url))
    (desk.home / ".aws" / "credentials").unlink(missing_ok=True)
    boto = desk.home / ".boto"
    boto.write_text("[Credentials]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n")
    try:
        assert role_in_exec(desk, sys.executable, "-c", BY_BOTO3) == "Developer"
    finally:
        boto.unlink()
