"""The AWS configuration files, read as botocore reads them, with mistakes told by file, section and key."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.configloader
import botocore.exceptions
import botocore.session
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import Role, SsoSession

START = "https://corp.awsapps.com/start"
CORP = f"[sso-session corp]\nsso_start_url = {START}\nsso_region = eu-west-1\n"
DEV = "[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Developer\n"

Load = Callable[..., Configuration]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A home with these two files."""

    def loaded(config: str | bytes, credentials: str | None = None) -> Configuration:
        directory = tmp_path / ".aws"
        directory.mkdir(exist_ok=True)
        content = config if isinstance(config, bytes) else config.encode()
        (directory / "config").write_bytes(content)
        if credentials is not None:
            (directory / "credentials").write_text(credentials)
        return config_file.load(ConfigPaths.of({"HOME": str(tmp_path)}))

    return loaded


def mistake(work: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        work()
    return caught.value.message


# -- as botocore does ---------------------------------------------------------------------------------------------

AWKWARD = [
    "",
    "\n\n# nothing\n; at all\n",
    "[default]\nregion = eu-west-1\n",
    "[profile default]\nregion = eu-west-1\n",
    "[default]\na = 1\nb = 2\n[profile default]\na = 3\n",
    "[profile default]\na = 3\n[default]\na = 1\nb = 2\n",
    "[profile dev]\nregion = eu-west-1\n",
    '[profile "my profile"]\nregion = eu-west-1\n',
    "[profile 'my profile']\nregion = eu-west-1\n",
    "[profile my profile]\nregion = eu-west-1\n",
    "[profile my\\ profile]\nregion = eu-west-1\n",
    "[profile  spaced]\nregion = x\n",
    "[ profile dev]\nregion = x\n",
    "[profile dev ]\nregion = x\n",
    "[profile\tdev]\nregion = x\n",
    "[dev]\nregion = x\n",
    "[profile]\nregion = x\n",
    '[profile ""]\nregion = x\n',
    '[profile "]\nregion = x\n',
    "[profiles dev]\nregion = x\n",
    "[profile-x dev]\nregion = x\n",
    "[Profile dev]\nregion = x\n",
    "[PROFILE dev]\nregion = x\n",
    "[profile Dev]\nregion = x\n[profile dev]\nregion = y\n",
    "[profile büro]\nregion = x\n[profile 日本]\nregion = y\n",
    "[profile a]\nREGION = x\nSso_Session = corp\n",
    "[profile a]\nregion : x\nurl : https://a:b@c\n",
    "[profile a]\nregion=x # a comment?\nother = y ; another\n",
    "[profile a]\nregion =\n",
    "[profile a]\nregion = x = y\n",
    "[profile a]\nregion = %(home)s %s 100%\n",
    "[profile a]\ns3 =\n  max = 1\n  addressing_style = path\nregion = x\n",
    "[profile a]\nregion = x\n  continued\n  more\n",
    "[profile a]\nregion = x\n\n  after a gap\n",
    "[profile a]\n# comment\n  # indented comment\nregion = x\n",
    "[profile a]\n   region = x\n",
    "[profile a]\nregion = x\n\toutput = y\n",
    "[profile a]\r\nregion = x\r\noutput = json\r\n",
    "[profile a]\rregion = x\routput = json\r",
    "[profile a]\nregion = x\x0coutput = y\x85\u2028\n",
    "[profile a]\nregion = x",
    "[sso-session corp]\nsso_region = x\n",
    '[sso-session "my corp"]\nsso_region = x\n',
    "[sso-session]\nsso_region = x\n",
    "[sso-sessions corp]\nsso_region = x\n",
    "[sso-session a]\nx = 1\n[sso-session b]\nx = 2\n[profile c]\nx = 3\n",
    "[services s]\nsso =\n  endpoint_url = http://x\n[profile a]\nservices = s\n",
    "[plugins]\nx = y\n[preview]\nz = 1\n[profile a]\nx = 1\n",
    "[DEFAULT]\nregion = x\n[profile a]\noutput = y\n",
    "[profile a#b]\nx = 1\n[profile c;d]\nx = 2\n",
    "[profile a]b]\nx = 1\n",
    '[profile "a#b"]\nx = 1\n',
    "[profile a@b/c.d-e_f]\nx = 1\n",
    "[profile a]\nx = 1\n[profile a]\ny = 2\n",
    "[profile a]\nx = 1\nX = 2\n",
    "[profile a]\nx = 1\nx = 2\n",
    "[profile a]\nx = 1\n[profile 'a']\ny = 2\n",
    "x = 1\n[profile a]\n",
    "[profile a\nx = 1\n",
    "[profile a]\nnonsense\n",
    "[profile a]\n= x\n",
    "[]\nx = 1\n",
    "[profile a] trailing\nx = 1\n",
    "\ufeff[profile a]\nx = 1\n",
    "[profile a]\nx = \ud83d\udd11\n".encode("utf-16", "surrogatepass").decode("utf-16"),
]


def theirs(path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        found = botocore.configloader.load_config(str(path))
    except botocore.exceptions.BotoCoreError:
        return None
    return found["profiles"], found["sso_sessions"]


def ours(path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    try:
        found = config_file.load(ConfigPaths(path, path.with_name("none")))
    except ConfigError:
        return None
    return {n: dict(k) for n, k in found.profiles.items()}, {n: dict(k) for n, k in found.sso_sessions.items()}


def flat(found: tuple[dict[str, Any], dict[str, Any]] | None) -> object:
    """Nested values, which no key of ours has, count as being there."""
    if found is None:
        return None
    return [
        {
            name: {
                key: "nested" if isinstance(value, dict) or value.startswith("\n") else value
                for key, value in keys.items()
            }
            for name, keys in part.items()
        }
        for part in found
    ]


@pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
def test_a_file_means_what_it_means_to_botocore(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text, newline="")
    expected = theirs(path)
    assert flat(ours(path)) == flat(expected)
    if expected is not None:
        found = ours(path)
        assert found is not None
        assert [list(part) for part in found] == [list(part) for part in expected]


pieces = st.sampled_from(
    ["[profile a]", "[profile b]", '[profile "a b"]', "[default]", "[sso-session s]", "[x", "a = 1", "A=2", "b: 3",
     "  c = 4", "c =", "# d", "; e", "", "x", "b = 'q' # r", "[profile a b]", "[sso-session  't u']", "s3 =\n  k = v"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=8).map("\n".join))
def test_no_file_means_something_else_to_botocore(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text, newline="")
    assert flat(ours(path)) == flat(theirs(path))


def test_the_credentials_file_is_laid_over_the_config_file(tmp_path: Path, load: Load) -> None:
    config = "[profile a]\nregion = x\noutput = json\n[default]\nregion = y\n"
    credentials = "[a]\nregion = z\naws_access_key_id = k\n[new]\nregion = n\n[profile a]\nregion = odd\n"
    found = load(config, credentials)
    session = botocore.session.Session()
    session.set_config_variable("config_file", str(tmp_path / ".aws" / "config"))
    session.set_config_variable("credentials_file", str(tmp_path / ".aws" / "credentials"))
    assert {name: dict(keys) for name, keys in found.profiles.items()} == session.full_config["profiles"]


def test_sso_sessions_in_the_credentials_file_are_none(load: Load) -> None:
    assert load("", CORP).sso_sessions == {}


def test_sso_keys_in_the_credentials_file_are_honoured(load: Load) -> None:
    found = load(CORP, DEV.replace("[profile dev]", "[dev]"))
    assert found.role_of("dev").role_name == "Developer"


def test_missing_files_are_empty(tmp_path: Path) -> None:
    found = config_file.load(ConfigPaths.of({"HOME": str(tmp_path)}))
    assert (found.profiles, found.sso_sessions) == ({}, {})


# -- where they are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, "/home/u/.aws/config"),
        ("", "/home/u/.aws/config"),
        ("/etc/aws", "/etc/aws"),
        ("~/other", "/home/u/other"),
        ("~", "/home/u"),
        ("$HOME/other", "/home/u/other"),
        ("${HOME}/other", "/home/u/other"),
        ("$HOMER/other", "/work/dir/$HOMER/other"),
        ("relative", "/work/dir/relative"),
        ("../up", "/work/up"),
        ("./~/x", "/work/dir/~/x"),
        ("/a/./b/../c", "/a/c"),
    ],
)
def test_the_callers_variables_name_the_files(variable: str | None, expected: str) -> None:
    environment = {"HOME": "/home/u"}
    if variable is not None:
        environment |= {"AWS_CONFIG_FILE": variable, "AWS_SHARED_CREDENTIALS_FILE": variable}
    paths = ConfigPaths.of(environment, "/work/dir")
    assert paths.config == Path(expected)
    if variable:
        assert paths.credentials == Path(expected)


def test_a_home_with_a_backslash_is_taken_as_it_is() -> None:
    assert ConfigPaths.of({"HOME": r"/home/\1", "AWS_CONFIG_FILE": "$HOME/c"}).config == Path(r"/home/\1/c")


# -- profiles and sessions ----------------------------------------------------------------------------------------

SESSION = SsoSession("corp", START, "eu-west-1")


def test_a_native_profile(load: Load) -> None:
    found = load(CORP + DEV)
    assert found.session_of("dev") == SESSION
    assert found.role_of("dev") == Role(SESSION, "111122223333", "Developer")
    assert found.roles() == {"dev": Role(SESSION, "111122223333", "Developer")}


def test_a_legacy_profile(load: Load) -> None:
    found = load(
        f"[profile old]\nsso_start_url = {START}\nsso_region = eu-west-1\nsso_account_id = 111122223333\n"
        "sso_role_name = R\nsso_registration_scopes = a:b\n"
    )
    assert found.role_of("old") == Role(SsoSession(None, START, "eu-west-1"), "111122223333", "R")


def test_an_adopted_profile(load: Load) -> None:
    adopted = DEV.replace("sso_", "credhelper_sso_") + "credential_process = /usr/bin/python3 -IS /x/client.py dev\n"
    assert load(CORP + adopted).role_of("dev") == Role(SESSION, "111122223333", "Developer")


def test_an_adopted_legacy_profile(load: Load) -> None:
    found = load(
        f"[profile old]\ncredhelper_sso_start_url = {START}\ncredhelper_sso_region = eu-west-1\n"
        "credhelper_sso_account_id = 111122223333\ncredhelper_sso_role_name = R\n"
    )
    assert found.role_of("old").session == SsoSession(None, START, "eu-west-1")


def test_role_and_account_are_not_needed_to_log_in(load: Load) -> None:
    found = load(CORP + "[profile dev]\nsso_session = corp\n")
    assert found.session_of("dev") == SESSION
    assert "sso_account_id is missing" in mistake(lambda: found.role_of("dev"))


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        (None, None),
        ("", ()),
        (" ", ()),
        ("sso:account:access", ("sso:account:access",)),
        (" scope-1, scope-2 ", ("scope-1", "scope-2")),
        ("scope, ", ("scope",)),
        (",,b,,a,", ("b", "a")),
    ],
)
def test_scopes_are_read_as_the_aws_cli_reads_them(
    load: Load, text: str | None, scopes: tuple[str, ...] | None
) -> None:
    more = "" if text is None else f"sso_registration_scopes = {text}\n"
    assert load(CORP + more).sso_session("corp").scopes == scopes


