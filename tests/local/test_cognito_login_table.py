"""The ``[cognito_login.NAME]`` tables of ``config.toml``."""

import re
from pathlib import Path

import pytest

from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin, LoginMethod
from credhelper.local import cognito_login_table, settings
from tests.local.test_settings import SAMPLE

USERS = 'user_pool_id = "eu-west-1_AbC"\nclient_id = "4a"\n'
PROVIDER = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(path: Path, content: str) -> tuple[CognitoLogin, ...]:
    path.write_text(content)
    return settings.load(path).cognito_login


def mistake(path: Path, content: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, content)
    return caught.value.message.removeprefix(f"{path}: ")


def test_a_browser_login_says_whose_users_and_where_the_browser_comes_back_to(path: Path) -> None:
    assert load(path, f"[cognito_login.notes]\n{USERS}redirect_port = 8400\n") == (
        CognitoLogin(
            "notes", LoginMethod.BROWSER, PROVIDER, "eu-west-1_AbC", "4a", redirect_ports=(8400,), scopes=("openid",)
        ),
    )


def test_all_of_a_browser_login_can_be_said(path: Path) -> None:
    (login,) = load(
        path,
        f"[cognito_login.notes]\n{USERS}method = 'browser'\nredirect_port = [8400, 8401, 8400]\n"
        "scopes = ['openid', 'email']\ndomain = 'Login.example.com'\nidentity_provider = 'Okta'\nusername = 'alice'\n"
        "client_secret_command = 'secret-tool lookup app \"my notes\"'\n",
    )
    assert (login.redirect_ports, login.scopes, login.domain) == (
        (8400, 8401),
        ("openid", "email"),
        "https://login.example.com",
    )
    assert (login.identity_provider, login.username) == ("Okta", "alice")
    assert login.client_secret_command == ("secret-tool", "lookup", "app", "my notes")


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("notes", "https://notes.auth.eu-west-1.amazoncognito.com"),
        ("https://login.example.com/", "https://login.example.com"),
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    ],
)
def test_a_domain_may_be_a_prefix_or_an_address(path: Path, said: str, address: str) -> None:
    (login,) = load(path, f"[cognito_login.notes]\n{USERS}redirect_port = 8400\ndomain = '{said}'\n")
    assert login.domain == address


def test_a_command_speaks_for_any_provider_or_for_a_user_pool(path: Path) -> None:
    google, pool = load(
        path,
        '[cognito_login.google]\nmethod = "command"\nprovider = "accounts.google.com"\n'
        'token_command = "gcloud auth print-identity-token"\n'
        '[cognito_login.pool]\nuser_pool_id = "eu-west-1_AbC"\ntoken_command = ["cat", "my token"]\n',
    )
    assert (google.provider, google.token_command) == (
        "accounts.google.com",
        ("gcloud", "auth", "print-identity-token"),
    )
    assert (pool.method, pool.provider, pool.token_command) == (LoginMethod.COMMAND, PROVIDER, ("cat", "my token"))


def test_the_words_of_a_command_are_not_shown(path: Path) -> None:
    (login,) = load(path, '[cognito_login.x]\nprovider = "x"\ntoken_command = "print --password hunter2"\n')
    assert "hunter2" not in repr(login)


@pytest.mark.parametrize(
    ("pool", "provider"),
    [
        ("cn-north-1_x", "cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x"),
        ("us-gov-west-1_x", "cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_x"),
        ("us-isob-east-1_x", "cognito-idp.us-isob-east-1.sc2s.sgov.gov/us-isob-east-1_x"),
    ],
)
def test_the_provider_is_the_issuer_of_the_user_pools_partition(pool: str, provider: str) -> None:
    assert cognito_login_table.provider_of(pool) == provider


