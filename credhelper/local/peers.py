"""Who is at the other end of a Unix socket, by the kernel's word.

The fast client is a child of whoever wants credentials, and it is gone a moment after its answer: so this is asked
before. It reads /proc, which is no disk: some tens of microseconds.

A process's number is used again once it has gone, and a process can become another program while it asks. So the peer
is held by a pidfd while it is looked at (the socket's own where the kernel gives one, from 6.5 on), its parent is
proven by asking the child again afterwards, and ``Look.process`` tells whether two looks have seen the same. What runs
a script is its interpreter: that is the program, here and for the kernel.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from credhelper.domain.text import safe

OURSELVES = "credhelper"
SHELLS = frozenset({"ash", "bash", "busybox", "dash", "fish", "ksh", "sh", "zsh"})
DELETED = " (deleted)"
"""What the kernel adds to the path of a file that is no longer there: the program was upgraded under the process."""

_LONGEST = 16  # characters of a name; the kernel keeps 15 bytes
_MOST_STEPS = 4
_ENOUGH = 1024  # bytes of /proc/PID/stat: the start is its 22nd field
_KERNELS_OWN = 1  # the first process adopts those whose parents have gone
_SO_PEERPIDFD = 77  # asm-generic/socket.h; Python has no name for it before 3.14
_DARWIN_PEER_CRED, _DARWIN_PEER_PID = 1, 2  # LOCAL_PEERCRED and LOCAL_PEERPID of sys/un.h, at level SOL_LOCAL


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
    """The file it runs, absolute. Where that may not be seen: the program's own name, which never has a slash."""
    cwd: str | None = None
    name: str | None = None
    """What people call the program."""
    has_changed: bool = False
    """Whether it was something else when it connected, or while it was looked at: then nothing of this is certain."""

    @property
    def program(self) -> str | None:
        """The file it runs, where that is certain."""
        return self.exe if self.exe is not None and self.exe.startswith("/") and not self.has_changed else None


NOBODY = Caller()
"""Somebody of whom nothing is known."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    name: str
    parent: int
    leads_session: bool
    started: int
    """In the kernel's ticks since the boot."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment."""

    caller: Caller
    process: tuple[object, ...] = ()
    """What stays the same as long as the client, and the program that it asks for, are the same."""


def identify(connection: HasOptions) -> Caller:
    """The program that asks over ``connection``; on a system without /proc, or where it is gone, little is known of it.

    A shell between it and the client is passed over, as some SDKs start one; the shell that a person types into, which
    leads a session, is not: there ``credhelper get`` itself was typed.
    """
    return look(connection).caller


def look(connection: HasOptions) -> Look:
    """The same, so that it can be compared with another look over the same connection."""
    try:
        uid, pid = _credentials(connection)
    except OSError:
        return Look(NOBODY)
    if sys.platform != "linux":  # where programs run from is told by libproc only
        return Look(Caller(uid, pid))
    try:
        with _held(connection, pid) as peer:
            for _ in range(2):  # a parent that ends just now leaves the client to another
                found = _seen(uid, pid)
                if found is not None and _is_there(peer):
                    return found
    except (OSError, ValueError):  # it has gone
        return Look(Caller(uid, pid))
    return Look(Caller(uid, pid, has_changed=True))


def _credentials(connection: HasOptions) -> tuple[int, int | None]:
    """Uid and pid of whoever connected. Raises OSError."""
    if sys.platform == "linux":
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(found[4:8], sys.byteorder), int.from_bytes(found[:4], sys.byteorder)
    else:  # noqa: RET505  # for the type checker, which knows on which system it runs
        uid = int.from_bytes(connection.getsockopt(0, _DARWIN_PEER_CRED, 80)[4:8], sys.byteorder)
        with contextlib.suppress(OSError):
            return uid, int.from_bytes(connection.getsockopt(0, _DARWIN_PEER_PID, 4), sys.byteorder)
        return uid, None


@contextlib.contextmanager
def _held(connection: HasOptions, pid: int | None) -> Iterator[int | None]:
    """A pidfd of the peer while we look; None where this kernel has none. Raises OSError where it has gone."""
    descriptor = _pidfd(connection, pid)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _pidfd(connection: HasOptions, pid: int | None) -> int | None:
    try:
        # The socket's own is of the process that connected, whatever has its number by now.
        return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4), sys.byteorder)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT or pid is None:
            raise
    try:
        return os.pidfd_open(pid)
    except (AttributeError, PermissionError):  # before 5.3, or not for us
        return None
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return None
        raise


def _is_there(descriptor: int | None) -> bool:
    """Whether the process has not gone: then its number was its own all the time. Without a pidfd its start says so."""
    if descriptor is None:
        return True
    try:
        signal.pidfd_send_signal(descriptor, 0)
    except PermissionError:  # another user's
        return True
    except OSError:
        return False
    return True


def _seen(uid: int, pid: int | None) -> Look | None:
    """One look at the client and at whoever it asks for; None when they have changed meanwhile.

    Raises OSError, ValueError.
    """
    chain, name = _asking(pid or 0)
    client, asking = chain[0], chain[-1]
    exe, client_exe, cwd = _link(asking.pid, "exe"), _link(client.pid, "exe"), _link(asking.pid, "cwd")
    if any(_look(each.pid) != each for each in chain):  # a child that names its parent still proves that it lives
        return None
    name = safe(name[:_LONGEST]).strip()
    caller = Caller(uid, asking.pid, exe or _bare(asking.name), cwd, name or None)
    return Look(caller, (client.pid, client.started, client_exe, asking.pid, asking.started, exe, asking.name))


def _bare(name: str) -> str | None:
    """A name that cannot be taken for a path: a process calls itself what it likes."""
    return safe(name[:_LONGEST]).replace("/", "_").strip() or None


def _link(pid: int, name: str) -> str | None:
    try:
        found = os.readlink(f"/proc/{pid}/{name}")
    except OSError:  # it is gone, or may not be looked at from where we are
        return None
    return found.removesuffix(DELETED) if found.startswith("/") else None


def _asking(pid: int) -> tuple[list[_Process], str]:
    """From the client up to the process that wants credentials, and what to call it. Raises OSError, ValueError."""
    client = _look(pid)
    if client.parent <= _KERNELS_OWN:  # whoever started it has gone, or is the first process of a container
        return [client], client.name
    chain = [client, _look(client.parent)]
    for _ in range(_MOST_STEPS):
        asking = chain[-1]
        if asking.name not in SHELLS or asking.leads_session or asking.parent <= _KERNELS_OWN:
            break
        chain.append(_look(asking.parent))
    if client.name == OURSELVES and chain[-1].name in SHELLS:
        return [client], OURSELVES
    return chain, chain[-1].name


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
    fields = numbers.split(maxsplit=20)
    parent, session, started = int(fields[1]), int(fields[3]), int(fields[19])
    return _Process(pid, name.decode(errors="replace"), parent, session == pid, started)
