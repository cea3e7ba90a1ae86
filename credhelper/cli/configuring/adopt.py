"""``credhelper configure adopt`` and ``release``: profiles of ``~/.aws/config`` made credhelper's, and given back.

Adopted, a profile works with every SDK through credhelper's daemon; released, it is byte for byte what it was.
"""

import argparse
import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from credhelper.cli import options, speech
from credhelper.cli.configuring import config_change
from credhelper.domain.errors import ConfigError, DoneInPart, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from credhelper.aws.config_file import Configuration
    from credhelper.aws.editing.adoption import Plan
    from credhelper.aws.editing.config_edits import Change

MOST_NAMES = 10
"""How many profiles a remark names."""

_ADOPT = (
    "Turns Identity Center profiles of ~/.aws/config into adopted ones: their sso_… keys (and role_arn, source_profile"
    " and so on) get the prefix credhelper_, in place, and a credential_process line, which every SDK runs. A profile"
    " that has keys with the prefix already gets the line it lacks. Nothing else changes. Shows the difference, asks,"
    " and keeps a copy of the file. `credhelper configure release` undoes it."
)
_RELEASE = (
    "Turns adopted profiles of ~/.aws/config into native ones again: the exact reverse of `credhelper configure adopt`."
    " A Cognito profile, for which the AWS CLI has no keys, only loses its credential_process line. Shows the"
    " difference, asks, and keeps a copy of the file."
)
_DONE = {"adopt": "Adopted", "release": "Released"}


def add(parts: options.Commands) -> None:
    """Adds both commands."""
    _add(parts, "adopt", "have profiles served by credhelper's daemon in every SDK", _ADOPT).set_defaults(run=run_adopt)
    _add(parts, "release", "give adopted profiles back to the AWS CLI's own keys", _RELEASE).set_defaults(
        run=run_release
    )


