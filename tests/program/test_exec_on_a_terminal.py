"""``credhelper exec`` on a terminal: keys, job control, window size and hanging up reach the program as without it."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine
from tests.program.support import until
from tests.program.terminal import Terminal

PROGRAM = """
import os, signal, sys
seen = []
def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")
def note(number, _):
    seen.append(signal.Signals(number).name)
    say("got", seen[-1])
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH, signal.SIGCONT, signal.SIGHUP):
    signal.signal(number, note)
say("ready", os.getpid(), os.getppid(), os.getpgrp(), os.tcgetpgrp(0))
for line in sys.stdin:
    word = line.strip()
    if word == "seen":
        say("seen", *seen, "all")
    elif word == "size":
        say("size", *os.get_terminal_size(0))
    elif word == "end":
        sys.exit(7)
    else:
        say("read", word)
"""
EXEC = f"{sys.executable} -Im credhelper exec --profile dev --"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Logged in, with the program to run in its home; no test changes it."""
    with Sandbox(lifetimes=Lifetimes(interval=0)) as sandbox, Machine(sandbox) as found:
        found.log_in()
        (found.home / "program.py").write_text(PROGRAM)
        yield found


@pytest.fixture
def terminal(machine: Machine) -> Iterator[Terminal]:
    """A shell's first prompt."""
    with Terminal(machine.environment, machine.home) as shell:
        shell.shows(r"\$ ")
        yield shell


def start_program(terminal: Terminal) -> tuple[int, int]:
    """Has the shell run the program; the pids of the program and of what runs it."""
    terminal.enter(f"{EXEC} {sys.executable} program.py")
    pid, parent, group, foreground = map(int, terminal.shows(r"^ready (\d+) (\d+) (\d+) (\d+)\n").groups())
    assert group == foreground == parent
    return pid, parent


def seen_by(terminal: Terminal, parent: int) -> str:
    """Which signals the program has had by now, in order.

    Whatever would be passed on has been when one that is sent to the parent now has arrived: of those that wait, the
    parent takes the lowest number first.
    """
    os.kill(parent, signal.SIGUSR1)
    terminal.shows("^got SIGUSR1")
    terminal.enter("seen")
    return terminal.shows(r"^seen (.*) all\n")[1].removesuffix(" SIGUSR1")


def test_the_keys_reach_the_program_once(terminal: Terminal) -> None:
    _, parent = start_program(terminal)
    terminal.type("\x03")
    terminal.shows("^.*got SIGINT")
    assert seen_by(terminal, parent) == "SIGINT"
    terminal.type("\x1c")
    terminal.shows("^.*got SIGQUIT")
    assert seen_by(terminal, parent) == "SIGINT SIGUSR1 SIGQUIT"
    terminal.enter("end")
    terminal.shows(r"\$ ")
    terminal.enter("echo status $?")
    terminal.shows("^status 7\n")


def test_a_signal_from_elsewhere_reaches_it_once_too(terminal: Terminal) -> None:
    _, parent = start_program(terminal)
    os.kill(parent, signal.SIGINT)
    terminal.shows("^got SIGINT")
    assert seen_by(terminal, parent) == "SIGINT"


def test_the_key_that_ends_a_program_ends_it_with_130(terminal: Terminal) -> None:
    terminal.enter(f"{EXEC} sh -c 'echo ready; exec sleep 1000'")
    terminal.shows("^ready\n")
    terminal.type("\x03")
    terminal.shows(r"\$ ")
    terminal.enter("echo status $?")
    terminal.shows("^status 130\n")


def test_the_key_ends_the_script_that_runs_it_too(machine: Machine, terminal: Terminal) -> None:
    script = machine.home / "rounds"
    script.write_text(f"for n in 1 2; do\n{EXEC} sh -c 'echo ready $0; exec sleep 1000' $n\ndone\n")
    terminal.enter(f"bash {script}")
    terminal.shows("^ready 1\n")
    terminal.type("\x03")
    assert terminal.shows(r"^ready 2|\$ $")[0] == "$ "


def test_the_window_has_its_size_and_a_change_of_it_is_told_once(terminal: Terminal) -> None:
    _, parent = start_program(terminal)
    terminal.enter("size")
    terminal.shows("^size 200 24\n")
    terminal.resize(40, 100)
    terminal.shows("^got SIGWINCH")
    assert seen_by(terminal, parent) == "SIGWINCH"
    terminal.enter("size")
    terminal.shows("^size 100 40\n")


