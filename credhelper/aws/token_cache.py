"""``~/.aws/sso/cache``: the tokens and registrations that credhelper shares with the AWS CLI and every SDK.

Other programs write here too, some in place: a reader may find a file empty or cut short at any moment.
"""

import json
import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from credhelper.domain import documents
from credhelper.domain.model import Registration, SsoSession, Token
from credhelper.local import private_files

log = logging.getLogger(__name__)


class UnusableTokenFile(Exception):
    """Something is in the token's place that is no token.

    ``is_torn``: somebody may be writing it just now, or it cannot be read just now; it says nothing of a logout.
    """

    def __init__(self, message: str, *, is_torn: bool) -> None:
        super().__init__(message)
        self.is_torn = is_torn


class TokenStore(Protocol):
    """Where tokens and client registrations lie: the directory that all tools share, or files only we can read."""

    @property
    def is_shared(self) -> bool:
        """Whether other tools read and write here too."""

    @property
    def is_open(self) -> bool:
        """Whether what is stored can be read now."""

    def token_path(self, session: SsoSession) -> Path:
        """Where the session's token lies."""

    def registration_path(self, session: SsoSession) -> Path:
        """Where the session's client registration lies."""

    def load_token(self, session: SsoSession) -> Token | None:
        """The session's token; None when there is none. Raises UnusableTokenFile."""

    def save_token(self, session: SsoSession, token: Token) -> None:
        """Replaces the session's token. Raises OSError with nothing changed."""

    def load_registration(self, session: SsoSession) -> Registration | None:
        """The session's registration; None when there is none or it is of no use."""

    def save_registration(self, session: SsoSession, registration: Registration) -> None:
        """Replaces the session's registration. Raises OSError with nothing changed."""

    def temporaries(self, path: Path) -> list[Path]:
        """What writers of ours that were killed have left of ``path``."""


@dataclass(frozen=True, slots=True)
class TokenCache:
    """The cache directory of one home. AWS's tools know no way to move it."""

    directory: Path

    @classmethod
    def of_home(cls, home: Path) -> "TokenCache":
        """``~/.aws/sso/cache`` under ``home``."""
        return cls(home / ".aws" / "sso" / "cache")

    @property
    def is_shared(self) -> bool:
        """The AWS CLI and every SDK use it."""
        return True

    @property
    def is_open(self) -> bool:
        """Its files are plain."""
        return True

    def token_path(self, session: SsoSession) -> Path:
        """Where the session's token lies."""
        return _token_path(self.directory, session)

    def registration_path(self, session: SsoSession) -> Path:
        """Where the session's client registration lies."""
        return self.directory / documents.registration_file_name(session)

    def load_token(self, session: SsoSession) -> Token | None:
        """The session's token; None when there is none. Raises UnusableTokenFile."""
        try:
            content = private_files.read(self.token_path(session))
        except private_files.UnusableFile as error:
            raise UnusableTokenFile(str(error), is_torn=error.may_pass) from error
        try:
            return None if content is None else documents.parse_token(content)
        except documents.MalformedDocument as error:
            raise UnusableTokenFile(str(error), is_torn=_is_cut_short(content)) from error

    def save_token(self, session: SsoSession, token: Token) -> None:
        """Replaces the session's token file. Raises OSError."""
        private_files.write(self.token_path(session), documents.token_document(token))

    def load_registration(self, session: SsoSession) -> Registration | None:
        """The session's registration; None when there is none or it is of no use, for a login makes a new one."""
        path = self.registration_path(session)
        try:
            content = private_files.read(path)
            return None if content is None else documents.parse_registration(content)
        except (private_files.UnusableFile, documents.MalformedDocument) as error:
            log.warning("ignoring the client registration %s: %s", path, error)
            return None

    def save_registration(self, session: SsoSession, registration: Registration) -> None:
        """Replaces the session's registration file. Raises OSError."""
        private_files.write(self.registration_path(session), documents.registration_document(registration))

    def temporaries(self, path: Path) -> list[Path]:
        """What writers of ours that were killed have left of ``path``."""
        return temporaries_of(path)


def temporaries_of(path: Path) -> list[Path]:
    """What writers of ours that were killed have left of ``path``, sorted."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    return sorted(path.with_name(name) for name in names if private_files.is_temporary_of(name, path))


def _is_cut_short(content: bytes | None) -> bool:
    """Whether this is no whole document: the AWS CLI empties the file and fills it again, in place."""
    try:
        json.loads(content or b"")
    except (ValueError, RecursionError):
        return True
    return False


@lru_cache(maxsize=256)
def _token_path(directory: Path, session: SsoSession) -> Path:
    """Asked for with every answer."""
    return directory / documents.token_file_name(session)
