"""Questions that ``[[policy]]`` rules with ``confirm`` put to the person: may this program use this role?

A request never waits for the answer: it is told that a question stands, and the next one finds the answer. A question
is about one rule, one role and one program, and is asked once however many ask; after two minutes without an answer it
lapses, and whoever asks next has it asked anew. A yes holds for the rule's time, a no for a minute.

It is shown on the desktop, with two buttons, and by ``credhelper confirm``. Quiet hours do not hide it: somebody is
waiting. What this can do is keep the person informed, and keep out what nobody has thought of; a program of the same
user that means ill can answer for the person, or have a trusted program ask.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from credhelper.agent.flights import Flights
from credhelper.domain.documents import timestamp
from credhelper.domain.errors import ConfirmationPending, PolicyRefused, UsageError
from credhelper.domain.model import AnyRole, ChainedRole, PoolRole, SsoSession
from credhelper.domain.text import safe
from credhelper.local.clock import Clock
from credhelper.local.desktop import Desktop, DesktopUnavailable, Notice
from credhelper.local.peers import Caller
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings
from credhelper.local.workers import DeadlineExceeded, Workers

log = logging.getLogger(__name__)

STANDS = 120.0  # seconds for which a question waits for an answer
NO_HOLDS = 60.0  # seconds
MOST = 16  # questions that stand at a time: what asks more often than a person can read is no program of theirs
SHOWN_AT_ONCE = 4
MOST_ANSWERS = 1024
SHOW_DEADLINE = 6.0  # seconds, for taking a question away
STOP_PATIENCE = 0.5

Json = dict[str, Any]
Subject = tuple[Rule, str, str]
"""What a question is about: the rule as it stands, the role, the program."""


@dataclass(slots=True)
class Question:
    """One that waits for an answer."""

    id: str
    subject: Subject
    role: AnyRole
    profile: str | None
    caller: Caller
    asked_at: datetime
    lapses_at: float
    """By the clock that runs on in a suspend."""
    number: int | None = None
    """The desktop's number of it, while it is shown."""

    @property
    def rule(self) -> Rule:
        """The rule that asks."""
        return self.subject[0]


@dataclass(frozen=True, slots=True)
class _Answer:
    is_yes: bool
    until: float


