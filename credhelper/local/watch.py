"""Tells what changes in files that others write: tokens, configuration, the daemon's own socket.

The files are the truth, events are hints. One thread, the supervisor, wakes on a hint or when a sweep is due; it makes
sure that the directories that decide are listened to, and only then compares what is there with what was there, so
that nothing falls between the two. Where the kernel tells nothing of changes (network disks, files shared into a
container or a virtual machine), a thread of its own looks every second: it may hang there, and nothing else does.
"""

import errno
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from credhelper.local.file_events import FAREWELL, FileEvents
from credhelper.local.mounts import has_events

log = logging.getLogger(__name__)

SWEEP = 30.0  # seconds between two comparisons when nothing hints at a change
WITHOUT_WATCH = 5.0  # seconds between two while the kernel grants no watch, or after one that failed
WITHOUT_EVENTS = 1.0  # seconds between two looks at a file system that has no events
PAUSE = 0.02  # seconds between a report and the next comparison: a storm becomes a few reports

_ABOVE = 3  # directories above a file's own that are listened to: ~ for ~/.aws/sso/cache/x.json
_LONGEST = 200  # names on one trail; links that lead in circles make it endless
_TRIES = 10  # times the directories may be found replaced while they are being armed

_Look = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one comparison."""

    changed: frozenset[Path]
    """May hold something else than at the last report: look again, whatever its signature says."""
    reliable: frozenset[Path]
    """Every path that need not be looked at until it stands in ``changed``."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the watched files there are, by how a change is noticed."""

    told: int
    """The kernel tells at once."""
    polled: int
    """Somebody looks every second."""
    unwatched: int
    """Neither, just now: whoever uses the file looks."""


class Watch:
    """Watches files, which may be absent, as may their directories; makes nothing itself.

    ``tell`` and ``at_sweep`` are called in the supervisor's thread: ``tell`` within a few milliseconds of a change, at
    least 20 ms apart, and ``at_sweep`` after a comparison every ``sweep`` seconds. When they raise, that is logged.
    ``has_events`` gets an absolute path and must touch no disk that may hang.
    """

    def __init__(
        self,
        tell: Callable[[Report], None],
        *,
        at_sweep: Callable[[], None] = lambda: None,
        sweep: float = SWEEP,
        has_events: Callable[[Path], bool] = has_events,
    ) -> None:
        self._tell = tell
        self._at_sweep = at_sweep
        self._sweep = sweep
        self._has_events = has_events
        self._lock = threading.Lock()  # of the two below
        self._paths: set[Path] = set()
        self._hinted: set[Path] = set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._telling = threading.RLock()
        self._has_events_at: dict[str, bool] = {}
        self._looks: dict[Path, _Look] = {}
        self._reliable: frozenset[Path] = frozenset()
        self._events = FileEvents(self._hint)
        self._eyes = _Eyes(self._hint)
        self._thread = threading.Thread(target=self._run, name="credhelper-watch", daemon=True)

    def start(self) -> None:
        """Starts the supervisor; once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends all threads. ``tell`` is not called any more when this returns."""
        with self._telling:
            self._stopping.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(FAREWELL)

    def add(self, path: Path) -> None:
        """Watches ``path`` too, from any thread; it is reported as changed once it is armed. Raises ValueError."""
        if not path.is_absolute() or "\0" in str(path):
            raise ValueError(f"not an absolute path: {path}")
        with self._lock:
            if path in self._paths:
                return
            self._paths.add(path)
        self._hint((path,))

    def discard(self, path: Path) -> None:
        """Watches ``path`` no longer, from any thread."""
        with self._lock:
            self._paths.discard(path)
        self._wake.set()

    def check_now(self) -> None:
        """Compares everything soon, from any thread: after a suspend, for example."""
        self._has_events_at.clear()
        self._wake.set()

    def coverage(self) -> Coverage:
        """How changes are noticed, as of the last comparison; from any thread, and waits for no disk."""
        with self._lock:
            paths = frozenset(self._paths)
        reliable = self._reliable & paths
        polled = reliable & self._eyes.seen
        return Coverage(len(reliable) - len(polled), len(polled), len(paths) - len(reliable))

    def _hint(self, paths: Collection[Path]) -> None:
        with self._lock:
            self._hinted.update(paths)
        self._wake.set()

    def _run(self) -> None:
        due = time.monotonic() + self._sweep
        while not self._stopping.is_set():
            is_sweep = time.monotonic() >= due
            if is_sweep:
                self._has_events_at.clear()
            patience = self._look_after_everything()
            if is_sweep:
                due = time.monotonic() + self._sweep
                _succeeds("what is done at each sweep", self._at_sweep)
            self._wake.wait(max(0.0, min(patience, due - time.monotonic())))
            self._wake.clear()
        self._eyes.stop()
        _succeeds("ending the watch on files", self._events.stop)

    def _look_after_everything(self) -> float:
        """Compares and reports; returns the seconds after which to do so again, hint or no hint."""
        if not _succeeds("comparing the watched files", self._compare_and_report):
            _succeeds("ending the watch on files", self._events.stop)
            self._say(Report(frozenset(), frozenset()))
            self._forget()
            self._stopping.wait(min(self._sweep, WITHOUT_WATCH))
            return 0
        return self._sweep if self._events.is_complete else WITHOUT_WATCH

    def _compare_and_report(self) -> None:
        report = self._compare()
        with self._lock:
            lost = (self._reliable & self._paths) - report.reliable
        self._reliable = report.reliable
        if report.changed or lost:
            self._say(report)
            self._stopping.wait(PAUSE)

    def _compare(self) -> Report:
        with self._lock:
            paths, hinted = frozenset(self._paths), self._hinted
            self._hinted = set()
        deciding, is_settled = self._arm(paths)
        without_events = paths.difference(deciding)
        self._eyes.watch(without_events)
        looks = {path: _look(path) for path in deciding}
        changed = {path for path, look in looks.items() if self._looks.get(path) != look}
        self._looks = looks
        covered = {path for path, names in deciding.items() if self._events.cover(names)} if is_settled else set()
        reliable = (without_events & self._eyes.seen) | covered
        return Report(frozenset(changed | (hinted & paths) | (reliable - self._reliable)), reliable)

    def _arm(self, paths: Collection[Path]) -> tuple[dict[Path, frozenset[str]], bool]:
        """The names that decide for each path that events tell of, all listened to as far as the kernel lets us.

        Also whether they still were the same when that had been done.
        """
        for _ in range(_TRIES):
            found = {path: _deciding_names(path, self._may_have_events) for path in paths}
            deciding = {path: names for path, names in found.items() if names is not None}
            if self._events.listen(deciding):
                return deciding, True
        self._wake.set()
        return deciding, False

    def _may_have_events(self, name: str) -> bool:
        """What ``has_events`` says, asked once between two sweeps."""
        known = self._has_events_at.get(name)
        if known is None:
            known = self._has_events_at[name] = self._has_events(Path(name))
        return known

    def _say(self, report: Report) -> None:
        with self._telling:
            if self._stopping.is_set():
                return
            is_told = _succeeds("telling of changed files", functools.partial(self._tell, report))
        if not is_told:
            self._forget()

    def _forget(self) -> None:
        """Everything will be reported as changed again."""
        self._looks, self._reliable = {}, frozenset()


