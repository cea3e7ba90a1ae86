"""One home, one agent, one Identity Center, one clock: everything real but the time."""

import asyncio
import hashlib
import json
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from credhelper.agent.agent import Agent
from credhelper.agent.gate import Wanted
from credhelper.agent.login import Logins
from credhelper.agent.role_credentials import Entry
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.token_cache import TokenCache
from credhelper.domain.model import Door, Flow, Registration, Role, SsoSession, Token
from credhelper.local import places
from credhelper.local.peers import NOBODY, Caller
from credhelper.local.workers import Workers
from credhelper.sandbox.server import Sandbox
from tests.clocks import HandClock

ACCOUNT = "111122223333"
CONFIG = """\
[sso-session corp]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access

[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Developer
region = eu-west-1

[profile readonly]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = ReadOnly

[profile legacy]
sso_start_url = {start_url}
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = Developer
"""


class Sleeper:
    """A sleep that takes no time but moves the clock, and then lets the test do something."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.slept: list[float] = []
        self.then: Callable[[int], None] = lambda _: None

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.advance(seconds=seconds)
        self.then(len(self.slept))
        await asyncio.sleep(0)


class World:
    """What a test of the agent can see and move."""

    def __init__(self, home: Path, sandbox: Sandbox, clock: HandClock) -> None:
        self.home = home
        self.sandbox = sandbox
        self.clock = clock
        self.state = home / ".local" / "state" / "credhelper"
        self.api = IdentityCenter(clock)
        self.cache = TokenCache.of_home(home)
        self.config = home / ".aws" / "config"
        self.config.parent.mkdir(parents=True)
        self.write_config(CONFIG.format(start_url=sandbox.start_url))
        self.corp = SsoSession("corp", sandbox.start_url, sandbox.region, ("sso:account:access",))
        self.legacy = SsoSession(None, sandbox.start_url, sandbox.region)
        self.developer = Role(self.corp, ACCOUNT, "Developer")
        self.sleep = Sleeper(clock)
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        """Another daemon of the same home, or this one after a restart."""
        agent = Agent(self.home, self.state, api=self.api, clock=self.clock, rng=random.Random(1))
        agent.logins = Logins(agent.tokens, self.api, self.clock, Workers("aws", 16), self.lock_path, self.sleep)
        agent.inventory.pace.sleep = self.sleep
        return agent

    def lock_path(self, key: str) -> Path:
        """The refresh lock of a session."""
        return places.refresh_lock(self.state, key)

    def write_config(self, text: str) -> None:
        """``~/.aws/config``."""
        self.config.write_text(text)

    def fields(self, profile: str = "dev", **more: str) -> dict[str, str]:
        """A request's fields."""
        return {"HOME": str(self.home), "cwd": "/", "profile": profile} | more

    def everything(self) -> dict[str, str]:
        """The fields of a request that chooses nothing."""
        return {"HOME": str(self.home), "cwd": "/"}

    def token_path(self, session: SsoSession | None = None) -> Path:
        """The token file of a session, corp's unless told."""
        return self.cache.token_path(session or self.corp)

    def token(self, session: SsoSession | None = None) -> Token:
        """What the token file holds."""
        found = self.cache.load_token(session or self.corp)
        assert found is not None
        return found

    def save(self, token: Token, session: SsoSession | None = None) -> None:
        """Writes the token file, as another program would."""
        self.cache.save_token(session or self.corp, token)

    def log_in(self, session: SsoSession | None = None, *, person: str = "alice", **changes: Any) -> Token:
        """Another program's login: registers, has the device approved, writes both files."""
        session = session or self.corp
        registration = self.api.register_client(session, Flow.DEVICE_CODE)
        self.cache.save_registration(session, registration)
        token = self.new_token(session, registration, person)
        token = replace(token, **changes)
        self.save(token, session)
        return token

    def new_token(self, session: SsoSession, registration: Registration, person: str = "alice") -> Token:
        """A token of a login that nobody has written anywhere."""
        device = self.api.start_device_authorization(session, registration)
        self.sandbox.approve(device.user_code, person)
        issued = self.api.poll_device(session, registration, device.device_code)
        return Token(
            access_token=issued.access_token,
            expires_at=issued.expires_at,
            start_url=session.start_url,
            region=session.region,
            refresh_token=issued.refresh_token,
            client_id=registration.client_id,
            client_secret=registration.client_secret,
            registration_expires_at=registration.expires_at,
        )

    async def get(self, profile: str = "dev") -> dict[str, Any]:
        """``credhelper get``, as the daemon answers it: from memory at once or by a fetch."""
        document: dict[str, Any] = json.loads((await self.hand_out(self.fields(profile))).document)
        return document

    async def hand_out(self, fields: Mapping[str, str], caller: Caller = NOBODY, door: Door = Door.GET) -> Entry:
        """What a program gets that asks over the socket."""
        wanted = Wanted(fields, caller, door)
        return self.agent.hand_out_at_once(wanted) or await self.agent.hand_out(wanted)

    def refreshes(self) -> int:
        """How many times a token was asked to be renewed."""
        return self.sandbox.calls["CreateToken:refresh_token"]

    def fetches(self) -> int:
        """How many times role credentials were asked for."""
        return self.sandbox.calls["GetRoleCredentials"]

    async def settled(self) -> None:
        """Until nothing runs behind anybody's back."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks)

    async def live(self, **amount: float) -> None:
        """Lets time pass, by what ``timedelta`` takes; what is due in between happens at its moment."""
        end = self.clock.boottime() + timedelta(**amount).total_seconds()
        while True:
            pause = self.agent.upkeep.run_due()
            if asyncio.all_tasks() - {asyncio.current_task()}:
                await self.settled()
                continue
            left = end - self.clock.boottime()
            if left < 1e-5:  # less than a timedelta can hold
                return
            self.clock.advance(seconds=min(left, left if pause is None else max(pause, 0.05)))

    async def held(self, operation: str, calls: int = 1) -> None:
        """Until that many calls wait in the barrier of ``operation``."""
        await until(lambda: self.sandbox.waiting().get(operation, 0) >= calls)


async def until(is_so: Callable[[], bool]) -> None:
    """Lets everything else run until ``is_so``; the suite's time limit ends a wait that has no end."""
    while not is_so():  # noqa: ASYNC110  # what is awaited happens in other threads and servers
        await asyncio.sleep(0.002)


async def failing(work: Awaitable[object], kind: type[Exception]) -> str:
    """Awaits work that must fail with ``kind`` and returns its message."""
    try:
        await work
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def sha1(text: str) -> str:
    """As the AWS CLI names its cache files."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def minutes(number: float) -> timedelta:
    """A timedelta."""
    return timedelta(minutes=number)


def files_below(directory: Path) -> set[str]:
    """The names of everything below ``directory`` that is no directory."""
    return {os.fsencode(path).decode() for path in directory.rglob("*") if not path.is_dir()}
