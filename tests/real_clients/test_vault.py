"""What outlives the daemon, in the whole program with a real GNOME Keyring: restarts, strangers, keyrings that fail."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from secretstorage.exceptions import ItemNotFoundException

from credhelper.local import sealed_files
from credhelper.sandbox.faults import Cut, Fault
from credhelper.sandbox.server import Sandbox
from tests.keyring_desk import PROGRAMS, KeyringDesk
from tests.machine import CONFIG
from tests.program.support import answers, refusal, until

from . import clients
from .clients import BrowserStub
from .desk import Desk, move_expiry

pytestmark = pytest.mark.real_client

CORP = ("--sso-session", "corp")
SECRET_KEYS = {"accessToken", "refreshToken", "clientSecret", "SecretAccessKey", "SessionToken"}
SIGN_IN_AND_ROLE = 2  # files

Json = dict[str, Any]


class KeyringMachine(Desk):
    """A machine whose daemon finds a real keyring on a session bus of its own. The keyring's home is not the user's."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox, CONFIG.format(start_url=sandbox.start_url))
        self.keyring = KeyringDesk(self.root / "keyring")
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = self.keyring.environment["DBUS_SESSION_BUS_ADDRESS"]
        self.secrets: set[str] = set()
        """Every secret that came here."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.keyring)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            super().__exit__(*error)

    # -- the daemon ---------------------------------------------------------------------------------------------------

    def restart(self, **environment: str) -> None:
        """Another daemon in the place of the one that runs, if one does."""
        done = self.run("daemon", "restart", **environment)
        assert done.status == 0, done.err

    def start_daemon(self) -> None:
        """A daemon where none runs."""
        done = self.run("daemon", "start")
        assert done.status == 0, done.err

    def kill_daemon(self) -> None:
        """SIGKILL, as when the machine loses its power."""
        os.kill(self.daemon_pid(), signal.SIGKILL)
        until(lambda: not answers(self.socket), "the daemon is gone")

    def status(self) -> Json:
        """`status --json`."""
        found: Json = json.loads(self.run("status", "--json").out)
        return found

    def vault_state(self) -> tuple[str, str | None]:
        """What `status` says of the vault, and why it is memory only."""
        about = self.status()["daemon"]
        return about["vault"], about["vault_error"]

    def await_vault(self) -> None:
        """Until the daemon has its key."""
        until(lambda: self.vault_state() == ("keyring", None), "the vault is open")

    def await_trouble(self, why: str) -> None:
        """Until the daemon has given its keyring up, and says why."""
        until(lambda: why in (self.vault_state()[1] or ""), f"the vault says: {why}")

    def roles(self) -> set[str]:
        """The roles whose credentials the daemon has."""
        return {role["role_name"] for role in self.status()["role_credentials"]}

    def get(self, profile: str = "dev") -> str:
        """The document of `get`, which must succeed."""
        done = self.run("get", "--profile", profile)
        assert done.status == 0, done.err
        self.secrets |= secrets_in(done.json())
        return done.out

    def fetches(self) -> int:
        """How often role credentials were obtained from AWS, by whomever."""
        return self.sandbox.calls["GetRoleCredentials"]

    def has_key(self) -> bool:
        """Whether the keyring, which is open, still holds a key."""
        try:
            return self.keyring.secrets() != {}
        except ItemNotFoundException:  # it was listed, and has gone while we asked for it
            return False

    # -- its files ----------------------------------------------------------------------------------------------------

    def sealed(self) -> dict[Path, bytes]:
        """Every file in the vault."""
        directories = self.home.glob(".local/state/credhelper/vault-*")
        return {path: path.read_bytes() for directory in directories for path in directory.iterdir()}

    def role_file(self, role: str = "Developer") -> Path:
        """The vault's file of a role."""
        [path] = [path for path in self.sealed() if sealed_files.is_about(path, f"role:111122223333/{role}")]
        return path

    def live(self, *profiles: str) -> str:
        """A login and a role's credentials, all of it sealed on the disk; returns what `get` printed last."""
        self.log_in()
        self.secrets |= secrets_in(json.loads(self.token_file().read_bytes()))
        documents = [self.get(profile) for profile in profiles or ("dev",)]
        until(lambda: len(self.sealed()) == 1 + len(documents), "everything is sealed")
        assert self.vault_state() == ("keyring", None)
        return documents[-1]

    def holders(self, secrets: set[str]) -> dict[Path, int]:
        """The files of the home, the state, the runtime directory and the keyring that hold secrets in plain."""
        found = {}
        for path in self.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                text = path.read_bytes().decode("utf-8", "replace")
                found[path] = sum(secret in text for secret in secrets)
        return {path: number for path, number in found.items() if number}


