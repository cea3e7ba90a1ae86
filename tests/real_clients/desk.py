"""A person's machine with credhelper and the real clients on it, and the look of the files they share."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.machine import Machine, Run

from .clients import BrowserStub

ACCOUNT = "111122223333"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
QUIET = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "NO_PROXY": "127.0.0.1,localhost"}

ROLES_BY_BOTO3 = """
import json, sys, boto3
found = {}
for profile in sys.argv[1:]:
    session = boto3.Session(profile_name=profile)
    credentials = session.get_credentials().get_frozen_credentials()
    found[profile] = [session.client("sts").get_caller_identity()["Arn"], credentials.account_id]
print(json.dumps(found))
"""
ROLES_BY_JS = """
const providers = require("@aws-sdk/credential-providers");
const {STSClient, GetCallerIdentityCommand} = require("@aws-sdk/client-sts");
const [provider, ...profiles] = process.argv.slice(1);
(async () => {
  const found = {};
  for (const profile of profiles) {
    const credentials = providers[provider]({profile});
    const sts = new STSClient({region: "us-east-1", credentials});
    const {Arn} = await sts.send(new GetCallerIdentityCommand({}));
    found[profile] = [Arn, (await credentials()).accountId];
  }
  console.log(JSON.stringify(found));
})().catch(error => { console.error(error.message); process.exitCode = 1; });
"""


class Desk(Machine):
    """A machine on which the AWS CLI, boto3 and the JavaScript SDK can be run too."""

    def aws(self, aws_cli: Path, *arguments: str, **environment: str) -> Run:
        """`aws ARGUMENTS`."""
        return self.run_program([str(aws_cli), *arguments], **QUIET | environment)

    def aws_role(self, aws_cli: Path, profile: str) -> str:
        """The role that the AWS CLI works in with this profile."""
        done = self.aws(aws_cli, "sts", "get-caller-identity", f"--profile={profile}")
        assert done.status == 0, done.err
        return role_of(done.json()["Arn"])

    def boto3(self, *profiles: str) -> Run:
        """Asks boto3 who it is in each profile: a JSON object of `[ARN, account id of the credentials]`."""
        return self.run_program([sys.executable, "-c", ROLES_BY_BOTO3, *profiles], **QUIET)

    def boto3_role(self, profile: str) -> str:
        """The role that boto3 works in with this profile."""
        done = self.boto3(profile)
        assert done.status == 0, done.err
        return role_of(done.json()[profile][0])

    def javascript(self, js_sdk: Path, provider: str, *profiles: str) -> Run:
        """Asks the JavaScript SDK the same, with one of its credential providers."""
        command = ["node", "-e", ROLES_BY_JS, provider, *profiles]
        return self.run_program(command, NODE_PATH=str(js_sdk / "node_modules"), **QUIET)

    def browser(self) -> BrowserStub:
        """Alice behind `BROWSER`, who allows what she is asked."""
        return BrowserStub(Path(tempfile.mkdtemp(dir=self.root)), "alice", "correct-horse", "allow")

    def aws_login(self, aws_cli: Path, *flags: str) -> Run:
        """`aws sso login`, with alice behind the browser that it opens."""
        browser = self.browser()
        done = self.aws(aws_cli, "sso", "login", *flags, BROWSER=str(browser.program))
        if done.status == 0:
            browser.seen()
        return done

    def login(self, *flags: str) -> Run:
        """`credhelper login`, with alice behind the browser that it opens."""
        browser = self.browser()
        done = self.run("login", *flags, BROWSER=str(browser.program))
        if done.status == 0:
            browser.seen()
        return done

    def stop_daemon(self) -> None:
        """Stops the daemon. Whatever works from here on works without one, unless credhelper starts it."""
        assert self.run("daemon", "stop").status == 0
        assert not self.socket.exists()

    def adopt(self, profile: str, role: str = "Developer", **environment: str) -> str:
        """Appends a profile that runs credhelper's client, and returns the line that it runs."""
        printed = self.run("configure", "command", f"--profile={profile}", **environment)
        assert printed.status == 0, printed.err
        assert printed.out.count("\n") == 1
        line = printed.out.rstrip("\n")
        with self.config.open("a", encoding="utf-8") as config:
            config.write(
                f"\n[profile {quoted(profile)}]\nregion = eu-west-1\ncredential_process = {line}\n"
                f"credhelper_sso_session = corp\ncredhelper_sso_account_id = {ACCOUNT}\n"
                f"credhelper_sso_role_name = {role}\n"
            )
        return line

    def cached(self, key: str) -> Path:
        """The token file of an sso-session, or of a legacy start URL."""
        return self.cache / f"{hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()}.json"

    def refreshes(self) -> int:
        """How many tokens the sandbox has refreshed."""
        return self.sandbox.calls["CreateToken:refresh_token"]


def quoted(profile: str) -> str:
    """A profile's name as a person writes it into a section, for shell-like splitting to find it again."""
    if re.fullmatch(r"[\w.@/%#;:+-]+", profile):
        return profile
    return f"'{profile}'" if '"' in profile else f'"{profile}"'


def role_of(arn: str) -> str:
    """The name of the permission set in the ARN of a signed-in role."""
    found = re.fullmatch(rf"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_(\w+)_[0-9a-f]{{16}}/alice", arn)
    assert found, arn
    return found[1]


def move_expiry(token: Path, minutes: float) -> dict[str, Any]:
    """Has the token in a file end in so many minutes, and nothing else; returns what was there before."""
    before: dict[str, Any] = json.loads(token.read_text())
    then = datetime.now(UTC) + timedelta(minutes=minutes)
    token.write_text(json.dumps(before | {"expiresAt": f"{then:%Y-%m-%dT%H:%M:%SZ}"}))
    return before


def look(cache: Path) -> dict[str, Any]:
    """Every file of a cache by name: its mode and its text, with each secret and each time replaced by its form."""
    return {path.name: (f"{path.stat().st_mode & 0o777:o}", _without_values(path)) for path in cache.iterdir()}


def _without_values(path: Path) -> str:
    text = path.read_bytes().decode()
    for key, value in json.loads(text).items():
        if key.endswith("At"):
            assert TIME.fullmatch(value), f"{key}: {value}"
        if isinstance(value, str) and key not in {"startUrl", "region"}:
            text = text.replace(json.dumps(value), f"<{key}>")
    return text
