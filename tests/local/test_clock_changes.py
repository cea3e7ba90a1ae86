"""A clock that is set and a machine that slept are noticed; ordinary time is not."""

import asyncio
import os
import re
import resource
import select
import sys
from pathlib import Path

import pytest

from credhelper.local import clock_changes
from credhelper.local.clock_changes import ClockChanges, ClockWatch
from tests.clocks import HandClock

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="timerfd")


def test_ordinary_time_is_no_jump() -> None:
    clock = HandClock()
    watch = ClockWatch(clock)
    for amount in (0.0, 1.0, 30.0, 3_600.0, 86_400.0):
        clock.advance(seconds=amount)
        assert watch.has_jumped() is None


def test_a_suspend_is_told_once_and_for_how_long() -> None:
    clock = HandClock()
    watch = ClockWatch(clock)
    clock.advance(minutes=5)
    clock.suspend(hours=2)
    assert watch.has_jumped() == "the machine slept for 2 h"
    assert watch.has_jumped() is None


@pytest.mark.parametrize(
    ("minutes", "said"), [(10, "the wall clock was set 10 min ahead"), (-10, "the wall clock was set 10 min back")]
)
def test_a_wall_clock_that_is_set_is_told_once_and_which_way(minutes: int, said: str) -> None:
    clock = HandClock()
    watch = ClockWatch(clock)
    clock.jump(minutes=minutes)
    clock.advance(seconds=30)
    assert watch.has_jumped() == said
    assert watch.has_jumped() is None


def test_a_clock_set_in_a_suspend_is_told_as_both() -> None:
    clock = HandClock()
    watch = ClockWatch(clock)
    clock.suspend(days=3)
    clock.jump(seconds=-90)
    assert watch.has_jumped() == "the machine slept for 3 d and the wall clock was set 90 s back"


@pytest.mark.parametrize(("seconds", "is_told"), [(1.9, False), (-1.9, False), (2.1, True), (-2.1, True)])
def test_two_seconds_are_tolerated(seconds: float, is_told: bool) -> None:
    clock = HandClock()
    watch = ClockWatch(clock)
    clock.jump(seconds=seconds)
    assert (watch.has_jumped() is not None) is is_told
    if seconds > 0:
        clock.suspend(seconds=seconds)
        assert (watch.has_jumped() is not None) is is_told


def seconds_left(timer: int) -> int:
    """After how many seconds a timer of ours goes off, by the kernel's account."""
    found = re.search(r"it_value: \((\d+),", Path(f"/proc/self/fdinfo/{timer}").read_text())
    assert found is not None
    return int(found[1])


@linux_only
async def test_the_kernel_tells_and_is_asked_anew_each_time() -> None:
    told: asyncio.Queue[None] = asyncio.Queue()
    changes = ClockChanges()
    changes.start(asyncio.get_running_loop(), lambda: told.put_nowait(None))
    try:
        assert changes.is_told
        assert changes._timer is not None
        for _ in range(3):
            clock_changes._set(changes._timer, 1)  # long past: it goes off, as it does when the clock is set
            await asyncio.wait_for(told.get(), 60)
            assert not select.select([changes._timer], [], [], 0)[0]
        assert told.empty()
    finally:
        changes.stop()


@linux_only
async def test_nothing_wakes_an_idle_loop() -> None:
    changes = ClockChanges()
    changes.start(asyncio.get_running_loop(), lambda: None)
    try:
        assert changes._timer is not None
        assert not select.select([changes._timer], [], [], 0)[0]
        assert seconds_left(changes._timer) > 10 * 365 * 86_400
    finally:
        changes.stop()


@linux_only
async def test_a_stop_closes_the_timer_and_can_be_repeated() -> None:
    changes = ClockChanges()
    changes.start(asyncio.get_running_loop(), lambda: None)
    timer = changes._timer
    assert timer is not None
    for _ in range(2):
        changes.stop()
        assert not changes.is_told
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(timer)


@linux_only
async def test_where_there_is_no_timer_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "credhelper")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    changes = ClockChanges()
    loop = asyncio.get_running_loop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        changes.start(loop, lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not changes.is_told
    assert "the kernel does not tell when the clock is set" in caplog.text
    changes.stop()
