"""Shells and readers of their language: what a shell makes of the words we print."""

import re
import subprocess
from pathlib import Path

from hypothesis import strategies as st

from credhelper.cli import shell_words

HOSTILE = (
    "it's",
    "''",
    'say "so"',
    "$HOME",
    "$(touch pwned)",
    "`touch pwned`",
    "back\\slash\\",
    "\\'",
    "a\nb\n",
    "\r\n",
    "%PATH%",
    "!!",
    "!history!",
    "^&|<>()",
    "~",
    "=ls",
    "a:~:=ls",
    "* ? [a] {a,b}",
    "# no comment",
    " space ",
    "\ttab",
    "-n",
    "“smart” „quotes‟ \u2018of\u2019 \u201aPowerShell\u201b",
    "日本 🗝",
    "\x1b[31m\x07\x7f",
    "\x85\u2028\u2029\ufeff",
)
CHARACTERS = "'\"$`\\!%^&|<>(){}[]~=:;#*?-+,.@/ \t\n\r“”„‟\u2018\u2019\u201a\u201bé🗝\x1b\x7f\x85\u2028aZ0"

values = st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=12) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12
)

RUNS_FILE = {
    "sh": ['. "$1"', 'eval "$(cat "$1")"'],
    "dash": ['. "$1"', 'eval "$(cat "$1")"'],
    "bash": ['. "$1"', 'eval "$(cat "$1")"'],
    "zsh": ['. "$1"', 'eval "$(cat "$1")"'],
    "fish": ["source $argv[1]", "eval (cat $argv[1] | string collect)", "cat $argv[1] | source"],
}
"""The ways in which people have a shell read lines that a program prints."""


def set_by(shell: str, form: str, wanted: list[str], scratch: Path) -> list[list[str]]:
    """The values that ``shell`` has given to exported variables: a list for each way in which it can read the lines."""
    names = [f"V{number}" for number in range(len(wanted))]
    lines = [shell_words.ASSIGNMENTS[form](name, value) for name, value in zip(names, wanted, strict=True)]
    file = scratch / "lines"
    file.write_bytes("".join(line + "\n" for line in lines).encode())
    return [_read_back(shell, way, file, names) for way in RUNS_FILE[shell]]


def _read_back(shell: str, way: str, file: Path, names: list[str]) -> list[str]:
    options = {"zsh": ["-f"], "fish": ["--no-config"]}.get(shell, [])
    name = [] if shell == "fish" else [shell]  # which it makes its $0 of
    done = subprocess.run(
        [shell, *options, "-c", f"{way}\nenv -0", *name, str(file)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(file.parent), "LC_ALL": "C.UTF-8"},
        cwd=file.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode(errors="replace")
    found = dict(entry.partition(b"=")[::2] for entry in done.stdout.split(b"\0"))
    return [found[name.encode()].decode() for name in names]


def read_as_powershell(line: str) -> tuple[str, str]:
    """The variable and the value that PowerShell makes of a line (language specification, 2.3.5.2), by its grammar.

    Takes it for granted that nothing but printable ASCII survives every code page, and refuses what would be more than
    a string of characters.
    """
    assert re.fullmatch(r"[ -~]+", line), line
    found = re.fullmatch(r'\$Env:(\w+)="(.*)"', line)
    assert found, line
    units, rest = b"", found[2]
    while rest:
        token = re.match(r'`([`"$])|\$\(\[char\]0x([0-9a-f]{4})\)|([^`"$])', rest)
        assert token, rest
        escaped, unit, plain = token.groups()
        units += bytes.fromhex(unit) if unit else (escaped or plain).encode("utf-16-be")
        rest = rest[token.end() :]
    return found[1], units.decode("utf-16-be")


def read_as_cmd(line: str) -> tuple[str, str]:
    """The variable and the value that cmd.exe makes of a line, in a batch file and in ``for /f`` alike.

    In a batch file percents are expanded, then quotes opened and closed and what is special between them told apart;
    with delayed expansion exclamation marks are expanded; in ``for /f`` none of it happens. ``set`` itself drops the
    first quote, and the last one with all that follows.
    """
    assert re.fullmatch(r"[ -~]+", line), line
    assert not set("%!") & set(line), line
    assert line.count('"') in {0, 2}, line
    outside = re.sub(r'"[^"]*"', "", line)
    assert not set("&|<>^()") & set(outside), line
    assert line.startswith("set "), line
    said = line.removeprefix("set ")
    if said.startswith('"'):
        said = said[1 : said.rindex('"')]
    else:
        assert said == said.rstrip(), line
    name, _, value = said.partition("=")
    return name, value
