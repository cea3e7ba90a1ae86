"""Each request leaves one record, whatever becomes of it, and none waits for the disk or is refused for its sake."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from credhelper.agent import audit as audit_module
from credhelper.agent.audit import TRY_AGAIN, Audit
from credhelper.agent.gate import Outcome, Passage, Wanted
from credhelper.domain.errors import AccessRefused, ConfigError, LoginRequired
from credhelper.domain.model import Door
from credhelper.local import audit_log, places
from credhelper.local.audit_log import KEYS, Record
from credhelper.local.peers import Caller
from credhelper.local.workers import OneThread
from tests.agent.world import World, failing, until
from tests.clocks import HandClock

T = TypeVar("T")

TERRAFORM = Caller(uid=1000, pid=4711, exe="/usr/bin/terraform", cwd="/src/infra", name="terraform")


async def records(world: World) -> list[Record]:
    """What is in the files once everything has been written."""
    await world.agent.audit.flush()
    return read(world.agent.audit.path)


def read(path: Path) -> list[Record]:
    found = list(audit_log.read(path))
    assert all(isinstance(each, dict) for each in found)
    return [each for each in found if isinstance(each, dict)]


def outcome(name: str) -> Outcome:
    return Outcome(Passage(Wanted({"profile": name})), "ok", is_hit=True, expires_at=None)


async def test_a_request_is_recorded_with_who_asked_for_what_and_when(world: World) -> None:
    world.log_in()
    await world.hand_out(world.fields(), TERRAFORM)
    (record,) = await records(world)
    assert tuple(record) == KEYS
    assert record == {
        "time": world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "door": "get",
        "uid": 1000,
        "pid": 4711,
        "exe": "/usr/bin/terraform",
        "cwd": "/src/infra",
        "profile": "dev",
        "account_id": "111122223333",
        "role_name": "Developer",
        "outcome": "ok",
        "cache_hit": False,
        "expires_at": (await world.get())["Expiration"],
    }


async def test_what_was_in_memory_is_told_from_what_was_fetched(world: World) -> None:
    world.log_in()
    wanted = Wanted(world.fields(), door=Door.EXPORT)
    await world.agent.hand_out(wanted)
    await world.agent.hand_out(wanted)
    assert world.agent.hand_out_at_once(wanted) is not None
    await world.agent.whoami(Wanted(world.fields("readonly"), door=Door.WHOAMI))
    found = [(record["door"], record["outcome"], record["cache_hit"]) for record in await records(world)]
    assert found == [
        ("export", "ok", False),
        ("export", "ok", True),
        ("export", "ok", True),
        ("whoami", "ok", False),
    ]


async def test_a_refusal_is_recorded_once_with_its_reason(world: World) -> None:
    await failing(world.get(), LoginRequired)
    await failing(world.get("no such profile"), ConfigError)
    world.log_in()
    await failing(world.get("no such profile"), ConfigError)
    chosen = world.everything() | {"sso_session": "corp", "account_id": "999988887777", "role_name": "Developer"}
    await failing(world.hand_out(chosen), AccessRefused)
    await failing(world.hand_out(world.everything() | {"AWS_PROFILE": "prod"}), ConfigError)
    found = [
        (record["profile"], record["account_id"], record["role_name"], record["outcome"])
        for record in await records(world)
    ]
    assert found == [
        ("dev", "111122223333", "Developer", "login_required"),
        ("no such profile", None, None, "config"),
        ("no such profile", None, None, "config"),
        (None, "999988887777", "Developer", "role_not_assigned"),
        ("prod", None, None, "config"),
    ]
    assert all(record["expires_at"] is None and not record["cache_hit"] for record in await records(world))


async def test_a_check_that_refuses_is_recorded(world: World) -> None:
    def refuse(_: Passage) -> None:
        raise AccessRefused("not today")

    world.log_in()
    await world.get()
    world.agent.gate.checks.append(refuse)
    await failing(world.get(), AccessRefused)
    assert [record["outcome"] for record in await records(world)] == ["ok", "access_refused"]


async def test_whoever_does_not_wait_for_the_answer_is_recorded(world: World) -> None:
    world.log_in()
    world.sandbox.hold("GetRoleCredentials")
    asking = asyncio.ensure_future(world.get())
    await world.held("GetRoleCredentials")
    asking.cancel()
    await asyncio.wait({asking})
    world.sandbox.release()
    assert [record["outcome"] for record in await records(world)] == ["left"]


async def test_a_fault_of_ours_is_recorded_too(world: World) -> None:
    def fail(_: Passage) -> None:
        raise ZeroDivisionError

    world.log_in()
    world.agent.gate.checks.append(fail)
    await failing(world.get(), ZeroDivisionError)
    assert [record["outcome"] for record in await records(world)] == ["fault"]


async def test_foreign_text_is_made_safe_and_where_nothing_is_known_the_name_and_what_was_sent_count(
    world: World,
) -> None:
    name = "a\n{}\x1b[31m\u202e"
    caller = Caller(uid=1000, pid=7, name="terra\rform")
    await failing(world.hand_out(world.fields(name) | {"cwd": "/tmp/x\ny"}, caller), ConfigError)
    (record,) = await records(world)
    assert (record["exe"], record["cwd"]) == ("terra form", "/tmp/x y")
    assert record["profile"].isprintable()
    assert world.agent.audit.path.read_bytes().count(b"\n") == 1


async def test_no_secret_is_recorded(world: World) -> None:
    token = world.log_in()
    document = await world.get()
    await world.hand_out(world.fields(mfa_code="123456", token_file="/t"), TERRAFORM)
    await records(world)
    text = world.agent.audit.path.read_text()
    secrets = [token.access_token, token.refresh_token, token.client_secret, "123456"]
    secrets += [document["AccessKeyId"], document["SecretAccessKey"], document["SessionToken"]]
    assert not [secret for secret in secrets if secret is not None and secret in text]


async def test_it_is_written_by_itself_within_moments(world: World) -> None:
    world.log_in()
    for _ in range(50):
        await world.get()
    await until(lambda: world.agent.audit.unwritten == 0)
    assert len(read(world.agent.audit.path)) == 50


async def test_what_comes_while_a_write_runs_is_then_written_at_once(clock: HandClock, tmp_path: Path) -> None:
    disk = SlowDisk()
    audit = Audit(tmp_path / "audit.jsonl", clock, disk)
    audit.note(outcome("first"))
    await until(lambda: disk.calls == 1)
    for number in range(200):
        audit.note(outcome(f"later {number}"))
    assert (audit.unwritten, disk.calls) == (201, 1)
    disk.goes_on.set()
    assert (await audit.flush())["unwritten"] == 0
    assert disk.calls == 2
    assert [record["profile"] for record in read(audit.path)] == ["first", *(f"later {n}" for n in range(200))]


async def test_where_it_cannot_be_written_everybody_is_served_and_nothing_is_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.log_in()
    path = world.agent.audit.path
    path.mkdir(parents=True)
    with caplog.at_level(logging.INFO, "credhelper"):
        for profile in ("dev", "readonly", "dev", "dev"):
            await world.get(profile)
            await world.settled()
    told = [each for each in caplog.records if "the audit" in each.getMessage()]
    assert [each.levelname for each in told] == ["WARNING"]
    (trouble,) = (await world.agent.health.document())["troubles"]
    assert "the audit cannot be written: " in trouble
    assert "4 records wait" in trouble
    assert (await world.agent.health.public_document())[1]["troubles"] == ["the audit cannot be written"]
    assert (await world.agent.audit.flush())["unwritten"] == 4

    path.rmdir()
    await world.live(seconds=TRY_AGAIN)
    assert [record["profile"] for record in read(path)] == ["dev", "readonly", "dev", "dev"]
    assert (await world.agent.health.document())["troubles"] == []


async def test_it_is_not_tried_again_and_again(clock: HandClock, tmp_path: Path) -> None:
    disk = SlowDisk()
    disk.goes_on.set()
    audit = Audit(tmp_path / "audit.jsonl", clock, disk)
    audit.path.mkdir()
    for _ in range(20):
        audit.note(outcome("x"))
        await asyncio.sleep(0.001)
    await audit.flush()
    calls = disk.calls
    audit.note(outcome("y"))
    pause = audit.run_due()
    assert pause is not None
    assert TRY_AGAIN - 0.1 < pause <= TRY_AGAIN
    await asyncio.sleep(0.02)
    assert disk.calls == calls
    clock.advance(seconds=TRY_AGAIN)
    audit.run_due()
    await until(lambda: disk.calls == calls + 1)
    await audit.stop()


async def test_what_can_be_kept_no_longer_is_counted(
    clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "MOST_WAITING", 5)
    audit = Audit(tmp_path / "audit.jsonl", clock, OneThread("audit"))
    audit.path.mkdir()
    for number in range(12):
        audit.note(outcome(str(number)))
    answer = await audit.flush()
    assert answer["unwritten"] == 12
    assert "7 of them are lost" in answer["trouble"]
    audit.path.rmdir()
    assert (await audit.flush())["unwritten"] == 0
    audit.note(outcome("after"))
    await audit.stop()
    found = read(audit.path)
    assert [record["profile"] for record in found] == ["0", "1", "2", "3", "4", None, "after"]
    assert (found[5]["outcome"], found[5]["lost"], found[5]["door"]) == ("lost", 7, None)


async def test_a_stop_writes_what_waits(world: World) -> None:
    world.log_in()
    await world.get()
    await world.agent.stop()
    assert len(read(world.agent.audit.path)) == 1


async def test_the_next_daemon_goes_on_behind_what_a_killed_one_has_torn(world: World) -> None:
    world.log_in()
    await world.get()
    await records(world)
    world.agent.audit.path.write_bytes(world.agent.audit.path.read_bytes() + b'{"time":"2026-')
    again = world.new_agent()
    assert again.audit.path == places.audit_log(world.state)
    again.hand_out_at_once(Wanted(world.fields()))
    await again.hand_out(Wanted(world.fields()))
    await again.audit.flush()
    found = list(audit_log.read(again.audit.path))
    assert [each["outcome"] for each in found if isinstance(each, dict)] == ["ok", "ok"]
    assert json.loads(again.audit.path.read_bytes().splitlines()[-1])["outcome"] == "ok"


async def test_a_fault_while_writing_does_not_come_back_for_ever(
    clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = audit_log.append

    def fail(*_: object) -> None:
        monkeypatch.setattr(audit_log, "append", real)
        raise ZeroDivisionError

    monkeypatch.setattr(audit_log, "append", fail)
    audit = Audit(tmp_path / "audit.jsonl", clock, OneThread("audit"))
    audit.note(outcome("x"))
    await audit.flush()
    assert [(record["outcome"], record.get("lost")) for record in read(audit.path)] == [("lost", 1)]


class SlowDisk(OneThread):
    """A thread whose work waits for the test, and counts."""

    def __init__(self) -> None:
        super().__init__("audit")
        self.goes_on = threading.Event()
        self.calls = 0

    async def run(self, seconds: float, work: Callable[[], T], *, lane: str = "") -> T:
        """As its parent's."""
        self.calls += 1

        def waiting() -> T:
            self.goes_on.wait()
            return work()

        return await super().run(seconds, waiting, lane=lane)
