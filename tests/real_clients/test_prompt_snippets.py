"""The README's snippets for a shell's prompt show the session's name as it is, and do nothing that it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pexpect
import pytest

from credhelper.sandbox.server import Sandbox
from tests.machine import SECONDS, Machine

from .clients import find_program

pytestmark = pytest.mark.real_client

NAME = "$(touch pwned)`touch pwned`%~\\w"
SHELLS = {
    "bash": (
        ["--noprofile", "--norc", "-i"],
        "PROMPT_COMMAND='its=$(credhelper status --prompt)'; PS1='[${its:+$its }]\\$ '",
    ),
    "zsh": (
        ["-f", "-i"],
        "setopt prompt_subst; precmd() { psvar[1]=$(credhelper status --prompt) }; PROMPT='[%(1V.%1v .)]%# '",
    ),
    "fish": (
        ["--no-config", "-i"],
        "function fish_prompt; printf '[%s ]# ' (credhelper status --prompt); end",
    ),
}


@pytest.fixture
def machine() -> Iterator[Machine]:
    """With a daemon, and one session of a name that no shell should read."""
    with Sandbox() as sandbox:
        session = f"[sso-session '{NAME}']\nsso_start_url = {sandbox.start_url}\nsso_region = us-east-1\n"
        with Machine(sandbox, session) as machine:
            machine.put_command("credhelper", f'exec {sys.executable} -Im credhelper "$@"')
            assert machine.run("daemon", "start").status == 0
            yield machine


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_the_name_is_shown_and_not_run(machine: Machine, shell: str) -> None:
    arguments, snippet = SHELLS[shell]
    environment = machine.environment | {"TERM": "dumb", "HISTFILE": "", "PS1": "> "}
    program = str(find_program(shell))
    child = pexpect.spawn(program, arguments, env=environment, cwd=machine.home, encoding="utf-8", timeout=SECONDS)
    child.sendline(snippet)
    child.expect_exact(f"[{NAME} - ]")
    child.close(force=True)
    assert not list(machine.home.glob("pwned*"))
