"""Who gets credentials over HTTP and who is turned away, and how: every header, every path, every method."""

import asyncio
import base64
import http.client
import os
import random
import shutil
import socket
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from credhelper.agent.openings import new_id
from tests.endpoints.knocking import Place, Reply, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60


@dataclass(frozen=True)
class Granted:
    """Two roles on one port."""

    place: Place
    mine: dict[str, Any]
    others: dict[str, Any]

    def filled(self, text: str) -> str:
        """``text`` with the real port, ids and tokens in the place of the capitals."""
        for word, meant in (
            ("PORT", str(self.place.port)),
            ("OTHERS_TOKEN", self.others["token"]),
            ("OTHERS_ID", self.others["id"]),
            ("TOKEN", self.mine["token"]),
            ("ID", self.mine["id"]),
        ):
            text = text.replace(word, meant)
        return text

    async def ask(self, head: str, body: str = "") -> Reply:
        lines = self.filled(head).splitlines()
        return Reply.of(await send(self.place.port, ("\r\n".join([*lines, "", ""]) + body).encode("latin-1")))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def granted(lasting_place: Place) -> Granted:
    return Granted(lasting_place, await lasting_place.grant("dev"), await lasting_place.grant("readonly"))


def good(
    *more: str,
    method: str = "GET",
    target: str = "/v1/creds/ID",
    host: str | None = "127.0.0.1:PORT",
    shown: str | None = "TOKEN",
) -> str:
    named = [] if host is None else [f"Host: {host}"]
    authorized = [] if shown is None else [f"Authorization: {shown}"]
    return "\n".join((f"{method} {target} HTTP/1.1", *named, *authorized, *more))


