"""Text that came from elsewhere, made safe to show."""

import unicodedata
from collections.abc import Iterator

_LONGEST = 500  # characters


def safe(text: str, longest: int = _LONGEST) -> str:
    """``text`` on one line without anything a terminal would obey: controls, escapes, bidirectional overrides.

    Names and messages of AWS and of configuration files go through here before they are printed or logged.
    """
    if len(text) <= longest and text.isprintable():  # nearly always, and many times quicker
        return text
    return "".join(_visible(text[:longest])) + ("…" if len(text) > longest else "")


def _visible(text: str) -> Iterator[str]:
    for character in text:
        # Cc controls, Cf format characters (bidi, zero width), Cs lone surrogates, Zl/Zp line separators
        yield " " if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else character
