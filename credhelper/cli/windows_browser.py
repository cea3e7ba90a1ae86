"""Windows' own browser, from inside the Windows Subsystem for Linux.

Windows programs can be started from there. None of those used here is a command interpreter, so that no character of an
address is obeyed by one: ``cmd.exe /c start`` and PowerShell would be.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

KERNEL = Path("/proc/sys/kernel/osrelease")
SYSTEM = Path("/mnt/c/Windows/System32")
"""Where Windows' programs lie unless wsl.conf says otherwise: they need not be in PATH (appendWindowsPath)."""

_UNQUOTED = re.compile(r"[^A-Za-z0-9\-._~:/?#@!&=+%]")


def is_wsl(env: Mapping[str, str]) -> bool:
    """Whether this is the Windows Subsystem for Linux: its own variable says so, or the kernel's name."""
    if env.get("WSL_DISTRO_NAME") or env.get("WSL_INTEROP"):
        return True
    try:
        return "microsoft" in KERNEL.read_text("ascii", "replace").lower()
    except OSError:
        return False


def command(env: Mapping[str, str]) -> list[str] | None:
    """The words that open a URL, put behind them, in Windows; None where this is no WSL, or none can be started."""
    if not is_wsl(env):
        return None
    path = env.get("PATH")
    viewer = shutil.which("wslview", path=path)  # of wslu, where somebody has installed it
    if viewer is not None:
        return [viewer]
    starter = shutil.which("rundll32.exe", path=path) or str(SYSTEM / "rundll32.exe")
    return [starter, "url.dll,FileProtocolHandler"] if os.access(starter, os.X_OK) else None


def is_command(words: list[str]) -> bool:
    """Whether ``words`` are ``command``'s."""
    return os.path.basename(words[0]) in {"wslview", "rundll32.exe"}


def quoted(url: str) -> str:
    """``url`` with everything percent-encoded that could mean something to whatever ``wslview`` hands it on to."""
    from urllib.parse import quote

    return _UNQUOTED.sub(lambda found: quote(found[0], safe=""), url)
