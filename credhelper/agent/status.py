"""The status document, from the daemon's knowledge or, without a daemon, from the files."""

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from credhelper.agent.token_state import TokenState, session_state
from credhelper.aws.config_file import Configuration
from credhelper.aws.sealed_token_cache import TOKEN
from credhelper.aws.token_cache import TokenCache, UnusableTokenFile
from credhelper.domain.documents import timestamp
from credhelper.domain.freshness import Life
from credhelper.domain.model import CognitoLogin, SsoSession, Token
from credhelper.local import sealed_files

Json = dict[str, Any]


def sessions(configuration: Configuration, state_of: Callable[[SsoSession], TokenState]) -> list[Json]:
    """Every session of the configuration with its state, in the contract's order and shape."""
    found, _ = configuration.sessions()
    return [_session(session, state_of(session)) for session in found]


def logins(found: Iterable[CognitoLogin], state_of: Callable[[CognitoLogin], TokenState]) -> list[Json]:
    """Every Cognito login with its state, in the contract's shape."""
    states = ((login, state_of(login)) for login in found)
    return [
        {"name": login.name, "state": state.state, "expires_at": optional_timestamp(state.expires_at)}
        for login, state in states
    ]


def _session(session: SsoSession, state: TokenState) -> Json:
    return {
        "name": session.name,
        "start_url": session.start_url,
        "region": session.region,
        "state": state.state,
        "expires_at": optional_timestamp(state.expires_at),
        "refreshable": state.refreshable,
        "next_refresh_at": optional_timestamp(state.next_refresh_at),
        "last_error": state.last_error,
    }


def from_files(
    configuration: Configuration,
    cache: TokenCache,
    now: datetime,
    *,
    cognito_logins: Iterable[CognitoLogin] = (),
    vault: Path | None = None,
    is_locked: bool = False,
) -> Json:
    """The whole document when no daemon runs; ``is_locked``: the next one will hand nothing out.

    Of ``cognito_logins`` the ``vault`` tells no more than whether there is something sealed.
    """

    def state_of(session: SsoSession) -> TokenState:
        try:
            token = cache.load_token(session)
        except UnusableTokenFile as error:
            return _from_token(now, None, f"unusable token file: {error}")
        return _from_token(now, token, None)

    return document(
        daemon={
            "running": False,
            "pid": None,
            "version": None,
            "started_at": None,
            "socket": None,
            "vault": None,
            "vault_error": None,
            "clock_skew": None,
            "settings_error": None,
            "locked": is_locked,
        },
        sso_sessions=sessions(configuration, state_of),
        cognito_logins=logins(cognito_logins, lambda login: _from_vault(vault, login)),
    )


def _from_vault(vault: Path | None, login: CognitoLogin) -> TokenState:
    """What is sealed may be good or have to be refreshed: only the keyring's key would tell."""
    is_there = vault is not None and os.path.lexists(sealed_files.path_of(vault, login.cache_key, TOKEN))
    return TokenState("refresh_due" if is_there else "logged_out", None, is_there, None, None)


def _from_token(now: datetime, token: Token | None, last_error: str | None) -> TokenState:
    if token is None:
        return TokenState("logged_out", None, False, None, last_error)
    life = Life.beginning(token.expires_at, now=now, boottime=0.0)
    can_refresh = token.is_refreshable(now)
    state = session_state(life.freshness(now, 0.0), is_refused=False, can_refresh=can_refresh)
    next_refresh = max(now, token.expires_at - life.window) if can_refresh else None
    return TokenState(state, token.expires_at, can_refresh, next_refresh, last_error)


def document(
    *,
    daemon: Json,
    sso_sessions: list[Json],
    cognito_logins: Iterable[Json] = (),
    role_credentials: Iterable[Json] = (),
    logins: Iterable[Json] = (),
    leases: Iterable[Json] = (),
) -> Json:
    """The contract's shape."""
    return {
        "daemon": daemon,
        "sso_sessions": sso_sessions,
        "cognito_logins": list(cognito_logins),
        "role_credentials": list(role_credentials),
        "logins": list(logins),
        "leases": list(leases),
    }


def optional_timestamp(moment: datetime | None) -> str | None:
    """``timestamp`` of what may be missing."""
    return None if moment is None else timestamp(moment)
