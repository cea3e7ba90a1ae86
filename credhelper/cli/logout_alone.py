"""Logging out without a daemon: on the files alone, and for no longer than a few seconds at AWS and at the keyring."""

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from credhelper.agent import cognito_logout, logout
from credhelper.agent.cognito_logout import SealedLogins, Wish
from credhelper.agent.cognito_refresh import Sources
from credhelper.agent.cognito_store import CognitoStore
from credhelper.agent.leases import LeasePlaces
from credhelper.agent.logout import Outcome, Receipt, Sweep
from credhelper.agent.openings import Openings
from credhelper.agent.removals import Removals
from credhelper.aws.config_file import Configuration
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.oidc import Oidc
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.aws.user_pools import UserPools
from credhelper.cli import callers_files
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin, Guests, SignInSource, SsoSession
from credhelper.local import identity_ids, places, process, recent_file, sealed_files, settings
from credhelper.local.clock import SystemClock
from credhelper.local.keychain import Keychain, KeychainUnavailable, key_name
from credhelper.local.sealed_files import KeyBox
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

REVOKE_DEADLINE = 5.0  # seconds
KEYRING_DEADLINE = 5.0


def log_out(fields: dict[str, str], wishes: dict[str, str]) -> dict[str, Any]:
    """The receipt of a logout of the chosen session or Cognito login, or of everything.

    ``wishes`` are what it is to do besides, see ``Wish``. Raises ConfigError for a choice that is none.
    """
    process.forget_callers_choices(os.environ)  # botocore would look for the profile
    # A broken file keeps nobody from logging out of everything.
    configuration = callers_files.load() if fields else callers_files.load_what_can_be()[0]
    home, state = callers_files.home(), places.state_directory(places.environment())
    vault = places.vault_directory(state)
    selected, wish = _selected(configuration, fields), Wish.of(wishes)
    logins = [selected] if isinstance(selected, CognitoLogin) else callers_files.cognito_logins()[0]
    box, clock = _key_box(home, vault, is_of_cognito=bool(logins)), SystemClock()
    api = IdentityCenter(clock)
    sources = _sources(api, clock, CognitoStore(vault, box), state)
    sweep = Sweep(
        home,
        configuration,
        lambda key: places.refresh_lock(state, key),
        vault=vault,
        cache=SealedTokenCache(vault, box) if _settings().token_store == "keyring" else None,  # noqa: S105
        logins=SealedLogins(sources, is_everywhere=wish.is_everywhere),
        state=state,
    )
    receipt = _sweep(sweep, selected, logins)
    if wish.forgets_identity:
        _forget_identities(state, selected, _pool_meant(configuration, fields), receipt)
    if wish.forgets_identity and isinstance(selected, Guests):
        _forget_what_guests_had(vault, selected, receipt)
    if not isinstance(selected, Guests):
        _forget_uses(places.recent_file(state), selected.cache_key if selected else None, receipt)
    if wish.forgets_identity or not isinstance(selected, Guests):  # who stay served
        for doors in places.all_open_doors(state):
            asyncio.run(_end_doors(doors, selected.cache_key if selected else None))
    asyncio.run(_finish(api, receipt, key_of=home if _is_key_useless(receipt, vault, fields) else None))
    document = receipt.document()
    if wish.has_page:
        meant = logins if selected is None or isinstance(selected, CognitoLogin) else []
        document["browser"] = asyncio.run(cognito_logout.pages(Workers("pages", 8), sources.oidc, meant))
    return document


def _selected(configuration: Configuration, fields: dict[str, str]) -> SignInSource | None:
    if "sso_session" in fields:
        return configuration.sso_session(fields["sso_session"])
    if "cognito_login" in fields:
        return configuration.cognito_login(fields["cognito_login"])
    return configuration.sign_in_of(fields["profile"]) if "profile" in fields else None


def _sweep(sweep: Sweep, selected: SignInSource | None, logins: list[CognitoLogin]) -> Receipt:
    match selected:
        case None:
            return sweep.everything(logins=dict.fromkeys(logins))
        case SsoSession():
            return sweep.one(selected)
        case CognitoLogin():
            return sweep.one_login(selected)
        case Guests():
            return Receipt()  # they have no login


def _sources(api: IdentityCenter, clock: SystemClock, store: CognitoStore, state: Path) -> Sources:
    lock_path = partial(places.refresh_lock, state)
    return Sources(UserPools(api.transport, clock), Oidc(api.transport), store, lock_path, clock)


def _pool_meant(configuration: Configuration, fields: dict[str, str]) -> str | None:
    """The pool of the profile that is chosen; None: all pools."""
    return cognito_logout.pool_behind(configuration.role_of(fields["profile"])) if "profile" in fields else None


def _forget_identities(state: Path, selected: SignInSource | None, pool_id: str | None, receipt: Receipt) -> None:
    try:
        receipt.removed += identity_ids.forget(state, selected.cache_key if selected else None, pool_id)
    except OSError as error:
        receipt.left.append((state, f"identities of identity pools: {error.strerror or type(error).__name__}"))


def _forget_what_guests_had(vault: Path, guests: Guests, receipt: Receipt) -> None:
    """Credentials of the identity that is forgotten: the next daemon would serve them again."""
    files = Removals()
    try:
        for path in sealed_files.files_of(vault, guests.cache_key):
            files.remove(path)
    except OSError as error:
        files.leave_directory(vault, error)
    receipt.removed += files.removed
    receipt.left += files.left


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


def _key_box(home: Path, vault: Path, *, is_of_cognito: bool) -> KeyBox:
    """What is read to end the sign-ins, as far as the keyring opens: tokens of Cognito, and all others with

    token_store = "keyring".
    """
    chosen, box = _settings(), KeyBox()
    if not (is_of_cognito or chosen.token_store == "keyring") or not _has_files(vault):  # noqa: S105
        return box
    if chosen.vault_backend == "off":
        return box
    try:
        box.key = Keychain(chosen.vault_backend, seconds=KEYRING_DEADLINE).key(key_name(home))
    except KeychainUnavailable as error:
        log.debug("sealed tokens are removed unread: %s", error)
    return box


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


async def _finish(api: IdentityCenter, receipt: Receipt, key_of: Path | None) -> None:
    """AWS and the keyring are asked at the same time: nobody has to wait for both."""
    clock, workers = SystemClock(), Workers("aws", max(1, len(receipt.outcomes)))
    work = [_revoke(api, workers, clock, outcome) for outcome in receipt.outcomes]
    if key_of is not None:
        work.append(_forget_key(key_of))
    await asyncio.gather(*work)


async def _revoke(api: IdentityCenter, workers: Workers, clock: SystemClock, outcome: Outcome) -> None:
    try:
        await workers.run(REVOKE_DEADLINE, partial(logout.revoke, api, outcome, clock.now()))
    except DeadlineExceeded as error:
        outcome.revoked, outcome.error = False, f"{outcome.place} gave {error}"


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
