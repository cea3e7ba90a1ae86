"""A Cognito profile's own keys: the identity pool, who signs in to it or that guests do, and which role is wanted.

They have the prefix ``credhelper_`` always: no other tool knows such profiles. What may stand in a value is what
Cognito and STS take (botocore's models of cognito-identity, 2014-06-30, and STS, 2011-06-15), so that a mistake is told
with its place and not by AWS. A key that is not known is a mistake too: it may have been meant to narrow something.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from credhelper.aws import chained_profiles
from credhelper.aws.chained_profiles import ADOPTED, Keys, Reader, Section, Wrong
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoLogin, Guests, PoolFlow, PoolRole
from credhelper.domain.text import safe
from credhelper.identity_pools import pools
from credhelper.local import private_files

POOL = ADOPTED + "identity_pool_id"
GUEST = ADOPTED + "guest"
LOGIN = ADOPTED + "cognito_login"
FLOW = ADOPTED + "flow"
CUSTOM_ROLE = ADOPTED + "custom_role_arn"
ROLE = ADOPTED + "role_arn"
SESSION_POLICY = ADOPTED + "session_policy"
SESSION_POLICIES = ADOPTED + "session_policy_arns"
SCOPE_DOWN = ADOPTED + "scope_down"

BASIC_ONLY = (ROLE, ADOPTED + "duration_seconds", SESSION_POLICY, SESSION_POLICIES, SCOPE_DOWN)
KNOWN = frozenset({POOL, GUEST, LOGIN, FLOW, CUSTOM_ROLE, *BASIC_ONLY})

GUESTS_LIMIT, NO_LIMIT = "cognito-guest", "none"
"""What ``credhelper_scope_down`` may say."""

MOST_POLICY_ARNS = 10
LONGEST_POLICIES = 2048
"""Characters of a session policy and of policies' ARNs together (AssumeRoleWithWebIdentity)."""

_OTHER_SOURCES = (
    *(prefix + key for prefix in (ADOPTED, "") for key in ("sso_session", "sso_start_url", "source_profile")),
    "role_arn",
)
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[!-~]{1,512}")
_FILE = "file:"


@dataclass(frozen=True, slots=True)
class LoginTables:
    """The ``[cognito_login.NAME]`` tables that hold, and the file they stand in."""

    path: Path | None = None
    """None where there is no file."""
    by_name: Mapping[str, CognitoLogin] = field(default_factory=dict)

    @classmethod
    def of(cls, logins: Iterable[CognitoLogin], path: Path | None) -> "LoginTables":
        """Those of settings that have been read from ``path``."""
        return cls(path, {login.name: login for login in logins})

    def get(self, name: str) -> CognitoLogin:
        """The table of that name. Raises ConfigError."""
        if name not in self.by_name:
            raise ConfigError(
                f"there is no [cognito_login.{safe(name)}] in {self.path or 'config.toml'}"
                f"{_did_you_mean(name, self.by_name)}",
                hint=f"add the table to {self.path or 'config.toml'}, then run: credhelper daemon reload",
            )
        return self.by_name[name]


TablesInForce = Callable[[], LoginTables]
"""Asked only when a profile names a login. Raises ConfigError."""


def tables_in(path: Path) -> TablesInForce:
    """Those of the ``config.toml`` at ``path``, read at the first asking: for whoever does without a daemon."""

    @functools.cache
    def read() -> LoginTables:
        from credhelper.local import settings

        return LoginTables.of(settings.load(path).cognito_login, path)

    return read


def is_one(keys: Keys) -> bool:
    """Whether a profile with these keys is one of an identity pool's, however incomplete."""
    return POOL in keys or GUEST in keys or LOGIN in keys


def sign_in_of(section: Section, tables: TablesInForce) -> CognitoLogin | Guests:
    """Who signs in: a login by its name, or the pool's guests. Raises ConfigError."""
    pool_id = _pool_id(section)
    _refuse_other_sources(section)
    is_guest = Reader(section, ADOPTED)("guest", _yes_or_no) or False
    name = section.keys.get(LOGIN, "").strip()
    if is_guest and name:
        raise section.mistake(f"{GUEST} and {LOGIN} exclude each other: guests do not sign in")
    if is_guest:
        return Guests(pool_id)
    if not name:
        _refuse_unknown(section)  # one that is misspelt explains what is missing
        raise section.mistake(f"neither {LOGIN} says who signs in, nor {GUEST} = true that nobody does")
    try:
        return tables().get(name)
    except ConfigError as error:
        raise ConfigError(f"{section.mistake(LOGIN).message}: {error.message}", hint=error.hint) from None


def role_of(section: Section, tables: TablesInForce) -> PoolRole:
    """The role that the profile stands for. Raises ConfigError."""
    login = sign_in_of(section, tables)
    _refuse_unknown(section)
    read = Reader(section, ADOPTED)
    flow = read("flow", _flow) or PoolFlow.ENHANCED
    _refuse_other_flow(section, flow)
    role_arn = chained_profiles.matching(
        chained_profiles.ROLE_ARN, "a role's ARN such as arn:aws:iam::111122223333:role/NAME"
    )
    policy = _session_policy(section)
    arns = read("session_policy_arns", _policy_arns) or ()
    if len(policy or "") + sum(map(len, arns)) > LONGEST_POLICIES:
        raise section.mistake(
            f"{SESSION_POLICY} (without white space) and {SESSION_POLICIES} have more than {LONGEST_POLICIES}"
            " characters together"
        )
    return PoolRole(
        _pool_id(section),
        login,
        flow,
        custom_role_arn=read("custom_role_arn", role_arn),
        role_arn=read("role_arn", role_arn),
        duration_seconds=read("duration_seconds", chained_profiles.duration),
        session_policy=policy,
        session_policy_arns=arns,
        scope_down=_scope_down(section, login, flow, is_narrowed=bool(policy or arns)),
    )


