"""Identity pools as blocking calls that return our values: who one is there, and credentials for that identity.

Every call is unsigned, and botocore is never asked for credentials: a helper that looked for some would find the
profile that names itself, and start itself without end. Signed is only GetCallerIdentity, elsewhere, with what came of
this.

Whose token is sent is decided here too: a role of a login is never asked for without the login's token, for then
Cognito would give a guest's, and the true reason would stay hidden.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from credhelper.aws import answers
from credhelper.aws.calls import told
from credhelper.aws.identity_center import CALL_DEADLINE, IdentityCenter
from credhelper.aws.pool_refusals import of_pool, of_role
from credhelper.aws.transport import Answer
from credhelper.domain.errors import ConfigError
from credhelper.domain.model import CognitoTokens, Guests, PoolRole, RoleCredentials
from credhelper.domain.text import safe
from credhelper.identity_pools import pools, scope_down

SESSION_NAME = "credhelper"
"""What CloudTrail shows beside the identity, where we assume the role ourselves."""

LONGEST_OPEN_ID_TOKEN = 20_000  # characters that AssumeRoleWithWebIdentity takes
LONGEST_POLICIES = 2048
"""Characters of a session policy and the ARNs of others together (AssumeRoleWithWebIdentity, Policy)."""


@dataclass(frozen=True, slots=True)
class IdentityCredentials:
    """GetCredentialsForIdentity's answer; the identity may be another than was asked for."""

    identity_id: str
    credentials: RoleCredentials


@dataclass(frozen=True, slots=True)
class OpenIdToken:
    """GetOpenIdToken's answer, good for ten minutes; the identity may be another than was asked for."""

    identity_id: str
    token: str = field(repr=False)


class IdentityPools:
    """Calls Cognito and STS in a pool's region. Thread-safe; every method blocks.

    ``tokens`` are the login's; None for guests alone, and a ValueError for everybody else. All raise TokenRefused,
    IdentityRefused, PoolRefused, ConfigError, and any other UpstreamError where there is no good answer.
    """

    def __init__(self, api: IdentityCenter, *, call_deadline: float = CALL_DEADLINE) -> None:
        """Its connections, its measure of AWS's clock and whoever is told of its calls are those of ``api``."""
        self.begin, self.tell = api.begin, api.tell
        self._api = api
        self._call_deadline = call_deadline

    @told("GetId")
    def get_id(self, role: PoolRole, tokens: CognitoTokens | None) -> str:
        """GetId: the user's identity, always the same one. For guests each call makes another."""
        answer = self._ask(role, "get_id", {"IdentityPoolId": role.pool_id} | _logins(role, tokens))
        return _identity(role, answer)

    @told("GetCredentialsForIdentity")
    def get_credentials(self, role: PoolRole, identity_id: str, tokens: CognitoTokens | None) -> IdentityCredentials:
        """GetCredentialsForIdentity (the enhanced flow): the pool chooses the role, unless the profile names it."""
        request = {"IdentityId": identity_id} | _logins(role, tokens)
        if role.custom_role_arn is not None:
            request["CustomRoleArn"] = role.custom_role_arn
        answer = self._ask(role, "get_credentials_for_identity", request)
        found = answers.part(answer, "Credentials")
        return IdentityCredentials(_identity(role, answer), self._credentials(found, secret="SecretKey"))  # noqa: S106

    @told("GetOpenIdToken")
    def get_open_id_token(self, role: PoolRole, identity_id: str, tokens: CognitoTokens | None) -> OpenIdToken:
        """GetOpenIdToken (the basic flow): a token for STS."""
        answer = self._ask(role, "get_open_id_token", {"IdentityId": identity_id} | _logins(role, tokens))
        token = answers.text(answer, "Token")
        if len(token) > LONGEST_OPEN_ID_TOKEN:
            raise answers.not_aws(answer, "Token")
        return OpenIdToken(_identity(role, answer), token)

    @told("AssumeRoleWithWebIdentity")
    def assume_role(self, role: PoolRole, token: OpenIdToken) -> RoleCredentials:
        """AssumeRoleWithWebIdentity (the basic flow): the role that the profile names, narrowed as it says.

        Raises Refused with reason ExpiredTokenException where the token was used too late.
        """
        request: dict[str, Any] = {
            "RoleArn": role.role_arn,
            "RoleSessionName": SESSION_NAME,
            "WebIdentityToken": token.token,
            "DurationSeconds": role.duration_seconds,
        }
        answer = self._api.transport.call(
            "sts",
            role.region,
            "assume_role_with_web_identity",
            {name: value for name, value in (request | narrowing(role)).items() if value},
            deadline=self._call_deadline,
            meaning=of_role(role),
        )
        return self._credentials(answers.part(answer, "Credentials"), secret="SecretAccessKey")  # noqa: S106

    def _ask(self, role: PoolRole, operation: str, request: Mapping[str, Any]) -> Answer:
        return self._api.transport.call(
            "cognito-identity",
            role.region,
            operation,
            request,
            deadline=self._call_deadline,
            meaning=of_pool(role),
        )

    def _credentials(self, found: Answer, *, secret: str) -> RoleCredentials:
        """``secret`` is what the secret key is called: both services differ in that."""
        return answers.good(
            RoleCredentials(
                access_key_id=answers.text(found, "AccessKeyId"),
                secret_access_key=answers.text(found, secret),
                session_token=answers.text(found, "SessionToken"),
                expires_at=answers.end(found, "Expiration").replace(microsecond=0),
                obtained_at=self._api.server_time.now(),
            ),
            found.place,
        )


