"""Files that people and other programs edit too: replaced whole, and never over a change that was not seen.

The next version is written beside the file, made durable and put in its place in one step. A link is followed, so that
it stays one; the file's mode, group and access list are kept. Writers of ours wait for each other by a lock on the
directory itself, which leaves no file behind; others know of no lock, so what is there is compared with what was read
once more, just before the step.

A backup is ``NAME.credhelper-backup-TIME`` (UTC), 0600, in the directory of the name that was asked for: of a link into
somebody's published dotfiles no copy lands there. No tool of AWS reads such a name. The newest three are kept.
"""

import contextlib
import errno
import os
import re
import stat
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from credhelper.local import file_lock, private_files
from credhelper.local.private_files import UnusableFile

BACKUPS_KEPT = 3
LOCK_SECONDS = 10.0

_ACCESS_LIST = "system.posix_acl_access"
_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""A network file system that cannot lock a directory: what is compared before the step must do."""


class Changed(Exception):
    """The file is no longer what it was when it was read; it was left alone."""


class NotWritten(Exception):
    """What was written reads back differently; the file is what it was before."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was put in place: its inode, and the content before (None: no file) and now."""

    inode: int
    before: bytes | None
    after: bytes


def read(path: Path, *, largest: int) -> bytes | None:
    """The content of our own regular file at ``path``, None when there is none; links are followed.

    Raises UnusableFile for what cannot be replaced and stay the same file.
    """
    target = _target(path)
    content = private_files.read(target, largest=largest)
    if content is not None and os.lstat(target).st_nlink > 1:
        raise UnusableFile("it has another name too, a hard link, which would keep the old content")
    return content


def replace(path: Path, before: bytes | None, after: bytes, *, backup: bool) -> Path | None:
    """Makes the file at ``path``, which must still be ``before`` (None: not there), be ``after``; returns the backup.

    A missing directory is made (0700), a new file is 0600. Blocks. Raises Changed, NotWritten, NotRestored, LockBusy,
    and OSError with nothing changed.
    """
    target = _target(path)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock.locked_directory(target.parent, seconds=LOCK_SECONDS))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        _refuse_changed(target, before)
        for directory in {target.parent, path.parent}:
            private_files.remove_leftovers(directory)
        copy = _back_up(path, before) if backup and before is not None else None
        try:
            inode = _put(target, before, after)
        except BaseException:
            if copy is not None and not _is(target, after):  # Ctrl-C may come when the step is done
                copy.unlink()
            raise
        prove(target, Written(inode, before, after))
        if copy is not None:
            _remove_old_backups(path, copy)
    return copy


class NotRestored(Exception):
    """What was written reads back differently, and the file could not be made what it was before."""


def prove(target: Path, written: Written) -> None:
    """Reads the file back; if that is not what was written, restores what was there before.

    Raises NotWritten, NotRestored, or Changed when it is another program's file by now, which is left alone.
    """
    found = private_files.signature(target)
    if found is None or found.inode != written.inode:
        raise Changed
    try:
        content = private_files.read(target, largest=len(written.after) + 1)
    except UnusableFile:
        content = None
    if content == written.after:
        return
    try:
        _restore(target, written.before)
    except OSError as error:
        raise NotRestored from error
    raise NotWritten


def _restore(target: Path, before: bytes | None) -> None:
    if before is None:
        private_files.remove(target)
        return
    _stage(target, before).replace(target)
    private_files.sync_directory(target.parent)


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _refuse_changed(target: Path, before: bytes | None) -> None:
    if not _is(target, before):
        raise Changed


def _is(target: Path, content: bytes | None) -> bool:
    try:
        return private_files.read(target, largest=len(content or b"") + 1) == content
    except UnusableFile:
        return False


def _put(target: Path, before: bytes | None, after: bytes) -> int:
    temporary = _stage(target, after)
    try:
        inode = os.lstat(temporary).st_ino
        _refuse_changed(target, before)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    private_files.sync_directory(target.parent)
    return inode


def _stage(target: Path, content: bytes) -> Path:
    """The next version, durable, beside the file, with its mode and group where there is one."""
    temporary = private_files.temporary_of(target)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            _copy_rights(target, descriptor)
            private_files.write_all(descriptor, content)
        finally:
            os.close(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _copy_rights(target: Path, descriptor: int) -> None:
    try:
        model = os.stat(target)
    except FileNotFoundError:
        return
    with contextlib.suppress(OSError):  # a group we are not in
        os.fchown(descriptor, -1, model.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(model.st_mode))
    _copy_access_list(target, descriptor)


def _copy_access_list(target: Path, descriptor: int) -> None:
    """What Linux says of more users than the mode can: without it the mode's group part would let in the group."""
    if sys.platform != "linux":
        return
    try:
        found = os.getxattr(target, _ACCESS_LIST)
    except OSError:  # none, or a file system that knows no such thing
        return
    os.setxattr(descriptor, _ACCESS_LIST, found)


def _back_up(path: Path, content: bytes) -> Path:
    now = datetime.now(UTC)
    copy = path.with_name(f"{path.name}.credhelper-backup-{now:%Y%m%dT%H%M%S.%fZ}")
    private_files.write(copy, content)
    return copy


def _remove_old_backups(path: Path, newest: Path) -> None:
    """Never raises: the edit is done."""
    ours = re.compile(re.escape(path.name) + r"\.credhelper-backup-\d{8}T\d{6}\.\d{6}Z")
    with contextlib.suppress(OSError):
        older = sorted(name for name in os.listdir(path.parent) if ours.fullmatch(name) and name != newest.name)
        for name in older[: len(older) + 1 - BACKUPS_KEPT]:
            private_files.remove(path.parent / name)
