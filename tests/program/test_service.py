"""``credhelper service``: what it writes, runs, says and refuses, with service managers that only seem to be some.

The same with a real systemd is in ``tests/systemd/test_service.py``.
"""

import os
import plistlib
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.local.service import files
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine, Run
from tests.program.support import answers, hello, refusal, until

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
MARK = f"# {files.MARK}"
LASTING = {".local/share/credhelper", ".local/state/credhelper"}
"""What any daemon leaves in a home, however it was started: the client's copy, and its own state."""

START = ["enable --now credhelper.socket", "enable credhelper.service"]


class ServiceMachine(Machine):
    """A machine whose ``systemctl`` is a stand-in."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.bin = self.root / "bin"
        self.program("systemctl", f'exec "{sys.executable}" -IS "{HERE / "fake_systemctl.py"}" "$@"')
        self.state = self.runtime / "manager"
        self.state.mkdir()

    def program(self, name: str, script: str) -> None:
        """Puts a shell script on the PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def service(self, *arguments: str, **environment: str) -> Run:
        """``credhelper service ARGUMENTS``."""
        # Wherever the tests run from is good enough here: a clone in /tmp as well.
        force = ["--force"] if arguments[0] == "install" else []
        return self.run("service", *arguments, *force, **environment)

    def installed(self, **environment: str) -> Run:
        """An installation that succeeds."""
        done = self.service("install", **environment)
        assert done.status == 0, done
        return done

    @property
    def units(self) -> Path:
        """Where a user's units lie."""
        return self.home / ".config" / "systemd" / "user"

    @property
    def additions(self) -> Path:
        """Where what is added to the service lies."""
        return self.units / "credhelper.service.d"

    @property
    def variables(self) -> Path:
        """What was captured of the installing shell."""
        return self.home / ".config" / "credhelper" / "service.env"

    def calls(self) -> list[str]:
        """What the manager was told to change since the last time."""
        path = self.state / "calls"
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.write_text("", encoding="utf-8")
        return [call.removeprefix("--user ") for call in found]

    def listing(self) -> dict[str, bytes]:
        """Everything in the home but what any daemon leaves."""
        found = {str(path.relative_to(self.home)): path for path in self.home.rglob("*")}
        mine = {name: path for name, path in found.items() if not any(name.startswith(part) for part in LASTING)}
        return {name: path.read_bytes() if path.is_file() else b"" for name, path in mine.items()}


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[ServiceMachine]:
    with ServiceMachine(sandbox) as found:
        yield found


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_installed_service_serves_and_a_second_installation_changes_nothing(machine: ServiceMachine) -> None:
    done = machine.installed()
    pid = hello(machine.socket)
    assert machine.calls() == ["daemon-reload", *START, "restart credhelper.service"]
    assert f"wrote {machine.units / 'credhelper.service'}" in done.out
    assert f"(pid {pid}) and answers at {machine.socket}" in done.out
    service, socket = text(machine.units / "credhelper.service"), text(machine.units / "credhelper.socket")
    assert service.startswith(MARK)
    assert f"\nExecStart={sys.executable} -Im credhelper daemon run\n" in service
    assert "\nListenStream=%t/credhelper/credhelper.sock\n" in socket
    for place in machine.sandbox.environment().values():
        assert place in text(machine.variables)
    for directory in (".aws/sso/cache", ".local/state/credhelper", ".local/share/credhelper"):
        assert mode(machine.home / directory) == 0o700

    found = machine.service("status", "--json")
    assert (found.status, found.err) == (0, "")
    document = found.json()
    assert set(document) == {
        "manager", "installed", "enabled", "active", "listening", "pid", "version", "started_at", "socket", "sandbox",
        "python", "variables", "logs", "files", "problems",
    }  # fmt: skip
    assert (document["manager"], document["installed"], document["enabled"]) == ("systemd", True, True)
    assert (document["active"], document["pid"], document["problems"]) == ("active", pid, [])
    assert document["started_at"].endswith("Z")
    assert (document["socket"], document["sandbox"]) == (str(machine.socket), "full")
    assert document["python"] == sys.executable
    assert {file["state"] for file in document["files"]} == {"current"}
    assert f"active, pid {pid}, version " in machine.service("status").out

    before = machine.listing()
    again = machine.installed()
    assert again.out == "The service is installed and runs; there is nothing to change.\n"
    assert machine.calls() == []
    assert machine.listing() == before
    assert hello(machine.socket) == pid
    assert machine.service("install", "--dry-run").out == again.out


