"""credhelper as two units of the user's systemd: the socket, and the service behind it."""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from credhelper.domain.errors import ConfigError, DaemonUnreachable
from credhelper.local import places
from credhelper.local.service import environment, files
from credhelper.local.service.changes import Changes
from credhelper.local.service.files import ServiceFile
from credhelper.local.service.manager import WITHOUT_MANAGER, NoManager, Report
from credhelper.local.service.runner import CommandFailed, ProgramMissing, Runner

SERVICE = "credhelper.service"
SOCKET = "credhelper.socket"
UNITS = (SOCKET, SERVICE)
SYSTEMCTL = ("systemctl", "--user")

_EXEC_START = "ExecStart=/usr/bin/env credhelper daemon run"
_LISTEN = "ListenStream=%t/credhelper/credhelper.sock"
_PROPERTIES = "Id,ActiveState,UnitFileState,MainPID,ExecMainStatus,NeedDaemonReload"
_SANDBOX_FAILURES = {"217", "218", "225", "226"}
"""systemd.exec(5): the users, capabilities and namespaces of a unit could not be set up."""

_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108  # of which PrivateTmp= gives the service its own
_JOURNAL = Path("/run/systemd/journal/socket")
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)


class Systemd:
    """A user's manager, seen from a shell with ``environment``; ``python`` is what the service is to run."""

    service = SERVICE

    def __init__(self, runner: Runner, environment: Mapping[str, str], python: Path) -> None:
        self.runner = runner
        self._shell = dict(environment)
        self._python = python
        self._home = Path(environment["HOME"])
        self._is_reduced = self._compat_file().is_ours

    def as_installed(self) -> "Systemd":
        """The same, seen from the shell that has installed the service, as far as that was recorded."""
        recorded = environment.from_file(self._variables_file().found() or b"")
        shell = environment.without(self._shell) | recorded
        return Systemd(self.runner, shell, self._python)

    # -- what the manager says --------------------------------------------------------------------------------------

    def require(self) -> None:
        """Raises NoManager; ConfigError when it is another user's."""
        managers_home = self._managers_environment.get("HOME", "")
        if os.path.realpath(managers_home) != os.path.realpath(self._home):
            raise ConfigError(
                f"HOME is {self._home} here and {managers_home} for the service manager: one of them is another user's",
                hint=f"log in as the user whose service it is to be, then run it again (HOME={managers_home})",
            )

    @cached_property
    def _managers_environment(self) -> dict[str, str]:
        """Raises NoManager."""
        try:
            said = self.runner.run(*SYSTEMCTL, "show-environment", "--output=json")
        except ProgramMissing as error:
            raise NoManager(f"there is no systemd here: {error.message}", hint=WITHOUT_MANAGER) from error
        except CommandFailed as error:
            way_in = "log in as this user itself, not by su or sudo (`ssh localhost` will do), then run it again"
            hint = way_in if _BOOTED.is_dir() else WITHOUT_MANAGER
            raise NoManager(f"this user's systemd cannot be reached: {error.message}", hint=hint) from error
        return _environment(said)

    def _units(self) -> dict[str, dict[str, str]]:
        """What the manager knows of the two units, by unit and property. Raises CommandFailed."""
        said = self.runner.run(*SYSTEMCTL, "show", *UNITS, f"--property={_PROPERTIES}")
        blocks = [dict(line.split("=", 1) for line in block.split("\n") if "=" in line) for block in said.split("\n\n")]
        return {block["Id"]: block for block in blocks}

    @cached_property
    def _directory(self) -> Path:
        """Where a user's own units lie. It is the manager's XDG_CONFIG_HOME that counts, not the shell's."""
        usual = self._home / ".config" / "systemd" / "user"
        try:
            said = self.runner.run(*SYSTEMCTL, "show", "--property=UnitPath").removeprefix("UnitPath=")
            config = self._managers_environment.get("XDG_CONFIG_HOME", "")
        except (ProgramMissing, CommandFailed, NoManager):
            return usual
        # A list without quotes: a home with a space in its name can only be looked for.
        likely = [usual, Path(config, "systemd", "user"), *map(Path, said.split())]
        known = (
            path
            for path in likely
            if path.is_absolute() and path.match("systemd/user") and f" {path} " in f" {said.strip()} "
        )
        return next((path for path in known if not path.is_relative_to("/run")), usual)

    # -- the files --------------------------------------------------------------------------------------------------

    def _wanted(self) -> list[ServiceFile]:
        """Every file as it should be. Raises ConfigError, NoManager."""
        start = f"ExecStart={files.word_in_unit(self._python)} -Im credhelper daemon run"
        service = files.replace_line(files.template(SERVICE), _EXEC_START, start)
        socket = files.template(SOCKET)
        if self._listens_elsewhere:
            listen = f"ListenStream={files.in_unit(self._socket)}"
            socket = files.replace_line(socket, _LISTEN, listen)
        wanted = [self._unit_file(SOCKET, socket), self._unit_file(SERVICE, service)]
        if self._variables:
            wanted.append(self._variables_file(environment.as_file(self._variables)))
        if addition := self._addition():
            wanted.append(self._environment_file(addition))
        if self._is_reduced:
            wanted.append(self._compat_file())
        return wanted

    def _all_files(self) -> list[ServiceFile]:
        """Every file that an installation may have made, whatever should be in it."""
        units = [self._unit_file(name, "") for name in UNITS]
        return [*units, self._variables_file(), self._environment_file(), self._compat_file()]

    def _unit_file(self, name: str, text: str) -> ServiceFile:
        return ServiceFile(self._directory / name, files.marked(text))

    def _environment_file(self, text: str = "") -> ServiceFile:
        return self._unit_file(f"{SERVICE}.d/environment.conf", text)

    def _compat_file(self) -> ServiceFile:
        return self._unit_file(f"{SERVICE}.d/compat.conf", files.template("compat.conf"))

    def _variables_file(self, text: str = "") -> ServiceFile:
        """What only the user may read. Beside the units' directory, so that it is found from any shell."""
        path = self._directory.parents[1] / "credhelper" / "service.env"
        return ServiceFile(path, files.marked(text), mode=0o600, shown=environment.shown)

    @cached_property
    def _variables(self) -> dict[str, str]:
        """What is captured of the shell. Raises ConfigError, NoManager."""
        return environment.captured(self._shell, self._managers_environment)

    @cached_property
    def _places(self) -> dict[bytes, bytes]:
        """The environment that the service will have."""
        variables = self._managers_environment | self._variables
        return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}

    @property
    def _socket(self) -> Path:
        return places.socket_path(self._places)

    @property
    def _listens_elsewhere(self) -> bool:
        return self._socket != self._runtime / "credhelper.sock"

    @property
    def _runtime(self) -> Path:
        """Where the socket usually lies; %t in a unit is the manager's runtime directory."""
        return Path(self._managers_environment["XDG_RUNTIME_DIR"], "credhelper")

    def _addition(self) -> str:
        """What the service needs beyond its unit: the variables, and leave to write where they have moved things."""
        lines = []
        if self._variables:
            lines.append(f"EnvironmentFile={files.in_unit(self._variables_file().path)}")
        if not self._is_reduced:  # without namespaces nothing is out of reach, and these lines would ask for one
            lines += self._sandbox_lines()
        return "\n".join(["[Service]", *lines, ""]) if lines else ""

    def _sandbox_lines(self) -> list[str]:
        usual = [self._home / ".local" / part / "credhelper" for part in ("state", "share")]
        moved = [path for path in self._written() if path not in usual]
        lines = ["ReadWritePaths=" + " ".join(files.word_in_unit(path) for path in moved)] if moved else []
        read = [Path(self._variables[name]) for name in environment.FILES if name in self._variables]
        read.append(self._python)
        if any(path.is_relative_to(place) for path in moved + read for place in _TEMPORARY):
            lines.append("PrivateTmp=no")
        return lines

    def _written(self) -> list[Path]:
        """The directories outside ~/.aws that the daemon writes to."""
        found = [places.state_directory(self._places), places.data_directory(self._places)]
        return [*found, self._socket.parent] if self._listens_elsewhere else found

    def _needed_directories(self) -> list[Path]:
        """What must be there before the service starts: its sandbox keeps read-only what is made later."""
        return [self._home / ".aws" / "sso" / "cache", *self._written()]

    # -- installing -------------------------------------------------------------------------------------------------

    def is_settled(self) -> bool:
        """Whether an installation would change nothing. Raises ConfigError."""
        return (
            not self._outdated()
            and all(path.is_dir() for path in self._needed_directories())
            and all(_is_settled(unit) for unit in self._units().values())
        )

    def _outdated(self) -> list[ServiceFile]:
        """The files that must be written. Raises ConfigError where somebody else's is in the way."""
        wanted = self._wanted()
        for file in wanted:
            file.refuse_if_foreign()
        return [file for file in wanted if file.state() != "current"] + self._superfluous(wanted)

    def _superfluous(self, wanted: list[ServiceFile]) -> list[ServiceFile]:
        paths = {file.path for file in wanted}
        return [file for file in self._all_files() if file.path not in paths and file.is_ours]

    def is_known(self) -> bool:
        """Whether a file of ours is there. Raises ConfigError."""
        return any(file.is_ours for file in self._all_files())

    def install(self, changes: Changes, stop_other: Callable[[], None]) -> None:
        """Writes the units, enables them and (re)starts the service. Raises CredhelperError, DaemonUnreachable."""
        before = self._units()
        outdated = self._outdated()
        is_listening = before[SOCKET]["ActiveState"] == "active"
        self._write(changes, outdated)
        if is_listening and any(file.path.name == SOCKET for file in outdated):
            # A socket keeps its place, with a service that runs too; and once told of another, its old name would stay.
            changes.run(*SYSTEMCTL, "stop", *UNITS)
        if outdated or any(unit["NeedDaemonReload"] == "yes" for unit in before.values()):
            changes.run(*SYSTEMCTL, "daemon-reload")
        stop_other()
        self._start(changes, is_changed=bool(outdated))

    def _write(self, changes: Changes, outdated: list[ServiceFile]) -> None:
        for path in self._needed_directories():
            changes.make_directory(path)
        wanted = {file.path for file in self._wanted()}
        for file in outdated:
            if file.path in wanted:
                changes.write(file)
            else:
                changes.remove(file)

    def _start(self, changes: Changes, *, is_changed: bool) -> None:
        changes.run(*SYSTEMCTL, "enable", "--now", SOCKET)
        changes.run(*SYSTEMCTL, "enable", SERVICE)
        try:
            changes.run(*SYSTEMCTL, "restart" if is_changed else "start", SERVICE)
        except CommandFailed as error:
            if self._is_reduced or self._units()[SERVICE]["ExecMainStatus"] not in _SANDBOX_FAILURES:
                raise DaemonUnreachable(f"the service does not start: {error.message}", hint=_log()) from error
            changes.say("This machine forbids users the namespaces of the whole sandbox: taking the reduced one.")
            self._is_reduced = True
            self._write(changes, self._outdated())
            changes.run(*SYSTEMCTL, "daemon-reload")
            self._start(changes, is_changed=True)

    # -- removing ---------------------------------------------------------------------------------------------------

    def uninstall(self, changes: Changes) -> list[Path]:
        """Stops and removes what ``install`` made; what is somebody else's stays and is returned.

        Raises CredhelperError.
        """
        ours = [file for file in self._all_files() if file.is_ours]
        names = [name for name in UNITS if self._directory / name in {file.path for file in ours}]
        if names:
            # The socket first: a request that came in between would start the service again.
            changes.run(*SYSTEMCTL, "disable", "--now", *names)
        for file in ours:
            changes.remove(file)
        if ours:
            changes.run(*SYSTEMCTL, "daemon-reload")
            changes.run(*SYSTEMCTL, "reset-failed", *UNITS, may_fail=True)
            self._remove_empty_directories(changes)
        return self._kept({file.path for file in ours})

    def _kept(self, ours: set[Path]) -> list[Path]:
        units = [self._directory / name for name in UNITS]
        additions = [path for unit in units for path in sorted(Path(f"{unit}.d").glob("*.conf"))]
        return [path for path in [*units, *additions] if path not in ours and os.path.lexists(path)]

    def _remove_empty_directories(self, changes: Changes) -> None:
        mine = [self._directory / name for name in (f"{SERVICE}.d", f"{SOCKET}.d", "default.target.wants")]
        mine += [self._directory / "sockets.target.wants", self._variables_file().path.parent]
        for path in [*mine, *self._needed_directories()]:
            changes.remove_if_empty(path, below=self._home)
        for path in (self._socket.parent, self._runtime):
            changes.remove_if_empty(path, below=path.parent)

    # -- looking ----------------------------------------------------------------------------------------------------

    def pid(self) -> int | None:
        """The service's process, None when it does not run. Raises CommandFailed."""
        return int(self._units()[SERVICE]["MainPID"]) or None

    def report(self) -> Report:
        """How things stand. Raises ConfigError, NoManager, CommandFailed."""
        self.require()
        units = self._units()
        wanted = {file.path: file for file in self._wanted()}
        ours = [wanted.get(file.path, file) for file in self._all_files()]
        return Report(
            manager="systemd",
            installed=self.is_known(),
            files=tuple((file.path, file.state()) for file in ours if file.path in wanted or file.is_ours),
            enabled=all(unit["UnitFileState"] == "enabled" for unit in units.values()),
            active=units[SERVICE]["ActiveState"],
            listening=units[SOCKET]["ActiveState"] == "active",
            pid=int(units[SERVICE]["MainPID"]) or None,
            socket=self._socket,
            sandbox="reduced" if self._is_reduced else "full",
            python=self._installed_python(),
            variables=tuple(self._variables),
            logs=_log(),
        )

    def _installed_python(self) -> Path | None:
        """The interpreter that the installed unit names."""
        found = (self._unit_file(SERVICE, "").found() or b"").decode(errors="replace")
        start = re.search(r'^ExecStart=(?:"([^"]+)"|(\S+))', found, re.MULTILINE)
        return None if start is None else Path((start[1] or start[2]).replace("%%", "%"))


def _environment(said: str) -> dict[str, str]:
    """What `systemctl show-environment` says, by a systemd that speaks JSON or by an older one."""
    try:
        return {str(name): str(value) for name, value in json.loads(said).items()}
    except ValueError:
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _log() -> str:
    """The command that shows the service's log."""
    return "journalctl --user -u credhelper" if _JOURNAL.exists() else "systemctl --user status credhelper"


def _is_settled(unit: Mapping[str, str]) -> bool:
    return unit["ActiveState"] == "active" and unit["UnitFileState"] == "enabled" and unit["NeedDaemonReload"] == "no"
