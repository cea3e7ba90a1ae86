"""Tokens and registrations that no other tool can read: sealed, in the vault's directory, never in ``~/.aws``.

For those who want no plain token on their disk and do without sharing the login with the AWS CLI.
"""

import errno
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from credhelper.aws.token_cache import UnusableTokenFile, temporaries_of
from credhelper.domain import documents
from credhelper.domain.model import Registration, SsoSession, Token
from credhelper.local import private_files, sealed_files
from credhelper.local.sealed_files import KeyBox

log = logging.getLogger(__name__)

TOKEN = "token"  # noqa: S105  # what a file is about, no secret
REGISTRATION = "registration"


@dataclass(frozen=True, slots=True)
class SealedTokenCache:
    """The same as TokenCache, behind a key: while there is none, nothing can be read or saved."""

    directory: Path
    key_box: KeyBox

    @property
    def is_shared(self) -> bool:
        """It is ours alone."""
        return False

    @property
    def is_open(self) -> bool:
        """Whether the key is at hand."""
        return self.key_box.key is not None

    def token_path(self, session: SsoSession) -> Path:
        """Where the session's token lies."""
        return sealed_files.path_of(self.directory, session.cache_key, TOKEN)

    def registration_path(self, session: SsoSession) -> Path:
        """Where the session's client registration lies."""
        return sealed_files.path_of(self.directory, session.cache_key, REGISTRATION)

    def load_token(self, session: SsoSession) -> Token | None:
        """The session's token; None when there is none.

        Raises UnusableTokenFile, also when there is one and the key is not at hand, or the session has moved to
        another start URL or region since.
        """
        try:
            content = self._read(self.token_path(session), _bound_to(TOKEN, session))
            return None if content is None else documents.parse_token(content)
        except (private_files.UnusableFile, sealed_files.Unsealable, documents.MalformedDocument) as error:
            raise UnusableTokenFile(str(error), is_torn=False) from error

    def save_token(self, session: SsoSession, token: Token) -> None:
        """Replaces the session's token file. Raises OSError, also when the key is not at hand."""
        self._write(self.token_path(session), documents.token_document(token), _bound_to(TOKEN, session))

    def load_registration(self, session: SsoSession) -> Registration | None:
        """The session's registration; None when there is none or it is of no use, for a login makes a new one."""
        path = self.registration_path(session)
        try:
            content = self._read(path, _bound_to_registration(session))
            return None if content is None else documents.parse_registration(content)
        except (private_files.UnusableFile, sealed_files.Unsealable, documents.MalformedDocument) as error:
            log.warning("ignoring the sealed client registration %s: %s", path, error)
            return None

    def save_registration(self, session: SsoSession, registration: Registration) -> None:
        """Replaces the session's registration file. Raises OSError, also when the key is not at hand."""
        content = documents.registration_document(registration)
        self._write(self.registration_path(session), content, _bound_to_registration(session))

    def temporaries(self, path: Path) -> list[Path]:
        """What writers of ours that were killed have left of ``path``."""
        return temporaries_of(path)

    def _read(self, path: Path, bound_to: bytes) -> bytes | None:
        sealed, key = private_files.read(path), self.key_box.key
        if sealed is None:
            return None
        if key is None:
            raise sealed_files.Unsealable("it is sealed, and its key is not at hand")
        return sealed_files.unseal(key, sealed, bound_to)

    def _write(self, path: Path, content: bytes, bound_to: bytes) -> None:
        key = self.key_box.key
        if key is None:
            raise OSError(errno.EACCES, "the key that seals it is not at hand", str(path))
        private_files.write(path, sealed_files.seal(key, content, bound_to))


def _bound_to(what: str, session: SsoSession) -> bytes:
    """A login at one portal is of no use at another one, though the session keeps its name."""
    return json.dumps([what, session.name, session.start_url, session.region]).encode()


def _bound_to_registration(session: SsoSession) -> bytes:
    """A client is registered for certain scopes: in the shared cache they are part of the file's name."""
    scopes = None if session.scopes is None else list(session.scopes)
    return json.dumps([REGISTRATION, session.name, session.start_url, session.region, scopes]).encode()
