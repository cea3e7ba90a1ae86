"""Where things lie: the socket, the locks, the vault, the settings, the client's copy.

Never in AWS's own caches, which its tools sweep.
"""

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path

from credhelper import client
from credhelper.domain.errors import ConfigError, CredhelperError

SOCKET_PATH_LIMIT = 103 if sys.platform == "darwin" else 107  # bytes, sun_path without its final NUL


def environment() -> dict[bytes, bytes]:
    """This process's environment as the client sees it, with a HOME even where none is set."""
    found = dict(os.environb)
    if not found.get(b"HOME"):
        found[b"HOME"] = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    return found


def socket_path(env: Mapping[bytes, bytes]) -> Path:
    """The daemon's socket. Raises CredhelperError when the path is too long to bind or not absolute."""
    found = client.socket_path(dict(env), os.getuid())
    path = Path(os.fsdecode(found))
    if not path.is_absolute():
        raise CredhelperError(f"CREDHELPER_SOCKET is not an absolute path: {path}")
    if len(found) > SOCKET_PATH_LIMIT:
        raise CredhelperError(
            f"the socket's path is longer than {SOCKET_PATH_LIMIT} bytes: {path}",
            hint="set CREDHELPER_SOCKET to a shorter one, in a directory only you can enter",
        )
    return path


def lease_socket(directory: Path, lease_id: str) -> Path:
    """The socket of a lease for which nobody has named a place."""
    return directory / f"lease-{lease_id}.sock"


def is_lease_socket(path: Path) -> bool:
    """Whether that is what a socket is called: no daemon's own is."""
    return path.name.startswith("lease-") and path.name.endswith(".sock")


def scratch_directory(env: Mapping[bytes, bytes]) -> Path:
    """Where copies lie that are there for as long as a program runs: in the runtime directory."""
    usual = {name: value for name, value in env.items() if name != b"CREDHELPER_SOCKET"}
    return Path(os.fsdecode(client.socket_path(usual, os.getuid()))).parent / "exec"


def state_directory(env: Mapping[bytes, bytes]) -> Path:
    """Where locks lie (``$XDG_STATE_HOME/credhelper``)."""
    return Path(os.fsdecode(client.state_directory(dict(env))))


def data_directory(env: Mapping[bytes, bytes]) -> Path:
    """Where the fast client's copy lies (``$XDG_DATA_HOME/credhelper``)."""
    base = env.get(b"XDG_DATA_HOME", b"")
    path = base if base.startswith(b"/") else env[b"HOME"] + b"/.local/share"
    return Path(os.fsdecode(path), "credhelper")


def instance_lock(state: Path, socket: Path) -> Path:
    """The lock of the one daemon that may serve at ``socket``."""
    return state / f"daemon-{_host()}-{_short_hash(str(socket))}.lock"


def daemon_log(state: Path) -> Path:
    """The log of a daemon that a client has started."""
    return state / f"daemon-{_host()}.log"


def vault_directory(state: Path) -> Path:
    """Where sealed files lie. A home may be shared between hosts, whose keyrings hold different keys."""
    return state / f"vault-{_host()}"


def told_notices(state: Path) -> Path:
    """What the desktop has been told. A home may be shared between hosts, each with a desktop of its own."""
    return state / f"notices-{_host()}.json"


def audit_log(state: Path) -> Path:
    """Who was given what. A home may be shared between hosts, each with a daemon of its own."""
    return state / f"audit-{_host()}.jsonl"


def recent_file(state: Path) -> Path:
    """When each role was last handed out. A home may be shared between hosts, each with a daemon of its own."""
    return state / f"recent-{_host()}.json"


def open_doors(state: Path, socket: Path) -> Path:
    """Which grants and leases the daemon at ``socket`` has opened, for the next one there; without their tokens."""
    return state / f"doors-{_host()}-{_short_hash(str(socket))}.json"


def all_open_doors(state: Path) -> list[Path]:
    """Those of every daemon of this host. Raises OSError."""
    mine = f"doors-{_host()}-"
    names = os.listdir(state) if state.is_dir() else []
    return sorted(state / name for name in names if name.startswith(mine) and name.endswith(".json"))


def inventory_file(state: Path, session_key: str) -> Path:
    """The name cache of a session: which accounts and roles there are. A home may be shared between hosts."""
    return state / f"inventory-{_host()}-{_short_hash(session_key)}.json"


def all_inventory_files(state: Path) -> list[Path]:
    """Those of every session on this host. Raises OSError."""
    mine = f"inventory-{_host()}-"
    names = os.listdir(state) if state.is_dir() else []
    return sorted(state / name for name in names if name.startswith(mine) and name.endswith(".json"))


def identity_file(state: Path, key: str) -> Path:
    """Who a user, or the guest on this host, is in an identity pool. A home may be shared between hosts."""
    return state / f"identity-{_host()}-{_short_hash(key)}.json"


def all_identity_files(state: Path) -> list[Path]:
    """Those of every pool and user on this host. Raises OSError."""
    mine = f"identity-{_host()}-"
    names = os.listdir(state) if state.is_dir() else []
    return sorted(state / name for name in names if name.startswith(mine) and name.endswith(".json"))


def locked_marker(state: Path) -> Path:
    """There while ``credhelper lock`` holds on this host."""
    return state / f"locked-{_host()}"


def settings_file(env: Mapping[bytes, bytes]) -> Path:
    """credhelper's own configuration: ``CREDHELPER_CONFIG``, else ``$XDG_CONFIG_HOME/credhelper/config.toml``.

    Raises ConfigError when CREDHELPER_CONFIG is not an absolute path: the daemon's working directory is ``/``.
    """
    named = env.get(b"CREDHELPER_CONFIG", b"")
    if named and not named.startswith(b"/"):
        raise ConfigError(f"CREDHELPER_CONFIG is not an absolute path: {os.fsdecode(named)}")
    base = env.get(b"XDG_CONFIG_HOME", b"")
    if not base.startswith(b"/"):  # the XDG rule: a relative path counts as unset
        base = env[b"HOME"] + b"/.config"
    return Path(os.fsdecode(named)) if named else Path(os.fsdecode(base), "credhelper", "config.toml")


def refresh_lock(state: Path, session_key: str) -> Path:
    """The lock of whoever refreshes or writes the token of a session. A home may be shared between hosts."""
    return state / f"refresh-{_host()}-{_short_hash(session_key)}.lock"


def _host() -> str:
    return os.uname().nodename.replace("/", "_") or "localhost"


def _short_hash(text: str) -> str:
    import hashlib  # most commands need no lock

    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
