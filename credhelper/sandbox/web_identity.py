"""STS AssumeRoleWithWebIdentity for tokens of the identity pools here: no signature, the token says who asks.

Bounds and refusals follow the API reference; that a request's session policies are kept with the credentials, and that
they bound them, was checked against documentation, not against the service.
"""

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

from credhelper.domain.errors import CredhelperError
from credhelper.identity_pools import policy_language, scope_down
from credhelper.identity_pools.policy_language import Policy
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.identities import IdentityPools, trusts
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.role_credentials import Assumed, IssuedCredentials
from credhelper.sandbox.sts import assumed_xml, query_answer, query_refusal

ASSUME_ROLE_WITH_WEB_IDENTITY = "AssumeRoleWithWebIdentity"

_LARGEST_POLICY = 2048  # characters, of all session policies of a request together
_DEFAULT_SECONDS = 3600
_FORMS = {
    "RoleArn": r"[ -~]{20,2048}",
    "RoleSessionName": r"[\w+=,.@-]{2,64}",
    "WebIdentityToken": r"[ -~]{4,20000}",
    "DurationSeconds": r"[0-9]{1,9}",
    "Policy": r"[\t\n\r -\u00ff]{1,2048}",
    "ProviderId": r"[ -~]{4,2048}",
}
_POLICY_ARN = re.compile(r"PolicyArns\.member\.([1-9]|10)\.arn")
_MANAGED = re.compile(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[\w+=,.@/-]{1,512}", re.ASCII)


class WebIdentity:
    """The door of the one operation."""

    def __init__(self, pools: IdentityPools, credentials: IssuedCredentials) -> None:
        self._pools = pools
        self._credentials = credentials

    def perform(self, operation: str, request: Request) -> Answer:
        """Raises ApiError."""
        given = _parameters(request)
        claims = self._pools.check_open_id_token(given["WebIdentityToken"])
        role = self._pools.roles.get(given["RoleArn"])
        if role is None or not trusts(role, claims["aud"], claims["amr"]):
            raise ApiError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        seconds = int(given.get("DurationSeconds", _DEFAULT_SECONDS))
        if seconds > role.max_session_seconds:
            raise ApiError(
                "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            )
        assumed = Assumed(given["RoleSessionName"], None, {}, frozenset(), _session_policies(given))
        issued = self._credentials.issue_web(claims["sub"], role.account_id, role.name, seconds, assumed)
        return query_answer(
            operation,
            assumed_xml(issued)
            + f"<SubjectFromWebIdentityToken>{escape(claims['sub'])}</SubjectFromWebIdentityToken>"
            + "<Provider>cognito-identity.amazonaws.com</Provider>"
            + f"<Audience>{escape(claims['aud'])}</Audience>",
        )

    def refuse(self, error: ApiError) -> Answer:
        """The error as STS sends it."""
        return query_refusal(error, error.status or (403 if error.name == "AccessDenied" else 400))


def _parameters(request: Request) -> Mapping[str, str]:
    pairs = request.form()
    given = dict(pairs)
    if request.raw_query or len(given) != len(pairs) or given.pop("Version", "") != "2011-06-15":
        raise ApiError("ValidationError", "The parameters must stand in the body, once each, with Version 2011-06-15.")
    del given["Action"]
    for name in ("RoleArn", "RoleSessionName", "WebIdentityToken"):
        if name not in given:
            raise ApiError("ValidationError", f"{name} must not be null")
    for name, value in given.items():
        form = _MANAGED.pattern if _POLICY_ARN.fullmatch(name) else _FORMS.get(name)
        if form is None or not re.fullmatch(form, value, re.ASCII):
            raise ApiError("ValidationError", "AssumeRoleWithWebIdentity does not take one of the parameters so.")
    if not 900 <= int(given.get("DurationSeconds", _DEFAULT_SECONDS)) <= 43_200:
        raise ApiError("ValidationError", "DurationSeconds must be from 900 to 43200")
    return given


def _session_policies(given: Mapping[str, str]) -> tuple[Policy, ...] | None:
    """What bounds the session. Of managed policies the sandbox knows the contents of Cognito's own alone."""
    arns = [value for name, value in given.items() if _POLICY_ARN.fullmatch(name)]
    if "Policy" not in given and not arns:
        return None
    if len(given.get("Policy", "")) + sum(len(arn) for arn in arns) > _LARGEST_POLICY:
        raise ApiError("PackedPolicyTooLarge", "The session policies are longer than 2048 characters together.")
    found = []
    if "Policy" in given:
        try:
            found.append(policy_language.parse_access_policy(given["Policy"], "session policy"))
        except CredhelperError as error:
            raise ApiError("MalformedPolicyDocument", "The session policy is no policy document.") from error
    if any(arn.endswith(f"/{scope_down.MANAGED}") for arn in arns):
        found.append(scope_down.limit_of(scope_down.Snapshot.DOCUMENT, None).policies[1])
    return tuple(found)
