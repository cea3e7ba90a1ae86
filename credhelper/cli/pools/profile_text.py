"""The profile and the login that a new identity pool is used with, as they stand in the two configuration files."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from credhelper.cli import callers_files
from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe
from credhelper.local import installation, places

if TYPE_CHECKING:
    from credhelper.cli.pools.create import Plan

DEFAULT_PORT = 8400
CALLBACK = "/callback"
_LOOPBACK = "127.0.0.1"
_SRP = frozenset({"ALLOW_USER_SRP_AUTH", "USER_SRP_AUTH"})

_PROFILE_NAME = re.compile(r"[A-Za-z0-9_.@/+-]+")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProfileText:
    """What goes where."""

    profiles: str
    """Sections for ``~/.aws/config``."""
    login: str | None
    """A table for ``config.toml``; None where nobody signs in with a user pool."""
    remarks: tuple[str, ...]
    """What is still to be done."""

    def shown(self) -> str:
        """Both, each below a comment that names its file."""
        found = f"# {safe(str(callers_files.paths().config))}\n{self.profiles}"
        if self.login is not None:
            found += f"\n\n# {safe(str(places.settings_file(places.environment())))}\n{self.login}"
        return found


def plain_name(name: str) -> str:
    """A pool's name as one of a profile, a role and a table in TOML: plain letters and digits with dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "pool"


def name_of(given: str | None, pool: str) -> str:
    """The profile's name. Raises UsageError for one that not every SDK can read."""
    if given is None:
        return plain_name(pool)
    if not _PROFILE_NAME.fullmatch(given):
        raise UsageError(f"--profile-name: “{safe(given)}” has more than letters, digits and _.@/+- in it")
    return given


def write(plan: "Plan", pool_id: str, ways: Json | None, args: argparse.Namespace) -> ProfileText:
    """For a pool that was just made. ``ways`` is the app client, None where it is not known or there is none."""
    login_name = plain_name(plan.profile)
    profiles, remarks = [], list[str]()
    login = None
    if args.user_pool_id:
        profiles.append(_profile(plan, plan.profile, pool_id, f"credhelper_cognito_login = {login_name}"))
        lines = [
            f"[cognito_login.{login_name}]",
            f'user_pool_id = "{args.user_pool_id}"',
            f'client_id = "{args.client_id}"',
        ]
        method, remarks = _method(ways)
        login = "\n".join([*lines, *method])
        remarks.append(f"Then: credhelper daemon reload && credhelper login --profile {safe(plan.profile)}")
    if plan.allows_guests:
        name = f"{plan.profile}-guest" if profiles else plan.profile
        profiles.append(_profile(plan, name, pool_id, "credhelper_guest = true"))
    if not profiles:
        remarks.append('A profile for it needs a [cognito_login.NAME] table with method = "command" in config.toml.')
    return ProfileText("\n\n".join(profiles), login, tuple(remarks))


def process_line(profile: str) -> str:
    """The value for ``credential_process``. Raises ConfigError where this machine's paths allow none."""
    copy = installation.put_in_place(places.environment())
    return installation.process_line(profile, copy, installation.base_interpreter())


def _profile(plan: "Plan", name: str, pool_id: str, who: str) -> str:
    header = "[default]" if name == "default" else f"[profile {name}]"
    return "\n".join(
        [
            header,
            f"region = {plan.region}",
            f"credential_process = {process_line(name)}",
            f"credhelper_identity_pool_id = {pool_id}",
            who,
        ]
    )


def _method(ways: Json | None) -> tuple[list[str], list[str]]:
    """How people sign in: through the browser where a loopback address is registered, else by SRP where that is on.

    The table's lines, and what must be done first.
    """
    client = ways["UserPoolClient"] if ways else {}
    remarks = []
    if ways and ways["HasSecret"]:
        remarks.append("The app client has a secret: name a command that prints it with client_secret_command.")
    ports = sorted(set(_ports(client)))
    if ports and "code" in (client.get("AllowedOAuthFlows") or ()):
        port = str(ports[0]) if len(ports) == 1 else f"[{', '.join(map(str, ports))}]"
        return ['method = "browser"', f"redirect_port = {port}"], remarks
    if _SRP & {*(client.get("ExplicitAuthFlows") or ())}:
        return ['method = "srp"'], remarks
    address = f"http://127.0.0.1:{DEFAULT_PORT}{CALLBACK}"
    remarks.append(
        f"Before it works, register {address} as a callback URL of the app client, with the authorization code grant"
        " and the scope openid; the user pool needs a domain."
    )
    return ['method = "browser"', f"redirect_port = {DEFAULT_PORT}"], remarks


def _ports(client: Json) -> Iterator[int]:
    """Those of the app client's callback addresses that a login here can listen on."""
    for address in client.get("CallbackURLs") or ():
        try:
            parts = urlsplit(str(address))
            port = parts.port
        except ValueError:
            continue
        if parts.scheme == "http" and parts.hostname == _LOOPBACK and parts.path == CALLBACK and port:
            yield port
