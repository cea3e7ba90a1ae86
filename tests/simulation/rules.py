"""What is allowed: a model of the promises, in plain words of its own, that looks at everything that happens.

It knows what AWS knows and what lies on the disk, and nothing of how credhelper thinks. All that it finds wrong is
collected in ``violations``.
"""

import functools
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from credhelper.domain.errors import (
    CredhelperError,
    LoginRequired,
    Refused,
    RoleNotAssigned,
    Throttled,
    Unavailable,
    UpstreamError,
)
from credhelper.domain.model import IssuedToken, Role, SsoSession
from tests.clocks import HandClock
from tests.simulation.fake_identity_center import Aws, Call, IssuedCredentials, SignIn, Weather

ANSWER = 10.0  # seconds in which a caller is answered
GIVES_UP = 8.4  # seconds after which a daemon that has nothing yet may say so
TOLD_AGAIN = 1.0  # seconds for which a failure may be answered from memory
LONGEST_TOLD_AGAIN = 30.0  # where AWS asked for a pause, and where a role is not assigned
LONGEST_PAUSE = 300.0  # seconds for which AWS is left alone when it asks for that
LONGEST_BACK_OFF = 60.0
LEAST_OF_PAUSE = 0.75  # jitter takes a quarter at most
WINDOW = timedelta(minutes=20)
KEPT_ALIVE = 0.8  # of that window, at least, is left when a renewal in the background is done; jitter takes a tenth
EARLIER = 1.1  # jitter begins a fetch that much before its window
SDK_WINDOW = timedelta(minutes=15)
LEAST_GAIN_PAUSE = 30.0  # seconds after a refresh that brought no longer life
FETCHES_A_SECOND = 10
RECOVERY = 400.0  # seconds after trouble in which everything is as it should be again: the longest pause and a bit
LONGEST_BEFORE_ENDING = (
    800.0  # seconds after trouble in which logins that were logged out end at AWS: ten minutes and a bit
)
SLACK = timedelta(seconds=2)
INSTANT = 0.01  # seconds

NEVER = datetime.min.replace(tzinfo=UTC)

