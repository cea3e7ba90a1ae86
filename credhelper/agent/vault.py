"""What outlives a restart of the daemon: role credentials, and which login they came from, sealed on this disk.

The key is the keyring's. Without one, nothing is written and all goes on in memory: a keyring may be absent, locked or
hang. Nobody waits for the disk: what is kept is written behind, in order, and of two versions the later one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from credhelper.agent import vault_documents
from credhelper.agent.vault_documents import ABOUT_SIGN_IN, Kept, SignIn, about_role
from credhelper.aws.sealed_token_cache import REGISTRATION, TOKEN
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.model import AnyRole, SignInSource
from credhelper.local import private_files, sealed_files
from credhelper.local.keychain import KeychainUnavailable
from credhelper.local.sealed_files import KeyBox
from credhelper.local.workers import DeadlineExceeded, Workers

__all__ = ["Kept", "KeyBox", "KeyHolder", "SignIn", "Vault"]

log = logging.getLogger(__name__)

GRACE = 1.0  # seconds on top of the keychain's own deadline, which is the one that should strike
PAUSE = 600.0  # seconds before a keyring that failed is asked again: on a desktop, each time a person may be prompted
DISK_SECONDS = 10.0  # for one file, or for reading them all
STOP_SECONDS = 1.0  # for what is being written when the daemon ends

NOT_ASKED = "the keyring has not answered yet"
SWITCHED_OFF = "switched off in credhelper's configuration"


class KeyHolder(Protocol):
    """A keyring as ``local.keychain.Keychain`` offers it: its methods block, for up to ``seconds``."""

    @property
    def seconds(self) -> float:
        """How long it may take."""

    def key(self, name: str) -> bytes:
        """The key. Raises KeychainUnavailable."""

    def delete(self, name: str) -> None:
        """Forgets it. Raises KeychainUnavailable."""


@dataclass(frozen=True, slots=True)
class _Write:
    path: Path
    owner: str
    epoch: int
    """The owner's when it was asked for: after a logout it is no longer wanted."""
    document: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Removal:
    path: Path
    owner: str


@dataclass(frozen=True, slots=True)
class _Sweep:
    owner: str


_Change = _Write | _Removal | _Sweep


