"""The commands that change pools, beside a Cognito and an IAM that others have written, which check who asks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from credhelper.aws.cognito_admin import Admin
from credhelper.aws.server_time import ServerTime
from credhelper.aws.transport import Transport
from credhelper.cli import callers_files, main
from credhelper.cli.pools import create, delete, identities, import_role, live, show, update
from credhelper.domain.errors import AccessRefused, ConfigError, Refused, UsageError
from credhelper.domain.model import CognitoLogin, Guests
from credhelper.identity_pools import scope_down, trust_policies
from credhelper.identity_pools.evaluation import Request
from credhelper.identity_pools.trust_policies import Kind, Trust
from credhelper.local.clock import SystemClock

from . import clients
from .ministack import REGION, ROOT, Ministack

pytestmark = pytest.mark.real_client

Json = dict[str, Any]
ACCOUNT = "000000000000"
ENDPOINTS = ("COGNITO_IDENTITY", "COGNITO_IDENTITY_PROVIDER", "IAM", "STS")
OF_NOTES = (
    *("--bucket", "notes-app-uploads", "--api-id", "ly55wbovq4", "--stage", "prod", "--region", REGION),
    *("--method", "GET", "--path", "notes/list"),
)


class Desk:
    """An administrator's command line, whose calls go to ministack."""

    def __init__(self, capsys: pytest.CaptureFixture[str], keys: Json | None = None) -> None:
        clock = SystemClock()
        self.admin = Admin(Transport(clock, ServerTime(clock)), keys or ROOT, profile="admin", account_id=ACCOUNT)
        self._capsys = capsys
        self.out = self.err = ""

    def args(self, *words: str) -> argparse.Namespace:
        """The options of a command line of ``credhelper cognito``."""
        words = ("cognito", *words)
        args = argparse.Namespace(debug=False, profile=None)
        main.parser(words).parse_args([*words, *(() if "--print" in words else ("--admin-profile", "admin"))], args)
        return args

    def create(self, *words: str) -> int:
        args = self.args("pool", "create", *words)
        return self._told(create.create(self.admin, create.plan_of(args), args))

    def update(self, pool_id: str, *words: str) -> int:
        args = self.args("pool", "update", "--identity-pool-id", pool_id, *words)
        return self._told(update.update(self.admin, pool_id, update.wishes_of(args), args))

    def show(self, pool_id: str, *, as_json: bool = True) -> int:
        return self._told(show.show(self.admin, pool_id, as_json=as_json))

    def delete(self, pool_id: str, *words: str) -> int:
        args = self.args("pool", "delete", "--identity-pool-id", pool_id, *words)
        return self._told(delete.delete(self.admin, pool_id, args))

    def list_identities(self, pool_id: str, *words: str) -> int:
        args = self.args("identities", "list", "--identity-pool-id", pool_id, *words)
        return self._told(identities.list_all(self.admin, pool_id, args))

    def import_role(self, *words: str) -> int:
        return self._told(import_role.create(self.admin, REGION, self.args("import-role", *words)))

    def json(self) -> Json:
        """What the last command printed."""
        found: Json = json.loads(self.out)
        return found

    def forget(self) -> None:
        """What was printed by a command that did not come to its end."""
        self._capsys.readouterr()

    def _told(self, status: int) -> int:
        self.out, self.err = self._capsys.readouterr()
        return status


