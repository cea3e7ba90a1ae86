"""Every check, in the order in which a person reads them, and their running at once under one deadline.

The ids, which scripts may depend on:

    python.version  libraries.version  libraries.missing  libraries.urllib3
    disk.home  disk.read_only  disk.space  disk.kind  inotify.limit  browser.command  clock.skew
    tools.installed  tools.running  tools.aws_cli
    environment.keys  environment.container  environment.web_identity  environment.profile  environment.files
    environment.daemon  environment.endpoints
    daemon.running  daemon.answers  daemon.stranger  daemon.lock  daemon.version  daemon.protocol  daemon.home
    daemon.status  daemon.installation  daemon.unwritable  daemon.state  daemon.audit
    socket.path  socket.directory  socket.file  socket.runtime
    settings.valid  settings.daemon  keyring.answers  keyring.off
    policy.rules  policy.program  policy.sandbox  policy.max_ttl  policy.locked
    service.installed  service.files  service.active  service.socket  service.interpreter  service.manager
    config.readable  config.missing  config.unreadable  config.bom  config.encoding  config.duplicate_section
    config.duplicate_key  config.syntax  config.nested  config.differs  config.indented  config.section_twice
    config.shadowed_key  config.unquoted_section  config.profile_prefix  config.credentials_prefix
    config.unknown_section
    session.complete  session.incomplete  session.scopes  session.none
    profile.complete  profile.incomplete  profile.session_missing  profile.contradiction  profile.region
    profile.legacy  profile.shadowed  profile.static_keys  profile.source  profile.chained  profile.duration
    profile.assumed
    pool.complete  pool.incomplete  login.table  login.command  login.memory
    line.stands  line.absent  line.interpreter  line.client  line.profile  line.form  line.runs
    files.permissions  files.owner  files.unwritable  files.writable_by_others  files.readable_by_others  files.kind
    cache.files  cache.token  cache.registration  cache.registration_expired  cache.not_an_object  cache.torn
    cache.leftover  cache.role
    network.endpoint  network.dns  network.connection  network.tls  network.proxy  network.captive_portal
    network.late  network.setting  network.proxy_setting  network.ca_bundle
    doctor.late  doctor.fault

A new one is added here; a test compares the list with the code.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from credhelper.doctor import (
    cache,
    config,
    daemon,
    environment,
    files,
    keyring,
    lines,
    machine,
    network,
    policy,
    pools,
    profiles,
    service,
    tools,
)
from credhelper.doctor.findings import Finding, problem
from credhelper.doctor.scene import Scene

Check = Callable[[Scene], Iterable[Finding]]

CHECKS: Mapping[str, Sequence[Check]] = {
    "Daemon": (
        daemon.running,
        daemon.identity,
        daemon.installation,
        daemon.writing,
        daemon.socket,
        daemon.state,
        daemon.audit,
    ),
    "Settings": (daemon.own_settings, policy.obeyed, policy.locked, keyring.answers, service.installed),
    "AWS configuration": (config.readable, config.overlooked, config.overridden),
    "Sessions and profiles": (
        profiles.sessions,
        profiles.roles,
        profiles.legacy,
        profiles.shadowed,
        profiles.chains,
        profiles.assumed,
        pools.profiles,
        pools.logins,
        lines.stand,
        lines.run,
    ),
    "Files": (files.permissions, cache.tokens, cache.role_credentials),
    "Environment": (
        environment.overriding,
        environment.chosen_profile,
        environment.chosen_files,
        environment.passed_on,
    ),
    "Network": (network.endpoints, network.proxy_and_certificates, machine.clock),
    "Machine": (machine.python, machine.disk, machine.file_events, machine.browser, tools.others),
}
"""By the heading they stand under."""


@dataclass(slots=True)
class Group:
    """What the checks under one heading have found."""

    title: str
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class _Running:
    """One check in its thread, and what it has found so far."""

    title: str
    name: str
    check: Check
    found: list[Finding] = field(default_factory=list)
    fault: str | None = None


def examine(scene: Scene, checks: Mapping[str, Sequence[Check]] = CHECKS) -> list[Group]:
    """Runs every check in a thread of its own, until the scene's time is up: what hangs is left behind and named.

    A check that fails by a fault of ours is a finding too, and keeps no other from being heard.
    """
    ended: queue.SimpleQueue[_Running] = queue.SimpleQueue()
    running = [_Running(title, _name(check), check) for title, members in checks.items() for check in members]
    for each in running:
        threading.Thread(target=_run, args=(each, scene, ended), name=f"doctor-{each.name}", daemon=True).start()
    waiting = {each.name for each in running}
    while waiting:
        try:
            waiting.discard(ended.get(timeout=max(0.01, scene.seconds_left())).name)
        except queue.Empty:
            break
    groups = {title: Group(title) for title in checks}
    for each in running:
        groups[each.title].findings += each.found
    return [group for group in (*groups.values(), _failures(running, waiting)) if group.findings]


def _run(running: _Running, scene: Scene, ended: "queue.SimpleQueue[_Running]") -> None:
    try:
        for finding in running.check(scene):
            running.found.append(finding)
    except Exception as fault:  # one broken check must not silence the others
        import logging

        running.fault = type(fault).__name__  # nobody has looked at what may be in its text
        logging.getLogger(__name__).debug("the check %s failed", running.name, exc_info=True)
    ended.put(running)


def _failures(running: list[_Running], waiting: set[str]) -> Group:
    group = Group("Doctor")
    if waiting:
        names = ", ".join(sorted(waiting))
        group.findings.append(
            problem(
                "doctor.late",
                f"no answer in time from: {names}; does a disk, a network disk or the keyring hang?",
                "df -h ~ ~/.aws   # hangs too if it is the disk; then run credhelper doctor again",
            )
        )
    for each in running:
        if each.fault is not None and each.name not in waiting:
            group.findings.append(
                problem("doctor.fault", f"the check {each.name} failed ({each.fault})", "credhelper doctor --debug")
            )
    return group


def _name(check: Check) -> str:
    module = getattr(check, "__module__", "").rpartition(".")[2]
    return f"{module}.{getattr(check, '__name__', 'check')}"
