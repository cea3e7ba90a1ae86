"""Edits of ``~/.aws/config``: only what was meant changes, in the bytes and in what botocore reads, or nothing does.

``awkward_configs`` holds a file for every oddity met in the wild, those whose name begins with ``refused`` being ones
that botocore refuses too. Each kind of edit is made on each of them, on the section whose turn it is; `pytest -m long`
makes each on every section and every key.
"""

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path

import botocore.configloader
import botocore.exceptions
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from credhelper.aws.editing import config_edits
from credhelper.aws.editing.config_edits import (
    Edit,
    RemoveKeys,
    RemoveSection,
    ReplaceKeys,
    SetBlock,
    SetKeys,
    plan,
)
from credhelper.aws.editing.config_text import SectionName
from credhelper.domain.errors import ConfigChanged, ConfigError
from tests.aws.edit_cases import (
    BLOCK,
    BRAND_NEW,
    EDITABLE,
    FILES,
    KINDS,
    MARKER,
    SHORTER,
    Case,
    botocore_reads,
    general_cases,
    lines_of,
    put,
    targets,
)

REFUSED = {
    "refused_bom": "line 1 begins with a byte order mark",
    "refused_bom_crlf": "line 1 begins with a byte order mark",
    "refused_broken_utf_8": "line 7 is not UTF-8 text",
    "refused_conflict_markers": "line 1: something stands before the first",
    "refused_conflict_markers_inside": "cannot be parsed: line 2, 4, 6",
    "refused_header_not_closed": "line 1: something stands before the first",
    "refused_header_not_closed_later": "line 5: [default] has the key region twice",
    "refused_json": "line 1: something stands before the first",
    "refused_key_alone": "cannot be parsed: line 3",
    "refused_key_before_section": "line 1: something stands before the first",
    "refused_key_twice": "line 4: [profile dev] has the key region twice",
    "refused_key_twice_in_two_cases": "line 3: [profile dev] has the key region twice",
    "refused_latin_1": "line 1 is not UTF-8 text",
    "refused_nested_line_alone": "line 2: below s3 of [profile dev] botocore needs key = value in every line",
    "refused_quoted_section_twice": 'line 3: the section [profile "a b"] is there twice',
    "refused_section_twice": "line 13: the section [profile dev] is there twice",
    "refused_shell": "line 1: something stands before the first",
    "refused_utf_16": "line 1 is not UTF-8 text",
    "refused_value_without_key": "cannot be parsed: line 2",
}
"""The files that are refused as a whole, and why."""

REFUSED_EDITS = {
    ("default_in_two_spellings", "default", None): "is there twice, in lines 1 and 4",
    ("profile_in_two_spellings", "dev", None): "is there twice, in lines 1 and 4",
    ("header_indented_below_header", "dev", "key added"): "its lines indented in different ways",
}
"""The sections with the kind of edit (None: all) that is refused in files that can be edited, and why."""


def make(path: Path, edits: list[Edit]) -> None:
    """Without the write's own waits for the disk, of which ``tests/local/test_edited_files.py`` knows."""
    path.write_bytes(plan(path, edits).after)


def check(path: Path, name: str, case: Case) -> None:
    """Makes the edit of the file called ``name``, or sees it refused as it should be."""
    before = put(path, name)
    expected = copy.deepcopy(botocore_reads(path))
    of_file = (REFUSED_EDITS.get((name, case.target.name, kind)) for kind in (case.kind, None))
    why_not = next((why for why in (*of_file, case.why_not) if why), None)
    if why_not is not None:
        with pytest.raises(ConfigError, match=re.escape(why_not)):
            plan(path, [case.edit])
        assert path.read_bytes() == before
        return
    case.foresee(expected)
    make(path, [case.edit])
    after = path.read_bytes()
    assert botocore_reads(path) == expected
    assert case.are_fine(lines_of(before), lines_of(after)), (name, case, after)
    assert not before or not after or after.endswith((b"\r", b"\n")) == before.endswith((b"\r", b"\n"))
    if case.undo is not None:
        make(path, [case.undo])
        assert path.read_bytes() == before, (name, case)


