"""Nothing is chosen, and there is no default: on a terminal the person is shown what there is, and chooses.

``pick_role`` and ``pick_session`` fill in a command's options as if the choice had been typed. Where one is typed, or
made by the environment or by ``[default]``, or where nobody can be asked, they do nothing, and the command goes on as
in a pipe.
"""

import argparse
import json
import os
import shlex
from typing import Any

from credhelper import client
from credhelper.cli import daemon_link, speech
from credhelper.domain.errors import ConfigError, Interrupted, UsageError
from credhelper.domain.text import safe
from credhelper.local import places

BY_ENVIRONMENT = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "CREDHELPER_SERVER_UID")
"""Each of them chooses, the last one a lease's socket, which stands for one role."""

HELP = "Where nothing is chosen and there is no [default], it shows a list to choose from on a terminal."
"""A sentence for the descriptions of the commands that do so."""

Json = dict[str, Any]


def pick_role(args: argparse.Namespace) -> None:
    """Sets ``profile``, or ``sso_session``, ``account_id`` and ``role_name``.

    Raises Interrupted where the person leaves the list, and UsageError or ConfigError where it would be empty.
    """
    if not _is_open(args, "profile", "sso_session", "account_id", "role_name"):
        return
    offered = _offered("role")
    if offered["default"]:
        return
    found = [*offered["profiles"], *offered["roles"]]
    found.sort(key=lambda role: role["last_used_at"] or "", reverse=True)
    if not found:
        raise _no_role(offered)
    many = len({role["sso_session"] or role["profile"] for role in found}) > 1
    chosen = found[
        _choose(
            "Which role?",
            ("ACCOUNT", "ACCOUNT ID", "ROLE", "PROFILE", "SESSION"),
            [
                (
                    role["account_name"] or "",
                    role["account_id"],
                    role["role_name"] or role["identity_pool_id"],  # which will choose the role
                    role["profile"] or "",
                    _sign_in_of(role) if many else "",
                )
                for role in found
            ],
        )
    ]
    if chosen["profile"] is not None:
        args.profile = chosen["profile"]
        _say("--profile", chosen["profile"])
        return
    for name in ("sso_session", "account_id", "role_name"):
        setattr(args, name, chosen[name])
    _say(*(word for name in ("sso_session", "account_id", "role_name") for word in (_option(name), chosen[name])))


def _sign_in_of(role: Json) -> str:
    if "identity_pool_id" in role:
        return role["cognito_login"] or "guest"
    return role["sso_session"] or ""


def pick_session(args: argparse.Namespace) -> None:
    """Sets ``sso_session``, or for a legacy session ``profile``; the only one there is needs no list.

    For a command with the option ``cognito_login`` the Cognito logins are among them. Raises as ``pick_role``.
    """
    takes_logins = hasattr(args, "cognito_login")
    if not _is_open(args, "profile", "sso_session", *(["cognito_login"] if takes_logins else [])):
        return
    offered = _offered("session")
    if offered["default"]:
        return
    found = [*offered["sessions"], *(offered["logins"] if takes_logins else [])]
    if not found:
        raise _no_session()
    chosen = found[0] if len(found) == 1 else found[_choose_session(found)]
    if "provider" in chosen:
        args.cognito_login = chosen["name"]
        _say("--cognito-login", chosen["name"])
    elif chosen["name"] is None:
        args.profile = chosen["profile"]
        _say("--profile", chosen["profile"])
    else:
        args.sso_session = chosen["name"]
        _say("--sso-session", chosen["name"])


def _choose_session(found: list[Json]) -> int:
    return _choose(
        "Which session?",
        ("SESSION", "STATE", "START URL"),
        [
            (
                session["name"] or f"profile {session['profile']}",
                session["state"],
                session["provider"] if "provider" in session else session["start_url"],
            )
            for session in found
        ],
    )


def _is_open(args: argparse.Namespace, *options: str) -> bool:
    """Whether none of ``options`` chooses, nor the environment, and there is somebody to ask."""
    if any(getattr(args, name) is not None for name in options) or any(os.environ.get(name) for name in BY_ENVIRONMENT):
        return False
    from credhelper.cli.picking import chooser

    return chooser.can_be_shown() and not places.is_lease_socket(places.socket_path(places.environment()))


def _offered(what: str) -> Json:
    offered: Json = json.loads(daemon_link.ask("choices", {"only": what}, seconds=client.DEADLINE))
    return offered


def _choose(question: str, titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> int:
    from credhelper.cli.picking import chooser

    chosen = chooser.choose(question, titles, rows)
    if chosen is None:
        raise Interrupted("nothing was chosen, and nothing was done")
    return chosen


def _no_role(offered: Json) -> Exception:
    named = [session["name"] for session in offered["sessions"] if session["name"] is not None]
    if not offered["sessions"]:
        return _no_session()
    if not named:
        return UsageError("no profile stands for a role", hint="credhelper configure sso-session")
    return UsageError(
        "no profile stands for a role, and no role of a session is known yet",
        hint="credhelper configure sync --sso-session " + shlex.quote(named[0]),
    )


def _no_session() -> ConfigError:
    return ConfigError("no IAM Identity Center session is configured", hint="credhelper configure sso-session")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _say(*words: str) -> None:
    """What to type the next time."""
    speech.note("Chosen: " + " ".join(word if word.startswith("--") else shlex.quote(safe(word)) for word in words))
