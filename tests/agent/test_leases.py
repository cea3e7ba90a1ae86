"""Leases: who gets one, what they lead to, and what ends them."""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper import client
from credhelper.agent.agent import Agent
from credhelper.agent.gate import Outcome, Passage, Wanted
from credhelper.agent.openings import Opening
from credhelper.domain.errors import (
    AccessRefused,
    ConfigError,
    CredhelperError,
    LoginRequired,
    PolicyRefused,
    RoleNotAssigned,
    UsageError,
)
from credhelper.domain.model import Door
from credhelper.endpoints import lease_socket, unix_socket
from credhelper.endpoints.lease_socket import LeaseSockets
from credhelper.endpoints.unix_socket import UnixSocket
from credhelper.local import namespaces
from credhelper.sandbox.server import Sandbox
from tests.agent.world import World, failing, until

Json = dict[str, Any]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the user's own whose path is short."""
    with tempfile.TemporaryDirectory(prefix="ch-") as directory:
        yield Path(directory)


@pytest.fixture
async def agent(world: World, place: Path) -> Agent:
    """The world's, logged in, whose socket would lie in ``place``."""
    world.log_in()
    world.agent.introduce(str(place / "credhelper.sock"))
    return world.agent


async def create(world: World, **fields: str) -> Json:
    return await world.agent.leases.create(Wanted(world.fields(**fields), door=Door.LEASE))


def files(place: Path) -> list[str]:
    return sorted(os.listdir(place))


async def restarted(world: World, place: Path, *, killed: bool = False) -> Agent:
    """The next daemon of the same home; of one that was killed, everything lies about."""
    if not killed:
        await world.agent.leases.stop()
    world.agent = world.new_agent()
    world.agent.introduce(str(place / "credhelper.sock"))
    await world.agent.openings.load()
    await world.agent.leases.begin()
    return world.agent


# -- making ---------------------------------------------------------------------------------------------------------


