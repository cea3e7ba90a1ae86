"""The daemon knows which roles were used last, over restarts, until a logout."""

from pathlib import Path

from credhelper.agent.gate import Wanted
from credhelper.agent.recent import WRITTEN_AFTER
from credhelper.domain.errors import LoginRequired
from credhelper.domain.model import Door
from credhelper.local import recent_file
from credhelper.local.recent_file import MOST, Use
from tests.agent.world import ACCOUNT, World, failing

DEV = Use("corp", ACCOUNT, "Developer", "dev")


def written(world: World) -> list[Use]:
    return list(recent_file.load(world.agent.recent.path))


async def test_a_use_is_known_at_once_and_written_down_later(world: World) -> None:
    world.log_in()
    await world.get("dev")
    assert world.agent.recent.last_use(world.developer, "dev") == world.clock.now()
    await world.live(seconds=WRITTEN_AFTER - 60)
    assert not world.agent.recent.path.exists()
    await world.live(seconds=120)
    assert written(world) == [DEV]


async def test_what_was_refused_counts_as_no_use(world: World) -> None:
    await failing(world.get("dev"), LoginRequired)
    assert world.agent.recent.last_use(world.developer, "dev") is None


async def test_a_role_named_without_a_profile_counts_for_every_profile_of_it(world: World) -> None:
    world.log_in()
    fields = world.everything() | {"sso_session": "corp", "account_id": ACCOUNT, "role_name": "Developer"}
    await world.agent.hand_out(Wanted(fields, door=Door.EXEC))
    assert world.agent.recent.last_use(world.developer, "dev") == world.clock.now()
    assert world.agent.recent.last_use(world.developer, None) == world.clock.now()


async def test_a_profile_counts_for_itself_only(world: World) -> None:
    world.log_in()
    await world.get("dev")
    assert world.agent.recent.last_use(world.developer, "another") is None
    assert world.agent.recent.last_use(world.developer, None) is None


async def test_the_next_daemon_knows_it_too_and_adds_to_it(world: World) -> None:
    world.log_in()
    await world.get("dev")
    first = world.clock.now()
    await world.agent.stop()
    assert written(world) == [DEV]
    world.agent = world.new_agent()
    world.clock.advance(minutes=5)
    await world.get("readonly")
    await world.agent.recent.read()
    assert world.agent.recent.last_use(world.developer, "dev") == first
    await world.agent.stop()
    assert written(world) == [DEV, Use("corp", ACCOUNT, "ReadOnly", "readonly")]


async def test_a_logout_takes_the_sessions_uses_out_and_the_last_one_the_file(world: World) -> None:
    world.log_in()
    world.log_in(world.legacy)
    await world.get("dev")
    await world.get("legacy")
    await world.agent.stop()
    path, world.agent = world.agent.recent.path, world.new_agent()
    await world.agent.logout(world.fields("dev"))
    assert [use.session for use in written(world)] == [world.legacy.cache_key]
    await world.agent.logout(world.everything())
    assert not path.exists()
    await world.agent.stop()
    assert not path.exists()


async def test_a_logout_forgets_what_is_not_written_yet(world: World) -> None:
    world.log_in()
    await world.get("dev")
    await world.agent.logout(world.everything())
    assert world.agent.recent.last_use(world.developer, "dev") is None
    await world.live(seconds=2 * WRITTEN_AFTER)
    assert not world.agent.recent.path.exists()


async def test_a_file_that_cannot_be_removed_is_told_as_left(world: World) -> None:
    world.agent.recent.path.mkdir(parents=True)
    receipt = await world.agent.logout(world.everything())
    assert [left["path"] for left in receipt["left"]] == [str(world.agent.recent.path)]


async def test_a_disk_that_takes_nothing_ends_nothing(world: World, tmp_path: Path) -> None:
    world.log_in()
    world.agent.recent.path.mkdir(parents=True)
    await world.get("dev")
    await world.live(seconds=2 * WRITTEN_AFTER)
    assert world.agent.recent.last_use(world.developer, "dev") is not None
    world.agent.recent.path.rmdir()
    await world.live(seconds=2 * WRITTEN_AFTER)
    assert written(world) == [DEV]


async def test_only_so_many_are_remembered(world: World) -> None:
    world.log_in()
    await world.get("dev")
    for number in range(MOST):
        world.agent.recent._used[DEV._replace(profile=str(number))] = world.clock.now()
    await world.get("readonly")
    assert world.agent.recent.last_use(world.developer, "dev") is None
