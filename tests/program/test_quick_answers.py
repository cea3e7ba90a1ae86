"""What a shell asks at every key and prompt is answered by a daemon that runs, else by files, and soon."""

import os
import select
import signal
import socket

from tests.machine import Machine
from tests.program.support import refusal

HEAVY = {"argparse", "asyncio", "dataclasses", "hashlib", "inspect", "logging", "pathlib", "subprocess", "typing"}
"""What costs milliseconds that nobody has at a key. ``re`` and ``json`` are there all the same."""


def test_without_a_daemon_the_prompt_is_empty_and_none_is_started(machine: Machine) -> None:
    run = machine.run("status", "--prompt")
    assert (run.status, run.out, run.err) == (0, "", "")
    assert not machine.socket.exists()
    assert machine.run("_complete", "profiles").out.splitlines() == [
        "dev\t111122223333 Developer",
        "native\t111122223333 Administrator",
        "legacy\t111122223333 ReadOnly",
    ]
    assert not machine.socket.exists()


def test_a_daemon_that_runs_answers_both(machine: Machine) -> None:
    machine.log_in()
    assert machine.run("get", "--profile", "native").status == 0
    assert machine.run("status", "--prompt").out == "corp ok\n"
    assert machine.run("status", "--prompt", "--profile=legacy").out == "sandbox -\n"
    assert machine.run("status", "--prompt", "--sso-session", "corp", "--debug").out == "corp ok\n"  # by argparse
    profiles = machine.run("_complete", "fish", "", "get", "--profile").out.splitlines()
    assert profiles[:2] == ["words", "native\t111122223333 Administrator"]  # the last used first
    loaded = machine.imports_of("status", "--prompt") | machine.imports_of("_complete", "zsh", "", "get", "--profile")
    assert "credhelper.cli.completing.complete" in loaded
    assert loaded & HEAVY == set()


def test_a_daemon_that_hangs_holds_no_prompt_up(machine: Machine) -> None:
    machine.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(machine.socket))
        silent.listen()
        run = machine.run("status", "--prompt")
        assert (run.status, run.out, run.err) == (0, "", "")
        silent.accept()[0].close()
        impatient = machine.start("status", "--prompt")
        with silent.accept()[0]:
            impatient.send_signal(signal.SIGINT)
            assert impatient.communicate() == ("", "")
        assert impatient.returncode == 130
    machine.socket.unlink()


def test_a_service_that_waits_for_a_request_is_not_woken(machine: Machine) -> None:
    unit = machine.home / ".config" / "systemd" / "user" / "credhelper.socket"
    unit.parent.mkdir(parents=True)
    unit.touch()
    machine.put_command("systemctl", f"printf 'SubState=listening\\nListen=%s (Stream)\\n' {machine.socket}")
    machine.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(os.fspath(machine.socket))
        manager.listen()
        assert machine.run("status", "--prompt").out == ""
        assert len(machine.run("_complete", "profiles").out.splitlines()) == 3
        assert select.select([manager], [], [], 0)[0] == []
    machine.socket.unlink()


def test_wrong_usage_of_the_prompt_is_told(machine: Machine) -> None:
    refusal(machine.run("status", "--prompt", "--json"), 2, "--json")
    refusal(machine.run("status", "--prompt", "--profile"), 2, "--profile")
    refusal(machine.run("status", "--prompt", "--profile", "a", "--sso-session", "b"), 2, "--sso-session")


def test_each_shell_has_its_script(machine: Machine) -> None:
    for shell in ("bash", "zsh", "fish"):
        run = machine.run("completion", shell)
        assert (run.status, run.err) == (0, "")
        assert "_complete " + shell in run.out
    refusal(machine.run("completion", "tcsh"), 2, "tcsh")