def test_sessions_come_in_file_order_then_legacy_start_urls_once_each(load: Load) -> None:
    legacy = f"sso_start_url = {START}\nsso_region = eu-west-1\n"
    found = load(
        f"[profile z]\n{legacy}[sso-session b]\n{legacy}[profile y]\n{legacy}[sso-session a]\n{legacy}"
        "[sso-session half]\nx=1\n"
    )
    sessions, mistakes = found.sessions()
    assert [session.label for session in sessions] == ["b", "a", START]
    assert len(mistakes) == 1
    assert "[sso-session half]" in mistakes[0].message


@pytest.mark.parametrize("separator", ["", "/", "#", "#/"])
def test_start_urls_are_taken_as_they_are_written(load: Load, separator: str) -> None:
    found = load(CORP.replace(START, START + separator))
    assert found.sso_session("corp").start_url == START + separator


# -- mistakes -----------------------------------------------------------------------------------------------------

MISTAKES = [
    ("[profile dev]\nregion = x\n", "[profile dev]", "sso_session"),
    ("[default]\nregion = x\n[profile dev]\nsso_session = nope\n", "[sso-session nope]", "there is no section"),
    ("[sso-session corp]\nsso_region = x\n" + DEV, "[sso-session corp]", "sso_start_url is missing"),
    (f"[sso-session corp]\nsso_start_url = {START}\n" + DEV, "[sso-session corp]", "sso_region is missing"),
    ("[sso-session corp]\n" + DEV, "[sso-session corp]", "sso_start_url is missing"),
    (CORP.replace("https:", "http:") + DEV, "[sso-session corp]", "sso_start_url"),
    (CORP.replace(START, "corp.awsapps.com") + DEV, "[sso-session corp]", "sso_start_url"),
    (CORP.replace("eu-west-1", "eu-west-1.evil.example/") + DEV, "[sso-session corp]", "sso_region"),
    (CORP.replace("eu-west-1", "EU") + DEV, "[sso-session corp]", "sso_region"),
    (CORP + DEV.replace("111122223333", "1111"), "[profile dev]", "sso_account_id"),
    (CORP + DEV.replace("111122223333", "\u0661" * 12), "[profile dev]", "sso_account_id"),
    (CORP + DEV.replace("sso_account_id = 111122223333\n", ""), "[profile dev]", "sso_account_id is missing"),
    (CORP + DEV.replace("Developer", ""), "[profile dev]", "sso_role_name is missing"),
    (CORP + DEV + f"sso_start_url = {START}/\n", "[profile dev]", "sso_start_url"),
    (CORP + DEV + "sso_region = us-east-1\n", "[profile dev]", "sso_region"),
    (CORP + "region = a\n" + DEV + "region = b\n", "[profile dev]", "region"),
    (CORP + DEV.replace("sso_", "credhelper_sso_") + "credhelper_sso_region = x\n", "[profile dev]", "sso_region"),
    (f"[profile dev]\nsso_start_url = {START}\n", "[profile dev]", "sso_region is missing"),
    ("[profile dev]\nsso_account_id = 111122223333\nsso_role_name = R\n", "[profile dev]", "sso_session"),
    (CORP + DEV.replace("sso_", "credhelper_sso_").replace("corp", ""), "[profile dev]", "credhelper_sso_session"),
]


