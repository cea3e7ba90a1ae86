"""credhelper as a launchd agent of the user's (macOS)."""

import os
import plistlib
import re
import select
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.local import places
from credhelper.local.service import environment, files
from credhelper.local.service.changes import Changes
from credhelper.local.service.files import MARK, ServiceFile
from credhelper.local.service.manager import WITHOUT_MANAGER, NoManager, Report
from credhelper.local.service.runner import CommandFailed, ProgramMissing, Runner

LABEL = "credhelper.daemon"
END_SECONDS = 10.0  # between bootout and the end of what it ends

_PID = re.compile(r"^\s*pid = (\d+)$", re.MULTILINE)
_STATE = re.compile(r"^\s*state = (.+)$", re.MULTILINE)


class Launchd:
    """A user's launchd, seen from a shell with ``environment``; ``python`` is what the agent is to run."""

    service = LABEL

    def __init__(self, runner: Runner, environment: Mapping[str, str], python: Path) -> None:
        self.runner = runner
        self._shell = dict(environment)
        self._python = python
        self._home = Path(environment["HOME"])
        self._log = self._home / "Library" / "Logs" / "credhelper.log"
        self._domain = f"gui/{os.getuid()}"
        self._target = f"{self._domain}/{LABEL}"

    def as_installed(self) -> "Launchd":
        """The same, seen from the shell that has installed the agent, as far as that was recorded."""
        recorded = _parsed(self._file().found() or b"").get("EnvironmentVariables", {})
        return Launchd(self.runner, environment.without(self._shell) | recorded, self._python)

    def require(self) -> None:
        """Raises NoManager."""
        try:
            self.runner.run("launchctl", "print", self._domain)
        except ProgramMissing as error:
            raise NoManager(f"there is no launchd here: {error.message}", hint=WITHOUT_MANAGER) from error
        except CommandFailed as error:
            raise NoManager(
                f"this user's launchd cannot be reached: {error.message}",
                hint="log in to the desktop as this user itself (not by su, sudo or ssh), then run it again",
            ) from error

    # -- the file ---------------------------------------------------------------------------------------------------

    def _file(self) -> ServiceFile:
        """The agent's plist, readable by the user alone: it holds what was captured, perhaps a proxy's password."""
        path = self._home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        return ServiceFile(path, self._plist(), mode=0o600, shown=_shown)

    def _plist(self) -> bytes:
        agent = {
            "Label": LABEL,
            "ProgramArguments": [str(self._python), "-Im", "credhelper", "daemon", "run"],
            "EnvironmentVariables": self._variables,
            "WorkingDirectory": "/",
            "Umask": 0o077,
            "RunAtLoad": True,
            # `credhelper daemon stop` ends it with 0: stopped until the next request.
            "KeepAlive": {"SuccessfulExit": False},
            "ProcessType": "Background",
            "StandardOutPath": os.devnull,
            "StandardErrorPath": str(self._log),
        }
        head, rest = plistlib.dumps(agent, sort_keys=False).split(b"\n", 1)
        return b"\n".join([head, f"<!-- {MARK} -->".encode(), rest])

    @property
    def _variables(self) -> dict[str, str]:
        """What is captured of the shell; launchd has nothing of it. Raises ConfigError."""
        found = environment.captured(self._shell, {})
        runtime = self._shell.get("XDG_RUNTIME_DIR")  # not usual on macOS: where it is set, the socket lies there
        return found | ({"XDG_RUNTIME_DIR": runtime} if runtime else {})

    def _places(self) -> dict[bytes, bytes]:
        variables = {"HOME": str(self._home)} | self._variables
        return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}

    # -- installing and removing ------------------------------------------------------------------------------------

    def is_settled(self) -> bool:
        """Whether an installation would change nothing. Raises ConfigError."""
        self._file().refuse_if_foreign()
        return self._file().state() == "current" and self._print_agent() is not None and self.pid() is not None

    def is_known(self) -> bool:
        """Whether a plist of ours is there. Raises ConfigError."""
        return self._file().is_ours

    def install(self, changes: Changes, stop_other: Callable[[], None]) -> None:
        """Writes the plist and has launchd load it, in place of an older one. Raises CredhelperError."""
        file = self._file()
        file.refuse_if_foreign()
        if self.pid() is None:
            stop_other()
        if self._print_agent() is not None:
            self._end(changes)
        changes.make_directory(self._log.parent)
        if file.state() != "current":
            changes.write(file)
        try:
            changes.run("launchctl", "enable", self._target)
            changes.run("launchctl", "bootstrap", self._domain, str(file.path))
        except CommandFailed as error:
            raise DaemonUnreachable(
                f"the agent does not start: {error.message}", hint=f"launchctl print {self._target}"
            ) from error

    def uninstall(self, changes: Changes) -> list[Path]:
        """Ends the agent and removes its plist and log; returns a plist that is not ours and stays.

        Raises CredhelperError.
        """
        file = self._file()
        if not file.is_ours:
            return [] if file.state() == "missing" else [file.path]
        if self._print_agent() is not None:
            self._end(changes)
        changes.remove(file)
        changes.remove(ServiceFile(self._log, b"", shown=lambda _: ""))
        for directory in (file.path.parent, self._log.parent):
            changes.remove_if_empty(directory, below=self._home)
        return []

    def _end(self, changes: Changes) -> None:
        """Ends the agent, and waits until launchd has forgotten it: only then it takes another of the same name."""
        changes.run("launchctl", "bootout", self._target)
        give_up = time.monotonic() + END_SECONDS
        while not changes.rehearsal and self._print_agent() is not None:
            if time.monotonic() > give_up:
                raise CredhelperError("the agent does not end", hint=f"launchctl print {self._target}")
            select.select([], [], [], 0.05)

    # -- looking ----------------------------------------------------------------------------------------------------

    def _print_agent(self) -> str | None:
        """What launchd says of the agent; None when it knows none."""
        done = self.runner.look("launchctl", "print", self._target)
        return done.out if done.status == 0 else None

    def pid(self) -> int | None:
        """The agent's process, None when it does not run. Raises CommandFailed."""
        found = _PID.search(self._print_agent() or "")
        return int(found[1]) if found else None

    def report(self) -> Report:
        """How things stand. Raises ConfigError, NoManager, CommandFailed."""
        self.require()
        said = self._print_agent()
        state = _STATE.search(said or "")
        file = self._file()
        arguments = _parsed(file.found() or b"").get("ProgramArguments")
        is_running = state is not None and state[1] == "running"
        return Report(
            manager="launchd",
            installed=file.is_ours,
            files=((file.path, file.state()),),
            enabled=said is not None,
            active="active" if is_running else state[1] if state else "inactive",
            listening=False,
            pid=self.pid(),
            socket=places.socket_path(self._places()),
            sandbox=None,
            python=Path(arguments[0]) if arguments else None,
            variables=tuple(self._variables),
            logs=f"tail -n 50 {shlex.quote(str(self._log))}",
        )


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = plistlib.loads(content, fmt=plistlib.FMT_XML)
    except Exception:  # noqa: BLE001  # expat's errors have no common base but Exception
        return {}
    return found if isinstance(found, dict) else {}


def _shown(content: bytes) -> str:
    """The plist as a person may see it."""
    agent = _parsed(content)
    variables = agent.get("EnvironmentVariables", {})
    agent["EnvironmentVariables"] = {name: environment.masked(value) for name, value in variables.items()}
    return files.plainly(plistlib.dumps(agent, sort_keys=False)) if content else ""
