"""The names of generated profiles: a template filled in, of characters that every SDK takes without quotes.

Those are ``A-Z a-z 0-9 _ . @ / + -``. The Rust SDK passes over a profile with any other but ``%`` and ``:``, which
shells and Windows mind; a space needs quotes in the section's header, which some parsers do not know.
"""

import re
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from credhelper.domain.text import safe

FIELDS = ("account_name", "account_id", "role_name", "sso_session")
LOWER = "lower"
"""``{account_name:lower}``: the same in lower case."""
USUAL = "{account_name}-{role_name}"
LONGEST = 200  # characters of a template

_UNFIT = re.compile(r"[^A-Za-z0-9_.@/+-]+")
_TOLD = ", ".join(f"{{{field}}}" for field in FIELDS)


class WrongTemplate(Exception):
    """A template that cannot be; the message goes behind the name of the option or key."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template, taken apart."""

    _parts: tuple[tuple[str, str | None, bool], ...]
    """Of each: the words before a field, the field (None behind the last one), and whether it is put in lower case."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises WrongTemplate."""
        if len(text) > LONGEST:
            raise WrongTemplate(f"is longer than {LONGEST} characters")
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError:
            raise WrongTemplate(f"has a brace without its other one; a field is written as in {USUAL}") from None
        parts = tuple(_part(*part) for part in parsed)
        if not {field for _, field, _ in parts} & {"account_name", "account_id", "role_name"}:
            raise WrongTemplate("names neither the account nor the role: all profiles would be called the same")
        return cls(parts)

    def fill(self, values: Mapping[str, str]) -> str:
        """The name for ``values`` of all FIELDS; of an account whose name has no usable character, its id is said."""
        fit = {field: plain(values[field]) for field in FIELDS}
        fit["account_name"] = fit["account_name"] or fit["account_id"]
        text = ""
        for words, field, is_lower in self._parts:
            value = "" if field is None else fit[field]
            text += words + (value.lower() if is_lower else value)
        return text.strip("-") or fit["account_id"]


def plain(text: str) -> str:
    """``text`` in usable characters: letters without their accents, and one ``-`` for whatever stands between."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _UNFIT.sub("-", text).strip("-")


def _part(words: str, field: str | None, form: str | None, conversion: str | None) -> tuple[str, str | None, bool]:
    unfit = _UNFIT.search(words)
    if unfit is not None:
        raise WrongTemplate(
            f"has “{safe(unfit[0])}”, and outside its fields there may be plain letters, digits and _ . @ / + -"
        )
    if field is not None and (field not in FIELDS or conversion or form not in {"", LOWER}):
        shown = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
        raise WrongTemplate(
            f"has the field {{{safe(shown)}}}; there are {_TOLD}, and each also as in {{role_name:{LOWER}}}"
        )
    return words, field, form == LOWER
