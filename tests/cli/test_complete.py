"""What may stand at the cursor, without a shell: the words, the names, and how bash gets them."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from credhelper.cli.completing import complete, names
from credhelper.local import inventory_files, places

CONFIG = """\
[default]
region = eu-west-1
[sso-session corp]
sso_start_url = https://corp.example/start
[profile dev]
credhelper_sso_session = corp
credhelper_sso_account_id = 111122223333
credhelper_sso_role_name = Developer
[profile 'two words']
sso_session=lab
sso_account_id =222233334444
sso_role_name= Admin
[services local]
"""

LISTING = {
    "sso_session": "corp",
    "start_url": "https://corp.example/start",
    "listed_at": "2026-06-01T09:00:00Z",
    "accounts": [
        {
            "account_id": "333344445555",
            "account_name": "Büro",
            "email": "b@example.com",
            "roles": ["Audit", "Developer"],
        },
        {"account_id": "111122223333", "account_name": "Shop", "email": "s@example.com", "roles": ["Developer"]},
    ],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a daemon."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "XDG_", "CREDHELPER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CREDHELPER_SOCKET", str(tmp_path / "nobody.sock"))
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def keep_listing(home: Path) -> None:
    """As a daemon keeps the names of a session."""
    state = home / ".local" / "state" / "credhelper"
    state.mkdir(parents=True, mode=0o700)
    listing = inventory_files.Kept(LISTING, "a login")  # type: ignore[arg-type]  # a TypedDict in literal form
    inventory_files.write(places.inventory_file(state, "corp"), listing)


def offered(*words: str, current: str = "") -> list[str]:
    """The candidates behind these words."""
    return [value for value, _ in complete._answer(list(words), current).items]


def test_names_come_from_the_files_where_no_daemon_runs(home: Path) -> None:
    assert names.known("profiles", {}) == [
        ("default", ""),
        ("dev", "111122223333 Developer"),
        ("two words", "222233334444 Admin"),
    ]
    assert names.known("sessions", {}) == [("corp", "https://corp.example/start")]
    assert names.known("accounts", {}) == [("111122223333", ""), ("222233334444", "")]
    assert names.known("roles", {}) == [("Developer", ""), ("Admin", "")]


def test_identity_pools_and_their_logins_come_from_the_files_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef"
    (home / ".aws" / "config").write_text(f"[profile kiosk]\ncredhelper_identity_pool_id = {pool}\n", encoding="utf-8")
    assert names.known("profiles", {}) == [("kiosk", pool)]
    assert names.known("logins", {}) == []
    (home / "config.toml").write_text('[log]\n[cognito_login.notes]\nx = 1\n[ cognito_login."b" ]\n', encoding="utf-8")
    monkeypatch.setenv("CREDHELPER_CONFIG", str(home / "config.toml"))
    assert names.known("logins", {}) == [("notes", ""), ("b", "")]
    assert offered("login", "--cognito-login") == ["notes", "b"]


def test_the_name_cache_knows_more_accounts_and_what_they_are_called(home: Path) -> None:
    keep_listing(home)
    assert names.known("accounts", {"--sso-session": "corp"}) == [("111122223333", "Shop"), ("333344445555", "Büro")]
    of_account = {"--sso-session": "corp", "--account-id": "333344445555"}
    assert [name for name, _ in names.known("roles", of_account)] == ["Audit", "Developer"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"listing": {"accounts": [{}]}}', "\x00" * 9, '{"listing": null}'])
def test_a_name_cache_of_no_use_offers_nothing(home: Path, content: str) -> None:
    state = home / ".local" / "state" / "credhelper"
    state.mkdir(parents=True)
    places.inventory_file(state, "corp").write_text(content, encoding="utf-8")
    assert [name for name, _ in names.known("accounts", {})] == ["111122223333", "222233334444"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"[profile", b"[profile 'a]\n[]\n[ ]\nx\n=\n[profile]\n", b"\xef\xbb\xbf[default]\n"],
)
def test_a_broken_configuration_offers_what_can_be_read(home: Path, content: bytes) -> None:
    (home / ".aws" / "config").write_bytes(content)
    assert {name for name, _ in names.known("profiles", {})} <= {"default"}
    (home / ".aws" / "config").unlink()
    assert names.known("profiles", {}) == []


def test_another_configuration_is_read_where_one_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "other").write_text("[profile elsewhere]\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", "~/other")
    assert names.known("profiles", {}) == [("elsewhere", "")]


def test_a_configuration_that_is_a_pipe_is_not_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(home / "pipe")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "pipe"))
    assert offered("login", "--sso-session") == []


def test_commands_and_options_come_with_what_they_do(home: Path) -> None:
    answer = complete._answer([], "")
    assert ("login", "log in to an IAM Identity Center session") in answer.items
    assert ("--force", "log in even when the session is still good") in complete._answer(["login"], "--").items
    assert {"install", "uninstall", "status"} == set(offered("service"))


def test_options_are_offered_once_and_those_that_may_come_again_again(home: Path) -> None:
    assert "--json" in offered("status", current="-")
    assert "--json" not in offered("status", "--json", current="-")
    assert "--uid" in offered("lease", "create", "--uid", "0", current="-")
    assert "--percent-encoded-profile" not in offered("get", current="-")


def test_where_no_word_can_stand_nothing_is_offered(home: Path) -> None:
    assert offered("nonsense") == []
    assert offered("exec", "--min-ttl") == []
    assert offered("status", "--", "x") == []
    assert complete._answer(["lease", "create", "--nonsense=x"], "").kind == "words"


def test_the_command_line_of_another_program_is_that_programs_business(home: Path) -> None:
    assert complete._answer(["exec", "--profile", "dev"], "").kind == "command 3"
    assert complete._answer(["exec", "--profile", "dev", "--", "status"], "--").kind == "command 4"
    assert complete._answer(["exec", "ls"], "--profile").kind == "command 1"
    assert complete.for_bash("credhelper exec --profile=dev -- ls  x", "x", "9") == ["command 33"]


def test_files_are_left_to_the_shell(home: Path) -> None:
    assert complete._answer(["lease", "create", "--token-file"], "").kind == "files"


@pytest.mark.parametrize(
    ("line", "replaced", "expected"),
    [
        ("credhelper get --profile ", "", ["default", "dev", "two\\ words"]),
        ("credhelper get --profile t", "t", ["two\\ words"]),
        ("credhelper get --profile=t", "t", ["two\\ words"]),
        ("credhelper get --profile 't", "t", ["two words"]),
        ('credhelper get --profile "two w', "two w", ["two words"]),
        ("credhelper get --profile two\\ w", "two\\ w", ["two\\ words"]),
        ("credhelper get --sso-session 'co", "co", ["corp"]),
        ("credhelper --profile dev lo", "lo", ["login", "logout", "lock"]),
    ],
)
def test_bash_gets_what_it_puts_in_place_of_the_word(home: Path, line: str, replaced: str, expected: list[str]) -> None:
    kind, *found = complete.for_bash(line, replaced, "9")
    assert kind == "words"
    assert sorted(found) == sorted(expected)


def test_bash_gets_descriptions_only_where_it_inserts_nothing(home: Path) -> None:
    assert "dev  (111122223333 Developer)" in complete.for_bash("credhelper get --profile ", "", complete.LIST_ONLY)
    assert complete.for_bash("credhelper get --profile de", "", complete.LIST_ONLY)[1:] == [
        "default",
        "dev  (111122223333 Developer)",
    ]
    assert complete.for_bash("credhelper get --profile dev", "dev", complete.LIST_ONLY)[1:] == ["dev"]


@pytest.mark.parametrize(
    "text", ["a b", "it's", '"', "$(id)`id`", "x;y&z|w<>()", "\\", "!!", "~", "#", "*?[]{a,b}", "ü😀"]
)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_bash_reads_what_is_inserted_as_itself(text: str, quote: str) -> None:
    inserted = complete.quoted(text, quote)
    closed = quote if not inserted.endswith(quote) else ""
    said = subprocess.run(["sh", "-c", f"printf %s {quote}{inserted}{closed}"], capture_output=True, check=True).stdout
    assert said.decode() == text
    line = complete.BashWords(f"credhelper {quote}{inserted}{closed} x")
    assert line.whole == ["credhelper", text]


def test_the_words_of_a_line_are_those_that_bash_reads() -> None:
    line = complete.BashWords("""ch  "a b"'c'\\ d '' "x\\"y\\z" rest\\ of "it """)
    assert line.whole == ["ch", "a bc d", "", 'x"y\\z', "rest of"]
    assert (line.current, line.quote) == ("it ", '"')


def test_names_with_control_characters_are_not_offered(home: Path) -> None:
    (home / ".aws" / "config").write_text("[profile a\x1b]0;x\x07]\n[profile good]\n", encoding="utf-8")
    assert offered("get", "--profile") == ["good"]
    assert offered("configure", "adopt", "--profile", "good") == ["good"]  # which takes several


def test_the_scripts_are_shell(tmp_path: Path) -> None:
    """Whether bash 3.2's words suffice nobody can run here; that bash parses it, anybody."""
    script = Path(complete.TABLE).with_name("credhelper.bash")
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "mapfile -" not in script.read_text(encoding="utf-8")
    assert stat.S_IMODE(script.stat().st_mode) & 0o444 == 0o444


def test_the_table_is_json_without_what_is_hidden() -> None:
    table = json.loads(Path(complete.TABLE).read_text(encoding="utf-8"))
    assert "_complete" not in table["commands"]
    assert "--ready-fd" not in json.dumps(table)
