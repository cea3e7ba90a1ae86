"""Logging out: what is local goes first, whatever the network says; then the sign-in is ended at the portal.

Works on the files alone, so that it does without a daemon too. Blocking.
"""

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from credhelper.agent.removals import NO_DIRECTORY, Removals
from credhelper.agent.revocations import FOREVER, AnyEnding, Ending, Revocations, Verdict
from credhelper.aws import cached_documents, pool_profiles
from credhelper.aws.cached_documents import CachedDocument
from credhelper.aws.config_file import ADOPTED_PREFIX, NATIVE_PREFIX, Configuration
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenCache, TokenStore, UnusableTokenFile
from credhelper.domain import documents
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin, CognitoTokens, Role, SsoSession, Token
from credhelper.local import file_lock, places, private_files, sealed_files

log = logging.getLogger(__name__)

LOCK_PATIENCE = 0.5  # seconds, for all sessions
"""A refresh that hangs must not hold up a logout; it looks again before it writes."""
ABSENT, DELETED, KEPT = "absent", "deleted", "kept"

_NAME_OF_AWS_TOOLS = re.compile(r"[0-9a-f]{40}\.json")

OLD_REGISTRATION = "botocore-client-id-{region}.json"
"""As older releases of the AWS CLI v2 named the one registration of a region."""

SEALED_TOKEN = "token"  # noqa: S105  # what a sealed file is about
ADOPTED_ROLE_ARN, ADOPTED_SOURCE_PROFILE = "credhelper_role_arn", "credhelper_source_profile"

Json = dict[str, Any]
Source = SsoSession | CognitoLogin | None
NOTHING: Mapping[SsoSession, Token] = MappingProxyType({})
NO_LOGINS: Mapping[CognitoLogin, CognitoTokens | None] = MappingProxyType({})


