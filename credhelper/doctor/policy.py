"""The ``[[policy]]`` rules: whether each can be obeyed on this machine, and by the daemon that runs."""

import os
import shlex
from collections.abc import Iterator

from credhelper.agent.policy import Names, fixes_lifetime, is_about
from credhelper.doctor.findings import Finding, listed, ok, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError
from credhelper.local import places, settings
from credhelper.local.policy_table import Rule


def obeyed(scene: Scene) -> Iterator[Finding]:
    """``policy.program``, ``policy.sandbox``, ``policy.max_ttl``; ``policy.rules`` where there is nothing of this."""
    try:
        path = places.settings_file(scene.env)
        rules = settings.load(path).policy
    except ConfigError:  # another check says so
        return
    if not rules:
        return
    edit = f"$EDITOR {shlex.quote(str(path))}; credhelper daemon reload"
    mistakes = [
        *_missing_programs(rules, edit),
        *_hidden_programs(scene, rules),
        *_lifetimes(scene, rules, edit),
    ]
    yield from mistakes or [ok("policy.rules", f"[[policy]] rules that hold: {listed([rule.name for rule in rules])}")]


def _missing_programs(rules: tuple[Rule, ...], edit: str) -> Iterator[Finding]:
    for rule in rules:
        for pattern in rule.allow_exe:
            if not set(pattern) & set("*?[") and not os.path.exists(pattern):
                yield warning(
                    "policy.program",
                    f"the rule “{rule.name}” lets {pattern} ask, and there is no such program",
                    edit,
                )


def _hidden_programs(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    told = [rule.name for rule in rules if rule.allow_exe or rule.confirm]
    if told and scene.daemon().is_running and not scene.network().get("sees_programs", True):
        yield warning(
            "policy.sandbox",
            "the daemon's sandbox does not let it see which programs ask: allow_exe refuses everybody, and confirm"
            f" tells programs apart by their names only ({listed(told)})",
            "credhelper service uninstall   # a daemon that is started by its clients has no sandbox",
        )


def _lifetimes(scene: Scene, rules: tuple[Rule, ...], edit: str) -> Iterator[Finding]:
    bounding = [rule for rule in rules if rule.max_ttl]
    if not bounding:
        return
    configuration = scene.configuration()
    names = Names(configuration)
    roles = configuration.roles()
    labels = {name: names.of(role) for name, role in roles.items()}
    for rule in bounding:
        hit = [name for name, called in labels.items() if is_about(rule, called.profiles, called.paths)]
        fixed: dict[str, list[str]] = {}
        for name in hit:
            if (who_fixes := fixes_lifetime(roles[name], rule.max_ttl)) is not None:
                fixed.setdefault(who_fixes, []).append(name)
        for who_fixes, hit_names in fixed.items():
            yield warning(
                "policy.max_ttl",
                f"the rule “{rule.name}” bounds the lifetime of {listed(hit_names)}, which {who_fixes} fixes: every"
                " request for it is refused; max_ttl is for chained roles",
                edit,
            )


def locked(scene: Scene) -> Iterator[Finding]:
    """``policy.locked``: nothing is handed out."""
    daemon = scene.daemon()
    marker = places.locked_marker(places.state_directory(scene.env))
    is_locked = daemon.status.get("locked") if daemon.is_running else os.path.lexists(marker)
    if is_locked:
        yield warning("policy.locked", "credhelper is locked: nothing is handed out", "credhelper unlock")
