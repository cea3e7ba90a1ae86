"""Native profiles made adopted ones and back again: which keys of a profile get other names, or why that cannot be.

Adopted, a profile has the AWS CLI's keys with the prefix ``credhelper_`` and a ``credential_process`` line, which the
SDKs then run. Nothing is read or written here: a plan is made of what the files say, and it holds only turns after
which a profile stands for the same role as before. The values, the order and every other key stay as they are, so that
a release undoes an adoption to the byte.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from credhelper.aws import chained_profiles
from credhelper.aws.config_file import NATIVE_PREFIX, Configuration, how_to_make_profiles
from credhelper.aws.editing.config_edits import Edit, RemoveKeys, ReplaceKeys, SetKeys
from credhelper.aws.editing.config_text import SectionName
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import AnyRole
from credhelper.domain.text import safe
from credhelper.local import installation

PREFIX = chained_profiles.ADOPTED
PROCESS = "credential_process"
IDENTITY_POOL = PREFIX + "identity_pool_id"
"""A Cognito profile's source, which the AWS CLI has no keys for: such a profile only gets and loses its line."""

STATIC = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_BEFORE_PROCESS = (*STATIC, "web_identity_token_file", "login_session")
"""What SDKs prefer to ``credential_process``, and some of them to Identity Center too (their credential chains)."""

Keys = Mapping[str, str]
LineOf = Callable[[str], str]
"""The ``credential_process`` line of the profile with this name. Raises ConfigError."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How one profile changes."""

    profile: str
    renamed: Mapping[str, str]
    """New names by the present ones, in the section's order."""
    line: str | None
    """The ``credential_process`` line it is to have; None: none."""

    def applied_to(self, keys: Keys) -> dict[str, str]:
        """The profile's keys afterwards."""
        found = {self.renamed.get(key, key): value for key, value in keys.items() if key != PROCESS}
        return found if self.line is None else found | {PROCESS: self.line}


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of each profile that was asked for, in the order of asking."""

    turns: Mapping[str, Turn] = field(default_factory=dict)
    settled: Mapping[str, str] = field(default_factory=dict)
    """Why there is nothing to do."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot be done. Names and values in it have come from files."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Profiles that are none of credhelper's business, and why; only where nobody has named them."""


class _Refused(Exception):
    """It cannot be done; says why."""


class _NotMeant(Exception):
    """The profile is not of the kind; says why."""


class _Settled(Exception):
    """There is nothing to do; says why."""


def adopt(configuration: Configuration, names: Sequence[str] | None, line_of: LineOf) -> Plan:
    """Makes native profiles adopted ones, and gives adopted ones the line they lack; ``names`` None: all that can be.

    A native profile that is named and is none of Identity Center's is refused. Raises ConfigError for a name that no
    profile has.
    """
    plan = _planned(configuration, names, lambda name: _adoption(configuration, name, line_of))
    return plan if names is None else replace(plan, refused={**plan.refused, **plan.others}, others={})


def release(configuration: Configuration, names: Sequence[str] | None) -> Plan:
    """Makes adopted profiles native ones; ``names`` None: all of them. One that is not adopted is settled.

    Raises ConfigError for a name that no profile has.
    """
    plan = _planned(configuration, names, lambda name: _release(configuration, name))
    return plan if names is None else replace(plan, settled={**plan.settled, **plan.others}, others={})


def edits(plan: Plan) -> list[Edit]:
    """What to do to ``~/.aws/config``: each key's line stays where it is, and the command's goes below the last."""
    found: list[Edit] = []
    for name, turn in plan.turns.items():
        section = SectionName("profile", name)
        if turn.renamed:
            found.append(ReplaceKeys(section, {old: (new, None) for old, new in turn.renamed.items()}))
        if turn.line is None:
            found.append(RemoveKeys(section, frozenset({PROCESS})))
        else:
            found.append(SetKeys(section, {PROCESS: turn.line}))
    return found


def feasible(plan: Plan, attempt: Callable[[Sequence[Edit]], object]) -> Plan:
    """The plan without the turns whose edits ``attempt`` raises ConfigError for: those are refused, and no others.

    A file may be so written that one section cannot be edited safely, such as one that is there in two spellings.
    Raises ConfigError where ``attempt`` does so without any edit: then it is about the whole file.
    """
    attempt([])
    refused = dict(_infeasible(list(plan.turns.values()), attempt))
    turns = {name: turn for name, turn in plan.turns.items() if name not in refused}
    return replace(plan, turns=turns, refused={**plan.refused, **refused})


