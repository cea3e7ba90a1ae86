"""The units with a real `systemd --user`: started by the first request, locked down, and able to do all they must."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper import client
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine
from tests.program.support import complaint, refusal, until
from tests.systemd.manager import REQUIRED, UNITS, ManagedMachine

pytestmark = pytest.mark.real_client

SERVICE = "credhelper.service"
SOCKET = "credhelper.socket"
HIGHEST_EXPOSURE = 1.5
NOTICES = "org.freedesktop.Notifications"
UNLOCK = "printf 'the login password' | gnome-keyring-daemon --unlock --components=secrets"


def pid(managed: ManagedMachine) -> int:
    """The service's process; 0 without one."""
    return int(managed.show("MainPID"))


@pytest.fixture
def activated(managed: ManagedMachine) -> ManagedMachine:
    """A machine whose socket is listened at, and nothing runs."""
    managed.install_units()
    managed.do("start", SOCKET)
    return managed


@pytest.fixture
def forgetful(wheel: Path) -> Iterator[ManagedMachine]:
    """A machine whose Identity Center gives tokens of ten seconds, with a keyring that is open."""
    if shutil.which("gnome-keyring-daemon") is None:
        outcome = pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip
        outcome("gnome-keyring is not installed")
    with (
        Sandbox(lifetimes=Lifetimes(interval=0, access_token=10)) as sandbox,
        ManagedMachine(sandbox, wheel) as machine,
    ):
        machine.environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path=/run/user/{machine.uid}/bus"
        machine.own(machine.home / ".local/share/keyrings")
        assert machine.run_program(["sh", "-c", UNLOCK]).status == 0
        machine.install_units()
        machine.do("start", SOCKET)
        yield machine


# -- the units ------------------------------------------------------------------------------------------------------


def test_systemd_finds_nothing_to_say_about_the_units(managed: ManagedMachine) -> None:
    managed.install_units()
    units = [f"/home/tester/.config/systemd/user/{unit}" for unit in (SERVICE, SOCKET)]
    verified = managed.run_program(["systemd-analyze", "--user", "verify", "--man=no", *units])
    assert (verified.status, verified.out, verified.err) == (0, "", "")


def test_enabling_the_service_enables_the_socket(managed: ManagedMachine) -> None:
    managed.install_units()
    managed.do("enable", SERVICE)
    assert managed.show("UnitFileState") == managed.show("UnitFileState", SOCKET) == "enabled"
    managed.do("start", "default.target", SOCKET)
    managed.do("start", SERVICE)
    assert managed.show("StatusText") == "Serving"
    first = pid(managed)
    managed.do("reload", SERVICE)
    until(lambda: managed.show("ActiveState") == "active", "it has read its settings anew")
    assert pid(managed) == first


def test_without_namespaces_the_reduced_sandbox_serves_as_well(activated: ManagedMachine) -> None:
    activated.drop_in("compat", (UNITS / "compat.conf").read_text(encoding="utf-8"))
    activated.log_in()
    assert activated.run("get", "--profile", "dev").status == 0
    assert activated.show("PrivateUsers") == activated.show("PrivateTmp") == "no"
    assert activated.show("ProtectSystem") == activated.show("ProtectHome") == "no"
    assert activated.show("NoNewPrivileges") == activated.show("MemoryDenyWriteExecute") == "yes"
    namespaces = [
        activated.run_program(["readlink", f"/proc/{process}/ns/user"]).out for process in ("self", str(pid(activated)))
    ]
    assert namespaces[1] in {namespaces[0], ""}  # an undumpable process does not show its own


