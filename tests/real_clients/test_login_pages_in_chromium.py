"""A login of credhelper in a real browser: the pages a person meets, and what the terminal says at the end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine

from .browser import Browser

pytestmark = pytest.mark.real_client


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(lifetimes=Lifetimes(interval=1)) as running:
        yield running


@contextmanager
def logging_in(machine: Machine, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """`credhelper login` as a person starts it who opens the address by hand."""
    login = machine.start("login", "--profile", "dev", "--no-browser", *flags)
    try:
        yield login
    finally:
        login.kill()
        login.communicate()


def printed(login: subprocess.Popen[str]) -> str:
    """The next line on its standard output."""
    assert login.stdout is not None
    return login.stdout.readline().rstrip("\n")


def sign_in(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.fill(name="alice", password="correct-horse")
    browser.press("Sign in")


def test_allowing_ends_on_a_page_that_can_be_closed(
    chromium: Browser, machine: Machine, sandbox: Sandbox, tmp_path: Path
) -> None:
    with logging_in(machine) as login:
        sign_in(chromium, printed(login))
        chromium.press("Allow")

        chromium.screenshot(tmp_path / "logged-in.png")
        assert chromium.title == "You are logged in · credhelper"
        assert "You may close this tab" in chromium.text
        assert chromium.url.startswith("http://127.0.0.1:")
        out, err = login.communicate(timeout=SECONDS)
        assert (login.returncode, out) == (0, f"Successfully logged into Start URL: {sandbox.start_url}\n"), err
    assert machine.run("get", "--profile", "dev").status == 0


def test_denying_is_said_in_the_browser_and_in_the_terminal(
    chromium: Browser, machine: Machine, tmp_path: Path
) -> None:
    with logging_in(machine) as login:
        sign_in(chromium, printed(login))
        chromium.press("Deny")

        chromium.screenshot(tmp_path / "denied.png")
        assert chromium.title == "Access was denied · credhelper"
        assert "Nothing was granted" in chromium.text
        out, err = login.communicate(timeout=SECONDS)
        assert (login.returncode, out) == (5, "")
        assert "credhelper: error: the login to session “corp” was denied in the browser\n" in err
    assert machine.run("get", "--profile", "dev").status == 3


def test_an_answer_of_another_login_is_turned_away_and_the_login_goes_on(
    chromium: Browser, machine: Machine, tmp_path: Path
) -> None:
    with logging_in(machine) as login:
        url = printed(login)
        redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        for answer in ("code=stolen&state=wrong", "error=access_denied&state=wrong", "code=stolen", ""):
            chromium.open(f"{redirect}?{answer}")
            assert chromium.title == "Not this login · credhelper"
        chromium.screenshot(tmp_path / "not-this-login.png")
        chromium.open(redirect.replace("127.0.0.1", "localhost") + "?code=stolen&state=wrong")
        assert chromium.title == "Not here · credhelper"
        assert login.poll() is None

        sign_in(chromium, url)
        chromium.press("Allow")
        assert chromium.title == "You are logged in · credhelper"
        login.communicate(timeout=SECONDS)
        assert login.returncode == 0


def test_a_code_that_the_service_refuses_is_a_failure_in_both_places(
    chromium: Browser, machine: Machine, tmp_path: Path
) -> None:
    with logging_in(machine) as login:
        query = parse_qs(urlsplit(printed(login)).query)
        chromium.open(f"{query['redirect_uri'][0]}?code=made-up&state={query['state'][0]}")

        chromium.screenshot(tmp_path / "failed.png")
        assert chromium.title == "The login failed · credhelper"
        out, err = login.communicate(timeout=SECONDS)
        assert (login.returncode, out) == (6, "")
        assert "InvalidGrantException" in err


@pytest.mark.parametrize("decision", ["Allow", "Deny"])
def test_a_device_code_is_the_same_in_the_browser_and_in_the_terminal(
    chromium: Browser, machine: Machine, sandbox: Sandbox, decision: str
) -> None:
    with logging_in(machine, "--use-device-code") as login:
        assert printed(login) == f"{sandbox.url}/device"
        code = printed(login)
        sign_in(chromium, f"{sandbox.url}/device?user_code={code}")
        assert code in chromium.text
        chromium.press(decision)

        _, err = login.communicate(timeout=SECONDS)
        assert login.returncode == {"Allow": 0, "Deny": 5}[decision], err
        assert f"{sandbox.url}/device?user_code={code}\n" in err, "the address with the code filled in"