def _add(parts: options.Commands, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser = parts.add_parser(name, help=summary, description=description)
    parser.add_argument(
        "--profile",
        metavar="NAME",
        dest="profiles",
        action="extend",
        nargs="+",
        default=[],
        help=f"a profile to {name}; may be given several times",
    )
    parser.add_argument("--all", action="store_true", help=f"every profile that there is to {name}")
    config_change.add_options(parser)
    return parser


def run_adopt(args: argparse.Namespace) -> int:
    """Adopts."""
    from credhelper.aws.editing import adoption
    from credhelper.cli import callers_files
    from credhelper.local import installation, places

    configuration = callers_files.load()
    line_of = installation.process_lines(places.environment())
    line_of("default")  # what cannot be written for one cannot be for any
    return _carry_out(args, configuration, adoption.adopt(configuration, _names(args), line_of), "adopt")


def run_release(args: argparse.Namespace) -> int:
    """Releases."""
    from credhelper.aws.editing import adoption
    from credhelper.cli import callers_files

    configuration = callers_files.load()
    return _carry_out(args, configuration, adoption.release(configuration, _names(args)), "release")


def _names(args: argparse.Namespace) -> list[str] | None:
    """The profiles that were named; None for all of them. Raises UsageError."""
    named = [*([] if args.profile is None else [args.profile]), *args.profiles]  # it may stand before the command too
    if "" in named:
        raise UsageError("--profile needs a name")
    if bool(named) == args.all:
        raise UsageError("either --profile says which profiles, or --all that it is all of them")
    return None if args.all else named


def _carry_out(args: argparse.Namespace, configuration: "Configuration", plan: "Plan", verb: str) -> int:
    """Shows, asks and writes; the exit status."""
    path = configuration.paths.config
    plan, change = _change(path, plan)
    if change is not None and not args.json:
        config_change.show(change)
    _tell(plan, verb, path)
    if verb == "adopt":
        _tell_consequences(configuration, plan)
    else:
        _tell_of_sync(configuration, plan)
    backup = None
    if change is not None and not args.diff:
        if not args.yes:
            question = f"{verb.capitalize()} {_listed(plan.turns, most=3)} in {path}?"
            config_change.agree(question, hint=_with_yes(args, verb))
        if verb == "adopt":
            _put_client_in_place()  # before a profile needs it
        backup = config_change.write(change)
        speech.note(f"{_DONE[verb]}: {_listed(plan.turns)}")
    if args.json:
        speech.result(json.dumps(_receipt(configuration, plan, change, backup, is_written=not args.diff)))
    return DoneInPart.status if plan.refused else 0


def _put_client_in_place() -> None:
    from credhelper.local import installation, places

    installation.put_in_place(places.environment())


def _change(path: "Path", plan: "Plan") -> "tuple[Plan, Change | None]":
    """What the file would be, None where it stays; and the plan without the sections that cannot be edited."""
    from credhelper.aws.editing import adoption, config_edits

    if not plan.turns:
        return plan, None
    try:
        return plan, config_edits.plan(path, adoption.edits(plan))
    except ConfigError:
        plan = adoption.feasible(plan, lambda edits: config_edits.plan(path, edits))
    return plan, config_edits.plan(path, adoption.edits(plan)) if plan.turns else None


def _with_yes(args: argparse.Namespace, verb: str) -> str:
    names = _names(args)
    which = "--all" if names is None else " ".join(f"--profile {shlex.quote(safe(name))}" for name in names)
    return f"credhelper configure {verb} {which} --yes   # or --diff, to see what would change"


def _tell(plan: "Plan", verb: str, path: "Path") -> None:
    """What will not change, and why."""
    for name, why in plan.refused.items():
        speech.note(f"credhelper: error: cannot {verb} the profile “{safe(name)}”: {safe(why)}")
    by_reason: dict[str, list[str]] = {}
    for name, why in plan.settled.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        speech.note(f"Nothing to do for {_listed(names)}: {safe(why)}")
    if verb == "adopt" and plan.others:
        speech.note(f"Left alone, for no role of Identity Center's stands behind them: {_listed(plan.others)}")
    if not (plan.turns or plan.refused or plan.settled):
        speech.note(f"Nothing to do: {safe(str(path))} has no profile to {verb}")


def _tell_consequences(configuration: "Configuration", plan: "Plan") -> None:
    """What a person has to do otherwise from now on."""
    from credhelper.aws.editing import adoption

    for session, names in adoption.logins_lost(configuration, plan).items():
        ours = f"credhelper login --profile {_quoted(names[0])}"
        instead = f"`{ours}`" if session is None else f"`aws sso login --sso-session {_quoted(session)}` or `{ours}`"
        speech.note(f"`aws sso login --profile` no longer knows {_listed(names)}: log in with {instead}.")
    asked = [name for name, turn in plan.turns.items() if "mfa_serial" in turn.renamed]
    if asked:
        speech.note(
            f"The AWS CLI no longer asks for the MFA code of {_listed(asked)}: `credhelper login --profile"
            f" {_quoted(asked[0])}` does."
        )


def _tell_of_sync(configuration: "Configuration", plan: "Plan") -> None:
    """Whose profiles a sync will adopt again, which is not what was meant."""
    from credhelper.aws.editing import config_edits, managed_profiles
    from credhelper.aws.editing.managed_block import Block

    path = configuration.paths.config
    for session in configuration.sso_sessions if plan.turns else ():
        block = Block(config_edits.block(path, managed_profiles.marker(session)) or "", path)
        theirs = [name for section in block.sections if (name := section.profile) in plan.turns and name is not None]
        if theirs:
            speech.note(
                f"The next sync of session {safe(session)} adopts {_listed(theirs)} again, unless it is told --native"
                " (or native = true in its [[sync]] table of config.toml)."
            )


def _receipt(
    configuration: "Configuration", plan: "Plan", change: "Change | None", backup: "Path | None", *, is_written: bool
) -> dict[str, object]:
    return {
        "config": str(configuration.paths.config),
        "changed": list(plan.turns),
        "unchanged": _with_reasons(plan.settled),
        "left": _with_reasons(plan.refused),
        "others": _with_reasons(plan.others),
        "written": is_written and change is not None,
        "backup": None if backup is None else str(backup),
        "diff": [] if change is None else config_change.lines_of(change),
    }


def _with_reasons(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"profile": name, "why": safe(why)} for name, why in found.items()]


def _listed(names: "list[str] | Mapping[str, object]", most: int = MOST_NAMES) -> str:
    shown = list(names)[:most]
    more = len(names) - len(shown)
    return ", ".join(map(safe, shown)) + (f" and {more} more" if more else "")


def _quoted(name: str) -> str:
    return shlex.quote(safe(name))
