"""The daemon's door: a Unix socket for one user, one request per connection.

The kernel says who calls; anybody but the daemon's own user gets nothing. A caller has 2 s to begin and 2 s to finish
its request, and 2 s to take its answer. The wire format is ``client.py``'s.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Protocol

from credhelper import __version__, client
from credhelper.agent import completion, pool_identity
from credhelper.agent.agent import Agent, render
from credhelper.agent.gate import Wanted
from credhelper.agent.grants import grant
from credhelper.agent.health import Trouble
from credhelper.agent.role_credentials import Entry
from credhelper.aws import reachability
from credhelper.domain.errors import ConfigError, CredhelperError, DaemonUnreachable, Unavailable, UsageError
from credhelper.domain.model import Door, Flow
from credhelper.domain.text import safe
from credhelper.endpoints.metrics import Metrics
from credhelper.local import peers, process_ends
from credhelper.local.peers import NOBODY, Caller
from credhelper.local.process_ends import Process

log = logging.getLogger(__name__)

BACKLOG = 4096
FIRST_BYTE = 2.0  # seconds
WHOLE_REQUEST = 2.0  # seconds from its first byte
ANSWER_TAKEN = 2.0  # seconds
LAST_ANSWERS = 1.0  # seconds for those that are connected when the daemon ends
REFUSALS_REPORTED_EVERY = 60.0  # seconds
LONGEST_MIN_TTL = 7 * 86_400  # seconds; no credentials last as long, and no clock fails to count it
LAST_PORT = 65_535
LONGEST_NUMBER = 20  # digits; int() refuses some thousands

TYPED = frozenset({Door.GET, Door.EXPORT, Door.EXEC})
"""The doors that a request for credentials may say it comes through: they differ in what a program makes of them."""

ANY_VERSION = frozenset({"hello", "stop"})
"""What a client of any version may ask: enough to end a daemon that is older or newer than itself."""

REQUEST_FIELDS = frozenset(
    {
        *(name.decode() for name in client.CALLER_VARIABLES),
        *("cwd", "v", "op", "profile", "sso_session", "account_id", "role_name", "region", "flow", "force"),
        *("door", "min_ttl", "id", "ttl", "socket", "token_file", "uid", "service", "destination"),
        *("start_url", "sso_region", "scopes"),
        *("redirect_port", "by_itself", "cognito_login", "answer"),
        *("mfa_code", "verdict", "only", "max_age"),
        *("everywhere", "browser", "forget_identity"),
    }
)

Fields = dict[str, str]


class SocketDoor(Protocol):
    """What a connection wants to know of the socket it came to."""

    agent: Agent
    connections: "set[Connection]"
    one_has_left: asyncio.Event
    operations: "dict[str, Callable[[Connection, Fields], Awaitable[None]]]"

    @property
    def is_managed(self) -> bool:
        """Whether a service manager holds the socket."""

    def admits(self, uid: int) -> bool:
        """Whether this user is let in."""

    def refused(self, uid: int) -> None:
        """Told of one that was not."""

    def answer_at_once(self, connection: "Connection", fields: Fields) -> dict[str, str] | None:
        """The answer to a request that takes no waiting; None when it has to be handled by a task."""


class UnixSocket:
    """Serves an agent's verbs on a listening socket that somebody else has bound."""

    def __init__(self, agent: Agent, on_stop: Callable[[], None]) -> None:
        self.agent = agent
        self._on_stop = on_stop
        self._server: asyncio.Server | None = None
        self._lasting: asyncio.Server | None = None
        self._metrics = Metrics(agent)
        self._refused = 0
        self._next_report = 0.0
        self.connections: set[Connection] = set()
        self.one_has_left = asyncio.Event()
        self.operations: dict[str, Callable[[Connection, Fields], Awaitable[None]]] = {
            "get": self._get,
            "login": self._login,
            "login_answer": self._document(agent.answer_login),
            "mfa": self._document(agent.mfa_codes.use),
            "portal": self._document(agent.portals.look),
            "logout": self._document(agent.logout),
            "whoami": self._whoami,
            "identity": self._identity,
            "claims": self._document(partial(pool_identity.claims, agent)),
            "inventory": self._inventory,
            "console": self._console,
            "lock": self._document(lambda _: agent.lock.lock()),
            "unlock": self._document(lambda _: agent.lock.unlock()),
            "confirm": self._document(agent.confirm),
            "grant": self._grant,
            "revoke": self._revoke,
            "check": self._check,
            "way": self._way,
            "reload": self._document(agent.reload),
            "audit": self._document(lambda _: agent.audit.flush()),
            "status": self._status,
            "prompt": self._prompt,
            "names": self._names,
            "watch": self._watch,
            "choices": self._document(agent.offers.document),
            "metrics": self._tell_metrics,
            "health": self._document(lambda _: agent.health.document()),
            "hello": self._hello,
            "stop": self._stop,
        }
        agent.health.connections = lambda: len(self.connections)
        agent.health.asks.append(_what_cripples)

    async def start(self, listener: socket.socket, *, lasting: bool = False) -> None:
        """Begins to accept. An earlier listener, whose file is gone, is closed, unless it was a ``lasting`` one."""
        loop = asyncio.get_running_loop()
        # Python 3.13 would unlink the path, which may be another socket by then.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        server = await loop.create_unix_server(lambda: Connection(self), sock=listener, backlog=BACKLOG, **keep)
        if lasting:
            self._lasting = server
            return
        if self._server is not None:
            self._server.close()
        self._server = server

    @property
    def is_managed(self) -> bool:
        """Whether a service manager holds the socket."""
        return self._lasting is not None

    async def stop(self) -> None:
        """Stops accepting, so that whoever knocks from now on is left to the next daemon.

        Whoever has been let in gets an answer if it takes no longer than a second.
        """
        for server in (self._lasting, self._server):
            if server is not None:
                server.close()
        for _ in range(3):  # the steps in which asyncio makes a connection of what it has accepted
            await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS):
                while self.connections:
                    self.one_has_left.clear()
                    await self.one_has_left.wait()

    def admits(self, uid: int) -> bool:
        """The daemon's own user, and nobody else."""
        return uid == os.getuid()

    def refused(self, uid: int) -> None:
        """Counts a caller that is another user; the log hears of them once a minute, however often they knock."""
        self._refused += 1
        self.agent.counts.dropped["other_user"] += 1
        now = asyncio.get_running_loop().time()
        if now >= self._next_report:
            log.warning("refused a connection of uid %d; %d such since the start", uid, self._refused)
            self._next_report = now + REFUSALS_REPORTED_EVERY

    def answer_at_once(self, connection: "Connection", fields: Fields) -> dict[str, str] | None:
        """The answer to a request that takes no waiting; None when it has to be handled by a task."""
        if fields["op"] != "get":
            return None
        try:
            entry = self.agent.hand_out_at_once(_wanted(connection, fields))
            return None if entry is None else success(self._document_for(entry, fields))
        except CredhelperError as error:
            return failure(error)
        except Exception:
            log.exception("a fault while answering %s", safe(fields["op"]))
            return _fault()

    async def _get(self, connection: "Connection", fields: Fields) -> None:
        entry = await self.agent.hand_out(_wanted(connection, fields))
        connection.answer(success(self._document_for(entry, fields)))

    def _document_for(self, entry: Entry, fields: Fields) -> str:
        """What ``credential_process`` prints; ``exec`` puts the profile's region into the environment too."""
        if fields.get("door") != Door.EXEC:
            return entry.document
        return render(json.loads(entry.document) | {"Region": self.agent.choices.region(fields)})

    async def _whoami(self, connection: "Connection", fields: Fields) -> None:
        wanted = replace(_wanted(connection, fields), door=Door.WHOAMI)
        connection.answer({"status": "0", "out": render(await self.agent.whoami(wanted)), "err": ""})

    async def _identity(self, connection: "Connection", fields: Fields) -> None:
        wanted = replace(_wanted(connection, fields), door=Door.WHOAMI)
        found = await pool_identity.identity(self.agent, wanted)
        connection.answer({"status": "0", "out": render(found), "err": ""})

    async def _inventory(self, connection: "Connection", fields: Fields) -> None:
        found = await self.agent.list_inventory(fields, lambda event: connection.send({"event": render(event)}))
        connection.answer({"status": "0", "out": render(found), "err": ""})

    async def _grant(self, connection: "Connection", fields: Fields) -> None:
        answer = await grant(self.agent, _wanted(connection, fields), connection.peer, _ttl(fields))
        connection.answer({"status": "0", "out": render(answer), "err": ""})

    async def _revoke(self, connection: "Connection", fields: Fields) -> None:
        revoked = await self.agent.openings.close(fields.get("id", ""))
        connection.answer({"status": "0", "out": render({"revoked": revoked}), "err": ""})

    async def _console(self, connection: "Connection", fields: Fields) -> None:
        wanted = replace(_wanted(connection, fields), door=Door.CONSOLE)
        connection.answer({"status": "0", "out": render(await self.agent.console(wanted)), "err": ""})

    async def _login(self, connection: "Connection", fields: Fields) -> None:
        crippled = _why_crippled()
        if crippled is not None:  # found out now, not after a person has signed in
            raise crippled
        await self.agent.before_login()
        login, event = self.agent.login(fields)
        if login is None:
            connection.send({"event": render(event)})
            connection.answer({"status": "0", "out": "", "err": ""})
            return
        async with aclosing(login.follow()) as events:
            is_first = True
            async for event in events:
                if is_first and event["event"] != "failed":
                    connection.send({"event": render(login.about())})
                is_first = False
                connection.send({"event": render(event)})
        connection.answer(failure(login.error) if login.error else {"status": "0", "out": "", "err": ""})

    def _document(
        self, verb: Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]
    ) -> Callable[["Connection", Fields], Awaitable[None]]:
        async def handle(connection: Connection, fields: Fields) -> None:
            connection.answer({"status": "0", "out": render(await verb(fields)), "err": ""})

        return handle

    async def _check(self, connection: "Connection", fields: Fields) -> None:
        sees_programs = connection.caller.program is not None
        found = await self.agent.check(fields) | {"sees_programs": sees_programs}
        connection.answer({"status": "0", "out": render(found), "err": ""})

    async def _way(self, connection: "Connection", _: Fields) -> None:
        connection.answer({"status": "0", "out": render(reachability.way(os.environ)), "err": ""})

    async def _status(self, connection: "Connection", fields: Fields) -> None:
        connection.answer({"status": "0", "out": render(self.agent.status(fields)), "err": ""})

    async def _watch(self, connection: "Connection", fields: Fields) -> None:
        connection.answer({"status": "0", "out": render(self.agent.watch(fields)), "err": ""})

    async def _names(self, connection: "Connection", fields: Fields) -> None:
        found = await completion.lines(self.agent.offers, fields)
        connection.answer({"status": "0", "out": found, "err": ""})

    async def _prompt(self, connection: "Connection", fields: Fields) -> None:
        connection.answer({"status": "0", "out": self.agent.prompt(fields), "err": ""})

    async def _tell_metrics(self, connection: "Connection", _: Fields) -> None:
        connection.answer({"status": "0", "out": await self._metrics.text(), "err": ""})

    async def _hello(self, connection: "Connection", _: Fields) -> None:
        about = {"pid": os.getpid(), "version": __version__, "protocol": client.PROTOCOL.decode()}
        connection.answer({"status": "0", "out": json.dumps(about), "err": ""})

    async def _stop(self, connection: "Connection", _: Fields) -> None:
        connection.answer({"status": "0", "out": "", "err": ""})
        self._on_stop()


