"""Opening a browser, which is the business of whoever sits in front of it."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from credhelper.cli import windows_browser

_USUAL = {
    "darwin": ["open"],
    "linux": ["xdg-open", "x-www-browser", "sensible-browser", "firefox", "google-chrome", "chromium"],
}
_CONTAINER_MARKERS = ("/.dockerenv", "/run/.containerenv")


def command(env: Mapping[str, str]) -> list[str] | None:
    """The command that opens a URL: the first that can be started of ``BROWSER``, else of the platform's usual ones.

    In the Windows Subsystem for Linux that is Windows' browser, in which the person is signed in already.

    ``BROWSER`` as Python's webbrowser and most programs read it: commands separated by colons, ``%s`` where the URL
    goes, a trailing ``&`` ignored.
    """
    named = env.get("BROWSER")
    windows = None if named else windows_browser.command(env)
    if windows is not None:
        return windows
    candidates = named.split(os.pathsep) if named else _USUAL.get(sys.platform, [])
    for candidate in candidates:
        try:
            words = shlex.split(candidate.strip().removesuffix("&"))
        except ValueError:
            continue
        if words and shutil.which(words[0], path=env.get("PATH")):
            return words
    return None


def headless_reason(env: Mapping[str, str]) -> str | None:
    """Why no browser can be expected here, in words that follow "because"; None when one can."""
    if env.get("BROWSER"):
        return None
    if env.get("SSH_CONNECTION"):
        return "this is an SSH connection"
    if _is_container(env):
        return "this is a container"
    if sys.platform == "linux" and not env.get("DISPLAY") and not env.get("WAYLAND_DISPLAY"):
        return "there is no display"
    return None


def _is_container(env: Mapping[str, str]) -> bool:
    return bool(env.get("container")) or any(Path(marker).exists() for marker in _CONTAINER_MARKERS)


def why_none_opens(env: Mapping[str, str], words: list[str] | None) -> str | None:
    """Why ``words``, the command that opens a URL if there is one, is better not started here; None when it may be.

    As ``headless_reason``, but Windows' browser takes no display of ours.
    """
    is_windows = words is not None and windows_browser.is_command(words)
    has_screen = is_windows and not env.get("SSH_CONNECTION") and not _is_container(env)
    return None if has_screen else headless_reason(env)


def open_url(words: list[str], url: str) -> subprocess.Popen[bytes] | None:
    """Starts the browser, detached and silent; None when it cannot be started. Never through a shell."""
    if windows_browser.is_command(words):
        url = windows_browser.quoted(url)
    argv = [word.replace("%s", url) for word in words]
    if argv == words:
        argv.append(url)
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
