"""A long life in short: a real daemon, 50 requests a second, tokens and roles that live for 20 s, and everything that
can go wrong, at random. Fails when anything leaks, when an expired credential is served, or when anything is answered
that nothing excuses. Takes Linux and root, for nobody else may look into the daemon.

    python -m tests.soak --minutes 3 [--seed 7]
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from credhelper.domain import documents
from credhelper.sandbox.faults import Cut, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.elsewhere import WAYS, atomically, in_place, token_of_new_login
from tests.machine import Machine
from tests.program.support import Daemon, answers, ask, connect, request, running_daemon, until
from tests.sandbox.clients import Clients
from tests.vitals import Vitals, quiet_place

LIFE = 20  # seconds, of tokens and of role credentials: they are renewed every 10
WARM_UP = 20.0  # seconds before the first rest
REST = 5.0  # seconds without callers before the daemon is looked at
CALLERS = 10
PAUSE = 0.2  # seconds between two requests of one caller
TROUBLE_EVERY = (1.0, 4.0)  # seconds
TROUBLE_LASTS = 2.0  # seconds in which AWS fails
OUTAGE = LIFE + 3.0  # seconds after which everything has expired
AFTERMATH = 5.0  # seconds in which a failure of AWS may still be told
SAMPLE_EVERY = 3.0  # seconds
ROUNDED = 1.0  # seconds by which the end of a credential, written in whole ones, may be too early

MORE_MEMORY = 0.05  # of what it was at the first rest
MORE_MEMORY_KIB = 2048
MOST_KEPT = (
    32  # connections to AWS that wait for the next call: 16 of each of two services, as many as were used at once
)

ROLES = (
    ("111122223333", "Administrator"),
    ("111122223333", "Developer"),
    ("111122223333", "ReadOnly"),
    ("222233334444", "Developer"),
    ("222233334444", "ReadOnly"),
    ("333344445555", "ReadOnly"),
)
SESSION = """\
[sso-session corp]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""
PROFILE = """
[profile role{number}]
sso_session = corp
sso_account_id = {account}
sso_role_name = {role}
"""


def main() -> int:
    """The exit status: 1 when anything was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__.split("\n\n")[0] if __doc__ else ""
    )
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=20261124)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.minutes:g} minutes\n", flush=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_place())
        lifetimes = Lifetimes(interval=0, access_token=LIFE, role_credentials=LIFE)
        sandbox = stack.enter_context(Sandbox(lifetimes=lifetimes))
        machine = stack.enter_context(Machine(sandbox, _config(sandbox)))
        clients = stack.enter_context(contextlib.closing(Clients(sandbox)))
        daemon = stack.enter_context(running_daemon(machine))
        soak = Soak(machine, sandbox, clients, daemon, random.Random(chosen.seed))
        soak.run(chosen.minutes * 60)
        return soak.report()


def _config(sandbox: Sandbox) -> str:
    profiles = (PROFILE.format(number=n, account=account, role=role) for n, (account, role) in enumerate(ROLES))
    return SESSION.format(start_url=sandbox.start_url) + "".join(profiles)


# -- what may be answered ---------------------------------------------------------------------------------------------


@dataclass
class Excuse:
    """Something goes on that excuses ``outcomes``: exit statuses, a state of the session, or "no connection"."""

    outcomes: frozenset[str]
    since: float
    until: float = float("inf")


class Book:
    """What has been answered, and what for that there was no excuse. For all threads."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._excuses: list[Excuse] = []

    @contextlib.contextmanager
    def excusing(self, *outcomes: str, aftermath: float = 0.0) -> Iterator[None]:
        """Inside, and ``aftermath`` seconds longer, these may be answered."""
        excuse = Excuse(frozenset(outcomes), time.monotonic())
        with self._lock:
            self._excuses.append(excuse)
        try:
            yield
        finally:
            excuse.until = time.monotonic() + aftermath

    def enter(self, outcome: str, asked_at: float, told: str = "") -> None:
        """What a request that was sent at ``asked_at`` (monotonic) came to."""
        now = time.monotonic()
        with self._lock:
            self.outcomes[outcome] += 1
            is_excused = any(e.since <= now and asked_at <= e.until for e in self._excuses if outcome in e.outcomes)
            if not is_excused:
                self.wrong[f"{outcome} {told}".strip()] += 1

    def enter_good(self, outcome: str) -> None:
        """Something that needs no excuse."""
        with self._lock:
            self.outcomes[outcome] += 1


