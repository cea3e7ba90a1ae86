"""What credentials are got with: one face for a session's token, a user pool's tokens, and guests who need neither.

``SignIns`` is what role credentials, the vault and the gate want of any way to sign in; ``AllSignIns`` picks by the
kind of source. ``GuestSignIns`` is the simplest of them.
"""

from typing import Any, NamedTuple, Protocol, TypeVar

from credhelper.domain.errors import CredhelperError
from credhelper.domain.model import (
    CognitoLogin,
    CognitoTokens,
    Guests,
    PoolRole,
    RoleCredentials,
    SignInSource,
    SsoSession,
    Token,
)

S_contra = TypeVar("S_contra", bound=SignInSource, contravariant=True)
T = TypeVar("T")


class SignIns(Protocol[S_contra, T]):
    """All sign-ins of one kind. Lives on the event loop; only ``current`` and ``refused`` wait for anything."""

    def look(self, session: S_contra) -> T | None:
        """What there is now, whatever its age; None when nobody is logged in. Costs no more than a look at a file."""

    def epoch(self, session: S_contra) -> int:
        """A number that changes whenever role credentials obtained before must no longer be used."""

    def version(self, session: S_contra) -> int:
        """A number that changes with every change of the tokens, a refresh included."""

    def is_in_force(self, session: S_contra) -> bool:
        """Whether this is what a source of its name means by the configuration of today."""

    def is_good(self, session: S_contra) -> bool:
        """Whether a login would be superfluous: what there is, is unexpired and not known to be refused."""

    def is_over(self, session: S_contra) -> bool:
        """Whether only a login can bring it back: AWS need not be asked for anything."""

    def expired_for(self, session: S_contra) -> float:
        """Seconds until an expired token that could not be refreshed is tried again; 0 when there is no such pause."""

    def remembers(self, session: S_contra, error: CredhelperError) -> bool:
        """Whether ``error`` is how the last refresh failed, which ``current`` raises from memory while that counts."""

    def sign_in(self, session: S_contra) -> tuple[str, str] | None:
        """The name of the present login and the hash of its token, for the vault; None without one."""

    def resume_sign_in(self, session: S_contra, name: str, token_hash: str) -> bool:
        """After a restart: whether the present login is the one that was called ``name``, which it then is again."""

    async def current(self, session: S_contra) -> T:
        """What has not expired, refreshed first when it is time and it can be. Raises LoginRequired, UpstreamError."""

    async def refused(self, session: S_contra, token: T, *, may_refresh: bool) -> None:
        """Notes that AWS refused ``token``, unless another one has come, perhaps by one refresh.

        Raises UpstreamError when whether it can be refreshed cannot be found out now.
        """

    def refresh_behind(self, session: S_contra) -> None:
        """Starts a refresh that is due, without anybody waiting for it. On the warm path."""


class Given(NamedTuple):
    """Credentials, with the account and the role that they turned out to be of."""

    credentials: RoleCredentials
    account_id: str
    role_name: str
    identity_id: str | None = None
    """Of an identity pool: whose credentials they are."""


class PoolSource(Protocol):
    """Whoever gets credentials from identity pools; see ``pool_credentials.py``."""

    async def fetch(self, role: PoolRole, tokens: CognitoTokens | None) -> Given:
        """The role's credentials with its account and name; ``tokens`` is None for guests.

        Raises TokenRefused where AWS no longer takes these very tokens, and whatever ``RoleCredentialsCache.get`` may
        raise.
        """


