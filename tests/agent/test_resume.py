"""A resume is told by the clocks, by logind, or by both: everything is looked at again, and once."""

import asyncio

import pytest

from credhelper.agent.upkeep import Upkeep
from tests.clocks import HandClock


class Part:
    """Counts how often it is told that what failed may work now."""

    def __init__(self) -> None:
        self.retried = 0
        self.looked = asyncio.Event()

    def run_due(self) -> float | None:
        """Nothing is ever due."""
        self.looked.set()
        return None

    def retry_now(self) -> None:
        """See SelfActing."""
        self.retried += 1


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
def upkeep(part: Part, clock: HandClock) -> Upkeep:
    return Upkeep([part], clock)


def test_a_resume_that_the_clocks_do_not_show_is_told_by_logind(upkeep: Upkeep, part: Part) -> None:
    upkeep.run_due()
    assert part.retried == 0
    upkeep.resumed()
    upkeep.run_due()
    upkeep.run_due()
    assert part.retried == 1


def test_what_both_tell_is_one_resume_when_logind_is_first(upkeep: Upkeep, part: Part, clock: HandClock) -> None:
    clock.suspend(hours=8)
    upkeep.resumed()
    upkeep.run_due()
    clock.advance(seconds=1)
    upkeep.wake()
    upkeep.run_due()
    assert part.retried == 1


def test_what_both_tell_is_one_resume_when_the_clocks_are_first(upkeep: Upkeep, part: Part, clock: HandClock) -> None:
    clock.suspend(hours=8)
    upkeep.wake()
    upkeep.run_due()
    clock.advance(seconds=1)
    upkeep.resumed()
    upkeep.run_due()
    assert part.retried == 1


def test_the_next_resume_counts_again(upkeep: Upkeep, part: Part, clock: HandClock) -> None:
    for _ in range(3):
        clock.advance(minutes=1)
        upkeep.resumed()
        upkeep.run_due()
    assert part.retried == 3


async def test_a_resume_wakes_what_sleeps(upkeep: Upkeep, part: Part) -> None:
    running = asyncio.ensure_future(upkeep.run())
    try:
        await asyncio.wait_for(part.looked.wait(), 60)
        part.looked.clear()
        upkeep.resumed()
        await asyncio.wait_for(part.looked.wait(), 60)
        assert part.retried == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
