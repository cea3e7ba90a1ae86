"""How the daemon is: what it holds, what it hears of, and what troubles it.

A daemon that answers and can do its work is healthy, whatever else is wrong: with a keyring that does not open it
serves from memory. It is not when it needs a restart: its installation is gone, or its background work has ended.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from credhelper import __version__
from credhelper.domain.text import safe

if TYPE_CHECKING:  # whoever only wants the shape of the document, without a daemon, loads none of it
    from credhelper.agent.counts import Counts
    from credhelper.agent.revocations import Revocations
    from credhelper.agent.role_credentials import RoleCredentialsCache
    from credhelper.agent.tokens import Tokens
    from credhelper.agent.vault import Vault
    from credhelper.aws.server_time import ServerTime
    from credhelper.local.clock import Clock
    from credhelper.local.watch import Coverage

SESSION_STATES = ("active", "refresh_due", "expired", "logged_out")
ROLE_STATES = ("fresh", "stale", "expired")
VAULT_STATES = ("keyring", "memory")

LAG_TROUBLES = 1.0  # seconds
SKEW_TROUBLES = 60  # seconds

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not as it should be."""

    what: str
    """For everybody on this machine: without names, paths and addresses of any kind."""
    detail: str = ""
    """For the daemon's own user."""
    is_fatal: bool = False
    """Whether only a restart helps."""

    @property
    def whole(self) -> str:
        """Both in one sentence."""
        return f"{self.what}: {self.detail}" if self.detail else self.what


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is known at one moment."""

    started_at: float
    """Epoch seconds."""
    uptime: float
    lag: float
    """Seconds: the worst delay of late, see ``local/loop_lag.py``."""
    connections: int
    leases: int
    """How many are open."""
    sessions: dict[str, int]
    """How many, by state; so with ``roles``."""
    roles: dict[str, int]
    revocations: int
    """Sign-ins at AWS that are still to be ended."""
    vault: str
    coverage: "Coverage | None"
    """How changes of files are noticed; None before they are watched."""
    hears_of: dict[str, bool]
    """Whether the kernel tells of changes, by what of."""
    clock_skew: float | None
    """Seconds that AWS's clock is ahead of this machine's; None while that is not known."""
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def is_healthy(self) -> bool:
        """Whether no restart is needed."""
        return not any(trouble.is_fatal for trouble in self.troubles)

    @property
    def watching(self) -> str | None:
        """ "events" where the kernel tells of every change, "polling" where somebody must look for some."""
        if self.coverage is None:
            return None
        return "polling" if self.coverage.polled or self.coverage.unwatched else "events"


class Health:
    """Looks at everything when it is asked. Lives on the event loop.

    Who builds the daemon tells the rest: ``coverage``, ``hears_of``, ``connections``, ``metrics_url`` and, for
    troubles of its own, ``asks``.
    """

    def __init__(
        self,
        *,
        tokens: "Tokens",
        roles: "RoleCredentialsCache",
        revocations: "Revocations",
        vault: "Vault",
        server_time: "ServerTime",
        counts: "Counts",
        clock: "Clock",
    ) -> None:
        from credhelper.local.loop_lag import LoopLag

        self._tokens = tokens
        self._roles = roles
        self._revocations = revocations
        self._vault = vault
        self._server_time = server_time
        self._clock = clock
        self._started_at = clock.now().timestamp()
        self._started = clock.boottime()
        self.lag = LoopLag(counts.late.add)
        self.coverage: Callable[[], Coverage | None] = lambda: None
        self.hears_of: dict[str, Callable[[], bool]] = {}
        self.connections: Callable[[], int] = lambda: 0
        self.leases: Callable[[], int] = lambda: 0
        self.metrics_url: str | None = None
        """Where the metrics are served over HTTP, if they are."""
        self.asks: list[Callable[[], Trouble | None]] = []
        """Each says what troubles whoever put it there, or None."""

    async def vitals(self) -> Vitals:
        """How it is now."""
        await self.lag.probe()
        lag, coverage, skew = self.lag.worst(), self.coverage(), self._server_time.skew
        described = [(session, self._tokens.describe(session)) for session in self._tokens.sessions()]
        failing = [
            f"{safe(session.label)}: {safe(state.last_error)}" for session, state in described if state.last_error
        ]
        troubles = [
            *(trouble for ask in self.asks if (trouble := ask()) is not None),
            *_vault_troubles(self._vault),
            *_troubles(failing, lag, coverage, None if skew is None else skew.total_seconds(), len(self._revocations)),
        ]
        return Vitals(
            started_at=self._started_at,
            uptime=self._clock.boottime() - self._started,
            lag=lag,
            connections=self.connections(),
            leases=self.leases(),
            sessions=_by_state(SESSION_STATES, [state.state for _, state in described]),
            roles=_by_state(ROLE_STATES, [state for _, _, state in self._roles.entries()]),
            revocations=len(self._revocations),
            vault=self._vault.state,
            coverage=coverage,
            hears_of={what: is_told() for what, is_told in self.hears_of.items()},
            clock_skew=None if skew is None else skew.total_seconds(),
            troubles=troubles,
        )

    async def document(self) -> Json:
        """What ``credhelper daemon health`` prints."""
        found = await self.vitals()
        return (
            _about(found)
            | {"pid": os.getpid(), "version": __version__, "metrics": self.metrics_url}
            | {"troubles": [trouble.whole for trouble in found.troubles]}
        )

    async def public_document(self) -> tuple[bool, Json]:
        """Whether it is healthy, and what everybody on this machine may know of it."""
        found = await self.vitals()
        return found.is_healthy, _about(found) | {"troubles": [trouble.what for trouble in found.troubles]}


def without_daemon(why: str) -> Json:
    """The document when there is no daemon to ask."""
    return {
        "healthy": False,
        "uptime_seconds": None,
        "event_loop_lag_seconds": None,
        "sessions": None,
        "role_credentials": None,
        "vault": None,
        "watching": None,
        "pid": None,
        "version": None,
        "metrics": None,
        "troubles": [why],
    }


def _about(found: Vitals) -> Json:
    return {
        "healthy": found.is_healthy,
        "uptime_seconds": round(found.uptime, 3),
        "event_loop_lag_seconds": round(found.lag, 6),
        "sessions": found.sessions,
        "role_credentials": found.roles,
        "vault": found.vault,
        "watching": found.watching,
    }


def _by_state(states: tuple[str, ...], found: list[str]) -> dict[str, int]:
    return dict.fromkeys(states, 0) | Counter(found)


def _vault_troubles(vault: "Vault") -> list[Trouble]:
    if vault.trouble is None or vault.is_switched_off:
        return []
    return [Trouble("role credentials do not outlive a restart of the daemon", safe(vault.trouble))]


def _troubles(
    failing: list[str], lag: float, coverage: "Coverage | None", skew: float | None, revocations: int
) -> list[Trouble]:
    found = []
    if failing:
        found.append(Trouble(f"sessions whose token is in trouble: {len(failing)}", "; ".join(failing)))
    if lag >= LAG_TROUBLES:
        found.append(Trouble(f"the event loop was held up for {lag:.1f} s in the last two minutes"))
    if coverage is not None and coverage.unwatched:
        found.append(Trouble(f"files that the system grants no watch on, looked at on each use: {coverage.unwatched}"))
    if skew is not None and abs(skew) >= SKEW_TROUBLES:
        side = "behind" if skew > 0 else "ahead of"
        found.append(Trouble(f"this machine's clock is {abs(skew):.0f} s {side} AWS's"))
    if revocations:
        found.append(Trouble(f"sign-ins that AWS could not be told to end yet: {revocations}"))
    return found
