"""What a check has found: one line for a person or a program, and what to do about it. Never a secret."""

from dataclasses import dataclass
from enum import StrEnum

from credhelper.domain.text import safe
from credhelper.domain.urls import without_userinfo

Json = dict[str, str | None]


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """``id`` is a stable dotted word that scripts may depend on; several findings may share one."""

    id: str
    state: State
    detail: str
    remedy: str | None = None

    def document(self) -> Json:
        """The contract's shape."""
        return {"id": self.id, "state": self.state.value, "detail": self.detail, "remedy": self.remedy}


def ok(name: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(name, State.OK, _shown(detail))


def warning(name: str, detail: str, remedy: str) -> Finding:
    """It works, though not as well as it could."""
    return Finding(name, State.WARNING, _shown(detail), _shown(remedy))


def problem(name: str, detail: str, remedy: str) -> Finding:
    """Something does not work."""
    return Finding(name, State.PROBLEM, _shown(detail), _shown(remedy))


def listed(names: list[str], most: int = 5) -> str:
    """Some names in a line, however many there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _shown(text: str) -> str:
    return without_userinfo(safe(text))
