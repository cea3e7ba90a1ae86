"""From the end of what another program does to a token file until the daemon knows of it, and from our own logout."""

import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from credhelper.sandbox.server import Sandbox
from tests.elsewhere import WAYS, token_of_new_login, with_end
from tests.machine import SECONDS, Machine
from tests.program.support import ask
from tests.sandbox.clients import Clients

Figure = tuple[str, str]

APART = 0.05  # seconds between two changes: after a report the watch pauses, and changes usually come alone


def figures(machine: Machine, sandbox: Sandbox, trials: int, logouts: int) -> list[Figure]:
    """All of them; needs a login to session corp, which is another one afterwards."""
    with contextlib.closing(Clients(sandbox)) as clients:
        found = [figure for write in WAYS for figure in _of_others(machine, write, trials)]
        found.append(("one look by `status`, by which the above are found out, median", _ms(_a_look(machine, trials))))
        found.append(_our_logout(machine, sandbox, clients, logouts))
        machine.token_file().write_bytes(token_of_new_login(sandbox, clients, left=3600))
        _until_state(machine, "active")
    return found


def _of_others(machine: Machine, write: Callable[[Path, bytes], None], trials: int) -> list[Figure]:
    """A login elsewhere over the token of the one before, and a logout elsewhere."""
    path = machine.token_file()
    token = path.read_bytes()
    ends = (datetime.now(UTC) + timedelta(hours=2, seconds=number) for number in itertools.count())
    logins, logouts = [], []
    for _ in range(trials):
        _adoption(machine, write, *with_end(token, next(ends)))
        time.sleep(APART)
        logins.append(_adoption(machine, write, *with_end(token, next(ends))))
        time.sleep(APART)
        path.unlink()
        logouts.append(_until_state(machine, "logged_out"))
    write(path, token)
    _until_state(machine, "active")
    how = write.__name__.replace("_", " ")
    return [
        (f"login elsewhere, token written {how}, until the daemon knows, {trials} times", _spread(logins)),
        (f"logout elsewhere after that, until the daemon has dropped everything, {trials} times", _spread(logouts)),
    ]


def _adoption(machine: Machine, write: Callable[[Path, bytes], None], content: bytes, end: str) -> float:
    write(machine.token_file(), content)
    return _until(lambda: _corp(machine)["expires_at"] == end)


def _until_state(machine: Machine, state: str) -> float:
    return _until(lambda: _corp(machine)["state"] == state)


def _until(is_known: Callable[[], bool]) -> float:
    """Seconds until it is; there is no sleep between two looks."""
    started = time.perf_counter()
    while not is_known():
        assert time.perf_counter() - started < SECONDS, "the daemon has not heard of it"
    return time.perf_counter() - started


def _a_look(machine: Machine, times: int) -> float:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        _corp(machine)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def _our_logout(machine: Machine, sandbox: Sandbox, clients: Clients, times: int) -> Figure:
    """From the request to the receipt, which comes once the files are gone and the portal has ended the sign-in."""
    took = []
    for _ in range(times):
        machine.token_file().write_bytes(token_of_new_login(sandbox, clients, left=3600))
        _until_state(machine, "active")
        started = time.perf_counter()
        answer = ask(machine, "logout", sso_session="corp")
        took.append(time.perf_counter() - started)
        receipt = json.loads(answer["out"])
        assert [each["revoked"] for each in receipt["sessions"]] == [True], receipt
    return f"our own logout, revoked at the portal (on this machine), {times} times", _spread(took)


def _corp(machine: Machine) -> dict[str, Any]:
    sessions = json.loads(ask(machine, "status")["out"])["status"]["sso_sessions"]
    found: dict[str, Any] = next(session for session in sessions if session["name"] == "corp")
    return found


def _spread(took: list[float]) -> str:
    ordered = sorted(took)
    return f"p50 {_ms(statistics.median(ordered))}, p95 {_ms(ordered[int(len(ordered) * 0.95) - 1])}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