def secrets_in(document: Json) -> set[str]:
    """The values that nobody else may see."""
    return {value for key, value in document.items() if key in SECRET_KEYS}


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[KeyringMachine]:
    """A machine with an open keyring."""
    for program in PROGRAMS:
        clients._installed(program)
    with KeyringMachine(sandbox) as found:
        yield found


def offline(sandbox: Sandbox) -> None:
    """From now on every connection breaks."""
    for operation in ("GetRoleCredentials", "CreateToken", "RegisterClient", "Logout"):
        sandbox.fail(operation, Fault(cut=Cut.BEFORE), times=None)


# -- a restart --------------------------------------------------------------------------------------------------------


def end_in_order(machine: KeyringMachine) -> None:
    machine.stop_daemon()


def end_at_once(machine: KeyringMachine) -> None:
    machine.kill_daemon()


@pytest.mark.parametrize("end", [end_in_order, end_at_once])
def test_role_credentials_survive_the_daemon(machine: KeyringMachine, end: Callable[[KeyringMachine], None]) -> None:
    before = machine.live()
    assert len(machine.sealed()) == SIGN_IN_AND_ROLE

    end(machine)
    machine.start_daemon()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")

    assert machine.get() == before
    assert machine.fetches() == 1
    [role] = machine.status()["role_credentials"]
    assert (role["sso_session"], role["state"]) == ("corp", "fresh")


def test_offline_they_are_served_after_a_restart(machine: KeyringMachine, sandbox: Sandbox) -> None:
    before = machine.live()

    offline(sandbox)
    machine.restart()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")

    assert machine.get() == before
    refusal(machine.run("get", "--profile", "native"), 6)


def test_an_expired_token_that_cannot_be_refreshed_offline_keeps_nobody_from_them(
    machine: KeyringMachine, sandbox: Sandbox
) -> None:
    before = machine.live()
    machine.stop_daemon()
    move_expiry(machine.token_file(), minutes=-1)

    offline(sandbox)
    machine.start_daemon()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")

    assert machine.get() == before


def test_a_token_that_the_daemon_refreshes_before_the_keyring_has_answered_costs_no_credentials(
    machine: KeyringMachine,
) -> None:
    before = machine.live()
    machine.stop_daemon()
    move_expiry(machine.token_file(), minutes=-1)

    machine.keyring.stop()
    machine.start_daemon()
    until(lambda: machine.refreshes() == 1, "the token is refreshed")
    machine.keyring.cont()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")

    assert machine.get() == before
    assert machine.fetches() == 1


# -- another login ----------------------------------------------------------------------------------------------------


def assert_needs_login(machine: KeyringMachine) -> None:
    refusal(machine.run("get", "--profile", "dev"), 3, "credhelper login --sso-session corp")


def test_after_a_logout_elsewhere_nothing_is_served(machine: KeyringMachine, aws_cli: Path) -> None:
    machine.live()
    role_file = machine.role_file()
    machine.stop_daemon()

    assert machine.aws(aws_cli, "sso", "logout").status == 0
    machine.start_daemon()

    assert_needs_login(machine)
    until(lambda: not role_file.exists(), "the vault has let go of them")
    assert_needs_login(machine)
    assert machine.roles() == set()
    assert machine.fetches() == 1


def test_another_persons_login_gets_nothing_of_the_one_before(
    machine: KeyringMachine, aws_cli: Path, sandbox: Sandbox
) -> None:
    machine.live()
    role_file = machine.role_file()
    machine.stop_daemon()

    bob = BrowserStub(machine.root, "bob", "battery-staple", "allow")
    assert machine.aws(aws_cli, "sso", "login", *CORP, BROWSER=str(bob.program)).status == 0
    bob.seen()
    machine.start_daemon()

    refusal(machine.run("get", "--profile", "dev"), 5)
    until(lambda: not role_file.exists(), "the vault has let go of them")
    refusal(machine.run("get", "--profile", "dev"), 5)
    assert machine.roles() == set()


