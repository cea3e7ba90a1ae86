"""What has been opened for somebody to come through later: the grants of ``exec``, and leases.

An opening leads to one role. It ends when it expires, when the process ends that it was made for, when it is closed,
and at a logout of its session. It outlives the daemon: a small file tells the next one of it, without its token.
"""

import hashlib
import hmac
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from credhelper.agent.flights import Flights
from credhelper.agent.gate import Passage, Wanted
from credhelper.client import CALLER_VARIABLES
from credhelper.domain.errors import AccessRefused, CredhelperError
from credhelper.domain.model import AnyRole, Door, PoolRole
from credhelper.domain.text import safe
from credhelper.local import private_files, process_ends
from credhelper.local.clock import Clock
from credhelper.local.peers import Caller
from credhelper.local.process_ends import Process, ProcessEnds
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

MOST = 1024
LOOK_AT_OWNERS = 5.0  # seconds between two looks, where the kernel does not tell of a process's end
SAVE_DEADLINE = 3.0  # seconds
SAVE_AGAIN = 30.0  # seconds until what could not be written is tried again
FORMAT = 1

PATH = b"/v1/creds"
"""Over HTTP; below it each opening has its id."""

_ID = re.compile(rb"[0-9a-f]{12}")

KEPT_FIELDS = frozenset(
    {
        *(name.decode() for name in CALLER_VARIABLES),
        *("cwd", "profile", "sso_session", "account_id", "role_name", "region"),
    }
)
"""What of a request chooses a role; the rest of it was about that one request, and some of it is secret."""


Identity = tuple[str, str, str]
"""Session key, account and role; of an identity pool's role the pool in the account's place, the ARN in the role's."""


class Kind(StrEnum):
    """What an opening was made for."""

    EXEC = "exec"
    LEASE = "lease"


@dataclass(slots=True)
class Opening:
    """One of them. Times are aware and in UTC."""

    id: str
    kind: Kind
    fields: Mapping[str, str]
    """The request that chose the role, with its caller's HOME, AWS variables and working directory."""
    profile: str | None
    """None where a session, an account and a role were named."""
    session_key: str
    account_id: str
    role_name: str
    caller: Caller
    opened_at: datetime
    expires_at: datetime | None = None
    token_hash: str | None = field(default=None, repr=False)
    """Hex SHA-256 of the token that its user shows; None where there is none."""
    token_file: Path | None = None
    """Where the token was put for its user, if it was."""
    socket: Path | None = None
    """A socket of its own, if it has one."""
    uids: frozenset[int] = frozenset()
    """Other users that may come to that socket."""
    owner: Process | None = None
    """The process with which it ends."""
    leads_to: Identity = ("", "", "")
    """The role that it may ever lead to; by ``session_key``, ``account_id`` and ``role_name`` where it is not said."""

    def __post_init__(self) -> None:
        self.fields = {name: value for name, value in self.fields.items() if name in KEPT_FIELDS}
        if self.leads_to == ("", "", ""):
            self.leads_to = self.session_key, self.account_id, self.role_name

    def wanted(self, door: Door, *, patience: float | None = None) -> Wanted:
        """What whoever comes through it asks for, who waits for ``patience`` seconds; None: as long as usual."""
        return Wanted(
            self.fields, self.caller, door, is_standing=True, bound_to=self.leads_to, patience=patience, opening=self.id
        )


def identity_of(role: AnyRole) -> Identity:
    """What an opening is bound to: which role a pool gives is for the pool to say, from one time to the next."""
    if isinstance(role, PoolRole):
        return role.session.cache_key, role.pool_id, role.named_arn or ""
    return role.session.cache_key, role.account_id, role.role_name


def new_id() -> str:
    """One that nobody has: 12 hex digits."""
    return secrets.token_hex(6)


def is_id(text: bytes) -> bool:
    """Whether an opening may be called so."""
    return _ID.fullmatch(text) is not None


def new_token() -> str:
    """256 random bits for an Authorization header or a file."""
    return secrets.token_urlsafe(32)


def hash_of(token: bytes) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token).hexdigest()


def refuse_other_role(passage: Passage) -> None:
    """A check of the gate: an opening leads to the role it was opened for, whatever its profile says by now.

    Raises AccessRefused.
    """
    bound_to, role = passage.wanted.bound_to, passage.role
    if bound_to is None or role is None or bound_to == identity_of(role):
        return
    raise AccessRefused(
        f"this was opened for the role {safe(bound_to[2] or 'that the pool gives')} in {safe(bound_to[1])},"
        f" but profile {safe(passage.profile or '')} is another one now"
    )