# -- who asks ---------------------------------------------------------------------------------------------------------


class Callers:
    """Ten of them, each five times a second: get, status, and some who leave before they have been answered."""

    def __init__(self, machine: Machine, book: Book, rng: random.Random) -> None:
        self._machine = machine
        self._book = book
        self._may_ask = threading.Event()
        self._stopping = threading.Event()
        seeds = [rng.random() for _ in range(CALLERS)]
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed),)) for seed in seeds]

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, they ask; outside, they wait."""
        self._may_ask.set()
        try:
            yield
        finally:
            self._may_ask.clear()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._may_ask.set()
        for thread in self._threads:
            thread.join()

    def _run(self, rng: random.Random) -> None:
        deeds = (self._get,) * 8 + (self._status, self._break_off)
        while not self._stopping.wait(PAUSE * rng.uniform(0.5, 1.5)):
            self._may_ask.wait()
            asked_at = time.monotonic()
            try:
                rng.choice(deeds)(rng, asked_at)
            except (OSError, EOFError) as error:
                self._book.enter("no connection", asked_at, type(error).__name__)

    def _get(self, rng: random.Random, asked_at: float) -> None:
        asked = time.time()
        answer = ask(self._machine, "get", profile=f"role{rng.randrange(len(ROLES))}")
        if answer["status"] != "0":
            self._book.enter(answer["status"], asked_at, answer["message"])
            return
        ends = documents.parse_timestamp(json.loads(answer["out"])["Expiration"]).timestamp()
        if ends + ROUNDED <= asked:
            self._book.enter("an expired credential", asked_at)
        else:
            self._book.enter_good("0")

    def _status(self, _: random.Random, asked_at: float) -> None:
        answer = ask(self._machine, "status")
        states = [each["state"] for each in json.loads(answer["out"])["status"]["sso_sessions"]]
        if answer["status"] == "0" and states and set(states) <= {"active", "refresh_due"}:
            self._book.enter_good("status")
        else:
            self._book.enter("status " + ", ".join(states), asked_at)

    def _break_off(self, rng: random.Random, _: float) -> None:
        wanted = request(self._machine, "get", profile=f"role{rng.randrange(len(ROLES))}")
        with connect(self._machine.socket) as connection:
            connection.sendall(wanted[: rng.randrange(len(wanted) + 1)])
        self._book.enter_good("broken off")


# -- what goes wrong --------------------------------------------------------------------------------------------------


class Troubles:
    """One after the other, chosen at random; each leaves things as they should be."""

    def __init__(
        self, machine: Machine, sandbox: Sandbox, clients: Clients, daemon: Daemon, book: Book, rng: random.Random
    ) -> None:
        self._machine = machine
        self._sandbox = sandbox
        self._clients = clients
        self._daemon = daemon
        self._book = book
        self._rng = rng
        self._edits = itertools.count()
        self.counts: Counter[str] = Counter()
        self._all: dict[str, Callable[[], None]] = {
            "AWS answers 500": lambda: self._aws_fails(Fault(status=500)),
            "AWS answers 429": lambda: self._aws_fails(Fault(status=429)),
            "AWS breaks connections": lambda: self._aws_fails(Fault(cut=Cut.BEFORE)),
            "AWS breaks off its answers": lambda: self._aws_fails(Fault(cut=Cut.MIDDLE), "GetRoleCredentials"),
            "login elsewhere": self.log_in,
            "token file torn for a while": self._tear,
            "configuration edited": self._edit,
            "logout, then login": self._log_out,
            "logout elsewhere, then login": self._unlink,
            "socket deleted": self._delete_socket,
            "daemon stopped for a second": self._stop_for_a_second,
        }

    def one(self) -> None:
        """The next one."""
        name = self._rng.choice(list(self._all))
        self.counts[name] += 1
        self._all[name]()

    def log_in(self) -> None:
        """Another program does."""
        self._rng.choice(WAYS)(self._machine.token_file(), self._new_token())

    def _new_token(self) -> bytes:
        return token_of_new_login(self._sandbox, self._clients, left=LIFE)

    def outage(self) -> None:
        """AWS is down until all that the daemon holds has expired."""
        self.counts["AWS is down for long"] += 1
        self._aws_fails(Fault(status=503), seconds=OUTAGE)

    def _aws_fails(self, fault: Fault, *operations: str, seconds: float = TROUBLE_LASTS) -> None:
        with self._book.excusing("6", aftermath=AFTERMATH):
            for operation in operations or ("GetRoleCredentials", "CreateToken:refresh_token"):
                self._sandbox.fail(operation, fault, times=None)
            time.sleep(seconds)
            self._sandbox.clear()

    def _tear(self) -> None:
        token = self._new_token()
        in_place(self._machine.token_file(), token[: self._rng.randrange(len(token))])
        time.sleep(self._rng.uniform(0.0, 2.0))
        self._rng.choice(WAYS)(self._machine.token_file(), token)

    def _edit(self) -> None:
        text = f"{_config(self._sandbox)}\n# {next(self._edits)}\n".encode()
        write = self._rng.choice(WAYS)
        # Written in place it is empty for a moment, and whoever asks just then is told so.
        with self._book.excusing(*(("4", "status ") if write is in_place else ()), aftermath=1.0):
            write(self._machine.config, text)

    def _log_out(self) -> None:
        with self._without_login():
            receipt = json.loads(ask(self._machine, "logout", sso_session="corp")["out"])
            if receipt["left"]:
                self._book.enter("a logout that left something", time.monotonic())

    def _unlink(self) -> None:
        with self._without_login():
            self._machine.token_file().unlink(missing_ok=True)  # a refresh may be writing it just now

    @contextlib.contextmanager
    def _without_login(self) -> Iterator[None]:
        """Inside, the login ends; at the end there is another one, which the daemon knows."""
        with self._book.excusing("3", "6", "status logged_out"):
            yield
            time.sleep(self._rng.uniform(0.0, 1.0))
            self._machine.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomically(self._machine.token_file(), self._new_token())
            until(self._is_logged_in, "the daemon knows of the login")

    def _is_logged_in(self) -> bool:
        sessions = json.loads(ask(self._machine, "status")["out"])["status"]["sso_sessions"]
        return [each["state"] for each in sessions] in (["active"], ["refresh_due"])

    def _delete_socket(self) -> None:
        with self._book.excusing("no connection"):
            if self._rng.random() < 0.5:
                self._machine.socket.unlink()
            else:
                shutil.rmtree(self._machine.socket.parent)
            until(lambda: answers(self._machine.socket), "the daemon listens again")

    def _stop_for_a_second(self) -> None:
        self._daemon.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(1.0)
        finally:
            self._daemon.process.send_signal(signal.SIGCONT)


# -- how the daemon is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One look at the daemon."""

    vitals: Vitals
    connections: int

    @classmethod
    def of(cls, daemon: Daemon, socket: Path) -> "Sample":
        """Now."""
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
        here = [line.split() for line in lines if line.endswith(f" {socket}")]
        return cls(Vitals.of(daemon.pid), sum(fields[5] == "03" for fields in here))

    @property
    def figures(self) -> dict[str, int]:
        """By name; memory in KiB."""
        return {
            "descriptors": self.vitals.descriptors,
            "connections to AWS": self.vitals.upstream,
            "threads": self.vitals.threads,
            "callers' connections": self.connections,
            "RSS, KiB": self.vitals.resident,
            "PSS, KiB": self.vitals.proportional,
        }


