"""Other programs that log in to Identity Center and write where credhelper does."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from credhelper.doctor.findings import Finding, ok, warning
from credhelper.doctor.scene import Scene

_NAMES = {
    "aws-sso": "aws-sso-cli",
    "aws-sso-util": "aws-sso-util",
    "assume": "granted",
    "granted": "granted",
    "aws-vault": "aws-vault",
    "leapp": "Leapp",
    "aws-sso-creds": "aws-sso-creds",
}
_WRITERS = {"aws-sso-util", "granted", "Leapp"}
"""Those that refresh or replace tokens in ``~/.aws/sso/cache`` by themselves."""

_CLI_VERSION = re.compile(r"/v2/(?P<version>\d+\.\d+\.\d+)/")
_KNOWS_SESSIONS = (2, 9)  # the AWS CLI's first version with [sso-session]
MOST_PROCESSES = 20_000


def others(scene: Scene) -> Iterator[Finding]:
    """``tools.installed``, ``tools.running`` and ``tools.aws_cli``."""
    path = scene.environment.get("PATH")
    installed = sorted({tool for name, tool in _NAMES.items() if shutil.which(name, path=path)})
    if installed:
        yield ok(
            "tools.installed", f"also installed: {', '.join(installed)}; their logins count here where they are shared"
        )
    yield from _aws_cli(scene, path)
    for pid, tool in _running(scene):
        yield warning(
            "tools.running",
            f"{tool} is running (pid {pid}) and may renew the same tokens; each renewal ends the other's refresh token",
            f"kill {pid}   # unless you want both",
        )


def _aws_cli(scene: Scene, path: str | None) -> Iterator[Finding]:
    program = shutil.which("aws", path=path)
    found = _CLI_VERSION.search(os.path.realpath(program)) if program else None
    if found is None:
        return
    version = found["version"]
    has_sessions = bool(scene.configuration().sso_sessions)
    if has_sessions and tuple(map(int, version.split(".")[:2])) < _KNOWS_SESSIONS:
        yield warning(
            "tools.aws_cli", f"the AWS CLI {version} does not know [sso-session]", "install the AWS CLI 2.9 or newer"
        )
    else:
        yield ok("tools.aws_cli", f"the AWS CLI is {version}; it shares tokens with credhelper")


def _running(scene: Scene) -> Iterator[tuple[int, str]]:
    """Programs of this user's that write the cache: (pid, name). Linux; elsewhere none."""
    try:
        numbers = [name for name in os.listdir(scene.process_directory) if name.isdecimal()][:MOST_PROCESSES]
    except OSError:
        return
    for number in numbers:
        tool = _tool(scene.process_directory / number, scene.uid)
        if tool in _WRITERS:
            yield int(number), tool


def _tool(process: Path, uid: int) -> str:
    try:
        if process.stat().st_uid != uid:
            return ""
        name = (process / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""  # it has ended
    return _NAMES.get(name.lower(), "")
