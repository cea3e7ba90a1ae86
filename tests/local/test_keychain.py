"""The way to the keyring: one process, one deadline, no backend but those we trust. (With a real one: test_keyring.)"""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.local import keychain
from credhelper.local.keychain import Keychain, KeychainUnavailable, key_name


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory with a short name: a socket's path holds 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="bus-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def silent_bus(runtime: Path) -> Iterator[socket.socket]:
    """A session bus where everybody may connect and nobody is answered."""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(runtime / "bus"))
        bus.listen()
        yield bus


def why(asked: Keychain) -> str:
    with pytest.raises(KeychainUnavailable) as caught:
        asked.key("home")
    return str(caught.value)


@pytest.mark.parametrize(
    "backend",
    ["plaintext", "null", "fail", "chainer", "keyring.backends.null.Keyring", "keyrings.alt.file.PlaintextKeyring", ""],
)
def test_a_backend_that_is_not_trusted_is_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="no keyring to be trusted"):
        Keychain(backend)


@pytest.mark.parametrize(
    "environment", [{}, {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}], ids=["no", "gone"]
)
def test_without_a_session_bus_there_is_no_keyring(environment: dict[str, str], tmp_path: Path) -> None:
    told = why(Keychain("secret-service", environment={"HOME": str(tmp_path)} | environment))
    assert told.startswith("there is no keyring (secret-service: ")
    assert told.isprintable()


def test_each_backend_that_was_looked_for_is_named(tmp_path: Path) -> None:
    told = why(Keychain(environment={"HOME": str(tmp_path)}))
    for backend in keychain._usual_backends():
        assert f"{backend}: " in told


def test_the_keychain_of_another_system_is_not_there(tmp_path: Path) -> None:
    other = "kwallet" if os.uname().sysname == "Darwin" else "macos"
    assert why(Keychain(other, environment={"HOME": str(tmp_path)})).startswith("there is no keyring")


def test_a_bus_that_does_not_answer_is_given_up_and_nothing_of_the_attempt_stays(
    silent_bus: socket.socket, runtime: Path
) -> None:
    environment = {"HOME": "/", "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime / 'bus'}"}
    assert why(Keychain("secret-service", 0.7, environment)) == "the keyring did not answer within 0.7 s"
    silent_bus.setblocking(False)
    with contextlib.suppress(BlockingIOError):  # it had not come so far
        connection, _ = silent_bus.accept()
        with connection:
            connection.setblocking(True)
            while connection.recv(4096):  # to its end: the process that asked is gone
                pass


def test_the_usual_bus_of_the_session_is_found_without_its_variable(silent_bus: socket.socket, runtime: Path) -> None:
    """Whoever logs in by ssh has the bus but not always the variable."""
    environment = {"HOME": "/", "XDG_RUNTIME_DIR": str(runtime)}
    told = why(Keychain("secret-service", 20, environment))
    assert told == "there is no keyring (secret-service: Did not authenticate in 1.0 seconds)"
    with silent_bus.accept()[0] as connection:
        assert connection.recv(1) == b"\0"
    elsewhere = environment | {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}
    assert "No such file" in why(Keychain("secret-service", 20, elsewhere))


def test_nobody_elses_choice_of_a_backend_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a variable, nor a file, nor a directory of modules."""
    seen = tmp_path / "seen"
    (tmp_path / "plain.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        f"open({str(seen)!r}, 'w')\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 99\n"
        "    def get_password(self, *_): return 'QQ=='\n"
        "    set_password = delete_password = get_password\n"
    )
    config = tmp_path / "config" / "python_keyring"
    config.mkdir(parents=True)
    (config / "keyringrc.cfg").write_text(f"[backend]\ndefault-keyring=plain.Keyring\nkeyring-path={tmp_path}\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "HOME": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "plain.Keyring",
        "PYTHONPATH": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    assert why(Keychain()).startswith("there is no keyring")
    assert not seen.exists()


def test_the_helper_is_given_what_leads_to_the_keyring_and_nothing_else() -> None:
    given = {
        "HOME": "/",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "DISPLAY": ":0",
    }
    assert keychain._helpers(given) == {"HOME": "/", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}


def test_a_helper_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    assert why(Keychain()) == "the keyring's helper could not be started: No such file or directory"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 3", "the keyring's helper ended with status 3 and did not say why"),
        ("echo nonsense", "the keyring's helper ended with status 0 and did not say why"),
        ("echo done QQ==", "what the keyring holds under credhelper's name is no key"),
        ("echo done canary!", "what the keyring holds under credhelper's name is no key"),
        ("echo done", "what the keyring holds under credhelper's name is no key"),
        ("printf 'failed a\\033[31mb'", "a [31mb"),
    ],
)
def test_what_makes_no_sense_is_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    assert why(Keychain()) == expected


def test_each_home_has_a_key_of_its_own() -> None:
    names = {key_name(Path(home)) for home in ("/home/a", "/home/b", "/home/\udcff")}
    assert len(names) == 3
    assert not [name for name in names if "home/" in name]
    assert key_name(Path("/home/a")) == key_name(Path("/home/a/"))