@pytest.fixture
def surroundings(ministack: Ministack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home, and the endpoints in this process's environment."""
    for service in ENDPOINTS:
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", ministack.url)
    for name in ("CREDHELPER_CONFIG", "AWS_CONFIG_FILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def desk(surroundings: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    assert surroundings
    return Desk(capsys)


@pytest.fixture
def user_pool(ministack: Ministack) -> tuple[str, str]:
    """A user pool and an app client whose users sign in through a browser."""
    users = ministack.client("cognito-idp")
    pool: str = users.create_user_pool(PoolName="notes")["UserPool"]["Id"]
    client = users.create_user_pool_client(
        UserPoolId=pool,
        ClientName="notes",
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid"],
        AllowedOAuthFlowsUserPoolClient=True,
        CallbackURLs=["http://127.0.0.1:8401/callback", "https://example.com/"],
    )["UserPoolClient"]["ClientId"]
    return pool, client


def created(desk: Desk, user_pool: tuple[str, str], name: str, *words: str) -> str:
    assert (
        desk.create(
            "--name", name, "--user-pool-id", user_pool[0], "--client-id", user_pool[1], "--yes", "--json", *words
        )
        == 0
    )
    pool_id: str = desk.json()["identity_pool_id"]
    return pool_id


def test_a_pool_is_created_with_roles_that_trust_it_and_a_profile_that_credhelper_reads(
    desk: Desk, ministack: Ministack, user_pool: tuple[str, str], surroundings: Path
) -> None:
    """Document 003 from end to end: a user pool's users get a bucket's folder and an API."""
    main.main(["cognito", "policy", "notes-app", "--account-id", ACCOUNT, *OF_NOTES])
    policy = surroundings / "notes.json"
    policy.write_text(desk._capsys.readouterr().out)
    pool_id = created(desk, user_pool, "Notes app", "--guests", "--user-policy", str(policy), "--tag", "team=notes")
    told = desk.json()

    pools = ministack.client("cognito-identity")
    pool = pools.describe_identity_pool(IdentityPoolId=pool_id)
    assert pool["IdentityPoolName"] == "Notes app"
    assert pool["AllowUnauthenticatedIdentities"] is True
    assert pool["AllowClassicFlow"] is False
    assert pools.get_identity_pool_roles(IdentityPoolId=pool_id)["Roles"] == told["roles"]
    iam = ministack.client("iam")
    role = iam.get_role(RoleName="Cognito-Notes-app-users")["Role"]
    assert role["Arn"] == told["roles"]["authenticated"]
    assert iam.get_role_policy(RoleName=role["RoleName"], PolicyName="Access")["PolicyDocument"] == json.loads(
        policy.read_text()
    )
    assert iam.list_role_policies(RoleName="Cognito-Notes-app-guests")["PolicyNames"] == []

    assert desk.show(pool_id) == 0
    assert desk.json()["findings"] == []
    assert "Guests          let in\nBasic flow      refused\n" in shown(desk, pool_id)

    config = surroundings / ".aws" / "config"
    config.parent.mkdir()
    config.write_text(told["profile"] + "\n")
    settings = surroundings / ".config" / "credhelper" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(told["cognito_login"] + "\n")
    settings.chmod(0o600)
    roles = callers_files.load().roles()
    login = roles["Notes-app"].session
    assert isinstance(login, CognitoLogin)
    assert (login.user_pool_id, login.client_id, login.redirect_ports) == (*user_pool, (8401,))
    assert roles["Notes-app-guest"].session == Guests(pool_id)
    assert delete.profiles_of(pool_id) == ["Notes-app", "Notes-app-guest"]


def shown(desk: Desk, pool_id: str) -> str:
    desk.show(pool_id, as_json=False)
    return desk.out


def test_a_guest_gets_the_guests_role(desk: Desk, ministack: Ministack, user_pool: tuple[str, str]) -> None:
    pool_id = created(desk, user_pool, "kiosk", "--guests")
    anybody = ministack.client("cognito-identity", unsigned=True)
    identity = anybody.get_id(IdentityPoolId=pool_id)["IdentityId"]
    found = anybody.get_credentials_for_identity(IdentityId=identity)["Credentials"]
    assert found["SecretKey"]
    assert desk.list_identities(pool_id, "--json") == 0
    assert [each["identity_id"] for each in desk.json()["identities"]] == [identity]


def test_an_update_changes_what_is_named_and_nothing_else(
    desk: Desk, ministack: Ministack, user_pool: tuple[str, str], surroundings: Path
) -> None:
    pool_id = created(desk, user_pool, "before", "--tag", "team=notes")
    pools = ministack.client("cognito-identity")
    roles = pools.get_identity_pool_roles(IdentityPoolId=pool_id)["Roles"]
    provider = f"cognito-idp.{REGION}.amazonaws.com/{user_pool[0]}"
    rules = surroundings / "rules.json"
    rule = {"Claim": "custom:team", "MatchType": "Equals", "Value": "ops", "RoleARN": roles["authenticated"]}
    rules.write_text(
        json.dumps({"Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": {"Rules": [rule]}})
    )
    words = ("--name", "after", "--guests", "on", "--role-mapping", f"{provider}:{user_pool[1]}={rules}")
    assert desk.update(pool_id, *words, "--default-principal-tags", provider, "--diff") == 0
    assert '+    "IdentityPoolName": "after",' in desk.out
    assert pools.describe_identity_pool(IdentityPoolId=pool_id)["IdentityPoolName"] == "before"

    assert desk.update(pool_id, *words, "--default-principal-tags", provider, "--yes", "--json") == 0
    assert desk.json()["changed"] is True
    now = pools.describe_identity_pool(IdentityPoolId=pool_id)
    assert (now["IdentityPoolName"], now["AllowUnauthenticatedIdentities"]) == ("after", True)
    assert now["CognitoIdentityProviders"][0]["ClientId"] == user_pool[1]
    assert now["IdentityPoolTags"] == {"team": "notes"}
    answer = pools.get_identity_pool_roles(IdentityPoolId=pool_id)
    assert answer["Roles"] == roles
    assert answer["RoleMappings"][f"{provider}:{user_pool[1]}"]["RulesConfiguration"]["Rules"] == [rule]
    assert pools.get_principal_tag_attribute_map(IdentityPoolId=pool_id, IdentityProviderName=provider)["UseDefaults"]

    assert desk.update(pool_id, *words, "--default-principal-tags", provider, "--yes") == 0
    assert "as you want it already" in desk.err
    assert desk.show(pool_id) == 8
    assert "T13" in {each["rule"] for each in desk.json()["findings"]}


def test_nothing_is_changed_without_a_yes(desk: Desk, user_pool: tuple[str, str]) -> None:
    pool_id = created(desk, user_pool, "still")
    with pytest.raises(UsageError, match="there is no terminal to ask on"):
        desk.update(pool_id, "--guests", "on")
    with pytest.raises(UsageError, match="there is no terminal to ask on"):
        desk.delete(pool_id)
    with pytest.raises(UsageError, match="is not the pool's name"):
        desk.delete(pool_id, "--pool-name", "Still")
    desk.forget()
    assert desk.show(pool_id) == 0
    assert desk.json()["pool"]["AllowUnauthenticatedIdentities"] is False


def test_a_pool_is_deleted_once_its_name_is_typed_out(desk: Desk, user_pool: tuple[str, str]) -> None:
    pool_id = created(desk, user_pool, "gone")
    assert desk.delete(pool_id, "--pool-name", "gone", "--json") == 0
    assert desk.json() == {
        "identity_pool_id": pool_id,
        "deleted": True,
        "identities": 0,
        "profiles": [],
        "forgotten": [],
    }
    with pytest.raises(Refused):
        desk.show(pool_id)


def test_a_role_that_is_there_already_is_left_alone_and_no_pool_is_made(
    desk: Desk, ministack: Ministack, user_pool: tuple[str, str]
) -> None:
    created(desk, user_pool, "twice")
    pools = ministack.client("cognito-identity")
    before = pools.list_identity_pools(MaxResults=60)["IdentityPools"]
    with pytest.raises(UsageError, match="there is a role Cognito-twice-users already"):
        created(desk, user_pool, "twice")
    assert pools.list_identity_pools(MaxResults=60)["IdentityPools"] == before


def test_what_was_made_is_taken_back_when_a_later_step_is_refused(
    ministack: Ministack, surroundings: Path, capsys: pytest.CaptureFixture[str], user_pool: tuple[str, str]
) -> None:
    """By the account's own IAM: this administrator may make pools and roles, and not connect them."""
    assert surroundings
    keys = administrator(ministack, "half", deny="cognito-identity:SetIdentityPoolRoles")
    desk = Desk(capsys, keys)
    with pytest.raises(AccessRefused, match="cognito-identity:SetIdentityPoolRoles is not allowed to the role of"):
        created(desk, user_pool, "half")
    names = {pool["IdentityPoolName"] for pool in pools_of(ministack)}
    assert "half" not in names
    assert not desk.admin.has_role(REGION, "Cognito-half-users")
    assert not desk.admin.has_role(REGION, "Cognito-half-guests")
    assert "taken back" in capsys.readouterr().err


def test_what_an_administrator_may_not_see_is_said_and_the_rest_is_shown(
    ministack: Ministack, desk: Desk, capsys: pytest.CaptureFixture[str], user_pool: tuple[str, str]
) -> None:
    pool_id = created(desk, user_pool, "veiled")
    veiled = Desk(capsys, administrator(ministack, "veiled", deny="iam:GetRole"))
    assert veiled.show(pool_id) == 8
    assert len(veiled.json()["unread"]) == 2
    assert "iam:GetRole is not allowed" in veiled.err
    assert veiled.json()["pool"]["IdentityPoolName"] == "veiled"


def administrator(ministack: Ministack, name: str, *, deny: str) -> Json:
    """A user's keys that may do everything but one thing."""
    iam = ministack.client("iam")
    iam.create_user(UserName=name)
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": deny, "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def pools_of(ministack: Ministack) -> list[Json]:
    found: list[Json] = ministack.client("cognito-identity").list_identity_pools(MaxResults=60)["IdentityPools"]
    return found


def test_a_live_role_is_linted_with_its_pool(desk: Desk, ministack: Ministack, user_pool: tuple[str, str]) -> None:
    pool_id = created(desk, user_pool, "linted")
    assert desk.show(pool_id) == 0
    arn = desk.json()["roles"]["authenticated"]
    assert live.lint_role(desk.admin, arn, pool_id, Kind.AUTHENTICATED, "enhanced")[0] == []
    iam = ministack.client("iam")
    wrong = {
        "Effect": "Allow",
        "Principal": {"Federated": "cognito-identity.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam.update_assume_role_policy(
        RoleName="Cognito-linted-users",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [wrong]}),
    )
    whole = {"Effect": "Allow", "Action": "cognito-identity:*", "Resource": "*"}
    iam.put_role_policy(
        RoleName="Cognito-linted-users",
        PolicyName="more",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [whole]}),
    )
    found, partly = live.lint_role(desk.admin, arn, pool_id, Kind.AUTHENTICATED, "enhanced")
    assert {"T2", "T4", "AP1"} <= {each.rule for each in found}
    assert {each.place.partition(":")[0] for each in found} >= {
        "Cognito-linted-users, trust policy",
        "Cognito-linted-users, more",
    }
    assert partly.unread == []
    # The same finding, by the pool's own show.
    assert desk.show(pool_id) == 8
    assert {"T2", "T4"} <= {each["rule"] for each in desk.json()["findings"]}
    other = arn.replace(ACCOUNT, "111122223333")
    with pytest.raises(ConfigError, match="is in another account"):
        live.lint_role(desk.admin, other, pool_id, Kind.AUTHENTICATED, "enhanced")


