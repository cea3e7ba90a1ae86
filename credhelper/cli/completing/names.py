"""The names that completion offers: from the daemon's memory, else from files that are there. Never the network.

The configuration is read by a quicker and more forgiving eye than ``aws/config_file.py``'s: what it offers wrongly is
refused when the command runs.
"""

import json
import os

from credhelper import client
from credhelper.cli import quick
from credhelper.domain import known_names
from credhelper.domain.known_names import Name, Row

PREFIXES = ("credhelper_sso_", "sso_")
POOL = "credhelper_identity_pool_id"
LOGIN = "cognito_login."

Given = dict[str, str]


def known(kind: str, given: Given) -> list[Name]:
    """The names of a kind (``known_names.KINDS``), each with what it is; of another kind there are none.

    ``given``: the options of the command line so far, which accounts and roles must go with.
    """
    if kind not in known_names.KINDS:
        return []
    session, account = given.get("--sso-session", ""), given.get("--account-id", "")
    told = quick.ask("names", {"only": kind, "sso_session": session, "account_id": account})
    if told is None:
        rows, sessions = _from_files()
        logins = _logins() if kind == "logins" else []
        return known_names.of_kind(kind, rows, sessions, logins, sso_session=session, account_id=account)
    names = (line.partition("\t") for line in told.splitlines())
    return [(name, about) for name, _, about in names]


def _from_files() -> tuple[list[Row], list[Name]]:
    env = quick.environment()
    rows: list[Row] = []
    sessions: list[Name] = []
    for (kind, name), keys in _sections(_read(_config_path(env))):
        if kind == "sso-session":
            sessions.append((name, keys.get("sso_start_url", "")))
        elif kind == "profile":
            rows.append({"profile": name} | _keys_of_role(keys))
    return rows + _from_name_caches(os.fsdecode(client.state_directory(env))), sessions


def _keys_of_role(keys: Row) -> Row:
    if POOL in keys:
        return {"identity_pool_id": keys[POOL]}
    prefix = next((prefix for prefix in PREFIXES if prefix + "account_id" in keys), PREFIXES[-1])
    return {
        name: keys[prefix + key]
        for name, key in (("sso_session", "session"), ("account_id", "account_id"), ("role_name", "role_name"))
        if prefix + key in keys
    }


def _logins() -> list[Name]:
    """The ``[cognito_login.NAME]`` tables of ``config.toml`` (``local/places.py`` says where that is)."""
    env = quick.environment()
    base = env.get(b"XDG_CONFIG_HOME") or env[b"HOME"] + b"/.config"
    path = os.fsdecode(env.get(b"CREDHELPER_CONFIG") or base + b"/credhelper/config.toml")
    titles = [kind for (kind, _), _ in _sections(_read(path)) if kind.startswith(LOGIN)]
    return [(title.removeprefix(LOGIN).strip("\"'"), "") for title in titles]


def _config_path(env: dict[bytes, bytes]) -> str:
    named = os.fsdecode(env.get(b"AWS_CONFIG_FILE", b"")) or "~/.aws/config"
    return os.path.expanduser(named)


def _read(path: str) -> str:
    if not os.path.isfile(path):  # a pipe would be waited for, and some devices have no end
        return ""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _sections(text: str) -> list[tuple[tuple[str, str], Row]]:
    """Each section's kind and name, and its keys."""
    found: list[tuple[tuple[str, str], Row]] = []
    for line in text.splitlines():
        if line.startswith("[") and "]" in line:
            found.append((_kind_and_name(line[1 : line.rindex("]")].strip()), {}))
        elif found and line[:1].isalpha() and "=" in line:
            key, _, value = line.partition("=")
            found[-1][1][key.strip().lower()] = value.strip()
    return found


def _kind_and_name(title: str) -> tuple[str, str]:
    if title == "default":
        return "profile", title
    kind, _, name = title.partition(" ")
    name = name.strip()
    if not set(name) & set("\"'\\"):
        return kind, name
    import shlex  # as botocore reads them

    try:
        words = shlex.split(name)
    except ValueError:
        return "", name
    return (kind, words[0]) if len(words) == 1 else ("", name)


def _from_name_caches(state: str) -> list[Row]:
    """What the sessions' last listings said (``local/inventory_files.py``)."""
    mine = f"inventory-{os.uname().nodename.replace('/', '_')}-"
    try:
        files = sorted(name for name in os.listdir(state) if name.startswith(mine) and name.endswith(".json"))
    except OSError:
        return []
    return [row for name in files for row in _listed(_read(os.path.join(state, name)))]


def _listed(text: str) -> list[Row]:
    try:
        listing = json.loads(text)["listing"]
        return [
            {
                "sso_session": listing["sso_session"] or "",
                "account_id": account["account_id"],
                "account_name": account["account_name"],
                "role_name": role,
            }
            for account in listing["accounts"]
            for role in account["roles"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError):  # none of a session yet, or of another version
        return []