async def test_a_lease_is_a_socket_beside_the_daemons_own(world: World, agent: Agent, place: Path) -> None:
    made = await create(world, ttl="1800")
    path = place / f"lease-{made['id']}.sock"
    ends = (world.clock.now() + timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert made == {"id": made["id"], "profile": "dev", "expires_at": ends, "socket": str(path), "label": "dev"}
    assert path.is_socket()
    assert agent.status(world.everything())["status"]["leases"] == [
        {"id": made["id"], "profile": "dev", "expires_at": ends}
    ]


async def test_without_a_time_it_has_no_end_of_its_own(world: World, agent: Agent) -> None:
    assert (await create(world))["expires_at"] is None
    await world.live(days=3)
    assert len(agent.leases.all()) == 1


async def test_a_token_file_opens_the_endpoint_over_http(world: World, agent: Agent, place: Path) -> None:
    made = await create(world, token_file=str(place / "token"))
    (lease,) = agent.leases.all()
    assert lease.token_hash == hashlib.sha256((place / "token").read_bytes()).hexdigest()
    assert made["token_file"] == str(place / "token")
    assert made["uri"] == agent.openings.uri(lease)
    assert "socket" not in made
    assert lease.socket is None


async def test_a_role_without_a_profile_can_be_leased(world: World, agent: Agent) -> None:
    fields = world.everything() | {"sso_session": "corp", "account_id": "111122223333", "role_name": "ReadOnly"}
    made = await agent.leases.create(Wanted(fields, door=Door.LEASE))
    assert (made["profile"], made["label"]) == (None, "111122223333 ReadOnly")


@pytest.mark.parametrize(
    "fields",
    [
        {"socket": "relative"},
        {"token_file": "relative"},
        {"socket": "/a", "token_file": "/b"},
        {"token_file": "/b", "uid": "0"},
        {"uid": "root"},
        {"uid": "-1"},
        {"uid": "1,,2"},
        {"uid": str(2**32 - 1)},
        {"uid": "¹"},
        {"ttl": "0"},
        {"ttl": "-5"},
        {"ttl": "5m"},
        {"ttl": "99999999"},
        {"ttl": "9" * 400},
    ],
    ids=str,
)
@pytest.mark.usefixtures("agent")
async def test_what_makes_no_sense_makes_no_lease(world: World, place: Path, fields: dict[str, str]) -> None:
    await failing(create(world, **fields), UsageError)
    assert world.agent.leases.all() == []
    assert files(place) == []


async def test_it_takes_what_a_get_takes(world: World, agent: Agent, place: Path) -> None:
    await failing(create(world, profile="no-such-profile"), ConfigError)
    world.write_config(world.config.read_text().replace("ReadOnly", "Billing"))
    await failing(create(world, profile="readonly"), RoleNotAssigned)
    await failing(create(world, profile="legacy"), LoginRequired)
    assert agent.leases.all() == []
    assert files(place) == []


async def test_a_rule_of_the_users_own_is_asked_when_it_is_made_and_not_each_time(
    world: World, agent: Agent, place: Path
) -> None:
    asked: list[tuple[Door, bool]] = []

    def refuse(passage: Passage) -> None:
        asked.append((passage.wanted.door, passage.wanted.is_standing))
        if not passage.wanted.is_standing:
            raise PolicyRefused("rule no-leases says no")

    agent.gate.checks.append(refuse)
    assert "no-leases" in await failing(create(world, token_file=str(place / "token")), PolicyRefused)
    assert asked == [(Door.LEASE, False)]
    assert files(place) == []
    agent.gate.checks.remove(refuse)
    await create(world)
    agent.gate.checks.append(refuse)
    (lease,) = agent.leases.all()
    await agent.hand_out(lease.wanted(Door.LEASE))
    assert set(asked[1:]) == {(Door.LEASE, True)}


async def test_each_use_is_told_to_whoever_keeps_record(world: World, agent: Agent) -> None:
    told: list[Outcome] = []
    agent.gate.on_outcome.append(told.append)
    await create(world)
    (lease,) = agent.leases.all()
    assert agent.hand_out_at_once(lease.wanted(Door.LEASE)) is not None
    assert [(each.passage.wanted.door, each.passage.profile, each.outcome) for each in told] == [
        (Door.LEASE, "dev", "ok")
    ] * 2


async def test_a_user_whom_the_kernel_cannot_tell_from_others_is_never_let_in(
    world: World, agent: Agent, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "can_tell", lambda uid: uid == 1000)
    await create(world, uid="1000")
    said = await failing(create(world, uid="1000,0"), AccessRefused)
    assert "PrivateUsers=" in said
    assert "uid 0" in said
    assert len(files(place)) == 1
    assert agent.leases.all()[0].uids == {1000}


async def test_there_is_a_limit(world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credhelper.agent.leases.MOST", 2)
    await create(world)
    await create(world)
    assert "2 leases already" in await failing(create(world), CredhelperError)
    assert len(agent.leases.all()) == 2


async def test_one_that_is_crowded_turns_away_who_comes_and_no_other_does(
    world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_socket, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(unix_socket, "FIRST_BYTE", 60.0)
    door = UnixSocket(agent, lambda: None)
    sockets = LeaseSockets(agent, door)
    crowded, other = (await create(world))["socket"], (await create(world))["socket"]
    waiting = [await asyncio.open_unix_connection(crowded) for _ in range(2)]
    await until(lambda: len(door.connections) == 2)
    assert await answer(crowded) == b""
    assert b"AccountId" in await answer(other)
    assert agent.counts.dropped == Counter(crowded=1)
    for _, writer in waiting:
        await close(writer)
    await until(lambda: not door.connections)
    assert b"AccountId" in await answer(crowded)
    sockets.stop()


async def answer(path: str) -> bytes:
    """What comes back to a ``get``."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(client.frame({b"v": client.PROTOCOL, b"op": b"get", b"HOME": b"/", b"cwd": b"/"}))
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_caller_that_leaves_in_the_middle_leaves_no_lease(
    world: World, agent: Agent, place: Path, sandbox: Sandbox
) -> None:
    with sandbox.hold("GetRoleCredentials") as hold:
        creating = asyncio.ensure_future(create(world))
        await world.held("GetRoleCredentials")
        creating.cancel()
        await asyncio.wait([creating])
        hold.release()
    await world.settled()
    assert agent.leases.all() == []
    assert files(place) == []


async def test_their_number_is_told_with_the_metrics(world: World, agent: Agent) -> None:
    assert (await agent.health.vitals()).leases == 0
    await create(world)
    assert (await agent.health.vitals()).leases == 1


# -- the end --------------------------------------------------------------------------------------------------------


async def test_it_ends_by_itself_at_its_time(world: World, agent: Agent, place: Path) -> None:
    await create(world, ttl="1800")
    await create(world, ttl="1800", token_file=str(place / "token"))
    await world.live(minutes=29, seconds=59)
    assert len(agent.leases.all()) == len(files(place)) == 2
    await world.live(seconds=2)
    assert agent.leases.all() == []
    await agent.leases.settled()
    assert files(place) == []


async def test_it_ends_when_it_is_revoked(world: World, agent: Agent, place: Path) -> None:
    made, other = await create(world), await create(world)
    assert await agent.leases.revoke({"id": made["id"]}) == {"revoked": True}
    assert files(place) == [f"lease-{other['id']}.sock"]
    for unknown in (made["id"], "", "../x"):
        assert "there is no lease" in await failing(agent.leases.revoke({"id": unknown}), UsageError)


async def test_it_ends_for_good_at_a_logout_of_its_session(world: World, agent: Agent, place: Path) -> None:
    world.log_in(world.legacy)
    await create(world)
    await create(world, token_file=str(place / "token"))
    kept = await create(world, profile="legacy")
    await agent.logout(world.everything() | {"sso_session": "corp"})
    assert files(place) == [f"lease-{kept['id']}.sock"]
    world.log_in()
    assert [lease.id for lease in agent.leases.all()] == [kept["id"]]
    await agent.logout(world.everything())
    assert agent.leases.all() == []
    assert files(place) == []


async def test_a_logout_while_it_is_being_made_is_not_missed(
    world: World, agent: Agent, place: Path, sandbox: Sandbox
) -> None:
    with sandbox.hold("GetRoleCredentials") as hold:
        creating = asyncio.ensure_future(create(world))
        await world.held("GetRoleCredentials")
        leaving = asyncio.ensure_future(agent.logout(world.everything()))
        await asyncio.sleep(0)
        hold.release()
        with pytest.raises(CredhelperError):
            await creating
        await leaving
    assert agent.leases.all() == []
    assert files(place) == []


# -- what it leads to -----------------------------------------------------------------------------------------------


async def test_it_leads_to_the_role_it_was_made_for_whatever_its_profile_says_later(world: World, agent: Agent) -> None:
    await create(world)
    (lease,) = agent.leases.all()
    world.write_config(world.config.read_text().replace("Developer", "Administrator"))
    await failing(agent.hand_out(lease.wanted(Door.LEASE)), AccessRefused)


# -- a restart of the daemon ----------------------------------------------------------------------------------------


async def test_a_restart_of_the_daemon_loses_none(world: World, agent: Agent, place: Path) -> None:
    made = await create(world, ttl="7200")
    token = await create(world, token_file=str(place / "token"))
    secret = (place / "token").read_bytes()
    listening: list[Opening] = []

    async def note(lease: Opening, _: socket.socket) -> None:
        listening.append(lease)

    await agent.leases.stop()
    assert files(place) == ["token"]
    world.agent = after = world.new_agent()
    after.leases.on_listening = note
    await after.openings.load()
    await after.leases.begin()
    assert [lease.id for lease in listening] == [made["id"]]
    assert [lease["id"] for lease in (await after.leases.listed({}))["leases"]] == [made["id"], token["id"]]
    assert (place / f"lease-{made['id']}.sock").is_socket()
    found = after.openings.by_token(secret)
    assert found is not None
    assert found.id == token["id"]


@pytest.mark.usefixtures("agent")
async def test_a_daemon_that_was_killed_leaves_nothing_of_those_that_end(world: World, place: Path) -> None:
    lasting = await create(world)
    await create(world, ttl="60")
    await create(world, ttl="60", token_file=str(place / "token"))
    world.clock.advance(minutes=2)
    before = world.agent
    for own in before.leases._places.sockets.values():  # what the kernel does to a process that has ended
        own.listener.close()
    before.leases._places.sockets.clear()
    after = await restarted(world, place, killed=True)
    await after.leases.settled()
    assert files(place) == [f"lease-{lasting['id']}.sock"]
    assert [lease.id for lease in after.leases.all()] == [lasting["id"]]


@pytest.mark.usefixtures("agent")
async def test_a_place_that_is_taken_at_a_restart_is_told_and_costs_nobody_else_anything(
    world: World, place: Path
) -> None:
    made, other = await create(world), await create(world)
    taken = place / f"lease-{made['id']}.sock"
    await world.agent.leases.stop()
    taken.write_text("mine")
    after = await restarted(world, place)
    assert taken.read_text() == "mine"
    assert f"lease-{other['id']}.sock" in files(place)
    assert "a lease cannot be reached" in json.dumps(await after.health.document())
    await after.leases.revoke({"id": made["id"]})
    assert taken.read_text() == "mine"
    assert "a lease cannot be reached" not in json.dumps(await after.health.document())
