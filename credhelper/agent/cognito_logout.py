"""What a logout does with Cognito logins, identity pools' guests and their identities.

A logout ends logins. Guests have none: they stay served, and keep their identity, until somebody has it forgotten.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from credhelper.agent.cognito_endings import CognitoEnding
from credhelper.agent.cognito_refresh import Sources
from credhelper.agent.cognito_store import UnusableTokens
from credhelper.agent.revocations import AnyEnding
from credhelper.aws.oidc import CALLBACK_PATH, Oidc
from credhelper.aws.user_pools import UserPools
from credhelper.domain.errors import ConfigError, CredhelperError
from credhelper.domain.model import AnyRole, CognitoLogin, CognitoTokens, LoginMethod, pool_role_behind
from credhelper.domain.text import safe
from credhelper.domain.urls import is_fit_to_show
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

PAGE_DEADLINE = 5.0  # seconds, for the look at a user pool's discovery document
AUTHORIZE_PATH, LOGOUT_PATH = "/oauth2/authorize", "/logout"
"""Of a managed login's domain."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a logout is to do beyond the usual."""

    is_everywhere: bool
    """Whether the user's sign-ins on other devices are to end too."""
    has_page: bool
    """Whether the address is wanted that ends the browser's own sign-in."""
    forgets_identity: bool

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Wish":
        """By a request's fields."""
        return cls(*(fields.get(name) == "1" for name in ("everywhere", "browser", "forget_identity")))


@dataclass(frozen=True, slots=True)
class SealedLogins:
    """The ``Logins`` of a sweep: what is in the vault, and what ends it. Blocking."""

    sources: Sources
    is_everywhere: bool = False

    def load(self, login: CognitoLogin) -> CognitoTokens | None:
        """What is sealed of the login, as far as it can be unsealed now."""
        try:
            stored = self.sources.store.load(login)
        except UnusableTokens as error:
            log.debug("the tokens of %s are removed unread: %s", safe(login.label), error)
            return None
        return None if stored is None else stored.tokens

    def ending(self, login: CognitoLogin, tokens: CognitoTokens) -> AnyEnding:
        """What ends the sign-in that these come from."""
        return ending(self.sources.pools, login, tokens, is_everywhere=self.is_everywhere)


def ending(
    pools: UserPools, login: CognitoLogin, tokens: CognitoTokens, *, is_everywhere: bool = False
) -> CognitoEnding:
    """What ends the sign-in that ``tokens`` come from."""
    return CognitoEnding(login, tokens, pools, is_everywhere=is_everywhere)


def pool_behind(role: AnyRole) -> str | None:
    """The identity pool at the bottom of a role's chain; None where there is none."""
    found = pool_role_behind(role)
    return None if found is None else found.pool_id


async def pages(workers: Workers, oidc: Oidc, logins: Iterable[CognitoLogin]) -> list[Json]:
    """For each login the address that ends the browser's sign-in (``url``), or why there is none (``error``)."""
    # At once: whoever logs out waits as long for all as for one.
    return list(await asyncio.gather(*(_page(workers, oidc, login) for login in logins)))


async def _page(workers: Workers, oidc: Oidc, login: CognitoLogin) -> Json:
    url, error = None, None
    try:
        url = await workers.run(PAGE_DEADLINE, partial(page, oidc, login), lane="revoke")
    except DeadlineExceeded as late:
        error = f"the user pool gave {late}"
    except CredhelperError as failure:
        error = failure.message
    return {"cognito_login": login.name, "url": url, "error": error}


def page(oidc: Oidc, login: CognitoLogin) -> str:
    """Where the managed login forgets who has signed in (GET /logout of its domain). Blocks.

    It sends the browser back to the first redirect URI of the table, which must be one of the app client's sign-out
    URLs. Raises ConfigError where the login has no such page, UpstreamError.
    """
    if login.method is not LoginMethod.BROWSER or not login.redirect_ports:
        raise ConfigError(f"[cognito_login.{safe(login.name)}] logs in without a browser, so that none knows of it")
    endpoint = oidc.provider(login).authorization_endpoint
    base, slash, _ = endpoint.partition(AUTHORIZE_PATH)
    query = urlencode({"client_id": login.client_id or "", "logout_uri": sign_out_uri(login)}, quote_via=quote, safe="")
    url = f"{base}{LOGOUT_PATH}?{query}"
    if not slash or not is_fit_to_show(url):
        raise ConfigError(f"the user pool {safe(login.user_pool_id or '')} names no page of the managed login")
    return url


def sign_out_uri(login: CognitoLogin) -> str:
    """Where the browser is sent after it has signed out."""
    return f"http://127.0.0.1:{login.redirect_ports[0]}{CALLBACK_PATH}"