def test_locked_down_it_logs_in_refreshes_and_seals(forgetful: ManagedMachine) -> None:
    forgetful.log_in()
    assert forgetful.run("get", "--profile", "dev").status == 0
    assert exposure(forgetful) <= HIGHEST_EXPOSURE
    until(lambda: forgetful.sandbox.calls["CreateToken:refresh_token"] >= 1, "a token is refreshed in the background")
    until(lambda: is_sealing(forgetful), "it seals")
    token = forgetful.token_file().read_text(encoding="utf-8")
    until(lambda: forgetful.token_file().read_text(encoding="utf-8") != token, "the new token is on the disk")
    copy = forgetful.home / ".local/share/credhelper/client.py"
    until(copy.exists, "the client's copy is in place")

    asked = forgetful.sandbox.calls["GetRoleCredentials"]
    first = pid(forgetful)
    forgetful.do("restart", SERVICE)
    until(lambda: is_sealing(forgetful), "the next one has the key")
    assert forgetful.run("get", "--profile", "dev").status == 0
    assert pid(forgetful) != first
    assert forgetful.sandbox.calls["GetRoleCredentials"] == asked  # what was sealed still serves
    forgetful.token_file().unlink()  # it sees what others do
    until(lambda: forgetful.run("get", "--profile", "dev").status == 3, "it notices that the token is gone")
    assert "Traceback" not in forgetful.daemon_log.read_text(encoding="utf-8")


def test_locked_down_it_speaks_to_the_desktop(wheel: Path) -> None:
    with (
        Sandbox(lifetimes=Lifetimes(interval=0, access_token=300)) as sandbox,
        ManagedMachine(sandbox, wheel) as machine,
    ):
        machine.install_units()
        machine.do("start", SOCKET)
        listen = f"exec dbus-monitor --address unix:path=/run/user/{machine.uid}/bus interface={NOTICES}"
        with machine.popen(["sh", "-c", f"echo $$; {listen}"]) as monitor:
            assert monitor.stdout is not None
            process = int(monitor.stdout.readline())
            assert "NameAcquired" in monitor.stdout.readline()
            machine.log_in("--profile", "legacy")  # soon over, and cannot be refreshed
            assert any(f"interface={NOTICES}" in line for line in monitor.stdout)
            machine.signal(process, signal.SIGTERM)


def test_locked_down_it_writes_nowhere_else(activated: ManagedMachine) -> None:
    """What is started in the daemon's place, in its sandbox, tries to."""
    own = [".", ".config", ".ssh", ".local/share", ".aws", ".local/state/credhelper", ".local/share/credhelper"]
    for name in own:
        activated.own(activated.home / name)
    places = [f"/home/tester/{name}" for name in own] + [f"/run/user/{activated.uid}", "/opt", "/tmp"]
    activated.opt.chmod(0o777)
    script = "for place in " + " ".join(places) + "; do touch $place/sandboxed; done"
    activated.drop_in("probe", f'[Service]\nExecStartPre=/bin/sh -c "{script}; true"\n')
    activated.log_in()
    written = {path.parent for path in (*activated.home.rglob("sandboxed"), *activated.runtime.glob("sandboxed"))}
    assert written == {*(activated.home / name for name in own[4:]), activated.runtime}
    assert not (activated.opt / "sandboxed").exists()
    assert not Path("/tmp/sandboxed").exists()


def is_sealing(managed: ManagedMachine) -> bool:
    """Whether the daemon has its key from the keyring."""
    return bool(managed.run("status", "--json").json()["daemon"]["vault"] == "keyring")


def exposure(managed: ManagedMachine) -> float:
    """What `systemd-analyze security` says of the service as it runs."""
    said = managed.run_program(["systemd-analyze", "--user", "security", "--no-pager", SERVICE]).out
    last = next(line for line in said.splitlines() if "Overall exposure level" in line)
    print(last)
    return float(last.split(":")[1].split()[0])


# -- starting and stopping ------------------------------------------------------------------------------------------


def test_the_first_request_starts_it_and_a_look_does_not(activated: ManagedMachine) -> None:
    status = activated.run("status", "--json")
    assert (status.status, status.json()["daemon"]["running"]) == (7, False)
    assert activated.run("daemon", "health").status == 7
    stopped = activated.run("daemon", "stop")
    assert (stopped.status, stopped.err) == (0, "The daemon is not running.\n")
    assert activated.run("logout").status == 0
    assert pid(activated) == 0

    refusal(activated.run("get", "--profile", "dev"), 3)
    status = activated.run("status", "--json")
    assert status.json()["daemon"]["pid"] == pid(activated) != 0
    assert activated.show("StatusText") == "Serving"


