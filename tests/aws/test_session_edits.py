"""What else changes when a session's keys do: the profiles that repeat them, and the section that exists."""

from pathlib import Path

import pytest

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths, Configuration
from credhelper.aws.editing import config_edits, session_edits
from credhelper.aws.editing.config_edits import Edit
from credhelper.domain.errors import ConfigError

REPEATING = """\
# the company's
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
note = kept

[profile native]
sso_session = corp
sso_start_url = https://corp.awsapps.com/start
sso_account_id = 111122223333
sso_role_name = Developer

[profile adopted]
credhelper_sso_session = corp
credhelper_sso_region = us-east-1
credhelper_sso_account_id = 111122223333
credhelper_sso_role_name = Developer

[profile other]
sso_session = lab
sso_region = us-east-1
"""


def read(directory: Path, config: str, credentials: str = "") -> Configuration:
    paths = ConfigPaths(directory / "config", directory / "credentials")
    paths.config.write_text(config)
    paths.credentials.write_text(credentials)
    return config_file.load(paths)


def changed(configuration: Configuration, edits: list[Edit]) -> list[str]:
    """The lines that are new, after the edits have been written."""
    before = configuration.paths.config.read_text().splitlines()
    config_edits.plan(configuration.paths.config, edits).write(backup=False)
    return [line for line in configuration.paths.config.read_text().splitlines() if line not in before]


def test_a_session_that_is_not_there_is_made(tmp_path: Path) -> None:
    configuration = read(tmp_path, "[default]\nregion = eu-west-1\n")
    lines = changed(configuration, session_edits.of_session(configuration, "co rp", {"sso_region": "eu-west-1"}))
    assert lines == ["", '[sso-session "co rp"]', "sso_region = eu-west-1"]
    assert config_file.load(configuration.paths).sso_sessions["co rp"] == {"sso_region": "eu-west-1"}


def test_what_is_as_it_should_be_needs_no_edit(tmp_path: Path) -> None:
    configuration = read(tmp_path, REPEATING)
    assert session_edits.of_session(configuration, "corp", {"sso_region": "us-east-1"}) == []


def test_profiles_that_repeat_a_key_change_with_their_session(tmp_path: Path) -> None:
    configuration = read(tmp_path, REPEATING)
    keys = {"sso_start_url": "https://new.awsapps.com/start", "sso_region": "eu-west-1"}
    lines = changed(configuration, session_edits.of_session(configuration, "corp", keys))
    assert lines == [
        "sso_start_url = https://new.awsapps.com/start",
        "sso_region = eu-west-1",
        "sso_start_url = https://new.awsapps.com/start",
        "credhelper_sso_region = eu-west-1",
    ]
    after = config_file.load(configuration.paths)
    assert after.session_of("native") == after.session_of("adopted") == after.sso_session("corp")
    assert after.sso_sessions["corp"]["note"] == "kept"
    assert after.profiles["other"]["sso_region"] == "us-east-1"


@pytest.mark.parametrize("header", ["[default]", "[profile default]"])
@pytest.mark.parametrize("prefix", ["sso_", "credhelper_sso_"])
def test_a_legacy_default_profile_keeps_the_section_it_has(tmp_path: Path, header: str, prefix: str) -> None:
    """A second section of another spelling would hide the first one (aws-cli's defect)."""
    text = f"{header}\n{prefix}start_url = https://aws.example.com\n{prefix}region = us-east-1\noutput = json\n"
    configuration = read(tmp_path, text)
    lines = changed(configuration, session_edits.of_legacy_region(configuration, "default", "eu-west-1"))
    assert lines == [f"{prefix}region = eu-west-1"]
    assert config_file.load(configuration.paths).session_of("default").region == "eu-west-1"


def test_a_chained_profiles_region_is_that_of_the_profile_below(tmp_path: Path) -> None:
    legacy = "[profile base]\nsso_start_url = https://aws.example.com\nsso_region = us-east-1\n"
    chained = "[profile top]\nrole_arn = arn:aws:iam::111122223333:role/R\nsource_profile = base\n"
    configuration = read(tmp_path, legacy + chained)
    lines = changed(configuration, session_edits.of_legacy_region(configuration, "top", "eu-west-1"))
    assert lines == ["sso_region = eu-west-1"]


def test_nothing_is_ever_written_to_the_credentials_file(tmp_path: Path) -> None:
    configuration = read(tmp_path, REPEATING, "[native]\nsso_region = us-east-1\n[old]\nsso_region = us-east-1\n")
    with pytest.raises(ConfigError, match=r"credentials: \[native\] has sso_region"):
        session_edits.of_session(configuration, "corp", {"sso_region": "eu-west-1"})
    with pytest.raises(ConfigError, match=r"credentials: \[old\] has sso_region"):
        session_edits.of_legacy_region(configuration, "old", "eu-west-1")
