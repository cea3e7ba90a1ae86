"""A company's own address before an access portal: https, on an address of this machine that counts as any other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.aws.wire import Peer, Wire, tls_context

PORTAL = "https://ssoins-0123456789abcdef.portal.eu-west-1.app.aws"
"""What an address usually leads to; for a sandbox that is told of it."""

Script = Callable[[Peer], None]


def answer(status: str, *headers: str, body: str = "") -> bytes:
    """An HTTP answer to the last byte."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


def leads_to(target: str) -> Script:
    """A server that redirects."""
    return lambda peer: peer.say(answer("302 Found", f"Location: {target}"))


@contextmanager
def company(directory: Path, script: Script | None = None) -> Iterator[tuple[Wire, str]]:
    """The server, and the file for ``AWS_CA_BUNDLE`` with which it is believed."""
    context, trusted = tls_context(directory)
    with Wire(script or leads_to(PORTAL + "/"), tls=context, host="127.0.0.2") as wire:
        yield wire, str(trusted)