def test_the_permissions_of_a_live_role_are_all_of_its_policies_within_its_boundary(
    desk: Desk, ministack: Ministack
) -> None:
    iam = ministack.client("iam")

    def allow(*actions: str) -> str:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    attached = iam.create_policy(PolicyName="attached", PolicyDocument=allow("s3:GetObject"))["Policy"]["Arn"]
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=allow("s3:*"))["Policy"]["Arn"]
    role = iam.create_role(
        RoleName="bounded", AssumeRolePolicyDocument=allow("sts:AssumeRole"), PermissionsBoundary=boundary
    )["Role"]["Arn"]
    iam.attach_role_policy(RoleName="bounded", PolicyArn=attached)
    iam.put_role_policy(RoleName="bounded", PolicyName="inline", PolicyDocument=allow("sqs:SendMessage"))
    found = live.read_policies(desk.admin, role, None, region=REGION)
    assert sorted(policy.name for policy in found.role) == [attached, "inline"]
    assert found.boundary is not None
    for action, said in (("s3:GetObject", None), ("sqs:SendMessage", "role"), ("ec2:RunInstances", "role")):
        assert scope_down.explain(found.role, Request(action, None), None, found.boundary).denied_by == said


def test_the_role_of_an_import_is_made_once_and_another_one_of_its_name_is_not_touched(
    desk: Desk, ministack: Ministack, user_pool: tuple[str, str]
) -> None:
    words = ("--user-pool-id", user_pool[0], "--yes", "--json")
    assert desk.import_role(*words) == 0
    first = desk.json()
    assert first == {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/CognitoUserImportLogs", "created": True}
    assert desk.import_role(*words) == 0
    assert desk.json() == first | {"created": False}
    role = ministack.client("iam").get_role(RoleName="CognitoUserImportLogs")["Role"]
    condition = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]
    assert condition["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert condition["ArnLike"]["aws:SourceArn"].endswith(f":userpool/{user_pool[0]}")
    with pytest.raises(ConfigError, match="was not touched"):
        desk.import_role("--region", REGION, "--yes")


def test_the_profile_that_create_prints_works(ministack: Ministack, tmp_path: Path, user_pool: tuple[str, str]) -> None:
    """With the program itself, whose administrator is a guest of another pool, since guests need no login."""
    home = clients.Home(tmp_path / "home")
    home.environ |= {f"AWS_ENDPOINT_URL_{service}": ministack.url for service in ENDPOINTS}
    home.environ |= {"XDG_RUNTIME_DIR": str(home.path)}
    config = home.write_config(profile_of_administrator(ministack))
    credhelper = [sys.executable, "-Im", "credhelper"]
    create_it = [*credhelper, "cognito", "pool", "create", "--name", "printed", "--guests", "--yes", "--json"]
    create_it += ["--user-pool-id", user_pool[0], "--client-id", user_pool[1], "--admin-profile", "boot"]
    try:
        told = home.run(*create_it).json()
        config.write_text(f"{config.read_text()}\n{told['profile']}\n")
        settings = home.path / ".config" / "credhelper" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(told["cognito_login"] + "\n")
        settings.chmod(0o600)
        found = home.run(*credhelper, "get", "--profile", "printed-guest").json()
        assert found["AccountId"] == ACCOUNT
        # As any SDK does: by the line in the profile.
        assert botocore_credentials(home, "printed-guest")["access_key"] == found["AccessKeyId"]
        assert home.run(*credhelper, "daemon", "reload").status == 0
        waiting = home.run(*credhelper, "get", "--profile", "printed")
        assert (waiting.status, waiting.stdout) == (3, ""), waiting.stderr
        assert "credhelper login --cognito-login printed" in waiting.stderr
    finally:
        home.run(*credhelper, "daemon", "stop")


def profile_of_administrator(ministack: Ministack) -> str:
    """A profile ``boot`` of a pool whose guests may do everything."""
    iam, pools = ministack.client("iam"), ministack.client("cognito-identity")
    pool_id = pools.create_identity_pool(IdentityPoolName="boot", AllowUnauthenticatedIdentities=True)["IdentityPoolId"]
    trust = trust_policies.document(Trust([pool_id], Kind.GUEST))
    arn = iam.create_role(RoleName="boot", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_role_policy(RoleName="boot", PolicyName="all", PolicyDocument=document)
    pools.set_identity_pool_roles(IdentityPoolId=pool_id, Roles={"unauthenticated": arn})
    return f"[profile boot]\ncredhelper_identity_pool_id = {pool_id}\ncredhelper_guest = true\n"


def botocore_credentials(home: clients.Home, profile: str) -> Json:
    """What botocore gets for a profile."""
    code = (
        "import botocore.session, json, sys\n"
        "found = botocore.session.Session(profile=sys.argv[1]).get_credentials().get_frozen_credentials()\n"
        "print(json.dumps(found._asdict()))"
    )
    told: Json = home.run(sys.executable, "-c", code, profile).json()
    return told
