"""The shell's environment: variables that win over every profile, or that the daemon was not started with."""

import difflib
import shlex
from collections.abc import Iterator
from pathlib import Path

from credhelper.aws import reachability
from credhelper.doctor.findings import Finding, listed, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.urls import is_loopback

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_WEB_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def overriding(scene: Scene) -> Iterator[Finding]:
    """``environment.keys``, ``environment.container`` and ``environment.web_identity``; names only, never a value."""
    found = False
    for name, variables, does in (
        ("environment.keys", _KEYS, "SDKs use the keys in them and no profile"),
        ("environment.container", _CONTAINER, "SDKs ask there wherever no profile is chosen"),
        ("environment.web_identity", _WEB_IDENTITY, "SDKs assume that role wherever no profile is chosen"),
    ):
        are_set = [variable for variable in variables if scene.environment.get(variable)]
        if are_set:
            found = True
            yield warning(name, f"set: {', '.join(are_set)}; {does}", "unset " + " ".join(are_set))
    if not found:
        yield ok("environment.keys", "no variable overrides the profiles")


def chosen_profile(scene: Scene) -> Iterator[Finding]:
    """``environment.profile``: AWS_PROFILE names a profile that exists."""
    for variable in _PROFILES:
        name = scene.environment.get(variable)
        if not name:
            continue
        profiles = scene.configuration().profiles
        if not scene.is_parsed:
            return  # another check says so
        if name in profiles:
            yield ok("environment.profile", f"{variable} chooses the profile {name}")
            continue
        close = difflib.get_close_matches(name, profiles, n=1)
        yield problem(
            "environment.profile",
            f"{variable} names the profile “{name}”, which is not in {scene.paths.config}",
            f"export {variable}={shlex.quote(close[0])}" if close else f"unset {variable}",
        )


def chosen_files(scene: Scene) -> Iterator[Finding]:
    """``environment.files``: AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name files that exist."""
    for variable, path in zip(_FILES, (scene.paths.config, scene.paths.credentials), strict=True):
        named = scene.environment.get(variable)
        if not named:
            continue
        if not path.exists():
            yield problem("environment.files", f"{variable} names {path}, which does not exist", f"unset {variable}")
        elif not Path(named).is_absolute() and not named.startswith(("~", "$")):
            yield warning(
                "environment.files",
                f"{variable} is a relative path: it names another file in each directory",
                f"export {variable}={shlex.quote(str(path))}",
            )
        else:
            yield ok("environment.files", f"{variable} names {path}")


def passed_on(scene: Scene) -> Iterator[Finding]:
    """``environment.daemon`` and ``environment.endpoints``.

    Endpoints, proxies and CA bundle are the daemon's, from its start: what was set later does not reach it.
    """
    here = reachability.variables(scene.environment)
    if scene.daemon().is_running:
        in_force = scene.network()["variables"]
        differing = sorted(name for name in here | in_force if here.get(name) != in_force.get(name))
        if differing:
            yield warning(
                "environment.daemon",
                f"set here otherwise than for the daemon, which goes by its own: {listed(differing)}",
                "credhelper daemon restart",
            )
    else:
        in_force = here
    endpoints = {name: url for name, url in in_force.items() if name.startswith(reachability.ENDPOINT_PREFIX)}
    if endpoints:
        where = "on this machine" if all(map(is_loopback, endpoints.values())) else "not AWS's usual ones"
        told = ", ".join(sorted(set(endpoints.values())))
        yield ok("environment.endpoints", f"the endpoints in force are {where}: {told} ({listed(sorted(endpoints))})")
