"""`cognito trust-policy` and `cognito lint` as a person and as a script meet them."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from credhelper.cli import main
from tests.identity_pools.trusts import AMR, AUD, DOCUMENTS, POOL, condition, document, statement

OF_USERS = ("--identity-pool-id", POOL, "--authenticated")
ROLE = "arn:aws:iam::111122223333:role/Users"


class Ran:
    """What a command did."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        self.status = main.main(["cognito", *words])
        self.out, self.err = capsys.readouterr()

    def rules(self) -> list[str]:
        """The rules of its findings."""
        return [finding["rule"] for finding in json.loads(self.out)["findings"]]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes JSON to a file and gives its name."""

    def to(name: str, content: Any) -> str:
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return str(tmp_path / name)

    return to


def trust(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_the_documents_policy_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pool = "us-west-2:abcdefg-1234-5678-910a-0e8443553f95"
    ran = Ran(capsys, "trust-policy", "--identity-pool-id", pool, "--authenticated")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out) == document("trust-authenticated")


def test_several_pools_may_follow_one_option_or_each_have_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    pools = [POOL, POOL[:-1] + "6"]
    together = Ran(capsys, "trust-policy", "--identity-pool-id", *pools, "--guest")
    apart = Ran(capsys, "trust-policy", "--identity-pool-id", pools[0], "--guest", "--identity-pool-id", pools[1])
    assert together.out == apart.out
    assert json.loads(apart.out)["Statement"][0]["Condition"]["StringEquals"] == {AUD: pools}


@pytest.mark.parametrize(
    ("words", "remark"),
    [
        (["--identity-pool-id", POOL.replace("us-east-1", "cn-north-1"), "--guest"], "shows no trust policy with it"),
        (["--identity-pool-id", POOL, "--guest", "--identity-id", POOL], "another identity on each device"),
        (
            ["--authenticated", "--identity-pool-id", *(f"{POOL}{n}" for n in range(100, 150))],
            "IAM takes 2048 characters",
        ),
    ],
)
def test_what_should_be_known_of_a_policy_is_told_beside_it(
    capsys: pytest.CaptureFixture[str], words: list[str], remark: str
) -> None:
    ran = Ran(capsys, "trust-policy", *words)
    assert ran.status == 0
    assert json.loads(ran.out)
    assert remark in ran.err


def test_a_policy_that_is_right_has_no_findings(capsys: pytest.CaptureFixture[str], write: Any) -> None:
    file = write("trust.json", trust(statement()))
    assert (Ran(capsys, "lint", file, *OF_USERS).out, Ran(capsys, "lint", file, *OF_USERS, "--json").out) == (
        "Nothing is wrong with it.\n",
        '{"findings": []}\n',
    )


def test_findings_are_told_with_place_reason_and_remedy_and_errors_first(
    capsys: pytest.CaptureFixture[str], write: Any
) -> None:
    file = write("trust.json", trust(statement(Action=["sts:AssumeRole*"]), statement(Principal="*", Condition=None)))
    ran = Ran(capsys, "lint", file, *OF_USERS, "--json")
    findings = json.loads(ran.out)["findings"]
    assert ran.status == 8
    assert [set(finding) for finding in findings] == [{"rule", "level", "place", "reason", "fix"}] * len(findings)
    assert ran.rules() == ["T1", "T3", "T4", "T2", "T7"]

    ran = Ran(capsys, "lint", file, *OF_USERS)
    assert ran.status == 8
    assert "error T1  Statement[1].Principal\n    the role trusts anyone" in ran.out
    assert '\n    instead: "Principal": {"Federated": "cognito-identity.amazonaws.com"}\n' in ran.out
    assert ran.out.endswith("3 errors, 2 warnings\n")


def test_a_warning_is_no_failure(capsys: pytest.CaptureFixture[str], write: Any) -> None:
    ran = Ran(capsys, "lint", write("trust.json", trust(statement(Action="sts:*"))), *OF_USERS, "--json")
    assert (ran.status, ran.rules()) == (0, ["T2"])


def test_standard_input_is_a_file_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    content = (DOCUMENTS / "trust-authenticated.json").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert Ran(capsys, "lint", "-", *OF_USERS, "--json").rules() == ["T6"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{\n "Version": "2012-10-17",\n "Statement": [,]\n}', "trust.json, line 3, column 16: "),
        ('{"Statement": []}', "a policy has one Statement or a list of them"),
        ("[]", "a policy is a JSON object"),
        (" " * 1_000_001, "is longer than 65536 characters"),
        ("", "trust.json, line 1"),
    ],
)
def test_what_is_no_policy_is_told_with_its_line(
    capsys: pytest.CaptureFixture[str], write: Any, content: str, complaint: str
) -> None:
    ran = Ran(capsys, "lint", write("trust.json", content), *OF_USERS)
    assert (ran.status, ran.out) == (4, "")
    assert complaint in ran.err


def test_a_file_that_is_not_there_is_no_policy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.json"), str(tmp_path), ""):
        ran = Ran(capsys, "lint", path, *OF_USERS)
        assert (ran.status, ran.out) == (4, "")
        assert "cannot be read" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--guest"],
        ["--identity-pool-id", POOL],
        [*OF_USERS, "--guest"],
        ["--identity-pool-id", "us-east-1_AbCdEf123", "--guest"],
        [*OF_USERS, "--account-id", "111122223333"],
        [*OF_USERS, "--account-id", "1", "--role-arn", ROLE],
        [*OF_USERS, "--role-arn", "Users"],
        [*OF_USERS, "--guest-policy", "guests.json"],
    ],
)
def test_a_trust_policy_is_checked_against_a_pool_and_its_people(
    capsys: pytest.CaptureFixture[str], write: Any, words: list[str]
) -> None:
    ran = Ran(capsys, "lint", write("trust.json", trust(statement())), *words)
    assert (ran.status, ran.out) == (2, "")


def test_every_answer_of_awss_brings_its_rules(capsys: pytest.CaptureFixture[str], write: Any) -> None:
    file = write("trust.json", trust(statement(Condition=condition(ForAnyValue__StringLike=None))))
    pool = write("pool.json", {"IdentityPoolId": POOL, "AllowUnauthenticatedIdentities": True})
    rule = {"Claim": "custom:team", "MatchType": "Equals", "Value": "ops", "RoleARN": ROLE}
    roles = write(
        "roles.json",
        {
            "IdentityPoolId": POOL,
            "Roles": {"unauthenticated": ROLE},
            "RoleMappings": {"p": {"RulesConfiguration": {"Rules": [rule]}}},
        },
    )
    tags = write("tags.json", {"IdentityProviderName": "p", "UseDefaults": True})
    client = write("client.json", {"UserPoolClient": {"WriteAttributes": ["custom:team"]}})
    guests = write("guests.json", {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
    users = write("users.json", {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}})

    plain = Ran(capsys, "lint", file, *OF_USERS, "--json")
    assert (plain.status, plain.rules()) == (0, ["T7"])
    more = [*("--role-arn", ROLE, "--account-id", "444455556666", "--pool", pool, "--pool-roles", roles)]
    more += [*("--principal-tags", tags, "--app-client", client, "--guest-policy", guests, "--user-policy", users)]
    whole = Ran(capsys, "lint", file, *OF_USERS, "--json", *more)
    assert (whole.status, whole.rules()) == (8, ["T7", "T13", "T11", "T12", "T9", "T15", "T14"])
    basic = Ran(capsys, "lint", file, *OF_USERS, "--json", *more, "--flow", "basic")
    assert "T11" not in basic.rules()


def test_an_answer_of_another_pool_or_command_is_refused(capsys: pytest.CaptureFixture[str], write: Any) -> None:
    file = write("trust.json", trust(statement()))
    other = write("other.json", {"IdentityPoolId": POOL[:-1] + "6", "AllowUnauthenticatedIdentities": False})
    ran = Ran(capsys, "lint", file, *OF_USERS, "--pool", other)
    assert (ran.status, ran.out) == (2, "")
    ran = Ran(capsys, "lint", file, *OF_USERS, "--pool-roles", file)
    assert (ran.status, ran.out) == (4, "")
    assert "trust.json: it is not what `aws cognito-identity get-identity-pool-roles` prints" in ran.err


def test_an_answer_of_awss_may_be_longer_than_a_policy(capsys: pytest.CaptureFixture[str], write: Any) -> None:
    file = write("trust.json", trust(statement()))
    roles = {"IdentityPoolId": POOL, "Roles": {"authenticated": ROLE}, "Long": "x" * 100_000}
    assert Ran(capsys, "lint", file, *OF_USERS, "--pool-roles", write("roles.json", roles)).status == 0
    roles["Long"] = "x" * 1_000_000
    assert Ran(capsys, "lint", file, *OF_USERS, "--pool-roles", write("roles.json", roles)).status == 4


def test_what_a_document_says_cannot_reach_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str], write: Any
) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    asked = {"StringEquals": {AUD: evil}, "ForAnyValue:StringLike": {AMR: evil}}
    ran = Ran(capsys, "lint", write("trust.json", trust(statement(Condition=asked))), *OF_USERS)
    assert ran.status == 8
    assert not {"\x1b", "\x07", "\u202e"} & {*ran.out}


def test_an_access_policy_is_told_from_a_trust_policy(capsys: pytest.CaptureFixture[str], write: Any) -> None:
    file = write(
        "role.json", {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/o"}}
    )
    assert not [rule for rule in Ran(capsys, "lint", file, "--json").rules() if rule.startswith("T")]
    assert Ran(capsys, "lint", file, "--role-arn", ROLE).status == 2
