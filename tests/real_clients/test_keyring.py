"""The key in a real GNOME Keyring, on a session bus of the test's own."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from credhelper.agent.vault import Kept, SignIn, Vault
from credhelper.aws.sealed_token_cache import SealedTokenCache
from credhelper.domain.model import Role, RoleCredentials, SsoSession, Token
from credhelper.local.keychain import Keychain, KeychainUnavailable, key_name
from credhelper.local.sealed_files import KeyBox
from credhelper.local.workers import Workers
from tests.clocks import HandClock
from tests.keyring_desk import PROGRAMS, KeyringDesk

from . import clients

pytestmark = pytest.mark.real_client

NAME = key_name(Path("/home/alice"))
SHORT = 1.0  # seconds until a keyring that hangs is given up
PATIENT = 60.0  # seconds for a keyring that answers on a machine that is busy
SOON = datetime(2026, 6, 1, tzinfo=UTC)
CORP = SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1")
TOKEN = Token("canary-access-token", SOON, CORP.start_url, CORP.region, "canary-refresh-token", "id", "canary-client")
KEPT = Kept(
    Role(CORP, "111122223333", "Developer"),
    RoleCredentials("ASIA", "canary-secret-key", "canary-session-token", SOON + timedelta(hours=1), SOON),
    "sign-in",
    None,
)


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[KeyringDesk]:
    """A keyring that is open."""
    for program in PROGRAMS:
        clients._installed(program)
    with KeyringDesk(tmp_path / "home") as desk:
        yield desk


@pytest.fixture
def keychain(keyring: KeyringDesk) -> Keychain:
    return Keychain(seconds=PATIENT, environment=keyring.environment)


def why(keychain: Keychain) -> str:
    with pytest.raises(KeychainUnavailable) as caught:
        keychain.key(NAME)
    return str(caught.value)


# -- one key ----------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_stays(keyring: KeyringDesk, keychain: Keychain) -> None:
    key = keychain.key(NAME)
    assert len(key) == 32
    assert keychain.key(NAME) == key
    assert keyring.secrets() == {f"Password for '{NAME}' on 'credhelper'": base64.b64encode(key)}
    keyring.unlock()  # the person's next login
    assert keychain.key(NAME) == key


def test_each_name_has_a_key_of_its_own(keychain: Keychain) -> None:
    assert keychain.key(NAME) != keychain.key(key_name(Path("/home/bob")))


def test_daemons_that_start_at_once_agree_on_the_key(keychain: Keychain) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(keychain.key, [NAME] * 6))) == 1


def test_a_key_that_was_deleted_is_gone_and_the_next_one_is_another(keyring: KeyringDesk, keychain: Keychain) -> None:
    key = keychain.key(NAME)
    keychain.delete(NAME)
    assert keyring.secrets() == {}
    keychain.delete(NAME)
    assert keychain.key(NAME) != key


# -- a keyring that does not answer ------------------------------------------------------------------------------------


def test_a_keyring_that_is_locked_says_so_and_still_has_the_key_afterwards(
    keyring: KeyringDesk, keychain: Keychain
) -> None:
    key = keychain.key(NAME)
    keyring.lock()
    assert why(keychain) == "the keyring is locked"
    with pytest.raises(KeychainUnavailable, match="locked"):
        keychain.delete(NAME)
    keyring.unlock()
    assert keychain.key(NAME) == key


def test_a_keyring_that_hangs_is_given_up_at_the_deadline(keyring: KeyringDesk, keychain: Keychain) -> None:
    key = keychain.key(NAME)
    keyring.stop()
    impatient = Keychain(seconds=SHORT, environment=keyring.environment)
    assert why(impatient) == "the keyring did not answer within 1 s"
    keyring.cont()
    assert keychain.key(NAME) == key


def test_a_keyring_that_was_killed_comes_back_locked(keyring: KeyringDesk, keychain: Keychain) -> None:
    key = keychain.key(NAME)
    keyring.kill()
    assert why(keychain) == "the keyring is locked"
    keyring.unlock()
    assert keychain.key(NAME) == key


def test_a_session_bus_that_has_gone_is_no_keyring(tmp_path: Path, keyring: KeyringDesk) -> None:
    gone = keyring.environment | {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'bus'}"}
    assert why(Keychain(seconds=PATIENT, environment=gone)).startswith("there is no keyring")


# -- the vault on it --------------------------------------------------------------------------------------------------


class Home:
    """The vault of one home, and how the next daemon finds it."""

    def __init__(self, keyring: KeyringDesk) -> None:
        self.directory = keyring.home / ".local" / "state" / "credhelper" / "vault-host"
        self.clock = HandClock()
        self._keyring = keyring
        self._made: list[Vault] = []

    async def vault(self, box: KeyBox, keychain: Keychain | None = None) -> Vault:
        """A vault that has asked the keyring."""
        keychain = keychain or Keychain(seconds=PATIENT, environment=self._keyring.environment)
        workers = Workers("keyring", 1), Workers("disk", 1)
        vault = Vault(self.directory, keychain, NAME, box, *workers, monotonic=self.clock.monotonic)
        self._made.append(vault)
        await vault.open()
        return vault

    async def stop(self) -> None:
        """Has every vault end its work."""
        for vault in self._made:
            await vault.stop()


@pytest.fixture
async def home(keyring: KeyringDesk) -> AsyncIterator[Home]:
    home = Home(keyring)
    yield home
    await home.stop()


async def test_what_one_daemon_kept_the_next_one_has(home: Home) -> None:
    box = KeyBox()
    vault = await home.vault(box)
    assert vault.state == "keyring"
    vault.keep_sign_in(CORP, SignIn("sign-in", "ab" * 32))
    vault.keep(KEPT)
    SealedTokenCache(home.directory, box).save_token(CORP, TOKEN)
    await vault.stop()
    next_box = KeyBox()
    assert await (await home.vault(next_box)).load() == ({"corp": SignIn("sign-in", "ab" * 32)}, [KEPT])
    assert SealedTokenCache(home.directory, next_box).load_token(CORP) == TOKEN


async def test_a_keyring_that_hangs_at_the_start_is_asked_again_later(home: Home, keyring: KeyringDesk) -> None:
    box, keychain = KeyBox(), Keychain(seconds=SHORT, environment=keyring.environment)
    keyring.stop()
    vault = await home.vault(box, keychain)
    assert vault.trouble == "the keyring did not answer within 1 s"
    keyring.cont()
    keychain.seconds = PATIENT
    vault.keep(KEPT)
    await vault.open()
    assert box.key is None
    home.clock.advance(seconds=601)
    vault.keep(KEPT)
    await vault.open()
    await vault.stop()
    assert (await vault.load())[1] == [KEPT]


async def test_a_logout_of_everything_leaves_no_key_in_the_keyring(home: Home, keyring: KeyringDesk) -> None:
    box = KeyBox()
    vault = await home.vault(box)
    vault.keep(KEPT)
    vault.forget("corp")
    await vault.forget_key()
    await vault.stop()
    assert (box.key, keyring.secrets(), list(home.directory.glob("*"))) == (None, {}, [])


async def test_no_secret_lies_anywhere_in_the_home(home: Home, keyring: KeyringDesk) -> None:
    box = KeyBox()
    vault = await home.vault(box)
    vault.keep_sign_in(CORP, SignIn("sign-in", "ab" * 32))
    vault.keep(KEPT)
    SealedTokenCache(home.directory, box).save_token(CORP, TOKEN)
    await vault.stop()
    assert box.key
    secrets = [b"canary", box.key, base64.b64encode(box.key), box.key.hex().encode()]
    files = [path for path in keyring.home.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".sealed"]) == 3
    assert [path for path in files if path.suffix == ".keyring"]
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path


def test_no_secret_is_in_the_helpers_arguments_environment_or_other_output(keyring: KeyringDesk) -> None:
    environment = keyring.environment | {"AWS_SECRET_ACCESS_KEY": "canary-callers-key"}
    key = Keychain(seconds=PATIENT, environment=environment).key(NAME)
    secrets = [b"canary", key, base64.b64encode(key), key.hex().encode()]
    keyring.stop()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(why, Keychain(seconds=3 * SHORT, environment=environment))
        seen = clients.until(helpers_seen, what="a helper that can be looked at")
        assert "did not answer" in asked.result()
    keyring.cont()
    assert NAME.encode() in seen
    assert not [secret for secret in secrets if secret in seen]

    command = [sys.executable, "-Im", "credhelper.local.keychain_helper", "get", "secret-service", NAME]
    done = subprocess.run(command, env=keyring.environment, capture_output=True, check=True, timeout=PATIENT)
    assert (done.stdout, done.stderr) == (b"done " + base64.b64encode(key) + b"\n", b"")


def helpers_seen() -> bytes:
    """The arguments of our children that are helpers, and their environments where we may look at them."""
    found = b""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is somebody else's
            is_ours = f"\nPPid:\t{os.getpid()}\n" in (process / "status").read_text()
            arguments = (process / "cmdline").read_bytes()
            if is_ours and b"keychain_helper" in arguments:
                found += arguments
                found += (process / "environ").read_bytes()
    return found
