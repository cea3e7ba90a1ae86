"""What happens in each picture."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from credhelper.sandbox.directory import Account, Assignment, Directory, Person, Role
from tests.machine import Machine
from tests.pictures.recording import Recording

PERSON = "alice"

CONFIG = """\
[sso-session corp]
sso_start_url = {start_url}
sso_region = eu-west-1
sso_registration_scopes = sso:account:access

[profile dev]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Developer

[profile prod]
region = eu-west-1
sso_session = corp
sso_account_id = 333344445555
sso_role_name = ReadOnly
"""

LAB = """
[sso-session lab]
sso_start_url = {start_url}
sso_region = eu-west-1
"""

ACCOUNTS = {
    "111122223333": ("Development", ("Administrator", "Developer", "ReadOnly")),
    "222233334444": ("Staging", ("Developer", "ReadOnly")),
    "333344445555": ("Production", ("ReadOnly",)),
    "444455556666": ("Data Platform", ("Analyst", "Developer")),
    "555566667777": ("Log Archive", ("ReadOnly",)),
    "666677778888": ("Security Audit", ("ReadOnly",)),
}


@dataclass(frozen=True)
class Scene:
    """One picture: its name, what its window is called, how large that is, and what happens in it."""

    name: str
    title: str
    columns: int
    rows: int
    play: Callable[[Recording, Machine], None]


def directory() -> Directory:
    """Who may do what."""
    roles = sorted({role for _, names in ACCOUNTS.values() for role in names})
    return Directory(
        people=(Person(PERSON, "correct-horse"),),
        accounts=tuple(
            Account(account_id, name, f"aws+{account_id}@example.com") for account_id, (name, _) in ACCOUNTS.items()
        ),
        roles=tuple(Role(name) for name in roles),
        assignments=frozenset(
            Assignment(PERSON, account_id, role) for account_id, (_, names) in ACCOUNTS.items() for role in names
        ),
    )


def login(recording: Recording, machine: Machine) -> None:
    """A login with a code, which a person approves elsewhere, and what is possible afterwards."""
    _enter(recording, "credhelper login --sso-session corp --use-device-code --no-browser")
    code = recording.wait_for(r"\b[A-Z]{4}-[A-Z]{4}\b")[0]
    recording.keep(5)
    machine.sandbox.approve(code, PERSON)
    recording.wait_for("Successfully logged into")
    recording.wait_for_prompt()
    recording.keep(2.5)
    _enter(recording, "credhelper whoami --profile dev")
    recording.wait_for("assumed-role")
    recording.wait_for_prompt()
    recording.keep(4)


def status(recording: Recording, machine: Machine) -> None:
    """What there is to see live while somebody logs in elsewhere, and at a glance."""
    machine.write_config(machine.config.read_text(encoding="utf-8") + LAB.format(start_url=machine.sandbox.start_url))
    assert machine.run("daemon", "start").status == 0
    _enter(recording, "credhelper status --watch")
    recording.wait_for(r"(?s)\A(?!.*in memory only).*lab")
    recording.keep(3)
    machine.log_in()
    recording.wait_for("active")
    recording.keep(2)
    for profile in ("dev", "prod"):
        assert machine.run("get", "--profile", profile).status == 0
    recording.wait_for("prod")
    recording.keep(4)
    recording.type("q")
    recording.wait_for_prompt()
    _enter(recording, "credhelper status")
    recording.wait_for("prod")
    recording.wait_for_prompt()
    recording.keep(4)


def sync(recording: Recording, machine: Machine) -> None:
    """Every role becomes a profile."""
    machine.log_in()
    _enter(recording, "credhelper configure sync --sso-session corp --region eu-west-1")
    recording.wait_for(r"\?|\[y")
    recording.keep(5)
    recording.type("y\r")
    recording.wait_for_prompt()
    recording.keep(3)
    _enter(recording, "credhelper whoami --profile Data-Platform-Analyst")
    recording.wait_for("assumed-role")
    recording.wait_for_prompt()
    recording.keep(4)


def _enter(recording: Recording, line: str) -> None:
    """Types a line and shows it for a moment before it is entered."""
    recording.type(line)
    recording.wait_for(re.escape(line[-20:]) + r"\Z")
    recording.keep(1.2)
    recording.type("\r")


SCENES = (
    Scene("login", "credhelper login", 98, 34, login),
    Scene("status", "credhelper status", 104, 22, status),
    Scene("sync", "credhelper configure sync", 130, 34, sync),
)
