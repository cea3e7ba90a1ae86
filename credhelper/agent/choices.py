"""Which role, session, profile and region a request chooses: by option, else by the caller's environment."""

import shlex
from collections.abc import Mapping

from credhelper.agent.configurations import Configurations
from credhelper.aws.config_file import Configuration
from credhelper.domain.errors import ConfigError, LoginRequired, MfaRequired, UsageError
from credhelper.domain.model import AnyRole, ChainedRole, CognitoLogin, Role, SignInSource, SsoSession, sso_session_name
from credhelper.domain.text import safe
from credhelper.domain.urls import A_REGION, is_region

Fields = Mapping[str, str]


class Choices:
    """What requests mean. Every method raises ConfigError, DaemonUnreachable and UsageError."""

    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    def role(self, fields: Fields) -> tuple[AnyRole, str | None]:
        """The role that is asked for, and the profile that names it; None when a session, account and role do."""
        return self._role_in(self._configurations.of(fields), fields)

    def role_of_hit(self, fields: Fields) -> tuple[AnyRole, str | None]:
        """The same, without a look at the disk where that can be."""
        try:
            return self._role_in(self._configurations.of(fields, is_hit=True), fields)
        except ConfigError:  # told only after a look at the files
            return self.role(fields)

    def chained_role(self, fields: Fields) -> ChainedRole | None:
        """The role that is asked for if its profile is a chained one; of another it need not even name a role."""
        configuration = self._configurations.of(fields)
        if "sso_session" in fields:
            return None
        profile = self._profile(fields, configuration)
        if len(configuration.chain_of(profile)) == 1:
            return None
        role = configuration.role_of(profile)
        return role if isinstance(role, ChainedRole) else None

    def session(self, fields: Fields) -> SsoSession:
        """The session that is asked for."""
        configuration = self._configurations.of(fields)
        if "sso_session" in fields:
            return configuration.sso_session(fields["sso_session"])
        return configuration.session_of(self._profile(fields, configuration))

    def sign_in(self, fields: Fields) -> SignInSource:
        """What is asked for, whatever kind of sign-in it is: also by ``cognito_login``, or by a pool's profile."""
        configuration = self._configurations.of(fields)
        if "sso_session" in fields:
            return configuration.sso_session(fields["sso_session"])
        if "cognito_login" in fields:
            return configuration.cognito_login(fields["cognito_login"])
        return configuration.sign_in_of(self._profile(fields, configuration))

    def session_to_list(self, fields: Fields) -> SsoSession:
        """The session that is asked for, by option or environment; else the only one there is, else ``default``'s."""
        configuration = self._configurations.of(fields)
        if self.is_session_chosen(fields) or fields.get("AWS_PROFILE") or fields.get("AWS_DEFAULT_PROFILE"):
            return self.session(fields)
        sessions, mistakes = configuration.sessions()
        if len(sessions) == 1:
            return sessions[0]
        if "default" in configuration.profiles:
            return configuration.session_of("default")
        if not sessions:
            raise next(iter(mistakes), _no_session(configuration))
        names = ", ".join(safe(session.label) for session in sessions)
        raise UsageError(
            f"{configuration.paths.config} has several sessions: {names}",
            hint="name one with --sso-session, or a profile with --profile",
        )

    def is_session_chosen(self, fields: Fields) -> bool:
        """Whether one is asked for at all, by an option."""
        return "sso_session" in fields or "cognito_login" in fields or "profile" in fields

    def profile_name(self, fields: Fields) -> str | None:
        """The profile that is asked for; None when it is a session with an account and a role."""
        return None if "sso_session" in fields else self._profile(fields, self._configurations.of(fields))

    def region(self, fields: Fields) -> str | None:
        """By option, else the profile's: it becomes part of a host name."""
        named = fields.get("region")
        if named is not None and not is_region(named):
            raise UsageError(f"--region: “{safe(named)}” is not {A_REGION}")
        profile = self.profile_name(fields)
        return named or (profile and self._configurations.of(fields).region_of(profile))

    def selector(self, session: SignInSource, fields: Fields) -> str:
        """The option that names a session: a legacy one has no name of its own, nor have guests."""
        return _selector(session) or "--profile " + shlex.quote(self.profile_name(fields) or "")

    def login_command(self, session: SignInSource) -> str:
        """The command that logs in to a session, where no caller has named it; a legacy one by a profile of the home's.

        Raises nothing.
        """
        if named := _selector(session):
            return "credhelper login " + named
        configuration, _ = self._configurations.and_mistakes(self._configurations.own_fields)
        roles = configuration.roles().items()
        profile = next(
            (name for name, role in roles if isinstance(role, Role) and role.session.cache_key == session.cache_key),
            None,
        )
        return "credhelper login" if profile is None else "credhelper login --profile " + shlex.quote(profile)

    def with_hint(self, error: LoginRequired, session: SignInSource, fields: Fields) -> LoginRequired:
        """Completes the hint of a legacy session, which only the caller's choice can name, as of a chained role."""
        if isinstance(error, MfaRequired):
            return MfaRequired(error.message, hint=self.mfa_command(fields))
        return LoginRequired(error.message, hint=error.hint or "credhelper login " + self.selector(session, fields))

    def mfa_command(self, fields: Fields) -> str:
        """The command that asks for a chained role's code."""
        return "credhelper login --profile " + shlex.quote(self.profile_name(fields) or "")

    def _role_in(self, configuration: Configuration, fields: Fields) -> tuple[AnyRole, str | None]:
        if "sso_session" in fields:
            account_id, role_name = fields.get("account_id", ""), fields.get("role_name", "")
            return configuration.role(fields["sso_session"], account_id, role_name), None
        profile = self._profile(fields, configuration)
        return configuration.role_of(profile), profile

    def _profile(self, fields: Fields, configuration: Configuration) -> str:
        """By option, else by the caller's environment in the AWS CLI's order, else ``default``."""
        named = fields.get("profile") or fields.get("AWS_PROFILE") or fields.get("AWS_DEFAULT_PROFILE")
        if named is None and "default" not in configuration.profiles:
            raise UsageError(
                f"no profile is chosen and {configuration.paths.config} has no [default]",
                hint="name one with --profile, or a session with --sso-session",
            )
        return named or "default"


def _selector(session: SignInSource) -> str | None:
    """None for what has no name."""
    if isinstance(session, CognitoLogin):
        return "--cognito-login " + shlex.quote(session.name)
    name = sso_session_name(session)
    return None if name is None else "--sso-session " + shlex.quote(name)


def _no_session(configuration: Configuration) -> ConfigError:
    return ConfigError(f"{configuration.paths.config} has no session", hint="credhelper configure sso-session")
