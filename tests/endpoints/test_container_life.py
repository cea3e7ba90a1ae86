"""The container credentials endpoint over time: when it listens, how long anybody waits, and who can hold it up."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from credhelper.agent.gate import Outcome, Passage
from credhelper.domain.errors import AccessRefused, ConfirmationPending, CredhelperError, PolicyRefused
from credhelper.endpoints import container_http
from credhelper.endpoints.container_http import MOST_CONNECTIONS, ContainerHttp
from credhelper.local import listeners, loopback_http
from credhelper.sandbox.faults import Fault
from tests.agent.world import until
from tests.endpoints.conftest import placed
from tests.endpoints.knocking import Place, send


async def can_connect(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def restarted(place: Place) -> None:
    """The next daemon of the same home."""
    await place.http.stop()
    await place.world.agent.stop()
    place.world.agent = place.world.new_agent()
    place.http = ContainerHttp(place.world.agent)
    await place.world.agent.openings.load()
    place.http.begin()


# -- when it listens --------------------------------------------------------------------------------------------------


async def test_it_listens_from_the_first_grant_to_the_last_ones_end(place: Place) -> None:
    assert not place.is_listening
    first = await place.grant("dev")
    port = place.port
    second = await place.grant("readonly")
    assert place.port == port
    await place.world.agent.openings.close(first["id"])
    assert place.port == port
    assert (await place.ask(second)).status == 200
    await place.world.agent.openings.close(second["id"])
    assert not place.is_listening
    assert not await can_connect(port)
    assert (await place.ask(await place.grant("dev"))).status == 200, "and again"


async def test_it_listens_on_loopback_alone(place: Place) -> None:
    await place.grant()
    server = place.http.reception._listener
    assert server is not None
    assert server.getsockname() == ("127.0.0.1", place.port)


async def test_what_is_revoked_or_expired_is_unknown(place: Place) -> None:
    kept = await place.grant()
    unknown = repr(await place.ask(kept | {"token": "unknown"}))
    revoked, expiring = await place.grant(), await place.grant(ttl=timedelta(minutes=30))
    await place.world.agent.openings.close(revoked["id"])
    assert repr(await place.ask(revoked)) == unknown
    assert (await place.ask(expiring)).status == 200
    place.world.clock.advance(minutes=30)
    assert repr(await place.ask(expiring)) == unknown


async def test_a_restart_loses_no_grant(place: Place) -> None:
    first, second = await place.grant("dev"), await place.grant("readonly", ttl=timedelta(hours=1))
    port = place.port
    await restarted(place)
    assert place.port == port
    assert (await place.ask(first)).status == 200
    assert (await place.ask(second)).status == 200
    third = await place.grant("dev")
    assert third["uri"].startswith(f"http://127.0.0.1:{port}/v1/creds/")


async def test_a_restart_without_any_listens_nowhere(place: Place) -> None:
    granted = await place.grant()
    await place.world.agent.openings.close(granted["id"])
    await restarted(place)
    assert not place.is_listening


async def test_a_port_that_is_taken_after_a_restart_is_a_trouble_until_it_is_free(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_http, "FIRST_PAUSE", 0.01)
    granted = await place.grant()
    port = place.port
    await place.http.stop()
    with socket.create_server(("127.0.0.1", port)):
        await restarted(place)
        assert not place.is_listening
        health = await place.world.agent.health.document()
        assert f"the credentials endpoint cannot be opened: port {port}: Address already in use" in health["troubles"]
    await until(lambda: place.is_listening)
    assert place.port == port
    assert (await place.ask(granted)).status == 200
    assert "cannot be opened" not in repr(await place.world.agent.health.document())


async def test_who_comes_new_need_not_wait_for_a_port_that_is_taken(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await place.grant()
    port = place.port
    await place.http.stop()
    with socket.create_server(("127.0.0.1", port)):
        await restarted(place)
        new = await place.grant()
        assert place.port != port
        assert (await place.ask(new)).status == 200
    assert f"port {port} of 127.0.0.1 is taken" in caplog.text


@pytest.mark.parametrize("comes_new", [False, True])
async def test_tokens_that_another_user_may_have_been_shown_open_nothing_any_more(
    place: Place, monkeypatch: pytest.MonkeyPatch, comes_new: bool
) -> None:
    monkeypatch.setattr(container_http, "FIRST_PAUSE", 0.01)
    granted = await place.grant()
    port = place.port
    await place.http.stop()
    with socket.create_server(("127.0.0.1", port)):
        await restarted(place)
        monkeypatch.setattr(listeners, "is_another_users", lambda found: found == port)
        if comes_new:
            new = await place.grant()
            assert (await place.ask(new)).status == 200
        await until(lambda: place.world.agent.openings.by_token(granted["token"].encode()) is None)
    assert len(place.world.agent.openings.all()) == comes_new
    await restarted(place)
    assert len(place.world.agent.openings.all()) == comes_new


async def test_where_no_port_can_be_had_nothing_is_granted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "create_server", none_left)
    with pytest.raises(CredhelperError, match=r"no port of 127\.0\.0\.1 can be had: Too many open files"):
        await place.grant()
    assert place.world.agent.openings.all() == []


async def test_a_logout_ends_it(place: Place) -> None:
    granted = await place.grant()
    port = place.port
    await place.world.agent.logout(place.world.fields())
    assert not await can_connect(port)
    place.world.log_in()
    another = await place.grant("readonly")
    assert (await place.ask(granted | {"uri": another["uri"]})).status == 401, "for good"
    assert (await place.ask(another)).status == 200


async def test_a_grant_comes_with_all_that_its_user_needs(place: Place) -> None:
    granted = await place.grant(ttl=timedelta(hours=1))
    assert granted == {
        "id": granted["id"],
        "uri": f"http://127.0.0.1:{place.port}/v1/creds/{granted['id']}",
        "token": granted["token"],
        "expires_at": granted["expires_at"],
        "account_id": "111122223333",
        "role_name": "Developer",
        "profile": "dev",
        "region": "eu-west-1",
    }
    assert len(granted["token"]) == 43
    assert granted["token"] not in repr(place.opening(granted))


async def test_who_cannot_have_credentials_gets_no_grant(place: Place) -> None:
    place.world.sandbox.unassign("alice", "111122223333", "Developer")
    with pytest.raises(AccessRefused):
        await place.grant()
    assert not place.is_listening


# -- what it says when there are no credentials -----------------------------------------------------------------------


async def test_credentials_renew_themselves(place: Place) -> None:
    granted = await place.grant()
    first = (await place.ask(granted)).json()
    place.world.clock.advance(minutes=50)
    second = (await place.ask(granted)).json()
    assert second["AccessKeyId"] != first["AccessKeyId"]
    assert second["Expiration"] > first["Expiration"]


async def test_without_a_login_it_says_what_to_do(place: Place) -> None:
    granted, world = await place.grant(), place.world
    world.save(replace(world.token(), expires_at=world.clock.now(), refresh_token=None))
    reply = await place.ask(granted)
    assert reply.status == 403
    assert reply.json()["code"] == "login_required"
    assert "credhelper login --sso-session corp" in reply.json()["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PolicyRefused("rule “no make” says no"), 403),
        (ConfirmationPending("rule “ask” wants you asked"), 403),
        (CredhelperError("a fault"), 500),
    ],
)
async def test_a_refusal_has_its_word(place: Place, error: CredhelperError, status: int) -> None:
    granted = await place.grant()

    def refuse(_: Passage) -> None:
        raise error

    place.world.agent.gate.checks.append(refuse)
    reply = await place.ask(granted)
    assert (reply.status, reply.json()["Code"]) == (status, error.code)
    assert error.message in reply.json()["Message"]


async def test_a_broken_profile_is_no_fault_of_aws(place: Place) -> None:
    granted = await place.grant()
    place.world.write_config("[profile dev]\nsso_session = elsewhere\n")
    assert (await place.ask(granted)).status == 400


async def test_when_aws_fails_it_is_worth_another_try(place: Place) -> None:
    granted = await place.grant()
    place.world.sandbox.fail("GetRoleCredentials", Fault(status=500), times=2)
    place.world.clock.advance(minutes=70)
    reply = await place.ask(granted)
    assert reply.status == 503
    assert reply.json()["code"] == "unavailable"
    place.world.clock.advance(minutes=1)
    assert (await place.ask(granted)).status == 200


async def test_nobody_waits_longer_than_an_sdk_does_and_the_next_one_finds_what_came(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert container_http.PATIENCE < 1.5
    granted = await place.grant()
    fetches = place.world.fetches()
    monkeypatch.setattr(container_http, "PATIENCE", 0.05)
    place.world.sandbox.hold("GetRoleCredentials")
    place.world.clock.advance(minutes=70)
    replies = await asyncio.gather(*(place.ask(granted) for _ in range(3)))
    assert {reply.status for reply in replies} == {503}
    assert "no credentials from AWS within 0.05 s" in replies[0].json()["message"]
    place.world.sandbox.release()
    await until(lambda: place.world.agent.roles.hit(place.world.developer) is not None)
    assert (await place.ask(granted)).status == 200
    assert place.world.fetches() == fetches + 1


async def test_what_is_handed_out_is_told_as_through_this_door(place: Place) -> None:
    granted, told = await place.grant(), list[Outcome]()
    place.world.agent.gate.on_outcome.append(told.append)
    await place.ask(granted)
    await place.ask(granted | {"token": "wrong"})
    assert [(each.passage.wanted.door, each.outcome, each.is_hit) for each in told] == [("container", "ok", True)]
    assert told[0].passage.wanted.is_standing


async def test_a_fault_of_ours_is_told_as_such_and_is_no_end(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    granted = await place.grant()

    def broken(_: Passage) -> None:
        raise RuntimeError("a secret")

    place.world.agent.gate.checks.append(broken)
    reply = await place.ask(granted)
    assert reply.status == 500
    assert "secret" not in reply.body
    assert "a fault while answering over HTTP" in caplog.text
    place.world.agent.gate.checks.remove(broken)
    assert (await place.ask(granted)).status == 200


async def test_no_token_reaches_the_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    granted = await place.grant()
    secrets = (await place.ask(granted)).json()
    await send(place.port, place.request(granted)[:-4] + b"\r\nOrigin: a\r\n\r\n")
    await place.world.agent.openings.close(granted["id"])
    for secret in (granted["token"], secrets["SecretAccessKey"], secrets["Token"]):
        assert secret not in caplog.text


# -- nobody holds it up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /v1/creds/ HTTP/1.1\r\nHost: "])
async def test_who_sends_no_whole_request_in_time_is_cut_off(
    place: Place, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback_http, "REQUEST_SECONDS", 0.05)
    await place.grant()
    assert await send(place.port, sent) == b""


async def test_who_leaves_while_it_waits_is_forgotten(place: Place) -> None:
    granted = await place.grant()
    place.world.sandbox.hold("GetRoleCredentials")
    place.world.clock.advance(minutes=70)
    with socket.create_connection(("127.0.0.1", place.port)) as caller:
        caller.sendall(place.request(granted))
        await place.world.held("GetRoleCredentials")
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it ends with a reset
    await until(lambda: not place.http.reception.conversations)
    place.world.sandbox.release()
    await until(lambda: place.world.agent.roles.hit(place.world.developer) is not None)
    assert (await place.ask(granted)).status == 200


async def test_five_hundred_who_never_finish_keep_nobody_waiting(place: Place) -> None:
    granted = await place.grant()
    with contextlib.ExitStack() as stack:
        for number in range(500):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", place.port)))
            slow.sendall(place.request(granted)[: number % 120])
        await until(lambda: len(place.http.reception.conversations) == 500)
        replies = await asyncio.gather(*(place.ask(granted) for _ in range(100)))
        assert [reply.status for reply in replies] == [200] * 100
        assert len(place.http.reception.conversations) == 500, "while they are there"


async def test_of_too_many_the_oldest_that_has_not_finished_goes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_CONNECTIONS == 1024
    granted = await place.grant()
    place.http.reception._most = 20
    streams = []
    for number in range(20):
        streams.append(await asyncio.open_connection("127.0.0.1", place.port))
        await until(lambda number=number: len(place.http.reception.conversations) == number + 1)  # type: ignore[misc]
    assert (await place.ask(granted)).status == 200
    assert await streams[0][0].read() == b""
    assert len(place.http.reception.conversations) == 19
    for _, writer in streams:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# -- whatever comes ---------------------------------------------------------------------------------------------------

WORDS = ("GET", "POST", "HTTP/1.1", "/v1/creds/", "Host", "Authorization", "Origin", "Content-Length", "chunked")


def requests(good: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of any kind, and good requests that something has happened to; the token never stands where it should."""
    spoilt = good.replace(b"Authorization: ", b"X-Authorization: ")
    pieces = st.one_of(
        st.binary(max_size=40),
        st.sampled_from(WORDS).map(str.encode),
        st.sampled_from(
            [b"\r\n", b"\r\n\r\n", b": ", b" ", b"\0", b"\n", spoilt, good.replace(b" HTTP/1.1", b"x HTTP/1.1")]
        ),
        *(st.just(line + b"\r\n") for line in spoilt.split(b"\r\n") if line),
    )

    def cut(parts: tuple[int, int, bytes]) -> bytes:
        start, end, between = parts
        return spoilt[:start] + between + spoilt[end:]

    size = st.integers(0, len(spoilt))
    return st.one_of(
        st.binary(max_size=300),
        st.lists(pieces, max_size=12).map(b"".join),
        st.tuples(size, size, st.binary()).map(cut),
    )


@pytest.fixture
def no_faults(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.exc_info] == []


def test_whatever_comes_nobody_gets_credentials_without_the_token(tmp_path: Path, no_faults: None) -> None:
    """Each of a few hundred requests ends with one answer, or with the connection, when its sender has said all."""

    async def fuzz() -> None:
        async with placed(tmp_path) as place:
            granted = await place.grant()
            good = place.request(granted)
            loop = asyncio.get_running_loop()
            port, statuses = place.port, set[int]()

            @seed(9)
            @settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(requests(good))
            def knock(sent: bytes) -> None:
                answer = asyncio.run_coroutine_threadsafe(_all_said(port, sent), loop).result(30)
                assert b"SecretAccessKey" not in answer, sent
                if answer:
                    status = int(answer.split(b" ", 2)[1])
                    assert status in {400, 401, 403, 404, 405, 414, 431, 505}, sent
                    statuses.add(status)

            await asyncio.to_thread(knock)
            assert statuses >= {400, 401, 403}, "it is not always the same"
            await until(lambda: not place.http.reception.conversations)
            assert (await place.ask(granted)).status == 200

    asyncio.run(fuzz())


async def _all_said(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
