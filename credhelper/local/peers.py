"""Who is at the other end of a Unix socket, by the kernel's word.

The fast client is a child of whoever wants credentials, and it is gone a moment after its answer: so this is asked
before. It reads /proc, which is no disk: some microseconds a process.
"""

import os
import socket
import sys
from dataclasses import dataclass
from typing import Protocol

from credhelper.domain.text import safe

OURSELVES = "credhelper"
SHELLS = frozenset({"ash", "bash", "busybox", "dash", "fish", "ksh", "sh", "zsh"})

_LONGEST = 16  # characters of a name; the kernel keeps 15 bytes
_MOST_STEPS = 4
_ENOUGH = 512  # bytes of /proc/PID/stat: what is of interest comes first
_KERNELS_OWN = 1  # the first process adopts those whose parents have gone


class HasOptions(Protocol):
    """A socket, or what asyncio gives out as one."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
        """As socket.getsockopt."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A process that asks for credentials, as far as it can be seen; ``None`` where it cannot."""

    uid: int | None = None
    pid: int | None = None
    exe: str | None = None
    """The file it runs, absolute."""
    cwd: str | None = None
    name: str | None = None
    """What people call the program."""


NOBODY = Caller()
"""Somebody of whom nothing is known."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    name: str
    parent: int
    leads_session: bool


def identify(connection: HasOptions) -> Caller:
    """The program that asks over ``connection``; on a system without /proc, or where it is gone, little is known of it.

    A shell between it and the client is passed over, as some SDKs start one; the shell that a person types into, which
    leads a session, is not: there ``credhelper get`` itself was typed.
    """
    if sys.platform != "linux":
        return NOBODY
    try:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        return NOBODY
    pid, uid = (int.from_bytes(credentials[at : at + 4], sys.byteorder) for at in (0, 4))
    try:
        asking, name = _asking(pid)
    except (OSError, ValueError):
        return Caller(uid, pid)
    name = safe(name[:_LONGEST]).strip()
    return Caller(uid, asking.pid, _link(asking.pid, "exe"), _link(asking.pid, "cwd"), name or None)


def _link(pid: int, name: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:  # it is gone, or may not be looked at from where we are
        return None


def _asking(pid: int) -> tuple[_Process, str]:
    """The process that wants credentials, and what to call it. Raises OSError, ValueError."""
    client = _look(pid)
    asking = _look(client.parent)
    for _ in range(_MOST_STEPS):
        if asking.name not in SHELLS or asking.leads_session:
            break
        asking = _look(asking.parent)
    if client.name == OURSELVES and asking.name in SHELLS:
        return client, OURSELVES
    return asking, asking.name


def _look(pid: int) -> _Process:
    """Raises OSError, ValueError."""
    if pid <= _KERNELS_OWN:
        raise ProcessLookupError
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        said = os.read(descriptor, _ENOUGH)
    finally:
        os.close(descriptor)
    # "PID (NAME) STATE PARENT GROUP SESSION …", where the name may hold anything, spaces and parentheses too
    _, _, rest = said.partition(b"(")
    name, _, numbers = rest.rpartition(b")")
    _, parent, _, session = numbers.split(maxsplit=4)[:4]
    return _Process(pid, name.decode(errors="replace"), int(parent), int(session) == pid)
