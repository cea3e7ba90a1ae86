"""What an assumed role's session is called where nobody has said: by the person's name, for AWS's logs to tell it."""

import re
from collections.abc import Awaitable, Callable

from credhelper.agent.flights import Flights
from credhelper.aws.identity_center import Identity
from credhelper.domain.errors import Refused
from credhelper.domain.model import AnyRole, ChainedRole

UNKNOWN = "credhelper"
NO_GOOD = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"})
"""What AWS says of credentials that it honours no more."""

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_+=,.@-]")  # AssumeRole's RoleSessionName
_LONGEST = 64

Ask = Callable[[], Awaitable[Identity]]


class SessionNames:
    """Asks AWS once for each login who it is. Lives on the event loop."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}
        """By session: the login it is about, and the name."""
        self._asking: Flights[tuple[str, int], str] = Flights()

    async def of(self, role: ChainedRole, login: int, ask: Ask) -> str:
        """The name for a session of ``role``: its own, else its source's, down to the person's of that login.

        ``ask`` calls GetCallerIdentity with the source's credentials. Raises UpstreamError.
        """
        named = _named(role)
        if named is not None:
            return named
        key = role.session.cache_key
        known = self._known.get(key)
        if known is None or known[0] != login:
            known = login, await self._asking.join((key, login), lambda: _person(ask))
            self._known[key] = known
        return known[1]

    async def stop(self) -> None:
        """Ends every question."""
        await self._asking.cancel_all()


def _named(role: AnyRole) -> str | None:
    if not isinstance(role, ChainedRole):
        return None
    return role.role_session_name or _named(role.source)


async def _person(ask: Ask) -> str:
    """The session's name behind the source's credentials: Identity Center calls it by the person."""
    try:
        identity = await ask()
    except Refused as error:
        if error.reason in NO_GOOD:
            raise
        return UNKNOWN  # a policy may forbid to ask
    name = _NOT_IN_A_NAME.sub("-", identity.arn.rpartition("/")[2])[:_LONGEST]
    return name if len(name) > 1 else UNKNOWN
