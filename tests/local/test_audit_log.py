"""The audit's files: whole lines whatever happens, turned over by size, and nothing written where others have a say."""

import itertools
import json
import multiprocessing
import os
import resource
import stat
from pathlib import Path

import pytest

from credhelper.local import audit_log
from credhelper.local.audit_log import KEYS, Record, Unreadable, Unwritten
from credhelper.local.private_files import UnusableFile
from tests.program.support import needs_root

SMALL = 2000  # bytes of a file: some eight records


def line(number: int = 0, **more: object) -> bytes:
    return audit_log.encode(dict.fromkeys(KEYS) | {"time": f"{number:05d}"} | more)


def times(path: Path) -> list[str]:
    """What the records say that ``line`` has made, all of them whole."""
    found = list(audit_log.read(path))
    assert not [each for each in found if isinstance(each, Unreadable)]
    return [each["time"] for each in found if not isinstance(each, Unreadable)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit-here.jsonl"


def test_what_was_written_is_read_back(path: Path) -> None:
    audit_log.append(path, [line(1), line(2, exe="/usr/bin/gît", cwd="/tmp/a\nb\x1b[31m")])
    audit_log.append(path, [line(3)])
    assert times(path) == ["00001", "00002", "00003"]
    assert len(path.read_bytes().splitlines()) == 3
    records = [record for record in audit_log.read(path) if isinstance(record, dict)]
    assert tuple(records[1]) == KEYS


def test_nobody_else_may_read_it_or_its_directory(path: Path) -> None:
    old = os.umask(0)
    try:
        audit_log.append(path, [line()])
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    audit_log.append(path, [line()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_read_where_nothing_is(path: Path) -> None:
    assert list(audit_log.read(path)) == []


def test_it_is_turned_over_by_size_and_the_oldest_go(path: Path) -> None:
    for number in range(100):
        audit_log.append(path, [line(number)], largest=SMALL)
    files = [each for each in audit_log.paths(path) if each.exists()]
    assert len(files) == audit_log.FILES == len(list(path.parent.iterdir()))
    assert all(each.stat().st_size <= SMALL for each in files)
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in files)
    found = times(path)
    assert found == [f"{number:05d}" for number in range(100 - len(found), 100)]
    assert len(found) > (audit_log.FILES - 1) * (SMALL // len(line()))


def test_more_than_a_file_holds_is_still_written_in_one(path: Path) -> None:
    lines = [line(number) for number in range(50)]
    audit_log.append(path, lines, largest=SMALL)
    audit_log.append(path, [line(50)], largest=SMALL)
    assert len(times(path)) == 51


@pytest.mark.parametrize("step", range(audit_log.FILES))
def test_a_reader_misses_nothing_while_it_is_turned_over(
    path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two of a reader's steps; and nothing is met twice."""
    each_file = SMALL // len(line())
    known = [f"{number:05d}" for number in range(each_file * (audit_log.FILES - 1))]
    for time in known:
        audit_log.append(path, [line(int(time))], largest=SMALL)
    opened, real = itertools.count(), os.open

    def open_late(name: str | Path, *more: int) -> int:
        if next(opened) == step:
            monkeypatch.setattr(os, "open", real)
            audit_log.append(path, [line(90_000)], largest=SMALL)
        return real(name, *more)

    monkeypatch.setattr(os, "open", open_late)
    assert [time for time in times(path) if time != "90000"] == known
    assert len(list(path.parent.iterdir())) == audit_log.FILES


def test_two_writers_do_not_tear_each_others_lines_nor_lose_any(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, first)) for first in (1000, 2000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sorted(times(path)) == [f"{first + number:05d}" for first in (1000, 2000) for number in range(20)]


def write_many(path: Path, first: int) -> None:
    for number in range(20):  # as many as the files hold, so that both turn them over
        audit_log.append(path, [line(first + number)], largest=SMALL)


def test_a_line_that_a_killed_daemon_has_torn_is_passed_over_and_told_of(path: Path) -> None:
    audit_log.append(path, [line(1), line(2)[:-20]])
    audit_log.append(path, [line(3), line(4)])
    found = list(audit_log.read(path))
    assert [each["time"] for each in found if isinstance(each, dict)] == ["00001", "00003", "00004"]
    assert found[-1] == Unreadable(path, 1)


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff\xfe\n", b"{}\n", b"[1]\n", b"null\n", b'{"time": "x"}\n', b"[" * 50_000 + b"\n", b"x" * 300_000 + b"\n"],
    ids=lambda rubbish: str(rubbish[:10]),
)
def test_what_is_no_record_does_not_stop_a_reader(path: Path, rubbish: bytes) -> None:
    audit_log.append(path, [line(1)])
    with open(path, "ab") as file:
        file.write(rubbish)
    audit_log.append(path, [line(2)])
    found = list(audit_log.read(path))
    assert [each["time"] for each in found if isinstance(each, dict)] == ["00001", "00002"]
    assert isinstance(found[-1], Unreadable)


def test_on_a_disk_that_is_full_the_lines_that_fit_are_whole_and_counted(path: Path) -> None:
    """The kernel's limit on a file's size stands for it: a write is short, and the next one fails."""
    audit_log.append(path, [line(0)])
    room = 3 * len(line()) + 50
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, limit[1]))
    try:
        with pytest.raises(Unwritten, match="too large") as failure:
            audit_log.append(path, [line(number) for number in range(1, 10)])
        assert failure.value.written == 3
        with pytest.raises(Unwritten) as failure:
            audit_log.append(path, [line(4)])
        assert failure.value.written == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    audit_log.append(path, [line(number) for number in range(4, 10)])
    assert times(path) == [f"{number:05d}" for number in range(10)]


def test_a_deleted_file_is_made_again(path: Path) -> None:
    audit_log.append(path, [line(1)])
    path.unlink()
    audit_log.append(path, [line(2)])
    assert times(path) == ["00002"]


@pytest.mark.parametrize("kind", ["fifo", "link", "dangling link", "directory"])
def test_nothing_but_a_file_is_written_or_read(path: Path, kind: str) -> None:
    path.parent.mkdir()
    elsewhere = path.parent / "elsewhere"
    if kind == "link":
        elsewhere.touch()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    with pytest.raises(Unwritten, match=r"audit-here\.jsonl") as failure:
        audit_log.append(path, [line()])
    assert failure.value.written == 0
    with pytest.raises(UnusableFile, match=r"audit-here\.jsonl") as refusal:
        print(list(audit_log.read(path)))
    assert "link" not in kind or "a symbolic link" in str(refusal.value)
    assert not elsewhere.exists() or elsewhere.read_bytes() == b""


@needs_root
def test_a_file_of_somebody_else_is_neither_written_nor_read(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    os.chown(path, 65534, 65534)
    path.chmod(0o666)
    with pytest.raises(Unwritten, match="belongs to another user"):
        audit_log.append(path, [line()])
    with pytest.raises(UnusableFile, match="belongs to another user"):
        print(list(audit_log.read(path)))
    assert path.read_bytes() == b""


def test_a_record_is_one_line_whatever_its_text_holds() -> None:
    record: Record = dict.fromkeys(KEYS) | {"profile": "a\nb\r\u2028\u0085\ud800\x00"}
    encoded = audit_log.encode(record)
    assert encoded.count(b"\n") == 1
    assert encoded.isascii()
    assert json.loads(encoded) == record
