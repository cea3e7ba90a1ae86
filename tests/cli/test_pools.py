"""The commands that change pools, where AWS answers as no emulator does: concurrent changes, parts left undone."""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credhelper.aws.cognito_admin import Admin
from credhelper.aws.server_time import ServerTime
from credhelper.aws.transport import Transport
from credhelper.cli import main
from credhelper.cli.pools import admin, create, delete, identities, live, profile_text, show, update
from credhelper.domain.errors import (
    AccessRefused,
    CredhelperError,
    DoneInPart,
    LoginRequired,
    Refused,
    Unavailable,
)
from credhelper.identity_pools import scope_down
from credhelper.identity_pools.evaluation import Request
from credhelper.identity_pools.scope_down import Snapshot
from credhelper.local import identity_ids, places
from credhelper.local.clock import SystemClock
from tests.scripted_aws import Refusal, ScriptedAws, document

POOL = "us-east-1:01234567-89ab-cdef-0123-456789abcdef"
IDENTITIES = [f"us-east-1:01234567-89ab-cdef-0123-{number:012}" for number in range(70)]
CLIENT = {"ClientId": "web", "CallbackURLs": ["http://127.0.0.1:8400/callback"], "AllowedOAuthFlows": ["code"]}

Json = dict[str, Any]


class Pool:
    """A pool that the script keeps, and who else changes it meanwhile."""

    def __init__(self) -> None:
        self.settings: Json = {
            "IdentityPoolId": POOL,
            "IdentityPoolName": "notes",
            "AllowUnauthenticatedIdentities": False,
            "AllowClassicFlow": False,
        }
        self.roles: Json = {"IdentityPoolId": POOL, "Roles": {"authenticated": "arn:aws:iam::111122223333:role/U"}}
        self.meanwhile: list[Callable[[], object]] = []
        """What happens at each attempt to change it, in order."""

    def script(self) -> dict[str, Callable[[Json], Any]]:
        return {
            "DescribeIdentityPool": lambda _: self.settings,
            "GetIdentityPoolRoles": lambda _: self.roles,
            "UpdateIdentityPool": self._update,
            "SetIdentityPoolRoles": self._set_roles,
            "ListIdentities": self._list,
        }

    def _update(self, request: Json) -> Json:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        self.settings = request
        return request

    def _set_roles(self, request: Json) -> None:
        self.roles = request

    def _list(self, request: Json) -> Json:
        start = int(request.get("NextToken", "0"))
        end = start + request["MaxResults"]
        page = [{"IdentityId": each, "Logins": [], "CreationDate": 1.0} for each in IDENTITIES[start:end]]
        return {"IdentityPoolId": POOL, "Identities": page} | ({"NextToken": str(end)} if end < 70 else {})


def refuse(code: str, message: str = "no", status: int = 400) -> Callable[..., Any]:
    def answer(*_: object) -> None:
        raise Refusal(code, message, status)

    return answer


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedAws]:
    with ScriptedAws({}) as running:
        yield running


