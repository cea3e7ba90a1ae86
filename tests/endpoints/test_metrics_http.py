"""The door for Prometheus: who is answered, who is turned away and how, and that nobody can hold it up."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from credhelper.agent.agent import Agent
from credhelper.agent.health import Trouble
from credhelper.domain.errors import CredhelperError
from credhelper.endpoints import metrics_http
from credhelper.endpoints.metrics_http import MOST_CONNECTIONS, MetricsHttp
from credhelper.local import loopback_http
from credhelper.local.loopback_http import Answer
from credhelper.local.settings import Settings
from tests.agent.world import until
from tests.clocks import HandClock

ANYWHERE = Settings(metrics_listen="127.0.0.1:0")
NOWHERE = Settings()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def agent(tmp_path: Path, clock: HandClock) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path / "home", tmp_path / "state", clock=clock, rng=random.Random(1))
    yield agent
    await agent.stop()


@pytest.fixture
async def door(agent: Agent, clock: HandClock) -> AsyncIterator[MetricsHttp]:
    door = MetricsHttp(agent, monotonic=clock.monotonic)
    door.apply(ANYWHERE)
    yield door
    await door.stop()


def port(door: MetricsHttp) -> int:
    assert door.url is not None
    return int(door.url.removesuffix("/metrics").rpartition(":")[2])


async def send(door: MetricsHttp, sent: bytes, host: str = "127.0.0.1") -> bytes:
    """Everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection(host, port(door))
    writer.write(sent)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(door: MetricsHttp, head: str, body: str = "") -> tuple[int, dict[str, str], str]:
    """The status, the headers and the body of an answer; PORT in ``head`` becomes the door's."""
    lines = head.replace("PORT", str(port(door))).strip().splitlines()
    answer = (await send(door, ("\r\n".join(line.strip() for line in lines) + "\r\n\r\n" + body).encode())).decode()
    answered, _, content = answer.partition("\r\n\r\n")
    status, *headers = answered.split("\r\n")
    found = dict(line.split(": ", 1) for line in headers)
    assert len(found) == len(headers)
    return int(status.split()[1]), {name.lower(): value for name, value in found.items()}, content


def good(*more: str, method: str = "GET", target: str = "/metrics", host: str = "127.0.0.1:PORT") -> str:
    return "\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *more))


# -- what it serves -------------------------------------------------------------------------------------------------


async def test_a_scrape_gets_every_metric_in_prometheuss_format(door: MetricsHttp) -> None:
    status, headers, body = await ask(door, good("Accept: text/plain", "X-Prometheus-Scrape-Timeout-Seconds: 10"))
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert int(headers["content-length"]) == len(body)
    assert "credhelper_build_info" in {family.name for family in text_string_to_metric_families(body)}


async def test_health_is_json_and_its_status_tells_a_probe_enough(door: MetricsHttp, agent: Agent) -> None:
    status, headers, body = await ask(door, good(target="/health"))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["healthy"] is True
    agent.health.asks.append(lambda: Trouble("it is over", "at a secret place", is_fatal=True))
    status, _, body = await ask(door, good(target="/health"))
    assert status == 200, "the same answer for everybody within a second"


async def test_a_daemon_that_needs_a_restart_answers_503(door: MetricsHttp, agent: Agent, clock: HandClock) -> None:
    agent.health.asks.append(lambda: Trouble("it is over", "at a secret place", is_fatal=True))
    status, _, body = await ask(door, good(target="/health"))
    assert status == 503
    assert json.loads(body)["troubles"] == ["it is over"]
    assert "secret" not in body
    assert "pid" not in json.loads(body)
    agent.health.asks.pop()
    clock.advance(seconds=1)
    assert (await ask(door, good(target="/health")))[0] == 200


