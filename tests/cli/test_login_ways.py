"""By which flow one logs in from where one is, what is opened there, and what else one is told to see to."""

import argparse
from pathlib import Path
from urllib.parse import quote

import pytest

from credhelper.cli import browser, windows_browser
from credhelper.cli.logging_in import login_ways
from credhelper.cli.logging_in.login_ways import Way
from credhelper.domain.errors import UsageError
from credhelper.domain.model import Flow

SSH = {"SSH_CONNECTION": "203.0.113.9 50000 203.0.113.7 22"}
AUTHORIZE = "https://oidc.example/authorize?redirect_uri=" + quote("http://127.0.0.1:8400/oauth/callback", safe="")


@pytest.fixture(autouse=True)
def _outside_of_any_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(browser, "_CONTAINER_MARKERS", ())
    monkeypatch.setattr(windows_browser, "KERNEL", tmp_path / "osrelease")
    monkeypatch.setattr(windows_browser, "SYSTEM", tmp_path / "System32")
    (tmp_path / "osrelease").write_text("6.8.0-generic\n")
    (tmp_path / "bin").mkdir()


def program(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def way(
    env: dict[str, str],
    tmp_path: Path,
    *,
    port: str | None = None,
    use_device_code: bool = False,
    no_browser: bool = False,
) -> Way:
    args = argparse.Namespace(redirect_port=port, use_device_code=use_device_code, no_browser=no_browser)
    return login_ways.choose(args, {"PATH": str(tmp_path / "bin")} | env)


def test_at_a_desk_it_is_by_code_in_the_browser_there(tmp_path: Path) -> None:
    opener = str(program(tmp_path / "bin" / "xdg-open"))
    found = way({"DISPLAY": ":0"}, tmp_path)
    assert found == Way(Flow.AUTHORIZATION_CODE, opener=("xdg-open",)), opener
    assert found.fields == {"flow": "authorization_code"}
    assert way({"DISPLAY": ":0"}, tmp_path, no_browser=True) == Way(Flow.AUTHORIZATION_CODE)


def test_over_ssh_it_is_by_device_and_nothing_is_opened_where_nobody_sits(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "xdg-open")
    found = way(SSH | {"DISPLAY": ":0"}, tmp_path)
    assert found == Way(Flow.DEVICE_CODE, "this is an SSH connection")
    assert found.fields == {"flow": "device_code", "by_itself": "1"}
    assert way(SSH, tmp_path, use_device_code=True).fields == {"flow": "device_code"}


def test_browser_set_wins_over_ssh(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "helper.sh")
    assert way(SSH | {"BROWSER": "helper.sh"}, tmp_path).opener == ("helper.sh",)
    found = way(SSH | {"BROWSER": "missing"}, tmp_path)
    assert found == Way(Flow.DEVICE_CODE, "no browser can be started: BROWSER=missing")


def test_a_port_of_ones_own_is_the_wish_for_a_browser_that_comes_back(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "xdg-open")
    found = way(SSH, tmp_path, port="8400")
    assert found == Way(Flow.AUTHORIZATION_CODE, redirect_port=8400)
    assert found.fields == {"flow": "authorization_code", "redirect_port": "8400"}


@pytest.mark.parametrize(
    "port", ["0", "80", "1023", "65536", "-8400", "8400.0", "", "ٱ", "٨٤٠٠", "999999999999", "a\x1bb"]
)
def test_what_is_no_port_of_a_user_is_refused(tmp_path: Path, port: str) -> None:
    with pytest.raises(UsageError, match="1024 to 65535") as caught:
        way({}, tmp_path, port=port)
    assert "\x1b" not in caught.value.message


def test_a_port_and_a_device_code_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        way({}, tmp_path, port="8400", use_device_code=True)


# -- what one is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (SSH, "  ssh -N -L 8400:127.0.0.1:8400 203.0.113.7"),
        (SSH | {"USER": "alice"}, "  ssh -N -L 8400:127.0.0.1:8400 alice@203.0.113.7"),
        (SSH | {"USER": "a b;c"}, "  ssh -N -L 8400:127.0.0.1:8400 'a b;c@203.0.113.7'"),
        ({"SSH_CONNECTION": "::1 1 2001:db8::7 2222"}, "  ssh -N -L 8400:127.0.0.1:8400 -p 2222 2001:db8::7"),
        ({"SSH_CONNECTION": "$(x) 1 $(x) 22"}, "  ssh -N -L 8400:127.0.0.1:8400 HOST"),
        ({"SSH_CONNECTION": "yes"}, "  ssh -N -L 8400:127.0.0.1:8400 HOST"),
    ],
)
def test_over_ssh_the_exact_command_is_told_that_brings_the_browser_back(env: dict[str, str], line: str) -> None:
    assert login_ways.advice(Way(Flow.AUTHORIZATION_CODE), AUTHORIZE, env)[-1] == line


