"""What ``credhelper configure sync`` makes of a session's roles: its block of profiles, and what is new in it.

Pure: a listing, the wishes and the present block go in. The same go in again, and nothing has changed.

A profile is recognised by the account id and the role name it holds, and keeps its name for as long as the template can
mean it. It never takes the name of a profile outside the block, nor one of two roles that both want it: those get the
account id behind theirs.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from urllib.parse import quote

from credhelper.aws.config_file import ADOPTED_PREFIX, NATIVE_PREFIX, Configuration
from credhelper.aws.editing.managed_block import Block, KeyChange, Section
from credhelper.domain.accounts import Listing, is_account_id
from credhelper.domain.profile_names import Template, plain
from credhelper.local.sync_table import Sync

REGION = "region"
PROCESS = "credential_process"

_ROLE_KEYS = ("session", "account_id", "role_name")
MANAGED = frozenset({PROCESS, *(prefix + key for prefix in (ADOPTED_PREFIX, NATIVE_PREFIX) for key in _ROLE_KEYS)})
"""The keys of a generated profile that say what it stands for; nobody else's."""

_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")  # IAM's, as in GetRoleCredentials' roleName

LineOf = Callable[[str], str]
"""A profile's ``credential_process`` line. Raises ConfigError."""

Key = tuple[str, str]
"""An account id and a role name."""


class Kind(StrEnum):
    """What becomes of a profile."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    CHANGED = "changed"
    STALE = "stale"
    """Its role is not wanted any more, and it is kept."""
    UNLISTED = "unlisted"
    """The roles of its account are not known this time, and it is kept."""
    LEFT_OUT = "left_out"
    """There is none for this role."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A role that gets a profile."""

    account_id: str
    account_name: str
    """The account's id where AWS says no name."""
    role_name: str

    @property
    def key(self) -> Key:
        """What it is recognised by."""
        return self.account_id, self.role_name

    @property
    def place(self) -> tuple[object, ...]:
        """Where it comes in the block: by account name, then role, the listed ones first."""
        names = (self.account_name.casefold(), self.account_name, self.account_id)
        return (False, *names, self.role_name.casefold(), self.role_name)


@dataclass(frozen=True, slots=True)
class Difference:
    """One profile that is not what it was, or not what one would expect."""

    kind: Kind
    profile: str
    """Its name from now on; where it is removed, the one it had."""
    account_id: str
    account_name: str | None
    """None where the account is not listed."""
    role_name: str
    was: str | None = None
    """The name of a renamed one until now."""
    keys: tuple[KeyChange, ...] = ()
    """What has changed in it."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be written, and the difference to what is there."""

    text: str
    """The block's sections; "" for no block at all."""
    differences: tuple[Difference, ...]
    unchanged: int
    without_region: int
    """How many profiles have none."""

    def of(self, *kinds: Kind) -> list[Difference]:
        """The differences of these kinds."""
        return [found for found in self.differences if found.kind in kinds]


@dataclass(frozen=True, slots=True)
class Given:
    """What planning starts from."""

    listing: Listing
    wishes: Sync
    configuration: Configuration
    block: str
    """The text of the session's block in the configuration; "" for none."""
    line_of: LineOf
    prune: bool = False


def plan(given: Given) -> Planned:
    """The block for what is listed and wished. Raises ConfigError."""
    return _Planning(given).result()


def marker(session: str) -> str:
    """What the lines around a session's block say: how it is brought up to date."""
    return f"credhelper configure sync --sso-session {quote(session, safe='@+=,:', errors='surrogateescape')}"


def fits(pattern: str, account_id: str, account_name: str, role_name: str) -> bool:
    """Whether a pattern means a role: with a slash it is over account and role, without over the account alone.

    An account is known by its name and by its id.
    """
    role = f"/{role_name}" if "/" in pattern else ""
    return any(fnmatchcase(account + role, pattern) for account in (account_name, account_id))


