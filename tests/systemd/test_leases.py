"""Leases of a daemon under the shipped units, which let it write in few places and tell users apart less well."""

import json

import pytest

from tests.program.support import refusal
from tests.systemd.manager import ManagedMachine

pytestmark = pytest.mark.real_client


def test_a_lease_is_made_where_the_sandbox_lets_it_be_and_outlives_the_service(managed: ManagedMachine) -> None:
    managed.install_units()
    managed.do("start", "credhelper.socket")
    managed.log_in()
    create = ("lease", "create", "--profile", "dev", "--json")

    refusal(
        managed.run(*create, "--uid", "0"), 5, "PrivateUsers=", "uid 0", "hint: credhelper lease create --token-file"
    )
    managed.own(managed.home / "mine")
    managed.run_program(["chmod", "700", "/home/tester/mine"])
    refusal(managed.run(*create, "--socket", "/home/tester/mine/s"), 2, "Read-only file system", "$XDG_RUNTIME_DIR")
    refusal(managed.run(*create, "--token-file", "/home/tester/mine/t"), 2, "Read-only file system")
    assert managed.run_program(["mkdir", "-m", "700", f"/tmp/{managed.uid}"]).status == 0
    refusal(managed.run(*create, "--socket", f"/tmp/{managed.uid}/s"), 2, "a /tmp of its own")
    managed.run_program(["rmdir", f"/tmp/{managed.uid}"])
    assert managed.run("lease", "list", "--json").json() == {"leases": []}

    lease, own = managed.run(*create).json(), managed.run(*create, "--uid", str(managed.uid)).json()
    token = managed.run(*create, "--token-file", f"/run/user/{managed.uid}/token").json()
    managed.do("restart", "credhelper.service")
    for each in (lease, own):
        through = managed.run("get", CREDHELPER_SOCKET=each["socket"], HOME="/nonexistent")
        assert through.status == 0, through.err
        assert json.loads(through.out)["AccountId"] == "111122223333"
    assert managed.run("lease", "list", "--json").json() == {"leases": [lease, own, token]}
    assert managed.run("logout").status == 0
    assert [path.name for path in (managed.runtime / "credhelper").iterdir()] == ["credhelper.sock"]
    assert not (managed.runtime / "token").exists()
