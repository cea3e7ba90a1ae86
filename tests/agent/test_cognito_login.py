"""Logins with Cognito: in the browser, with a password, by a command; and how their tokens live on."""

import asyncio
import contextlib
import json
import logging
import os
import random
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from credhelper.agent import cognito_tokens
from credhelper.agent.agent import Agent
from credhelper.agent.cognito_login import UserLogin
from credhelper.agent.cognito_refresh import Refresh
from credhelper.agent.shown_login import Event
from credhelper.domain.errors import (
    AccessRefused,
    ConfigError,
    CredhelperError,
    LoginDenied,
    LoginRequired,
    Unavailable,
    UsageError,
)
from credhelper.domain.model import CognitoLogin, CognitoTokens, LoginMethod
from credhelper.local.settings import Settings
from credhelper.sandbox.cognito_directory import (
    CLIENT_ID,
    CONFIDENTIAL_CLIENT_ID,
    ROTATING_CLIENT_ID,
    USER_POOL_ID,
    AppClient,
)
from credhelper.sandbox.faults import Fault
from tests.agent.test_login import visit
from tests.agent.world import World, files_below, until

PROVIDER = f"cognito-idp.us-east-1.amazonaws.com/{USER_POOL_ID}"
PASSWORD = "correct-horse"  # the sandbox's


