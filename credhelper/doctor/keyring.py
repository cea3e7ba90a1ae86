"""The keyring that holds the key to what is sealed on this disk."""

import shlex
from collections.abc import Iterator

from credhelper.doctor.findings import Finding, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError
from credhelper.local import places, settings
from credhelper.local.keychain import Keychain, KeychainUnavailable, key_name
from credhelper.local.settings import Settings

RESTART = "credhelper daemon restart"
LOOK_SECONDS = 2.5


def answers(scene: Scene) -> Iterator[Finding]:
    """``keyring.answers`` and ``keyring.off``: by the daemon's word, or a look of our own that makes no key."""
    try:
        chosen = settings.load(places.settings_file(scene.env))
    except ConfigError:
        chosen = Settings()  # another check says what is wrong
    if chosen.vault_backend == "off":
        yield ok("keyring.off", "switched off by [vault] backend: role credentials live in the daemon's memory")
        return
    daemon = scene.daemon()
    if daemon.status:
        trouble = daemon.status.get("vault_error")
    elif daemon.is_running:
        return  # it does not tell
    else:
        trouble = _look(scene, chosen.vault_backend)
    if trouble is None:
        yield ok("keyring.answers", "the keyring answers: role credentials survive a restart, sealed")
    elif chosen.token_store == "keyring":  # noqa: S105  # a choice, no secret
        yield problem(
            "keyring.answers", f"tokens cannot be stored without the keyring: {trouble}", _remedy(scene, trouble)
        )
    else:
        told = f"role credentials live in the daemon's memory only: {trouble}"
        yield warning("keyring.answers", told, _remedy(scene, trouble))


def _remedy(scene: Scene, trouble: str) -> str:
    if "there is no keyring" not in trouble:
        return f"{RESTART}   # after the desktop's keyring was unlocked"
    path = places.settings_file(scene.env)
    return f'$EDITOR {shlex.quote(str(path))}   # to do without one: [vault] backend = "off"; then: {RESTART}'


def _look(scene: Scene, backend: str) -> str | None:
    seconds = min(LOOK_SECONDS, scene.seconds_left() - 0.3)
    try:
        Keychain(backend, max(0.1, seconds), scene.environment).look(key_name(scene.home))
    except KeychainUnavailable as error:
        return str(error)
    return None
