"""Modes, owners and kinds of the files in ``~/.aws`` and in the AWS CLI's caches."""

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from credhelper.doctor.findings import Finding, ok, problem, warning
from credhelper.doctor.scene import Scene

MOST_ENTRIES = 5000  # of one directory


def permissions(scene: Scene) -> Iterator[Finding]:
    """Who may read, write or own what; secrets are the credentials file and the documents in the caches.

    ``files.owner``, ``files.unwritable``, ``files.writable_by_others``, ``files.readable_by_others``, ``files.kind``,
    ``files.permissions``.
    """
    mistakes = [*_directories(scene), *_plain(scene, scene.paths.config, is_secret=False)]
    mistakes += _plain(scene, scene.paths.credentials, is_secret=True)
    for cache in (scene.cache.directory, scene.aws_directory / "cli" / "cache"):
        for path in entries(cache):
            mistakes += _cached(scene, path)
    yield from mistakes or [
        ok("files.permissions", f"{scene.aws_directory} and what is in it are yours alone to write")
    ]


def entries(directory: Path) -> list[Path]:
    """What lies in a directory, sorted; nothing where it cannot be listed."""
    try:
        with os.scandir(directory) as found:
            names = sorted(entry.name for entry, _ in zip(found, range(MOST_ENTRIES), strict=False))
    except OSError:
        return []
    return [directory / name for name in names]


def is_temporary(path: Path) -> bool:
    """Whether it is a document on its way into a cache, or one that never got there."""
    return path.name.endswith(".tmp") or ".tmp-" in path.name


def _directories(scene: Scene) -> Iterator[Finding]:
    for path in (scene.aws_directory, scene.aws_directory / "sso", scene.cache.directory):
        try:
            found = path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                yield problem("files.kind", f"{path} is a link to what does not exist", f"rm {_quoted(path)}")
            return  # it is made when it is needed
        except OSError as error:
            yield problem("files.kind", f"{path} cannot be looked at: {error.strerror}", f"ls -ld {_quoted(path)}")
            return
        if not stat.S_ISDIR(found.st_mode):
            yield problem("files.kind", f"{path} is not a directory: no token can be stored", f"rm {_quoted(path)}")
            return
        yield from _mode(scene, path, found, is_secret=False)
        if found.st_uid == scene.uid and not os.access(path, os.W_OK | os.X_OK):
            yield problem(
                "files.unwritable", f"{path} cannot be written: no token can be stored", f"chmod 700 {_quoted(path)}"
            )


def _plain(scene: Scene, path: Path, *, is_secret: bool) -> Iterator[Finding]:
    """A configuration file; links are followed, as people link their dotfiles."""
    try:
        found = path.stat()
    except OSError:
        return  # the checks of the configuration say so
    if stat.S_ISREG(found.st_mode):
        yield from _mode(scene, path, found, is_secret=is_secret)


def _cached(scene: Scene, path: Path) -> Iterator[Finding]:
    """An entry of a cache, where links and the like are refused by whoever reads tokens with care."""
    try:
        found = path.lstat()
    except OSError:
        return  # it has just gone
    if not stat.S_ISREG(found.st_mode):
        remove = "rm -r" if stat.S_ISDIR(found.st_mode) else "rm"
        name = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO"}
        kind = name.get(stat.S_IFMT(found.st_mode), "not a regular file")
        detail, remedy = f"{path} is {kind}, where a token or credentials belong", f"{remove} {_quoted(path)}"
        if path.suffix == ".json":
            yield problem("files.kind", detail, remedy)
        else:
            yield warning("files.kind", detail, remedy)
        return
    # What else tools keep there, such as the AWS CLI's session.db, is made for all to read and holds no secret.
    yield from _mode(scene, path, found, is_secret=path.suffix == ".json" or is_temporary(path))


def _mode(scene: Scene, path: Path, found: os.stat_result, *, is_secret: bool) -> Iterator[Finding]:
    if found.st_uid != scene.uid:
        yield problem(
            "files.owner",
            f"{path} belongs to {_user(found.st_uid)}: it cannot be brought up to date",
            f"sudo chown {scene.uid} {_quoted(path)}",
        )
        return
    others = found.st_mode & 0o077
    if others & 0o002 or (others & 0o020 and not _is_private_group(found, scene.uid)):
        yield problem(
            "files.writable_by_others",
            f"{path} can be changed by others (mode {stat.S_IMODE(found.st_mode):04o})",
            f"chmod go-w {_quoted(path)}" if not is_secret else f"chmod 600 {_quoted(path)}",
        )
    elif is_secret and others & 0o044:
        yield warning(
            "files.readable_by_others",
            f"{path} holds secrets and can be read by others (mode {stat.S_IMODE(found.st_mode):04o})",
            f"chmod 600 {_quoted(path)}",
        )


def _is_private_group(found: os.stat_result, uid: int) -> bool:
    """Whether a file's group is the user's own: with umask 002, usual where each user has one, that is no danger."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return group.gr_gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
