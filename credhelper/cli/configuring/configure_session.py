"""``credhelper configure sso-session``: an ``[sso-session]`` section, by option or by asking, checked and written.

The daemon asks AWS, for its environment is the one that later logins are made in.
"""

import argparse
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from credhelper.cli import options, speech, terminal
from credhelper.cli.configuring import config_change
from credhelper.domain.errors import ConfigError, CredhelperError, UpstreamError, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from credhelper.aws.editing.config_edits import Change
    from credhelper.cli.configuring.questions import Mistake

COMMAND = "credhelper configure sso-session"
USAGE = f"{COMMAND} --sso-session NAME --sso-start-url URL --sso-region REGION --yes"
OPTIONS = ("sso_session", "sso_start_url", "sso_region", "sso_registration_scopes")
LOOK_SECONDS = 40  # a start of the daemon, a look at a vanity address, three calls to AWS

DEFAULT_SCOPES = "sso:account:access"
"""What the AWS CLI proposes, and what role credentials take."""

_UNWRITABLE = frozenset("[]\"'\\")
_UNDERSTOOD_BY_ALL = re.compile(r"[A-Za-z0-9_.@/+:%-]+")
_SCOPES = re.compile(r"[!-+\--~]+(\s*,\s*[!-+\--~]+)*")
_ALIAS = re.compile(r"(?!d-[0-9a-f]{10}\.)([a-z0-9-]+)\.awsapps\.com")

_OF_WHAT_WAS_TYPED = frozenset({ConfigError.status, UpstreamError.status})
"""What AWS does not take, and a region that there is not: its hosts cannot be reached."""

Json = dict[str, Any]


