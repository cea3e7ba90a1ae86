"""Users of a user pool of other people's making log in without a browser: by password, authenticator and command."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.program.support import complaint, until
from tests.terminal import Terminal, in_terminal

from .ministack import Ministack
from .pool_scene import PASSWORD, USER, PoolDesk, PoolScene, totp

pytestmark = pytest.mark.real_client

SHORT = 6
"""Seconds that an ID token lives here, where a refresh is wanted."""


@pytest.fixture(scope="module")
def scene(ministack: Ministack) -> PoolScene:
    """A user pool and an identity pool, set up once."""
    return PoolScene(ministack, "typed")


@pytest.fixture
def desk(ministack: Ministack, scene: PoolScene, request: pytest.FixtureRequest) -> Iterator[PoolDesk]:
    """Nobody has logged in; the method is SRP, or what the test says."""
    method = getattr(request, "param", "srp")
    with Sandbox() as sandbox, PoolDesk(sandbox, ministack, scene, method) as desk:
        yield desk


@contextlib.contextmanager
def logging_in(desk: PoolDesk, name: str, password: str) -> Iterator[Terminal]:
    """A login on a terminal, after name and password."""
    command = [sys.executable, "-Im", "credhelper", "login", "--cognito-login", "notes"]
    with in_terminal(command, desk.environment, Path(desk.home)) as terminal:
        terminal.wait_for("User name")
        terminal.type(f"{name}\n")
        terminal.wait_for("Password of")
        terminal.type(f"{password}\n")
        yield terminal


def test_a_password_logs_in_and_is_not_shown(desk: PoolDesk, scene: PoolScene) -> None:
    with logging_in(desk, USER, PASSWORD) as terminal:
        status, out, err = terminal.finish()
    assert status == 0, err
    assert PASSWORD not in terminal.shown + out + err
    assert desk.identity("user") == scene.identity_of(scene.tokens()["IdToken"])
    assert desk.run("logout", "--cognito-login", "notes", "--json").json()["sessions"][0]["revoked"] is True


def test_a_wrong_password_does_not(desk: PoolDesk) -> None:
    with logging_in(desk, USER, PASSWORD + "!") as terminal:
        status, _, err = terminal.finish()
    assert status == 5, err
    complaint(err, "password")
    assert desk.run("get", "--profile=user").status == 3


def test_an_authenticator_s_code_is_asked_for(desk: PoolDesk, scene: PoolScene) -> None:
    scene.add_user("carol", PASSWORD)
    secret = scene.enrol_totp("carol", PASSWORD)
    with logging_in(desk, "carol", PASSWORD) as terminal:
        terminal.wait_for("ode")
        terminal.type(totp(secret) + "\n")
        status, _, err = terminal.finish()
    assert status == 0, err
    assert desk.run("get", "--profile=user").status == 0


def test_a_first_password_must_be_changed(desk: PoolDesk, scene: PoolScene) -> None:
    scene.add_user("dave", "First-password-1", permanent=False)
    with logging_in(desk, "dave", "First-password-1") as terminal:
        for prompt in ("New password: ", "New password, once more: "):
            terminal.wait_for(prompt)
            terminal.type("Second-password-2\n")
        status, _, err = terminal.finish()
    assert status == 0, err
    assert scene.tokens("dave", "Second-password-2")


def test_without_a_terminal_no_password_is_asked_for(desk: PoolDesk) -> None:
    done = desk.run("login", "--cognito-login", "notes")
    assert done.status == 2, done
    complaint(done.err, "terminal")


def test_a_login_is_refreshed_for_as_long_as_the_user_pool_lets(desk: PoolDesk, scene: PoolScene) -> None:
    scene.set_life(SHORT)
    try:
        with logging_in(desk, USER, PASSWORD) as terminal:
            assert terminal.finish()[0] == 0
        then = time.monotonic() + SHORT
        until(lambda: time.monotonic() > then, "the ID token is old")
        assert desk.run("get", "--profile=user").status == 0, "it was not refreshed"
    finally:
        scene.set_life(3600)


@pytest.mark.parametrize("desk", ["command"], indirect=True)
def test_a_command_s_token_logs_in(desk: PoolDesk, scene: PoolScene) -> None:
    desk.token.write_text(scene.tokens()["IdToken"])
    done = desk.run("login", "--cognito-login", "notes", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["event"] == "logged_in"
    assert desk.identity("user") == scene.identity_of(desk.token.read_text())


@pytest.mark.parametrize("desk", ["command"], indirect=True)
def test_an_access_token_is_refused_as_no_login(desk: PoolDesk, scene: PoolScene) -> None:
    desk.token.write_text(scene.tokens()["AccessToken"])
    done = desk.run("login", "--cognito-login", "notes")
    assert done.status == 6, done
    complaint(done.err, "access token")