def test_a_token_that_another_tool_refreshed_brings_new_credentials(machine: KeyringMachine, aws_cli: Path) -> None:
    before = machine.live()
    machine.stop_daemon()

    move_expiry(machine.token_file(), minutes=-1)
    assert machine.aws(aws_cli, "configure", "export-credentials", "--profile=native").status == 0
    assert machine.refreshes() == 1
    machine.start_daemon()
    machine.await_vault()
    fetched = machine.fetches()

    assert machine.get() != before
    assert machine.fetches() == fetched + 1


# -- files that somebody else has made --------------------------------------------------------------------------------


def one_bit_changed(machine: KeyringMachine) -> None:
    path = machine.role_file()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def the_other_roles(machine: KeyringMachine) -> None:
    shutil.copyfile(machine.role_file("Administrator"), machine.role_file())


def of_another_key(machine: KeyringMachine) -> None:
    path = machine.role_file()
    path.write_bytes(sealed_files.seal(os.urandom(sealed_files.KEY_LENGTH), b"{}", path.name.encode()))


def cut_short(machine: KeyringMachine) -> None:
    path = machine.role_file()
    path.write_bytes(path.read_bytes()[:9])


@pytest.mark.parametrize("change", [one_bit_changed, the_other_roles, of_another_key, cut_short])
def test_a_file_that_is_not_as_it_was_sealed_is_removed_and_counts_for_nothing(
    machine: KeyringMachine, change: Callable[[KeyringMachine], None]
) -> None:
    administrator = machine.live("dev", "native")
    changed = machine.role_file()
    machine.stop_daemon()

    change(machine)
    machine.start_daemon()
    until(lambda: machine.roles() == {"Administrator"}, "the other credentials are back")

    assert not changed.exists()
    assert json.loads(machine.get())["SecretAccessKey"] not in administrator
    assert machine.get("native") == administrator
    assert machine.fetches() == 3


# -- keyrings that do not answer --------------------------------------------------------------------------------------


def locked(machine: KeyringMachine) -> str:
    machine.keyring.lock()
    return "the keyring is locked"


def absent(machine: KeyringMachine) -> str:
    machine.environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={machine.root / 'nowhere'}"
    return "there is no keyring"


def hanging(machine: KeyringMachine) -> str:
    machine.keyring.stop()
    return "the keyring did not answer within 5 s"


def killed(machine: KeyringMachine) -> str:
    machine.keyring.kill()
    return "the keyring is locked"


@pytest.mark.parametrize("trouble", [locked, absent, hanging, killed])
def test_without_its_keyring_the_daemon_serves_from_memory_and_says_why(
    machine: KeyringMachine, trouble: Callable[[KeyringMachine], str]
) -> None:
    before = machine.live()
    sealed = machine.sealed()

    why = trouble(machine)
    machine.restart()
    fetched = machine.get()
    machine.await_trouble(why)

    assert fetched != before
    assert machine.get() == fetched
    assert machine.fetches() == 2
    assert machine.vault_state()[0] == "memory"
    assert "in memory only" in machine.run("status").out
    assert machine.sealed() == sealed, "nobody can say yet whether it is of use"
    if trouble is hanging:
        machine.keyring.cont()


def test_a_keyring_that_hangs_holds_up_nobody(machine: KeyringMachine) -> None:
    machine.log_in()
    machine.await_vault()
    machine.stop_daemon()
    machine.keyring.stop()

    machine.start_daemon()
    document = machine.get()
    seen = machine.vault_state()

    assert machine.get() == document
    assert seen[0] == "memory"
    machine.keyring.cont()


def test_once_the_keyring_is_open_a_restart_keeps_everything_again(machine: KeyringMachine) -> None:
    before = machine.live()
    machine.keyring.lock()
    machine.restart()
    machine.await_trouble("the keyring is locked")

    machine.keyring.unlock()
    machine.restart()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")

    assert machine.get() == before
    assert machine.fetches() == 1


def test_a_login_asks_a_keyring_that_has_been_unlocked_meanwhile(machine: KeyringMachine) -> None:
    machine.keyring.lock()
    machine.log_in()
    document = machine.get()
    machine.await_trouble("the keyring is locked")

    machine.keyring.unlock()
    assert machine.run("login", *CORP).status == 0
    machine.await_vault()
    until(lambda: len(machine.sealed()) == SIGN_IN_AND_ROLE, "what was in memory is sealed")

    machine.restart()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")
    assert machine.get() == document


