"""credhelper's own ``config.toml``: read whole, checked whole, and every mistake told at once.

A table says which keys there are and what they may be; a new key is a line of it and a field of ``Settings``. Profiles
are not here: they live in ``~/.aws/config``.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe

LARGEST = 256 * 1024  # bytes

_LONGEST_SHOWN = 40  # characters of a wrong value


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says, complete with the defaults. A key ``k`` of the table ``[t]`` is the field ``t_k``."""

    token_store: str = "shared"  # noqa: S105  # a choice, no secret
    """"shared": ``~/.aws/sso/cache``, with the AWS CLI. "keyring": sealed files that only credhelper reads."""
    vault_backend: str = "auto"
    """Which keyring holds the key that seals files: "auto", "secret-service", "kwallet", "macos"; "off": none."""
    log_level: str = "info"
    """The least that is logged: "debug", "info", "warning", "error"."""
    log_format: str = "text"
    """"text": lines for a person or a journal. "json": one object a line."""
    metrics_listen: str = ""
    """A loopback address and port for Prometheus, such as "127.0.0.1:9418"; "": none."""
    notify_enabled: bool = True
    """Whether the desktop shows notices."""
    notify_before_minutes: int = 10
    """How long before the end of a session that cannot be refreshed the desktop tells of it; 0: not at all."""
    notify_quiet_hours: tuple[tuple[time, time], ...] = ()
    """Local times of day between which no notice is shown, as (from, until); a span may go past midnight."""


class _Mistake(Exception):
    """A value that cannot be; the message goes behind the key's name."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One key: ``checked`` returns the value as the field wants it. Raises _Mistake."""

    table: str
    name: str
    checked: Callable[[object], Any]

    @property
    def field(self) -> str:
        return f"{self.table}_{self.name}" if self.table else self.name

    @property
    def label(self) -> str:
        return f"[{self.table}] {self.name}" if self.table else self.name


def _one_of(*allowed: str) -> Callable[[object], str]:
    """A check that takes one of these words."""

    def checked(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise _Mistake(f"is {_shown(value)}, and must be one of " + ", ".join(f'"{word}"' for word in allowed))

    return checked


_vault_backend_word = _one_of("auto", "secret-service", "kwallet", "macos", "off")


def _vault_backend(value: object) -> str:
    if isinstance(value, str) and any(word in value.lower() for word in ("plain", "file", "null", "keyrings.alt")):
        raise _Mistake(
            f"is {_shown(value)}, which would leave the key readable beside what it seals, and is refused; "
            'without a keyring, choose "off": nothing is then written'
        )
    return _vault_backend_word(value)


KEYS = (
    _Key("", "token_store", _one_of("shared", "keyring")),
    _Key("vault", "backend", _vault_backend),
)


def load(path: Path) -> Settings:
    """The settings in the file at ``path``; the defaults when there is none.

    Raises ConfigError that names the file, and of each mistake the key and what is allowed, on one line.
    """
    content = _read(path)
    try:
        document = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise ConfigError(f"{path}: is not TOML: {safe(str(error))}") from None
    values, mistakes = _checked(document)
    chosen = Settings(**values)
    mistakes += _contradictions(chosen)
    if mistakes:
        raise ConfigError(f"{path}: " + "; ".join(mistakes))
    return chosen


def _checked(document: Mapping[str, object]) -> tuple[dict[str, Any], list[str]]:
    """The fields that the document sets, and what is wrong with the rest."""
    keys = {(key.table, key.name): key for key in KEYS}
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for table, name, value in _entries(document, mistakes):
        key = keys.get((table, name))
        if key is None:
            mistakes.append(_unknown(table, name))
            continue
        try:
            values[key.field] = key.checked(value)
        except _Mistake as mistake:
            mistakes.append(f"{key.label} {mistake}")
    return values, mistakes


def _contradictions(chosen: Settings) -> Iterator[str]:
    """What is right by itself, and cannot be together."""
    if chosen.token_store == "keyring" and chosen.vault_backend == "off":  # noqa: S105  # a choice, no secret
        yield (
            'token_store is "keyring" while [vault] backend is "off", and there would be no key to seal tokens with;'
            ' choose a backend, or token_store = "shared"'
        )


def _entries(document: Mapping[str, object], mistakes: list[str]) -> Iterator[tuple[str, str, object]]:
    """Every key with its table ("" at the top) and value; tables that do not exist become ``mistakes``."""
    tables = {key.table for key in KEYS} - {""}
    for name, value in document.items():
        if name in tables and isinstance(value, dict):
            yield from ((name, inner, found) for inner, found in value.items())
        elif name in tables:
            mistakes.append(f"{name} is {_shown(value)}, and must be a table: [{name}]")
        elif isinstance(value, dict):
            mistakes.append(f"there is no table [{safe(name)}]" + _did_you_mean(name, sorted(tables), "[{}]"))
        else:
            yield "", name, value


def _unknown(table: str, name: str) -> str:
    known = {key.label: key for key in KEYS}
    here = [key.name for key in known.values() if key.table == table]
    found = f"[{table}] {safe(name)}" if table else safe(name)
    guess = _did_you_mean(name, here, f"[{table}] {{}}" if table else "{}")
    if not guess:  # perhaps it stands in the wrong table
        guess = next((f" (did you mean {label}?)" for label, key in known.items() if key.name == name), "")
    return f"there is no key {found}{guess}"


def _did_you_mean(word: str, known: list[str], form: str) -> str:
    close = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1)
    return f" (did you mean {form.format(close[0])}?)" if close else ""


def _shown(value: object) -> str:
    """A wrong value, short and harmless."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = safe(str(value).lower() if isinstance(value, bool) else str(value))
    shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return f'"{shown}"' if isinstance(value, str) else shown


def _read(path: Path) -> bytes:
    """The whole file, nothing when there is none; links are followed, as people link their configuration.

    Raises ConfigError for what no configuration can be: opening it might block, and reading it never end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):  # CREDHELPER_CONFIG=/dev/null
            raise ConfigError(f"{path}: is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise ConfigError(f"{path}: is larger than {LARGEST // 1024} KiB")
    return content
