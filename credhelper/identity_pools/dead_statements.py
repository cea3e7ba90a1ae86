"""Which statements of a role's policies come to nothing for the sessions that Cognito makes of the role."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from credhelper.identity_pools import patterns
from credhelper.identity_pools.policy_language import Policy, Statement
from credhelper.identity_pools.scope_down import REFUSED_TO_ALL, Limit


class State(StrEnum):
    """How much of what is written is granted."""

    ALIVE = "alive"
    PARTLY = "partly"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class ActionState:
    """One of a statement's actions."""

    action: str
    """As written; of a NotAction statement, its actions with ``all but`` before them."""
    state: State
    left: tuple[str, ...]
    """What is granted of it, where that is a part."""

    def document(self) -> dict[str, Any]:
        """The action as JSON."""
        return {"action": self.action, "state": self.state.value, "left": list(self.left)}


@dataclass(frozen=True, slots=True)
class StatementState:
    """One statement that allows something. A deny is never dead: it takes away from what others allow."""

    policy: Policy
    statement: Statement
    actions: tuple[ActionState, ...]

    @property
    def state(self) -> State:
        """How much of the whole statement is granted."""
        states = {action.state for action in self.actions}
        return states.pop() if len(states) == 1 else State.PARTLY

    def document(self) -> dict[str, Any]:
        """The statement as JSON."""
        return {
            "policy": self.policy.name,
            "place": self.statement.place,
            "sid": self.statement.sid,
            "state": self.state.value,
            "actions": [action.document() for action in self.actions],
        }


def examine(role: Iterable[Policy], limit: Limit | None) -> list[StatementState]:
    """Every statement of the role that allows something; ``limit`` is None where there is no scope-down."""
    can_be = ("*",) if limit is None else tuple(each for each in limit.actions if each not in REFUSED_TO_ALL)
    return [
        StatementState(policy, statement, _actions(statement, can_be))
        for policy in role
        for statement in policy.statements
        if statement.is_allow
    ]


def _actions(statement: Statement, can_be: tuple[str, ...]) -> tuple[ActionState, ...]:
    if not statement.is_not_action:
        return tuple(state_of(action, can_be) for action in statement.actions)
    excluded = [patterns.action(action) for action in statement.actions]
    left = [each for each in can_be if not any(patterns.covers(other, patterns.action(each)) for other in excluded)]
    state = State.PARTLY if left else State.DEAD
    return (ActionState("all but " + ", ".join(statement.actions), state, tuple(left)),)


@lru_cache(maxsize=1024)
def state_of(action: str, can_be: tuple[str, ...]) -> ActionState:
    """How much of an action, or of a pattern of actions, is among those of the patterns ``can_be``."""
    written = patterns.action(action)
    refused = [patterns.action(pattern) for pattern in REFUSED_TO_ALL]
    if any(patterns.covers(pattern, written) for pattern in refused):
        return ActionState(action, State.DEAD, ())
    left = tuple(each for each in can_be if patterns.overlap(written, patterns.action(each)))
    is_whole = any(patterns.covers(patterns.action(each), written) for each in left)
    if is_whole and not any(patterns.overlap(pattern, written) for pattern in refused):
        return ActionState(action, State.ALIVE, ())
    return ActionState(action, State.PARTLY if left else State.DEAD, left)