# -- the corpus ---------------------------------------------------------------------------------------------------


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(EDITABLE) >= 60
    assert {name for name in FILES if name.startswith("refused")} == set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_what_botocore_refuses_is_refused_with_the_line_and_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config"
    before = put(path, name)
    with pytest.raises(botocore.exceptions.ConfigParseError):
        botocore_reads(path)
    with pytest.raises(ConfigError) as caught:
        plan(path, [SetKeys(SectionName("profile", "dev"), {"region": "eu-west-1"})])
    assert caught.value.message.startswith(f"{path}: ")
    assert REFUSED[name] in caught.value.message
    assert caught.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", EDITABLE)
def test_every_kind_of_edit_changes_what_it_should_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config"
    put(path, name)
    assert plan(path, []).is_empty
    found = targets(path)
    turn = FILES.index(name)
    cases = list(general_cases(path))
    if found:
        cases += found[turn % len(found)].cases_by_kind(turn)
    for case in cases:
        check(path, name, case)


@pytest.mark.long
@pytest.mark.parametrize("name", EDITABLE)
def test_every_edit_of_every_key_and_section_changes_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config"
    put(path, name)
    for target in targets(path):
        for case in target.cases():
            check(path, name, case)


@pytest.mark.parametrize("name", EDITABLE)
def test_a_block_is_replaced_where_it_stands(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config"
    put(path, name)
    make(path, [SetBlock(MARKER, BLOCK), SetKeys(BRAND_NEW, {"region": "eu-west-1"})])
    old = lines_of(path.read_bytes())
    expected = botocore_reads(path)
    del expected["profiles"]["new-dev"], expected["profiles"]["new-ops"]["s3"]
    expected["profiles"]["new-ops"]["region"] = "eu-west-1"
    make(path, [SetBlock(MARKER, SHORTER)])
    assert botocore_reads(path) == expected
    new = lines_of(path.read_bytes())
    begin, end = (
        next(n for n, line in enumerate(old) if line.strip() == f"# {word} {MARKER}".encode())
        for word in ("BEGIN", "END")
    )
    assert new[: begin + 1] == old[: begin + 1]
    assert new[begin + 3 :] == old[end:]
    assert config_edits.block(path, MARKER) == SHORTER


@pytest.mark.parametrize("name", EDITABLE[::3])
def test_the_order_of_edits_is_that_of_their_list(tmp_path: Path, name: str) -> None:
    """All at once give what one after the other does."""
    path = tmp_path / "config"
    before = put(path, name)
    edits: list[Edit] = [
        SetKeys(BRAND_NEW, {"region": "eu-west-1"}),
        SetBlock(MARKER, BLOCK),
        ReplaceKeys(BRAND_NEW, {"region": ("credhelper_region", "us-east-1")}),
        SetKeys(SectionName("sso-session", "brand-new"), {"sso_region": "eu-west-1"}),
        RemoveKeys(BRAND_NEW, ["CREDHELPER_REGION", "not_there"]),
        SetBlock(MARKER, SHORTER),
    ]
    at_once = plan(path, edits).after
    for edit in edits:
        make(path, [edit])
    assert path.read_bytes() == at_once
    make(path, [RemoveSection(SectionName("sso-session", "brand-new")), SetBlock(MARKER, ""), RemoveSection(BRAND_NEW)])
    assert path.read_bytes() == before


# -- 2,000 profiles -----------------------------------------------------------------------------------------------


def large_config(profiles: int) -> str:
    """What years of use leave: every fourth with a nested block, every tenth with a comment."""
    parts = ["# mine\n[default]\nregion = eu-west-1\n\n"]
    for number in range(profiles):
        parts.append(f"[profile account-{number:04}]\nsso_session = corp\nsso_account_id = {number:012}\n")
        parts.append("sso_role_name = Developer\n" + "s3 =\n  addressing_style = path\n" * (number % 4 == 0))
        parts.append("# ask before use\n" * (number % 10 == 0) + "\n")
    return "".join(parts)


LARGE_NAMES = [SectionName("profile", f"account-{number:04}") for number in range(0, 2000, 2)]


def adopted(path: Path) -> config_edits.Change:
    """Every second profile gets a new key and one by another name."""
    there: list[Edit] = [ReplaceKeys(name, {"sso_session": ("credhelper_sso_session", None)}) for name in LARGE_NAMES]
    there += [SetKeys(name, {"credential_process": "/abs/client"}) for name in LARGE_NAMES]
    return plan(path, there)


def test_two_thousand_profiles_are_edited_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(large_config(2000))
    change = adopted(path)
    assert len([line for line in change.diff() if line.startswith("+credential_process")]) == 1000
    path.write_bytes(change.after)
    found = botocore_reads(path)["profiles"]
    assert len(found) == 2001
    assert sum("credential_process" in keys for keys in found.values()) == 1000


@pytest.mark.long
def test_every_kind_of_edit_of_two_thousand_profiles_changes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "config"
    text = large_config(2000)
    path.write_text(text)
    back: list[Edit] = [ReplaceKeys(name, {"credhelper_sso_session": ("sso_session", "corp")}) for name in LARGE_NAMES]
    back += [RemoveKeys(name, ["credential_process"]) for name in LARGE_NAMES]
    path.write_bytes(adopted(path).after)
    make(path, back)
    assert path.read_text() == text
    for target in targets(path)[:2000:500]:
        for case in (*target.cases(), *general_cases(path)):
            path.write_text(text)
            expected = copy.deepcopy(botocore_reads(path))
            case.foresee(expected)
            make(path, [case.edit])
            assert botocore_reads(path) == expected
            assert case.are_fine(lines_of(text.encode()), lines_of(path.read_bytes()))


# -- what is asked for must be writable ---------------------------------------------------------------------------

DEV = SectionName("profile", "dev")


def refusal(path: Path, *edits: Edit) -> str:
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(ConfigError) as caught:
        plan(path, edits)
    assert (path.read_bytes() if path.exists() else None) == before
    assert caught.value.message.startswith(f"{path}: ")
    return caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        " x",
        "x ",
        "x\ny",
        "x\ry",
        "x\r\n[profile y]",
        "\t",
        "x\x00",
        "x\x1b[2J",
        "x\x85",
        "x\u2028y",
        "\ud800",
        "x\xa0",
    ],
)
def test_a_value_that_would_not_be_read_back_is_refused(tmp_path: Path, value: str) -> None:
    assert "region" in refusal(tmp_path / "config", SetKeys(DEV, {"region": value}))


