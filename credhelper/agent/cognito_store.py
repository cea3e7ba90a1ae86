"""Where the tokens of Cognito logins lie: sealed, in the vault's directory, one file for each login.

There is no plain form: without the keyring's key they are in memory only. A login's file is of no use to another login
of its name at another provider or app client.
"""

import errno
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credhelper.aws.sealed_token_cache import TOKEN
from credhelper.domain import documents
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.model import CognitoLogin, CognitoTokens
from credhelper.local import private_files, sealed_files
from credhelper.local.sealed_files import KeyBox


class UnusableTokens(Exception):
    """There is a file, and nothing to be had from it; ``is_locked``: now, for its key is not at hand."""

    def __init__(self, message: str, *, is_locked: bool) -> None:
        super().__init__(message)
        self.is_locked = is_locked


@dataclass(frozen=True, slots=True)
class Stored:
    """A login's tokens, and the name of the sign-in that they come from, which outlives refreshes."""

    tokens: CognitoTokens
    sign_in: str


@dataclass(frozen=True, slots=True)
class CognitoStore:
    """The files of one home."""

    directory: Path
    key_box: KeyBox

    @property
    def is_open(self) -> bool:
        """Whether the key is at hand."""
        return self.key_box.key is not None

    def path(self, login: CognitoLogin) -> Path:
        """Where the login's tokens lie."""
        return sealed_files.path_of(self.directory, login.cache_key, TOKEN)

    def load(self, login: CognitoLogin) -> Stored | None:
        """The login's tokens; None when there are none. Raises UnusableTokens."""
        key = self.key_box.key
        try:
            sealed = private_files.read(self.path(login))
            if sealed is None:
                return None
            if key is None:
                raise UnusableTokens("they are sealed, and the key is not at hand", is_locked=True)
            return _parse(sealed_files.unseal(key, sealed, _bound_to(login)))
        except private_files.UnusableFile as error:
            raise UnusableTokens(str(error), is_locked=error.may_pass) from error
        except (sealed_files.Unsealable, MalformedDocument) as error:
            raise UnusableTokens(str(error), is_locked=False) from error

    def save(self, login: CognitoLogin, stored: Stored) -> None:
        """Replaces the login's file. Raises OSError with nothing changed, also when the key is not at hand."""
        path, key = self.path(login), self.key_box.key
        if key is None:
            raise OSError(errno.EACCES, "the key that seals it is not at hand", str(path))
        private_files.write(path, sealed_files.seal(key, _document(stored), _bound_to(login)))

    def remove(self, login: CognitoLogin) -> bool:
        """Removes the login's file; whether there was one. Raises OSError."""
        return private_files.remove(self.path(login))


def new_sign_in() -> str:
    """A random name for a sign-in."""
    return secrets.token_hex(8)


def _bound_to(login: CognitoLogin) -> bytes:
    return json.dumps(["cognito", login.name, login.provider, login.client_id]).encode()


def _document(stored: Stored) -> bytes:
    tokens = stored.tokens
    document = {
        "sign_in": stored.sign_in,
        "id_token": tokens.id_token,
        "expires_at": documents.timestamp(tokens.expires_at),
        "provider": tokens.provider,
        "issuer": tokens.issuer,
        "subject": tokens.subject,
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "client_id": tokens.client_id,
    }
    return json.dumps(document).encode()


def _parse(content: bytes) -> Stored:
    found = documents.parse_object(content)
    tokens = CognitoTokens(
        id_token=_text(found, "id_token"),
        expires_at=documents.parse_timestamp(found.get("expires_at")),
        provider=_text(found, "provider"),
        issuer=_text(found, "issuer"),
        subject=_text(found, "subject"),
        access_token=_optional(found, "access_token"),
        refresh_token=_optional(found, "refresh_token"),
        client_id=_optional(found, "client_id"),
    )
    return Stored(tokens, _text(found, "sign_in"))


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise MalformedDocument(f"no {key}")
    return value


def _optional(document: dict[str, Any], key: str) -> str | None:
    return None if document.get(key) is None else _text(document, key)
