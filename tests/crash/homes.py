"""The home that each point begins with, and what may be found in it: nothing here is anybody's secret."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from credhelper.agent.logout import Sweep
from credhelper.agent.vault import Kept, SignIn, Vault
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.aws.token_cache import TokenCache, TokenStore
from credhelper.domain import documents
from credhelper.domain.model import Registration, Role, RoleCredentials, SsoSession, Token
from credhelper.local import places, private_files
from credhelper.local.sealed_files import KEY_LENGTH, KeyBox
from credhelper.local.workers import Workers

T = TypeVar("T")

KEY = bytes(range(KEY_LENGTH))
MARK = "s3cr3t"
"""Is in everything that is secret here."""

START_URL = "https://corp.awsapps.com/start"
CORP = SsoSession("corp", START_URL, "us-east-1", ("sso:account:access",))
ANOTHER = SsoSession("another", "https://another.awsapps.com/start", "us-east-1")
DEVELOPER = Role(CORP, "111122223333", "Developer")
ANOTHERS_ROLE = Role(ANOTHER, "444455556666", "Admin")

ROLE_ARN, ARN_BY_KEYS = (f"arn:aws:iam::222233334444:role/{name}" for name in ("Deploy", "ByKeys"))
DEPLOY = {"role_arn": ROLE_ARN, "source_profile": "dev"}
BY_KEYS = {"role_arn": ARN_BY_KEYS, "source_profile": "keys"}
SSO_SESSION = {
    "sso_start_url": START_URL,
    "sso_region": CORP.region,
    "sso_registration_scopes": "sso:account:access",
}
DEV = {"sso_session": "corp", "sso_account_id": DEVELOPER.account_id, "sso_role_name": DEVELOPER.role_name}

_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def _token(session: SsoSession, version: str) -> Token:
    return Token(
        access_token=f"access-{MARK}-{session.label}-{version}",
        expires_at=_NOON,
        start_url=session.start_url,
        region=session.region,
        refresh_token=f"refresh-{MARK}-{session.label}-{version}",
        client_id="client",
        client_secret=f"client-{MARK}",
        registration_expires_at=_NOON + timedelta(days=90),
    )


def _kept(role: Role, version: str) -> Kept:
    credentials = RoleCredentials(
        "ASIAEXAMPLE", f"key-{MARK}-{version}", f"session-{MARK}-{version}", _NOON, _NOON - timedelta(hours=1)
    )
    return Kept(role, credentials, f"sign-in {version}", _NOON)


OLD, NEW = _token(CORP, "old"), replace(_token(CORP, "new"), expires_at=_NOON + timedelta(hours=1))
ANOTHERS, ANOTHERS_KEPT = _token(ANOTHER, "old"), _kept(ANOTHERS_ROLE, "old")
REGISTRATION = Registration("client", f"client-{MARK}", _NOON + timedelta(days=90))
NEW_REGISTRATION = replace(REGISTRATION, client_secret=f"client-{MARK}-new")
OLD_KEPT, NEW_KEPT = _kept(DEVELOPER, "old"), _kept(DEVELOPER, "new")
OLD_SIGN_IN, NEW_SIGN_IN = SignIn("sign-in old", "0" * 64), SignIn("sign-in new", "1" * 64)


class AtOnce(Workers):
    """Does the work where it is asked for: one thread, whose system calls have one order."""

    async def run(self, seconds: float, work: Callable[[], T], *, lane: str = "") -> T:  # noqa: ARG002
        """``work()``."""
        return work()


class OpenKeyring:
    """A keyring that is never locked."""

    seconds = 5.0

    def key(self, name: str) -> bytes:  # noqa: ARG002
        """The one key."""
        return KEY

    def delete(self, name: str) -> None:
        """It has nothing to forget."""


@dataclass(frozen=True)
class Home:
    """The places in one home."""

    path: Path

    @property
    def token_cache(self) -> TokenCache:
        """What all tools share."""
        return TokenCache.of_home(self.path)

    @property
    def role_cache(self) -> Path:
        """The AWS CLI's."""
        return self.path / ".aws" / "cli" / "cache"

    @property
    def state(self) -> Path:
        """credhelper's state directory."""
        return self.path / ".local" / "state" / "credhelper"

    @property
    def vault_directory(self) -> Path:
        """Where what is sealed lies."""
        return places.vault_directory(self.state)

    @property
    def sealed_cache(self) -> SealedTokenCache:
        """Tokens that only we can read."""
        box = KeyBox()
        box.key = KEY
        return SealedTokenCache(self.vault_directory, box)

    def lock_path(self, key: str) -> Path:
        """A session's refresh lock."""
        return places.refresh_lock(self.state, key)

    def vault(self) -> Vault:
        """The vault, to be opened."""
        at_once = AtOnce("here", 1)
        return Vault(self.vault_directory, OpenKeyring(), "key", KeyBox(), at_once, at_once)

    def sweep(self) -> Sweep:
        """A logout that does without a daemon."""
        paths = ConfigPaths.of({"HOME": str(self.path)})
        profiles = {"dev": DEV, "deploy": DEPLOY, "keys": {"aws_access_key_id": "AKIAEXAMPLE"}, "by-keys": BY_KEYS}
        configuration = Configuration(paths, profiles, {"corp": SSO_SESSION})
        return Sweep(self.path, configuration, self.lock_path, vault=self.vault_directory)

    def remove_leftovers(self) -> None:
        """What a daemon does at its start."""
        for directory in (self.token_cache.directory, self.vault_directory):
            private_files.remove_leftovers(directory)

    def files(self) -> Iterator[Path]:
        """Everything in it that is no directory."""
        for directory, _, names in os.walk(self.path):
            yield from (Path(directory, name) for name in names)

    def written_directories(self) -> tuple[Path, Path]:
        """Those in which we write secrets."""
        return self.token_cache.directory, self.vault_directory

    def strangers(self) -> list[Path]:
        """What no operation has any business with."""
        aws = self.path / ".aws"
        return [
            aws / "config",
            aws / "credentials",
            aws / "login" / "cache" / "anothers.json",
            self.token_cache.directory / "notes.txt",
            self.role_cache / documents.assume_role_cache_file_name(BY_KEYS),
        ]

    def caches(self) -> tuple[TokenStore, TokenStore]:
        """Both places where tokens may be."""
        return self.token_cache, self.sealed_cache

    def another_sessions(self) -> list[Path]:
        """The files of a session that nobody but a logout of everything touches."""
        caches = self.caches()
        paths = [cache.token_path(ANOTHER) for cache in caches] + [cache.registration_path(ANOTHER) for cache in caches]
        return [*paths, self.role_cache / documents.role_cache_file_name(ANOTHERS_ROLE)]

    def copy_to(self, path: Path) -> "Home":
        """The same home in another place, which is cleared first."""
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.path, path, symlinks=True)
        return Home(path)