def _infeasible(turns: list[Turn], attempt: Callable[[Sequence[Edit]], object]) -> Iterator[tuple[str, str]]:
    """By halves: a mistake is rare, and each attempt looks at the whole file."""
    try:
        attempt(edits(Plan({turn.profile: turn for turn in turns})))
    except ConfigError as error:
        if len(turns) == 1:
            yield turns[0].profile, error.message
            return
        half = len(turns) // 2
        yield from _infeasible(turns[:half], attempt)
        yield from _infeasible(turns[half:], attempt)


def logins_lost(configuration: Configuration, plan: Plan) -> dict[str | None, list[str]]:
    """The profiles that ``aws sso login --profile`` will not know any more, by their sso-session; None: the legacy."""
    found: dict[str | None, list[str]] = {}
    for name, turn in plan.turns.items():
        if any(key.startswith(NATIVE_PREFIX) for key in turn.renamed):
            found.setdefault(configuration.profiles[name].get(NATIVE_PREFIX + "session"), []).append(name)
    return found


def _planned(configuration: Configuration, names: Sequence[str] | None, turn_of: Callable[[str], Turn]) -> Plan:
    asked = list(configuration.profiles) if names is None else list(dict.fromkeys(names))
    _refuse_unknown(configuration, asked)
    turns: dict[str, Turn] = {}
    settled: dict[str, str] = {}
    refused: dict[str, str] = {}
    others: dict[str, str] = {}
    for name in asked:
        try:
            turns[name] = turn_of(name)
        except _Settled as why:
            settled[name] = str(why)
        except _NotMeant as why:
            others[name] = str(why)
        except (_Refused, ConfigError) as why:
            refused[name] = str(why)
    strayed = _strayed(configuration, turns)
    return Plan({name: turn for name, turn in turns.items() if name not in strayed}, settled, refused | strayed, others)


def _refuse_unknown(configuration: Configuration, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in configuration.profiles]
    if len(unknown) == 1:
        configuration.profile(unknown[0])
    elif unknown:
        listed = ", ".join(f"“{safe(name)}”" for name in unknown)
        raise ConfigError(
            f"the profiles {listed} are not in {configuration.paths.config}", hint=how_to_make_profiles(configuration)
        )


def _strayed(configuration: Configuration, turns: Mapping[str, Turn]) -> dict[str, str]:
    """The turns after which a profile would stand for another role, and how that is."""
    changed = {name: turn.applied_to(configuration.profiles[name]) for name, turn in turns.items()}
    afterwards = replace(configuration, profiles={**configuration.profiles, **changed})
    found = {}
    for name in turns:
        if IDENTITY_POOL in configuration.profiles[name]:
            continue
        before = _role(configuration, name)
        after = _role(afterwards, name)
        if isinstance(before, ConfigError) or before == after:
            continue  # what does not work may be released as it is
        found[name] = after.message if isinstance(after, ConfigError) else "it would stand for another role"
    return found


def _role(configuration: Configuration, name: str) -> AnyRole | ConfigError:
    try:
        return configuration.role_of(name)
    except ConfigError as error:
        return error


# -- adopting ---------------------------------------------------------------------------------------------------------


def _adoption(configuration: Configuration, name: str, line_of: LineOf) -> Turn:
    keys = configuration.profile(name)
    source = _source(keys)
    if source is None:
        raise _NotMeant("it is no Identity Center profile")
    _refuse_strangers(configuration, name, source)
    _refuse_shadowed(configuration, name, keys)
    if not _is_ours_or_none(keys):
        raise _Refused(f"its {PROCESS} runs another tool, and a profile has only one")
    _refuse_lines_below(keys)
    renamed = {} if source.startswith(PREFIX) else _with_prefix(keys, source)
    line = line_of(name)
    if not renamed and keys.get(PROCESS) == line:
        raise _Settled("adopted already")
    _refuse_taken(keys, renamed)
    _refuse_in_credentials(configuration, name, [source, *renamed, PROCESS])
    return Turn(name, renamed, line)


def _source(keys: Keys) -> str | None:
    """The key by which a profile says where its credentials come from. Raises _Refused when it has several."""
    kinds = [
        next((key for key in keys if key.startswith(NATIVE_PREFIX)), None),
        "role_arn" if "role_arn" in keys else None,
        next((key for key in keys if key.startswith(PREFIX + NATIVE_PREFIX)), None),
        # That of an identity pool may be assumed in the same profile.
        PREFIX + "role_arn" if PREFIX + "role_arn" in keys and IDENTITY_POOL not in keys else None,
        IDENTITY_POOL if IDENTITY_POOL in keys else None,
    ]
    found = [key for key in kinds if key is not None]
    if len(found) > 1:
        raise _Refused(f"{found[0]} and {found[1]} exclude each other")
    return found[0] if found else None


