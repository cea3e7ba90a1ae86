"""The line that stands behind ``credential_process``, and the client it names."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credhelper import client
from credhelper.domain.errors import ConfigError
from credhelper.local import installation

PYTHON = Path("/usr/bin/python3")
COPY = Path("/home/u/.local/share/credhelper/client.py")


def test_the_everyday_line() -> None:
    line = installation.process_line("dev", COPY, PYTHON)
    assert line == "/usr/bin/python3 -IS /home/u/.local/share/credhelper/client.py dev"


def test_a_path_with_a_space_is_quoted_behind_env() -> None:
    copy = Path("/home/two words/client.py")
    line = installation.process_line("dev", copy, PYTHON)
    assert line == '/usr/bin/env /usr/bin/python3 -IS "/home/two words/client.py" dev'


@pytest.mark.parametrize("character", list("#;$\\\"'`\n\r"))
@pytest.mark.parametrize("where", ["copy", "interpreter"])
def test_a_path_that_sdks_read_differently_is_refused(character: str, where: str) -> None:
    odd = Path(f"/home/a{character}b/x")
    paths = {"copy": COPY, "interpreter": PYTHON, where: odd}
    with pytest.raises(ConfigError) as caught:
        installation.process_line("dev", paths["copy"], paths["interpreter"])
    assert caught.value.status == 4
    assert caught.value.hint


@pytest.mark.parametrize("character", list("&|<>()*?[]{}!é日 \t"))
def test_what_a_shell_would_obey_is_quoted(character: str) -> None:
    """One way for those that split, another for those that hand it to sh."""
    copy = Path(f"/home/a{character}b/client.py")
    line = installation.process_line("dev", copy, PYTHON)
    assert shlex.split(line)[-4:] == ["/usr/bin/python3", "-IS", str(copy), "dev"]
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    assert shown.splitlines()[-4:] == ["/usr/bin/python3", "-IS", str(copy), "dev"]


@pytest.mark.parametrize(
    ("profile", "encoded"),
    [
        ("dev", "dev"),
        ("a@b/c.d-e_f", "a@b/c.d-e_f"),
        ("my profile", "my%20profile"),
        ("büro", "b%C3%BCro"),
        ("50%", "50%25"),
        ("-x", "%2Dx"),
        ("--help", "%2D-help"),
        ("~", "%7E"),
        ("a;b#c$d`e\"f'g\\h", "a%3Bb%23c%24d%60e%22f%27g%5Ch"),
        ("+a:b", "%2Ba%3Ab"),
        ("\udcff", "%FF"),
    ],
)
def test_profiles_are_percent_encoded(profile: str, encoded: str) -> None:
    assert installation.encode_profile(profile) == encoded


@given(st.text(min_size=1) | st.binary(min_size=1).map(os.fsdecode))
def test_whatever_a_profile_is_called_the_client_reads_it_back(profile: str) -> None:
    encoded = installation.encode_profile(profile)
    assert all(c.isascii() and (c.isalnum() or c in "_.@/-%") for c in encoded)
    assert not encoded.startswith("-")
    assert client.decode_profile(encoded.encode()) == profile.encode("utf-8", "surrogateescape")


@given(st.text(min_size=1))
def test_every_reader_of_the_line_sees_the_same_words(profile: str) -> None:
    line = installation.process_line(profile, COPY, PYTHON)
    assert shlex.split(line) == line.split(" ")
    assert not set(line) & set("#;$`\"'\\\n")


def test_the_base_interpreter_is_none_of_a_virtual_environment() -> None:
    base = installation.base_interpreter()
    assert base.is_absolute()
    assert Path(sys.prefix) not in base.parents
    assert base.exists()


def test_the_copy_and_the_note_are_brought_up_to_date(tmp_path: Path) -> None:
    env = {b"HOME": os.fsencode(tmp_path)}
    copy = installation.put_in_place(env)
    assert copy == tmp_path / ".local/share/credhelper/client.py"
    source = Path(client.__file__).read_bytes()
    note = copy.with_name("installation")
    assert copy.read_bytes() == source
    assert note.read_text().splitlines() == [sys.executable, str(Path(client.__file__).parent)]
    inode = copy.stat().st_ino
    assert installation.put_in_place(env) == copy
    assert copy.stat().st_ino == inode
    copy.write_text("old")
    note.write_text("old")
    installation.put_in_place(env)
    assert copy.read_bytes() == source
    assert note.read_text().splitlines() == [sys.executable, str(Path(client.__file__).parent)]


@pytest.mark.parametrize("kind", ["symlink", "fifo", "huge"])
def test_something_else_in_the_copys_place_is_replaced(tmp_path: Path, kind: str) -> None:
    env = {b"HOME": os.fsencode(tmp_path)}
    copy = tmp_path / ".local/share/credhelper/client.py"
    copy.parent.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    if kind == "symlink":
        copy.symlink_to(precious)
    elif kind == "fifo":
        os.mkfifo(copy)
    else:
        copy.write_bytes(b"x" * 300_000)
    installation.put_in_place(env)
    assert copy.read_bytes() == Path(client.__file__).read_bytes()
    assert precious.read_text() == "precious"


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        ("/usr/bin/python3 -IS /home/u/.local/share/credhelper/client.py dev", True),
        ("credhelper get --profile dev", True),
        ("/usr/bin/env X=1 /opt/bin/credhelper --profile dev get", True),
        ("python3 -m credhelper export --format process", True),
        ("/opt/tool --cache /var/lib/credhelper", False),
        ("sudo -u credhelper /opt/tool", False),
    ],
)
def test_a_line_is_ours_when_it_runs_credhelper(line: str, is_ours: bool) -> None:
    assert installation.is_ours(line) == is_ours