class Openings:
    """All of them. Lives on the event loop."""

    def __init__(self, path: Path, clock: Clock, disk: Workers) -> None:
        """``path``: the file that tells the next daemon."""
        self.on_opened: list[Callable[[Opening], None]] = []
        """Told of each before it is open for anybody; what raises an error of ours prevents it."""
        self.on_closed: list[Callable[[Opening], None]] = []
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self.port: int | None = None
        """Where those with tokens are served over HTTP: kept for them across a restart of the daemon."""
        self._file = _File(path)
        self._clock = clock
        self._disk = disk
        self._open: dict[str, Opening] = {}
        self._deadlines: dict[str, float] = {}
        """By the clock that nobody sets: the wall clock may be set back."""
        self._ends = ProcessEnds(self._attend)
        self._saves: Flights[str, None] = Flights()
        self._is_unsaved = False
        self._has_closed = False
        """Whether the file tells of one that is closed by now."""
        self._save_not_before = 0.0

    # -- what there is ------------------------------------------------------------------------------------------------

    def all(self) -> list[Opening]:
        """Those that are open, in the order in which they were opened."""
        return [opening for opening in self._open.values() if not self._is_over(opening)]

    def get(self, opening_id: str) -> Opening | None:
        """The one with this id, if it is open."""
        opening = self._open.get(opening_id)
        return None if opening is None or self._is_over(opening) else opening

    def now(self) -> datetime:
        """For ``opened_at``, and whatever is reckoned from it."""
        return self._clock.now()

    def uri(self, opening: Opening) -> str:
        """Where one with a token is served."""
        return f"http://127.0.0.1:{self.port}{PATH.decode()}/{opening.id}"

    def by_token(self, token: bytes) -> Opening | None:
        """The one that a token opens. How long that takes tells nothing of any."""
        shown, found = hash_of(token), None
        for opening in self._open.values():
            if opening.token_hash is not None and hmac.compare_digest(opening.token_hash, shown):
                found = opening
        return None if found is None or self._is_over(found) else found

    def refuse_closed(self, passage: Passage) -> None:
        """A check of the gate: what was let in while it was open gets nothing once it is closed. Raises AccessRefused.

        Not even where somebody has logged in again since the logout that closed it.
        """
        opening_id = passage.wanted.opening
        if opening_id is not None and self.get(opening_id) is None:
            raise AccessRefused("this has ended: it has expired or was revoked, or somebody has logged out")

    # -- verbs --------------------------------------------------------------------------------------------------------

    async def open(self, opening: Opening) -> None:
        """Opens it. Once this returns it outlives the daemon.

        Raises CredhelperError with nothing opened: too many of them, its owner has ended, a part of the daemon cannot
        serve it, or it could not be written down.
        """
        if len(self._open) >= MOST:
            raise CredhelperError(f"there are {MOST} grants and leases already")
        self._take(opening)
        try:
            self._tell_of_new(opening)
            await self._saved()
        except BaseException:
            await self.close(opening.id)
            raise
        if opening.id not in self._open:
            raise CredhelperError("what was being opened has been closed again: by a logout, or with its program")
        self.on_attention()

    async def close(self, opening_id: str) -> bool:
        """Closes the one with this id; whether there was one."""
        return await self._close([opening_id]) > 0

    async def end(self, session_key: str | None) -> None:
        """Closes those of one session, or with None every one: at a logout. Raises nothing."""
        await self._close([each.id for each in self._open.values() if session_key in {None, each.session_key}])

    def cut_off(self, *, but: str | None = None) -> None:
        """Closes those with tokens, which somebody may have been shown, but the one with this id; waits for nothing."""
        self._close_now([each.id for each in self._open.values() if each.token_hash is not None and each.id != but])
        if not self._saves.has("save"):  # what is being written goes on until all is
            self._saves.start("save", self._save_behind)

    async def load(self) -> None:
        """Takes up those that the daemon before has left open. Raises nothing.

        Those that have expired, and those whose process has ended, are closed.
        """
        try:
            content = await self._disk.run(SAVE_DEADLINE, self._file.read)
            self.port, found = _decode(content)
        except (DeadlineExceeded, private_files.UnusableFile, OSError) as error:
            log.warning("%s cannot be read, its grants and leases are lost: %s", self._file.path, error)
            return
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
            log.warning("%s makes no sense, its grants and leases are lost", self._file.path)
            self._is_unsaved = True
            return
        for opening in found[:MOST]:
            self._take_up(opening)
        self.on_attention()

    def run_due(self) -> float | None:
        """Closes those that are over, waiting for nothing; seconds until the next may be, None when none will."""
        self._close_now([each.id for each in self._open.values() if self._is_over(each) or self._has_lost_owner(each)])
        pauses = [self._left(opening) for opening in self._open.values() if opening.expires_at is not None]
        if any(each.owner is not None and not self._ends.is_watching(each.owner) for each in self._open.values()):
            pauses.append(LOOK_AT_OWNERS)
        if self._is_unsaved and not self._saves.has("save"):
            held_back = self._save_not_before - self._clock.monotonic()
            if held_back > 0:
                pauses.append(held_back)
            else:
                self._saves.start("save", self._save_behind)
        return min(pauses, default=None)

    def retry_now(self) -> None:
        """The disk may work again."""
        self._save_not_before = 0.0

    async def stop(self) -> None:
        """Lets what is being written be written. What is open stays so for the next daemon."""
        await self._saves.settle(SAVE_DEADLINE)
        self._ends.forget_all()

    # -- parts --------------------------------------------------------------------------------------------------------

    def _attend(self) -> None:
        self.on_attention()

    def _take(self, opening: Opening) -> None:
        """Raises CredhelperError when its owner has ended."""
        if opening.owner is not None:
            self._ends.watch(opening.owner)  # before the look: from there on nothing is missed
            if not process_ends.is_alive(opening.owner):
                self._let_go_of_owner(opening)
                raise CredhelperError("the program that this was opened for has ended")
        self._open[opening.id] = opening
        if opening.expires_at is not None:
            left = (opening.expires_at - self._clock.now()).total_seconds()
            self._deadlines[opening.id] = self._clock.boottime() + left

    def _take_up(self, opening: Opening) -> None:
        try:
            self._take(opening)
            if self._is_over(opening):
                raise CredhelperError("it has expired")  # noqa: TRY301  # told as the others are
            self._tell_of_new(opening)
        except CredhelperError as error:
            log.info("the %s %s is closed: %s", opening.kind, opening.id, error)
            self._close_now([opening.id])
            self._is_unsaved = self._has_closed = True

    def _tell_of_new(self, opening: Opening) -> None:
        for note in self.on_opened:
            note(opening)

    async def _close(self, ids: Iterable[str]) -> int:
        count = self._close_now(ids)
        if count:
            await self._saves.join("save", self._save_behind)
        return count

    def _close_now(self, ids: Iterable[str]) -> int:
        """In memory at once: from here on nobody comes through."""
        closed = [opening for each in ids if (opening := self._open.pop(each, None)) is not None]
        for opening in closed:
            self._deadlines.pop(opening.id, None)
            self._let_go_of_owner(opening)
            self._is_unsaved = self._has_closed = True
            for note in self.on_closed:
                note(opening)
        return len(closed)

    def _let_go_of_owner(self, opening: Opening) -> None:
        owner = opening.owner
        if owner is not None and all(each.owner != owner for each in self._open.values()):
            self._ends.forget(owner)

    def _has_lost_owner(self, opening: Opening) -> bool:
        if opening.owner is None or self._ends.is_watching(opening.owner):
            return False
        return not process_ends.is_alive(opening.owner)

    def _is_over(self, opening: Opening) -> bool:
        return opening.expires_at is not None and self._left(opening) <= 0

    def _left(self, opening: Opening) -> float:
        """Seconds, of one that expires."""
        assert opening.expires_at is not None  # noqa: S101  # see above
        by_wall = (opening.expires_at - self._clock.now()).total_seconds()
        return min(by_wall, self._deadlines[opening.id] - self._clock.boottime())

    async def _saved(self) -> None:
        """Returns once the file says what is so now. Raises CredhelperError."""
        self._is_unsaved = True
        while self._is_unsaved:
            await self._saves.join("save", self._save)

    async def _save(self) -> None:
        """Raises CredhelperError."""
        while self._is_unsaved:
            content = _encode(self.port, self._open.values()) if self._open else None
            has_closed, self._has_closed, self._is_unsaved = self._has_closed, False, False
            write = partial(self._file.replace, self._file.next_number(), content, may_stay=not has_closed)
            try:
                await self._disk.run(SAVE_DEADLINE, write)
            except (OSError, DeadlineExceeded) as error:
                self._is_unsaved, self._has_closed = True, self._has_closed or has_closed
                self._save_not_before = self._clock.monotonic() + SAVE_AGAIN
                why = (error.strerror if isinstance(error, OSError) else None) or str(error)
                raise CredhelperError(f"{self._file.path} cannot be written: {why}") from None

    async def _save_behind(self) -> None:
        """Nobody waits for it, or can do anything about it."""
        try:
            await self._save()
        except CredhelperError as error:
            log.warning("%s", error)
            self.on_attention()


