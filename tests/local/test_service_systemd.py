"""What is written and run to make credhelper a service of systemd, without a daemon: the manager is a stand-in.

The whole way, with daemons, is in ``tests/program/test_service.py``; with a real systemd, in ``tests/systemd``.
"""

import os
import shlex
import stat
import sys
from pathlib import Path

import pytest

from credhelper.domain.errors import ConfigError, CredhelperError, DaemonUnreachable
from credhelper.local.service import environment, files
from credhelper.local.service.changes import Changes
from credhelper.local.service.manager import NoManager
from credhelper.local.service.runner import CommandFailed, ProgramMissing, Runner
from credhelper.local.service.systemd_user import Systemd

FAKE = Path(__file__).parents[1] / "program" / "fake_systemctl.py"
PYTHON = Path("/opt/credhelper/bin/python")
START = ["enable --now credhelper.socket", "enable credhelper.service"]


class World:
    """A home and a runtime directory, with a systemctl that only seems to be one."""

    def __init__(self, root: Path) -> None:
        self.home, self.runtime, self.bin = root / "home", root / "run", root / "bin"
        for directory in (self.home / ".aws", self.bin, self.runtime / "manager"):
            directory.mkdir(parents=True)
        self.runtime.chmod(0o700)
        (self.home / ".aws" / "config").touch()
        self.put("idle", "yes")
        program = self.bin / "systemctl"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{FAKE}" "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        self.shell = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
        }
        self.said: list[str] = []
        self.units = self.home / ".config" / "systemd" / "user"
        self.additions = self.units / "credhelper.service.d"
        self.variables = self.home / ".config" / "credhelper" / "service.env"

    def put(self, name: str, content: str) -> None:
        """Sets something of the manager's."""
        (self.runtime / "manager" / name).write_text(content, encoding="utf-8")

    def manager(self, python: Path = PYTHON, /, **variables: str) -> Systemd:
        """The manager, seen from a shell with ``variables``."""
        return Systemd(Runner(self.shell), self.shell | variables, python)

    def changes(self) -> Changes:
        """Real ones."""
        return Changes(Runner(self.shell), self.said.append)

    def install(self, python: Path = PYTHON, /, **variables: str) -> Systemd:
        """Installs from a shell with ``variables``."""
        manager = self.manager(python, **variables)
        manager.require()
        manager.install(self.changes(), lambda: None)
        return manager

    def calls(self) -> list[str]:
        """What the manager was told to change since the last time."""
        path = self.runtime / "manager" / "calls"
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [call.removeprefix("--user ") for call in found]

    def listing(self) -> set[Path]:
        """Everything in the home."""
        return set(self.home.rglob("*"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "a b")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# -- files ------------------------------------------------------------------------------------------------------------


def test_an_installation_is_settled_and_an_uninstallation_leaves_nothing(world: World) -> None:
    before = world.listing()
    assert not world.manager().is_settled()
    world.install()
    assert world.manager().is_settled()
    assert not world.additions.exists()
    assert world.calls() == ["daemon-reload", *START, "restart credhelper.service"]
    assert world.manager().uninstall(world.changes()) == []
    assert world.listing() == before


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "ünïcode", "semi;colon#"])
def test_the_unit_names_the_interpreter_as_systemd_reads_it(world: World, name: str) -> None:
    python = Path("/opt", name, "bin/python")
    manager = world.install(python)
    line = next(line for line in text(world.units / "credhelper.service").splitlines() if line.startswith("ExecStart="))
    words = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words == [str(python), "-Im", "credhelper", "daemon", "run"]
    assert manager.report().python == python


@pytest.mark.parametrize("name", ['"', "'", "\\", "$HOME", "`", "two\nlines", "\x1b", "\udcff"])
def test_an_interpreter_that_a_unit_cannot_name_is_refused(world: World, name: str) -> None:
    before = world.listing()
    with pytest.raises(ConfigError, match="cannot name the path"):
        world.install(Path("/opt", name, "python"))
    assert world.listing() == before


def test_only_the_lines_that_must_be_differ_from_the_units_that_come_with_credhelper(world: World) -> None:
    world.install()
    for name in ("credhelper.service", "credhelper.socket"):
        ours, given = text(world.units / name).splitlines(), files.template(name).splitlines()
        assert ours[0] == f"# {files.MARK}"
        different = [pair for pair in zip(ours[1:], given, strict=True) if pair[0] != pair[1]]
        changed = f"ExecStart={PYTHON} -Im credhelper daemon run"
        assert different == ([(changed, "ExecStart=/usr/bin/env credhelper daemon run")] if "service" in name else [])


