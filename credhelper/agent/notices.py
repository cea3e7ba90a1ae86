"""Tells whoever sits at the desktop what only a person can mend: a session is about to end for good, or has ended.

Two notices at most for one login, also across a restart of the daemon. None while the screen is locked or the hours are
quiet: it is kept, and shown afterwards if it is still true. A session without a token makes none: somebody logged out.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from credhelper.agent.callers import Callers, listed
from credhelper.agent.cognito_tokens import CognitoSignIns
from credhelper.agent.flights import Flights
from credhelper.agent.token_state import Outlook
from credhelper.agent.tokens import Tokens
from credhelper.domain.model import CognitoLogin, PoolRole, SsoSession
from credhelper.domain.text import safe
from credhelper.local import private_files
from credhelper.local.clock import Clock
from credhelper.local.desktop import Desktop, DesktopUnavailable, Notice
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

LOOK_AGAIN = 45.0  # seconds, while a notice is kept: the screen is locked, or a login is under way
FAILING_FOR = 60.0  # seconds for which refreshes must have failed: a network that comes up late is nobody's trouble
LOCK_DEADLINE = 8.0  # seconds
SHOW_DEADLINE = 6.0
MEMORY_DEADLINE = 3.0
FIRST_PAUSE = 60.0  # seconds until a desktop that could not be reached is tried again; then twice that, and so on
LONGEST_PAUSE = 3600.0
SAME_END = timedelta(seconds=2)
"""AWS tells lives in whole seconds, and so the end of a sign-in seems to move from one refresh to the next."""
REMEMBERED = 7 * 86_400.0  # seconds after its end for which it is known that it was told
STOP_PATIENCE = 0.5  # seconds; longer than a desktop that answers takes
LONGEST_LABEL = 60  # characters

Spans = tuple[tuple[time, time], ...]
Told = SsoSession | CognitoLogin
"""What a notice may be about."""


class Kind(StrEnum):
    """What a notice says."""

    ENDING = "ending"
    ENDED = "ended"


@dataclass(slots=True)
class _Watched:
    """What is known of one session beyond its token."""

    ends_at: datetime | None = None
    """Which token the rest is about, by its end."""
    sign_in: str = ""
    was_alive: bool = False
    """Whether we have seen it good: of one that had ended before we started, nobody wants to hear unasked."""
    was_refused: bool = False
    """Whether somebody asked for it and was told to log in."""
    failing_since: float | None = None
    number: int = 0
    """The desktop's number of the notice about this token, whose place the next one takes."""

    def is_about(self, outlook: Outlook) -> bool:
        """Whether it is still the token that there is."""
        if self.ends_at is None:
            return False
        apart = abs(outlook.ends_at - self.ends_at)
        return not apart or (outlook.sign_in == self.sign_in and apart <= SAME_END)