class GuestSignIns:
    """Guests: always there. What ends them is that their identity is forgotten."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}

    def end(self, session: Guests) -> None:
        """From now on credentials obtained before no longer count: the identity that they are of is forgotten."""
        self._epochs[session.cache_key] = self.epoch(session) + 1

    def look(self, session: Guests) -> Guests | None:
        """Themselves: there is no token."""
        return session

    def epoch(self, session: Guests) -> int:
        """Changes with ``end``."""
        return self._epochs.get(session.cache_key, 0)

    def version(self, session: Guests) -> int:
        """As ``epoch``."""
        return self.epoch(session)

    def is_in_force(self, _: Guests) -> bool:
        """A pool's guests are the same ones whatever the configuration says."""
        return True

    def is_good(self, _: Guests) -> bool:
        """There is nothing to log in to."""
        return True

    def is_over(self, _: Guests) -> bool:
        """Never."""
        return False

    def expired_for(self, _: Guests) -> float:
        """Nothing expires."""
        return 0.0

    def remembers(self, _: Guests, __: CredhelperError) -> bool:
        """Nothing is refreshed."""
        return False

    def sign_in(self, _: Guests) -> tuple[str, str] | None:
        """One and the same for ever: a vault's files go when an identity is forgotten."""
        return "guests", ""

    def resume_sign_in(self, _: Guests, name: str, token_hash: str) -> bool:
        """Whether the vault speaks of guests."""
        return (name, token_hash) == ("guests", "")

    async def current(self, session: Guests) -> Guests:
        """Themselves."""
        return session

    async def refused(self, _: Guests, __: Guests, *, may_refresh: bool) -> None:
        """There is no token that AWS could refuse."""

    def refresh_behind(self, _: Guests) -> None:
        """Nothing is due."""


class AllSignIns:
    """Every kind's, each asked for its own sources; itself ``SignIns`` of any source."""

    def __init__(
        self, sessions: SignIns[SsoSession, Token], logins: SignIns[CognitoLogin, CognitoTokens], guests: GuestSignIns
    ) -> None:
        self._by_kind: dict[type, SignIns[Any, Any]] = {SsoSession: sessions, CognitoLogin: logins, Guests: guests}

    def look(self, session: SignInSource) -> object | None:
        """See ``SignIns``, as for all that follow."""
        return self._by_kind[type(session)].look(session)

    def epoch(self, session: SignInSource) -> int:
        """See ``SignIns``."""
        return self._by_kind[type(session)].epoch(session)

    def version(self, session: SignInSource) -> int:
        """See ``SignIns``."""
        return self._by_kind[type(session)].version(session)

    def is_in_force(self, session: SignInSource) -> bool:
        """See ``SignIns``."""
        return self._by_kind[type(session)].is_in_force(session)

    def is_good(self, session: SignInSource) -> bool:
        """See ``SignIns``."""
        return self._by_kind[type(session)].is_good(session)

    def is_over(self, session: SignInSource) -> bool:
        """See ``SignIns``."""
        return self._by_kind[type(session)].is_over(session)

    def expired_for(self, session: SignInSource) -> float:
        """See ``SignIns``."""
        return self._by_kind[type(session)].expired_for(session)

    def remembers(self, session: SignInSource, error: CredhelperError) -> bool:
        """See ``SignIns``."""
        return self._by_kind[type(session)].remembers(session, error)

    def sign_in(self, session: SignInSource) -> tuple[str, str] | None:
        """See ``SignIns``."""
        return self._by_kind[type(session)].sign_in(session)

    def resume_sign_in(self, session: SignInSource, name: str, token_hash: str) -> bool:
        """See ``SignIns``."""
        return self._by_kind[type(session)].resume_sign_in(session, name, token_hash)

    async def current(self, session: SignInSource) -> Any:
        """See ``SignIns``: what a fetch for this kind of source takes."""
        return await self._by_kind[type(session)].current(session)

    async def refused(self, session: SignInSource, token: Any, *, may_refresh: bool) -> None:
        """See ``SignIns``."""
        await self._by_kind[type(session)].refused(session, token, may_refresh=may_refresh)

    def refresh_behind(self, session: SignInSource) -> None:
        """See ``SignIns``."""
        self._by_kind[type(session)].refresh_behind(session)