LONG = "x" * 5000
HEADERS: dict[str, tuple[str, int]] = {
    # Its own name, and nothing else.
    "its address": (good(), 200),
    "its name": (good(host="localhost:PORT"), 200),
    "its name in capitals": (good(host="LOCALHOST:PORT"), 200),
    "blanks around its name": (good(host="   127.0.0.1:PORT  "), 200),
    "a name that leads here": (good(host="rebound.example:PORT"), 403),
    "a name that begins like its address": (good(host="127.0.0.1.example:PORT"), 403),
    "a name that begins like its name": (good(host="localhost.example:PORT"), 403),
    "a name that ends like its name": (good(host="evil-localhost:PORT"), 403),
    "its address with a dot behind": (good(host="127.0.0.1.:PORT"), 403),
    "its name with a dot behind": (good(host="localhost.:PORT"), 403),
    "another address of loopback": (good(host="127.0.0.2:PORT"), 403),
    "a short address of loopback": (good(host="127.1:PORT"), 403),
    "its address in another family": (good(host="[::1]:PORT"), 403),
    "its address within another family": (good(host="[::ffff:127.0.0.1]:PORT"), 403),
    "its address as one number": (good(host="2130706433:PORT"), 403),
    "any address": (good(host="0.0.0.0:PORT"), 403),
    "the address of a container's host": (good(host="169.254.170.2:PORT"), 403),
    "another port": (good(host="127.0.0.1:1"), 403),
    "a port with a nought before it": (good(host="127.0.0.1:0PORT"), 403),
    "no port": (good(host="127.0.0.1"), 403),
    "an empty port": (good(host="127.0.0.1:"), 403),
    "an empty host": (good(host=""), 403),
    "a user": (good(host="a@127.0.0.1:PORT"), 403),
    "a user and a password": (good(host="a:b@127.0.0.1:PORT"), 403),
    "a path behind its address": (good(host="127.0.0.1:PORT/"), 403),
    "no host": (good(host=None), 400),
    "no host in an old version": (good(host=None).replace("HTTP/1.1", "HTTP/1.0"), 403),
    "its address in an old version": (good().replace("HTTP/1.1", "HTTP/1.0"), 200),
    "two hosts": (good("Host: 127.0.0.1:PORT"), 400),
    "two different hosts": (good("Host: evil.example"), 400),
    "two hosts in one": (good(host="127.0.0.1:PORT, evil.example"), 403),
    # No web page, however it asks, and no proxy.
    "a page's origin": (good("Origin: https://evil.example"), 403),
    "an origin without a name": (good("Origin: null"), 403),
    "an empty origin": (good("Origin:"), 403),
    "its own origin": (good("Origin: http://127.0.0.1:PORT"), 403),
    "a referer": (good("Referer: https://evil.example/"), 403),
    "its own referer": (good("Referer: http://127.0.0.1:PORT/"), 403),
    "a header in capitals": (good("ORIGIN: https://evil.example"), 403),
    "another site": (good("Sec-Fetch-Site: cross-site"), 403),
    "the same site": (good("Sec-Fetch-Site: same-site"), 403),
    "the same origin": (good("Sec-Fetch-Site: same-origin"), 403),
    "a person's address bar": (good("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"), 200),
    "two words on where it comes from": (good("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"), 403),
    "forwarded": (good("Forwarded: for=1.2.3.4"), 403),
    "forwarded for": (good("X-Forwarded-For: 127.0.0.1"), 403),
    "forwarded host": (good("X-Forwarded-Host: 127.0.0.1:PORT"), 403),
    "forwarded protocol": (good("X-Forwarded-Proto: http"), 403),
    "forwarded anything": (good("X-Forwarded-Anything: 1"), 403),
    "via": (good("Via: 1.1 proxy"), 403),
    "a cookie": (good("Cookie: a=b"), 403),
    "an empty cookie": (good("Cookie:"), 403),
    # The token, as it is.
    "no token": (good(shown=None), 401),
    "an empty token": (good(shown=""), 401),
    "a wrong token": (good(shown="x" * 43), 401),
    "the id for a token": (good(shown="ID"), 401),
    "a scheme before it": (good(shown="Bearer TOKEN"), 401),
    "another scheme before it": (good(shown="Basic TOKEN"), 401),
    "the token without its end": (good(shown="TOKEN").replace("TOKEN", "TOKE"), 401),
    "the token and more": (good(shown="TOKENx"), 401),
    "the token and a comma": (good(shown="TOKEN,"), 401),
    "the token in quotes": (good(shown='"TOKEN"'), 401),
    "the token twice": (good("Authorization: TOKEN"), 401),
    "a token before it": (good("Authorization: TOKEN", shown="wrong"), 401),
    "the token in another header": (good("X-Aws-Ec2-Metadata-Token: TOKEN", shown=None), 401),
    "the token for a proxy": (good("Proxy-Authorization: TOKEN", shown=None), 401),
    "the token in the address": (good(target="/v1/creds/ID?token=TOKEN", shown=None), 401),
    "the header's name in small letters": (good("authorization: TOKEN", shown=None), 200),
    "blanks around the token": (good(shown="  TOKEN  "), 200),
    "bytes that are no letters": (good(shown="\xff\xfe"), 401),
    "another role's token": (good(shown="OTHERS_TOKEN"), 403),
    "another role's address": (good(target="/v1/creds/OTHERS_ID"), 403),
    "another role's token for its own address": (good(target="/v1/creds/OTHERS_ID", shown="OTHERS_TOKEN"), 200),
    # Host before token, so that a page whose name leads here learns nothing.
    "a wrong host and no token": (good(host="rebound.example", shown=None), 403),
    "a page without a token": (good("Origin: https://evil.example", shown=None), 403),
    "a body without a token": (good("Content-Length: 1", shown=None), 400),
    # No body.
    "an empty body": (good("Content-Length: 0"), 200),
    "a body": (good("Content-Length: 1"), 400),
    "a long body": (good("Content-Length: 99999999999"), 400),
    "a negative body": (good("Content-Length: -1"), 400),
    "a body that is no number": (good("Content-Length: one"), 400),
    "a body of a number without end": (good("Content-Length: " + "9" * 5000), 400),
    "two lengths": (good("Content-Length: 0", "Content-Length: 1"), 400),
    "a body in chunks": (good("Transfer-Encoding: chunked"), 400),
    "a body in gzip": (good("Transfer-Encoding: gzip"), 400),
    "a length and chunks": (good("Content-Length: 0", "Transfer-Encoding: chunked"), 400),
    # What SDKs send with it changes nothing.
    "accept": (good("Accept: application/json"), 200),
    "a user agent": (good("User-Agent: aws-sdk-go-v2/1.30.0"), 200),
    "keep-alive": (good("Connection: keep-alive"), 200),
    "an upgrade": (good("Connection: Upgrade", "Upgrade: websocket"), 200),
    "an expectation": (good("Expect: 100-continue"), 200),
    # Not too much of it.
    "many headers": (good(*(f"A{number}: 1" for number in range(31))), 431),
    "as many headers as may be": (good(*(f"A{number}: 1" for number in range(30))), 200),
    "a long header": (good(f"A: {LONG}", f"B: {LONG}"), 431),
    "a long token": (good(shown=LONG), 401),
    # What is no HTTP.
    "nonsense": ("nonsense", 400),
    "another version": (good().replace("HTTP/1.1", "HTTP/2.0"), 505),
    "a header without a colon": (good("nonsense"), 400),
    "a header with a blank before its colon": (good("Origin : a"), 400),
    "a header that goes on in the next line": (good("A: 1", " 2"), 200),
}

