"""The lines of ``~/.aws/config`` and ``credentials``, each with its place, however broken the file is.

Python's parser, which botocore and we use, stops at the first mistake or passes over it in silence. This reader finds
them all, by the parser's own rules (configparser.RawConfigParser, strict). It never says a value.
"""

import configparser
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

BOM = "\ufeff"

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<key>.*?)\s*[=:]\s*(?P<value>.*)")


@dataclass(slots=True)
class Section:
    """One ``[section]`` and its keys in lower case, each with its line."""

    name: str
    line: int
    keys: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mistake:
    """``kind``: "duplicate_section", "duplicate_key", "headless" (before any section), "syntax" or "indented"."""

    kind: str
    line: int
    what: str


@dataclass(slots=True)
class Text:
    """A whole file."""

    sections: list[Section] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Open:
    """The key whose value may still go on."""

    indent: int
    is_empty: bool


def read(text: str) -> Text:
    """Every section and every mistake of the text."""
    found = Text()
    key: _Open | None = None
    for number, line in _lines(text):
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if key is not None and indent > key.indent and found.sections:
            if not key.is_empty and "=" in stripped:
                found.mistakes.append(Mistake("indented", number, _key_of(stripped)))
            continue
        header = _HEADER.match(stripped)
        if header:
            key = None
            _begin(found, header["name"], number)
        elif not found.sections:
            found.mistakes.append(Mistake("headless", number, ""))
        else:
            key = _add(found, stripped, number, indent)
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # As a file is read, and not by splitlines(), to which a form feed ends a line as well.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", ";")):
            yield number, line


def _begin(found: Text, name: str, number: int) -> None:
    if name in found.names and name != configparser.DEFAULTSECT:  # which may be there as often as one likes
        found.mistakes.append(Mistake("duplicate_section", number, name))
    found.names.add(name)
    found.sections.append(Section(name, number))


def _add(found: Text, line: str, number: int, indent: int) -> _Open | None:
    option = _OPTION.fullmatch(line)
    if option is None or not option["key"]:
        found.mistakes.append(Mistake("syntax", number, ""))
        return None
    section, key = found.sections[-1], _key_of(line)
    if key in section.keys:
        found.mistakes.append(Mistake("duplicate_key", number, key))
    section.keys[key] = number
    return _Open(indent, is_empty=not option["value"])


def _key_of(line: str) -> str:
    return re.split(r"\s*[=:]", line, maxsplit=1)[0].strip().lower()
