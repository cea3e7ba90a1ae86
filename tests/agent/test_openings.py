"""What is opened for somebody to come through later: leads to one role, ends when it should, outlives a restart."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper.agent.agent import Agent
from credhelper.agent.openings import LOOK_AT_OWNERS, MOST, Kind, Opening, Openings, hash_of, new_id, new_token
from credhelper.domain.errors import AccessRefused, CredhelperError, LoginRequired
from credhelper.domain.model import Door
from credhelper.local import places, private_files
from credhelper.local.peers import Caller
from credhelper.local.process_ends import Process, started_at, this_process
from tests.agent.world import ACCOUNT, World, failing, until

SECONDS = 60


@pytest.fixture
def program() -> "Iterator[subprocess.Popen[bytes]]":
    """Ends when its stdin does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process


def end(program: "subprocess.Popen[bytes]") -> None:
    assert program.stdin is not None
    program.stdin.close()
    program.wait(SECONDS)


def identity(program: "subprocess.Popen[bytes]") -> Process:
    started = started_at(program.pid)
    assert started is not None
    return program.pid, started


def opening(world: World, token: str | None = None, **changes: Any) -> Opening:
    """For profile dev, as ``exec`` has it."""
    made = Opening(
        id=new_id(),
        kind=Kind.EXEC,
        fields=world.fields(),
        profile="dev",
        session_key="corp",
        account_id=ACCOUNT,
        role_name="Developer",
        caller=Caller(1000, 4711, "/usr/bin/make", "/home/me", "make"),
        opened_at=world.clock.now(),
        token_hash=None if token is None else hash_of(token.encode()),
    )
    return replace(made, **changes)


def file_of(world: World) -> Path:
    return places.open_doors(world.state, world.state)


async def restarted(world: World) -> Agent:
    """The next daemon of the same home."""
    await world.agent.stop()
    world.agent = world.new_agent()
    await world.agent.openings.load()
    return world.agent


def ids(openings: Openings) -> list[str]:
    return [each.id for each in openings.all()]


# -- open and closed --------------------------------------------------------------------------------------------------


async def test_a_token_opens_what_it_was_made_for_and_nothing_else(world: World) -> None:
    openings, tokens = world.agent.openings, [new_token() for _ in range(3)]
    opened = [opening(world, token) for token in tokens]
    for each in opened:
        await openings.open(each)
    await openings.open(opening(world))
    assert [openings.by_token(token.encode()) for token in tokens] == opened
    for wrong in (b"", b"x", tokens[0][:-1].encode(), tokens[0].encode() + b"\n", hash_of(tokens[0].encode()).encode()):
        assert openings.by_token(wrong) is None


async def test_what_is_closed_opens_nothing(world: World) -> None:
    openings, token = world.agent.openings, new_token()
    opened = opening(world, token)
    closed: list[Opening] = []
    openings.on_closed.append(closed.append)
    await openings.open(opened)
    assert await openings.close(opened.id)
    assert closed == [opened]
    assert openings.by_token(token.encode()) is None
    assert openings.get(opened.id) is None
    assert openings.all() == []
    assert not await openings.close(opened.id)
    assert closed == [opened]


async def test_a_part_that_cannot_serve_it_prevents_it(world: World) -> None:
    def refuse(_: Opening) -> None:
        raise CredhelperError("no port can be had")

    openings = world.agent.openings
    closed: list[Opening] = []
    openings.on_opened.append(refuse)
    openings.on_closed.append(closed.append)
    with pytest.raises(CredhelperError, match="no port can be had"):
        await openings.open(opening(world))
    assert openings.all() == []
    assert len(closed) == 1, "whoever has begun to serve it is told"
    assert not file_of(world).exists()


async def test_there_are_not_any_number_of_them(world: World) -> None:
    openings = world.agent.openings
    for _ in range(MOST):
        openings._take(opening(world))
    with pytest.raises(CredhelperError, match=f"there are {MOST}"):
        await openings.open(opening(world))