def test_elsewhere_one_is_told_what_belongs_there() -> None:
    by_code = Way(Flow.AUTHORIZATION_CODE)
    assert login_ways.advice(by_code, AUTHORIZE, {"DISPLAY": ":0"}) == []
    assert login_ways.advice(by_code, "https://oidc.example/authorize", SSH) == []
    [line] = login_ways.advice(by_code, AUTHORIZE, {"container": "podman"})
    assert "127.0.0.1:8400" in line
    [line] = login_ways.advice(Way(Flow.AUTHORIZATION_CODE, opener=("helper.sh",)), AUTHORIZE, {"CODESPACES": "true"})
    assert "--use-device-code" in line
    [line] = login_ways.advice(Way(Flow.AUTHORIZATION_CODE, opener=("/x/wslview",)), AUTHORIZE, {"DISPLAY": ":0"})
    assert "--use-device-code" in line


# -- Windows ----------------------------------------------------------------------------------------------------------


def test_in_wsl_windows_own_browser_is_taken_also_without_a_display(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "xdg-open")
    starter = str(program(tmp_path / "System32" / "rundll32.exe"))
    wsl = {"WSL_DISTRO_NAME": "Ubuntu"}
    expected = (starter, "url.dll,FileProtocolHandler")
    assert way(wsl | {"DISPLAY": ":0"}, tmp_path) == Way(Flow.AUTHORIZATION_CODE, opener=expected)
    assert way(wsl, tmp_path) == Way(Flow.DEVICE_CODE, "there is no display", opener=expected)
    assert way(wsl | SSH, tmp_path).opener is None
    assert way(wsl | {"container": "docker"}, tmp_path).opener is None
    viewer = str(program(tmp_path / "bin" / "wslview"))
    assert way(wsl, tmp_path).opener == (viewer,)
    assert way(wsl | {"BROWSER": "xdg-open"}, tmp_path).opener == ("xdg-open",)


def test_wsl_is_known_by_its_kernel_too(tmp_path: Path) -> None:
    assert not windows_browser.is_wsl({})
    (tmp_path / "osrelease").write_text("5.15.153.1-microsoft-standard-WSL2\n")
    assert windows_browser.is_wsl({})
    assert windows_browser.command({"PATH": str(tmp_path / "bin")}) is None
    (tmp_path / "osrelease").unlink()
    assert not windows_browser.is_wsl({})


def test_no_character_of_an_address_means_anything_to_a_windows_shell(tmp_path: Path) -> None:
    told = tmp_path / "told"
    viewer = program(tmp_path / "bin" / "wslview")
    viewer.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\n')
    process = browser.open_url([str(viewer)], "https://x.example/d?a=1&b=%20'\"`$(calc);|<>^,#/device")
    assert process is not None
    assert process.wait(30) == 0
    assert told.read_text() == ("https://x.example/d?a=1&b=%20%27%22%60%24%28calc%29%3B%7C%3C%3E%5E%2C#/device\n")