@dataclass
class Chart:
    """All looks, and those at rest."""

    samples: list[Sample] = field(default_factory=list)
    rests: list[Sample] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """What has grown from the first rest to the last."""
        before, after = self.rests[0].figures, self.rests[-1].figures
        most = {name: n * (1 + MORE_MEMORY) + MORE_MEMORY_KIB if "KiB" in name else n for name, n in before.items()}
        most["connections to AWS"] = MOST_KEPT
        return [f"{name} at rest: {n}, later {after[name]}" for name, n in before.items() if after[name] > most[name]]

    def table(self) -> str:
        """Markdown."""
        lines = ["| | first | last | peak | first rest | last rest |", "|---|---|---|---|---|---|"]
        for name in self.samples[0].figures:
            seen = [sample.figures[name] for sample in self.samples]
            rests = [self.rests[0].figures[name], self.rests[-1].figures[name]]
            lines.append(f"| {name} | " + " | ".join(map(str, (seen[0], seen[-1], max(seen), *rests))) + " |")
        return "\n".join(lines)


class Soak:
    """The whole of it."""

    def __init__(
        self, machine: Machine, sandbox: Sandbox, clients: Clients, daemon: Daemon, rng: random.Random
    ) -> None:
        self._machine = machine
        self._sandbox = sandbox
        self._daemon = daemon
        self._rng = rng
        self._book = Book()
        self._chart = Chart()
        self._callers = Callers(machine, self._book, rng)
        self._troubles = Troubles(machine, sandbox, clients, daemon, self._book, rng)

    def run(self, seconds: float) -> None:
        """A warm-up, a rest, an outage, what is left of ``seconds``, and a rest."""
        self._machine.cache.mkdir(mode=0o700, parents=True)
        self._troubles.log_in()
        until(lambda: ask(self._machine, "get", profile="role0")["status"] == "0", "the daemon knows of the login")
        end = time.monotonic() + seconds
        with self._callers:
            self._work(time.monotonic() + WARM_UP)
            self._rest()
            with self._callers.asking():
                self._troubles.outage()
            self._work(end - REST)
            self._rest()

    def report(self) -> int:
        """Prints what was seen; the exit status."""
        complaints = [*self._chart.complaints(), *(f"{n} times: {what}" for what, n in self._book.wrong.items())]
        print(self._chart.table())
        print("\nanswered:", ", ".join(f"{what}: {n}" for what, n in sorted(self._book.outcomes.items())))
        print("troubles:", ", ".join(f"{what}: {n}" for what, n in sorted(self._troubles.counts.items())))
        calls = self._sandbox.calls
        print(f"AWS: {calls['CreateToken:refresh_token']} refreshes, {calls['GetRoleCredentials']} role credentials")
        print("\n" + ("\n".join(f"WRONG: {complaint}" for complaint in complaints) or "nothing was wrong"), flush=True)
        if complaints and "Traceback" in self._daemon.log():
            sys.stderr.write(self._daemon.log()[-20_000:])
        return 1 if complaints else 0

    def _work(self, end: float) -> None:
        """Callers and troubles until ``end`` (monotonic), looking at the daemon now and then."""
        next_sample = time.monotonic()
        with self._callers.asking():
            while time.monotonic() < end:
                time.sleep(self._rng.uniform(*TROUBLE_EVERY) / 2)
                self._troubles.one()
                time.sleep(self._rng.uniform(*TROUBLE_EVERY) / 2)
                if time.monotonic() >= next_sample:
                    self._chart.samples.append(self._look())
                    next_sample = time.monotonic() + SAMPLE_EVERY

    def _rest(self) -> None:
        """Nobody asks; what the daemon does by itself goes on, so the quietest of some looks is taken."""
        time.sleep(REST)
        looks = []
        for _ in range(10):
            looks.append(self._look())
            time.sleep(0.1)
        self._chart.rests.append(min(looks, key=lambda look: (look.vitals.threads, look.vitals.descriptors)))

    def _look(self) -> Sample:
        return Sample.of(self._daemon, self._machine.socket)


if __name__ == "__main__":
    if os.geteuid() != 0 or sys.platform != "linux":
        sys.exit("takes Linux and root")
    raise SystemExit(main())
