"""Profiles of identity pools and the logins that they name: whether each is complete, and can be used here."""

import os
import shlex
import shutil
from collections.abc import Iterator

from credhelper.aws import pool_profiles
from credhelper.doctor import config
from credhelper.doctor.findings import Finding, listed, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin
from credhelper.local import places, settings
from credhelper.local.settings import Settings


def profiles(scene: Scene) -> Iterator[Finding]:
    """``pool.complete`` and ``pool.incomplete``: whether each Cognito profile stands for a role."""
    configuration = scene.configuration()
    fine = []
    for name, keys in configuration.profiles.items():
        if not pool_profiles.is_one(keys):
            continue
        try:
            configuration.role_of(name)
            configuration.region_of(name)
        except ConfigError as error:
            edit = f"$EDITOR {shlex.quote(str(scene.paths.config))}   # {config.section_of(name)}"
            yield problem("pool.incomplete", error.message, error.hint or edit)
        else:
            fine.append(name)
    if fine:
        yield ok("pool.complete", f"{len(fine)} identity pool profile(s): {listed(fine)}")


def logins(scene: Scene) -> Iterator[Finding]:
    """``login.table``, ``login.command`` and ``login.memory``: of the ``[cognito_login.NAME]`` tables."""
    try:
        path = places.settings_file(scene.env)
        chosen = settings.load(path)
    except ConfigError:  # another check says so
        return
    edit = f"$EDITOR {shlex.quote(str(path))}; credhelper daemon reload"
    for login in chosen.cognito_login:
        yield from _commands(login, edit)
    names = [login.name for login in chosen.cognito_login]
    if not names:
        return
    yield ok("login.table", f"[cognito_login] tables: {listed(names)}")
    yield from _memory(chosen, path, names)


def _commands(login: CognitoLogin, edit: str) -> Iterator[Finding]:
    """Programs that a login needs; what the daemon finds on its own PATH may be another one."""
    for key in ("token_command", "client_secret_command"):
        words = getattr(login, key)
        if not words:
            continue
        program = os.path.expanduser(words[0])
        if shutil.which(program) is None:
            yield problem("login.command", f"[cognito_login.{login.name}] {key}: {program} cannot be found", edit)
        elif not os.path.isabs(program):
            yield warning(
                "login.command",
                f"[cognito_login.{login.name}] {key}: {program} is found by PATH only, and the daemon may have another",
                edit,
            )


def _memory(chosen: Settings, path: os.PathLike[str], names: list[str]) -> Iterator[Finding]:
    if chosen.vault_backend == "off":
        yield warning(
            "login.memory",
            f"without a vault the tokens of {listed(names)} live in the daemon's memory: its end is the login's end",
            f'$EDITOR {shlex.quote(str(path))}   # [vault] backend = "auto"; then: credhelper daemon restart',
        )
