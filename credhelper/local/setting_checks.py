"""What a value of ``config.toml`` may be: a check returns it as the field of ``Settings`` wants it, or says why not."""

import re
from collections.abc import Callable, Mapping
from datetime import time
from typing import TYPE_CHECKING, Any

from credhelper.domain.text import safe

if TYPE_CHECKING:
    from credhelper.local.toml_lines import Place

Check = Callable[[object], Any]
"""Takes a value as tomllib gives it. Raises Wrong."""

Unknown = Callable[[str, list[str]], str]
"""Words the mistake of a key that is none of those there are."""

Mistake = tuple["Place", str]
"""Where in the document something is wrong, and what, beginning with the key's name."""

Span = tuple[time, time]
"""Two local times of day, from and until; it goes past midnight when the second is the earlier."""

FIRST_PORT, LAST_PORT = 1024, 65_535
"""Below the first, only root may listen."""

_LONGEST_SHOWN = 40  # characters of a wrong value
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_SPAN = re.compile(rf"{_TIME}\s*-\s*{_TIME}", re.ASCII)
_DURATION = re.compile(r"([1-9]\d{0,5})\s*([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PORT = re.compile(r"[1-9]\d{0,4}", re.ASCII)


class Wrong(Exception):
    """A value that cannot be; the message goes behind the key's name."""


def one_of(*allowed: str) -> Check:
    """One of these words."""

    def checked(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise Wrong(f"is {shown(value)}, and must be one of " + ", ".join(f'"{word}"' for word in allowed))

    return checked


def yes_or_no(value: object) -> bool:
    """true or false."""
    if isinstance(value, bool):
        return value
    raise Wrong(f"is {shown(value)}, and must be true or false, without quotes")


def whole_number(least: int, most: int) -> Check:
    """A whole number from ``least`` to ``most``."""

    def checked(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        quotes = ", without quotes" if isinstance(value, str) else ""
        raise Wrong(f"is {shown(value)}, and must be a whole number from {least} to {most}{quotes}")

    return checked


def port_or_any(value: object) -> int:
    """A port that a program of the user's may listen on; 0 for any."""
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return 0
    try:
        return int(whole_number(FIRST_PORT, LAST_PORT)(value))
    except Wrong as wrong:
        raise Wrong(f"{wrong}, or 0 for any that is free") from None


def duration(least: int, most: int) -> Check:
    """A span of time such as "90s", "15m", "1h" or "1d", from ``least`` to ``most`` seconds; in seconds."""

    def checked(value: object) -> int:
        found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is not None:
            seconds = int(found[1]) * _SECONDS[found[2]]
            if least <= seconds <= most:
                return seconds
        raise Wrong(f'is {shown(value)}, and must be a time from "{_told(least)}" to "{_told(most)}", such as "1h"')

    return checked


def _told(seconds: int) -> str:
    """A span as ``duration`` reads it, in the largest unit that will do."""
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def texts(described: str, is_right: Callable[[str], bool]) -> Check:
    """One text or a list of them, each of which ``is_right``; ``described`` says what they are."""

    def checked(value: object) -> tuple[str, ...]:
        found = value if isinstance(value, list) else [value]
        if not found:
            raise Wrong(f"is empty, and must be {described}")
        for one in found:
            if not (isinstance(one, str) and is_right(one)):
                raise Wrong(f"{'holds' if isinstance(value, list) else 'is'} {shown(one)}, and must be {described}")
        return tuple(found)

    return checked


_backend_word = one_of("auto", "secret-service", "kwallet", "macos", "off")


def vault_backend(value: object) -> str:
    """The name of a keyring that keeps secrets, or "off"."""
    if isinstance(value, str) and any(word in value.lower() for word in ("plain", "file", "null", "keyrings.alt")):
        raise Wrong(
            f"is {shown(value)}, which would leave the key readable beside what it seals, and is refused; "
            'without a keyring, choose "off": nothing is then written'
        )
    return str(_backend_word(value))


def loopback_listener(value: object) -> str:
    """An address and port that only this machine reaches; "" for none."""
    if value == "":
        return ""
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        if _is_loopback(host) and _PORT.fullmatch(port) and int(port) <= 65535:
            return value
    raise Wrong(
        f"is {shown(value)}, and must be an address of this machine's loopback with a port (1 to 65535),"
        ' such as "127.0.0.1:9418" or "[::1]:9418", or "" for none'
    )


def _is_loopback(host: str) -> bool:
    """Names are none: what they mean can be changed elsewhere."""
    import ipaddress

    if host == "[::1]":
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def quiet_hours(value: object) -> tuple[Span, ...]:
    """One span of the day such as "22:00-07:00", or a list of them; "" for none."""
    if value == "":
        return ()
    return tuple(_span(one) for one in (value if isinstance(value, list) else [value]))


def _span(value: object) -> Span:
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise Wrong(
            f'holds {shown(value)}, and must be spans such as "22:00-07:00" (00:00 to 23:59): one, or a list of them'
        )
    hour, minute, until_hour, until_minute = map(int, found.groups())
    start, end = time(hour, minute), time(until_hour, until_minute)
    if start == end:
        raise Wrong(f"holds {shown(value)}, whose ends are the same; for none at all: enabled = false")
    return start, end


def table_values(
    heading: str, keys: Mapping[str, Check], place: "Place", table: Mapping[str, object], unknown: Unknown
) -> tuple[dict[str, Any], list[Mistake]]:
    """What an entry of an array of tables sets, as far as it is right, and what is wrong with it."""
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, value in table.items():
        if key not in keys:
            mistakes.append(((*place, key), unknown(key, list(keys))))
            continue
        try:
            values[key] = keys[key](value)
        except Wrong as wrong:
            mistakes.append(((*place, key), f"{heading} {key} {wrong}"))
    return values, mistakes


def shown(value: object) -> str:
    """A wrong value, short and harmless."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > _LONGEST_SHOWN:  # Python prints no number of any length
        return "a huge number"
    text = safe(str(value).lower() if isinstance(value, bool) else str(value))
    short = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return f'"{short}"' if isinstance(value, str) else short
