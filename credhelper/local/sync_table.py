"""The ``[[sync]]`` tables of ``config.toml``: what ``credhelper configure sync`` makes of a session's roles.

A table is about one session. What it does not say, the command's options may say, and they win over it in any case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from credhelper.domain import profile_names
from credhelper.domain.profile_names import Template, WrongTemplate
from credhelper.domain.text import safe
from credhelper.domain.urls import is_region
from credhelper.local import setting_checks as checks
from credhelper.local.setting_checks import Check, Mistake, Wrong

if TYPE_CHECKING:
    from credhelper.local.toml_lines import Place

MOST_TABLES = 64
HEADING = "[[sync]]"

_PATTERNS = 'a pattern such as "Sandbox *" or "*/ReadOnly", or a list of them'


@dataclass(frozen=True, slots=True)
class RegionRule:
    """The region of the profiles that one of the patterns fits."""

    match: tuple[str, ...]
    region: str


@dataclass(frozen=True, slots=True)
class Sync:
    """What is wanted of one session's profiles; the defaults where no table is about it."""

    sso_session: str
    name_template: str = profile_names.USUAL
    region: str = ""
    """Of the profiles that none of ``regions`` fits; "": they get none."""
    regions: tuple[RegionRule, ...] = ()
    """The first that fits holds."""
    include: tuple[str, ...] = ()
    """Patterns of the roles that get a profile; none: all of them."""
    exclude: tuple[str, ...] = ()
    """Patterns of the roles that get none, whatever ``include`` says."""
    native: bool = False
    """Whether the profiles have the AWS CLI's own keys, and not credhelper's with its credential_process line."""


def _session(value: object) -> str:
    if isinstance(value, str) and value.strip() == value != "" and safe(value) == value:
        return value
    raise Wrong(f"is {checks.shown(value)}, and must be the name of an [sso-session] section of ~/.aws/config")


def _template(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f'is {checks.shown(value)}, and must be a text such as "{profile_names.USUAL}"')
    try:
        Template.parse(value)
    except WrongTemplate as wrong:
        raise Wrong(str(wrong)) from None
    return value


def _region(value: object) -> str:
    if value == "" or (isinstance(value, str) and is_region(value)):
        return str(value)
    raise Wrong(f'is {checks.shown(value)}, and must be a region such as "eu-west-1", or "" for none')


def _regions(value: object) -> tuple[RegionRule, ...]:
    if not isinstance(value, list):
        value = [value]
    return tuple(_region_rule(one) for one in value)


def _region_rule(value: object) -> RegionRule:
    if not isinstance(value, dict) or value.keys() != {"match", "region"}:
        raise Wrong('must be a list of tables such as { match = "*/Billing", region = "us-east-1" }, with both keys')
    try:
        match = _patterns(value["match"])
    except Wrong as wrong:
        raise Wrong(f"has a match that {wrong}") from None
    try:
        return RegionRule(match, _region(value["region"]))
    except Wrong as wrong:
        raise Wrong(f"has a region that {wrong}") from None


_patterns = checks.texts(_PATTERNS, bool)


def _some_patterns(value: object) -> tuple[str, ...]:
    return () if value == [] else tuple(_patterns(value))


KEYS: Mapping[str, Check] = {
    "sso_session": _session,
    "name_template": _template,
    "region": _region,
    "regions": _regions,
    "include": _some_patterns,
    "exclude": _some_patterns,
    "native": checks.yes_or_no,
}
"""What a table may say, and what its values may be."""


def read(tables: list[dict[str, Any]], unknown: "checks.Unknown") -> tuple[tuple[Sync, ...], list[Mistake]]:
    """The tables as far as they are right, and all that is wrong with them.

    ``unknown`` words the mistake of a key that there is not.
    """
    found: dict[str, Sync] = {}
    mistakes: list[Mistake] = []
    for number, table in enumerate(tables):
        place: Place = ("sync", number)
        values, wrong = checks.table_values(HEADING, KEYS, place, table, unknown)
        mistakes += wrong
        if "sso_session" not in table:
            mistakes.append((place, f"{HEADING} sso_session is missing: it says whose profiles the table is about"))
        elif values.get("sso_session") in found:
            name = values["sso_session"]
            mistakes.append(((*place, "sso_session"), f'{HEADING} sso_session is "{name}", as in another table'))
        elif not wrong:
            found[values["sso_session"]] = Sync(**values)
    if len(tables) > MOST_TABLES:
        mistakes.append((("sync", MOST_TABLES), f"there are more than {MOST_TABLES} {HEADING} tables"))
    return tuple(found.values()), mistakes
