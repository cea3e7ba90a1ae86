"""The lines of ``~/.aws/config``, changed one by one while every other byte stays as it is.

A model of our own and not ConfigUpdater, which keeps an untouched file as it is but not an edited one: measured with
4.1.1, an edited line of a CRLF file gets LF, ``key=v`` becomes ``key = v`` and ``Key`` ``key``, ``region: x`` becomes
``region : x``, a key added below indented ones is not indented (and so, elsewhere, indented ones become its value),
and a file of CR lines is garbled. The rules here are those of the parser that botocore uses
(configparser.RawConfigParser, strict), and ``config_edits`` has that parser confirm every reading of this model.

A file without a newline at its end stays one without: so what was added there can be taken out without a trace.
"""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from configparser import DEFAULTSECT
from dataclasses import dataclass, field
from pathlib import Path

from credhelper.aws import config_file
from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe

KINDS = ("profile", "sso-session", "services")

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<indent>\s*)(?P<key>.*?)(?P<gap>\s*[=:](?:\s*(?=\S))?)(?P<value>.*?)(?P<tail>\s*)", re.DOTALL)
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.@/+=:,%~-]+")  # what needs no quotes in a header
_PLAIN_HEADER = re.compile(rf"(?P<kind>{'|'.join(KINDS)}) (?P<name>{_PLAIN_NAME.pattern})")


@dataclass(frozen=True, slots=True)
class SectionName:
    """A section by what it means: ``kind`` "profile", "sso-session" or "services", and its decoded name.

    The profile default is ``[default]``; ``[profile default]`` names the same one.
    """

    kind: str
    name: str

    @property
    def text(self) -> str:
        """What stands between the brackets of a new section, quoted where botocore would see two words."""
        if (self.kind, self.name) == ("profile", "default"):
            return "default"
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else f'"{self.name}"'
        return f"{self.kind} {name}"

    def __str__(self) -> str:
        """For a person."""
        return f"[{safe(self.text)}]"


def decoded(text: str) -> SectionName | None:
    """What a header means to botocore, None when nothing: ``[profiles x]`` is the profile x, as the prefix counts."""
    plain = _PLAIN_HEADER.fullmatch(text)  # nearly always, and many times quicker
    if plain is not None:
        return SectionName(plain["kind"], plain["name"])
    kind, name = config_file.split_section(text)
    meant = next((known for known in KINDS if kind.startswith(known)), None)
    if meant is None or not (text.startswith(meant) or text == "default"):
        return None
    return SectionName(meant, name)


@dataclass(slots=True)
class Entry:
    """One key (in lower case) with all lines of its value; the comments between these are its own."""

    key: str
    lines: list[str]

    @property
    def value(self) -> str:
        """What botocore reads."""
        values = [_parts(self.lines[0])["value"]]
        values += [line.strip() for line in self.lines[1:] if not _is_comment(line)]
        return "\n".join(values).rstrip()

    @property
    def indent(self) -> str:
        """What stands before the key."""
        return _parts(self.lines[0])["indent"]

    @property
    def equals(self) -> str:
        """The sign for the next key: other SDKs know no colon, and a column of values is nobody else's."""
        gap = _parts(self.lines[0])["gap"]
        return "=" if gap == gap.strip() else " = "

    def set(self, value: str) -> None:
        """Makes ``value`` the value, on one line; a line that says so already stays as it is."""
        if self.value == value:
            return
        parts = _parts(self.lines[0])
        gap = parts["gap"]
        if not parts["value"] and gap[0].isspace():
            gap += " "
        self.lines = [parts["indent"] + parts["key"] + gap + value + parts["tail"]]

    def rename(self, new: str) -> None:
        """Calls it ``new``; the letters that both names end with keep their case, so that it can be undone."""
        parts = _parts(self.lines[0])
        spelled = parts["key"]
        kept = 0
        while kept < min(len(spelled), len(new)) and spelled[-1 - kept].lower() == new[-1 - kept]:
            kept += 1
        respelled = new[: len(new) - kept] + spelled[len(spelled) - kept :]
        self.lines[0] = parts["indent"] + respelled + self.lines[0][parts.end("key") :]
        self.key = new


