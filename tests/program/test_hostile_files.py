"""Whatever lies where a token should: no hang, no crash, one warning that names it, and everybody else is served."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.machine import CONFIG, Machine
from tests.program.support import NOBODY, Daemon, ask, refusal, running_daemon

OTHER = ("--sso-session", "other")


def foreign(path: Path) -> None:
    path.write_text(json.dumps({"accessToken": "x", "expiresAt": "2099-01-01T00:00:00Z"}), encoding="utf-8")
    os.chown(path, NOBODY, NOBODY)


def linked(path: Path) -> None:
    """To a file that would be a fine token."""
    target = path.parent.parent / "elsewhere"
    target.write_text(json.dumps({"accessToken": "x", "expiresAt": "2099-01-01T00:00:00Z"}), encoding="utf-8")
    path.symlink_to(target)


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


GOOD = b'{"accessToken": "x", "expiresAt": "2099-01-01T00:00:00Z"'
KINDS: dict[str, Callable[[Path], object]] = {
    "empty": content(b""),
    "blank": content(b" \n"),
    "truncated": content(GOOD),
    "a list": content(b"[" + GOOD + b"}]"),
    "text": content(b'"accessToken"'),
    "null": content(b"null"),
    "binary": content(bytes(range(256))),
    "deep": content(b"[" * 100_000),
    "a number of many digits": content(b'{"accessToken": ' + b"9" * 10_000 + b"}"),
    "no access token": content(b'{"expiresAt": "2099-01-01T00:00:00Z"}'),
    "an access token of another type": content(b'{"accessToken": {}, "expiresAt": "2099-01-01T00:00:00Z"}'),
    "no end": content(b'{"accessToken": "x"}'),
    "an end that is no time": content(b'{"accessToken": "x", "expiresAt": "later"}'),
    "an end beyond the calendar": content(b'{"accessToken": "x", "expiresAt": "9999-12-31T23:59:59-23:00"}'),
    "a token with line breaks": content(b'{"accessToken": "x\\r\\nX-Evil: 1", "expiresAt": "2099-01-01T00:00:00Z"}'),
    "huge": content(GOOD + b', "padding": "' + b"x" * (256 * 1024) + b'"}'),
    "a terabyte of nothing": sparse,
    "a FIFO": os.mkfifo,
    "a directory": Path.mkdir,
    "a link": linked,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nowhere": lambda path: path.symlink_to("/nonexistent"),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": listening,
}
if os.geteuid() == 0:
    KINDS["somebody else's"] = foreign


def two_sessions(machine: Machine) -> None:
    """Session other is logged in; corp is the one to be spoilt."""
    url = machine.sandbox.start_url
    role = "sso_session = other\nsso_account_id = 111122223333\nsso_role_name = ReadOnly\n"
    session = f"[sso-session other]\nsso_start_url = {url}\nsso_region = us-east-1\n"
    machine.write_config(CONFIG.format(start_url=url) + f"\n{session}\n[profile other]\n{role}")
    machine.log_in(*OTHER)


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def warnings(daemon: Daemon, path: Path) -> list[str]:
    return [line for line in daemon.log().splitlines() if str(path) in line]


def test_in_a_tokens_place_it_means_login_required_with_one_warning(machine: Machine) -> None:
    with running_daemon(machine) as daemon:
        two_sessions(machine)
        for kind, make in KINDS.items():
            told = len(warnings(daemon, machine.token_file()))
            make(machine.token_file())
            for _ in range(2):
                answer = ask(machine, "get", profile="dev")
                assert answer["status"] == "3", (kind, answer)
            assert ask(machine, "get", profile="other")["status"] == "0", kind
            lines = warnings(daemon, machine.token_file())
            assert 1 <= len(lines) - told <= 2, (kind, lines)  # two when it was seen half made
            assert "WARNING" in lines[-1]
            clear(machine.token_file())
        refusal(machine.run("get", "--profile", "dev"), 3, "corp")
        assert machine.run("status", "--json").status == 0
        assert "Traceback" not in daemon.log()


def test_it_takes_no_daemon_to_look_past_it(machine: Machine) -> None:
    machine.cache.mkdir(mode=0o700, parents=True)
    for kind in ("empty", "huge", "deep", "a FIFO", "a directory", "a link", "a device"):
        KINDS[kind](machine.token_file())
        status = machine.run("status", "--json")
        assert status.status == 7, kind
        assert status.json()["sso_sessions"][0]["state"] == "logged_out", kind
        logout = machine.run("logout", "--json")
        left = {"a directory": [str(machine.token_file())], "a link": [str(machine.cache.parent / "elsewhere")]}
        assert [thing["path"] for thing in logout.json()["left"]] == left.get(kind, []), kind
        assert logout.status == (8 if kind in left else 0), kind
        assert machine.token_file().is_dir() == (kind == "a directory")
        clear(machine.token_file())


def test_beside_the_tokens_it_is_nobodys_business(machine: Machine) -> None:
    with running_daemon(machine) as daemon:
        two_sessions(machine)
        machine.log_in()
        for number, make in enumerate(KINDS.values()):
            make(machine.cache / f"{number:040x}.json")
        assert machine.run("get", "--profile", "dev").status == 0
        assert machine.run("status").status == 0
        machine.log_in()
        receipt = machine.run("logout", "--json")
        assert not machine.token_file().exists()
        assert [session["sso_session"] for session in receipt.json()["sessions"]][:2] == ["corp", "other"]
        refusal(machine.run("get", "--profile", "dev"), 3)
        assert "Traceback" not in daemon.log()


def test_a_login_replaces_it_and_follows_no_link(machine: Machine) -> None:
    machine.cache.mkdir(mode=0o700, parents=True)
    elsewhere = machine.cache.parent / "elsewhere"
    for kind in ("empty", "a terabyte of nothing", "a FIFO", "a link", "a link to itself", "a device", "a socket"):
        machine.token_file().unlink(missing_ok=True)
        KINDS[kind](machine.token_file())
        before = elsewhere.read_bytes() if elsewhere.exists() else b""
        machine.log_in()
        found = machine.token_file().lstat()
        assert (found.st_uid, found.st_mode & 0o7777) == (os.getuid(), 0o600), kind
        assert machine.run("get", "--profile", "dev").status == 0, kind
        assert not elsewhere.exists() or elsewhere.read_bytes() == before, kind


def test_in_a_registrations_place_a_login_makes_a_new_one(machine: Machine) -> None:
    machine.log_in()
    [registration] = [path for path in machine.cache.iterdir() if path != machine.token_file()]
    for kind in ("empty", "deep", "a FIFO", "a link", "huge", "a directory"):
        clear(registration)
        KINDS[kind](registration)
        machine.log_in()
    assert machine.run("get", "--profile", "dev").status == 0


def test_a_file_being_written_in_place_is_no_logout(machine: Machine) -> None:
    """Other tools write in place: for a moment their file is empty or cut short."""
    machine.log_in()
    whole = machine.token_file().read_bytes()
    first = machine.run("get", "--profile", "dev")
    with open(machine.token_file(), "r+b") as file:
        file.truncate(0)
        file.write(whole)
    assert machine.run("get", "--profile", "dev") == first


def test_in_the_configurations_place_it_is_a_configuration_error(machine: Machine) -> None:
    for kind in ("a FIFO", "a directory", "binary", "a link to itself"):
        clear(machine.config)
        KINDS[kind](machine.config)
        refusal(machine.run("get", "--profile", "dev"), 4, str(machine.config))
        assert machine.run("status", "--json").status == 0, kind
        assert machine.run("logout").status == 0, kind
