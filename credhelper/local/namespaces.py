"""What a process in a user namespace of its own can still tell of other users (user_namespaces(7)).

The service's sandbox (``PrivateUsers=yes``) is one: there every user but one's own, root included, has the same number,
the "overflow" uid, which in the first namespace is the uid of "nobody".
"""

import sys
from pathlib import Path

EVERYBODY = 2**32 - 1  # how many there are; the last number is "no one"
_OVERFLOW = 65_534  # unless the machine's owner has chosen another, which nobody does


def can_tell(uid: int, uid_map: str | None = None, overflow: int | None = None) -> bool:
    """Whether a connection of the user ``uid`` (as named in here) cannot be taken for anybody else's.

    ``uid_map`` and ``overflow`` are what ``/proc/self/uid_map`` and ``/proc/sys/kernel/overflowuid`` say; asked of the
    kernel unless given.
    """
    if sys.platform != "linux" and uid_map is None:
        return True
    try:
        ranges = [tuple(map(int, line.split())) for line in _said(uid_map).splitlines()]
    except (OSError, ValueError):
        return False
    is_whole = ranges == [(0, 0, EVERYBODY)]
    is_known = any(first <= uid < first + count for first, _, count in ranges)
    return is_known and (is_whole or uid != (_overflow() if overflow is None else overflow))


def _said(uid_map: str | None) -> str:
    return Path("/proc/self/uid_map").read_text(encoding="ascii") if uid_map is None else uid_map


def _overflow() -> int:
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _OVERFLOW