class Connection(asyncio.Protocol):
    """One caller: a request in, an answer out."""

    def __init__(self, door: SocketDoor) -> None:
        self._door = door
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._op = ""
        """What is being answered; nothing before and after."""
        self._asked_at = 0.0
        self._caller = NOBODY
        self._first_look: peers.Look | None = None
        """Who connected, where that matters."""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Lets in whom the door admits, by the kernel's word, and nobody else."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream transport, by construction
        self._transport = transport
        try:
            uid = client.peer_uid(transport.get_extra_info("socket"))
        except OSError:
            uid = -1
        if not self._door.admits(uid):
            self._door.refused(uid)
            transport.abort()
            return
        self._door.connections.add(self)
        if self._door.agent.policy.looks_at_programs:
            self._first_look = peers.look(transport.get_extra_info("socket"))
        self._within(FIRST_BYTE)

    def connection_lost(self, _: Exception | None) -> None:
        """Whoever leaves is no longer waited for; the work it shared with others goes on."""
        self._cancel_deadline()
        self._door.connections.discard(self)
        self._door.one_has_left.set()
        self._count("left")
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """Collects one request; anything malformed or oversized ends the connection without a word."""
        if self._transport is None or self._transport.is_closing() or self.task is not None:
            return
        if not self._received:
            self._within(WHOLE_REQUEST)
        self._received += data
        if len(self._received) < 4:
            return
        size = int.from_bytes(self._received[:4], "big")
        if not 1 <= size <= client.MAX_REQUEST or len(self._received) > size + 4:
            self._drop("malformed", "a malformed frame")
        elif len(self._received) == size + 4:
            self._handle(bytes(self._received[4:]))

    @property
    def door(self) -> SocketDoor:
        """Where it came to."""
        return self._door

    def break_off(self) -> None:
        """Ends it, answered or not."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def caller(self) -> Caller:
        """The program that asks, as it was when its request was complete."""
        return self._caller

    @property
    def peer(self) -> Process | None:
        """The process at the other end, if it is still there and can be seen."""
        return process_ends.peer(self._transport.get_extra_info("socket")) if self._transport else None

    def send(self, fields: dict[str, str]) -> None:
        """One frame to the caller."""
        if self._transport is not None and not self._transport.is_closing():
            encoded = {key.encode(): value.encode("utf-8", "surrogateescape") for key, value in fields.items()}
            self._transport.write(client.frame(encoded))

    def answer(self, fields: dict[str, str]) -> None:
        """The last frame; then the connection ends, by itself or by the deadline."""
        self.send(fields)
        self._count(fields.get("code", "ok"))
        if self._transport is not None:
            self._transport.close()
            self._within(ANSWER_TAKEN)

    def _count(self, outcome: str) -> None:
        """Once for each request that was understood."""
        if self._op:
            at_once, seconds = self.task is None, monotonic() - self._asked_at
            self._door.agent.counts.answered(self._op, outcome, seconds, at_once=at_once)
            self._op = ""

    def _handle(self, payload: bytes) -> None:
        self._cancel_deadline()
        self._asked_at = monotonic()
        try:
            fields = _decode(payload)
            if fields["v"] != client.PROTOCOL.decode() and fields["op"] not in ANY_VERSION:
                self.answer(_other_version(fields["v"], self._door.is_managed))
                return
            operation = self._door.operations[fields["op"]]
            if fields["op"] == "login":
                _check_login(fields)
            _check_wanted(fields)
        except (ValueError, KeyError):
            self._drop("senseless", "a request that makes no sense")
            return
        self._op = fields["op"]
        self._caller = self._who_asks()
        at_once = self._door.answer_at_once(self, fields)
        if at_once is not None:
            self.answer(at_once)
        else:
            self.task = asyncio.ensure_future(self._run(operation, fields))

    def _who_asks(self) -> Caller:
        """What asks now; and where that matters, whether it is what has connected."""
        if self._transport is None:
            return NOBODY
        found = peers.look(self._transport.get_extra_info("socket"))
        has_changed = self._first_look is None or self._first_look.process != found.process
        if has_changed and self._door.agent.policy.looks_at_programs:
            return replace(found.caller, has_changed=True)
        return found.caller

    async def _run(self, operation: Callable[["Connection", Fields], Awaitable[None]], fields: Fields) -> None:
        try:
            self._door.agent.lock.check_operation(fields["op"])
            await operation(self, fields)
        except CredhelperError as error:
            self.answer(failure(error))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("a fault while answering %s", safe(fields["op"]))
            self.answer(_fault())

    def _within(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._drop, "slow", "a caller that is too slow")

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _drop(self, reason: str, why: str) -> None:
        log.info("dropped %s", why)
        self._door.agent.counts.dropped[reason] += 1
        if self._transport is not None:
            self._transport.abort()


def _check_wanted(fields: Fields) -> None:
    """Raises ValueError where a request for credentials says what none can say."""
    if Door(fields.get("door", Door.GET)) not in TYPED or not _is_number(fields.get("min_ttl", "0")):
        raise ValueError("no door, or no time")


def _check_login(fields: Fields) -> None:
    """Raises ValueError or KeyError where a request for a login says what none can say."""
    Flow(fields["flow"])
    port = fields.get("redirect_port", "0")
    if not _is_number(port) or int(port) > LAST_PORT:
        raise ValueError("no port")


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= LONGEST_NUMBER


def least_left(fields: Fields) -> timedelta | None:
    """How long the credentials must be good for that a request asks for, where it says so."""
    seconds = fields.get("min_ttl")
    return None if seconds is None else timedelta(seconds=min(int(seconds), LONGEST_MIN_TTL))


def _wanted(connection: Connection, fields: Fields) -> Wanted:
    return Wanted(
        fields,
        connection.caller,
        Door(fields.get("door", Door.GET)),
        min_left=least_left(fields),
    )


def _ttl(fields: Fields) -> timedelta | None:
    """Raises UsageError."""
    seconds = fields.get("ttl", "0")
    if not _is_number(seconds):
        raise UsageError(f"“{safe(seconds)}” is no number of seconds")
    return timedelta(seconds=min(int(seconds), LONGEST_MIN_TTL)) or None


def success(document: str) -> dict[str, str]:
    """The last frame of a request that went well."""
    return {"status": "0", "out": document + "\n", "err": ""}


def failure(error: CredhelperError) -> dict[str, str]:
    """The last frame of one that did not, worded for stderr."""
    may_be_crippled = type(error) in {CredhelperError, ConfigError, DaemonUnreachable, Unavailable}
    crippled = _why_crippled() if may_be_crippled else None
    error = crippled or error
    lines = [f"credhelper: error: {safe(error.message)}"]
    if error.hint:
        lines.append(f"credhelper: hint: {safe(error.hint)}")
    return {
        "status": str(error.status),
        "out": "",
        "err": "\n".join(lines) + "\n",
        "code": error.code,
        "message": safe(error.message),
        "hint": safe(error.hint or ""),
        **({"retry": "1", "replace": "1"} if crippled else {}),
    }


def _why_crippled() -> CredhelperError | None:
    """The error of a daemon whose installation was deleted under it; None when it is still there.

    Without those files botocore finds neither the shape of a call nor the certificates.
    """
    if os.path.exists(__file__):
        return None
    return DaemonUnreachable(
        f"the installation that the daemon runs from is gone: {os.path.dirname(os.path.dirname(__file__))}",
        hint="credhelper daemon restart",
    )


def _what_cripples() -> Trouble | None:
    if _why_crippled() is None:
        return None
    package = os.path.dirname(os.path.dirname(__file__))
    return Trouble("the installation that the daemon runs from is gone", package, is_fatal=True)


def _fault() -> dict[str, str]:
    return failure(CredhelperError("a fault in the credhelper daemon; its log says more"))


def _other_version(theirs: str, is_managed: bool) -> dict[str, str]:
    """The answer to a client of another protocol: the fast one hands over to the full program, which may replace us.

    A daemon that a service manager has started is started again by it, whatever the client's own version.
    """
    ours = client.PROTOCOL.decode()
    is_newer = theirs.isdecimal() and int(theirs) > int(ours)
    error = DaemonUnreachable(
        f"the daemon speaks protocol {ours}, this client {safe(theirs)}",
        hint="credhelper service install" if is_managed else "credhelper daemon restart",
    )
    return failure(error) | {"retry": "1"} | ({"replace": "1"} if is_newer else {})


def _decode(payload: bytes) -> Fields:
    fields = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in client.parse(payload).items()
    }
    if fields.keys() - REQUEST_FIELDS:
        raise ValueError("unknown fields")
    return fields
