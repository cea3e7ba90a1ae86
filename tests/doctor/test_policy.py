"""Rules that can never be obeyed here, and a lock that somebody has forgotten."""

from pathlib import Path

import pytest

from credhelper.doctor.findings import State
from credhelper.doctor.link import Daemon, Presence
from credhelper.local import places
from tests.doctor.homes import Home, ids

CHAINED = """\
[profile deploy]
credhelper_role_arn = arn:aws:iam::111122223333:role/Ours
credhelper_source_profile = dev
"""


def rule(home: Home, *lines: str) -> None:
    home.write(home.home / ".config/credhelper/config.toml", "\n".join(("[[policy]]", 'name = "r"', *lines)))


def warnings(home: Home) -> list[str]:
    return [name for name in ids(home.look(), State.WARNING) if name.startswith("policy.")]


def test_rules_that_can_be_obeyed_are_well(home: Home, tmp_path: Path) -> None:
    program = home.write(tmp_path / "terraform", "")
    home.add(CHAINED)
    rule(home, 'match = "deploy"', f'allow_exe = ["{program}", "/opt/none/*"]', "confirm = true", 'max_ttl = "1h"')
    findings = home.look()
    assert not [found for found in findings if found.id.startswith("policy.") and found.state is not State.OK]
    (found,) = [found for found in findings if found.id == "policy.rules"]
    assert found.detail == "[[policy]] rules that hold: r"


def test_a_program_that_is_not_there_is_found(home: Home) -> None:
    rule(home, 'match = "dev"', 'allow_exe = "/opt/none/terraform"')
    assert warnings(home) == ["policy.program"]


@pytest.mark.parametrize("wish", ['allow_exe = "/bin/sh"', "confirm = true"])
def test_a_daemon_that_may_not_see_programs_is_found(home: Home, wish: str) -> None:
    rule(home, 'match = "dev"', wish)
    assert warnings(home) == []
    home.network["sees_programs"] = False
    assert warnings(home) == ["policy.sandbox"]
    home.daemon = Daemon(Presence.ABSENT)
    assert warnings(home) == []


def test_a_daemon_that_sees_no_programs_is_well_where_no_rule_asks_for_them(home: Home) -> None:
    rule(home, 'match = "dev"', "deny = true")
    home.network["sees_programs"] = False
    assert warnings(home) == []


@pytest.mark.parametrize("pattern", ["dev", "*", "corp/*", "*/111122223333/Developer"])
def test_a_lifetime_that_identity_center_fixes_is_found(home: Home, pattern: str) -> None:
    rule(home, f'match = "{pattern}"', 'max_ttl = "1h"')
    assert warnings(home) == ["policy.max_ttl"]


def test_a_lock_is_found_with_and_without_a_daemon(home: Home) -> None:
    home.daemon.status.update(locked=True)
    assert warnings(home) == ["policy.locked"]
    home.daemon = Daemon(Presence.ABSENT)
    assert warnings(home) == []
    home.write(places.locked_marker(home.home / ".local" / "state" / "credhelper"), "locked\n", 0o600)
    (found,) = [found for found in home.look() if found.id == "policy.locked"]
    assert found.remedy == "credhelper unlock"
