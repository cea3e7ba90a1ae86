"""A login in plain lines: what stdout promises, and beside it on stderr what a person has to know.

``login_screen`` shows the same on a terminal that can do more.
"""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from credhelper.cli import speech
from credhelper.cli.logging_in import login_ways
from credhelper.cli.logging_in.login_ways import Way
from credhelper.domain.text import safe

Event = Mapping[str, Any]

BESIDE = frozenset({"about", "waiting", "region", "warning", "question"})
"""Events that are no step of the login, but tell of it; ``--json`` has none of them."""


class Face(Protocol):
    """What shows a login; a context manager for as long as it does."""

    def __enter__(self) -> Self:
        """Nothing is shown yet."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The terminal is as it was."""

    def show(self, event: Event, *, is_first: bool) -> None:
        """The login's next event; ``is_first``: none but those beside it came before."""

    def note(self, text: str) -> None:
        """A remark on stderr."""

    def meanwhile(self) -> None:
        """Called now and then while nothing happens."""


class Lines:
    """For a person, on anything that takes text."""

    def __init__(self, way: Way, env: Mapping[str, str]) -> None:
        self._way = way
        self._env = env

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be put back."""

    def show(self, event: Event, *, is_first: bool) -> None:
        """Prints it, if there is something to be said."""
        match event["event"]:
            case "authorize":
                where = (
                    "in a browser" if login_ways.is_elsewhere(self._way, self._env) else "in a browser on this machine"
                )
                speech.note(f"To log in, sign in at this address {where}:")
                speech.result(safe_url(event["url"]))
                for line in login_ways.advice(self._way, event["url"], self._env):
                    speech.note(line)
                speech.note("Waiting for you to approve it there. Ctrl-C gives up.")
            case "device_authorization":
                for line in reasons(self._way):
                    speech.note(line)
                self._show_code(event)
            case "logged_in":
                tell_end(event, is_first=is_first)

    def _show_code(self, event: Event) -> None:
        speech.note("To log in, open this address in any browser:")
        speech.result(safe_url(event["verification_uri"]))
        speech.note("and enter this code, or compare it with the one shown there:")
        speech.result(safe(event["user_code"]))
        speech.note(f"With the code filled in: {safe_url(event['verification_uri_complete'])}")
        speech.note(f"Waiting for you to approve it there until {speech.moment(event['expires_at'])}. Ctrl-C gives up.")

    def note(self, text: str) -> None:
        """A remark on stderr."""
        speech.note(text)

    def meanwhile(self) -> None:
        """Plain lines do not change."""


class Json(Lines):
    """For a program: an event a line on stdout."""

    def show(self, event: Event, *, is_first: bool) -> None:  # noqa: ARG002  # all the same to a program
        """Prints it as it came."""
        if event["event"] in BESIDE:
            return
        if event["event"] == "device_authorization":
            for line in reasons(self._way):
                speech.note(line)
        if event["event"] == "authorize":
            for line in login_ways.advice(self._way, event["url"], self._env):
                speech.note(line)
        speech.result(json.dumps(event))


def reasons(way: Way) -> list[str]:
    """Why it is by device code, where nobody has asked for one or has asked for something else."""
    if way.reason is not None:
        return [f"Logging in with a device code, because {way.reason}."]
    if way.redirect_port:
        return ["This login goes by device code: no browser comes back, and --redirect-port changes nothing."]
    return []


def tell_end(event: Event, *, is_first: bool) -> None:
    """The line with which a login ends well, or need not begin."""
    until = speech.moment(event["expires_at"])
    if is_first:
        name = event["sso_session"] or event["start_url"] or event["cognito_login"]
        speech.note(f"Already logged in to {safe(name)} until {until}. To log in anew, add --force.")
        return
    speech.note(f"The token is good until {until}.")
    if event.get("cognito_login"):
        speech.result(f"Successfully logged in with Cognito login: {safe(event['cognito_login'])}")
    else:
        speech.result(f"Successfully logged into Start URL: {safe(event['start_url'])}")


def safe_url(url: str) -> str:
    """A URL to print: whole, for a cut one is of no use, and without anything a terminal would obey."""
    return "".join(character for character in url if "!" <= character <= "~")
