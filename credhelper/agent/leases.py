"""Leases: doors of one role for a container, another machine or an agent; they end by themselves, or at a logout.

A lease is a socket of its own, or a token in a file for the endpoint over HTTP. What outlives the daemon of it is an
opening; the socket is bound again by the next daemon, and the file lies there all the time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

from credhelper.agent.gate import Wanted
from credhelper.agent.health import Trouble
from credhelper.agent.openings import Kind, Opening, Openings, hash_of, identity_of, new_id, new_token
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import AccessRefused, CredhelperError, UsageError
from credhelper.domain.text import safe
from credhelper.local import lease_files, namespaces, places
from credhelper.local.lease_files import OwnSocket
from credhelper.local.private_files import UnusableFile
from credhelper.local.workers import DeadlineExceeded, Workers

if TYPE_CHECKING:
    from credhelper.agent.agent import Agent

log = logging.getLogger(__name__)

MOST = 256
"""Each has a socket, or shares the port of the others."""
LONGEST = 366 * 86_400  # seconds
FILE_SECONDS = 3.0
LAST_UID = 2**32 - 2

Json = dict[str, Any]
Fields = Mapping[str, str]


class LeasePlaces:
    """The sockets and token files of leases. Lives on the event loop."""

    def __init__(self, openings: Openings) -> None:
        self.sockets: dict[str, OwnSocket] = {}
        """Those at which we listen, by their leases' ids."""
        self._disk = Workers("lease", 4)
        self._work: set[asyncio.Task[None]] = set()
        openings.on_closed.append(self._closed)

    async def listen(self, lease_id: str, path: Path, *, for_others: bool) -> None:
        """Raises CredhelperError."""
        try:
            work = partial(lease_files.listen, path, for_others=for_others)
            self.sockets[lease_id] = await self._disk.run(FILE_SECONDS, work)
        except DeadlineExceeded as error:
            raise CredhelperError(f"{path} cannot be made: {error}") from None

    async def write(self, path: Path, token: str) -> None:
        """Raises CredhelperError."""
        try:
            await self._disk.run(FILE_SECONDS, partial(lease_files.write_token, path, token))
        except DeadlineExceeded as error:
            raise CredhelperError(f"{path} cannot be written: {error}") from None

    def clear_away(self, lease_id: str, token_file: Path | None, token_hash: str | None) -> None:
        """Begins to remove what there is of a lease."""
        own = self.sockets.pop(lease_id, None)
        if own is not None:
            self._behind(own.close)
        if token_file is not None and token_hash is not None:
            self._behind(partial(lease_files.remove_token, token_file, token_hash))

    async def settled(self) -> None:
        """Until what is to be removed has been."""
        while self._work:
            await asyncio.wait(self._work)

    async def stop(self) -> None:
        """Takes the sockets away, at which nobody would answer; the leases stay for the next daemon."""
        for lease_id in list(self.sockets):
            self.clear_away(lease_id, None, None)
        await self.settled()

    def _closed(self, opening: Opening) -> None:
        if opening.kind is not Kind.LEASE:
            return
        if opening.socket is not None and opening.id not in self.sockets:  # an earlier daemon's, which was killed
            self._behind(partial(lease_files.remove_dead_socket, opening.socket))
        self.clear_away(opening.id, opening.token_file, opening.token_hash)
        log.info("lease %s has ended", opening.id)

    def _behind(self, work: Callable[[], None]) -> None:
        task = asyncio.ensure_future(self._on_disk(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _on_disk(self, work: Callable[[], None]) -> None:
        try:
            await self._disk.run(FILE_SECONDS, work)
        except (OSError, UnusableFile, DeadlineExceeded) as error:
            log.warning("a lease has ended, and something of it is left: %s", error)


class Leases:
    """Makes leases, lists and ends them. Lives on the event loop."""

    def __init__(self, agent: "Agent") -> None:
        self.directory = Path("/nonexistent")
        """Where sockets are made for which nobody named a place: the daemon's own, which nobody else can enter."""
        self.on_listening: Callable[[Opening, socket], Awaitable[None]] = _nobody_answers
        """Given each lease's listening socket, to answer there until ``Openings.on_closed`` tells of its end."""
        self._agent = agent
        self._openings = agent.openings
        self._places = LeasePlaces(agent.openings)
        self._unreachable: dict[str, str] = {}
        """Why, by the ids of those whose sockets could not be made again."""
        agent.openings.on_closed.append(self._closed)
        agent.health.asks.append(self._what_troubles)
        agent.health.leases = lambda: len(self.all())

    # -- verbs --------------------------------------------------------------------------------------------------------

    async def create(self, wanted: Wanted) -> Json:
        """A lease as the request's fields ask for it, in the contract's shape, and ``label``, the role's for people.

        ``ttl`` is in whole seconds, without it the lease has no end of its own; ``socket`` and ``token_file`` are
        absolute paths, without either it is a socket at a place of ours; ``uid`` lists other users with commas between.
        Raises UsageError, what ``Agent.hand_out`` raises, and what ``Openings.open`` raises.
        """
        if len(self.all()) >= MOST:
            raise CredhelperError(f"there are {MOST} leases already", hint="credhelper lease list")
        lease_id = new_id()
        plan = _Plan.of(wanted.fields, places.lease_socket(self.directory, lease_id))
        token = new_token() if plan.token_file else None
        token_hash = hash_of(token.encode()) if token else None
        try:
            if plan.token_file is not None and token is not None:
                await self._places.write(plan.token_file, token)
            elif plan.socket is not None:
                await self._places.listen(lease_id, plan.socket, for_others=bool(plan.uids))
            await self._agent.hand_out(wanted)
            # Nothing is awaited from here on until it is among the openings: a logout in between would miss it.
            lease = self._opening(lease_id, plan, token_hash, wanted)
            await self._openings.open(lease)
        except BaseException:
            self._places.clear_away(lease_id, plan.token_file, token_hash)
            await self._places.settled()
            raise
        await self._answer(lease)
        log.info("lease %s is open for the role %s in %s", lease.id, safe(lease.role_name), lease.account_id)
        return self.describe(lease) | {"label": label(lease)}

    async def revoke(self, fields: Fields) -> Json:
        """Ends one. Raises UsageError where there is none."""
        lease_id = fields.get("id", "")
        if all(lease.id != lease_id for lease in self.all()):
            raise UsageError(f"there is no lease “{safe(lease_id)}”, or no longer", hint="credhelper lease list")
        await self._openings.close(lease_id)
        await self._places.settled()
        return {"revoked": True}

    async def listed(self, _: Fields) -> Json:
        """The contract's document, and ``labels``: each lease's role for people, by id."""
        leases = self.all()
        return {
            "leases": [self.describe(lease) for lease in leases],
            "labels": {lease.id: label(lease) for lease in leases},
        }

    def all(self) -> list[Opening]:
        """Those that are open."""
        return [opening for opening in self._openings.all() if opening.kind is Kind.LEASE]

    def describe(self, lease: Opening) -> Json:
        """As the contract has it, with the way in."""
        if lease.socket is not None:
            return brief(lease) | {"socket": str(lease.socket)}
        return brief(lease) | {"uri": self._openings.uri(lease), "token_file": str(lease.token_file)}

    # -- the daemon's life --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Listens where the daemon before has: for what it has left open. Raises nothing."""
        await asyncio.gather(*(self._listen_again(lease, lease.socket) for lease in self.all() if lease.socket))

    async def settled(self) -> None:
        """Until what there was of leases that have ended is removed."""
        await self._places.settled()

    async def stop(self) -> None:
        """Takes the sockets away; the leases stay for the next daemon."""
        await self._places.stop()

    async def _listen_again(self, lease: Opening, path: Path) -> None:
        try:
            await self._places.listen(lease.id, path, for_others=bool(lease.uids))
        except CredhelperError as error:
            log.warning("lease %s cannot be reached any more: %s", lease.id, error)
            self._unreachable[lease.id] = error.message
            return
        await self._answer(lease)

    # -- parts --------------------------------------------------------------------------------------------------------

    async def _answer(self, lease: Opening) -> None:
        own = self._places.sockets.get(lease.id)
        if own is None:
            return
        if self._openings.get(lease.id) is None:  # it has ended meanwhile
            self._places.clear_away(lease.id, None, None)
        else:
            await self.on_listening(lease, own.listener)

    def _opening(self, lease_id: str, plan: "_Plan", token_hash: str | None, wanted: Wanted) -> Opening:
        role, profile = self._agent.role_behind(wanted)
        now = self._openings.now()
        return Opening(
            id=lease_id,
            kind=Kind.LEASE,
            fields=wanted.fields,
            profile=profile,
            session_key=role.session.cache_key,
            account_id=role.account_id,
            role_name=role.role_name,
            caller=wanted.caller,
            opened_at=now,
            expires_at=None if plan.ttl is None else now + plan.ttl,
            token_hash=token_hash,
            token_file=plan.token_file,
            socket=plan.socket,
            uids=plan.uids,
            leads_to=identity_of(role),
        )

    def _closed(self, opening: Opening) -> None:
        self._unreachable.pop(opening.id, None)

    def _what_troubles(self) -> Trouble | None:
        if not self._unreachable:
            return None
        return Trouble("a lease cannot be reached", "; ".join(self._unreachable.values()))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a request says of a lease, once it is clear that it can be: it has either a socket or a file."""

    socket: Path | None
    token_file: Path | None
    uids: frozenset[int]
    ttl: timedelta | None

    @classmethod
    def of(cls, fields: Fields, default: Path) -> "_Plan":
        """``default``: the socket's place where none is named. Raises UsageError, AccessRefused."""
        path, token_file = fields.get("socket"), fields.get("token_file")
        if path and token_file:
            raise UsageError("--socket and --token-file exclude each other")
        uids = _uids(fields.get("uid", ""))
        if token_file and uids:
            raise UsageError("--uid is for sockets: who can read a token file needs nothing else")
        named = Path(token_file or path or default)
        if not named.is_absolute():
            raise UsageError(f"{safe(str(named))} is not an absolute path")
        return cls(None if token_file else named, named if token_file else None, uids, _ttl(fields))


async def _nobody_answers(_: Opening, __: socket) -> None:
    """Until a door is there."""


def brief(lease: Opening) -> Json:
    """What ``status`` tells of it."""
    ends = lease.expires_at
    return {"id": lease.id, "profile": lease.profile, "expires_at": None if ends is None else timestamp(ends)}


def label(lease: Opening) -> str:
    """What a person calls its role."""
    return lease.profile or f"{lease.account_id} {lease.role_name}"


def _ttl(fields: Fields) -> timedelta | None:
    found = fields.get("ttl")
    if found is None:
        return None
    if not (found.isascii() and found.isdecimal() and len(found) < 10 and 1 <= int(found) <= LONGEST):
        raise UsageError(f"--ttl: “{safe(found)}” is not a time between a second and a year")
    return timedelta(seconds=int(found))


def _uids(text: str) -> frozenset[int]:
    """Raises UsageError, and AccessRefused for whom the daemon could not tell from everybody else."""
    found = text.split(",") if text else []
    if not all(each.isascii() and each.isdecimal() and len(each) < 11 and int(each) <= LAST_UID for each in found):
        raise UsageError(f"--uid: “{safe(text)}” is not the number of a user")
    uids = frozenset(map(int, found))
    for uid in sorted(uids):
        if not namespaces.can_tell(uid):
            raise AccessRefused(
                f"the daemon is in a user namespace of its own (PrivateUsers= of its service), where it cannot tell"
                f" uid {uid} from any other user: it would have to let in everybody",
                hint="credhelper lease create --token-file PATH",
            )
    return uids