def _refuse_strangers(configuration: Configuration, name: str, source: str) -> None:
    """Raises _NotMeant for a profile that no role of Identity Center's stands behind, and ConfigError for a broken one.

    Whoever has chosen credhelper's own keys has meant it.
    """
    if source == IDENTITY_POOL:
        return
    keys = configuration.profiles[name]
    if source.startswith(NATIVE_PREFIX) and not any(key in keys for key in ("sso_account_id", "sso_role_name")):
        raise _NotMeant("it stands for no role: it has neither sso_account_id nor sso_role_name")
    if source == "role_arn":
        _refuse_foreign_source(configuration, name)
    try:
        configuration.role_of(name)
    except ConfigError:
        if source != PREFIX + "role_arn" or not _starts_from_pool(configuration, name):
            raise


def _refuse_foreign_source(configuration: Configuration, name: str) -> None:
    keys = configuration.profiles[name]
    if "source_profile" not in keys or "web_identity_token_file" in keys:
        raise _NotMeant("its role is not assumed with the credentials of a source_profile")
    try:
        root = configuration.profiles[configuration.chain_of(name)[-1]]
    except ConfigError as error:
        raise _NotMeant(error.message) from None
    if not any(key.startswith((NATIVE_PREFIX, PREFIX)) for key in root):
        raise _NotMeant("the credentials that its role is assumed with are not Identity Center's")


def _starts_from_pool(configuration: Configuration, name: str) -> bool:
    return IDENTITY_POOL in configuration.profiles[configuration.chain_of(name)[-1]]


def _refuse_shadowed(configuration: Configuration, name: str, keys: Keys) -> None:
    shadow = next((key for key in _BEFORE_PROCESS if key in keys), None)
    if shadow is not None:
        paths = configuration.paths
        path = paths.credentials if shadow in configuration.from_credentials.get(name, ()) else paths.config
        raise _Refused(f"it has {shadow} in {path}, which SDKs prefer to {PROCESS}")


def _refuse_taken(keys: Keys, renamed: Mapping[str, str]) -> None:
    taken = next(((old, new) for old, new in renamed.items() if new in keys), None)
    if taken is not None:
        raise _Refused(f"{taken[0]} and {taken[1]} exclude each other")


def _refuse_in_credentials(configuration: Configuration, name: str, keys: Iterable[str]) -> None:
    elsewhere = next((key for key in keys if key in configuration.from_credentials.get(name, ())), None)
    if elsewhere is not None:
        raise _Refused(f"its {elsewhere} stands in {configuration.paths.credentials}, which credhelper does not change")


def _with_prefix(keys: Keys, source: str) -> dict[str, str]:
    if source.startswith(NATIVE_PREFIX):
        return {key: PREFIX + key for key in keys if key.startswith(NATIVE_PREFIX)}
    return {key: PREFIX + key for key in keys if key in chained_profiles.NATIVE_KEYS}


def _is_ours_or_none(keys: Keys) -> bool:
    return PROCESS not in keys or installation.is_ours(keys[PROCESS])


def _refuse_lines_below(keys: Keys) -> None:
    """What is indented below the line is a part of it to a parser, and other keys to whoever wrote it."""
    if "\n" in keys.get(PROCESS, ""):
        raise _Refused(f"more lines are indented below its {PROCESS}, and would go with it")


# -- releasing --------------------------------------------------------------------------------------------------------


def _release(configuration: Configuration, name: str) -> Turn:
    keys = configuration.profile(name)
    has_own_keys = any(key.startswith(PREFIX + NATIVE_PREFIX) for key in keys) or any(
        key in keys for key in (PREFIX + "role_arn", IDENTITY_POOL)
    )
    if not has_own_keys and (PROCESS not in keys or not _is_ours_or_none(keys)):
        raise _NotMeant("not adopted")
    if not _is_ours_or_none(keys):
        raise _Refused(f"its {PROCESS} runs another tool, which the native keys would keep from being run")
    _refuse_lines_below(keys)
    source = _source(keys)
    if source == IDENTITY_POOL and PROCESS not in keys:
        raise _Settled(f"no {PROCESS} line, and the AWS CLI has no keys for the rest")
    renamed = {} if source is None else _without_prefix(keys, source)
    _refuse_taken(keys, renamed)
    _refuse_in_credentials(configuration, name, [*renamed, PROCESS])
    return Turn(name, renamed, None)


def _without_prefix(keys: Keys, source: str) -> dict[str, str]:
    if source.startswith(PREFIX + NATIVE_PREFIX):
        return {key: key.removeprefix(PREFIX) for key in keys if key.startswith(PREFIX + NATIVE_PREFIX)}
    if source == PREFIX + "role_arn":
        mine = {PREFIX + key: key for key in chained_profiles.NATIVE_KEYS}
        return {key: mine[key] for key in keys if key in mine}
    return {}
