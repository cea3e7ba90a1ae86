"""The line for a shell's prompt: it tells the states apart, and gives a time only where a session ends then."""

from datetime import UTC, datetime, timedelta

import pytest

from credhelper.agent.prompt import word
from credhelper.agent.token_state import TokenState
from tests.agent.world import World

NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "left", "refreshable", "error", "expected"),
    [
        ("active", 3000, True, None, "ok"),
        ("refresh_due", 60, True, None, "ok"),
        ("refresh_due", -60, True, None, "ok"),
        ("active", 3000, True, "no network", "50m"),
        ("refresh_due", -60, True, "no network", "failing"),
        ("active", 2520, False, None, "42m"),
        ("active", 59.5, False, None, "59s"),
        ("active", 3600, False, None, "1h"),
        ("active", 47 * 3600, False, None, "47h"),
        ("active", 90 * 86_400, False, None, "90d"),
        ("expired", -60, False, None, "expired"),
        ("expired", 600, False, "refused", "expired"),
        ("logged_out", None, False, None, "-"),
    ],
)
def test_each_state_has_a_word_of_its_own(
    state: str, left: float | None, refreshable: bool, error: str | None, expected: str
) -> None:
    ends = None if left is None else NOW + timedelta(seconds=left)
    assert word(TokenState(state, ends, refreshable, None, error), NOW) == expected


async def test_it_is_about_the_session_that_is_chosen(world: World) -> None:
    world.log_in()
    assert world.agent.prompt(world.everything() | {"sso_session": "corp"}) == "corp ok"
    assert world.agent.prompt(world.fields("dev")) == "corp ok"
    assert world.agent.prompt(world.fields("legacy")) == "sandbox -"
    assert world.agent.prompt(world.everything() | {"AWS_PROFILE": "dev"}) == "corp ok"


async def test_without_a_choice_it_is_about_those_that_somebody_logged_in_to(world: World) -> None:
    assert world.agent.prompt(world.everything()) == ""
    world.log_in()
    assert world.agent.prompt(world.everything()) == "corp ok"
    world.log_in(world.legacy, refresh_token=None)
    assert world.agent.prompt(world.everything()) == "corp ok, sandbox 1h"


async def test_the_only_session_there_is_shows_that_nobody_is_logged_in(world: World) -> None:
    world.write_config(f"[sso-session corp]\nsso_start_url = {world.sandbox.start_url}\nsso_region = us-east-1\n")
    assert world.agent.prompt(world.everything()) == "corp -"


async def test_what_is_none_of_its_business_shows_nothing(world: World) -> None:
    world.write_config("[profile static]\nregion = eu-west-1\n[profile broken]\nsso_session = nowhere\n")
    for profile in ("static", "broken", "absent"):
        assert world.agent.prompt(world.fields(profile)) == ""
    assert world.agent.prompt({"HOME": "/another/home", "cwd": "/"}) == ""
    world.write_config("[nonsense")
    assert world.agent.prompt(world.everything()) == ""


async def test_a_locked_daemon_says_so(world: World) -> None:
    world.log_in()
    await world.agent.lock.lock()
    assert world.agent.prompt(world.fields("dev")) == "corp locked"


async def test_a_name_can_neither_colour_nor_move_anything(world: World) -> None:
    world.write_config(f"[sso-session a\x1b[31mb]\nsso_start_url = {world.sandbox.start_url}\nsso_region = us-east-1\n")
    assert world.agent.prompt(world.everything()) == "a [31mb -"
