"""What botocore reads in a configuration file, and the proof that an edit changed only what it was meant to.

Two readings that know nothing of each other: ``Expectation`` makes the edits on what botocore's parser has read before,
and that must be what it reads afterwards, sections in their order included (the last of two that mean the same profile
counts). And the lines that no edit has named must be there as they were, one after the other.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from configparser import DEFAULTSECT
from dataclasses import dataclass
from pathlib import Path

from credhelper.aws import config_file
from credhelper.aws.editing.config_text import ConfigText, SectionName, decoded
from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe

Keys = dict[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What botocore reads: every section but DEFAULT, in file order, with the keys that DEFAULT gives to all."""

    defaults: Keys
    sections: dict[str, Keys]

    def confirm(self, text: ConfigText, path: Path) -> None:
        """Whether the line model sees the same. Raises ConfigError."""
        defaults: Keys = {}
        own: dict[str, Keys] = {}
        for section in text.sections:
            keys = defaults if section.text == DEFAULTSECT else own.setdefault(section.text, {})
            keys.update((entry.key, entry.value) for entry in section.entries())
        _refuse_difference({name: defaults | keys for name, keys in own.items()}, self.sections, path)


@functools.lru_cache(maxsize=4)
def reading_of(text: str, path: Path) -> Reading:
    """What botocore reads in ``text``. Raises ConfigError where it refuses the file."""
    parser = config_file.parsed(text.encode(), path)
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    for name, keys in sections.items():
        for key, value in keys.items():
            if value.startswith("\n") and not all("=" in line for line in value.splitlines() if line.strip()):
                line = ConfigText(text, path).line_of(name, key)
                raise ConfigError(
                    f"{path}: line {line}: below {safe(key)} of [{safe(name)}] botocore needs key = value in every line"
                )
    return Reading(dict(parser.defaults()), sections)


class Expectation:
    """What botocore shall read after edits, by their meaning and not by lines."""

    def __init__(self, reading: Reading) -> None:
        self._defaults = reading.defaults
        self.sections = dict(reading.sections)
        found = ((decoded(text), text) for text in reading.sections)
        self._texts = {name: text for name, text in found if name is not None}

    def set_keys(self, name: SectionName, keys: Mapping[str, str]) -> None:
        """The section, an old or a new one, has these keys."""
        text = self._texts.setdefault(name, name.text)
        self.sections[text] = self.sections.get(text, self._defaults) | {key.lower(): keys[key] for key in keys}

    def remove_keys(self, name: SectionName, keys: Iterable[str]) -> None:
        """The section has them from DEFAULT, or not at all."""
        section = self._copy(name)
        for key in keys:
            self._remove(section, key.lower())

    def replace_keys(self, name: SectionName, keys: Mapping[str, tuple[str, str | None]]) -> None:
        """The section has them under their new names."""
        section = self._copy(name)
        for old, (new, value) in keys.items():
            kept = section[old.lower()]
            self._remove(section, old.lower())
            section[new.lower()] = kept if value is None else value

    def remove_section(self, name: SectionName) -> None:
        """It is gone."""
        del self.sections[self._texts.pop(name)]

    def replace_sections(self, above: int, gone: int, new: Reading) -> None:
        """Below the first ``above`` sections, ``gone`` others are these instead."""
        found = list(self.sections.items())
        added = [(name, self._defaults | keys) for name, keys in new.sections.items()]
        self.sections = dict([*found[:above], *added, *found[above + gone :]])

    def _copy(self, name: SectionName) -> Keys:
        text = self._texts[name]
        self.sections[text] = dict(self.sections[text])
        return self.sections[text]

    def _remove(self, section: Keys, key: str) -> None:
        section.pop(key, None)
        if key in self._defaults:
            section[key] = self._defaults[key]


Named = Mapping[SectionName, frozenset[str]]
"""What edits may have changed: keys by section, and the sections themselves where they came or went."""


def prove(expected: Expectation, before: str, after: str, named: Named, path: Path) -> None:
    """That the edits of keys and sections did what they should and nothing else. Raises ConfigError."""
    _refuse_difference(expected.sections, reading_of(after, path).sections, path)
    old, new = ConfigText(before, path), ConfigText(after, path)
    both = {decoded(section.text) for section in old.sections} & {decoded(section.text) for section in new.sections}
    is_spaced = named.keys() <= both
    _refuse_lost_lines(*(list(_unnamed(text, named, both)) for text in (old, new)), is_spaced=is_spaced, path=path)


def prove_block(expected: Expectation, before: str, after: str, marker: str, path: Path) -> None:
    """The same for the edit of a block. Raises ConfigError."""
    _refuse_difference(expected.sections, reading_of(after, path).sections, path)
    old, new = ConfigText(before, path), ConfigText(after, path)
    is_spaced = None not in {old.block(marker), new.block(marker)}
    _refuse_lost_lines(old.outside(marker), new.outside(marker), is_spaced=is_spaced, path=path)


def _unnamed(text: ConfigText, named: Named, both: set[SectionName | None]) -> Iterator[str]:
    yield from text.lead
    for section in text.sections:
        name = decoded(section.text)
        if name is None or name not in named:
            yield from section.lines()
        elif name not in both:
            yield from section.tail()
        else:
            yield section.header
            for item in section.items:
                if isinstance(item, str):
                    yield item
                elif item.key not in named[name]:
                    yield from item.lines


def _refuse_lost_lines(old: list[str], new: list[str], *, is_spaced: bool, path: Path) -> None:
    """``is_spaced``: blank lines count as well, for nothing came or went whose distance to others they are."""
    if not is_spaced:
        old, new = ([line for line in lines if line.strip()] for lines in (old, new))
    if old != new:
        raise ConfigError(f"{path}: cannot be edited safely: lines would change that are not meant to")


def _refuse_difference(expected: dict[str, Keys], found: dict[str, Keys], path: Path) -> None:
    if expected == found and list(expected) == list(found):
        return
    differing = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    where = f"[{safe(differing[0])}]" if differing else "the order of its sections"
    raise ConfigError(
        f"{path}: cannot be edited safely: botocore would read {where} otherwise than it should;"
        " are its lines indented in different ways?"
    )