Json = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """Somebody's request, and what would excuse its failure."""

    role: Role
    started: float
    may_need_login: bool = False
    may_be_unassigned: bool = False
    has_slept: bool = False
    """Whether the machine was suspended while it waited."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """A login that is to end at AWS, and the token that was found of it."""

    sign_in: SignIn
    token: Json
    since: float


@dataclass(slots=True)
class _Failures:
    """A row of failures, as long as nothing gives reason to begin anew."""

    number: int = 0
    last: float = -1e9
    access_token: str | None = field(default=None, repr=False)

    def add(self, now: float, call: Call, *, begun_anew: float) -> None:
        """One more; the first one since ``begun_anew``, or with another token, is the first of a row."""
        goes_on = self.last > begun_anew and self.access_token == call.access_token
        has_begun_before = call.started <= begun_anew  # perhaps it has been given up, and counted, before that
        self.number = 0 if has_begun_before else self.number + 1 if goes_on else 1
        self.last, self.access_token = now, call.access_token


@dataclass(slots=True)
class _Session:
    """What is true of a session."""

    path: Path
    epoch: int = 0
    """Counts what makes earlier role credentials worthless: logins, logouts, tokens of others, restarts."""
    known: Json | None = None
    """The last whole token that was in the file."""
    in_memory: tuple[bytes | None, Json] | None = None
    """A token that AWS gave the daemon, and what was in the file then: it counts until the file changes."""
    was_garbage: bool = False
    """What is in the file is no token, or it is torn and was none before."""
    behind: list[Json | None] = field(default_factory=list)
    """What was in the file before a change of which the daemon could not know yet."""
    replaced: Json | None = None
    """What a login of ours replaces, until it is done."""
    expected: str | None = None
    """The refresh token that AWS gave us last: to be lost at no price."""
    written: bytes | None = None
    """What another tool has written, and nobody has replaced since."""
    is_closed: bool = False
    logged_out: set[SignIn] = field(default_factory=set)
    to_end: _Ending | None = None
    """What the latest logout can end at AWS."""
    is_refreshing: bool = False
    """Whether a refresh was under way when it began."""
    waiting: int = 0
    """How many follow a login of ours, and want its token."""
    has_got_login: bool = False
    refresh: Call | None = None
    failures: _Failures = field(default_factory=_Failures)
    pauses_forgotten_at: float = 0.0
    asked_at: float = -1e9
    seen_at: datetime = NEVER
    """When the daemon saw for the first time what another has written."""
    changed_at: float = -1e9
    """When somebody else last changed something, or a logout did; math.inf until the daemon has reason to look."""


@dataclass(slots=True)
class _OfRole:
    """What is true of a role."""

    fetch: Call | None = None
    failures: _Failures = field(default_factory=_Failures)
    is_second_try: bool = False
    got: Call | None = None
    """The fetch whose credentials the daemon holds."""
    asked_at: float = -1e9
    served_at: float = -1e9
    """When what the daemon holds was handed out for the first time."""
    in_flight: int = 0
    unassigned_at: float = -1e9
    """When it was last known to us that the role is not assigned."""
    not_assigned_at: float = -1e9
    """When AWS last said so."""


class Rules:
    """Watches a daemon and everything around it."""

    def __init__(self, aws: Aws, clock: HandClock, cache: Path, sessions: list[SsoSession]) -> None:
        self.violations: list[str] = []
        self.server_time_is_known: Callable[[], bool] = lambda: True
        self.in_flight: list[Asked] = []
        self._aws = aws
        self._clock = clock
        self._sessions = {each.cache_key: _Session(cache / (_sha1(each.cache_key) + ".json")) for each in sessions}
        self._roles: dict[Role, _OfRole] = {}
        self._refused: set[str] = set()
        self._lives: dict[str, timedelta] = {}
        """How long credentials were good for when they came, by their session token."""
        self._clock_was_wrong_at = NEVER
        self._trouble_at = -1e9
        self._pauses_forgotten_at = 0.0
        self._is_to_notice = False
        self._background: list[float] = []
        self._owed: list[_Ending] = []

    # -- what is so ---------------------------------------------------------------------------------------------------

    def token(self, session: SsoSession) -> Json | None:
        """The token that counts: the file's; one that could not be written, where that is newer; the last whole one."""
        return self._token(self._sessions[session.cache_key])

    def content(self, session: SsoSession) -> bytes | None:
        """The token file's."""
        return _content(self._sessions[session.cache_key].path)

    def sign_in(self, session: SsoSession) -> SignIn | None:
        """The login that counts."""
        token = self.token(session)
        return None if token is None else self._aws.access_tokens[token["accessToken"]].sign_in

    def may_need_login(self, session: SsoSession) -> bool:
        """Whether a daemon that is perfect could be at the end of its wits."""
        at = self._sessions[session.cache_key]
        tokens = [self._token(at), *at.behind]
        if at.is_closed or at.was_garbage:
            return True
        return any(self._is_over(token) for token in tokens)

    @property
    def clock_is_wrong(self) -> bool:
        """Whether the machine's wall clock does not show the true time."""
        return self._clock.now() != self._clock.true_now()

    # -- what happens to it -------------------------------------------------------------------------------------------

    def changed_by_others(self, session: SsoSession, before: Json | None, *, is_watched: bool) -> None:
        """Another tool has written or removed the token file; ``before`` counted until then."""
        at = self._sessions[session.cache_key]
        content = _content(at.path)
        at.epoch += 1
        at.changed_at, at.seen_at = self._clock.monotonic() if is_watched else math.inf, self._clock.true_now()
        if content is None or _kind(content) == "whole" or at.in_memory is None:
            at.in_memory, at.expected = None, None
        at.written = content if _kind(content) == "whole" else None
        at.pauses_forgotten_at = self._clock.monotonic()
        if is_watched:
            at.behind.append(before)
        self._token(at)

    def told_of_changes(self) -> None:
        """The watcher has told the daemon of every change."""
        for at in self._sessions.values():
            at.behind.clear()

    def login_begins(self, session: SsoSession) -> None:
        """Somebody follows a login of ours."""
        at = self._sessions[session.cache_key]
        at.waiting += 1
        at.has_got_login = False

    def login_ends(self, session: SsoSession, *, is_good: bool) -> None:
        """It has ended, or one of those who follow it has left."""
        at = self._sessions[session.cache_key]
        at.waiting -= 1
        at.replaced = None
        if at.has_got_login and not is_good and at.waiting == 0:
            at.in_memory, at.expected = None, None

    def logout_begins(self, session: SsoSession) -> None:
        """From here on nothing of the present login is handed out."""
        at = self._sessions[session.cache_key]
        at.to_end = self._ending(at)
        at.is_refreshing = at.refresh is not None and at.refresh.ended is None
        at.logged_out |= {self._sign_in_of(token) for token in self._candidates(at) if token}
        at.epoch += 1
        at.is_closed = True
        at.known = at.replaced = at.in_memory = at.expected = at.written = None

    def logout_ends(self, session: SsoSession) -> None:
        """What lies in the file now counts again."""
        at = self._sessions[session.cache_key]
        at.is_closed = False
        at.changed_at = self._clock.monotonic()
        if at.to_end is not None:
            self._owed.append(at.to_end)
        at.pauses_forgotten_at = self._clock.monotonic()

    def restarted(self) -> None:
        """The daemon that runs now remembers nothing but what is on the disk."""
        for at in self._sessions.values():
            at.epoch += 1
            at.in_memory = None
            at.behind.clear()
            at.is_closed, at.waiting, at.replaced = False, 0, None
            if _kind(_content(at.path)) != "whole":
                at.known = None
            if at.expected is not None and at.expected.encode() not in (_content(at.path) or b""):
                at.expected = None  # it could not be written, or it came while the daemon was being killed
            at.refresh, at.changed_at, at.seen_at = None, self._clock.monotonic(), self._clock.true_now()
        for of_role in self._roles.values():
            of_role.fetch, of_role.got, of_role.in_flight = None, None, 0
        self.clocks_are_noticed()
        self.in_flight.clear()
        self._background.clear()
        self._owed.clear()

    def pauses_are_forgotten(self) -> None:
        """The network has changed: what failed is tried again."""
        self._pauses_forgotten_at = self._clock.monotonic()

    def clocks_change(self) -> None:
        """The machine has slept, or its clock was set; from here on the daemon may notice it at any moment."""
        self._is_to_notice = True
        for asked in self.in_flight:
            asked.has_slept = True

    def clocks_are_noticed(self) -> None:
        """It has."""
        self._is_to_notice = False
        self.pauses_are_forgotten()

    def look(self) -> None:
        """Notes what may have become true for those who wait for an answer."""
        now = self._clock.monotonic()
        if self.clock_is_wrong:
            self._clock_was_wrong_at = self._clock.true_now()
        if self._aws.weather is not Weather.FINE:
            self._trouble_at = now
        for role in self._aws.unassigned:
            self._of(role).unassigned_at = now
        for asked in self.in_flight:
            self._excuse(asked)
        self._pay()

    def check_that_all_is_kept_alive(self) -> None:
        """Before anybody asks: tokens, and the credentials of roles that somebody has asked for since they came."""
        now = self._clock.true_now()
        for key, at in self._sessions.items():
            if self._is_steady(at):
                self._check_that_token_is_kept_alive(key, at, now)
        for role in self._roles:
            if self._is_steady(self._sessions[role.session.cache_key]):
                self._check_that_role_is_kept_alive(role, now)

    # -- requests -----------------------------------------------------------------------------------------------------

    def asks(self, role: Role) -> Asked:
        """Somebody asks for a role's credentials."""
        now = self._clock.monotonic()
        asked = Asked(role, now)
        self.in_flight.append(asked)
        at = self._sessions[role.session.cache_key]
        at.asked_at = now
        if at.changed_at == math.inf:
            at.changed_at, at.seen_at = now, self._clock.true_now()
        of_role = self._of(role)
        of_role.asked_at = now
        of_role.in_flight += 1
        self._excuse(asked)
        return asked

    def served(self, asked: Asked, document: Json) -> None:
        """The answer was a document: nothing expired, nothing of another role, nothing after a logout."""
        self._answered(asked)
        of_role = self._of(asked.role)
        if of_role.got is None or of_role.served_at < (of_role.got.ended or 0.0):
            of_role.served_at = self._clock.monotonic()
        issued = self._aws.credentials[document["AccessKeyId"]]
        now, at = self._clock.true_now(), self._sessions[asked.role.session.cache_key]
        self._must(issued.role == asked.role, f"{asked.role} was given the credentials of {issued.role}")
        self._must(document["SessionToken"] == issued.session_token, "half of one document and half of another")
        self._must(_moment(document["Expiration"]) == issued.expires_at, "an end that AWS did not say")
        is_blind = self.clock_is_wrong and not self.server_time_is_known()
        self._must(issued.expires_at > now or is_blind, f"{asked.role.role_name}: served, but expired {now}")
        self._must(issued.sign_in not in at.logged_out, f"{asked.role.role_name}: served after the logout")
        holders = [self._sign_in_of(token) for token in self._candidates(at) if token]
        self._must(
            issued.sign_in in holders, f"{asked.role.role_name}: served from a login that is not the present one"
        )
        self._must(
            self._is_enough(asked, issued), f"{asked.role.role_name}: little time left: {issued.expires_at - now}"
        )

    def failed(self, asked: Asked, error: CredhelperError) -> None:
        """The answer was an error: it must be true, and there must have been nothing better."""
        self._excuse(asked)
        self._answered(asked)
        what = f"{asked.role.role_name}: {type(error).__name__}: {error}"
        match error:
            case RoleNotAssigned():
                self._must(asked.may_be_unassigned, f"it is assigned, and yet {what}")
                is_fresh = self._of(asked.role).not_assigned_at >= asked.started - LONGEST_TOLD_AGAIN - INSTANT
                self._must(is_fresh, f"AWS has not said so for long, and yet {what}")
                self._of(asked.role).got = None
                return
            case LoginRequired():
                self._must(asked.may_need_login, f"a wrong logout: the login is good, and yet {what}")
            case UpstreamError():
                self._must(self._has_failed(asked), f"AWS has not failed, and yet {what}")
            case _:
                self._must(False, what)
        got = self._held(asked.role)
        if got is not None and not asked.may_need_login and (self.server_time_is_known() or not self.clock_is_wrong):
            left = got.expires_at - self._clock.true_now()
            self._must(left <= timedelta(seconds=ANSWER), f"there were credentials for {left}, and yet {what}")

    def leaves(self, asked: Asked) -> None:
        """The answer is of no interest here."""
        self.in_flight.remove(asked)
        self._of(asked.role).in_flight -= 1

    def told(self, session: SsoSession, state: str) -> None:
        """``status`` has told a session's state: a login that is good is never called ended, nor one that is not."""
        at = self._sessions[session.cache_key]
        if state in {"logged_out", "expired"}:
            self._must(self.may_need_login(session), f"{session.cache_key}: said to be {state}, but the login is good")
        else:
            self._must(any(self._candidates(at)) and not at.is_closed, f"{session.cache_key}: {state} without a token")

    def needs_no_login(self, session: SsoSession) -> None:
        """``login`` has said that there is nothing to do."""
        at = self._sessions[session.cache_key]
        self._must(any(self._candidates(at)) and not at.is_closed, f"{session.cache_key}: no login, and none wanted")

    def check_receipt(self, receipt: Json, *, is_fine: bool) -> None:
        """A logout's receipt: what it says of AWS is true, and where AWS answers, the logins end there."""
        for told in receipt["sessions"]:
            at = self._sessions[told["sso_session"] or told["start_url"]]
            if at.is_refreshing:
                continue  # what AWS is giving just now is ended when it has come
            ended = at.to_end is None or not at.to_end.sign_in.goes_on(self._clock.true_now())
            self._must(ended or told["revoked"] is not True, f"{told}: not revoked")
            could_end = at.to_end is not None and self._can_be_ended(at.to_end)
            self._must(ended or not (is_fine and could_end), f"{told}: AWS would have revoked it")

    def _answered(self, asked: Asked) -> None:
        self.in_flight.remove(asked)
        self._of(asked.role).in_flight -= 1
        took = self._clock.monotonic() - asked.started
        self._must(took <= ANSWER, f"{asked.role.role_name}: an answer after {took:.1f} s")

    def _excuse(self, asked: Asked) -> None:
        now = self._clock.monotonic()
        asked.may_need_login |= self.may_need_login(asked.role.session)
        since = max(self._of(asked.role).unassigned_at, now if asked.role in self._aws.unassigned else -1e9)
        asked.may_be_unassigned |= asked.started - since <= LONGEST_TOLD_AGAIN

    def _is_enough(self, asked: Asked, issued: IssuedCredentials) -> bool:
        """SDKs ask again and again with less than 15 minutes left; less can be all there is."""
        lifetime = self._lives[issued.session_token]
        if issued.expires_at - self._clock.true_now() >= min(SDK_WINDOW, min(WINDOW, lifetime / 2) * 0.75) - SLACK:
            return True
        is_calm = self._clock.monotonic() - self._trouble_at > RECOVERY
        is_excused = asked.may_need_login or asked.may_be_unassigned or asked.has_slept
        return is_excused or not is_calm or self._clock_was_wrong_recently()

    def _has_failed(self, asked: Asked) -> bool:
        """Whether a call that matters to the request has failed just now, or it takes too long."""
        at, of_role = self._sessions[asked.role.session.cache_key], self._of(asked.role)
        now = self._clock.monotonic()
        if now - asked.started >= GIVES_UP and self._trouble_at >= asked.started:
            return True
        return any(call is not None and self._is_told(call, asked) for call in (at.refresh, of_role.fetch))

    def _is_told(self, call: Call, asked: Asked) -> bool:
        if call.ended is None:
            return True
        if not isinstance(call.error, UpstreamError):
            return False
        pause = getattr(call.error, "retry_after", None)
        told = TOLD_AGAIN if pause is None else max(TOLD_AGAIN, min(pause, LONGEST_TOLD_AGAIN))
        return call.ended >= asked.started - told - INSTANT

    # -- calls --------------------------------------------------------------------------------------------------------

    def calls(self, call: Call) -> None:
        """The daemon calls AWS: only as often as the rules allow."""
        self.look()
        at = self._sessions[call.session_key]
        token = self._token(at)
        is_current = token is not None and token["accessToken"] == call.access_token and not at.behind
        call.epoch, call.is_certain = at.epoch, is_current and self._aws.weather is not Weather.SLOW
        if call.operation == "refresh" and not self._is_of_logout(call, at):
            self._refreshes(call, at)
        elif call.operation == "fetch":
            self._fetches(call, at)

    def is_answered(self, call: Call) -> None:
        """AWS has answered the daemon, or failed to."""
        now = self._clock.monotonic()
        if isinstance(call.error, Unavailable | Throttled):
            self._trouble_at = now
        at = self._sessions[call.session_key]
        if call.operation == "fetch":
            self._fetched(call)
        elif call.operation == "login" and call.error is None:
            self._logged_in(call, at)
        elif call.operation == "refresh" and self._is_of_logout(call, at):
            self._refreshed_in_vain(call)
        elif call.operation == "refresh":
            if call.error is not None:
                at.failures.add(now, call, begun_anew=self._begun_anew(at))
            elif call.epoch == at.epoch and not at.is_closed:
                self._refreshed(call, at)

    def _refreshed_in_vain(self, call: Call) -> None:
        """A logout has come: what has been issued is to end at AWS, too."""
        if isinstance(call.issued, IssuedToken) and self._aws.weather is not Weather.SLOW:
            sign_in = self._aws.access_tokens[call.issued.access_token].sign_in
            token = {"accessToken": call.issued.access_token, "refreshToken": None}
            self._owed.append(_Ending(sign_in, token, self._clock.monotonic()))

    def _is_of_logout(self, call: Call, at: _Session) -> bool:
        """Whether it only serves to end a login that was logged out here."""
        assert call.access_token is not None
        return self._aws.access_tokens[call.access_token].sign_in in at.logged_out

    def _refreshes(self, call: Call, at: _Session) -> None:
        assert call.access_token is not None
        token = self._aws.access_tokens[call.access_token]
        left = token.expires_at - self._clock.true_now()
        is_due = left <= min(WINDOW, (token.expires_at - token.issued_at) / 2) + SLACK
        is_excused = call.access_token in self._refused or self._clock_was_wrong_at >= token.issued_at
        self._must(is_due or is_excused, f"{call.session_key}: refreshed with {left} left")
        before, at.refresh = at.refresh, call
        if before is not None and before.ended is not None and not is_excused:
            paused = call.started - before.ended
            needed = self._pause_before_refresh(before, at, is_expired=left <= SLACK)
            is_new_start = before.ended <= at.pauses_forgotten_at
            self._must(
                is_new_start or paused >= needed - INSTANT,
                f"{call.session_key}: refreshed {paused:.3f} s after {before.error}, {needed:.2f} s were due",
            )
            has_ended = before.was_refused and before.refresh_token == call.refresh_token
            self._must(not has_ended or is_new_start, f"{call.session_key}: a refresh token again that AWS has refused")

    def _pause_before_refresh(self, before: Call, at: _Session, *, is_expired: bool) -> float:
        """Seconds that the daemon owes AWS after the refresh ``before``."""
        is_asked_for = before.ended is not None and at.asked_at >= before.ended - ANSWER
        if before.error is None:
            if before.ended is not None and before.ended <= self._all_begun_anew():
                return 0.0
            return 0.0 if is_expired or not self._is_without_gain(before) else LEAST_GAIN_PAUSE
        return self._pause_after(before, at.failures.number, is_asked_for=is_asked_for and is_expired)

    def _is_without_gain(self, refresh: Call) -> bool:
        assert refresh.access_token is not None
        sent = self._aws.access_tokens[refresh.access_token]
        got = self._aws.access_tokens[refresh.issued.access_token]  # type: ignore[union-attr]  # what a refresh issues
        return got.expires_at <= sent.expires_at

    def _pause_after(self, before: Call, failures: int, *, is_asked_for: bool) -> float:
        """Seconds that are due after a failure; what AWS asks for is due on any network."""
        error, ended = before.error, before.ended or 0.0
        asked = error.retry_after if isinstance(error, Throttled | Unavailable) else None
        is_forgiven = ended <= self._all_begun_anew()
        pause = 0.0 if is_forgiven else LEAST_OF_PAUSE * min(2.0 ** max(failures - 1, 0), LONGEST_BACK_OFF)
        pause = pause if asked is None else max(pause, min(asked, LONGEST_PAUSE))
        if is_asked_for:
            pause = min(pause, TOLD_AGAIN if asked is None else min(asked, LONGEST_TOLD_AGAIN))
        return pause

    def _refreshed(self, call: Call, at: _Session) -> None:
        before = self._token(at)
        at.pauses_forgotten_at = self._clock.monotonic() if not self._is_without_gain(call) else at.pauses_forgotten_at
        if before is not None:
            self._takes(at, before, call)

    def _logged_in(self, call: Call, at: _Session) -> None:
        if at.waiting == 0 or at.is_closed:
            return
        access_token: str = call.issued.access_token  # type: ignore[union-attr]  # what a login issues
        client_id = self._aws.access_tokens[access_token].sign_in.client_id
        at.epoch += 1
        at.pauses_forgotten_at = self._clock.monotonic()
        at.replaced, at.has_got_login = self._token(at), True
        ends_at = self._aws.registrations[client_id]
        self._takes(at, {"registrationExpiresAt": _timestamp(ends_at)}, call)

    def _takes(self, at: _Session, before: Json, call: Call) -> None:
        """The daemon has a token that lies nowhere yet."""
        access_token: str = call.issued.access_token  # type: ignore[union-attr]
        refresh_token: str | None = call.issued.refresh_token  # type: ignore[union-attr]
        token = self._aws.access_tokens[access_token]
        expires_at = self._clock.now() + (token.expires_at - self._clock.true_now())
        at.in_memory = (
            _content(at.path),
            before | {"accessToken": access_token, "refreshToken": refresh_token, "expiresAt": _timestamp(expires_at)},
        )
        at.expected, at.written = refresh_token, None

    def _fetches(self, call: Call, at: _Session) -> None:
        assert call.role is not None
        of_role = self._of(call.role)
        before, of_role.fetch = of_role.fetch, call
        held = self._held(call.role)
        if held is not None:
            left, lifetime = held.expires_at - self._clock.true_now(), held.expires_at - held.issued_at
            is_due = left <= min(WINDOW, lifetime / 2) * EARLIER + SLACK
            self._must(is_due, f"{call.role.role_name}: fetched with {left} left")
        of_role.is_second_try = not of_role.is_second_try and _is_second_try(before, call)
        if of_role.is_second_try:
            return
        self._keep_rate(call, of_role)
        if before is None or before.ended is None or before.error is None:
            return
        if before.access_token != call.access_token or not before.is_certain:  # about another token, or given up
            return
        is_asked_for = of_role.in_flight > 0 or of_role.asked_at >= before.ended
        if isinstance(before.error, RoleNotAssigned):
            needed = 0.0 if before.ended <= self._all_begun_anew() else LONGEST_TOLD_AGAIN
        elif before.was_refused:
            needed = 0.0
        else:
            needed = self._pause_after(before, of_role.failures.number, is_asked_for=is_asked_for)
        forgotten_at = at.pauses_forgotten_at
        paused = call.started - before.ended
        self._must(
            before.ended <= forgotten_at or paused >= needed - INSTANT,
            f"{call.role.role_name}: fetched {paused:.3f} s after {before.error!r}, {needed:.2f} s were due",
        )

    def _keep_rate(self, call: Call, of_role: _OfRole) -> None:
        """Ten a second that nobody has asked for; those that have waited for a refresh begin together."""
        if of_role.in_flight > 0 or of_role.asked_at >= call.started - 1.0:
            return
        waited = max(self._has_waited(at, call.started) for at in self._sessions.values())
        self._background = [start for start in self._background if start > call.started - 0.9]
        self._background.append(call.started)
        found = len(self._background)
        allowed = FETCHES_A_SECOND * (1 + waited)
        self._must(
            found <= allowed, f"{found} fetches at once that nobody has asked for, after a wait of {waited:.1f} s"
        )

    def _has_waited(self, at: _Session, now: float) -> float:
        """Seconds for which everything that needs the session's token may have waited for its refresh."""
        refresh = at.refresh
        if refresh is None or (refresh.ended is not None and refresh.ended < now - 1.0):
            return 0.0
        return min(now - refresh.started, ANSWER)

    def _fetched(self, call: Call) -> None:
        assert call.role is not None
        of_role = self._of(call.role)
        if call.error is None:
            issued = call.issued
            assert isinstance(issued, IssuedCredentials)
            self._lives[issued.session_token] = issued.expires_at - self._clock.true_now()
            call.is_certain &= self._aws.weather is not Weather.SLOW
            of_role.got, of_role.failures = call, _Failures()
            return
        if isinstance(call.error, RoleNotAssigned):
            of_role.got, of_role.not_assigned_at = None, self._clock.monotonic()
        if call.was_refused and call.access_token is not None:
            self._refused.add(call.access_token)
        begun_anew = self._begun_anew(self._sessions[call.session_key])
        if not of_role.is_second_try or of_role.failures.last <= begun_anew:
            of_role.failures.add(self._clock.monotonic(), call, begun_anew=begun_anew)

    def _held(self, role: Role) -> IssuedCredentials | None:
        """The credentials that the daemon must still hold."""
        got, at = self._of(role).got, self._sessions[role.session.cache_key]
        is_certain = (
            got is not None and got.is_certain and got.epoch == at.epoch and _kind(_content(at.path)) == "whole"
        )
        return got.issued if got is not None and is_certain else None  # type: ignore[return-value]  # what a fetch issues

    # -- the disk -----------------------------------------------------------------------------------------------------

    def check_files(self, in_memory: Callable[[str], str | None]) -> None:
        """Nothing of the daemon's is under way: what AWS gave it must be on the disk, or in its memory.

        ``in_memory`` tells the refresh token that the daemon holds of a session.
        """
        for key, at in self._sessions.items():
            content = _content(at.path)
            if at.expected is not None:
                is_kept = at.expected.encode() in (content or b"") or in_memory(key) == at.expected
                self._must(is_kept, f"{key}: the refresh token {at.expected} is lost")
            if at.written is not None:
                self._must(content == at.written, f"{key}: what another tool has written is gone")

    def check_is_gone(self, home: Path, sessions: list[SsoSession]) -> None:
        """After a logout: no file holds a token, or role credentials, of a login that has been logged out."""
        for path in home.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            for session in sessions:
                for secret in self._secrets(session):
                    self._must(f'"{secret}"'.encode() not in content, f"{path} still holds {secret}")

    def _secrets(self, session: SsoSession) -> list[str]:
        gone = self._sessions[session.cache_key].logged_out
        access = [name for name, token in self._aws.access_tokens.items() if token.sign_in in gone]
        return access + [name for name, sign_in in self._aws.refresh_tokens.items() if sign_in in gone]

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _begun_anew(self, at: _Session) -> float:
        """When there was last a reason to try again what had failed."""
        return max(at.pauses_forgotten_at, self._all_begun_anew())

    def _all_begun_anew(self) -> float:
        return self._clock.monotonic() if self._is_to_notice else self._pauses_forgotten_at

    def _must(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.violations.append(f"{self._clock.true_now():%d %H:%M:%S} {otherwise}")

    def _of(self, role: Role) -> _OfRole:
        return self._roles.setdefault(role, _OfRole())

    def _token(self, at: _Session) -> Json | None:
        content = _content(at.path)
        at.was_garbage = _kind(content) == "garbage" or (at.was_garbage and _kind(content) == "torn")
        if _kind(content) == "whole":
            at.known = _parsed(content or b"")
        elif content is None:
            at.known = None
        if at.in_memory is None:
            return at.known
        if at.known is not None and at.known["accessToken"] == at.in_memory[1]["accessToken"]:
            at.in_memory = None  # it could be written
            return at.known
        is_newer = at.in_memory[0] == content or _kind(content) in {"torn", "garbage"}
        return at.in_memory[1] if is_newer else at.known

    def _ending(self, at: _Session) -> _Ending | None:
        """What a logout can do for the present login at AWS."""
        token = self._token(at)
        if token is None or at.was_garbage:
            return None
        ending = _Ending(self._sign_in_of(token), token, self._clock.monotonic())
        return ending if self._can_be_ended(ending) else None

    def _can_be_ended(self, ending: _Ending) -> bool:
        access = self._aws.access_tokens[ending.token["accessToken"]]
        is_good = access.is_good(self._clock.true_now())
        return is_good or self._can_be_renewed(ending.token, ending.sign_in)

    def _is_steady(self, at: _Session) -> bool:
        """Whether nothing has happened for a while that a daemon would need time to get over."""
        last = max(self._trouble_at, self._pauses_forgotten_at, at.changed_at)
        is_right = not (self.clock_is_wrong or self._clock_was_wrong_recently() or self._is_to_notice)
        is_whole = not at.is_closed and _kind(_content(at.path)) not in {"torn", "garbage"}
        return is_right and is_whole and self._clock.monotonic() - last > RECOVERY

    def _check_that_token_is_kept_alive(self, key: str, at: _Session, now: datetime) -> None:
        token = self._token(at)
        if token is None:
            return
        access = self._aws.access_tokens[token["accessToken"]]
        lifetime = access.expires_at - max(access.issued_at, at.seen_at)
        is_alive = access.expires_at - now > min(WINDOW, lifetime / 2) * KEPT_ALIVE
        is_last = access.expires_at >= access.sign_in.ends_at - SLACK
        is_misdated = self._clock_was_wrong_at >= access.issued_at
        can_be_better = self._can_be_renewed(token, access.sign_in) and not (is_last or is_misdated)
        self._must(is_alive or not can_be_better, f"{key}: only {access.expires_at - now} left, and nobody renews it")

    def _check_that_role_is_kept_alive(self, role: Role, now: datetime) -> None:
        of_role, held = self._of(role), self._held(role)
        if held is None or of_role.got is None or of_role.served_at < (of_role.got.ended or 0.0):
            return
        if self._clock.monotonic() - of_role.served_at < RECOVERY:
            return
        left = held.expires_at - now
        is_alive = left > min(WINDOW, self._lives[held.session_token] / 2) * KEPT_ALIVE
        is_forgotten = left < -timedelta(hours=1)  # while the login seemed to be over
        is_excused = is_forgotten or self.may_need_login(role.session) or role in self._aws.unassigned
        self._must(is_alive or is_excused, f"{role.role_name}: only {left} left, and nobody renews it")

    def _pay(self) -> None:
        """Logins that AWS could not be asked to end are ended when it can."""
        self._owed = [] if self.clock_is_wrong else [ending for ending in self._owed if self._can_be_ended(ending)]
        for ending in self._owed:
            waited = self._clock.monotonic() - max(self._trouble_at, ending.since)
            is_due = waited <= LONGEST_BEFORE_ENDING
            self._must(
                is_due, f"{ending.sign_in.session.label}: not ended at AWS, which can be reached for {waited:.0f} s"
            )

    def _candidates(self, at: _Session) -> list[Json | None]:
        """Every token that the daemon may rightly take for the present one, at this very moment."""
        return [self._token(at), at.known, at.replaced, *at.behind]

    def _sign_in_of(self, token: Json) -> SignIn:
        return self._aws.access_tokens[token["accessToken"]].sign_in

    def _is_over(self, token: Json | None) -> bool:
        """Whether a token neither is good, or looks so, nor can be renewed."""
        if token is None:
            return True
        now = self._clock.true_now()
        access = self._aws.access_tokens[token["accessToken"]]
        looks_expired = self._clock.now() >= _moment(token["expiresAt"]) or self._clock_was_wrong_at >= access.issued_at
        is_dead = looks_expired or not access.is_good(now)
        return is_dead and not self._can_be_renewed(token, access.sign_in)

    def _can_be_renewed(self, token: Json, sign_in: SignIn) -> bool:
        ends_at = token.get("registrationExpiresAt")
        is_complete = bool(token.get("refreshToken") and ends_at and _moment(ends_at) > self._clock.now())
        now = self._clock.true_now()
        is_known = self._aws.registrations[sign_in.client_id] > now
        return is_complete and is_known and sign_in.goes_on(now) and sign_in.refresh_token == token["refreshToken"]

    def _clock_was_wrong_recently(self) -> bool:
        return self._clock.true_now() - self._clock_was_wrong_at < timedelta(seconds=RECOVERY)


def _is_second_try(before: Call | None, call: Call) -> bool:
    """A failure that came quickly may be followed by another try after a fifth of a second, when there is a place."""
    if before is None or before.ended is None or not isinstance(before.error, Unavailable):
        return False
    return before.ended - before.started <= 2.0 and 0.19 <= call.started - before.ended < LEAST_OF_PAUSE


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _kind(content: bytes | None) -> str:
    """absent, whole, torn (perhaps being written), garbage."""
    if content is None:
        return "absent"
    try:
        found = _parsed(content)
    except ValueError:
        return "torn"
    return "whole" if isinstance(found, dict) and isinstance(found.get("accessToken"), str) else "garbage"


@functools.lru_cache(maxsize=32)
def _parsed(content: bytes) -> Any:
    return json.loads(content)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


__all__ = ["Asked", "Refused", "Rules"]