def test_a_line_that_is_not_there_to_be_replaced_is_a_fault() -> None:
    with pytest.raises(ValueError, match="not exactly one line"):
        files.replace_line("[Service]\n", "ExecStart=/bin/true", "ExecStart=/bin/false")


# -- what is taken of the shell ---------------------------------------------------------------------------------------


def test_what_the_manager_has_alike_is_not_taken(world: World) -> None:
    world.put("environment", "NO_PROXY=localhost\n")
    world.install(NO_PROXY="localhost", HTTP_PROXY="http://127.0.0.1:9", http_proxy="", OTHER="x")
    assert environment.from_file(world.variables.read_bytes()) == {"HTTP_PROXY": "http://127.0.0.1:9"}
    assert stat.S_IMODE(world.variables.stat().st_mode) == 0o600
    assert f"EnvironmentFile={world.variables}\n" in text(world.additions / "environment.conf")


def test_a_shell_without_variables_takes_the_old_ones_away(world: World) -> None:
    world.install(AWS_ENDPOINT_URL_SSO="http://127.0.0.1:9")
    world.calls()
    world.install()
    assert f"removed {world.variables}" in world.said
    assert not (world.additions / "environment.conf").exists()
    assert world.calls() == ["daemon-reload", *START, "restart credhelper.service"]


def test_a_file_is_named_from_the_root(world: World) -> None:
    world.install(AWS_CA_BUNDLE="certificates/ca.pem")
    assert f'AWS_CA_BUNDLE="{Path.cwd()}/certificates/ca.pem"' in text(world.variables)


def test_places_that_the_shell_has_moved_are_made_and_may_be_written(world: World, tmp_path: Path) -> None:
    state, data = tmp_path / "my state", tmp_path / "data"
    world.install(XDG_STATE_HOME=str(state), XDG_DATA_HOME=str(data))
    addition = text(world.additions / "environment.conf")
    assert f'ReadWritePaths="{state}/credhelper" {data}/credhelper\n' in addition
    assert {stat.S_IMODE((path / "credhelper").stat().st_mode) for path in (state, data)} == {0o700}
    # Any other shell finds the same service.
    report = world.manager().as_installed().report()
    assert {state for _, state in report.files} == {"current"}
    assert report.variables == ("XDG_DATA_HOME", "XDG_STATE_HOME")
    world.manager().as_installed().uninstall(world.changes())
    assert not world.variables.exists()
    assert not (state / "credhelper").exists()


def test_what_lies_in_a_temporary_directory_is_within_reach_of_the_sandbox(world: World) -> None:
    world.install(AWS_CA_BUNDLE="/tmp/ca.pem")
    assert "\nPrivateTmp=no\n" in text(world.additions / "environment.conf")
    world.install(AWS_CA_BUNDLE="/etc/ssl/ca.pem")
    assert "PrivateTmp" not in text(world.additions / "environment.conf")


def test_a_socket_of_ones_own_is_where_the_unit_listens(world: World) -> None:
    place = world.runtime / "own 100%" / "s"
    world.install(CREDHELPER_SOCKET=str(place))
    assert f"\nListenStream={world.runtime}/own 100%%/s\n" in text(world.units / "credhelper.socket")
    assert world.manager().as_installed().report().socket == place
    # A listening socket does not move: the manager must make it anew.
    world.calls()
    world.install()
    stop = "stop credhelper.socket credhelper.service"
    assert world.calls() == [stop, "daemon-reload", *START, "restart credhelper.service"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CREDHELPER_SOCKET", "relative/socket", "CREDHELPER_SOCKET is not an absolute path"),
        ("HTTPS_PROXY", "http://one\nhttp://two", "HTTPS_PROXY is set to something that is not one line"),
        ("NO_PROXY", "\udcff", "NO_PROXY is set to something that is not one line"),
        ("XDG_STATE_HOME", '/tmp/"quoted"', "a systemd unit cannot name the path"),
    ],
)
def test_what_no_unit_can_hold_is_refused_before_anything_is_written(
    world: World, variable: str, value: str, words: str
) -> None:
    before = world.listing()
    with pytest.raises(CredhelperError, match=words):
        world.install(**{variable: value})
    assert (world.listing(), world.calls()) == (before, [])