def _succeeds(what: str, work: Callable[[], None]) -> bool:
    """Does ``work``; whatever goes wrong there is logged, and the thread lives on."""
    try:
        work()
    except Exception:
        log.exception("%s failed", what)
        return False
    return True


def _look(path: Path) -> _Look:
    """What tells one version of a file from another: of a link, its own and that of what it leads to."""
    return tuple(_signature(path, ask) for ask in (os.lstat, os.stat))


def _signature(path: Path, ask: Callable[[Path], os.stat_result]) -> tuple[int, ...]:
    try:
        found = ask(path)
    except OSError:
        return ()
    numbers = (found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_size)
    return (*numbers, found.st_mtime_ns, found.st_ctime_ns)


def _deciding_names(path: Path, may_have_events: Callable[[str], bool]) -> frozenset[str] | None:
    """The names on which depends what is found at ``path``: absolute, their directories exist and are no links.

    They are the last ones on the way there, those of links and before links, and the first that is missing; but no
    directory that this user cannot replace. None when part of the way has no events; nothing there is touched.
    """
    names: list[str] = []
    ends: set[int] = set()
    here, parts = "/", list(reversed(path.parts[1:]))
    while parts and len(names) < _LONGEST:
        part = parts.pop()
        if part in {"", ".", ".."}:
            here = os.path.dirname(here) if part == ".." else here
            continue
        name = os.path.join(here, part)
        if not may_have_events(name):
            return None
        names.append(name)
        try:
            target = os.readlink(name)
        except NotADirectoryError:
            names.pop()
            break
        except OSError as error:
            if error.errno != errno.EINVAL:  # which is: there, and no link
                break
            here = name
        else:
            ends.add(len(names) - 1)
            parts += reversed(target.split("/"))
            here = "/" if target.startswith("/") else here
    ends.add(len(names) - 1)
    near = {place for end in ends for place in range(max(0, end - _ABOVE), end + 1)}
    return frozenset(
        names[place] for place in near if place in ends or os.access(os.path.dirname(names[place]), os.W_OK)
    )


class _Eyes:
    """A thread that looks at the files whose file systems have no events; there is none before the first such file."""

    def __init__(self, hint: Callable[[Collection[Path]], None]) -> None:
        self._hint = hint
        self._condition = threading.Condition()
        self._paths: frozenset[Path] = frozenset()
        self._looks: dict[Path, _Look] = {}
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    @property
    def seen(self) -> frozenset[Path]:
        """The paths that have been looked at, and will be again."""
        with self._condition:
            return frozenset(self._looks)

    def watch(self, paths: frozenset[Path]) -> None:
        """Looks at these, and no others."""
        with self._condition:
            if paths == self._paths:
                return
            self._paths = paths
            self._condition.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="credhelper-poll", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends the thread, which is not waited for: a network disk may hold it."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def _run(self) -> None:
        while (paths := self._next()) is not None:
            looks = {path: _look(path) for path in paths}
            with self._condition:
                changed = {path for path, look in looks.items() if self._looks.get(path) != look}
                self._looks = looks
            if changed:
                self._hint(changed)
            with self._condition:
                self._condition.wait_for(functools.partial(self._is_out_of_date, paths), WITHOUT_EVENTS)

    def _is_out_of_date(self, paths: frozenset[Path]) -> bool:
        return self._is_stopping or self._paths != paths

    def _next(self) -> frozenset[Path] | None:
        with self._condition:
            self._condition.wait_for(lambda: self._is_stopping or self._paths)
            return None if self._is_stopping else self._paths