def prepare(path: Path) -> Home:
    """A home whose user is logged in to two sessions, with all that a logout must clear and all it must not."""
    home = Home(path)
    for stranger in home.strangers():
        _put(stranger, json.dumps({"Credentials": {"SecretAccessKey": "kept"}, "AssumedRoleUser": {}}))
    for cache in home.caches():
        for session, token in ((CORP, OLD), (ANOTHER, ANOTHERS)):
            cache.save_token(session, token)
            cache.save_registration(session, REGISTRATION)
    asyncio.run(_fill_vault(home))
    _fill_role_cache(home)
    _leave_leftovers(home)
    return home


def prepare_empty(path: Path) -> Home:
    """A home of somebody who has never used any of AWS's tools."""
    path.mkdir()
    return Home(path)


async def _fill_vault(home: Home) -> None:
    vault = home.vault()
    await vault.open()
    vault.keep(OLD_KEPT)
    vault.keep(ANOTHERS_KEPT)
    vault.keep_sign_in(CORP, OLD_SIGN_IN)
    await vault.stop()


def _fill_role_cache(home: Home) -> None:
    credentials = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": MARK, "SessionToken": MARK}
    entries = {
        documents.role_cache_file_name(DEVELOPER): {"ProviderType": "sso", "Credentials": credentials},
        documents.role_cache_file_name(ANOTHERS_ROLE): {"ProviderType": "sso", "Credentials": credentials},
        documents.assume_role_cache_file_name(DEPLOY): {"Credentials": credentials, "AssumedRoleUser": {}},
    }
    for name, document in entries.items():
        _put(home.role_cache / name, json.dumps(document))


def _leave_leftovers(home: Home) -> None:
    """What a writer that was killed on another host long ago has left in each directory."""
    old = time.time() - 2 * private_files.OLD
    for path in (home.token_cache.token_path(CORP), home.sealed_cache.token_path(CORP)):
        leftover = path.with_name(f".{path.name}.0123abcd-1-0123abcd.tmp")
        _put(leftover, f'{{"accessToken": "{MARK}')
        os.utime(leftover, (old, old))


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
