"""What a daemon must have of the environment of the shell that installs it, and a service manager does not give it.

A daemon's endpoints, proxies and places are fixed at its start. A person sets them in a shell, which a service manager
never sees: they are taken from there once, when the service is installed. A proxy's address may hold a password, so the
values go into a file of the user's own, and are masked wherever they are shown.
"""

import os
import re
from collections.abc import Mapping

from credhelper.domain.errors import ConfigError
from credhelper.local.service.files import MARK

NAMES = (
    "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "CREDHELPER_CONFIG",
    "CREDHELPER_SOCKET",
    "XDG_STATE_HOME",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
)
PREFIX = "AWS_ENDPOINT_URL"
FILES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CREDHELPER_CONFIG")
"""Those that name a file to read."""

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_USER_INFORMATION = re.compile(r"^([a-z0-9+.-]+://)?.*@", re.IGNORECASE | re.DOTALL)
_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="(.*)"')


def captured(shell: Mapping[str, str], managers: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables that the service manager does not have alike, by name. Raises ConfigError.

    Empty ones count as unset; those that may name a file are made absolute.
    """
    wanted = {name: shell[name] for name in sorted(shell) if _is_ours(name) and shell[name]}
    for name, value in wanted.items():
        if _UNWRITABLE.search(value):
            raise ConfigError(f"{name} is set to something that is not one line of text", hint=f"unset {name}")
        if name in FILES:
            wanted[name] = os.path.abspath(value)  # the shell's directory is not the daemon's
    return {name: value for name, value in wanted.items() if managers.get(name) != value}


def _is_ours(name: str) -> bool:
    return name in NAMES or name == PREFIX or name.startswith(PREFIX + "_")


def without(shell: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables but those that would be captured."""
    return {name: value for name, value in shell.items() if not _is_ours(name)}


def as_file(variables: Mapping[str, str]) -> str:
    """The variables as systemd's EnvironmentFile= reads them."""
    escaped = {name: re.sub(r'(["\\$`])', r"\\\1", value) for name, value in variables.items()}
    return "".join(f'{name}="{value}"\n' for name, value in escaped.items())


def from_file(content: bytes) -> dict[str, str]:
    """The variables in what ``as_file`` wrote; lines that it did not write are passed over."""
    found = (_LINE.fullmatch(line) for line in content.decode(errors="replace").splitlines())
    return {line[1]: re.sub(r"\\(.)", r"\1", line[2]) for line in found if line}


def masked(value: str) -> str:
    """The value with ``***`` for a name and a password before an ``@``."""
    return _USER_INFORMATION.sub(r"\1***@", value)


def shown(content: bytes) -> str:
    """A file of variables as a person may see it."""
    lines = [f"{name}={masked(value)}" for name, value in from_file(content).items()]
    return "\n".join([f"# {MARK}", *lines]) if content else ""
