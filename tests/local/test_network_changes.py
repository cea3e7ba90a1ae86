"""The kernel's word on addresses and routes, each test in a network namespace of its own."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="netlink")


def play(scene: str) -> tuple[int, str]:
    """How often a scene of ``network_child`` was told, and what it logged."""
    isolated = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-rn"]
    command = [*isolated, sys.executable, "-m", "tests.local.network_child", scene]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), done.stderr


def test_a_network_that_comes_up_is_told() -> None:
    assert play("up")[0] == 1


def test_a_burst_of_changes_is_told_once() -> None:
    assert play("bursts")[0] == 2


def test_more_changes_than_there_is_room_for_are_told_too() -> None:
    assert play("flood")[0] >= 1


def test_nothing_is_told_after_a_stop_until_the_next_start() -> None:
    assert play("stopped")[0] == 1


def test_where_the_kernel_cannot_be_asked_nothing_is_told() -> None:
    told, log = play("forbidden")
    assert told == 0
    assert "credhelper.local.network_changes changes of the network will not be noticed" in log
