"""Who users and guests are in identity pools, kept over restarts: an identity id for each pool and user.

A user's is the same whenever Cognito is asked; a guest's is made anew with every question, and with it goes whatever is
kept under the one before. So it is worth a file: one for each pool and user in the state directory, 0600, with nothing
of the login's tokens, and of the user only a hash.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from credhelper.domain.documents import MalformedDocument, parse_object
from credhelper.local import places, private_files

log = logging.getLogger(__name__)

VERSION = 1
LARGEST = 4096  # bytes
GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Owner:
    """A user, or the guest, of one pool. A pool's id begins with its region, which is of one partition only."""

    pool_id: str
    user: str
    """GUEST, or a hash that tells a user from every other one of whatever identity provider."""
    login_key: str = field(compare=False)
    """The ``cache_key`` of the login, by which the user's files are found when nobody is logged in."""


def path_of(state: Path, owner: Owner) -> Path:
    """Where the owner's identity id lies."""
    return places.identity_file(state, f"{owner.pool_id} {owner.user}")


def load(state: Path, owner: Owner) -> str | None:
    """The owner's identity id, of its pool's region; None where none can be used. Blocks. Raises nothing."""
    path = path_of(state, owner)
    try:
        found = _document(path)
    except (private_files.UnusableFile, MalformedDocument) as error:
        log.warning("an identity id cannot be read, and so is asked for anew: %s: %s", path, error)
        return None
    if (found.get("pool_id"), found.get("user")) != (owner.pool_id, owner.user):
        return None
    identity_id = found.get("identity_id")
    region = owner.pool_id.partition(":")[0]
    return identity_id if isinstance(identity_id, str) and identity_id.startswith(f"{region}:") else None


def save(state: Path, owner: Owner, identity_id: str) -> None:
    """Replaces the owner's file. Blocks. Raises OSError."""
    document = {
        "version": VERSION,
        "pool_id": owner.pool_id,
        "user": owner.user,
        "login": owner.login_key,
        "identity_id": identity_id,
    }
    private_files.write(path_of(state, owner), json.dumps(document).encode())


def drop(state: Path, owner: Owner, identity_id: str) -> None:
    """Removes the owner's file, unless it holds another identity id by now. Blocks. Raises OSError."""
    if load(state, owner) in {None, identity_id}:
        private_files.remove(path_of(state, owner))


def forget(state: Path, login_key: str | None, pool_id: str | None = None) -> list[Path]:
    """Removes every file of a login and of a pool, each where it is named; returns what went.

    One that cannot be read says nothing of whose it is, and goes too. Blocks. Raises OSError.
    """
    return [path for path in _files_of(state, login_key, pool_id) if private_files.remove(path)]


def _files_of(state: Path, login_key: str | None, pool_id: str | None) -> Iterator[Path]:
    for path in places.all_identity_files(state):
        try:
            found = _document(path)
        except (private_files.UnusableFile, MalformedDocument):
            yield path
            continue
        if login_key in {None, found.get("login")} and pool_id in {None, found.get("pool_id")}:
            yield path


def _document(path: Path) -> dict[str, object]:
    """The content of a file, {} where there is none. Raises UnusableFile, MalformedDocument."""
    found = parse_object(private_files.read(path, largest=LARGEST) or b"{}")
    return found if found.get("version") == VERSION else {}
