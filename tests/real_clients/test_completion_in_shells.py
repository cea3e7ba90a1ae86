"""TAB in bash, zsh and fish: commands, options and names, whatever characters these are made of."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import Machine

from .clients import find_file
from .shells import START, TAB, Shell

pytestmark = pytest.mark.real_client

STRANGE = (
    "ab with space",
    "bc it's",
    'cd say "hi"',
    "de:with:colons",
    "ef$HOME",
    "fg $(touch pwned)",
    "gh`touch pwned`",
    "hi;touch pwned",
    "ij\\back",
    "jk!ls!!",
    "kl*?[a]",
    "lm#tag",
    "mn Büro Zürich",
    "no%cent",
    "op&touch pwned|x",
    "pq{a,b}",
    "qr=x=y",
    "rs~/x",
    "st@host",
    "tu(x)^y",
)

CONFIG = """\
[sso-session corp]
sso_start_url = https://sandbox.awsapps.com/start
sso_region = us-east-1

[sso-session other one]
sso_start_url = https://sandbox.awsapps.com/start
sso_region = us-east-1

[profile zebra-one]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Developer

[profile zebra-two]
sso_session = corp
sso_account_id = 222233334444
sso_role_name = ReadOnly

[profile bell\x07control]
sso_session = corp
sso_account_id = 222233334444
sso_role_name = Other
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Without a daemon: what is completed comes from the files."""
    profiles = "".join(f"\n[profile {shlex.quote(name)}]\nregion = eu-west-1\n" for name in STRANGE)
    with Sandbox() as sandbox, Machine(sandbox, CONFIG + profiles) as machine:
        yield machine


@pytest.fixture(params=sorted(START), scope="module")
def shell(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Shell]:
    """Each of them."""
    with Shell(machine, request.param) as shell:
        yield shell


def test_commands_and_options_are_completed(shell: Shell) -> None:
    assert shell.words_after(f"credhelper logi{TAB}--use-d{TAB}") == ["login", "--use-device-code"]
    assert shell.words_after(f"credhelper sso logo{TAB}") == ["sso", "logout"]
    assert shell.words_after(f"credhelper export --format powers{TAB}") == ["export", "--format", "powershell"]
    assert shell.words_after(f"credhelper export --format=powers{TAB}") == ["export", "--format=powershell"]


@pytest.mark.parametrize("name", STRANGE)
def test_a_profile_of_any_name_arrives_as_it_is_and_nothing_else_happens(
    shell: Shell, machine: Machine, name: str
) -> None:
    assert shell.words_after(f"credhelper get --profile {name[:2]}{TAB}") == ["get", "--profile", name]
    assert shell.words_after(f"credhelper get --profile={name[:2]}{TAB}") == ["get", f"--profile={name}"]
    assert not list(machine.home.glob("pwned*"))


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_so_it_does_behind_a_quote(shell: Shell, machine: Machine, name: str, quote: str) -> None:
    assert shell.words_after(f"credhelper get --profile {quote}{name[:2]}{TAB}") == ["get", "--profile", name]
    assert not list(machine.home.glob("pwned*"))


def test_candidates_are_listed_and_none_with_a_control_character(shell: Shell) -> None:
    listed = shell.list_after("credhelper get --profile zebra-")
    assert "zebra-one" in listed
    assert "zebra-two" in listed
    assert "222233334444 ReadOnly" in listed
    assert shell.words_after(f"credhelper get --profile bell{TAB}") == ["get", "--profile", "bell"]


def test_what_a_value_is_goes_with_what_was_chosen_before(shell: Shell) -> None:
    line = f"credhelper get --sso-session cor{TAB} --account-id 2222{TAB} --role-name R{TAB}"
    assert shell.words_after(line) == [
        *("get", "--sso-session", "corp", "--account-id", "222233334444", "--role-name", "ReadOnly"),
    ]
    assert shell.words_after(f"credhelper logout --sso-session oth{TAB}") == ["logout", "--sso-session", "other one"]


def test_behind_exec_programs_and_their_files_are_completed(shell: Shell, machine: Machine) -> None:
    machine.put_command("frobnicate-it", "exit 0")
    (machine.home / "some-lonely-file").touch()
    line = f"credhelper exec --profile=zebra-one -- frobnic{TAB}some-lon{TAB}"
    assert shell.words_after(line) == ["exec", "--profile=zebra-one", "--", "frobnicate-it", "some-lonely-file"]


def test_an_option_that_takes_a_file_completes_files(shell: Shell, machine: Machine) -> None:
    (machine.home / "some-lonely-file").touch()
    assert shell.words_after(f"credhelper lease create --token-file some-lon{TAB}")[-1] == "some-lonely-file"


def test_bash_completion_completes_the_other_program_in_its_own_way(machine: Machine) -> None:
    library = find_file("/usr/share/bash-completion/bash_completion")
    with Shell(machine, "bash", first=f". {library};") as shell:
        for line in ("exec --profile=zebra-one -- ls --colo", "exec --sso-session 'other one' ls --colo"):
            assert shell.words_after(f"credhelper {line}{TAB}")[-2:] == ["ls", "--color"]
        assert shell.words_after(f"credhelper logout --sso-session oth{TAB}")[-1] == "other one"


def test_bash_completion_and_zsh_load_it_from_where_a_package_puts_it(machine: Machine) -> None:
    library = find_file("/usr/share/bash-completion/bash_completion")
    scripts = machine.home / ".local" / "share" / "bash-completion" / "completions"
    functions = machine.root / "site-functions"
    for directory, name, shell in ((scripts, "credhelper", "bash"), (functions, "_credhelper", "zsh")):
        directory.mkdir(parents=True)
        (directory / name).write_text(machine.run("completion", shell).out, encoding="utf-8")
    with Shell(machine, "bash", first=f". {library};", loads_itself=True) as bash:
        assert bash.words_after(f"credhelper get --profile zebra-t{TAB}")[-1] == "zebra-two"
    with Shell(machine, "zsh", first=f"fpath=({functions} $fpath);", loads_itself=True) as zsh:
        assert zsh.words_after(f"credhelper get --profile zebra-t{TAB}")[-1] == "zebra-two"


def test_no_daemon_was_started(machine: Machine) -> None:
    assert not machine.socket.exists()
