"""After ``credhelper logout`` no file of the machine holds a secret any more, whatever was in the way.

Every secret that was there before is a canary. What cannot be cleared is named in the receipt, and the status is 8.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credhelper.aws import config_file
from credhelper.aws.config_file import ConfigPaths
from credhelper.domain import documents
from credhelper.domain.model import Role
from credhelper.local import places, sealed_files
from credhelper.sandbox.faults import Fault
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, SECONDS, Machine, Run
from tests.program.support import NOBODY, as_user, give_away, needs_root, refusal

KINDS = ("accessToken", "refreshToken", "clientSecret", "SecretAccessKey", "SessionToken")
TOKENS = re.compile(r"ao[ar][A-Za-z0-9_-]{64}")
"""Access and refresh tokens of the sandbox, also those that nobody has seen yet."""

CHAIN = """
[profile deploy]
role_arn = arn:aws:iam::222233334444:role/Deploy
source_profile = dev

[sso-session other]
sso_start_url = {start_url}
sso_region = eu-west-1
sso_registration_scopes = sso:account:access

[profile in-other]
sso_session = other
sso_account_id = 111122223333
sso_role_name = Developer
"""
CORP = ("--sso-session", "corp")

needs_mounts = pytest.mark.skipif(shutil.which("unshare") is None, reason="takes unshare: it mounts")


@dataclass
class Home:
    """A home that has been lived in, and every secret of session corp that came there."""

    machine: Machine
    canaries: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS}, repr=False)

    @property
    def role_cache(self) -> Path:
        return self.machine.home / ".aws" / "cli" / "cache"

    def live(self) -> None:
        """A login, credentials, and what the AWS CLI of old and of today has left besides."""
        machine = self.machine
        start_url = machine.sandbox.start_url
        machine.write_config(CONFIG.format(start_url=start_url) + CHAIN.format(start_url=start_url))
        machine.log_in()
        self.learn(machine.run("get", "--profile", "dev").json())
        self.learn(machine.run("get", "--profile", "native").json())
        token = json.loads(machine.token_file().read_bytes())
        self.learn(token)
        secrets = {kind: next(iter(self.canaries[kind])) for kind in ("SecretAccessKey", "SessionToken")}
        configuration = config_file.load(ConfigPaths.of({"HOME": str(machine.home)}))
        native = configuration.role_of("native")
        assert isinstance(native, Role)
        self.put_role(documents.role_cache_file_name(native), ProviderType="sso", **secrets)
        deploy = documents.assume_role_cache_file_name(configuration.profiles["deploy"])
        self.put_role(deploy, AssumedRoleUser={"Arn": "arn:aws:sts::222233334444:assumed-role/Deploy/x"}, **secrets)
        registration = {"clientId": "of-old", "clientSecret": "canary-of-an-old-registration"}
        self.put(machine.cache / "botocore-client-id-us-east-1.json", registration)
        name = machine.token_file().name
        self.put(machine.cache / f".{name}.0123abcd-99999-89abcdef.tmp", token)

    def put_role(self, name: str, SecretAccessKey: str, SessionToken: str, **more: object) -> Path:  # noqa: N803
        """An entry of the AWS CLI's role cache."""
        credentials = {"SecretAccessKey": SecretAccessKey, "SessionToken": SessionToken}
        return self.put(self.role_cache / name, {**more, "Credentials": credentials})

    def put(self, path: Path, content: object) -> Path:
        """A file with a document, its secrets learned, or with bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            self.learn(content)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def learn(self, document: dict[str, Any]) -> None:
        """Takes up the secrets of a document."""
        for kind in KINDS:
            if isinstance(document.get(kind), str):
                self.canaries[kind].add(document[kind])
        if isinstance(document.get("Credentials"), dict):
            self.learn(document["Credentials"])

    def found(self, but: Collection[Path] = ()) -> dict[Path, set[str]]:
        """The files of the whole machine that hold a secret, each with the kinds, ``but`` for some."""
        held = {}
        for path in set(files_of(self.machine.root)) - set(but):
            text = path.read_bytes().decode("utf-8", "replace")
            kinds = {kind for kind, secrets in self.canaries.items() if any(secret in text for secret in secrets)}
            kinds |= {"some token"} if TOKENS.search(text) else set()
            if kinds:
                held[path] = kinds
        return held

    def assert_full(self) -> None:
        """A search that finds nothing before the logout would prove nothing after it."""
        kinds: set[str] = set().union(*self.found().values())
        assert kinds == {*KINDS, "some token"}

    def log_out(self, *arguments: str, but: Collection[Path] = ()) -> Run:
        """A logout whose receipt must tell the truth: whatever still holds a secret is named, with status 8."""
        return self.judge(self.machine.run("logout", "--json", *arguments), but)

    def judge(self, run: Run, but: Collection[Path] = ()) -> Run:
        """Asserts that the receipt names all that is left."""
        assert run.status in {0, 8}, run
        receipt = run.json()
        left = {Path(one["path"]) for one in receipt["left"]}
        assert all(one["why"] for one in receipt["left"])
        assert set(self.found(but)) <= left
        assert (run.status == 8) == bool(left)
        assert all(os.path.lexists(path) for path in left)
        assert all(not os.path.lexists(path) for path in receipt["removed"])
        return run

    def assert_nothing_more_to_do(self) -> None:
        """A second logout finds nothing, and says so."""
        again = self.log_out()
        assert again.status == 0
        assert {key: value for key, value in again.json().items() if value} == {}


def files_of(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


@pytest.fixture
def home(machine: Machine) -> Home:
    found = Home(machine)
    found.live()
    found.assert_full()
    return found


@pytest.fixture(params=["with a daemon", "without a daemon"])
def any_home(home: Home, request: pytest.FixtureRequest) -> Home:
    """The same with and without a daemon."""
    if request.param == "without a daemon":
        assert home.machine.run("daemon", "stop").status == 0
    return home


def outcome_of_corp(run: Run) -> tuple[str, bool | None]:
    [found] = [session for session in run.json()["sessions"] if session["sso_session"] == "corp"]
    return found["token"], found["revoked"]


def test_online_nothing_is_left(any_home: Home) -> None:
    run = any_home.log_out()
    assert run.status == 0
    assert outcome_of_corp(run) == ("deleted", True)
    assert any_home.found() == {}
    refusal(any_home.machine.run("get", "--profile", "dev"), 3)
    any_home.assert_nothing_more_to_do()


def test_of_one_session_nothing_is_left_and_it_can_be_done_twice(any_home: Home) -> None:
    """The legacy profile has the region of the old registration too: nobody knows whose that is."""
    old = any_home.machine.cache / "botocore-client-id-us-east-1.json"
    old.unlink()
    assert any_home.log_out(*CORP).status == 0
    assert any_home.found() == {}
    again = any_home.log_out(*CORP)
    assert (again.status, outcome_of_corp(again)) == (0, ("absent", None))


def test_offline_nothing_is_left(any_home: Home, sandbox: Sandbox) -> None:
    sandbox.stop()
    run = any_home.log_out()
    assert run.status == 0
    assert outcome_of_corp(run) == ("deleted", False)
    assert any_home.found() == {}
    any_home.assert_nothing_more_to_do()


def test_only_a_daemon_says_that_it_goes_on_trying(any_home: Home, sandbox: Sandbox) -> None:
    is_running = any_home.machine.socket.exists()
    sandbox.stop()
    run = any_home.machine.run("logout")
    assert run.status == 0
    assert "sign-in not ended at the portal" in run.out
    assert ("the daemon goes on trying" in run.out) == is_running


def test_pipes_links_and_directories_in_the_caches_are_no_obstacle(any_home: Home) -> None:
    machine = any_home.machine
    token = {"accessToken": "canary-of-another-tool", "region": "us-east-1"}
    elsewhere = any_home.put(machine.home / "backup" / "token", token)
    for cache in (machine.cache, any_home.role_cache):
        os.mkfifo(cache / "0-pipe.json")
        (cache / "0-directory.json").mkdir()
        (cache / "0-nowhere.json").symlink_to(cache / "nothing")
        (cache / "0-itself.json").symlink_to(cache / "0-itself.json")
    link = machine.cache / "0-link.json"
    link.symlink_to(elsewhere)
    run = any_home.log_out()
    assert run.status == 8
    assert [one["path"] for one in run.json()["left"]] == [str(elsewhere)]
    assert not os.path.lexists(link)
    elsewhere.unlink()
    any_home.assert_nothing_more_to_do()


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_pipe_or_link_in_a_files_place_goes(any_home: Home, kind: str) -> None:
    machine = any_home.machine
    for path in [*machine.cache.glob("*.json"), *any_home.role_cache.glob("*.json")]:
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(machine.config)
    assert any_home.log_out().status == 0
    assert any_home.found() == {}
    assert list(machine.cache.iterdir()) == []
    assert machine.config.exists()


def test_a_directory_in_a_tokens_place_is_told_and_all_else_goes(any_home: Home) -> None:
    path = any_home.machine.token_file()
    path.unlink()
    path.mkdir()
    run = any_home.log_out()
    assert run.status == 8
    assert [one["path"] for one in run.json()["left"]] == [str(path)]
    assert any_home.found() == {}


def test_torn_and_unreadable_files_hide_nothing(any_home: Home) -> None:
    machine = any_home.machine
    for path in [*machine.cache.iterdir(), *any_home.role_cache.iterdir()]:
        whole = path.read_bytes().rstrip(b"}")
        path.write_bytes(whole if path.name < "8" else whole + b', "deep": ' + b"[" * 200_000)
    secrets = {kind: min(any_home.canaries[kind]) for kind in KINDS}
    for number, kind in enumerate(("accessToken", "refreshToken")):
        content = json.dumps({"accessToken": secrets["accessToken"], kind: secrets[kind]}).encode()
        any_home.put(machine.cache / f"torn-{number}.json", content[:-2])
    huge = json.dumps({"accessToken": secrets["accessToken"]}).encode().ljust(6_000_000)
    any_home.put(machine.cache / ("0" * 40 + ".json"), huge)
    told = any_home.put(machine.cache / "of-some-tool", huge)
    any_home.assert_full()
    run = any_home.log_out()
    assert run.status == 8
    assert [one["path"] for one in run.json()["left"]] == [str(told)]
    assert set(any_home.found()) == {told}
    told.unlink()
    any_home.assert_nothing_more_to_do()


def test_a_refresh_in_flight_brings_nothing_back(home: Home, sandbox: Sandbox) -> None:
    """The portal cannot be reached either, so that AWS answers the refresh with a good token."""
    machine = home.machine
    token = json.loads(machine.token_file().read_bytes())
    token["expiresAt"] = documents.timestamp(datetime.now(UTC) + timedelta(seconds=-1))
    sandbox.fail("Logout", Fault(status=503), times=None)
    with sandbox.hold("CreateToken:refresh_token") as hold:
        home.put(machine.token_file(), token)
        get = machine.start("get", "--sso-session", "corp", "--account-id", "222233334444", "--role-name", "Developer")
        hold.wait_for(1)
        logout = machine.start("logout", "--json")
        hold.wait_for(2)  # to end the sign-in, the expired token is refreshed too
        assert home.found() == {}
    out, err = logout.communicate(timeout=SECONDS)
    assert home.judge(Run(logout.returncode, out, err)).status == 0
    get.communicate(timeout=SECONDS)
    assert get.returncode in {3, 6}
    assert home.found() == {}
    refusal(machine.run("get", "--profile", "dev"), 3)
    home.assert_nothing_more_to_do()


def test_a_fetch_in_flight_brings_nothing_back(home: Home, sandbox: Sandbox) -> None:
    machine = home.machine
    with sandbox.hold("GetRoleCredentials") as hold:
        get = machine.start("get", "--sso-session", "corp", "--account-id", "222233334444", "--role-name", "Developer")
        hold.wait_for(1)
        assert home.log_out().status == 0
        hold.release()
        out, _ = get.communicate(timeout=SECONDS)
    assert (get.returncode, out) == (3, "")
    assert home.found() == {}
    home.assert_nothing_more_to_do()


@needs_root
@needs_mounts
@pytest.mark.parametrize("with_daemon", [True, False])
def test_on_a_home_that_has_become_read_only_all_that_is_left_is_named(home: Home, with_daemon: bool) -> None:
    machine = home.machine
    assert machine.run("daemon", "stop").status == 0
    before = home.found()
    said = machine.runtime / "receipt"
    credhelper = shlex.join([sys.executable, "-Im", "credhelper"])
    make_read_only = 'mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME"'
    log_out = f"({credhelper} logout --json > {said}; test $? = 8)"
    steps = [make_read_only, log_out]
    if with_daemon:
        steps.insert(0, f"{credhelper} get --profile dev > /dev/null")
        steps += [f"({credhelper} get --profile dev; test $? = 3)", f"({credhelper} daemon stop || true)"]
    run = machine.run_program(["unshare", "-m", "sh", "-c", " && ".join(steps)])
    assert run.status == 0, run.err
    receipt = home.judge(Run(8, said.read_text(encoding="utf-8"), ""))
    assert receipt.json()["removed"] == []
    assert outcome_of_corp(receipt) == ("kept", True)
    assert home.found() == before
    assert home.log_out().status == 0
    assert home.found() == {}


@needs_root
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o500, 0o600])
def test_a_cache_that_may_not_be_searched_is_named(home: Home, mode: int) -> None:
    machine = home.machine
    assert machine.run("daemon", "stop").status == 0
    give_away(machine.root, NOBODY)
    for cache in (machine.cache, home.role_cache):
        cache.chmod(mode)
    program = as_user(NOBODY, [sys.executable, "-Im", "credhelper", "logout", "--json"])
    run = machine.run_program(program)
    assert run.status == 8, run
    left = {Path(one["path"]) for one in run.json()["left"]}
    assert all(os.path.lexists(path) for path in left)
    assert all(path in left or path.parent in left for path in home.found())
    assert {machine.cache, home.role_cache} <= left | {path.parent for path in left}
    if mode != 0o300:
        assert outcome_of_corp(run)[0] == "kept"
    for cache in (machine.cache, home.role_cache):
        cache.chmod(0o700)
    assert home.judge(machine.run_program(program)).status == 0


def test_without_a_daemon_what_is_sealed_goes_whatever_the_settings_and_the_keyring_are(home: Home) -> None:
    """No keyring is there, and no daemon would start with these settings."""
    machine = home.machine
    assert machine.run("daemon", "stop").status == 0
    vault = places.vault_directory(machine.home / ".local" / "state" / "credhelper")
    for settings in (None, b"[broken", b'[vault]\nbackend = "off"\n'):
        sealed = home.put(sealed_files.path_of(vault, "corp", "token"), b"sealed")
        if settings is not None:
            home.put(machine.home / ".config" / "credhelper" / "config.toml", settings)
        run = home.log_out()
        assert run.status == 0
        assert str(sealed) in run.json()["removed"]
        assert outcome_of_corp(run)[0] == "deleted"
        assert list(vault.iterdir()) == []
    home.assert_nothing_more_to_do()


def test_another_session_stays_untouched_and_works(any_home: Home, sandbox: Sandbox) -> None:
    machine = any_home.machine
    before = set(machine.cache.iterdir())
    machine.log_in("--sso-session", "other")
    theirs = {path: path.read_bytes() for path in set(machine.cache.iterdir()) - before}
    assert len(theirs) == 2
    login = any_home.put(machine.home / ".aws" / "login" / "cache" / "x.json", b'{"accessToken": {"accessKeyId": "x"}}')
    old = machine.cache / "botocore-client-id-us-east-1.json"
    old.unlink()
    assert machine.run("get", "--profile", "in-other").status == 0
    assert any_home.log_out(*CORP, but=theirs).status == 0
    assert {path: path.read_bytes() for path in theirs} == theirs
    assert login.exists()
    refusal(machine.run("get", "--profile", "dev"), 3)
    assert machine.run("get", "--profile", "in-other").status == 0
    assert sandbox.calls["Logout"] == 1