@pytest.mark.parametrize(("text", "section", "key"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_names_file_section_and_key(tmp_path: Path, load: Load, text: str, section: str, key: str) -> None:
    found = load(text)
    message = mistake(lambda: found.role_of("dev"))
    assert str(tmp_path / ".aws" / "config") in message
    assert section in message
    assert key in message
    assert found.roles() == {}


def test_keys_that_say_the_same_twice_are_fine(load: Load) -> None:
    assert load(CORP + DEV + f"sso_start_url = {START}\nsso_region = eu-west-1\n").role_of("dev")


def test_a_broken_profile_spoils_no_other(load: Load) -> None:
    found = load(CORP + DEV + "[profile bad]\nsso_session = nope\nsso_account_id = 1\n")
    assert list(found.roles()) == ["dev"]


@pytest.mark.parametrize("account", ["", "1", "1111222233334", "11112222333x", "\u0661" * 12, "111122223333\n"])
def test_an_account_option_is_12_digits(load: Load, account: str) -> None:
    assert "--account-id" in mistake(lambda: load(CORP).role("corp", account, "R"))


def test_a_role_option_must_not_be_empty(load: Load) -> None:
    assert "--role-name" in mistake(lambda: load(CORP).role("corp", "111122223333", ""))


def test_an_unknown_profile_is_told_with_the_file(tmp_path: Path, load: Load) -> None:
    message = mistake(lambda: load(CORP).role_of("no\x1b[31mbody"))
    assert str(tmp_path / ".aws" / "config") in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    "text",
    [
        "[a]\naws_secret_access_key = CANARY\naws_secret_access_key = CANARY\n",
        "[a]\naws_secret_access_key = CANARY\n[a]\n",
        "aws_secret_access_key = CANARY\n",
        "[a]\nCANARY\n",
        "[a\naws_secret_access_key = CANARY\n",
        "[a]\n= CANARY\n",
    ],
)
def test_a_file_that_cannot_be_parsed_is_told_with_its_line_and_without_a_value(
    tmp_path: Path, load: Load, text: str
) -> None:
    message = mistake(lambda: load("", text))
    assert str(tmp_path / ".aws" / "credentials") in message
    assert "line " in message
    assert "CANARY" not in message


def test_bytes_that_are_no_text_are_told(load: Load) -> None:
    assert "not UTF-8 text" in mistake(lambda: load(b"[profile a]\nx = \xff\n"))


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop"])
def test_something_else_in_the_files_place_neither_hangs_nor_crashes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    assert str(path) in mistake(lambda: config_file.load(ConfigPaths(path, tmp_path / "none")))


def test_a_link_to_the_file_is_followed(tmp_path: Path) -> None:
    """Dotfiles are often links."""
    (tmp_path / "real").write_text(CORP + DEV)
    (tmp_path / "config").symlink_to(tmp_path / "real")
    assert config_file.load(ConfigPaths(tmp_path / "config", tmp_path / "none")).role_of("dev")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        config_file.load(ConfigPaths(path, tmp_path / "none")).sessions()
