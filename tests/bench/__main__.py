"""Measures the figures of the README. Times depend on the machine, so nothing here passes or fails by them; what is
counted (errors, calls to AWS) must be right, or the exit status is 1.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from credhelper import client
from credhelper.local import installation
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests import keyring_desk, vitals
from tests.bench import changes, container, pools, syncing, terminal
from tests.machine import Machine


@dataclass(frozen=True)
class Sizes:
    """How much to do."""

    runs: int
    parallel: int
    connections: int
    starts: int
    changes: int
    logouts: int
    http: int
    """Requests for credentials over HTTP, in each round."""
    idle: float
    """Seconds."""


FULL = Sizes(runs=50, parallel=50, connections=1000, starts=10, changes=200, logouts=50, http=2400, idle=60)
SMOKE = Sizes(runs=5, parallel=5, connections=100, starts=2, changes=5, logouts=3, http=80, idle=5)

SETTLED = 1.0  # seconds without a wake-up after which what a start or a request leads to is over


def main() -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few runs only, to see that it works")
    sizes = SMOKE if parser.parse_args().smoke else FULL
    print(f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}\n")
    print("| what | figure |\n|---|---|")
    with (
        vitals.quiet_place(),
        Sandbox(lifetimes=Lifetimes(interval=0)) as sandbox,
        Machine(sandbox) as machine,
        keyring(machine) as vault,
    ):
        for what, figure in (
            ("daemon: start to its first answer, median", starts(machine, sizes.starts)),
            (f"daemon: memory when idle after its start, files watched, {vault}", memory(machine)),
            *one_client(machine, sizes.runs),
            *commands(machine, sizes.starts),
            wake_ups(machine, sizes.idle),
            many_clients(machine, sizes.parallel),
            at_once(machine, sandbox, sizes.connections),
            *container.figures(machine, sizes.http),
            *changes.figures(machine, sandbox, sizes.changes, sizes.logouts),
            ("daemon: memory after all of this", memory(machine)),
            *terminal.figures(sizes.starts, sizes.idle),
            *syncing.figures(sizes.starts),
            *pools.figures(sizes.runs, 4 * sizes.runs),
        ):
            print(f"| {what} | {figure} |", flush=True)
    return 0


def starts(machine: Machine, count: int) -> str:
    """From starting the process to having the answer of a request to it."""
    took = []
    for _ in range(count):
        assert machine.run("daemon", "stop").status == 0
        started = time.perf_counter()
        daemon = subprocess.Popen(
            [sys.executable, "-Im", "credhelper", "daemon", "run"],
            env=machine.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                asyncio.run(_ask(machine.socket, {b"op": b"hello"}))
                break
            except OSError:
                time.sleep(0.001)
        took.append(time.perf_counter() - started)
        machine.run("daemon", "stop")
        daemon.wait()
    assert machine.run("daemon", "start").status == 0
    return f"{_ms(statistics.median(took))}"


@contextlib.contextmanager
def keyring(machine: Machine) -> Iterator[str]:
    """Inside, the machine has a keyring of its own that is open, where the programs for it are installed; says so."""
    if any(shutil.which(program) is None for program in keyring_desk.PROGRAMS):
        yield "without a keyring"
        return
    with keyring_desk.KeyringDesk(machine.root / "desk") as desk:
        machine.environment["DBUS_SESSION_BUS_ADDRESS"] = desk.environment["DBUS_SESSION_BUS_ADDRESS"]
        try:
            yield "vault open"
        finally:
            machine.run("daemon", "stop")


def memory(machine: Machine) -> str:
    """Resident memory, as the kernel counts it, once the daemon rests."""
    pid = machine.daemon_pid()
    settle(pid)
    return f"{vitals.resident(pid) / 1024:.0f} MiB"


def wake_ups(machine: Machine, seconds: float) -> tuple[str, str]:
    """How often any thread of a daemon with a session and a role to keep alive wakes while nobody wants anything."""
    pid = machine.daemon_pid()
    settle(pid)
    before = vitals.wake_ups(pid)
    time.sleep(seconds)
    count = vitals.wake_ups(pid) - before
    return f"daemon: wake-ups a minute when idle, all threads, in {seconds:g} s", f"{count * 60 / seconds:.0f}"


def settle(pid: int) -> None:
    """Returns once the daemon has slept for a second."""
    while True:
        before = vitals.wake_ups(pid)
        time.sleep(SETTLED)
        if vitals.wake_ups(pid) == before:
            return


def one_client(machine: Machine, runs: int) -> list[tuple[str, str]]:
    """The fast client beside the bare interpreter, interleaved so that both see the same noise."""
    machine.log_in()
    line = machine.process_line("dev")
    bare = [str(installation.base_interpreter()), "-I", "-S", "-c", "pass"]
    _timed(machine, line)
    ours, theirs = [], []
    for _ in range(runs):
        theirs.append(_timed(machine, bare))
        ours.append(_timed(machine, line))
    median, base = statistics.median(ours), statistics.median(theirs)
    return [
        (f"bare `python -I -S -c pass`, median of {runs}", _ms(base)),
        (f"warm fast client, median of {runs} interleaved with it", f"{_ms(median)} ({median / base:.2f} times)"),
    ]


def commands(machine: Machine, runs: int) -> list[tuple[str, str]]:
    """What a person types and waits for, from the start of the process to its end."""
    status = statistics.median(_timed(machine, [_program(), "status"]) for _ in range(runs))
    around = {
        what: statistics.median(_around_nothing(machine, *options) for _ in range(2 * runs))
        for what, options in {"": (), " --env": ("--env",)}.items()
    }
    with silent_place() as place:
        deaf = dict.fromkeys(machine.sandbox.environment(), place)
        deaf["CREDHELPER_SOCKET"] = str(machine.root / "nobody.sock")
        lone = [_timed(machine, [_program(), "doctor"], status=8, **deaf) for _ in range(runs)]
    return [
        (f"`credhelper status`, median of {runs}", _ms(status)),
        *(
            (f"`credhelper exec{what}`: what it adds to a program's time, median of {2 * runs}", _ms(added))
            for what, added in around.items()
        ),
        (f"`credhelper doctor` without a daemon and with endpoints that never answer, worst of {runs}", _ms(max(lone))),
    ]


def _around_nothing(machine: Machine, *options: str) -> float:
    """How much longer a program takes that ``credhelper exec`` runs."""
    whole = _timed(machine, [_program(), "exec", "--profile", "dev", *options, "--", "true"])
    return whole - _timed(machine, ["true"])


@contextlib.contextmanager
def silent_place() -> Iterator[str]:
    """An address at which somebody listens and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _program() -> str:
    return str(Path(sys.executable).with_name("credhelper"))


