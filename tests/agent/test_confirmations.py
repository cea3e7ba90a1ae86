"""Questions to the person: asked once, answered somewhere, remembered for a while, and never waited for."""

import asyncio
import queue
import random
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from credhelper.agent import confirmations
from credhelper.agent.agent import Agent
from credhelper.domain.errors import ConfirmationPending, PolicyRefused, UsageError
from credhelper.local.desktop import DesktopUnavailable, Notice
from credhelper.local.peers import Caller
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings
from tests.agent.world import World, failing, until

AWS = Caller(0, 4242, "/usr/bin/aws", "/work", "aws")
ASK = Rule("ask me", ("*",), confirm=900)


class Person:
    """A desktop with somebody at it who answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Notice] = []
        self.withdrawn: list[int] = []
        self.answers: dict[int, queue.SimpleQueue[bool | None]] = {}
        self.is_screen_locked = False
        self.trouble: str | None = None
        self._lock = threading.Lock()

    def show(self, notice: Notice) -> int:
        """See Desktop. Of a question there is no notice besides."""
        raise AssertionError(notice)

    def ask(self, question: Notice, seconds: float, on_shown: Callable[[int], None]) -> bool | None:
        """See Desktop."""
        assert seconds > 0
        if self.trouble:
            raise DesktopUnavailable(self.trouble)
        with self._lock:
            self.asked.append(question)
            number = len(self.asked)
            self.answers[number] = queue.SimpleQueue()
        on_shown(number)
        return self.answers[number].get(timeout=60)

    def withdraw(self, number: int) -> None:
        """See Desktop. A question that is taken away has no answer."""
        self.withdrawn.append(number)
        self.answers[number].put(None)

    def is_locked(self) -> bool:
        """See Desktop."""
        return self.is_screen_locked


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
async def asking(world: World, person: Person) -> AsyncIterator[World]:
    """A world whose rules ask a person at a desktop."""
    await world.agent.stop()
    world.agent = Agent(world.home, world.state, api=world.api, clock=world.clock, desktop=person, rng=random.Random(1))
    world.log_in()
    obey(world, ASK)
    yield world
    for answers in person.answers.values():
        answers.put(None)


def obey(world: World, *rules: Rule, notify: bool = True) -> None:
    for act in world.agent.settings.on_change:
        act(Settings(policy=rules, notify_enabled=notify))


async def outcome(world: World, caller: Caller = AWS, profile: str = "dev") -> str:
    try:
        await world.hand_out(world.fields(profile), caller)
    except (ConfirmationPending, PolicyRefused) as error:
        return error.code
    return "ok"


async def answer(world: World, verdict: str) -> None:
    (question,) = world.agent.confirmations.standing()
    assert await world.agent.confirm({"id": question["id"], "verdict": verdict}) == {"answered": True}


# -- a request --------------------------------------------------------------------------------------------------------


async def test_a_request_fails_at_once_while_the_question_stands_and_passes_after_a_yes(asking: World) -> None:
    with pytest.raises(ConfirmationPending, match=r"rule “ask me” .* whether /usr/bin/aws may use dev") as caught:
        await asking.hand_out(asking.fields(), AWS)
    assert (caught.value.status, caught.value.hint) == (5, "credhelper confirm")
    assert asking.fetches() == 0
    await answer(asking, "yes")
    assert await outcome(asking) == "ok"
    assert await outcome(asking) == "ok"


async def test_it_is_asked_once_however_many_ask(asking: World, person: Person) -> None:
    outcomes = await asyncio.gather(*(outcome(asking) for _ in range(200)))
    assert set(outcomes) == {"confirmation_pending"}
    await until(lambda: len(person.asked) == 1)
    assert len(asking.agent.confirmations.standing()) == 1


async def test_what_the_question_says(asking: World) -> None:
    await outcome(asking)
    (question,) = (await asking.agent.confirm({}))["questions"]
    assert question.pop("id")
    assert question == {
        "rule": "ask me",
        "profile": "dev",
        "sso_session": "corp",
        "account_id": "111122223333",
        "role_name": "Developer",
        "program": "/usr/bin/aws",
        "pid": 4242,
        "cwd": "/work",
        "asked_at": "2026-06-01T09:00:00Z",
        "expires_at": "2026-06-01T09:02:00Z",
        "remembered": 900,
    }


async def test_an_answer_is_about_one_program_one_role_and_one_rule(asking: World) -> None:
    await outcome(asking)
    await answer(asking, "yes")
    assert await outcome(asking, replace(AWS, pid=1, cwd="/elsewhere")) == "ok"
    assert await outcome(asking, replace(AWS, exe="/home/u/aws")) == "confirmation_pending"
    assert await outcome(asking, profile="readonly") == "confirmation_pending"
    obey(asking, replace(ASK, confirm=60))
    assert await outcome(asking) == "confirmation_pending"


async def test_a_reload_that_leaves_the_rule_alone_forgets_no_answer(asking: World) -> None:
    await outcome(asking)
    await answer(asking, "yes")
    obey(asking, Rule("another", ("x",), deny=True), ASK)
    assert await outcome(asking) == "ok"


@pytest.mark.parametrize(
    "pretender",
    [
        Caller(0, 1, None, "/", "/usr/bin/aws"),
        Caller(0, 1, "_usr_bin_aws", "/", "/usr/bin/aws"),
        replace(AWS, has_changed=True),
    ],
    ids=["gone", "hidden", "changed"],
)
async def test_a_program_that_only_says_that_it_is_one_does_not_get_its_answer(
    asking: World, pretender: Caller
) -> None:
    await outcome(asking)
    await answer(asking, "yes")
    assert await outcome(asking, pretender) != "ok"


async def test_a_yes_holds_for_the_rules_time_also_over_a_sleep(asking: World) -> None:
    await outcome(asking)
    await answer(asking, "yes")
    asking.clock.advance(seconds=899)
    assert await outcome(asking) == "ok"
    asking.clock.suspend(seconds=1)
    assert await outcome(asking) == "confirmation_pending"


async def test_a_no_holds_for_a_minute(asking: World) -> None:
    await outcome(asking)
    await answer(asking, "no")
    assert "you said no to /usr/bin/aws" in await failing(asking.hand_out(asking.fields(), AWS), PolicyRefused)
    asking.clock.advance(seconds=59)
    assert await outcome(asking) == "policy"
    asking.clock.advance(seconds=1)
    assert await outcome(asking) == "confirmation_pending"


async def test_a_question_lapses_and_is_asked_anew(asking: World) -> None:
    await outcome(asking)
    (first,) = asking.agent.confirmations.standing()
    asking.clock.advance(seconds=confirmations.STANDS)
    assert await asking.agent.confirm({"id": first["id"], "verdict": "yes"}) == {"answered": False}
    assert asking.agent.confirmations.standing() == []
    assert await outcome(asking) == "confirmation_pending"
    (second,) = asking.agent.confirmations.standing()
    assert second["id"] != first["id"]


async def test_only_yes_and_no_are_answers(asking: World) -> None:
    await outcome(asking)
    (question,) = asking.agent.confirmations.standing()
    for verdict in ("", "YES", "y", "true"):
        await failing(asking.agent.confirm({"id": question["id"], "verdict": verdict}), UsageError)
    assert await outcome(asking) == "confirmation_pending"


async def test_nobody_is_flooded_with_questions(asking: World, person: Person) -> None:
    for number in range(100):
        assert await outcome(asking, replace(AWS, exe=f"/x/{number}")) == "confirmation_pending"
    assert len(asking.agent.confirmations.standing()) == confirmations.MOST
    await until(lambda: len(person.asked) == confirmations.SHOWN_AT_ONCE)


async def test_a_lock_forgets_every_answer_and_every_question(asking: World) -> None:
    await outcome(asking)
    await answer(asking, "yes")
    await outcome(asking, profile="readonly")
    await asking.agent.lock.lock()
    await asking.agent.lock.unlock()
    assert asking.agent.confirmations.standing() == []
    assert await outcome(asking) == "confirmation_pending"


async def test_memory_of_answers_has_an_end(asking: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "MOST_ANSWERS", 2)
    for number in range(3):
        await outcome(asking, replace(AWS, exe=f"/x/{number}"))
        await answer(asking, "yes")
    found = [await outcome(asking, replace(AWS, exe=f"/x/{number}")) for number in range(3)]
    assert found == ["confirmation_pending", "ok", "ok"]


# -- the desktop ------------------------------------------------------------------------------------------------------


async def test_the_desktop_asks_in_words_that_tell_who_wants_what(asking: World, person: Person) -> None:
    await outcome(asking, replace(AWS, cwd="/work\x1b[2J"))
    await until(lambda: bool(person.asked))
    assert person.asked[0].summary == "Let aws use dev?"
    assert person.asked[0].body.splitlines() == [
        "Role: corp/111122223333/Developer",
        "Program: /usr/bin/aws (pid 4242)",
        "In: /work [2J",
        "Rule “ask me”. Or answer in a terminal: credhelper confirm",
    ]


@pytest.mark.parametrize(("pressed", "expected"), [(True, "ok"), (False, "policy"), (None, "confirmation_pending")])
async def test_a_button_is_an_answer(asking: World, person: Person, pressed: bool | None, expected: str) -> None:
    await outcome(asking)
    await until(lambda: bool(person.answers))
    person.answers[1].put(pressed)
    await asking.settled()
    assert await outcome(asking) == expected


async def test_what_the_terminal_has_answered_is_taken_off_the_desktop(asking: World, person: Person) -> None:
    await outcome(asking)
    await until(lambda: bool(person.answers))
    await asyncio.sleep(0)
    await answer(asking, "no")
    await asking.settled()
    assert person.withdrawn == [1]
    assert await outcome(asking) == "policy"


async def test_a_button_that_is_pressed_too_late_changes_nothing(asking: World, person: Person) -> None:
    await outcome(asking)
    await until(lambda: bool(person.answers))
    asking.clock.advance(seconds=confirmations.STANDS)
    person.answers[1].put(True)
    await asking.settled()
    assert await outcome(asking) == "confirmation_pending"


async def test_no_question_is_put_to_a_locked_screen_before_it_is_unlocked(asking: World, person: Person) -> None:
    person.is_screen_locked = True
    await outcome(asking)
    await asking.settled()
    assert person.asked == []
    person.is_screen_locked = False
    asking.agent.screen_changed()
    await until(lambda: len(person.asked) == 1)


async def test_quiet_hours_hide_no_question_and_switched_off_notices_do(asking: World, person: Person) -> None:
    obey(asking, ASK, notify=False)
    await outcome(asking)
    await asking.settled()
    assert person.asked == []
    assert len(asking.agent.confirmations.standing()) == 1


async def test_without_a_desktop_the_terminal_remains(asking: World, person: Person) -> None:
    person.trouble = "there is no session bus"
    await outcome(asking)
    await asking.settled()
    await answer(asking, "yes")
    assert await outcome(asking) == "ok"
