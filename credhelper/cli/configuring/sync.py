"""``credhelper configure sync``: a profile for every role of a session, in a block of ``~/.aws/config``."""

import argparse
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from credhelper.cli import options, speech
from credhelper.cli.configuring import config_change
from credhelper.domain.errors import ConfigChanged, ConfigError, DoneInPart, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.aws.config_file import Configuration
    from credhelper.aws.editing.config_edits import Change
    from credhelper.aws.editing.managed_profiles import Planned
    from credhelper.domain.accounts import Listing
    from credhelper.local.sync_table import Sync

WISHES = ("name_template", "region", "include", "exclude", "native")
"""The options that a ``[[sync]]`` table has by the same name; ``--region-for`` is its ``regions``."""


def add(parts: options.Commands) -> None:
    """Adds the command."""
    parser = parts.add_parser(
        "sync",
        help="keep a profile for every role of a session",
        description="Lists every account and role of a session, and brings a block of profiles in ~/.aws/config up to"
        " date; nothing outside the block is touched. Shows what is added, renamed, changed and stale, asks, and keeps"
        " a copy of the file. A profile keeps its name, and the keys that you add to it, for as long as its account and"
        " role are there; a name that is taken gets the account id behind it. Without --sso-session: of the only"
        " session there is, or of one chosen from a list on a terminal.",
        epilog="A pattern (* ? [abc]) with a slash is over account/role, one without over the account alone; an account"
        " is known by its name and by its id. Of --region-for the first that fits holds. What is to hold at every run"
        " belongs into config.toml, as a [[sync]] table; options win over it.",
    )
    options.add_session(parser)
    parser.add_argument("--prune", action="store_true", help="remove stale profiles: those whose role is not listed")
    parser.add_argument(
        "--native",
        action=argparse.BooleanOptionalAction,
        help="write the AWS CLI's own keys, and not credhelper's with a credential_process line",
    )
    parser.add_argument(
        "--name-template",
        metavar="T",
        help="how profiles are called, such as {account_name}-{role_name:lower}; also {account_id} and {sso_session}",
    )
    parser.add_argument("--region", metavar="R", help="the region of every profile")
    for option, metavar, text in (
        ("--region-for", "PATTERN=REGION", "another region for the roles that match"),
        ("--include", "PATTERN", "only the roles that match"),
        ("--exclude", "PATTERN", "none of the roles that match"),
    ):
        parser.add_argument(option, metavar=metavar, action="extend", nargs="+", help=text)
    config_change.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Lists, shows, asks and writes."""
    from credhelper.cli import callers_files, inventory
    from credhelper.cli.progress_bar import ProgressBar
    from credhelper.local import installation, places

    configuration = callers_files.load()
    _choose_session(args, configuration)
    remembered = _remembered(args.sso_session)
    wishes = replace(remembered, **_given(args))
    if not (args.yes or args.diff):
        config_change.refuse_without_terminal(f"{_command(args)} --yes   # or --diff, to see what would change")
    configuration.sso_session(args.sso_session)  # it must be there and complete, before anybody waits
    line_of = installation.process_lines(places.environment())
    if not wishes.native:
        line_of("default")  # what cannot be written for one cannot be for any
    with ProgressBar("Listing accounts and roles") as bar:
        listing = inventory.ask({"sso_session": args.sso_session}, bar.show)
    change, planned = _plan(args, wishes, listing, line_of)
    status = _carry_out(args, change, planned, is_native=wishes.native)
    if wishes != remembered:
        _tell_how_to_keep(wishes)
    return status


def _choose_session(args: argparse.Namespace, configuration: "Configuration") -> None:
    """Sets ``sso_session`` where no option says it: the only one there is, else what a person chooses.

    Raises UsageError where nobody can be asked, ConfigError where there is none.
    """
    options.refuse_empty(args, "sso_session")
    if args.profile is not None:
        raise UsageError(
            "a sync is about all profiles of a session, and not about one", hint="credhelper configure sync --help"
        )
    if args.sso_session is not None:
        return
    names = list(configuration.sso_sessions)
    if not names:
        raise ConfigError(
            f"{configuration.paths.config} has no [sso-session] section", hint="credhelper configure sso-session"
        )
    if len(names) == 1:
        args.sso_session = names[0]
        return
    from credhelper.cli.picking import pick

    pick.pick_session(args)
    if args.profile is not None:
        raise UsageError(
            "a sync is for an [sso-session] section, and a legacy profile has none",
            hint="credhelper configure sso-session",
        )
    if args.sso_session is None:
        raise UsageError(
            f"{configuration.paths.config} has several sessions: {', '.join(map(safe, names))}",
            hint=f"credhelper configure sync --sso-session {shlex.quote(safe(names[0]))}",
        )


def _remembered(session: str) -> "Sync":
    """What config.toml says of the session. Raises ConfigError."""
    from credhelper.local import places, settings
    from credhelper.local.sync_table import Sync

    tables = settings.load(places.settings_file(places.environment())).sync
    return next((table for table in tables if table.sso_session == session), Sync(session))


def _tell_how_to_keep(wishes: "Sync") -> None:
    from credhelper.cli.configuring import sync_report
    from credhelper.local import places

    sync_report.tell_how_to_keep(wishes, places.settings_file(places.environment()))


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The fields that options set, checked as in config.toml. Raises UsageError."""
    from credhelper.local.setting_checks import Wrong
    from credhelper.local.sync_table import KEYS

    given = {name: value for name in WISHES if (value := getattr(args, name)) is not None}
    if args.region_for is not None:
        given["regions"] = [_region_rule(text) for text in args.region_for]
    checked = {}
    for name, value in given.items():
        try:
            checked[name] = KEYS[name](value)
        except Wrong as wrong:
            option = "region-for" if name == "regions" else name.replace("_", "-")
            raise UsageError(f"--{option} {wrong}", hint="credhelper configure sync --help") from None
    return checked


