"""credhelper's own config.toml: complete without being there, and all its mistakes told at once."""

import contextlib
import dataclasses
import os
import sys
import tomllib
from datetime import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.domain.errors import ConfigError
from credhelper.local import places, policy_table, settings, sync_table
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings
from credhelper.local.sync_table import RegionRule, Sync

SAMPLE = Path(__file__).parents[2] / "config" / "credhelper.toml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(path: Path, content: str | bytes) -> Settings:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return settings.load(path)


def mistake(path: Path, content: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, content)
    assert caught.value.status == 4
    message = caught.value.message
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message.removeprefix(f"{path}: ")


# -- what it says -----------------------------------------------------------------------------------------------------


def test_without_a_file_the_defaults_hold(path: Path) -> None:
    assert settings.load(path) == Settings(token_store="shared", vault_backend="auto")


@pytest.mark.parametrize("content", ["", "# nothing\n", "[vault]\n", "\ufeff[log]\r\n"])
def test_a_file_that_says_nothing_changes_nothing(path: Path, content: str) -> None:
    assert load(path, content) == Settings()


def test_every_key_can_be_set(path: Path) -> None:
    content = """
        token_store = "keyring"
        vault.backend = "secret-service"
        log = { level = "debug", format = "json" }
        [login]
        redirect_port = 8400
        copy = true
        [metrics]
        listen = "[::1]:9418"
        [notify]
        enabled = false
        before_minutes = 1440
        quiet_hours = [
            "22:00-07:00",  # at night
            "12:00 - 13:30",
        ]
        [lock]
        at_suspend = true
        [[policy]]
        name = "production"
        match = ["prod-*", "corp/111122223333/*"]
        allow_exe = "/usr/bin/terraform"
        confirm = true
        max_ttl = "1h"
        deny = false
        [[policy]]
        name = "old"
        match = "old"
        deny = true
    """
    assert load(path, content) == Settings(
        token_store="keyring",
        vault_backend="secret-service",
        login_redirect_port=8400,
        login_copy=True,
        log_level="debug",
        log_format="json",
        metrics_listen="[::1]:9418",
        notify_enabled=False,
        notify_before_minutes=1440,
        notify_quiet_hours=((time(22), time(7)), (time(12), time(13, 30))),
        lock_at_suspend=True,
        policy=(
            Rule("production", ("prod-*", "corp/111122223333/*"), ("/usr/bin/terraform",), 900, 3600),
            Rule("old", ("old",), deny=True),
        ),
    )


@pytest.mark.parametrize(
    ("table", "key", "value", "expected"),
    [
        *(("vault", "backend", f'"{word}"', word) for word in ("auto", "secret-service", "kwallet", "macos", "off")),
        *(("log", "level", f'"{word}"', word) for word in ("debug", "info", "warning", "error")),
        *(("log", "format", f'"{word}"', word) for word in ("text", "json")),
        *(("metrics", "listen", f'"{place}"', place) for place in ("", "127.0.0.1:1", "127.9.9.9:65535", "[::1]:80")),
        *(("login", "redirect_port", str(port), port) for port in (0, 1024, 65_535)),
        ("notify", "before_minutes", "0", 0),
        ("notify", "quiet_hours", '""', ()),
        ("notify", "quiet_hours", "[]", ()),
        ("notify", "quiet_hours", '"00:00-23:59"', ((time(0), time(23, 59)),)),
    ],
)
def test_each_allowed_value_is_taken(path: Path, table: str, key: str, value: str, expected: object) -> None:
    assert getattr(load(path, f"[{table}]\n{key} = {value}\n"), f"{table}_{key}") == expected


def test_the_sample_says_every_default() -> None:
    assert settings.load(SAMPLE) == Settings()


