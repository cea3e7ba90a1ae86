"""``~/.aws/config`` and ``~/.aws/credentials``: profiles, sso-sessions, and which role a profile stands for.

The files are read by botocore's rules (``botocore/configloader.py``: RawConfigParser in strict mode, section names
split like shell words, the credentials file laid over the config file), but a mistake is reported with file, section
and key, and spoils only what depends on it.
"""

import configparser
import io
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from credhelper.aws import chained_profiles, plain_ini, pool_profiles
from credhelper.aws.chained_profiles import LONGEST_CHAIN, Section
from credhelper.aws.pool_profiles import LoginTables, TablesInForce
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import AnyRole, CognitoLogin, PoolRole, Role, SignInSource, SsoSession, region_behind
from credhelper.domain.text import safe
from credhelper.domain.urls import A_REGION, REGION, is_https_or_loopback

NATIVE_PREFIX = "sso_"
ADOPTED_PREFIX = "credhelper_sso_"

LARGEST = 4 * 1024**2  # bytes; a file with 2,000 profiles has 300 KB

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_PLAIN_SECTION = re.compile(r"([a-z-]+) +([A-Za-z0-9_.@/+:%-]+)")


@dataclass(frozen=True, slots=True)
class ConfigPaths:
    """The two files of a caller, absolute."""

    config: Path
    credentials: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], cwd: str = "/") -> "ConfigPaths":
        """From the caller's ``HOME``, ``AWS_CONFIG_FILE`` and ``AWS_SHARED_CREDENTIALS_FILE``."""
        home = environment["HOME"]

        def place(variable: str, usual: str) -> Path:
            named = environment.get(variable) or usual
            expanded = re.sub(r"\$HOME\b|\$\{HOME\}", lambda _: home, named)
            if expanded == "~" or expanded.startswith("~/"):
                expanded = home + expanded[1:]
            return Path(os.path.normpath(Path(cwd, expanded)))

        return cls(
            place("AWS_CONFIG_FILE", "~/.aws/config"),
            place("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the two files say; ``profiles`` and ``sso_sessions`` in file order, keys in lower case."""

    paths: ConfigPaths
    profiles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sso_sessions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    from_credentials: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By profile, the keys that the credentials file has, which is laid over the other."""
    tables: TablesInForce = field(default=LoginTables, repr=False, compare=False)
    """The logins that profiles of identity pools name: those stand in credhelper's own file."""
    _roles: dict[str, AnyRole] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By profile, those that were asked for: a chain is followed once."""

    def profile(self, name: str) -> Mapping[str, str]:
        """The profile's keys. Raises ConfigError."""
        if name not in self.profiles:
            raise ConfigError(
                f"profile “{safe(name)}” is not in {self.paths.config}",
                hint=how_to_make_profiles(self),
            )
        return self.profiles[name]

    def sso_session(self, name: str) -> SsoSession:
        """The ``[sso-session NAME]`` section, complete and plausible. Raises ConfigError."""
        section = f"[sso-session {safe(name)}]"
        keys = self.sso_sessions.get(name)
        if keys is None:
            raise ConfigError(f"{self.paths.config}: there is no section {section}", hint=_how_to_make(name))
        try:
            return self._session(name, keys, section, "sso_")
        except ConfigError as mistake:
            mistake.hint = _how_to_make(name)
            raise

    def session_of(self, profile: str) -> SsoSession:
        """The session a profile logs in to; role and account are not needed for that. Raises ConfigError.

        A chained profile's is that of the profile at the bottom of its chain.
        """
        root = self.chain_of(profile)[-1]
        if self._is_of_pool(root):
            raise self._section(root).mistake("it is the profile of an identity pool, and has no session of SSO")
        return self._own_session(root)

    def sign_in_of(self, profile: str) -> SignInSource:
        """What a profile's credentials begin with, whatever kind it is of; as ``session_of``. Raises ConfigError."""
        root = self.chain_of(profile)[-1]
        if self._is_of_pool(root):
            return pool_profiles.sign_in_of(self._section(root), self.tables)
        return self._own_session(root)

    def cognito_login(self, name: str) -> CognitoLogin:
        """The ``[cognito_login.NAME]`` table. Raises ConfigError."""
        return self.tables().get(name)

    def policy_files(self) -> list[Path]:
        """The files that session policies are in, which belong to what the configuration says."""
        directory = self.paths.config.parent
        found = (pool_profiles.policy_file(keys, directory) for keys in self.profiles.values())
        return [path for path in dict.fromkeys(found) if path is not None]

    def chain_of(self, profile: str) -> list[str]:
        """The profile, its source, that one's source, down to the one that is no chained profile.

        Raises ConfigError where the chain goes round in a circle, leads nowhere or is too long.
        """
        chain = [profile]
        while chained_profiles.prefix_of(self.profile(chain[-1])) is not None and not self._is_root(chain[-1]):
            section = self._section(chain[-1])
            source = chained_profiles.source_of(section)
            if source in chain:
                circle = " -> ".join(safe(name) for name in [*chain, source])
                raise section.mistake(f"the sources go round in a circle: {circle}")
            if source not in self.profiles:
                raise section.mistake(f"its source “{_shown(source)}” is no profile of {self.paths.config}")
            chain.append(source)
            if len(chain) > LONGEST_CHAIN + 1:
                first = self._section(profile)
                raise first.mistake(f"more than {LONGEST_CHAIN} steps to the credentials it starts from")
        return chain

    def _own_session(self, profile: str) -> SsoSession:
        keys, prefix, section = self._sso_keys(profile)
        name = keys.get(prefix + "session")
        if name is None:
            return self._session(None, keys, section, prefix)
        session = self.sso_session(self._required(keys, prefix + "session", section))
        self._refuse_contradictions(keys, prefix, section, name)
        return session

    def role_of(self, profile: str) -> AnyRole:
        """The role a profile stands for. Raises ConfigError."""
        if profile not in self._roles:
            self._roles[profile] = self._find_role(profile)
        return self._roles[profile]

    def _find_role(self, profile: str) -> AnyRole:
        *chained, root = self.chain_of(profile)
        role: AnyRole = self._own_role(root)
        if not chained:
            return role
        region = self.region_of(root) or region_behind(role)
        for name in reversed(chained):
            region = self.region_of(name) or region
            role = chained_profiles.role_of(self._section(name), role, region)
        return role

    def _own_role(self, profile: str) -> Role | PoolRole:
        if self._is_of_pool(profile):
            return pool_profiles.role_of(self._section(profile), self.tables)
        keys, prefix, section = self._sso_keys(profile)
        session = self._own_session(profile)
        return Role(
            session,
            self._required(keys, prefix + "account_id", section, _ACCOUNT_ID, "12 digits"),
            self._required(keys, prefix + "role_name", section),
        )

    def region_of(self, profile: str) -> str | None:
        """The profile's own region, if it has one. Raises ConfigError."""
        keys = self.profile(profile)
        if not keys.get("region"):
            return None
        return self._required(keys, "region", _section(profile), REGION, A_REGION)

    def role(self, session: str, account_id: str, role_name: str) -> Role:
        """The role named by command-line options. Raises ConfigError."""
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise ConfigError(f"--account-id: “{safe(account_id)}” is not 12 digits")
        if not role_name:
            raise ConfigError("--role-name is missing")
        return Role(self.sso_session(session), account_id, role_name)

    def sessions(self) -> tuple[list[SsoSession], list[ConfigError]]:
        """Every usable session, sso-sessions in file order, then legacy start URLs; and what is wrong with the rest."""
        found: dict[str, SsoSession] = {}
        mistakes: list[ConfigError] = []
        named = [(self.sso_session, name) for name in self.sso_sessions]
        legacy = [(self._own_session, name) for name, keys in self.profiles.items() if _is_legacy(keys)]
        for look_up, name in named + legacy:
            try:
                session = look_up(name)
            except ConfigError as mistake:
                mistakes.append(mistake)
            else:
                found.setdefault(session.cache_key, session)
        return list(found.values()), mistakes

    def uses(self, profile: str, session: SignInSource) -> bool:
        """Whether ``profile`` logs in to ``session``."""
        try:
            return self.sign_in_of(profile) == session
        except ConfigError:
            return False

    def roles(self) -> dict[str, AnyRole]:
        """Every profile that stands for a role, by name; broken ones are left out."""
        found = {}
        for name in self.profiles:
            try:
                found[name] = self.role_of(name)
            except ConfigError:
                continue
        return found

    def _section(self, profile: str) -> Section:
        return Section(self.paths.config, _section(profile), self.profile(profile))

    def _is_of_pool(self, profile: str) -> bool:
        return pool_profiles.is_one(self.profile(profile))

    def _is_root(self, profile: str) -> bool:
        """Whether a chain ends there, though the profile has ``role_arn`` too."""
        return self._is_of_pool(profile) or self._is_adopted(profile)

    def _is_adopted(self, profile: str) -> bool:
        """Whether it stands for a role of Identity Center by credhelper's own keys, which come before the AWS CLI's."""
        keys = self.profile(profile)
        is_of_session = any(key in keys for key in (ADOPTED_PREFIX + "session", ADOPTED_PREFIX + "start_url"))
        if is_of_session and chained_profiles.prefix_of(keys) == chained_profiles.ADOPTED:
            raise self._section(profile).mistake("credhelper_role_arn and credhelper_sso_… keys exclude each other")
        return is_of_session

    def _sso_keys(self, profile: str) -> tuple[Mapping[str, str], str, str]:
        keys = self.profile(profile)
        section = _section(profile)
        for prefix in (ADOPTED_PREFIX, NATIVE_PREFIX):
            if any(key in keys for key in (prefix + "session", prefix + "start_url")):
                return keys, prefix, section
        raise ConfigError(
            f"{self.paths.config}: {section} is not an IAM Identity Center profile:"
            " it has neither sso_session nor sso_start_url, nor role_arn with source_profile"
            " (nor the same with the prefix credhelper_), nor credhelper_identity_pool_id"
        )

    def _session(self, name: str | None, keys: Mapping[str, str], section: str, prefix: str) -> SsoSession:
        start_url = self._required(keys, prefix + "start_url", section)
        if not is_https_or_loopback(start_url):
            raise ConfigError(
                f"{self.paths.config}: {section}: {prefix}start_url is not an https:// address: {_shown(start_url)}"
            )
        region = self._required(keys, prefix + "region", section, REGION, A_REGION)
        # Scopes belong to an sso-session: the AWS CLI registers legacy clients without any.
        scopes = None if name is None else scopes_of(keys.get("sso_registration_scopes"))
        return SsoSession(name, start_url, region, scopes)

    def _refuse_contradictions(self, keys: Mapping[str, str], prefix: str, section: str, session: str) -> None:
        for key, of_session in self.sso_sessions[session].items():
            of_profile = keys.get(key if prefix == NATIVE_PREFIX else "credhelper_" + key)
            if of_profile is not None and of_profile != of_session:
                raise ConfigError(
                    f"{self.paths.config}: {section} and [sso-session {safe(session)}] contradict each other in {key}:"
                    f" “{_shown(of_profile)}” and “{_shown(of_session)}”"
                )

    def _required(
        self,
        keys: Mapping[str, str],
        key: str,
        section: str,
        form: re.Pattern[str] | None = None,
        described: str = "",
    ) -> str:
        value = keys.get(key, "")
        if not value:
            raise ConfigError(f"{self.paths.config}: {section}: {key} is missing")
        if form and not form.fullmatch(value):
            raise ConfigError(f"{self.paths.config}: {section}: {key}: “{_shown(value)}” is not {described}")
        return value


def load(paths: ConfigPaths, tables: TablesInForce = LoginTables) -> Configuration:
    """Both files; one that does not exist is empty. Raises ConfigError when one cannot be parsed at all.

    ``tables`` are the logins that profiles of identity pools may name.
    """
    config = _parse(paths.config)
    credentials = _parse(paths.credentials)
    profiles: dict[str, dict[str, str]] = {}
    sso_sessions: dict[str, dict[str, str]] = {}
    for section, keys in config.items():
        kind, name = split_section(section)
        if kind.startswith("profile"):
            profiles[name] = keys
        elif kind.startswith("sso-session"):
            sso_sessions[name] = keys
    for name, keys in credentials.items():
        profiles[name] = profiles.get(name, {}) | keys
    from_credentials = {name: frozenset(keys) for name, keys in credentials.items()}
    return Configuration(paths, profiles, sso_sessions, from_credentials, tables)


def scopes_of(text: str | None) -> tuple[str, ...] | None:
    """What ``sso_registration_scopes`` names, in its order; None where it is not there."""
    return None if text is None else tuple(scope for item in text.split(",") if (scope := item.strip()))


def _shown(value: str) -> str:
    """A value's own line: what is indented below it belongs to it too, and may be a key that holds a secret."""
    return safe(value.partition("\n")[0])


def how_to_make_profiles(configuration: Configuration) -> str:
    """The command that writes some, for where one is missing."""
    if configuration.sso_sessions:
        return "credhelper configure sync   # writes a profile for every role"
    return "credhelper configure sso-session"


def _how_to_make(session: str) -> str:
    """The command that makes a session's section; without its name where that is none to repeat."""
    named = f" --sso-session {shlex.quote(session)}" if safe(session) == session else ""
    return "credhelper configure sso-session" + named


def _section(profile: str) -> str:
    return "[default]" if profile == "default" else f"[profile {safe(profile)}]"


def _parse(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = read(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    plain = plain_ini.sections(content)
    if plain is not None:
        return plain
    parser = parsed(content, path)
    return {section: dict(parser.items(section)) for section in parser.sections()}


def parsed(content: bytes, path: Path) -> configparser.RawConfigParser:
    """What botocore makes of such a file; ``path`` is for the message. Raises ConfigError."""
    parser = configparser.RawConfigParser()
    try:
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")  # any line ending will do, as for botocore
        parser.read_file(text, source=str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except configparser.Error as error:
        raise ConfigError(f"{path}: {_explain(error)}") from None
    return parser


def read(path: Path) -> bytes:
    """The whole file; links are followed. Never blocks.

    Raises OSError, and ConfigError for what no configuration can be: it might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hang us
    try:
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):  # people do set AWS_CONFIG_FILE=/dev/null
            raise ConfigError(f"{path}: is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise ConfigError(f"{path}: is larger than {LARGEST // 1024**2} MiB")
    return content


def _explain(error: configparser.Error) -> str:
    """What configparser found, naming section and key but never a value: the credentials file holds secrets."""
    match error:
        case configparser.DuplicateOptionError():
            return f"line {error.lineno}: [{safe(error.section)}] has the key {safe(error.option)} twice"
        case configparser.DuplicateSectionError():
            return f"line {error.lineno}: the section [{safe(error.section)}] is there twice"
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno}: something stands before the first [section]"
        case configparser.ParsingError():
            return "cannot be parsed: line " + ", ".join(str(line) for line, _ in error.errors)
        case _:
            return "cannot be parsed"


def split_section(section: str) -> tuple[str, str]:
    """Kind and name of what stands between the brackets, both empty where botocore finds neither."""
    if section == "default":
        return "profile", "default"
    plain = _PLAIN_SECTION.fullmatch(section)
    if plain is not None:  # shlex would take 20 microseconds for each
        return plain[1], plain[2]
    if section[:1].isspace():  # botocore compares the beginning first and splits then
        return "", ""
    try:
        words = shlex.split(section)
    except ValueError:
        return "", ""
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _is_legacy(keys: Mapping[str, str]) -> bool:
    return any(p + "start_url" in keys and p + "session" not in keys for p in (NATIVE_PREFIX, ADOPTED_PREFIX))
