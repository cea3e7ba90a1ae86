"""``credhelper login`` and ``credhelper sso login``: the daemon runs the flow, this terminal shows it."""

import argparse
import json
import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from credhelper.cli import browser, daemon_link, options, speech
from credhelper.domain.errors import ConfigError, CredhelperError, DoneInPart, UsageError
from credhelper.domain.model import Flow
from credhelper.domain.text import safe

FIRST_EVENT_SECONDS = 45  # two calls to AWS at most, each of which has its own time limit
EVENT_SECONDS = 660  # a person has 10 minutes; the daemon ends the wait itself

Event = dict[str, Any]


def add(commands: options.Commands, summary: str) -> None:
    """Adds ``login``."""
    parser = commands.add_parser(
        "login",
        help=summary,
        description="Logs in, in the browser, and returns at once when the session is still good."
        " The token goes where the AWS CLI keeps its own, so that one login serves every tool. A chained profile with"
        " mfa_serial then asks on the terminal for a code of that device.",
    )
    _add_flow_options(parser)
    parser.add_argument("--all", action="store_true", help="log in to every session of ~/.aws/config")
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
    parser.set_defaults(run=run, all=False, force=True, json=False, asks_for_codes=False)


def _add_flow_options(parser: argparse.ArgumentParser) -> None:
    options.add_profile(parser)
    options.add_session(parser)
    parser.add_argument("--no-browser", action="store_true", help="print the address, do not open a browser")
    parser.add_argument(
        "--use-device-code", action="store_true", help="log in with a code that can be entered on any device"
    )


def run(args: argparse.Namespace) -> int:
    """Logs in to the chosen session, or to each one."""
    if not args.all:
        selector = options.session_fields(args)
        _login(args, selector)
        if args.asks_for_codes and args.sso_session is None:
            _ask_for_codes(args, selector)
        return 0
    if args.profile is not None or args.sso_session is not None:
        raise UsageError("--all means every session: it excludes --profile and --sso-session")
    return _login_to_all(args)


def _login_to_all(args: argparse.Namespace) -> int:
    """One session after the other; one that fails keeps nobody from the others."""
    from credhelper.cli import callers_files

    configuration = callers_files.load()
    sessions, mistakes = configuration.sessions()
    if not sessions and not mistakes:
        raise ConfigError(f"{configuration.paths.config} has no session to log in to", hint="aws configure sso")
    failures: list[CredhelperError] = list(mistakes)
    for session in sessions:
        if session.name is not None:
            selector = {"sso_session": session.name}
        else:  # a legacy one is named by a profile that uses it
            selector = {"profile": next(name for name in configuration.profiles if configuration.uses(name, session))}
        try:
            _login(args, selector)
        except CredhelperError as error:
            failures.append(error)
    for failure in failures:
        speech.complain(failure)
    if not failures:
        return 0
    return DoneInPart.status if len(failures) < len(sessions) + len(mistakes) else failures[0].status


def _login(args: argparse.Namespace, selector: dict[str, str]) -> None:
    opener = browser.command(os.environ)
    reason = None if args.use_device_code else _why_not_here(opener)
    flow = Flow.DEVICE_CODE if args.use_device_code or reason else Flow.AUTHORIZATION_CODE
    fields = selector | {"flow": flow.value} | ({"force": "1"} if args.force else {})
    last: Event = {}
    try:
        with closing(
            daemon_link.stream("login", fields, seconds=FIRST_EVENT_SECONDS, next_seconds=EVENT_SECONDS)
        ) as events:
            for text in events:
                event = json.loads(text)
                if event["event"] == "warning":
                    speech.note(f"credhelper: warning: {safe(event['message'])}")
                    continue
                is_first, last = not last, event
                if last["event"] == "device_authorization" and reason:
                    speech.note(f"Logging in with a device code, because {reason}.")
                speech.result(text) if args.json else _show(last, is_first=is_first)
                if opener is not None and not args.no_browser:
                    _open(opener, last)
    except CredhelperError as error:
        if args.json and last.get("event") != "failed":
            _tell_failure(error)
        raise


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


def _why_not_here(opener: list[str] | None) -> str | None:
    """Why the browser of this machine cannot bring the answer back, in words that follow "because"; None if it can.

    --no-browser changes nothing about it: it says who opens the address, not how one logs in.
    """
    if opener is None and os.environ.get("BROWSER"):
        return f"no browser can be started: BROWSER={safe(os.environ['BROWSER'])}"
    reason = browser.headless_reason(os.environ)
    return "no browser can be started" if reason is None and opener is None else reason


def _show(event: Mapping[str, Any], *, is_first: bool) -> None:
    match event["event"]:
        case "authorize":
            speech.note("To log in, sign in at this address in a browser on this machine:")
            speech.result(safe_url(event["url"]))
            speech.note("Waiting for you to approve it there. Ctrl-C gives up.")
        case "device_authorization":
            speech.note("To log in, open this address in any browser:")
            speech.result(safe_url(event["verification_uri"]))
            speech.note("and enter this code, or compare it with the one shown there:")
            speech.result(safe(event["user_code"]))
            speech.note(f"With the code filled in: {safe_url(event['verification_uri_complete'])}")
            speech.note(
                f"Waiting for you to approve it there until {speech.moment(event['expires_at'])}. Ctrl-C gives up."
            )
        case "logged_in" if not is_first:
            speech.note(f"The token is good until {speech.moment(event['expires_at'])}.")
            speech.result(f"Successfully logged into Start URL: {safe(event['start_url'])}")
        case "logged_in":
            name = event["sso_session"] or event["start_url"]
            until = speech.moment(event["expires_at"])
            speech.note(f"Already logged in to {safe(name)} until {until}. To log in anew, add --force.")


def _open(opener: list[str], event: Event) -> None:
    url = event.get("url") or event.get("verification_uri_complete")
    if url is not None and browser.open_url(opener, url) is None:
        speech.note("The browser could not be started: please open the address by hand.")


def safe_url(url: str) -> str:
    """A URL to print: whole, for a cut one is of no use, and without anything a terminal would obey."""
    return "".join(character for character in url if "!" <= character <= "~")
