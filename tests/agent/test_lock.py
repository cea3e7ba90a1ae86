"""``lock``: nothing is handed out through any door until ``unlock``, whatever happens to the daemon."""

import asyncio
import errno
import json
from pathlib import Path

import pytest

from credhelper.agent.gate import Wanted
from credhelper.agent.lock import ALLOWED, GATED
from credhelper.domain.errors import CredhelperError, Locked
from credhelper.domain.model import Door
from credhelper.endpoints.lease_socket import LeaseSockets
from credhelper.endpoints.unix_socket import UnixSocket
from credhelper.local import places, private_files
from credhelper.local.settings import Settings
from tests.agent.world import World, failing


def marker(world: World) -> Path:
    return places.locked_marker(world.state)


@pytest.mark.parametrize("door", list(Door))
@pytest.mark.parametrize("is_standing", [False, True])
async def test_a_locked_daemon_hands_out_nothing_through_any_door(world: World, door: Door, is_standing: bool) -> None:
    world.log_in()
    await world.get()
    await world.agent.lock.lock()
    wanted = Wanted(world.fields(), door=door, is_standing=is_standing)
    with pytest.raises(Locked) as caught:
        world.agent.hand_out_at_once(wanted)
    assert (caught.value.status, caught.value.code, caught.value.hint) == (5, "locked", "credhelper unlock")
    await failing(world.agent.hand_out(wanted), Locked)
    await world.agent.lock.unlock()
    assert world.agent.hand_out_at_once(wanted) is not None


async def test_what_is_being_fetched_when_it_is_locked_is_not_handed_out(world: World) -> None:
    world.log_in()
    world.sandbox.hold("GetRoleCredentials")
    asking = asyncio.ensure_future(world.get())
    await world.held("GetRoleCredentials")
    await world.agent.lock.lock()
    world.sandbox.release()
    await failing(asking, Locked)


async def test_a_lock_outlives_the_daemon(world: World) -> None:
    world.log_in()
    await world.agent.lock.lock()
    await world.agent.stop()
    world.agent = world.new_agent()
    assert world.agent.status(world.everything())["status"]["daemon"]["locked"] is True
    await failing(world.get(), Locked)
    await world.agent.lock.unlock()
    assert not marker(world).exists()
    await world.agent.stop()
    world.agent = world.new_agent()
    assert (await world.get())["Version"] == 1
    assert world.agent.status(world.everything())["status"]["daemon"]["locked"] is False


async def test_both_say_what_they_did_and_can_be_repeated(world: World) -> None:
    since = "2026-06-01T09:00:00Z"
    assert await world.agent.lock.lock() == {"locked": True, "since": since, "changed": True}
    world.clock.advance(minutes=5)
    assert await world.agent.lock.lock() == {"locked": True, "since": since, "changed": False}
    assert marker(world).stat().st_mode & 0o777 == 0o600
    assert await world.agent.lock.unlock() == {"locked": False, "since": None, "changed": True}
    assert await world.agent.lock.unlock() == {"locked": False, "since": None, "changed": False}


async def test_what_is_said_last_holds(world: World) -> None:
    lock = world.agent.lock
    await asyncio.gather(lock.lock(), lock.unlock(), lock.lock(), lock.unlock())
    assert lock.document()["locked"] is False
    assert not marker(world).exists()
    await asyncio.gather(lock.lock(), lock.unlock(), lock.unlock(), lock.lock())
    assert lock.is_locked
    assert marker(world).exists()


async def test_a_lock_is_heard_by_every_daemon_of_the_home_and_an_unlock_only_by_the_one_that_is_asked(
    world: World,
) -> None:
    other = world.new_agent()

    async def hear() -> None:
        other.files_have_changed(frozenset({marker(world)}), frozenset())
        await world.settled()

    await world.agent.lock.lock()
    await hear()
    assert other.lock.document()["locked"]
    await world.agent.lock.unlock()
    await hear()
    assert other.lock.document()["locked"]
    assert (await other.lock.unlock())["changed"]
    assert not other.lock.document()["locked"]
    await other.stop()


async def test_a_lock_that_cannot_be_written_down_holds_for_this_daemon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", full)
        told = await failing(world.agent.lock.lock(), CredhelperError)
    assert told.startswith("credhelper is locked only until this daemon ends: ")
    assert told.endswith("No space left on device")
    assert world.agent.lock.is_locked


async def test_a_marker_that_cannot_be_removed_keeps_it_locked(world: World) -> None:
    await world.agent.lock.lock()
    marker(world).unlink()
    marker(world).mkdir()
    told = await failing(world.agent.lock.unlock(), CredhelperError)
    assert told.startswith("credhelper is locked still: ")
    assert world.agent.lock.is_locked


async def test_a_lock_at_suspend_is_for_those_who_want_it(world: World) -> None:
    world.agent.about_to_sleep()
    await world.settled()
    assert world.agent.lock.document()["locked"] is False
    for act in world.agent.settings.on_change:
        act(Settings(lock_at_suspend=True))
    world.agent.about_to_sleep()
    await world.settled()
    assert world.agent.lock.is_locked
    assert marker(world).exists()


async def test_every_operation_goes_on_or_is_refused(world: World) -> None:
    """A new operation that nobody has thought of is refused while it is locked."""
    door = UnixSocket(world.agent, lambda: None)
    LeaseSockets(world.agent, door)
    assert set(door.operations) >= ALLOWED
    await world.agent.lock.lock()
    for op in set(door.operations) - ALLOWED - GATED | {"something new"}:
        with pytest.raises(Locked):
            world.agent.lock.check_operation(op)
    for op in ALLOWED:
        world.agent.lock.check_operation(op)


async def test_a_logout_is_possible_and_leaves_it_locked(world: World) -> None:
    world.log_in()
    await world.agent.lock.lock()
    receipt = await world.agent.logout(world.everything())
    assert [session["token"] for session in receipt["sessions"]] == ["deleted"], json.dumps(receipt)
    assert world.agent.lock.is_locked
