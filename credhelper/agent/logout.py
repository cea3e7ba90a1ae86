"""Logging out: what is local goes first, whatever the network says; then the sign-in is ended at the portal.

Works on the files alone, so that it does without a daemon too. Blocking.
"""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from credhelper.aws.config_file import ADOPTED_PREFIX, NATIVE_PREFIX, Configuration
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenCache
from credhelper.domain import documents
from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.domain.model import SsoSession
from credhelper.local import file_lock, private_files

log = logging.getLogger(__name__)

LOCK_PATIENCE = 1.0  # seconds: a refresh that hangs must not hold up a logout; it looks again before it writes
LARGEST = 4 * 1024**2  # bytes
SECRETS = frozenset({"accessToken", "clientSecret", "Credentials"})
"""Keys of the documents of the two caches that hold something secret."""

_REGION = re.compile(r"[a-z0-9-]{1,32}")

Json = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What became of one session."""

    session: SsoSession | None
    start_url: str | None
    token: str = "absent"  # noqa: S105  # a state, no secret
    access_token: str | None = field(default=None, repr=False)
    more_access_tokens: list[str] = field(default_factory=list, repr=False)
    region: str | None = None
    client_id: str | None = None
    revoked: bool | None = None
    error: str | None = None

    def receipt(self) -> Json:
        """As in the contract's receipt."""
        return {
            "source": "sso",
            "sso_session": self.session.name if self.session else None,
            "cognito_login": None,
            "start_url": self.start_url,
            "token": self.token,
            "revoked": self.revoked,
            "error": self.error,
        }


@dataclass(slots=True)
class Receipt:
    """What a logout did; ``document()`` is the contract's."""

    outcomes: list[Outcome] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    left: list[tuple[Path, str]] = field(default_factory=list)
    still_valid: list[Json] = field(default_factory=list)

    def document(self) -> Json:
        """As in the contract, ready for JSON."""
        return {
            "sessions": [outcome.receipt() for outcome in self.outcomes],
            "removed": [str(path) for path in self.removed],
            "left": [{"path": str(path), "why": why} for path, why in self.left],
            "still_valid": self.still_valid,
        }


