"""Tells what changes in files that others write: tokens, configuration, the daemon's own socket.

The files are the truth, events are hints. One thread, the supervisor, wakes on a hint or when a sweep is due; it makes
sure that the directories that decide are listened to, and only then compares what is there with what was there, so
that nothing falls between the two. Where the kernel tells nothing of changes (network disks, files shared into a
container or a virtual machine), a thread of its own looks every second: it may hang there, and nothing else does.

Directories are listened to one by one, never with what is below: that keeps to the few that decide, and a directory
that could not be listened to is known.
"""

import contextlib
import ctypes
import errno
import functools
import importlib
import logging
import os
import stat
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventEmitter, ObservedWatch

from credhelper.domain.text import safe

log = logging.getLogger(__name__)
logging.getLogger("watchdog").addHandler(logging.NullHandler())  # it would print its complaints on stderr

SWEEP = 30.0  # seconds between two comparisons when nothing hints at a change
WITHOUT_WATCH = 5.0  # seconds between two while the kernel grants no watch, or after one that failed
WITHOUT_EVENTS = 1.0  # seconds between two looks at a file system that has no events
PAUSE = 0.02  # seconds between a report and the next comparison: a storm becomes a few reports
FAREWELL = 5.0  # seconds for the threads to end

_ABOVE = 3  # directories above a file's own that are listened to: ~ for ~/.aws/sso/cache/x.json
_LONGEST = 200  # names on one trail; links that lead in circles make it endless
_TRIES = 10  # times the directories may be found replaced while they are being armed
_FLOOD = 4096  # events after which some may have been lost: watchdog tells nobody, and the kernel keeps 16,384

_EVENTS: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent,
    events.FileModifiedEvent,
    events.FileClosedEvent,
    events.FileMovedEvent,
    events.FileDeletedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
    events.DirDeletedEvent,
    getattr(events, "FileAttribEvent", events.FileModifiedEvent),  # from watchdog 7 on an event of its own
]
"""With these the kernel is not even asked to tell of files that are opened and read, by ourselves for example."""

# fmt: off
_NO_EVENTS = (
    "nfs", "cifs", "smb", "9p", "fuse", "drvfs", "vboxsf", "vmhgfs", "prl_fs", "virtiofs", "ceph", "afs", "autofs",
)
# fmt: on
"""How the types of file systems begin that others change unseen by this kernel."""

