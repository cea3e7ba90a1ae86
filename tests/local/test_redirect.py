"""The loopback address of a login: one answer counts, everybody else is turned away, nobody can hold it up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from credhelper.domain.oauth import Callback
from credhelper.local import redirect as redirect_module
from credhelper.local.redirect import Redirect

STATE = "a-state"
GOOD = f"/oauth/callback?code=c&state={STATE}"


@pytest.fixture
async def redirect() -> AsyncIterator[Redirect]:
    async with Redirect(STATE) as listening:
        yield listening


def port(redirect: Redirect) -> int:
    found = urlsplit(redirect.uri).port
    assert found is not None
    return found


async def send(redirect: Redirect, request: bytes) -> str:
    """Everything that comes back, until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(redirect))
    writer.write(request)
    try:
        return (await reader.read()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def request(redirect: Redirect, target: str, *, method: str = "GET", host: str | None = None) -> str:
    host = f"127.0.0.1:{port(redirect)}" if host is None else host
    return await send(redirect, f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


async def test_the_answer_counts_and_its_page_tells_how_it_ended(redirect: Redirect) -> None:
    browser = asyncio.ensure_future(request(redirect, GOOD))
    assert await redirect.callback() == Callback(code="c")
    assert not browser.done()
    redirect.conclude("It went <well>", "Close me.")
    page = await browser
    assert page.startswith("HTTP/1.1 200")
    assert "It went &lt;well&gt;" in page


async def test_only_the_first_conclusion_and_the_first_answer_count(redirect: Redirect) -> None:
    first = asyncio.ensure_future(request(redirect, GOOD))
    await redirect.callback()
    second = asyncio.ensure_future(request(redirect, GOOD.replace("code=c", "code=d")))
    redirect.conclude("One", "")
    redirect.conclude("Two", "")
    assert "One" in await first
    assert "One" in await second
    assert await redirect.callback() == Callback(code="c")


async def test_the_page_may_neither_be_kept_nor_run_anything_nor_tell_where_it_came_from(redirect: Redirect) -> None:
    page = (await request(redirect, "/elsewhere")).lower()
    for header in (
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "connection: close",
    ):
        assert header in page


@pytest.mark.parametrize(
    ("target", "method", "host", "status"),
    [
        (GOOD, "GET", "evil.example", 403),
        (GOOD, "GET", "localhost:{port}", 403),
        (GOOD, "GET", "127.0.0.1", 403),
        (GOOD, "GET", "127.0.0.1:{port}.evil.example", 403),
        (GOOD, "GET", "", 403),
        ("/", "GET", None, 404),
        ("/favicon.ico", "GET", None, 404),
        ("/oauth/callback/", "GET", None, 404),
        ("/oauth/../oauth/callback?code=c", "GET", None, 404),
        (GOOD, "POST", None, 405),
        (GOOD, "HEAD", None, 405),
        (GOOD, "OPTIONS", None, 405),
        ("/oauth/callback", "GET", None, 400),
        ("/oauth/callback?code=c&state=wrong", "GET", None, 400),
    ],
)
async def test_everybody_else_is_turned_away(
    redirect: Redirect, target: str, method: str, host: str | None, status: int
) -> None:
    host = host.format(port=port(redirect)) if host else host
    answer = await request(redirect, target, method=method, host=host)
    assert answer.split()[1] == str(status)
    browser = asyncio.ensure_future(request(redirect, GOOD))
    assert await redirect.callback() == Callback(code="c")
    redirect.conclude("", "")
    await browser


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET " + b"x" * 70_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_dropped(redirect: Redirect, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(redirect_module, "REQUEST_SECONDS", 0.2)
    answer = await send(redirect, sent)
    assert answer == "" or answer.split()[1].startswith("4")


async def test_a_slow_client_is_dropped_while_others_are_served(
    redirect: Redirect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirect_module, "REQUEST_SECONDS", 0.1)
    slow = asyncio.ensure_future(send(redirect, b"GET /oauth/callback HTTP/1.1\r\n"))
    assert (await request(redirect, "/")).split()[1] == "404"
    assert await slow == ""


async def test_connections_opened_in_advance_do_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers do that. Were they waited for, this would take an hour."""
    monkeypatch.setattr(redirect_module, "REQUEST_SECONDS", 3600.0)
    monkeypatch.setattr(redirect_module, "FAREWELL", 3600.0)
    async with Redirect(STATE) as redirect:
        idle = [await asyncio.open_connection("127.0.0.1", port(redirect)) for _ in range(5)]
        assert "404" in await request(redirect, "/")
    for reader, writer in idle:
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_the_end_tells_a_waiting_browser_and_closes_the_port() -> None:
    async with Redirect(STATE) as redirect:
        browser = asyncio.ensure_future(request(redirect, GOOD))
        await redirect.callback()
    assert "cancelled" in await browser
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port(redirect))


async def test_a_browser_that_leaves_before_the_end_disturbs_nobody() -> None:
    async with Redirect(STATE) as redirect:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(redirect))
        writer.write(f"GET {GOOD} HTTP/1.1\r\nHost: 127.0.0.1:{port(redirect)}\r\n\r\n".encode())
        await redirect.callback()
        writer.transport.abort()
        redirect.conclude("Done", "")
    assert reader is not None


async def test_a_port_of_ones_own_is_taken_and_free_again_at_once() -> None:
    async with Redirect(STATE) as first:
        number = port(first)
    for _ in range(2):
        async with Redirect(STATE, number) as redirect:
            assert redirect.uri == f"http://127.0.0.1:{number}/oauth/callback"
            browser = asyncio.ensure_future(request(redirect, GOOD))
            assert await redirect.callback() == Callback(code="c")
            redirect.conclude("", "")
            await browser
            with pytest.raises(OSError):
                await Redirect(STATE, number).__aenter__()


async def test_it_listens_on_the_loopback_address_only(redirect: Redirect) -> None:
    assert redirect.uri == f"http://127.0.0.1:{port(redirect)}/oauth/callback"
    assert redirect._server is not None
    assert [socket.getsockname()[0] for socket in redirect._server.sockets] == ["127.0.0.1"]
