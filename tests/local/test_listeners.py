"""Whose a port is that somebody listens at."""

import os
import socket

import pytest

from credhelper.local.listeners import is_another_users

OURS, THEIRS, PORT = os.getuid(), os.getuid() + 1, 0x9C4A
V4 = "   0: 0100007F:9C4A 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 4242 1 0 100 0 0 10 0"
V6 = (
    "   1: 00000000000000000000000000000000:9C4A " + 32 * "0" + ":0000 {state} 0:0 00:0 0 {uid} 0 4243 1 0 100 0 0 10 0"
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        ([V4.format(state="0A", uid=OURS)], False),
        ([V4.format(state="0A", uid=THEIRS)], True),
        ([V6.format(state="0A", uid=THEIRS)], True),
        ([V4.format(state="0A", uid=OURS), V6.format(state="0A", uid=THEIRS)], True),
        ([V4.format(state="01", uid=THEIRS)], False),
        ([V4.format(state="0A", uid=THEIRS).replace("9C4A", "9C4B")], False),
        (["nonsense"], True),
    ],
)
def test_whoever_listens_there_counts_and_nobody_else(lines: list[str], expected: bool) -> None:
    assert is_another_users(PORT, lines) is expected


def test_the_kernel_is_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not is_another_users(listening.getsockname()[1])
