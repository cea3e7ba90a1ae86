"""The desktop's keyring, where it holds one key: asked through a process of its own that is killed at a deadline.

A keyring daemon may hang, or wait for a person who is not there, and the library that talks to it knows no time-outs.
So it is loaded in ``keychain_helper``, and this process pays neither a thread that never ends nor its memory.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from credhelper.domain.text import safe
from credhelper.local.sealed_files import KEY_LENGTH

SECONDS = 5.0  # a keyring that is open needs a fifth of one
AUTO = "auto"
BACKENDS = ("secret-service", "kwallet", "macos")
"""What is worth trusting with a key. Others keep it readable, or nowhere, or ask on a terminal that is not there."""

_PASSED_ON = ("HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_CURRENT_DESKTOP")
"""The helper's whole environment: nobody's variable chooses another backend, or carries a secret there."""


class KeychainUnavailable(Exception):
    """The keyring did not do what it was asked for; the message says why, in a few words for a person."""


def key_name(home: Path) -> str:
    """The name under which the keyring holds the key of ``home``."""
    return "home-" + hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


class Keychain:
    """One keyring. Its methods block for up to ``seconds``; they belong in a worker thread."""

    def __init__(
        self, backend: str = AUTO, seconds: float = SECONDS, environment: Mapping[str, str] | None = None
    ) -> None:
        """``environment`` is this process's unless given. Raises ValueError for a backend that is not trusted."""
        if backend not in (AUTO, *BACKENDS):
            raise ValueError(f"no keyring to be trusted: {backend}")
        self.seconds = seconds
        self._backends = _usual_backends() if backend == AUTO else (backend,)
        self._environment = os.environ if environment is None else environment

    def key(self, name: str) -> bytes:
        """The key of that name, 32 bytes; made when there is none. Raises KeychainUnavailable."""
        said = self._ask("get", name)
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(said, validate=True)
            if len(key) == KEY_LENGTH:
                return key
        raise KeychainUnavailable("what the keyring holds under credhelper's name is no key")

    def look(self, name: str) -> bool:
        """Whether it holds a key of that name; none is made. Raises KeychainUnavailable."""
        return self._ask("look", name) == "yes"

    def delete(self, name: str) -> None:
        """Has the keyring forget the key of that name, if it holds one. Raises KeychainUnavailable."""
        self._ask("delete", name)

    def _ask(self, verb: str, name: str) -> str:
        outcome, said = _run_helper([verb, ",".join(self._backends), name], self._environment, self.seconds)
        if outcome != "done":
            raise KeychainUnavailable(said)
        return said


def _usual_backends() -> tuple[str, ...]:
    return ("macos",) if platform.system() == "Darwin" else ("secret-service", "kwallet")


def _helpers(environment: Mapping[str, str]) -> dict[str, str]:
    """The helper's environment. The session bus's usual address stands in for one that is missing, as libdbus does."""
    found = {name: environment[name] for name in _PASSED_ON if name in environment}
    usual = Path(found.get("XDG_RUNTIME_DIR", "/nonexistent"), "bus")
    if platform.system() != "Darwin" and usual.is_socket():
        found.setdefault("DBUS_SESSION_BUS_ADDRESS", "unix:path=" + quote(str(usual)))
    return found


def _run_helper(arguments: list[str], environment: Mapping[str, str], seconds: float) -> tuple[str, str]:
    """The helper's outcome in one word, and what it said of it. Raises KeychainUnavailable when there is none."""
    try:
        helper = subprocess.Popen(
            [sys.executable, "-Im", "credhelper.local.keychain_helper", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the libraries' words there are not ours to vouch for
            cwd="/",
            env=_helpers(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise KeychainUnavailable(f"the keyring's helper could not be started: {error.strerror}") from error
    with helper:
        try:
            said, _ = helper.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise KeychainUnavailable(f"the keyring did not answer within {seconds:g} s") from None
        finally:
            if helper.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
                    os.killpg(helper.pid, signal.SIGKILL)  # with whatever its libraries may have started
    outcome, _, rest = said.decode(errors="replace").rstrip("\n").partition(" ")
    if outcome == "done":
        return outcome, rest
    if outcome == "failed":
        return outcome, safe(rest)
    raise KeychainUnavailable(f"the keyring's helper ended with status {helper.returncode} and did not say why")
