"""``credhelper cognito explain role``, as a person and a script read it."""

import json
from pathlib import Path
from typing import Any

import pytest

from credhelper.cli import main

POOL = "us-east-1:11111111-1111-4111-8111-111111111111"
PROVIDER = "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123:4client"
ROLE = "arn:aws:iam::111122223333:role/Ops"
ROLES = {
    "IdentityPoolId": POOL,
    "Roles": {"authenticated": "arn:aws:iam::111122223333:role/Users"},
    "RoleMappings": {
        PROVIDER: {
            "Type": "Rules",
            "AmbiguousRoleResolution": "Deny",
            "RulesConfiguration": {
                "Rules": [
                    {"Claim": "email", "MatchType": "NotEqual", "Value": "x", "RoleARN": "arn:aws:iam::1:role/No"},
                    {"Claim": "custom:team", "MatchType": "Equals", "Value": "ops", "RoleARN": ROLE},
                ]
            },
        }
    },
}
CLAIMS = {"iss": f"https://{PROVIDER.partition(':')[0]}", "aud": "4client", "sub": "me", "custom:team": "ops"}
TAGS = {"IdentityPoolId": POOL, "IdentityProviderName": PROVIDER, "UseDefaults": True}


class Scene:
    """AWS's answers in files, and the command line run on them."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._directory = directory
        self.roles, self.claims, self.tags = (
            self.put(name, content) for name, content in (("roles", ROLES), ("claims", CLAIMS), ("tags", TAGS))
        )

    def put(self, name: str, content: object) -> str:
        """A file of it."""
        path = self._directory / f"{name}.json"
        path.write_text(json.dumps(content))
        return str(path)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Status, stdout and stderr."""
        status = main.main(["cognito", "explain", "role", "--pool-roles", self.roles, *words])
        out, err = self._capsys.readouterr()
        return status, out, err

    def json(self, *words: str) -> Any:
        """What is told to a script."""
        status, out, err = self.run(*words, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)


@pytest.fixture
def scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scene:
    return Scene(tmp_path, capsys)


def test_a_script_is_told_the_role_the_rule_and_every_step(scene: Scene) -> None:
    found = scene.json("--claims", scene.claims, "--principal-tags", scene.tags)
    assert (found["role_arn"], found["decided_by"], found["rule"]) == (ROLE, "rule", 2)
    assert [rule["verdict"] for rule in found["rules"]] == ["does not match", "matches"]
    assert found["tags"] == [
        {"key": "username", "claim": "sub", "value": "me"},
        {"key": "client", "claim": "aud", "value": "4client"},
    ]
    assert any("sts:TagSession" in remark for remark in found["remarks"])


def test_a_person_reads_the_role_first_and_then_why(scene: Scene) -> None:
    status, out, err = scene.run("--claims", scene.claims, "--principal-tags", scene.tags)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[:2] == [f"Signed in with {PROVIDER}.", f"Role: {ROLE}"]
    assert any(line.startswith("1 email NotEqual") and "does not match" in line for line in lines)


def test_a_refusal_is_an_answer_too(scene: Scene) -> None:
    claims = scene.put("other", CLAIMS | {"custom:team": "dev\x1b[31m"})
    status, out, _ = scene.run("--claims", claims)
    assert status == 0
    assert "Refused: none of the 2 rules matches, and AmbiguousRoleResolution is Deny." in out
    assert "\x1b" not in out


def test_what_whoami_prints_is_taken_for_claims(scene: Scene) -> None:
    whoami = scene.put("whoami", {"identity_pool_id": POOL, "claims": CLAIMS})
    assert scene.json("--claims", whoami)["role_arn"] == ROLE


def test_guests_and_the_basic_flow_have_answers_of_their_own(scene: Scene) -> None:
    assert scene.json("--guest")["decided_by"] == "none"
    assert scene.json("--claims", scene.claims, "--flow", "basic")["decided_by"] == "flow"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--guest", "--provider", "x"], 2, "--provider goes with --claims"),
        (["--guest", "--profile", "p"], 2, "--profile excludes"),
        (["--claims", "{tags}"], 2, "no iss"),
        (["--claims", "{missing}"], 4, "cannot be read"),
        (["--claims", "{claims}", "--principal-tags", "{claims}"], 4, "get-principal-tag-attribute-map"),
    ],
)
def test_what_cannot_be_asked_is_told(scene: Scene, words: list[str], status: int, message: str) -> None:
    files = {"claims": scene.claims, "tags": scene.tags, "missing": "/nonesuch"}
    found, out, err = scene.run(*(word.format(**files) for word in words))
    assert (found, out) == (status, "")
    assert message in err


def test_roles_of_something_else_are_refused_by_name(scene: Scene) -> None:
    scene.roles = scene.tags
    status, _, err = scene.run("--guest")
    assert status == 4
    assert "get-identity-pool-roles" in err
