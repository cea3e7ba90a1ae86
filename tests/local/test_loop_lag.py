"""The event loop's delays: the worst of late is told, and forgotten after a while."""

import asyncio
import time

import pytest

from credhelper.local.loop_lag import SPAN, LoopLag
from credhelper.local.workers import Workers
from tests.clocks import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def lag(clock: HandClock) -> LoopLag:
    return LoopLag(monotonic=clock.monotonic)


def test_the_worst_delay_is_told_for_at_least_a_minute_and_at_most_two(lag: LoopLag, clock: HandClock) -> None:
    assert lag.worst() == 0.0
    clock.advance(seconds=SPAN - 1)
    lag.note(0.5)
    lag.note(0.1)
    clock.advance(seconds=SPAN)
    lag.note(0.2)
    assert lag.worst() == 0.5
    clock.advance(seconds=SPAN)
    assert lag.worst() == 0.2
    clock.advance(seconds=SPAN)
    assert lag.worst() == 0.0


def test_after_a_long_silence_nothing_old_is_told(lag: LoopLag, clock: HandClock) -> None:
    lag.note(5.0)
    clock.advance(hours=3)
    assert lag.worst() == 0.0


def test_nothing_can_be_early(lag: LoopLag) -> None:
    lag.note(-0.001)
    assert lag.worst() == 0.0


async def test_a_probe_finds_what_holds_the_loop_up(lag: LoopLag, clock: HandClock) -> None:
    asyncio.get_running_loop().call_soon(lambda: clock.advance(seconds=3))
    await lag.probe()
    assert lag.worst() == 3.0


async def test_every_delay_is_told_on(clock: HandClock) -> None:
    told: list[float] = []
    lag = LoopLag(told.append, monotonic=clock.monotonic)
    await lag.probe()
    lag.note(0.25)
    assert told == [0.0, 0.25]


async def test_a_threads_result_tells_how_long_it_waited_for_the_loop() -> None:
    told: list[float] = []
    workers = Workers("test", 1)
    workers.on_delay = told.append
    done_at = await workers.run(10, time.monotonic)
    [seconds] = told
    assert 0 <= seconds <= time.monotonic() - done_at
