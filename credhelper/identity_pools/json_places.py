"""Where in a JSON text each of its values stands: a mistake is told with its line, and a finding with its place."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

DEEPEST = 20  # levels; a policy has six

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_:]+")


class TooDeep(ValueError):
    """More levels than ``DEEPEST``."""


@dataclass(frozen=True, slots=True)
class Places:
    """The lines of a JSON text's values by place, such as ``Statement[0].Action``; the whole is ``""``."""

    lines: Mapping[str, int]
    duplicates: tuple[str, ...]
    """Members that an object has twice. JSON does not forbid it, and readers differ in which of the two they take."""

    def line(self, place: str) -> int:
        """The line where the value begins, or else what it would stand in."""
        while place not in self.lines:
            place = _outer(place)
        return self.lines[place]


@dataclass(slots=True)
class _Frame:
    """An object or array that is being read: an array has an index, an object the key that was read last."""

    place: str
    index: int | None
    key: str | None = field(default=None)

    def inner_place(self) -> str:
        return f"{self.place}[{self.index}]" if self.index is not None else member(self.place, self.key or "")

    def go_on(self) -> None:
        if self.index is not None:
            self.index += 1
        self.key = None


def member(place: str, key: str) -> str:
    """The place of an object's member: ``Statement[0].Action``, or ``Bool["a.b"]`` where a dot would mislead."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{place}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{place}.{key}" if place else key


def find(text: str) -> Places:
    """The places of ``text``, which must be JSON. Raises TooDeep."""
    lines: dict[str, int] = {}
    duplicates: list[str] = []
    frames: list[_Frame] = []
    line, seen = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", seen, token.start())
        seen = token.start()
        word = token[0]
        if word in "]},:":
            _punctuate(frames, word)
            continue
        top = frames[-1] if frames else None
        if top is not None and top.index is None and top.key is None:
            top.key = json.loads(word)
            place = top.inner_place()
            if place in lines:
                duplicates.append(place)
            lines[place] = line
            continue
        place = top.inner_place() if top is not None else ""
        lines.setdefault(place, line)
        if word in "[{":
            frames.append(_Frame(place, 0 if word == "[" else None))
        if len(frames) > DEEPEST:
            raise TooDeep
    return Places(lines, tuple(duplicates))


def _punctuate(frames: list[_Frame], mark: str) -> None:
    if mark in "]}":
        frames.pop()
    elif mark == ",":
        frames[-1].go_on()


def _outer(place: str) -> str:
    """The place that ``place`` stands in. A bracketed key may hold anything, and is cut off whole or in parts."""
    return place[: max(place.rfind("."), place.rfind("["), 0)]