def test_the_sample_names_every_key_and_explains_it() -> None:
    text = SAMPLE.read_text()
    document = tomllib.loads(text)
    named = {(table, name) for table, values in document.items() if isinstance(values, dict) for name in values}
    named |= {("", name) for name, value in document.items() if not isinstance(value, dict)}
    assert named == {(key.table, key.name) for key in settings.KEYS}
    lines = text.splitlines()
    for key in settings.KEYS:
        [where] = [number for number, line in enumerate(lines) if line.startswith(f"{key.name} = ")]
        assert lines[where - 1].startswith("# "), key.label


def shown_table(name: str) -> list[str]:
    """The table that the sample shows in a comment, until the next empty line."""
    shown = SAMPLE.read_text().partition(f"# [[{name}]]")
    return [line.removeprefix("# ") for line in (shown[1] + shown[2].partition("\n\n")[0]).splitlines()]


def test_the_sync_table_that_the_sample_shows_is_one(path: Path) -> None:
    lines = shown_table("sync")
    (table,) = load(path, "\n".join(lines)).sync
    assert table == Sync(
        "corp",
        region="eu-west-1",
        regions=(RegionRule(("*US*", "444455556666"), "us-east-1"),),
        include=("*",),
        exclude=("Sandbox *", "*/Billing"),
    )
    assert {key for line in lines for key in sync_table.KEYS if line.startswith(f"{key} = ")} == {*sync_table.KEYS}


def test_the_rule_that_the_sample_shows_is_one(path: Path) -> None:
    lines = shown_table("policy")
    (rule,) = load(path, "\n".join(lines)).policy
    assert (rule.name, rule.confirm, rule.max_ttl, rule.deny) == ("production", 900, 3600, False)
    assert {key for line in lines for key in policy_table.KEYS if line.startswith(f"{key} = ")} == {*policy_table.KEYS}


def test_every_field_has_a_key() -> None:
    fields = {*(key.field for key in settings.KEYS), *settings.ARRAYS, *settings.NAMED}
    assert fields == set(dataclasses.asdict(Settings()))
    assert {key.table for key in settings.KEYS} == {"", *settings.TABLES}


def test_two_settings_differ_in_named_keys() -> None:
    changed = Settings(token_store="keyring", log_level="debug")
    assert settings.changes(Settings(), changed) == ["token_store", "[log] level"]
    assert settings.changes(changed, changed) == []
    assert settings.changes(Settings(), Settings(sync=(Sync("corp", native=True),))) == ["[[sync]]"]
    rules = (Rule("x", ("*",), deny=True),)
    assert settings.changes(Settings(), Settings(policy=rules)) == ["[[policy]]"]
    assert settings.changes(Settings(policy=rules), Settings(policy=(Rule("x", ("*",), deny=True),))) == []


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("true", 900), ('"1m"', 60), ('"90s"', 90), ('"2 h"', 7200), ('"7d"', 7 * 86_400)],
)
def test_a_yes_is_remembered_for_as_long_as_the_rule_says(path: Path, said: str, seconds: int) -> None:
    (rule,) = load(path, f"[[policy]]\nname = 'x'\nmatch = '*'\nconfirm = {said}\n").policy
    assert rule.confirm == seconds


@pytest.mark.parametrize("content", ["policy = []", "[[policy]]\nname = 'a'\nmatch = '*'\ndeny = true"])
def test_there_may_be_any_number_of_rules(path: Path, content: str) -> None:
    assert len(load(path, content).policy) == content.count("name")


# -- mistakes ---------------------------------------------------------------------------------------------------------

LEVELS = '"debug", "info", "warning", "error"'
BACKENDS = '"auto", "secret-service", "kwallet", "macos", "off"'
LISTEN = 'an address of this machine\'s loopback with a port (1 to 65535), such as "127.0.0.1:9418" or "[::1]:9418"'
SPANS = 'spans such as "22:00-07:00" (00:00 to 23:59): one, or a list of them'
RULE = "[[policy]]\nname = 'x'\nmatch = '*'"
SYNC = "[[sync]]\nsso_session = 'corp'"
MINUTES = "a whole number from 0 to 1440"
PORTS = "a whole number from 1024 to 65535, or 0 for any that is free"

