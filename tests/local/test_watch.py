"""What others write is noticed at once, whatever they do to the directories, and nothing is noticed that is not."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from watchdog.events import DirDeletedEvent

from credhelper.local import mounts, private_files, watch
from credhelper.local.mounts import has_events
from credhelper.local.watch import Report, Watch

NEVER = 3600.0  # seconds: what is noticed with such a sweep was not noticed by it
LIMIT = 60.0  # seconds a test waits for what it expects at once
CYCLES = 30
DIRECTORIES = (".aws", ".aws/sso", ".aws/sso/cache")


class Reader:
    """Reads a file when it is reported as changed, and only then, as the daemon does."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._contents: dict[Path, bytes | None] = {}
        self._news = threading.Condition()

    def tell(self, report: Report) -> None:
        """For ``Watch``."""
        found = {path: self._read(path) for path in report.changed}
        assert {type(paths) for paths in (report.changed, report.reliable)} == {frozenset}
        with self._news:
            self.reports.append(report)
            self._contents |= found
            self._news.notify_all()

    @staticmethod
    def _read(path: Path) -> bytes | None:
        with contextlib.suppress(OSError):
            return path.read_bytes()
        return None

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until it holds; it is asked after each report."""
        with self._news:
            assert self._news.wait_for(condition, LIMIT), self.reports[-5:]

    def sees(self, path: Path, content: bytes | None) -> None:
        """Waits until the last that was read at ``path`` is ``content``, and relied on."""
        self.until(lambda: self._contents.get(path, b"-") == content and path in self.reports[-1].reliable)


class Counting(Watch):
    """Knows how often it has compared."""

    comparisons = 0

    def _compare(self) -> Report:
        self.comparisons += 1
        return super()._compare()


@contextlib.contextmanager
def watching(
    *paths: Path, tell: Callable[[Report], None] | None = None, sweep: float = NEVER, **options: Any
) -> Iterator[tuple[Counting, Reader]]:
    """A watch with these paths armed, and its reader, unless somebody else is to be told."""
    reader = Reader()
    running = Counting(tell or reader.tell, sweep=sweep, **options)
    for path in paths:
        running.add(path)
    running.start()
    try:
        if paths and tell is None:
            reader.until(lambda: bool(reader.reports) and set(paths) <= reader.reports[-1].reliable)
        yield running, reader
    finally:
        running.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without anything."""
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def cache(home: Path) -> Path:
    """The directory of the token files."""
    made = home / ".aws" / "sso" / "cache"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def mark(cache: Path) -> Path:
    """A file beside the tokens of which nothing but events ever tells."""
    made = cache / "mark.json"
    made.touch()
    return made


def touch(path: Path) -> None:
    """An event, and the same file with the same signature: as after two writes within a tick of the disk's clock."""
    with path.open("r+b"):
        pass


def settle(reader: Reader, mark: Path) -> int:
    """Waits until all events so far beside a watched mark have been reported; the number of reports until then."""
    before = len(reader.reports)
    touch(mark)
    reader.until(lambda: any(mark in report.changed for report in reader.reports[before:]))
    return len(reader.reports)


def replace(path: Path, content: bytes) -> None:
    """As botocore does."""
    private_files.write(path, content)


def overwrite(path: Path, content: bytes) -> None:
    """As the AWS CLI does: in place."""
    path.write_bytes(content)


# What happens to a file


@pytest.mark.parametrize("write", [replace, overwrite], ids=["atomically", "in place"])
def test_a_file_that_is_written_is_told(cache: Path, write: Callable[[Path, bytes], None]) -> None:
    token = cache / "token.json"
    with watching(token) as (_, reader):
        for number in range(50):
            content = str(number).encode()
            write(token, content)
            reader.sees(token, content)


def test_a_file_that_is_deleted_is_told(cache: Path) -> None:
    token = cache / "token.json"
    token.write_bytes(b"1")
    with watching(token) as (_, reader):
        token.unlink()
        reader.sees(token, None)


def test_a_file_that_is_moved_away_or_over_is_told(home: Path, cache: Path) -> None:
    token, elsewhere = cache / "token.json", home / "elsewhere.json"
    token.write_bytes(b"1")
    with watching(token) as (_, reader):
        token.rename(elsewhere)
        reader.sees(token, None)
        elsewhere.rename(token)
        reader.sees(token, b"1")


