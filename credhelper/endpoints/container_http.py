"""The door of ``AWS_CONTAINER_CREDENTIALS_FULL_URI``: role credentials over HTTP on 127.0.0.1, for whoever has a token.

Everybody on this machine can knock. Each opening has a path and a token of its own; nothing listens while there is
none. SDKs give up after a second or two and ask again, so that nobody is kept waiting longer than that: what is being
fetched meanwhile is there for the next try.
"""

import asyncio
import errno
import json
import logging
import os
from collections.abc import Coroutine
from ipaddress import IPv4Address
from typing import Any

import h11

from credhelper.agent.agent import Agent
from credhelper.agent.health import Trouble
from credhelper.agent.openings import PATH, Opening, is_id
from credhelper.agent.role_credentials import Entry
from credhelper.domain.errors import (
    AccessRefused,
    ConfigError,
    CredhelperError,
    DaemonUnreachable,
    LoginRequired,
    UpstreamError,
    UsageError,
)
from credhelper.domain.model import Door
from credhelper.domain.text import safe
from credhelper.local import listeners
from credhelper.local.loopback_http import Answer, Reception

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1024
PATIENCE = 1.4  # seconds; botocore's is 2
LOOPBACK = IPv4Address("127.0.0.1")
GET = frozenset({b"GET"})
FIRST_PAUSE = 1.0  # seconds until a port that could not be had is tried again; then twice that, and so on
LONGEST_PAUSE = 60.0
JSON = "application/json"

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    414: "uri_too_long",
    431: "headers_too_large",
    500: "fault",
    505: "version_not_supported",
}

STATUSES: dict[type[CredhelperError], int] = {
    LoginRequired: 403,
    AccessRefused: 403,
    ConfigError: 400,
    UsageError: 400,
    DaemonUnreachable: 400,
    UpstreamError: 503,
}
"""4xx where another try leads nowhere by itself: Go's and Java's SDKs then do without one. Others are 500."""


class ContainerHttp:
    """Listens while there are openings with tokens. Lives on the event loop; what goes wrong here ends nothing else."""

    def __init__(self, agent: Agent) -> None:
        self.reception = Reception(self._answer, most=MOST_CONNECTIONS, methods=GET, as_answer=_as_json)
        self.reception.on_answer = lambda status: agent.counts.container.update((status,))
        self._agent = agent
        self._openings = agent.openings
        self._has_begun = False
        self._trouble: Trouble | None = None
        self._pause = FIRST_PAUSE
        self._retry: asyncio.TimerHandle | None = None
        agent.openings.on_opened.append(self._opened)
        agent.openings.on_closed.append(self._closed)
        agent.health.asks.append(lambda: self._trouble)

    def begin(self) -> None:
        """Serves what the daemon before has left open, at the address that its users know."""
        self._has_begun = True
        if self._is_needed():
            self._listen_as_before()

    async def stop(self) -> None:
        """Closes it; answers under way are broken off."""
        self._has_begun = False
        self._try_no_more()
        await self.reception.stop()

    # -- where it listens ---------------------------------------------------------------------------------------------

    def _is_needed(self) -> bool:
        return any(opening.token_hash is not None for opening in self._openings.all())

    def _opened(self, opening: Opening) -> None:
        """Raises CredhelperError."""
        if opening.token_hash is None or not self._has_begun or self.reception.port is not None:
            return
        self._try_no_more()
        try:
            self._listen(self._openings.port or 0)
        except OSError as error:
            self._cut_off_where_another_listens(error, but=opening.id)
            self._listen_anywhere()

    def _closed(self, opening: Opening) -> None:
        if opening.token_hash is not None and not self._is_needed():
            self._try_no_more()
            self.reception.close()
            self._openings.port = None

    def _listen(self, port: int) -> None:
        """Raises OSError."""
        self._openings.port = self.reception.open(LOOPBACK, port)
        self._trouble = None
        log.info("credentials are served at port %d of 127.0.0.1", self._openings.port)

    def _listen_anywhere(self) -> None:
        """Raises CredhelperError."""
        before = self._openings.port
        try:
            self._listen(0)
        except OSError as error:
            raise CredhelperError(f"no port of 127.0.0.1 can be had: {_reason(error)}") from None
        if before is not None:
            log.warning("port %d of 127.0.0.1 is taken: what was opened there before cannot be reached", before)

    def _listen_as_before(self) -> None:
        """Nobody knows another address: where that cannot be had now, it is tried again."""
        port = self._openings.port or 0
        try:
            self._listen(port)
        except OSError as error:
            if self._cut_off_where_another_listens(error):
                return
            self._trouble = Trouble("the credentials endpoint cannot be opened", f"port {port}: {_reason(error)}")
            log.warning("%s", self._trouble.whole)
            self._retry = asyncio.get_running_loop().call_later(self._pause, self._listen_as_before)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _cut_off_where_another_listens(self, error: OSError, but: str | None = None) -> bool:
        """Whether another user has our port: while no daemon ran, programs may have shown their tokens there."""
        port = self._openings.port
        if error.errno != errno.EADDRINUSE or port is None or not listeners.is_another_users(port):
            return False
        log.warning("another user listens at port %d of 127.0.0.1: what was opened there is closed for good", port)
        self._openings.cut_off(but=but)
        return True

    def _try_no_more(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry, self._trouble, self._pause = None, None, FIRST_PAUSE

    # -- what it answers ----------------------------------------------------------------------------------------------

    def _answer(self, request: h11.Request) -> Answer | Coroutine[Any, Any, Answer]:
        """Missing and wrong tokens get the same answer, in about the same time."""
        shown = [value for name, value in request.headers if name == b"authorization"]
        opening = self._openings.by_token(shown[0] if len(shown) == 1 else b"")
        if opening is None:
            return UNAUTHORIZED
        path, _, named = request.target.rpartition(b"/")
        if path != PATH or not is_id(named):
            return NOT_FOUND
        if named.decode() != opening.id:
            return ANOTHERS
        try:
            entry = self._agent.hand_out_at_once(opening.wanted(Door.CONTAINER))
        except CredhelperError as error:
            return _failure(error)
        return self._later(opening) if entry is None else _success(entry)

    async def _later(self, opening: Opening) -> Answer:
        try:
            return _success(await self._agent.hand_out(opening.wanted(Door.CONTAINER, patience=PATIENCE)))
        except CredhelperError as error:
            return _failure(error)


def _success(entry: Entry) -> Answer:
    return Answer(200, entry.container_document, JSON)


def _failure(error: CredhelperError) -> Answer:
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    text = safe(error.message) + (f" ({safe(error.hint)})" if error.hint else "")
    return _error(status, error.code, text)


def _error(status: int, code: str, message: str, more: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Some SDKs read the one spelling, and some the other."""
    document = {"code": code, "message": message, "Code": code, "Message": message}
    return Answer(status, json.dumps(document).encode(), JSON, more)


def _as_json(refused: Answer) -> Answer:
    return _error(refused.status, CODES[refused.status], refused.body.decode().strip(), refused.more)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


UNAUTHORIZED = _error(401, CODES[401], "the authorization token opens nothing")
NOT_FOUND = _error(404, CODES[404], "there is nothing at this address")
ANOTHERS = _error(403, CODES[403], "the authorization token is for another address")
