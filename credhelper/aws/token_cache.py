"""``~/.aws/sso/cache``: the tokens and registrations that credhelper shares with the AWS CLI and every SDK.

Other programs write here too, some in place: a reader may find a file empty or cut short at any moment.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from credhelper.domain import documents
from credhelper.domain.model import Registration, SsoSession, Token
from credhelper.local import private_files

log = logging.getLogger(__name__)


class UnusableTokenFile(Exception):
    """Something is in the token's place that is no token: torn, foreign, or not a file."""


@dataclass(frozen=True, slots=True)
class TokenCache:
    """The cache directory of one home. AWS's tools know no way to move it."""

    directory: Path

    @classmethod
    def of_home(cls, home: Path) -> "TokenCache":
        """``~/.aws/sso/cache`` under ``home``."""
        return cls(home / ".aws" / "sso" / "cache")

    def token_path(self, session: SsoSession) -> Path:
        """Where the session's token lies."""
        return self.directory / documents.token_file_name(session)

    def registration_path(self, session: SsoSession) -> Path:
        """Where the session's client registration lies."""
        return self.directory / documents.registration_file_name(session)

    def load_token(self, session: SsoSession) -> Token | None:
        """The session's token; None when there is none. Raises UnusableTokenFile."""
        try:
            content = private_files.read(self.token_path(session))
            return None if content is None else documents.parse_token(content)
        except (private_files.UnusableFile, documents.MalformedDocument) as error:
            raise UnusableTokenFile(str(error)) from error

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
        try:
            names = os.listdir(path.parent)
        except OSError:
            return []
        return sorted(path.with_name(name) for name in names if private_files.is_temporary_of(name, path))
