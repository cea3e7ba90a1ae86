"""Blocking work in threads that can be given up."""

import asyncio
import threading

import pytest

from credhelper.local import workers as workers_module
from credhelper.local.workers import DeadlineExceeded, OneThread, Workers


async def test_a_result_comes_back_from_another_thread() -> None:
    assert await Workers("t", 1).run(5, threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)], ids=lambda error: type(error).__name__
)
async def test_an_exception_belongs_to_whoever_waits(error: BaseException) -> None:
    def fails() -> None:
        raise error

    if isinstance(error, Exception):
        with pytest.raises(type(error)):
            await Workers("t", 1).run(5, fails)
    else:  # a thread has no business ending the process; the loop passes it on
        workers = Workers("t", 1)
        future = workers._in_thread(fails)
        await asyncio.wait({future})
        assert future.exception() is error


async def test_no_more_run_at_once_than_are_allowed() -> None:
    workers = Workers("t", 3)
    running, most, lock, gate = [0], [0], threading.Lock(), threading.Event()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait()
        with lock:
            running[0] -= 1

    calls = [asyncio.ensure_future(workers.run(5, work)) for _ in range(10)]
    while running[0] < 3:  # noqa: ASYNC110  # threads cannot set an asyncio.Event
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*calls)
    assert most[0] == 3


async def test_a_call_given_up_on_frees_its_place() -> None:
    workers, gate = Workers("t", 1), threading.Event()
    try:
        with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
            await workers.run(0.01, gate.wait)
        assert await workers.run(5, lambda: "next") == "next"
    finally:
        gate.set()


async def test_waiting_for_a_place_counts_towards_the_deadline() -> None:
    workers, gate = Workers("t", 1), threading.Event()
    first = asyncio.ensure_future(workers.run(5, gate.wait))
    await asyncio.sleep(0)
    ran: list[int] = []
    with pytest.raises(DeadlineExceeded):
        await workers.run(0.01, lambda: ran.append(1))
    gate.set()
    await first
    assert ran == []


async def test_a_caller_that_is_cancelled_frees_its_place() -> None:
    workers, gate = Workers("t", 1), threading.Event()
    call = asyncio.ensure_future(workers.run(5, gate.wait))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await workers.run(5, lambda: 1) == 1
    gate.set()


def test_a_thread_that_outlives_its_loop_is_quiet() -> None:
    gate = threading.Event()

    async def give_up() -> None:
        with pytest.raises(DeadlineExceeded):
            await Workers("late", 1).run(0.01, gate.wait)

    asyncio.run(give_up())
    late = [thread for thread in threading.enumerate() if thread.name == "credhelper-late"]
    gate.set()
    for thread in late:
        thread.join(5)
    assert late
    assert all(thread.daemon and not thread.is_alive() for thread in late)


async def test_one_thread_does_one_thing_after_the_other() -> None:
    done: list[tuple[int, int]] = []
    workers = OneThread("t")
    calls = [workers.run(5, lambda number=n: done.append((number, threading.get_ident()))) for n in range(20)]  # type: ignore[misc]
    await asyncio.gather(*calls)
    assert [number for number, _ in done] == list(range(20))
    (thread,) = {thread for _, thread in done}
    assert thread != threading.get_ident()


async def test_one_thread_goes_when_there_is_nothing_to_do_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "IDLE", 0.0)
    workers = OneThread("t")
    for _ in range(5):
        thread = await workers.run(5, threading.current_thread)
        await asyncio.to_thread(thread.join)
    monkeypatch.setattr(workers_module, "IDLE", 60.0)
    thread = await workers.run(5, threading.current_thread)
    assert await workers.run(5, threading.current_thread) is thread


async def test_an_exception_does_not_end_the_one_thread() -> None:
    workers = OneThread("t")
    with pytest.raises(ZeroDivisionError):
        await workers.run(5, lambda: 1 / 0)
    assert await workers.run(5, lambda: "next") == "next"


async def test_where_the_system_grants_no_thread_the_next_call_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = OneThread("t")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(DeadlineExceeded, match="no thread"):
            await workers.run(5, lambda: "never")
    assert await workers.run(5, lambda: "next") == "next"
