"""Policy documents and AWS's answers that a person names on the command line."""

import sys
from collections.abc import Mapping
from typing import Any

from credhelper.domain.documents import MalformedDocument, parse_object
from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe
from credhelper.identity_pools.policy_language import LONGEST

STDIN = "-"
LONGEST_ANSWER = 1_000_000  # bytes; ten providers with 25 rules each have a tenth of it


def read(path: str, longest: int = LONGEST) -> tuple[bytes, str]:
    """A file's content, or with ``-`` standard input's, and what to call it. Raises ConfigError.

    Reads one byte more than ``longest``, and leaves the rest.
    """
    if path == STDIN:
        if sys.stdin is None:
            raise ConfigError("standard input is closed")
        return sys.stdin.buffer.read(longest + 1), "standard input"
    try:
        with open(path, "rb") as file:
            return file.read(longest + 1), path
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path of a file"
        raise ConfigError(f"{safe(path)} cannot be read: {reason}") from None


def answer(path: str) -> tuple[Mapping[str, Any], str]:
    """An answer of AWS's as the AWS CLI prints it, and what to call the file. Raises ConfigError."""
    content, name = read(path, LONGEST_ANSWER)
    if len(content) > LONGEST_ANSWER:
        raise ConfigError(f"{safe(name)} is longer than {LONGEST_ANSWER} bytes, and no answer about a pool is")
    try:
        return parse_object(content), name
    except MalformedDocument as error:
        raise ConfigError(f"{safe(name)}: {error}") from None
