"""The proof itself: an edit that did anything else than it should is found out, whatever it was."""

from pathlib import Path

import pytest

from credhelper.aws.editing.config_proof import Expectation, prove, prove_block, reading_of
from credhelper.aws.editing.config_text import ConfigText, SectionName
from credhelper.domain.errors import ConfigError

PATH = Path("/home/me/.aws/config")
DEV = SectionName("profile", "dev")
NAMED = {DEV: frozenset({"region"})}
BEFORE = """\
# mine
[profile dev]
Region = eu-west-1
output = json

; not mine
[profile ops]
s3 =
  addressing_style = path
"""
RIGHT = BEFORE.replace("eu-west-1", "us-east-1")

WRONG = {
    "nothing was done": BEFORE,
    "another value": BEFORE.replace("eu-west-1", "us-east-2"),
    "another key too": RIGHT.replace("json", "text"),
    "another section too": RIGHT.replace("path", "virtual"),
    "another key gone": RIGHT.replace("output = json\n", ""),
    "a section gone": RIGHT[: RIGHT.index("[profile ops]")],
    "a section more": RIGHT + "[profile new]\n",
    "sections in another order": RIGHT[RIGHT.index("; not") :] + RIGHT[: RIGHT.index("; not")],
    "a comment gone": RIGHT.replace("; not mine\n", ""),
    "a comment more": RIGHT + "# ours\n",
    "a blank line gone": RIGHT.replace("\n\n", "\n"),
    "another line end": RIGHT.replace("json\n", "json\r\n"),
    "other spaces": RIGHT.replace("output = json", "output=json"),
    "other letters": RIGHT.replace("output", "Output"),
    "another header": RIGHT.replace("[profile ops]", '[profile "ops"]'),
    "what botocore refuses": RIGHT + "[profile dev]\n",
    "nested lines that botocore refuses": RIGHT + "  alone\n",
}


def expectation() -> Expectation:
    expected = Expectation(reading_of(BEFORE, PATH))
    expected.set_keys(DEV, {"region": "us-east-1"})
    return expected


def test_what_was_meant_is_proven() -> None:
    prove(expectation(), BEFORE, RIGHT, NAMED, PATH)


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_refused(what: str) -> None:
    with pytest.raises(ConfigError, match=r"^/home/me/\.aws/config: "):
        prove(expectation(), BEFORE, WRONG[what], NAMED, PATH)


BLOCK = "# BEGIN m\n[profile a]\nx = 1\n# END m\n"


@pytest.mark.parametrize(
    "after",
    [
        BLOCK + BEFORE,
        BEFORE.replace("; not", BLOCK + "; not"),
        BEFORE.replace("# mine\n", "") + BLOCK,
        BEFORE + BLOCK + "# more\n",
        BEFORE + BLOCK.replace("x = 1", "x = 2"),
        BEFORE.replace("json", "text") + BLOCK,
    ],
)
def test_a_block_elsewhere_or_with_more_or_less_around_it_is_refused(after: str) -> None:
    new = reading_of("[profile a]\nx = 1\n", PATH)
    for text, is_right in ((BEFORE + BLOCK, True), (after, False)):
        expected = Expectation(reading_of(BEFORE, PATH))
        expected.replace_sections(2, 0, new)
        if is_right:
            prove_block(expected, BEFORE, text, "m", PATH)
        else:
            with pytest.raises(ConfigError):
                prove_block(expected, BEFORE, text, "m", PATH)


def test_a_line_model_that_sees_something_else_than_botocore_edits_nothing() -> None:
    reading = reading_of(BEFORE, PATH)
    reading.confirm(ConfigText(BEFORE, PATH), PATH)
    with pytest.raises(ConfigError, match=r"would read \[profile ops\] otherwise"):
        reading.confirm(ConfigText(BEFORE.replace("path", "virtual"), PATH), PATH)
