"""When each role was last handed out, kept over restarts of the daemon: names and times, no secret.

What cannot be read counts as nothing: a list that begins in another order is all that is lost.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from credhelper.local import private_files

log = logging.getLogger(__name__)

MOST = 1000
"""Roles that are remembered: whoever has more wants to be shown those of this week."""
LARGEST = 4 * 1024**2  # bytes; as many with AWS's longest names take 400,000
KEYS = ("session", "account_id", "role_name", "profile")


class Use(NamedTuple):
    """A role as somebody asked for it; ``profile`` is empty where they named session, account and role."""

    session: str
    """The session's name, or a legacy one's start URL."""
    account_id: str
    role_name: str
    profile: str


def load(path: Path) -> dict[Use, datetime]:
    """When each was last handed out, the latest last. Blocks. Never raises."""
    try:
        found = json.loads(private_files.read(path, largest=LARGEST) or b"{}").get("used", [])
        used = {_use(each): datetime.fromtimestamp(each["at"], UTC) for each in found[-MOST:]}
    except (private_files.UnusableFile, ValueError, TypeError, AttributeError, KeyError, LookupError) as error:
        log.debug("which roles were used last cannot be read: %s", error)
        return {}
    except (ArithmeticError, RecursionError, OSError) as error:  # a time no clock can show, or nested without end
        log.debug("which roles were used last makes no sense: %s", type(error).__name__)
        return {}
    return dict(sorted(used.items(), key=lambda item: item[1]))


def _use(entry: Mapping[str, object]) -> Use:
    names = [entry[key] for key in KEYS]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name that is none")
    return Use(*map(str, names))


def save(path: Path, used: Mapping[Use, datetime]) -> None:
    """Replaces the file, which goes where nothing is left to keep. Blocks. Raises OSError."""
    if not used:
        private_files.remove(path)
        return
    entries = [use._asdict() | {"at": at.timestamp()} for use, at in used.items()]
    private_files.write(path, json.dumps({"version": 1, "used": entries}).encode())


def forget(path: Path, session: str | None) -> None:
    """Takes out what belongs to a session, or everything, as where nobody can tell. Blocks. Raises OSError."""
    if session is None:
        private_files.remove(path)
        return
    used = load(path)
    left = {use: at for use, at in used.items() if use.session != session}
    if len(left) < len(used) or not used:
        try:
            save(path, left)
        except OSError:  # a full disk takes no other file, but gives up this one
            private_files.remove(path)