def test_a_file_that_is_replaced_by_an_older_one_of_the_same_size_is_told(cache: Path) -> None:
    token, backup = cache / "token.json", cache / "backup.json"
    token.write_bytes(b"1")
    shutil.copy2(token, backup)
    with watching(token) as (_, reader):
        token.write_bytes(b"2")
        reader.sees(token, b"2")
        backup.replace(token)
        reader.sees(token, b"1")


def test_a_file_whose_mode_changes_is_told(cache: Path) -> None:
    token = cache / "token.json"
    token.write_bytes(b"1")
    with watching(token) as (_, reader):
        before = len(reader.reports)
        token.chmod(0o644)
        reader.until(lambda: len(reader.reports) > before)
    assert token in reader.reports[-1].changed


def test_an_event_is_told_even_when_the_signature_is_the_same(cache: Path, mark: Path) -> None:
    token = cache / "token.json"
    token.write_bytes(b"1")
    with watching(token, mark) as (_, reader):
        before = settle(reader, mark)
        touch(token)
        settle(reader, mark)
    assert sum(token in report.changed for report in reader.reports[before:]) == 1


def test_a_socket_that_is_deleted_is_told_even_with_its_directory(home: Path) -> None:
    path = home / "run" / "daemon.sock"
    path.parent.mkdir()
    with watching(path) as (_, reader):
        before = len(reader.reports)
        os.mknod(path, stat.S_IFSOCK | 0o600)
        reader.until(lambda: len(reader.reports) > before)
        before = len(reader.reports)
        shutil.rmtree(path.parent)
        reader.until(lambda: any(path in report.changed for report in reader.reports[before:]))


# Links


def test_the_target_of_a_link_is_watched_too(home: Path) -> None:
    config, target = home / ".aws" / "config", home / "dotfiles" / "aws" / "config"
    for path in (config, target):
        path.parent.mkdir(parents=True)
    target.write_bytes(b"1")
    config.symlink_to("../dotfiles/aws/config")
    with watching(config) as (_, reader):
        overwrite(target, b"2")
        reader.sees(config, b"2")
        replace(target, b"3")
        reader.sees(config, b"3")
        shutil.rmtree(home / "dotfiles")
        reader.sees(config, None)
        target.parent.mkdir(parents=True)
        target.write_bytes(b"4")
        reader.sees(config, b"4")


def test_a_link_that_is_turned_elsewhere_is_followed(home: Path) -> None:
    config, first, second = home / ".aws" / "config", home / "first" / "config", home / "second" / "config"
    for path in (config, first, second):
        path.parent.mkdir()
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    config.symlink_to(first)
    with watching(config) as (_, reader):
        config.unlink()
        config.symlink_to(second)
        reader.sees(config, b"2")
        second.write_bytes(b"3")
        reader.sees(config, b"3")


def test_a_directory_that_is_a_link_is_followed(home: Path) -> None:
    (home / "dotfiles" / "aws").mkdir(parents=True)
    (home / "other").mkdir()
    (home / ".aws").symlink_to("dotfiles/aws")
    config = home / ".aws" / "config"
    with watching(config) as (_, reader):
        config.write_bytes(b"1")
        reader.sees(config, b"1")
        (home / "other" / "config").write_bytes(b"2")
        (home / ".aws").unlink()
        (home / ".aws").symlink_to("other")
        reader.sees(config, b"2")
        config.write_bytes(b"3")
        reader.sees(config, b"3")


def test_links_that_lead_in_circles_are_absent_files(home: Path) -> None:
    config = home / "config"
    config.symlink_to("config")
    with watching(config) as (_, reader):
        config.unlink()
        config.write_bytes(b"1")
        reader.sees(config, b"1")


# What happens to directories


def test_nothing_is_made(home: Path) -> None:
    with watching(home / ".aws" / "sso" / "cache" / "token.json"):
        pass
    assert list(home.iterdir()) == []


def test_directories_may_come_later(home: Path) -> None:
    token = home / ".aws" / "sso" / "cache" / "token.json"
    with watching(token) as (_, reader):
        token.parent.mkdir(parents=True)
        token.write_bytes(b"1")
        reader.sees(token, b"1")
        token.write_bytes(b"2")
        reader.sees(token, b"2")


def test_a_file_may_stand_where_a_directory_should(home: Path) -> None:
    token = home / ".aws" / "sso" / "cache" / "token.json"
    (home / ".aws").write_bytes(b"")
    with watching(token) as (_, reader):
        (home / ".aws").unlink()
        (home / ".aws" / "sso").mkdir(parents=True)
        (home / ".aws" / "sso" / "cache").write_bytes(b"")
        (home / ".aws" / "sso" / "cache").unlink()
        token.parent.mkdir()
        token.write_bytes(b"1")
        reader.sees(token, b"1")


