"""Rules under the shipped units, whose sandbox does not let the daemon see which programs ask."""

import json

import pytest

from tests.systemd.manager import ManagedMachine

pytestmark = pytest.mark.real_client


def test_a_rule_about_programs_lets_nobody_through_and_says_why(managed: ManagedMachine) -> None:
    path = managed.home / ".config" / "credhelper" / "config.toml"
    managed.install_units()
    managed.do("start", "credhelper.socket")
    managed.log_in()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('[[policy]]\nname = "tools"\nmatch = "dev"\nallow_exe = "/*"\n')
    path.chmod(0o644)
    assert managed.run("daemon", "reload").status == 0
    refused = managed.run("get", "--profile", "dev")
    assert (refused.status, refused.out) == (5, "")
    assert "its service's sandbox forbids it" in refused.err
    assert "credhelper: hint: credhelper service uninstall" in refused.err
    assert managed.run("get", "--profile", "native").status == 0
    found = [check["id"] for check in json.loads(managed.run("doctor", "--json").out)["checks"]]
    assert "policy.sandbox" in found
    assert managed.run("lock").status == 0
    managed.do("restart", "credhelper.service")
    assert "credhelper is locked" in managed.run("get", "--profile", "native").err
    assert managed.run("unlock").status == 0
    assert managed.run("get", "--profile", "native").status == 0