class Notices:
    """Lives on the event loop; asks the desktop in threads that can be given up."""

    def __init__(
        self,
        tokens: tuple[Tokens, CognitoSignIns],
        callers: Callers,
        clock: Clock,
        desktop: Desktop | None,
        memory: Path,
    ) -> None:
        """Without a ``desktop`` there are none. ``memory`` is the file that says what has been told."""
        self.on_shown: Callable[[Kind], None] = lambda _: None
        self.on_attention: Callable[[], None] = lambda: None
        """Told when ``run_due`` may have something to do sooner than it said."""
        self.login_command: Callable[[Told], str] = lambda _: "credhelper login"
        self.is_logging_in: Callable[[Told], bool] = lambda _: False
        """Whether a person is just about to mend it."""
        self._tokens, self._logins = tokens
        self._callers = callers
        self._clock = clock
        self._desktop = desktop
        self._memory = _Memory(memory, clock)
        self._workers = Workers("desktop", 1)
        self._flights: Flights[str, None] = Flights(on_landed=self._attend)
        self._watched: dict[str, _Watched] = {}
        self._outdated: list[int] = []
        """The numbers of notices that are no longer true."""
        self._is_on = False
        self._before = 0.0
        self._quiet: Spans = ()
        self._announcements: dict[tuple[str, str], Notice] = {}
        """What has happened to somebody's identity in a pool, by both, until it is shown."""
        self._not_before = 0.0
        """Of the monotonic clock: the screen is locked, or the desktop cannot be reached."""
        self._is_kept = False
        """Whether something waits for the screen to be unlocked."""
        self._screen_changes = 0
        self._failures = 0
        self._last_trouble: str | None = None

    def apply(self, settings: Settings) -> None:
        """From now on by these settings; what they no longer hold back is shown."""
        self._is_on = settings.notify_enabled and self._desktop is not None
        self._before = settings.notify_before_minutes * 60.0
        self._quiet = settings.notify_quiet_hours
        self.on_attention()

    # -- what happens around it ---------------------------------------------------------------------------------------

    def refused(self, session: Told) -> None:
        """Somebody asked for credentials and was told that a person must log in."""
        watched = self._watch(session, self._outlook(session))
        if watched.ends_at is not None and not watched.was_refused:
            watched.was_refused = True
            self.on_attention()

    def new_identity(self, role: PoolRole, old: str, new: str) -> None:
        """An identity pool no longer knew an identity, and has given another one."""
        if not self._is_on:
            return
        lines = (
            f"Identity pool {safe(role.pool_id)} no longer knows {safe(old)}.",
            f"{safe(role.session.label)}: {safe(new)} from now on. What is kept under the old one is out of reach.",
        )
        who = (role.pool_id, role.session.cache_key)
        self._announcements[who] = Notice("A new identity in an AWS identity pool", "\n".join(lines))
        self.on_attention()

    def screen_changed(self) -> None:
        """A screen may have been unlocked: what was kept may be shown, also what found no desktop before."""
        self._screen_changes += 1
        if self._is_kept or self._failures:
            self._not_before = 0.0
            self.on_attention()

    def run_due(self) -> float | None:
        """Shows what is to be shown, waiting for nothing; seconds until the next may be, None when none is to come."""
        if not self._is_on:
            return None
        pauses: list[float] = []
        is_any_due = bool(self._announcements)
        for session in self._sources():
            due, pause = self._due(session)
            is_any_due = is_any_due or due is not None
            if pause is not None:
                pauses.append(pause)
        if is_any_due and not self._flights.has("show"):
            held_back = self._held_back()
            if held_back > 0:
                pauses.append(held_back)
            else:
                self._flights.start("show", self._show)
        if self._outdated and not self._flights.has("withdraw"):
            self._flights.start("withdraw", self._withdraw)
        return min(pauses, default=None)

    def retry_now(self) -> None:
        """The desktop may be there now."""
        self._not_before, self._failures = 0.0, 0

    async def stop(self) -> None:
        """Lets what is being shown be remembered; then ends."""
        await self._flights.settle(STOP_PATIENCE)

    def _attend(self) -> None:
        self.on_attention()

    def _sources(self) -> list[Told]:
        return [*self._tokens.sessions(), *self._logins.logins()]

    def _outlook(self, session: Told) -> Outlook | None:
        if isinstance(session, CognitoLogin):
            return self._logins.outlook(session)
        return self._tokens.outlook(session)

    # -- what there is to say -----------------------------------------------------------------------------------------

    def _due(self, session: Told) -> tuple[Kind | None, float | None]:
        """What is to be said of the session now, and seconds until that may be something else."""
        outlook = self._outlook(session)
        watched = self._watch(session, outlook)
        if outlook is None:
            return None, None
        if outlook.is_over:
            kind, pause = (Kind.ENDED if watched.was_alive or watched.was_refused else None), None
        else:
            watched.was_alive = True
            kind, pause = self._ending(watched, outlook)
        if kind is None or self._memory.has(session.cache_key, kind, watched.ends_at):
            return None, pause
        return (None, LOOK_AGAIN) if self.is_logging_in(session) else (kind, pause)

    def _ending(self, watched: _Watched, outlook: Outlook) -> tuple[Kind | None, float | None]:
        """Of a session that is not over: whether its end is near enough, and certain enough, to be told."""
        if outlook.left <= 0 or not (outlook.is_failing or not outlook.can_refresh):
            watched.failing_since = None  # a refresh brings it on, or back
            return None, None
        pause = outlook.left - self._before
        if outlook.can_refresh:
            now = self._clock.monotonic()
            watched.failing_since = now if watched.failing_since is None else watched.failing_since
            pause = max(pause, watched.failing_since + FAILING_FOR - now)
        if self._before == 0 or pause >= outlook.left:
            return None, outlook.left
        return (None, pause) if pause > 0 else (Kind.ENDING, outlook.left)

    def _watch(self, session: Told, outlook: Outlook | None) -> _Watched:
        """The session's part, begun anew with each login."""
        watched = self._watched.setdefault(session.cache_key, _Watched())
        if outlook is None or not watched.is_about(outlook):
            if watched.number:  # somebody has logged in or out, or a refresh has come after all
                self._outdated.append(watched.number)
            watched = self._watched[session.cache_key] = _Watched(outlook.ends_at if outlook else None)
        watched.sign_in = outlook.sign_in if outlook else ""
        return watched

    # -- when it may be said ------------------------------------------------------------------------------------------

    def _held_back(self) -> float:
        """Seconds until something may be shown at all; 0: now."""
        return max(self._quiet_for(), self._not_before - self._clock.monotonic())

    def _quiet_for(self) -> float:
        return quiet_for(self._quiet, self._clock.now().astimezone())

    async def _show(self) -> None:
        """Shows what is due, unless the screen is locked."""
        self._not_before = self._clock.monotonic() + FIRST_PAUSE  # a fault of ours must not spin
        await self._recall()
        try:
            is_any_due = any(self._due_for_certain(session) for session in self._sources())
            if (is_any_due or self._announcements) and await self._is_locked():
                return
            for session in self._sources():
                kind = self._due_for_certain(session)
                if kind is not None and self._is_on and self._quiet_for() == 0:
                    await self._tell(session, kind)
            await self._announce()
        except (DesktopUnavailable, DeadlineExceeded) as error:
            self._put_off(str(error))
        else:
            self._not_before, self._failures, self._last_trouble = 0.0, 0, None
        await self._remember()

    def _due_for_certain(self, session: Told) -> Kind | None:
        """What is to be said by what the file holds now: where nobody watches it, somebody may have logged in."""
        if isinstance(session, CognitoLogin):
            self._logins.look(session)
        else:
            self._tokens.look(session)
        return self._due(session)[0]

    async def _is_locked(self) -> bool:
        """Whether the screen is; then what there is to say is kept for a while."""
        changes = self._screen_changes
        self._is_kept = await self._ask_whether_locked()
        if self._is_kept:
            has_changed = changes != self._screen_changes  # while we asked: the answer may be from before
            self._not_before = 0.0 if has_changed else self._clock.monotonic() + LOOK_AGAIN
        return self._is_kept

    async def _ask_whether_locked(self) -> bool:
        assert self._desktop is not None  # noqa: S101  # else nothing is on
        try:
            return await self._workers.run(LOCK_DEADLINE, self._desktop.is_locked)
        except DeadlineExceeded:
            return False  # a desktop that hangs will not show anything either

    async def _tell(self, session: Told, kind: Kind) -> None:
        """Raises DesktopUnavailable, DeadlineExceeded."""
        watched = self._watched[session.cache_key]
        if self._desktop is None or watched.ends_at is None:
            return
        notice = self._worded(session, kind, watched.ends_at, watched.number)
        self._memory.add(session.cache_key, kind, watched.ends_at)
        try:
            watched.number = await self._workers.run(SHOW_DEADLINE, partial(self._desktop.show, notice))
        except DesktopUnavailable:
            self._memory.discard(session.cache_key, kind)  # certainly not shown; after a deadline, nobody knows
            raise
        log.info("told the desktop: %s", notice.summary)
        self.on_shown(kind)

    async def _announce(self) -> None:
        """Raises DesktopUnavailable, DeadlineExceeded."""
        while self._announcements and self._desktop is not None and self._is_on and self._quiet_for() == 0:
            who, notice = next(iter(self._announcements.items()))
            await self._workers.run(SHOW_DEADLINE, partial(self._desktop.show, notice))
            if self._announcements.get(who) is notice:
                del self._announcements[who]
            log.info("told the desktop: %s", notice.summary)

    async def _withdraw(self) -> None:
        """Takes away what is no longer true, if the desktop lets us."""
        assert self._desktop is not None  # noqa: S101  # else nothing was shown
        numbers, self._outdated = self._outdated, []
        for number in numbers:
            try:
                await self._workers.run(SHOW_DEADLINE, partial(self._desktop.withdraw, number), lane="withdraw")
            except (DesktopUnavailable, DeadlineExceeded) as error:
                log.debug("a notice could not be taken away: %s", error)

    def _put_off(self, trouble: str) -> None:
        pause = min(FIRST_PAUSE * 2.0**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 16)
        self._not_before = self._clock.monotonic() + pause
        level = logging.DEBUG if trouble == self._last_trouble else logging.INFO
        self._last_trouble = trouble
        log.log(level, "no notice can be shown: %s", trouble)

    # -- the words ----------------------------------------------------------------------------------------------------

    def _worded(self, session: Told, kind: Kind, ends_at: datetime, number: int) -> Notice:
        outlook = self._outlook(session)
        label, when = label_of(session), _local(ends_at, self._clock.now())
        lines, kind_of_login = [], "Cognito login" if isinstance(session, CognitoLogin) else "AWS session"
        if kind is Kind.ENDED:
            summary = f"{kind_of_login} {label} has ended"
        else:
            summary = f"{kind_of_login} {label} ends at {when}"
            is_failing = outlook is not None and outlook.can_refresh
            lines.append("Refreshing it fails so far." if is_failing else "It cannot be refreshed.")
        names = self._callers.lately(session)
        if names:
            lines.append(f"{listed(names)} used it in the last hour.")
        lines.append(f"To go on, run: {safe(self.login_command(session))}")
        return Notice(summary, "\n".join(lines), replaces=number)

    # -- what was told ------------------------------------------------------------------------------------------------

    async def _recall(self) -> None:
        if self._memory.is_read:
            return
        try:
            self._memory.take_back(await self._workers.run(MEMORY_DEADLINE, self._memory.read, lane="memory"))
        except DeadlineExceeded:
            self._memory.take_back({})

    async def _remember(self) -> None:
        content = self._memory.unsaved()
        if content is None:
            return
        try:
            await self._workers.run(MEMORY_DEADLINE, partial(self._memory.write, content), lane="memory")
        except (OSError, DeadlineExceeded) as error:
            log.debug("what was told could not be noted for the next daemon: %s", error)