@dataclass(slots=True, eq=False)
class Section:
    """A header's line, and below it entries and, as they are, blank lines and comments; ``line`` is 0 for a new one."""

    header: str
    text: str
    line: int
    items: list[Entry | str] = field(default_factory=list)

    def entries(self) -> Iterator[Entry]:
        """Its keys in file order."""
        return (item for item in self.items if isinstance(item, Entry))

    def entry(self, key: str) -> Entry | None:
        """The one called ``key``."""
        return next((entry for entry in self.entries() if entry.key == key), None)

    def add(self, key: str, value: str) -> None:
        """Puts a key below the last one, indented as that is: so neither becomes a part of the other."""
        place, indent, equals, ending = 0, _indent(self.header), " = ", _ending(self.header)
        for number, item in enumerate(self.items, start=1):
            if isinstance(item, Entry):
                place, indent, equals, ending = number, item.indent, item.equals, _ending(item.lines[-1])
        self.items.insert(place, Entry(key.lower(), [indent + key + equals + value + ending]))

    def remove(self, keys: frozenset[str]) -> None:
        """Takes these keys out, as far as they are there."""
        self.items = [item for item in self.items if isinstance(item, str) or item.key not in keys]

    def tail(self) -> list[str]:
        """The blank lines and comments below the last key, which are the section's or the next one's."""
        found: list[str] = []
        for item in reversed(self.items):
            if not isinstance(item, str):
                break
            found.append(item)
        return found[::-1]

    def lines(self) -> Iterator[str]:
        """All of it."""
        yield self.header
        for item in self.items:
            if isinstance(item, str):
                yield item
            else:
                yield from item.lines