PATHS: dict[str, tuple[str, int]] = {
    "post": (good(method="POST"), 405),
    "post with a body": (good("Content-Length: 2", method="POST"), 405),
    "put, as for another kind of token": (good(target="/latest/api/token", method="PUT"), 405),
    "delete": (good(method="DELETE"), 405),
    "patch": (good(method="PATCH"), 405),
    "options": (good(method="OPTIONS"), 405),
    "options for everything": (good(method="OPTIONS", target="*"), 405),
    "trace": (good(method="TRACE"), 405),
    "connect": (good(method="CONNECT", target="evil.example:443"), 405),
    "a method that is none": (good(method="STEAL"), 405),
    "a method in small letters": (good(method="get"), 405),
    "a page's question whether it may": (good("Origin: https://evil.example", method="OPTIONS"), 403),
    "the root": (good(target="/"), 404),
    "no id": (good(target="/v1/creds/"), 404),
    "no slash": (good(target="/v1/creds"), 404),
    "an id that nobody has": (good(target="/v1/creds/000000000000"), 403),
    "an id without its end": (good(target="/v1/creds/ID").replace("ID", "123"), 404),
    "an id in capitals": (good(target="/v1/creds/ABCDEFABCDEF"), 404),
    "a slash too many": (good(target="/v1/creds/ID/"), 404),
    "two slashes": (good(target="/v1//creds/ID"), 404),
    "another version of the path": (good(target="/v2/creds/ID"), 404),
    "a query": (good(target="/v1/creds/ID?a=1"), 404),
    "an empty query": (good(target="/v1/creds/ID?"), 404),
    "a fragment": (good(target="/v1/creds/ID#a"), 404),
    "capitals": (good(target="/V1/CREDS/ID"), 404),
    "an encoded letter": (good(target="/v1/%63reds/ID"), 404),
    "a way around": (good(target="/v1/other/../creds/ID"), 404),
    "a whole address": (good(target="http://127.0.0.1:PORT/v1/creds/ID"), 404),
    "a whole foreign address": (good(target="http://evil.example/v1/creds/ID"), 404),
    "another's metadata": (good(target="/latest/meta-data/iam/security-credentials/"), 404),
    "the metrics": (good(target="/metrics"), 404),
    "another path without a token": (good(target="/metrics", shown=None), 401),
    "a long path": (good(target="/" + LONG), 414),
}

CASES = HEADERS | PATHS


async def test_the_tables_are_large_enough() -> None:
    assert len(HEADERS) >= 60
    assert len(PATHS) >= 20


@pytest.mark.parametrize("case", CASES)
async def test_a_request_is_answered_or_turned_away(granted: Granted, case: str) -> None:
    head, expected = CASES[case]
    reply = await granted.ask(head)
    assert reply.status == expected, reply.body
    assert ("SecretAccessKey" in reply.body) == (expected == 200)
    assert reply.headers.get("allow") == ("GET" if expected == 405 else None)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["connection"] == "close"
    assert not [name for name in reply.headers if name.startswith("access-control-") or name in {"server", "date"}]
    if expected != 200:
        error = reply.json()
        assert (error["code"], error["message"]) == (error["Code"], error["Message"])
        assert len(reply.body) < 250, "constant and short"


async def test_head_gets_no_credentials_and_no_body(granted: Granted) -> None:
    head = granted.filled(good(method="HEAD")).replace("\n", "\r\n") + "\r\n\r\n"
    answered, _, body = (await send(granted.place.port, head.encode())).partition(b"\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 405 ")
    assert body == b""


async def test_the_answer_is_what_sdks_read(granted: Granted) -> None:
    document = (await granted.place.ask(granted.mine)).json()
    handed = await granted.place.world.get("dev")
    assert document == {
        "AccessKeyId": handed["AccessKeyId"],
        "SecretAccessKey": handed["SecretAccessKey"],
        "Token": handed["SessionToken"],
        "Expiration": handed["Expiration"],
        "AccountId": "111122223333",
    }
    assert document["Expiration"].endswith("Z")


async def test_two_profiles_on_one_port_get_each_their_own(granted: Granted) -> None:
    mine, others = await granted.place.ask(granted.mine), await granted.place.ask(granted.others)
    assert granted.mine["uri"].rpartition("/")[0] == granted.others["uri"].rpartition("/")[0]
    assert mine.json()["AccessKeyId"] == (await granted.place.world.get("dev"))["AccessKeyId"]
    assert others.json()["AccessKeyId"] == (await granted.place.world.get("readonly"))["AccessKeyId"]


async def test_a_missing_and_a_wrong_token_get_the_same_bytes(granted: Granted) -> None:
    wrong = (None, "", "wrong", "Bearer TOKEN", "x" * 4000)
    answers = {repr(await granted.ask(good(shown=token))) for token in wrong}
    answers |= {repr(await granted.ask(good(target=f"/v1/creds/{new_id()}", shown=token))) for token in wrong}
    answers |= {repr(await granted.ask(good(target="/elsewhere", shown=token))) for token in wrong}
    assert len(answers) == 1


