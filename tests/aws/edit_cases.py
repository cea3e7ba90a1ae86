"""Awkward files, and what is done to them: every edit, what it makes of a reading, and which lines it may change.

``awkward_configs`` holds a file for every oddity met in the wild, those whose name begins with ``refused`` being ones
that botocore refuses too.
"""

import configparser
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.configloader

from credhelper.aws.editing.config_edits import Edit, RemoveKeys, RemoveSection, ReplaceKeys, SetBlock, SetKeys
from credhelper.aws.editing.config_text import SectionName

CORPUS = Path(__file__).with_name("awkward_configs")
FILES = sorted(path.name for path in CORPUS.iterdir() if not path.name.startswith("."))
EDITABLE = [name for name in FILES if not name.startswith("refused")]

KINDS = {"profile": "profiles", "sso-session": "sso_sessions", "services": "services"}
MARKER = "credhelper sync new"
BLOCK = "[profile new-dev]\nregion = eu-west-1\n\n[profile new-ops]\ns3 =\n  addressing_style = path\n"
SHORTER = "[profile new-ops]\nregion = eu-west-1\n"
BRAND_NEW = SectionName("profile", "brand new")


def botocore_reads(path: Path) -> dict[str, Any]:
    """All of it, as botocore hands it to its sessions."""
    found: dict[str, Any] = botocore.configloader.load_config(str(path))
    return found


def lines_of(content: bytes) -> list[bytes]:
    """With their ends; a last one without gets the first one's."""
    found = re.findall(rb"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z", content)
    if found and not found[-1].endswith((b"\r", b"\n")):
        end = re.search(rb"\r\n|\n|\r", content)
        found[-1] += end[0] if end else b"\n"
    return found


def is_without_a_range(longer: list[bytes], shorter: list[bytes]) -> bool:
    """Whether ``shorter`` is ``longer`` without some lines that follow each other."""
    same = 0
    while same < len(shorter) and longer[same] == shorter[same]:
        same += 1
    rest = shorter[same:]
    return longer[len(longer) - len(rest) :] == rest and len(longer) > len(shorter)


def differ_in_one(old: list[bytes], new: list[bytes]) -> bool:
    return len(old) == len(new) and sum(a != b for a, b in zip(old, new, strict=True)) == 1


def without_blanks(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line.decode().strip()]


@dataclass(frozen=True)
class Case:
    """An edit, what it makes of what botocore reads, and whether the lines have changed as they may."""

    kind: str
    target: SectionName
    edit: Edit
    foresee: Callable[[dict[str, Any]], None]
    are_fine: Callable[[list[bytes], list[bytes]], bool]
    undo: Edit | None = None
    why_not: str | None = None


@dataclass(frozen=True)
class Target:
    """A section that botocore reads, with what it reads there."""

    name: SectionName
    keys: Mapping[str, Any]
    defaults: Mapping[str, str]

    def cases(self) -> Iterator[Case]:
        yield self.added()
        for key in self.keys.keys() - self.defaults.keys():
            yield self.changed(key)
            yield self.removed(key)
            yield self.renamed(key)
        yield Case("section removed", self.name, RemoveSection(self.name), self._forget, self._is_one_range)

    def cases_by_kind(self, turn: int) -> Iterator[Case]:
        """One of each kind."""
        keys = sorted(self.keys.keys() - self.defaults.keys())
        yield self.added()
        for number, make in enumerate((self.changed, self.removed, self.renamed) if keys else ()):
            yield make(keys[(turn + number) % len(keys)])
        yield Case("section removed", self.name, RemoveSection(self.name), self._forget, self._is_one_range)

    def added(self) -> Case:
        key, value = "credential_process", "/abs/python3 -IS /abs/client.py dev"
        if key in self.keys:
            key = "credhelper_added"

        def are_fine(old: list[bytes], new: list[bytes]) -> bool:
            return is_without_a_range(new, old) and len(new) == len(old) + 1

        edit, undo = SetKeys(self.name, {key: value}), RemoveKeys(self.name, [key])
        return Case("key added", self.name, edit, lambda found: self._in(found).update({key: value}), are_fine, undo)

    def changed(self, key: str) -> Case:
        value = self.keys[key]
        is_one_line = isinstance(value, str) and "\n" not in value

        def are_fine(old: list[bytes], new: list[bytes]) -> bool:
            return differ_in_one(old, new) if is_one_line else len(new) < len(old)

        undo = SetKeys(self.name, {key: value}) if is_one_line and value and value.isprintable() else None
        return Case(
            "key changed",
            self.name,
            SetKeys(self.name, {key.upper(): "changed"}),
            lambda found: self._in(found).update({key: "changed"}),
            are_fine,
            undo,
            why_not=None if re.fullmatch(r"[\w.-]+", key) else "cannot be written as a key",
        )

    def removed(self, key: str) -> Case:
        return Case(
            "key removed",
            self.name,
            RemoveKeys(self.name, [key]),
            lambda found: self._in(found).pop(key),
            is_without_a_range,
        )

    def renamed(self, key: str) -> Case:
        new_key = "credhelper_" + key if re.fullmatch("[a-z_]+", key) else "renamed"

        def foresee(found: dict[str, Any]) -> None:
            self._in(found)[new_key] = self._in(found).pop(key)

        edit = ReplaceKeys(self.name, {key: (new_key, None)})
        undo = ReplaceKeys(self.name, {new_key: (key, None)}) if new_key != "renamed" else None
        return Case("key renamed", self.name, edit, foresee, differ_in_one, undo)

    def _in(self, found: dict[str, Any]) -> dict[str, Any]:
        section: dict[str, Any] = found[KINDS[self.name.kind]][self.name.name]
        return section

    def _forget(self, found: dict[str, Any]) -> None:
        del found[KINDS[self.name.kind]][self.name.name]

    @staticmethod
    def _is_one_range(old: list[bytes], new: list[bytes]) -> bool:
        return is_without_a_range(without_blanks(old), without_blanks(new))


def targets(path: Path) -> list[Target]:
    parser = configparser.RawConfigParser()
    parser.read_file(io.TextIOWrapper(io.BytesIO(path.read_bytes()), encoding="utf-8"))
    defaults = parser.defaults()
    found = botocore_reads(path)
    return [
        Target(SectionName(kind, name), keys, defaults)
        for kind, place in KINDS.items()
        for name, keys in found[place].items()
    ]


def general_cases(path: Path) -> Iterator[Case]:
    """Those that name no section of the file."""
    parser = configparser.RawConfigParser()
    parser.read_file(io.TextIOWrapper(io.BytesIO(path.read_bytes()), encoding="utf-8"))
    defaults = dict(parser.defaults())

    def begins(old: list[bytes], new: list[bytes]) -> bool:
        return new[: len(old)] == old and len(new) > len(old)

    keys = {"region": "eu-west-1", "role_session_name": "=a # b"}
    yield Case(
        "section added",
        BRAND_NEW,
        SetKeys(BRAND_NEW, keys),
        lambda found: found["profiles"].update({"brand new": defaults | keys}),
        begins,
        RemoveSection(BRAND_NEW),
    )
    block = {
        "new-dev": defaults | {"region": "eu-west-1"},
        "new-ops": defaults | {"s3": {"addressing_style": "path"}},
    }
    yield Case(
        "block added",
        SectionName("profile", "new-dev"),
        SetBlock(MARKER, BLOCK),
        lambda found: found["profiles"].update(block),
        begins,
        SetBlock(MARKER, ""),
    )


def put(path: Path, name: str) -> bytes:
    content = (CORPUS / name).read_bytes()
    path.write_bytes(content)
    return content