class Sweep:
    """Clears one home's files of one session, or of all."""

    def __init__(self, home: Path, configuration: Configuration, lock_path: Callable[[str], Path]) -> None:
        self._cache = TokenCache.of_home(home)
        self._role_cache = home / ".aws" / "cli" / "cache"
        self._configuration = configuration
        self._lock_path = lock_path
        self._receipt = Receipt()
        self._handled: set[Path] = set()

    def one(self, session: SsoSession) -> Receipt:
        """Clears what belongs to ``session``."""
        outcome = self._clear_token(session)
        self._receipt.outcomes.append(outcome)
        self._clear_registrations({outcome.client_id}, [session])
        roles = [role for role in self._configuration.roles().values() if role.session == session]
        for name in {documents.role_cache_file_name(role) for role in roles}:
            path = self._role_cache / name
            if private_files.signature(path) is not None:
                self._remove(path)
        self._clear_assumed_roles(session)
        return self._receipt

    def everything(self) -> Receipt:
        """Clears every session: those of the configuration, and every other token in the cache."""
        sessions, _ = self._configuration.sessions()
        outcomes = [self._clear_token(session) for session in sessions]
        outcomes = [outcome for outcome in outcomes if outcome.token != "absent"]  # noqa: S105  # a state, no secret
        outcomes += list(self._clear_unknown_tokens())
        self._receipt.outcomes = outcomes
        self._clear_registrations({outcome.client_id for outcome in outcomes}, sessions)
        for path, document in _documents(self._role_cache):
            if document.get("ProviderType") == "sso":
                self._remove(path)
        self._clear_assumed_roles(None)
        return self._receipt

    def _clear_token(self, session: SsoSession) -> Outcome:
        outcome = Outcome(session, session.start_url, region=session.region)
        path = self._cache.token_path(session)
        with self._lock(session):
            if private_files.signature(path) is None:
                return outcome
            _take_aside(outcome, _read_object(path) or {})
            outcome.token = "deleted" if self._remove(path) else "kept"
            for torn in self._cache.temporaries(path):
                self._remove(torn)
        return outcome

    def _clear_unknown_tokens(self) -> Iterator[Outcome]:
        for path, document in _documents(self._cache.directory):
            if "accessToken" in document and path not in self._handled:
                start_url = document.get("startUrl")
                outcome = Outcome(None, start_url if isinstance(start_url, str) else None)
                _take_aside(outcome, document)
                outcome.token = "deleted" if self._remove(path) else "kept"
                yield outcome

    def _clear_registrations(self, client_ids: set[str | None], sessions: list[SsoSession]) -> None:
        """By name those of ``sessions``, whatever is in them; by content those that share a client id."""
        for path in {self._cache.registration_path(session) for session in sessions}:
            for found in (path, *self._cache.temporaries(path)):
                if private_files.signature(found) is not None:
                    self._remove(found)
        for path, document in _documents(self._cache.directory):
            is_registration = "clientSecret" in document and "accessToken" not in document
            client_id = document.get("clientId")
            if is_registration and path not in self._handled and client_id is not None and client_id in client_ids:
                self._remove(path)

    def _clear_assumed_roles(self, session: SsoSession | None) -> None:
        """The AWS CLI's AssumeRole entries: of ``session`` by its profiles, or all that no other source explains."""
        sources = assume_role_sources(self._configuration)
        for path, document in _documents(self._role_cache):
            explained_by = sources.get(path.name, set())
            is_attributed = session is None or session in explained_by
            if "AssumedRoleUser" in document and is_attributed and None not in explained_by:
                self._remove(path)

    def _remove(self, path: Path) -> bool:
        self._handled.add(path)
        target = path.resolve() if path.is_symlink() and SECRETS & (_read_object(path) or {}).keys() else None
        try:
            if private_files.remove(path):
                self._receipt.removed.append(path)
                if target is not None:
                    self._receipt.left.append((target, f"only the link to it was removed: {path}"))
        except OSError as error:
            self._receipt.left.append((path, error.strerror or type(error).__name__))
            return False
        return True

    @contextlib.contextmanager
    def _lock(self, session: SsoSession) -> Iterator[None]:
        """Keeps other processes' refreshes out, if that is possible at once; a logout happens in any case."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock.locked(self._lock_path(session.cache_key), seconds=LOCK_PATIENCE))
            except (OSError, file_lock.LockBusy) as error:
                log.warning("logging out without the refresh lock: %s", error)
            yield


def assume_role_sources(configuration: Configuration) -> dict[str, set[SsoSession | None]]:
    """File names of the AssumeRole entries that profiles explain, with where the credentials came from: a session,
    or None for a source that is not IAM Identity Center.
    """
    found: dict[str, set[SsoSession | None]] = {}
    for name, keys in configuration.profiles.items():
        if "role_arn" in keys:
            with contextlib.suppress(ConfigError):  # a chain that leads nowhere explains nothing
                source = _end_of_chain(configuration, name)
                found.setdefault(documents.assume_role_cache_file_name(keys), set()).add(source)
    return found


def _end_of_chain(configuration: Configuration, name: str) -> SsoSession | None:
    passed = set()
    keys = configuration.profile(name)
    while "role_arn" in keys:
        if name in passed or "source_profile" not in keys or "web_identity_token_file" in keys:
            return None  # a profile that names itself has keys of its own
        passed.add(name)
        name = keys["source_profile"]
        keys = configuration.profile(name)
    is_of_identity_center = any(key.startswith((NATIVE_PREFIX, ADOPTED_PREFIX)) for key in keys)
    return configuration.session_of(name) if is_of_identity_center else None


def revoke(api: IdentityCenter, outcome: Outcome) -> None:
    """Ends the sign-in at the portal, best effort, and notes in ``outcome`` how that went."""
    if outcome.access_token is None:
        if outcome.token != "absent":  # noqa: S105  # a state, no secret
            outcome.error = "the file held no token that could be revoked"
        return
    if outcome.region is None or not _REGION.fullmatch(outcome.region):
        outcome.revoked, outcome.error = False, "the token names no region in which to revoke it"
        return
    try:
        for token in dict.fromkeys((outcome.access_token, *outcome.more_access_tokens)):
            api.revoke(outcome.region, token)
        outcome.revoked = True
    except CredhelperError as error:
        outcome.revoked, outcome.error = False, error.message


def _take_aside(outcome: Outcome, document: Json) -> None:
    """Keeps what revoking needs, before the file goes."""
    for attribute, key in (("access_token", "accessToken"), ("region", "region"), ("client_id", "clientId")):
        value = document.get(key)
        if isinstance(value, str) and value:
            setattr(outcome, attribute, value)


def _documents(directory: Path) -> Iterator[tuple[Path, Json]]:
    """Every JSON object among the files of ``directory``, whatever their names, as ``aws sso logout`` looks."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        path = directory / name
        document = _read_object(path)
        if document is not None:
            yield path, document


def _read_object(path: Path) -> Json | None:
    """The object in a file, also behind a link, and of any size a person might have made it: all of it is to go."""
    try:
        content = private_files.read(path, largest=LARGEST, follow_link=True)
        return None if content is None else documents.parse_object(content)
    except (private_files.UnusableFile, documents.MalformedDocument):
        return None