async def test_a_name_that_leads_here_learns_nothing(granted: Granted) -> None:
    heads = (good(shown=None), good(), good(target="/nothing"), good(shown="OTHERS_TOKEN"), good(method="POST"))
    answers = {repr(await granted.ask(head.replace("127.0.0.1", "rebound.example"))) for head in heads}
    assert len(answers) == 1


@pytest.mark.long
async def test_ten_thousand_random_tokens_open_nothing(granted: Granted) -> None:
    chance = random.Random(10)
    before = granted.place.world.agent.counts.container[401]
    head = granted.filled(good(shown=None)).replace("\n", "\r\n") + "\r\nAuthorization: "
    told = set()
    for _ in range(10_000):
        token = base64.urlsafe_b64encode(chance.randbytes(32)).decode().rstrip("=")
        told.add(await send(granted.place.port, f"{head}{token}\r\n\r\n".encode()))
    assert len(told) == 1
    assert Reply.of(told.pop()).status == 401
    assert granted.place.world.agent.counts.container[401] == before + 10_000


@pytest.mark.parametrize("more", ["\r\n", "x", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\0" * 5000])
async def test_what_follows_a_request_spoils_it(granted: Granted, more: str) -> None:
    assert (await granted.ask(good(), more)).status == 400


async def test_who_sends_a_request_in_pieces_is_answered(granted: Granted) -> None:
    sent = granted.place.request(granted.mine)
    before = granted.place.world.agent.counts.container[200]

    def byte_by_byte() -> bytes:
        with socket.create_connection(("127.0.0.1", granted.place.port), timeout=SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for each in sent:
                connection.sendall(bytes([each]))
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    assert Reply.of(await asyncio.to_thread(byte_by_byte)).status == 200
    assert granted.place.world.agent.counts.container[200] == before + 1


async def test_who_has_closed_its_side_is_still_answered(granted: Granted) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", granted.place.port)
    writer.write(granted.place.request(granted.mine))
    writer.write_eof()
    assert Reply.of(await reader.read()).status == 200
    writer.close()
    await writer.wait_closed()


# -- the same by clients that are not ours ----------------------------------------------------------------------------

PLAIN = [
    case
    for case, (head, _) in CASES.items()
    if head.partition("\n")[0].endswith(" HTTP/1.1") and all(line.count(": ") == 1 for line in head.splitlines()[1:])
]
"""Those that a client with manners can send: a whole request, each header in a line and not empty."""


def parts_of(head: str) -> tuple[str, str, list[tuple[str, str]]]:
    first, *lines = head.splitlines()
    method, target, _ = first.split(" ")
    return method, target, [(name, value) for name, value in (line.split(": ", 1) for line in lines)]


async def test_http_client_sees_the_same(granted: Granted) -> None:
    def ask(head: str) -> int:
        method, target, headers = parts_of(head)
        connection = http.client.HTTPConnection("127.0.0.1", granted.place.port, timeout=SECONDS)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    asked = PLAIN
    assert len(asked) >= 80
    for case in asked:
        assert await asyncio.to_thread(ask, granted.filled(CASES[case][0])) == CASES[case][1], case


@pytest.mark.skipif(shutil.which("curl") is None, reason="takes curl")
async def test_curl_sees_the_same(granted: Granted) -> None:
    """All cases in one run of curl: one process for each would take longer than all other tests here."""
    asked = [case for case in PLAIN if CASES[case][0].count("Host: ") < 2]  # of two it sends the last
    lines: list[str] = []
    for case in asked:
        method, target, headers = parts_of(granted.filled(CASES[case][0]))
        has_host = any(name == "Host" for name, _ in headers)
        lines += [
            f'url = "http://127.0.0.1:{granted.place.port}"',
            f'request = "{method}"',
            "request-target = " + _quoted(target),
            "path-as-is",
            "http1.1",
            'output = "/dev/null"',
            'write-out = "%{http_code}\\n"',
            'header = "User-Agent:"',
            'header = "Accept:"',
            *([] if has_host else ['header = "Host:"']),
            *(f"header = {_quoted(f'{name}: {value}')}" for name, value in headers),
            "next",
        ]
    lines.pop()
    assert len(asked) >= 80

    def run() -> list[str]:
        done = subprocess.run(
            ["curl", "--silent", "--disable", "--config", "-"],
            input=("\n".join(lines) + "\n").encode("latin-1"),
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().split()

    seen = dict(zip(asked, await asyncio.to_thread(run), strict=True))
    wrong = {case: status for case, status in seen.items() if int(status) != CASES[case][1]}
    assert wrong == {}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
