"""Sessions and profiles: whether each is complete, and which of a profile's keys win over the others."""

import shlex
from collections.abc import Iterator, Mapping

from credhelper.aws import chained_profiles, pool_profiles
from credhelper.aws.chained_profiles import LONGEST_CHAIN
from credhelper.aws.config_file import ADOPTED_PREFIX, NATIVE_PREFIX, Configuration
from credhelper.doctor import adopting, config, lines
from credhelper.doctor.findings import Finding, listed, ok, problem, warning
from credhelper.doctor.scene import Scene
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import ASSUMED_ROLE_SECONDS, ChainedRole
from credhelper.domain.oauth import DEFAULT_SCOPES
from credhelper.domain.text import safe

NEXT_LINE = "\n"

_ROLE = ("sso_account_id", "sso_role_name")
_STATIC = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_ROLE_SOURCES = ("source_profile", "credential_source", "web_identity_token_file")
_BEFORE_PROCESS = ("role_arn", "web_identity_token_file", "login_session")

Keys = Mapping[str, str]


def sessions(scene: Scene) -> Iterator[Finding]:
    """``session.complete``, ``session.incomplete``, ``session.scopes`` and ``session.none``."""
    configuration = scene.configuration()
    edit = f"$EDITOR {shlex.quote(str(scene.paths.config))}"
    fine = []
    for name, keys in configuration.sso_sessions.items():
        try:
            session = configuration.sso_session(name)
        except ConfigError as error:
            yield problem(
                "session.incomplete",
                error.message,
                f"credhelper configure sso-session --sso-session {shlex.quote(name)}",
            )
            continue
        if session.scopes and DEFAULT_SCOPES[0] in session.scopes:
            fine.append(name)
            continue
        why = "asks for no scopes" if not session.scopes else f"does not ask for the scope {DEFAULT_SCOPES[0]}"
        means = "AWS may refuse role credentials" if session.scopes else "its token may end after an hour, unrefreshed"
        wanted = ",".join([*(session.scopes or ()), DEFAULT_SCOPES[0]])
        verb = "change" if "sso_registration_scopes" in keys else "add"
        yield warning(
            "session.scopes",
            f"[sso-session {name}] {why}: {means}",
            f"{edit}   # [sso-session {name}]: {verb} sso_registration_scopes = {wanted}",
        )
    if fine:
        yield ok("session.complete", f"complete: {listed(fine)}")
    has_pools = any(pool_profiles.is_one(keys) for keys in configuration.profiles.values())
    if scene.is_parsed and not has_pools and configuration.sessions() == ([], []):
        yield warning(
            "session.none", "no IAM Identity Center session is configured", "credhelper configure sso-session"
        )


def legacy(scene: Scene) -> Iterator[Finding]:
    """``profile.legacy``: profiles with a start URL of their own, whose tokens cannot be refreshed."""
    by_url: dict[str, list[str]] = {}
    for name, keys in scene.configuration().profiles.items():
        for prefix in (ADOPTED_PREFIX, NATIVE_PREFIX):
            if prefix + "start_url" in keys and prefix + "session" not in keys:
                by_url.setdefault(keys[prefix + "start_url"].partition(NEXT_LINE)[0], []).append(name)
                break
    for url, names in by_url.items():
        yield warning(
            "profile.legacy",
            f"{listed(names)}: sso_start_url without an sso-session; the token cannot be refreshed ({url})",
            "credhelper configure sso-session   # then sso_session = NAME in place of sso_start_url and sso_region",
        )


def roles(scene: Scene) -> Iterator[Finding]:
    """Whether each Identity Center profile stands for a role.

    ``profile.complete``, ``profile.session_missing``, ``profile.contradiction``, ``profile.incomplete``,
    ``profile.region``.
    """
    configuration = scene.configuration()
    fine = []
    for name, keys in configuration.profiles.items():
        prefix = _prefix(keys)
        if prefix is None:
            continue
        found = list(_role(scene, configuration, name, keys, prefix))
        yield from found
        if not found:
            fine.append(name)
    if fine:
        yield ok("profile.complete", f"{len(fine)} Identity Center profile(s): {listed(fine)}")


def _prefix(keys: Keys) -> str | None:
    for prefix in (ADOPTED_PREFIX, NATIVE_PREFIX):
        if any(prefix + key in keys for key in ("session", "start_url", "account_id", "role_name")):
            return prefix
    return None