class _Present:
    """What the block has: by key the profiles that are ours, and the sections that somebody put there."""

    def __init__(self, given: Given) -> None:
        self.block = Block(given.block, given.configuration.paths.config)
        self.ours: dict[Key, Section] = {}
        self.others: list[Section] = []
        for section in self.block.sections:
            key = _key_of(section, given.wishes.sso_session)
            if key is None or key in self.ours:
                self.others.append(section)
            else:
                self.ours[key] = section

    def names_of_others(self, configuration: Configuration) -> set[str]:
        """What no profile of ours may be called: the credentials file's keys would be laid over its own, too."""
        ours = {section.profile for section in self.ours.values()}
        outside = {name for name in configuration.profiles if name not in ours}
        return {"default", *outside, *configuration.from_credentials}


def _key_of(section: Section, session: str) -> Key | None:
    """What a section of ours stands for; None for anything else."""
    if section.profile is None:
        return None
    for prefix in (ADOPTED_PREFIX, NATIVE_PREFIX):
        if section.value(prefix + "session") == session:
            account_id, role_name = section.value(prefix + "account_id"), section.value(prefix + "role_name")
            return (account_id, role_name) if account_id and role_name else None
    return None


class _Planning:
    """One run of ``plan``."""

    def __init__(self, given: Given) -> None:
        self._wishes = given.wishes
        self._template = Template.parse(given.wishes.name_template)
        self._line_of = given.line_of
        self._prune = given.prune
        self._present = _Present(given)
        self._taken = self._present.names_of_others(given.configuration)
        self._differences: list[Difference] = []
        self._account_names: dict[str, str] = {}
        self._unlisted: set[str] = set()
        self._listed: set[Key] = set()
        self._unchanged = 0
        self._wanted = sorted(self._read(given.listing), key=lambda role: role.place)

    def result(self) -> Planned:
        wanted = {role.key for role in self._wanted}
        sections: list[tuple[tuple[object, ...], Section]] = []
        for key, section in self._present.ours.items():
            if key not in wanted and self._is_kept(key, section):
                self._taken.add(section.profile or "")
                sections.append((self._place(key), section))
        names = self._names()
        sections += [(role.place, self._made(role, names[role.key])) for role in self._wanted if role.key in names]
        without_region = sum(section.value(REGION) is None for _, section in sections)
        block = self._present.block
        block.sections = [section for _, section in sorted(sections, key=lambda one: one[0])] + self._present.others
        differences = sorted(self._differences, key=lambda one: (list(Kind).index(one.kind), *_sorting(one)))
        return Planned(block.text(), tuple(differences), self._unchanged, without_region)

    def _read(self, listing: Listing) -> Iterator[Wanted]:
        """The listed roles that are wished for."""
        for account in listing["accounts"]:
            account_id = account["account_id"]
            name = self._account_names[account_id] = account["account_name"] or account_id
            if "roles" not in account:
                self._unlisted.add(account_id)
            for role_name in account.get("roles", ()):
                self._listed.add((account_id, role_name))
                role = Wanted(account_id, name, role_name)
                if self._is_wished(role) and self._can_be_written(role):
                    yield role

    def _is_wished(self, role: Wanted) -> bool:
        wishes = self._wishes
        included = not wishes.include or _any_fits(wishes.include, role)
        return included and not _any_fits(wishes.exclude, role)

    def _can_be_written(self, role: Wanted) -> bool:
        """AWS has no other names; what is written into the file is looked at all the same."""
        if is_account_id(role.account_id) and _ROLE_NAME.fullmatch(role.role_name):
            return True
        self._leave_out(role, "such an account id or role name cannot stand in a profile")
        return False

    def _leave_out(self, role: Wanted, why: str) -> None:
        self._note(Kind.LEFT_OUT, self._template_name(role), role.key, why=why)

    def _note(
        self,
        kind: Kind,
        profile: str,
        key: Key,
        *,
        was: str | None = None,
        keys: Iterable[KeyChange] = (),
        why: str = "",
    ) -> None:
        account_id, role_name = key
        name = self._account_names.get(account_id)
        self._differences.append(Difference(kind, profile, account_id, name, role_name, was, tuple(keys), why))

    def _is_kept(self, key: Key, section: Section) -> bool:
        """Whether a profile that nobody wishes for any more stays."""
        kind, why = self._why_unwanted(key)
        if kind is Kind.STALE and self._prune:
            kind = Kind.REMOVED
        self._note(kind, section.profile or "", key, why=why)
        return kind is not Kind.REMOVED

    def _why_unwanted(self, key: Key) -> tuple[Kind, str]:
        if key[0] in self._unlisted:
            return Kind.UNLISTED, "the roles of the account could not be listed"
        if key in self._listed:
            return Kind.STALE, "the patterns do not include the role"
        return Kind.STALE, "the role is not assigned any more"

    def _place(self, key: Key) -> tuple[object, ...]:
        """Of a profile that is kept: where its role would be; behind all others where its account is not listed."""
        account_id, role_name = key
        if account_id in self._account_names:
            return Wanted(account_id, self._account_names[account_id], role_name).place
        return (True, "", "", account_id, role_name.casefold(), role_name)

    def _names(self) -> dict[Key, str]:
        """The name of each wanted role's profile: first those that keep theirs, then what is free."""
        names: dict[Key, str] = {}
        ladders = {role.key: self._ladder(role) for role in self._wanted}
        for key, ladder in ladders.items():
            present = self._present.ours.get(key)
            if present is not None and present.profile in ladder and present.profile not in self._taken:
                names[key] = present.profile
        self._taken |= set(names.values())
        rest = [role for role in self._wanted if role.key not in names]
        wishes = Counter(ladders[role.key][0] for role in rest)
        for role in rest:
            ladder = ladders[role.key]
            # Nobody should take one of two accounts of the same name for the other.
            candidates = ladder if wishes[ladder[0]] == 1 else ladder[1:]
            free = next((name for name in candidates if name not in self._taken), None)
            if free is None and role.key in self._present.ours:
                free = self._present.ours[role.key].profile
            if free is None:
                self._leave_out(role, f"other profiles have the names {', '.join(ladder)}")
                continue
            names[role.key] = free
            self._taken.add(free)
        return names

    def _ladder(self, role: Wanted) -> tuple[str, ...]:
        """The names that a role's profile may have, the best first."""
        name = self._template_name(role)
        with_id = f"{name}-{role.account_id}"
        return name, with_id, f"{with_id}-{plain(role.role_name)}"

    def _template_name(self, role: Wanted) -> str:
        values = {
            "account_name": role.account_name,
            "account_id": role.account_id,
            "role_name": role.role_name,
            "sso_session": self._wishes.sso_session,
        }
        return self._template.fill(values)

    def _made(self, role: Wanted, name: str) -> Section:
        """The role's profile as it shall be; what is new about it is noted."""
        values = self._values(role, name)
        section = self._present.ours.get(role.key)
        if section is None:
            self._note(Kind.ADDED, name, role.key)
            section = Section.new(name)
            section.put(values, MANAGED)
            return section
        was = section.profile
        section.call(name)
        keys = section.put(values, MANAGED)
        if was != name:  # its line says its name
            changed = [change for change in keys if change[0] != PROCESS or None in change]
            self._note(Kind.RENAMED, name, role.key, was=was, keys=changed)
        elif keys:
            self._note(Kind.CHANGED, name, role.key, keys=keys)
        else:
            self._unchanged += 1
        return section

    def _values(self, role: Wanted, name: str) -> dict[str, str]:
        region = self._region_of(role)
        values = {REGION: region} if region else {}
        prefix = NATIVE_PREFIX
        if not self._wishes.native:
            values[PROCESS] = self._line_of(name)
            prefix = ADOPTED_PREFIX
        said = (self._wishes.sso_session, role.account_id, role.role_name)
        return values | {prefix + key: value for key, value in zip(_ROLE_KEYS, said, strict=True)}

    def _region_of(self, role: Wanted) -> str:
        rules = self._wishes.regions
        return next((rule.region for rule in rules if _any_fits(rule.match, role)), self._wishes.region)


def _any_fits(patterns: Iterable[str], role: Wanted) -> bool:
    return any(fits(pattern, role.account_id, role.account_name, role.role_name) for pattern in patterns)


def _sorting(found: Difference) -> tuple[str, str, str, str]:
    return (found.account_name or found.account_id).casefold(), found.account_id, found.role_name, found.profile
