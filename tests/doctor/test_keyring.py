"""The doctor's look at the keyring when no daemon runs: short, and without making a key."""

import shutil
import socket
from pathlib import Path

import pytest

from credhelper.doctor import keyring
from credhelper.doctor.findings import State
from credhelper.doctor.link import Daemon, Presence
from credhelper.local.keychain import Keychain, key_name
from tests.doctor.homes import Home
from tests.keyring_desk import PROGRAMS, KeyringDesk
from tests.real_clients import clients


@pytest.fixture
def home(home: Home) -> Home:
    """One without a daemon."""
    home.daemon = Daemon(Presence.ABSENT)
    return home


def test_a_keyring_that_hangs_is_given_up(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(home.runtime / "bus"))
        bus.listen()
        scene = home.scene()
        scene._end -= 59.0
        [finding] = keyring.answers(scene)
    assert (finding.id, finding.state) == ("keyring.answers", State.WARNING)
    assert "did not answer" in finding.detail


def test_without_a_keyring_the_remedy_is_to_do_without(home: Home) -> None:
    [finding] = keyring.answers(home.scene())
    assert (finding.id, finding.state) == ("keyring.answers", State.WARNING)
    assert 'backend = "off"' in (finding.remedy or "")


def test_a_keyring_that_is_switched_off_is_not_asked(home: Home) -> None:
    home.write(home.home / ".config/credhelper/config.toml", '[vault]\nbackend = "off"\n')
    [finding] = keyring.answers(home.scene())
    assert (finding.id, finding.state) == ("keyring.off", State.OK)


def test_a_backend_that_keeps_keys_readable_is_refused_by_the_settings(home: Home) -> None:
    home.write(home.home / ".config/credhelper/config.toml", '[vault]\nbackend = "plaintext"\n')
    assert [finding.id for finding in home.look() if finding.state is State.PROBLEM] == ["settings.valid"]


@pytest.mark.real_client
def test_an_open_keyring_answers_and_gets_no_key(home: Home, tmp_path: Path) -> None:
    for program in PROGRAMS:
        clients._installed(program)
    with KeyringDesk(tmp_path / "desk") as desk:
        desks = {name: desk.environment[name] for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")}
        home.environment |= desks
        scene = home.scene()
        [finding] = keyring.answers(scene)
        assert (finding.id, finding.state) == ("keyring.answers", State.OK), finding
        assert desk.secrets() == {}
        keychain = Keychain(environment=home.environment)
        assert keychain.look(key_name(home.home)) is False
        keychain.key(key_name(home.home))
        assert keychain.look(key_name(home.home)) is True
        desk.lock()
        [finding] = keyring.answers(home.scene())
        assert finding.state is State.WARNING
        assert "locked" in finding.detail
    shutil.rmtree(tmp_path / "desk", ignore_errors=True)