_Look = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one comparison."""

    changed: frozenset[Path]
    """May hold something else than at the last report: look again, whatever its signature says."""
    reliable: frozenset[Path]
    """Every path that need not be looked at until it stands in ``changed``."""


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
        self._arms = _Arms(self._hint)
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
        _succeeds("ending the watch on files", self._arms.stop)

    def _look_after_everything(self) -> float:
        """Compares and reports; returns the seconds after which to do so again, hint or no hint."""
        if not _succeeds("comparing the watched files", self._compare_and_report):
            _succeeds("ending the watch on files", self._arms.stop)
            self._say(Report(frozenset(), frozenset()))
            self._forget()
            self._stopping.wait(min(self._sweep, WITHOUT_WATCH))
            return 0
        return self._sweep if self._arms.is_complete else WITHOUT_WATCH

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
        covered = {path for path, names in deciding.items() if self._arms.cover(names)} if is_settled else set()
        reliable = (without_events & self._eyes.seen) | covered
        return Report(frozenset(changed | (hinted & paths) | (reliable - self._reliable)), reliable)

    def _arm(self, paths: Collection[Path]) -> tuple[dict[Path, frozenset[str]], bool]:
        """The names that decide for each path that events tell of, all listened to as far as the kernel lets us.

        Also whether they still were the same when that had been done.
        """
        for _ in range(_TRIES):
            found = {path: _deciding_names(path, self._may_have_events) for path in paths}
            deciding = {path: names for path, names in found.items() if names is not None}
            if self._arms.listen(deciding):
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
    return frozenset(names[place] for place in near if place in ends or os.access(_directory(names[place]), os.W_OK))


def _directory(name: str) -> str:
    return os.path.dirname(name)


class _Hints(events.FileSystemEventHandler):
    """What watchdog calls, in its thread, for every event in every directory it listens to."""

    def __init__(self, hint: Callable[[Collection[Path]], None]) -> None:
        self._hint = hint
        self._lock = threading.Lock()
        self._paths_of: Mapping[str, Collection[Path]] = {}
        self._directories: frozenset[str] = frozenset()
        self._lost: set[str] = set()
        self._count = 0
        self._is_flooded = False

    def expect(self, paths_of: Mapping[str, Collection[Path]]) -> None:
        """From now on an event on one of these names is a hint at its paths; on any other it wakes nobody."""
        with self._lock:
            self._paths_of = paths_of
            self._directories = frozenset(map(_directory, paths_of))

    def take_lost(self) -> Collection[str]:
        """The directories that can no longer be trusted to be listened to since the last call."""
        with self._lock:
            lost = self._directories if self._is_flooded else self._lost
            self._lost, self._is_flooded = set(), False
            return lost

    def dispatch(self, event: events.FileSystemEvent) -> None:
        """Does all there is to do about an event."""
        names = {os.fsdecode(event.src_path), os.fsdecode(event.dest_path)}
        with self._lock:
            self._count = (self._count + 1) % _FLOOD
            self._is_flooded |= self._count == 0
            paths = {path for name in names for path in self._paths_of.get(name, ())}
            # A directory made anew can have the number of the one that is gone.
            lost = names & self._directories if isinstance(event, events.DirDeletedEvent) else set()
            self._lost |= lost
            is_news = bool(paths or lost) or self._is_flooded
        if is_news:
            self._hint(paths)


@dataclass(frozen=True, slots=True)
class _Arm:
    watch: ObservedWatch
    emitter: EventEmitter
    identity: tuple[int, int]


class _Arms:
    """The border to watchdog: which directories it listens to. For the supervisor's thread only."""

    def __init__(self, hint: Callable[[Collection[Path]], None]) -> None:
        self._hint = hint
        self._hints = _Hints(hint)
        self._observer: BaseObserver | None = None
        self._armed: dict[str, _Arm] = {}
        self._refused: dict[str, Exception] = {}
        _hold_no_moves_back()

    @property
    def is_complete(self) -> bool:
        """Whether the kernel has granted all that was wanted."""
        return not self._refused

    def cover(self, names: Collection[str]) -> bool:
        """Whether whatever happens to these names will be told."""
        return all(_directory(name) in self._armed for name in names)

    def listen(self, deciding: Mapping[Path, Collection[str]]) -> bool:
        """Listens to the directories of these names, as far as the kernel lets us; whether it did already."""
        paths_of: defaultdict[str, set[Path]] = defaultdict(set)
        for path, names in deciding.items():
            for name in names:
                paths_of[name].add(path)
        self._hints.expect(dict(paths_of))
        wanted = set(map(_directory, paths_of))
        broken = self._broken(self._hints.take_lost())
        if broken:  # what happened there unheard need not show in a signature
            self._hint({path for name, paths in paths_of.items() if _directory(name) in broken for path in paths})
        for directory in self._armed.keys() & broken | self._armed.keys() - wanted:
            self._disarm(directory)
        return not self._arm_all(wanted - self._armed.keys()) and not broken

    def stop(self) -> None:
        """Listens to nothing."""
        observer, self._observer = self._observer, None
        self._armed = {}
        if observer is not None:
            observer.stop()
            observer.join(FAREWELL)

    def _broken(self, lost: Collection[str]) -> set[str]:
        if self._observer is not None and not self._observer.is_alive():
            log.warning("file events had stopped; listening again")
            broken = set(self._armed)
            self.stop()
            return broken
        return {
            directory for directory, arm in self._armed.items() if directory in lost or self._is_dead(directory, arm)
        }

    def _is_dead(self, directory: str, arm: _Arm) -> bool:
        if _identity(directory) != arm.identity:
            return True
        if not arm.emitter.is_alive():  # most often another directory has been given the number of one that went
            log.info("file events for %s had stopped; listening again", safe(directory))
            return True
        return False

    def _disarm(self, directory: str) -> None:
        arm = self._armed.pop(directory)
        if self._observer is not None:
            self._observer.unschedule(arm.watch)

    def _arm_all(self, directories: Collection[str]) -> bool:
        """Whether any has been added; says when the kernel begins to refuse, and when it ends."""
        before, self._refused = self._refused, {}
        added = [directory for directory in sorted(directories) if self._arm(directory, is_short=bool(before))]
        if self._refused and not before:
            why = "; ".join(f"{safe(directory)}: {error}" for directory, error in self._refused.items())
            log.warning("no file events, looking every %g s instead: %s", WITHOUT_WATCH, why)
        if before and not self._refused:
            log.info("file events are back")
        return bool(added)

    def _arm(self, directory: str, *, is_short: bool) -> bool:
        identity = _identity(directory)
        if identity is None:
            return False
        try:
            if is_short:
                _ask_kernel_for_a_watch(directory)  # watchdog 6 leaks three descriptors with each refusal
            if not os.access(directory, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # watchdog 7 passes over that
            observer = self._running_observer()
            watch = observer.schedule(self._hints, directory, recursive=False, event_filter=_EVENTS)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, RuntimeError) as error:  # RuntimeError: no more threads
            self._refused[directory] = error
            return False
        emitter = next(each for each in observer.emitters if each.watch == watch)
        self._armed[directory] = _Arm(watch, emitter, identity)
        if _identity(directory) != identity:  # replaced meanwhile: which one is armed is not known
            self._disarm(directory)
        return True

    def _running_observer(self) -> BaseObserver:
        if self._observer is None:
            observer = Observer()
            observer.start()
            self._observer = observer
        return self._observer


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        found = os.stat(directory)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _ask_kernel_for_a_watch(directory: str) -> None:
    """Raises the OSError with which the kernel would refuse to watch one more directory."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    try:
        delete_self = 0x400  # linux/inotify.h
        if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(directory), delete_self) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _hold_no_moves_back() -> None:
    """Half a second is what watchdog waits, and all later events with it, for the other half of a rename."""
    if sys.platform != "linux":
        return
    for module, name in (
        ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),  # watchdog 7
        ("inotify_buffer", "InotifyBuffer"),  # watchdog 6
    ):
        with contextlib.suppress(ImportError, AttributeError):  # another version: then it waits
            holder = getattr(importlib.import_module(f"watchdog.observers.{module}"), name)
            holder.delay = 0.0


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