def test_start_restart_and_stop_go_through_the_manager(activated: ManagedMachine) -> None:
    started = activated.run("daemon", "start")
    first = pid(activated)
    assert (started.status, started.err) == (0, f"The daemon is running (pid {first}).\n")
    assert activated.run("daemon", "start").err == "The daemon is already running.\n"
    beside = activated.run("daemon", "run")
    assert f"already running (pid {first})" in beside.err

    restarted = activated.run("daemon", "restart")
    second = pid(activated)
    assert second not in {0, first}
    assert restarted.err == f"The daemon has stopped.\nThe daemon is running (pid {second}).\n"

    stopped = activated.run("daemon", "stop")
    assert stopped.status == 0
    assert stopped.err.startswith("The daemon has stopped.\nThe next request starts it again")
    until(lambda: activated.show("ActiveState") == "inactive", "it is down, and not a failure")
    assert activated.socket.is_socket()
    refusal(activated.run("get", "--profile", "dev"), 3)
    assert pid(activated) not in {0, second}


def test_one_that_hangs_is_ended_and_stays_down(activated: ManagedMachine) -> None:
    assert activated.run("daemon", "start").status == 0
    hanging = pid(activated)
    activated.signal(hanging, signal.SIGSTOP)
    stopped = activated.run("daemon", "stop")
    assert stopped.status == 0, stopped
    assert f"(pid {hanging}) does not react" in stopped.err
    until(lambda: activated.show("ActiveState") in {"inactive", "failed"}, "it is down")
    assert pid(activated) == 0
    assert activated.run("daemon", "restart").status == 0


def test_a_daemon_that_a_client_has_started_gives_way(managed: ManagedMachine) -> None:
    assert managed.run("daemon", "start").status == 0
    before = managed.daemon_pid()
    managed.install_units()
    managed.do("start", SOCKET, SERVICE)
    assert managed.daemon_pid() == pid(managed) != before
    until(lambda: managed.run_program(["kill", "-0", str(before)]).status != 0, "the other has ended")
    assert managed.daemon_pid() == pid(managed)


@pytest.mark.parametrize("lost", ["socket", "directory"])
def test_a_name_that_was_deleted_comes_back_and_the_next_daemon_makes_it_again(
    activated: ManagedMachine, lost: str
) -> None:
    assert activated.run("daemon", "start").status == 0
    first = pid(activated)
    activated.socket.unlink()
    if lost == "directory":
        activated.socket.parent.rmdir()
    until(lambda: activated.run("status").status == 0, "it serves again")
    assert activated.daemon_pid() == first

    activated.do("restart", SERVICE)
    until(lambda: activated.run("status").status == 0, "the next one serves there as well")
    assert activated.daemon_pid() == pid(activated) != first
    assert activated.run("daemon", "restart").status == 0
    activated.do("stop", SERVICE)
    activated.do("restart", SOCKET)  # which makes all as it was
    assert activated.run("daemon", "start").status == 0
    assert activated.daemon_pid() == pid(activated) != 0


# -- what cannot be started -----------------------------------------------------------------------------------------


def test_a_configuration_with_a_mistake_is_told_to_whoever_asks_and_tried_once_for_each(
    activated: ManagedMachine,
) -> None:
    settings = activated.home / ".config/credhelper/config.toml"
    activated.own(settings.parent)
    settings.write_text("colour = 'blue'\n", encoding="utf-8")
    assert activated.run("daemon", "stop").status == 0
    for number in (1, 2, 3):
        refusal(activated.run("get", "--profile", "dev"), 7, "colour", "config.toml")
        until(lambda: activated.show("ActiveState") == "failed", "it has given up")
        assert activated.daemon_log.read_text(encoding="utf-8").count("error: ") == number
    settings.unlink()
    refusal(activated.run("get", "--profile", "dev"), 3)
    assert pid(activated) != 0


