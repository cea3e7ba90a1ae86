"""A home with profiles of identity pools, and a daemon's agent for it: beside those of Identity Center."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from credhelper.agent.agent import Agent
from credhelper.agent.cognito_store import Stored
from credhelper.agent.gate import Wanted
from credhelper.domain.model import CognitoLogin, CognitoTokens, LoginMethod
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings
from credhelper.sandbox.cognito_directory import CLIENT_ID, GUEST_POOL_ID, USER_POOL_ID, USERS_POOL_ID
from tests.agent.world import CONFIG, World

PROVIDER = f"cognito-idp.us-east-1.amazonaws.com/{USER_POOL_ID}"
NOTES = CognitoLogin("notes", LoginMethod.BROWSER, PROVIDER, USER_POOL_ID, CLIENT_ID, redirect_ports=(8400,))
POOL_CONFIG = f"""
[profile kiosk]
credhelper_identity_pool_id = {GUEST_POOL_ID}
credhelper_guest = true

[profile notes-app]
credhelper_identity_pool_id = {USERS_POOL_ID}
credhelper_cognito_login = notes

[profile above]
role_arn = arn:aws:iam::222233334444:role/Deploy
source_profile = notes-app
"""


class PoolWorld:
    """What a test sees and moves."""

    def __init__(self, world: World, *rules: Rule, desktop: Any = None) -> None:
        self.world = world
        self.sandbox = world.sandbox
        world.write_config(CONFIG.format(start_url=world.sandbox.start_url) + POOL_CONFIG)
        settings = Settings(cognito_login=(NOTES,), policy=rules)
        self.agent = Agent(
            world.home,
            world.state,
            settings=settings,
            api=world.api,
            clock=world.clock,
            desktop=desktop,
            rng=random.Random(1),
        )

    def fields(self, profile: str | None = None, **more: str) -> dict[str, str]:
        """A request's."""
        return self.world.everything() | ({} if profile is None else {"profile": profile}) | more

    def log_in(self, name: str = "alice", **changes: Any) -> CognitoTokens:
        """What a login leaves in a daemon without a keyring."""
        given = self.sandbox.cognito.log_in(name)
        tokens = CognitoTokens(
            given.id_token,
            datetime.fromtimestamp(self.world.clock.time() + 3600, UTC),
            PROVIDER,
            f"https://{PROVIDER}",
            self.sandbox.cognito.user(name).sub,
            given.access_token,
            given.refresh_token,
            CLIENT_ID,
        )
        tokens = replace(tokens, **changes)
        self.agent.cognito_tokens.adopt_login(NOTES, Stored(tokens, f"sign-in of {name}"), is_saved=False)
        return tokens

    async def get(self, profile: str) -> str:
        """The access key id that somebody is handed out."""
        entry = await self.agent.hand_out(Wanted(self.fields(profile)))
        return entry.credentials.access_key_id

    def roles(self) -> list[dict[str, Any]]:
        """Of the status document."""
        found: list[dict[str, Any]] = self.agent.status(self.fields())["status"]["role_credentials"]
        return found
