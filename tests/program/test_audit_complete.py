"""A thousand requests through every door, granted and refused: the audit has each of them once, in order, and right."""

import http.client
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from credhelper import client
from credhelper.local.audit_log import KEYS
from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS, Machine
from tests.program.support import ask, ask_at

STAGING = "222233334444"
CHAINS = f"""
[profile deploy]
role_arn = arn:aws:iam::{STAGING}:role/Deploy
source_profile = dev

[profile guarded]
credhelper_role_arn = arn:aws:iam::{STAGING}:role/Guarded
credhelper_source_profile = dev
credhelper_mfa_serial = arn:aws:iam::111122223333:mfa/alice

[profile foreign]
role_arn = arn:aws:iam::{STAGING}:role/Foreign
source_profile = dev

[profile staging]
sso_session = corp
sso_account_id = 222233334444
sso_role_name = ReadOnly

[profile unassigned]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Billing
"""
RULES = """
[[policy]]
name = "hands off"
match = "native"
deny = true

[[policy]]
name = "ask me"
match = "legacy"
confirm = true
"""
OPS = {"get": "get", "export": "get", "exec": "get", "whoami": "whoami", "console": "console"}

Seen = tuple[str, str | None, str]
"""Door, profile and outcome."""


class Run:
    """Asks through each door, and notes what the audit must say of it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.expected: list[Seen] = []

    def ask(self, door: str, profile: str, outcome: str = "ok", **more: str) -> dict[str, str]:
        """A request of a program that speaks for itself; its answer must be what the audit is to say."""
        self.expected.append((door, profile, outcome))
        answer = self.at_once(door, profile, **more)
        assert answer.get("code", "ok") == outcome, (door, profile, answer)
        return answer

    def at_once(self, door: str, profile: str, **more: str) -> dict[str, str]:
        if OPS[door] == "get":
            more = {"door": door} | more
        return ask(self.machine, OPS[door], profile=profile, **more)

    def run(self, door: str, profile: str, argv: list[str], outcome: str = "ok") -> None:
        """A program of ours, or the fast client."""
        self.expected.append((door, profile, outcome))
        run = self.machine.run_program(argv)
        assert (run.status == 0) == (outcome == "ok"), run

    def command(self, door: str, profile: str, *arguments: str, outcome: str = "ok") -> None:
        """A command of ours."""
        self.run(door, profile, [sys.executable, "-Im", "credhelper", *arguments], outcome)

    def grant(self, profile: str, outcome: str = "ok") -> dict[str, Any]:
        """What ``credhelper exec`` asks for; its owner is this very process."""
        self.expected.append(("exec", profile, outcome))
        answer = ask(self.machine, "grant", profile=profile)
        assert answer.get("code", "ok") == outcome, answer
        return json.loads(answer["out"]) if outcome == "ok" else {}

    def fetch(self, granted: dict[str, Any], profile: str, outcome: str = "ok") -> None:
        """What an SDK does in a program that ``credhelper exec`` has started, or with a lease's token."""
        self.expected.append(("container", profile, outcome))
        assert (http_status(granted) == 200) == (outcome == "ok")

    def through(self, lease: dict[str, Any], profile: str, outcome: str = "ok") -> None:
        """A program in a container to which the lease's socket is mounted."""
        self.expected.append(("lease", profile, outcome))
        sent = {"v": client.PROTOCOL.decode(), "op": "get", "HOME": "/root", "cwd": "/", "profile": profile}
        answer = ask_at(Path(lease["socket"]), sent)
        assert answer.get("code", "ok") == outcome, answer

    def lease(self, profile: str, *options: str) -> dict[str, Any]:
        self.expected.append(("lease", profile, "ok"))
        run = self.machine.run("lease", "create", "--profile", profile, "--json", *options)
        assert run.status == 0, run
        found: dict[str, Any] = run.json()
        return found

    def recorded(self) -> list[dict[str, Any]]:
        run = self.machine.run("audit", "--json")
        assert (run.status, run.err) == (0, "")
        return [json.loads(line) for line in run.out.splitlines()]


def http_status(granted: dict[str, Any]) -> int:
    address = urlsplit(granted["uri"])
    connection = http.client.HTTPConnection(address.netloc, timeout=SECONDS)
    try:
        connection.request("GET", address.path, headers={"Authorization": granted["token"]})
        with connection.getresponse() as answer:
            answer.read()
            return answer.status
    finally:
        connection.close()


@pytest.fixture
def sandbox() -> Any:
    with Sandbox(lifetimes=Lifetimes(interval=0)) as running:
        running.put_iam_role(IamRole(STAGING, "Guarded", Trust(frozenset({"111122223333/Developer"}), mfa=True)))
        running.put_iam_role(IamRole(STAGING, "Foreign", Trust(frozenset({"444455556666"}))))
        yield running


def seen(record: dict[str, Any]) -> Seen:
    return record["door"], record["profile"], record["outcome"]


