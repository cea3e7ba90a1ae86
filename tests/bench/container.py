"""The container credentials endpoint beside a bare h11 server, asked by the same client in turns; and beside a crowd
that keeps its connections open and never finishes a request.
"""

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.machine import SECONDS, Machine
from tests.program.support import ask

Figure = tuple[str, str]

AT_ONCE = 8
ROUNDS = 5
CROWD = 500
GOOD = 100


def figures(machine: Machine, requests: int) -> list[Figure]:
    """All of them; needs a login to session corp. ``requests`` for each server in each round."""
    granted = json.loads(ask(machine, "grant", profile="dev")["out"])
    port = int(granted["uri"].split(":")[2].split("/")[0])
    head = _request(port, "/v1/creds/" + granted["id"], granted["token"])
    body = once(port, head).partition(b"\r\n\r\n")[2]
    found = [_alone(port, head, requests), _in_a_crowd(port, head)]
    with bare_server(len(body)) as bare:
        found += _beside(port, head, bare, _request(bare, "/", "x" * len(granted["token"])), requests)
    ask(machine, "revoke", id=granted["id"])
    return found


def _request(port: int, path: str, token: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: application/json", f"Authorization: {token}")
    return "\r\n".join((*lines, "User-Agent: bench", "", "")).encode()


def once(port: int, sent: bytes) -> bytes:
    """The answer to one request on a connection of its own, which must be a good one."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(sent)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 200 "), received[:40]
    return received


def _timed(port: int, sent: bytes) -> float:
    started = time.perf_counter()
    once(port, sent)
    return time.perf_counter() - started


def _alone(port: int, head: bytes, requests: int) -> Figure:
    took = sorted(_timed(port, head) for _ in range(requests))
    return (
        f"container endpoint: a warm answer with its connection, one after the other, {requests} times",
        f"p50 {_ms(statistics.median(took))}, p99 {_ms(took[int(len(took) * 0.99) - 1])}",
    )


def _in_a_crowd(port: int, head: bytes) -> Figure:
    """Good clients, 10 at a time, each of whom comes after 500 others who never finish."""
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
            slow.sendall(head[:20])
        took: list[float] = []
        _at_once(10, lambda: took.extend(_timed(port, head) for _ in range(GOOD // 10)))
    took.sort()
    return (
        f"container endpoint: {GOOD} clients, 10 at once, beside {CROWD} that never finish their request",
        f"0 errors, p50 {_ms(statistics.median(took))}, p99 {_ms(took[int(len(took) * 0.99) - 1])}",
    )


def _beside(port: int, head: bytes, bare: int, bare_head: bytes, requests: int) -> list[Figure]:
    rates: dict[int, list[float]] = {port: [], bare: []}
    for _ in range(ROUNDS):
        for number, sent in ((bare, bare_head), (port, head)):
            rates[number].append(_rate(number, sent, requests))
    ours, theirs = statistics.median(rates[port]), statistics.median(rates[bare])
    return [
        (f"bare h11 server, {AT_ONCE} connections at a time, keep-alive off, median of {ROUNDS}", f"{theirs:.0f} / s"),
        ("container endpoint in turns with it", f"{ours:.0f} / s ({ours / theirs:.0%})"),
    ]


def _rate(port: int, sent: bytes, requests: int) -> float:
    each = requests // AT_ONCE
    started = time.perf_counter()

    def some() -> None:
        for _ in range(each):
            once(port, sent)

    _at_once(AT_ONCE, some)
    return each * AT_ONCE / (time.perf_counter() - started)


def _at_once(count: int, work: Callable[[], Any]) -> None:
    """Runs ``work`` that often at the same time; raises what went wrong in any."""
    faults: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as fault:  # noqa: BLE001  # told below
            faults.append(fault)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fault in faults:
        raise fault


@contextlib.contextmanager
def bare_server(size: int) -> Iterator[int]:
    """Inside, one listens at the port that is given."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare_h11", str(size)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
