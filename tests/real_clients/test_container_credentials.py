"""The SDKs get credentials through the variables of the container credentials endpoint, and renew them themselves."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS
from tests.program.support import ask

from . import clients
from .clients import until
from .desk import ACCOUNT, QUIET, Desk, role_of

pytestmark = pytest.mark.real_client

BOTO3 = """
import sys, boto3
session = boto3.Session()
client = session.client("sts")
for line in sys.stdin:
    arn = client.get_caller_identity()["Arn"]
    credentials = session.get_credentials().get_frozen_credentials()
    print(arn, credentials.access_key, credentials.account_id, flush=True)
"""
JAVASCRIPT = """
const {fromNodeProviderChain} = require("@aws-sdk/credential-providers");
const {STSClient, GetCallerIdentityCommand} = require("@aws-sdk/client-sts");
const sts = new STSClient({credentials: fromNodeProviderChain()});
(async () => {
  for await (const line of require("readline").createInterface({input: process.stdin})) {
    const {Arn} = await sts.send(new GetCallerIdentityCommand({}));
    const {accessKeyId, accountId} = await sts.config.credentials();
    console.log(Arn, accessKeyId, accountId);
  }
})().catch(error => { console.error(error.message); process.exit(1); });
"""
KEYS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
SDKS = ["boto3", "javascript", "go", "java"]
KNOW_THE_ACCOUNT = {"boto3", "go"}
"""The others drop it from what a container's endpoint answers; so does the AWS CLI when it exports."""
SHOW_THE_REASON = ["boto3", "go"]
"""And the AWS CLI. The others only tell that there are no credentials."""


def command_of(sdk: str) -> tuple[list[str], dict[str, str]]:
    """The program that answers each line on stdin with "ARN KEY-ID ACCOUNT", and variables of its own.

    Where it is not at hand, the test is skipped, or fails where it must not.
    """
    match sdk:
        case "boto3":
            return [sys.executable, "-c", BOTO3], {}
        case "javascript":
            modules = clients.find_js_sdk() / "node_modules"
            return ["node", "-e", JAVASCRIPT], {"NODE_PATH": str(modules)}
        case "go":
            return [str(clients.find_go_sdk())], {}
        case _:
            return clients.find_java_sdk(), {}


class Program:
    """One of them, running; use it as a context manager."""

    def __init__(self, desk: Desk, sdk: str, variables: dict[str, str]) -> None:
        command, own = command_of(sdk)
        self.errors = desk.root / f"{sdk}.err"
        with self.errors.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                env=desk.environment
                | QUIET
                | {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
                | own
                | variables,
                cwd=desk.home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def who_am_i(self) -> tuple[str, str, str]:
        """The role, the access key id and the account id of the credentials that it uses now."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], SECONDS)[0], "it does not answer"
        line = self._process.stdout.readline()
        assert line, self.errors.read_text()
        arn, key, account = line.split()
        return role_of(arn), key, account

    def complaint(self) -> str:
        """What it says when it cannot answer."""
        _, _ = self._process.communicate("\n", timeout=SECONDS)
        assert self._process.returncode != 0
        return self.errors.read_text()


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Logged in; no test changes it."""
    with Sandbox() as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        yield desk


def granted(desk: Desk, profile: str = "dev") -> dict[str, Any]:
    """A grant that lives as long as the tests do."""
    answer = ask(desk, "grant", profile=profile)
    assert answer["status"] == "0", answer
    document: dict[str, Any] = json.loads(answer["out"])
    return document


def by_token(grant: dict[str, Any]) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": grant["uri"], "AWS_CONTAINER_AUTHORIZATION_TOKEN": grant["token"]}


def by_file(grant: dict[str, Any], directory: Path) -> dict[str, str]:
    token = directory / f"token-{grant['id']}"
    token.write_text(grant["token"])
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": grant["uri"], "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}