def test_where_the_service_cannot_run_any_more_clients_start_a_daemon_of_their_own(activated: ManagedMachine) -> None:
    """The installation was moved, and nobody has told the unit."""
    unit = activated.home / ".config/systemd/user" / SERVICE
    text = unit.read_text(encoding="utf-8")
    assert activated.run("daemon", "start").status == 0
    line = activated.process_line("dev")
    assert activated.run("daemon", "stop").status == 0
    for gone in ("/opt/gone/python", "/usr/bin/false"):
        unit.write_text(text.replace("/opt/credhelper/bin/python", gone), encoding="utf-8")
        activated.do("daemon-reload")
        activated.do("reset-failed")
        activated.do("restart", SOCKET)
        told = activated.run_program(line)
        assert told.status == 3, (told, activated.manager_log())
        complaint(told.err, "hint: credhelper login")
        assert activated.show("Result", SOCKET) == "trigger-limit-hit"
        assert activated.run("daemon", "stop").status == 0


# -- another version ------------------------------------------------------------------------------------------------


OURS = int(client.PROTOCOL)
NEWER, OLDER = OURS + 1, OURS - 1


def speaks(installation: Path, protocol: int) -> None:
    """From now on the credhelper that is installed there speaks another protocol."""
    for path in installation.glob("lib/*/site-packages/credhelper/client.py"):
        text = path.read_text(encoding="utf-8")
        assert f'PROTOCOL = b"{OURS}"' in text
        path.write_text(text.replace(f'PROTOCOL = b"{OURS}"', f'PROTOCOL = b"{protocol}"'), encoding="utf-8")


def test_an_upgrade_is_noticed_by_the_first_request_and_systemd_starts_the_new_daemon(
    activated: ManagedMachine,
) -> None:
    activated.log_in()
    line = activated.process_line("dev")
    old = pid(activated)
    speaks(activated.opt / "credhelper", NEWER)
    assert activated.run("get", "--profile", "dev").status == 0
    new = pid(activated)
    assert new not in {0, old}
    assert activated.run_program(line).status == 0
    assert activated.daemon_pid() == new


def test_the_copy_of_the_client_that_is_older_than_the_daemon_finds_its_way(activated: ManagedMachine) -> None:
    activated.log_in()
    old_line = activated.process_line("dev")
    copy = activated.home / "old" / "client.py"
    activated.own(copy.parent)
    shutil.copytree(activated.home / ".local/share/credhelper", copy.parent, dirs_exist_ok=True)
    for path in copy.parent.iterdir():
        os.chown(path, activated.uid, activated.uid)
    speaks(activated.opt / "credhelper", NEWER)
    assert activated.run("daemon", "restart").status == 0
    new = activated.daemon_pid()
    old_line[old_line.index("/home/tester/.local/share/credhelper/client.py")] = "/home/tester/old/client.py"
    assert activated.run_program(old_line).status == 0
    assert activated.daemon_pid() == new


def test_a_service_that_goes_on_starting_an_older_version_is_explained(activated: ManagedMachine) -> None:
    """The person has another credhelper than the one the unit starts."""
    activated.log_in()
    mine = activated.opt / "mine"
    shutil.copytree(activated.opt / "credhelper", mine, symlinks=True)
    speaks(mine, NEWER)
    told = activated.run_program(["/opt/mine/bin/python", "-Im", "credhelper", "get", "--profile", "dev"])
    refusal(told, 7, f"protocol {OURS}", "the same again", "hint: credhelper service install")
    assert activated.run("get", "--profile", "dev").status == 0


def test_an_older_command_line_is_told_that_the_daemon_is_newer(activated: ManagedMachine) -> None:
    activated.log_in()
    serving = pid(activated)
    mine = activated.opt / "mine"
    shutil.copytree(activated.opt / "credhelper", mine, symlinks=True)
    speaks(mine, OLDER)
    told = activated.run_program(["/opt/mine/bin/python", "-Im", "credhelper", "get", "--profile", "dev"])
    refusal(told, 7, f"the daemon speaks protocol {OURS}, this client {OLDER}", "hint: credhelper service install")
    assert pid(activated) == serving


def test_without_a_manager_nothing_is_different(machine: Machine) -> None:
    started = machine.run("daemon", "start", NOTIFY_SOCKET="/nonexistent", WATCHDOG_USEC="60000000")
    assert started.status == 0
    stopped = machine.run("daemon", "stop")
    assert (stopped.status, stopped.err) == (0, "The daemon has stopped.\n")
