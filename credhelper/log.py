"""Where log lines go and what they look like.

Only the package's own logger speaks; what libraries have to say is dropped, for botocore's debug output carries tokens.
A foreign exception is told by its kind and its place, never by its text, which nobody has looked at. ``redacted`` is a
net below both: what looks like a secret after all is not written.
"""

import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from credhelper.domain.errors import CredhelperError

if TYPE_CHECKING:  # a command has no need of it
    import asyncio

_LARGEST = 1024 * 1024  # bytes, of each of two files
_OURS = logging.getLogger("credhelper")
_FOREIGN = ("asyncio", "boto3", "botocore", "h11", "jeepney", "keyring", "secretstorage", "urllib3", "watchdog")

_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""sd-daemon(3): a line of the journal begins with its level."""

_HARMLESS = (CredhelperError, OSError, AttributeError, NameError, ImportError)
"""Exceptions whose text is ours, the system's, or Python's about our own code."""

_NAMES = (
    r"access[-_]?token|refresh[-_]?token|session[-_]?token|security[-_]?token|bearer[-_]?token|id[-_]?token|"
    r"client[-_]?secret|secret[-_]?access[-_]?key|device[-_]?code|code[-_]?verifier|authorization|cookie|"
    r"pass(?:word|phrase)|secret|token"
)
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)"""
_SECRETS = (
    (re.compile(r"\bA[SK]IA[A-Z0-9]{16}\b"), "***"),
    (re.compile(r"\bao[ar][A-Za-z0-9_-]{20,}"), "***"),  # Identity Center's tokens
    (re.compile(r"\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)*"), "***"),  # JSON in base64: JWTs, registrations
    # "accessToken": "…", 'X-Amz-Sso_Bearer_Token': b'…', token=…, &code=…, Authorization: Bearer …
    (re.compile(rf"(?is)([\"'][\w-]{{0,40}}(?:{_NAMES})[\"']\s*[:=,]\s*)b?{_QUOTED}"), r'\1"***"'),
    (re.compile(rf"(?is)\b((?:[\w-]{{0,40}}[_-])?(?:{_NAMES})=)b?{_QUOTED}"), r'\1"***"'),
    (re.compile(rf"(?i)\b((?:[\w-]{{0,40}}[_-])?(?:{_NAMES})=)[^\s\"'&;,)]+"), r"\1***"),
    (re.compile(r"(?i)([?&](?:code|state)=)[^\s\"'&;,)]+"), r"\1***"),
    (re.compile(r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie|x-amz-[\w-]{0,40}token)(:\s*).+$"), r"\1\2***"),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\1***"),
)


class Wishes(Protocol):
    """The settings, as far as they are about the log."""

    @property
    def log_level(self) -> str:
        """How much: "debug", "info", "warning" or "error"."""

    @property
    def log_format(self) -> str:
        """For whom: "text" or "json"."""


def to_stderr(*, debug: bool) -> None:
    """Log lines on stderr."""
    _to(logging.StreamHandler(sys.stderr), debug=debug, is_journal=_is_journal(sys.stderr))


def to_file(path: Path, *, debug: bool) -> None:
    """Log lines at the end of ``path`` (0600 by the process's umask), of which one earlier part is kept."""
    from logging.handlers import RotatingFileHandler

    handler = RotatingFileHandler(path, maxBytes=_LARGEST, backupCount=1, encoding="utf-8", delay=True)
    _to(handler, debug=debug, is_journal=False)


def apply(settings: Wishes) -> None:
    """Takes level and format from ``settings``, also while others log. ``debug`` from the start keeps its level."""
    for handler in _OURS.handlers:
        if isinstance(handler.formatter, _Form):
            handler.formatter.is_json = settings.log_format == "json"
            _OURS.setLevel(logging.DEBUG if handler.formatter.debug else settings.log_level.upper())


