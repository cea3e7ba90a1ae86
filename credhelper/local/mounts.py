"""Which file systems tell of their changes: network disks, and what is shared into a container, do not."""

import functools
from collections.abc import Mapping
from pathlib import Path

_NO_EVENTS = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "fuse",
    "drvfs",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
    "virtiofs",
    "ceph",
    "afs",
    "autofs",
)
"""How the types of file systems begin that others change unseen by this kernel."""


def has_events(path: Path) -> bool:
    """Whether the kernel tells of all changes at ``path`` (absolute, its directories no links). Linux; elsewhere True.

    Reads the table of mounts, and touches no disk but one with events.
    """
    try:
        table = _mounts(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape"))
    except OSError:
        return True
    point = next((str(above) for above in (path, *path.parents) if str(above) in table), "/")
    if table.get(point, "").startswith(_NO_EVENTS):
        return False
    return point != str(path) or path.is_dir()  # events on a file mounted into a container are its directory's, outside


@functools.lru_cache(maxsize=1)
def _mounts(mountinfo: str) -> Mapping[str, str]:
    """The type of the file system at each mount point; of several at one point the last hides the others."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return {_unescaped(each[4]): each[each.index("-", 6) + 1] for each in fields}


def _unescaped(point: str) -> str:
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(escape, character)
    return point
