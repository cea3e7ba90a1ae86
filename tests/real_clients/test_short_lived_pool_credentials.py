"""Credentials of an identity pool that live for 90 seconds: moto's, which checks nothing and names no role."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from credhelper.sandbox.server import Sandbox
from tests.program.support import ask, until

from .desk import QUIET, Desk
from .moto import LIFE, REGION, Moto
from .pool_scene import WHO_BY_BOTO3

pytestmark = pytest.mark.real_client


@pytest.fixture
def desk(moto: Moto) -> Iterator[Desk]:
    """With the profile kiosk."""
    keys = f"region = {REGION}\ncredhelper_identity_pool_id = {moto.pool()}\ncredhelper_guest = true\n"
    with Sandbox() as sandbox, Desk(sandbox, f"[profile kiosk]\n{keys}") as desk:
        desk.environment |= moto.environment()
        line = desk.run("configure", "command", "--profile=kiosk").out
        desk.write_config(desk.config.read_text() + f"credential_process = {line}")
        assert desk.run("daemon", "start").status == 0
        yield desk


def end_of(desk: Desk) -> datetime:
    """When what the daemon gives now will end."""
    answer = ask(desk, "get", profile="kiosk")
    assert answer["status"] == "0", answer
    return datetime.fromisoformat(json.loads(answer["out"])["Expiration"])


def test_they_are_served_while_they_live_and_renewed_before_they_end(desk: Desk) -> None:
    first = end_of(desk)
    assert 60 < (first - datetime.now(UTC)).total_seconds() <= LIFE
    until(lambda: end_of(desk) != first, "there are newer ones")
    assert datetime.now(UTC) < first, "they had ended"
    assert end_of(desk) > first


def test_asking_again_and_again_does_not_ask_cognito_each_time(desk: Desk, moto: Moto) -> None:
    """SDKs ask at each call for what has less than 15 minutes left."""
    assert end_of(desk)
    before = moto.requests()
    for _ in range(5):
        done = desk.run_program([sys.executable, "-c", WHO_BY_BOTO3, "kiosk"], **QUIET)
        assert done.status == 0, done.err
    by_boto3 = 5
    assert moto.requests() - before - by_boto3 <= 2