class ConfigText:
    """A whole file that botocore can parse; ``path`` is for messages. Its methods raise ConfigError."""

    def __init__(self, text: str, path: Path) -> None:
        self._path = path
        lines = list(io.StringIO(text, newline=""))  # each with the ending it has: LF, CRLF or CR
        self._ending = next((ending for line in lines if (ending := _ending(line))), "\n")
        self._is_open = bool(lines) and not _ending(lines[-1])
        if self._is_open:
            lines[-1] += self._ending
        self._load(lines)

    def _load(self, lines: list[str]) -> None:
        self.lead: list[str] = []
        self.sections: list[Section] = []
        self._named: dict[SectionName, list[Section]] = {}
        entry: Entry | None = None
        level = 0
        pending: list[str] = []  # blank lines and comments, which are a value's if it goes on behind them
        for number, line in enumerate(lines, start=1):
            stripped = line.strip()
            if not stripped or _is_comment(stripped):
                pending.append(line)
                continue
            indent = len(_indent(line))
            if entry is not None and indent > level:
                entry.lines += [*pending, line]
                pending = []
                continue
            self._last_items().extend(pending)
            pending = []
            level = indent
            header = _HEADER.match(stripped)
            if header:
                entry = None
                self._begin(Section(line, header["name"], number))
            else:
                entry = Entry(_parts(line)["key"].lower(), [line])
                self.sections[-1].items.append(entry)
        self._last_items().extend(pending)

    def _begin(self, section: Section) -> None:
        self.sections.append(section)
        name = decoded(section.text)
        if name is not None:
            self._named.setdefault(name, []).append(section)

    def _last_items(self) -> "list[Entry | str] | list[str]":
        return self.sections[-1].items if self.sections else self.lead

    def lines(self) -> list[str]:
        """Every line, each with an ending: also a last one that has none in the file."""
        return [*self.lead, *(line for section in self.sections for line in section.lines())]

    def render(self) -> str:
        """The file's text."""
        text = "".join(self.lines())
        return text[: len(text) - len(_ending(text))] if self._is_open else text

    def find(self, name: SectionName) -> Section | None:
        """The section. Two that mean the same are nobody's to choose from."""
        found = self._named.get(name, [])
        if len(found) > 1:
            lines = " and ".join(str(section.line) for section in found)
            raise ConfigError(f"{self._path}: {name} is there twice, in lines {lines}: which of them counts, depends")
        return found[0] if found else None

    def existing(self, name: SectionName) -> Section:
        """The section, which must be there."""
        section = self.find(name)
        if section is None:
            raise ConfigError(f"{self._path}: there is no section {name}")
        return section

    def set_keys(self, name: SectionName, keys: Mapping[str, str]) -> None:
        """Adds or changes keys; the section is made at the end of the file where there is none."""
        section = self.find(name) or self._make(name)
        for key, value in keys.items():
            entry = section.entry(key.lower())
            if entry is None or entry.value != value:
                self._refuse_unwritable(name, key, value)
            if entry is None:
                section.add(key, value)
            else:
                entry.set(value)

    def line_of(self, section: str, key: str) -> int:
        """The line of a key, by its section's header text; 0 where there is none."""
        for found in self.sections:
            number = found.line
            for item in found.items:
                number += 1
                if isinstance(item, Entry):
                    if (found.text, item.key) == (section, key):
                        return number
                    number += len(item.lines) - 1
        return 0

    def refuse_twins(self, names: Iterable[SectionName]) -> None:
        """Raises ConfigError where one of them is in two sections."""
        for name in names:
            self.find(name)

    def _make(self, name: SectionName) -> Section:
        if not _can_be_written(name):
            raise ConfigError(f"{self._path}: “{safe(name.name)}” cannot be written as the name of a section")
        self._separate()
        section = Section(f"[{name.text}]{self._last_ending()}", name.text, 0)
        self._begin(section)
        return section

    def _separate(self) -> None:
        """A blank line below all that there is, also below another: ``_join`` takes it away again."""
        if self._last_line():
            self._last_items().append(self._last_ending())

    def _last_ending(self) -> str:
        return _ending(self._last_line()) or self._ending

    def _last_line(self) -> str:
        items = self._last_items()
        if items:
            return items[-1].lines[-1] if isinstance(items[-1], Entry) else items[-1]
        return self.sections[-1].header if self.sections else ""

    def remove_keys(self, name: SectionName, keys: frozenset[str]) -> None:
        """Takes keys out of a section, as far as they are there."""
        self.existing(name).remove(keys)

    def replace_keys(self, name: SectionName, keys: Mapping[str, tuple[str, str | None]]) -> None:
        """Renames keys where they stand, from the old name to the new one; a value of None stays as it is."""
        section = self.existing(name)
        for old, (new, value) in keys.items():
            entry = section.entry(old.lower())
            if entry is None:
                raise ConfigError(f"{self._path}: {name} has no key {safe(old)}")
            if new.lower() != entry.key and section.entry(new.lower()) is not None:
                raise ConfigError(f"{self._path}: {name} has both {safe(old)} and {safe(new)}")
            self._refuse_unwritable(name, new, None if value == entry.value else value)
            entry.rename(new.lower())
            if value is not None:
                entry.set(value)

    def _refuse_unwritable(self, section: SectionName, key: str, value: str | None) -> None:
        """What botocore would read back otherwise; a value of None is there already."""
        place = f"{self._path}: {section}"
        if not _KEY.fullmatch(key):
            raise ConfigError(f"{place}: “{safe(key)}” cannot be written as a key")
        if value is None:
            return
        if not value:
            raise ConfigError(f"{place}: {key} would have no value, and what is indented below it would become one")
        if value != value.strip() or any(is_hostile(character) for character in value):
            raise ConfigError(
                f"{place}: the value of {key} cannot be written: spaces around it, or a control character"
            )

    def remove_section(self, name: SectionName) -> None:
        """Takes a section out, from its header to its last key. Comments below that stay."""
        section = self.existing(name)
        number = self.sections.index(section)
        tail = section.tail()
        above = self.sections[number - 1].items if number else self.lead
        del self.sections[number]
        del self._named[name]
        _join(above, tail, is_end=number == len(self.sections))

    def block(self, marker: str) -> str | None:
        """The text between a block's two lines, with LF, None when there is no such block."""
        lines = self.lines()
        place = self._place(marker, lines)
        return None if place is None else "".join(_with(line, "\n") for line in lines[place[0] + 1 : place[1]])

    def has_block_lines(self, marker: str) -> bool:
        """Whether a line would be taken for the beginning or end of a block of this family."""
        return any(line.strip().startswith(_family_lines(marker)) for line in self.lines())

    def sections_around(self, marker: str) -> tuple[int, int]:
        """How many sections but DEFAULT stand above the block (in the file, if there is none) and in it."""
        lines = self.lines()
        begin, end = self._place(marker, lines) or (len(lines), len(lines))
        starts = [section.line - 1 for section in self.sections if section.text != DEFAULTSECT]
        return sum(start < begin for start in starts), sum(begin < start < end for start in starts)

    def outside(self, marker: str) -> list[str]:
        """Every line that is not the block's."""
        lines = self.lines()
        place = self._place(marker, lines)
        return lines if place is None else lines[: place[0]] + lines[place[1] + 1 :]

    def set_block(self, marker: str, text: str) -> None:
        """Puts ``text``, whole sections, between the two lines of the block, and the block at the end if it is new."""
        place = self._place(marker, self.lines())
        if place is None and not text:
            return
        if place is None:
            self._separate()
        ending = self._last_ending()
        lines = self.lines()
        begin, end = (len(lines), len(lines) - 1) if place is None else place
        above, below = lines[:begin], lines[end + 1 :]
        if text:
            inner = [_with(line, ending) for line in io.StringIO(text)]
            above += [_begin_line(marker) + ending, *inner, _end_line(marker) + ending]
            above += below
        else:
            _join(above, below, is_end=not any(line.strip() for line in below))
        self._load(above)

    def _place(self, marker: str, lines: list[str]) -> tuple[int, int] | None:
        """Where the block begins and ends, both included."""
        begins = [number for number, line in enumerate(lines) if line.strip() == _begin_line(marker)]
        ends = [number for number, line in enumerate(lines) if line.strip() == _end_line(marker)]
        if not begins and not ends:
            return None
        if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
            numbers = ", ".join(str(number + 1) for number in sorted(begins + ends))
            raise ConfigError(
                f"{self._path}: the block “{safe(marker)}” is not one pair of lines “{_begin_line('…')}” and"
                f" “{_end_line('…')}”: line {numbers}"
            )
        self._refuse_torn(marker, lines, begins[0], ends[0])
        return begins[0], ends[0]

    def _refuse_torn(self, marker: str, lines: list[str], begin: int, end: int) -> None:
        """Where a key would change hands with the block, or another block's line would go with it."""
        for start, stop in ((begin + 1, end), (end + 1, len(lines))):
            number = next((n for n in range(start, stop) if lines[n].strip() and not _is_comment(lines[n])), None)
            if number is not None and not _HEADER.match(lines[number].strip()):
                raise ConfigError(
                    f"{self._path}: line {number + 1} is in the middle of a section"
                    f" that the block “{safe(marker)}” would tear apart"
                )
        family = _family_lines(marker)
        inner = next((n for n in range(begin + 1, end) if lines[n].strip().startswith(family)), None)
        if inner is not None:
            raise ConfigError(f"{self._path}: line {inner + 1}: a block in the block “{safe(marker)}”")