def policy_file(keys: Keys, directory: Path) -> Path | None:
    """Where the profile's session policy is, if it is in a file; ``directory`` is where the configuration is."""
    value = keys.get(SESSION_POLICY, "").strip()
    if not value.startswith(_FILE):
        return None
    named = value.removeprefix(_FILE).removeprefix("//")
    return Path(os.path.normpath(Path(directory, os.path.expanduser(named))))


def _pool_id(section: Section) -> str:
    if not section.keys.get(POOL):
        raise section.mistake(f"{POOL} is missing: a profile with {GUEST} or {LOGIN} is an identity pool's")
    pool_id = Reader(section, ADOPTED)("identity_pool_id", _is_pool_id)
    assert pool_id is not None  # noqa: S101  # it is there
    return pool_id


def _refuse_other_sources(section: Section) -> None:
    other = next((key for key in _OTHER_SOURCES if key in section.keys), None)
    if other is not None:
        raise section.mistake(
            f"{POOL} and {other} exclude each other: a profile has one source (a role that is assumed with the pool's"
            f" credentials belongs into another profile, whose source is this one)"
        )


def _refuse_unknown(section: Section) -> None:
    for key in section.keys:
        if key.startswith(ADOPTED) and key not in KNOWN:
            raise section.mistake(
                f"there is no key {safe(key)} for the profile of an identity pool{_did_you_mean(key, KNOWN)}"
            )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _refuse_other_flow(section: Section, flow: PoolFlow) -> None:
    keys = section.keys
    if flow is PoolFlow.BASIC:
        if CUSTOM_ROLE in keys:
            raise section.mistake(f"{CUSTOM_ROLE} is for the enhanced flow; the basic flow's role is {ROLE}")
        if ROLE not in keys:
            raise section.mistake(f"{ROLE} is missing: with {FLOW} = basic, the profile says which role")
        return
    other = next((key for key in BASIC_ONLY if key in keys), None)
    if other == ROLE:
        raise section.mistake(
            f"{ROLE} is for {FLOW} = basic; in the enhanced flow the pool chooses the role, or {CUSTOM_ROLE} does"
        )
    if other is not None:
        raise section.mistake(f"{other} is for {FLOW} = basic: the enhanced flow takes none")


def _scope_down(section: Section, login: CognitoLogin | Guests, flow: PoolFlow, *, is_narrowed: bool) -> bool:
    """Guests of the basic flow get no more than those of the enhanced one, unless somebody says otherwise.

    STS takes all session policies of a request together, and what one of them allows is allowed: a policy of the
    profile's own beside Cognito's would widen it, not narrow it.
    """
    said = Reader(section, ADOPTED)("scope_down", _is_limited)
    is_wanted = isinstance(login, Guests) and flow is PoolFlow.BASIC if said is None else said
    if is_wanted and is_narrowed:
        raise section.mistake(
            f"a session policy of one's own cannot be beside Cognito's for guests ({SCOPE_DOWN} = {GUESTS_LIMIT}"
            f"{'' if said else ', which holds unless it is said'}): AWS allows what either allows; with {SCOPE_DOWN} ="
            f" {NO_LIMIT}, the profile's own is the only one"
        )
    return is_wanted


def _session_policy(section: Section) -> str | None:
    if SESSION_POLICY not in section.keys:
        return None
    from credhelper.identity_pools import policy_language

    place = section.mistake(SESSION_POLICY).message
    path = policy_file(section.keys, section.path.parent)
    content: bytes | str = section.keys[SESSION_POLICY].strip()
    name = f"{place}: the policy"
    if path is not None:
        content, name = _content(path, place), f"{place}: {path}"
    policy_language.parse_access_policy(content, name)
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    return json.dumps(json.loads(text), separators=(",", ":"))  # in ASCII, of which STS takes all


def _content(path: Path, place: str) -> bytes:
    try:
        found = private_files.read(path, follow_link=True)
    except private_files.UnusableFile as error:
        raise ConfigError(f"{place}: {safe(str(path))}: {error}") from None
    if found is None:
        raise ConfigError(f"{place}: there is no file {safe(str(path))}")
    return found


def _is_pool_id(value: str) -> str:
    if not pools.is_id(value):
        raise Wrong(pools.A_POOL_ID)
    return value


def _yes_or_no(value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise Wrong("true or false")
    return value.lower() == "true"


def _flow(value: str) -> PoolFlow:
    try:
        return PoolFlow(value)
    except ValueError:
        raise Wrong(" or ".join(PoolFlow)) from None


def _is_limited(value: str) -> bool:
    if value not in {GUESTS_LIMIT, NO_LIMIT}:
        raise Wrong(f"{GUESTS_LIMIT} or {NO_LIMIT}")
    return value == GUESTS_LIMIT


def _policy_arns(value: str) -> tuple[str, ...]:
    found = chained_profiles.names(value)
    if not 1 <= len(found) <= MOST_POLICY_ARNS or not all(map(_POLICY_ARN.fullmatch, found)):
        raise Wrong(f"1 to {MOST_POLICY_ARNS} ARNs of policies such as arn:aws:iam::aws:policy/ReadOnlyAccess")
    return found
