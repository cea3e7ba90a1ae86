"""What other programs do to the files is taken over at once, and nobody has to ask.

What the daemon has heard of by itself is told by what it does then: it refreshes a token that has expired.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from credhelper.domain import documents
from credhelper.domain.model import SsoSession
from credhelper.sandbox.server import Sandbox
from tests.elsewhere import WAYS, atomically, in_place, token_of_new_login
from tests.machine import CONFIG, SECONDS, Machine
from tests.program.support import ask, running_daemon, until
from tests.sandbox.clients import Clients

REFRESH = "CreateToken:refresh_token"
FETCH = "GetRoleCredentials"

ROUNDS = 5
REWRITES = 1000
"""Of each of two writers in each round: 10,000 altogether."""

FOR_GOOD = 1.1  # seconds; what is no token at all counts as absent before that

PROBE = """
[sso-session probe{number}]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""
PROBES = 5

LAB = """
[sso-session lab]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""

PROFILE = """
[profile moved]
sso_session = corp
sso_account_id = {account}
sso_role_name = ReadOnly
"""

DEVELOPMENT, PRODUCTION = "111122223333", "333344445555"

REWRITER = """
import os, sys
path, count, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
content = sys.stdin.buffer.read()
for _ in range(count):
    at = path if how == "in place" else f"{path}.{os.getpid()}"
    descriptor = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    half = len(content) // 2
    os.write(descriptor, content[:half])
    os.write(descriptor, content[half:])
    os.close(descriptor)
    if at != path:
        os.rename(at, path)
"""


Write = Callable[[Path, bytes], None]
both_ways = pytest.mark.parametrize("write", WAYS)


class Elsewhere:
    """Other programs of the same user."""

    def __init__(self, machine: Machine, sandbox: Sandbox, clients: Clients) -> None:
        self._machine = machine
        self._sandbox = sandbox
        self._clients = clients
        self._probes = 0
        machine.cache.mkdir(mode=0o700, parents=True)
        probes = (PROBE.format(number=number, start_url=sandbox.start_url) for number in range(PROBES))
        machine.write_config(CONFIG.format(start_url=sandbox.start_url) + "".join(probes))

    def token(self, *, left: float = 3600, person: str = "alice") -> bytes:
        """The token file of a new login, which says that it has ``left`` seconds."""
        return token_of_new_login(self._sandbox, self._clients, left=left, person=person)

    def path(self, name: str) -> Path:
        """The token file of a session."""
        session = SsoSession(name, self._sandbox.start_url, "us-east-1")
        return self._machine.cache / documents.token_file_name(session)

    def have_been_heard(self) -> None:
        """Returns once the daemon has heard of all that was changed before.

        Of a later change, that is, of another session's token, which has expired and which it therefore renews.
        """
        path = self.path(f"probe{self._probes}")
        self._probes += 1
        self.must_be_renewed(path, self.token(left=-60), in_place)

    def must_be_renewed(self, path: Path, content: bytes, write: Write) -> None:
        """Writes a token and returns once the daemon has renewed it."""
        write(path, content)
        until(lambda: is_renewed(path, content), "the daemon has renewed the token")


@pytest.fixture
def elsewhere(machine: Machine, sandbox: Sandbox) -> Iterator[Elsewhere]:
    with contextlib.closing(Clients(sandbox)) as clients:
        yield Elsewhere(machine, sandbox, clients)


@pytest.fixture
def daemon(machine: Machine, elsewhere: Elsewhere) -> Iterator[None]:
    """A daemon that nobody asks for anything, and that hears of changes."""
    with running_daemon(machine):
        # The first is found by a look at the start, the second by the first report: from then on, by what happens.
        elsewhere.have_been_heard()
        elsewhere.have_been_heard()
        yield


def is_renewed(path: Path, content: bytes) -> bool:
    """Whether the file holds a whole token, and not the one in ``content``."""
    return bool(json.loads(path.read_bytes())["accessToken"] != json.loads(content)["accessToken"])


def status(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(machine, "status")["out"])["status"]
    return found


def session(machine: Machine, name: str = "corp") -> dict[str, Any]:
    """What ``status`` says of a session."""
    found: dict[str, Any] = next(each for each in status(machine)["sso_sessions"] if each["name"] == name)
    return found


def account(machine: Machine, profile: str, **environment: str) -> str:
    """The account that a profile's credentials are for."""
    answer = ask(machine, "get", profile=profile, **environment)
    assert answer["status"] == "0", answer["err"]
    return str(json.loads(answer["out"])["AccountId"])


# -- tokens -----------------------------------------------------------------------------------------------------------


