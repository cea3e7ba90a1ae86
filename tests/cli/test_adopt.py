"""`credhelper configure adopt` and `release` on a home's files: what they print, change and leave."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from credhelper.cli.main import main
from credhelper.local import installation

CONFIG = """\
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1

[profile native]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Administrator

[profile legacy]
sso_start_url = https://old.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = ReadOnly

[profile deploy]
role_arn = arn:aws:iam::222233334444:role/Deploy
source_profile = native
mfa_serial = arn:aws:iam::222233334444:mfa/me
"""
FOREIGN = "\n[profile foreign]\ncredential_process = /opt/tool\n"
HALF = FOREIGN + "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Developer\n"


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Home:
    """A home with a config file, in which commands run without a terminal."""

    path: Path
    capture: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        return self.path / ".aws" / "config"

    @property
    def client(self) -> Path:
        return self.path / ".local" / "share" / "credhelper" / "client.py"

    def run(self, *words: str) -> Ended:
        """`credhelper configure WORDS`."""
        status = main(["configure", *words])
        out, err = self.capture.readouterr()
        return Ended(status, out, err)

    def backups(self) -> list[Path]:
        return sorted(path for path in self.config.parent.iterdir() if path != self.config)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    return Home(tmp_path, capsys)


def test_release_undoes_adopt_and_both_keep_the_file_as_it_was(home: Home) -> None:
    os.chmod(home.config, 0o640)
    adopted = home.run("adopt", "--all", "--yes")
    assert adopted.status == 0, adopted.err
    text = home.config.read_text()
    line = installation.process_line("native", home.client, installation.base_interpreter())
    assert f"credhelper_sso_role_name = Administrator\ncredential_process = {line}\n" in text
    assert home.client.is_file()
    [backup] = home.backups()
    assert backup.read_text() == CONFIG
    assert str(backup) in adopted.err
    assert "+credhelper_sso_session = corp" in adopted.out.splitlines()
    assert "-sso_session = corp" in adopted.out.splitlines()

    released = home.run("release", "--all", "--yes")
    assert released.status == 0, released.err
    assert home.config.read_text() == CONFIG
    assert home.config.stat().st_mode & 0o777 == 0o640


def test_what_changes_for_the_person_is_said(home: Home) -> None:
    said = " ".join(home.run("adopt", "--all", "--diff").err.split())
    assert "`aws sso login --profile` no longer knows native: log in with `aws sso login --sso-session corp` or" in said
    assert "no longer knows legacy: log in with `credhelper login --profile legacy`." in said
    assert "no longer asks for the MFA code of deploy: `credhelper login --profile deploy` does." in said


@pytest.mark.parametrize("verb", ["adopt", "release"])
def test_a_difference_alone_changes_nothing(home: Home, verb: str) -> None:
    if verb == "release":
        home.run("adopt", "--all", "--yes")
    before, files = home.config.read_bytes(), home.backups()
    shown = home.run(verb, "--all", "--diff")
    assert shown.status == 0
    assert len([line for line in shown.out.splitlines() if line[:1] in "+-"]) > 10
    assert (home.config.read_bytes(), home.backups()) == (before, files)
    assert home.client.exists() == (verb == "release")


@pytest.mark.parametrize(("words", "hint"), [(["--all"], "--all"), (["--profile", "native"], "--profile native")])
def test_without_a_terminal_and_without_yes_nothing_changes(home: Home, words: list[str], hint: str) -> None:
    refused = home.run("adopt", *words)
    assert refused.status == 2
    assert f"credhelper: hint: credhelper configure adopt {hint} --yes" in refused.err
    assert home.config.read_text() == CONFIG
    assert home.backups() == []
    assert not home.client.exists()


@pytest.mark.parametrize("words", [[], ["--all", "--profile", "native"], ["--profile", ""]])
def test_which_profiles_has_to_be_said_in_one_way(home: Home, words: list[str]) -> None:
    assert home.run("adopt", "--yes", *words).status == 2
    assert home.run("release", "--yes", *words).status == 2
    assert home.config.read_text() == CONFIG


def test_a_profile_that_is_not_there_keeps_the_others_from_being_changed(home: Home) -> None:
    missing = home.run("adopt", "--profile", "native", "--profile", "gone", "--yes")
    assert (missing.status, missing.out) == (4, "")
    assert "“gone”" in missing.err
    assert home.config.read_text() == CONFIG


def test_what_cannot_be_done_is_listed_and_the_rest_is_done(home: Home) -> None:
    home.config.write_text(CONFIG + HALF)
    part = home.run("adopt", "--all", "--yes")
    assert part.status == 8
    assert "cannot adopt the profile “foreign”: its credential_process runs another tool" in part.err
    text = home.config.read_text()
    assert text.endswith(HALF)
    assert "credhelper_sso_start_url" in text
    again = home.run("adopt", "--all", "--yes")
    assert (again.status, again.out) == (8, "")
    assert home.run("adopt", "--profile", "foreign", "--diff").status == 8


def test_profiles_of_others_are_left_alone_and_named(home: Home) -> None:
    home.config.write_text(CONFIG + FOREIGN)
    done = home.run("adopt", "--all", "--yes")
    assert done.status == 0
    assert "no role of Identity Center's stands behind them: foreign" in done.err
    assert home.run("adopt", "--profile", "foreign", "--yes").status == 8


@pytest.mark.parametrize("words", [["--all"], ["--profile", "native", "legacy"], ["--all", "--yes"]])
def test_nothing_to_do_is_said_and_needs_no_answer(home: Home, words: list[str]) -> None:
    nothing = home.run("release", *words)
    assert (nothing.status, nothing.out) == (0, "")
    assert "Nothing to do" in nothing.err
    home.run("adopt", "--all", "--yes")
    files = home.backups()
    nothing = home.run("adopt", *words)
    assert (nothing.status, nothing.out) == (0, "")
    assert "Nothing to do for native, legacy" in nothing.err
    assert home.backups() == files


def test_the_profile_may_stand_before_the_command(home: Home) -> None:
    assert main(["--profile", "native", "configure", "adopt", "--yes"]) == 0
    assert home.config.read_text().count("credential_process") == 1


def test_programs_get_a_receipt(home: Home) -> None:
    home.config.write_text(CONFIG + HALF)
    receipt = json.loads(home.run("adopt", "--all", "--yes", "--json").out)
    [backup] = home.backups()
    assert receipt.pop("diff")
    [left] = receipt.pop("left")
    assert left["profile"] == "foreign"
    assert receipt == {
        "config": str(home.config),
        "changed": ["native", "legacy", "deploy"],
        "unchanged": [],
        "others": [],
        "written": True,
        "backup": str(backup),
    }
    again = json.loads(home.run("adopt", "--profile", "native", "--yes", "--json").out)
    assert again["unchanged"] == [{"profile": "native", "why": "adopted already"}]
    assert (again["written"], again["backup"], again["diff"]) == (False, None, [])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("[profile native]\nregion = x\n", "[profile native] is there twice"),
        ("[profile x]\ns3 =\n  nothing\n", "botocore needs key = value"),
    ],
)
def test_a_file_that_cannot_be_edited_stays_as_it_is(home: Home, more: str, why: str) -> None:
    home.config.write_text(CONFIG + more)
    refused = home.run("adopt", "--profile", "legacy", "native", "--yes")
    assert refused.status == 4
    assert why in refused.err
    assert home.config.read_text() == CONFIG + more
    assert home.backups() == []


def test_a_section_that_cannot_be_edited_keeps_no_other_from_it(home: Home) -> None:
    sso = "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Developer\n"
    twice = f'\n[profile twice]\n{sso}\n[profile "twice"]\n{sso}'
    home.config.write_text(CONFIG + twice)
    part = home.run("adopt", "--all", "--yes")
    assert part.status == 8
    assert "cannot adopt the profile “twice”" in part.err
    assert "is there twice" in part.err
    assert home.config.read_text().endswith(twice)
    assert home.config.read_text().count("credential_process") == 3


def test_what_stands_in_default_of_python_s_own_is_no_profile_s_to_rename(home: Home) -> None:
    text = "[DEFAULT]\nsso_account_id = 111122223333\n" + CONFIG.replace("sso_account_id = 111122223333\n", "", 1)
    home.config.write_text(text)
    part = home.run("adopt", "--profile", "native", "--yes")
    assert (part.status, home.config.read_text()) == (8, text)
    assert "[profile native] has no key sso_account_id" in part.err


def test_a_path_that_no_line_can_name_is_a_configuration_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home.path / "a#b"))
    refused = home.run("adopt", "--all", "--yes")
    assert (refused.status, refused.out) == (4, "")
    assert "XDG_DATA_HOME" in refused.err
    assert home.config.read_text() == CONFIG


def test_names_from_the_file_do_not_reach_the_terminal_as_commands(home: Home) -> None:
    home.config.write_text(CONFIG.replace("[profile legacy]", '[profile "a\x1b]0;x\x07b"]'))
    done = home.run("adopt", "--all", "--yes")
    assert done.status == 0, done.err
    assert "\x1b" not in done.out + done.err
    assert "\x07" not in done.out + done.err