X = "[cognito_login.x]\n"
BAD = {
    "cognito_login = 3": "line 1: cognito_login is 3, and must be a table: [cognito_login.NAME]",
    "[[cognito_login]]\nname = 'x'": "line 1: cognito_login is a list, and must be a table: [cognito_login.NAME]",
    "[cognito_login]\nmethod = 'srp'": 'line 2: [cognito_login] method is "srp", and there are only tables with a name',
    "[cognito-login.x]": "line 1: there is no table [cognito-login] (did you mean [cognito_login.NAME]?)",
    f'[cognito_login."a b"]\n{USERS}method = "srp"': "line 1: [cognito_login.a b] must have a name of 1 to 64 letters",
    f"{X}{USERS}method = 'password'": 'line 4: [cognito_login.x] method is "password", and must be one of "browser"',
    f"{X}{USERS}methd = 'srp'\nredirect_port = 8400": "line 4: there is no key [cognito_login.x] methd (did you mean",
    f"{X}{USERS}": 'line 1: [cognito_login.x] redirect_port is missing: with method = "browser", the browser',
    f"{X}method = 'srp'\nclient_id = '4a'": "line 1: [cognito_login.x] user_pool_id is missing",
    f"{X}method = 'srp'\nuser_pool_id = 'eu-west-1_x'": "line 1: [cognito_login.x] client_id is missing",
    f"{X}method = 'command'\nprovider = 'x'": "line 1: [cognito_login.x] token_command is missing",
    f"{X}token_command = 'x'": "line 1: [cognito_login.x] provider is missing: it says whose token",
    f"{X}{USERS}method = 'srp'\nredirect_port = 8400": "line 5: [cognito_login.x] redirect_port is for method =",
    f"{X}{USERS}method = 'srp'\ntoken_command = 'x'": "line 5: [cognito_login.x] token_command is for method =",
    f"{X}{USERS}redirect_port = 80": "line 4: [cognito_login.x] redirect_port is 80, and must be a whole number",
    f"{X}{USERS}redirect_port = []": "line 4: [cognito_login.x] redirect_port must be a port or a list of 1 to 8",
    f"{X}{USERS}redirect_port = 8400\nscopes = 'email'": 'line 5: [cognito_login.x] scopes must have "openid"',
    f"{X}{USERS}redirect_port = 8400\nscopes = 3": "line 5: [cognito_login.x] scopes is 3, and must be scopes such as",
    f"{X}{USERS}redirect_port = 8400\ndomain = 'http://login.example.com'": "line 5: [cognito_login.x] domain is",
    f"{X}{USERS}redirect_port = 8400\nusername = ''": 'line 5: [cognito_login.x] username is "", and must be a text',
    f"{X}client_id = 'x'\nmethod = 'srp'\nuser_pool_id = 'eu-west-1:x'": "line 4: [cognito_login.x] user_pool_id is"
    ' "eu-west-1:x", and must be a user pool\'s id such as "eu-west-1_AbCdEf123" (that is an identity pool\'s)',
    f"{X}provider = 'a b'\ntoken_command = 'x'": 'line 2: [cognito_login.x] provider is "a b", and must be a',
    f"{X}user_pool_id = 'eu_x'\ntoken_command = 'x'": 'line 2: [cognito_login.x] user_pool_id is "eu_x", and must be a',
    f"{X}provider = 'https://x.example'\ntoken_command = 'x'": 'line 2: [cognito_login.x] provider is "https://x.exam',
    f"{X}provider = 'x'\ntoken_command = '\"'": "line 3: [cognito_login.x] token_command cannot be split into words",
    f"{X}provider = 'x'\ntoken_command = []": "line 3: [cognito_login.x] token_command must be a program and its",
    f"{X}provider = 'x'\ntoken_command = ''": "line 3: [cognito_login.x] token_command must be a program and its",
}


@pytest.mark.parametrize("content", BAD, ids=map(str, range(len(BAD))))
def test_a_mistake_is_told_with_its_line(path: Path, content: str) -> None:
    assert mistake(path, content).startswith(BAD[content])


def test_there_is_an_end_to_tables(path: Path) -> None:
    tables = "".join(f'[cognito_login.t{number}]\nprovider = "x"\ntoken_command = "x"\n' for number in range(65))
    assert mistake(path, tables) == "line 193: there are more than 64 [cognito_login] tables"


def test_a_change_of_a_table_has_a_name(path: Path) -> None:
    before = settings.load(path)
    load(path, f"[cognito_login.x]\n{USERS}method = 'srp'\n")
    assert settings.changes(before, settings.load(path)) == ["[cognito_login.NAME]"]


def test_the_tables_that_the_sample_shows_are_logins_and_name_every_key(path: Path) -> None:
    shown = SAMPLE.read_text().partition("# [cognito_login.notes]")
    text = (shown[1] + shown[2].partition("\n\n")[0]).replace("\n#", "\n").removeprefix("#")
    notes, google = load(path, text.replace("\n ", "\n"))
    assert (notes.name, notes.method, notes.redirect_ports) == ("notes", LoginMethod.BROWSER, (8400, 8401))
    assert (google.name, google.provider) == ("google", "accounts.google.com")
    assert set(re.findall(r"^ ?(\w+) = ", text, re.MULTILINE)) == set(cognito_login_table.KEYS)