@pytest.mark.parametrize("sdk", SDKS)
def test_each_sdk_takes_the_token_from_a_variable_or_a_file(desk: Desk, sdk: str) -> None:
    dev, native = granted(desk, "dev"), granted(desk, "native")
    with Program(desk, sdk, by_token(dev)) as first, Program(desk, sdk, by_file(native, desk.root)) as second:
        role, key, account = first.who_am_i()
        assert role == "Developer"
        assert (account == ACCOUNT) == (sdk in KNOW_THE_ACCOUNT)
        assert key == desk.run("get", "--profile", "dev").json()["AccessKeyId"]
        role, _, _ = second.who_am_i()
        assert role == "Administrator"


def test_the_aws_cli_takes_both(desk: Desk, aws_cli: Path) -> None:
    for profile, role, variables in (
        ("dev", "Developer", by_token(granted(desk, "dev"))),
        ("native", "Administrator", by_file(granted(desk, "native"), desk.root)),
    ):
        asked = desk.aws(aws_cli, "sts", "get-caller-identity", AWS_REGION="us-east-1", **variables)
        assert asked.status == 0, asked.err
        assert role_of(asked.json()["Arn"]) == role
        exported = desk.aws(aws_cli, "configure", "export-credentials", **variables).json()
        ours = desk.run("get", "--profile", profile).json()
        assert {key: exported[key] for key in KEYS} == {key: ours[key] for key in KEYS}


@pytest.mark.parametrize("sdk", SDKS)
def test_a_wrong_token_gets_no_sdk_anything(desk: Desk, sdk: str) -> None:
    with Program(desk, sdk, by_token(granted(desk) | {"token": "wrong"})) as program:
        assert ("opens nothing" in program.complaint()) == (sdk in SHOW_THE_REASON)


def end_session(desk: Desk) -> None:
    """Another program's login that is over by now, and cannot be refreshed."""
    path = desk.cached("corp")
    token = json.loads(path.read_bytes()) | {"accessToken": "over", "expiresAt": "2020-01-01T00:00:00Z"}
    token.pop("refreshToken")
    path.write_text(json.dumps(token))
    until(lambda: session_state(desk) == "expired", what="the daemon knows that the session is over")


def session_state(desk: Desk) -> str:
    """What the daemon itself thinks of session corp."""
    state: str = desk.run("status", "--sso-session", "corp", "--json").json()["sso_sessions"][0]["state"]
    return state


@pytest.mark.parametrize("sdk", SHOW_THE_REASON)
def test_an_sdk_shows_what_a_person_has_to_do(sdk: str) -> None:
    with Sandbox() as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        variables = by_token(granted(desk))
        end_session(desk)
        with Program(desk, sdk, variables) as program:
            assert "credhelper login --sso-session corp" in program.complaint()


def test_the_aws_cli_shows_what_a_person_has_to_do(sandbox: Sandbox, aws_cli: Path) -> None:
    with Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        variables = by_token(granted(desk))
        end_session(desk)
        asked = desk.aws(aws_cli, "sts", "get-caller-identity", AWS_REGION="us-east-1", **variables)
        assert asked.status != 0
        assert "credhelper login --sso-session corp" in asked.err


def test_every_sdk_renews_its_credentials_by_itself() -> None:
    """In one process that runs on while they expire, and in which AWS would refuse the old ones."""
    lifetimes = Lifetimes(role_credentials=10)
    with Sandbox(lifetimes=lifetimes) as sandbox, Desk(sandbox, CONFIG.format(start_url=sandbox.start_url)) as desk:
        desk.log_in()
        programs = {}
        for number, sdk in enumerate(SDKS):
            grant = granted(desk)
            programs[sdk] = Program(desk, sdk, by_token(grant) if number % 2 else by_file(grant, desk.root))
        try:
            first = {sdk: program.who_am_i() for sdk, program in programs.items()}
            end = datetime.fromisoformat(desk.run("get", "--profile", "dev").json()["Expiration"])
            time.sleep((end - datetime.now(UTC)).total_seconds() + 0.5)
            for sdk, program in programs.items():
                role, key, _ = program.who_am_i()
                assert role == "Developer", sdk
                assert key != first[sdk][1], sdk
        finally:
            for program in programs.values():
                program.__exit__()