class _Memory:
    """Which ends have been told, by session and kind: in memory, and in a small file for the next daemon."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.is_read = False
        self._path = path
        self._clock = clock
        self._told: dict[str, dict[str, float]] = {}
        """Ends in epoch seconds."""
        self._is_saved = True

    def has(self, session_key: str, kind: Kind, ends_at: datetime | None) -> bool:
        """Whether that was told."""
        told = self._told.get(_hash(session_key), {}).get(kind.value)
        return ends_at is not None and told == ends_at.timestamp()

    def add(self, session_key: str, kind: Kind, ends_at: datetime) -> None:
        """It is told now."""
        self._told.setdefault(_hash(session_key), {})[kind.value] = ends_at.timestamp()
        self._is_saved = False

    def discard(self, session_key: str, kind: Kind) -> None:
        """It was not told after all."""
        self._told.get(_hash(session_key), {}).pop(kind.value, None)

    def take_back(self, told: dict[str, dict[str, float]]) -> None:
        """What a daemon before us has told."""
        self.is_read = True
        for key, ends in told.items():
            self._told[key] = ends | self._told.get(key, {})

    def unsaved(self) -> bytes | None:
        """The file's next content; None when it is as it should be."""
        if self._is_saved:
            return None
        self._is_saved = True
        since = self._clock.now().timestamp() - REMEMBERED
        self._told = {key: ends for key, ends in self._told.items() if max(ends.values(), default=0.0) > since}
        return json.dumps(self._told).encode()

    def read(self) -> dict[str, dict[str, float]]:
        """What the file says; nothing when it says nothing sensible. Blocks. Never raises."""
        try:
            found = json.loads(private_files.read(self._path) or b"{}")
            return {
                str(key): {kind.value: float(ends[kind.value]) for kind in Kind if kind.value in ends}
                for key, ends in found.items()
            }
        except (
            private_files.UnusableFile,
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            log.debug("what was told before cannot be read: %s", error)
            return {}

    def write(self, content: bytes) -> None:
        """Blocks. Raises OSError."""
        private_files.write(self._path, content)


def quiet_for(spans: Spans, now: datetime) -> float:
    """Seconds until no span of quiet hours holds ``now`` (aware, local); 0 when none does.

    A span may go past midnight; what ends where it begins is empty.
    """
    ends = [end for begin, until in spans if (end := _end_of_span(begin, until, now)) is not None]
    return max(((end - now).total_seconds() for end in ends), default=0.0)


def _end_of_span(begin: time, until: time, now: datetime) -> datetime | None:
    clock_time = now.replace(tzinfo=None).time()
    if begin <= until:
        is_within, days = begin <= clock_time < until, 0
    else:
        is_within, days = clock_time >= begin or clock_time < until, int(clock_time >= begin)
    if not is_within:
        return None
    # Local times without a zone: the day of the end may have another offset than today.
    end = datetime.combine(now.date() + timedelta(days=days), until)
    first = end.astimezone()
    return first if first > now else end.replace(fold=1).astimezone()  # an hour that the clocks go through twice


def label_of(session: Told) -> str:
    """What a person calls the session; of a start URL only host and path, as a query may hold anything."""
    label = session.label
    if session.name is None:
        try:
            parts = urlsplit(label)
            label = (parts.hostname or "") + parts.path.rstrip("/") or "without a name"
        except ValueError:
            label = "without a name"
    shown = safe(label)
    return shown if len(shown) <= LONGEST_LABEL else shown[:LONGEST_LABEL] + "…"


def _local(moment: datetime, now: datetime) -> str:
    """A time of day on the person's clock, with its day when that is another."""
    local = moment.astimezone()
    return f"{local:%H:%M}" if local.date() == now.astimezone().date() else f"{local:%H:%M on %A}"


def _hash(session_key: str) -> str:
    return hashlib.sha256(session_key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
