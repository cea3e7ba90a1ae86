"""``credhelper login`` and ``credhelper sso login``: the daemon runs the flow, this terminal shows it."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from credhelper.cli import browser, daemon_link, options, speech, terminal
from credhelper.cli.logging_in import login_ways
from credhelper.cli.logging_in.login_lines import BESIDE, Face, Json, Lines
from credhelper.cli.logging_in.login_ways import Way
from credhelper.cli.picking import pick
from credhelper.domain.errors import ConfigError, CredhelperError, DoneInPart, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from credhelper.aws.config_file import Configuration
    from credhelper.domain.model import SsoSession

FIRST_EVENT_SECONDS = 45  # a look at a vanity start URL and two calls to AWS, each with a time limit of its own
EVENT_SECONDS = 660  # a person has 10 minutes; the daemon ends the wait itself

Event = dict[str, Any]


def add(commands: options.Commands, summary: str) -> None:
    """Adds ``login``."""
    parser = commands.add_parser(
        "login",
        help=summary,
        description="Logs in, in the browser, and returns at once when the session is still good."
        " The token goes where the AWS CLI keeps its own, so that one login serves every tool. A chained profile with"
        " mfa_serial then asks on the terminal for a code of that device. A Cognito login is by browser, or asks for a"
        " password on the terminal, or runs the command that its table in config.toml names; its tokens are sealed. "
        + pick.HELP,
    )
    _add_flow_options(parser)
    options.add_cognito_login(parser)
    parser.add_argument(
        "--redirect-port",
        metavar="N",
        help="have the browser come back to this port on 127.0.0.1, for `ssh -L N:127.0.0.1:N` (also [login]"
        " redirect_port in config.toml); so it is no login by device code, also over SSH",
    )
    parser.add_argument(
        "--copy",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="send the address to the terminal's clipboard by OSC 52, also over SSH (else as [login] copy says)",
    )
    parser.add_argument(
        "--all", action="store_true", help="log in to every session of ~/.aws/config, and with every Cognito login"
    )
    parser.add_argument("--force", action="store_true", help="log in even when the session is still good")
    options.add_json(parser)
    parser.set_defaults(run=run, asks_for_codes=True)


def add_sso(commands: options.Commands) -> None:
    """Adds ``sso login``."""
    parser = commands.add_parser(
        "login",
        help="as `aws sso login`: always logs in anew",
        description="Logs in as `aws sso login` does: with the same options, and always anew.",
    )
    _add_flow_options(parser)
    options.add_aws_cli_habits(parser)
    parser.set_defaults(run=run, all=False, force=True, json=False, asks_for_codes=False, redirect_port=None, copy=None)


def _add_flow_options(parser: argparse.ArgumentParser) -> None:
    options.add_profile(parser)
    options.add_session(parser)
    parser.add_argument("--no-browser", action="store_true", help="print the address, do not open a browser")
    parser.add_argument(
        "--use-device-code", action="store_true", help="log in with a code that can be entered on any device"
    )


def run(args: argparse.Namespace) -> int:
    """Logs in to the chosen session, or to each one."""
    way = login_ways.choose(args, os.environ)
    if not args.all:
        if args.asks_for_codes and not args.json:  # not where `aws sso login` or a program was meant
            pick.pick_session(args)
        selector = options.session_fields(args)
        _login(args, selector, way)
        if args.asks_for_codes and "sso_session" not in selector and "cognito_login" not in selector:
            _ask_for_codes(args, selector)
        return 0
    if options.session_fields(args):
        raise UsageError("--all means every session: it excludes --profile, --sso-session and --cognito-login")
    return _login_to_all(args, way)


def _login_to_all(args: argparse.Namespace, way: Way) -> int:
    """One session after the other; one that fails keeps nobody from the others."""
    from credhelper.cli import callers_files

    configuration = callers_files.load()
    sessions, mistakes = configuration.sessions()
    users, _ = callers_files.cognito_logins()
    logins = [(session.label, _selector(configuration, session)) for session in sessions]
    logins += [(user.label, {"cognito_login": user.name}) for user in users]
    if not logins and not mistakes:
        raise ConfigError(
            f"{configuration.paths.config} has no session to log in to", hint="credhelper configure sso-session"
        )
    failures: list[CredhelperError] = list(mistakes)
    for number, (label, selector) in enumerate(logins, start=1):
        if sys.stderr.isatty() and not args.json:
            speech.note(f"Session {number} of {len(logins)}: {safe(label)}")
        try:
            _login(args, selector, way)
        except CredhelperError as error:
            failures.append(error)
    for failure in failures:
        speech.complain(failure)
    if not failures:
        return 0
    return DoneInPart.status if len(failures) < len(logins) + len(mistakes) else failures[0].status


def _selector(configuration: "Configuration", session: "SsoSession") -> dict[str, str]:
    """What names a session in a request: a legacy one is named by a profile that uses it."""
    if session.name is not None:
        return {"sso_session": session.name}
    return {"profile": next(name for name in configuration.profiles if configuration.uses(name, session))}


def _login(args: argparse.Namespace, selector: dict[str, str], way: Way) -> None:
    fields = selector | way.fields | ({"force": "1"} if args.force else {})
    last: Event = {}
    try:
        with ExitStack() as stack:
            face = stack.enter_context(_face(args, way))
            person = Person(args, way, face)
            events = daemon_link.stream(
                "login", fields, seconds=FIRST_EVENT_SECONDS, next_seconds=EVENT_SECONDS, meanwhile=person.meanwhile
            )
            for text in stack.enter_context(closing(events)):
                event = json.loads(text)
                face.show(event, is_first=not last)
                person.hear(event)
                if event["event"] in BESIDE:
                    _hear(face, selector, event)
                    last = event if event["event"] == "question" else last
                    continue
                last = event
                _help_on(args, way, face, event)
    except CredhelperError as error:
        if args.json and last.get("event") != "failed":
            _tell_failure(error)
        raise


class Person:
    """Whoever logs in, as far as a login wants more of them than to look: Cognito's may."""

    def __init__(self, args: argparse.Namespace, way: Way, face: Face) -> None:
        self._args = args
        self._way = way
        self._face = face
        self._about: Event = {}
        self._look: Callable[[], None] | None = None
        """Looks at what they have pasted, while that is waited for."""

    def hear(self, event: Event) -> None:
        """Asks what is to be asked. Raises as ``questions.answer``."""
        match event["event"]:
            case "about":
                self._about = event
            case "question":
                from credhelper.cli.logging_in import questions

                if not questions.answer(self._about, event):
                    self._face.note("This login asks its questions where it was begun.")
            case "authorize" if self._may_paste():
                from credhelper.cli.logging_in import questions

                for line in questions.how_to_paste(login_ways.redirect_port_of(event["url"])):
                    self._face.note(line)
                self._look = questions.Pasted(self._about, self._face.note).look
            case "logged_in" | "failed":
                self._look = None

    def meanwhile(self) -> None:
        """Called now and then while nothing happens. What is being pasted must not be drawn over."""
        (self._look or self._face.meanwhile)()

    def _may_paste(self) -> bool:
        return (
            bool(self._about.get("cognito_login"))
            and self._way.opener is None
            and not self._args.json
            and terminal.can_ask()
        )


