"""Who listens at a TCP port of this machine, by the kernel's word: the tables of proc_pid_net(5)."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTEN = "0A"  # net/tcp_states.h


def is_another_users(port: int, lines: Iterable[str] | None = None) -> bool:
    """Whether another user listens at ``port``, or that cannot be known. Blocks: some ms with 10,000 connections.

    ``lines`` are the tables'; the kernel's own unless given.
    """
    if sys.platform != "linux" and lines is None:
        return True
    try:
        return any(uid != os.getuid() for uid in _uids(port, _said() if lines is None else lines))
    except (OSError, ValueError, IndexError):
        return True


def _uids(port: int, lines: Iterable[str]) -> Iterator[int]:
    # "SL LOCAL_ADDRESS REMOTE_ADDRESS STATE TX:RX TR:WHEN RETRANSMITS UID …", addresses and ports in hex
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            yield int(fields[7])


def _said() -> Iterator[str]:
    for table in map(Path, _TABLES):
        if table.exists():  # without IPv6 there is but one
            yield from table.read_text(encoding="ascii").splitlines()[1:]
