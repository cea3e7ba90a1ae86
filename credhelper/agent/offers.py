"""What a person may choose from: the roles and sessions of their configuration, and the roles that were once listed.

For the lists of ``cli/picking`` and for completion. From memory and files only: whoever waits for a list, or for TAB,
does not wait for AWS. The last used come first.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from credhelper.agent.configurations import Configurations
from credhelper.agent.recent import Recent
from credhelper.agent.status import optional_timestamp
from credhelper.aws.config_file import Configuration
from credhelper.domain.accounts import ListedAccount, Listing
from credhelper.domain.errors import ConfigError, UsageError
from credhelper.domain.model import (
    AnyRole,
    CognitoLogin,
    PoolRole,
    Role,
    SsoSession,
    cognito_login_name,
    sso_session_name,
)
from credhelper.domain.text import safe

ROLE, SESSION = "role", "session"
"""What the field ``only`` may say is to be chosen; without it everything is told."""

Json = dict[str, Any]
Fields = Mapping[str, str]
Known = Mapping[SsoSession, Sequence[ListedAccount]]
T = TypeVar("T")


class Offers:
    """Lives on the event loop."""

    def __init__(
        self,
        configurations: Configurations,
        recent: Recent,
        names: Callable[[SsoSession], Awaitable[Listing | None]],
        state_of: Callable[[SsoSession | CognitoLogin], str],
    ) -> None:
        """``names``: what was last listed of a session, however long ago."""
        self._configurations = configurations
        self._recent = recent
        self._names = names
        self._state_of = state_of

    async def document(self, fields: Fields) -> Json:
        """What may be chosen from, and ``default``: whether ``[default]`` chooses already.

        With the field ``only`` (``role`` or ``session``) of that kind, and nothing where ``[default]`` chooses it.
        Raises DaemonUnreachable, UsageError; a broken file offers nothing.
        """
        configuration, _ = self._configurations.and_mistakes(fields)
        only = fields.get("only", "")
        if only not in {"", ROLE, SESSION}:
            raise UsageError(f"“{safe(only)}” is nothing that can be chosen")
        found: Json = {"default": _is_chosen_by_default(configuration, only), "profiles": [], "roles": []}
        if only and found["default"]:
            return found | {"sessions": [], "logins": []}
        await self._recent.read()
        sessions = configuration.sessions()[0]
        if only != SESSION:
            known = {session: await self._accounts(session) for session in sessions}
            roles = configuration.roles()
            found["profiles"] = self._of_profiles(roles, known)
            found["roles"] = self._without_profile(roles, known)
        return found | {"sessions": self._of_sessions(configuration, sessions), "logins": self._of_logins()}

    async def _accounts(self, session: SsoSession) -> list[ListedAccount]:
        listing = await self._names(session)
        return [] if listing is None else listing["accounts"]

    def _of_profiles(self, roles: Mapping[str, AnyRole], known: Known) -> list[Json]:
        names = {  # an account is the same one through whatever session
            account["account_id"]: account["account_name"] for accounts in known.values() for account in accounts
        }
        used = {profile: self._recent.last_use(role, profile) for profile, role in roles.items()}
        return [
            _role(profile, role, names.get(role.account_id), used[profile])
            for profile, role in _latest_first(sorted(roles.items(), key=_folded), lambda item: used[item[0]])
        ]

    def _without_profile(self, roles: Mapping[str, AnyRole], known: Known) -> list[Json]:
        """Only of sessions with a name: without one, nothing but a profile names a role."""
        have = {_key(role) for role in roles.values() if isinstance(role, Role)}
        found = [
            (account["account_name"], role)
            for session, accounts in known.items()
            if session.name is not None
            for account in accounts
            for role in (Role(session, account["account_id"], name) for name in account.get("roles", ()))
            if _key(role) not in have
        ]
        found.sort(key=lambda each: (each[0].casefold(), each[1].account_id, each[1].role_name.casefold()))
        used = {role: self._recent.last_use(role, None) for _, role in found}
        return [_role(None, role, name, used[role]) for name, role in _latest_first(found, lambda each: used[each[1]])]

    def _of_logins(self) -> list[Json]:
        """The ``[cognito_login.NAME]`` tables."""
        used = self._recent.last_uses_of_sessions()
        logins = self._configurations.tables.by_name.values()
        return [
            {"name": login.name, "provider": login.provider, "state": self._state_of(login)}
            for login in _latest_first(logins, lambda login: used.get(login.cache_key))
        ]

    def _of_sessions(self, configuration: Configuration, sessions: Sequence[SsoSession]) -> list[Json]:
        used = self._recent.last_uses_of_sessions()
        return [
            {
                "name": session.name,
                "start_url": session.start_url,
                "profile": None if session.name is not None else _profile_of(configuration, session),
                "state": self._state_of(session),
            }
            for session in _latest_first(sessions, lambda session: used.get(session.cache_key))
        ]


def _key(role: Role) -> tuple[str, str, str]:
    """A role as others would name it: two sections that differ in their scopes are one session."""
    return role.session.cache_key, role.account_id, role.role_name


def _is_chosen_by_default(configuration: Configuration, only: str) -> bool:
    """Whether ``[default]`` stands for a role, or at least for a session where only that is wanted."""
    try:
        if only == SESSION:
            configuration.sign_in_of("default")
        else:
            configuration.role_of("default")
    except ConfigError:
        return False
    return True


def _profile_of(configuration: Configuration, session: SsoSession) -> str | None:
    return next((name for name in configuration.profiles if configuration.uses(name, session)), None)


def _role(profile: str | None, role: AnyRole, account_name: str | None, used: datetime | None) -> Json:
    """Of an identity pool's role account and name are "" where only the pool knows them; it is named then."""
    pool: Json = {}
    if isinstance(role, PoolRole):
        pool = {"cognito_login": cognito_login_name(role.session), "identity_pool_id": role.pool_id}
    return pool | {
        "profile": profile,
        "sso_session": sso_session_name(role.session),
        "account_id": role.account_id,
        "account_name": account_name or None,
        "role_name": role.role_name,
        "last_used_at": optional_timestamp(used),
    }


def _folded(item: tuple[str, AnyRole]) -> tuple[str, str]:
    return item[0].casefold(), item[0]


def _latest_first(ordered: Iterable[T], used: Callable[[T], datetime | None]) -> list[T]:
    """Those that were used, the latest first; the others behind them in the order they have."""
    return sorted(ordered, key=lambda each: -moment.timestamp() if (moment := used(each)) else 0.0)
