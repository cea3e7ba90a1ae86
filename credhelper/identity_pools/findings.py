"""What a look at a policy found: which rule, where, why it matters and what to write instead."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a document breaks, in the shape of ``cognito lint --json``."""

    rule: str
    level: Level
    place: str
    """A path in the document, such as ``Statement[0].Condition``, or what else it is about: the pool, the role."""
    reason: str
    fix: str

    def document(self) -> dict[str, str]:
        """The finding as JSON."""
        return {name: getattr(self, name) for name in ("rule", "level", "place", "reason", "fix")}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings, else as they were found; none twice."""
    return sorted(dict.fromkeys(findings), key=lambda finding: finding.level != "error")
