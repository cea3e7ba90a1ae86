"""Whom a daemon in a user namespace can still tell from everybody else."""

import shutil
import subprocess
import sys

import pytest

from credhelper.local.namespaces import can_tell
from tests.program.support import needs_root

FIRST = "         0          0 4294967295\n"
OF_A_SERVICE = "      1000       1000          1\n"
ROOTLESS_CONTAINER = "         0       1000          1\n         1     100000      65536\n"


@pytest.mark.parametrize(
    ("uid_map", "uid", "told"),
    [
        (FIRST, 0, True),
        (FIRST, 1000, True),
        (FIRST, 65_534, True),
        (FIRST, 2**32 - 1, False),
        (OF_A_SERVICE, 1000, True),
        (OF_A_SERVICE, 0, False),
        (OF_A_SERVICE, 1001, False),
        (OF_A_SERVICE, 65_534, False),
        (ROOTLESS_CONTAINER, 0, True),
        (ROOTLESS_CONTAINER, 65_536, True),
        (ROOTLESS_CONTAINER, 65_537, False),
        (ROOTLESS_CONTAINER, 65_534, False),
        ("", 0, False),
        ("nonsense\n", 0, False),
    ],
)
def test_a_user_is_told_from_others_who_is_in_the_map_and_is_not_everybody(uid_map: str, uid: int, told: bool) -> None:
    assert can_tell(uid, uid_map, 65_534) is told


def test_the_number_that_stands_for_everybody_is_the_kernels_choice() -> None:
    assert not can_tell(7, ROOTLESS_CONTAINER, 7)
    assert can_tell(65_534, ROOTLESS_CONTAINER, 7)


@needs_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="takes unshare: it makes a user namespace")
def test_the_kernels_own_word_is_asked() -> None:
    ask = "from credhelper.local.namespaces import can_tell; print(can_tell(0), can_tell(1000), can_tell(65534))"
    here = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert here.stdout == "True True True\n"
    inside = ["unshare", "--user", "--map-root-user", sys.executable, "-c", ask]
    there = subprocess.run(inside, capture_output=True, text=True, check=True)
    assert there.stdout == "True False False\n"