def _role(scene: Scene, configuration: Configuration, name: str, keys: Keys, prefix: str) -> Iterator[Finding]:
    place = config.section_of(name)
    edit = f"$EDITOR {shlex.quote(str(scene.paths.config))}   # {place}"
    session = keys.get(prefix + "session")
    if session is not None and session not in configuration.sso_sessions:
        named = session.partition(NEXT_LINE)[0]  # what is indented below it may be anything
        yield problem(
            "profile.session_missing",
            f"{place} names the sso-session “{named}”, which is not in {scene.paths.config}",
            f"credhelper configure sso-session --sso-session {shlex.quote(named)}",
        )
        return
    if session is not None and not _is_sound(configuration, session):
        return  # the session has a finding of its own
    try:
        configuration.session_of(name)
    except ConfigError as error:
        kind = "profile.contradiction" if "contradict" in error.message else "profile.incomplete"
        yield problem(kind, error.message, edit)
        return
    try:
        if any(prefix + key in keys for key in ("account_id", "role_name")) or prefix == ADOPTED_PREFIX:
            configuration.role_of(name)
    except ConfigError as error:
        yield problem("profile.incomplete", error.message, edit)
        return
    try:
        configuration.region_of(name)
    except ConfigError as error:
        yield problem("profile.region", error.message, edit)


def _is_sound(configuration: Configuration, session: str) -> bool:
    try:
        configuration.sso_session(session)
    except ConfigError:
        return False
    return True


def shadowed(scene: Scene) -> Iterator[Finding]:
    """Keys that SDKs prefer to the ones that should count.

    ``profile.shadowed``: sso_…, role or login keys beside our credential_process, which is then never run;
    ``profile.static_keys``: access keys beside it, or beside sso_… keys.
    """
    from_credentials = {section.name: set(section.keys) for section in scene.credentials_lines().sections}
    configuration = scene.configuration()
    for name, keys in configuration.profiles.items():
        is_ours = lines.is_ours(keys)
        if is_ours:
            yield from _before_process(scene, name, keys)
        elif "credential_process" in keys and any(key.startswith("credhelper_") for key in keys):
            yield warning(
                "profile.shadowed",
                f"{config.section_of(name)} names a role for credhelper, and its credential_process runs another tool",
                f"credhelper configure command --profile {shlex.quote(name)}   # or delete its credhelper_ keys",
            )
        static = [key for key in _STATIC if key in keys]
        if not static or not (is_ours or any(key in keys for key in _ROLE)):
            continue
        in_credentials = bool(set(static) & from_credentials.get(name, set()))
        path = scene.paths.credentials if in_credentials else scene.paths.config
        what = "its credential_process" if is_ours else "Identity Center"
        detail = f"the profile {name} has {static[0]} in {path}, which"
        remedy = f"$EDITOR {shlex.quote(str(path))}   # delete {', '.join(static)} from the profile {name}"
        if is_ours and in_credentials:
            yield problem("profile.static_keys", f"{detail} every SDK prefers to {what}", remedy)
        else:
            yield warning("profile.static_keys", f"{detail} some SDKs prefer to {what}", remedy)


def _before_process(scene: Scene, name: str, keys: Keys) -> Iterator[Finding]:
    place = config.section_of(name)
    edit = f"$EDITOR {shlex.quote(str(scene.paths.config))}   # {place}: "
    sso = [key for key in keys if key.startswith(NATIVE_PREFIX)]
    if sso:
        is_adopted = any(key.startswith(ADOPTED_PREFIX) for key in keys)
        remedy = f"delete {', '.join(sso)}" if is_adopted else f"put credhelper_ before {', '.join(sso)}"
        if any(key in keys for key in _ROLE):
            yield problem(
                "profile.shadowed",
                f"{place}: SDKs prefer its {sso[0]} to its credential_process, which never runs",
                adopting.cure(scene, name, edit + remedy),
            )
        else:
            yield warning(
                "profile.shadowed",
                f"{place}: some SDKs prefer its {sso[0]} to its credential_process, and fail",
                adopting.cure(scene, name, edit + remedy),
            )
    for key in _BEFORE_PROCESS:
        if key in keys:
            remedy = edit + (_other_place(name, keys) if key == "role_arn" else f"delete {key}")
            yield problem(
                "profile.shadowed",
                f"{place}: SDKs prefer its {key} to its credential_process, which never runs",
                adopting.cure(scene, name, remedy),
            )


