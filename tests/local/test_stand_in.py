"""Standing between a program and whoever started us: what a terminal takes no part in."""

import os
import subprocess
import sys

import pytest

RUN = """
import os, signal, sys
from credhelper.local import stand_in
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
held = stand_in.hold_signals()
os.kill(os.getpid(), getattr(signal, sys.argv[2]))
sys.exit(stand_in.run(["sh", "-c", "echo ran"], dict(os.environ), held).status)
"""


def run(*arguments: str) -> tuple[int, bytes]:
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, check=False)
    assert done.stderr == b""
    return done.returncode, done.stdout


@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_program_that_was_to_end_before_it_began_does_not_begin(number: str, status: int) -> None:
    assert run("SIG_DFL", number) == (status, b"")


@pytest.mark.parametrize("ignored", ["SIGHUP", "SIGWINCH", "SIGCONT"])
def test_a_signal_that_ends_nobody_does_not_keep_it_from_beginning(ignored: str) -> None:
    assert run("SIG_IGN", ignored) == (0, b"ran\n")


def test_whoever_ignores_the_ends_of_children_still_has_the_status() -> None:
    script = "trap '' CHLD; exec " + '"$@"'
    command = [sys.executable, "-c", RUN.replace("echo ran", "exit 9"), "SIG_DFL", "SIGCONT"]
    assert subprocess.run(["bash", "-c", script, "bash", *command], env=dict(os.environ), check=False).returncode == 9
