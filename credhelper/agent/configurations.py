"""The callers' ``~/.aws/config`` and ``credentials``, parsed once for each version of them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.domain.text import safe
from credhelper.local import private_files

MOST = 32  # how many pairs of files are remembered

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A configuration and the version of the files it came from."""

    signatures: tuple[private_files.Signature | None, ...]
    outcome: Configuration | CredhelperError


class Configurations:
    """What each caller's files say. ``fields`` are a request's: HOME, AWS_CONFIG_FILE and so on."""

    def __init__(self, home: Path) -> None:
        self.is_vouched_for: Callable[[Path], bool] = lambda _: False
        """Whether somebody watches a file, and what was loaded is what it says."""
        self.on_new_file: Callable[[Path], None] = lambda _: None
        self.on_forgotten_file: Callable[[Path], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        """Told when files have changed since they were read."""
        self._home = home
        self._loaded: dict[ConfigPaths, _Loaded] = {}

    @property
    def own_files(self) -> frozenset[Path]:
        """The files of the home itself, whose sessions the daemon keeps alive before anybody asks."""
        paths = ConfigPaths.of(self.own_fields)
        return frozenset({paths.config, paths.credentials})

    @property
    def own_fields(self) -> Fields:
        """What a caller would send who chooses no files."""
        return {"HOME": str(self._home)}

    def of(self, fields: Fields, *, is_hit: bool = False) -> Configuration:
        """The caller's files, read again when their signatures changed. Raises ConfigError, DaemonUnreachable.

        A hit takes the watch's word for it that they did not.
        """
        self._refuse_other_home(fields)
        paths = _paths_of(fields)
        loaded = self._loaded.get(paths)
        is_known = is_hit and self.is_vouched_for(paths.config) and self.is_vouched_for(paths.credentials)
        if loaded is None or not is_known:
            # Followed links: dotfiles are often links, and it is the target that is edited.
            signatures = (_target_signature(paths.config), _target_signature(paths.credentials))
            if loaded is None or loaded.signatures != signatures:
                loaded = self._load(paths, signatures)
        if isinstance(loaded.outcome, CredhelperError):
            raise loaded.outcome.with_traceback(None)  # raised again and again, it would collect tracebacks
        return loaded.outcome

    def and_mistakes(self, fields: Fields) -> tuple[Configuration, list[str]]:
        """The same, where a broken file or section spoils nothing else, and what is wrong with those.

        Raises DaemonUnreachable.
        """
        try:
            configuration = self.of(fields)
        except DaemonUnreachable:
            raise
        except CredhelperError as error:
            return Configuration(ConfigPaths.of(fields, fields.get("cwd", "/"))), [error.message]
        return configuration, [mistake.message for mistake in configuration.sessions()[1]]

    def files_have_changed(self, changed: frozenset[Path]) -> None:
        """These are to be read again."""
        for paths in list(self._loaded):
            if changed & {paths.config, paths.credentials}:
                del self._loaded[paths]
                self.on_change()

    def _load(self, paths: ConfigPaths, signatures: tuple[private_files.Signature | None, ...]) -> _Loaded:
        if len(self._loaded) >= MOST:
            self._forget_all()
        if paths in self._loaded:
            self.on_change()
        try:
            outcome: Configuration | CredhelperError = config_file.load(paths)
        except CredhelperError as error:
            outcome = error
        loaded = _Loaded(signatures, outcome)
        if not (isinstance(outcome, CredhelperError) and isinstance(outcome.__cause__, OSError)):
            self._loaded[paths] = loaded  # an unreadable file may be readable the next time, unchanged
            self.on_new_file(paths.config)
            self.on_new_file(paths.credentials)
        return loaded

    def _forget_all(self) -> None:
        for paths in self._loaded:
            for path in {paths.config, paths.credentials} - self.own_files:
                self.on_forgotten_file(path)
        self._loaded.clear()

    def _refuse_other_home(self, fields: Fields) -> None:
        home = fields.get("HOME", "")
        if os.path.normpath(home) != os.path.normpath(self._home):
            raise DaemonUnreachable(
                f"the daemon serves the home {self._home}, but yours is {safe(home) or 'not set'}",
                hint="set CREDHELPER_SOCKET to a socket of its own for this home",
            )


def _paths_of(fields: Fields) -> ConfigPaths:
    config, credentials = fields.get("AWS_CONFIG_FILE", ""), fields.get("AWS_SHARED_CREDENTIALS_FILE", "")
    return _paths(fields["HOME"], config, credentials, fields.get("cwd", "/"))


@lru_cache(maxsize=MOST)
def _paths(home: str, config: str, credentials: str, cwd: str) -> ConfigPaths:
    """The same callers come again and again, and paths are slow to make."""
    named = {"HOME": home, "AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": credentials}
    return ConfigPaths.of(named, cwd)


def _target_signature(path: Path) -> private_files.Signature | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return private_files.Signature(found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
