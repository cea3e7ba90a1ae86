"""Codes of a person's MFA device, which some chained roles want: asked on the terminal, and nowhere else.

For any command that may speak to a person, where the daemon says that a code is needed (``mfa_required``). Without a
terminal the daemon's error goes on: exit status 3, with the command to run in one. ``get`` never asks.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from credhelper.cli import daemon_link, terminal
from credhelper.cli.daemon_link import Failed
from credhelper.domain.errors import MfaRequired
from credhelper.domain.text import safe

CHOOSING = frozenset({"profile", "sso_session", "account_id", "role_name", "min_ttl"})
"""The fields of a request that say which role it is about, and for how long."""
WAIT = 20  # seconds; the source's credentials and STS have 9 each

Fields = Mapping[str, str]


def ask_if_needed(error: Failed, fields: Fields) -> bool:
    """Whether ``error`` was the want of a code, and the person has named one that AWS has taken: try again then.

    False for any other error, and without a terminal. ``fields`` are those of the request that failed.
    """
    if error.code != MfaRequired.code:
        return False
    with contextlib.suppress(MfaRequired):
        ask(fields)
        return True
    return False


def ask(fields: Fields) -> None:
    """Asks for every code that the chosen role waits for; nothing when it waits for none.

    Raises MfaRequired without a terminal, or when the person names none; Failed.
    """
    wanted = {key: value for key, value in fields.items() if key in CHOOSING}
    needed = _needed(wanted)
    while needed["mfa_serial"] is not None:
        needed = _needed(wanted | {"mfa_code": _code(needed)})


def _needed(fields: Fields) -> dict[str, Any]:
    """The device and the role whose code is missing, after the one in ``fields`` has been used."""
    found: dict[str, Any] = json.loads(daemon_link.ask("mfa", fields, seconds=WAIT))
    return found


def _code(needed: Mapping[str, Any]) -> str:
    role = f"{safe(needed['role_name'])} in {safe(needed['account_id'])}"
    try:
        with terminal.opened() as person:
            person.write(f"MFA code of {safe(needed['mfa_serial'])} for the role {role}: ")
            code = person.readline().strip()
    except OSError:
        raise MfaRequired(
            f"the role {role} wants a code of the MFA device {safe(needed['mfa_serial'])}, and there is no terminal to"
            " ask for it",
            hint=needed["command"],
        ) from None
    if not code:
        raise MfaRequired(f"no code was given for the role {role}", hint=needed["command"])
    return code
