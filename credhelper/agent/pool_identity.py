"""Who one is in an identity pool: the identity, the role, and the claims by which it is chosen. Never a token."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from credhelper.agent.cognito_tokens import login_required
from credhelper.agent.gate import Wanted
from credhelper.domain import jwt
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import ConfigError
from credhelper.domain.jwt import MalformedToken
from credhelper.domain.model import CognitoLogin, CognitoTokens, Guests, PoolRole, cognito_login_name, pool_role_behind
from credhelper.domain.text import safe
from credhelper.identity_pools import claims as of_token

if TYPE_CHECKING:
    from credhelper.agent.agent import Agent

Json = dict[str, Any]
Fields = Mapping[str, str]


async def identity(agent: "Agent", wanted: Wanted) -> Json:
    """Who the chosen profile is, with credentials got for it. Raises like ``Agent.hand_out``."""
    role, profile = agent.choices.role(wanted.fields)
    if pool_role_behind(role) is None:
        raise _no_pool(profile)
    await agent.hand_out(wanted)
    role, profile = agent.choices.role(wanted.fields)
    found = pool_role_behind(agent.policy.limited(role, wanted.fields, profile))
    entry = None if found is None else agent.roles.present(found)
    if found is None or entry is None:  # the files have changed meanwhile
        raise _no_pool(profile)
    tokens = agent.cognito_tokens.look(found.login) if isinstance(found.login, CognitoLogin) else None
    return _about(found, tokens) | {
        "profile": profile,
        "identity_id": entry.identity_id,
        "account_id": entry.account_id,
        "role_name": entry.role_name,
        "expires_at": timestamp(entry.credentials.expires_at),
    }


async def claims(agent: "Agent", fields: Fields) -> Json:
    """What is known of the chosen sign-in, without a call: for ``explain role``.

    Raises Locked, LoginRequired, ConfigError, UsageError.
    """
    agent.lock.refuse()
    if "cognito_login" in fields:
        login = agent.choices.sign_in(fields)
        assert isinstance(login, CognitoLogin)  # noqa: S101  # what was chosen is one
        return _nothing_of_a_profile(login) | _of_tokens(login, _tokens(agent, login))
    role, profile = agent.choices.role(fields)
    found = pool_role_behind(role)
    if found is None:
        raise _no_pool(profile)
    if isinstance(found.login, Guests):
        return _about(found, None)
    return _about(found, _tokens(agent, found.login))


def _tokens(agent: "Agent", login: CognitoLogin) -> CognitoTokens:
    tokens = agent.cognito_tokens.look(login)
    if tokens is None:
        raise login_required(login, "you are not logged in with")
    return tokens


def _about(role: PoolRole, tokens: CognitoTokens | None) -> Json:
    of_login: Json = {"provider": None, "role_provider": None, "claims": {}}
    if isinstance(role.login, CognitoLogin) and tokens is not None:
        of_login = _of_tokens(role.login, tokens)
    return {
        "identity_pool_id": role.pool_id,
        "kind": "guest" if role.is_guest else "authenticated",
        "cognito_login": cognito_login_name(role.login),
        "flow": role.flow.value,
        "custom_role_arn": role.custom_role_arn,
        **of_login,
    }


def _nothing_of_a_profile(login: CognitoLogin) -> Json:
    return {
        "identity_pool_id": None,
        "kind": "authenticated",
        "cognito_login": login.name,
        "flow": "enhanced",
        "custom_role_arn": None,
    }


def _of_tokens(login: CognitoLogin, tokens: CognitoTokens) -> Json:
    """``role_provider``: as a pool's role mappings spell it, with a user pool ``PROVIDER:CLIENT``."""
    client_id = tokens.client_id if login.user_pool_id is not None else None
    return {
        "provider": tokens.provider,
        "role_provider": tokens.provider if client_id is None else f"{tokens.provider}:{client_id}",
        "claims": claims_in(tokens.id_token),
    }


def claims_in(id_token: str) -> Json:
    """The claims that a rule or a tag may be about; nothing of what is no JWT."""
    try:
        return of_token.of_person(jwt.read(id_token).claims)
    except MalformedToken:
        return {}


def _no_pool(profile: str | None) -> ConfigError:
    return ConfigError(
        f"profile “{safe(profile or '')}” is none of an identity pool: it has no credhelper_identity_pool_id",
        hint="credhelper whoami   # is for every profile",
    )