# -- its end ----------------------------------------------------------------------------------------------------------


async def test_it_ends_when_it_expires(world: World) -> None:
    openings, token = world.agent.openings, new_token()
    await openings.open(opening(world, token, expires_at=world.clock.now() + timedelta(minutes=30)))
    await openings.open(opening(world))
    await world.live(minutes=29, seconds=59)
    assert openings.by_token(token.encode()) is not None
    assert openings.run_due() == pytest.approx(1)
    world.clock.advance(seconds=1)
    assert openings.by_token(token.encode()) is None, "at once, whoever has cleared it away"
    assert len(openings.all()) == 1
    await world.live(seconds=1)
    assert len(json.loads(file_of(world).read_bytes())["openings"]) == 1
    assert openings.run_due() is None


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=1)])
async def test_nobody_makes_it_last_longer_by_setting_the_clock(world: World, jump: timedelta) -> None:
    await world.agent.openings.open(opening(world, expires_at=world.clock.now() + timedelta(minutes=30)))
    world.clock.jump(seconds=jump.total_seconds())
    world.clock.advance(minutes=30)
    assert world.agent.openings.all() == []


async def test_it_expires_in_a_suspend_too(world: World) -> None:
    await world.agent.openings.open(opening(world, expires_at=world.clock.now() + timedelta(minutes=30)))
    world.clock.suspend(hours=1)
    assert world.agent.openings.all() == []


async def test_it_ends_with_its_program(world: World, program: "subprocess.Popen[bytes]") -> None:
    openings, token, noticed = world.agent.openings, new_token(), []
    openings.on_attention = lambda: noticed.append(True)
    await openings.open(opening(world, token, owner=identity(program)))
    await openings.open(opening(world, owner=this_process()))
    assert openings.run_due() is None, "nobody looks while the kernel tells"
    noticed.clear()
    end(program)
    await until(lambda: bool(noticed))
    openings.run_due()
    assert openings.by_token(token.encode()) is None
    assert len(openings.all()) == 1
    openings.on_attention = lambda: None


async def test_two_for_one_program_end_together(world: World, program: "subprocess.Popen[bytes]") -> None:
    openings, owner = world.agent.openings, identity(program)
    first, second = opening(world, owner=owner), opening(world, owner=owner)
    await openings.open(first)
    await openings.open(second)
    await openings.close(first.id)
    end(program)
    await until(lambda: openings.run_due() is None and not openings.all())