BAD = {
    # values at the top
    "token_store = 'disk'": 'line 1: token_store is "disk", and must be one of "shared", "keyring"',
    "\n\ntoken_store = 1": "line 3: token_store is 1, and must be one of",
    "token_store = true": "line 1: token_store is true, and",
    "token_store = ['shared']": "line 1: token_store is a list, and",
    "token_store = 2026-01-01": "line 1: token_store is 2026-01-01, and",
    f"token_store = '{'x' * 900}'": f'line 1: token_store is "{"x" * 40}…", and',
    f"token_store = 0x{'f' * 9000}": "line 1: token_store is a huge number, and",
    'token_store = "\\u001b[31m\\n"': 'line 1: token_store is " [31m ", and',
    'token_store = """\nshared"""\n\n[log]\nlevel = "x"': 'line 5: [log] level is "x"',
    "token_store.x = 1": "line 1: there is no table [token_store]",
    # names
    "token_stor = 1": "line 1: there is no key token_stor (did you mean token_store?)",
    "token-store = 1": "line 1: there is no key token-store (did you mean token_store?)",
    "#\nbackend = 1": "line 2: there is no key backend (did you mean [vault] backend?)",
    "quite_other = 1": "line 1: there is no key quite_other",
    "'a b' = 1": "line 1: there is no key a b",
    "[vault]\nbackends = 1": "line 2: there is no key [vault] backends (did you mean [vault] backend?)",
    "[vault]\n\ntoken_store = 1": "line 3: there is no key [vault] token_store (token_store belongs above the first [",
    "[log]\nlisten = 1": "line 2: there is no key [log] listen (did you mean [metrics] listen?)",
    "[notify]\nquiet-hours = ''": "line 2: there is no key [notify] quiet-hours (did you mean [notify] quiet_hours?)",
    "[notify.quiet_hour]\nx = 1": "line 1: there is no key [notify] quiet_hour (did you mean [notify] quiet_hours?)",
    "notify.Enabled = true": "line 1: there is no key [notify] Enabled (did you mean [notify] enabled?)",
    # tables
    "\n[Vault]\nbackend = 1": "line 2: there is no table [Vault] (did you mean [vault]?)",
    "[other]\nbackend = 1": "line 1: there is no table [other]",
    "[logs.more]\nx = 1": "line 1: there is no table [logs] (did you mean [log]?)",
    "\n[[logs]]\nx = 1\n[[logs]]": "line 2: there is no table [logs] (did you mean [log]?)",
    "vault = 'off'": 'line 1: vault is "off", and must be a table: [vault]',
    "#\n[[vault]]\nbackend = 'off'": "line 2: vault is a list, and must be a table: [vault]",
    "[log.level]\nx = 1": "line 1: [log] level is a table, and must be one of",
    # [vault]
    "[vault]\nbackend = 'Auto'": f'line 2: [vault] backend is "Auto", and must be one of {BACKENDS}',
    "[vault]\nbackend = ''": f'line 2: [vault] backend is "", and must be one of {BACKENDS}',
    "[vault]\nbackend = 'plaintext'": 'line 2: [vault] backend is "plaintext", which would leave the key',
    # [log]
    "[log]\nlevel = 'warn'": f'line 2: [log] level is "warn", and must be one of {LEVELS}',
    "[log]\nlevel = 20": f"line 2: [log] level is 20, and must be one of {LEVELS}",
    "log.format = 'JSON'": 'line 1: [log] format is "JSON", and must be one of "text", "json"',
    # [metrics]
    "[metrics]\nlisten = 9418": f"line 2: [metrics] listen is 9418, and must be {LISTEN}",
    "[metrics]\nlisten = ':9418'": f'line 2: [metrics] listen is ":9418", and must be {LISTEN}',
    "[metrics]\nlisten = 'localhost:9418'": f'line 2: [metrics] listen is "localhost:9418", and must be {LISTEN}',
    "[metrics]\nlisten = '0.0.0.0:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '[::]:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '::1:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '[::1%lo]:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '[::ffff:127.0.0.1]:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '10.0.0.1:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.1:9418'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.0.0.1'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.0.0.1:'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.0.0.1:0'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.0.0.1:65536'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.0.0.1:+80'": "line 2: [metrics] listen is",
    "[metrics]\nlisten = '127.0.0.1:٣'": "line 2: [metrics] listen is",
    # [notify]
    "[notify]\nenabled = 'yes'": 'line 2: [notify] enabled is "yes", and must be true or false, without quotes',
    "[notify]\nenabled = 1": "line 2: [notify] enabled is 1, and must be true or false",
    **{
        f"[login]\nredirect_port = {port}": f"line 2: [login] redirect_port is {port}, and must be {PORTS}"
        for port in (-1, 1, 1023, 65536, "true")
    },
    "[notify]\nbefore_minutes = -1": f"line 2: [notify] before_minutes is -1, and must be {MINUTES}",
    "[notify]\nbefore_minutes = 1441": f"line 2: [notify] before_minutes is 1441, and must be {MINUTES}",
    "[notify]\nbefore_minutes = 1.5": f"line 2: [notify] before_minutes is 1.5, and must be {MINUTES}",
    "[notify]\nbefore_minutes = true": f"line 2: [notify] before_minutes is true, and must be {MINUTES}",
    "[notify]\nbefore_minutes = '10'": f'line 2: [notify] before_minutes is "10", and must be {MINUTES}, without',
    "[notify]\nquiet_hours = '22-07'": f'line 2: [notify] quiet_hours holds "22-07", and must be {SPANS}',
    "[notify]\nquiet_hours = '22:00-24:00'": f'line 2: [notify] quiet_hours holds "22:00-24:00", and must be {SPANS}',
    "[notify]\nquiet_hours = ['8:00-9:00']": f'line 2: [notify] quiet_hours holds "8:00-9:00", and must be {SPANS}',
    "[notify]\nquiet_hours = [['22:00-07:00']]": f"line 2: [notify] quiet_hours holds a list, and must be {SPANS}",
    "[notify]\nquiet_hours = 22:00:00": f"line 2: [notify] quiet_hours holds 22:00:00, and must be {SPANS}",
    "[notify]\nquiet_hours = ['22:00-07:00',\n'9:9']": 'line 2: [notify] quiet_hours holds "9:9", and must be',
    "[notify]\nquiet_hours = '07:00-07:00'": 'line 2: [notify] quiet_hours holds "07:00-07:00", whose ends are',
    # [lock]
    "[lock]\nat_suspend = 'yes'": 'line 2: [lock] at_suspend is "yes", and must be true or false, without quotes',
    "[lock]\nat_suspends = true": "line 2: there is no key [lock] at_suspends (did you mean [lock] at_suspend?)",
    # [[policy]]
    "policy = 'x'": 'line 1: policy is "x", and must be tables, one for each rule: [[policy]]',
    "\n[policy]\nname = 'x'": "line 2: policy is a table, and must be tables, one for each rule: [[policy]]",
    "policy = [1]": "line 1: policy is a list, and must be tables",
    "[[policies]]\nname = 'x'": "line 1: there is no table [policies] (did you mean [[policy]]?)",
    f"{RULE}\nallow_exes = '/x'": "line 4: there is no key [[policy]] allow_exes (did you mean [[policy]] allow_exe?)",
    f"{RULE}\nwhatever = 1": "line 4: there is no key [[policy]] whatever",
    "#\n[[policy]]\nmatch = '*'\ndeny = true": "line 2: [[policy]] name is missing: refusals are told by it",
    "[[policy]]\nname = ''\nmatch = '*'": 'line 2: [[policy]] name is "", and must be a name of 1 to 64 characters',
    '[[policy]]\nname = "\\u001b[1m"\nmatch = "*"': 'line 2: [[policy]] name is " [1m", and must be a name',
    f"{RULE}\ndeny = true\n[[policy]]\nname = 'r'\ndeny = true": 'line 5: [[policy]] match is missing in the rule "r"',
    f"{RULE}\ndeny = true\n{RULE}\ndeny = true": 'line 6: [[policy]] name is "x", and another rule has that name',
    RULE: 'line 1: [[policy]] "x" does nothing: it needs one of allow_exe, confirm, max_ttl and deny',
    f"{RULE}\nconfirm = false\ndeny = false": 'line 1: [[policy]] "x" does nothing',
    "[[policy]]\nname = 'x'\nmatch = []\ndeny = true": "line 3: [[policy]] match is empty, and must be a pattern such",
    "[[policy]]\nname = 'x'\nmatch = ['']": 'line 3: [[policy]] match holds "", and must be a pattern such as "prod-*"',
    "[[policy]]\nname = 'x'\nmatch = 1": "line 3: [[policy]] match is 1, and must be a pattern such as",
    f"{RULE}\nallow_exe = 'terraform'": 'line 4: [[policy]] allow_exe is "terraform", and must be a program\'s',
    f"{RULE}\nallow_exe = ['/a', '~/x']": 'line 4: [[policy]] allow_exe holds "~/x", and must be a program\'s',
    f"{RULE}\nallow_exe = []": "line 4: [[policy]] allow_exe is empty, and must be a program's absolute path",
    f"{RULE}\nconfirm = 'yes'": 'line 4: [[policy]] confirm is "yes", and must be a time from "1m" to "7d", such as',
    f"{RULE}\nconfirm = 900": 'line 4: [[policy]] confirm is 900, and must be a time from "1m" to "7d"',
    f"{RULE}\nconfirm = '5s'": 'line 4: [[policy]] confirm is "5s", and must be a time from "1m" to "7d"',
    f"{RULE}\nmax_ttl = '14m'": 'line 4: [[policy]] max_ttl is "14m", and must be a time from "15m" to "12h"',
    f"{RULE}\nmax_ttl = '13h'": 'line 4: [[policy]] max_ttl is "13h", and must be a time from "15m" to "12h"',
    f"{RULE}\nmax_ttl = true": "line 4: [[policy]] max_ttl is true, and must be a time from",
    f"{RULE}\ndeny = 'no'": 'line 4: [[policy]] deny is "no", and must be true or false, without quotes',
    # [[sync]]
    "sync = 'x'": 'line 1: sync is "x", and must be tables, one for each session: [[sync]]',
    "[sync]\nregion = 'x'": "line 1: sync is a table, and must be tables, one for each session: [[sync]]",
    "[[synch]]\nregion = 'x'": "line 1: there is no table [synch] (did you mean [[sync]]?)",
    "#\n[[sync]]\nregion = 'eu-west-1'": "line 2: [[sync]] sso_session is missing: it says whose profiles the table",
    "[[sync]]\nsso_session = ' '": 'line 2: [[sync]] sso_session is " ", and must be the name of an [sso-session]',
    f"{SYNC}\n{SYNC}": 'line 4: [[sync]] sso_session is "corp", as in another table',
    f"{SYNC}\nregoin = ''": "line 3: there is no key [[sync]] regoin (did you mean [[sync]] region?)",
    f"{SYNC}\nregion = 'Ireland'": 'line 3: [[sync]] region is "Ireland", and must be a region such as "eu-west-1"',
    f"{SYNC}\nname_template = 1": "line 3: [[sync]] name_template is 1, and must be a text such as",
    f"{SYNC}\nname_template = 'x'": "line 3: [[sync]] name_template names neither the account nor the role",
    f"{SYNC}\nname_template = '{{x}}'": "line 3: [[sync]] name_template has the field {x}; there are {account_name}, ",
    f"{SYNC}\nname_template = '{{role_name!r}}'": "line 3: [[sync]] name_template has the field {role_name!r}; there",
    f"{SYNC}\nname_template = '{{role_name:>9}}'": "line 3: [[sync]] name_template has the field {role_name:>9};",
    f"{SYNC}\nname_template = '{{role_name'": "line 3: [[sync]] name_template has a brace without its other one",
    f"{SYNC}\nname_template = 'ü {{role_name}}'": "line 3: [[sync]] name_template has “ü ”, and outside its fields",
    f"{SYNC}\nname_template = '{'x' * 201}'": "line 3: [[sync]] name_template is longer than 200 characters",
    f"{SYNC}\ninclude = [1]": "line 3: [[sync]] include holds 1, and must be a pattern such as",
    f"{SYNC}\nexclude = ''": 'line 3: [[sync]] exclude is "", and must be a pattern such as',
    f"{SYNC}\nregions = 'x'": "line 3: [[sync]] regions must be a list of tables such as { match =",
    f"{SYNC}\nregions = [{{ match = '*' }}]": "line 3: [[sync]] regions must be a list of tables such as",
    f"{SYNC}\nregions = [{{ match = 1, region = 'x' }}]": "line 3: [[sync]] regions has a match that is 1, and must",
    f"{SYNC}\nregions = [{{ match = '*', region = 'X' }}]": 'line 3: [[sync]] regions has a region that is "X", and',
    f"{SYNC}\nnative = 'yes'": 'line 3: [[sync]] native is "yes", and must be true or false, without quotes',
    # no TOML
    "token_store = shared": "line 1: is not TOML: Invalid value (column 15)",
    "\n\n[vault\n": "line 3: is not TOML: ",
    "a = 1\na = 2\n": "line 2: is not TOML: ",
    "[vault]\n[vault]\n": "line 2: is not TOML: ",
    "a = 1\r\nb = [\r\n": "line 3: is not TOML: ",
    "x = " + "[" * 100_000: "is not TOML: it is nested too deeply",
    "x = " + "9" * 10_000: "is not TOML: ",
}