def _face(args: argparse.Namespace, way: Way) -> Face:
    """What shows the login: a screen where there is a terminal for it, else lines."""
    if args.json:
        return Json(way, os.environ)
    if os.environ.get("NO_COLOR") or not terminal.can_draw(sys.stderr):
        return Lines(way, os.environ)
    from credhelper.cli.logging_in.login_screen import Screen  # and with it all that draws

    return Screen(way, os.environ)


def _hear(face: Face, selector: Mapping[str, str], event: Event) -> None:
    """Acts on what is told beside the login's own steps."""
    if event["event"] == "warning":
        face.note(f"credhelper: warning: {safe(event['message'])}")
    elif event["event"] == "region":
        from credhelper.cli.logging_in import found_region  # few start URLs are vanity ones

        remark = found_region.keep(selector, event)
        if remark is not None:
            face.note(remark)


def _help_on(args: argparse.Namespace, way: Way, face: Face, event: Event) -> None:
    """Opens the address of an event that has one, and copies it, as far as that is wanted."""
    url = event.get("url") or event.get("verification_uri_complete")
    if url is None:
        return
    if _wants_copy(args):
        from credhelper.cli.logging_in import clipboard

        why_not = clipboard.why_not_sent(url, os.environ)
        face.note(
            "The address was sent to your terminal's clipboard."
            if why_not is None
            else f"The address was not sent to the clipboard, because {why_not}."
        )
    if way.opener is not None and browser.open_url(list(way.opener), url) is None:
        face.note("The browser could not be started: please open the address by hand.")


def _wants_copy(args: argparse.Namespace) -> bool:
    """As the options say; else as config.toml does, for a person at a terminal."""
    if args.copy is not None or args.json or not sys.stderr.isatty():
        return bool(args.copy)
    from credhelper.local import places

    try:
        path = places.settings_file(places.environment())
        if not path.exists():  # nearly always, and what reads it is not loaded
            return False
        from credhelper.local import settings

        return settings.load(path).login_copy
    except ConfigError:  # the daemon's to tell, and `doctor`'s: a login goes on
        return False


def _ask_for_codes(args: argparse.Namespace, selector: Mapping[str, str]) -> None:
    """A profile may stand for a role that takes more than the session: a code of the person's MFA device."""
    from credhelper.cli import mfa

    try:
        mfa.ask(selector)
    except CredhelperError as error:
        if args.json:
            _tell_failure(error)
        raise


def _tell_failure(error: CredhelperError) -> None:
    speech.result(json.dumps({"event": "failed", "code": error.code, "message": error.message}))