@pytest.mark.parametrize("value", ["plain", 'a"b', "a\\b", "$HOME `x`", "a b  ", "ü#;=", "'"])
def test_variables_come_back_from_their_file_as_they_were(value: str) -> None:
    content = files.marked(environment.as_file({"HTTP_PROXY": value, "NO_PROXY": "x"}))
    assert environment.from_file(content) == {"HTTP_PROXY": value, "NO_PROXY": "x"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://alice@proxy:3128", "http://***@proxy:3128"),
        ("http://alice:pass@proxy:3128/", "http://***@proxy:3128/"),
        ("http://alice:p/a@s://s@proxy:3128", "http://***@proxy:3128"),
        ("alice:pass@proxy:3128", "***@proxy:3128"),
        ("localhost,127.0.0.1", "localhost,127.0.0.1"),
    ],
)
def test_names_and_passwords_of_proxies_are_masked(value: str, shown: str) -> None:
    assert environment.masked(value) == shown


# -- somebody else's files --------------------------------------------------------------------------------------------


def test_a_unit_that_somebody_else_has_written_is_neither_replaced_nor_removed(world: World) -> None:
    world.units.mkdir(parents=True)
    unit = world.units / "credhelper.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not written by credhelper"):
        world.install()
    assert world.manager().uninstall(world.changes()) == [unit]
    assert world.calls() == []
    assert text(unit) == "[Service]\nExecStart=/bin/true\n"


def test_a_masked_unit_is_told(world: World) -> None:
    world.units.mkdir(parents=True)
    (world.units / "credhelper.socket").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="masked") as told:
        world.install()
    assert told.value.hint == "systemctl --user unmask credhelper.socket"
    assert world.manager().uninstall(world.changes()) == [world.units / "credhelper.socket"]


def test_additions_of_ones_own_stay_and_are_named(world: World) -> None:
    manager = world.install(NO_PROXY="x")
    own = world.additions / "override.conf"
    own.write_text("[Service]\nNice=5\n", encoding="utf-8")
    assert manager.is_settled()
    assert manager.uninstall(world.changes()) == [own]
    assert list(world.additions.iterdir()) == [own]


def test_an_uninstallation_that_was_cut_short_can_be_finished(world: World) -> None:
    world.install(NO_PROXY="x")
    for name in ("credhelper.service", "credhelper.socket"):
        (world.units / name).unlink()
    manager = world.manager().as_installed()
    assert manager.is_known()
    assert manager.uninstall(world.changes()) == []
    assert not world.variables.exists()
    assert not world.units.exists()


# -- a service that does not start ------------------------------------------------------------------------------------


def test_where_namespaces_are_forbidden_the_reduced_sandbox_is_taken_and_kept(world: World) -> None:
    world.put("refuses", "226")
    moved = {"XDG_STATE_HOME": str(world.home / "state")}
    world.install(**moved)
    assert any("taking the reduced one" in line for line in world.said)
    assert "PrivateUsers=no" in text(world.additions / "compat.conf")
    # Such a line alone would ask for a namespace.
    assert "ReadWritePaths" not in text(world.additions / "environment.conf")
    assert world.manager(**moved).is_settled()
    assert world.manager().as_installed().report().sandbox == "reduced"
    world.manager().as_installed().uninstall(world.changes())
    assert not world.additions.exists()


def test_a_service_that_fails_by_itself_keeps_the_full_sandbox(world: World) -> None:
    world.put("refuses", "4")
    with pytest.raises(DaemonUnreachable, match=r"does not start.*Job for credhelper\.service failed"):
        world.install()
    assert not world.additions.exists()


# -- a manager that is not there --------------------------------------------------------------------------------------


def test_a_machine_without_systemd_is_told_apart_from_a_manager_out_of_reach(world: World) -> None:
    program = world.bin / "systemctl"
    program.write_text("#!/bin/sh\necho 'Failed to connect to bus: No medium found' >&2\nexit 1\n", encoding="utf-8")
    with pytest.raises(NoManager, match=r"cannot be reached: .*No medium found"):
        world.manager().require()
    program.unlink()
    world.shell["PATH"] = str(world.bin)
    with pytest.raises(NoManager, match="there is no systemd here"):
        world.manager().require()
    assert not world.manager().is_known()


def test_a_manager_of_another_users_is_refused(world: World) -> None:
    world.put("environment", "HOME=/home/somebody-else\n")
    with pytest.raises(ConfigError, match="/home/somebody-else"):
        world.manager().require()


def test_a_program_that_does_not_end_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credhelper.local.service.runner.SECONDS", 0.05)
    with pytest.raises(CommandFailed, match="did not end within"):
        Runner(world.shell).run("sleep", "60")
    with pytest.raises(ProgramMissing, match="no-such-program"):
        Runner(world.shell).run("no-such-program")