class Keyring:
    """One that is open."""

    seconds = 1.0

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}

    def key(self, name: str) -> bytes:
        return self._keys.setdefault(name, os.urandom(32))

    def delete(self, name: str) -> None:
        self._keys.pop(name, None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Users:
    """A world whose daemon knows Cognito logins."""

    def __init__(self, world: World, keyring: Keyring | None) -> None:
        self.world = world
        self.keyring = keyring
        self.ports = (free_port(), free_port())
        callbacks = frozenset(f"http://127.0.0.1:{port}/callback" for port in self.ports)
        for client in (AppClient(CLIENT_ID), AppClient(ROTATING_CLIENT_ID, rotates=True)):
            world.sandbox.cognito.put_client(replace(client, callbacks=callbacks))
        self.browser = CognitoLogin(
            "notes", LoginMethod.BROWSER, PROVIDER, USER_POOL_ID, CLIENT_ID, self.ports, ("openid", "email")
        )
        self.rotating = replace(self.browser, name="rotating", client_id=ROTATING_CLIENT_ID)
        self.password = CognitoLogin("typed", LoginMethod.SRP, PROVIDER, USER_POOL_ID, CLIENT_ID)
        self.token = world.home / "token"
        self.command = CognitoLogin(
            "printed", LoginMethod.COMMAND, "accounts.google.com", token_command=("/bin/cat", str(self.token))
        )

    @property
    def agent(self) -> Agent:
        return self.world.agent

    async def daemon(self) -> Agent:
        """The next daemon of this home."""
        await self.world.agent.stop()
        logins = (self.browser, self.rotating, self.password, self.command)
        self.world.agent = Agent(
            self.world.home,
            self.world.state,
            settings=Settings(cognito_login=logins),
            api=self.world.api,
            clock=self.world.clock,
            keychain=self.keyring,
            rng=random.Random(1),
        )
        await self.agent.keeper.open()
        return self.agent

    def begin(self, login: CognitoLogin, *, force: bool = True, port: int = 0) -> UserLogin:
        found = self.agent.user_logins.join(login, force=force, redirect_port=port)
        assert found is not None
        return found

    async def log_in(self, login: CognitoLogin | None = None, person: str = "alice") -> CognitoTokens:
        """By browser."""
        login = login or self.browser
        begun = self.begin(login)
        async with followed(begun) as events:
            await visit(self.world.sandbox.authorize((await anext(events))["url"], person))
            assert [event["event"] async for event in events][-1] == "logged_in"
        return self.tokens(login)

    def tokens(self, login: CognitoLogin) -> CognitoTokens:
        found = self.agent.cognito_tokens.look(login)
        assert found is not None
        return found

    async def type_in(self, login: CognitoLogin, *answers: str) -> list[Event]:
        """Everything that is told, while each question gets the next answer."""
        told, left = [], list(answers)
        begun = self.begin(login)
        async with followed(begun) as events:
            async for event in events:
                told.append(event)
                if event["event"] == "question":
                    assert self.agent.user_logins.answer(event["id"], left.pop(0))
        assert not left
        return told

    def calls(self, operation: str) -> int:
        return self.world.sandbox.calls[operation]


@contextlib.asynccontextmanager
async def followed(login: UserLogin) -> AsyncIterator[Any]:
    events = login.follow()
    try:
        yield events
    finally:
        await events.aclose()


@pytest.fixture
async def users(world: World) -> Users:
    users = Users(world, Keyring())
    await users.daemon()
    return users


@pytest.fixture
async def unkept(world: World) -> Users:
    """Without a keyring."""
    users = Users(world, None)
    await users.daemon()
    return users


def changed(location: str, **changes: str | None) -> str:
    parts = urlsplit(location)
    query = dict(parse_qsl(parts.query)) | changes
    return parts._replace(query=urlencode({key: value for key, value in query.items() if value is not None})).geturl()


async def failure(login: UserLogin, kind: type[CredhelperError]) -> str:
    async with followed(login) as events:
        told = [event async for event in events]
    assert type(login.error) is kind
    assert told[-1] == {"event": "failed", "code": kind.code, "message": login.error.message}
    assert (login.error.__traceback__, login.error.__context__) == (None, None)  # which would hold what was typed
    return login.error.message


def holding(directory: Path, tokens: CognitoTokens) -> list[str]:
    """The files in which one of the tokens can be read."""
    secrets = [token.encode() for token in (tokens.id_token, tokens.access_token, tokens.refresh_token) if token]
    return [name for name in files_below(directory) if any(map(Path(name).read_bytes().__contains__, secrets))]


# -- the browser ------------------------------------------------------------------------------------------------------


async def test_a_login_in_the_browser_brings_tokens_that_only_the_keyrings_key_opens(users: Users) -> None:
    tokens = await users.log_in()
    assert (tokens.provider, tokens.issuer, tokens.client_id) == (PROVIDER, f"https://{PROVIDER}", CLIENT_ID)
    assert not holding(users.world.home, tokens)
    assert await (await users.daemon()).cognito_tokens.current(users.browser) == tokens


async def test_the_events_are_the_contracts(users: Users) -> None:
    begun = users.begin(users.browser)
    async with followed(begun) as events:
        first = await anext(events)
        assert first["event"] == "authorize"
        status, page = await visit(users.world.sandbox.authorize(first["url"]))
        last = await anext(events)
    assert (status, "You are logged in" in page) == (200, True)
    assert last["event"] == "logged_in"
    assert last["cognito_login"] == "notes"
    assert last["sso_session"] is None
    assert last["start_url"] is None
    assert last["expires_at"] == "2026-06-01T10:00:00Z"


async def test_the_address_names_a_registered_port_a_nonce_and_a_challenge(users: Users) -> None:
    async with followed(users.begin(users.browser)) as events:
        found = dict(parse_qsl(urlsplit((await anext(events))["url"]).query))
    assert found["redirect_uri"] == f"http://127.0.0.1:{users.ports[0]}/callback"
    assert found["scope"] == "openid email"
    assert found["code_challenge_method"] == "S256"
    assert min(len(found[name]) for name in ("nonce", "state", "code_challenge")) >= 43


async def test_the_next_port_is_taken_where_the_first_is_in_use_and_none_where_all_are(users: Users) -> None:
    with socket.create_server(("127.0.0.1", users.ports[0])):
        async with followed(users.begin(users.browser)) as events:
            assert f"%3A{users.ports[1]}%2F" in (await anext(events))["url"]
        with socket.create_server(("127.0.0.1", users.ports[1])):
            assert f"{users.ports[1]} (in use)" in await failure(users.begin(users.browser), CredhelperError)


async def test_a_port_that_the_app_client_does_not_list_is_refused(users: Users) -> None:
    with pytest.raises(UsageError, match=str(users.ports[0])):
        users.begin(users.browser, port=1)


async def test_a_no_in_the_browser_is_a_no(users: Users) -> None:
    begun = users.begin(users.browser)
    async with followed(begun) as events:
        await visit(users.world.sandbox.authorize((await anext(events))["url"], deny=True))
        assert (await anext(events))["code"] == LoginDenied.code
    assert users.agent.cognito_tokens.look(users.browser) is None


async def test_an_answer_that_is_not_this_logins_changes_nothing(users: Users) -> None:
    begun = users.begin(users.browser)
    async with followed(begun) as events:
        location = users.world.sandbox.authorize((await anext(events))["url"])
        assert (await visit(changed(location, state="guessed")))[0] == 400
        assert (await visit(changed(location, state=None)))[0] == 400
        assert (await visit(location.replace("/callback", "/oauth/callback")))[0] == 404
        assert not begun.has_ended
        await visit(location)
        assert (await anext(events))["event"] == "logged_in"


async def test_an_address_that_a_person_has_copied_does_as_well(users: Users) -> None:
    begun = users.begin(users.browser)
    answer = users.agent.user_logins.answer
    async with followed(begun) as events:
        location = users.world.sandbox.authorize((await anext(events))["url"])
        assert not answer("guessed", location)
        assert not answer(begun.id, "http://127.0.0.1/callback?code=1&state=2")
        assert not answer(begun.id, "http://[what is this")
        assert answer(begun.id, location)
        assert (await anext(events))["event"] == "logged_in"


async def test_a_code_is_of_no_use_without_the_verifier_or_a_second_time(users: Users) -> None:
    """The code of one login, brought to another: the proof does not fit."""
    async with followed(users.begin(users.browser)) as events:
        stolen = dict(parse_qsl(urlsplit(users.world.sandbox.authorize((await anext(events))["url"])).query))["code"]
    begun = users.begin(users.browser)
    async with followed(begun) as events:
        location = users.world.sandbox.authorize((await anext(events))["url"])
        _, page = await visit(changed(location, code=stolen))
        assert "The login failed" in page
        assert (await anext(events))["code"] == LoginRequired.code


async def test_an_app_client_with_a_secret_is_served_by_a_command_that_prints_it(users: Users) -> None:
    callbacks = frozenset({f"http://127.0.0.1:{users.ports[0]}/callback"})
    secret = "aSecretOfOneThatIsLongEnough"  # the sandbox's
    users.world.sandbox.cognito.put_client(AppClient(CONFIDENTIAL_CLIENT_ID, secret=secret, callbacks=callbacks))
    confidential = replace(users.browser, client_id=CONFIDENTIAL_CLIENT_ID, client_secret_command=("/bin/echo", secret))
    await users.log_in(confidential)
    users.world.clock.advance(hours=2)
    await users.agent.cognito_tokens.current(confidential)
    wrong = replace(confidential, client_secret_command=("/bin/echo", "another"))
    begun = users.begin(wrong)
    async with followed(begun) as events:
        await visit(users.world.sandbox.authorize((await anext(events))["url"]))
        assert (await anext(events))["code"] == ConfigError.code


async def test_a_second_who_asks_joins_and_is_not_asked(users: Users) -> None:
    begun = users.begin(users.browser)
    async with followed(begun) as first, followed(users.begin(users.browser)) as second:
        assert await anext(first) == await anext(second)
        assert users.begin(users.browser) is begun
        assert [begun.about()["asks_you"] for _ in range(3)] == [True, False, False]


async def test_when_the_last_one_leaves_the_login_is_over(users: Users) -> None:
    begun = users.begin(users.browser)
    async with followed(begun) as events:
        await anext(events)
    assert begun.has_ended
    assert not users.agent.user_logins.under_way()


# -- a password -------------------------------------------------------------------------------------------------------


async def test_a_password_logs_in_and_does_not_travel(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = await users.type_in(users.password, "alice", PASSWORD)
    assert [event["event"] for event in told] == ["question", "question", "logged_in"]
    assert [event["kind"] for event in told[:2]] == ["username", "password"]
    assert not [call for call in users.world.sandbox.recorded if PASSWORD.encode() in call.request.body]
    assert PASSWORD not in caplog.text
    assert PASSWORD not in json.dumps(told)


async def test_a_wrong_password_is_refused_in_one_sentence(users: Users) -> None:
    login = users.begin(users.password)
    told = await users.type_in(users.password, "alice", "wrong-horse")
    assert told[-1]["code"] == AccessRefused.code
    assert "password is wrong" in told[-1]["message"]
    assert login.error is not None
    assert login.error.hint == f"credhelper login --cognito-login {users.password.name}"


async def test_the_authenticators_code_is_asked_for_again_when_it_is_mistyped(users: Users) -> None:
    code = users.world.sandbox.cognito.totp("carol")
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    named = replace(users.password, username="carol")
    told = await users.type_in(named, PASSWORD, wrong, code)
    assert [event.get("kind") for event in told] == ["password", "code", "code", None]
    asked = "Code of the authenticator app"
    assert [event["prompt"] for event in told[1:3]] == [asked, f"The code is wrong. {asked}"]
    assert told[-1]["event"] == "logged_in"


async def test_a_code_sent_as_a_text_message_is_asked_for(users: Users) -> None:
    begun = users.begin(replace(users.password, username="erin"))
    answer = users.agent.user_logins.answer
    async with followed(begun) as events:
        await anext(events)
        answer(begun.id, PASSWORD)
        asked = await anext(events)
        assert asked["kind"] == "code"
        assert asked["prompt"].startswith("Code sent by text message")
        answer(begun.id, users.world.sandbox.cognito.code_sent_to("erin"))
        assert (await anext(events))["event"] == "logged_in"


async def test_a_first_password_is_changed_on_the_way(users: Users) -> None:
    named = replace(users.password, username="dave")
    told = await users.type_in(named, "first-password", "second-Password1!")
    assert [event.get("kind") for event in told] == ["password", "new_password", None]
    assert (await users.type_in(named, "second-Password1!"))[-1]["event"] == "logged_in"


async def test_nothing_typed_is_no_login(users: Users) -> None:
    assert (await users.type_in(users.password, ""))[-1]["code"] == LoginRequired.code
    assert users.calls("InitiateAuth") == 0


# -- a command --------------------------------------------------------------------------------------------------------


def external(users: Users, person: str = "alice") -> str:
    return users.world.sandbox.cognito.external_token("https://accounts.google.com", "an-audience", person)


async def test_what_the_persons_command_prints_is_taken_and_asked_for_again_when_it_ends(users: Users) -> None:
    first = external(users)
    told = await users.type_in(users.command, first)
    assert told[0]["kind"] == "token"
    assert users.tokens(users.command).id_token == first
    users.world.clock.advance(hours=2)
    users.token.write_text(external(users) + "\n")
    renewed = await users.agent.cognito_tokens.current(users.command)
    assert renewed.id_token == users.token.read_text().strip()
    assert renewed.id_token != first


async def test_what_a_command_prints_for_another_user_is_another_sign_in(users: Users) -> None:
    await users.type_in(users.command, external(users))
    tokens = users.agent.cognito_tokens
    first = tokens.sign_in(users.command), tokens.epoch(users.command)
    for person, is_same in (("alice", True), ("bob", False)):
        users.world.clock.advance(hours=2)
        users.token.write_text(external(users, person))
        await tokens.current(users.command)
        now = tokens.sign_in(users.command), tokens.epoch(users.command)
        assert first[0] is not None
        assert now[0] is not None
        assert (now[0][0] == first[0][0], now[1] == first[1]) == (is_same, is_same)


async def test_a_command_that_fails_when_its_token_ends_wants_its_person(users: Users) -> None:
    await users.type_in(users.command, external(users))
    users.world.clock.advance(hours=2)
    with pytest.raises(LoginRequired, match="token_command failed") as wanted:
        await users.agent.cognito_tokens.current(users.command)
    assert wanted.value.hint == "credhelper login --cognito-login printed"


async def test_a_token_that_has_expired_is_no_login(users: Users) -> None:
    old = external(users)
    users.world.clock.advance(hours=2)
    told = await users.type_in(users.command, old)
    assert told[-1]["code"] == Unavailable.code
    assert "expired" in told[-1]["message"]


async def test_a_token_that_does_not_say_its_end_is_good_for_a_moment(users: Users) -> None:
    login = replace(users.command, provider="graph.facebook.com")
    await users.type_in(login, "an-opaque-token")
    assert users.tokens(login).subject == ""
    users.world.clock.advance(minutes=6)
    users.token.write_text("another-opaque-token")
    assert (await users.agent.cognito_tokens.current(login)).id_token == "another-opaque-token"


async def test_what_can_be_no_token_of_its_provider_is_no_login(users: Users) -> None:
    told = await users.type_in(users.command, "an-opaque-token")
    assert told[-1]["event"] == "failed"
    assert "no ID token of accounts.google.com" in told[-1]["message"]
    assert "an-opaque-token" not in told[-1]["message"]


# -- how they live on -------------------------------------------------------------------------------------------------


async def test_whoever_is_not_logged_in_is_told_the_command(users: Users) -> None:
    with pytest.raises(LoginRequired) as wanted:
        await users.agent.cognito_tokens.current(users.browser)
    assert wanted.value.hint == "credhelper login --cognito-login notes"
    assert users.agent.cognito_tokens.is_over(users.browser)


async def test_many_who_need_tokens_that_have_expired_share_one_refresh(users: Users) -> None:
    before = await users.log_in()
    tokens = users.agent.cognito_tokens
    epoch, sign_in = tokens.epoch(users.browser), tokens.sign_in(users.browser)
    users.world.clock.advance(hours=2)
    found = await asyncio.gather(*(tokens.current(users.browser) for _ in range(20)))
    assert users.calls("GetTokensFromRefreshToken") == 1
    assert len({one.id_token for one in found}) == 1
    assert found[0].refresh_token == before.refresh_token  # without rotation the answer has none, and the old one stays
    assert tokens.epoch(users.browser) == epoch
    assert sign_in is not None
    assert (tokens.sign_in(users.browser) or ("",))[0] == sign_in[0]


async def test_nobody_refreshes_what_nobody_wants(users: Users) -> None:
    await users.log_in()
    await users.world.live(hours=12)
    assert users.calls("GetTokensFromRefreshToken") == 0
    assert users.agent.cognito_tokens.describe(users.browser).state == "refresh_due"


async def test_a_rotated_refresh_token_is_on_the_disk_before_it_is_used(users: Users) -> None:
    before = await users.log_in(users.rotating)
    users.world.clock.advance(hours=2)
    renewed = await users.agent.cognito_tokens.current(users.rotating)
    assert renewed.refresh_token != before.refresh_token
    stored = users.agent.cognito_tokens.store.load(users.rotating)
    assert stored is not None
    assert stored.tokens == renewed
    users.world.clock.advance(hours=2)
    next_daemon = await users.daemon()
    assert (await next_daemon.cognito_tokens.current(users.rotating)).refresh_token != renewed.refresh_token


async def test_a_refresh_token_that_another_process_has_used_is_read_anew(users: Users) -> None:
    """Two daemons of one home, and the watch has not spoken yet."""
    await users.log_in(users.rotating)
    first = users.agent.cognito_tokens
    second = Agent(
        users.world.home, users.world.state, api=users.world.api, clock=users.world.clock, keychain=users.keyring
    )
    await second.keeper.open()
    second.cognito_tokens.take_up(users.rotating)
    first.is_vouched_for = second.cognito_tokens.is_vouched_for = lambda _: True
    users.world.clock.advance(hours=2)
    renewed = await first.current(users.rotating)
    assert await second.cognito_tokens.current(users.rotating) == renewed
    assert users.calls("GetTokensFromRefreshToken") == 1
    await second.stop()


async def test_a_refresh_token_that_is_spent_takes_a_login(unkept: Users) -> None:
    before = await unkept.log_in(unkept.rotating)
    assert before.refresh_token is not None
    unkept.agent.user_pools.refresh(unkept.rotating, before.refresh_token, None)
    unkept.world.clock.advance(hours=2)
    ended: list[str] = []
    unkept.agent.cognito_tokens.on_end = lambda login: ended.append(login.name)
    for _ in range(2):
        with pytest.raises(LoginRequired, match="expired"):
            await unkept.agent.cognito_tokens.current(unkept.rotating)
    assert ended == ["rotating"]
    assert unkept.agent.cognito_tokens.describe(unkept.rotating).state == "expired"


async def test_a_rotated_refresh_token_that_came_too_late_for_who_waited_is_the_one_that_counts(
    unkept: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await unkept.log_in(unkept.rotating)
    unkept.world.clock.advance(hours=2)
    with monkeypatch.context() as impatient:
        impatient.setattr(cognito_tokens, "REFRESH_DEADLINE", 0)
        with pytest.raises(Unavailable):
            await unkept.agent.cognito_tokens.current(unkept.rotating)
    await until(lambda: not any(thread.name == "credhelper-aws" for thread in threading.enumerate()))
    assert unkept.calls("GetTokensFromRefreshToken") == 1
    unkept.world.clock.advance(minutes=5)
    after = await unkept.agent.cognito_tokens.current(unkept.rotating)
    assert after.refresh_token != before.refresh_token


async def test_a_logout_elsewhere_is_not_undone_by_a_refresh_under_way(users: Users) -> None:
    await users.log_in(users.rotating)
    sources = users.agent.cognito_tokens.sources
    known = sources.store.load(users.rotating)
    assert known is not None
    refresh = Refresh(sources, users.rotating, known, was_on_disk=True, abandoned=threading.Event())
    with users.world.sandbox.hold("GetTokensFromRefreshToken") as hold:
        running = asyncio.create_task(asyncio.to_thread(refresh.run))
        await until(lambda: hold.waiting == 1)
        sources.store.remove(users.rotating)
    assert await running is None
    assert sources.store.load(users.rotating) is None


async def test_a_login_needs_no_person_where_a_refresh_does(users: Users) -> None:
    await users.log_in()
    users.world.clock.advance(hours=2)
    begun = users.begin(users.browser, force=False)
    async with followed(begun) as events:
        assert [event["event"] async for event in events] == ["logged_in"]
    assert users.agent.user_logins.join(users.browser, force=False) is None


async def test_without_a_keyring_nothing_is_written_and_the_person_is_told(unkept: Users) -> None:
    begun = unkept.begin(unkept.browser)
    async with followed(begun) as events:
        await visit(unkept.world.sandbox.authorize((await anext(events))["url"]))
        told = [event async for event in events]
    assert [event["event"] for event in told] == ["warning", "logged_in"]
    assert not unkept.agent.cognito_tokens.store.path(unkept.browser).exists()
    await unkept.agent.cognito_tokens.current(unkept.browser)
    with pytest.raises(LoginRequired):
        await (await unkept.daemon()).cognito_tokens.current(unkept.browser)


async def test_what_was_only_in_memory_is_written_when_the_key_comes(users: Users) -> None:
    key, users.agent.cognito_tokens.store.key_box.key = users.agent.cognito_tokens.store.key_box.key, None
    await users.log_in()
    path = users.agent.cognito_tokens.store.path(users.browser)
    assert not path.exists()
    users.agent.cognito_tokens.store.key_box.key = key
    users.agent.cognito_tokens.key_has_come()
    users.agent.upkeep.run_due()
    await until(path.exists)
    await users.world.settled()


async def test_what_the_disk_refuses_is_served_from_memory_over_what_it_still_holds(users: Users) -> None:
    old = await users.log_in()
    key, users.agent.cognito_tokens.store.key_box.key = users.agent.cognito_tokens.store.key_box.key, None
    new = await users.log_in(person="bob")
    users.agent.cognito_tokens.store.key_box.key = key
    assert await users.agent.cognito_tokens.current(users.browser) == new
    users.world.clock.advance(hours=2)
    assert (await users.agent.cognito_tokens.current(users.browser)).subject == new.subject != old.subject
    stored = users.agent.cognito_tokens.store.load(users.browser)
    assert stored is not None
    assert stored.tokens.subject == new.subject, "the refresh has written it"


async def test_a_logout_drops_the_tokens_and_what_a_login_under_way_would_bring(users: Users) -> None:
    tokens = await users.log_in()
    found = users.agent.cognito_tokens
    epoch = found.epoch(users.browser)
    assert found.close(users.browser) == tokens
    assert found.look(users.browser) is None
    found.reopen(users.browser)
    assert found.look(users.browser) is None, "though its file is still there"
    assert found.epoch(users.browser) > epoch


async def test_a_login_that_is_logged_out_of_meanwhile_brings_nothing(users: Users) -> None:
    begun = users.begin(users.browser)
    async with followed(begun) as events:
        location = users.world.sandbox.authorize((await anext(events))["url"])
        users.agent.user_logins.abandon(users.browser)
        await visit(location)
        assert (await anext(events))["code"] == LoginRequired.code
    assert not users.agent.cognito_tokens.store.path(users.browser).exists()
    assert users.calls("RevokeToken") == 1


async def test_the_tokens_of_another_app_client_are_no_tokens_of_this_login(users: Users) -> None:
    await users.log_in()
    other = replace(users.browser, client_id=ROTATING_CLIENT_ID)
    with pytest.raises(LoginRequired):
        await users.agent.cognito_tokens.current(other)


async def test_a_failed_refresh_is_told_for_a_moment_and_then_tried_again(users: Users) -> None:
    await users.log_in()
    users.world.clock.advance(hours=2)
    users.world.sandbox.fail("GetTokensFromRefreshToken", Fault(status=503))
    for _ in range(3):
        with pytest.raises(Unavailable):
            await users.agent.cognito_tokens.current(users.browser)
    assert users.calls("GetTokensFromRefreshToken") == 1
    users.world.clock.advance(seconds=2)
    assert await users.agent.cognito_tokens.current(users.browser)


async def test_cognito_refuses_a_token_that_then_is_refreshed_once(users: Users) -> None:
    tokens = await users.log_in()
    found = users.agent.cognito_tokens
    users.world.clock.advance(seconds=1)
    await found.refused(users.browser, tokens, may_refresh=True)
    renewed = await found.current(users.browser)
    assert renewed.id_token != tokens.id_token
    await found.refused(users.browser, renewed, may_refresh=False)
    with pytest.raises(LoginRequired, match="no longer accepts"):
        await found.current(users.browser)


# -- a request --------------------------------------------------------------------------------------------------------


async def test_a_request_names_a_cognito_login(users: Users) -> None:
    fields = users.world.everything() | {"cognito_login": "notes", "flow": "authorization_code"}
    login, _ = users.agent.login(fields)
    assert isinstance(login, UserLogin)
    async with followed(login) as events:
        await visit(users.world.sandbox.authorize((await anext(events))["url"]))
        assert (await anext(events))["event"] == "logged_in"
    again, told = users.agent.login(fields)
    assert again is None
    assert told["cognito_login"] == "notes"


async def test_there_is_no_device_code_for_users(users: Users) -> None:
    fields = users.world.everything() | {"cognito_login": "notes", "flow": "device_code"}
    with pytest.raises(UsageError, match="device code"):
        users.agent.login(fields)
