"""The difference between two versions of ``~/.aws/config``, to be shown on a terminal.

The file may hold secrets (access keys, tokens, a ``credential_process`` with a password in it), and a difference shows
lines around what changes. So a value is shown only when its key is known to hold none, or when credhelper itself is
writing it; of a comment, what stands behind a word that smells of a secret is not.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from difflib import SequenceMatcher
from itertools import accumulate
from typing import NamedTuple

from credhelper.aws.editing.config_text import ConfigText, Entry
from credhelper.domain.text import safe

HIDDEN = "****"

_CONTEXT = 3  # lines
_HARMLESS = re.compile(
    r"(sso|credhelper|cli|role|s3)_[a-z_]+|region|output|source_profile|credential_source|mfa_serial|duration_seconds"
    r"|services|s3|endpoint_url|ca_bundle|retry_mode|max_attempts|defaults_mode"
)
_SECRET = re.compile(r"secret|passw|token|api_?key|access_?key|private|external_id|credential_process", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?P<before>.*?[=:]\s*)(?P<value>.*)", re.DOTALL)

Written = AbstractSet[tuple[str, str | None]]
"""Keys in lower case, each with the value that an edit gives it."""


def lines(path: str, before: ConfigText, after: ConfigText, written: Written) -> list[str]:
    """A unified difference of the two texts, line ends aside."""
    found = [f"--- {path}", f"+++ {path}"]
    steps = list(_steps(list(_pieces(before, written)), list(_pieces(after, written))))
    above_old = list(accumulate((step.sign != "+" for step in steps), initial=0))
    above_new = list(accumulate((step.sign != "-" for step in steps), initial=0))
    for start, stop in _hunks([number for number, step in enumerate(steps) if step.sign != " "], len(steps)):
        old, new = (_range(above[start], above[stop] - above[start]) for above in (above_old, above_new))
        found.append(f"@@ -{old} +{new} @@")
        found += [step.sign + step.shown for step in steps[start:stop]]
    return found


class _Line(NamedTuple):
    """A line as it is and as it may be shown."""

    plain: str
    shown: str


class _Step(NamedTuple):
    """``sign``: " " for a line of both texts, "-" for one of the old, "+" for one of the new."""

    sign: str
    shown: str


_Piece = tuple[str, list[_Line]]
"""What is compared as one: a section from its header, by which it is known, to its last key; or a line elsewhere."""


def _pieces(text: ConfigText, written: Written) -> Iterator[_Piece]:
    yield from (_piece_of(line) for line in text.lead)
    for section in text.sections:
        tail = section.tail()
        found = [_Line(_plain(section.header), _safe(section.header))]
        for item in section.items[: len(section.items) - len(tail)]:
            if isinstance(item, str):
                found.append(_Line(_plain(item), _comment(item)))
            else:
                found += _entry(item, written)
        yield found[0].plain, found
        yield from (_piece_of(line) for line in tail)


def _piece_of(line: str) -> _Piece:
    return _plain(line), [_Line(_plain(line), _comment(line))]


def _steps(old: list[_Piece], new: list[_Piece]) -> Iterator[_Step]:
    """Piece by piece first: line by line, thousands of profiles that say the same would be compared with each other."""
    matcher = SequenceMatcher(None, [piece[0] for piece in old], [piece[0] for piece in new])
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            for (_, before), (_, after) in zip(old[old_from:old_to], new[new_from:new_to], strict=True):
                yield from _steps_within(before, after)
        else:
            yield from (_Step("-", line.shown) for _, piece in old[old_from:old_to] for line in piece)
            yield from (_Step("+", line.shown) for _, piece in new[new_from:new_to] for line in piece)


def _steps_within(old: list[_Line], new: list[_Line]) -> Iterator[_Step]:
    if old == new:
        yield from (_Step(" ", line.shown) for line in old)
        return
    matcher = SequenceMatcher(None, [line.plain for line in old], [line.plain for line in new], autojunk=False)
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            yield from (_Step(" ", line.shown) for line in old[old_from:old_to])
        else:
            yield from (_Step("-", line.shown) for line in old[old_from:old_to])
            yield from (_Step("+", line.shown) for line in new[new_from:new_to])


def _hunks(changed: list[int], length: int) -> Iterator[tuple[int, int]]:
    """The ranges of steps to show: every change with its context, those that meet as one."""
    start = stop = 0
    for number in changed:
        if number - _CONTEXT > stop and stop:
            yield start, stop
            stop = 0
        if not stop:
            start = max(0, number - _CONTEXT)
        stop = min(length, number + 1 + _CONTEXT)
    if stop:
        yield start, stop


def _range(above: int, length: int) -> str:
    """As diff(1) writes it: an empty range is named by the line before it."""
    return str(above + 1) if length == 1 else f"{above + (length > 0)},{length}"


def _plain(line: str) -> str:
    return line.rstrip("\r\n")


def _entry(entry: Entry, written: Written) -> Iterator[_Line]:
    first, *rest = entry.lines
    is_harmless = _is_harmless(entry.key) or (entry.key, entry.value) in written
    yield _Line(_plain(first), _safe(first) if is_harmless else _hidden(first))
    for line in rest:
        nested = line.partition("=")[0].strip().lower()
        yield _Line(_plain(line), _safe(line) if is_harmless and not _SECRET.search(nested) else _hidden(line))


def _is_harmless(key: str) -> bool:
    return _HARMLESS.fullmatch(key) is not None and not _SECRET.search(key)


def _hidden(line: str) -> str:
    parts = _ASSIGNED.fullmatch(_plain(line))
    if parts is not None:
        return _safe(parts["before"]) + (HIDDEN if parts["value"].strip() else "")
    return HIDDEN if line.strip() else ""


def _comment(line: str) -> str:
    found = _SECRET.search(line)
    if found is None:
        return _safe(line)
    return _safe(line[: found.end()]) + (f" {HIDDEN}" if line[found.end() :].strip() else "")


def _safe(line: str) -> str:
    return safe(_plain(line).expandtabs(4))