@pytest.mark.parametrize("content", BAD, ids=[f"{number}" for number in range(len(BAD))])
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(path: Path, content: str) -> None:
    assert mistake(path, content).startswith(BAD[content])


@pytest.mark.parametrize(
    "backend", ["plaintext", "PlainText", "file", "null", "keyrings.alt.file.PlaintextKeyring", "encrypted-file"]
)
def test_a_backend_that_protects_nothing_is_refused_with_the_reason(path: Path, backend: str) -> None:
    told = mistake(path, f'[vault]\nbackend = "{backend}"')
    assert "readable beside what it seals" in told
    assert '"off"' in told


@pytest.mark.parametrize("backend", ["chainer", "fail", "windows", "keyring.backends.SecretService.Keyring", ""])
def test_a_backend_that_is_not_known_is_refused(path: Path, backend: str) -> None:
    told = mistake(path, f'[vault]\nbackend = "{backend}"')
    assert told.endswith(f"must be one of {BACKENDS}")


def test_tokens_in_a_keyring_that_is_switched_off_are_refused(path: Path) -> None:
    told = mistake(path, '# mine\ntoken_store = "keyring"\n[vault]\nbackend = "off"\n')
    assert told.startswith('line 2: token_store is "keyring" while [vault] backend is "off"')
    assert told.endswith('choose a backend, or token_store = "shared"')
    assert load(path, 'token_store = "shared"\n[vault]\nbackend = "off"\n').vault_backend == "off"


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(path: Path) -> None:
    content = (
        'token_store = "disk"\nx = 1\n[notify]\nenabled = 1\n[vault]\nbackend = 2\nbakend = 3\n[valut]\n'
        '[metrics]\nlisten = "*:80"\n'
    )
    told = mistake(path, content).split("; ")
    assert [part.split(" (")[0].split(",")[0] for part in told] == [
        'line 1: token_store is "disk"',
        "line 2: there is no key x",
        "line 4: [notify] enabled is 1",
        "line 6: [vault] backend is 2",
        "line 7: there is no key [vault] bakend",
        "line 8: there is no table [valut]",
        'line 10: [metrics] listen is "*:80"',
    ]


