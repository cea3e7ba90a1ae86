"""Files that only the holder of a key can read or change: AES-256-GCM, one file for each thing.

Whoever copies a home finds nothing in them. A file's name tells whose it is without the key, so that a logout can
delete it while the keyring is locked; what it is for is sealed in with it, so that no file passes for another.
"""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from credhelper.local import private_files

KEY_LENGTH = 32  # bytes
SUFFIX = ".sealed"

_MAGIC = b"CHS1"
"""The form's name and version, which is sealed in too."""
_NONCE_LENGTH = 12  # bytes; drawn at random, which is safe for some 2^32 files under one key (NIST SP 800-38D, 8.3)
_NAME = re.compile(r"(?P<owner>[0-9a-f]{16})-[0-9a-f]{16}\.sealed")


class KeyBox:
    """Where the key is, as long as there is one: shared by whoever seals and whoever gets the key."""

    __slots__ = ("key",)

    def __init__(self) -> None:
        self.key: bytes | None = None


class Unsealable(Exception):
    """It cannot be unsealed: another key, another purpose, changed, or no sealed file. Says how, never content."""


def path_of(directory: Path, owner: str, what: str) -> Path:
    """Where ``what`` (such as "token") of ``owner`` (a session's cache key) lies."""
    return directory / f"{_hash(owner)}-{_hash(what)}{SUFFIX}"


def files_of(directory: Path, owner: str) -> list[Path]:
    """Every file of ``owner``, sorted, with what killed writers of ours have left of them.

    Empty when there is no such directory. Raises OSError when it cannot be listed.
    """
    wanted = _hash(owner)
    return _files(directory, lambda found: found == wanted)


def all_files(directory: Path) -> list[Path]:
    """The same of every owner."""
    return _files(directory, lambda _: True)


def is_about(path: Path, what: str) -> bool:
    """Whether the file at ``path`` is, by its name, somebody's ``what``, or what a writer has made of it so far."""
    return f"-{_hash(what)}{SUFFIX}" in path.name


def seal(key: bytes, content: bytes, bound_to: bytes) -> bytes:
    """``content`` for a file that only ``key`` (32 bytes) opens, and only for whoever names the same ``bound_to``."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_LENGTH)
    return _MAGIC + nonce + AESGCM(key).encrypt(nonce, content, _MAGIC + bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """What ``seal`` was given. Raises Unsealable."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not sealed.startswith(_MAGIC):
        raise Unsealable("not a sealed file of this version")
    nonce, ciphertext = sealed[len(_MAGIC) :][:_NONCE_LENGTH], sealed[len(_MAGIC) + _NONCE_LENGTH :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _MAGIC + bound_to)
    except (InvalidTag, ValueError):  # ValueError: a nonce that was cut short
        raise Unsealable("sealed with another key or for another purpose, or changed since") from None


def _files(directory: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    owners = ((name, _owner(name)) for name in names)
    return sorted(directory / name for name, owner in owners if owner is not None and is_wanted(owner))


def _owner(name: str) -> str | None:
    """The hash of whose file this is, or of which file it is a leftover; None for a file that is not ours."""
    if name.startswith("."):
        base = name[1:].partition(SUFFIX)[0] + SUFFIX
        if not private_files.is_temporary_of(name, Path(base)):
            return None
        name = base
    found = _NAME.fullmatch(name)
    return found["owner"] if found else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
