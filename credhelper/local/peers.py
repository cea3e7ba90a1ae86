"""What the program at the other end of a Unix socket is called, by the kernel's word; for people, not for decisions.

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
class _Process:
    name: str
    parent: int
    leads_session: bool


def caller_name(connection: HasOptions) -> str | None:
    """The program that asks over ``connection``; None where that cannot be told (not Linux, a sandbox, it is gone).

    A shell between it and the client is passed over, as some SDKs start one; the shell that a person types into, which
    leads a session, is not: there ``credhelper get`` itself was typed.
    """
    if sys.platform != "linux":
        return None
    try:
        pid = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
        return safe(_asking(pid)[:_LONGEST]).strip() or None
    except (OSError, ValueError):
        return None


def _asking(pid: int) -> str:
    """Raises OSError, ValueError."""
    client = _look(pid)
    asking = _look(client.parent)
    for _ in range(_MOST_STEPS):
        if asking.name not in SHELLS or asking.leads_session:
            break
        asking = _look(asking.parent)
    return OURSELVES if client.name == OURSELVES and asking.name in SHELLS else asking.name


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
    return _Process(name.decode(errors="replace"), int(parent), int(session) == pid)