def test_what_is_kept_after_a_logout_asks_a_keyring_that_has_been_unlocked_meanwhile(machine: KeyringMachine) -> None:
    machine.keyring.lock()
    machine.log_in()
    machine.get()
    machine.await_trouble("the keyring is locked")

    machine.keyring.unlock()
    assert machine.run("logout").status == 0
    machine.await_vault()
    machine.live()

    machine.restart()
    until(lambda: machine.roles() == {"Developer"}, "the credentials are back")
    assert machine.fetches() == 2


def test_a_backend_that_keeps_plain_text_is_not_used_whoever_names_it(machine: KeyringMachine) -> None:
    absent(machine)
    backend = "keyrings.alt.file.PlaintextKeyring"
    settings = machine.home / ".config" / "python_keyring" / "keyringrc.cfg"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[backend]\ndefault-keyring={backend}\n")
    machine.environment["PYTHON_KEYRING_BACKEND"] = backend

    machine.log_in()
    machine.get()
    machine.await_trouble("there is no keyring")

    assert machine.vault_state()[0] == "memory"
    assert machine.sealed() == {}
    assert not list(machine.home.rglob("keyring_pass.cfg"))


def test_no_variable_chooses_another_backend_than_the_desktops(machine: KeyringMachine) -> None:
    machine.environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

    machine.live()

    [label] = machine.keyring.secrets()
    assert "credhelper" in label


# -- what can be read -------------------------------------------------------------------------------------------------


def key_forms(machine: KeyringMachine) -> set[str]:
    """The key as text, in every form in which it might lie about."""
    [content] = machine.keyring.secrets().values()
    return {content.decode(), base64.b64decode(content).hex()}


def test_no_secret_lies_anywhere_but_in_the_shared_cache_and_a_logout_leaves_none(machine: KeyringMachine) -> None:
    machine.live("dev", "native")
    secrets = machine.secrets | key_forms(machine)
    assert len(secrets) == 9
    assert set(machine.holders(secrets)) == {*machine.cache.iterdir()}, (
        "a search that finds nothing would prove nothing"
    )
    assert len(machine.sealed()) == 3
    assert list(machine.keyring.home.rglob("*.keyring"))

    receipt = machine.run("logout", "--json").json()

    assert {str(path) for path in receipt["removed"]} >= {str(machine.token_file())}
    assert receipt["left"] == []
    assert machine.holders(secrets) == {}
    until(lambda: machine.sealed() == {}, "no sealed file is left")
    until(lambda: not machine.has_key(), "the key is gone")
    machine.stop_daemon()
    assert machine.holders(secrets) == {}
    assert machine.sealed() == {}


def test_a_logout_with_a_locked_keyring_leaves_a_key_that_opens_nothing(machine: KeyringMachine) -> None:
    machine.live("dev", "native")
    secrets = machine.secrets | key_forms(machine)

    machine.keyring.lock()
    receipt = machine.run("logout", "--json").json()

    assert [session["revoked"] for session in receipt["sessions"]] == [True]
    assert receipt["left"] == []
    machine.await_trouble("the keyring is locked")
    assert machine.holders(secrets) == {}
    assert machine.sealed() == {}
    machine.keyring.unlock()
    assert len(machine.keyring.secrets()) == 1


def test_a_logout_without_the_daemon_takes_the_vault_and_its_key_too(machine: KeyringMachine) -> None:
    machine.live()
    secrets = machine.secrets | key_forms(machine)
    machine.stop_daemon()

    receipt = machine.run("logout", "--json").json()

    assert [session["revoked"] for session in receipt["sessions"]] == [True]
    assert machine.holders(secrets) == {}
    assert machine.sealed() == {}
    assert machine.keyring.secrets() == {}


def test_a_logout_of_one_session_keeps_the_key(machine: KeyringMachine) -> None:
    machine.live()
    [key] = machine.keyring.secrets().values()

    assert machine.run("logout", *CORP).status == 0
    until(lambda: machine.sealed() == {}, "no sealed file is left")

    machine.live()
    assert [*machine.keyring.secrets().values()] == [key]


def test_switched_off_it_writes_nothing_and_says_so(machine: KeyringMachine) -> None:
    settings = machine.root / "config.toml"
    settings.write_text('[vault]\nbackend = "off"\n')
    machine.environment["CREDHELPER_CONFIG"] = str(settings)

    machine.log_in()
    before = machine.get()

    assert machine.vault_state() == ("memory", "switched off in credhelper's configuration")
    machine.restart()
    assert machine.get() != before
    assert machine.sealed() == {}
    assert machine.keyring.secrets() == {}
    assert machine.vault_state()[0] == "memory"