def test_of_very_many_mistakes_the_first_are_told_and_the_rest_counted(path: Path) -> None:
    told = mistake(path, "".join(f"x{number} = 1\n" for number in range(settings.MOST_TOLD + 3))).split("; ")
    assert len(told) == settings.MOST_TOLD + 1
    assert told[-1] == "and 3 mistakes more"


def test_nesting_that_only_just_can_be_read_is_told_all_the_same(path: Path) -> None:
    for depth in range(100, 700, 3):
        told = mistake(path, "x = " + "[" * depth + "]" * depth)
        assert told in {"line 1: there is no key x", "is not TOML: it is nested too deeply"}


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=100), st.text(alphabet="tokensrvaulbcdgfi_=\"'[]{}. #\n1", max_size=60)))
def test_any_content_is_settings_or_a_configuration_error(path: Path, content: bytes | str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with contextlib.suppress(ConfigError):
        settings.load(path)


# -- strange files ----------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_utf8_is_told(path: Path) -> None:
    assert mistake(path, b"# caf\xe9\n") == "line 1: is not UTF-8 text"
    assert mistake(path, b"\n\n# caf\xe9\n") == "line 3: is not UTF-8 text"


def test_a_file_that_is_too_large_is_told(path: Path) -> None:
    assert mistake(path, b"#" * (settings.LARGEST + 1)) == "is larger than 256 KiB"


def test_a_directory_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match="is not a regular file"):
        settings.load(path)


