"""What lies in the caches that AWS's tools share, read as thoroughly as a logout needs.

Other programs write there in place, or are killed while they write: a file that is no JSON any more may still hold a
whole token, and so may one that no JSON parser would go through.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from credhelper.domain import documents
from credhelper.local import private_files

LARGEST = 4 * 1024**2  # bytes: whatever a person might have made of it, all of it is to go

_TEXT_MEMBER = re.compile(rb'"(\w{1,64})"\s*:\s*"([^"]*)')


@dataclass(frozen=True, slots=True)
class CachedDocument:
    """A JSON object in a file, or what can be made out of one."""

    path: Path
    members: dict[str, Any] = field(repr=False)
    is_torn: bool
    """Not JSON: the members, of whatever depth, are those whose text could be made out; an unfinished one is empty."""


def read(path: Path) -> CachedDocument | None:
    """The object in a file, also behind a link; None when there is nothing, or something that was never such an object.

    Raises UnusableFile.
    """
    content = private_files.read(path, largest=LARGEST, follow_link=True)
    if content is None:
        return None
    try:
        return CachedDocument(path, documents.parse_object(content), is_torn=False)
    except documents.MalformedDocument:
        members = _members_of_torn(content)
        return CachedDocument(path, members, is_torn=True) if members else None


def look(path: Path) -> CachedDocument | None:
    """The same, and None too for what cannot be read."""
    try:
        return read(path)
    except private_files.UnusableFile:
        return None


def is_regular(path: Path) -> bool:
    """Whether a regular file is at ``path``, or at the end of the link there."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _members_of_torn(content: bytes) -> dict[str, str]:
    if not content.lstrip().startswith(b"{"):
        return {}
    found: dict[str, str] = {}
    for match in _TEXT_MEMBER.finditer(content):
        is_finished = content[match.end() : match.end() + 1] == b'"'
        found.setdefault(match[1].decode(), match[2].decode("utf-8", "replace") if is_finished else "")
    return found
