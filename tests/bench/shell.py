"""What a shell waits for at a key and at a prompt, from the start of the process to its end."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.machine import Machine

Figure = tuple[str, str]


def figures(machine: Machine, profile: str, runs: int) -> list[Figure]:
    """``machine``: its daemon runs and has many profiles; ``profile`` is how one of their names begins."""
    program = str(Path(sys.executable).with_name("credhelper"))
    asked = f"credhelper get --profile {profile}"
    with_daemon = [
        ("TAB behind a command", [program, "_complete", "bash", "credhelper logi", "logi", "9"]),
        ("TAB behind `--profile`, one of 2,500, from the daemon", [program, "_complete", "bash", asked, profile, "9"]),
        ("`credhelper status --prompt`", [program, "status", "--prompt"]),
        ("`credhelper --help`", [program, "--help"]),
    ]
    found = [(what, _median(machine, argv, runs)) for what, argv in with_daemon]
    assert machine.run("daemon", "stop").status == 0
    what, argv = "TAB behind `--profile`, one of 2,500, from the files", with_daemon[1][1]
    return [(f"{what}, median of {runs}", figure) for what, figure in [*found, (what, _median(machine, argv, runs))]]


def _median(machine: Machine, argv: list[str], runs: int) -> str:
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        done = subprocess.run(argv, env=machine.environment, stdout=subprocess.PIPE, check=True)
        took.append(time.perf_counter() - started)
        assert done.stdout, argv
    return f"{statistics.median(took) * 1000:.1f} ms"
