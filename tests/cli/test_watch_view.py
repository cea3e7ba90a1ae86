"""What ``status --watch`` shows, before it is drawn."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credhelper.cli.watch_view import Line, Table, left, view

NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
SESSION = {
    "name": "corp",
    "start_url": "https://corp.awsapps.com/start",
    "region": "us-east-1",
    "state": "active",
    "expires_at": "2026-06-01T09:41:07Z",
    "refreshable": True,
    "next_refresh_at": None,
    "last_error": None,
}


def found(**status: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"sso_sessions": [], "role_credentials": [], "logins": [], "leases": []}
    daemon = {"running": True, "version": "1.0", "pid": 12, "started_at": "2026-06-01T08:00:00Z", "locked": False}
    return {"status": {"daemon": daemon} | nothing | status, "mistakes": [], "clients": []}


def texts(document: dict[str, Any], trouble: str | None = None) -> str:
    parts = view(document, NOW, trouble).parts
    rows = [(part.text,) if isinstance(part, Line) else row for part in parts for row in _rows(part)]
    return "\n".join(" | ".join(row) for row in rows)


def _rows(part: Line | Table) -> tuple[tuple[str, ...], ...]:
    return ((part.text,),) if isinstance(part, Line) else (part.titles, *part.rows)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.5, "over"), (-60, "over"), (59, "59 s"), (61, "1 min 01 s"), (3599, "59 min 59 s"), (3600, "1 h")],
)
def test_the_time_left_is_seen_to_run(seconds: float, shown: str) -> None:
    assert left((NOW + timedelta(seconds=seconds)).isoformat(), NOW) == shown
    assert left(None, NOW) == "-"


def test_a_session_tells_what_comes_after_its_token() -> None:
    shown = texts(found(sso_sessions=[SESSION, SESSION | {"name": None, "refreshable": False}]))
    assert "corp | active | 41 min 07 s | renewed by itself" in shown
    assert "(legacy) | active | 41 min 07 s | log in again" in shown
    assert "| expired | over | log in |" in texts(
        found(sso_sessions=[SESSION | {"state": "expired", "expires_at": "2026-06-01T08:00:00Z"}])
    )


def test_cognito_logins_stand_below_the_sessions_with_whoever_uses_them() -> None:
    expires = {"expires_at": "2026-06-01T09:41:07Z"}
    document = found(cognito_logins=[{"name": "notes\x1b[31m", "state": "refresh_due"} | expires])
    document["status"]["logins"] = [{"sso_session": None, "cognito_login": "notes", "flow": "srp"} | expires]
    document["clients"] = [{"sso_session": None, "cognito_login": "notes", "names": ["aws"]}]
    shown = texts(document)
    assert "COGNITO LOGIN | STATE | TIME LEFT" in shown
    assert "notes [31m | refresh_due | 41 min 07 s" in shown
    assert "notes | srp | 41 min 07 s" in shown
    assert "notes | aws" in shown


def test_errors_logins_clients_leases_and_roles_are_there() -> None:
    role = {
        "source": "sso",
        "sso_session": "corp",
        "account_id": "111122223333",
        "role_name": "Developer",
        "profiles": ["dev"],
        "state": "fresh",
        "expires_at": "2026-06-01T10:00:00Z",
        "last_used_at": "2026-06-01T08:58:00Z",
    }
    document = found(
        sso_sessions=[SESSION | {"last_error": "the portal gave no answer"}],
        role_credentials=[role | {"role_name": "Other", "last_used_at": None, "profiles": []}, role],
        logins=[{"sso_session": "corp", "flow": "device_code", "started_at": "", "expires_at": "2026-06-01T09:05:00Z"}],
        leases=[{"id": "a1", "profile": "dev", "expires_at": None}],
    ) | {"clients": [{"sso_session": "corp", "names": ["aws", "terraform"]}], "mistakes": ["the file is broken"]}
    shown = texts(document)
    assert "corp: the portal gave no answer" in shown
    assert "corp | with a code | 5 min 00 s" in shown
    assert "corp | aws, terraform" in shown
    assert "a1 | dev | until a revoke or logout" in shown
    assert "the file is broken" in shown
    assert shown.index("Developer | fresh | 1 h") < shown.index("Other")  # the last used first


def test_a_daemon_that_is_away_or_locked_is_told() -> None:
    document = found()
    document["status"]["daemon"]["locked"] = True
    assert "credhelper unlock" in texts(document)
    assert texts(document, "The daemon is not running.").startswith("The daemon is not running.")


def test_nothing_can_command_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[31m\u202eevil\n"
    document = found(
        sso_sessions=[SESSION | {"name": evil, "start_url": evil, "last_error": evil}],
        logins=[{"sso_session": evil, "flow": evil, "started_at": "", "expires_at": "2026-06-01T09:05:00Z"}],
        leases=[{"id": evil, "profile": evil, "expires_at": None}],
        role_credentials=[
            {"account_id": evil, "role_name": evil, "profiles": [evil], "state": "fresh"}
            | {"expires_at": "2026-06-01T10:00:00Z", "last_used_at": None}
        ],
    ) | {"clients": [{"sso_session": evil, "names": [evil]}], "mistakes": [evil]}
    assert all(line.isprintable() for line in texts(document, None).split("\n"))


def test_two_views_are_equal_while_nothing_changes() -> None:
    document = found(sso_sessions=[SESSION | {"expires_at": "2026-06-01T12:00:30Z"}])
    assert view(document, NOW, None) == view(document, NOW + timedelta(seconds=1), None)
    assert view(document, NOW, None) != view(document, NOW + timedelta(minutes=1), None)
