"""credhelper's own config.toml: complete without being there, and all its mistakes told at once."""

import contextlib
import dataclasses
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.domain.errors import ConfigError
from credhelper.local import places, settings
from credhelper.local.settings import Settings

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


@pytest.mark.parametrize("content", ["", "# nothing\n", "[vault]\n"])
def test_a_file_that_says_nothing_changes_nothing(path: Path, content: str) -> None:
    assert load(path, content) == Settings()


def test_every_key_can_be_set(path: Path) -> None:
    content = 'token_store = "keyring"\n[vault]\nbackend = "secret-service"\n'
    assert load(path, content) == Settings(token_store="keyring", vault_backend="secret-service")


@pytest.mark.parametrize("backend", ["auto", "secret-service", "kwallet", "macos", "off"])
def test_each_backend_can_be_named(path: Path, backend: str) -> None:
    assert load(path, f'[vault]\nbackend = "{backend}"\n').vault_backend == backend


def test_the_sample_names_every_key_with_its_default(path: Path) -> None:
    assert settings.load(SAMPLE) == Settings()
    text = SAMPLE.read_text()
    for key in settings.KEYS:
        assert f"\n{key.name} = " in text
        changed = text.replace(f'\n{key.name} = "{getattr(Settings(), key.field)}"', f"\n{key.name} = 1")
        assert mistake(path, changed).startswith(f"{key.label} is 1, ")


def test_every_key_has_a_field_whose_default_it_allows() -> None:
    defaults = dataclasses.asdict(Settings())
    assert {key.field for key in settings.KEYS} == set(defaults)
    for key in settings.KEYS:
        assert key.checked(defaults[key.field]) == defaults[key.field]


# -- mistakes ---------------------------------------------------------------------------------------------------------


def test_a_wrong_value_is_told_with_what_is_allowed(path: Path) -> None:
    assert mistake(path, 'token_store = "disk"') == 'token_store is "disk", and must be one of "shared", "keyring"'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1", "1"),
        ("true", "true"),
        ("['shared']", "a list"),
        ("2026-01-01", "2026-01-01"),
        ("'" + "x" * 900 + "'", f'"{"x" * 40}…"'),
        ('"\\u001b[31m\\n"', '" [31m "'),
    ],
)
def test_a_wrong_value_is_shown_short_and_harmless(path: Path, value: str, shown: str) -> None:
    assert mistake(path, f"token_store = {value}").startswith(f"token_store is {shown}, ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("token_stor = 1", "there is no key token_stor (did you mean token_store?)"),
        ("token-store = 1", "there is no key token-store (did you mean token_store?)"),
        ("backend = 1", "there is no key backend (did you mean [vault] backend?)"),
        ("quite_other = 1", "there is no key quite_other"),
        ("[vault]\nbackends = 1", "there is no key [vault] backends (did you mean [vault] backend?)"),
        ("[vault]\ntoken_store = 1", "there is no key [vault] token_store (did you mean token_store?)"),
        ("[Vault]\nbackend = 1", "there is no table [Vault] (did you mean [vault]?)"),
        ("[other]\nbackend = 1", "there is no table [other]"),
        ("vault = 'off'", 'vault is "off", and must be a table: [vault]'),
        ("[[vault]]\nbackend = 'off'", "vault is a list, and must be a table: [vault]"),
    ],
)
def test_what_is_unknown_is_told_with_what_was_meant(path: Path, content: str, expected: str) -> None:
    assert mistake(path, content) == expected


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
    assert told.endswith('must be one of "auto", "secret-service", "kwallet", "macos", "off"')


def test_tokens_in_a_keyring_that_is_switched_off_are_refused(path: Path) -> None:
    told = mistake(path, 'token_store = "keyring"\n[vault]\nbackend = "off"\n')
    assert told.startswith('token_store is "keyring" while [vault] backend is "off"')
    assert told.endswith('choose a backend, or token_store = "shared"')
    assert load(path, 'token_store = "shared"\n[vault]\nbackend = "off"\n').vault_backend == "off"


def test_every_mistake_is_told_at_once(path: Path) -> None:
    told = mistake(path, 'token_store = "disk"\nx = 1\n[vault]\nbackend = 2\nbakend = 3\n[valut]\n').split("; ")
    assert [part.split(" (")[0].split(",")[0] for part in told] == [
        'token_store is "disk"',
        "there is no key x",
        "[vault] backend is 2",
        "there is no key [vault] bakend",
        "there is no table [valut]",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [("token_store = shared", 1), ("\n\n[vault\n", 3), ("a = 1\na = 2\n", 2), ("[vault]\n[vault]\n", 2)],
)
def test_what_is_not_toml_is_told_with_its_line(path: Path, content: str, line: int) -> None:
    told = mistake(path, content)
    assert told.startswith("is not TOML: ")
    assert f"line {line}," in told


@pytest.mark.parametrize("content", ["x = " + "[" * 100_000, "x = " + "9" * 10_000], ids=["depth", "digits"])
def test_what_no_parser_survives_is_a_mistake_like_another(path: Path, content: str) -> None:
    assert mistake(path, content).startswith("is not TOML: ")


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=100), st.text(alphabet="tokensrvaulbcd_=\"'[]. \n1", max_size=60)))
def test_any_content_is_settings_or_a_configuration_error(path: Path, content: bytes | str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with contextlib.suppress(ConfigError):
        settings.load(path)


# -- strange files ----------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_utf8_is_told(path: Path) -> None:
    assert mistake(path, b"# caf\xe9\n") == "is not UTF-8 text (byte 5)"


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
