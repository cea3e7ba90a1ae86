"""``credhelper cognito explain permissions`` and ``policy``, as a person and a script read them."""

import json
from pathlib import Path
from typing import Any

import pytest

from credhelper.cli import main
from credhelper.identity_pools import templates
from tests.identity_pools.access_documents import NOTES_APPLICATION

ROLE = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "ec2:RunInstances"], "Resource": "*"},
        {
            "Sid": "List",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::b",
            "Condition": {"StringLike": {"s3:prefix": "a/*"}},
        },
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/secret/*"},
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
    ],
}


@pytest.fixture
def role(tmp_path: Path) -> str:
    path = tmp_path / "role.json"
    path.write_text(json.dumps(ROLE, indent=1))
    return str(path)


class Told:
    """What one run of the command line said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        self.status = main.main(["cognito", *words])
        self.out, self.err = capsys.readouterr()

    def json(self) -> Any:
        return json.loads(self.out)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--guest --action ec2:RunInstances", {"allowed": False, "denied_by": "scope-down"}),
        ("--authenticated --action ec2:RunInstances", {"allowed": True, "denied_by": None}),
        ("--guest --flow basic --action ec2:RunInstances", {"allowed": True, "denied_by": None}),
        ("--guest --action sqs:SendMessage", {"allowed": False, "denied_by": "role"}),
        ("--guest --action s3:GetObject --resource arn:aws:s3:::b/x", {"allowed": True, "denied_by": None}),
        ("--guest --action s3:GetObject --resource arn:aws:s3:::b/secret/x", {"allowed": False, "denied_by": "role"}),
        ("--guest --action s3:ListBucket --context s3:prefix=a/b", {"allowed": True, "denied_by": None}),
        ("--guest --action s3:ListBucket --context S3:Prefix=", {"allowed": False, "denied_by": "role"}),
        ("--guest --action kms:CreateKey --region af-south-1", {"allowed": False, "denied_by": "scope-down"}),
    ],
)
def test_the_json_is_the_contracts(
    role: str, capsys: pytest.CaptureFixture[str], words: str, expected: dict[str, Any]
) -> None:
    told = Told(capsys, "explain", "permissions", "--role-policy", role, *words.split(), "--json")
    assert (told.status, told.json(), told.err) == (0, expected, "")


def test_the_json_names_what_the_answer_depends_on(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys, *f"explain permissions --guest --role-policy {role} --action s3:ListBucket --json".split())
    assert told.json() == {
        "allowed": True,
        "denied_by": None,
        "depends_on": [
            {
                "policy": role,
                "place": "Statement[1].Condition.StringLike.s3:prefix",
                "condition": "StringLike s3:prefix = a/*",
                "of": "allow",
            }
        ],
    }


def test_a_person_reads_who_refuses_why_and_what_to_do(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys, *f"explain permissions --guest --role-policy {role} --action ec2:RunInstances".split())
    assert told.out.startswith("Denied to guests by the scope-down: ec2:RunInstances.\n")
    assert f"The role allows it: Statement[0] of {role}, line 4." in told.out
    assert "Drop the service, let people sign in, or use the basic flow" in told.out
    assert "v4" in told.err, "which copy of the session policies was used"


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        ("--guest --action s3:GetObject", ["Allowed to guests", "unless the resource is arn:aws:s3:::b/secret/*"]),
        ("--guest --action sqs:SendMessage", ["by the role", "no statement names it", "Allow it in one of the role"]),
        ("--guest --action rds:Connect", ["by the role", "The scope-down would refuse it to guests too"]),
        ("--authenticated --action ec2:RunInstances", ["Allowed to signed-in users"]),
        ("--guest --flow basic --action ec2:RunInstances", ["Cognito adds no session policies"]),
        ("--guest --action s3:ListBucket", ["depends on what is not known", "if StringLike s3:prefix = a/*"]),
    ],
)
def test_a_person_reads_the_reasons(
    role: str, capsys: pytest.CaptureFixture[str], words: str, sentences: list[str]
) -> None:
    told = Told(capsys, "explain", "permissions", "--role-policy", role, *words.split())
    assert [sentence for sentence in sentences if sentence not in told.out] == []


def test_a_call_that_cognito_takes_from_nobody_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "app.json"
    path.write_text(NOTES_APPLICATION)
    words = f"explain permissions --authenticated --role-policy {path} --action cognito-sync:ListRecords"
    assert "Denied to signed-in users by Cognito itself" in Told(capsys, *words.split()).out


def test_the_list_says_what_is_dead(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"explain permissions --guest --role-policy {role} --list".split()
    lines = Told(capsys, *words).out.splitlines()
    assert [line.split()[5:7] for line in lines[1:-1]] == [
        ["alive", "s3:GetObject"],
        ["dead", "ec2:RunInstances"],
        ["alive", "s3:ListBucket"],
        ["partly", "kms:*"],
    ]
    found = Told(capsys, *words, "--json").json()["statements"]
    assert [(each["place"], each["sid"], each["state"]) for each in found] == [
        ("Statement[0]", None, "partly"),
        ("Statement[1]", "List", "alive"),
        ("Statement[3]", None, "partly"),
    ]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--guest", 2, "--action says what is asked about"),
        ("--guest --action s3:Get*", 2, "is not one action"),
        ("--guest --action s3:GetObject --region moon", 2, "is not a region"),
        ("--guest --action s3:GetObject --context x", 2, "KEY=VALUE"),
        ("--guest --list --resource x", 2, "--resource goes with --action"),
        ("--guest --authenticated --action s3:GetObject", 2, "not allowed with argument"),
        ("--action s3:GetObject", 2, "one of the arguments --guest --authenticated is required"),
        ("--guest --action s3:GetObject --role-policy /nowhere.json", 4, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    role: str, capsys: pytest.CaptureFixture[str], words: str, status: int, message: str
) -> None:
    told = Told(capsys, "explain", "permissions", "--role-policy", role, *words.split())
    assert (told.status, told.out) == (status, "")
    assert message in told.err


def test_a_policy_may_come_by_standard_input(
    role: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["explain", "permissions", "--guest", "--role-policy", "-", "--action", "ec2:RunInstances"]
    with open(role, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert "Statement[0] of standard input, line 4" in Told(capsys, *words).out
        assert "standard input can be read once only" in Told(capsys, *words, "--role-policy", "-").err


def test_a_file_that_is_no_policy_is_refused_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "role.json"
    path.write_text('{"Version": "2012-10-17",\n "Statement": [,]}')
    told = Told(capsys, *f"explain permissions --guest --role-policy {path} --action s3:GetObject".split())
    assert told.status == 4
    assert f"{path}, line 2, column 16" in told.err


def test_nothing_in_a_policy_is_obeyed_by_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "role.json"
    hostile = {"StringLike": {"s3:prefix": "\x1b[2J\u202e"}}
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": hostile}
    path.write_text(json.dumps({"Statement": statement | {"Sid": "\x1b[1m"}}))
    told = Told(capsys, *f"explain permissions --guest --role-policy {path} --action s3:ListBucket --list".split())
    assert "depends on what is not known" in told.out
    assert all(line.isprintable() for line in [*told.out.splitlines(), *told.err.splitlines()])


def test_the_linter_takes_access_policies_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.json"
    path.write_text(NOTES_APPLICATION)
    words = f"lint {path} --identity-pool-id us-east-1:11111111-1111-1111-1111-111111111111 --authenticated --json"
    told = Told(capsys, *words.split())
    assert told.status == 8
    assert {"AP1", "AP2", "AP3"} <= {finding["rule"] for finding in told.json()["findings"]}


def test_a_template_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys, "policy", "s3-folder", "--bucket", "my-bucket", "--prefix", "uploads")
    assert told.json() == templates.document("s3-folder", {"bucket": "my-bucket", "prefix": "uploads"})
    assert told.err == ""


def test_the_templates_are_listed_with_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    out = Told(capsys, "policy", "--list").out
    assert [line.split()[0] for line in out.splitlines()] == ["TEMPLATE", *templates.TEMPLATES]
    assert "--bucket [--prefix]" in out


@pytest.mark.parametrize(
    "words", ["policy", "policy s3-object --list", "policy none", "policy s3-object --bucket my-b"]
)
def test_a_template_that_cannot_be_made_is_refused(capsys: pytest.CaptureFixture[str], words: str) -> None:
    told = Told(capsys, *words.split())
    assert (told.status, told.out) == (2, "")
    assert "credhelper cognito policy --list" in told.err
