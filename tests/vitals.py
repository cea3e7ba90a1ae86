"""What the kernel tells of a process (Linux), and a place to measure it where nobody else is.

Takes root for a daemon, whose memory is nobody else's.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Vitals:
    """One look at a process; memory in KiB."""

    descriptors: int
    """But those of the next figure."""
    upstream: int
    """Connections over TCP, some of which are kept for the next call."""
    threads: int
    resident: int
    proportional: int
    """Resident memory, of which what is shared with other processes is counted in parts: PSS."""

    @classmethod
    def of(cls, pid: int) -> "Vitals":
        """Of this process, now. Raises OSError."""
        process = Path("/proc", str(pid))
        memory = (process / "smaps_rollup").read_text(encoding="ascii")
        links = [_link(process / "fd" / name) for name in os.listdir(process / "fd")]
        upstream = len(_tcp_sockets(process).intersection(links))
        return cls(
            descriptors=len(links) - upstream,
            upstream=upstream,
            threads=len(os.listdir(process / "task")),
            resident=_number("Rss", memory),
            proportional=_number("Pss", memory),
        )


@contextlib.contextmanager
def quiet_place() -> Iterator[None]:
    """Inside, temporary files are made in a directory of our own.

    The daemon listens to directories above its own too, and whatever others do in /tmp would wake it.
    """
    with tempfile.TemporaryDirectory(prefix="q-") as place:
        before, tempfile.tempdir = tempfile.tempdir, place
        try:
            yield
        finally:
            tempfile.tempdir = before


def cpu_seconds(pid: int) -> float:
    """The processor's time that a process has taken so far, its own and the kernel's for it. Raises OSError."""
    fields = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wake_ups(pid: int) -> int:
    """How often all threads that live now have been put to sleep so far, and so have been awake. Raises OSError."""
    tasks = Path("/proc", str(pid), "task")
    return sum(
        _number("voluntary_ctxt_switches", (tasks / task / "status").read_text(encoding="ascii"))
        for task in os.listdir(tasks)
    )


def resident(pid: int) -> int:
    """Resident memory in KiB; takes no root. Raises OSError."""
    return _number("VmRSS", Path("/proc", str(pid), "status").read_text(encoding="ascii"))


def _link(path: Path) -> str:
    """What a descriptor is; of one that was closed meanwhile, nothing."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _tcp_sockets(process: Path) -> set[str]:
    """Those of the network that the process is in, as ``/proc/PID/fd`` names them."""
    tables = [(process / "net" / name).read_text(encoding="ascii").splitlines()[1:] for name in ("tcp", "tcp6")]
    return {f"socket:[{line.split()[9]}]" for table in tables for line in table}


def _number(name: str, text: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    assert found is not None, f"the kernel tells no {name}"
    return int(found[1])
