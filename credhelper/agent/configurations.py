"""The callers' ``~/.aws/config`` and ``credentials``, parsed once for each version of them."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.pool_profiles import LoginTables
from credhelper.domain.errors import CredhelperError, DaemonUnreachable
from credhelper.domain.model import CognitoLogin
from credhelper.domain.text import safe
from credhelper.local import private_files
from credhelper.local.settings import Settings

MOST = 32  # how many pairs of files are remembered

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A configuration and the version of the files it came from."""

    files: tuple[Path, ...]
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
        self.settings_file: Callable[[], Path | None] = lambda: None
        """Where the logins stand that profiles of identity pools name, for a person to look them up."""
        self._logins: tuple[CognitoLogin, ...] = ()
        self._home = home
        self._loaded: dict[ConfigPaths, _Loaded] = {}

    @property
    def tables(self) -> LoginTables:
        """The logins in force."""
        return LoginTables.of(self._logins, self.settings_file())

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
        is_known = loaded is not None and is_hit and all(map(self.is_vouched_for, loaded.files))
        if loaded is None or (not is_known and loaded.signatures != _signatures(loaded.files)):
            loaded = self._load(paths)
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

    def apply(self, settings: Settings) -> None:
        """From now on profiles may name these logins."""
        if settings.cognito_login != self._logins:
            self._logins = settings.cognito_login
            self._forget_all()
            self.on_change()

    def files_have_changed(self, changed: frozenset[Path]) -> None:
        """These are to be read again."""
        for paths, loaded in list(self._loaded.items()):
            if not changed.isdisjoint(loaded.files):
                del self._loaded[paths]
                self.on_change()

    def _load(self, paths: ConfigPaths) -> _Loaded:
        if len(self._loaded) >= MOST:
            self._forget_all()
        if paths in self._loaded:
            self.on_change()
        files: tuple[Path, ...] = (paths.config, paths.credentials)
        signatures = _signatures(files)  # before they are read: what changes meanwhile is read again
        logins = self._logins
        outcome: Configuration | CredhelperError
        try:
            outcome = found = config_file.load(paths, lambda: LoginTables.of(logins, self.settings_file()))
        except CredhelperError as error:
            outcome = error
        else:
            others = tuple(found.policy_files())
            files, signatures = files + others, signatures + _signatures(others)
        loaded = _Loaded(files, signatures, outcome)
        if not (isinstance(outcome, CredhelperError) and isinstance(outcome.__cause__, OSError)):
            self._loaded[paths] = loaded  # an unreadable file may be readable the next time, unchanged
            for path in files:
                self.on_new_file(path)
        return loaded

    def _forget_all(self) -> None:
        for loaded in self._loaded.values():
            for path in set(loaded.files) - self.own_files:
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


def _signatures(files: Iterable[Path]) -> tuple[private_files.Signature | None, ...]:
    """Followed links: dotfiles are often links, and it is the target that is edited."""
    return tuple(map(_target_signature, files))


def _target_signature(path: Path) -> private_files.Signature | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return private_files.Signature(found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
