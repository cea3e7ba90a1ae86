"""What an identity pool, or STS on its behalf, means by a refusal, and what to do about it.

Cognito has few error codes and says in the sentence what it means, so the sentence is looked at; it is never repeated,
for it may hold ids and tokens' parts. The sentences are those that AWS's SDKs' users report; where one is not known to
us, its code decides.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from credhelper.aws.transport import Meaning, Refusal
from credhelper.domain.errors import (
    ConfigError,
    CredhelperError,
    IdentityRefused,
    PoolAbsent,
    PoolRefused,
    TokenRefused,
    Unavailable,
)
from credhelper.domain.model import ASSUMED_ROLE_SECONDS, PoolRole
from credhelper.domain.text import safe

Explain = Callable[[PoolRole, Refusal], CredhelperError]

NOT_AUTHORIZED = "NotAuthorizedException"
NOT_FOUND = "ResourceNotFoundException"
INVALID = "InvalidParameterException"


@dataclass(frozen=True, slots=True)
class _Case:
    """A refusal by its code and by what stands in its sentence, in lower case."""

    reason: str
    part: str
    explain: Explain
    is_for: Callable[[PoolRole], bool] = lambda _: True

    def fits(self, role: PoolRole, refusal: Refusal) -> bool:
        return refusal.reason == self.reason and self.part in refusal.message.lower() and self.is_for(role)


def of_pool(role: PoolRole) -> Meaning:
    """What Cognito means when it refuses the identity, the credentials or the token of a role."""
    return lambda refusal: _explained(_OF_COGNITO, role, refusal)


def of_role(role: PoolRole) -> Meaning:
    """What STS means when it refuses AssumeRoleWithWebIdentity."""
    return lambda refusal: _explained(_OF_STS, role, refusal)


def _explained(cases: tuple[_Case, ...], role: PoolRole, refusal: Refusal) -> CredhelperError | None:
    return next((case.explain(role, refusal) for case in cases if case.fits(role, refusal)), None)


# -- the pool ---------------------------------------------------------------------------------------------------------


def _guests_off(role: PoolRole, _: Refusal) -> CredhelperError:
    return PoolRefused(
        f"guest access is off in pool {safe(role.pool_id)}",
        hint="let users log in: credhelper_cognito_login instead of credhelper_guest in the profile; or have the pool"
        " allow unauthenticated identities",
    )


def _no_pool(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolAbsent(
        f"there is no identity pool {safe(role.pool_id)} ({refusal.reason}): it has been deleted, or the id is wrong",
        hint="mend credhelper_identity_pool_id in the profile",
    )


def _identity_gone(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return IdentityRefused(
        f"pool {safe(role.pool_id)} no longer knows the identity that it gave", reason=refusal.reason, is_gone=True
    )


def _identity_forbidden(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return IdentityRefused(
        f"pool {safe(role.pool_id)} does not give the identity it gave before", reason=refusal.reason, is_gone=False
    )


def _configuration(role: PoolRole, refusal: Refusal) -> CredhelperError:
    whose = "guests" if role.is_guest else "logged-in users"
    return PoolRefused(
        f"pool {safe(role.pool_id)} has no role for {whose}, or one whose trust policy does not let it in"
        f" ({refusal.reason})",
        hint=_trust_policy(role),
    )


def _no_more_identities(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"pool {safe(role.pool_id)} makes no more identities ({refusal.reason})",
        hint="ask whoever administers it to delete some, or to have the quota raised",
    )


def _service_behind(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return Unavailable(f"Cognito in {role.region} cannot reach a service that it needs ({refusal.reason})")


# -- the login --------------------------------------------------------------------------------------------------------


def _client_unknown(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"pool {safe(role.pool_id)} does not take logins of the app client that {_login(role)} uses ({refusal.reason})",
        hint=f"have that client linked to the pool, or mend client_id in {_table(role)} of config.toml",
    )


def _provider_unknown(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"pool {safe(role.pool_id)} takes no logins of the identity provider of {_login(role)} ({refusal.reason})",
        hint=f"have the provider linked to the pool, or mend {_table(role)} of config.toml",
    )


def _provider_wrong(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return ConfigError(
        f"the token of {_login(role)} is none of the provider that is named with it ({refusal.reason})",
        hint=f"mend provider in {_table(role)} of config.toml: a token's iss without https://; of a user pool it is the"
        " ID token that counts",
    )


def _token_refused(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return TokenRefused(
        f"pool {safe(role.pool_id)} does not take the token of {_login(role)}: it has expired, or the user was signed"
        " out or deleted",
        reason=refusal.reason,
    )


def _linked_elsewhere(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"the user of {_login(role)} belongs to another identity of pool {safe(role.pool_id)} ({refusal.reason})",
        hint="have whoever administers the pool look at both identities",
    )


# -- the role ---------------------------------------------------------------------------------------------------------


def _custom_role(role: PoolRole, refusal: Refusal) -> CredhelperError:
    if role.is_guest:  # who has no token that could list it
        hint = "leave credhelper_custom_role_arn out: guests get the pool's unauthenticated role"
    else:
        hint = (
            "credhelper_custom_role_arn must be one of the roles in the token's cognito:roles, and trust the pool;"
            " leave it out, and the pool chooses"
        )
    return PoolRefused(
        f"pool {safe(role.pool_id)} does not give {_role(role)} to {_who(role)} ({refusal.reason})", hint=hint
    )


def _mappings_in_the_way(role: PoolRole, _: Refusal) -> CredhelperError:
    return PoolRefused(
        f"pool {safe(role.pool_id)} chooses roles by rules or tokens, and so refuses the basic flow",
        hint=_ENHANCED,
    )


def _basic_off(role: PoolRole, _: Refusal) -> CredhelperError:
    return PoolRefused(
        f"the basic (classic) flow is off in pool {safe(role.pool_id)}",
        hint=f"{_ENHANCED}; or have the pool allow it (AllowClassicFlow)",
    )


def _may_not_assume(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"{_who(role)} of pool {safe(role.pool_id)} may not assume {_role(role)} ({refusal.reason})",
        hint=_trust_policy(role),
    )


def _issuer_unknown(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"{_role(role)} cannot be had with a token of pool {safe(role.pool_id)} ({refusal.reason})",
        hint="credhelper_role_arn must name a role of the pool's own partition. " + _trust_policy(role),
    )


def _too_long(role: PoolRole, _: Refusal) -> CredhelperError:
    return ConfigError(
        f"duration_seconds = {role.duration_seconds} of {_role(role)} is refused: it is more than the role's own"
        " maximum session duration",
        hint=f"set credhelper_duration_seconds to {ASSUMED_ROLE_SECONDS} or less in its profile, or leave it out",
    )


def _policy_malformed(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return ConfigError(
        f"STS does not take the session policy for {_role(role)} ({refusal.reason})",
        hint="mend credhelper_session_policy in the profile",
    )


def _policy_too_large(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return ConfigError(
        f"the session policies for {_role(role)}, packed, are larger than STS takes ({refusal.reason})",
        hint="shorten credhelper_session_policy, or name fewer credhelper_session_policy_arns",
    )


def _region_disabled(role: PoolRole, refusal: Refusal) -> CredhelperError:
    return PoolRefused(
        f"the account of {_role(role)} has not enabled STS in {role.region} ({refusal.reason})",
        hint="have the region enabled in that account",
    )


# -- the words --------------------------------------------------------------------------------------------------------

_ENHANCED = "leave credhelper_flow and credhelper_role_arn out of the profile: the enhanced flow is then used"


def _login(role: PoolRole) -> str:
    return f"login “{safe(role.login.label)}”"


def _table(role: PoolRole) -> str:
    return f"[cognito_login.{safe(role.login.label)}]"


def _role(role: PoolRole) -> str:
    return safe(role.named_arn or "")


def _who(role: PoolRole) -> str:
    return "a guest" if role.is_guest else f"the user of {_login(role)}"


def _trust_policy(role: PoolRole) -> str:
    """The command that prints the trust policy the role should have."""
    kind = "--guest" if role.is_guest else "--authenticated"
    return (
        "compare the role's trust policy with: credhelper cognito trust-policy --identity-pool-id"
        f" {shlex.quote(role.pool_id)} {kind}"
    )


def _is_users(role: PoolRole) -> bool:
    return not role.is_guest


def _names_role(role: PoolRole) -> bool:
    return role.custom_role_arn is not None


_OF_COGNITO = (
    _Case(NOT_AUTHORIZED, "unauthenticated access is not supported", _guests_off),
    _Case(NOT_FOUND, "identitypool", _no_pool),
    _Case(NOT_FOUND, "", _identity_gone),
    _Case(NOT_AUTHORIZED, "access to identity", _identity_forbidden),
    _Case(NOT_AUTHORIZED, "not from a supported provider", _client_unknown),
    _Case(NOT_AUTHORIZED, "logins don't match", _provider_unknown),
    _Case(INVALID, "valid public provider", _provider_unknown),
    _Case(NOT_AUTHORIZED, "issuer doesn't match", _provider_wrong),
    _Case(NOT_AUTHORIZED, "missing a required claim", _provider_wrong),
    _Case(NOT_AUTHORIZED, "invalid login token", _token_refused),
    _Case(NOT_AUTHORIZED, "role", _custom_role, _names_role),
    _Case(INVALID, "role", _custom_role, _names_role),
    # The user is asked for at the user pool where the pool checks tokens there; what it says then is not documented.
    _Case(NOT_AUTHORIZED, "", _token_refused, _is_users),
    _Case(INVALID, "rolemappings", _mappings_in_the_way),
    _Case(INVALID, "classic", _basic_off),
    _Case("InvalidIdentityPoolConfigurationException", "", _configuration),
    _Case("ResourceConflictException", "", _linked_elsewhere, _is_users),
    _Case("LimitExceededException", "", _no_more_identities),
    _Case("ExternalServiceException", "", _service_behind),
    _Case("InternalErrorException", "", _service_behind),
)

_OF_STS = (
    _Case("AccessDenied", "", _may_not_assume),
    _Case("AccessDeniedException", "", _may_not_assume),
    _Case("ValidationError", "durationseconds", _too_long),
    _Case("MalformedPolicyDocument", "", _policy_malformed),
    _Case("PackedPolicyTooLarge", "", _policy_too_large),
    _Case("InvalidIdentityToken", "", _issuer_unknown),
    _Case("IDPRejectedClaim", "", _may_not_assume),
    _Case("IDPCommunicationError", "", _service_behind),
    _Case("RegionDisabledException", "", _region_disabled),
)