def test_a_fifo_hangs_nobody(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        settings.load(path)


def test_a_loop_of_links_is_told(path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        settings.load(path)


def test_a_link_is_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text('token_store = "keyring"')
    path.symlink_to(tmp_path / "dotfiles")
    assert settings.load(path).token_store == "keyring"


def test_the_empty_device_is_an_empty_file() -> None:
    assert settings.load(Path("/dev/null")) == Settings()
    with pytest.raises(ConfigError, match="larger"):
        settings.load(Path("/dev/zero"))


@pytest.mark.skipif(sys.platform != "linux", reason="a file that even root can open and not read is Linux's")
def test_a_file_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ConfigError, match="/proc/self/mem: cannot be read: "):
        settings.load(Path("/proc/self/mem"))


# -- where it lies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "/home/u/.config/credhelper/config.toml"),
        ({b"XDG_CONFIG_HOME": b"/x"}, "/x/credhelper/config.toml"),
        ({b"XDG_CONFIG_HOME": b"relative"}, "/home/u/.config/credhelper/config.toml"),
        ({b"XDG_CONFIG_HOME": b"/x", b"CREDHELPER_CONFIG": b"/y/z.toml"}, "/y/z.toml"),
        ({b"CREDHELPER_CONFIG": b""}, "/home/u/.config/credhelper/config.toml"),
    ],
)
def test_its_place_follows_the_environment(env: dict[bytes, bytes], expected: str) -> None:
    assert places.settings_file({b"HOME": b"/home/u"} | env) == Path(expected)


def test_a_relative_place_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"CREDHELPER_CONFIG is not an absolute path: \./x"):
        places.settings_file({b"HOME": b"/home/u", b"CREDHELPER_CONFIG": b"./x"})


def test_sealed_files_lie_in_a_directory_of_this_hosts(tmp_path: Path) -> None:
    assert places.vault_directory(tmp_path) == tmp_path / f"vault-{os.uname().nodename}"
