"""The daemon's logout: memory first, then the files, then the sign-ins at AWS, last what a person wished besides."""

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from credhelper.agent import cognito_logout
from credhelper.agent import logout as files
from credhelper.agent.cognito_logout import SealedLogins, Wish
from credhelper.aws.config_file import Configuration
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import CredhelperError
from credhelper.domain.model import (
    AnyRole,
    CognitoLogin,
    CognitoTokens,
    Guests,
    RoleCredentials,
    SignInSource,
    SsoSession,
    Token,
)
from credhelper.domain.text import safe
from credhelper.local.workers import DeadlineExceeded

if TYPE_CHECKING:
    from credhelper.agent.agent import Agent, Fields

log = logging.getLogger(__name__)

SWEEP_DEADLINE = 8.0  # seconds
REVOKE_DEADLINE = 5.0

Json = dict[str, Any]


@dataclass(slots=True)
class _Dropped:
    """What was in memory, and the role credentials that were handed out and live on."""

    tokens: dict[SsoSession, Token] = field(default_factory=dict)
    logins: dict[CognitoLogin, CognitoTokens | None] = field(default_factory=dict)
    handed_out: list[tuple[AnyRole, RoleCredentials]] = field(default_factory=list)


class LoggingOut:
    """Lives on the event loop."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent

    async def log_out(self, fields: "Fields") -> Json:
        """The contract's receipt. Raises ConfigError, CredhelperError."""
        agent, wish = self._agent, Wish.of(fields)
        is_chosen = agent.choices.is_session_chosen(fields)
        if is_chosen:
            configuration = agent.configurations.of(fields)
        else:  # a broken file must not keep anybody from logging out of everything
            configuration, _ = agent.configurations.and_mistakes(fields)
        selected = agent.choices.sign_in(fields) if is_chosen else None
        sessions, logins = self._meant(selected, configuration)
        receipt = files.Receipt()
        if not isinstance(selected, Guests):  # who have no login that could end
            receipt = await self._clear(selected, sessions, logins, configuration, wish)
        if wish.forgets_identity:
            await self._forget_identities(selected, self._pool_meant(fields), configuration, receipt)
        log.info("logged out of %s", "everything" if selected is None else safe(selected.label))
        if selected is None:
            agent.behind(agent.vault.forget_key())
        await asyncio.gather(*(self._revoke(outcome) for outcome in receipt.outcomes))
        agent.counts.logouts["done_in_part" if receipt.left else "ok"] += 1
        document = receipt.document()
        if wish.has_page:
            document["browser"] = await cognito_logout.pages(agent.network, agent.cognito_tokens.sources.oidc, logins)
        return document

    def known_sessions(self, configuration: Configuration) -> list[SsoSession]:
        """Those of the configuration, and all others that somebody has asked for."""
        agent = self._agent
        found = configuration.sessions()[0] + agent.tokens.sessions()
        found += [login.session for login in agent.logins.under_way()]
        return list({session.cache_key: session for session in reversed(found)}.values())

    def _meant(
        self, selected: SignInSource | None, configuration: Configuration
    ) -> tuple[list[SsoSession], list[CognitoLogin]]:
        match selected:
            case None:
                return self.known_sessions(configuration), self._agent.cognito_tokens.logins()
            case SsoSession():
                return [selected], []
            case CognitoLogin():
                return [], [selected]
            case Guests():
                return [], []

    async def _clear(
        self,
        selected: SsoSession | CognitoLogin | None,
        sessions: list[SsoSession],
        logins: list[CognitoLogin],
        configuration: Configuration,
        wish: Wish,
    ) -> files.Receipt:
        agent = self._agent
        key = selected.cache_key if selected else None
        sweep = files.Sweep(
            agent.home,
            configuration,
            agent.lock_path,
            vault=agent.vault_directory,
            cache=agent.tokens.cache,
            logins=SealedLogins(agent.cognito_tokens.sources, is_everywhere=wish.is_everywhere),
            state=agent.state_directory,
        )
        ended: list[str] = []
        try:
            dropped = await self._forget(sessions, logins)
            await agent.openings.end(key)
            await agent.leases.settled()
            receipt = await agent.disk.run(SWEEP_DEADLINE, partial(_sweep, sweep, selected, dropped))
            await self._forget_uses(key, receipt)
            ended = [ending.access_token for outcome in receipt.outcomes for ending in outcome.endings]
        except DeadlineExceeded as error:
            raise CredhelperError(f"clearing {agent.home}/.aws: {error}") from None
        finally:
            for session in sessions:
                agent.tokens.reopen(session, ended)
                agent.inventory.forget(session)  # somebody may have asked while the file was still there
            for login in logins:
                agent.cognito_tokens.reopen(login)
        receipt.still_valid = [_still_valid(role, credentials) for role, credentials in dropped.handed_out]
        return receipt

    async def _forget(self, sessions: list[SsoSession], logins: list[CognitoLogin]) -> _Dropped:
        """Memory: from here on nothing is served, and what is under way cannot bring anything back."""
        agent, dropped = self._agent, _Dropped()
        for session in sessions:
            agent.logins.abandon(session)
            token = agent.tokens.close(session)
            if token is not None:
                dropped.tokens[session] = token
            agent.inventory.forget(session)
        for login in logins:
            agent.user_logins.abandon(login)
            dropped.logins[login] = agent.cognito_tokens.close(login)
        sources: list[SsoSession | CognitoLogin] = [*sessions, *logins]
        for source in sources:
            dropped.handed_out += agent.roles.forget(source.cache_key)
            agent.vault.forget(source.cache_key)
        await asyncio.gather(
            *(agent.logins.cancel(session) for session in sessions),
            *(agent.user_logins.cancel(login) for login in logins),
        )
        await asyncio.gather(*(agent.inventory.end(session) for session in sessions))
        return dropped

    async def _forget_uses(self, key: str | None, receipt: files.Receipt) -> None:
        """When which role was used goes with the session, as our open doors do: unsaid, unless it cannot be done."""
        recent = self._agent.recent
        try:
            await recent.forget(key)
        except (OSError, DeadlineExceeded) as error:
            receipt.left.append((recent.path, str(getattr(error, "strerror", None) or error)))

    async def _revoke(self, outcome: files.Outcome) -> None:
        """Ends a sign-in at AWS; what AWS could not be reached for is tried again in the background."""
        agent, now = self._agent, self._agent.now()
        try:
            await agent.network.run(REVOKE_DEADLINE, lambda: files.revoke(agent.api, outcome, now), lane="revoke")
        except DeadlineExceeded as error:
            outcome.revoked, outcome.error = False, f"{outcome.place} gave {error}"
        outcome.hand_over(agent.revocations)

    # -- identities ---------------------------------------------------------------------------------------------------

    def _pool_meant(self, fields: "Fields") -> str | None:
        """The pool of the profile that is chosen; None where all pools of a login, or all there are, are meant."""
        if "profile" not in fields:
            return None
        return cognito_logout.pool_behind(self._agent.choices.role(fields)[0])

    async def _forget_identities(
        self,
        selected: SignInSource | None,
        pool_id: str | None,
        configuration: Configuration,
        receipt: files.Receipt,
    ) -> None:
        """Who one is in identity pools. What a guest had been given goes with it: the next one is somebody else."""
        agent = self._agent
        key = None if selected is None else selected.cache_key
        try:
            gone = await agent.pools.identities.forget(key, pool_id)
            receipt.removed += [path for path in gone if path not in receipt.removed]
        except (OSError, DeadlineExceeded) as error:
            receipt.left.append((agent.state_directory, f"identities of identity pools: {_why(error)}"))
        for guests in self._guests_meant(selected, configuration):
            agent.guests.end(guests)
            handed_out = agent.roles.forget(guests.cache_key)
            agent.vault.forget(guests.cache_key)
            await agent.openings.end(guests.cache_key)
            receipt.still_valid += [_still_valid(role, credentials) for role, credentials in handed_out]

    def _guests_meant(self, selected: SignInSource | None, configuration: Configuration) -> list[Guests]:
        """Those of the configuration too: what is being got for them just now is of the identity that is forgotten."""
        if isinstance(selected, Guests):
            return [selected]
        if selected is not None:
            return []
        roles = [*configuration.roles().values(), *(role for role, _, _ in self._agent.roles.entries())]
        found = (role.session for role in roles)
        return list({source.cache_key: source for source in found if isinstance(source, Guests)}.values())


def _sweep(sweep: files.Sweep, selected: SsoSession | CognitoLogin | None, dropped: _Dropped) -> files.Receipt:
    match selected:
        case None:
            return sweep.everything(dropped.tokens, dropped.logins)
        case SsoSession():
            return sweep.one(selected, dropped.tokens.get(selected))
        case CognitoLogin():
            return sweep.one_login(selected, dropped.logins.get(selected))


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _still_valid(role: AnyRole, credentials: RoleCredentials) -> Json:
    return {
        "account_id": role.account_id,
        "role_name": role.role_name,
        "expires_at": timestamp(credentials.expires_at),
    }
