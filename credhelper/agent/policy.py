"""What the user's own ``[[policy]]`` rules say of a request: a check of the gate.

Of the rules that are about a role each must allow, in the order of the file. A rule is about a role whatever that is
called by whoever asks: by any profile of the caller's files or of the home's own that stands for it, and by any
sso-session that leads to the same portal. What a rule says of a role it says of every role that is assumed with it, as
whoever may not use the one may not use the other either. Where an identity pool chooses the role, the rules are asked
before it is known which, and again when it is.

Who asks, and whether a person agrees, is settled where a door is opened (a grant, a lease); ``deny`` holds for whoever
comes through it as well. A lifetime can be bounded where we choose it, of a chained role and in a pool's basic flow;
Identity Center and the enhanced flow fix their own.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from credhelper.agent.configurations import Configurations
from credhelper.agent.gate import Passage
from credhelper.aws.config_file import Configuration
from credhelper.domain.errors import ConfigError, PolicyRefused
from credhelper.domain.model import (
    ASSUMED_ROLE_SECONDS,
    AnyRole,
    ChainedRole,
    PoolFlow,
    PoolRole,
    Role,
    SignInSource,
    SsoSession,
)
from credhelper.domain.text import safe
from credhelper.local.peers import Caller
from credhelper.local.policy_table import Rule
from credhelper.local.settings import Settings

MOST_CONFIGURATIONS = 8  # that are remembered
MOST_ROLES = 4096

Fields = Mapping[str, str]
RoleKey = tuple[str, str, str]
"""What a role is whoever reaches it by whatever name: its kind, its account, its name."""


class Asking(Protocol):
    """Whoever puts questions to the person; see ``confirmations.py``."""

    def settle(self, rule: Rule, role: AnyRole, profile: str | None, caller: Caller) -> None:
        """Returns where the person has said yes. Raises ConfirmationPending, PolicyRefused."""


class Policy:
    """The rules in force. Lives on the event loop."""

    def __init__(self, configurations: Configurations, asking: Asking, file: Callable[[], Path | None]) -> None:
        """``file``: where the rules stand, for a person to look them up."""
        self._configurations = configurations
        self._asking = asking
        self._file = file
        self._rules: tuple[Rule, ...] = ()
        self._names: dict[int, Names] = {}
        """By the identity of a configuration, which lives as long as its entry."""
        self._about: dict[tuple[int, int, AnyRole, str, str, str | None], tuple[Rule, ...]] = {}
        """A pool's role is the same one whatever the pool has given for it, but may be called otherwise."""

    def apply(self, settings: Settings) -> None:
        """From now on by these rules."""
        self._rules = settings.policy
        self._forget()

    @property
    def looks_at_programs(self) -> bool:
        """Whether it matters to any rule which program asks."""
        return any(rule.allow_exe or rule.confirm for rule in self._rules)

    def limited(self, role: AnyRole, fields: Fields, profile: str | None = None) -> AnyRole:
        """The role, its credentials living as long as the rules let them at most, also those that it is assumed with.

        Raises ConfigError.
        """
        if not self._rules or isinstance(role, Role):
            return role
        return self._limited(role, fields, profile)

    def check(self, passage: Passage) -> None:
        """Raises PolicyRefused, ConfirmationPending; ConfigError for a rule that cannot be obeyed."""
        role = passage.role
        if not self._rules or role is None:
            return
        wanted = passage.wanted
        for rule in self._rules_about(role, wanted.fields, passage.profile):
            if rule.deny:
                raise self._refusal(rule, f"denies {_called(role, passage.profile)}")
            who_fixes = fixes_lifetime(role, rule.max_ttl)
            if who_fixes is not None:
                raise ConfigError(
                    f"{self._place(rule)}: max_ttl cannot be obeyed for {_called(role, passage.profile)}: {who_fixes}"
                    " fixes how long its credentials live; it is for chained roles (role_arn)",
                    hint=f"take max_ttl out of that rule, or the role out of its match, then run: {_RELOAD}",
                )
            if wanted.is_standing:
                continue
            if rule.allow_exe:
                self._check_program(rule, role, passage)
            if rule.confirm:
                self._check_answer(rule, role, passage)

    # -- who asks -----------------------------------------------------------------------------------------------------

    def _check_program(self, rule: Rule, role: AnyRole, passage: Passage) -> None:
        caller = passage.wanted.caller
        program = caller.program
        called = _called(role, passage.profile)
        if program is None:
            what = f"lets only certain programs use {called}, and {_why_unknown(caller)}"
            raise self._refusal(rule, what, _UNSANDBOXED if _is_hidden(caller) else None)
        if not any(_is_program(program, pattern) for pattern in rule.allow_exe):
            raise self._refusal(rule, f"does not let {safe(program)} use {called}")

    def _check_answer(self, rule: Rule, role: AnyRole, passage: Passage) -> None:
        caller = passage.wanted.caller
        if caller.has_changed:
            called = _called(role, passage.profile)
            raise self._refusal(rule, f"asks before a program uses {called}, and {_why_unknown(caller)}")
        self._asking.settle(rule, role, passage.profile, caller)

    def _refusal(self, rule: Rule, what: str, hint: str | None = None) -> PolicyRefused:
        return PolicyRefused(f"the rule “{rule.name}” {what}", hint=hint or f"see {self._place(rule)}")

    def _place(self, rule: Rule) -> str:
        where = self._file()
        return f"{where or 'config.toml'}: [[policy]] “{rule.name}”"

    # -- which rules --------------------------------------------------------------------------------------------------

    def _limited(self, role: AnyRole, fields: Fields, profile: str | None) -> AnyRole:
        if isinstance(role, Role):
            return role
        bounds = [rule.max_ttl for rule in self._rules_naming(role, fields, profile) if rule.max_ttl]
        if isinstance(role, ChainedRole):
            role = replace(role, source=self._limited(role.source, fields, None))
        return role.lasting(min(bounds)) if bounds else role

    def _rules_about(self, role: AnyRole, fields: Fields, profile: str | None) -> list[Rule]:
        """Those that hold for a role or for one that it is assumed with. A lifetime is each role's own."""
        names = {id(rule) for rule in self._rules_naming(role, fields, profile)}
        below = {id(rule) for source in _sources(role) for rule in self._rules_naming(source, fields, None)}
        return [rule for rule in self._rules if id(rule) in names or id(rule) in below]

    def _rules_naming(self, role: AnyRole, fields: Fields, profile: str | None) -> tuple[Rule, ...]:
        """Those whose patterns are about this very role. Raises ConfigError: what it is called cannot be known."""
        files = self._configurations
        home, theirs = files.of(files.own_fields, is_hit=True), files.of(fields, is_hit=True)
        key = id(home), id(theirs), role, role.account_id, role.role_name, profile
        if key not in self._about or not self._are_known(home, theirs):
            called = self._labels(role, home, theirs)
            profiles = called.profiles | ({profile} if profile is not None else set())
            if len(self._about) >= MOST_ROLES:
                self._about.clear()
            self._about[key] = tuple(rule for rule in self._rules if is_about(rule, profiles, called.paths))
        return self._about[key]

    def _are_known(self, *configurations: Configuration) -> bool:
        return all(id(each) in self._names for each in configurations)

    def _labels(self, role: AnyRole, *configurations: Configuration) -> "Labels":
        found = Labels(paths_of(role))
        for configuration in configurations:
            if id(configuration) not in self._names:
                if len(self._names) >= MOST_CONFIGURATIONS:
                    self._forget()
                self._names[id(configuration)] = Names(configuration)
            found.add(self._names[id(configuration)].of(role))
        return found

    def _forget(self) -> None:
        self._names.clear()
        self._about.clear()