async def test_where_the_kernel_does_not_tell_somebody_looks(
    world: World, program: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    await world.agent.openings.open(opening(world, owner=identity(program)))
    assert world.agent.openings.run_due() == LOOK_AT_OWNERS
    end(program)
    await world.live(seconds=LOOK_AT_OWNERS)
    assert world.agent.openings.all() == []
    assert world.agent.openings.run_due() is None, "and no longer than there is something to look at"


async def test_for_a_program_that_has_ended_nothing_is_opened(world: World, program: "subprocess.Popen[bytes]") -> None:
    owner = identity(program)
    end(program)
    with pytest.raises(CredhelperError, match="has ended"):
        await world.agent.openings.open(opening(world, owner=owner))
    with pytest.raises(CredhelperError, match="has ended"):  # its number is another's by now
        await world.agent.openings.open(opening(world, owner=(os.getpid(), 1)))
    assert world.agent.openings.all() == []


@pytest.mark.parametrize(("chosen", "left"), [({"profile": "dev"}, ["legacy"]), ({}, [])])
async def test_a_logout_ends_those_of_its_session(world: World, chosen: dict[str, str], left: list[str]) -> None:
    world.log_in()
    await world.agent.openings.open(opening(world))
    await world.agent.openings.open(
        opening(world, fields=world.fields("legacy"), profile="legacy", session_key=world.legacy.cache_key)
    )
    await world.agent.logout(world.everything() | chosen)
    assert [each.profile for each in world.agent.openings.all()] == left
    agent = await restarted(world)
    assert [each.profile for each in agent.openings.all()] == left, "for good"


async def test_a_logout_elsewhere_ends_them_too(world: World) -> None:
    world.log_in()
    await world.get()
    await world.agent.openings.open(opening(world))
    path = world.token_path()
    path.unlink()
    world.agent.files_have_changed(frozenset({path}), frozenset())
    await world.settled()
    world.log_in()
    assert world.agent.openings.all() == []
    assert (await restarted(world)).openings.all() == []


async def test_a_token_file_that_cannot_be_read_is_no_logout(world: World) -> None:
    world.log_in()
    await world.get()
    opened = opening(world)
    await world.agent.openings.open(opened)
    path = world.token_path()
    path.unlink()
    path.symlink_to(world.config)
    world.agent.files_have_changed(frozenset({path}), frozenset())
    world.clock.advance(minutes=1)
    await failing(world.get(), LoginRequired)
    await world.settled()
    assert world.agent.openings.all() == [opened]


async def test_what_is_closed_while_its_answer_is_fetched_gets_none(world: World) -> None:
    world.log_in()
    opened = opening(world)
    await world.agent.openings.open(opened)
    world.sandbox.hold("GetRoleCredentials")
    asking = asyncio.ensure_future(world.agent.hand_out(opened.wanted(Door.CONTAINER)))
    await world.held("GetRoleCredentials")
    await world.agent.openings.close(opened.id)
    world.sandbox.release()
    await failing(asking, AccessRefused)


async def test_a_later_login_does_not_answer_whoever_was_logged_out(world: World) -> None:
    world.log_in()
    opened = opening(world)
    await world.agent.openings.open(opened)
    world.sandbox.hold("GetRoleCredentials")
    asking = asyncio.ensure_future(world.agent.hand_out(opened.wanted(Door.CONTAINER)))
    await world.held("GetRoleCredentials")
    await world.agent.logout(world.everything())
    world.log_in()
    world.sandbox.release()
    await failing(asking, AccessRefused)


# -- a restart --------------------------------------------------------------------------------------------------------


async def test_it_outlives_the_daemon_and_its_token_is_written_nowhere(world: World) -> None:
    token = new_token()
    opened = opening(
        world,
        token,
        kind=Kind.LEASE,
        fields=world.fields(AWS_CONFIG_FILE="/home/m\udce9/config", mfa_code="123456", min_ttl="60"),
        expires_at=world.clock.now() + timedelta(hours=1),
        token_file=Path("/run/a token"),
        socket=Path("/run/a socket"),
        uids=frozenset({0, 1001}),
        owner=this_process(),
    )
    await world.agent.openings.open(opened)
    written = file_of(world).read_bytes()
    assert token.encode() not in written
    assert b"123456" not in written
    assert file_of(world).stat().st_mode & 0o777 == 0o600
    agent = await restarted(world)
    assert agent.openings.all() == [opened]
    assert agent.openings.by_token(token.encode()) == opened
    assert opened.fields["AWS_CONFIG_FILE"] == "/home/m\udce9/config"


async def test_once_it_is_open_it_is_in_the_file(world: World) -> None:
    """Whatever happens to the daemon then."""
    opened = [opening(world) for _ in range(5)]
    for each in opened:
        await world.agent.openings.open(each)
        next_one = world.new_agent()
        await next_one.openings.load()
        assert each.id in ids(next_one.openings)
        await next_one.stop()


async def test_what_ended_while_no_daemon_ran_is_not_taken_up(world: World, program: "subprocess.Popen[bytes]") -> None:
    stays = opening(world)
    await world.agent.openings.open(stays)
    await world.agent.openings.open(opening(world, expires_at=world.clock.now() + timedelta(minutes=1)))
    await world.agent.openings.open(opening(world, owner=identity(program)))
    await world.agent.stop()
    end(program)
    world.clock.advance(minutes=2)
    world.agent = world.new_agent()
    told: list[Opening] = []
    world.agent.openings.on_opened.append(told.append)
    await world.agent.openings.load()
    assert world.agent.openings.all() == told == [stays]
    await world.live(seconds=1)
    assert len(json.loads(file_of(world).read_bytes())["openings"]) == 1


async def test_after_the_last_one_no_file_is_left(world: World) -> None:
    opened = opening(world)
    await world.agent.openings.open(opened)
    await world.agent.openings.close(opened.id)
    assert not file_of(world).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"format": 2, "port": null, "openings": []}',
        b'{"format": 1, "port": "x", "openings": []}',
        b'{"format": 1, "port": null, "openings": [{}]}',
        b'{"format": 1, "port": null, "openings": 5}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
