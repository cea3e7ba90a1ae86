"""The machine under credhelper: Python, the clock, the disk, file events, the browser."""

import ctypes
import errno
import os
import shlex
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from credhelper.aws.server_time import WORTH_TELLING
from credhelper.doctor import libraries
from credhelper.doctor.findings import Finding, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.local import mounts

SKEW_NOTICED = timedelta(minutes=1)
LEAST_FREE = 64 * 1024  # bytes: a token file and its successor side by side, on any file system's blocks

_IN_CREATE = 0x100  # linux/inotify.h
_CLOEXEC = 0o2000000


def python(scene: Scene) -> Iterator[Finding]:
    """The interpreter and the libraries."""
    yield from libraries.check(scene.libraries, shlex.quote(sys.executable))


def clock(scene: Scene) -> Iterator[Finding]:
    """``clock.skew``: this machine's clock against AWS's. Says nothing where AWS did not answer."""
    seconds = scene.network()["clock_skew"]
    if seconds is None:
        return
    skew = abs(timedelta(seconds=seconds))
    if skew < SKEW_NOTICED:
        yield ok("clock.skew", "the clock agrees with AWS's")
        return
    remedy = "sudo sntp -sS time.apple.com" if scene.platform == "darwin" else "sudo timedatectl set-ntp true"
    told = f"this machine's clock is {_amount(skew)} {'behind' if seconds > 0 else 'ahead of'} AWS's"
    if skew > WORTH_TELLING:
        yield problem("clock.skew", f"{told}; AWS refuses what is signed by it", remedy)
    else:
        yield warning("clock.skew", told, remedy)


def _amount(skew: timedelta) -> str:
    minutes = round(skew.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def disk(scene: Scene) -> Iterator[Finding]:
    """``disk.space``, ``disk.read_only`` and ``disk.kind``: the file system under ``~/.aws``."""
    place = next((path for path in (scene.aws_directory, scene.home) if path.is_dir()), None)
    if place is None:
        yield problem(
            "disk.home",
            f"the home directory {scene.home} does not exist",
            "export HOME=…   # a directory that is there",
        )
        return
    found = os.statvfs(place)
    if found.f_flag & os.ST_RDONLY:
        yield problem("disk.read_only", f"{place} is on a file system that cannot be written", f"findmnt -T {place}")
    elif found.f_bavail * found.f_frsize < LEAST_FREE:
        yield problem("disk.space", f"the disk under {place} is full: no token can be stored", f"df -h {place}")
    if mounts.has_events(place.resolve()):
        yield ok("disk.kind", f"changes of files in {place} are noticed at once")
    else:  # it works, a few seconds later
        yield ok("disk.kind", f"{place} is on a network disk or shared: changes are noticed within seconds")


def file_events(scene: Scene) -> Iterator[Finding]:
    """``inotify.limit``: whether the kernel still gives this user a watch."""
    if scene.platform != "linux":
        return
    limits = {name: _limit(scene.process_directory, name) for name in ("max_user_instances", "max_user_watches")}
    told = f"{limits['max_user_watches']} watches and {limits['max_user_instances']} instances for each user"
    refusal = _try_inotify(scene.home)
    if refusal is None:
        yield ok("inotify.limit", f"file events are to be had ({told})")
        return
    name = "max_user_instances" if refusal == errno.EMFILE else "max_user_watches"
    yield warning(
        "inotify.limit",
        f"no more file events for this user ({os.strerror(refusal)}; {told}): changes are noticed within seconds",
        f"echo fs.inotify.{name}={2 * int(limits[name] or 512)} | sudo tee /etc/sysctl.d/60-inotify.conf"
        " && sudo sysctl --system",
    )


def _limit(process_directory: Path, name: str) -> str:
    try:
        return (process_directory / "sys/fs/inotify" / name).read_text(encoding="ascii").strip()
    except OSError:
        return "?"


def _try_inotify(place: Path) -> int | None:
    """The error number of asking for one watch; None when it was given."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(_CLOEXEC)
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        if libc.inotify_add_watch(descriptor, os.fsencode(place), _IN_CREATE) >= 0:
            return None
        number = ctypes.get_errno()
        return number if number in {errno.ENOSPC, errno.EMFILE, errno.ENOMEM} else None
    finally:
        os.close(descriptor)


def browser(scene: Scene) -> Iterator[Finding]:
    """``browser.command``: what a login would open, or why it shows a code instead."""
    reason = scene.headless_reason(scene.environment)
    if reason is not None:
        yield ok("browser.command", f"a login shows a code to enter on any device, because {reason}")
        return
    words = scene.find_browser(scene.environment)
    if words is not None:
        yield ok("browser.command", f"a login opens the browser with {words[0]}")
        return
    named = scene.environment.get("BROWSER")
    if named:
        yield warning(
            "browser.command",
            f"BROWSER names no command that can be started: {named}",
            "unset BROWSER   # or name one, such as: export BROWSER=firefox",
        )
    else:
        yield warning(
            "browser.command",
            "no browser was found: a login shows a code to enter on any device",
            "export BROWSER=…   # the command that opens a URL",
        )
