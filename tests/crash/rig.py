"""Lets one operation run under strace, and makes one chosen system call of it the last, or fail.

strace counts the calls of each name apart, from the moment it is attached. So a run in which nothing fails is recorded
first, and its calls that touch the home are numbered; a run with a fault must be the same up to that call.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crash.homes import Home

REPOSITORY = Path(__file__).parents[2]

KILL = "KILL"
TRACED = r"/^(open|openat|write|pwrite64|f(data)?sync|rename.*|unlink.*|close|mkdir.*|read|getdents.*|flock|.*stat.*)$"
"""Everything the operations ask of a file system."""

_LINE = re.compile(r"\d+ +(?P<name>\w+)\((?P<rest>.*)", re.DOTALL)
_PLACE = re.compile(r"\"(?P<named>/[^\"]*)\"|\d<(?P<opened>/[^>]*)>")
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}-\d+-[0-9a-f]{8}\.tmp")


class NotAttached(Exception):
    """strace may not trace here; says why."""


@dataclass(frozen=True)
class Call:
    """One system call: the ``ordinal``-th of its ``name``, about ``places`` (below the home with ``~``)."""

    name: str
    ordinal: int
    places: tuple[str, ...]
    creates: bool
    line: str = field(compare=False)

    @property
    def touches_home(self) -> bool:
        """Whether it is about something in the home."""
        return any(place.startswith("~") for place in self.places)

    @property
    def kind(self) -> str:
        """The name without what differs between architectures."""
        kinds = ("open", "write", "sync", "rename", "unlink", "close", "mkdir", "read", "getdents", "flock", "stat")
        return next(kind for kind in kinds if kind in self.name)


@dataclass(frozen=True)
class Fault:
    """What happens at one call: the process is killed before it, or it fails, once or from then on."""

    call: Call
    what: str
    is_lasting: bool = False

    @property
    def kills(self) -> bool:
        """Whether nothing comes after it."""
        return self.what == KILL

    @property
    def injection(self) -> str:
        """For strace."""
        effect = "signal=KILL" if self.kills else f"error={self.what}"
        return f"{self.call.name}:{effect}:when={self.call.ordinal}{'+' if self.is_lasting else ''}"

    def __str__(self) -> str:
        lasting = " and from then on" if self.is_lasting else ""
        return f"{self.what} at {self.call.name} {self.call.ordinal}{lasting} ({' to '.join(self.call.places)})"


ERRORS = {
    "write": ("ENOSPC", "EIO"),
    "sync": ("ENOSPC", "EIO"),
    "rename": ("ENOSPC", "EIO", "EROFS"),
    "unlink": ("EIO", "EROFS"),
    "close": ("ENOSPC", "EIO"),
    "mkdir": ("ENOSPC", "EROFS"),
    "open": ("EMFILE", "EIO"),
    "read": ("EIO",),
    "getdents": ("EIO",),
    "flock": ("ENOLCK",),
    "stat": ("EIO",),
}
CREATION_ERRORS = ("ENOSPC", "EROFS")
LASTING_ERRORS = {"write": "ENOSPC", "sync": "EIO", "rename": "EROFS", "unlink": "EROFS", "open": "EMFILE"}
CHANGES = frozenset({"write", "sync", "rename", "unlink", "close", "mkdir", "open"})
"""Being killed before another call is the same as before the next of these."""


def faults(calls: list[Call]) -> Iterator[Fault]:
    """Everything that can happen to those of ``calls`` that touch the home."""
    for call in calls:
        if call.touches_home:
            if call.kind in CHANGES:
                yield Fault(call, KILL)
            yield from (Fault(call, error) for error in ERRORS[call.kind])
            if call.creates:
                yield from (Fault(call, error) for error in CREATION_ERRORS)
            if call.kind in LASTING_ERRORS:
                yield Fault(call, LASTING_ERRORS[call.kind], is_lasting=True)


@dataclass(frozen=True)
class Run:
    """How an operation ended: its exit status, or minus the signal; what it told; what it asked of the system."""

    status: int
    notes: dict[str, Any]
    calls: list[Call]
    trace: str

    @property
    def is_killed(self) -> bool:
        """Whether it could not say how it went."""
        return self.status == -signal.SIGKILL

    def met(self, fault: Fault, record: list[Call]) -> bool:
        """Whether all went as in ``record`` up to the call, and there the fault happened."""
        place = record.index(fault.call)
        if self.calls[: place + 1] != record[: place + 1]:
            return False
        if fault.kills:
            return self.is_killed and len(self.calls) == place + 1
        return self.status == 0 and self.calls[place].line.endswith("(INJECTED)")


class Workshop:
    """A process in which every operation is warmed up, and from which each run is forked. One run at a time."""

    def __init__(self, trace: Path) -> None:
        """``trace`` is where strace may write."""
        self._trace = trace
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.operation"],
            cwd=REPOSITORY,
            env=environment | {"PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()

    def run(self, operation: str, home: Home, *, largest_file: int | None = None) -> Run:
        """Without strace; no file may grow beyond ``largest_file`` bytes."""
        child = self._begin(operation, home, largest_file)
        os.kill(child, signal.SIGUSR1)
        return self._end(home, "")

    def trace(self, operation: str, home: Home, fault: Fault | None = None) -> Run:
        """Under strace, with ``fault``. Raises NotAttached."""
        child = self._begin(operation, home, None)
        command = [
            "strace",
            "-f",
            "-y",
            "-s",
            "0",
            "-o",
            str(self._trace),
            "-e",
            f"trace={TRACED}",
            "-e",
            "signal=none",
        ]
        if fault is not None:
            command += ["-e", f"inject={fault.injection}"]
        with subprocess.Popen([*command, "-p", str(child)], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            is_attached = "attached" in said
            os.kill(child, signal.SIGUSR1 if is_attached else signal.SIGKILL)
            tracer.communicate()
        if not is_attached:
            self._end(home, "")
            raise NotAttached(said.strip())
        return self._end(home, self._trace.read_text(encoding="utf-8"))

    def _begin(self, operation: str, home: Home, largest_file: int | None) -> int:
        assert self._server.stdin is not None
        request = {"operation": operation, "home": str(home.path), "largest_file": largest_file}
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(self._read())

    def _end(self, home: Home, trace: str) -> Run:
        found = json.loads(self._read())
        return Run(found["status"], found["notes"], list(_calls(trace, home)), trace)

    def _read(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, f"the operations' process has ended with status {self._server.wait()}"
        return line


def _calls(trace: str, home: Home) -> Iterator[Call]:
    ordinals: Counter[str] = Counter()
    for line in trace.splitlines():
        found = _LINE.fullmatch(line)
        if found:
            name = found["name"]
            ordinals[name] += 1
            arguments = found["rest"].rpartition(") = ")[0]
            places = (match["named"] or match["opened"] for match in _PLACE.finditer(arguments))
            told = tuple(_TEMPORARY.sub(".X.tmp", place.replace(str(home.path), "~")) for place in places)
            yield Call(name, ordinals[name], told, "O_CREAT" in line, line)
