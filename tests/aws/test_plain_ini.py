"""The quick reading of plain files: wherever it answers, its answer is configparser's."""

import configparser
import io
import shlex

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.aws import config_file, plain_ini

PLAIN = b"# mine\n[default]\nregion = eu-west-1\n\n  ; also mine\n[profile a b]  \nKey=x = y # z\nempty =\n"


def by_configparser(content: bytes) -> plain_ini.Sections | None:
    """None where it refuses the file."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_file(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        return None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def test_a_plain_file_is_read() -> None:
    assert plain_ini.sections(PLAIN) == {
        "default": {"region": "eu-west-1"},
        "profile a b": {"key": "x = y # z", "empty": ""},
    }
    assert plain_ini.sections(PLAIN) == by_configparser(PLAIN)


@pytest.mark.parametrize("ending", [b"\r\n", b"\r", b""])
def test_any_line_ending_will_do_and_the_last_line_needs_none(ending: bytes) -> None:
    content = PLAIN.replace(b"\n", ending) if ending else PLAIN.rstrip(b"\n")
    assert plain_ini.sections(content) == by_configparser(PLAIN)


@pytest.mark.parametrize(
    "content",
    [
        b"[a]\ns3 =\n  x = 1\n",
        b"[a]\nx = 1\n  more\n",
        b" [a]\n",
        b"[a]\n x = 1\n",
        b"[a]\nx: 1\n",
        b"[a]\nno sign\n",
        b"[a]\ntwo words = 1\n",
        b"x = 1\n[a]\n",
        b"[a]\n[a]\n",
        b"[a]\nx = 1\nX = 2\n",
        b"[DEFAULT]\nx = 1\n[a]\n",
        b"[a] words\n",
        b"[a]]\n",
        b"[]\n",
        b"\xef\xbb\xbf[a]\n",
        b"[a]\nx = \xe9\n",
        b"[a]\n\x0c\n",
    ],
)
def test_whatever_is_not_plain_is_left_to_configparser(content: bytes) -> None:
    assert plain_ini.sections(content) is None


@hypothesis_settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["[a]", "[b]", "[profile x]", "k = v", "K=w", "l =", "", "  ", "# c", " ; c", "  = v", "[ ]"]
            ),
            st.text(alphabet="[]ab=: #;\t\r\x0b\x1c\x85\u2028é%", max_size=8),
        ),
        max_size=8,
    )
)
def test_where_it_answers_configparser_says_the_same(lines: list[str]) -> None:
    content = "\n".join(lines).encode()
    answer = plain_ini.sections(content)
    assert answer is None or answer == by_configparser(content)


@hypothesis_settings(max_examples=200)
@given(st.text(alphabet="profilesx- \t.@/+:%'\"\\é", max_size=20))
def test_a_sections_name_is_split_as_by_a_shell(section: str) -> None:
    try:
        words = shlex.split(section)
    except ValueError:
        words = []
    expected = (words[0], words[1]) if len(words) == 2 and not section[:1].isspace() else ("", "")
    assert config_file.split_section(section) == expected