class _File:
    """The file, which threads that were given up must not set back. Its methods but one block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()
        self._asked_for = 0
        self._written = 0

    def next_number(self) -> int:
        """For the next content, on the event loop."""
        self._asked_for += 1
        return self._asked_for

    def read(self) -> bytes | None:
        """Raises UnusableFile."""
        return private_files.read(self.path, largest=16 * private_files.LARGEST)

    def replace(self, number: int, content: bytes | None, *, may_stay: bool) -> None:
        """Writes it, or with None removes the file. Raises OSError.

        What was there before goes even where nothing can be written, unless it ``may_stay``: rather no door after a
        restart than one that somebody has closed.
        """
        with self._writing:
            if number < self._written:
                return
            if content is None:
                private_files.remove(self.path)
            else:
                try:
                    private_files.write(self.path, content)
                except OSError:
                    if not may_stay:
                        private_files.remove(self.path)
                    raise
            self._written = number


def _encode(port: int | None, openings: Iterable[Opening]) -> bytes:
    return json.dumps({"format": FORMAT, "port": port, "openings": [_plain(each) for each in openings]}).encode()


def _decode(content: bytes | None) -> tuple[int | None, list[Opening]]:
    """Raises ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError."""
    if content is None:
        return None, []
    found = json.loads(content)
    if found["format"] != FORMAT:
        raise ValueError("another format")
    port = found["port"]
    return None if port is None else int(port), [_from_plain(each) for each in found["openings"]]


def _plain(opening: Opening) -> dict[str, Any]:
    caller = opening.caller
    return {
        "id": opening.id,
        "kind": opening.kind.value,
        "fields": dict(opening.fields),
        "profile": opening.profile,
        "session_key": opening.session_key,
        "account_id": opening.account_id,
        "role_name": opening.role_name,
        "caller": {
            "uid": caller.uid,
            "pid": caller.pid,
            "exe": caller.exe,
            "cwd": caller.cwd,
            "name": caller.name,
        },
        "opened_at": opening.opened_at.timestamp(),
        "expires_at": None if opening.expires_at is None else opening.expires_at.timestamp(),
        "token_hash": opening.token_hash,
        "token_file": None if opening.token_file is None else str(opening.token_file),
        "socket": None if opening.socket is None else str(opening.socket),
        "uids": sorted(opening.uids),
        "owner": opening.owner,
        "leads_to": opening.leads_to,
    }


def _from_plain(found: Mapping[str, Any]) -> Opening:
    ends, owner = found["expires_at"], found["owner"]
    return Opening(
        id=str(found["id"]),
        kind=Kind(found["kind"]),
        fields={str(name): str(value) for name, value in found["fields"].items()},
        profile=found["profile"],
        session_key=str(found["session_key"]),
        account_id=str(found["account_id"]),
        role_name=str(found["role_name"]),
        caller=Caller(**found["caller"]),
        opened_at=datetime.fromtimestamp(found["opened_at"], UTC),
        expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        token_hash=found["token_hash"],
        token_file=_path(found["token_file"]),
        socket=_path(found["socket"]),
        uids=frozenset(int(uid) for uid in found["uids"]),
        owner=None if owner is None else (int(owner[0]), int(owner[1])),
        leads_to=_identity(found.get("leads_to")),
    )


def _identity(found: Any) -> Identity:
    """Those of an earlier release do not say it. Raises TypeError, ValueError."""
    session_key, account_id, role_name = found or ("", "", "")
    return str(session_key), str(account_id), str(role_name)


def _path(found: str | None) -> Path | None:
    return None if found is None else Path(found)
