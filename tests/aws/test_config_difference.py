"""The difference that a person is shown: what patch(1) would make of it is the change, and no secret is in it."""

import difflib
import re
import unicodedata
from pathlib import Path

import pytest

from credhelper.aws.editing.config_difference import HIDDEN
from credhelper.aws.editing.config_edits import (
    Change,
    Edit,
    RemoveKeys,
    RemoveSection,
    ReplaceKeys,
    SetBlock,
    SetKeys,
    plan,
)
from credhelper.aws.editing.config_text import SectionName
from tests.aws.edit_cases import BLOCK, EDITABLE, MARKER, lines_of, put, targets

DEV = SectionName("profile", "dev")
OPS = SectionName("profile", "ops")
FILE = """\
# mine
[default]
region = eu-west-1
output = json

[profile dev]
sso_session = corp
region = eu-west-1
s3 =
  addressing_style = path

[profile ops]
sso_session = corp
region = us-east-1

# others follow
[profile last]
region = us-east-2
"""


def shown(path: Path, edits: list[Edit]) -> list[str]:
    return plan(path, edits).diff()


def patched(old: list[str], difference: list[str]) -> list[str]:
    """The old lines with the difference applied, every line of which must fit."""
    result: list[str] = []
    position = 0
    for line in difference[2:]:
        heading = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@", line)
        if heading:
            start = int(heading[1]) - (heading[2] != "0")
            result += old[position:start]
            position = start
        elif line[0] == "+":
            result.append(line[1:])
        else:
            assert old[position] == line[1:]
            position += 1
            if line[0] == " ":
                result.append(line[1:])
    return result + old[position:]


def texts(content: bytes) -> list[str]:
    return [line.decode().rstrip("\r\n") for line in lines_of(content)]


EDITS: dict[str, list[Edit]] = {
    "a key added": [SetKeys(DEV, {"output": "json"})],
    "a key changed": [SetKeys(OPS, {"region": "eu-west-1"})],
    "a key removed": [RemoveKeys(DEV, ["region"])],
    "a key renamed": [ReplaceKeys(DEV, {"sso_session": ("credhelper_sso_session", None)})],
    "a nested block removed": [RemoveKeys(DEV, ["s3"])],
    "a section removed": [RemoveSection(OPS)],
    "a section added": [SetKeys(SectionName("profile", "new"), {"region": "eu-west-1"})],
    "a block added": [SetBlock(MARKER, BLOCK)],
    "far from each other": [
        SetKeys(SectionName("profile", "default"), {"output": "text"}),
        SetKeys(SectionName("profile", "last"), {"region": "eu-west-1"}),
    ],
}


@pytest.mark.parametrize("kind", EDITS)
def test_it_is_a_unified_difference(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config"
    path.write_text(FILE)
    change = plan(path, EDITS[kind])
    expected = difflib.unified_diff(texts(change.before), texts(change.after), str(path), str(path), lineterm="")
    assert change.diff() == list(expected)


def test_where_there_was_no_file_everything_is_new(tmp_path: Path) -> None:
    found = shown(tmp_path / "config", [SetKeys(DEV, {"region": "eu-west-1"})])
    assert found[2:] == ["@@ -0,0 +1,2 @@", "+[profile dev]", "+region = eu-west-1"]


def test_nothing_to_do_is_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FILE)
    change = plan(path, [SetKeys(DEV, {"Region": "eu-west-1"}), RemoveKeys(OPS, ["output"]), SetBlock(MARKER, "")])
    assert (change.is_empty, change.diff(), change.write(backup=True)) == (True, [], None)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", EDITABLE)
def test_it_says_all_that_changes_and_a_terminal_obeys_none_of_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config"
    put(path, name)
    edits: list[Edit] = [SetBlock(MARKER, BLOCK), SetKeys(SectionName("profile", "brand-new"), {"region": "x"})]
    found = targets(path)
    if found and "two_spellings" not in name:
        edits.append(RemoveSection(found[-1].name))
    change = plan(path, edits)
    difference = change.diff()
    kinds = {unicodedata.category(character) for line in difference for character in line}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    old, new = texts(change.before), texts(change.after)
    if not any(HIDDEN in line or "…" in line for line in difference) and all(line.isprintable() for line in old):
        assert patched(old, difference) == new


def every_change(path: Path) -> list[Change]:
    found = []
    for target in targets(path):
        found.append(plan(path, [SetKeys(target.name, {"output": "text"})]))
        found.append(plan(path, [RemoveSection(target.name)]))
        found.append(plan(path, [RemoveKeys(target.name, list(target.keys))]))
        found += [plan(path, [ReplaceKeys(target.name, {key: ("renamed", None)})]) for key in target.keys]
        found += [plan(path, [SetKeys(target.name, {key: "new"})]) for key in target.keys]
    return found


@pytest.mark.parametrize("name", ["secrets", "secrets_below_their_key", "commented_out_sections"])
def test_no_secret_of_the_file_is_in_any_difference(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config"
    assert b"s3cr3t" in put(path, name)
    for change in every_change(path):
        difference = change.diff()
        assert len(difference) > 3
        assert not [line for line in difference if "s3cr3t" in line or "AKIA" in line]


def test_what_credhelper_writes_is_shown_and_what_it_replaces_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config"
    put(path, "secrets")
    found = shown(path, [SetKeys(DEV, {"credential_process": "/abs/python3 -IS /abs/client.py dev"})])
    assert f"-credential_process = {HIDDEN}" in found
    assert "+credential_process = /abs/python3 -IS /abs/client.py dev" in found
