"""Both logins as the daemon runs them: what followers are shown, what is written, how each way to fail ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from credhelper.agent import login as login_module
from credhelper.agent.login import Login
from credhelper.agent.shown_login import Event
from credhelper.aws.token_cache import TokenCache
from credhelper.domain import oauth
from credhelper.domain.errors import CredhelperError, LoginDenied, LoginRequired, Refused, Unavailable
from credhelper.domain.model import Flow, SsoSession, Token
from credhelper.local import file_lock
from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.lifetimes import Lifetimes
from tests.agent.world import World, minutes, until

PENDING = Fault(error="AuthorizationPendingException")
SLOW_DOWN = Fault(error="SlowDownException")


def begin(world: World, flow: Flow, session: SsoSession | None = None, *, force: bool = False) -> Login:
    login = world.agent.logins.join(session or world.corp, flow, force=force)
    assert login is not None
    return login


@contextlib.asynccontextmanager
async def followed(login: Login) -> AsyncIterator[AsyncGenerator[Event, None]]:
    events = login.follow()
    try:
        yield events
    finally:
        await events.aclose()


async def rest(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def visit(location: str) -> tuple[int, str]:
    """What a browser gets for an address on 127.0.0.1."""
    address = urlsplit(location)
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
    writer.write(f"GET {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer


async def can_connect(uri: str) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(uri).port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def approve_at(world: World, poll: int) -> None:
    """Alice approves before the poll of that number."""

    def then(number: int) -> None:
        if number == poll:
            login = world.agent.logins.under_way()[0]
            world.sandbox.approve(login.events[0]["user_code"])

    world.sleep.then = then


async def error_of(login: Login) -> tuple[CredhelperError, list[Event]]:
    async with followed(login) as events:
        shown = await rest(events)
    assert login.error is not None
    assert shown[-1] == {"event": "failed", "code": login.error.code, "message": login.error.message}
    return login.error, shown


# -- authorization code -----------------------------------------------------------------------------------------------


async def test_the_url_is_the_aws_clis(world: World) -> None:
    async with followed(begin(world, Flow.AUTHORIZATION_CODE)) as events:
        event = await anext(events)
        assert event["event"] == "authorize"
        assert event["url"].startswith(f"{world.sandbox.url}/authorize?")
        registration = world.cache.load_registration(world.corp)
        assert registration is not None
        found = parameters(event["url"])
        assert list(found) == [
            "response_type",
            "client_id",
            "redirect_uri",
            "state",
            "code_challenge_method",
            "scopes",
            "code_challenge",
        ]
        assert found["response_type"] == "code"
        assert found["client_id"] == registration.client_id
        assert found["code_challenge_method"] == "S256"
        assert found["scopes"] == "sso:account:access"
        assert len(found["code_challenge"]) == 43
        assert len(found["state"]) >= 32
        redirect = urlsplit(found["redirect_uri"])
        assert (redirect.scheme, redirect.hostname, redirect.path) == ("http", "127.0.0.1", "/oauth/callback")
        assert await can_connect(found["redirect_uri"])


async def test_every_login_has_a_challenge_and_a_state_of_its_own(world: World) -> None:
    seen = []
    for _ in range(2):
        async with followed(begin(world, Flow.AUTHORIZATION_CODE)) as events:
            found = parameters((await anext(events))["url"])
            seen.append((found["state"], found["code_challenge"]))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


async def test_a_login_by_code_writes_both_files_and_tells_the_browser(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as events:
        url = (await anext(events))["url"]
        status, answer = await visit(world.sandbox.authorize(url))
        shown = await rest(events)
    assert status == 200
    assert "You are logged in" in answer
    token = world.token()
    assert shown == [
        {
            "event": "logged_in",
            "sso_session": "corp",
            "start_url": world.corp.start_url,
            "expires_at": "2026-06-01T10:00:00Z",
        }
    ]
    assert list(json.loads(world.token_path().read_bytes())) == [
        "startUrl",
        "region",
        "accessToken",
        "expiresAt",
        "clientId",
        "clientSecret",
        "registrationExpiresAt",
        "refreshToken",
    ]
    registration = world.cache.load_registration(world.corp)
    assert registration is not None
    assert (token.client_id, token.client_secret) == (registration.client_id, registration.client_secret)
    assert registration.grant_types == ("authorization_code", "refresh_token")
    for path in world.cache.directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert world.cache.directory.stat().st_mode & 0o777 == 0o700
    assert await world.get()
    assert not await can_connect(parameters(url)["redirect_uri"])


async def test_the_verifier_proves_the_challenge(world: World) -> None:
    async with followed(begin(world, Flow.AUTHORIZATION_CODE)) as events:
        url = (await anext(events))["url"]
        await visit(world.sandbox.authorize(url))
        await rest(events)
    exchange = [call for call in world.sandbox.recorded if call.operation == "CreateToken"][-1]
    sent = json.loads(exchange.request.body)
    proof = oauth.Proof(sent["codeVerifier"], "")
    assert proof.code_challenge == parameters(url)["code_challenge"]
    assert sent["redirectUri"] == parameters(url)["redirect_uri"]


@pytest.mark.parametrize(
    "query", ["code=stolen&state=wrong", "code=stolen", "error=access_denied&state=wrong", "", "state=&code="]
)
async def test_an_answer_that_is_not_ours_changes_nothing(world: World, query: str) -> None:
    async with followed(begin(world, Flow.AUTHORIZATION_CODE)) as events:
        url = (await anext(events))["url"]
        status, answer = await visit(f"{parameters(url)['redirect_uri']}?{query}")
        assert status == 400
        assert "does not belong" in answer
        await visit(world.sandbox.authorize(url))
        assert (await rest(events))[-1]["event"] == "logged_in"


async def test_a_person_who_denies_in_the_browser_ends_the_login(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as events:
        url = (await anext(events))["url"]
        status, answer = await visit(world.sandbox.authorize(url, deny=True))
        shown = await rest(events)
    assert "Access was denied" in answer
    assert status == 200
    assert isinstance(login.error, LoginDenied)
    assert login.error.status == 5
    assert shown[-1]["code"] == "login_denied"
    assert not world.token_path().exists()


async def test_another_error_of_the_sign_in_page_is_told_without_obeying_it(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as events:
        found = parameters((await anext(events))["url"])
        _, answer = await visit(f"{found['redirect_uri']}?error=%1b%5b31mboom%3Cscript%3E&state={found['state']}")
        await rest(events)
    assert isinstance(login.error, Refused)
    assert "\x1b" not in login.error.message
    assert "boom" in login.error.message
    assert "The login failed" in answer
    assert "<script>" not in answer


async def test_a_code_exchange_that_fails_shows_the_failure_in_the_browser_too(world: World) -> None:
    world.sandbox.fail("CreateToken:authorization_code", Fault(error="InvalidGrantException"))
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as events:
        url = (await anext(events))["url"]
        _, answer = await visit(world.sandbox.authorize(url))
        await rest(events)
    assert isinstance(login.error, Refused)
    assert "The login failed" in answer
    assert not world.token_path().exists()


async def test_nobody_in_the_browser_in_time_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "AUTHORIZATION_TIME", timedelta(seconds=0.05))
    login = begin(world, Flow.AUTHORIZATION_CODE)
    error, shown = await error_of(login)
    assert isinstance(error, LoginRequired)
    assert "in time" in error.message
    assert not await can_connect(parameters(shown[0]["url"])["redirect_uri"])


async def test_a_second_answer_changes_nothing(world: World) -> None:
    async with followed(begin(world, Flow.AUTHORIZATION_CODE)) as events:
        url = (await anext(events))["url"]
        location = world.sandbox.authorize(url)
        with world.sandbox.hold("CreateToken:authorization_code"):
            both = [asyncio.ensure_future(visit(location)) for _ in range(2)]
            await world.held("CreateToken:authorization_code")
        answers = await asyncio.gather(*both)
        await rest(events)
    assert [status for status, _ in answers] == [200, 200]
    assert world.sandbox.calls["CreateToken:authorization_code"] == 1


async def test_a_cancelled_login_tells_the_waiting_browser(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as events:
        url = (await anext(events))["url"]
        with world.sandbox.hold("CreateToken:authorization_code"):
            waiting = asyncio.ensure_future(visit(world.sandbox.authorize(url)))
            await world.held("CreateToken:authorization_code")
            await world.agent.logins.cancel(world.corp)
            _, answer = await waiting
    assert "cancelled" in answer


async def test_scopes_default_to_account_access_for_a_code(world: World) -> None:
    plain = replace(world.corp, scopes=None)
    async with followed(begin(world, Flow.AUTHORIZATION_CODE, plain)) as events:
        assert parameters((await anext(events))["url"])["scopes"] == "sso:account:access"
        registration = world.cache.load_registration(plain)
    assert registration is not None
    assert registration.scopes == ("sso:account:access",)


async def test_a_port_that_cannot_be_had_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_port(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "start_server", no_port)
    error, _ = await error_of(begin(world, Flow.AUTHORIZATION_CODE))
    assert "Too many open files" in error.message


# -- device code --------------------------------------------------------------------------------------------------


async def test_a_login_by_device_shows_code_and_address_and_polls_until_approved(world: World) -> None:
    approve_at(world, 3)
    async with followed(begin(world, Flow.DEVICE_CODE)) as events:
        shown = await rest(events)
    assert shown[0]["event"] == "device_authorization"
    assert shown[0]["user_code"] in shown[0]["verification_uri_complete"]
    assert shown[0]["verification_uri_complete"].startswith(shown[0]["verification_uri"])
    assert shown[0]["expires_at"] == "2026-06-01T09:10:00Z"
    assert shown[1]["event"] == "logged_in"
    assert world.sandbox.calls["CreateToken:device_code"] == 3
    assert world.token().refresh_token is not None


async def test_a_legacy_login_by_device_registers_without_scopes(world: World) -> None:
    approve_at(world, 1)
    async with followed(begin(world, Flow.DEVICE_CODE, world.legacy)) as events:
        shown = await rest(events)
    assert shown[-1]["sso_session"] is None
    registered = next(call for call in world.sandbox.recorded if call.operation == "RegisterClient")
    assert set(json.loads(registered.request.body)) == {"clientName", "clientType"}
    assert world.token(world.legacy).refresh_token is None


class TestPolling:
    """With the interval the service usually asks for."""

    @pytest.fixture
    def lifetimes(self) -> Lifetimes:
        return Lifetimes(interval=5)

    async def test_the_interval_of_the_answer_is_kept(self, world: World) -> None:
        approve_at(world, 4)
        async with followed(begin(world, Flow.DEVICE_CODE)) as events:
            await rest(events)
        assert world.sleep.slept == [5, 5, 5, 5]

    async def test_each_slow_down_adds_five_seconds_for_good(self, world: World) -> None:
        world.sandbox.fail("CreateToken:device_code", SLOW_DOWN)
        world.sandbox.fail("CreateToken:device_code", PENDING)
        world.sandbox.fail("CreateToken:device_code", SLOW_DOWN)
        approve_at(world, 5)
        async with followed(begin(world, Flow.DEVICE_CODE)) as events:
            await rest(events)
        assert world.sleep.slept == [5, 10, 10, 15, 15]

    @pytest.mark.parametrize(
        "failure", [Fault(status=500), Fault(status=429), Fault(cut=Cut.BEFORE), Fault(body=Body.HTML)]
    )
    async def test_a_failing_connection_is_polled_more_and_more_slowly(self, world: World, failure: Fault) -> None:
        """RFC 8628 section 3.5."""
        world.sandbox.fail("CreateToken:device_code", failure, times=3)
        approve_at(world, 4)
        async with followed(begin(world, Flow.DEVICE_CODE)) as events:
            assert (await rest(events))[-1]["event"] == "logged_in"
        assert world.sleep.slept == [5, 10, login_module.LONGEST_BACK_OFF, login_module.LONGEST_BACK_OFF]

    async def test_a_code_that_runs_out_ends_the_login(self, world: World) -> None:
        error, _ = await error_of(begin(world, Flow.DEVICE_CODE))
        assert isinstance(error, LoginRequired)
        assert "in time" in error.message
        assert sum(world.sleep.slept) == pytest.approx(600, abs=5)

    async def test_an_expired_code_ends_the_login_at_once(self, world: World) -> None:
        world.sandbox.fail("CreateToken:device_code", Fault(error="ExpiredTokenException"))
        error, _ = await error_of(begin(world, Flow.DEVICE_CODE))
        assert "in time" in error.message
        assert world.sleep.slept == [5]

    async def test_an_answer_without_an_interval_means_five_seconds(self, world: World) -> None:
        world.sandbox.fail("StartDeviceAuthorization", Fault(without=("interval",)))
        approve_at(world, 1)
        async with followed(begin(world, Flow.DEVICE_CODE)) as events:
            await rest(events)
        assert world.sleep.slept == [5]


async def test_an_interval_of_zero_is_kept_but_backing_off_from_it_works(world: World) -> None:
    world.sandbox.fail("CreateToken:device_code", Fault(status=500), times=2)
    approve_at(world, 3)
    async with followed(begin(world, Flow.DEVICE_CODE)) as events:
        await rest(events)
    assert world.sleep.slept[0] == 0
    assert 0 < world.sleep.slept[1] < world.sleep.slept[2]


async def test_a_device_that_is_denied_ends_the_login(world: World) -> None:
    login = begin(world, Flow.DEVICE_CODE)
    world.sleep.then = lambda _: world.sandbox.deny(login.events[0]["user_code"])
    error, _ = await error_of(login)
    assert isinstance(error, LoginDenied)


async def test_any_other_refusal_ends_the_login(world: World) -> None:
    world.sandbox.fail("CreateToken:device_code", Fault(error="InvalidGrantException"))
    error, _ = await error_of(begin(world, Flow.DEVICE_CODE))
    assert isinstance(error, Refused)
    assert error.status == 6


@pytest.mark.parametrize(
    "address", ["http://evil.example/device", "javascript:alert(1)", "file:///etc/passwd", "https:///x"]
)
async def test_an_address_that_is_not_https_is_shown_to_nobody(world: World, address: str) -> None:
    world.sandbox.fail("StartDeviceAuthorization", Fault(members={"verificationUriComplete": address}))
    error, shown = await error_of(begin(world, Flow.DEVICE_CODE))
    assert isinstance(error, Unavailable)
    assert len(shown) == 1
    assert address not in json.dumps(shown)


async def test_the_short_address_is_checked_like_the_long_one(world: World) -> None:
    """It is the one that people copy."""
    world.sandbox.fail("StartDeviceAuthorization", Fault(members={"verificationUri": "http://evil.example/device"}))
    error, shown = await error_of(begin(world, Flow.DEVICE_CODE))
    assert isinstance(error, Unavailable)
    assert len(shown) == 1


@pytest.mark.parametrize("flow", Flow)
@pytest.mark.parametrize(
    "failure", [Fault(status=500), Fault(body=Body.HTML), Fault(body=Body.LIST), Fault(cut=Cut.MIDDLE)]
)
async def test_a_registration_that_fails_ends_the_login(world: World, flow: Flow, failure: Fault) -> None:
    world.sandbox.fail("RegisterClient", failure)
    error, shown = await error_of(begin(world, flow))
    assert isinstance(error, Unavailable)
    assert len(shown) == 1


@pytest.mark.parametrize("members", [{"interval": "soon"}, {"interval": []}, {"expiresIn": "later"}, {"userCode": 7}])
async def test_an_answer_of_the_wrong_shape_ends_the_login(world: World, members: dict[str, object]) -> None:
    world.sandbox.fail("StartDeviceAuthorization", Fault(members=members))
    error, _ = await error_of(begin(world, Flow.DEVICE_CODE))
    assert isinstance(error, Unavailable)


# -- registrations ------------------------------------------------------------------------------------------------


async def log_in_by_device(world: World) -> list[Event]:
    world.sleep.slept.clear()
    approve_at(world, 1)
    async with followed(begin(world, Flow.DEVICE_CODE, force=True)) as events:
        return await rest(events)


async def log_in_by_code(world: World) -> list[Event]:
    async with followed(begin(world, Flow.AUTHORIZATION_CODE, force=True)) as events:
        await visit(world.sandbox.authorize((await anext(events))["url"]))
        return await rest(events)


async def test_a_registration_is_used_again(world: World) -> None:
    await log_in_by_device(world)
    await log_in_by_device(world)
    assert world.sandbox.calls["RegisterClient"] == 1
    world.clock.advance(days=89)
    await log_in_by_device(world)
    assert world.sandbox.calls["RegisterClient"] == 1


async def test_a_registration_of_the_other_flow_is_replaced(world: World) -> None:
    await log_in_by_device(world)
    await log_in_by_code(world)
    assert world.sandbox.calls["RegisterClient"] == 2
    await log_in_by_code(world)
    assert world.sandbox.calls["RegisterClient"] == 2
    await log_in_by_device(world)
    assert world.sandbox.calls["RegisterClient"] == 3


async def test_a_registration_with_less_than_15_minutes_left_is_replaced(world: World) -> None:
    await log_in_by_device(world)
    world.clock.advance(days=90)
    world.clock.advance(minutes=-16)
    await log_in_by_device(world)
    assert world.sandbox.calls["RegisterClient"] == 1
    world.clock.advance(minutes=2)
    await log_in_by_device(world)
    assert world.sandbox.calls["RegisterClient"] == 2


async def test_a_registration_that_the_server_has_forgotten_is_made_anew(world: World) -> None:
    await log_in_by_device(world)
    registration = world.cache.load_registration(world.corp)
    assert registration is not None
    world.sandbox.forget_client(registration.client_id)
    assert (await log_in_by_device(world))[-1]["event"] == "logged_in"
    assert world.sandbox.calls["RegisterClient"] == 2


async def test_a_client_whose_sign_in_page_brought_nobody_back_is_registered_anew(world: World) -> None:
    """Perhaps the server has forgotten it: only the person saw that."""
    await log_in_by_code(world)
    async with followed(begin(world, Flow.AUTHORIZATION_CODE, force=True)) as events:
        await anext(events)
    assert world.sandbox.calls["RegisterClient"] == 1
    await log_in_by_code(world)
    assert world.sandbox.calls["RegisterClient"] == 2


async def test_a_login_given_up_while_its_token_is_issued_leaves_neither_token_nor_sign_in(world: World) -> None:
    approve_at(world, 1)
    login = begin(world, Flow.DEVICE_CODE)
    with world.sandbox.hold("CreateToken:device_code"):
        following = asyncio.ensure_future(rest(login.follow()))
        await world.held("CreateToken:device_code")
        await world.agent.logout(world.everything())
    assert (await following)[-1]["event"] == "failed"
    await until(lambda: world.sandbox.calls["Logout"] == 1)
    assert not world.token_path().exists()


@pytest.mark.parametrize("content", [b"", b"{bad", b"[]", b'{"clientId": "x"}', b'{"clientId": 1, "clientSecret": 2}'])
async def test_an_unusable_registration_file_is_mended(world: World, content: bytes) -> None:
    """The AWS CLI cannot log in any more until somebody removes it."""
    world.cache.directory.mkdir(parents=True)
    world.cache.registration_path(world.corp).write_bytes(content)
    assert (await log_in_by_device(world))[-1]["event"] == "logged_in"
    assert world.cache.load_registration(world.corp) is not None


async def test_a_registration_that_cannot_be_kept_does_not_stop_the_login(world: World) -> None:
    world.cache.registration_path(world.corp).mkdir(parents=True)
    assert (await log_in_by_device(world))[-1]["event"] == "logged_in"


# -- joining and leaving ------------------------------------------------------------------------------------------


async def test_a_second_caller_joins_is_shown_the_same_and_ends_alike(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as first:
        event = await anext(first)
        joined = begin(world, Flow.DEVICE_CODE, force=True)
        assert joined is login
        async with followed(joined) as second:
            assert await anext(second) == event
            await visit(world.sandbox.authorize(event["url"]))
            assert await rest(first) == await rest(second)
    assert world.sandbox.calls["CreateToken:authorization_code"] == 1


async def test_the_login_goes_on_until_the_last_follower_leaves(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as first:
        uri = parameters((await anext(first))["url"])["redirect_uri"]
        async with followed(login) as second:
            await anext(second)
        assert await can_connect(uri)
        assert world.agent.logins.under_way() == [login]
    assert login.has_ended
    assert world.agent.logins.under_way() == []
    assert not await can_connect(uri)
    assert isinstance(login.error, LoginRequired)


async def test_a_login_can_be_begun_again_after_it_was_cancelled(world: World) -> None:
    async with followed(begin(world, Flow.AUTHORIZATION_CODE)) as events:
        await anext(events)
    assert (await log_in_by_code(world))[-1]["event"] == "logged_in"


async def test_two_sessions_log_in_at_once(world: World) -> None:
    lab = replace(world.corp, name="lab")
    async with (
        followed(begin(world, Flow.AUTHORIZATION_CODE)) as one,
        followed(begin(world, Flow.AUTHORIZATION_CODE, lab)) as other,
    ):
        first, second = (await anext(one))["url"], (await anext(other))["url"]
        assert parameters(first)["redirect_uri"] != parameters(second)["redirect_uri"]
        await visit(world.sandbox.authorize(second, person="bob"))
        assert (await rest(other))[-1]["sso_session"] == "lab"
        await visit(world.sandbox.authorize(first))
        assert (await rest(one))[-1]["sso_session"] == "corp"
    assert world.token().access_token != world.token(lab).access_token


async def test_a_good_session_needs_no_login_unless_forced(world: World) -> None:
    world.log_in()
    login, event = world.agent.login(world.fields(flow=Flow.AUTHORIZATION_CODE.value))
    assert login is None
    assert event == {
        "event": "logged_in",
        "sso_session": "corp",
        "start_url": world.corp.start_url,
        "expires_at": "2026-06-01T10:00:00Z",
    }
    forced = begin(world, Flow.AUTHORIZATION_CODE, force=True)
    await forced.cancel()


async def test_an_expired_session_is_not_good(world: World) -> None:
    world.log_in()
    world.clock.advance(hours=1)
    await begin(world, Flow.AUTHORIZATION_CODE).cancel()


async def test_a_login_under_way_shows_in_the_status(world: World) -> None:
    async with followed(begin(world, Flow.DEVICE_CODE)) as events:
        await anext(events)
        found = world.agent.status(world.everything())["status"]["logins"]
        assert found[0]["sso_session"] == "corp"
        assert found[0]["flow"] == "device_code"
        assert found[0]["expires_at"] == "2026-06-01T09:10:00Z"


async def test_a_logout_cancels_the_login_under_way(world: World) -> None:
    login = begin(world, Flow.AUTHORIZATION_CODE)
    async with followed(login) as events:
        uri = parameters((await anext(events))["url"])["redirect_uri"]
        await world.agent.logout(world.everything())
        assert (await rest(events))[-1]["event"] == "failed"
    assert not await can_connect(uri)


# -- writing ------------------------------------------------------------------------------------------------------


async def test_a_directory_in_the_tokens_place_is_named(world: World) -> None:
    world.token_path().mkdir(parents=True)
    (world.token_path() / "file").write_text("x")
    approve_at(world, 1)
    error, _ = await error_of(begin(world, Flow.DEVICE_CODE))
    assert error.status == 1
    assert str(world.token_path()) in error.message
    assert str(world.token_path()) in (error.hint or "")


@pytest.mark.parametrize("kind", ["symlink", "torn", "read-only"])
async def test_whatever_else_is_in_the_tokens_place_is_replaced(world: World, kind: str) -> None:
    path = world.token_path()
    path.parent.mkdir(parents=True)
    target = world.home / "precious"
    target.write_text("precious")
    if kind == "symlink":
        path.symlink_to(target)
    else:
        path.write_text('{"acc')
        path.chmod(0o400 if kind == "read-only" else 0o644)
    await log_in_by_device(world)
    assert world.token().access_token
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert target.read_text() == "precious"


async def test_a_refresh_that_holds_the_lock_for_too_long_costs_no_login(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_module, "LOCK_PATIENCE", 0.02)
    approve_at(world, 1)
    with file_lock.locked(world.lock_path("corp"), seconds=1):
        events = [event["event"] for event in await rest(begin(world, Flow.DEVICE_CODE).follow())]
        assert events == ["device_authorization", "warning", "logged_in"]
        assert not world.token_path().exists()
        assert await world.get()
    await world.live(seconds=10)
    assert world.token() == await world.agent.tokens.current(world.corp)


async def test_the_token_is_durable_before_anybody_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[Event]] = []
    save = TokenCache.save_token

    def observed(cache: TokenCache, session: SsoSession, token: Token) -> None:
        told.append(list(world.agent.logins.under_way()[0].events))
        save(cache, session, token)

    monkeypatch.setattr(TokenCache, "save_token", observed)
    await log_in_by_device(world)
    assert [event["event"] for event in told[0]] == ["device_authorization"]


async def test_a_forced_login_replaces_a_good_token_and_its_credentials(world: World) -> None:
    old = world.log_in()
    await world.get()
    await log_in_by_device(world)
    assert world.token().access_token != old.access_token
    await world.get()
    assert world.fetches() == 2


async def test_a_login_wins_over_a_refresh_under_way(world: World) -> None:
    world.log_in()
    world.clock.advance(minutes=50)
    await world.agent.tokens.current(world.corp)
    world.clock.advance(minutes=60)
    with world.sandbox.hold("CreateToken:refresh_token"):
        refreshing = asyncio.ensure_future(world.agent.tokens.current(world.corp))
        await world.held("CreateToken:refresh_token")
        approve_at(world, 1)
        login = begin(world, Flow.DEVICE_CODE, force=True)
        following = asyncio.ensure_future(rest(login.follow()))
        await until(lambda: world.sandbox.calls["CreateToken:device_code"] > 1)
    await following
    await asyncio.wait({refreshing})
    assert await world.agent.tokens.current(world.corp) == world.token()
    assert world.token().expires_at - world.clock.now() > minutes(55)


async def test_a_login_on_a_full_disk_succeeds_and_warns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(TokenCache, "save_token", refuse)
        approve_at(world, 1)
        events = [event["event"] for event in await rest(begin(world, Flow.DEVICE_CODE).follow())]
        assert events == ["device_authorization", "warning", "logged_in"]
        assert await world.get()
        assert not world.token_path().exists()
    await world.live(seconds=10)
    assert world.token() == await world.agent.tokens.current(world.corp)
