"""The AWS CLI, boto3 and the JavaScript SDK take the sandbox for IAM Identity Center, without credhelper."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox

from .browser import Browser
from .clients import Finished, Home

pytestmark = pytest.mark.real_client

ACCOUNT = "111122223333"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PKCE_GRANTS = ["authorization_code", "refresh_token"]
SIGNED_IN_ARN = re.compile(rf"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Developer_[0-9a-f]{{16}}/alice")
TOKEN_KEYS = [
    "startUrl",
    "region",
    "accessToken",
    "expiresAt",
    "clientId",
    "clientSecret",
    "registrationExpiresAt",
    "refreshToken",
]

IDENTITY_BY_BOTO3 = """
import json, boto3
credentials = boto3.Session(profile_name="dev").get_credentials().get_frozen_credentials()
identity = boto3.client("sts").get_caller_identity()
print(json.dumps({"Arn": identity["Arn"], "AccessKeyId": credentials.access_key}))
"""
IDENTITY_BY_JS = """
const {PROVIDER} = require("@aws-sdk/credential-providers");
const {STSClient, GetCallerIdentityCommand} = require("@aws-sdk/client-sts");
const credentials = PROVIDER({profile: "dev"});
const sts = new STSClient({region: "us-east-1", credentials});
Promise.all([credentials(), sts.send(new GetCallerIdentityCommand({}))])
  .then(([{expiration}, {Arn}]) => console.log(JSON.stringify({Arn, expiration})));
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=1)) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox) -> Home:
    """A home with the sso-session `corp`, its profile `dev`, and the profile `old` without a session."""
    home = Home(tmp_path / "home", sandbox.environment())
    role = f"region = {sandbox.region}\nsso_account_id = {ACCOUNT}\nsso_role_name = Developer\n"
    instance = f"sso_start_url = {sandbox.start_url}\nsso_region = {sandbox.region}\n"
    home.write_config(
        f"[profile dev]\nsso_session = corp\n{role}"
        f"[sso-session corp]\n{instance}sso_registration_scopes = sso:account:access\n"
        f"[profile plain]\nsso_session = unscoped\n{role}"
        f"[sso-session unscoped]\n{instance}"
        f"[profile old]\n{instance}{role}"
    )
    return home


def log_in(home: Home, aws_cli: Path, profile: str = "dev", *flags: str, decision: str = "allow") -> Finished:
    """`aws sso login`, with alice behind the browser that it opens."""
    browser = home.browser("alice", "correct-horse", decision)
    done = home.run(aws_cli, "sso", "login", "--profile", profile, *flags, BROWSER=str(browser.program))
    browser.seen()
    return done


