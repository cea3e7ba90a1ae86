"""Setting environment variables in the words of each shell, so that it takes a value as it is, whatever is in it.

An ordinary value (letters, digits, ``/+=_.,:@-``) looks as ``aws configure export-credentials`` prints it. The rest is
written in the one way that a shell reads alike however the line reaches it: sourced from a file, evaluated as one text,
or piped in line by line.
"""

import string
from collections.abc import Callable, Mapping

_LETTERS = frozenset(string.ascii_letters + string.digits)
_PLAIN = _LETTERS | frozenset("/+=_.,:@-")
_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))


class Unspeakable(ValueError):
    """No words of the shell stand for this value."""


def posix(value: str) -> str:
    """A word of sh, dash, bash, ksh and zsh (POSIX.1-2024, Shell Command Language, 2.2.2). Raises Unspeakable."""
    _refuse_nul(value)
    # zsh: a = or ~ that begins a word, or follows a colon, is expanded.
    if value and _PLAIN.issuperset(value) and not value.startswith("=") and ":=" not in value:
        return value
    return "'" + value.replace("'", "'\\''") + "'"


def fish(value: str) -> str:
    """A word of fish (its manual, "Quotes" and "Escaping Characters"), on one line. Raises Unspeakable."""
    _refuse_nul(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + escaped.replace("\n", '"\\n"') + '"'


def powershell(value: str) -> str:
    """An expandable string of PowerShell (its language specification, 2.3.5.2), in ASCII and on one line.

    Its own quotes come in four forms, lines piped to Invoke-Expression are evaluated one by one, and Windows may decode
    what is not ASCII by any code page. Raises Unspeakable; an empty value would remove the variable.
    """
    _refuse_nul(value)
    if not value:
        raise Unspeakable
    return '"' + "".join(map(_in_powershell, value)) + '"'


def _in_powershell(character: str) -> str:
    if character in '`"$':
        return "`" + character
    if character in _PRINTABLE:
        return character
    code = character.encode("utf-16-be")
    return "".join(f"$([char]0x{code[at : at + 2].hex()})" for at in range(0, len(code), 2))


def cmd(name: str, value: str) -> str:
    """The ``set`` command of cmd.exe (``set /?``, ``for /?``). Raises Unspeakable.

    What it makes of ``%`` and ``!`` depends on where it reads the line from, a quote ends the quotes, and what is not
    ASCII depends on the code page: none of them can be said safely.
    """
    if not value or not _PRINTABLE.issuperset(value) or frozenset('%!"').intersection(value):
        raise Unspeakable
    assignment = f"{name}={value}"
    return f"set {assignment}" if _PLAIN.issuperset(value) else f'set "{assignment}"'


def _refuse_nul(value: str) -> None:
    """Nothing in an environment holds one, or what no text holds."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise Unspeakable


ASSIGNMENTS: Mapping[str, Callable[[str, str], str]] = {
    "env": lambda name, value: f"export {name}={posix(value)}",
    "env-no-export": lambda name, value: f"{name}={posix(value)}",
    "powershell": lambda name, value: f"$Env:{name}={powershell(value)}",
    "windows-cmd": cmd,
    "fish": lambda name, value: f"set -gx {name} {fish(value)}",
}
"""By the names that ``aws configure export-credentials --format`` has for them."""
