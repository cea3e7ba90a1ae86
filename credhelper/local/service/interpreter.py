"""The Python that a service runs: this one, if it is here to stay."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from credhelper.domain.errors import ConfigError

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # looked for, not used

_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/


def lasting(environment: Mapping[str, str]) -> Path:
    """This process's interpreter. Raises ConfigError when its environment lies where things are thrown away.

    `uvx` and `pipx run` make environments in their caches, which they clear as they see fit.
    """
    place = Path(sys.prefix)
    if reason := why_passing(place, environment):
        raise ConfigError(
            f"credhelper runs from {place}, {reason}: a service would stop working with it",
            hint="pipx install credhelper && credhelper service install"
            " (or `uv tool install credhelper`; --force installs from here all the same)",
        )
    return Path(sys.executable)


def why_passing(place: Path, environment: Mapping[str, str], temporary: Iterable[str] = TEMPORARY) -> str | None:
    """Why the place will not last, as the rest of a sentence; None when it looks as if it will."""
    if _is_below(place, [environment.get("TMPDIR", ""), *temporary]):
        return "a temporary directory"
    # Above the place only: tools put the tag into every virtual environment as well, to keep it out of backups.
    is_cached = any(_is_tagged(directory) or directory.name in {".cache", "Caches"} for directory in place.parents)
    if is_cached or _is_below(place, [environment.get("XDG_CACHE_HOME", "")]):
        return "a cache, as `uvx` and `pipx run` use one"
    return None


def _is_below(place: Path, roots: Iterable[str]) -> bool:
    real = Path(os.path.realpath(place))
    named = {Path(root) for root in roots if root.startswith("/")}
    every = (named | {Path(os.path.realpath(root)) for root in named}) - {Path("/")}
    return any(root in path.parents for root in every for path in (place, real))


def _is_tagged(directory: Path) -> bool:
    try:
        with open(directory / "CACHEDIR.TAG", "rb") as file:
            return file.read(len(_TAG)) == _TAG
    except OSError:
        return False