@both_ways
def test_a_login_by_another_program_is_known_without_anybody_asking(
    machine: Machine, daemon: None, elsewhere: Elsewhere, write: Write
) -> None:
    token = elsewhere.token()
    write(machine.token_file(), token)
    elsewhere.have_been_heard()
    found = session(machine)
    assert (found["state"], found["refreshable"]) == ("active", True)
    assert found["expires_at"] == json.loads(token)["expiresAt"]
    later = elsewhere.token(left=7200)
    write(machine.token_file(), later)
    elsewhere.have_been_heard()
    again = session(machine)
    assert again["expires_at"] == json.loads(later)["expiresAt"]
    assert again["next_refresh_at"] > found["next_refresh_at"]


@both_ways
def test_a_token_of_another_program_is_refreshed_when_half_of_its_life_is_over(
    machine: Machine, daemon: None, elsewhere: Elsewhere, write: Write
) -> None:
    elsewhere.must_be_renewed(machine.token_file(), elsewhere.token(left=3), write)
    until(lambda: session(machine)["state"] == "active", "the renewed token is in use")
    assert session(machine)["expires_at"] == json.loads(machine.token_file().read_bytes())["expiresAt"]


@both_ways
def test_an_expired_token_is_refreshed_as_soon_as_it_is_written_which_serves_every_other_program(
    machine: Machine, sandbox: Sandbox, daemon: None, elsewhere: Elsewhere, write: Write
) -> None:
    before = sandbox.calls[REFRESH]
    elsewhere.must_be_renewed(machine.token_file(), elsewhere.token(left=-3600), write)
    assert sandbox.calls[REFRESH] == before + 1
    renewed = json.loads(machine.token_file().read_bytes())
    assert documents.parse_timestamp(renewed["expiresAt"]) > datetime.now(UTC)


def test_a_logout_elsewhere_drops_the_role_credentials_without_anybody_asking(
    machine: Machine, sandbox: Sandbox, daemon: None, elsewhere: Elsewhere
) -> None:
    token = elsewhere.token()
    in_place(machine.token_file(), token)
    for profile in ("dev", "native"):
        account(machine, profile)
    assert len(status(machine)["role_credentials"]) == 2
    machine.token_file().unlink()
    elsewhere.have_been_heard()
    # Whoever looked only when asked would find everything as it had been.
    in_place(machine.token_file(), token)
    elsewhere.have_been_heard()
    found = status(machine)
    assert found["role_credentials"] == []
    assert session(machine)["state"] == "active"
    account(machine, "dev")
    assert sandbox.calls[FETCH] == 3


def test_another_persons_login_elsewhere_drops_the_role_credentials(
    machine: Machine, daemon: None, elsewhere: Elsewhere
) -> None:
    in_place(machine.token_file(), elsewhere.token())
    account(machine, "dev")
    atomically(machine.token_file(), elsewhere.token(person="bob"))
    elsewhere.have_been_heard()
    assert status(machine)["role_credentials"] == []
    assert ask(machine, "get", profile="dev")["status"] == "5", "bob does not have this role"


