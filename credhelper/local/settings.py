"""credhelper's own ``config.toml``: read whole, checked whole, and every mistake told at once.

``KEYS`` says which there are and what they may be (``setting_checks``); a new key is a line of it and a field of
``Settings``. Profiles are not here: they live in ``~/.aws/config``.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin
from credhelper.domain.text import safe
from credhelper.local import cognito_login_table, policy_table, sync_table
from credhelper.local import setting_checks as checks
from credhelper.local.policy_table import Rule
from credhelper.local.setting_checks import Check, Mistake, Span, Wrong
from credhelper.local.sync_table import Sync

if TYPE_CHECKING:
    from credhelper.local.toml_lines import Place

LARGEST = 256 * 1024  # bytes
MOST_TOLD = 50  # mistakes

TABLES = ("login", "vault", "log", "metrics", "notify", "lock")
ARRAYS = {"policy": policy_table.read, "sync": sync_table.read}
"""The arrays of tables, each a field of ``Settings`` by that name, and who reads them."""
NAMED = {cognito_login_table.TABLE: cognito_login_table.read}
"""The tables whose tables have names that people choose, each a field of ``Settings``, and who reads them."""
EACH = {"policy": "rule", "sync": "session"}
"""What an entry of each is about."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says, complete with the defaults. A key ``k`` of the table ``[t]`` is the field ``t_k``."""

    token_store: str = "shared"  # noqa: S105  # a choice, no secret
    """"shared": ``~/.aws/sso/cache``, with the AWS CLI. "keyring": sealed files that only credhelper reads."""
    login_redirect_port: int = 0
    """The port on 127.0.0.1 that the browser comes back to after a login; 0: any that is free."""
    login_copy: bool = False
    """Whether a login on a terminal sends its address to the terminal's clipboard."""
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
    notify_quiet_hours: tuple[Span, ...] = ()
    """Local times of day between which no notice is shown, as (from, until); a span may go past midnight."""
    lock_at_suspend: bool = False
    """Whether everything is locked when the machine goes to sleep."""
    policy: tuple[Rule, ...] = ()
    """The ``[[policy]]`` rules, in file order."""
    sync: tuple[Sync, ...] = ()
    """The ``[[sync]]`` tables, in file order."""
    cognito_login: tuple[CognitoLogin, ...] = ()
    """The ``[cognito_login.NAME]`` tables, in file order."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One key: what it may be."""

    table: str
    name: str
    check: Check

    @property
    def field(self) -> str:
        return f"{self.table}_{self.name}" if self.table else self.name

    @property
    def label(self) -> str:
        return _label(self.table, self.name)


KEYS = (
    _Key("", "token_store", checks.one_of("shared", "keyring")),
    _Key("login", "redirect_port", checks.port_or_any),
    _Key("login", "copy", checks.yes_or_no),
    _Key("vault", "backend", checks.vault_backend),
    _Key("log", "level", checks.one_of("debug", "info", "warning", "error")),
    _Key("log", "format", checks.one_of("text", "json")),
    _Key("metrics", "listen", checks.loopback_listener),
    _Key("notify", "enabled", checks.yes_or_no),
    _Key("notify", "before_minutes", checks.whole_number(0, 1440)),
    _Key("notify", "quiet_hours", checks.quiet_hours),
    _Key("lock", "at_suspend", checks.yes_or_no),
)

AT_START = ("token_store", "vault_backend")
"""Fields that are taken up when a daemon starts, and never later."""


