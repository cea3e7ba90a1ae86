"""Logging out without a daemon: on the files alone, and for no longer than a few seconds at AWS and at the keyring."""

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from credhelper.agent import logout
from credhelper.agent.leases import LeasePlaces
from credhelper.agent.logout import Outcome, Receipt, Sweep
from credhelper.agent.openings import Openings
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.cli import callers_files
from credhelper.domain.errors import ConfigError
from credhelper.local import places, process, recent_file, sealed_files, settings
from credhelper.local.clock import SystemClock
from credhelper.local.keychain import Keychain, KeychainUnavailable, key_name
from credhelper.local.sealed_files import KeyBox
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

REVOKE_DEADLINE = 5.0  # seconds
KEYRING_DEADLINE = 5.0


def log_out(fields: dict[str, str]) -> dict[str, Any]:
    """The receipt of a logout of the chosen session, or of everything. Raises ConfigError for a choice that is none."""
    process.forget_callers_choices(os.environ)  # botocore would look for the profile
    # A broken file keeps nobody from logging out of everything.
    configuration = callers_files.load() if fields else callers_files.load_what_can_be()[0]
    home, state = callers_files.home(), places.state_directory(places.environment())
    vault = places.vault_directory(state)
    sealed_tokens = _sealed_tokens(home, vault)
    sweep = Sweep(
        home,
        configuration,
        lambda key: places.refresh_lock(state, key),
        vault=vault,
        cache=sealed_tokens,
        state=state,
    )
    selected = None
    if "sso_session" in fields:
        selected = configuration.sso_session(fields["sso_session"])
    elif "profile" in fields:
        selected = configuration.session_of(fields["profile"])
    receipt = sweep.one(selected) if selected else sweep.everything()
    _forget_uses(places.recent_file(state), selected.cache_key if selected else None, receipt)
    for doors in places.all_open_doors(state):
        asyncio.run(_end_doors(doors, selected.cache_key if selected else None))
    asyncio.run(_finish(receipt, key_of=home if _is_key_useless(receipt, vault, fields) else None))
    return receipt.document()


def _forget_uses(path: Path, session_key: str | None, receipt: Receipt) -> None:
    """When which role was used goes with the session, as our open doors do: unsaid, unless it cannot be done."""
    try:
        recent_file.forget(path, session_key)
    except OSError as error:
        receipt.left.append((path, error.strerror or type(error).__name__))


async def _end_doors(path: Path, session_key: str | None) -> None:
    """Grants and leases that the next daemon would serve again after a login."""
    openings = Openings(path, SystemClock(), Workers("disk", 1))
    lease_places = LeasePlaces(openings)
    await openings.load()
    await openings.end(session_key)
    await lease_places.stop()
    await openings.stop()


def _sealed_tokens(home: Path, vault: Path) -> SealedTokenCache | None:
    """With token_store = "keyring": what is read to end the sign-ins, as far as the keyring opens."""
    chosen = _settings()
    if chosen.token_store != "keyring" or not _has_files(vault):  # noqa: S105  # a choice, no secret
        return None
    box = KeyBox()
    try:
        box.key = Keychain(chosen.vault_backend, seconds=KEYRING_DEADLINE).key(key_name(home))
    except KeychainUnavailable as error:
        log.debug("sealed tokens are removed unread: %s", error)
    return SealedTokenCache(vault, box)


def _has_files(vault: Path) -> bool:
    try:
        return bool(sealed_files.all_files(vault))
    except OSError as error:  # the sweep says so
        log.debug("the vault %s cannot be listed: %s", vault, error)
        return False


def _is_key_useless(receipt: Receipt, vault: Path, fields: dict[str, str]) -> bool:
    """Whether all that the keyring's key has sealed was to go. What could not be removed is unreadable without it."""
    sealed = (*receipt.removed, *(path for path, _ in receipt.left))
    return not fields and any(path.parent == vault for path in sealed)


async def _finish(receipt: Receipt, key_of: Path | None) -> None:
    """AWS and the keyring are asked at the same time: nobody has to wait for both."""
    clock = SystemClock()
    api, workers = IdentityCenter(clock), Workers("aws", max(1, len(receipt.outcomes)))
    work = [_revoke(api, workers, clock, outcome) for outcome in receipt.outcomes]
    if key_of is not None:
        work.append(_forget_key(key_of))
    await asyncio.gather(*work)


async def _revoke(api: IdentityCenter, workers: Workers, clock: SystemClock, outcome: Outcome) -> None:
    try:
        await workers.run(REVOKE_DEADLINE, partial(logout.revoke, api, outcome, clock.now()))
    except DeadlineExceeded as error:
        outcome.revoked, outcome.error = False, f"the portal gave {error}"


async def _forget_key(home: Path) -> None:
    """Best effort: with nothing left that it has sealed, the key opens nothing."""
    backend = _settings().vault_backend
    if backend == "off":
        return
    keychain = Keychain(backend, seconds=KEYRING_DEADLINE)
    try:
        await Workers("keyring", 1).run(KEYRING_DEADLINE + 1, partial(keychain.delete, key_name(home)))
    except (DeadlineExceeded, KeychainUnavailable) as error:
        log.debug("the keyring still holds a key that opens nothing: %s", error)


def _settings() -> Settings:
    try:
        return settings.load(places.settings_file(places.environment()))
    except ConfigError as error:
        log.debug("the usual settings are used: %s", error)
        return Settings()