@pytest.mark.parametrize("key", ["", " ", "a b", "a=b", "a:b", "#a", ";a", "[a", "[a]", "a\n", "\ta", "ä", "s3\n  x"])
def test_a_key_that_would_not_be_read_back_is_refused(tmp_path: Path, key: str) -> None:
    assert "cannot be written as a key" in refusal(tmp_path / "config", SetKeys(DEV, {key: "x"}))
    put(tmp_path / "config", "written_by_the_cli")
    edit = ReplaceKeys(DEV, {"region": (key, None)})
    assert "cannot be written as a key" in refusal(tmp_path / "config", edit)


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", "a]", "[a", 'a"b', "a\\b", "a\nb", "a\rb", "a\tb", "\x1b", "a\u202eb", "\xa0a"]
)
def test_a_section_name_that_would_not_be_read_back_is_refused(tmp_path: Path, name: str) -> None:
    edit = SetKeys(SectionName("profile", name), {"region": "eu-west-1"})
    assert "cannot be written as the name of a section" in refusal(tmp_path / "config", edit)


@pytest.mark.parametrize("kind", ["", "profiles", "DEFAULT", "plugins", "profile x"])
def test_a_section_of_an_unknown_kind_is_refused(tmp_path: Path, kind: str) -> None:
    refusal(tmp_path / "config", SetKeys(SectionName(kind, "x"), {"region": "eu-west-1"}))


