"""Killed or failed at any system call, nothing that counts is lost, torn or left lying about."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

import pytest

from tests.crash import homes
from tests.crash.homes import Home
from tests.crash.operation import OPERATIONS
from tests.crash.rig import Call, Fault, NotAttached, Run, Workshop, faults
from tests.crash.verdicts import VERDICTS, after_next_start, at_once
from tests.real_clients.clients import REQUIRED

pytestmark = [pytest.mark.real_client, pytest.mark.timeout(300)]

AT_ONCE = 3
LEAST_POINTS = 200
FILE_LIMITS = (0, 1, 100, 400)
"""Bytes beyond which no file can grow."""

WRITING = [name for name in OPERATIONS if name != "log_out"]


class Shop:
    """Workshops with a home each, and what the runs without a fault ask of the system."""

    def __init__(self, scratch: Path, workshops: list[Workshop]) -> None:
        self._idle: SimpleQueue[tuple[Workshop, Path]] = SimpleQueue()
        for number, workshop in enumerate(workshops):
            self._idle.put((workshop, scratch / f"home {number}"))
        prepared, empty = homes.prepare(scratch / "prepared"), homes.prepare_empty(scratch / "empty")
        self._before = {name: empty if name == "first_log_in" else prepared for name in OPERATIONS}
        self.records = {name: self._record(name) for name in OPERATIONS}

    def points(self, operation: str) -> list[Fault]:
        """All that can happen to one operation."""
        return list(faults(self.records[operation]))

    def complaints(self, operation: str) -> list[str]:
        """What was wrong after each of them."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda fault: self._try(operation, fault), self.points(operation))
            return [complaint for complaints in found for complaint in complaints]

    def complaints_at_limit(self, operation: str, largest_file: int) -> list[str]:
        """What was wrong where no file can grow beyond ``largest_file`` bytes."""
        with self._new_home(operation) as (workshop, home):
            return self._judge(operation, home, workshop.run(operation, home, largest_file=largest_file))

    def _record(self, operation: str) -> list[Call]:
        with self._new_home(operation) as (workshop, home):
            run = workshop.trace(operation, home)
            assert run.status == 0, run
            assert self._judge(operation, home, run) == [], run
            return run.calls

    def _try(self, operation: str, fault: Fault) -> list[str]:
        with self._new_home(operation) as (workshop, home):
            run = workshop.trace(operation, home, fault)
            if not run.met(fault, self.records[operation]):
                return [f"{fault}: did not happen as planned:\n{run.trace}"]
            return [f"{fault}: {complaint}" for complaint in self._judge(operation, home, run)]

    def _judge(self, operation: str, home: Home, run: Run) -> list[str]:
        before = self._before[operation]
        looks = (at_once, VERDICTS[operation], after_next_start)
        return [complaint for look in looks for complaint in look(home, before, run)]

    @contextlib.contextmanager
    def _new_home(self, operation: str) -> Iterator[tuple[Workshop, Home]]:
        workshop, place = self._idle.get()
        try:
            yield workshop, self._before[operation].copy_to(place)
        finally:
            self._idle.put((workshop, place))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    if shutil.which("strace") is None:
        _absent("strace is not installed")
    scratch = tmp_path_factory.mktemp("crash")
    with contextlib.ExitStack() as stack:
        traces = [scratch / f"trace {number}" for number in range(AT_ONCE)]
        workshops = [stack.enter_context(Workshop(trace)) for trace in traces]
        try:
            yield Shop(scratch, workshops)
        except NotAttached as error:
            _absent(f"strace may not trace here: {error}")


def _absent(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_fault_at_any_system_call_loses_tears_or_litters(shop: Shop, operation: str) -> None:
    points, complaints = shop.points(operation), shop.complaints(operation)
    print(f"{operation}: {len(points)} points")
    assert not complaints, f"{len(complaints)} complaints of {len(points)} points\n" + "\n".join(complaints)


def test_there_are_points_enough(shop: Shop) -> None:
    assert sum(len(shop.points(name)) for name in OPERATIONS) >= LEAST_POINTS
    kinds = {"write", "sync", "rename", "unlink", "close", "mkdir", "open"}
    hit = {(point.call.kind, point.what) for name in OPERATIONS for point in shop.points(name)}
    assert {kind for kind, what in hit if what == "KILL"} == kinds
    assert {what for _, what in hit} >= {"ENOSPC", "EIO", "EROFS", "EMFILE"}


@pytest.mark.parametrize("operation", WRITING)
def test_a_write_that_is_cut_short_loses_nothing(shop: Shop, operation: str) -> None:
    for largest_file in FILE_LIMITS:
        assert shop.complaints_at_limit(operation, largest_file) == []


@pytest.mark.parametrize("operation", WRITING)
def test_a_file_is_durable_before_it_takes_its_place_and_its_place_right_after(shop: Shop, operation: str) -> None:
    """The order that a power cut cannot break: the content, the name, the directory."""
    calls = [call for call in shop.records[operation] if call.touches_home]
    renames = [index for index, call in enumerate(calls) if call.kind == "rename"]
    assert renames
    for index in renames:
        temporary, target = calls[index].places
        about = [call.kind for call in calls[:index] if call.places[-1] == temporary]
        assert about[-3:] == ["write", "sync", "close"]
        after = [(call.kind, call.places[-1]) for call in calls[index + 1 : index + 3]]
        assert after == [("open", str(Path(target).parent)), ("sync", str(Path(target).parent))]


def test_a_removal_is_durable_before_the_next_one(shop: Shop) -> None:
    calls = [call for call in shop.records["log_out"] if call.kind in {"unlink", "sync"}]
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert pairs
    for removal, sync in pairs:
        assert (removal.kind, sync.kind) == ("unlink", "sync")
        assert str(Path(removal.places[-1]).parent) == sync.places[-1]
