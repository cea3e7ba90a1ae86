"""Where log lines go. Only the package's own logger is ever set up: botocore's debug output carries tokens."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

_LARGEST = 1024 * 1024  # bytes, of each of two files
_FORM = logging.Formatter("%(asctime)s %(levelname)s %(message)s")


def to_stderr(*, debug: bool) -> None:
    """Log lines on stderr."""
    _to(logging.StreamHandler(), debug=debug)


def to_file(path: Path, *, debug: bool) -> None:
    """Log lines at the end of ``path`` (0600 by the process's umask), of which one earlier part is kept."""
    _to(RotatingFileHandler(path, maxBytes=_LARGEST, backupCount=1, encoding="utf-8", delay=True), debug=debug)


def _to(handler: logging.Handler, *, debug: bool) -> None:
    handler.setFormatter(_FORM)
    logger = logging.getLogger("credhelper")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