def test_directories_may_go_and_come_again_and_again(home: Path) -> None:
    token = home / ".aws" / "sso" / "cache" / "token.json"
    with watching(token) as (_, reader):
        for number in range(CYCLES):
            content = str(number).encode()
            token.parent.mkdir(parents=True, exist_ok=True)
            replace(token, content)
            reader.sees(token, content)
            shutil.rmtree(home / DIRECTORIES[number % 3])
            if number % 2:  # else it is made anew at once
                reader.sees(token, None)


def test_directories_may_be_renamed_away_and_made_anew(home: Path, cache: Path) -> None:
    token = cache / "token.json"
    with watching(token) as (_, reader):
        for number in range(CYCLES):
            (home / DIRECTORIES[number % 3]).rename(home / f"old-{number}")
            token.parent.mkdir(parents=True)
            for content in (b"first", str(number).encode()):
                token.write_bytes(content)
                reader.sees(token, content)


def test_a_directory_may_be_exchanged_for_another(home: Path, cache: Path) -> None:
    token, other = cache / "token.json", home / "other"
    other.mkdir()
    with watching(token) as (_, reader):
        for number in range(CYCLES):
            content = str(number).encode()
            (other / "token.json").write_bytes(content)
            cache.rename(home / "aside")
            other.rename(cache)
            (home / "aside").rename(other)
            reader.sees(token, content)
            overwrite(token, b"2")
            reader.sees(token, b"2")


# What is not told


def test_reading_a_file_is_no_change(cache: Path, mark: Path) -> None:
    token = cache / "token.json"
    token.write_bytes(b"1")
    with watching(token, mark) as (_, reader):
        before = settle(reader, mark)
        for _ in range(50):
            token.read_bytes()
        os.listdir(cache)
        settle(reader, mark)
    assert all(report.changed == {mark} for report in reader.reports[before:])


def test_files_that_nobody_asked_about_wake_nobody(home: Path, cache: Path, mark: Path) -> None:
    with watching(mark) as (running, reader):
        reports, comparisons = settle(reader, mark), running.comparisons
        for number in range(200):
            (cache / f"{number}.json").write_bytes(b"1")
            (home / f"{number}.txt").write_bytes(b"1")
        assert settle(reader, mark) == reports + 1
        assert running.comparisons - comparisons < 5


def test_all_that_a_storm_left_is_told(cache: Path) -> None:
    tokens = [cache / f"{number}.json" for number in range(20)]
    with watching(*tokens) as (_, reader):
        for number in range(50):
            for token in tokens:
                token.write_bytes(str(number).encode())
        for token in tokens:
            reader.sees(token, b"49")