async def test_a_file_that_makes_no_sense_opens_nothing_and_is_replaced(
    world: World, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    private_files.write(file_of(world), content)
    await world.agent.openings.load()
    assert world.agent.openings.all() == []
    assert "are lost" in caplog.text
    opened = opening(world)
    await world.agent.openings.open(opened)
    assert ids((await restarted(world)).openings) == [opened.id]


async def test_somebody_elses_link_opens_nothing(world: World, tmp_path: Path) -> None:
    await world.agent.openings.open(opening(world))
    target = tmp_path / "elsewhere"
    file_of(world).rename(target)
    file_of(world).symlink_to(target)
    assert (await restarted(world)).openings.all() == []


# -- a disk that takes no more ----------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While the list is not empty, no file can be written."""
    is_full: list[bool] = []
    write = private_files.write

    def failing(path: Path, content: bytes, *, mode: int = 0o600) -> None:
        if is_full:
            raise OSError(28, "No space left on device")
        write(path, content, mode=mode)

    monkeypatch.setattr(private_files, "write", failing)
    return is_full


async def test_what_cannot_be_written_down_is_not_opened_and_spoils_nothing(
    world: World, full_disk: list[bool]
) -> None:
    before = opening(world)
    await world.agent.openings.open(before)
    full_disk.append(True)
    with pytest.raises(CredhelperError, match="cannot be written: No space left on device"):
        await world.agent.openings.open(opening(world))
    assert world.agent.openings.all() == [before]


async def test_on_a_full_disk_what_is_closed_stays_closed(
    world: World, full_disk: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    """Rather none after a restart than one that somebody has closed; and once there is room all others are there."""
    gone, stays = opening(world), opening(world)
    await world.agent.openings.open(gone)
    await world.agent.openings.open(stays)
    full_disk.append(True)
    assert await world.agent.openings.close(gone.id)
    assert not file_of(world).exists()
    assert "No space left on device" in caplog.text
    full_disk.clear()
    await world.live(seconds=31)
    assert ids((await restarted(world)).openings) == [stays.id]


# -- the role it leads to ---------------------------------------------------------------------------------------------


async def test_it_leads_to_the_role_it_was_opened_for_or_nowhere(world: World) -> None:
    world.log_in()
    opened = opening(world)
    await world.agent.openings.open(opened)
    assert (await world.agent.hand_out(opened.wanted(Door.CONTAINER))).credentials
    world.write_config(world.config.read_text().replace("sso_role_name = Developer", "sso_role_name = ReadOnly", 1))
    with pytest.raises(AccessRefused, match=f"opened for the role Developer in {ACCOUNT}, but profile dev is another"):
        await world.agent.hand_out(opened.wanted(Door.CONTAINER))


async def test_who_comes_through_it_is_who_was_looked_at_then(world: World) -> None:
    made = opening(world, fields=world.fields(mfa_code="123456"))
    wanted = made.wanted(Door.LEASE)
    assert wanted.is_standing
    assert (wanted.caller, wanted.door) == (made.caller, Door.LEASE)
    assert wanted.fields == world.fields()
