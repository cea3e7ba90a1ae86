"""The running of all checks, and what they share: deadlines, faults, the list of ids, the reader of broken files."""

import ast
import configparser
import itertools
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper import client, doctor
from credhelper.doctor import checkup, findings, ini, link, machine
from credhelper.doctor.findings import Finding, State, ok
from credhelper.doctor.libraries import parse
from credhelper.doctor.scene import Once, Outcome, Scene, run_command
from credhelper.domain.urls import without_userinfo
from tests.doctor.homes import PATIENCE, Home, ids

SOURCES = sorted(Path(doctor.__file__).parent.glob("*.py"))
ID = re.compile(r"[a-z]+[0-9]?\.[a-z0-9_]+")


def hurried(home: Home, seconds: float) -> Scene:
    """The home, with that much time."""
    found = home.scene()
    found._end += seconds - PATIENCE
    return found


def test_a_check_that_hangs_is_left_behind_and_named(home: Home) -> None:
    never, has_begun = threading.Event(), threading.Event()

    def hangs(_: Scene) -> Iterator[Finding]:
        yield ok("daemon.running", "found before it hung")
        has_begun.set()
        never.wait()

    def answers(_: Scene) -> Iterator[Finding]:
        has_begun.wait()
        yield ok("socket.file", "found while the other hangs")

    groups = checkup.examine(hurried(home, 0.5), {"One": (hangs,), "Two": (answers,)})
    never.set()
    assert [[finding.id for finding in group.findings] for group in groups] == [
        ["daemon.running"],
        ["socket.file"],
        ["doctor.late"],
    ]
    assert "hangs" in groups[-1].findings[0].detail


def test_a_check_with_a_fault_silences_no_other_and_says_nothing_of_its_text(home: Home) -> None:
    def fails(_: Scene) -> Iterator[Finding]:
        raise RuntimeError("hidden-word")

    groups = checkup.examine(home.scene(), {"One": (fails,), "Two": (lambda _: [ok("socket.file", "x")],)})
    found = [finding for group in groups for finding in group.findings]
    assert ids(found, State.PROBLEM) == ["doctor.fault"]
    assert ids(found, State.OK) == ["socket.file"]
    assert "hidden-word" not in str(found)


def test_every_id_in_the_code_is_in_the_list_and_the_other_way_round() -> None:
    listed = set(ID.findall((checkup.__doc__ or "").partition("The ids")[2]))
    used = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        documentation = {
            ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, ast.Module)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in documentation:
                used |= {node.value} if ID.fullmatch(node.value) else set()
    prefixes = {name.partition(".")[0] for name in listed}
    assert {name for name in used if name.partition(".")[0] in prefixes} - {"credhelper.service"} == listed


def test_no_user_or_password_of_a_url_is_shown() -> None:
    shown = findings.ok("x.y", "http://user:hidden@proxy:1/a and user:hidden@proxy").detail
    assert shown == "http://***@proxy:1/a and user:hidden@proxy"
    assert without_userinfo("user:hidden@proxy:3128") == "***@proxy:3128"
    assert without_userinfo("https://host/path@x") == "https://host/path@x"


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    assert "\x1b" not in findings.problem("x.y", "a\x1b[2Jb\n", "c\x1b").detail


def test_what_several_checks_need_is_found_out_once() -> None:
    count = itertools.count(1)
    once = Once(lambda: next(count))
    threads = [threading.Thread(target=once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert once() == 1
    broken = Once(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            broken()


def test_a_command_that_does_not_end_is_killed_with_its_children() -> None:
    outcome = run_command(["sh", "-c", "cat /dev/zero | cat >/dev/null"], {"PATH": os.environ["PATH"]}, 0.2)
    assert outcome.status is None
    assert "did not end" in outcome.err
    assert run_command(["/nonexistent"], {}, 1).status is None
    done = run_command(["sh", "-c", "echo out; echo err >&2; exit 5"], {"PATH": os.environ["PATH"]}, 30)
    assert (done.status, done.out, done.err) == (5, "out\n", "err\n")


def test_what_a_command_prints_is_not_in_its_repr() -> None:
    assert "hidden" not in repr(Outcome(0, "hidden", ""))


@pytest.mark.parametrize(
    ("line", "version", "allowed"),
    [
        ("botocore>=1.35", "1.35.0", True),
        ("botocore>=1.35", "1.34.99", False),
        ("watchdog<8,>=6", "7.1.0", True),
        ("watchdog<8,>=6", "8", False),
        ("h11<1,>=0.16", "0.16.0", True),
        ("jeepney>=0.8; sys_platform == 'linux'", "0.9.0", True),
        ("exact==2", "2.0.0", True),
        ("exact!=2", "2.0.0", False),
    ],
)
def test_a_requirement_is_read_as_pip_does(line: str, version: str, allowed: bool) -> None:
    requirement = parse(line, "linux")
    assert requirement is not None
    assert requirement.allows(version) == allowed


def test_what_is_for_another_platform_or_an_extra_is_not_required() -> None:
    assert parse("jeepney>=0.8; sys_platform == 'linux'", "darwin") is None
    assert parse('pytest>=8.3; extra == "dev"', "linux") is None


def test_the_reader_of_broken_files_finds_every_mistake_with_its_line() -> None:
    text = ini.read("x\n[a]\nk = 1\nK: 2\n # comment\nnonsense\n[b]\ns3 =\n  x = y\nl = 1\n  m = 2\n[a]\n")
    assert [(mistake.kind, mistake.line) for mistake in text.mistakes] == [
        ("headless", 1),
        ("duplicate_key", 4),
        ("syntax", 6),
        ("indented", 11),
        ("duplicate_section", 12),
    ]
    assert [(section.name, list(section.keys)) for section in text.sections] == [
        ("a", ["k"]),
        ("b", ["s3", "l"]),
        ("a", []),
    ]


def test_what_pythons_parser_takes_is_no_mistake() -> None:
    text = "[DEFAULT]\na = 1\n[DEFAULT]\nb = 2\n[c]\nk = one\x0ctwo\u2028three\r\nl = 1\n"
    configparser.RawConfigParser().read_string(text)
    found = ini.read(text)
    assert found.mistakes == []
    assert found.sections[-1].keys == {"k": 6, "l": 7}


def test_what_answers_as_no_daemon_would_is_silent(home: Home) -> None:
    home.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(home.socket))
        listener.listen()
        asked = threading.Thread(target=_answer_with_a_list, args=(listener,))
        asked.start()
        found = link.meet(home.socket, home.scene().env)
        asked.join()
    assert found.presence is link.Presence.SILENT
    assert "ValueError" in found.error


def _answer_with_a_list(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        client.receive(connection)
        connection.sendall(client.frame({b"status": b"0", b"out": b"[]"}))


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_there_are_file_events_to_be_had_here(home: Home) -> None:
    home.write(home.processes / "sys/fs/inotify/max_user_watches", "64\n")
    scene = home.scene()
    scene.platform = sys.platform
    [finding] = machine.file_events(scene)
    assert (finding.id, finding.state) == ("inotify.limit", State.OK)
    assert "64 watches" in finding.detail


def test_nobody_at_the_socket_is_an_absent_daemon(home: Home) -> None:
    env = home.scene().env
    assert link.meet(home.socket, env).presence is link.Presence.ABSENT
    assert link.meet(home.config / "below", env).presence is link.Presence.ABSENT