def test_a_service_that_was_stopped_is_started_by_another_installation(machine: ServiceMachine) -> None:
    machine.installed()
    assert machine.run("daemon", "stop").status == 0
    machine.calls()
    machine.installed()
    assert machine.calls() == [*START, "start credhelper.service"]
    assert answers(machine.socket)


def test_a_rehearsal_changes_nothing_and_uninstalling_leaves_the_home_as_it_was(machine: ServiceMachine) -> None:
    at_first = machine.listing()
    shown = machine.service("install", "--dry-run")
    assert shown.status == 0
    assert f"would make the directory {machine.cache}" in shown.out
    assert f"+++ {machine.units / 'credhelper.service'}" in shown.out
    assert f"+ExecStart={sys.executable} -Im credhelper daemon run" in shown.out
    assert "would run: systemctl --user enable --now credhelper.socket" in shown.out
    assert "Nothing has been changed." in shown.out
    assert (machine.listing(), machine.calls()) == (at_first, [])

    machine.installed()
    machine.calls()
    before = machine.listing()
    shown = machine.service("uninstall", "--dry-run")
    assert f"--- {machine.units / 'credhelper.service'}\n+++ /dev/null\n" in shown.out
    assert "would run: systemctl --user disable --now credhelper.socket credhelper.service" in shown.out
    assert f"would remove the directory {machine.cache} if nothing is left in it\n" in shown.out
    assert (machine.listing(), machine.calls()) == (before, [])
    assert answers(machine.socket)

    gone = machine.service("uninstall")
    assert gone.status == 0
    assert gone.out.endswith("The service is gone.\n")
    assert machine.calls() == [
        "disable --now credhelper.socket credhelper.service",
        "daemon-reload",
        "reset-failed credhelper.socket credhelper.service",
    ]
    assert set(machine.listing()) - set(at_first) <= {".local", ".local/share", ".local/state"}
    assert at_first.items() <= machine.listing().items()
    assert not machine.socket.parent.exists()
    again = machine.service("uninstall")
    assert (again.status, again.out, again.err) == (0, "There is no service to remove.\n", "")
    assert machine.calls() == []


def test_a_daemon_that_a_client_has_started_makes_room(machine: ServiceMachine) -> None:
    assert machine.run("daemon", "start").status == 0
    first = hello(machine.socket)
    assert "would stop the daemon that was started without the service" in machine.service("install", "--dry-run").out
    assert hello(machine.socket) == first
    done = machine.installed()
    assert "The daemon has stopped." in done.err
    assert machine.service("status", "--json").json()["pid"] == hello(machine.socket) != first


# -- what is taken of the shell ---------------------------------------------------------------------------------------


def test_the_shells_proxy_reaches_the_daemon_and_its_password_no_eye(machine: ServiceMachine) -> None:
    proxy = {"HTTPS_PROXY": "http://alice:s3cret/p@ss@127.0.0.1:9", "no_proxy": "127.0.0.1"}
    shown = machine.service("install", "--dry-run", **proxy)
    done = machine.installed(**proxy)
    assert "+HTTPS_PROXY=http://***@127.0.0.1:9" in shown.out
    assert "HTTPS_PROXY" in done.out
    assert mode(machine.variables) == 0o600
    assert 'HTTPS_PROXY="http://alice:s3cret/p@ss@127.0.0.1:9"' in text(machine.variables)
    assert f"EnvironmentFile={machine.variables}" in text(machine.additions / "environment.conf")
    again = machine.service("install", "--dry-run", HTTPS_PROXY="http://alice:other@127.0.0.1:9")
    status = machine.service("status", "--json")
    assert "HTTPS_PROXY" in status.json()["variables"]
    for path in [*machine.units.rglob("*.*")]:
        assert not path.is_file() or "s3cret" not in text(path)
    for run in (shown, done, again, status, machine.service("status"), machine.service("uninstall", "--dry-run")):
        assert run.status == 0, run
        assert "s3cret" not in run.out + run.err
        assert "alice" not in run.out + run.err