def is_hostile(character: str) -> bool:
    """Whether it ends a line or looks like it, is a control, or half of a surrogate pair."""
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def _begin_line(marker: str) -> str:
    return f"# BEGIN {marker}"


def _end_line(marker: str) -> str:
    return f"# END {marker}"


def _family_lines(marker: str) -> tuple[str, str]:
    family = marker.split(" ", maxsplit=1)[0]
    return _begin_line(family), _end_line(family)


def _can_be_written(name: SectionName) -> bool:
    """Whether botocore would find it by this name: no brackets, quotes or backslashes, nothing that is not visible."""
    is_plain = (
        name.name != ""
        and name.name == name.name.strip()
        and name.name.isprintable()
        and not set('[]"\\') & set(name.name)
    )
    return is_plain and name.kind in KINDS and decoded(name.text) == name


def _join(above: "list[Entry | str] | list[str]", below: list[str], *, is_end: bool) -> None:
    """Puts together what something stood between, without the blank line that it needed."""
    below = list(below)
    is_after_gap = not above or (isinstance(above[-1], str) and not above[-1].strip())
    while is_after_gap and below and not below[0].strip():
        del below[0]
    if is_end and not below and above and is_after_gap:
        del above[-1]
    above.extend(below)


def _parts(line: str) -> re.Match[str]:
    found = _OPTION.fullmatch(line)
    if found is None:
        raise ValueError("no parser takes this for the line of a key")
    return found


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(("#", ";"))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _ending(line: str) -> str:
    if line.endswith("\r\n"):
        return "\r\n"
    return line[-1:] if line.endswith(("\n", "\r")) else ""


def _with(line: str, ending: str) -> str:
    return line.rstrip("\r\n") + ending
