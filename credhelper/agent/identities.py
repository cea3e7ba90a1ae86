"""Who one is in each identity pool: known once, asked for once, and forgotten on demand only.

The file is the truth, and read whenever AWS is to be asked: another daemon may have changed it. Memory only stands in
for a disk that cannot be written.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from credhelper.agent.flights import Flights
from credhelper.domain.model import CognitoTokens, PoolRole
from credhelper.domain.text import safe
from credhelper.identity_pools import pools
from credhelper.local import identity_ids
from credhelper.local.identity_ids import GUEST, Owner
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

DISK_DEADLINE = 2.0  # seconds; a caller waits for it

Ask = Callable[[], Awaitable[str]]


def owner_of(role: PoolRole, tokens: CognitoTokens | None) -> Owner | None:
    """Whose identity the role is given to; None for a token that does not say who the user is."""
    if role.is_guest:
        return Owner(role.pool_id, GUEST, role.session.cache_key)
    if tokens is None or not tokens.subject:
        return None
    who = "\0".join((tokens.provider, tokens.issuer, tokens.subject))
    return Owner(role.pool_id, hashlib.sha256(who.encode()).hexdigest(), role.session.cache_key)


class Identities:
    """Lives on the event loop."""

    def __init__(self, state_directory: Path, disk: Workers) -> None:
        self._state = state_directory
        self._disk = disk
        self._unsaved: dict[Owner, str] = {}
        """What could not be written."""
        self._asking: Flights[Owner, str] = Flights()
        self._changing = asyncio.Lock()
        self._forgettings = 0

    async def known(self, owner: Owner) -> str | None:
        """The owner's identity id, if it is known. Asks nobody."""
        if owner in self._unsaved:
            return self._unsaved[owner]
        try:
            found = await self._disk.run(DISK_DEADLINE, partial(identity_ids.load, self._state, owner))
        except DeadlineExceeded as error:
            log.warning("the identity in pool %s is asked for anew: the disk gave %s", safe(owner.pool_id), error)
            return None
        return found if found is not None and pools.is_id(found) else None

    async def of(self, owner: Owner, ask: Ask) -> str:
        """The owner's identity id: what is known, else what one ``ask`` brings for everybody who waits.

        Raises what ``ask`` does.
        """
        return await self._asking.join(owner, lambda: self._known_or_asked(owner, ask))

    async def note(self, owner: Owner, identity_id: str) -> None:
        """From now on it is this one. Never raises."""
        await self._save(owner, identity_id, self._forgettings)

    async def drop(self, owner: Owner, identity_id: str) -> None:
        """AWS does not take this one any more: it is no longer known. Never raises."""
        async with self._changing:
            if self._unsaved.get(owner) == identity_id:
                del self._unsaved[owner]
            try:
                await self._disk.run(DISK_DEADLINE, partial(identity_ids.drop, self._state, owner, identity_id))
            except (OSError, DeadlineExceeded) as error:
                log.warning("an identity of pool %s could not be forgotten: %s", safe(owner.pool_id), error)

    async def forget(self, login_key: str | None, pool_id: str | None = None) -> list[Path]:
        """Forgets those of a login and of a pool, each where it is named; the files that went.

        Raises OSError, DeadlineExceeded where they could not be removed.
        """
        self._forgettings += 1  # what is being asked for now is not written any more
        async with self._changing:
            self._unsaved = {
                owner: identity_id
                for owner, identity_id in self._unsaved.items()
                if login_key not in {None, owner.login_key} or pool_id not in {None, owner.pool_id}
            }
            work = partial(identity_ids.forget, self._state, login_key, pool_id)
            return await self._disk.run(DISK_DEADLINE, work)

    async def stop(self) -> None:
        """Ends every question."""
        await self._asking.cancel_all()

    async def _known_or_asked(self, owner: Owner, ask: Ask) -> str:
        known = await self.known(owner)
        if known is not None:
            return known
        before = self._forgettings
        identity_id = await ask()
        await self._save(owner, identity_id, before)
        return identity_id

    async def _save(self, owner: Owner, identity_id: str, forgettings: int) -> None:
        async with self._changing:
            if forgettings != self._forgettings:
                return
            self._unsaved[owner] = identity_id  # until it is written
            try:
                await self._disk.run(DISK_DEADLINE, partial(identity_ids.save, self._state, owner, identity_id))
            except (OSError, DeadlineExceeded) as error:
                log.warning("the identity in pool %s is only in memory: %s", safe(owner.pool_id), error)
                return
            del self._unsaved[owner]