def test_a_service_that_this_shell_cannot_ask_is_told(machine: ServiceMachine) -> None:
    place = machine.runtime / "own"
    machine.installed(CREDHELPER_SOCKET=str(place))
    assert answers(place)
    elsewhere = machine.service("status", "--json")
    assert (elsewhere.status, elsewhere.json()["socket"]) == (8, str(place))
    assert "does not answer at this shell's socket" in " ".join(elsewhere.json()["problems"])
    assert machine.service("status", CREDHELPER_SOCKET=str(place)).status == 0
    assert machine.service("uninstall").status == 0


# -- what is refused --------------------------------------------------------------------------------------------------


def test_an_environment_that_is_thrown_away_is_refused(machine: ServiceMachine, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    packages = next(place.glob("lib/python*/site-packages"))
    (packages / "all.pth").write_text(f"{REPOSITORY}\n{ours}\n", encoding="utf-8")
    before = machine.listing()
    command = [str(place / "bin" / "python"), "-Im", "credhelper", "service", "install"]
    refused = machine.run_program(command, TMPDIR=str(tmp_path))
    refusal(refused, 4, str(place), "a temporary directory", "pipx install credhelper", "uv tool install", "--force")
    assert (machine.listing(), machine.calls()) == (before, [])


@pytest.mark.parametrize("arguments", [("install",), ("uninstall",)])
def test_sudo_is_refused(machine: ServiceMachine, arguments: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root")
    refusal(machine.service(*arguments, SUDO_UID="1000"), 4, "sudo", "credhelper service")
    assert machine.calls() == []


def test_without_systemd_it_says_how_else_to_start(machine: ServiceMachine) -> None:
    before = machine.listing()
    (machine.bin / "systemctl").unlink()
    without = machine.service("install", PATH=str(machine.bin))
    refusal(without, 4, "there is no systemd here", "credhelper daemon start", "~/.profile")
    found = machine.service("status", "--json", PATH=str(machine.bin))
    assert (found.status, found.json()["manager"], found.json()["installed"]) == (7, None, False)
    assert machine.service("uninstall", PATH=str(machine.bin)).out == "There is no service to remove.\n"
    assert machine.listing() == before


def test_a_manager_out_of_reach_is_told_in_its_own_words(machine: ServiceMachine) -> None:
    machine.program("systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    machine.units.mkdir(parents=True)
    unit = machine.units / "credhelper.service"
    unit.write_text(f"{MARK}\n[Service]\n", encoding="utf-8")
    refusal(machine.service("uninstall"), 4, "cannot be reached", "Failed to connect to bus: No medium found")
    shown = machine.service("status")
    assert shown.status == 7
    assert "No medium found" in shown.out
    assert unit.exists()


def test_a_broken_config_is_told_before_anything_is_written(machine: ServiceMachine) -> None:
    config = machine.home / ".config" / "credhelper" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("token_store = 'nowhere'\n", encoding="utf-8")
    refusal(machine.service("install"), 4, str(config), "token_store")
    assert machine.calls() == []
    assert not machine.units.exists()


# -- somebody else's files --------------------------------------------------------------------------------------------


def test_a_unit_that_somebody_has_edited_is_put_right_and_the_service_restarted(machine: ServiceMachine) -> None:
    machine.installed()
    first = hello(machine.socket)
    unit = machine.units / "credhelper.service"
    good = text(unit)
    unit.write_text(good.replace("WatchdogSec=60s", "WatchdogSec=600s"), encoding="utf-8")
    found = machine.service("status", "--json")
    assert found.status == 8
    assert {"path": str(unit), "state": "differs"} in found.json()["files"]
    assert "credhelper service install" in " ".join(found.json()["problems"])
    shown = machine.service("install", "--dry-run").out
    assert "-WatchdogSec=600s\n+WatchdogSec=60s\n" in shown
    machine.calls()
    machine.installed()
    assert text(unit) == good
    assert machine.calls() == ["daemon-reload", *START, "restart credhelper.service"]
    assert hello(machine.socket) != first


# -- a service that does not start ------------------------------------------------------------------------------------


def test_a_service_that_does_not_start_is_told_with_the_place_of_its_log(machine: ServiceMachine) -> None:
    (machine.state / "refuses").write_text("1", encoding="utf-8")
    failed = machine.service("install")
    assert failed.status == 7
    assert "the service does not start" in failed.err
    assert "Job for credhelper.service failed" in failed.err
    assert "credhelper: hint: " in failed.err
    assert not (machine.additions / "compat.conf").exists()
    found = machine.service("status", "--json")
    assert (found.status, found.json()["active"]) == (7, "failed")
    assert "it has failed" in " ".join(found.json()["problems"])


# -- status -----------------------------------------------------------------------------------------------------------


def test_status_without_a_service(machine: ServiceMachine) -> None:
    found = machine.service("status")
    assert (found.status, found.out) == (7, "The service is not installed (run: credhelper service install).\n")
    document = machine.service("status", "--json").json()
    assert (document["installed"], document["active"], document["problems"]) == (False, "inactive", [])
    assert not machine.socket.exists()


def test_status_tells_everything_that_should_be_put_right(machine: ServiceMachine) -> None:
    machine.installed()
    service = machine.units / "credhelper.service"
    service.write_text(text(service).replace(sys.executable, "/gone/bin/python"), encoding="utf-8")
    (machine.units / "credhelper.socket").unlink()
    (machine.state / "enabled").write_text("", encoding="utf-8")
    machine.variables.unlink()
    found = machine.service("status", "--json")
    assert found.status == 8
    problems, shown = " ".join(found.json()["problems"]), machine.service("status").out
    for words in (
        "credhelper.service is not what this credhelper would write",
        "/gone/bin/python, which it runs, is not there",
        "credhelper.socket is missing",
        "not enabled",
        "environment.conf is not what this credhelper would write",
    ):
        assert words in problems
        assert words in shown
    machine.installed()
    assert machine.service("status").status == 0


# -- profiles ---------------------------------------------------------------------------------------------------------


def test_uninstalling_names_the_profiles_that_run_credhelper(machine: ServiceMachine) -> None:
    machine.installed()
    line = " ".join(machine.process_line("dev"))
    adopted = text(machine.config).replace("[profile dev]", f"[profile dev]\ncredential_process = {line}", 1)
    own = "[profile own]\ncredential_process = /opt/bin/credhelper get --profile dev\n"
    other = '[profile other]\ncredential_process = /usr/bin/vault "dev\n'
    machine.write_config(adopted + own + other)
    forbidden = machine.service("uninstall", "--dry-run", CREDHELPER_NO_AUTOSTART="1")
    assert "they need a daemon that you start: credhelper daemon start" in forbidden.err
    gone = machine.service("uninstall")
    assert gone.status == 0
    assert "These profiles run credhelper: dev, own\n" in gone.err
    assert "the first request starts a daemon" in gone.err
    assert str(machine.config) in gone.err


# -- launchd ----------------------------------------------------------------------------------------------------------

ON_A_MAC = """
import os, sys
from pathlib import Path
from credhelper.cli import service_commands as commands, speech
from credhelper.domain.errors import CredhelperError
from credhelper.local.service.launchd import Launchd
from credhelper.local.service.runner import Runner
manager = Launchd(Runner(os.environ), os.environ, Path(sys.executable))
verb, rehearsal = sys.argv[1], "--dry-run" in sys.argv
try:
    if verb == "status":
        import json
        print(json.dumps(commands.status(manager)))
    else:
        sys.exit(getattr(commands, verb)(manager, rehearsal=rehearsal))
except CredhelperError as error:
    speech.complain(error)
    sys.exit(error.status)
"""


class Mac(ServiceMachine):
    """A machine with a stand-in for ``launchctl``, as far as a Mac can be had on Linux."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.program("launchctl", f'exec "{sys.executable}" -IS "{HERE / "fake_launchctl.py"}" "$@"')
        self.state = self.home / "launchd"
        self.state.mkdir()

    def service(self, *arguments: str, **environment: str) -> Run:
        return self.run_program([sys.executable, "-c", ON_A_MAC, *arguments], **environment)

    @property
    def plist(self) -> Path:
        """The agent."""
        return self.home / "Library" / "LaunchAgents" / "credhelper.daemon.plist"


@pytest.fixture
def mac(sandbox: Sandbox) -> Iterator[Mac]:
    with Mac(sandbox) as found:
        yield found


def test_a_launchd_agent_is_installed_looked_at_and_removed(mac: Mac) -> None:
    before = mac.listing()
    domain = f"gui/{os.getuid()}"
    shown = mac.service("install", "--dry-run", HTTPS_PROXY="http://alice:s3cret@127.0.0.1:9")
    assert "would run: launchctl bootstrap" in shown.out
    assert "s3cret" not in shown.out
    assert mac.listing() == before

    assert mac.run("daemon", "start").status == 0
    done = mac.installed()
    assert "The daemon has stopped." in done.err
    assert mac.calls() == [f"enable {domain}/credhelper.daemon", f"bootstrap {domain} {mac.plist}"]
    pid = hello(mac.socket)
    assert f"The daemon runs as credhelper.daemon (pid {pid})" in done.out
    assert "nothing to change" in mac.installed().out
    assert (mac.calls(), hello(mac.socket)) == ([], pid)
    found = mac.service("status").json()
    assert (found["manager"], found["active"], found["pid"], found["problems"]) == ("launchd", "active", pid, [])
    assert found["logs"] == f"tail -n 50 {mac.home}/Library/Logs/credhelper.log"

    mac.installed(NO_PROXY="127.0.0.1")
    assert mac.calls()[0] == f"bootout {domain}/credhelper.daemon"
    until(lambda: answers(mac.socket), "the agent serves again")
    assert hello(mac.socket) != pid

    gone = mac.service("uninstall")
    assert gone.status == 0, gone
    assert not answers(mac.socket)
    after = mac.listing()
    assert set(after) - set(before) <= {
        "launchd/calls",
        ".local",
        ".local/share",
        ".local/state",
        ".aws/sso/cache",
        ".aws/sso",
    }
    assert mac.service("uninstall").out == "There is no service to remove.\n"


def test_the_plist_is_private_and_what_launchd_knows(mac: Mac) -> None:
    mac.installed(HTTPS_PROXY="http://alice:s3cret@127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert mode(mac.plist) == 0o600
    agent = plistlib.loads(mac.plist.read_bytes())
    assert set(agent) == {
        "Label", "ProgramArguments", "EnvironmentVariables", "WorkingDirectory", "Umask", "RunAtLoad", "KeepAlive",
        "ProcessType", "StandardOutPath", "StandardErrorPath",
    }  # fmt: skip
    assert agent["ProgramArguments"] == [sys.executable, "-Im", "credhelper", "daemon", "run"]
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert agent["EnvironmentVariables"]["HTTPS_PROXY"] == "http://alice:s3cret@127.0.0.1:9"


# -- the package ------------------------------------------------------------------------------------------------------


@pytest.mark.real_client
def test_a_built_package_holds_the_units(tmp_path: Path) -> None:
    """Takes the build back end from the package index, as an installation does."""
    source = tmp_path / "source"
    names = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in ["systemd", "credhelper/units", *names.split()]:
        path, copy = REPOSITORY / name, source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.unlink(missing_ok=True)
            copy.symlink_to(path.readlink())
        elif path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        elif path.exists():
            shutil.copy(path, copy)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name: wheel.read(name) for name in wheel.namelist() if name.startswith("credhelper/units/")}
    assert packed == {f"credhelper/units/{path.name}": path.read_bytes() for path in (REPOSITORY / "systemd").iterdir()}