class Vault:
    """The sealed files of one home. Lives on the event loop."""

    def __init__(
        self,
        directory: Path,
        keychain: KeyHolder | None,
        key_name: str,
        box: KeyBox,
        keyring: Workers,
        disk: Workers,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``keychain`` is None where the vault is switched off; ``box`` is where the key will be found."""
        self.opened = asyncio.Event()
        """Set once the keyring has answered, or been given up, for the first time."""
        self.on_key: Callable[[], None] = lambda: None
        """Called whenever a key has come: at the start, later from a keyring that was locked, after a logout."""
        self._directory = directory
        self._keychain = keychain
        self._key_name = key_name
        self._box = box
        self._keyring = keyring
        self._disk = disk
        self._monotonic = monotonic
        self._at_keyring = asyncio.Lock()
        self._key_epoch = 0
        """Counts how often the key was forgotten, for an answer that comes late."""
        self._ask_again_at = float("-inf")
        self._key_trouble: str | None = SWITCHED_OFF if keychain is None else NOT_ASKED
        self._disk_trouble: str | None = None
        self._is_disk_failing = False
        """Whether to leave the disk alone until something new is kept."""
        self._epochs: dict[str, int] = {}
        """Counts each owner's logouts."""
        self._pending: dict[Path | str, _Change] = {}
        """What is still to be done, in order: of each path the latest, and by owner the sweeps."""
        self._opening: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """ "keyring" where everything outlives a restart, "memory" where nothing new does."""
        return "memory" if self.trouble else "keyring"

    @property
    def trouble(self) -> str | None:
        """Why it is memory only, in a few words for a person."""
        return self._key_trouble or self._disk_trouble

    @property
    def is_switched_off(self) -> bool:
        """Whether memory is all there is to be, by choice."""
        return self._keychain is None

    async def open(self) -> None:
        """Gets the key from the keyring, unless it is at hand or the keyring failed less than ten minutes ago.

        Takes no longer than the keychain's deadline and raises nothing: ``trouble`` says how it went.
        """
        try:
            async with self._at_keyring:
                if self._keychain is not None and self._lacks_key_and_may_ask():
                    await self._get_key(self._keychain)
        finally:
            self.opened.set()
        self._work()

    def ask(self, *, is_person_there: bool = False) -> asyncio.Task[None] | None:
        """Has the keyring asked behind, if ``open`` would ask it; returns the asking to wait for, or None.

        A person who is there may be prompted, however short a time ago the keyring failed.
        """
        if self._keychain is None:
            return None
        if is_person_there:
            self._ask_again_at = float("-inf")
        if self._lacks_key_and_may_ask() and (self._opening is None or self._opening.done()):
            self._opening = asyncio.create_task(self.open())
        return self._opening

    async def load(self) -> tuple[dict[str, SignIn], list[Kept]]:
        """Each session's sign-in by its cache key, and every role's credentials; nothing without the key.

        What cannot be unsealed is removed: nobody will ever be able to. Raises nothing.
        """
        key = self._box.key
        if key is None:
            return {}, []
        try:
            return await self._disk.run(DISK_SECONDS, lambda: _load(self._directory, key), lane="vault")
        except (OSError, DeadlineExceeded) as error:
            log.warning("the vault %s cannot be read: %s", self._directory, error)
            return {}, []

    def keep(self, kept: Kept) -> None:
        """Has a role's credentials written behind, as soon as there is a key."""
        session = kept.role.session
        self._write(session, about_role(kept.role), vault_documents.kept_document(kept))

    def keep_sign_in(self, session: SignInSource, sign_in: SignIn) -> None:
        """Has a session's sign-in written behind, as soon as there is a key."""
        self._write(session, ABOUT_SIGN_IN, vault_documents.sign_in_document(session, sign_in))

    def drop(self, role: AnyRole) -> None:
        """Has the file of a role whose credentials lapsed removed behind."""
        path = sealed_files.path_of(self._directory, role.session.cache_key, about_role(role))
        self._queue(path, _Removal(path, role.session.cache_key))

    def forget(self, session_key: str) -> None:
        """A logout: from now on nothing that was asked for before stays on disk, though it is being written just now.

        The session's files go, but for its sealed token and registration: those are the logout's, for a new login may
        already be writing them.
        """
        self._epochs[session_key] = self._epoch(session_key) + 1
        self._pending = {place: change for place, change in self._pending.items() if change.owner != session_key}
        self._queue(session_key, _Sweep(session_key))

    async def forget_key(self) -> None:
        """A logout of everything: the key leaves memory, and within the keychain's deadline the keyring.

        The next thing that is kept makes a new key. Raises nothing.
        """
        self._key_epoch += 1
        self._box.key = None
        if self._keychain is None:
            return
        try:
            await self._delete_key(self._keychain)
        except (KeychainUnavailable, DeadlineExceeded, TimeoutError) as error:
            why = str(error) or f"no answer within {self._keychain.seconds:g} s"
            log.warning("the keyring still holds the vault's key, which opens nothing any more: %s", why)
            self._note_key_trouble(why)
        else:
            self._key_trouble, self._ask_again_at = None, float("-inf")

    async def stop(self) -> None:
        """Waits for a moment for what is being written, then leaves it."""
        tasks = {task for task in (self._opening, self._writing) if task is not None}
        if self._opening is not None:
            self._opening.cancel()
        if not tasks:
            return
        _, slow = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in slow:
            task.cancel()
        if slow:
            await asyncio.wait(slow)

    # -- the key ------------------------------------------------------------------------------------------------------

    def _lacks_key_and_may_ask(self) -> bool:
        return self._box.key is None and self._monotonic() >= self._ask_again_at

    async def _get_key(self, keychain: KeyHolder) -> None:
        epoch = self._key_epoch
        try:
            key = await self._keyring.run(keychain.seconds + GRACE, lambda: keychain.key(self._key_name), lane="vault")
        except (KeychainUnavailable, DeadlineExceeded) as error:
            self._note_key_trouble(str(error))
            return
        if epoch != self._key_epoch:
            return  # a logout has come in between, and waits to delete it
        self._box.key, self._key_trouble = key, None
        log.info("the vault %s is open", self._directory)
        self.on_key()

    async def _delete_key(self, keychain: KeyHolder) -> None:
        seconds = keychain.seconds + GRACE
        async with asyncio.timeout(seconds), self._at_keyring:
            await self._keyring.run(seconds, lambda: keychain.delete(self._key_name), lane="vault")

    def _note_key_trouble(self, why: str) -> None:
        if why != self._key_trouble:
            log.warning("nothing outlives a restart of the daemon: %s", why)
        self._key_trouble, self._ask_again_at = why, self._monotonic() + PAUSE

    # -- the files ----------------------------------------------------------------------------------------------------

    def _epoch(self, owner: str) -> int:
        return self._epochs.get(owner, 0)

    def _write(self, session: SignInSource, what: str, document: bytes) -> None:
        if self._keychain is None:
            return
        self._is_disk_failing = False
        path = sealed_files.path_of(self._directory, session.cache_key, what)
        self._queue(path, _Write(path, session.cache_key, self._epoch(session.cache_key), document))
        self.ask()

    def _queue(self, place: Path | str, change: _Change) -> None:
        self._pending.pop(place, None)  # so that it comes last
        self._pending[place] = change
        self._work()

    def _work(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        while (found := self._next()) is not None:
            place, change, job = found
            try:
                await self._disk.run(DISK_SECONDS, job, lane="vault")
            except (OSError, DeadlineExceeded) as error:
                self._note_failure(place, change, error)
            else:
                self._note_success(change)

    def _next(self) -> tuple[Path | str, _Change, Callable[[], object]] | None:
        """The first change that can be done now, and what a thread does for it."""
        for place, change in self._pending.items():
            job = self._job(change)
            if job is not None:
                del self._pending[place]
                return place, change, job
        return None

    def _job(self, change: _Change) -> Callable[[], object] | None:
        """None for what must wait: to write takes a key, and a disk that took what came before."""
        match change:
            case _Removal():
                return lambda: private_files.remove(change.path)
            case _Sweep():
                return lambda: _sweep(self._directory, change.owner)
            case _Write():
                key = self._box.key
                return None if key is None or self._is_disk_failing else lambda: self._write_file(change, key)

    def _write_file(self, change: _Write, key: bytes) -> None:
        """In a thread, which may be late: whether a logout has come is looked at before and after."""
        if change.epoch != self._epoch(change.owner):
            return
        private_files.write(change.path, sealed_files.seal(key, change.document, _bound_to(change.path)))
        if change.epoch != self._epoch(change.owner):
            private_files.remove(change.path)

    def _note_success(self, change: _Change) -> None:
        if isinstance(change, _Write) and self._disk_trouble is not None:
            log.info("the vault %s can be written again", self._directory)
            self._disk_trouble = None

    def _note_failure(self, place: Path | str, change: _Change, error: Exception) -> None:
        why = getattr(error, "strerror", None) or str(error)
        if not isinstance(change, _Write):
            log.warning("something could not be removed from the vault %s: %s", self._directory, why)
            return
        if self._disk_trouble is None:
            log.warning("nothing new outlives a restart, for the vault %s cannot be written: %s", self._directory, why)
        self._disk_trouble, self._is_disk_failing = f"the vault cannot be written: {why}", True
        if change.epoch == self._epoch(change.owner):
            self._pending = {place: change} | self._pending  # one that came since for the same place replaces it


def _bound_to(path: Path) -> bytes:
    """A file that was moved to another name cannot be unsealed. Whose it is stands in it, and must fit the name."""
    return path.name.encode()


def _is_the_logouts(path: Path) -> bool:
    return sealed_files.is_about(path, TOKEN) or sealed_files.is_about(path, REGISTRATION)


def _sweep(directory: Path, owner: str) -> None:
    for path in sealed_files.files_of(directory, owner):
        if not _is_the_logouts(path):
            _try_to_remove(path)


def _try_to_remove(path: Path) -> None:
    try:
        private_files.remove(path)
    except OSError as error:
        log.warning("%s could not be removed: %s", path, error.strerror)


def _load(directory: Path, key: bytes) -> tuple[dict[str, SignIn], list[Kept]]:
    sign_ins: dict[str, SignIn] = {}
    roles: list[Kept] = []
    private_files.remove_leftovers(directory)
    for path in sealed_files.all_files(directory):
        if _is_the_logouts(path) or path.suffix != sealed_files.SUFFIX:  # another daemon may be writing that
            continue
        try:
            sealed = private_files.read(path)
            if sealed is not None:
                _take(path, sealed_files.unseal(key, sealed, _bound_to(path)), sign_ins, roles)
        except private_files.UnusableFile as error:
            log.warning("ignoring %s: %s", path, error)
        except (sealed_files.Unsealable, MalformedDocument) as error:
            log.warning("removing %s: %s", path, error)
            _try_to_remove(path)
    return sign_ins, roles


def _take(path: Path, content: bytes, sign_ins: dict[str, SignIn], roles: list[Kept]) -> None:
    """Adds what was in the file at ``path``. Raises MalformedDocument."""
    if sealed_files.is_about(path, ABOUT_SIGN_IN):
        session, sign_in = vault_documents.parse_sign_in(content)
        _refuse_other_name(path, session, ABOUT_SIGN_IN)
        sign_ins[session.cache_key] = sign_in
    else:
        kept = vault_documents.parse_kept(content)
        _refuse_other_name(path, kept.role.session, about_role(kept.role))
        roles.append(kept)


def _refuse_other_name(path: Path, session: SignInSource, what: str) -> None:
    if path != sealed_files.path_of(path.parent, session.cache_key, what):
        raise MalformedDocument("it is about something else than its name says")
