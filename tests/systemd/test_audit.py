"""The audit of a daemon under the shipped units, which let it write in few places and look at few other programs."""

import json
import stat
from typing import Any

import pytest

from credhelper.local.audit_log import KEYS
from tests.systemd.manager import ManagedMachine

pytestmark = pytest.mark.real_client


def records(managed: ManagedMachine, *options: str) -> list[dict[str, Any]]:
    shown = managed.run("audit", "--json", *options)
    assert (shown.status, shown.err) == (0, "")
    return [json.loads(line) for line in shown.out.splitlines()]


def test_who_asked_is_recorded_and_shown(managed: ManagedMachine) -> None:
    managed.install_units()
    managed.do("start", "credhelper.socket")
    assert managed.run("get", "--profile", "dev").status == 3
    managed.log_in()
    assert managed.run("get", "--profile", "dev").status == 0
    line = " ".join(managed.process_line("dev"))
    assert managed.run_program(["sh", "-c", f"{line} && {line}"]).status == 0

    found = records(managed)
    assert [record["outcome"] for record in found] == ["login_required", "ok", "ok", "ok"]
    assert [record["cache_hit"] for record in found] == [False, False, True, True]
    for record in found:
        assert tuple(record) == KEYS
        assert (record["door"], record["profile"], record["uid"]) == ("get", "dev", managed.uid)
        assert (record["account_id"], record["role_name"]) == ("111122223333", "Developer")
        assert isinstance(record["pid"], int)
        assert record["cwd"] == "/home/tester"
        assert record["exe"], "not even a name"
    assert found[0]["expires_at"] is None
    assert found[1]["expires_at"].endswith("Z")

    (file,) = managed.home.glob(".local/state/credhelper/audit-*.jsonl")
    about = file.stat()
    assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o600, managed.uid)
    table = managed.run("audit", "--profile", "dev")
    assert [line.split()[-1] for line in table.out.splitlines()] == ["OUTCOME", "required", "ok", "memory", "memory"]

    managed.do("restart", "credhelper.service")
    assert managed.run("get", "--profile", "native").status == 0
    managed.do("stop", "credhelper.service")
    assert [record["profile"] for record in records(managed)] == ["dev"] * 4 + ["native"]
    assert records(managed, "--profile", "native", "--since", "1h")[0]["role_name"] == "Administrator"
    assert managed.show("ActiveState") == "inactive"  # to look does not start it
