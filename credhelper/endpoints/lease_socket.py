"""A lease's door: a socket like the daemon's own, which answers ``get`` of one role, ``status`` and nothing else.

Who comes to it may be in a container or behind ``ssh -R``: with another HOME, other files and, where the lease says so,
another uid. Nothing of that matters: which role it is was decided when the lease was made.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from socket import socket
from typing import Any

from credhelper.agent import leases, status
from credhelper.agent.agent import Agent, render
from credhelper.agent.gate import Passage, Wanted
from credhelper.agent.openings import Opening
from credhelper.domain.errors import AccessRefused, CredhelperError
from credhelper.domain.model import Door
from credhelper.domain.text import safe
from credhelper.endpoints.unix_socket import Connection, Fields, UnixSocket, failure, least_left, success
from credhelper.local import namespaces

Json = dict[str, Any]

MOST_CONNECTIONS = 256
"""To one lease at a time: a container that wants too much keeps nobody else from the daemon."""

TOLD = ("running", "pid", "version", "started_at", "locked")
"""What a lease's ``status`` tells of the daemon; the rest names files and what goes on elsewhere."""


class LeaseSockets:
    """The sockets of all leases, and the operations of the daemon's own socket that make, list and end leases."""

    def __init__(self, agent: Agent, door: UnixSocket) -> None:
        """``door``: the daemon's own socket, which has the operations from now on."""
        self._agent = agent
        self._door = door
        self._open: dict[str, LeaseSocket] = {}
        agent.leases.on_listening = self._listening
        agent.openings.on_closed.append(self._closed)
        door.operations["lease_create"] = _telling(self._create)
        door.operations["lease_list"] = _telling(lambda _, fields: agent.leases.listed(fields))
        door.operations["lease_revoke"] = _telling(lambda _, fields: agent.leases.revoke(fields))

    def stop(self) -> None:
        """Stops accepting. Whoever has been let in is waited for as at the daemon's own socket."""
        for lease_socket in self._open.values():
            lease_socket.close()
        self._open.clear()

    async def _create(self, connection: Connection, fields: Fields) -> Json:
        return await self._agent.leases.create(Wanted(fields, connection.caller, Door.LEASE))

    async def _listening(self, lease: Opening, listener: socket) -> None:
        self._open[lease.id] = LeaseSocket(self._agent, self._door, lease)
        await self._open[lease.id].start(listener)

    def _closed(self, opening: Opening) -> None:
        lease_socket = self._open.pop(opening.id, None)
        if lease_socket is not None:
            lease_socket.close()
            lease_socket.break_off()


class LeaseSocket:
    """One lease's. Its callers count among those of the daemon's own socket."""

    def __init__(self, agent: Agent, door: UnixSocket, lease: Opening) -> None:
        self.agent = agent
        self.connections = door.connections
        self.one_has_left = door.one_has_left
        self.operations: dict[str, Callable[[Connection, Fields], Awaitable[None]]] = {
            **dict.fromkeys(door.operations, self._refuse),
            "get": self._get,
            "status": _telling(self._status),
            "hello": door.operations["hello"],
        }
        self._door = door
        self._lease = lease
        self._uids = {os.getuid(), *filter(namespaces.can_tell, lease.uids)}
        self._server: asyncio.Server | None = None
        self._is_closed = False

    async def start(self, listener: socket) -> None:
        """Begins to accept."""
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: Connection(self), sock=listener, **keep)
        self._server = server
        if self._is_closed:  # meanwhile
            server.close()

    def close(self) -> None:
        """Stops accepting."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()

    def break_off(self) -> None:
        """Ends every connection: what it was let in for is over."""
        for connection in [each for each in self.connections if each.door is self]:
            connection.break_off()

    @property
    def is_managed(self) -> bool:
        """As the daemon."""
        return self._door.is_managed

    def admits(self, uid: int) -> bool:
        """The daemon's own user, and those whom the lease names and the kernel can tell from everybody else.

        Not all at once.
        """
        return uid in self._uids and sum(each.door is self for each in self.connections) < MOST_CONNECTIONS

    def refused(self, uid: int) -> None:
        """Counted with the others."""
        if uid in self._uids:
            self.agent.counts.dropped["crowded"] += 1
        else:
            self._door.refused(uid)

    def answer_at_once(self, connection: Connection, fields: Fields) -> dict[str, str] | None:
        """Credentials that are in memory."""
        if fields["op"] != "get":
            return None
        try:
            entry = self.agent.hand_out_at_once(self._wanted(connection, fields))
        except CredhelperError as error:
            return failure(error)
        return None if entry is None else success(entry.document)

    async def _get(self, connection: Connection, fields: Fields) -> None:
        connection.answer(success((await self.agent.hand_out(self._wanted(connection, fields))).document))

    async def _refuse(self, _: Connection, fields: Fields) -> None:
        raise AccessRefused(
            f"this socket is a lease for {safe(leases.label(self._lease))}:"
            f" it answers get and status, and not {fields['op'].replace('_', ' ')}",
            hint="credhelper exec --env -- CMD…" if fields["op"] == "grant" else None,
        )

    async def _status(self, _: Connection, __: Fields) -> Json:
        """Of itself only."""
        known = self.agent.about()
        about = dict.fromkeys(known) | {name: known[name] for name in TOLD} | {"socket": str(self._lease.socket)}
        found = status.document(daemon=about, sso_sessions=[], leases=[leases.brief(self._lease)])
        return {"status": found, "chosen": None, "mistakes": [], "is_lease": True}

    def _wanted(self, connection: Connection, fields: Fields) -> Wanted:
        """Raises AccessRefused when another role is asked for."""
        wanted = replace(self._lease.wanted(Door.LEASE), caller=connection.caller)
        asked_for = replace(wanted, fields={**wanted.fields, **fields})
        with self.agent.gate.noting_refusals(Passage(asked_for)):
            _refuse_other(self._lease, fields)
        return replace(wanted, min_left=least_left(fields))


def _refuse_other(lease: Opening, fields: Mapping[str, str]) -> None:
    """A profile or role that is named must be the lease's own. Raises AccessRefused."""
    if "sso_session" in fields:
        named = tuple(fields.get(name) for name in ("sso_session", "account_id", "role_name"))
        is_own = named == (lease.session_key, lease.account_id, lease.role_name)
        shown = f"{named[1]} {named[2]}"
    else:
        shown = fields.get("profile") or fields.get("AWS_PROFILE") or fields.get("AWS_DEFAULT_PROFILE") or ""
        is_own = shown in {"", lease.profile or "default"}
    if not is_own:
        own = leases.label(lease)
        raise AccessRefused(f"this socket is a lease for {safe(own)}, and for nothing else: not for {safe(shown)}")


def _telling(
    verb: Callable[[Connection, Fields], Awaitable[Json]],
) -> Callable[[Connection, Fields], Awaitable[None]]:
    async def handle(connection: Connection, fields: Fields) -> None:
        connection.answer({"status": "0", "out": render(await verb(connection, fields)), "err": ""})

    return handle
