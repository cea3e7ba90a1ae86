"""How one logs in from where one is: by which flow, with which browser, and what else has to be seen to.

The rules of the flow are the contract's. A redirect port of one's own choice is the wish for a browser that comes back
there, and so for an authorization code also over SSH and in a container; ``[login] redirect_port`` says the same for
every login, which the daemon knows. No browser is started where nobody could see it.
"""

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from credhelper.cli import browser, windows_browser
from credhelper.domain.errors import UsageError
from credhelper.domain.model import Flow
from credhelper.domain.text import safe

FIRST_PORT, LAST_PORT = 1024, 65_535  # below, only root may listen
USUAL_SSH_PORT = "22"


@dataclass(frozen=True, slots=True)
class Way:
    """How one login is to be made."""

    flow: Flow
    reason: str | None = None
    """Why it is by device code though nobody asked for one, in words that follow "because"."""
    redirect_port: int = 0
    """Where the browser is to come back to; 0: wherever the daemon chooses."""
    opener: tuple[str, ...] | None = None
    """The command that opens an address here; None where nothing is opened."""

    @property
    def fields(self) -> dict[str, str]:
        """What a request for a login says of it."""
        found = {"flow": self.flow.value}
        if self.reason is not None:
            found["by_itself"] = "1"
        if self.redirect_port:
            found["redirect_port"] = str(self.redirect_port)
        return found


def choose(args: argparse.Namespace, env: Mapping[str, str]) -> Way:
    """The way that the options and the place call for. Raises UsageError."""
    words = browser.command(env)
    opens = words is not None and not args.no_browser and browser.why_none_opens(env, words) is None
    opener = tuple(words) if words is not None and opens else None
    if args.redirect_port is not None:
        return Way(Flow.AUTHORIZATION_CODE, redirect_port=_port(args), opener=opener)
    if args.use_device_code:
        return Way(Flow.DEVICE_CODE, opener=opener)
    reason = _why_not_here(words, env)
    return Way(Flow.AUTHORIZATION_CODE if reason is None else Flow.DEVICE_CODE, reason, opener=opener)


def _port(args: argparse.Namespace) -> int:
    text: str = args.redirect_port
    if args.use_device_code:
        raise UsageError("--use-device-code takes no --redirect-port: no browser comes back")
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and FIRST_PORT <= int(text) <= LAST_PORT):
        raise UsageError(f"--redirect-port: “{safe(text)}” is no port from {FIRST_PORT} to {LAST_PORT}")
    return int(text)


def _why_not_here(words: list[str] | None, env: Mapping[str, str]) -> str | None:
    """Why the browser of this machine cannot bring the answer back, in words that follow "because"; None if it can.

    --no-browser changes nothing about it: it says who opens the address, not how one logs in.
    """
    if words is None and env.get("BROWSER"):
        return f"no browser can be started: BROWSER={safe(env['BROWSER'])}"
    reason = browser.headless_reason(env)
    return "no browser can be started" if reason is None and words is None else reason


def is_elsewhere(way: Way, env: Mapping[str, str]) -> bool:
    """Whether the browser that the person uses is probably on another machine than this."""
    return way.opener is None and browser.headless_reason(env) is not None


def advice(way: Way, url: str, env: Mapping[str, str]) -> list[str]:
    """What has to be seen to so that the browser's answer arrives, for the address of an authorization-code login."""
    port = redirect_port_of(url)
    if port is None:
        return []
    if way.opener is None and env.get("SSH_CONNECTION"):
        return [
            "The browser comes back to this machine. Where it runs, keep this open meanwhile:",
            f"  ssh -N -L {port}:127.0.0.1:{port} {_destination(env)}",
        ]
    if env.get("CODESPACES"):
        return ["If this codespace is open in a browser, nothing can come back: log in with --use-device-code there."]
    if way.opener is None and is_elsewhere(way, env):
        return [f"The browser comes back to 127.0.0.1:{port}, which has to lead to this machine's own."]
    if way.opener is not None and windows_browser.is_command(list(way.opener)):
        return ["If Windows cannot reach 127.0.0.1 of this WSL afterwards, log in with --use-device-code."]
    return []


def redirect_port_of(url: str) -> int | None:
    """The port in an authorization address to which the browser comes back."""
    from urllib.parse import parse_qs, urlsplit

    try:
        (redirect,) = parse_qs(urlsplit(url).query)["redirect_uri"]
        return urlsplit(redirect).port
    except (KeyError, ValueError):
        return None


def _destination(env: Mapping[str, str]) -> str:
    """How this machine was reached by SSH, as ssh wants it: ``SSH_CONNECTION`` ends in our own address and port."""
    import ipaddress

    words = env["SSH_CONNECTION"].split()
    try:
        address, port = str(ipaddress.ip_address(words[2])), words[3]
    except (ValueError, IndexError):
        return "HOST"
    user = env.get("USER") or env.get("LOGNAME")
    where = shlex.quote(safe(f"{user}@{address}")) if user else address
    return where if port == USUAL_SSH_PORT or not port.isdigit() else f"-p {port} {where}"
