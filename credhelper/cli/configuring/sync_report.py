"""What a sync tells of itself: the difference for a person and as JSON, and what would make its options last."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from credhelper.aws.editing.managed_profiles import PROCESS, Difference, Kind, Planned
from credhelper.cli import speech
from credhelper.cli.columns import padded, width
from credhelper.domain.text import safe
from credhelper.local.sync_table import HEADING, Sync

if TYPE_CHECKING:
    from credhelper.aws.editing.config_edits import Change

MOST_SHOWN = 50  # lines on a terminal that is about to ask
ROOM_FOR_NAME = 48  # columns; longer names push the rest aside

SIGNS: Mapping[Kind, str] = {
    Kind.ADDED: "+",
    Kind.REMOVED: "-",
    Kind.RENAMED: "~",
    Kind.CHANGED: "~",
    Kind.STALE: "=",
    Kind.UNLISTED: "=",
    Kind.LEFT_OUT: "!",
}
_COLOURS = {"+": "green", "-": "red", "~": "yellow", "!": "red"}


def show(planned: Planned, *, is_whole: bool) -> None:
    """Prints a line for each profile that differs, on a terminal only the first of many unless ``is_whole``."""
    differences = planned.differences
    shown = differences if is_whole or not sys.stdout.isatty() else differences[:MOST_SHOWN]
    room = min(ROOM_FOR_NAME, max((width(_name(found)) for found in shown), default=0))
    for found in shown:
        sign = SIGNS[found.kind]
        line = f"{sign} {padded(_name(found), room)}  {_role(found)}{_details(found)}"
        speech.result(speech.paint(line, _COLOURS[sign]) if sign in _COLOURS else line)
    if len(shown) < len(differences):
        speech.result(f"… and {len(differences) - len(shown)} more; --diff shows all of them")


def sum_up(planned: Planned, session: str, *, is_empty: bool) -> None:
    """Says on stderr how much of each there is."""
    counts = [
        (planned.of(Kind.ADDED), "added"),
        (planned.of(Kind.REMOVED), "removed"),
        (planned.of(Kind.RENAMED), "renamed"),
        (planned.of(Kind.CHANGED), "changed"),
        (planned.of(Kind.STALE), "stale and kept (--prune removes them)"),
        (planned.of(Kind.UNLISTED), "kept, for the roles of their accounts could not be listed"),
        (planned.of(Kind.LEFT_OUT), "left out"),
    ]
    told = [f"{len(found)} {what}" for found, what in counts if found] + [f"{planned.unchanged} unchanged"]
    if is_empty:
        speech.note(f"Nothing to do for the session {safe(session)}: {', '.join(told)}.")
    else:
        order = "" if _has_news(planned) else " Only the order or the spacing of the block changes."
        speech.note(f"Profiles of the session {safe(session)}: {', '.join(told)}.{order}")
    if planned.without_region:
        speech.note(f"{planned.without_region} of them have no region: --region and --region-for give them one.")


def document(planned: Planned, session: str, change: "Change", backup: Path | None, *, is_written: bool) -> str:
    """The same as JSON: by kind, what differs."""
    found: dict[str, object] = {
        "sso_session": session,
        "config": str(change.path),
        "written": is_written,
        "backup": None if backup is None else str(backup),
        "unchanged": planned.unchanged,
    }
    found |= {kind.value: [_entry(one) for one in planned.of(kind)] for kind in Kind}
    return json.dumps(found)


def tell_how_to_keep(wishes: Sync, path: Path) -> None:
    """Says what makes options hold at the next run, too, for without them it would undo what they did."""
    usual = Sync(wishes.sso_session)
    lines = [HEADING, f"sso_session = {_toml(wishes.sso_session)}"]
    for key in ("name_template", "region", "include", "exclude"):
        value = getattr(wishes, key)
        if value != getattr(usual, key):
            lines.append(f"{key} = {_toml(value)}")
    if wishes.regions:
        rules = ", ".join(
            f"{{ match = {_toml(rule.match)}, region = {_toml(rule.region)} }}" for rule in wishes.regions
        )
        lines.append(f"regions = [{rules}]")
    if wishes.native:
        lines.append("native = true")
    speech.note(f"To have these options hold at every run, put this into {safe(str(path))}:")
    for line in lines:
        speech.note(f"    {safe(line, len(line))}")


def _has_news(planned: Planned) -> bool:
    return bool(planned.of(Kind.ADDED, Kind.REMOVED, Kind.RENAMED, Kind.CHANGED))


def _name(found: Difference) -> str:
    return safe(found.profile if found.was is None else f"{found.was} -> {found.profile}")


def _role(found: Difference) -> str:
    account = found.account_id if found.account_name is None else f"{found.account_name} ({found.account_id})"
    return safe(f"{account}  {found.role_name}")


def _details(found: Difference) -> str:
    told = [f"{key}: {was or 'none'} -> {now or 'none'}" for key, was, now in found.keys if key != PROCESS]
    told += [PROCESS for key, _, _ in found.keys if key == PROCESS]
    told += [found.why] if found.why else []
    return "".join(f"  {safe(one)}" for one in told)


def _entry(found: Difference) -> dict[str, object]:
    entry: dict[str, object] = {
        "profile": found.profile,
        "account_id": found.account_id,
        "account_name": found.account_name,
        "role_name": found.role_name,
    }
    if found.was is not None:
        entry["was"] = found.was
    if found.keys:
        entry["keys"] = [key for key, _, _ in found.keys]
    if found.why:
        entry["why"] = found.why
    return entry


def _toml(value: str | tuple[str, ...]) -> str:
    """As TOML writes it, whose strings and lists are JSON's but for a delete character."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
