"""Spans of time as people write them on a command line: ``90``, ``10m``, ``2h``, ``1h30m``, ``2d``."""

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
LONGEST = 366 * 86_400


def seconds(text: str, option: str) -> int:
    """Whole seconds; a number alone is seconds. Raises UsageError, which names the option."""
    found = _seconds(text)
    if found is None or not 1 <= found <= LONGEST:
        raise UsageError(f"{option}: “{safe(text)}” is not a time such as 10m, 2h, 1h30m or 90 (seconds)")
    return found


def _seconds(text: str) -> int | None:
    if _is_number(text):
        return int(text)
    total, left = 0, text
    for unit, size in _UNITS.items():
        number, sign, rest = left.partition(unit)
        if sign:
            if not _is_number(number):
                return None
            total, left = total + int(number) * size, rest
    return None if left or not text else total


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
