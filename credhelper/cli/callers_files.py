"""The caller's own configuration, for commands that do without the daemon."""

import os
from pathlib import Path

from credhelper import client
from credhelper.aws import config_file, pool_profiles
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin
from credhelper.local import places


def home() -> Path:
    """The caller's home."""
    return Path(os.fsdecode(places.environment()[b"HOME"]))


def load() -> Configuration:
    """The caller's configuration. Raises ConfigError."""
    return config_file.load(paths(), pool_profiles.tables_in(places.settings_file(places.environment())))


def load_what_can_be() -> tuple[Configuration, list[str]]:
    """The same, or an empty one and what is wrong: some things must work with a broken file too."""
    try:
        configuration = load()
    except ConfigError as error:
        return Configuration(paths()), [error.message]
    return configuration, [mistake.message for mistake in configuration.sessions()[1]]


def cognito_logins() -> tuple[list[CognitoLogin], list[str]]:
    """Those that ``config.toml`` has, and what is wrong with it: with a broken one there are none."""
    try:
        tables = pool_profiles.tables_in(places.settings_file(places.environment()))()
    except ConfigError as error:
        return [], [error.message]
    return list(tables.by_name.values()), []


def paths() -> ConfigPaths:
    """Where the caller's files are."""
    env = places.environment()
    fields = client.caller(env)
    return ConfigPaths.of(
        {os.fsdecode(name): os.fsdecode(value) for name, value in fields.items()}, os.fsdecode(fields[b"cwd"])
    )
