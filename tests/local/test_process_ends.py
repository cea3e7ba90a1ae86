"""When a process ends that is not our child."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from credhelper.local import process_ends
from credhelper.local.process_ends import ProcessEnds, is_alive, peer, started_at, this_process

SECONDS = 60

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def other() -> "Iterator[subprocess.Popen[bytes]]":
    """Waits for its stdin to end."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process


def end(process: "subprocess.Popen[bytes]", *, reap: bool = True) -> None:
    assert process.stdin is not None
    process.stdin.close()
    if reap:
        process.wait(SECONDS)
    else:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def identity(process: "subprocess.Popen[bytes]") -> process_ends.Process:
    started = started_at(process.pid)
    assert started is not None
    return process.pid, started


def test_a_process_lives_until_it_has_ended(other: "subprocess.Popen[bytes]") -> None:
    known = identity(other)
    assert is_alive(known)
    end(other)
    assert not is_alive(known)


def test_one_that_nobody_has_reaped_has_ended_too(other: "subprocess.Popen[bytes]") -> None:
    known = identity(other)
    end(other, reap=False)
    assert not is_alive(known)


def test_another_process_with_its_number_is_another(other: "subprocess.Popen[bytes]") -> None:
    pid, started = identity(other)
    assert not is_alive((pid, started - 1))


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_there_is_none_with_an_impossible_number(pid: int) -> None:
    assert started_at(pid) is None


def test_a_name_with_blanks_and_brackets_does_not_hide_the_start() -> None:
    before = started_at(os.getpid())
    with open("/proc/self/comm", "r+", encoding="ascii") as comm:
        name = comm.read()
        comm.write("a) R 1 1 (b")
        comm.flush()
        assert started_at(os.getpid()) == before
        comm.write(name)


def test_the_peer_of_a_socket_is_the_process_that_connected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer(ours) == this_process()


def test_of_what_is_no_unix_socket_there_is_no_peer() -> None:
    with socket.socket(socket.AF_INET) as unconnected:
        assert peer(unconnected) is None


def test_where_proc_does_not_show_it_its_number_must_do(
    other: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(path: str, *_: object) -> int:
        raise FileNotFoundError(path)

    known = identity(other)
    monkeypatch.setattr(os, "open", hidden)
    assert started_at(other.pid) == 0
    assert is_alive(known)
    assert is_alive((other.pid, 0))
    end(other)
    assert started_at(other.pid) is None
    assert not is_alive(known)


async def test_the_kernel_tells_of_an_end(other: "subprocess.Popen[bytes]") -> None:
    told = asyncio.Event()
    ends = ProcessEnds(told.set)
    known = identity(other)
    assert ends.watch(known)
    assert ends.watch(known), "twice is as good as once"
    assert ends.is_watching(known)
    end(other)
    await told.wait()
    assert not ends.is_watching(known)


async def test_what_is_forgotten_is_not_told(other: "subprocess.Popen[bytes]") -> None:
    told: list[bool] = []
    ends = ProcessEnds(lambda: told.append(True))
    known = identity(other)
    before = len(os.listdir("/proc/self/fd"))
    assert ends.watch(known)
    ends.forget_all()
    assert len(os.listdir("/proc/self/fd")) == before
    end(other)
    await asyncio.sleep(0)
    assert told == []


async def test_one_that_has_ended_cannot_be_watched(other: "subprocess.Popen[bytes]") -> None:
    known = identity(other)
    end(other)
    assert not ProcessEnds(lambda: None).watch(known)


async def test_on_an_older_kernel_nobody_tells(
    other: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert not ProcessEnds(lambda: None).watch(identity(other))
