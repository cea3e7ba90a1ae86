"""Token files that all tools share: what is no token, and whether that may pass."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credhelper.aws.token_cache import TokenCache, TokenStore, UnusableTokenFile
from credhelper.domain.model import SsoSession, Token

CORP = SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1")
TOKEN = Token("access", datetime(2026, 6, 1, tzinfo=UTC), CORP.start_url, CORP.region)


@pytest.fixture
def cache(tmp_path: Path) -> TokenCache:
    cache = TokenCache.of_home(tmp_path)
    cache.directory.mkdir(parents=True)
    return cache


def is_torn(cache: TokenCache) -> bool:
    with pytest.raises(UnusableTokenFile) as caught:
        cache.load_token(CORP)
    return caught.value.is_torn


def test_it_is_shared_and_always_open(cache: TokenCache) -> None:
    store: TokenStore = cache
    assert store.is_shared
    assert store.is_open


def test_a_token_comes_back(cache: TokenCache) -> None:
    assert cache.load_token(CORP) is None
    cache.save_token(CORP, TOKEN)
    assert cache.load_token(CORP) == TOKEN


def test_every_beginning_of_a_token_file_may_be_being_written(cache: TokenCache) -> None:
    cache.save_token(CORP, TOKEN)
    path = cache.token_path(CORP)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert is_torn(cache)


@pytest.mark.parametrize("content", [b"  \n", b"\0" * 100, b"\xff\xfe", b'{"a": 1}{', b"[" * 100_000])
def test_what_is_not_json_may_be_being_written(cache: TokenCache, content: bytes) -> None:
    cache.token_path(CORP).write_bytes(content)
    assert is_torn(cache)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"1", b'{"accessToken": "a"}', b'{"accessToken": 1}'])
def test_a_whole_document_that_is_no_token_stays_one(cache: TokenCache, content: bytes) -> None:
    cache.token_path(CORP).write_bytes(content)
    assert not is_torn(cache)


@pytest.mark.parametrize(
    "put",
    [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/null"), lambda path: path.write_bytes(b"{" * 300_000)],
    ids=["fifo", "directory", "link", "large"],
)
def test_what_is_no_file_of_ours_stays_so(cache: TokenCache, put: Callable[[Path], object]) -> None:
    put(cache.token_path(CORP))
    assert not is_torn(cache)
