"""``credhelper get``: one line of JSON for an SDK, or an empty stdout, a status that says why, and what to do."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from credhelper.sandbox.directory import large_directory
from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Machine, Run
from tests.program.support import complaint, hint, refusal, running_daemon

ROLE = ("--sso-session", "corp", "--account-id", "222233334444", "--role-name", "ReadOnly")


def test_it_prints_one_line_of_credential_process_json(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    run = machine.run("get", "--profile", "dev")
    assert (run.status, run.err) == (0, "")
    assert run.out.count("\n") == 1
    assert run.out.endswith("\n")
    found = run.json()
    assert list(found) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId"]
    assert found["Version"] == 1
    assert found["AccessKeyId"].startswith("ASIA")
    assert found["AccountId"] == "111122223333"
    expiration = datetime.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(minutes=15) < expiration - datetime.now(UTC) <= timedelta(hours=1)
    assert machine.run("get", "--profile", "dev") == run
    assert sandbox.calls["GetRoleCredentials"] == 1


def test_every_way_to_choose_a_role(machine: Machine, sandbox: Sandbox) -> None:
    machine.write_config(
        machine.config.read_text(encoding="utf-8") + "\n[default]\ncredhelper_sso_session = corp\n"
        "credhelper_sso_account_id = 333344445555\ncredhelper_sso_role_name = ReadOnly\n"
    )
    machine.log_in()

    def account(run: Run) -> str:
        return str(run.json()["AccountId"])

    assert account(machine.run("get")) == "333344445555"
    assert account(machine.run("get", *ROLE)) == "222233334444"
    assert account(machine.run("get", AWS_PROFILE="dev")) == "111122223333"
    assert account(machine.run("get", AWS_DEFAULT_PROFILE="dev")) == "111122223333"
    assert account(machine.run("get", "--profile", "default", AWS_PROFILE="dev")) == "333344445555"
    assert account(machine.run("get", *ROLE, AWS_PROFILE="dev")) == "222233334444"
    assert machine.run("get", AWS_PROFILE="native", AWS_DEFAULT_PROFILE="dev").status == 0


def test_a_legacy_profile_is_served_after_its_own_login(machine: Machine) -> None:
    refused = machine.run("get", "--profile", "legacy")
    refusal(refused, 3)
    assert hint(refused.err) == ["login", "--profile", "legacy"]
    machine.log_in(*hint(refused.err)[1:], "--use-device-code")
    assert machine.run("get", "--profile", "legacy").json()["AccountId"] == "111122223333"


def test_without_a_login_it_names_the_command_that_helps(machine: Machine, sandbox: Sandbox) -> None:
    refused = machine.run("get", "--profile", "dev")
    refusal(refused, 3, "corp")
    assert hint(refused.err) == ["login", "--sso-session", "corp"]
    assert not sandbox.calls


def test_a_login_that_the_portal_ended_is_known_as_bad_and_the_named_command_really_logs_in(
    machine: Machine, sandbox: Sandbox
) -> None:
    machine.log_in()
    sandbox.end_session()
    refused = machine.run("get", "--profile", "dev")
    refusal(refused, 3, "corp")
    command = hint(refused.err)
    assert command == ["login", "--sso-session", "corp"]
    with machine.logging_in(*command[1:], "--json") as (login, event):
        assert event["event"] == "authorize"
        machine.approve(event)
        login.communicate()
    assert login.returncode == 0
    assert machine.run("get", "--profile", "dev").status == 0


def test_an_access_token_that_was_revoked_is_replaced_behind_the_scenes(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    sandbox.revoke_access_tokens()
    assert machine.run("get", "--profile", "dev").status == 0
    assert sandbox.calls["CreateToken:refresh_token"] == 1


def test_a_session_that_expired_is_refreshed(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    token = json.loads(machine.token_file().read_bytes())
    token["expiresAt"] = "2020-01-01T00:00:00Z"
    machine.token_file().write_text(json.dumps(token), encoding="utf-8")
    assert machine.run("get", "--profile", "dev").status == 0
    renewed = json.loads(machine.token_file().read_bytes())
    assert renewed["accessToken"] != token["accessToken"]
    assert renewed["refreshToken"] != token["refreshToken"]
    del token["refreshToken"]
    machine.token_file().write_text(json.dumps(token), encoding="utf-8")
    refusal(machine.run("get", "--profile", "dev"), 3, "expired")


def test_a_token_deleted_by_others_counts_at_once(machine: Machine) -> None:
    machine.log_in()
    kept = machine.token_file().read_bytes()
    assert machine.run("get", "--profile", "dev").status == 0
    machine.token_file().unlink()
    refusal(machine.run("get", "--profile", "dev"), 3)
    machine.token_file().write_bytes(kept)
    assert machine.run("get", "--profile", "dev").status == 0


def test_a_role_that_is_not_assigned(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    role = ("--sso-session", "corp", "--account-id", "111122223333", "--role-name", "Billing")
    for _ in range(3):
        refusal(machine.run("get", *role), 5, "Billing", "111122223333", "not assigned")
    assert sandbox.calls["GetRoleCredentials"] == 1
    machine.log_in()
    refusal(machine.run("get", *role), 5)
    assert sandbox.calls["GetRoleCredentials"] == 2


# -- configuration --------------------------------------------------------------------------------------------------

GOOD = "sso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n"
ROLE_KEYS = "sso_account_id = 111122223333\nsso_role_name = Developer\n"
USER = f"[profile p]\nsso_session = corp\n{ROLE_KEYS}"
ADOPTED = "[profile p]\ncredhelper_sso_session = corp\ncredhelper_sso_account_id = 111122223333\n"

MISTAKES = {
    "unknown profile": ("", ["profile", "p"]),
    "unknown session": (f"[profile p]\nsso_session = corp\n{ROLE_KEYS}", ["[sso-session corp]"]),
    "no start URL": (
        f"[sso-session corp]\nsso_region = eu-west-1\n[profile p]\nsso_session = corp\n{ROLE_KEYS}",
        ["[sso-session corp]", "sso_start_url"],
    ),
    "no region": (
        f"[sso-session corp]\nsso_start_url = https://x.awsapps.com/start\n{USER}",
        ["[sso-session corp]", "sso_region"],
    ),
    "a start URL over http": (
        f"[sso-session corp]\nsso_start_url = http://x.awsapps.com/start\nsso_region = eu-west-1\n{USER}",
        ["[sso-session corp]", "sso_start_url", "https"],
    ),
    "a start URL that is a script": (
        f"[profile p]\nsso_start_url = javascript:alert(1)\nsso_region = eu-west-1\n{ROLE_KEYS}",
        ["[profile p]", "sso_start_url", "https"],
    ),
    "a region that is a host": (
        f"[sso-session corp]\nsso_start_url = https://x.awsapps.com/start\nsso_region = evil.example/\n{USER}",
        ["[sso-session corp]", "sso_region"],
    ),
    "no account": (
        f"[sso-session corp]\n{GOOD}[profile p]\nsso_session = corp\nsso_role_name = Developer\n",
        ["[profile p]", "sso_account_id"],
    ),
    "an account that is none": (
        f"[sso-session corp]\n{GOOD}[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = R\n",
        ["[profile p]", "sso_account_id"],
    ),
    "no role, adopted": (
        f"[sso-session corp]\n{GOOD}{ADOPTED}",
        ["[profile p]", "credhelper_sso_role_name"],
    ),
    "contradictory regions": (
        f"[sso-session corp]\n{GOOD}[profile p]\nsso_session = corp\nsso_region = us-east-1\n{ROLE_KEYS}",
        ["[profile p]", "[sso-session corp]", "sso_region"],
    ),
    "contradictory start URLs": (
        f"[sso-session corp]\n{GOOD}[profile p]\nsso_session = corp\nsso_start_url = https://y.awsapps.com/start\n"
        + ROLE_KEYS,
        ["[profile p]", "[sso-session corp]", "sso_start_url"],
    ),
    "a profile of another kind": ("[profile p]\nregion = eu-west-1\n", ["[profile p]", "sso_session"]),
    "a section twice": (
        f"[sso-session corp]\n{GOOD}[sso-session corp]\n{GOOD}",
        ["line 4", "[sso-session corp]", "twice"],
    ),
    "a key twice": ("[profile p]\nregion = a\nregion = b\n", ["line 3", "[profile p]", "region", "twice"]),
    "no section": ("region = a\n", ["line 1"]),
}


def test_mistakes_in_the_configuration_are_named_by_file_section_and_key(machine: Machine) -> None:
    with running_daemon(machine) as daemon:
        for what, (text, words) in MISTAKES.items():
            machine.write_config(text)
            run = machine.run("get", "--profile", "p")
            assert run.status == 4, (what, run)
            refusal(run, 4, str(machine.config), *words)
        machine.config.write_bytes(b"[profile p]\nregion = \xff\xfe\n")
        refusal(machine.run("get", "--profile", "p"), 4, str(machine.config), "UTF-8")
        refusal(machine.run("get", "--sso-session", "no", "--account-id", "1" * 12, "--role-name", "R"), 4)
        machine.write_config(CONFIG.format(start_url=machine.sandbox.start_url))
        refusal(machine.run("get", "--profile", "dev"), 3)
        assert "Traceback" not in daemon.log()


def test_what_the_credentials_file_holds_is_never_repeated(machine: Machine) -> None:
    (machine.home / ".aws" / "credentials").write_text("[dev]\naws_secret_access_key canary-of-the-file\n", "utf-8")
    run = machine.run("get", "--profile", "dev")
    refusal(run, 4, "credentials", "line 2")
    assert "canary" not in run.err


# -- AWS and the way to it ------------------------------------------------------------------------------------------

FAILURES = {
    "a captive portal's page": (Fault(body=Body.HTML), "captive portal"),
    "a captive portal's redirect": (Fault(body=Body.REDIRECT), ""),
    "HTTP 500": (Fault(status=500), "500"),
    "HTTP 503": (Fault(status=503), "503"),
    "HTTP 429": (Fault(status=429), "throttling"),
    "a cut before": (Fault(cut=Cut.BEFORE), "cannot be reached"),
    "a cut in the middle": (Fault(cut=Cut.MIDDLE), ""),
    "half of the JSON": (Fault(body=Body.TRUNCATED), ""),
    "nothing": (Fault(body=Body.EMPTY), ""),
    "a list": (Fault(body=Body.LIST), ""),
    "an empty object": (Fault(body=Body.EMPTY_OBJECT), ""),
    "32 MiB": (Fault(body=Body.HUGE), ""),
    "no secret": (Fault(without=("roleCredentials.secretAccessKey",)), "secretAccessKey"),
    "a number for a key": (Fault(members={"roleCredentials.accessKeyId": 7}), "accessKeyId"),
    "an expiration in the past": (Fault(members={"roleCredentials.expiration": 1}), "expired"),
    "an expiration beyond time": (Fault(members={"roleCredentials.expiration": 10**30}), ""),
    "an expiration that is text": (Fault(members={"roleCredentials.expiration": "soon"}), ""),
}


@pytest.mark.long
def test_whatever_aws_does_it_fails_with_6_and_says_what_happened() -> None:
    directory = large_directory(1, len(FAILURES))
    lifetimes = Lifetimes(interval=0)
    with Sandbox(directory=directory, lifetimes=lifetimes) as sandbox, Machine(sandbox) as machine:
        machine.log_in()
        # A role of its own for each: a failure is told again for a second.
        for role, (what, (fault, word)) in zip(directory.roles, FAILURES.items(), strict=True):
            sandbox.fail("GetRoleCredentials", fault, times=None)
            role_options = ("--account-id", directory.accounts[0].account_id, "--role-name", role.name)
            run = machine.run("get", "--sso-session", "corp", *role_options)
            assert (run.status, run.out) == (6, ""), (what, run)
            complaint(run.err, word)
            assert "127.0.0.1" in run.err, (what, run)
            sandbox.clear()
            assert machine.run("get", "--sso-session", "corp", *role_options).status in {0, 6}, what


def test_one_hiccup_of_aws_is_nobodys_business(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    sandbox.fail("GetRoleCredentials", Fault(status=500))
    assert machine.run("get", "--profile", "dev").status == 0


def test_what_is_still_valid_is_served_while_aws_is_away(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    served = machine.run("get", "--profile", "dev")
    sandbox.fail("GetRoleCredentials", Fault(status=503), times=None)
    assert machine.run("get", "--profile", "dev") == served
    sandbox.stop()
    assert machine.run("get", "--profile", "dev") == served
    refusal(machine.run("get", "--profile", "native"), 6, "cannot be reached")


def test_a_refresh_that_fails_is_the_reason_only_when_nothing_is_left(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    token = json.loads(machine.token_file().read_bytes())
    token["expiresAt"] = "2020-01-01T00:00:00Z"
    machine.token_file().write_text(json.dumps(token), encoding="utf-8")
    sandbox.fail("CreateToken:refresh_token", Fault(status=503), times=None)
    refusal(machine.run("get", "--profile", "dev"), 6, "503")


@pytest.mark.long
def test_a_hung_portal_is_given_up_within_ten_seconds(machine: Machine, sandbox: Sandbox) -> None:
    machine.log_in()
    with sandbox.hold("GetRoleCredentials"):
        refusal(machine.run("get", "--profile", "dev"), 6)
    assert machine.run("get", "--profile", "native").status == 0


@pytest.mark.parametrize("seconds", [900, 120])
def test_short_lived_roles_are_served_all_the_same(seconds: int) -> None:
    with Sandbox(lifetimes=Lifetimes(interval=0, role_credentials=seconds)) as sandbox, Machine(sandbox) as machine:
        machine.log_in()
        first = machine.run("get", "--profile", "dev")
        assert machine.run("get", "--profile", "dev") == first
        assert sandbox.calls["GetRoleCredentials"] == 1