class Confirmations:
    """All questions and answers. Lives on the event loop; the desktop is asked in threads that can be given up."""

    def __init__(self, clock: Clock, desktop: Desktop | None) -> None:
        self._clock = clock
        self._desktop = desktop
        self._is_shown = False
        self._workers = Workers("question", SHOWN_AT_ONCE)
        self._shows: Flights[str, None] = Flights()
        self._questions: dict[Subject, Question] = {}
        self._answers: dict[Subject, _Answer] = {}

    def apply(self, settings: Settings) -> None:
        """From now on by these settings. A rule that has changed asks anew, as another one."""
        self._is_shown = settings.notify_enabled and self._desktop is not None
        for kept in (self._questions, self._answers):
            for subject in [subject for subject in kept if subject[0] not in settings.policy]:
                self._drop(subject)

    def settle(self, rule: Rule, role: AnyRole, profile: str | None, caller: Caller) -> None:
        """Returns where the person has said yes.

        Raises ConfirmationPending while the question stands, which may begin with this; PolicyRefused after a no.
        """
        self._forget_what_is_over()
        subject = rule, _identity(role), caller.program or caller.exe or "an unknown program"
        answer = self._answers.get(subject)
        if answer is None:
            self._ask(subject, role, profile, caller)
            asked = f"whether {safe(subject[2])} may use {safe(profile or _path(role))}"
            raise ConfirmationPending(
                f"the rule “{rule.name}” wants you to be asked {asked}, and you have not answered yet",
                hint="credhelper confirm",
            )
        if not answer.is_yes:
            raise PolicyRefused(
                f"the rule “{rule.name}” had you asked, and you said no to {safe(subject[2])}",
                hint=f"try again in {round(answer.until - self._clock.boottime())} s to be asked anew",
            )

    def standing(self) -> list[Json]:
        """Every question that waits for an answer, the oldest first."""
        self._forget_what_is_over()
        return [_document(question) for question in self._questions.values()]

    def answer(self, question_id: str, verdict: str) -> bool:
        """The person's "yes" or "no"; whether the question still stood. Raises UsageError."""
        if verdict not in {"yes", "no"}:
            raise UsageError("an answer is yes or no")
        self._forget_what_is_over()
        question = next((each for each in self._questions.values() if each.id == question_id), None)
        if question is None:
            return False
        self._note(question, is_yes=verdict == "yes", where="credhelper confirm")
        return True

    def forget(self) -> None:
        """Every question and every answer: whoever locks wants to be asked again."""
        for subject in [*self._questions, *self._answers]:
            self._drop(subject)

    def screen_changed(self) -> None:
        """A screen may have been unlocked: what was not shown there is shown now."""
        self._forget_what_is_over()
        for question in self._questions.values():
            self._show(question)

    async def stop(self) -> None:
        """Takes away what is shown."""
        self.forget()
        await self._shows.settle(STOP_PATIENCE)

    # -- questions ----------------------------------------------------------------------------------------------------

    def _ask(self, subject: Subject, role: AnyRole, profile: str | None, caller: Caller) -> None:
        if subject in self._questions or len(self._questions) >= MOST:
            return
        lapses_at = self._clock.boottime() + STANDS
        question = Question(secrets.token_hex(6), subject, role, profile, caller, self._clock.now(), lapses_at)
        self._questions[subject] = question
        log.info("rule %s asks whether %s may use %s", safe(subject[0].name), safe(subject[2]), safe(_path(role)))
        self._show(question)

    def _note(self, question: Question, *, is_yes: bool, where: str) -> None:
        self._drop(question.subject)
        if len(self._answers) >= MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        holds = question.rule.confirm if is_yes else NO_HOLDS
        self._answers[question.subject] = _Answer(is_yes, self._clock.boottime() + holds)
        program, said = safe(question.subject[2]), "yes" if is_yes else "no"
        log.info("the answer to rule %s about %s is %s (%s)", safe(question.rule.name), program, said, where)

    def _forget_what_is_over(self) -> None:
        now = self._clock.boottime()
        over = [subject for subject, answer in self._answers.items() if answer.until <= now]
        over += [subject for subject, question in self._questions.items() if question.lapses_at <= now]
        for subject in over:
            self._drop(subject)

    def _drop(self, subject: Subject) -> None:
        self._answers.pop(subject, None)
        question = self._questions.pop(subject, None)
        if question is not None and question.number is not None:
            self._take_away(question.number)

    # -- the desktop --------------------------------------------------------------------------------------------------

    def _show(self, question: Question) -> None:
        if self._is_shown and not self._shows.has(question.id):
            self._shows.start(question.id, partial(self._put_to_person, question))

    async def _put_to_person(self, question: Question) -> None:
        left = question.lapses_at - self._clock.boottime()
        loop = asyncio.get_running_loop()

        def shown(number: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(self._has_been_shown, question, number)

        try:
            is_yes = await self._workers.run(left + SHOW_DEADLINE, partial(self._on_desktop, question, left, shown))
        except (DesktopUnavailable, DeadlineExceeded) as error:
            log.info("a question could not be shown on the desktop: %s", error)
            return
        finally:
            question.number = None
        self._forget_what_is_over()
        if is_yes is not None and self._questions.get(question.subject) is question:
            self._note(question, is_yes=is_yes, where="desktop")

    def _has_been_shown(self, question: Question, number: int) -> None:
        if self._questions.get(question.subject) is question:
            question.number = number
        else:  # answered elsewhere in the meantime
            self._take_away(number)

    def _on_desktop(self, question: Question, seconds: float, shown: Callable[[int], None]) -> bool | None:
        """Blocks until there is an answer, or none will come. Raises DesktopUnavailable."""
        assert self._desktop is not None  # noqa: S101  # else nothing is shown
        if self._desktop.is_locked():
            return None
        return self._desktop.ask(_worded(question), seconds, shown)

    def _take_away(self, number: int) -> None:
        self._shows.start(f"withdraw {number}", partial(self._withdraw, number))

    async def _withdraw(self, number: int) -> None:
        assert self._desktop is not None  # noqa: S101  # else nothing was shown
        try:
            await self._workers.run(SHOW_DEADLINE, partial(self._desktop.withdraw, number), lane="withdraw")
        except (DesktopUnavailable, DeadlineExceeded) as error:
            log.debug("a question could not be taken away: %s", error)


def _worded(question: Question) -> Notice:
    program = safe(question.subject[2])
    lines = [f"Role: {safe(_path(question.role))}", f"Program: {program}" + _pid(question.caller)]
    if question.caller.cwd:
        lines.append(f"In: {safe(question.caller.cwd)}")
    lines.append(f"Rule “{safe(question.rule.name)}”. Or answer in a terminal: credhelper confirm")
    name = safe(program.rpartition("/")[2] or program)
    return Notice(f"Let {name} use {safe(question.profile or question.role.role_name)}?", "\n".join(lines))


def _pid(caller: Caller) -> str:
    return f" (pid {caller.pid})" if caller.pid else ""


def _document(question: Question) -> Json:
    caller, role = question.caller, question.role
    return {
        "id": question.id,
        "rule": question.rule.name,
        "profile": question.profile,
        "sso_session": role.session.name if isinstance(role.session, SsoSession) else None,
        "account_id": role.account_id,
        "role_name": role.role_name,
        "program": question.subject[2],
        "pid": caller.pid,
        "cwd": caller.cwd,
        "asked_at": timestamp(question.asked_at),
        "expires_at": timestamp(question.asked_at + timedelta(seconds=STANDS)),
        "remembered": question.rule.confirm,
    }


def _identity(role: AnyRole) -> str:
    """Whoever reaches the role by another name or with another duration has it asked only once."""
    if isinstance(role, PoolRole):
        return f"pool {role.pool_id} {_path(role)}"
    return f"{'chained' if isinstance(role, ChainedRole) else 'sso'} {_path(role)}"


def _path(role: AnyRole) -> str:
    return f"{role.session.label}/{role.account_id}/{role.role_name}".rstrip("/")
