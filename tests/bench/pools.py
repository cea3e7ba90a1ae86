"""A warm profile of an identity pool beside a warm one of Identity Center, asked in turns."""

import os
import socket
import statistics
import subprocess
import time

from credhelper import client
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS, Machine
from tests.program import pools
from tests.program.support import read_frame

Figure = tuple[str, str]


def figures(runs: int, requests: int) -> list[Figure]:
    """`runs` of the fast client and `requests` at the socket, for each of the three profiles."""
    with Sandbox(lifetimes=Lifetimes(interval=0)) as sandbox, pools.pool_machine(sandbox) as machine:
        machine.write_config(CONFIG.format(start_url=sandbox.start_url) + pools.PROFILES)
        machine.log_in()
        pools.log_in(machine)
        names = {"dev": "Identity Center", "notes": "a user's identity pool", "kiosk": "guests'"}
        before = sum(sandbox.calls.values())
        lines = {name: machine.process_line(name) for name in names}
        for line in lines.values():
            _timed(machine, line)
        asked = sum(sandbox.calls.values())
        by_client: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(runs):
            for name, line in lines.items():
                by_client[name].append(_timed(machine, line))
        by_socket: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(requests):
            for name in names:
                by_socket[name].append(_asked(machine, name))
        assert sum(sandbox.calls.values()) == asked > before, "a warm profile has asked AWS"
    return [
        (f"warm fast client, median of {runs} in turns: {_of(names)}", _medians(by_client)),
        (f"warm answer at the socket, median of {requests} in turns: {_of(names)}", _medians(by_socket)),
    ]


def _of(names: dict[str, str]) -> str:
    return ", ".join(names.values())


def _medians(took: dict[str, list[float]]) -> str:
    return ", ".join(f"{statistics.median(times) * 1000:.2f} ms" for times in took.values())


def _timed(machine: Machine, line: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(line, env=machine.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _asked(machine: Machine, profile: str) -> float:
    fields = {b"v": client.PROTOCOL, b"op": b"get", b"profile": profile.encode(), b"HOME": os.fsencode(machine.home)}
    started = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(os.fspath(machine.socket))
        connection.sendall(client.frame(fields))
        answer = read_frame(connection)
    took = time.perf_counter() - started
    assert answer["status"] == "0", answer["err"]
    return took