def test_after_a_report_the_next_one_waits_and_a_stop_does_not(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PAUSE", NEVER)
    tokens = [cache / f"{number}.json" for number in range(20)]
    with watching() as (running, reader):
        running.add(tokens[0])
        reader.until(lambda: bool(reader.reports))
        for token in tokens:
            running.add(token)
            token.write_bytes(b"1")
        running.stop()
    assert len(reader.reports) == 1


# Adding and discarding


def test_a_path_is_told_once_when_it_has_been_added(cache: Path, mark: Path) -> None:
    token = cache / "token.json"
    with watching(mark) as (running, reader):
        before = settle(reader, mark)
        for _ in range(3):
            running.add(token)
        reader.sees(token, None)
        settle(reader, mark)
        assert sum(token in report.changed for report in reader.reports[before:]) == 1


def test_a_path_that_was_discarded_is_told_no_more_until_it_is_added_again(cache: Path, mark: Path) -> None:
    token = cache / "token.json"
    with watching(token, mark) as (running, reader):
        running.discard(token)
        before = settle(reader, mark)
        token.write_bytes(b"1")
        settle(reader, mark)
        assert all(token not in report.changed | report.reliable for report in reader.reports[before:])
        running.add(token)
        reader.sees(token, b"1")
        before = settle(reader, mark)
        running.discard(token)
        running.add(token)  # so soon that nobody noticed: it is told again all the same
        reader.until(lambda: any(token in report.changed for report in reader.reports[before:]))
        token.write_bytes(b"2")
        reader.sees(token, b"2")


def test_only_absolute_paths_can_be_watched() -> None:
    running = Watch(lambda _: None)
    for path in (Path("token.json"), Path("/tmp/a\0b")):
        with pytest.raises(ValueError, match="absolute"):
            running.add(path)


@contextlib.contextmanager
def writing_all_the_time(write: Callable[[bytes], None]) -> Iterator[list[bytes]]:
    """Another thread writes on and on inside; the last that it wrote stands in the list afterwards."""
    done, last = threading.Event(), [b""]

    def body() -> None:
        number = 0
        while not done.is_set():
            last[0] = str(number).encode()
            write(last[0])
            number += 1

    writer = threading.Thread(target=body)
    writer.start()
    try:
        yield last
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("write", [replace, overwrite], ids=["atomically", "in place"])
def test_nothing_is_lost_while_a_path_is_being_added(cache: Path, write: Callable[[Path, bytes], None]) -> None:
    for number in range(30):
        token = cache / f"{number}.json"
        with watching() as (running, reader):
            with writing_all_the_time(lambda content, token=token: write(token, content)) as last:  # type: ignore[misc]
                running.add(token)
                reader.until(lambda token=token: bool(reader.reports) and token in reader.reports[-1].reliable)  # type: ignore[misc]
            reader.sees(token, last[0])


def test_nothing_is_lost_while_the_directories_of_a_new_path_are_made_anew(home: Path) -> None:
    token = home / ".aws" / "sso" / "cache" / "token.json"

    def make_anew(content: bytes) -> None:
        shutil.rmtree(home / ".aws", ignore_errors=True)
        token.parent.mkdir(parents=True)
        token.write_bytes(content)

    for _ in range(30):
        with watching() as (running, reader):
            with writing_all_the_time(make_anew) as last:
                running.add(token)
                reader.until(lambda: bool(reader.reports))
            reader.sees(token, last[0])


def test_paths_may_be_added_from_many_threads(cache: Path) -> None:
    tokens = [cache / f"{number}.json" for number in range(40)]
    with watching() as (running, reader):
        threads = [threading.Thread(target=running.add, args=(token,)) for token in tokens]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for token in tokens:
            reader.sees(token, None)


# Sweeps, and what goes wrong


def test_a_sweep_finds_what_no_event_told(home: Path, cache: Path) -> None:
    """What is written by another of a file's names is told in that one's directory only."""
    token, config, target = cache / "token.json", home / ".aws" / "config", home / "dotfiles" / "config"
    names = [home / "elsewhere" / "token.json", home / "elsewhere" / "config"]
    for directory in (target.parent, home / "elsewhere"):
        directory.mkdir()
    config.symlink_to(target)
    for path, name in zip((token, target), names, strict=True):
        path.write_bytes(b"0")
        name.hardlink_to(path)
    swept = threading.Semaphore(0)
    with watching(token, config, sweep=0.05, at_sweep=swept.release) as (_, reader):
        for name in names:
            name.write_bytes(b"1")
        reader.sees(token, b"1")
        reader.sees(config, b"1")
        for _ in range(3):
            assert swept.acquire(timeout=LIMIT)


def test_a_directory_that_is_said_to_be_gone_is_listened_to_anew_whatever_it_looks_like(cache: Path) -> None:
    """File systems give the number of a directory that has gone to the next one."""
    token = cache / "token.json"
    with watching(token) as (running, reader):
        first = running._events._armed[str(cache)]
        before = len(reader.reports)
        running._events._hints.dispatch(DirDeletedEvent(str(cache)))
        reader.until(lambda: any(token in report.changed for report in reader.reports[before:]))
        assert running._events._armed[str(cache)] is not first
        token.write_bytes(b"1")
        reader.sees(token, b"1")


def test_everything_is_compared_when_that_is_asked_for(cache: Path) -> None:
    with watching(cache / "token.json") as (running, reader):
        before = running.comparisons
        running.check_now()
        running.add(cache / "other.json")
        reader.sees(cache / "other.json", None)
        assert running.comparisons > before


def test_what_listens_and_dies_is_started_again(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = cache / "token.json"
    token.write_bytes(b"1")
    with watching(token) as (running, reader):
        observer = running._events._observer
        assert observer is not None
        for emitter in list(observer.emitters):
            emitter.stop()
        before = len(reader.reports)
        touch(token)  # nobody listens
        running.check_now()
        reader.until(lambda: any(token in report.changed for report in reader.reports[before:]))
        token.write_bytes(b"2")
        reader.sees(token, b"2")
        observer.stop()
        observer.join()
        token.write_bytes(b"3")
        running.check_now()
        reader.sees(token, b"3")
        token.write_bytes(b"4")
        reader.sees(token, b"4")
    assert "had stopped" in caplog.text


def test_an_error_in_a_comparison_is_survived(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "WITHOUT_WATCH", 0.02)
    token, fails = cache / "token.json", threading.Event()

    def may_fail(path: Path) -> bool:
        if fails.is_set():
            raise ZeroDivisionError
        return True

    with watching(token, has_events=may_fail) as (running, reader):
        before = len(reader.reports)
        fails.set()
        running.check_now()
        reader.until(lambda: any(not report.reliable for report in reader.reports[before:]))
        token.write_bytes(b"1")
        fails.clear()
        reader.sees(token, b"1")
    assert "comparing the watched files failed" in caplog.text


def test_an_error_of_who_is_told_is_survived_and_all_is_told_again(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token, reader, failed, swept = cache / "token.json", Reader(), threading.Event(), threading.Semaphore(0)

    def fail_once(report: Report) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("the loop is closed")
        reader.tell(report)

    def fail() -> None:
        swept.release()
        raise ZeroDivisionError

    with watching(token, tell=fail_once, at_sweep=fail, sweep=0.05):
        for _ in range(2):
            assert swept.acquire(timeout=LIMIT)
        reader.sees(token, None)
        token.write_bytes(b"1")
        reader.sees(token, b"1")
    assert "telling of changed files failed" in caplog.text
    assert "what is done at each sweep failed" in caplog.text


# Where there are no events


def test_files_without_events_are_looked_at_and_relied_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WITHOUT_EVENTS", 0.02)
    token, local = cache / "token.json", cache.parent / "local.json"
    with watching(token, local, has_events=lambda path: cache not in (path, *path.parents)) as (running, reader):
        assert not running._events.cover([str(token)])
        for content in (b"1", b"2"):
            token.write_bytes(content)
            reader.sees(token, content)
        shutil.rmtree(cache)
        reader.sees(token, None)
        local.write_bytes(b"3")
        reader.sees(local, b"3")
        running.discard(token)
        running.add(cache / "other.json")
        reader.sees(cache / "other.json", None)


def test_local_file_systems_have_events(tmp_path: Path) -> None:
    for path in (Path("/"), tmp_path, tmp_path / "absent" / "file"):
        assert has_events(path)


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:25 / /home/u rw,relatime shared:7 - autofs map rw
31 30 0:40 / /home/u rw,relatime shared:8 master:2 - nfs4 server:/u rw,vers=4.2
32 31 254:0 /local /home/u/local\\040disk rw,relatime - ext4 /dev/vda rw
33 27 0:41 / /mnt/c rw,noatime - 9p C:\\134 rw
34 27 0:42 / /mnt/ssh rw - fuse.sshfs host: rw
35 27 0:43 / /mnt/tmp rw - tmpfs tmpfs rw
36 27 0:44 / /mnt/smb rw - smb3 //server/share rw
"""


def test_the_type_of_a_mount_is_that_of_the_last_one_there() -> None:
    assert mounts._mounts(MOUNTS) == {
        "/": "ext4",
        "/home/u": "nfs4",
        "/home/u/local disk": "ext4",
        "/mnt/c": "9p",
        "/mnt/ssh": "fuse.sshfs",
        "/mnt/tmp": "tmpfs",
        "/mnt/smb": "smb3",
    }


# Processes of their own: limits, floods, hanging disks


class Child:
    """``watch_child`` as a process, started by the command before it; a context manager that ends it."""

    def __init__(self, *before: str) -> None:
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.local.watch_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.said = self._process.communicate()[1]

    def command(self, *words: object) -> Any:
        """Gives a command and waits until it has been obeyed; what it printed, when it prints."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        while True:
            said = self._line()
            if said == words[0] or isinstance(said, int):
                return said

    def sees(self, path: Path, content: str | None, *, relies: bool = True) -> None:
        """Waits for a report with this content of ``path``, which can or cannot be relied on."""
        while True:
            said = self._line()
            if not isinstance(said, dict) or said["changed"].get(str(path), "-") != content:
                continue
            if (str(path) in said["reliable"]) == relies:
                return

    def end(self, word: str) -> int:
        """Gives its last command; the exit status."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._process.wait(LIMIT)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside, it does nothing at all."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()
        return json.loads(line)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of inotify")
@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_without_a_watch_it_looks_now_and_then_and_recovers_by_itself(cache: Path, limit: str) -> None:
    token = cache / "token.json"
    token.write_text("0")
    with Child("unshare", "-Ur") as child:
        child.command("limit", limit, 0)
        child.command("add", token)
        child.sees(token, "0", relies=False)
        open_before = child.command("descriptors")
        for content in ("1", "2", "3"):
            token.write_text(content)
            child.sees(token, content, relies=False)
        assert child.command("descriptors") <= open_before + 1
        child.command("limit", limit, 1000)
        child.sees(token, "3")
        token.write_text("4")
        child.sees(token, "4")
        assert child.end("stop") == 0
    assert child.said.count("WARNING") == 1
    assert "no file events" in child.said
    assert "file events are back" in child.said


def most_events() -> int:
    """How many the kernel keeps for a process that reads none."""
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="the queue of inotify")
@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["of files", "of directories, which nobody is told of"])
def test_events_that_were_lost_are_made_up_for(cache: Path, make: Callable[[Path], None]) -> None:
    token = cache / "token.json"
    other = cache.parent / "other.json"
    beside = (cache / "one", cache / "another")
    for path in beside:
        make(path)
    with Child() as child:
        child.command("add", token)
        child.sees(token, None)
        with child.stopped():
            for _ in range(most_events() // 2 + 1):
                for path in beside:  # by turns: the kernel keeps one of two equal events
                    path.chmod(0o700)
            token.write_text("1")
        child.sees(token, "1")
        shutil.rmtree(cache)
        child.sees(token, None)
        cache.mkdir()
        token.write_text("2")
        child.sees(token, "2")
        child.command("add", other)
        child.sees(other, None)
        assert child.end("stop") == 0


@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="needs a file system that hangs")
def test_a_disk_that_hangs_holds_up_nothing_else(home: Path, cache: Path) -> None:
    token, disk = cache / "token.json", home / "disk"
    disk.mkdir()
    (home / ".aws" / "config").symlink_to("../disk/config")
    with Child("unshare", "-m") as child:
        child.command("hang", disk)
        for path in (home / ".aws" / "config", disk / "config", token):
            child.command("add", path)
        child.sees(token, None)
        for content in ("1", "2"):
            token.write_text(content)
            child.sees(token, content)
        assert child.end("stop") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="mounts of its own")
def test_a_file_mounted_by_itself_has_no_events(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    code = (
        "import sys; from pathlib import Path; from credhelper.local.mounts import has_events\n"
        "print(*(has_events(Path(path)) for path in sys.argv[1:]))"
    )
    script = 'mount --bind "$1" "$2" && exec "$3" -c "$4" "$1" "$2"'
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    command = ["unshare", "-Urm", "sh", "-c", script, "-", *paths, sys.executable, code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True False\n"


# The end


def our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread is not threading.main_thread()}


def test_a_stop_ends_all_threads(cache: Path) -> None:
    before = our_threads()
    with watching(cache / "token.json", has_events=lambda path: path.name != "slow.json") as (running, reader):
        running.add(cache / "slow.json")
        reader.sees(cache / "slow.json", None)
        started = our_threads() - before
        assert len(started) > 3
        assert all(thread.daemon for thread in started)
    for thread in started:
        thread.join(LIMIT)
    assert not our_threads() - before


def test_nothing_is_told_after_a_stop(cache: Path) -> None:
    token = cache / "token.json"
    for _ in range(20):
        with watching(token) as (running, reader), writing_all_the_time(lambda content: overwrite(token, content)):
            running.stop()
            reports = len(reader.reports)
            for _ in range(20):
                token.write_bytes(b"late")
        assert len(reader.reports) == reports


def test_who_is_told_may_stop_it(cache: Path) -> None:
    stopped = threading.Event()

    def stop(report: Report) -> None:
        running.stop()
        stopped.set()

    with watching(cache / "token.json", tell=stop) as (running, _):
        assert stopped.wait(LIMIT)


def test_a_watch_that_never_started_can_be_stopped(cache: Path) -> None:
    running = Watch(lambda _: None)
    running.add(cache / "token.json")
    running.stop()


def test_no_thread_keeps_a_process_alive(cache: Path) -> None:
    with Child() as child:
        child.command("add", cache / "token.json")
        child.sees(cache / "token.json", None)
        assert child.end("end") == 0
