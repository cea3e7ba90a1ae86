"""The fast client's copy in the user's data directory, and the line that runs it.

The line in a profile outlives virtual environments: it names the base interpreter and a file of the user's, and that
file finds today's credhelper through the file ``installation`` beside it.
"""

import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.local import places, private_files

_PLAIN = re.compile(r"[A-Za-z0-9_.@/+,:=~^-]+")
_UNSPEAKABLE = re.compile(r"""[#;$\\"'`\n\r]""")
_PRINTS_KEYS = {"get", "export"}


def put_in_place(env: Mapping[bytes, bytes]) -> Path:
    """Brings the client's copy and the note beside it up to date; returns the copy's path. Raises CredhelperError."""
    copy = client_copy(env)
    package = resources.files("credhelper")
    try:
        _update(copy, package.joinpath("client.py").read_bytes())
        _update(copy.with_name("installation"), os.fsencode(f"{sys.executable}\n{package}\n"))
    except OSError as error:
        raise CredhelperError(f"the client cannot be put in place: {error.filename}: {error.strerror}") from error
    return copy


def client_copy(env: Mapping[bytes, bytes]) -> Path:
    """Where the client's copy lies, once it is in place."""
    return places.data_directory(env) / "client.py"


def _update(path: Path, content: bytes) -> None:
    try:
        if private_files.read(path) == content:
            return
    except private_files.UnusableFile:
        path.unlink()
    private_files.write(path, content)


def base_interpreter() -> Path:
    """The interpreter below the virtual environment, by its most lasting name: ``python3`` survives minor upgrades."""
    base = Path(getattr(sys, "_base_executable", None) or sys.executable)
    lasting = base.with_name("python3")
    return lasting if lasting.exists() and lasting.resolve() == base.resolve() else base


def process_lines(env: Mapping[bytes, bytes]) -> Callable[[str], str]:
    """What makes the ``credential_process`` lines of profiles here: each by its profile's name. Raises as the line."""
    copy, interpreter = client_copy(env), base_interpreter()
    return lambda profile: process_line(profile, copy, interpreter)


def process_line(profile: str, copy: Path, interpreter: Path) -> str:
    """The value for ``credential_process``, in the one form that every SDK reads alike.

    Some split it with shell quoting, some hand it to ``sh -c``, Go's parsers stumble over a value that begins with a
    quote and cut at ``#`` and ``;``. Raises ConfigError when a path cannot be written so.
    """
    words = []
    for path in (str(interpreter), str(copy)):
        if _UNSPEAKABLE.search(path):
            raise ConfigError(
                f"credential_process cannot name the path {path}: SDKs disagree on how to read one of its characters",
                hint="set XDG_DATA_HOME to a directory with a plainer name, or install credhelper elsewhere",
            )
        words.append(path if _PLAIN.fullmatch(path) else f'"{path}"')
    start = ["/usr/bin/env"] if any(word.startswith('"') for word in words) else []
    return " ".join([*start, words[0], "-IS", words[1], encode_profile(profile)])


@functools.lru_cache(maxsize=4096)
def words_of(line: str) -> tuple[str, ...]:
    """The words of a ``credential_process`` line; where it has a quote too many, by its spaces."""
    try:
        return tuple(shlex.split(line))
    except ValueError:
        return tuple(line.split())


def is_ours(line: str) -> bool:
    """Whether a ``credential_process`` line runs credhelper, in whatever form somebody has written it."""
    words = words_of(line)
    return any(
        word.endswith("/credhelper/client.py")
        # Another tool may be given a directory or a user of that name.
        or (word.rpartition("/")[2] == "credhelper" and not _PRINTS_KEYS.isdisjoint(words[number:]))
        for number, word in enumerate(words)
    )


def encode_profile(profile: str) -> str:
    """A profile's name with everything outside ``[A-Za-z0-9_.@/-]`` percent-encoded; ``client.py`` decodes it."""
    encoded = quote(profile, safe="@/", errors="surrogateescape").replace("~", "%7E")
    # The client takes an argument with a leading dash for an option.
    return "%2D" + encoded[1:] if encoded.startswith("-") else encoded
