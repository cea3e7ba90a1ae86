"""A server that drips, hangs, never ends or sends too much costs neither a thread nor memory; and what else breaks."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from credhelper.aws.identity_center import IdentityCenter
from credhelper.domain.errors import Throttled, Unavailable
from credhelper.domain.model import Role, RoleCredentials, SsoSession
from tests.aws.wire import Peer, Wire, tls_context
from tests.clocks import HandClock

ROLE = Role(SsoSession("corp", "https://corp.example/start", "us-east-1"), "111122223333", "Developer")
EXPIRY = int(HandClock().now().timestamp() + 3600) * 1000
GOOD = json.dumps(
    {
        "roleCredentials": {
            "accessKeyId": "ASIAEXAMPLE",
            "secretAccessKey": "CANARY-secret",
            "sessionToken": "CANARY-session",
            "expiration": EXPIRY,
        }
    }
).encode()

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HUGE = 200 * 1024 * 1024
SHORT, LONG = 0.2, 60.0
"""Deadlines in seconds: one that comes, and one that does not."""

Script = Callable[[Peer], None]


def answer(body: bytes = GOOD, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


def says(*parts: bytes) -> Script:
    return lambda peer: peer.say(b"".join(parts))


def says_then(text: bytes, then: Script) -> Script:
    def script(peer: Peer) -> None:
        peer.say(text)
        then(peer)

    return script


def drips(text: bytes) -> Script:
    return lambda peer: peer.drip(text)


def pours(text: bytes) -> Script:
    return lambda peer: peer.pour(text)


def fetch(monkeypatch: pytest.MonkeyPatch, url: str, deadline: float) -> RoleCredentials:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return IdentityCenter(HandClock(), call_deadline=deadline).get_role_credentials(ROLE, "CANARY-bearer")


def failure(monkeypatch: pytest.MonkeyPatch, url: str, deadline: float) -> str:
    with pytest.raises(Unavailable) as caught:
        fetch(monkeypatch, url, deadline)
    assert url in caught.value.message
    assert "CANARY" not in caught.value.message
    return caught.value.message


def peak_of_a_second_call(api: IdentityCenter, why: str) -> int:
    """Bytes; the first call makes the client, which is larger than any answer."""

    def call() -> None:
        with pytest.raises(Unavailable, match=why):
            api.get_role_credentials(ROLE, "CANARY-bearer")

    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


ENDLESS_IN_TIME: dict[str, Script] = {
    "silence": Peer.hang,
    "drip of a status line": drips(b"HTTP/1.1 200 " + b"O" * 1000),
    "drip of headers": says_then(OK, drips(b"X-More: and more\r\n")),
    "drip of interim answers": drips(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drip of a body": says_then(OK + b"Content-Length: 100000\r\n\r\n", drips(b" ")),
    "drip of a body without a length": says_then(OK + b"\r\n", drips(b" ")),
    "drip inside a chunk": says_then(OK + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", drips(b" ")),
    "drip of chunks": says_then(OK + b"Transfer-Encoding: chunked\r\n\r\n", drips(b"1\r\n \r\n")),
    "drip of trailers": says_then(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", drips(b"X-More: and more\r\n")),
    "hang in the headers": says_then(OK, Peer.hang),
    "hang in the body": says_then(answer()[:-20], Peer.hang),
}


@pytest.mark.parametrize("script", ENDLESS_IN_TIME.values(), ids=ENDLESS_IN_TIME)
def test_a_call_ends_at_its_deadline_whatever_comes(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(script) as wire:
        assert "no answer in time" in failure(monkeypatch, wire.url, SHORT)


def test_a_revocation_ends_at_a_deadline_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(drips(b"HTTP/1.1 200 " + b"O" * 1000)) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        api = IdentityCenter(HandClock(), call_deadline=LONG, revoke_deadline=SHORT)
        with pytest.raises(Unavailable, match="no answer in time"):
            api.revoke("us-east-1", "CANARY-bearer")


def test_a_server_that_never_greets_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(Peer.hang, unasked=True) as wire:
        failure(monkeypatch, wire.url.replace("http:", "https:"), SHORT)


def test_a_proxy_that_drips_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(drips(b"HTTP/1.1 200 " + b"O" * 1000)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        failure(monkeypatch, "https://portal.example", SHORT)
        assert proxy.heads[0].startswith(b"CONNECT portal.example:443 ")


ENDLESS_IN_SIZE: dict[str, Script] = {
    "headers": says_then(OK, pours(b"X-More: " + b"x" * 60000 + b"\r\n")),
    "interim answers": pours(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a body of 200 MB": says_then(OK + b"Content-Length: %d\r\n\r\n" % HUGE, pours(b" " * 65536)),
    "a body without a length": says_then(OK + b"\r\n", pours(b" " * 65536)),
    "chunks": says_then(OK + b"Transfer-Encoding: chunked\r\n\r\n", pours(b"1000\r\n" + b" " * 4096 + b"\r\n")),
    "one chunk": says_then(OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % HUGE, pours(b" " * 65536)),
    "trailers": says_then(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", pours(b"X-More: x\r\n" * 1000)),
    "an error": says_then(OK.replace(b"200 OK", b"403 No") + b"\r\n", pours(b" " * 65536)),
}


@pytest.mark.parametrize("script", ENDLESS_IN_SIZE.values(), ids=ENDLESS_IN_SIZE)
def test_an_answer_without_an_end_is_refused_for_its_size(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(script) as wire:
        assert "more than 1024 KiB" in failure(monkeypatch, wire.url, LONG)


def test_an_answer_without_an_end_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(ENDLESS_IN_SIZE["a body of 200 MB"]) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        api = IdentityCenter(HandClock(), call_deadline=LONG)
        assert peak_of_a_second_call(api, "more than 1024 KiB") < 4 * 1024 * 1024


def test_a_large_answer_within_the_limit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(says(answer(GOOD + b" " * 1000 * 1000))) as wire:
        assert fetch(monkeypatch, wire.url, LONG).access_key_id == "ASIAEXAMPLE"


def test_what_was_not_asked_for_compressed_is_not_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    # The connection ends with each answer, as the script does: one that is kept could end under the next request.
    with Wire(says(answer(bomb, b"Content-Encoding: gzip", b"Connection: close"))) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        api = IdentityCenter(HandClock(), call_deadline=LONG)
        assert peak_of_a_second_call(api, "cannot be read") < 4 * 1024 * 1024
        assert all(b"\r\naccept-encoding: identity\r\n" in head.lower() for head in wire.heads)


BROKEN: dict[str, tuple[Script, str]] = {
    "reset at once": (Peer.reset, "reset"),
    "reset in the headers": (says_then(OK, Peer.reset), ""),
    "reset in the body": (says_then(answer()[:-20], Peer.reset), ""),
    "an end at once": (says(), ""),
    "an end in the headers": (says(OK), ""),
    "an end in the body": (says(answer()[:-20]), "gave an answer without"),
    "an end in a chunk": (says(OK, b"Transfer-Encoding: chunked\r\n\r\n100\r\n{"), ""),
    "an end before the last chunk": (says(OK, b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"), ""),
    "a chunk of no size": (says(OK, b"Transfer-Encoding: chunked\r\n\r\nlarge\r\n"), ""),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), ""),
    "too many headers": (says(OK, b"X-More: x\r\n" * 200, b"\r\n"), ""),
    "a header too long": (says(OK, b"X-More: " + b"x" * 100000 + b"\r\n\r\n"), ""),
}


@pytest.mark.parametrize(("script", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_unavailability(script: Script, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(script) as wire:
        assert why in failure(monkeypatch, wire.url, LONG)


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (b"301 Moved", b"302 Found", b"307 Temporary Redirect", b"308 Permanent Redirect"):
        with Wire(says(answer())) as elsewhere:
            there = b"Location: " + elsewhere.url.encode() + b"/federation/credentials"
            with Wire(says(answer(b"", there, status=status))) as wire:
                assert "HTTP 30" in failure(monkeypatch, wire.url, LONG)
                assert len(wire.heads) == 1
            assert not elsewhere.heads


def test_each_call_has_all_of_its_time_and_size_and_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def converse(peer: Peer) -> None:
        for _ in range(3):
            peer.say(answer(GOOD + b" " * 900 * 1024))
            peer.read_request()

    with Wire(converse) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        api = IdentityCenter(HandClock(), call_deadline=LONG)
        for _ in range(3):
            api.get_role_credentials(ROLE, "CANARY-bearer")
        assert len(wire.heads) == 1  # one connection


def test_the_limits_hold_inside_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, trusted = tls_context(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    with Wire(says(answer()), tls=context) as wire:
        assert fetch(monkeypatch, wire.url, LONG).access_key_id == "ASIAEXAMPLE"
    for name in ("drip of headers", "drip inside a chunk", "hang in the body"):
        with Wire(ENDLESS_IN_TIME[name], tls=context) as wire:
            assert "no answer in time" in failure(monkeypatch, wire.url, SHORT)
    for name in ("a body of 200 MB", "chunks"):
        with Wire(ENDLESS_IN_SIZE[name], tls=context) as wire:
            assert "more than 1024 KiB" in failure(monkeypatch, wire.url, LONG)


def test_a_certificate_that_nobody_vouches_for_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, _ = tls_context(tmp_path)
    with Wire(says(answer()), tls=context) as wire:
        assert "TLS" in failure(monkeypatch, wire.url, LONG)


# -- when to come back ------------------------------------------------------------------------------------------------

TOO_MANY = b"X-Amzn-ErrorType: TooManyRequestsException"
NOT_NOW = b"X-Amzn-ErrorType: ServiceUnavailableException"
DATE = b"Date: Mon, 01 Jun 2026 12:00:00 GMT"  # three hours after the machine's clock


@pytest.mark.parametrize("status", [b"429 Slow", b"503 Busy"], ids=["429", "503"])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"3", 3.0),
        (b"1.5", 1.5),
        (b"-1", 0.0),
        (b"", None),
        (b"soon", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e999", None),
        (b"99999999999", 99999999999.0),
        (b"Mon, 01 Jun 2026 12:01:00 GMT", 59.5),
        (b"Monday, 01-Jun-26 12:01:00 GMT", 59.5),
        (b"Mon Jun  1 12:01:00 2026", 59.5),
        (b"Mon, 01 Jun 2026 11:00:00 GMT", 0.0),
        (b"Mon, 99 Jun 2026 11:00:00 GMT", None),
        (b"Mon, 01 Jun 99999 11:00:00 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_by_the_servers_clock(
    header: bytes, seconds: float | None, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, reason = (Throttled, TOO_MANY) if status.startswith(b"429") else (Unavailable, NOT_NOW)
    refusal = answer(b"{}", reason, DATE, b"Retry-After: " + header, status=status)
    with Wire(says(refusal)) as wire, pytest.raises(kind) as caught:
        fetch(monkeypatch, wire.url, LONG)
    assert isinstance(caught.value, Throttled | Unavailable)
    assert caught.value.retry_after == seconds
