"""The border to watchdog: directories that are listened to, one by one and never with what is below.

That keeps to the few that decide, and a directory that could not be listened to is known. What an event means is not
said here: it is a hint to look.
"""

import contextlib
import ctypes
import errno
import importlib
import logging
import os
import stat
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventEmitter, ObservedWatch

from credhelper.domain.text import safe

log = logging.getLogger(__name__)
logging.getLogger("watchdog").addHandler(logging.NullHandler())  # it would print its complaints on stderr

FAREWELL = 0.5  # seconds for the threads to end

_FLOOD = 4096  # events after which some may have been lost, where nobody says so

_OVERFLOW = 0x4000  # linux/inotify.h

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
            self._directories = frozenset(map(os.path.dirname, paths_of))

    def take_lost(self) -> Collection[str]:
        """The directories that can no longer be trusted to be listened to since the last call."""
        with self._lock:
            lost = self._directories if self._is_flooded else self._lost
            self._lost, self._is_flooded = set(), False
            return lost

    def flooded(self) -> None:
        """Events have been lost, nobody knows of what: no directory can be trusted any more."""
        with self._lock:
            self._is_flooded = True
        self._hint(())

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


class FileEvents:
    """Which directories are listened to. For one thread only, which ``hint`` is not called in."""

    def __init__(self, hint: Callable[[Collection[Path]], None]) -> None:
        self._hint = hint
        self._hints = _Hints(hint)
        self._observer: BaseObserver | None = None
        self._armed: dict[str, _Arm] = {}
        self._refused: dict[str, Exception] = {}
        _hold_no_moves_back()
        _overflows.tell(self._hints)

    @property
    def is_complete(self) -> bool:
        """Whether the kernel has granted all that was wanted."""
        return not self._refused

    def cover(self, names: Collection[str]) -> bool:
        """Whether whatever happens to these names will be told."""
        return all(os.path.dirname(name) in self._armed for name in names)

    def listen(self, deciding: Mapping[Path, Collection[str]]) -> bool:
        """Listens to the directories of these names, as far as the kernel lets us; whether it did already."""
        paths_of: defaultdict[str, set[Path]] = defaultdict(set)
        for path, names in deciding.items():
            for name in names:
                paths_of[name].add(path)
        self._hints.expect(dict(paths_of))
        wanted = set(map(os.path.dirname, paths_of))
        broken = self._broken(self._hints.take_lost())
        if broken:  # what happened there unheard need not show in a signature
            self._hint({path for name, paths in paths_of.items() if os.path.dirname(name) in broken for path in paths})
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
            log.warning("no file events (are the limits of fs.inotify reached?), looking by ourselves: %s", why)
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


class _Overflows:
    """Hears the kernel say that it had to lose events; watchdog keeps that to itself.

    The number of events that it hands on tells nothing: from 7.1 on it then throws away those that it has read and not
    handed on yet, and those that nobody wants were never handed on. So it is heard where what was read is taken apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: weakref.WeakSet[_Hints] = weakref.WeakSet()
        self._is_listening = False

    def tell(self, hints: _Hints) -> None:
        """From now on ``hints`` is told of each overflow, of its own queue or of another's."""
        with self._lock:
            self._listeners.add(hints)
            if not self._is_listening and sys.platform == "linux":
                self._is_listening = True
                with contextlib.suppress(ImportError, AttributeError):  # another version: then events are counted
                    self._listen()

    def _listen(self) -> None:
        library = importlib.import_module("watchdog.observers.inotify_c")
        reader = getattr(library, "InotifyFD", None) or library.Inotify  # watchdog 7, and 6
        take_apart = reader._parse_event_buffer

        def hear(event_buffer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
            for event in take_apart(event_buffer):
                if event[1] & _OVERFLOW:
                    self._heard()
                yield event

        reader._parse_event_buffer = staticmethod(hear)

    def _heard(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        log.info("file events were lost; looking again")
        for hints in listeners:
            hints.flooded()


_overflows = _Overflows()
