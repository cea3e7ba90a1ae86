"""Identity pools shown and deleted with the role of an Identity Center profile, on a person's terminal."""

import json
import sys

from credhelper.identity_pools import trust_policies
from credhelper.identity_pools.trust_policies import Kind, Trust
from tests.cli.test_pools import POOL, Pool
from tests.machine import Machine
from tests.program.terminal import Terminal
from tests.scripted_aws import ScriptedAws, document

ROLE = "arn:aws:iam::111122223333:role/U"


def test_a_pool_is_shown_and_deleted_with_an_identity_center_role_wherever_the_daemons_endpoint_is(
    machine: Machine,
) -> None:
    """The shell's own endpoint, which somebody may have put there, gets no token of anybody's."""
    elsewhere = {"AWS_ENDPOINT_URL_COGNITO_IDENTITY": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "AKIAOTHER"}
    pool = Pool()
    with ScriptedAws(pool.script() | {"DeleteIdentityPool": lambda _: None}) as aws:
        asked = ("cognito", "pool", "show", "--identity-pool-id", POOL, "--json", "--admin-profile", "dev")
        machine.environment |= aws.environment()
        refused = machine.run(*asked)
        assert (refused.status, refused.out) == (3, "")
        assert "credhelper login --sso-session corp" in refused.err
        assert aws.calls == []

        machine.log_in()
        shown = machine.run(*asked, **elsewhere)
        assert shown.json()["pool"]["IdentityPoolName"] == "notes"
        key = machine.run("get", "--profile", "dev").json()["AccessKeyId"]
        assert f"Credential={key}/" in aws.calls[0].headers["Authorization"]

        command = [sys.executable, "-Im", "credhelper", "cognito", "pool", "delete", "--identity-pool-id", POOL]
        for typed, is_gone in (("Notes", False), ("notes", True)):
            environment = machine.environment | elsewhere
            with Terminal(environment, machine.home, [*command, "--admin-profile", "dev"]) as terminal:
                terminal.shows("has 70 identities")
                terminal.shows("Type the pool's name to go on: ")
                terminal.enter(typed)
                terminal.shows("Deleted" if is_gone else "nothing was changed")
            assert bool(aws.requests("DeleteIdentityPool")) is is_gone


def test_a_live_role_is_linted_and_explained_with_the_session_policy_of_today(machine: Machine) -> None:
    trust = trust_policies.document(Trust([POOL], Kind.GUEST))
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*"}]}
    live = ("--role-arn", ROLE, "--admin-profile", "dev", "--json")
    script = Pool().script() | {
        "GetRole": lambda _: {"Role": {"Arn": ROLE, "AssumeRolePolicyDocument": document(trust)}},
        "ListRolePolicies": lambda _: {"PolicyNames": ["run"], "IsTruncated": False},
        "GetRolePolicy": lambda _: {"PolicyName": "run", "PolicyDocument": document(allow)},
        "ListAttachedRolePolicies": lambda _: {"AttachedPolicies": [], "IsTruncated": False},
        "GetPolicy": lambda _: {"Policy": {"DefaultVersionId": "v9"}},
        "GetPolicyVersion": lambda _: {"PolicyVersion": {"Document": document(allow)}},
    }
    with ScriptedAws(script) as aws:
        machine.environment |= aws.environment()
        machine.log_in()
        linted = machine.run("cognito", "lint", "--identity-pool-id", POOL, "--authenticated", *live)
        assert linted.status == 8
        assert {finding["rule"] for finding in json.loads(linted.out)["findings"]} >= {"T9"}
        asked = ("cognito", "explain", "permissions", "--guest", "--action", "ec2:RunInstances")
        explained = machine.run(*asked, "--live", *live)
        assert json.loads(explained.out) == {"allowed": True, "denied_by": None}, explained.err