def load(path: Path) -> Settings:
    """The settings in the file at ``path``; the defaults when there is none.

    Raises ConfigError that names the file, and of each mistake the line, the key and what is allowed.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise ConfigError(f"{path}: {_not_toml(text, error)}") from None
    settings, mistakes = _checked(document)
    if not mistakes:
        return settings
    try:
        told = _with_lines(text, mistakes)
    except RecursionError as error:  # which tomllib has just got around
        told = [_not_toml(text, error)]
    raise ConfigError(f"{path}: " + "; ".join(told))


def changes(old: Settings, new: Settings) -> list[str]:
    """The names of the keys in which two differ, as people write them: "[log] level"."""
    differing = [key.label for key in KEYS if getattr(old, key.field) != getattr(new, key.field)]
    return differing + [_heading(name) for name in (*ARRAYS, *NAMED) if getattr(old, name) != getattr(new, name)]


def _checked(document: Mapping[str, object]) -> tuple[Settings, list[Mistake]]:
    """What the document sets, as far as it is right, and all that is wrong with it."""
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    headings = (*TABLES, *ARRAYS, *NAMED)
    top = {name: value for name, value in document.items() if name not in headings and not _is_table(value)}
    _check_table("", top, (), values, mistakes)
    for name, value in document.items():
        if name in top:
            continue
        if name not in headings:
            mistakes.append(((name,), f"there is no table [{safe(name)}]" + _table_meant(name)))
        elif name in ARRAYS:
            values[name], wrong = _entries(name, value)
            mistakes += wrong
        elif name in NAMED and isinstance(value, dict):
            values[name], wrong = NAMED[name](value, _no_such)
            mistakes += wrong
        elif isinstance(value, dict):
            _check_table(name, value, (name,), values, mistakes)
        else:
            mistakes.append(((name,), f"{name} is {checks.shown(value)}, and must be a table: {_heading(name)}"))
    settings = Settings(**values)
    return settings, mistakes + list(_contradictions(settings))


def _entries(name: str, value: object) -> tuple[tuple[Any, ...], list[Mistake]]:
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return ARRAYS[name](value, lambda key, known: _no_such(_heading(name), key, known))
    told = f"{name} is {checks.shown(value)}, and must be tables, one for each {EACH[name]}: {_heading(name)}"
    return (), [((name,), told)]


def _is_table(value: object) -> bool:
    """Whether it was written as ``[name]`` or ``[[name]]``."""
    is_array = isinstance(value, list) and len(value) > 0 and all(isinstance(one, dict) for one in value)
    return isinstance(value, dict) or is_array


def _check_table(
    table: str, content: Mapping[str, object], place: "Place", values: dict[str, Any], mistakes: list[Mistake]
) -> None:
    """Puts the fields that a table sets into ``values``, and what is wrong with it into ``mistakes``."""
    keys = {key.name: key for key in KEYS if key.table == table}
    for name, value in content.items():
        if name not in keys:
            mistakes.append(((*place, name), _unknown(table, name)))
            continue
        try:
            values[keys[name].field] = keys[name].check(value)
        except Wrong as wrong:
            mistakes.append(((*place, name), f"{keys[name].label} {wrong}"))


def _contradictions(chosen: Settings) -> Iterator[Mistake]:
    """What is right by itself, and cannot be together."""
    if chosen.token_store == "keyring" and chosen.vault_backend == "off":  # noqa: S105  # a choice, no secret
        told = (
            'token_store is "keyring" while [vault] backend is "off", and there would be no key to seal tokens with;'
            ' choose a backend, or token_store = "shared"'
        )
        yield ("token_store",), told


def _unknown(table: str, name: str) -> str:
    here = [key.name for key in KEYS if key.table == table]
    guess = _did_you_mean(name, here, _label(table, "{}"))
    if not guess:  # perhaps it stands in the wrong table
        guess = next((_elsewhere(key) for key in KEYS if key.name == name), "")
    return f"there is no key {_label(table, safe(name))}{guess}"


def _elsewhere(key: _Key) -> str:
    """Whatever follows a [table] belongs to it, which is easily forgotten."""
    return f" (did you mean {key.label}?)" if key.table else f" ({key.label} belongs above the first [table])"


def _label(table: str, name: str) -> str:
    return f"[{table}] {name}" if table else name


def _no_such(table: str, name: str, known: Sequence[str]) -> str:
    """The mistake of a key that a table does not have."""
    return f"there is no key {table} {safe(name)}{_did_you_mean(name, known, table + ' {}')}"


def _heading(table: str) -> str:
    if table in NAMED:
        return f"[{table}.NAME]"
    return f"[[{table}]]" if table in ARRAYS else f"[{table}]"


def _table_meant(name: str) -> str:
    told = _did_you_mean(name, (*TABLES, *ARRAYS, *NAMED), "[{}]")
    return re.sub(r"\[(\w+)\]", lambda found: _heading(found[1]), told)


def _did_you_mean(word: str, known: Sequence[str], form: str) -> str:
    close = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1)
    return f" (did you mean {form.format(close[0])}?)" if close else ""


def _with_lines(text: str, mistakes: list[Mistake]) -> list[str]:
    """The mistakes in the order of the file, each behind its line. A very long list ends in a count."""
    from credhelper.local.toml_lines import Lines

    lines = Lines(text)
    found = sorted(((lines.of(place) or 0, message) for place, message in mistakes), key=lambda one: one[0])
    told = [f"line {line}: {message}" for line, message in found[:MOST_TOLD]]
    return told + ([f"and {len(found) - MOST_TOLD} mistakes more"] if len(found) > MOST_TOLD else [])


def _not_toml(text: str, error: Exception) -> str:
    """tomllib's complaint with the line in front."""
    if isinstance(error, RecursionError):
        return "is not TOML: it is nested too deeply"
    words = str(error)
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", words)
    if place is None:  # a number of thousands of digits
        return f"is not TOML: {safe(words)}"
    line, column = place.groups()
    where = f"line {line or text.count(chr(10)) + 1}: is not TOML: {safe(words[: place.start()])}"
    return f"{where} (column {column})" if column else f"{where} (at the end of the file)"


def _text(path: Path) -> str:
    content = _read(path)
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: is not UTF-8 text") from None


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