def add(parts: options.Commands) -> None:
    """Adds the command to ``configure``'s."""
    parser = parts.add_parser(
        "sso-session",
        help="write an [sso-session] section",
        description="Writes an [sso-session] section to ~/.aws/config, or changes one. Asks on the terminal for what no"
        " option says; where the start URL tells the region, that is not asked for. AWS is asked whether it takes the"
        " start URL in that region, and the difference is shown before anything is written.",
    )
    options.add_session(parser)
    parser.add_argument("--sso-start-url", metavar="URL", help="the address of the access portal")
    parser.add_argument("--sso-region", metavar="REGION", help="the region that IAM Identity Center is in")
    parser.add_argument(
        "--sso-registration-scopes", metavar="S[,S]", help=f"what a login asks for (else {DEFAULT_SCOPES})"
    )
    parser.add_argument("--no-check", action="store_true", help="do not ask AWS whether it would work")
    config_change.add_options(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class _Session:
    """What is to be written, and whether AWS has been asked about it."""

    name: str
    start_url: str
    region: str
    scopes: str
    is_checked: bool
    is_new: bool = False
    """Whether there was no such section: nobody can be logged in to it."""

    @property
    def keys(self) -> dict[str, str]:
        return {
            "sso_start_url": self.start_url,
            "sso_region": self.region,
            "sso_registration_scopes": self.scopes,
        }


def run(args: argparse.Namespace) -> int:
    """Asks, checks, shows and writes."""
    from credhelper.aws.editing import config_edits, session_edits
    from credhelper.cli import callers_files

    options.refuse_empty(args, *OPTIONS)
    configuration = callers_files.load()
    form = _Form(args)
    name = form.name(configuration.sso_sessions)
    session = form.fill(name, configuration.sso_sessions.get(name, {}))
    change = config_edits.plan(
        configuration.paths.config, session_edits.of_session(configuration, session.name, session.keys)
    )
    return _conclude(args, session, change, str(configuration.paths.config))


def _conclude(args: argparse.Namespace, session: _Session, change: "Change", path: str) -> int:
    if args.diff:
        config_change.show(change)
        return 0
    if change.is_empty:
        _tell(args, session, path, None, is_changed=False)
        return 0
    if not args.yes:
        if not args.json:
            config_change.show(change)
        config_change.agree(f"Write this to {path}?", hint=_without_question(args))
    backup = config_change.write(change)
    _tell(args, session, path, None if backup is None else str(backup), is_changed=True)
    return 0


def _without_question(args: argparse.Namespace) -> str:
    """The same command line, and it asks nothing."""
    words = [
        word for name in OPTIONS if (given := getattr(args, name)) for word in (f"--{name.replace('_', '-')}", given)
    ]
    words += ["--no-check"] if args.no_check else []
    return safe(f"{COMMAND} {shlex.join([*words, '--yes'])}   # or --diff, to see what would change")


def _tell(args: argparse.Namespace, session: _Session, path: str, backup: str | None, *, is_changed: bool) -> None:
    if args.json:
        told = {
            "sso_session": session.name,
            "start_url": session.start_url,
            "region": session.region,
            "scopes": [scope.strip() for scope in session.scopes.split(",")],
            "checked": session.is_checked,
            "changed": is_changed,
            "config": path,
            "backup": backup,
        }
        speech.result(json.dumps(told))
        return
    section = f"[sso-session {safe(session.name)}]"
    speech.result(
        f"{section} is written to {safe(path)}" if is_changed else f"{section} says so already: nothing to do"
    )
    anew = " --force" if is_changed and not session.is_new else ""  # a token of the section as it was is no use
    speech.note(f"Log in with: credhelper login{anew} --sso-session {shlex.quote(session.name)}")


class _Form:
    """The answers: by option, else by the person, else as the section has them already."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._asks = terminal.can_ask() and not args.yes

    def name(self, known: Mapping[str, Any]) -> str:
        """The section's name."""
        return self._answer(
            "--sso-session", "SSO session name", self._args.sso_session, self._likely_name(known), _name
        )

    def fill(self, name: str, present: Mapping[str, str]) -> _Session:
        """Everything else; ``present`` are the section's own keys. Raises UsageError, and what the check says."""
        from credhelper.cli import daemon_link

        if not _UNDERSTOOD_BY_ALL.fullmatch(name):
            speech.note(
                "credhelper: warning: some SDKs skip a section whose name has other than A-Z a-z 0-9 _ . @ / + : % -"
            )
        is_new = not present
        while True:
            start_url = self._start_url(present.get("sso_start_url"))
            if not (self._asks or self._args.yes or self._args.diff):
                config_change.refuse_without_terminal(_without_question(self._args))
            present = {**present, "sso_start_url": start_url}
            try:
                region = present["sso_region"] = self._region(start_url, present.get("sso_region"))
                return replace(self._looked_at(name, start_url, region, present), is_new=is_new)
            except daemon_link.Failed as error:
                if error.status not in _OF_WHAT_WAS_TYPED or not self._can_be_mended:
                    raise
                speech.complain(error)

    @property
    def _can_be_mended(self) -> bool:
        """Whether what AWS does not take may be something that the person has just typed."""
        given = (self._args.sso_start_url, self._args.sso_region, self._args.sso_registration_scopes)
        return self._asks and None in given

    def _looked_at(self, name: str, start_url: str, region: str, present: Mapping[str, str]) -> _Session:
        scopes = self._answer(
            "--sso-registration-scopes",
            "SSO registration scopes",
            self._args.sso_registration_scopes,
            present.get("sso_registration_scopes") or DEFAULT_SCOPES,
            _scopes,
        )
        if not self._args.no_check:
            looked_at = {"start_url": start_url, "sso_region": region, "sso_session": name, "scopes": scopes}
            region = str(_look(looked_at)["region"])
            speech.note(f"AWS in {region} takes this start URL.")
        return _Session(name, start_url, region, scopes, is_checked=not self._args.no_check)

    def _start_url(self, present: str | None) -> str:
        from credhelper.aws import start_urls

        typed = self._answer("--sso-start-url", "SSO start URL", self._args.sso_start_url, present, _start_url)
        if typed == present:  # profiles may repeat it to the letter
            return typed
        clean = start_urls.cleaned(_with_scheme(typed))
        if clean != typed:
            speech.note(f"Taken as {clean}")
        return clean

    def _region(self, start_url: str, present: str | None) -> str:
        """The option's, else from the URL, else asked for; where a vanity URL leads is where one logs in, whatever."""
        from credhelper.aws import start_urls

        given, found = self._args.sso_region, start_urls.region_of(start_url)
        if start_urls.is_vanity(start_url) and not self._args.no_check:
            portal = _look({"start_url": start_url})
            speech.note(f"{safe(start_url)} leads to {safe(portal['start_url'])}")
            given, found = portal["region"] or given, portal["region"]
        if found is not None and found != self._args.sso_region:
            speech.note(_disagreement(found, self._args.sso_region))
        return self._answer("--sso-region", "SSO region", given or found, present, _region)

    def _answer(self, option: str, question: str, given: str | None, present: str | None, mistake: "Mistake") -> str:
        from credhelper.cli.configuring import questions

        if given is None and self._asks:
            return questions.ask(question, present, mistake)
        answer = given if given is not None else present
        if answer is None:
            raise UsageError(f"{option} is missing, and nobody is asked for it here", hint=USAGE)
        wrong = mistake(answer)
        if wrong is not None:
            raise UsageError(f"{option}: “{safe(answer)}” {wrong}")
        return answer

    def _likely_name(self, known: Mapping[str, Any]) -> str | None:
        """What to propose on the terminal: the only session there is, or the portal's own name."""
        from urllib.parse import urlsplit

        if not self._asks:
            return None
        if len(known) == 1 and self._args.sso_start_url is None:
            return next(iter(known))
        host = urlsplit(_with_scheme(self._args.sso_start_url or "")).hostname or ""
        alias = _ALIAS.fullmatch(host)
        return None if alias is None else alias[1]


def _look(fields: Json) -> Json:
    """What the daemon finds out about a start URL. Raises CredhelperError."""
    from credhelper.cli import daemon_link

    try:
        found: Json = json.loads(daemon_link.ask("portal", fields, seconds=LOOK_SECONDS))
    except CredhelperError as error:
        error.hint = error.hint or f"{COMMAND} --no-check   # writes it as it is, with --sso-region"
        raise
    return found


def _with_scheme(typed: str) -> str:
    """What people leave out who know that an address begins with https://."""
    return typed if "://" in typed or not typed else "https://" + typed


def _disagreement(found: str, given: str | None) -> str:
    """What to tell of the region that the URL has told."""
    told = f"the portal's own address says {safe(found)}"
    return f"The region: {told}." if given is None else f"credhelper: warning: {told}, not {safe(given)}"


def _name(name: str) -> str | None:
    if name != name.strip() or not name.isprintable() or _UNWRITABLE & {*name}:
        return "cannot be a section's name: brackets, quotes, backslashes and control characters cannot be written"
    return None


def _start_url(typed: str) -> str | None:
    from credhelper.aws import start_urls

    is_good = start_urls.is_usable(start_urls.cleaned(_with_scheme(typed)))
    return None if is_good else "is not an https:// address"


def _region(region: str) -> str | None:
    from credhelper.domain.urls import A_REGION, is_region

    return None if is_region(region) else f"is not {A_REGION}"


def _scopes(scopes: str) -> str | None:
    return None if _SCOPES.fullmatch(scopes) else "is not a list of scopes, with commas between them"
