"""``credhelper audit`` without a daemon: what it takes from the files, and how it shows that."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper.cli import daemon_link
from credhelper.cli.main import main
from credhelper.local import audit_log, places
from credhelper.local.audit_log import KEYS

Audit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the records are, of a home without a daemon."""
    for name, place in (("HOME", "home"), ("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run")):
        monkeypatch.setenv(name, str(tmp_path / place))
        (tmp_path / place).mkdir(mode=0o700)
    # The client leaves what it has tried to connect to the end of its process, which is not the end of this one.
    monkeypatch.setattr(daemon_link, "ask", nobody_answers)
    return places.audit_log(places.state_directory(places.environment()))


@pytest.fixture
def audit(path: Path, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Runs it; its status, stdout and stderr."""

    def run(*options: str) -> tuple[int, str, str]:
        status = main(["audit", *options])
        return status, *capsys.readouterr()

    return run


def nobody_answers(*_: object, **__: object) -> str:
    raise daemon_link.not_running(Path("/run/credhelper.sock"))


def put(path: Path, **more: Any) -> None:
    known = {"time": ago(), "door": "get", "profile": "dev", "outcome": "ok", "cache_hit": False}
    audit_log.append(path, [audit_log.encode(dict.fromkeys(KEYS) | known | more)])


def ago(**amount: float) -> str:
    return (datetime.now(UTC) - timedelta(**amount)).strftime("%Y-%m-%dT%H:%M:%SZ")


def count(found: tuple[int, str, str]) -> int:
    assert found[0] == 0, found
    return len(found[1].splitlines())


def test_nothing_is_shown_where_nothing_is(audit: Audit, path: Path) -> None:
    assert audit() == (0, "No requests are recorded.\n", "")
    assert audit("--json") == (0, "", "")
    assert not path.parent.exists()


def test_it_is_chosen_by_time(audit: Audit, path: Path) -> None:
    for minutes in (60 * 24 * 3, 90, 30, 0):
        put(path, time=ago(minutes=minutes))
    counts = {"1h": 2, "1h40m": 3, "2d": 3, "4d": 4, "600": 1, "20m": 1, "2020-01-01": 4, "2999-01-01T09:30": 0}
    counts |= {"2999-01-01T09:30:00Z": 0, "2999-01-01T09:30:00+02:00": 0, "8000h": 4}
    assert {since: count(audit("--json", "--since", since)) for since in counts} == counts
    assert count(audit("--json", "--since", "today")) in {1, 2, 3}
    assert count(audit("--json", "--since", "yesterday")) == 3
    assert audit("--since", "2999-01-01")[1] == "No requests are recorded.\n"


@pytest.mark.parametrize("since", ["", "never", "1 fortnight", "-1h", "2026-13-01", "99999999999d", "h", "\x1b[31m"])
def test_a_time_that_makes_no_sense_is_wrong_usage(audit: Audit, since: str) -> None:
    status, out, err = audit(f"--since={since}")
    assert (status, out) == (2, "")
    assert "--since: “" in err
    assert err.endswith("credhelper: hint: credhelper audit --since 1h\n")
    assert "\x1b" not in err


def test_it_is_chosen_by_profile(audit: Audit, path: Path) -> None:
    for profile in ("dev", "prod", None, "dev"):
        put(path, profile=profile)
    assert count(audit("--json", "--profile", "dev")) == 2
    assert count(audit("--json", "--profile", "other")) == 0
    assert count(audit("--json")) == 4
    assert audit("--profile", "")[0] == 2


def test_json_is_what_was_recorded(audit: Audit, path: Path) -> None:
    put(path, exe="/opt/a b", cwd="/")
    (line,) = audit("--json")[1].splitlines()
    assert tuple(json.loads(line)) == KEYS
    assert json.loads(line)["exe"] == "/opt/a b"


def test_people_see_local_times_programs_and_outcomes(
    audit: Audit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = {"account_id": "111122223333", "role_name": "Developer"}
    put(path, time="2020-01-02T03:04:05Z", exe="/usr/bin/terraform", pid=7, cache_hit=True, **role)
    put(path, door="whoami", exe="aws", outcome="login_required", **role)
    put(path, door="exec", profile=None, outcome="policy")
    put(path, **(dict.fromkeys(KEYS) | {"time": ago(), "outcome": "lost", "lost": 12}))
    lines = audit()[1].splitlines()
    local = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert lines[0].split() == ["TIME", "DOOR", "PROGRAM", "PID", "PROFILE", "ROLE", "OUTCOME"]
    assert lines[1].startswith(local + "  get     terraform  7    dev      111122223333 Developer  ok, from memory")
    assert lines[2].split()[1:] == ["whoami", "aws", "-", "dev", "111122223333", "Developer", "login", "required"]
    assert lines[3].endswith("exec    -          -    -        -                       refused by policy")
    assert lines[4].endswith("12 requests were not recorded")


def test_text_of_an_edited_file_is_made_safe(audit: Audit, path: Path) -> None:
    put(path, time="\x1b[2J", door=5, profile="a\nb", exe="/x/\x1b]0;hi\x07", outcome=["x"], cache_hit="\u202e")
    out = audit()[1]
    assert len(out.splitlines()) == 2
    assert all(line.isprintable() for line in out.splitlines())


def test_what_is_no_record_is_left_out_and_told(audit: Audit, path: Path) -> None:
    put(path)
    path.write_bytes(path.read_bytes() + b'{"time":"2026')
    put(path)
    status, out, err = audit("--json")
    assert (status, len(out.splitlines())) == (0, 2)
    assert err == f"credhelper: warning: {path}: 1 line is no record, and left out\n"


def test_what_cannot_be_read_is_an_error_that_names_it(audit: Audit, path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/etc/passwd")
    status, out, err = audit()
    assert (status, out) == (1, "")
    assert err == f"credhelper: error: the audit cannot be read: {path}: a symbolic link\n"