_RELOAD = "credhelper daemon reload"
_UNSANDBOXED = "credhelper service uninstall   # a daemon that is started by its clients has no sandbox"


class Labels:
    """All that a role is called."""

    def __init__(self, paths: set[str]) -> None:
        self.profiles: set[str] = set()
        self.paths = paths
        """``session/account/role``, in lower case."""

    def add(self, other: "Labels") -> None:
        """Those too."""
        self.profiles |= other.profiles
        self.paths |= other.paths


class Names:
    """What one configuration calls roles and sessions."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration  # kept, so that its identity is nobody else's
        self._labels: dict[RoleKey, Labels] = {}
        self._sessions: dict[str, set[str]] = {}
        for session in configuration.sessions()[0]:
            self._sessions.setdefault(_place_of(session), set()).add(session.label)
        for name, role in configuration.roles().items():
            labels = self._labels.setdefault(_key(role), Labels(set()))
            labels.profiles.add(name)
            labels.paths |= paths_of(role)

    def of(self, role: AnyRole) -> Labels:
        """All of a role's."""
        found = Labels({_path(label, role) for label in self._sessions.get(_place_of(role.session), ())})
        if (labels := self._labels.get(_key(role))) is not None:
            found.add(labels)
        return found


def fixes_lifetime(role: AnyRole, max_ttl: int) -> str | None:
    """Who else decides how long the role's credentials live, and for longer than ``max_ttl`` seconds; None: nobody.

    0: any time will do.
    """
    if not max_ttl:
        return None
    if isinstance(role, Role):
        return "Identity Center"
    is_fixed = isinstance(role, PoolRole) and role.flow is PoolFlow.ENHANCED and max_ttl < ASSUMED_ROLE_SECONDS
    return "the enhanced flow of identity pools" if is_fixed else None


