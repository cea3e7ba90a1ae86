"""Real shells at a terminal, in which a person types and presses TAB."""

from __future__ import annotations

import sys
from typing import Any, Self

import pexpect

from tests.machine import SECONDS, Machine

from .clients import find_program

TAB, ENTER, CLEAR = "\t", "\r", "\x15"

NAMED = "<%s>"
"""How a word that arrived at the program is shown."""

SHOWING = f"credhelper() {{ printf '{NAMED}' \"$@\"; printf '.end.\\n'; }};"
SHOWING_FISH = f"function credhelper; printf '{NAMED}' $argv; printf '.end.\\n'; end;"
READY = "ready> "
"""The prompt, which must not stand in the line that makes it so."""

START = {
    "bash": (["bash", "--noprofile", "--norc", "-i"], SHOWING + """ FIRST . SCRIPT; PS1='ready'"> " """),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"FIRST autoload -Uz compinit; compinit -u -D; {SHOWING}" + """ . SCRIPT; unsetopt beep; PS1='ready'"> " """,
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        f"{SHOWING_FISH} FIRST source SCRIPT; function fish_prompt; printf 're%s> ' ady; end;",
    ),
}
"""How each is started, and its first line."""


class Shell:
    """One of them, with our completion loaded; ``credhelper`` shows its words there. Use as a context manager."""

    def __init__(self, machine: Machine, name: str, *, first: str = "", loads_itself: bool = False) -> None:
        """``first``: what it does before all else. ``loads_itself``: it finds our completion where it looks for it."""
        find_program(name)
        self.name = name
        machine.put_command("credhelper", f'exec {sys.executable} -Im credhelper "$@"')
        script = machine.root / f"completion.{name}"
        script.write_text(machine.run("completion", name).out, encoding="utf-8")
        command, begin = START[name]
        environment = machine.environment | {"TERM": "xterm", "LANG": "C.UTF-8", "PS1": "> ", "HISTFILE": ""}
        self._child: Any = pexpect.spawn(
            command[0],
            command[1:],
            env=environment,
            cwd=str(machine.home),
            encoding="utf-8",
            timeout=SECONDS,
            dimensions=(50, 200),
        )
        self._child.delaybeforesend = None
        self._child.sendline(
            begin.replace("FIRST", first).replace("SCRIPT", "/dev/null" if loads_itself else str(script))
        )
        self._child.expect_exact(READY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def words_after(self, line: str) -> list[str]:
        """What the program is given when ``line`` (TABs in it are pressed) has been typed and entered."""
        *parts, last = line.split(TAB)
        for part in parts:
            self._child.send(part + TAB)
        self._child.send(last + ENTER)
        self._child.expect(r"((?:<[^>]*>)*)\.end\.")
        found = str(self._child.match.group(1))
        self._child.expect_exact(READY)
        return found[1:-1].split("><") if found else []

    def list_after(self, line: str) -> str:
        """What is shown when ``line`` has been typed and TAB been pressed twice."""
        self._child.send(line + TAB + TAB)
        self._child.send("\x15")
        self._child.sendline("credhelper")
        self._child.expect_exact(".end.")
        shown = str(self._child.before)
        self._child.expect_exact(READY)
        return shown