@pytest.fixture(scope="module")
def asked(server: ScriptedAws) -> Iterator[Admin]:
    """One for all tests: botocore reads its descriptions of the services once."""
    clock = SystemClock()
    keys = {"aws_access_key_id": "ASIAEXAMPLE", "aws_secret_access_key": "secret", "aws_session_token": "token"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        yield Admin(Transport(clock, ServerTime(clock)), keys, profile="admin", account_id="111122223333")


@pytest.fixture(autouse=True)
def aws(server: ScriptedAws, pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedAws:
    for name in ("CREDHELPER_CONFIG", "AWS_CONFIG_FILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    server.script = pool.script()
    server.calls.clear()
    return server


def args_of(*words: str) -> argparse.Namespace:
    words = ("cognito", *words, "--admin-profile", "admin")
    args = argparse.Namespace(debug=False, profile=None)
    main.parser(words).parse_args(words, args)
    return args


def let_guests_in(asked: Admin, *more: str) -> int:
    args = args_of("pool", "update", "--identity-pool-id", POOL, "--guests", "on", "--yes", *more)
    return update.update(asked, POOL, update.wishes_of(args), args)


def test_a_change_that_meets_another_is_tried_once_more(asked: Admin, aws: ScriptedAws, pool: Pool) -> None:
    pool.meanwhile = [refuse("ConcurrentModificationException")]
    assert let_guests_in(asked) == 0
    assert pool.settings["AllowUnauthenticatedIdentities"] is True
    assert len(aws.requests("UpdateIdentityPool")) == 2


def test_and_not_a_third_time(asked: Admin, aws: ScriptedAws, pool: Pool) -> None:
    pool.meanwhile = [refuse("ConcurrentModificationException")] * 3
    with pytest.raises(Refused, match="ConcurrentModificationException"):
        let_guests_in(asked)
    assert len(aws.requests("UpdateIdentityPool")) == 2


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(
    asked: Admin, aws: ScriptedAws, pool: Pool
) -> None:
    def others_come_first() -> None:
        pool.settings = pool.settings | {"IdentityPoolName": "theirs"}
        raise Refusal("ConcurrentModificationException")

    pool.meanwhile = [others_come_first]
    with pytest.raises(Unavailable, match="somebody else has changed"):
        let_guests_in(asked)
    assert pool.settings["IdentityPoolName"] == "theirs"
    assert len(aws.requests("UpdateIdentityPool")) == 1


def test_of_two_calls_the_one_that_was_made_is_told_when_the_other_fails(
    asked: Admin, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.meanwhile = [refuse("InternalErrorException", status=500)]
    with pytest.raises(DoneInPart, match="set_identity_pool_roles is done, and update_identity_pool is not"):
        let_guests_in(asked, "--guest-role", "arn:aws:iam::111122223333:role/G")
    assert pool.roles["Roles"]["unauthenticated"].endswith("G")
    assert '+    "unauthenticated": "arn:aws:iam::111122223333:role/G"' in capsys.readouterr().out


def test_guests_let_in_where_the_classic_flow_is_on_are_warned_of(
    asked: Admin, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    del pool.settings["AllowClassicFlow"]
    assert let_guests_in(asked, "--diff") == 0
    assert "warning: T12: " in capsys.readouterr().err
    assert "AllowClassicFlow" not in pool.settings


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("AccessDeniedException", AccessRefused, 5),
        ("NotAuthorizedException", AccessRefused, 5),
        ("ExpiredTokenException", LoginRequired, 3),
        ("ResourceNotFoundException", Refused, 6),
    ],
)
def test_a_refusal_names_the_action_and_its_own_status(
    asked: Admin, aws: ScriptedAws, code: str, kind: type[CredhelperError], status: int
) -> None:
    aws.script["DescribeIdentityPool"] = refuse(code, "because\x1b[31m of that")
    with pytest.raises(kind) as caught:
        show.show(asked, POOL, as_json=True)
    assert caught.value.status == status
    assert "\x1b" not in caught.value.message
    if status != LoginRequired.status:
        assert "cognito-identity:DescribeIdentityPool" in caught.value.message


def test_identities_are_deleted_sixty_at_a_time_and_those_that_stay_are_listed(
    asked: Admin, aws: ScriptedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    def delete_them(request: Json) -> Json:
        left = [each for each in request["IdentityIdsToDelete"] if each == IDENTITIES[65]]
        return {"UnprocessedIdentityIds": [{"IdentityId": each, "ErrorCode": "AccessDenied"} for each in left]}

    aws.script["DeleteIdentities"] = delete_them
    assert identities.delete_some(asked, IDENTITIES, as_json=True) == 8
    told = json.loads(capsys.readouterr().out)
    assert told["left"] == [{"identity_id": IDENTITIES[65], "why": "AccessDenied"}]
    assert told["deleted"] == IDENTITIES[:65] + IDENTITIES[66:]
    sent = [request["IdentityIdsToDelete"] for request in aws.requests("DeleteIdentities")]
    assert sent == [IDENTITIES[:60], IDENTITIES[60:]]


def test_identities_whose_call_failed_after_others_were_deleted_are_listed_too(
    asked: Admin, aws: ScriptedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.script["DeleteIdentities"] = lambda request: (
        {} if IDENTITIES[0] in request["IdentityIdsToDelete"] else refuse("TooManyRequestsException", status=429)()
    )
    assert identities.delete_some(asked, IDENTITIES, as_json=False) == 8
    out = capsys.readouterr().out
    assert out.startswith("Deleted 60 identities.\n")
    assert out.count("Left: ") == 10


def test_a_listing_goes_on_where_it_was_and_prints_what_came_before_aws_slowed_it_down(
    asked: Admin, aws: ScriptedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*words: str) -> Json:
        args = args_of("identities", "list", "--identity-pool-id", POOL, "--json", *words)
        with contextlib.suppress(DoneInPart):
            identities.list_all(asked, POOL, args)
        found: Json = json.loads(capsys.readouterr().out)
        return found

    assert [each["identity_id"] for each in listed()["identities"]] == IDENTITIES
    first = listed("--max-items", "65")
    assert len(first["identities"]) == 65
    assert first["identities"][0]["created_at"] == "1970-01-01T00:00:01Z"
    rest = listed("--starting-token", first["next_token"])
    assert [each["identity_id"] for each in rest["identities"]] == IDENTITIES[65:]

    page = aws.script["ListIdentities"]
    aws.script["ListIdentities"] = lambda request: (
        refuse("TooManyRequestsException", status=429)() if "NextToken" in request else page(request)
    )
    assert len(listed()["identities"]) == 60
    with pytest.raises(DoneInPart):
        identities.list_all(asked, POOL, args_of("identities", "list", "--identity-pool-id", POOL))


def test_a_deletion_says_how_many_identities_go_with_the_pool_and_takes_those_kept_here_along(
    asked: Admin, aws: ScriptedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    state = places.state_directory(places.environment())
    ours, others = (identity_ids.Owner(pool, identity_ids.GUEST, f"guests {pool}") for pool in (POOL, POOL[:-1] + "0"))
    for owner in (ours, others):
        identity_ids.save(state, owner, IDENTITIES[0])
    aws.script["DeleteIdentityPool"] = lambda _: None
    args = args_of("pool", "delete", "--identity-pool-id", POOL, "--pool-name", "notes", "--json")
    assert delete.delete(asked, POOL, args) == 0
    told = capsys.readouterr()
    assert "has 70 identities" in told.err
    assert json.loads(told.out)["forgotten"] == [str(identity_ids.path_of(state, ours))]
    assert identity_ids.load(state, others) == IDENTITIES[0]


def test_the_managed_session_policy_is_iams_own_with_live(asked: Admin, aws: ScriptedAws) -> None:
    statement = {"Effect": "Allow", "Action": "braket:CancelJob", "Resource": "*"}
    aws.script["GetPolicy"] = lambda _: {"Policy": {"DefaultVersionId": "v9"}}
    aws.script["GetPolicyVersion"] = lambda request: {
        "PolicyVersion": {
            "VersionId": request["VersionId"],
            "Document": document({"Version": "2012-10-17", "Statement": [statement]}),
        }
    }
    limit = scope_down.limit_of(Snapshot.LATEST, None)
    found = live.read_policies(asked, None, limit, region=None).limit
    assert found is not None
    assert aws.requests("GetPolicy")[0]["PolicyArn"] == f"arn:aws:iam::aws:policy/{scope_down.MANAGED}"
    assert found.sources[-1] == f"{scope_down.MANAGED} v9: as IAM has it now"
    whole = [policy for policy in found.policies if policy.name.startswith("inline")]
    assert len(found.policies) == len(whole) + 1 == 2
    role = [found.policies[-1]]
    assert scope_down.explain(role, Request("braket:CancelJob", None), found).is_allowed
    assert not scope_down.explain(role, Request("braket:CancelJob", None), limit).is_allowed


def test_what_cannot_be_taken_back_is_named(asked: Admin, aws: ScriptedAws) -> None:
    aws.script["CreateIdentityPool"] = lambda request: request | {"IdentityPoolId": POOL}
    aws.script["CreateRole"] = refuse("LimitExceeded", "too many roles", 409)
    aws.script["DeleteIdentityPool"] = refuse("AccessDeniedException")
    args = args_of("pool", "create", "--name", "n", "--region", "us-east-1", "--guests", "--yes")
    with pytest.raises(DoneInPart, match=f"LimitExceeded.*still there: identity pool {POOL}"):
        create.create(asked, create.plan_of(args), args)


@pytest.mark.parametrize(
    ("client", "method", "remark"),
    [
        (CLIENT, 'method = "browser"\nredirect_port = 8400', None),
        (
            CLIENT | {"CallbackURLs": [*CLIENT["CallbackURLs"], "http://127.0.0.1:8399/callback", "http://x:y/"]},
            'method = "browser"\nredirect_port = [8399, 8400]',
            None,
        ),
        ({"ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH"]}, 'method = "srp"', None),
        ({}, 'method = "browser"\nredirect_port = 8400', "register http://127.0.0.1:8400/callback"),
        (CLIENT | {"ClientSecret": "hush"}, 'method = "browser"\nredirect_port = 8400', "client_secret_command"),
    ],
)
def test_the_profile_signs_in_as_the_app_client_allows(
    asked: Admin,
    aws: ScriptedAws,
    capsys: pytest.CaptureFixture[str],
    client: Json,
    method: str,
    remark: str | None,
) -> None:
    aws.script |= {
        "CreateIdentityPool": lambda request: request | {"IdentityPoolId": POOL},
        "CreateRole": lambda request: {"Role": {"Arn": f"arn:aws:iam::111122223333:role/{request['RoleName']}"}},
        "DescribeUserPoolClient": lambda _: {"UserPoolClient": client},
    }
    args = args_of(
        *("pool", "create", "--name", "Notes", "--user-pool-id", "us-east-1_AbCdEf123", "--client-id", "web", "--yes"),
        *("--profile-name", "notes"),
    )
    assert create.create(asked, create.plan_of(args), args) == 0
    told = capsys.readouterr()
    login = f'[cognito_login.notes]\nuser_pool_id = "us-east-1_AbCdEf123"\nclient_id = "web"\n{method}\n'
    assert told.out.endswith(login)
    assert "[profile notes]\nregion = us-east-1\ncredential_process = " in told.out
    assert f"credhelper_identity_pool_id = {POOL}\ncredhelper_cognito_login = notes\n" in told.out
    assert remark is None or remark in told.err
    assert "hush" not in told.out + told.err
    assert aws.requests("CreateIdentityPool")[0]["AllowClassicFlow"] is False


@pytest.mark.parametrize(
    "words",
    [
        ("pool", "create", "--name", "n"),
        ("pool", "create", "--name", "n", "--user-pool-id", "us-east-1_A"),
        ("pool", "create", "--name", "n", "--guests"),
        ("pool", "create", "--name", "n/n", "--guests", "--region", "us-east-1"),
        ("pool", "create", "--name", "n", "--guests", "--region", "nowhere"),
        ("pool", "create", "--name", "n", "--guests", "--region", "us-east-1", "--tag", "x"),
        ("pool", "create", "--name", "n", "--guests", "--region", "us-east-1", "--user-role-name", "a/b"),
        ("pool", "create", "--name", "n", "--guests", "--user-policy", "-", "--guest-policy", "-"),
        ("pool", "create", "--name", "n", "--guests", "--region", "us-east-1", "--profile-name", "a]\n[b"),
        ("pool", "create", "--name", "n", "--user-pool-id", "us-east-1_A", "--client-id", 'x"'),
        ("pool", "show", "--identity-pool-id", "us-east-1_AbC"),
        ("pool", "update", "--identity-pool-id", POOL),
        ("identities", "show", "--identity-id", "me"),
        ("identities", "list", "--identity-pool-id", POOL, "--max-items", "0"),
        ("identities", "delete", "--identity-id", IDENTITIES[0], "eu-west-1:a-b", "--yes"),
        ("identities", "delete", "--identity-id", IDENTITIES[0]),
        ("import-role",),
        ("import-role", "--print", "--region", "us-east-1"),
        ("import-role", "--user-pool-id", "us-east-1_A", "--region", "eu-west-1"),
        ("lint", "trust.json", "--role-arn", "arn:aws:iam::111122223333:role/U"),
        ("lint", "--role-arn", "arn:aws:iam::111122223333:role/U"),
        ("explain", "permissions", "--guest", "--action", "s3:GetObject", "--live"),
        ("explain", "permissions", "--guest", "--action", "s3:GetObject", "--role-policy", "f"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anybody_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CREDHELPER_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setenv("CREDHELPER_NO_AUTOSTART", "1")
    assert main.main(["cognito", *words, "--admin-profile", "admin"]) == 2
    assert capsys.readouterr().out == ""


def test_the_documents_of_an_import_role_are_printed_without_asking_anybody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("cognito", "import-role", "--print", "--user-pool-id", "us-east-1_AbC", "--account-id", "111122223333")
    assert main.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trust_policy"]["Statement"][0]["Condition"]["ArnLike"] == {
        "aws:SourceArn": "arn:aws:cognito-idp:us-east-1:111122223333:userpool/us-east-1_AbC"
    }


def test_our_own_calls_go_the_daemons_way_and_no_variable_of_the_shells_redirects_them() -> None:
    shell = {
        "AWS_ENDPOINT_URL_IAM": "http://evil",
        "AWS_ENDPOINT_URL": "http://evil",
        "AWS_CA_BUNDLE": "/evil",
        "AWS_PROFILE": "other",
        "AWS_ACCESS_KEY_ID": "other",
        "https_proxy": "http://evil",
        "AWS_CONFIG_FILE": "/home/u/config",
        "HOME": "/home/u",
    }
    admin.go_the_way_of({"AWS_ENDPOINT_URL_IAM": "http://127.0.0.1:1", "NO_PROXY": "*", "PATH": "/evil"}, shell)
    assert shell == {
        "AWS_ENDPOINT_URL_IAM": "http://127.0.0.1:1",
        "NO_PROXY": "*",
        "AWS_CONFIG_FILE": "/home/u/config",
        "HOME": "/home/u",
    }


def test_a_pools_name_becomes_one_that_profiles_roles_and_tables_can_have() -> None:
    names = {"Notes app": "Notes-app", "a.b@c=d": "a-b-c-d", "  ": "pool", "Größe": "Gr-e"}
    assert {name: profile_text.plain_name(name) for name in names} == names