@pytest.mark.parametrize("target", ["/metrics", "/health"])
async def test_head_gets_what_get_gets_but_no_body(door: MetricsHttp, target: str) -> None:
    _, with_body, body = await ask(door, good(target=target))
    status, headers, nothing = await ask(door, good(method="HEAD", target=target))
    assert (status, nothing) == (200, "")
    assert headers == with_body
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize("head", [good(), good("Origin: null"), good(target="/"), good(method="PUT"), "nonsense"])
async def test_no_answer_may_be_kept_run_or_framed_or_says_who_made_it(door: MetricsHttp, head: str) -> None:
    _, headers, body = await ask(door, head)
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    assert not [name for name in headers if name.startswith("access-control-") or name in {"server", "date"}]
    assert "set-cookie" not in headers
    assert len(body) < 100 or body.startswith("# HELP")


async def test_who_asks_within_a_second_shares_an_answer_and_later_ones_get_a_new_one(
    door: MetricsHttp, agent: Agent, clock: HandClock
) -> None:
    answers = await asyncio.gather(*(ask(door, good()) for _ in range(10)))
    first = answers[0][2]
    assert {answer[2] for answer in answers} == {first}
    agent.counts.logouts["ok"] += 1
    clock.advance(seconds=0.9)
    assert (await ask(door, good()))[2] == first
    clock.advance(seconds=0.1)
    later = (await ask(door, good()))[2]
    assert 'credhelper_logouts_total{outcome="ok"} 1.0' in later


async def test_every_answer_is_counted_by_its_status(door: MetricsHttp, agent: Agent) -> None:
    for head in (good(), good(method="HEAD"), good(target="/"), good("Via: a"), "nonsense"):
        await ask(door, head)
    assert agent.counts.http == {200: 2, 404: 1, 403: 1, 400: 1}


# -- who is turned away ---------------------------------------------------------------------------------------------

