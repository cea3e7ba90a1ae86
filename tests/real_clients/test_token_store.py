"""``token_store = "keyring"`` in the whole program: the tokens are credhelper's alone, and sealed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from credhelper.sandbox.server import Sandbox
from tests.keyring_desk import PROGRAMS
from tests.machine import secrets_sent_to
from tests.program.support import complaint, refusal, until

from . import clients
from .test_vault import CORP, KeyringMachine, key_forms, offline

pytestmark = pytest.mark.real_client

BY_DEVICE = (*CORP, "--use-device-code")
TOKEN_REGISTRATION_AND_SIGN_IN = 3  # files
NO_TOKEN = "Token for corp does not exist"  # as the AWS CLI says it


@pytest.fixture
def machine(sandbox: Sandbox) -> Iterator[KeyringMachine]:
    """A machine with an open keyring, and a daemon that is to keep tokens with it."""
    for program in PROGRAMS:
        clients._installed(program)
    with KeyringMachine(sandbox) as found:
        configure(found, 'token_store = "keyring"\n')
        yield found


def configure(machine: KeyringMachine, settings: str) -> None:
    path = machine.root / "config.toml"
    path.write_text(settings)
    machine.environment["CREDHELPER_CONFIG"] = str(path)


def log_in(machine: KeyringMachine) -> None:
    """A login whose token, registration and name are sealed on the disk."""
    machine.start_daemon()
    machine.await_vault()
    machine.log_in(*BY_DEVICE)
    until(lambda: len(machine.sealed()) >= TOKEN_REGISTRATION_AND_SIGN_IN, "everything is sealed")


def assert_shared_cache_is_empty(machine: KeyringMachine) -> None:
    assert not machine.cache.exists() or not list(machine.cache.iterdir())


def secrets_of(machine: KeyringMachine) -> set[str]:
    """Every secret that credhelper got or has proved itself with, and the key."""
    return machine.secrets | secrets_sent_to(machine.sandbox) | key_forms(machine)


# -- a life -----------------------------------------------------------------------------------------------------------


def test_login_get_refresh_restart_and_logout_never_touch_the_shared_cache(
    machine: KeyringMachine, sandbox: Sandbox
) -> None:
    log_in(machine)
    assert_shared_cache_is_empty(machine)

    machine.get("dev")
    sandbox.revoke_access_tokens()
    before = machine.get("native")
    assert machine.refreshes() == 1
    assert_shared_cache_is_empty(machine)
    until(lambda: len(machine.sealed()) == TOKEN_REGISTRATION_AND_SIGN_IN + 2, "both roles are sealed")

    machine.restart()
    machine.await_vault()
    until(lambda: machine.roles() == {"Developer", "Administrator"}, "the credentials are back")
    assert machine.get("native") == before
    assert (machine.refreshes(), machine.fetches()) == (1, 3)
    assert_shared_cache_is_empty(machine)
    secrets = secrets_of(machine)
    assert machine.holders(secrets) == {}

    receipt = machine.run("logout", "--json").json()
    assert [(session["token"], session["revoked"]) for session in receipt["sessions"]] == [("deleted", True)]
    assert receipt["left"] == []
    assert_shared_cache_is_empty(machine)
    assert machine.holders(secrets) == {}
    until(lambda: machine.sealed() == {}, "no sealed file is left")
    until(lambda: not machine.has_key(), "the key is gone")
    refusal(machine.run("get", "--profile", "dev"), 3, "credhelper login --sso-session corp")


def test_the_token_survives_a_daemon_that_is_killed(machine: KeyringMachine) -> None:
    log_in(machine)
    machine.kill_daemon()

    machine.start_daemon()
    machine.await_vault()

    machine.get()
    assert machine.fetches() == 1
    good = machine.run("login", *CORP)
    assert (good.status, good.out) == (0, ""), "there is nothing to log in to"


def test_a_token_that_was_refreshed_is_the_one_that_survives(machine: KeyringMachine, sandbox: Sandbox) -> None:
    log_in(machine)
    sandbox.revoke_access_tokens()
    machine.get("dev")
    assert machine.refreshes() == 1

    machine.kill_daemon()
    machine.start_daemon()
    machine.await_vault()
    machine.get("native")
    assert machine.refreshes() == 1


# -- the AWS CLI beside it --------------------------------------------------------------------------------------------


def test_the_aws_cli_finds_no_login_and_works_through_credhelper(machine: KeyringMachine, aws_cli: Path) -> None:
    log_in(machine)
    machine.adopt("adopted")

    alone = machine.aws(aws_cli, "sts", "get-caller-identity", "--profile=native")

    assert (alone.status, alone.out) == (255, "")
    assert NO_TOKEN in alone.err
    assert machine.aws_role(aws_cli, "adopted") == "Developer"
    assert_shared_cache_is_empty(machine)


def test_a_login_of_the_aws_cli_is_not_credhelpers(machine: KeyringMachine, aws_cli: Path) -> None:
    assert machine.aws_login(aws_cli, *CORP).status == 0

    refusal(machine.run("get", "--profile", "dev"), 3, "not logged in")


# -- a keyring that does not open -------------------------------------------------------------------------------------


def test_with_the_keyring_locked_a_restart_takes_a_login_which_stays_in_memory(machine: KeyringMachine) -> None:
    log_in(machine)
    sealed = machine.sealed()
    machine.keyring.lock()
    machine.restart()

    refusal(machine.run("get", "--profile", "dev"), 3, "keyring", "credhelper login --sso-session corp")
    machine.await_trouble("the keyring is locked")
    refusal(machine.run("get", "--profile", "dev"), 3, "keyring", "credhelper login --sso-session corp")

    machine.log_in(*BY_DEVICE)
    machine.get()
    [session] = [found for found in machine.status()["sso_sessions"] if found["name"] == "corp"]
    assert session["state"] == "active"
    assert "only in memory" in session["last_error"]
    assert machine.sealed() == sealed
    assert_shared_cache_is_empty(machine)
    assert machine.holders(machine.secrets | secrets_sent_to(machine.sandbox)) == {}


def test_with_a_keyring_that_hangs_get_does_not(machine: KeyringMachine) -> None:
    log_in(machine)
    machine.keyring.stop()
    machine.restart()

    refusal(machine.run("get", "--profile", "dev"), 3, "keyring", "credhelper login --sso-session corp")

    machine.keyring.cont()


def test_once_the_keyring_is_open_a_restart_takes_no_login(machine: KeyringMachine) -> None:
    log_in(machine)
    machine.keyring.lock()
    machine.restart()
    machine.await_trouble("the keyring is locked")

    machine.keyring.unlock()
    machine.restart()
    machine.await_vault()

    machine.get()


def test_a_login_asks_a_keyring_that_has_been_unlocked_meanwhile_and_is_needless(machine: KeyringMachine) -> None:
    log_in(machine)
    machine.keyring.lock()
    machine.restart()
    machine.await_trouble("the keyring is locked")
    machine.keyring.unlock()

    good = machine.run("login", *CORP)

    assert (good.status, good.out) == (0, ""), "there is nothing to log in to"
    machine.get()
    assert machine.vault_state() == ("keyring", None)


def test_a_login_that_starts_the_daemon_waits_for_the_keyring(machine: KeyringMachine, sandbox: Sandbox) -> None:
    log_in(machine)
    machine.stop_daemon()

    good = machine.run("login", *CORP)

    assert (good.status, good.out) == (0, ""), "there is nothing to log in to"
    machine.log_in(*BY_DEVICE)
    assert sandbox.calls["RegisterClient"] == 1, "the registration was kept"


def test_with_a_keyring_that_was_never_open_all_is_in_memory(machine: KeyringMachine) -> None:
    machine.keyring.lock()

    machine.log_in(*BY_DEVICE)
    machine.get()
    assert machine.sealed() == {}
    assert_shared_cache_is_empty(machine)

    machine.restart()
    refusal(machine.run("get", "--profile", "dev"), 3, "not logged in")


# -- logging out ------------------------------------------------------------------------------------------------------


def test_a_logout_with_the_keyring_locked_ends_the_sign_in_that_the_daemon_holds(machine: KeyringMachine) -> None:
    log_in(machine)
    machine.get()
    secrets = secrets_of(machine)
    machine.keyring.lock()

    receipt = machine.run("logout", "--json").json()

    assert [(session["token"], session["revoked"]) for session in receipt["sessions"]] == [("deleted", True)]
    assert receipt["left"] == []
    until(lambda: machine.sealed() == {}, "no sealed file is left")
    machine.await_trouble("the keyring is locked")
    assert machine.holders(secrets) == {}


@pytest.mark.parametrize("selector", [(), CORP], ids=["everything", "one session"])
def test_a_logout_without_daemon_and_keyring_removes_the_files_and_says_what_it_could_not_do(
    machine: KeyringMachine, selector: tuple[str, ...]
) -> None:
    log_in(machine)
    machine.get()
    machine.stop_daemon()
    machine.keyring.lock()

    done = machine.run("logout", *selector)

    assert done.status == 0, done.err
    assert "sign-in not ended at the portal: the token is sealed, and its key is not at hand" in done.out
    assert machine.sealed() == {}
    assert machine.sandbox.calls["Logout"] == 0
    machine.keyring.unlock()
    machine.start_daemon()
    machine.await_vault()
    refusal(machine.run("get", "--profile", "dev"), 3, "not logged in")


def test_a_logout_without_the_daemon_ends_the_sign_in_when_the_keyring_is_open(machine: KeyringMachine) -> None:
    log_in(machine)
    machine.stop_daemon()

    receipt = machine.run("logout", "--json").json()

    assert [(session["token"], session["revoked"]) for session in receipt["sessions"]] == [("deleted", True)]
    assert machine.sandbox.calls["Logout"] == 1
    assert machine.sealed() == {}
    assert machine.keyring.secrets() == {}


def test_a_logout_offline_removes_everything_and_says_that_the_sign_in_goes_on(
    machine: KeyringMachine, sandbox: Sandbox
) -> None:
    log_in(machine)
    offline(sandbox)

    receipt = machine.run("logout", "--json").json()

    [session] = receipt["sessions"]
    assert (session["token"], session["revoked"]) == ("deleted", False)
    until(lambda: machine.sealed() == {}, "no sealed file is left")


# -- the settings -----------------------------------------------------------------------------------------------------


def test_a_daemon_with_mistakes_in_its_settings_names_each_and_does_not_start(machine: KeyringMachine) -> None:
    configure(machine, 'token_stor = "keyring"\n[vault]\nbackend = "plaintext"\n[other]\n')

    refused = machine.run("daemon", "run")

    refusal(refused, 4, "config.toml", "token_stor ", "[vault] backend", "[other]")
    assert not machine.socket.exists()


def test_tokens_in_a_keyring_that_is_switched_off_are_refused(machine: KeyringMachine) -> None:
    configure(machine, 'token_store = "keyring"\n[vault]\nbackend = "off"\n')

    refusal(machine.run("daemon", "run"), 4, "config.toml", "token_store", "[vault] backend")
    complaint(machine.run("daemon", "start").err, "token_store", "[vault] backend")