@pytest.mark.long
def test_each_of_a_thousand_requests_is_recorded_once(machine: Machine, sandbox: Sandbox) -> None:
    machine.write_config(CONFIG.format(start_url=sandbox.start_url) + CHAINS)
    run = Run(machine)
    machine.run("daemon", "start")
    before_login(run)
    machine.log_in()
    machine.log_in("--profile", "legacy")
    line = machine.process_line("dev")
    through_every_command(run, line)
    by_programs(run)
    refused(run, sandbox)
    under_rules_and_locked(run)
    at_the_same_time(run, 1000 - len(run.expected))

    found = run.recorded()
    assert len(found) == len(run.expected) == 1000
    ordered = [seen(record) for record in found]
    alone = run.expected.index(("get", "dev", "together"))
    assert ordered[:alone] == run.expected[:alone]
    assert Counter(ordered[alone:]) == Counter((door, profile, "ok") for door, profile, _ in run.expected[alone:])
    assert {door for door, _, _ in ordered} == {"get", "export", "exec", "console", "whoami", "container", "lease"}
    for record in found:
        assert tuple(record) == KEYS
        assert record["uid"] is not None
        assert record["exe"]
        assert (record["expires_at"] is None) == (record["outcome"] != "ok")
    check_that_nothing_secret_is_there(machine, sandbox)


def before_login(run: Run) -> None:
    for door in OPS:
        run.ask(door, "dev", "login_required")
    run.grant("dev", "login_required")


def through_every_command(run: Run, line: list[str]) -> None:
    for _ in range(3):
        run.run("get", "dev", line)
        run.command("get", "native", "get", "--profile", "native")
        run.command("export", "dev", "export", "--profile", "dev", "--format", "env")
        run.command("exec", "dev", "exec", "--profile", "dev", "--", "true")
        run.command("exec", "native", "exec", "--profile", "native", "--env", "--", "true")
        run.command("whoami", "legacy", "whoami", "--profile", "legacy")
        run.command("console", "deploy", "console", "--profile", "deploy", "--print")
        run.command("get", "no such", "get", "--profile", "no such", outcome="config")


def by_programs(run: Run) -> None:
    grants = {profile: run.grant(profile) for profile in ("dev", "native", "deploy")}
    by_socket = run.lease("dev", "--ttl", "30m")
    by_token = run.lease("native", "--token-file", "token")
    by_token["token"] = (run.machine.home / "token").read_text()
    for _ in range(30):
        for profile in ("dev", "native", "deploy"):
            run.ask("get", profile)
            run.fetch(grants[profile], profile)
        run.ask("export", "legacy")
        run.ask("exec", "dev", min_ttl="900")
        run.ask("whoami", "deploy")
        run.ask("console", "native", service="s3")
        run.through(by_socket, "dev")
        run.fetch(by_token, "native")


def refused(run: Run, sandbox: Sandbox) -> None:
    by_socket = run.lease("dev", "--ttl", "30m")
    for door in OPS:
        run.ask(door, "unassigned", "role_not_assigned")
        run.ask(door, "no such", "config")
        run.ask(door, "guarded", "mfa_required")
        run.ask(door, "foreign", "assume_role_denied")
    run.grant("unassigned", "role_not_assigned")
    for door in ("get", "export", "exec"):
        run.ask(door, "dev", "too_short_lived", min_ttl="36000")
    run.ask("console", "dev", "usage", destination="https://evil.example/")
    run.through(by_socket, "native", "access_refused")
    sandbox.fail("GetRoleCredentials", Fault(status=503), times=None)
    run.ask("get", "staging", "unavailable")
    run.ask("whoami", "staging", "unavailable")
    sandbox.clear("GetRoleCredentials")


def under_rules_and_locked(run: Run) -> None:
    by_socket, granted = run.lease("dev"), run.grant("dev")
    settings = run.machine.home / ".config" / "credhelper" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(RULES)
    assert run.machine.run("daemon", "reload").status == 0
    for door in OPS:
        run.ask(door, "native", "policy")
        run.ask(door, "legacy", "confirmation_pending")
    run.grant("native", "policy")
    assert run.machine.run("lock").status == 0
    for door in OPS:
        run.ask(door, "dev", "locked")
    run.grant("dev", "locked")
    run.fetch(granted, "dev", "locked")
    run.through(by_socket, "dev", "locked")
    assert run.machine.run("unlock").status == 0


def at_the_same_time(run: Run, count: int) -> None:
    """The rest, eight at a time: whichever comes first, each is recorded."""
    doors = [("get", "dev"), ("export", "deploy"), ("exec", "dev"), ("get", "deploy")]
    requests = [doors[number % len(doors)] for number in range(count)]
    run.expected += [(door, profile, "together") for door, profile in requests]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: run.at_once(*each), requests))
    assert [answer["status"] for answer in answers] == ["0"] * count


def check_that_nothing_secret_is_there(machine: Machine, sandbox: Sandbox) -> None:
    (path,) = machine.home.glob(".local/state/credhelper/audit-*.jsonl")
    text = path.read_text()
    document = machine.run("get", "--profile", "dev").json()
    secrets = [document["AccessKeyId"], document["SecretAccessKey"], document["SessionToken"]]
    secrets.append((machine.home / "token").read_text())
    secrets += [call.request.headers.get("x-amz-sso_bearer_token", "-") for call in sandbox.recorded]
    assert not [secret for secret in secrets if len(secret) > 1 and secret in text]
