"""What holds for every command: usage, messages, colours, the environment."""

import os
import pty
import select
import subprocess
import sys

from credhelper import __version__
from tests.machine import SECONDS, Machine
from tests.program.support import refusal

WRONG = [
    (),
    ("gte",),
    ("get", "--profile"),
    ("get", "--nonsense"),
    ("get", "dev"),
    ("get", "--profile", "dev", "--sso-session", "corp"),
    ("get", "--sso-session", "corp"),
    ("get", "--account-id", "111122223333", "--role-name", "R"),
    ("get", "--profile", ""),
    ("get", "--profile", "x" * 100_000),
    ("get", "--sso-session", "corp", "--account-id", "111122223333", "--role-name", ""),
    ("status", "--sso-session", ""),
    ("whoami", "--region", ""),
    ("lease", "create", "--uid", ""),
    ("lease", "create", "--socket", "a\nb"),
    ("login", "--profile", "dev", "--sso-session", "corp"),
    ("login", "--all", "--profile", "dev"),
    ("logout", "--all", "--sso-session", "corp"),
    ("logout", "--force"),
    ("status", "--profile", "dev", "--sso-session", "corp"),
    ("sso",),
    ("sso", "login", "--force"),
    ("sso", "logout", "--json"),
    ("configure",),
    ("configure", "command"),
    ("daemon",),
    ("daemon", "kill"),
    ("sandbox", "run", "--port", "x"),
]


def test_wrong_usage_ends_with_2_and_starts_nothing(machine: Machine) -> None:
    for arguments in WRONG:
        run = machine.run(*arguments)
        assert run.status == 2, arguments
        refusal(run, 2)
    assert not machine.socket.exists()


def test_the_hint_names_the_help_of_the_command_that_was_meant(machine: Machine) -> None:
    refusal(machine.run("lease", "list", "--nonsense"), 2, "--nonsense", "hint: credhelper lease list --help")
    refusal(machine.run("--nonsense", "status"), 2, "--nonsense", "hint: credhelper --help")


def test_the_status_tells_where_no_error_can_be_written(machine: Machine) -> None:
    line = 'exec "$0" -Im credhelper lease create --uid "" 2>/dev/full'
    assert machine.run_program(["sh", "-c", line, sys.executable]).status == 2


def test_no_profile_chosen_and_no_default_is_wrong_usage(machine: Machine) -> None:
    for command in ("get", "login", "whoami"):
        refusal(machine.run(command), 2, "default", "--profile")


def test_version_and_help(machine: Machine) -> None:
    version = machine.run("--version")
    assert (version.status, version.out, version.err) == (0, f"credhelper {__version__}\n", "")
    assert "130 interrupted" in " ".join(machine.run("--help").out.split())


def test_debug_may_stand_anywhere(machine: Machine) -> None:
    for arguments in (("--debug", "status"), ("status", "--debug"), ("daemon", "stop", "--debug")):
        assert machine.run(*arguments).status in {0, 7}


def test_a_reader_that_leaves_is_no_fault(machine: Machine) -> None:
    command = f"{sys.executable} -Im credhelper status --json | true"
    run = machine.run_program(["sh", "-c", command])
    assert run.err == ""


def test_names_that_would_command_a_terminal_are_defused(machine: Machine) -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07\x1b[31m\u202ename"
    machine.log_in()
    for arguments in (("get", "--profile", evil), ("login", "--sso-session", evil), ("logout", "--profile", evil)):
        run = machine.run(*arguments)
        assert run.status == 4
        assert not [c for c in run.err.replace("\n", "") if c < " " or c in "\x7f\u202e"]


def on_a_terminal(machine: Machine, *arguments: str, **environment: str) -> str:
    """What ``credhelper ARGUMENTS`` prints to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-Im", "credhelper", *arguments]
    env = machine.environment | {"TERM": "xterm"} | environment
    with subprocess.Popen(command, env=env, cwd=machine.home, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        text = b""
        while select.select([ours], [], [], SECONDS)[0]:
            try:
                text += os.read(ours, 65_536)
            except OSError:  # Linux: the other side has been closed
                break
        os.close(ours)
    return text.decode()


def test_colour_only_on_a_terminal_and_only_if_wanted(machine: Machine) -> None:
    machine.log_in()
    assert "\x1b[" in on_a_terminal(machine, "status")
    assert "\x1b" not in on_a_terminal(machine, "status", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(machine, "status", TERM="dumb")
    assert "\x1b" not in machine.run("status").out


def test_configure_command_prints_a_line_without_quotes_and_puts_the_client_in_place(machine: Machine) -> None:
    run = machine.run("configure", "command", "--profile", "a b;c")
    assert (run.status, run.err) == (0, "")
    python, options, path, _ = run.out.split()
    assert run.out == f"{python} -IS {path} a%20b%3Bc\n"
    assert options == "-IS"
    assert path == str(machine.home / ".local/share/credhelper/client.py")
    assert os.path.isabs(python)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert not os.path.realpath(python).startswith(sys.prefix + "/") or sys.prefix == sys.base_prefix
    elsewhere = machine.run("configure", "command", "--profile", "dev", XDG_DATA_HOME=str(machine.root / "data"))
    assert elsewhere.out.split()[2] == str(machine.root / "data/credhelper/client.py")


def test_configure_command_quotes_a_space_and_refuses_what_sdks_read_differently(machine: Machine) -> None:
    spaced = machine.run("configure", "command", "--profile", "dev", XDG_DATA_HOME=str(machine.root / "my data"))
    assert spaced.out.startswith("/usr/bin/env /")
    assert f' -IS "{machine.root}/my data/credhelper/client.py" dev\n' in spaced.out
    machine.log_in()
    assert machine.run_program(["sh", "-c", spaced.out]).json()["AccountId"] == "111122223333"
    for character in "#;$\\'\"`":
        directory = machine.root / f"x{character}y"
        run = machine.run("configure", "command", "--profile", "dev", XDG_DATA_HOME=str(directory))
        refusal(run, 4, str(directory))