LONG = "x" * 5000
CASES: dict[str, tuple[str, int]] = {
    # Its own name, and nothing else.
    "its address": (good(), 200),
    "its name": (good(host="localhost:PORT"), 200),
    "its name in capitals": (good(host="LOCALHOST:PORT"), 200),
    "a name that leads here": (good(host="rebound.example:PORT"), 403),
    "a name that begins like its own": (good(host="localhost.example:PORT"), 403),
    "a name that ends like its own": (good(host="evil-localhost:PORT"), 403),
    "its address with a dot behind": (good(host="127.0.0.1.:PORT"), 403),
    "another address of loopback": (good(host="127.0.0.2:PORT"), 403),
    "its address in another family": (good(host="[::1]:PORT"), 403),
    "its address as one number": (good(host="2130706433:PORT"), 403),
    "any address": (good(host="0.0.0.0:PORT"), 403),
    "another port": (good(host="127.0.0.1:1"), 403),
    "no port": (good(host="127.0.0.1"), 403),
    "an empty port": (good(host="127.0.0.1:"), 403),
    "an empty host": (good(host=""), 403),
    "a user": (good(host="a@127.0.0.1:PORT"), 403),
    "no host": ("GET /metrics HTTP/1.1", 400),
    "no host in an old version": ("GET /metrics HTTP/1.0", 403),
    "its address in an old version": (good().replace("HTTP/1.1", "HTTP/1.0"), 200),
    "two hosts": (good("Host: 127.0.0.1:PORT"), 400),
    "two different hosts": (good("Host: evil.example"), 400),
    "two hosts in one": (good(host="127.0.0.1:PORT, evil.example"), 403),
    # No web page, however it asks, and no proxy.
    "a page's origin": (good("Origin: https://evil.example"), 403),
    "an origin without a name": (good("Origin: null"), 403),
    "its own origin": (good("Origin: http://127.0.0.1:PORT"), 403),
    "a referer": (good("Referer: https://evil.example/"), 403),
    "its own referer": (good("Referer: http://127.0.0.1:PORT/metrics"), 403),
    "an empty referer": (good("Referer:"), 403),
    "a header in capitals": (good("ORIGIN: https://evil.example"), 403),
    "another site": (good("Sec-Fetch-Site: cross-site"), 403),
    "the same site": (good("Sec-Fetch-Site: same-site"), 403),
    "the same origin": (good("Sec-Fetch-Site: same-origin"), 403),
    "a person's address bar": (good("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"), 200),
    "two words on where it comes from": (good("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"), 403),
    "forwarded": (good("Forwarded: for=1.2.3.4"), 403),
    "forwarded for": (good("X-Forwarded-For: 127.0.0.1"), 403),
    "forwarded host": (good("X-Forwarded-Host: 127.0.0.1"), 403),
    "forwarded protocol": (good("X-Forwarded-Proto: http"), 403),
    "forwarded anything": (good("X-Forwarded-Anything: 1"), 403),
    "via": (good("Via: 1.1 proxy"), 403),
    "a cookie": (good("Cookie: a=b"), 403),
    "an empty cookie": (good("Cookie:"), 403),
    # Only reading.
    "post": (good(method="POST"), 405),
    "post with a body": (good("Content-Length: 2", method="POST"), 405),
    "put": (good(method="PUT"), 405),
    "delete": (good(method="DELETE"), 405),
    "options": (good(method="OPTIONS"), 405),
    "options for everything": (good(method="OPTIONS", target="*"), 405),
    "trace": (good(method="TRACE"), 405),
    "connect": (good(method="CONNECT", target="evil.example:443"), 405),
    "a method that is none": (good(method="STEAL"), 405),
    "a method in small letters": (good(method="get"), 405),
    "a page's question whether it may": (good("Origin: https://evil.example", method="OPTIONS"), 403),
    # No body.
    "an empty body": (good("Content-Length: 0"), 200),
    "a body": (good("Content-Length: 1"), 400),
    "a long body": (good("Content-Length: 99999999999"), 400),
    "a negative body": (good("Content-Length: -1"), 400),
    "a body that is no number": (good("Content-Length: one"), 400),
    "two lengths": (good("Content-Length: 1", "Content-Length: 2"), 400),
    "a body in chunks": (good("Transfer-Encoding: chunked"), 400),
    "a body in gzip": (good("Transfer-Encoding: gzip"), 400),
    # Nothing else is there.
    "the root": (good(target="/"), 404),
    "a slash too many": (good(target="/metrics/"), 404),
    "two slashes": (good(target="//metrics"), 404),
    "a query": (good(target="/metrics?debug=1"), 404),
    "capitals": (good(target="/METRICS"), 404),
    "an encoded letter": (good(target="/%6Detrics"), 404),
    "a way around": (good(target="/health/../metrics"), 404),
    "a whole address": (good(target="http://127.0.0.1:PORT/metrics"), 404),
    "a whole foreign address": (good(target="http://evil.example/metrics"), 404),
    "another's metadata": (good(target="/latest/meta-data/"), 404),
    # Not too much of it.
    "a long path": (good(target="/" + LONG), 414),
    "many headers": (good(*(f"A{number}: 1" for number in range(32))), 431),
    "as many headers as may be": (good(*(f"A{number}: 1" for number in range(31))), 200),
    "a long header": (good(f"A: {LONG}", f"B: {LONG}"), 431),
    # What is no HTTP.
    "nonsense": ("nonsense", 400),
    "no version": ("GET /metrics", 400),
    "another version": (good().replace("HTTP/1.1", "HTTP/2.0"), 505),
    "a header without a colon": (good("nonsense"), 400),
    "a header with a blank before its colon": (good("Origin : a"), 400),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_request_is_answered_or_turned_away(door: MetricsHttp, case: str) -> None:
    head, expected = CASES[case]
    status, headers, body = await ask(door, head)
    assert status == expected, body
    assert ("# HELP" in body) == (status == 200)
    assert headers.get("allow") == ("GET, HEAD" if status == 405 else None)


def test_the_table_is_large_enough() -> None:
    assert len(CASES) >= 60


async def test_bytes_that_are_no_text_are_turned_away(door: MetricsHttp) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"):
        answer = await send(door, sent + b"\r\n\r\n")
        assert answer.split(b" ")[1] == b"400"


async def test_two_requests_at_once_are_none(door: MetricsHttp) -> None:
    twice = good().replace("PORT", str(port(door))).replace("\n", "\r\n") + "\r\n\r\n"
    answer = await send(door, (twice * 2).encode())
    assert [line.split(b" ")[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")] == [b"400"]


async def test_random_bytes_end_nothing_but_their_own_connection(door: MetricsHttp, agent: Agent) -> None:
    chance = random.Random(7)
    start = good().replace("PORT", str(port(door))).replace("\n", "\r\n").encode() + b"\r\n\r\n"
    for _ in range(200):
        spoilt = bytearray(start)
        for _ in range(chance.randrange(1, 6)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        await send(door, bytes(spoilt) + b"\r\n\r\n")
    assert 500 not in agent.counts.http
    assert (await ask(door, good()))[0] == 200


# -- nobody holds it up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: "])
async def test_who_sends_no_whole_request_in_time_is_cut_off(
    door: MetricsHttp, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback_http, "REQUEST_SECONDS", 0.05)
    assert await send(door, sent) == b""


async def test_who_leaves_in_the_middle_is_forgotten(door: MetricsHttp, agent: Agent) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port(door))
    writer.write(b"GET /metr")
    await writer.drain()
    await until(lambda: len(door.reception.conversations) == 1)
    writer.close()
    await writer.wait_closed()
    await until(lambda: not door.reception.conversations)
    assert (await ask(door, good()))[0] == 200


async def test_who_does_not_take_the_answer_is_cut_off(door: MetricsHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def huge() -> Answer:
        return Answer(200, b"x" * 50_000_000)

    monkeypatch.setattr(loopback_http, "ANSWER_SECONDS", 0.05)
    door._pages[b"/huge"] = huge
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", port(door)))
        await loop.sock_sendall(slow, f"GET /huge HTTP/1.1\r\nHost: 127.0.0.1:{port(door)}\r\n\r\n".encode())
        await until(lambda: len(door.reception.conversations) == 1)
        await until(lambda: not door.reception.conversations)
        received = 0
        with contextlib.suppress(ConnectionError):
            while chunk := await loop.sock_recv(slow, 1_000_000):
                received += len(chunk)
        assert received < 50_000_000


async def test_of_too_many_connections_the_oldest_goes(door: MetricsHttp) -> None:
    streams = []
    for number in range(MOST_CONNECTIONS):
        streams.append(await asyncio.open_connection("127.0.0.1", port(door)))
        await until(lambda number=number: len(door.reception.conversations) == number + 1)  # type: ignore[misc]
    assert (await ask(door, good()))[0] == 200
    assert await streams[0][0].read() == b""
    assert len(door.reception.conversations) == MOST_CONNECTIONS - 1
    for _, writer in streams:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_flood_of_connections_keeps_few_open_and_is_nothing_to_log(door: MetricsHttp) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    flood: list[socket.socket] = []
    for _ in range(8):
        flood += [socket.create_connection(("127.0.0.1", port(door))) for _ in range(MOST_CONNECTIONS // 2)]
        assert (await ask(door, good()))[0] == 200, "whoever comes after them is answered"
        assert len(door.reception.conversations) <= MOST_CONNECTIONS
    for caller in flood[:-MOST_CONNECTIONS]:
        with contextlib.suppress(ConnectionError):
            assert caller.recv(1) == b""
    for caller in flood:
        caller.close()
    assert not faults


async def test_a_fault_while_answering_is_told_as_such_and_is_no_end(
    door: MetricsHttp, agent: Agent, clock: HandClock
) -> None:
    def broken() -> Trouble | None:
        raise RuntimeError("a secret")

    agent.health.asks.append(broken)
    status, _, body = await ask(door, good())
    assert status == 500
    assert "secret" not in body
    agent.health.asks.pop()
    clock.advance(seconds=1)
    assert (await ask(door, good()))[0] == 200


# -- where it listens -----------------------------------------------------------------------------------------------


async def can_connect(number: int, host: str = "127.0.0.1") -> bool:
    try:
        _, writer = await asyncio.open_connection(host, number)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_it_listens_nowhere_unless_it_is_told_where(agent: Agent) -> None:
    door = MetricsHttp(agent)
    door.apply(NOWHERE)
    assert door.url is None
    assert (await agent.health.document())["metrics"] is None
    await door.stop()


async def test_other_settings_move_it_and_the_same_leave_it_alone(agent: Agent) -> None:
    door = MetricsHttp(agent)
    first, second = Settings(metrics_listen="127.0.0.1:0"), Settings(metrics_listen="127.0.0.2:0")
    door.apply(first)
    url, number = door.url, port(door)
    assert await can_connect(number)
    door.apply(first)
    assert door.url == url
    door.apply(second)
    assert not await can_connect(number)
    moved_to = str(door.url)
    assert moved_to.startswith("http://127.0.0.2:")
    assert (await agent.health.document())["metrics"] == moved_to
    assert await can_connect(port(door), "127.0.0.2")
    door.apply(NOWHERE)
    assert (await agent.health.document())["metrics"] is None
    await door.stop()


async def test_it_can_be_moved_before_it_has_begun(agent: Agent) -> None:
    door = MetricsHttp(agent)
    for settings in (ANYWHERE, NOWHERE, ANYWHERE, NOWHERE):
        door.apply(settings)
        await asyncio.sleep(0)
        door.apply(NOWHERE)
    door.apply(ANYWHERE)
    assert (await ask(door, good()))[0] == 200
    await door.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="takes IPv6")
async def test_it_listens_on_the_other_loopback_too(agent: Agent) -> None:
    door = MetricsHttp(agent)
    try:
        door.apply(Settings(metrics_listen="[::1]:0"))
    except CredhelperError as error:
        pytest.skip(str(error))
    for host, expected in (("[::1]", b"200"), ("localhost", b"200"), ("127.0.0.1", b"403")):
        sent = good(host=f"{host}:{port(door)}").replace("\n", "\r\n") + "\r\n\r\n"
        assert (await send(door, sent.encode(), "::1")).split(b" ")[1] == expected
    await door.stop()


async def test_a_port_that_is_taken_is_a_trouble_until_it_is_free(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics_http, "FIRST_PAUSE", 0.01)
    door = MetricsHttp(agent)
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(CredhelperError, match=f"metrics cannot be served at {listen}: Address already in use"):
            door.apply(Settings(metrics_listen=listen))
        assert (await agent.health.document())["troubles"] == [
            f"the metrics endpoint cannot be opened: {listen}: Address already in use"
        ]
        assert (await agent.health.public_document())[1]["troubles"] == ["the metrics endpoint cannot be opened"]
    await until(lambda: door.url is not None)
    assert (await ask(door, good()))[0] == 200
    assert (await agent.health.document())["troubles"] == []
    await door.stop()


async def test_at_the_start_a_port_that_is_taken_is_only_logged(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    door = MetricsHttp(agent)
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        door.begin(Settings(metrics_listen=listen))
    assert f"metrics cannot be served at {listen}" in caplog.text
    door.apply(Settings(metrics_listen=listen))  # a reload, now that it is free
    assert door.url == f"http://{listen}/metrics"
    await door.stop()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost:0", "127.0.0.1:x", "127.0.0.1"])
async def test_it_never_listens_beyond_loopback(agent: Agent, listen: str) -> None:
    door = MetricsHttp(agent)
    with pytest.raises(CredhelperError, match="metrics cannot be served"):
        door.apply(Settings(metrics_listen=listen))
    assert door.url is None
    await door.stop()
