"""Brings the vault and what is in memory together: takes back after a start what still holds, then keeps what comes."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from credhelper.agent.role_credentials import Entry, RoleCredentialsCache
from credhelper.agent.sign_ins import Given, SignIns
from credhelper.agent.vault import Kept, SignIn, Vault
from credhelper.aws.server_time import ServerTime
from credhelper.domain.model import AnyRole, Guests, SignInSource


class Keeper:
    """Lives on the event loop; nobody waits for it."""

    def __init__(
        self,
        vault: Vault,
        tokens: SignIns[SignInSource, Any],
        known: Callable[[], Iterable[SignInSource]],
        roles: RoleCredentialsCache,
        server_time: ServerTime,
    ) -> None:
        """``known``: everything that may be signed in to by now."""
        self._vault = vault
        self._tokens = tokens
        self._known = known
        self._roles = roles
        self._server_time = server_time
        self._opened = asyncio.Event()
        """What a daemon before us kept must be read before anything of ours is written over it."""

    async def open(self) -> None:
        """Takes back what a daemon before us kept; from then on keeps what this one obtains. Never raises."""
        await self._vault.open()
        sign_ins, kept = await self._vault.load()
        self._restore(sign_ins, kept)
        self._opened.set()
        for session in self._known():
            self.keep_sign_in(session)
        for role, entry, _ in self._roles.entries():
            self.keep(role, entry)

    async def opens_within(self, seconds: float) -> bool:
        """Waits so long for what a daemon before us kept; False at once where nothing more of that can come."""
        if self._vault.is_switched_off or self._opened.is_set():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._opened.wait()
        return self._opened.is_set()

    def keep_sign_in(self, session: SignInSource) -> None:
        """Notes which login the session's role credentials come from."""
        sign_in = self._tokens.sign_in(session)
        if sign_in is not None and self._opened.is_set():
            self._vault.keep_sign_in(session, SignIn(*sign_in))

    def keep(self, role: AnyRole, entry: Entry) -> None:
        """Keeps a role's credentials."""
        if isinstance(role.session, Guests):  # nobody logs in, and nothing else would have it kept
            self.keep_sign_in(role.session)
        sign_in = self._tokens.sign_in(role.session)
        if sign_in is not None and self._opened.is_set():
            skew = self._server_time.skew or timedelta()
            whose = entry.account_id, entry.role_name, entry.identity_id
            self._vault.keep(Kept(role, entry.credentials, sign_in[0], entry.last_used_at, skew, *whose))

    def _restore(self, sign_ins: Mapping[str, SignIn], kept: list[Kept]) -> None:
        """Only what belongs to a login that is still the present one; the rest goes."""
        for one in kept:
            session = one.role.session
            sign_in = sign_ins.get(session.cache_key)
            is_present = (
                sign_in is not None
                and sign_in.id == one.sign_in
                and self._tokens.resume_sign_in(session, sign_in.id, sign_in.access_token_hash)
            )
            whose = one.account_id or one.role.account_id, one.role_name or one.role.role_name, one.identity_id
            given = Given(one.credentials, *whose)
            if not is_present or not self._roles.restore(one.role, given, last_used_at=one.last_used_at, skew=one.skew):
                self._vault.drop(one.role)
