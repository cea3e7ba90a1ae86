"""``credhelper service`` with a real `systemd --user`: installed, used, changed, and gone without a trace."""

import shlex
from pathlib import Path

import pytest

from tests.machine import Run
from tests.program.support import until
from tests.systemd.manager import ManagedMachine

pytestmark = pytest.mark.real_client

LASTING = (".local/share/credhelper", ".local/state/credhelper", ".local/share/keyrings")
"""What any daemon leaves in a home, however it was started: the client's copy and its own state; and the keyring's."""

SERVICE = "credhelper.service"
SOCKET = "credhelper.socket"


def installed(managed: ManagedMachine, python: str | None = None, **environment: str) -> Run:
    command = [python or managed.python, "-Im", "credhelper", "service", "install"]
    done = managed.run_program(command, **environment)
    assert done.status == 0, (done, managed.manager_log())
    return done


def units(managed: ManagedMachine) -> Path:
    return managed.home / ".config" / "systemd" / "user"


def pid(managed: ManagedMachine) -> int:
    return int(managed.show("MainPID"))


def listing(managed: ManagedMachine) -> set[str]:
    """Every file, link and directory of the home, but what any daemon leaves; and what lies at the socket's place."""
    names = {str(path.relative_to(managed.home)) for path in managed.home.rglob("*")}
    kept = {name for name in names if not name.startswith(LASTING)}
    return kept | {str(path) for path in [managed.socket.parent, managed.socket] if path.exists()}


def daemons(managed: ManagedMachine) -> list[str]:
    """The daemons that run on the machine."""
    listed = managed.run_program(["ps", "-eo", "args"]).out.splitlines()
    return [line for line in listed if "credhelper daemon run" in line]


def test_it_is_installed_serves_and_goes_without_a_trace(managed: ManagedMachine) -> None:
    before = listing(managed)
    shown = managed.run("service", "install", "--dry-run")
    assert shown.status == 0
    assert listing(managed) == before

    installed(managed)
    first = pid(managed)
    assert managed.show("UnitFileState") == managed.show("UnitFileState", SOCKET) == "enabled"
    verified = managed.run_program(
        ["systemd-analyze", "--user", "verify", "--man=no", f"/home/tester/.config/systemd/user/{SERVICE}"]
    )
    assert (verified.status, verified.out, verified.err) == (0, "", "")
    managed.log_in()
    assert managed.run("get", "--profile", "dev").status == 0

    again = installed(managed)
    assert again.out == "The service is installed and runs; there is nothing to change.\n"
    assert pid(managed) == first
    document = managed.run("service", "status", "--json")
    assert document.status == 0
    facts = document.json()
    assert (facts["active"], facts["pid"], facts["sandbox"], facts["problems"]) == ("active", first, "full", [])

    assert managed.run("logout").status == 0
    shown = managed.run("service", "uninstall", "--dry-run")
    assert shown.status == 0
    assert pid(managed) == first
    gone = managed.run("service", "uninstall")
    assert gone.status == 0
    after = listing(managed)
    assert after - before <= {".local", ".local/share", ".local/state"}, gone
    assert before <= after
    assert daemons(managed) == []
    for unit in (SERVICE, SOCKET):
        assert managed.show("LoadState", unit) == "not-found"
        assert managed.show("ActiveState", unit) == "inactive"
    assert managed.run("service", "uninstall").out == "There is no service to remove.\n"


def test_the_first_request_starts_a_service_that_rests(managed: ManagedMachine) -> None:
    installed(managed)
    managed.log_in()
    managed.do("stop", SERVICE)
    resting = managed.run("service", "status", "--json")
    assert (resting.status, resting.json()["active"], resting.json()["listening"]) == (7, "inactive", True)
    assert managed.show("ActiveState") == "inactive"  # to look does not start it
    assert managed.run_program(managed.process_line("dev")).status == 0
    assert managed.show("ActiveState") == "active"
    managed.do("stop", SERVICE)
    installed(managed)
    assert managed.show("ActiveState") == "active"


def test_a_unit_that_somebody_has_edited_is_put_right(managed: ManagedMachine) -> None:
    installed(managed)
    first = pid(managed)
    unit = units(managed) / SERVICE
    good = unit.read_text(encoding="utf-8")
    unit.write_text(good.replace("WatchdogSec=60s", "WatchdogSec=600s"), encoding="utf-8")
    managed.do("daemon-reload")
    found = managed.run("service", "status")
    assert found.status == 8
    assert "is not what this credhelper would write" in found.out
    installed(managed)
    assert unit.read_text(encoding="utf-8") == good
    assert pid(managed) != first
    assert managed.show("WatchdogUSec") == "1min"
    assert managed.run("service", "status").status == 0


