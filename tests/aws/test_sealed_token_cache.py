"""Tokens and registrations behind a key."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.aws.token_cache import TokenStore, UnusableTokenFile
from credhelper.domain.model import Registration, SsoSession, Token
from credhelper.local import sealed_files
from credhelper.local.sealed_files import KeyBox

CORP = SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1", ("sso:account:access",))
OTHER = SsoSession("other", "https://corp.awsapps.com/start", "eu-west-1", ("sso:account:access",))
LEGACY = SsoSession(None, "https://corp.awsapps.com/start", "eu-west-1")
SOON = datetime(2026, 6, 1, tzinfo=UTC)
TOKEN = Token("canary-access", SOON, CORP.start_url, CORP.region, "canary-refresh", "id", "canary-secret", SOON)
REGISTRATION = Registration("id", "canary-secret", SOON, ("sso:account:access",), ("authorization_code",))


@pytest.fixture
def box() -> KeyBox:
    box = KeyBox()
    box.key = b"k" * 32
    return box


@pytest.fixture
def cache(tmp_path: Path, box: KeyBox) -> SealedTokenCache:
    return SealedTokenCache(tmp_path / "vault", box)


def why(cache: SealedTokenCache, session: SsoSession = CORP) -> str:
    with pytest.raises(UnusableTokenFile) as caught:
        cache.load_token(session)
    assert not caught.value.is_torn
    return str(caught.value)


def contents(directory: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_it_is_ours_alone_and_open_with_the_key_only(cache: SealedTokenCache, box: KeyBox) -> None:
    store: TokenStore = cache
    assert not store.is_shared
    assert store.is_open
    box.key = None
    assert not store.is_open


@pytest.mark.parametrize("session", [CORP, LEGACY], ids=["sso-session", "legacy"])
def test_what_was_saved_comes_back(cache: SealedTokenCache, session: SsoSession) -> None:
    assert cache.load_token(session) is None
    assert cache.load_registration(session) is None
    cache.save_token(session, TOKEN)
    cache.save_registration(session, REGISTRATION)
    assert cache.load_token(session) == TOKEN
    assert cache.load_registration(session) == REGISTRATION


def test_nothing_of_it_can_be_read_on_the_disk(cache: SealedTokenCache, tmp_path: Path) -> None:
    cache.save_token(CORP, TOKEN)
    cache.save_registration(CORP, REGISTRATION)
    assert len(list(contents(tmp_path))) == 2
    assert not [content for content in contents(tmp_path) if b"canary" in content]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in cache.directory.iterdir())


def test_without_the_key_nothing_is_loaded_and_nothing_is_saved(cache: SealedTokenCache, box: KeyBox) -> None:
    cache.save_token(CORP, TOKEN)
    cache.save_registration(CORP, REGISTRATION)
    before = sorted(contents(cache.directory))
    box.key = None
    assert why(cache) == "it is sealed, and its key is not at hand"
    assert cache.load_token(OTHER) is None
    assert cache.load_registration(CORP) is None
    with pytest.raises(OSError, match="not at hand"):
        cache.save_token(CORP, TOKEN)
    with pytest.raises(OSError, match="not at hand"):
        cache.save_registration(CORP, REGISTRATION)
    assert sorted(contents(cache.directory)) == before


def test_another_key_opens_nothing(cache: SealedTokenCache, box: KeyBox) -> None:
    cache.save_token(CORP, TOKEN)
    cache.save_registration(CORP, REGISTRATION)
    box.key = b"o" * 32
    assert "another key" in why(cache)
    assert cache.load_registration(CORP) is None


def test_a_file_under_another_sessions_name_is_refused(cache: SealedTokenCache) -> None:
    cache.save_token(CORP, TOKEN)
    cache.token_path(CORP).rename(cache.token_path(OTHER))
    assert why(cache, OTHER)


def test_a_token_does_not_pass_for_a_registration(cache: SealedTokenCache) -> None:
    cache.save_token(CORP, TOKEN)
    cache.token_path(CORP).rename(cache.registration_path(CORP))
    assert cache.load_registration(CORP) is None


@pytest.mark.parametrize("change", [{"start_url": "https://evil.awsapps.com/start"}, {"region": "us-east-1"}], ids=str)
def test_a_session_that_moved_to_another_portal_has_no_token_there(
    cache: SealedTokenCache, change: dict[str, str]
) -> None:
    cache.save_token(CORP, TOKEN)
    cache.save_registration(CORP, REGISTRATION)
    moved = replace(CORP, **change)  # type: ignore[arg-type]  # text, all of them
    assert why(cache, moved)
    assert cache.load_registration(moved) is None


def test_other_scopes_change_the_registration_only(cache: SealedTokenCache) -> None:
    cache.save_token(CORP, TOKEN)
    cache.save_registration(CORP, REGISTRATION)
    changed = replace(CORP, scopes=("sso:account:access", "another"))
    assert cache.load_token(changed) == TOKEN
    assert cache.load_registration(changed) is None


def test_every_file_belongs_to_its_session(cache: SealedTokenCache) -> None:
    for session in (CORP, LEGACY):
        cache.save_token(session, TOKEN)
        cache.save_registration(session, REGISTRATION)
        assert sealed_files.files_of(cache.directory, session.cache_key) == sorted(
            [cache.token_path(session), cache.registration_path(session)]
        )


def test_what_a_killed_writer_left_is_found(cache: SealedTokenCache) -> None:
    path = cache.token_path(CORP)
    cache.directory.mkdir()
    left = path.with_name(f".{path.name}.01234567-1-01234567.tmp")
    left.write_bytes(b"")
    assert cache.temporaries(path) == [left]
    assert cache.temporaries(cache.registration_path(CORP)) == []