def _other_place(name: str, keys: Keys) -> str:
    """Where a role belongs that a profile with a command of ours is to assume."""
    if any(key.startswith("credhelper_") for key in keys):
        return f"put role_arn into another profile, with source_profile = {name}"
    return "put credhelper_ before role_arn, source_profile and what else belongs to them"


def chains(scene: Scene) -> Iterator[Finding]:
    """``profile.source``: chained profiles whose source is missing, is their own, or is too far away."""
    configuration = scene.configuration()
    edit = f"$EDITOR {shlex.quote(str(scene.paths.config))}"
    for name, keys in configuration.profiles.items():
        for prefix in ("", "credhelper_"):
            if prefix + "role_arn" not in keys or pool_profiles.is_one(keys):
                continue
            place = config.section_of(name)
            if not any(prefix + key in keys for key in _ROLE_SOURCES):
                yield problem(
                    "profile.source",
                    f"{place}: {prefix}role_arn without {prefix}source_profile",
                    f"{edit}   # {place}: add it",
                )
                continue
            wrong = _wrong_source(configuration, name)
            if wrong:
                yield problem("profile.source", f"{place}: {wrong}", f"{edit}   # {place}: {prefix}source_profile")


def assumed(scene: Scene) -> Iterator[Finding]:
    """Whether credhelper can assume the roles of chained profiles that start from it.

    ``profile.assumed``, ``profile.chained``, ``profile.duration``.
    """
    configuration = scene.configuration()
    fine = []
    for name, keys in configuration.profiles.items():
        is_chained = chained_profiles.prefix_of(keys) is not None and not pool_profiles.is_one(keys)
        if not is_chained or _is_told(configuration, name, keys):
            continue
        place = config.section_of(name)
        edit = f"$EDITOR {shlex.quote(str(scene.paths.config))}   # {place}"
        try:
            role = configuration.role_of(name)
        except ConfigError as error:
            yield problem("profile.chained", error.message, edit)
            continue
        if not isinstance(role, ChainedRole):
            continue
        fine.append(name)
        if (role.duration_seconds or 0) > ASSUMED_ROLE_SECONDS:
            yield problem(
                "profile.duration",
                f"{place}: AWS refuses duration_seconds = {role.duration_seconds}: with another role's credentials"
                f" nobody gets a role for more than {ASSUMED_ROLE_SECONDS} s",
                f"{edit}: at most {ASSUMED_ROLE_SECONDS}",
            )
    if fine:
        yield ok("profile.assumed", f"{len(fine)} profile(s) of assumed roles: {listed(fine)}")


def _is_told(configuration: Configuration, name: str, keys: Keys) -> bool:
    """Whether a chained profile has a finding already, its source has, or it is none of credhelper's business."""
    is_ours = chained_profiles.prefix_of(keys) == chained_profiles.ADOPTED
    if _lacks_source(keys) or _wrong_source(configuration, name):
        return True
    try:
        root = configuration.chain_of(name)[-1]
    except ConfigError as error:
        return not is_ours or not _is_about(error, name)
    if _prefix(configuration.profiles[root]) is None and not pool_profiles.is_one(configuration.profiles[root]):
        return not is_ours
    try:
        configuration.role_of(name)
    except ConfigError as error:
        return not _is_about(error, name)
    return False


def _lacks_source(keys: Keys) -> bool:
    prefix = chained_profiles.prefix_of(keys) or ""
    return not any(prefix + key in keys for key in _ROLE_SOURCES)


def _is_about(error: ConfigError, name: str) -> bool:
    section = "[default]" if name == "default" else f"[profile {safe(name)}]"
    return f": {section}: " in error.message


def _wrong_source(configuration: Configuration, name: str) -> str | None:
    seen = [name]
    while True:
        keys = configuration.profiles[seen[-1]]
        if pool_profiles.is_one(keys):
            return None
        source = keys.get("credhelper_source_profile", keys.get("source_profile"))
        if source is None or (source == seen[-1] and "aws_access_key_id" in keys):
            return None
        if source not in configuration.profiles:
            return (
                f"its source “{source.partition(NEXT_LINE)[0]}” is no profile" if len(seen) == 1 else None
            )  # the nearer one says so
        if source in seen:
            return "its sources go round in a circle: " + " -> ".join([*seen, source])
        seen.append(source)
        if len(seen) > LONGEST_CHAIN + 1:
            return f"more than {LONGEST_CHAIN} steps to the credentials it starts from"