def narrowing(role: PoolRole) -> dict[str, Any]:
    """The session policies of the basic flow, as AssumeRoleWithWebIdentity takes them.

    Raises ConfigError for those that STS would not keep apart, or that are too long.
    """
    if not role.scope_down:
        policy, arns = role.session_policy, role.session_policy_arns
    elif role.session_policy is None and not role.session_policy_arns:
        partition = (role.role_arn or "arn:aws").split(":")[1]
        policy, arns = _scope_down(role.region), (f"arn:{partition}:iam::aws:policy/{scope_down.MANAGED}",)
    else:
        # STS allows what any session policy of a request allows: ours would widen what Cognito's is to narrow.
        raise ConfigError(
            f"the guests of {safe(role.pool_id)} cannot have a session policy beside Cognito's scope-down: STS would"
            " allow them whatever either of the two allows",
            hint="leave credhelper_session_policy and credhelper_session_policy_arns out of the profile, or set"
            " credhelper_scope_down = none in it",
        )
    if len(policy or "") + sum(map(len, arns)) > LONGEST_POLICIES:
        raise ConfigError(
            f"the session policy for {safe(role.role_arn or '')} and the ARNs beside it have more than"
            f" {LONGEST_POLICIES} characters, which STS does not take",
            hint="shorten credhelper_session_policy, or make it a managed policy for credhelper_session_policy_arns",
        )
    found: dict[str, Any] = {"Policy": policy, "PolicyArns": [{"arn": arn} for arn in arns]}
    return {name: value for name, value in found.items() if value}


@cache
def _scope_down(region: str) -> str:
    return json.dumps(scope_down.inline_document(region), separators=(",", ":"))


def _logins(role: PoolRole, tokens: CognitoTokens | None) -> dict[str, Any]:
    """The Logins map: nothing for guests, and for nobody else."""
    if isinstance(role.login, Guests):
        return {}
    if tokens is None:
        raise ValueError("a login's role without its tokens would be a guest's")
    return {"Logins": {tokens.provider: tokens.id_token}}


def _identity(role: PoolRole, answer: Answer) -> str:
    """The identity in an answer: of the pool's region, as every one of its identities."""
    found = answers.text(answer, "IdentityId")
    if not pools.is_id(found) or pools.region_of(found) != role.region:
        raise answers.not_aws(answer, "IdentityId")
    return found