def silence(*libraries: str) -> None:
    """Drops what libraries log, whatever anybody has set up for them or for the root logger."""
    for name in libraries:
        logger = logging.getLogger(name)
        logger.propagate = False
        for one in (logger, *_below(name)):
            one.handlers.clear()
            one.setLevel(logging.NOTSET)
        logger.addHandler(logging.NullHandler())
        logger.setLevel(logging.CRITICAL + 1)


def take_faults(loop: "asyncio.AbstractEventLoop") -> None:
    """Has the faults logged that nobody catches; Python would print their text, and asyncio what they were about."""

    def tell(where: str, error: BaseException | None) -> None:
        _OURS.error("a fault %s", where, exc_info=error)

    def in_loop(_: object, context: Mapping[str, Any]) -> None:
        is_callback = "handle" in context  # whose message repeats its arguments
        tell("in a callback" if is_callback else f"in the event loop: {context['message']}", context.get("exception"))

    loop.set_exception_handler(in_loop)
    threading.excepthook = lambda args: tell("in a thread", args.exc_value)
    sys.unraisablehook = lambda args: tell("while tidying up", args.exc_value)


def trace(error: BaseException) -> str:
    """Where an exception comes from, with those that led to it: lines of code, and no text but harmless ones'."""
    return redacted("\n".join(_trace(error, set())))


def redacted(text: str) -> str:
    """``text`` with ``***`` for what looks like a secret."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _to(handler: logging.Handler, *, debug: bool, is_journal: bool) -> None:
    silence(*_FOREIGN)
    handler.setFormatter(_Form(debug=debug, is_journal=is_journal))
    for earlier in list(_OURS.handlers):
        _OURS.removeHandler(earlier)
        earlier.close()
    _OURS.addHandler(handler)
    _OURS.setLevel(logging.DEBUG if debug else logging.INFO)
    _OURS.propagate = False
    logging.lastResort = None  # by which libraries that nobody has thought of would get to stderr
    logging.raiseExceptions = False  # the complaint of a log that cannot be written would repeat what was to be said


def _is_journal(stream: IO[str]) -> bool:
    """The rule of systemd.exec(5): ``$JOURNAL_STREAM`` is this very stream's device and inode."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _below(name: str) -> Iterator[logging.Logger]:
    for below, logger in list(logging.root.manager.loggerDict.items()):
        if below.startswith(name + ".") and isinstance(logger, logging.Logger):
            yield logger


class _Form(logging.Formatter):
    """One record as a line; whatever its message holds, it cannot look like two."""

    def __init__(self, *, debug: bool, is_journal: bool) -> None:
        super().__init__()
        self.debug = debug
        self.is_journal = is_journal
        self.is_json = False

    def format(self, record: logging.LogRecord) -> str:
        """The record, its further lines indented, each line with what a journal wants in front."""
        lines = [self._as_json(record)] if self.is_json else list(self._as_text(record))
        level = f"<{_SYSLOG.get(record.levelno, 6)}>" if self.is_journal else ""
        return "\n".join(level + line for line in lines)

    def _as_text(self, record: logging.LogRecord) -> Iterator[str]:
        first, *more = _message(record).split("\n")
        yield _printable(first if self.is_journal else f"{self.formatTime(record)} {record.levelname} {first}")
        for line in more + (_exception(record) or "").splitlines():
            yield "    " + _printable(line)

    def _as_json(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        found = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "exception": _exception(record),
        }
        return json.dumps({name: value for name, value in found.items() if value is not None})


def _message(record: logging.LogRecord) -> str:
    return redacted(record.getMessage())


def _exception(record: logging.LogRecord) -> str | None:
    return trace(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(one if one.isprintable() else " " for one in line)


def _trace(error: BaseException, told: set[int]) -> Iterator[str]:
    told.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in told:
        yield from _trace(before, told)
        yield "which led to:"
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(inner) not in told:
            yield from _trace(inner, told)
            yield "which is part of:"
    for frame in traceback.format_tb(error.__traceback__):
        yield from frame.rstrip("\n").split("\n")
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{kind}: {error}" if isinstance(error, _HARMLESS) else kind
