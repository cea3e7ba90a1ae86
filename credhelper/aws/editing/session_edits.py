"""What changes in ``~/.aws/config`` when a session's start URL, region or scopes do.

A profile may repeat its session's keys, and the AWS CLI refuses it where they differ: so they change together.
"""

from collections.abc import Iterator, Mapping

from credhelper.aws.config_file import ADOPTED_PREFIX, NATIVE_PREFIX, Configuration
from credhelper.aws.editing.config_edits import Edit, SetKeys
from credhelper.aws.editing.config_text import SectionName
from credhelper.domain.errors import ConfigError
from credhelper.domain.text import safe


def of_session(configuration: Configuration, name: str, keys: Mapping[str, str]) -> list[Edit]:
    """The edits after which ``[sso-session NAME]`` has these keys, beside any others it has. Raises ConfigError."""
    present = configuration.sso_sessions.get(name, {})
    changed = {key: value for key, value in keys.items() if present.get(key) != value}
    edits: list[Edit] = [SetKeys(SectionName("sso-session", name), changed)] if changed else []
    for profile in configuration.profiles:
        repeated = dict(_repeated(configuration, profile, name, changed))
        if repeated:
            edits.append(SetKeys(SectionName("profile", profile), repeated))
    return edits


def of_legacy_region(configuration: Configuration, profile: str, region: str) -> list[Edit]:
    """The edit after which a legacy profile, or the one a chain of profiles ends in, has ``region`` as its SSO region.

    Raises ConfigError.
    """
    root = configuration.chain_of(profile)[-1]
    keys = configuration.profile(root)
    prefix = ADOPTED_PREFIX if ADOPTED_PREFIX + "start_url" in keys else NATIVE_PREFIX
    _refuse_out_of_reach(configuration, root, prefix + "region")
    return [SetKeys(SectionName("profile", root), {prefix + "region": region})]


def _repeated(
    configuration: Configuration, profile: str, session: str, changed: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    own = configuration.profiles[profile]
    for prefix, before in ((ADOPTED_PREFIX, ADOPTED_PREFIX.removesuffix(NATIVE_PREFIX)), (NATIVE_PREFIX, "")):
        if own.get(prefix + "session") != session:
            continue
        for key, value in changed.items():
            if own.get(before + key, value) != value:
                _refuse_out_of_reach(configuration, profile, before + key)
                yield before + key, value


def _refuse_out_of_reach(configuration: Configuration, profile: str, key: str) -> None:
    """Raises ConfigError for a key that the credentials file has, where nothing is ever written."""
    if key in configuration.from_credentials.get(profile, ()):
        raise ConfigError(
            f"{configuration.paths.credentials}: [{safe(profile)}] has {key}, which must be changed there"
        )
