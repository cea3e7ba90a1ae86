"""A machine with profiles of identity pools, whose Cognito is the sandbox's."""

import socket
from dataclasses import replace
from pathlib import Path

from credhelper.sandbox.cognito_directory import (
    GUEST_POOL_ID,
    ROTATING_CLIENT_ID,
    USER_POOL_ID,
    USERS_POOL_ID,
)
from credhelper.sandbox.server import Sandbox
from tests.machine import Machine

GUEST_ROLE = "arn:aws:iam::111122223333:role/SandboxGuest"

NOTES_KEYS = f"""\
region = us-east-1
credhelper_identity_pool_id = {USERS_POOL_ID}
credhelper_cognito_login = notes
"""
LOGIN_TABLE = f"""\
[cognito_login.notes]
user_pool_id = "{USER_POOL_ID}"
client_id = "{ROTATING_CLIENT_ID}"
redirect_port = {{port}}
scopes = ["openid", "aws.cognito.signin.user.admin"]
"""
PROFILES = f"""
[profile kiosk]
region = us-east-1
credhelper_identity_pool_id = {USERS_POOL_ID}
credhelper_guest = true

[profile basic]
region = us-east-1
credhelper_identity_pool_id = {GUEST_POOL_ID}
credhelper_guest = true
credhelper_flow = basic
credhelper_role_arn = {GUEST_ROLE}

[profile notes]
{NOTES_KEYS}"""


def pool_machine(sandbox: Sandbox) -> Machine:
    """Profiles kiosk (guests), basic (guests, basic flow) and notes, whose login is called so too."""
    port = free_port()
    client = replace(
        sandbox.cognito.client(ROTATING_CLIENT_ID), callbacks=frozenset({f"http://127.0.0.1:{port}/callback"})
    )
    sandbox.cognito.put_client(client)
    machine = Machine(sandbox, PROFILES)
    settings = settings_of(machine)
    settings.parent.mkdir(parents=True)
    settings.write_text(LOGIN_TABLE.format(port=port))
    return machine


def free_port() -> int:
    """One that nobody has now: tests run side by side."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_of(machine: Machine) -> Path:
    """``config.toml``."""
    return machine.home / ".config" / "credhelper" / "config.toml"


def log_in(machine: Machine, person: str = "alice") -> None:
    """In a browser, at once."""
    machine.log_in("--cognito-login", "notes", person=person)