def _region_rule(text: str) -> dict[str, str]:
    pattern, equals, region = text.rpartition("=")  # a role's name may have one
    if not (equals and pattern):
        raise UsageError(f"--region-for: “{safe(text)}” is not of the form PATTERN=REGION")
    return {"match": pattern, "region": region}


def _plan(
    args: argparse.Namespace, wishes: "Sync", listing: "Listing", line_of: Callable[[str], str]
) -> "tuple[Change, Planned]":
    """Of the files as they are now: somebody may have edited them while it was listed."""
    from credhelper.aws import config_file
    from credhelper.aws.editing import config_edits, managed_profiles
    from credhelper.aws.editing.config_edits import SetBlock
    from credhelper.aws.editing.managed_profiles import Given
    from credhelper.cli import callers_files

    path, marker = callers_files.paths().config, managed_profiles.marker(args.sso_session)
    before = config_file.read(path) if path.exists() else b""
    configuration = callers_files.load()
    configuration.sso_session(args.sso_session)
    block = config_edits.block(path, marker) or ""
    planned = managed_profiles.plan(Given(listing, wishes, configuration, block, line_of, prune=args.prune))
    change = config_edits.plan(path, [SetBlock(marker, planned.text)])
    if change.before != before:
        raise ConfigChanged(
            f"{path}: was changed by another program just now; nothing was written", hint=_command(args)
        )
    return change, planned


def _carry_out(args: argparse.Namespace, change: "Change", planned: "Planned", *, is_native: bool) -> int:
    from credhelper.aws.editing.managed_profiles import Kind
    from credhelper.cli.configuring import sync_report
    from credhelper.local import installation, places

    if not args.json:
        sync_report.show(planned, is_whole=args.diff)
    sync_report.sum_up(planned, args.sso_session, is_empty=change.is_empty)
    backup: Path | None = None
    is_to_be_written = not (args.diff or change.is_empty)
    if is_to_be_written:
        if not args.yes:
            config_change.agree(f"Write this to {change.path}?", hint=f"{_command(args)} --yes")
        if not is_native:
            installation.put_in_place(places.environment())  # before a profile needs it
        backup = config_change.write(change)
        speech.note(f"{safe(str(change.path))} is up to date.")
    if args.json:
        speech.result(sync_report.document(planned, args.sso_session, change, backup, is_written=is_to_be_written))
    return DoneInPart.status if planned.of(Kind.LEFT_OUT, Kind.UNLISTED) else 0


def _command(args: argparse.Namespace) -> str:
    """The same command line without ``--yes`` and ``--diff``."""
    words = ["--sso-session", args.sso_session]
    words += [f"--{name}" for name in ("prune", "json") if getattr(args, name)]
    if args.native is not None:
        words.append("--native" if args.native else "--no-native")
    for name in ("name_template", "region", "region_for", "include", "exclude"):
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    return safe(f"credhelper configure sync {shlex.join(words)}")
