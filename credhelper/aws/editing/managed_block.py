"""The profiles of a managed block of ``~/.aws/config``, each with its lines: what a person added stays as it is."""

from collections.abc import Mapping
from pathlib import Path

from credhelper.aws.editing import config_text
from credhelper.aws.editing.config_text import ConfigText, SectionName

REMARK = (
    "# These profiles are credhelper's: it keeps what you add to them, and puts its own keys right at the next sync.\n",
    "# Your own profiles belong above or below.\n",
)
"""What a new block begins with."""


KeyChange = tuple[str, str | None, str | None]
"""A key, what it was and what it is; None for nothing."""


class Section:
    """A section of the block, with the comments right above its header."""

    def __init__(self, section: config_text.Section, above: list[str]) -> None:
        self._section = section
        self._above = above

    @classmethod
    def new(cls, profile: str) -> "Section":
        """An empty one. The name needs no quotes."""
        return cls(config_text.Section(f"[profile {profile}]\n", f"profile {profile}", 0), [])

    @property
    def profile(self) -> str | None:
        """The profile's name; None for a section of another kind."""
        name = config_text.decoded(self._section.text)
        return name.name if name is not None and name.kind == "profile" else None

    def value(self, key: str) -> str | None:
        """What it says for a key (in lower case); None for nothing."""
        entry = self._section.entry(key)
        return None if entry is None else entry.value

    def call(self, profile: str) -> None:
        """Gives it another name, which needs no quotes."""
        if self.profile != profile:
            text = SectionName("profile", profile).text
            self._section.header, self._section.text = f"[{text}]\n", text

    def put(self, values: Mapping[str, str], without: frozenset[str]) -> list[KeyChange]:
        """Gives it exactly ``values`` of these keys, and none of ``without`` beside them; all other lines stay.

        Returns what has changed.
        """
        found = {entry.key: entry for entry in self._section.entries()}
        surplus = [key for key in found if key in without and key not in values]
        changes: list[KeyChange] = [(key, found[key].value, None) for key in surplus]
        if surplus:
            self._section.remove(frozenset(surplus))
        for key, value in values.items():
            was = found[key].value if key in found else None
            if was is None:
                self._section.add(key, value)
            else:
                found[key].set(value)
            if was != value:
                changes.append((key, was, value))
        return changes

    def text(self) -> str:
        """Its lines, without the empty ones at its end."""
        return "".join([*self._above, *self._section.lines()]).rstrip() + "\n"


class Block:
    """What stands between a block's two lines. Raises ConfigError where that are no whole sections."""

    def __init__(self, text: str, path: Path) -> None:
        found = ConfigText(text, path)
        self._lead = found.lead if text else list(REMARK)
        self.sections: list[Section] = []
        """In the order in which they are to stand."""
        above: list[str] = []
        for section in found.sections:
            self.sections.append(Section(section, above))
            above = _take_comments(section)

    def text(self) -> str:
        """All of it, an empty line between sections; "" when there is no section."""
        if not self.sections:
            return ""
        lead = "".join(self._lead).strip("\n")
        return "\n".join([*([lead + "\n"] if lead else []), *(section.text() for section in self.sections)])


def _take_comments(section: config_text.Section) -> list[str]:
    """The comments right above the next header, which are its own; those right below a key stay."""
    tail = section.tail()
    blank = max((number for number, line in enumerate(tail) if not line.strip()), default=None)
    if blank is None:
        return []
    taken = tail[blank + 1 :]
    del section.items[len(section.items) - len(taken) :]
    return taken