def test_a_file_that_is_torn_for_good_leaves_the_last_good_token_in_use_and_is_mended_by_its_refresh(
    machine: Machine, sandbox: Sandbox, daemon: None, elsewhere: Elsewhere
) -> None:
    token = elsewhere.token()
    in_place(machine.token_file(), token)
    elsewhere.have_been_heard()
    in_place(machine.token_file(), token[: len(token) // 2])
    torn_at = time.monotonic()
    until(lambda: time.monotonic() > torn_at + FOR_GOOD, "nobody can still be writing it")
    assert session(machine)["state"] == "active"
    assert account(machine, "dev") == DEVELOPMENT
    sandbox.revoke_access_tokens()
    assert account(machine, "native") == DEVELOPMENT
    assert is_renewed(machine.token_file(), token)


@pytest.mark.long
def test_ten_thousand_rewrites_log_nobody_out_and_each_login_among_them_takes_one_fetch(
    machine: Machine, sandbox: Sandbox, daemon: None, elsewhere: Elsewhere
) -> None:
    in_place(machine.token_file(), elsewhere.token())
    account(machine, "dev")
    asked = 0
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            token = elsewhere.token()
            writers = [stack.enter_context(rewriting(machine, how, token)) for how in ("in place", "atomically")]
            while any(writer.poll() is None for writer in writers):
                answer = ask(machine, "get", profile="dev")
                assert answer["status"] == "0", answer["err"]
                assert session(machine)["state"] == "active"
                asked += 1
            assert [writer.wait() for writer in writers] == [0, 0]
    assert asked >= ROUNDS
    account(machine, "dev")
    assert sandbox.calls[FETCH] <= 1 + ROUNDS
    elsewhere.have_been_heard()
    assert session(machine)["expires_at"] == json.loads(machine.token_file().read_bytes())["expiresAt"]


@contextlib.contextmanager
def rewriting(machine: Machine, how: str, content: bytes) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that writes the token file again and again; at the end it has ended."""
    argv = [sys.executable, "-I", "-S", "-c", REWRITER, str(machine.token_file()), str(REWRITES), how]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as writer:
        try:
            assert writer.stdin is not None
            writer.stdin.write(content)
            writer.stdin.close()
            yield writer
            writer.wait(SECONDS)
        finally:
            if writer.poll() is None:
                writer.kill()


# -- directories ------------------------------------------------------------------------------------------------------


@both_ways
def test_a_home_without_aws_files_at_the_start_is_taken_up_when_they_are_made(
    machine: Machine, elsewhere: Elsewhere, write: Write
) -> None:
    config = machine.config.read_bytes()
    shutil.rmtree(machine.home / ".aws")
    with running_daemon(machine):
        assert status(machine)["sso_sessions"] == []
        (machine.home / ".aws").mkdir(mode=0o700)
        write(machine.config, config)
        machine.cache.mkdir(mode=0o700, parents=True)
        elsewhere.must_be_renewed(machine.token_file(), elsewhere.token(left=-60), write)
        assert account(machine, "dev") == DEVELOPMENT


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["the cache", "sso", "all of .aws"])
def test_directories_that_were_removed_or_renamed_are_watched_when_they_are_made_again(
    machine: Machine, daemon: None, elsewhere: Elsewhere, depth: int
) -> None:
    directory = (machine.cache, *machine.cache.parents)[depth]
    config = machine.config.read_bytes()
    ends: tuple[Callable[[Path], None], ...] = (shutil.rmtree, rename_away)
    for end, write in itertools.product(ends, WAYS):
        elsewhere.must_be_renewed(machine.token_file(), elsewhere.token(left=-60), write)
        account(machine, "dev")
        end(directory)
        machine.cache.mkdir(mode=0o700, parents=True)
        write(machine.config, config)
        until(lambda: session(machine)["state"] == "logged_out", "the old directory no longer counts")
        assert status(machine)["role_credentials"] == []
    elsewhere.must_be_renewed(machine.token_file(), elsewhere.token(left=-60), in_place)


def rename_away(directory: Path) -> None:
    directory.rename(directory.with_name(f"renamed-{time.monotonic_ns()}"))


# -- configuration ----------------------------------------------------------------------------------------------------


@both_ways
def test_a_section_added_to_a_linked_configuration_is_taken_up_without_anybody_asking(
    machine: Machine, daemon: None, elsewhere: Elsewhere, sandbox: Sandbox, write: Write
) -> None:
    dotfiles = machine.root / "dotfiles" / "aws-config"
    dotfiles.parent.mkdir()
    machine.config.rename(dotfiles)
    machine.config.symlink_to(dotfiles)
    elsewhere.have_been_heard()
    token = elsewhere.token(left=-60)
    in_place(elsewhere.path("lab"), token)
    write(dotfiles, dotfiles.read_bytes() + LAB.format(start_url=sandbox.start_url).encode())
    until(lambda: is_renewed(elsewhere.path("lab"), token), "the new session's token has been renewed")
    assert session(machine, "lab")["state"] == "active"


@both_ways
def test_edits_of_a_configuration_that_only_a_caller_names_are_heard_of(
    machine: Machine, daemon: None, elsewhere: Elsewhere, write: Write
) -> None:
    own = machine.config.read_text(encoding="utf-8")
    other = machine.root / "project" / "aws" / "config"
    other.parent.mkdir(parents=True)
    in_place(machine.token_file(), elsewhere.token())
    for expected in (DEVELOPMENT, PRODUCTION, DEVELOPMENT):
        write(other, (own + PROFILE.format(account=expected)).encode())
        elsewhere.have_been_heard()
        for _ in range(2):  # the second is a hit, for which the daemon looks at no file
            assert account(machine, "moved", AWS_CONFIG_FILE=str(other)) == expected


@both_ways
def test_edits_of_the_credentials_file_are_heard_of(
    machine: Machine, daemon: None, elsewhere: Elsewhere, write: Write
) -> None:
    credentials = machine.home / ".aws" / "credentials"
    in_place(machine.token_file(), elsewhere.token())
    assert account(machine, "native") == DEVELOPMENT
    write(credentials, f"[native]\nsso_account_id = {PRODUCTION}\nsso_role_name = ReadOnly\n".encode())
    elsewhere.have_been_heard()
    assert account(machine, "native") == PRODUCTION
    assert account(machine, "native") == PRODUCTION
    credentials.unlink()
    elsewhere.have_been_heard()
    assert account(machine, "native") == DEVELOPMENT