def many_clients(machine: Machine, count: int) -> tuple[str, str]:
    """Warm fast clients started together, until the last one has ended."""
    line = machine.process_line("dev")
    started = time.perf_counter()
    clients = [
        subprocess.Popen(line, env=machine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(count)
    ]
    failed = sum(process.wait() != 0 for process in clients)
    took = time.perf_counter() - started
    assert failed == 0, f"{failed} of {count} clients failed"
    return f"{count} warm fast clients at once, all done", _ms(took)


def at_once(machine: Machine, sandbox: Sandbox, count: int) -> tuple[str, str]:
    """Connections opened together that ask for a role nobody has asked for before."""
    before = sandbox.calls["GetRoleCredentials"]
    request = {b"op": b"get", b"profile": b"native", b"HOME": os.fsencode(machine.home)}

    async def all_of_them() -> list[float]:
        return list(await asyncio.gather(*(_ask(machine.socket, request) for _ in range(count))))

    took = sorted(asyncio.run(all_of_them()))
    calls = sandbox.calls["GetRoleCredentials"] - before
    assert calls == 1, f"{calls} upstream calls"
    p99 = took[int(len(took) * 0.99) - 1]
    return (
        f"{count} connections at once for a cold role",
        f"0 errors, {calls} call to AWS, p50 {_ms(statistics.median(took))}, p99 {_ms(p99)}",
    )


async def _ask(socket: Path, fields: dict[bytes, bytes]) -> float:
    started = time.perf_counter()
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(client.frame({b"v": client.PROTOCOL} | fields))
    size = int.from_bytes(await reader.readexactly(4), "big")
    answer = client.parse(await reader.readexactly(size))
    writer.close()
    await writer.wait_closed()
    assert answer[b"status"] == b"0", answer[b"err"]
    return time.perf_counter() - started


def _timed(machine: Machine, argv: list[str], *, status: int = 0, **environment: str) -> float:
    started = time.perf_counter()
    env = machine.environment | environment
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    took = time.perf_counter() - started
    assert done.returncode == status, f"{argv} ended with {done.returncode}"
    return took


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def _machine() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" {platform.python_implementation()} {platform.python_version()}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