@pytest.mark.parametrize(
    "name",
    [
        "default",
        "dev",
        "my profile",
        "it's",
        "a/b@c.example:1+2=3,4%5~6-",
        "übung",
        "開発",
        "#1",
        "; x",
        "$HOME `x`",
        "*?{}",
        "-",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_other_name_is_found_again_by_botocore(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "config"
    make(path, [SetKeys(SectionName(kind, name), {"region": "eu-west-1"})])
    assert botocore_reads(path)[KINDS[kind]] == {name: {"region": "eu-west-1"}}


def test_the_default_profile_is_written_as_every_tool_reads_it(tmp_path: Path) -> None:
    make(tmp_path / "config", [SetKeys(SectionName("profile", "default"), {"region": "eu-west-1"})])
    assert (tmp_path / "config").read_text() == "[default]\nregion = eu-west-1\n"


def test_what_is_not_there_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "config"
    put(path, "written_by_the_cli")
    other = SectionName("profile", "other")
    assert "no section [profile other]" in refusal(path, RemoveKeys(other, ["region"]))
    assert "no section [profile other]" in refusal(path, RemoveSection(other))
    assert "no section [profile other]" in refusal(path, ReplaceKeys(other, {"region": ("x", None)}))
    assert "has no key sso_start_url" in refusal(path, ReplaceKeys(DEV, {"sso_start_url": ("x", None)}))
    assert "has both region and output" in refusal(path, ReplaceKeys(DEV, {"region": ("output", None)}))


def test_a_key_of_all_sections_is_nobodys_to_rename(tmp_path: Path) -> None:
    path = tmp_path / "config"
    put(path, "default_for_all")
    assert "has no key output" in refusal(path, ReplaceKeys(DEV, {"output": ("x", None)}))
    make(path, [RemoveKeys(DEV, ["region"])])
    assert botocore_reads(path)["profiles"]["dev"] == {"region": "eu-west-1", "output": "json"}


# -- blocks -------------------------------------------------------------------------------------------------------

BEGIN, END = f"# BEGIN {MARKER}\n", f"# END {MARKER}\n"
INNER = "[profile new-dev]\nregion = eu-west-1\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BEGIN + INNER, "line 1"),
        (INNER + END, "line 3"),
        (END + INNER + BEGIN, "line 1, 4"),
        (BEGIN + INNER + END + BEGIN + END, "line 1, 4, 5, 6"),
        (INNER + BEGIN + "output = json\n" + END, "line 4 is in the middle of a section"),
        (BEGIN + INNER + END + "output = json\n", "line 5 is in the middle of a section"),
        (BEGIN + "# BEGIN credhelper sync corp\n" + INNER + "# END credhelper sync corp\n" + END, "line 2: a block in"),
    ],
)
def test_a_torn_block_is_refused_with_its_lines(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    assert why in refusal(path, SetBlock(MARKER, INNER))
    assert why in refusal(path, SetBlock(MARKER, ""))


@pytest.mark.parametrize(
    "text",
    [
        "region = eu-west-1\n",
        "[profile x\n",
        "[profile x]\nregion\n",
        "[profile x]\nregion = 1\nregion = 2\n",
        "[profile x]\ns3 =\n  alone\n",
        "[DEFAULT]\nregion = eu-west-1\n",
        "[profile x]\nregion = \x1b[2J\n",
        "[profile x]\r\nregion = eu-west-1\r\n",
        INNER + END,
        BEGIN + INNER,
        "[profile dev]\nregion = eu-west-1\n",
        '[profile "dev"]\nregion = eu-west-1\n',
        "[profiles dev]\nregion = eu-west-1\n",
        '[profile x]\na = 1\n[profile "x"]\na = 1\n',
    ],
)
def test_a_block_of_what_cannot_stand_there_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    put(path, "written_by_the_cli")
    refusal(path, SetBlock(MARKER, text))


@pytest.mark.parametrize("marker", ["", " x", "x  y", "x\ny", "ü"])
def test_a_marker_must_be_one_plain_line(tmp_path: Path, marker: str) -> None:
    assert "cannot be the name of a block" in refusal(tmp_path / "config", SetBlock(marker, INNER))


def test_a_block_that_is_there_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "config"
    assert config_edits.block(path, MARKER) is None
    put(path, "managed_block_crlf_at_the_end")
    assert config_edits.block(path, "credhelper sync corp") == "[profile corp-dev]\nregion = eu-west-1\n"
    assert config_edits.block(path, "credhelper sync cor") is None


# -- the write ----------------------------------------------------------------------------------------------------


def test_a_change_is_made_with_a_backup_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / ".aws" / "config"
    assert plan(path, [SetKeys(DEV, {"region": "eu-west-1"})]).write(backup=True) is None
    first = path.read_bytes()
    copied = plan(path, [SetKeys(DEV, {"region": "us-east-1"})]).write(backup=True)
    assert copied is not None
    assert copied.read_bytes() == first == b"[profile dev]\nregion = eu-west-1\n"
    assert path.read_bytes() == b"[profile dev]\nregion = us-east-1\n"
    assert plan(path, [SetKeys(DEV, {"region": "eu-west-1"})]).write(backup=False) is None
    assert sorted(path.parent.iterdir()) == [path, copied]


def test_a_change_by_another_program_since_the_plan_is_told_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "config"
    before = put(path, "written_by_the_cli")
    change = plan(path, [SetKeys(DEV, {"region": "us-east-1"})])
    path.write_bytes(before + b"[profile theirs]\n")
    with pytest.raises(ConfigChanged, match="another program"):
        change.write(backup=True)
    assert path.read_bytes() == before + b"[profile theirs]\n"
    assert plan(path, change.edits).write(backup=True) is not None
    assert path.read_bytes().endswith(b"[profile theirs]\n")


def test_a_write_that_fails_names_the_file_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "aws").write_bytes(b"in the way")
    path = tmp_path / "aws" / "config"
    change = config_edits.Change(path, None, b"[default]\n", ())
    with pytest.raises(ConfigError, match=r"cannot be written: .*; nothing was changed") as caught:
        change.write(backup=True)
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("put_there", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_is_refused_with_the_reason(tmp_path: Path, put_there: Callable[[Path], None]) -> None:
    path = tmp_path / "config"
    put_there(path)
    with pytest.raises(ConfigError, match=r"cannot be edited: not a regular file"):
        plan(path, [SetKeys(DEV, {"region": "eu-west-1"})])


# -- anything -----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["default", "dev", "my profile", "it's", "a/b", "übung", "new-dev"])
SECTIONS = st.builds(SectionName, st.sampled_from(sorted(KINDS)), NAMES)
KEYS = st.sampled_from(["region", "Output", "sso_session", "SSO_Role_Name", "s3", "credhelper_x", "a.b-c"])
VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=8
)
SPACES = st.sampled_from(["", " ", "  ", "\t", "\u00a0", "\x0c"])
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r"])
COMMENTS = st.builds("{}{}{}".format, SPACES, st.sampled_from("#;"), st.one_of(VALUES, st.just(" [profile dev]")))
PAIRS = st.builds(
    "{}{}{}{}{}{}".format, KEYS, SPACES, st.sampled_from("=:"), SPACES, st.one_of(VALUES, st.just("")), SPACES
)
HEADERS = st.builds(
    "{}[{}]{}".format, SPACES, SECTIONS.map(lambda name: name.text), st.sampled_from(["", " ", " # [x]", "  "])
)
LINES = st.one_of(
    HEADERS, PAIRS, PAIRS, st.builds("{}{}".format, st.sampled_from(["  ", "\t", "    "]), PAIRS), COMMENTS, SPACES
)
TEXTS = st.builds(
    lambda lines, is_open: "".join(line + end for line, end in lines).rstrip("\r\n" if is_open else ""),
    st.lists(st.tuples(LINES, ENDS), max_size=14),
    st.booleans(),
)
EDITS: st.SearchStrategy[Edit] = st.one_of(
    st.builds(SetKeys, SECTIONS, st.dictionaries(KEYS, VALUES, max_size=3)),
    st.builds(RemoveKeys, SECTIONS, st.lists(KEYS, max_size=2)),
    st.builds(ReplaceKeys, SECTIONS, st.dictionaries(KEYS, st.tuples(KEYS, st.none() | VALUES), max_size=2)),
    st.builds(RemoveSection, SECTIONS),
    st.builds(SetBlock, st.just(MARKER), st.sampled_from([BLOCK, SHORTER, ""])),
)


def raw(path: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = botocore.configloader.raw_config_parse(str(path), parse_subsections=False)
    return found


def check_anything(path: Path, text: str, edits: list[Edit]) -> None:
    """A refusal changes nothing and is told as one; else botocore can read all, and what no edit names as before."""
    path.write_bytes(text.encode())
    try:
        change = plan(path, edits)
    except ConfigError:
        assert path.read_bytes() == text.encode()
        return
    before, read_before = raw(path), botocore_reads(path)
    path.write_bytes(change.after)
    after, read_after = raw(path), botocore_reads(path)
    in_block = {"new-dev", "new-ops"}
    touched = {edit.section for edit in edits if not isinstance(edit, SetBlock)}
    for kind, place in KINDS.items():
        for name in {**read_before[place], **read_after[place]}:
            if SectionName(kind, name) not in touched and not (kind == "profile" and name in in_block):
                assert read_before[place].get(name) == read_after[place].get(name), name
    comments = [line for line in lines_of(text.encode()) if line.decode().strip().startswith(("#", ";"))]
    if not any(isinstance(edit, RemoveSection | RemoveKeys | SetKeys | ReplaceKeys) for edit in edits):
        assert [line for line in lines_of(change.after) if line in comments][: len(comments)] == comments
    assert [name for name in before if name in after] == [name for name in after if name in before]
    assert plan(path, []).is_empty


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS, edits=st.lists(EDITS, max_size=3))
def test_any_edits_of_any_file_are_right_or_refused(tmp_path: Path, text: str, edits: list[Edit]) -> None:
    check_anything(tmp_path / "config", text, edits)


@pytest.mark.long
@settings(max_examples=6000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS, edits=st.lists(EDITS, max_size=4))
def test_many_more_edits_of_many_more_files_are_right_or_refused(tmp_path: Path, text: str, edits: list[Edit]) -> None:
    check_anything(tmp_path / "config", text, edits)


@pytest.mark.long
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_there_and_back_is_nowhere_for_any_file(tmp_path: Path, text: str) -> None:
    """Adopted and released, block made and taken away, section made and removed: the same bytes."""
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    try:
        plan(path, [])
    except ConfigError:
        assume(False)
    for target in targets(path):
        if "region" not in target.keys or "credhelper_region" in target.keys or "region" in target.defaults:
            continue
        try:
            make(path, [SetKeys(target.name, {"credential_process": "/abs/client"})])
        except ConfigError:
            continue
        value = target.keys["region"]
        kept = value if isinstance(value, str) else None  # a nested block has no value of one line
        make(path, [ReplaceKeys(target.name, {"region": ("credhelper_region", kept)})])
        make(path, [RemoveKeys(target.name, ["credential_process"])])
        make(path, [ReplaceKeys(target.name, {"credhelper_region": ("region", None)})])
        assert path.read_bytes() == text.encode()
    try:
        make(path, [SetBlock(MARKER, "[profile only-here]\nregion = eu-west-1\n"), SetKeys(BRAND_NEW, {"x": "1"})])
    except ConfigError:
        return
    make(path, [RemoveSection(BRAND_NEW), SetBlock(MARKER, "")])
    assert path.read_bytes() == text.encode()