@dataclass(slots=True)
class Outcome:
    """What became of one session or Cognito login, and what is needed to end it at AWS."""

    session: SsoSession | CognitoLogin | None
    start_url: str | None
    token: str = ABSENT
    endings: list[AnyEnding] = field(default_factory=list)
    client_ids: set[str] = field(default_factory=set)
    revoked: bool | None = None
    error: str | None = None
    is_sealed: bool = False
    """Whether a token was there that only a key opens."""
    is_tried_again: bool = False

    @property
    def place(self) -> str:
        """Whoever is asked to end the sign-in."""
        return "the user pool" if isinstance(self.session, CognitoLogin) else "the portal"

    def end_with(self, token: Token) -> None:
        """Notes a token that can end the sign-in; there may be several, where a disk was full or a file torn."""
        access_token = token.access_token
        can_be_sent = access_token.isascii() and access_token.isprintable()
        if can_be_sent and all(ending.access_token != access_token for ending in self.endings):
            self.endings.append(Ending(token, self.session if isinstance(self.session, SsoSession) else None))

    def note_removal(self, *, is_gone: bool) -> None:
        """Notes what became of one place where the token was; one that could not be removed decides."""
        self.token = DELETED if is_gone and self.token != KEPT else KEPT

    def hand_over(self, revocations: Revocations) -> None:
        """Lets the daemon go on trying what could not be done because AWS could not be reached; the receipt says so."""
        taken = [revocations.add(ending) for ending in self.endings]
        self.is_tried_again = any(taken)

    def receipt(self) -> Json:
        """As in the contract's receipt."""
        name, is_login = self.session.name if self.session else None, isinstance(self.session, CognitoLogin)
        return {
            "source": "cognito" if is_login else "sso",
            "sso_session": None if is_login else name,
            "cognito_login": name if is_login else None,
            "start_url": self.start_url,
            "token": self.token,
            "revoked": self.revoked,
            "error": f"{self.error}; the daemon goes on trying" if self.is_tried_again else self.error,
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


class Logins(Protocol):
    """What a sweep wants of whoever knows the tokens of Cognito logins."""

    def load(self, login: CognitoLogin) -> CognitoTokens | None:
        """What is sealed of the login, as far as it can be unsealed now."""

    def ending(self, login: CognitoLogin, tokens: CognitoTokens) -> AnyEnding:
        """What ends the sign-in that these come from."""


class Sweep:
    """Clears one home's files of one session or Cognito login, or of all. For one use."""

    def __init__(
        self,
        home: Path,
        configuration: Configuration,
        lock_path: Callable[[str], Path],
        *,
        vault: Path,
        cache: TokenStore | None = None,
        logins: Logins | None = None,
        state: Path | None = None,
    ) -> None:
        """``vault`` is the directory of sealed files; ``cache`` can read those that are tokens, if anybody can.

        ``logins`` knows those of Cognito logins. ``state``: where the name caches lie, if they are to go too.
        """
        self._logins = logins
        self._cache = TokenCache.of_home(home)
        self._sealed_cache = None if cache is None or cache.is_shared else cache
        self._role_cache = home / ".aws" / "cli" / "cache"
        self._vault = vault
        self._state = state
        self._configuration = configuration
        self._sessions = configuration.sessions()[0]
        self._lock_path = lock_path
        self._locks_until = time.monotonic() + LOCK_PATIENCE
        self._files = Removals()
        self._receipt = Receipt(removed=self._files.removed, left=self._files.left)

    def one(self, session: SsoSession, in_memory: Token | None = None) -> Receipt:
        """Clears what belongs to ``session``; ``in_memory`` is the token that a daemon has held."""
        outcome = self._clear_token(session, in_memory)
        self._receipt.outcomes.append(outcome)
        self._clear_registrations(outcome.client_ids, [session])
        if all(other.region != session.region for other in self._sessions if other.cache_key != session.cache_key):
            self._clear_old_registrations({session.region})
        self._clear_roles(session)
        self._clear_names(session)
        return self._receipt

    def one_login(self, login: CognitoLogin, in_memory: CognitoTokens | None = None) -> Receipt:
        """Clears what belongs to a Cognito login; ``in_memory`` is what a daemon has held."""
        self._receipt.outcomes.append(self._clear_login(login, in_memory))
        self._clear_roles(login)
        return self._receipt

    def everything(
        self,
        in_memory: Mapping[SsoSession, Token] = NOTHING,
        logins: Mapping[CognitoLogin, CognitoTokens | None] = NO_LOGINS,
    ) -> Receipt:
        """Clears every session: those of the configuration or ``in_memory``, and every other token there is.

        And ``logins``, each with what a daemon has held of it.
        """
        sessions = {session.cache_key: session for session in self._sessions}
        for session in in_memory:
            sessions.setdefault(session.cache_key, session)
        self._clear_registrations_told_by_tokens(sessions.values())
        tokens = {session.cache_key: token for session, token in in_memory.items()}
        outcomes = [self._clear_token(session, tokens.get(key)) for key, session in sessions.items()]
        outcomes = [outcome for outcome in outcomes if outcome.token != ABSENT]
        outcomes += self._clear_unknown_tokens()
        of_logins = [self._clear_login(login, tokens) for login, tokens in logins.items()]
        outcomes += self._clear_rest_of_vault()
        outcomes += [outcome for outcome in of_logins if outcome.token != ABSENT]
        self._receipt.outcomes = outcomes
        client_ids = {name for outcome in outcomes for name in outcome.client_ids}
        self._clear_registrations(client_ids, sessions.values(), tell_unreadable=True)
        self._clear_old_registrations({session.region for session in sessions.values()})
        self._clear_roles(None)
        self._clear_names(None)
        return self._receipt

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _clear_token(self, session: SsoSession, in_memory: Token | None) -> Outcome:
        outcome = Outcome(session, session.start_url)
        if in_memory is not None:  # the freshest one, where there are several
            _take(outcome, in_memory)
            outcome.note_removal(is_gone=True)
        path = self._cache.token_path(session)
        with self._lock(session):
            if self._files.is_there(path):
                _take_aside(outcome, cached_documents.look(path))
                outcome.note_removal(is_gone=self._files.remove(path))
            elif path.parent in self._files.left_directories:
                outcome.note_removal(is_gone=False)
            for torn in self._cache.temporaries(path):
                self._files.remove(torn)
            self._clear_sealed(session, outcome)
        return outcome

    def _clear_sealed(self, session: SsoSession, outcome: Outcome) -> None:
        self._take_sealed_aside(session, outcome)
        self._remove_sealed(session, outcome)

    def _remove_sealed(self, session: SsoSession | CognitoLogin, outcome: Outcome) -> None:
        token_path = sealed_files.path_of(self._vault, session.cache_key, SEALED_TOKEN)
        for path in self._sealed(lambda: sealed_files.files_of(self._vault, session.cache_key)):
            is_gone = self._files.remove(path)
            if path == token_path:
                outcome.is_sealed = True
                outcome.note_removal(is_gone=is_gone)
        if self._vault in self._files.left_directories:
            outcome.note_removal(is_gone=False)

    def _clear_login(self, login: CognitoLogin, in_memory: CognitoTokens | None) -> Outcome:
        """Its tokens, and all else that is sealed of it. What was in memory is the freshest, where there is any."""
        outcome = Outcome(login, None)
        with self._lock(login):
            found = in_memory or (self._logins.load(login) if self._logins is not None else None)
            if found is not None and self._logins is not None:
                outcome.endings.append(self._logins.ending(login, found))
            if in_memory is not None:
                outcome.note_removal(is_gone=True)
            self._remove_sealed(login, outcome)
        return outcome

    def _take_sealed_aside(self, session: SsoSession, outcome: Outcome) -> None:
        if self._sealed_cache is not None:
            with contextlib.suppress(UnusableTokenFile):  # without its key it can be deleted all the same
                token = self._sealed_cache.load_token(session)
                if token is not None:
                    _take(outcome, token)

    def _sealed(self, listing: Callable[[], list[Path]]) -> list[Path]:
        try:
            return listing()
        except OSError as error:
            self._files.leave_directory(self._vault, error)
            return []

    def _clear_unknown_tokens(self) -> Iterator[Outcome]:
        """Whatever their names, as ``aws sso logout`` does; also those cut short, in which a whole token may stand."""
        for found in self._documents(self._cache.directory, tell_unreadable=True):
            if "accessToken" in found.members:
                start_url = found.members.get("startUrl")
                outcome = Outcome(None, start_url if isinstance(start_url, str) else None)
                _take_aside(outcome, found)
                outcome.note_removal(is_gone=self._files.remove(found.path))
                yield outcome

    def _clear_rest_of_vault(self) -> Iterator[Outcome]:
        """What is sealed of sessions that nobody knows by name any more."""
        any_token = sealed_files.path_of(self._vault, "", SEALED_TOKEN).name.partition("-")[2]
        for path in self._sealed(lambda: sealed_files.all_files(self._vault)):
            if path not in self._files.handled:
                is_gone = self._files.remove(path)
                if path.name.partition("-")[2] == any_token:
                    outcome = Outcome(None, None, is_sealed=True)
                    outcome.note_removal(is_gone=is_gone)
                    yield outcome

    # -- registrations ------------------------------------------------------------------------------------------------

    def _clear_registrations_told_by_tokens(self, sessions: Iterable[SsoSession]) -> None:
        """Those that nothing but a token's client id tells: before the tokens, so that a logout that is killed can be
        done again. The others, known by their names, come later.
        """
        by_name = {self._cache.registration_path(session) for session in sessions}
        all_found = list(self._documents(self._cache.directory))
        client_ids = {_client_id(found) for found in all_found if "accessToken" in found.members} - {None}
        for found in all_found:
            if _is_registration(found) and _client_id(found) in client_ids and found.path not in by_name:
                self._files.remove(found.path)

    def _clear_registrations(
        self, client_ids: set[str], sessions: Iterable[SsoSession], *, tell_unreadable: bool = False
    ) -> None:
        """By name those of ``sessions``, whatever is in them; by content those that share a client id."""
        for path in {self._cache.registration_path(session) for session in sessions}:
            self._remove_if_there(path)
        for found in self._documents(self._cache.directory, tell_unreadable=tell_unreadable):
            if _is_registration(found) and _client_id(found) in client_ids:
                self._files.remove(found.path)

    def _clear_old_registrations(self, regions: set[str]) -> None:
        """By name too: it is all that says whose a torn one is."""
        for region in sorted(regions):
            self._remove_if_there(self._cache.directory / OLD_REGISTRATION.format(region=region))

    # -- the AWS CLI's role cache -------------------------------------------------------------------------------------

    def _clear_roles(self, session: SsoSession | CognitoLogin | None) -> None:
        """Roles, and what was assumed with them: of ``session`` by its profiles, or all that no other source explains.

        What is known by its name goes whatever is in it: it may be cut short.
        """
        roles = [role for role in self._configuration.roles().values() if isinstance(role, Role)]
        roles = [role for role in roles if session in {None, role.session}]
        for name in sorted({documents.role_cache_file_name(role) for role in roles}):
            if self._files.is_there(self._role_cache / name):
                self._files.remove(self._role_cache / name)
        sources = assume_role_sources(self._configuration)
        for found in self._documents(self._role_cache, tell_unreadable=session is None):
            explained_by = sources.get(found.path.name, set())
            is_attributed = session is None or session in explained_by
            is_assumed = _is_assumed_role(found) and is_attributed and None not in explained_by
            if is_assumed or (session is None and found.members.get("ProviderType") == "sso"):
                self._files.remove(found.path)

    # -- our own name caches ------------------------------------------------------------------------------------------

    def _clear_names(self, session: SsoSession | None) -> None:
        """No secrets, but whose accounts they were is nobody's business any more."""
        if self._state is None:
            return
        if session is not None:
            self._remove_if_there(places.inventory_file(self._state, session.cache_key))
            return
        found = {places.inventory_file(self._state, known.cache_key) for known in self._sessions}
        try:
            found.update(places.all_inventory_files(self._state))
        except OSError as error:
            self._files.leave_directory(self._state, error)
        for path in sorted(found):
            self._remove_if_there(path)

    # -- files --------------------------------------------------------------------------------------------------------

    def _documents(self, directory: Path, *, tell_unreadable: bool = False) -> Iterator[CachedDocument]:
        """Every JSON object among the files of ``directory`` that are still to be decided on, whatever their names."""
        try:
            names = sorted(os.listdir(directory))
        except NO_DIRECTORY:
            return
        except OSError as error:
            self._files.leave_directory(directory, error)
            return
        for path in (directory / name for name in names):
            if path in self._files.handled:
                continue
            try:
                found = cached_documents.read(path)
            except private_files.UnusableFile as error:
                if tell_unreadable and cached_documents.is_regular(path):
                    self._settle_unreadable(path, error)
            else:
                if found is not None:
                    yield found

    def _settle_unreadable(self, path: Path, error: private_files.UnusableFile) -> None:
        """When everything is to go, a file that may hold anything must not be passed over in silence."""
        if path.parent == self._cache.directory and _NAME_OF_AWS_TOOLS.fullmatch(path.name):
            self._files.remove(path)
        else:
            self._files.leave(path, f"it may hold a secret, but cannot be read: {error}")

    def _remove_if_there(self, path: Path) -> None:
        """Removes ``path``, and what killed writers of ours have left of it."""
        for found in (path, *self._cache.temporaries(path)):
            if self._files.is_there(found):
                self._files.remove(found)

    @contextlib.contextmanager
    def _lock(self, session: SsoSession | CognitoLogin) -> Iterator[None]:
        """Keeps other processes' refreshes out, if that is possible at once; a logout happens in any case."""
        with contextlib.ExitStack() as stack:
            try:
                patience = max(0.0, self._locks_until - time.monotonic())
                stack.enter_context(file_lock.locked(self._lock_path(session.cache_key), seconds=patience))
            except (OSError, file_lock.LockBusy) as error:
                log.warning("logging out without the refresh lock: %s", error)
            yield


def assume_role_sources(configuration: Configuration) -> dict[str, set[Source]]:
    """File names of the AssumeRole entries that profiles explain, with where the credentials came from: a session or a
    Cognito login, or None for a source that no login is behind.
    """
    found: dict[str, set[Source]] = {}
    for name, keys in configuration.profiles.items():
        if "role_arn" in keys:
            with contextlib.suppress(ConfigError):  # a chain that leads nowhere explains nothing
                source = _end_of_chain(configuration, name)
                found.setdefault(documents.assume_role_cache_file_name(keys), set()).add(source)
    return found


def _end_of_chain(configuration: Configuration, name: str) -> Source:
    passed = set()
    keys = configuration.profile(name)
    while ("role_arn" in keys or ADOPTED_ROLE_ARN in keys) and not pool_profiles.is_one(keys):
        source = keys.get(ADOPTED_SOURCE_PROFILE) or keys.get("source_profile")
        if name in passed or source is None or "web_identity_token_file" in keys:
            return None  # a profile that names itself has keys of its own
        passed.add(name)
        name = source
        keys = configuration.profile(name)
    if pool_profiles.is_one(keys):
        login = configuration.sign_in_of(name)
        return login if isinstance(login, CognitoLogin) else None  # guests stay served
    is_of_identity_center = any(key.startswith((NATIVE_PREFIX, ADOPTED_PREFIX)) for key in keys)
    return configuration.session_of(name) if is_of_identity_center else None


def revoke(api: IdentityCenter, outcome: Outcome, now: datetime) -> None:
    """Ends the sign-in at AWS, best effort, and notes in ``outcome`` how that went. Blocks."""
    for ending in outcome.endings:
        ending.attempt(api, now)
    errors = [ending.error for ending in outcome.endings if ending.error is not None]
    verdicts = {ending.verdict for ending in outcome.endings}
    if verdicts:
        # Of several tokens of one sign-in, the first ends it; then there is nothing that the others could end.
        outcome.revoked = Verdict.ENDED in verdicts and verdicts <= {Verdict.ENDED, Verdict.OVER}
        outcome.error = None if outcome.revoked else errors[0]
    elif outcome.is_sealed:
        outcome.revoked, outcome.error = False, "the token is sealed, and its key is not at hand to end the sign-in"
    elif outcome.token != ABSENT:
        outcome.error = "the file held no token that could be revoked"


def _take(outcome: Outcome, token: Token) -> None:
    outcome.end_with(token)
    if token.client_id is not None:
        outcome.client_ids.add(token.client_id)


def _take_aside(outcome: Outcome, found: CachedDocument | None) -> None:
    """Keeps what revoking needs, before the file goes; what only a refresh needs may be missing."""
    members = {
        key: value for key, value in (found.members if found else {}).items() if isinstance(value, str) and value
    }
    if "clientId" in members:
        outcome.client_ids.add(members["clientId"])
    if "accessToken" in members:
        token = Token(
            members["accessToken"],
            _moment(members.get("expiresAt")) or FOREVER,
            start_url=members.get("startUrl"),
            region=members.get("region"),
            refresh_token=members.get("refreshToken"),
            client_id=members.get("clientId"),
            client_secret=members.get("clientSecret"),
            registration_expires_at=_moment(members.get("registrationExpiresAt")),
        )
        outcome.end_with(token)


def _moment(text: str | None) -> datetime | None:
    try:
        return documents.parse_timestamp(text)
    except documents.MalformedDocument:
        return None


def _is_registration(found: CachedDocument) -> bool:
    return "clientSecret" in found.members and "accessToken" not in found.members


def _client_id(found: CachedDocument) -> str | None:
    value = found.members.get("clientId")
    return value if isinstance(value, str) and value else None


def _is_assumed_role(found: CachedDocument) -> bool:
    """The AWS CLI writes the credentials first: a torn entry may end before it says what it is."""
    if found.is_torn:
        return "SecretAccessKey" in found.members and "ProviderType" not in found.members
    return "AssumedRoleUser" in found.members
