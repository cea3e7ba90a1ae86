"""The audit's files: one JSON object a line, for the user's eyes only, only ever added to, and turned over by size.

The newest is ``audit-HOST.jsonl``; ``….jsonl.1`` is older, and so on to the oldest that is kept. Whoever writes holds
the newest one's lock, so that two daemons of one home do not tear each other's lines, and a reader that opens the files
from the newest to the oldest misses nothing while they are being renamed: they only move on to where it looks next.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from credhelper.local.private_files import UnusableFile

KEYS = (
    "time",
    "door",
    "uid",
    "pid",
    "exe",
    "cwd",
    "profile",
    "account_id",
    "role_name",
    "outcome",
    "cache_hit",
    "expires_at",
)
"""What every record has, in this order."""

LARGEST = 5 * 1024 * 1024  # bytes of one file: some 13,000 records
FILES = 4
LONGEST_LINE = 64 * 1024  # bytes; a record has some 400
TRIES = 5
"""How often another writer may turn the file over between our opening it and our holding its lock."""

Record = dict[str, Any]


class Unwritten(Exception):
    """The first ``written`` lines are in the file, and the others are not; the message says why."""

    def __init__(self, message: str, written: int = 0) -> None:
        super().__init__(message)
        self.written = written


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Lines that are no records, such as what a daemon that was killed, or a full disk, has left of one."""

    path: Path
    lines: int


def encode(record: Record) -> bytes:
    """A record as a line. Plain ASCII: nothing in it can look like the end of a line."""
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def paths(path: Path) -> list[Path]:
    """The newest file and those before it."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, FILES))]


# -- writing ----------------------------------------------------------------------------------------------------------


def append(path: Path, lines: Sequence[bytes], *, largest: int = LARGEST) -> None:
    """Adds lines of ``encode`` to the file, all of them or the first few: never part of one. Blocks.

    It is not synced: a power cut may take the last ones. Makes the file (0600) where there is none, and turns it over
    first where it would grow beyond ``largest`` bytes.
    Raises Unwritten.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _to_write(path) as descriptor:
            if not _is_full(descriptor, lines, largest):
                _add(descriptor, lines)
                return
            _turn_over(path)  # while its lock is held
            with _to_write(path) as fresh:
                _add(fresh, lines)
    except Unwritten as error:
        raise Unwritten(f"{path}: {error}", error.written) from None
    except UnusableFile as error:
        raise Unwritten(f"{path}: {error}") from None
    except OSError as error:
        raise Unwritten(f"{path}: {error.strerror or type(error).__name__}") from None


@contextlib.contextmanager
def _to_write(path: Path) -> Iterator[int]:
    """The descriptor of our own regular file at ``path``, whose lock is held. Raises UnusableFile, OSError."""
    for _ in range(TRIES):
        # O_RDWR, to see how the last line ends; and on a FIFO it neither waits nor fails, so that we can see it is one.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = _open(path, flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                os.fchmod(descriptor, 0o600)
                yield descriptor
                return
        finally:
            os.close(descriptor)  # and with it the lock
    raise UnusableFile("it is replaced again and again")


def _open(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnusableFile("a symbolic link") from None
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid():
        return descriptor
    os.close(descriptor)
    raise UnusableFile("it belongs to another user" if stat.S_ISREG(found.st_mode) else "not a regular file")


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the file is still the one that is found by its name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_full(descriptor: int, lines: Sequence[bytes], largest: int) -> bool:
    present = os.fstat(descriptor).st_size
    return present > 0 and present + sum(map(len, lines)) > largest


def _turn_over(path: Path) -> None:
    """From the oldest to the newest, so that a reader meets each at the place where it looks next."""
    for newer, older in reversed(list(itertools.pairwise(paths(path)))):
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def _add(descriptor: int, lines: Sequence[bytes]) -> None:
    """Raises Unwritten."""
    beginning = os.fstat(descriptor).st_size
    is_torn = beginning > 0 and os.pread(descriptor, 1, beginning - 1) != b"\n"
    whole = (b"\n" if is_torn else b"") + b"".join(lines)
    written = 0
    try:
        while written < len(whole):  # once, but on a disk that is getting full
            written += os.write(descriptor, whole[written:])
    except OSError as error:
        done = written - is_torn
        count = 0
        while count < len(lines) and done >= len(lines[count]):
            done -= len(lines[count])
            count += 1
        with contextlib.suppress(OSError):  # else the next writer begins a new line, and readers pass this one over
            os.ftruncate(descriptor, beginning + written - max(done, 0))
        raise Unwritten(error.strerror or "it cannot be written", count) from None


# -- reading ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[Record | Unreadable]:
    """Every record, the oldest first; after the records of a file, what there was in it besides. Blocks.

    Raises UnusableFile, its message naming the path.
    """
    with contextlib.ExitStack() as stack:
        for name, file in _files(path, stack):
            yield from _records(name, file)


def _files(path: Path, stack: contextlib.ExitStack) -> list[tuple[Path, IO[bytes]]]:
    """Every file, the oldest first, each once: one that is renamed while we look is met a second time."""
    met: set[int] = set()
    found: list[tuple[Path, IO[bytes]]] = []
    for name in paths(path):
        try:
            descriptor = _open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except UnusableFile as error:
            raise UnusableFile(f"{name}: {error}") from None
        except OSError as error:
            raise UnusableFile(f"{name}: {error.strerror or 'unreadable'}", may_pass=True) from None
        file = stack.enter_context(os.fdopen(descriptor, "rb"))
        inode = os.fstat(descriptor).st_ino
        if inode not in met:
            met.add(inode)
            found.append((name, file))
    return found[::-1]


def _records(path: Path, file: IO[bytes]) -> Iterator[Record | Unreadable]:
    unreadable = 0
    while line := file.readline(LONGEST_LINE):
        record = _decode(line)
        if record is not None:
            yield record
        elif line.strip():
            unreadable += 1
    if unreadable:
        yield Unreadable(path, unreadable)


def _decode(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):  # torn, or only being written
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(found, dict) and all(key in found for key in KEYS)
    return found if is_record else None
