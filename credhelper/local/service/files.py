"""The files of a service: written whole, known again by their first line, and never taken from somebody else."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe
from credhelper.local import private_files

MARK = "Written by `credhelper service install`; `credhelper service uninstall` removes it."

_UNSPEAKABLE = re.compile(r"""["'\\$`\x00-\x1f\x7f\ud800-\udfff]""")


def plainly(content: bytes) -> str:
    """A file that holds no secret, as it is shown."""
    return content.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file as it should be. ``shown`` is how its content, old or new, appears in what a person reads."""

    path: Path
    content: bytes
    mode: int = 0o644
    shown: Callable[[bytes], str] = plainly

    def found(self) -> bytes | None:
        """What is there now, None when nothing is. Raises ConfigError when it cannot be read."""
        try:
            return private_files.read(self.path, follow_link=True)
        except private_files.UnusableFile as error:
            raise ConfigError(f"{self.path}: {error}", hint=f"ls -l {self.path}") from error

    def state(self) -> str:
        """What is there: "current", "differs" (ours, but another), "foreign" (not ours) or "missing".

        Raises ConfigError when it cannot be read.
        """
        if self._is_masked:
            return "foreign"
        found = self.found()
        if found is None:
            return "missing"
        if MARK.encode() not in found[:400]:
            return "foreign"
        return "current" if found == self.content else "differs"

    @property
    def is_ours(self) -> bool:
        """Whether a file that credhelper has written is there. Raises ConfigError."""
        return self.state() in {"current", "differs"}

    @property
    def _is_masked(self) -> bool:
        return self.path.is_symlink() and self.path.resolve() == Path(os.devnull)

    def refuse_if_foreign(self) -> None:
        """Raises ConfigError when somebody else's file is there."""
        if self._is_masked:
            raise ConfigError(f"{self.path.name} is masked", hint=f"systemctl --user unmask {self.path.name}")
        if self.state() == "foreign":
            raise ConfigError(f"{self.path} is there and was not written by credhelper", hint=f"rm {self.path}")


def template(name: str) -> str:
    """One of the unit files that come with credhelper."""
    return resources.files("credhelper").joinpath("units", name).read_text(encoding="utf-8")


def marked(text: str) -> bytes:
    """The content of a unit, a drop-in or a list of variables, known as ours by its first line."""
    return f"# {MARK}\n{text}".encode()


def replace_line(text: str, old: str, new: str) -> str:
    """``text`` with its one line ``old`` replaced. Raises ValueError when it has not exactly one."""
    lines = text.splitlines()
    if lines.count(old) != 1:
        raise ValueError(f"not exactly one line {old!r}")
    return "\n".join(new if line == old else line for line in lines) + "\n"


def in_unit(path: Path | str) -> str:
    """A path as the whole value of a setting of a unit, where ``%`` begins a specifier.

    Raises ConfigError for one that systemd or its quoting would read differently.
    """
    text = str(path)
    if _UNSPEAKABLE.search(text):
        raise ConfigError(
            f"a systemd unit cannot name the path {safe(text)}: one of its characters has a meaning there",
            hint="install credhelper, or put that file, where the path is plainer",
        )
    return text.replace("%", "%%")


def word_in_unit(path: Path | str) -> str:
    """A path as one word of a setting that has several. Raises ConfigError."""
    text = in_unit(path)
    return f'"{text}"' if re.search(r"\s", text) else text