def test_it_takes_over_from_a_daemon_that_a_client_has_started(managed: ManagedMachine) -> None:
    managed.log_in()
    assert len(daemons(managed)) == 1
    assert managed.show("MainPID") == "0"
    installed(managed)
    assert len(daemons(managed)) == 1
    assert managed.run("get", "--profile", "dev").status == 0
    assert managed.run("status", "--json").json()["daemon"]["pid"] == pid(managed)


def test_a_socket_that_moves_is_listened_at_in_its_new_place(managed: ManagedMachine) -> None:
    installed(managed)
    place = f"/run/user/{managed.uid}/own 100%/s"
    elsewhere = {"CREDHELPER_SOCKET": place}
    installed(managed, **elsewhere)
    assert managed.show("Listen", SOCKET) == f"{place} (Stream)"
    assert managed.run("service", "status", **elsewhere).status == 0
    assert not managed.socket.exists()
    installed(managed)
    assert managed.socket.exists()
    assert managed.run("service", "status").status == 0


def test_systemd_reads_the_captured_variables_as_they_were(managed: ManagedMachine) -> None:
    values = {"HTTP_PROXY": "http://a:\"b\\c$HOME`'%h#;@127.0.0.1:9", "NO_PROXY": "127.0.0.1, ::1,ü "}
    installed(managed, **values)
    unit = units(managed) / "show.service"
    addition = (units(managed) / f"{SERVICE}.d" / "environment.conf").read_text(encoding="utf-8")
    unit.write_text(
        f"{addition}ExecStart=/usr/bin/env -0\nStandardOutput=file:%h/shown\nType=oneshot\n", encoding="utf-8"
    )
    managed.do("daemon-reload")
    managed.do("start", "show.service")
    shown = dict(item.split("=", 1) for item in (managed.home / "shown").read_text("utf-8").split("\0") if item)
    assert {name: shown[name] for name in values} == values


def test_systemd_reads_the_interpreters_name_as_it_is(managed: ManagedMachine) -> None:
    place = "cred helper 100%h #;"
    (managed.opt / place).symlink_to("credhelper")
    installed(managed, f"/opt/{place}/bin/python")
    found = managed.run_program([f"/opt/{place}/bin/python", "-Im", "credhelper", "service", "status", "--json"])
    assert (found.status, found.json()["python"], found.json()["problems"]) == (0, f"/opt/{place}/bin/python", [])


def test_what_the_shell_has_moved_can_be_written_in_the_sandbox(managed: ManagedMachine) -> None:
    moved = {"XDG_STATE_HOME": "/home/tester/my state", "XDG_DATA_HOME": "/home/tester/data"}
    installed(managed, **moved)
    assert (managed.home / "data" / "credhelper" / "client.py").exists()
    assert list((managed.home / "my state" / "credhelper").glob("*.lock"))
    assert not (managed.home / ".local" / "state" / "credhelper").exists()
    assert managed.run("service", "status", **moved).status == 0
    assert managed.run("service", "uninstall").status == 0
    assert daemons(managed) == []


def test_a_sandbox_that_cannot_be_made_is_left_away_where_that_helps(managed: ManagedMachine) -> None:
    # As on a machine that forbids users all namespaces: setting up the unit's fails.
    managed.drop_in("a", "[Service]\nReadWritePaths=/not/there\n")
    done = installed(managed)
    assert "taking the reduced one" in done.out
    facts = managed.run("service", "status", "--json")
    assert (facts.status, facts.json()["sandbox"]) == (0, "reduced")
    assert "nothing to change" in installed(managed).out
    gone = managed.run("service", "uninstall")
    assert (
        "Kept, as credhelper has not written it: /home/tester/.config/systemd/user/credhelper.service.d/a.conf"
        in gone.err
    )
    assert [path.name for path in (units(managed) / f"{SERVICE}.d").iterdir()] == ["a.conf"]


def test_profiles_go_on_to_work_when_the_service_is_gone(managed: ManagedMachine) -> None:
    installed(managed)
    managed.log_in()
    line = managed.process_line("dev")
    text = managed.config.read_text(encoding="utf-8")
    managed.write_config(text.replace("[profile dev]", f"[profile dev]\ncredential_process = {shlex.join(line)}", 1))
    with managed.popen(
        ["sh", "-c", 'while "$@" >/dev/null && test -d .config/systemd; do :; done', "sh", *line]
    ) as busy:
        gone = managed.run("service", "uninstall")
        assert (gone.status, busy.wait(60)) == (0, 0), gone
    assert "These profiles run credhelper: dev" in gone.err
    assert managed.run_program(line).status == 0
    until(lambda: len(daemons(managed)) == 1, "one daemon is left, and it is a client's")
    assert managed.show("ActiveState") == "inactive"
