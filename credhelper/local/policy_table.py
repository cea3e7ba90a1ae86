"""The ``[[policy]]`` tables of ``config.toml``: which roles a rule is about, and what it wants of those who ask.

A rule that says nothing, or could never be told from another one, is a mistake: whoever wrote it relies on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from credhelper.domain.text import safe
from credhelper.local import setting_checks as checks
from credhelper.local.setting_checks import Check, Mistake, Wrong

if TYPE_CHECKING:
    from credhelper.local.toml_lines import Place

MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds
REMEMBERED = 15 * MINUTE
"""How long a yes holds with ``confirm = true``."""
MOST_RULES = 256


@dataclass(frozen=True, slots=True)
class Rule:
    """One table. What it does not say, it does not ask for."""

    name: str
    """Refusals are told by it."""
    match: tuple[str, ...]
    """Patterns over profile names and over ``session/account/role``."""
    allow_exe: tuple[str, ...] = ()
    """Patterns over the absolute paths of programs; none: any program."""
    confirm: int = 0
    """For how many seconds a person's yes holds; 0: nobody is asked."""
    max_ttl: int = 0
    """Seconds that credentials of a chained role live at most; 0: as long as its profile says."""
    deny: bool = False
    """Whether nobody gets the role at all."""


def _name(value: object) -> str:
    if isinstance(value, str) and value.strip() and safe(value) == value and len(value) <= 64:
        return value
    raise Wrong(f"is {checks.shown(value)}, and must be a name of 1 to 64 characters: refusals are told by it")


def _confirm(value: object) -> int:
    if isinstance(value, bool):
        return REMEMBERED if value else 0
    try:
        return int(_remembered(value))
    except Wrong as wrong:
        raise Wrong(f"{wrong}; or true (15m), or false") from None


def _path_pattern(value: str) -> bool:
    return value.startswith("/") and not value.endswith("/")


_remembered = checks.duration(MINUTE, 7 * DAY)

KEYS: Mapping[str, Check] = {
    "name": _name,
    "match": checks.texts('a pattern such as "prod-*" or "corp/111122223333/*", or a list of them', bool),
    "allow_exe": checks.texts(
        'a program\'s absolute path such as "/usr/bin/terraform", or a pattern, or a list of them', _path_pattern
    ),
    "confirm": _confirm,
    "max_ttl": checks.duration(15 * MINUTE, 12 * HOUR),
    "deny": checks.yes_or_no,
}
"""What a table may say, and what its values may be."""


def read(tables: list[dict[str, Any]], unknown: "checks.Unknown") -> tuple[tuple[Rule, ...], list[Mistake]]:
    """The rules in file order as far as they are right, and all that is wrong with them.

    ``unknown`` words the mistake of a key that there is not.
    """
    rules: list[Rule] = []
    mistakes: list[Mistake] = []
    for number, table in enumerate(tables):
        place: Place = ("policy", number)
        values, wrong = checks.table_values("[[policy]]", KEYS, place, table, unknown)
        mistakes += wrong or _contradictions(place, values, rules)
        if not wrong and "name" in values and "match" in values:
            rules.append(Rule(**values))
    if len(tables) > MOST_RULES:
        mistakes.append((("policy", MOST_RULES), f"there are more than {MOST_RULES} [[policy]] tables"))
    return tuple(rules), mistakes


def _contradictions(place: "Place", values: Mapping[str, Any], rules: list[Rule]) -> Iterator[Mistake]:
    """What is wrong with a table whose values are right by themselves."""
    if "name" not in values:
        yield place, "[[policy]] name is missing: refusals are told by it"
        return
    name = values["name"]
    if any(rule.name == name for rule in rules):
        yield (*place, "name"), f'[[policy]] name is "{name}", and another rule has that name'
    if "match" not in values:
        yield place, f'[[policy]] match is missing in the rule "{name}"; for every role: match = "*"'
    if not any(values.get(key) for key in ("allow_exe", "confirm", "max_ttl", "deny")):
        yield place, f'[[policy]] "{name}" does nothing: it needs one of allow_exe, confirm, max_ttl and deny'
