"""IAM's wildcards: ``*`` is any text and ``?`` any one character, in actions, resources and some conditions.

A pattern is its characters and wildcards one by one, so that a ``*`` which a variable brought with it stays a
character. ``*`` crosses colons and slashes, as IAM lets it at the end of an ARN's part. Everything here takes time in
proportion to the two lengths multiplied, whatever the pattern: documents are others' work.
"""

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache


class Wild(Enum):
    """The two wildcards."""

    ANY = "*"
    ONE = "?"


Pattern = tuple[str | Wild, ...]
"""Single characters and wildcards."""


def literal(text: str) -> Pattern:
    """A pattern that matches ``text`` alone."""
    return tuple(text)


def wild(text: str) -> Pattern:
    """A pattern in which ``*`` and ``?`` are wildcards."""
    return tuple(Wild(character) if character in "*?" else character for character in text)


@lru_cache(maxsize=4096)
def action(text: str) -> Pattern:
    """The pattern of an action. Its service and its name are the same in upper and lower case."""
    return wild(text.lower())


def matches(pattern: Pattern, text: str) -> bool:
    """Whether ``text`` is one of those that the pattern is for."""
    return _fits(pattern, text)


def matches_action(pattern: str, name: str) -> bool:
    """Whether an action such as ``s3:GetObject`` is one of those of a pattern such as ``s3:Get*``."""
    return _fits(action(pattern), name.lower())


def covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether every text that ``narrow`` matches is matched by ``wide``.

    A yes is certain, and a no where ``wide`` has no ``?``; else it may be no where the two only look different.
    """
    return _fits(wide, narrow)


def overlap(one: Pattern, other: Pattern) -> bool:
    """Whether some text is matched by both."""
    for token, its in zip(one, other, strict=False):  # most differ at once, in the service
        if isinstance(token, Wild) or isinstance(its, Wild):
            break
        if token != its:
            return False
    row = [True]  # row[n]: what has been read of ``one`` and the first n of ``other`` can be the same text
    for token in other:
        row.append(row[-1] and token is Wild.ANY)
    for token in one:
        above, row = row, [row[0] and token is Wild.ANY]
        for number, its in enumerate(other):
            if Wild.ANY in {token, its}:
                row.append(above[number + 1] or row[number])
            else:
                row.append(above[number] and (token == its or Wild.ONE in {token, its}))
    return row[-1]


def _fits(pattern: Pattern, text: Sequence[str | Wild]) -> bool:
    """Whether the pattern produces ``text``, in which a ``?`` is made by ``?`` or ``*``, and a ``*`` by ``*`` alone."""
    at = star = mark = 0
    has_star = False
    here = 0
    while here < len(text):
        token = pattern[at] if at < len(pattern) else None
        if token is Wild.ANY:
            has_star, star, mark = True, at, here
            at += 1
        elif token is not None and (token == text[here] or (token is Wild.ONE and text[here] is not Wild.ANY)):
            at, here = at + 1, here + 1
        elif has_star:  # the last star takes one more
            mark += 1
            at, here = star + 1, mark
        else:
            return False
    return all(token is Wild.ANY for token in pattern[at:])