def paths_of(role: AnyRole) -> set[str]:
    """``session/account/role`` of a role, and of a pool's role also with the pool's id in the session's place.

    In lower case. Account and role are empty where only the pool knows them and has not given any yet.
    """
    labels = {role.session.label, role.pool_id} if isinstance(role, PoolRole) else {role.session.label}
    return {_path(label, role) for label in labels}


def _key(role: AnyRole) -> RoleKey:
    """An account has one role of a name, whatever portal or source leads there; a pool gives its own."""
    if isinstance(role, PoolRole):
        return "pool", f"{role.session.cache_key} {role.pool_id}", (role.named_arn or "").lower()
    return "chained" if isinstance(role, ChainedRole) else "sso", role.account_id, role.role_name.lower()


def _path(session: str, role: AnyRole) -> str:
    return f"{session}/{role.account_id}/{role.role_name}".lower()


def _place_of(session: SignInSource) -> str:
    """What several sessions may lead to: the start URL as far as it tells one portal from another."""
    return session.start_url.lower().rstrip("/#") if isinstance(session, SsoSession) else session.cache_key


def _sources(role: AnyRole) -> Iterator[AnyRole]:
    while isinstance(role, ChainedRole):
        role = role.source
        yield role


def is_about(rule: Rule, profiles: set[str], paths: set[str]) -> bool:
    """Whether one of the rule's patterns fits one of the names, or one of the paths in lower case."""
    return any(
        any(fnmatchcase(name, pattern) for name in profiles)
        or any(fnmatchcase(path, pattern.lower()) for path in paths)
        for pattern in rule.match
    )


def _is_program(program: str, pattern: str) -> bool:
    """Whether the file that runs is meant: /usr/local/bin/aws is often a link, and what runs is what it leads to."""
    return fnmatchcase(program, pattern) or program == os.path.realpath(pattern)


def _why_unknown(caller: Caller) -> str:
    if caller.has_changed:
        return "the one that asks has become another one while it asked"
    if caller.exe is None:
        return "it cannot be seen which one asks"
    return f"the daemon may not see where {safe(caller.exe)} runs from: its service's sandbox forbids it"


def _is_hidden(caller: Caller) -> bool:
    """Whether it is there, and may not be looked at."""
    return caller.exe is not None and not caller.has_changed


def _called(role: AnyRole, profile: str | None) -> str:
    path = f"{role.session.label}/{role.account_id}/{role.role_name}".rstrip("/")
    return safe(path if profile is None else f"{profile} ({path})")