def registration_of(
    home: Home, sandbox: Sandbox, session: str | None = "corp", scopes: list[str] | None = None
) -> Path:
    """The file in which the AWS CLI keeps its registration."""
    key = {
        "region": sandbox.region,
        "scopes": scopes,
        "session_name": session,
        "startUrl": sandbox.start_url,
        "tool": "botocore",
    }
    name = hashlib.sha1(json.dumps(key, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
    return home.sso_cache / f"{name}.json"


def read(path: Path) -> dict[str, Any]:
    """A cache file, after a look at the form in which the AWS CLI writes all of them."""
    text = path.read_text()
    content: dict[str, Any] = json.loads(text)
    assert text == json.dumps(content)
    assert path.stat().st_mode & 0o777 == 0o600
    return content


def seconds_until(written: str) -> float:
    assert TIME.fullmatch(written)
    return (datetime.fromisoformat(written) - datetime.now(UTC)).total_seconds()


def expire_soon(token: Path, minutes: float) -> dict[str, Any]:
    """Has the token end in `minutes`; returns what was there before."""
    before = read(token)
    soon = datetime.now(UTC) + timedelta(minutes=minutes)
    token.write_text(json.dumps(before | {"expiresAt": f"{soon:%Y-%m-%dT%H:%M:%SZ}"}))
    return before


def http_status(url: str, **headers: str) -> int:
    """What a server on this machine says to a GET."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    try:
        target = f"{parts.path}?{parts.query}"
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def portal_status(sandbox: Sandbox, access_token: str) -> int:
    """What the portal says to a bearer of the token."""
    return http_status(f"{sandbox.url}/assignment/accounts", **{"x-amz-sso_bearer_token": access_token})


def test_aws_sso_login_goes_through_the_browser_and_back(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    browser = home.browser("alice", "correct-horse")

    done = home.run(aws_cli, "sso", "login", "--profile", "dev", BROWSER=str(browser.program))

    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Successfully logged into Start URL: {sandbox.start_url}\n")
    assert [page.status for page in browser.seen()] == [200, 200, 200]
    assert "/oauth/callback?code=" in browser.seen()[-1].url
    assert sandbox.calls["RegisterClient"] == 1
    assert sandbox.calls["CreateToken:authorization_code"] == 1
    assert sandbox.calls["StartDeviceAuthorization"] == 0


def test_a_login_with_a_browser_writes_a_token_and_a_registration_with_grants(
    home: Home, aws_cli: Path, sandbox: Sandbox
) -> None:
    assert log_in(home, aws_cli).status == 0

    token = read(home.cached("corp"))
    registration = read(registration_of(home, sandbox, scopes=["sso:account:access"]))
    assert len(list(home.sso_cache.iterdir())) == 2
    assert list(token) == TOKEN_KEYS
    assert (token["startUrl"], token["region"]) == (sandbox.start_url, sandbox.region)
    assert 3500 < seconds_until(token["expiresAt"]) <= 3600
    assert list(registration) == ["clientId", "clientSecret", "expiresAt", "scopes", "grantTypes"]
    assert registration["scopes"] == ["sso:account:access"]
    assert registration["grantTypes"] == PKCE_GRANTS
    assert (token["clientId"], token["clientSecret"], token["registrationExpiresAt"]) == (
        registration["clientId"],
        registration["clientSecret"],
        registration["expiresAt"],
    )


def test_a_session_without_scopes_registers_the_default_one_under_a_key_without(
    home: Home, aws_cli: Path, sandbox: Sandbox
) -> None:
    assert log_in(home, aws_cli, "plain").status == 0

    registration = read(registration_of(home, sandbox, "unscoped"))
    assert registration["scopes"] == ["sso:account:access"]
    assert list(read(home.cached("unscoped"))) == TOKEN_KEYS


def test_a_login_with_a_device_code_is_approved_in_the_browser(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    done = log_in(home, aws_cli, "dev", "--use-device-code")

    assert (done.status, done.stderr) == (0, "")
    assert re.search(r"^[A-Z]{4}-[A-Z]{4}$", done.stdout, re.MULTILINE)
    assert f"{sandbox.url}/device\n" in done.stdout
    assert done.stdout.endswith(f"Successfully logged into Start URL: {sandbox.start_url}\n")
    registration = read(registration_of(home, sandbox, scopes=["sso:account:access"]))
    assert list(registration) == ["clientId", "clientSecret", "expiresAt", "scopes"]
    assert list(read(home.cached("corp"))) == TOKEN_KEYS
    assert sandbox.calls["StartDeviceAuthorization"] == 1
    assert sandbox.calls["CreateToken:authorization_code"] == 0


def test_a_device_code_can_be_approved_on_another_machine(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    flags = ("--use-device-code", "--no-browser")
    with home.start(aws_cli, "sso", "login", "--profile", "dev", *flags) as login:
        code = login.said(r"^[A-Z]{4}-[A-Z]{4}$")[0]
        link = login.said(r"^http://\S+\?\S+$")[0]
        sandbox.approve(code, "alice")
        done = login.finish()

    assert done.status == 0
    assert link == f"{sandbox.url}/device?user_code={code}"


def test_an_authorize_url_can_be_taken_to_any_browser(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    with home.start(aws_cli, "sso", "login", "--profile", "dev", "--no-browser") as login:
        url = login.said(r"^http://\S+/authorize\?\S+$")[0]
        callback = sandbox.authorize(url, "alice")
        assert http_status(callback) == 200
        done = login.finish()

    assert done.status == 0
    assert home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev").json()["Account"] == ACCOUNT


def test_an_authorize_url_can_be_opened_in_chromium(
    home: Home, aws_cli: Path, sandbox: Sandbox, chromium: Browser, tmp_path: Path
) -> None:
    with home.start(aws_cli, "sso", "login", "--profile", "dev", "--no-browser") as login:
        chromium.open(login.said(r"^http://\S+/authorize\?\S+$")[0])
        chromium.fill(name="alice", password="correct-horse")
        chromium.press("Sign in")
        chromium.press("Allow")
        chromium.screenshot(tmp_path / "cli-callback.png")
        done = login.finish()

    assert done.status == 0
    assert "Your credentials have been shared successfully" in chromium.text
    assert read(home.cached("corp"))["accessToken"]


def test_a_legacy_profile_logs_in_with_a_device_code_and_no_scopes(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    done = log_in(home, aws_cli, "old")

    assert done.status == 0
    registration = read(registration_of(home, sandbox, None))
    assert list(registration) == ["clientId", "clientSecret", "expiresAt"]
    assert list(read(home.cached(sandbox.start_url))) == TOKEN_KEYS[:-1], "no scope, no refresh token"
    assert sandbox.calls["StartDeviceAuthorization"] == 1
    identity = home.run(aws_cli, "sts", "get-caller-identity", "--profile", "old").json()
    assert SIGNED_IN_ARN.fullmatch(identity["Arn"])


def test_no_in_the_browser_ends_a_login(home: Home, aws_cli: Path) -> None:
    done = log_in(home, aws_cli, decision="deny")

    assert done.status == 255
    assert "Failed to retrieve an authorization code" in done.stderr
    assert not home.cached("corp").exists()


def test_no_to_a_device_ends_a_login(home: Home, aws_cli: Path) -> None:
    done = log_in(home, aws_cli, "dev", "--use-device-code", decision="deny")

    assert done.status == 254
    assert "AccessDeniedException" in done.stderr
    assert not home.cached("corp").exists()


def test_the_aws_cli_uses_a_role(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    log_in(home, aws_cli)

    identity = home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev").json()
    exported = home.run(aws_cli, "configure", "export-credentials", "--profile", "dev").json()

    assert SIGNED_IN_ARN.fullmatch(identity["Arn"])
    assert identity["UserId"].endswith(":alice")
    assert list(exported) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]
    assert exported["Version"] == 1
    left = datetime.fromisoformat(exported["Expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(minutes=60)
    assert sandbox.calls["GetRoleCredentials"] == 1, "the second command found them in the CLI's own cache"


def test_the_aws_cli_lists_accounts_and_roles_page_by_page(home: Home, aws_cli: Path) -> None:
    log_in(home, aws_cli)
    token = read(home.cached("corp"))["accessToken"]
    bearer = ("--access-token", token, "--profile", "dev")

    accounts = home.run(aws_cli, "sso", "list-accounts", "--page-size", "1", *bearer).json()
    roles = home.run(aws_cli, "sso", "list-account-roles", "--account-id", ACCOUNT, *bearer).json()

    assert [account["accountId"] for account in accounts["accountList"]] == [
        ACCOUNT,
        "222233334444",
        "333344445555",
    ]
    assert [role["roleName"] for role in roles["roleList"]] == ["Administrator", "Developer", "ReadOnly"]


def test_a_role_that_is_not_assigned_is_refused(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    log_in(home, aws_cli)
    sandbox.unassign("alice", ACCOUNT, "Developer")

    done = home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev")

    assert (done.status, done.stdout) == (254, "")
    assert "ForbiddenException" in done.stderr


def test_a_session_that_ended_at_the_service_needs_a_new_login(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    log_in(home, aws_cli)
    sandbox.end_session("alice")

    refused = home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev")
    assert (refused.status, refused.stdout) == (255, "")
    assert "aws sso login" in refused.stderr

    log_in(home, aws_cli)
    assert home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev").status == 0


def test_boto3_uses_a_role(home: Home, aws_cli: Path) -> None:
    log_in(home, aws_cli)

    found = home.run(sys.executable, "-c", IDENTITY_BY_BOTO3, AWS_PROFILE="dev").json()

    assert SIGNED_IN_ARN.fullmatch(found["Arn"])
    assert found["AccessKeyId"].startswith("ASIA")


@pytest.mark.parametrize("provider", ["fromSSO", "fromIni", "fromNodeProviderChain"])
def test_the_javascript_sdk_uses_a_role(provider: str, home: Home, aws_cli: Path, js_sdk: Path) -> None:
    log_in(home, aws_cli)

    script = IDENTITY_BY_JS.replace("PROVIDER", provider)
    found = home.run("node", "-e", script, NODE_PATH=str(js_sdk / "node_modules")).json()

    assert SIGNED_IN_ARN.fullmatch(found["Arn"])
    assert datetime.fromisoformat(found["expiration"]) > datetime.now(UTC) + timedelta(minutes=58)


def test_the_aws_cli_refreshes_a_token_that_is_about_to_expire_once(
    home: Home, aws_cli: Path, sandbox: Sandbox
) -> None:
    log_in(home, aws_cli)
    before = expire_soon(home.cached("corp"), minutes=5)

    for _ in range(2):
        assert home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev").status == 0

    after = read(home.cached("corp"))
    assert sandbox.calls["CreateToken:refresh_token"] == 1
    assert list(after) == TOKEN_KEYS
    assert after["accessToken"] != before["accessToken"]
    assert after["refreshToken"] != before["refreshToken"], "the sandbox rotates refresh tokens"
    assert after["registrationExpiresAt"] == before["registrationExpiresAt"]
    assert 3500 < seconds_until(after["expiresAt"]) <= 3600


def test_boto3_refreshes_an_expired_token(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    log_in(home, aws_cli)
    before = expire_soon(home.cached("corp"), minutes=-1)

    found = home.run(sys.executable, "-c", IDENTITY_BY_BOTO3, AWS_PROFILE="dev").json()

    assert SIGNED_IN_ARN.fullmatch(found["Arn"])
    assert sandbox.calls["CreateToken:refresh_token"] == 1
    assert read(home.cached("corp"))["refreshToken"] != before["refreshToken"]


def test_the_javascript_sdk_refreshes_a_token_that_is_about_to_expire(
    home: Home, aws_cli: Path, js_sdk: Path, sandbox: Sandbox
) -> None:
    log_in(home, aws_cli)
    before = expire_soon(home.cached("corp"), minutes=3)

    script = IDENTITY_BY_JS.replace("PROVIDER", "fromSSO")
    found = home.run("node", "-e", script, NODE_PATH=str(js_sdk / "node_modules")).json()

    assert SIGNED_IN_ARN.fullmatch(found["Arn"])
    assert sandbox.calls["CreateToken:refresh_token"] == 1
    after = json.loads(home.cached("corp").read_text())
    assert after["refreshToken"] != before["refreshToken"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", after["expiresAt"])


def test_without_rotation_the_aws_cli_loses_its_refresh_token(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    log_in(home, aws_cli)
    sandbox.rotate_refresh_tokens(False)
    expire_soon(home.cached("corp"), minutes=5)

    assert home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev").status == 0

    assert list(read(home.cached("corp"))) == TOKEN_KEYS[:-1]


def test_an_expired_token_whose_refresh_is_refused_needs_a_new_login(
    home: Home, aws_cli: Path, sandbox: Sandbox
) -> None:
    log_in(home, aws_cli)
    sandbox.revoke_refresh_tokens("alice")
    expire_soon(home.cached("corp"), minutes=-1)

    done = home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev")

    assert (done.status, done.stdout) == (255, "")
    assert "Token has expired and refresh failed" in done.stderr


def test_aws_sso_logout_revokes_the_token_and_removes_what_it_gave(home: Home, aws_cli: Path, sandbox: Sandbox) -> None:
    log_in(home, aws_cli)
    home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev")
    access_token = read(home.cached("corp"))["accessToken"]
    assert portal_status(sandbox, access_token) == 200

    done = home.run(aws_cli, "sso", "logout")

    assert done == Finished(0, "", "")
    assert sandbox.calls["Logout"] == 1
    assert portal_status(sandbox, access_token) == 401
    assert not home.cached("corp").exists()
    assert registration_of(home, sandbox, scopes=["sso:account:access"]).exists()
    assert not list((home.path / ".aws" / "cli" / "cache").glob("*.json"))
    assert home.run(aws_cli, "sts", "get-caller-identity", "--profile", "dev").status == 255
