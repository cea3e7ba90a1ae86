"""When a process ends that is not our child: the kernel tells of it where it can, else somebody looks now and then."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Callable

from credhelper.local.peers import HasOptions

Process = tuple[int, int]
"""A process's number and the moment it started, in the kernel's ticks since the boot: numbers are used again."""

_ENOUGH = 4096  # bytes of /proc/PID/stat: all of it
_DARWIN_PEER_PID = 2  # LOCAL_PEERPID of sys/un.h, at level SOL_LOCAL, which is 0


def peer(connection: HasOptions) -> Process | None:
    """The process at the other end of a Unix socket; None where it has gone, or lives where we cannot see it."""
    try:
        if sys.platform == "linux":
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        else:
            found = connection.getsockopt(0, _DARWIN_PEER_PID, struct.calcsize("i"))
    except OSError:
        return None
    pid = int.from_bytes(found[:4], sys.byteorder)
    started = started_at(pid)
    return None if started is None else (pid, started)


def this_process() -> Process:
    """Ourselves."""
    started = started_at(os.getpid())
    assert started is not None  # noqa: S101  # we are here
    return os.getpid(), started


def started_at(pid: int) -> int | None:
    """When the process with this number started; None when there is none.

    Where /proc does not show it, it is 0.
    """
    if pid <= 0:
        return None
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            said = os.read(descriptor, _ENOUGH)
        finally:
            os.close(descriptor)
    except OSError:
        return 0 if _exists(pid) else None
    # "PID (NAME) STATE …", where the name may hold anything; the start is the 22nd field of all
    state, *numbers = said.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else int(numbers[18])


def is_alive(process: Process) -> bool:
    """Whether it is still there, and as far as that can be seen no other one that was given its number."""
    pid, started = process
    return started_at(pid) in {started, 0}


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except (OSError, OverflowError):
        return False
    return True


class ProcessEnds:
    """Tells ``on_end`` when a process ends that is watched. Lives on the event loop."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._descriptors: dict[Process, int] = {}

    def watch(self, process: Process) -> bool:
        """Begins; whether the kernel tells of its end. Where it does not, ``is_alive`` must be asked now and then."""
        if process in self._descriptors:
            return True
        try:
            descriptor = os.pidfd_open(process[0])
        except (AttributeError, OSError):  # an older kernel, another system, or it has ended
            return False
        try:
            asyncio.get_running_loop().add_reader(descriptor, self._ended, process)
        except (OSError, NotImplementedError, RuntimeError):  # no loop that can
            os.close(descriptor)
            return False
        self._descriptors[process] = descriptor
        return True

    def is_watching(self, process: Process) -> bool:
        """Whether the kernel will tell."""
        return process in self._descriptors

    def forget(self, process: Process) -> None:
        """No longer."""
        descriptor = self._descriptors.pop(process, None)
        if descriptor is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def forget_all(self) -> None:
        """None of them any longer."""
        for process in list(self._descriptors):
            self.forget(process)

    def _ended(self, process: Process) -> None:
        self.forget(process)
        self._on_end()