def test_both_stop_at_the_key_and_go_on_together(terminal: Terminal) -> None:
    pid, parent = start_program(terminal)
    terminal.type("\x1a")
    terminal.shows(r"Stopped.*\n(.*\n)*\$ ")
    assert [state(each) for each in (pid, parent)] == ["T", "T"]
    terminal.enter("echo in between")
    terminal.shows("^in between\n")
    terminal.enter("fg")
    terminal.shows("^got SIGCONT")
    terminal.enter("words")
    terminal.shows("^read words\n")
    terminal.type("\x1a")
    terminal.shows(r"Stopped.*\n(.*\n)*\$ ")
    terminal.enter("fg")
    terminal.shows("^got SIGCONT")
    terminal.enter("end")
    terminal.shows(r"\$ ")
    terminal.enter("echo status $?")
    terminal.shows("^status 7\n")


def test_in_the_background_it_stops_when_the_program_wants_to_read(terminal: Terminal) -> None:
    terminal.enter(f"{EXEC} sh -c 'read line; echo got $line; exit 5' &")
    terminal.shows(r"\$ ")
    until(lambda: stopped_job(terminal), "the job stops")
    terminal.enter("fg")
    terminal.shows("^.*exec.*\n")
    terminal.enter("this")
    terminal.shows("^got this\n")
    terminal.shows(r"\$ ")
    terminal.enter("echo status $?")
    terminal.shows("^status 5\n")


def stopped_job(terminal: Terminal) -> bool:
    terminal.enter("jobs; echo told")
    return "Stopped" in terminal.shows(r"(?s)^(.*)^told\n")[1]


def test_a_program_that_is_stopped_from_elsewhere_stops_both(terminal: Terminal) -> None:
    pid, parent = start_program(terminal)
    os.kill(pid, signal.SIGSTOP)
    terminal.shows(r"Stopped.*\n(.*\n)*\$ ")
    assert state(parent) == "T"
    terminal.enter("fg")
    terminal.shows("^got SIGCONT")
    os.kill(parent, signal.SIGTSTP)
    terminal.shows(r"Stopped.*\n(.*\n)*\$ ")
    assert state(pid) == "T"
    terminal.enter("fg")
    terminal.shows("^got SIGCONT")
    terminal.enter("end")
    terminal.shows(r"\$ ")


def test_a_shell_in_it_has_job_control_of_its_own(terminal: Terminal) -> None:
    terminal.enter(f"{EXEC} bash --norc --noprofile --noediting -i")
    terminal.shows(r"\$ ")
    terminal.enter("PS1='inner> '")
    terminal.shows("^inner> ")
    terminal.enter("sh -c 'echo ready; exec sleep 1000'")
    terminal.shows("^ready\n")
    terminal.type("\x03")
    terminal.shows("^inner> ")
    terminal.enter("echo status $?")
    terminal.shows("^status 130\ninner> ")
    terminal.enter("sh -c 'echo ready; exec sleep 1000'")
    terminal.shows("^ready\n")
    terminal.type("\x1a")
    terminal.shows(r"Stopped.*sleep 1000.*\n(.*\n)*inner> ")
    terminal.enter("kill -KILL %1; wait")
    terminal.shows("^inner> ")
    terminal.enter("suspend")
    terminal.shows(r"Stopped.*\n(.*\n)*\$ ")
    terminal.enter("fg")
    terminal.shows("^inner> ")
    terminal.enter("exit 3")
    terminal.shows(r"\$ ")
    terminal.enter("echo status $?")
    terminal.shows("^status 3\n")


def test_a_terminal_that_is_hung_up_ends_the_program_and_its_copies(machine: Machine, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(machine.config.read_text() + "[default]\nsso_session = corp\n")
    environment = machine.environment | {"AWS_CONFIG_FILE": str(config)}
    command = [*EXEC.split(), "sh", "-c", "echo copy $AWS_CONFIG_FILE; exec sleep 1000"]
    with Terminal(environment, machine.home, command) as alone:
        copy = Path(alone.shows("^copy (.*)\n")[1])
        assert copy.exists()
        alone.hang_up()
        assert not copy.parent.exists()


def state(pid: int) -> str:
    """A process's state, as proc(5) has it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
