"""Profiles of identity pools in the real AWS CLI and SDKs, with Cognito, IAM and STS of other people's making."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.program.support import hint, refusal

from .ministack import Ministack
from .pool_scene import PASSWORD, USER, PoolDesk, PoolScene

pytestmark = pytest.mark.real_client


@pytest.fixture(scope="module")
def scene(ministack: Ministack) -> PoolScene:
    """A user pool and an identity pool, set up once."""
    return PoolScene(ministack, "notes")


@pytest.fixture
def desk(ministack: Ministack, scene: PoolScene) -> Iterator[PoolDesk]:
    """Nobody has logged in."""
    with Sandbox() as sandbox, PoolDesk(sandbox, ministack, scene) as desk:
        yield desk


def seconds_left(expiration: str) -> float:
    """How long credentials live."""
    return (datetime.fromisoformat(expiration) - datetime.now(UTC)).total_seconds()


def log_in(desk: PoolDesk) -> None:
    """In a browser, as ana."""
    done = desk.login("--cognito-login", "notes")
    assert done.status == 0, done.err


def test_a_guest_works_in_the_guest_role_and_stays_the_same_guest(desk: PoolDesk, aws_cli: Path, js_sdk: Path) -> None:
    arn = desk.who_by_aws(aws_cli, "guest")
    assert arn.endswith("assumed-role/notes-guest/CognitoIdentityCredentials")
    by_boto3, key = desk.who_by_boto3(sys.executable, "guest")
    assert by_boto3 == arn
    assert desk.run("get", "--profile=guest").json()["AccessKeyId"] == key
    identity = desk.identity("guest")
    desk.stop_daemon()
    assert desk.who_by_aws(aws_cli, "guest") == arn
    assert desk.identity("guest") == identity
    assert desk.identity_by_js(js_sdk)["identity"] != desk.identity_by_js(js_sdk)["identity"], "the SDK keeps none"


def test_get_tells_the_role_s_account(desk: PoolDesk) -> None:
    given = desk.run("get", "--profile=guest").json()
    assert given["AccountId"] == desk.scene.guest_role.split(":")[4]
    assert 3500 < seconds_left(given["Expiration"]) <= 3600


def test_a_user_s_profile_wants_a_login_and_is_never_served_as_a_guest(desk: PoolDesk, aws_cli: Path) -> None:
    refused = desk.run("get", "--profile=user")
    refusal(refused, 3, "notes")
    assert hint(refused.err) == ["login", "--cognito-login", "notes"]
    by_cli = desk.aws(aws_cli, "sts", "get-caller-identity", "--profile=user")
    assert by_cli.status != 0
    assert "credhelper login --cognito-login notes" in by_cli.err


def test_a_user_logs_in_with_a_browser_and_works_in_the_user_role(
    desk: PoolDesk, aws_cli: Path, js_sdk: Path, scene: PoolScene
) -> None:
    log_in(desk)
    arn = desk.who_by_aws(aws_cli, "user")
    assert arn.endswith("assumed-role/notes-user/CognitoIdentityCredentials")
    assert desk.who_by_boto3(sys.executable, "user")[0] == arn
    token = scene.tokens()["IdToken"]
    by_js = desk.identity_by_js(js_sdk, scene.provider, token)
    assert desk.identity("user") == by_js["identity"] == scene.identity_of(token)
    left = seconds_left(desk.run("get", "--profile=user").json()["Expiration"])
    assert abs(left - by_js["seconds"]) < 60


def test_the_credentials_may_do_what_the_role_may(desk: PoolDesk, aws_cli: Path) -> None:
    allowed = desk.aws(aws_cli, "iam", "list-account-aliases", "--profile=guest")
    assert allowed.status == 0, allowed.err
    denied = desk.aws(aws_cli, "iam", "list-users", "--profile=guest")
    assert denied.status != 0
    assert "AccessDenied" in denied.err


def test_the_basic_flow_gives_the_named_role_for_the_time_that_is_asked_for(desk: PoolDesk, aws_cli: Path) -> None:
    log_in(desk)
    for profile, role in (("guest-basic", "notes-guest"), ("user-basic", "notes-user")):
        assert f"assumed-role/{role}/" in desk.who_by_aws(aws_cli, profile)
        assert 1700 < seconds_left(desk.run("get", f"--profile={profile}").json()["Expiration"]) <= 1800


def test_a_trust_policy_that_refuses_is_told_with_what_to_do(desk: PoolDesk, scene: PoolScene) -> None:
    text = desk.config.read_text().replace(f"credhelper_role_arn = {scene.guest_role}", "credhelper_role_arn = ROLE")
    desk.write_config(text.replace("credhelper_role_arn = ROLE", f"credhelper_role_arn = {scene.user_role}"))
    refused = desk.run("get", "--profile=guest-basic")
    assert refused.status == 5, refused
    assert refused.out == ""
    assert "notes-user" in refused.err
    assert f"credhelper cognito trust-policy --identity-pool-id {scene.pool_id} --guest" in refused.err


def test_a_logout_ends_the_user_and_leaves_the_guest(desk: PoolDesk, aws_cli: Path) -> None:
    log_in(desk)
    assert desk.who_by_aws(aws_cli, "user")
    identity = desk.identity("guest")
    receipt = desk.run("logout", "--cognito-login", "notes", "--json")
    assert receipt.status == 0, receipt.err
    (session,) = receipt.json()["sessions"]
    assert (session["source"], session["cognito_login"]) == ("cognito", "notes")
    assert (session["token"], session["revoked"]) == ("deleted", True)
    assert desk.run("get", "--profile=user").status == 3
    assert desk.who_by_aws(aws_cli, "guest")
    assert desk.identity("guest") == identity


def test_status_and_doctor_know_pools(desk: PoolDesk) -> None:
    log_in(desk)
    assert desk.run("get", "--profile=user").status == 0
    found = desk.run("status", "--json").json()
    (login,) = found["cognito_logins"]
    assert (login["name"], login["state"]) == ("notes", "active")
    (entry,) = [each for each in found["role_credentials"] if each["source"] == "cognito"]
    assert (entry["role_name"], entry["profiles"]) == ("notes-user", ["user"])
    checks = desk.run("doctor", "--json").json()["checks"]
    # ministack gives credentials for identities that are not there, as no AWS would, and doctor sees that.
    problems = [check for check in checks if check["state"] == "problem" and check["id"] != "network.captive_portal"]
    assert problems == []


def test_whoami_and_exec_go_through_the_same_door(desk: PoolDesk) -> None:
    log_in(desk)
    who = desk.run("whoami", "--profile=user", "--json").json()
    assert who["arn"].endswith("assumed-role/notes-user/CognitoIdentityCredentials")
    assert who["role_name"] == "notes-user"
    done = desk.run("exec", "--profile=user", "--", "sh", "-c", "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI")
    assert done.status == 0, done.err
    assert done.out.startswith("http://127.0.0.1:")


def test_nobody_s_password_and_no_token_is_on_the_disk(desk: PoolDesk) -> None:
    log_in(desk)
    assert desk.run("get", "--profile=user").status == 0
    for path in desk.home.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert PASSWORD.encode() not in text, path
            assert b"eyJ" not in text, path
    assert USER not in desk.config.read_text()
