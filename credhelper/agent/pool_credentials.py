"""Credentials from an identity pool: an identity first, then its credentials, by the enhanced or the basic flow.

An identity that Cognito no longer knows is asked for anew, once; for everything else it is kept. A guest whose identity
is refused becomes a new guest. A user never does: what refuses a user's identity is about the login, and nobody is
served as a guest because a login has failed.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from credhelper.agent.cognito_tokens import login_required
from credhelper.agent.identities import Identities, owner_of
from credhelper.agent.sign_ins import Given
from credhelper.aws.cognito import IdentityPools, narrowing
from credhelper.aws.identity_center import Identity
from credhelper.domain.errors import IdentityRefused, Refused, TokenRefused
from credhelper.domain.model import CognitoLogin, CognitoTokens, PoolFlow, PoolRole, RoleCredentials
from credhelper.domain.text import safe
from credhelper.local.identity_ids import Owner

log = logging.getLogger(__name__)

USED_TOO_LATE = frozenset({"ExpiredToken", "ExpiredTokenException"})
"""What STS says of a pool's token after its ten minutes: the machine has slept in between."""

T = TypeVar("T")


class Call(Protocol):
    """Runs a blocking call off the loop, with a deadline; ``place`` is who is asked, for the message."""

    async def __call__(self, call: Callable[[], T], place: str, lane: str) -> T:
        """The call's result. Raises what it does, and Unavailable."""


class PoolCredentials:
    """Lives on the event loop. ``who`` is GetCallerIdentity, signed with the credentials it is asked about."""

    def __init__(
        self,
        pools: IdentityPools,
        who: Callable[[str, RoleCredentials], Identity],
        identities: Identities,
        call: Call,
    ) -> None:
        self.on_new_identity: Callable[[PoolRole, str, str], None] = lambda _, __, ___: None
        """Told where an identity was gone: the role, the old identity's id and the new one's."""
        self.identities = identities
        self._pools = pools
        self._who = who
        self._call = call

    async def fetch(self, role: PoolRole, tokens: CognitoTokens | None) -> Given:
        """New credentials for the role; ``tokens`` are its login's, None for guests.

        Raises LoginRequired where a login's are missing, TokenRefused where the pool does not take them, PoolRefused,
        ConfigError, UpstreamError.
        """
        if isinstance(role.login, CognitoLogin) and tokens is None:
            raise login_required(role.login, "you are not logged in with")
        if role.flow is PoolFlow.BASIC:
            narrowing(role)  # what can be told before a call is
        owner = owner_of(role, tokens)
        identity_id = await self._identity(role, tokens, owner)
        try:
            return await self._fetch_for(role, tokens, owner, identity_id)
        except IdentityRefused as error:
            if owner is not None:
                await self.identities.drop(owner, identity_id)
            if not (role.is_guest or error.is_gone):
                # The next login finds out who the user is now; until then another identity would help nobody.
                raise _about_the_login(role, error) from None
        new = await self._identity(role, tokens, owner)
        self._tell(role, identity_id, new)
        try:
            return await self._fetch_for(role, tokens, owner, new)
        except IdentityRefused as error:
            raise error if role.is_guest else _about_the_login(role, error) from None

    async def stop(self) -> None:
        """Ends every question for an identity."""
        await self.identities.stop()

    async def _identity(self, role: PoolRole, tokens: CognitoTokens | None, owner: Owner | None) -> str:
        async def ask() -> str:
            return await self._ask_cognito(role, lambda: self._pools.get_id(role, tokens))

        # Whom nobody can tell from others is asked for each time: a user's identity stays the same all the same.
        return await ask() if owner is None else await self.identities.of(owner, ask)

    async def _fetch_for(
        self, role: PoolRole, tokens: CognitoTokens | None, owner: Owner | None, identity_id: str
    ) -> Given:
        if role.flow is PoolFlow.BASIC:
            credentials, now = await self._basic(role, tokens, identity_id)
        else:
            found = await self._ask_cognito(role, lambda: self._pools.get_credentials(role, identity_id, tokens))
            credentials, now = found.credentials, found.identity_id
        if owner is not None and now != identity_id:
            await self.identities.note(owner, now)
        account_id, role_name = await self._whose(role, credentials)
        return Given(credentials, account_id, role_name, now)

    async def _basic(
        self, role: PoolRole, tokens: CognitoTokens | None, identity_id: str
    ) -> tuple[RoleCredentials, str]:
        for is_last in (False, True):
            token = await self._ask_cognito(role, lambda: self._pools.get_open_id_token(role, identity_id, tokens))
            try:
                credentials = await self._ask_sts(role, partial(self._pools.assume_role, role, token))
            except Refused as error:
                if is_last or error.reason not in USED_TOO_LATE:
                    raise
                continue
            return credentials, token.identity_id
        raise AssertionError("the second time either returns or raises")

    async def _whose(self, role: PoolRole, credentials: RoleCredentials) -> tuple[str, str]:
        """The account and the role's name. Where the pool has chosen, only the credentials themselves can tell."""
        if role.named_arn is not None:
            return role.account_id, role.role_name
        found = await self._ask_sts(role, lambda: self._who(role.region, credentials))
        return found.account_id, _assumed_role(found.arn)

    async def _ask_cognito(self, role: PoolRole, call: Callable[[], T]) -> T:
        return await self._call(call, f"Cognito in {role.region}", f"cognito {role.region}")

    async def _ask_sts(self, role: PoolRole, call: Callable[[], T]) -> T:
        return await self._call(call, f"STS in {role.region}", f"sts {role.region}")

    def _tell(self, role: PoolRole, old: str, new: str) -> None:
        if old == new:
            return
        log.warning(
            "pool %s no longer knows the identity %s of %s, who is %s there from now on: what is kept under the old"
            " one is no longer within reach",
            *map(safe, (role.pool_id, old, role.session.label, new)),
        )
        self.on_new_identity(role, old, new)


def _about_the_login(role: PoolRole, error: IdentityRefused) -> TokenRefused:
    return TokenRefused(
        f"pool {safe(role.pool_id)} does not give the user of login “{safe(role.session.label)}” their identity",
        reason=error.reason,
    )


def _assumed_role(arn: str) -> str:
    """The role's name in ``arn:PARTITION:sts::ACCOUNT:assumed-role/NAME/SESSION``; "" in any other ARN."""
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    return rest.partition("/")[0] if kind == "assumed-role" else ""
