"""STS GetCallerIdentity and AssumeRole (AWS query protocol) for role credentials of this server, signature and all.

The request's own time (`X-Amz-Date`) must match its credential scope but is not compared with the clock:
tests move the sandbox's clock by hours, while the programs that sign do so by the machine's.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from credhelper.identity_pools import evaluation
from credhelper.sandbox.directory import IamRole, Trust
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.role_credentials import Assumed, RoleCredentials
from credhelper.sandbox.sigv4 import is_signed_by, read_signature
from credhelper.sandbox.state import State

GET_CALLER_IDENTITY = "GetCallerIdentity"
ASSUME_ROLE = "AssumeRole"
OPERATIONS = frozenset({GET_CALLER_IDENTITY, ASSUME_ROLE})

LONGEST_CHAINED = 3600  # seconds

_XMLNS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
_STATUS = {"IncompleteSignature": 400, "InvalidAction": 400, "ValidationError": 400}

_FORMS = {
    "RoleArn": r"[ -~]{20,2048}",
    "RoleSessionName": r"[\w+=,.@-]{2,64}",
    "DurationSeconds": r"[0-9]{1,9}",
    "ExternalId": r"[\w+=,.@:/-]{2,1224}",
    "SerialNumber": r"[\w+=/:,.@-]{9,256}",
    "TokenCode": r"[0-9]{6}",
    "SourceIdentity": r"(?!aws:)[\w+=,.@-]{2,64}",
}
_TAG = re.compile(r"Tags\.member\.([1-9]|[1-4][0-9]|50)\.(Key|Value)")
_TRANSITIVE = re.compile(r"TransitiveTagKeys\.member\.([1-9]|[1-4][0-9]|50)")
_TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w\s.:/=+@-]{0,256}")

_Given = Mapping[str, str]


class Sts:
    def __init__(self, state: State) -> None:
        self._state = state

    def perform(self, operation: str, request: Request) -> Answer:
        given = _parameters(operation, request)
        caller = self._signer(request)
        result = _identity(caller) if operation == GET_CALLER_IDENTITY else self._assume(caller, given)
        return query_answer(operation, result)

    def refuse(self, error: ApiError) -> Answer:
        return query_refusal(error, error.status or _STATUS.get(error.name, 403))

    def _assume(self, caller: RoleCredentials, given: _Given) -> str:
        tags = _tags(given)
        self._check_mfa(caller, given)
        role = self._state.iam_roles.get(given["RoleArn"])
        _check_session_policies(caller, given["RoleArn"])
        if role is None or not _trusts(role.trust, caller, given, tags):
            raise ApiError(
                "AccessDenied",
                f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {given['RoleArn']}",
            )
        seconds = _seconds(role, given)
        return assumed_xml(self._state.credentials.issue_assumed(caller, role, seconds, _session(caller, given, tags)))

    def _check_mfa(self, caller: RoleCredentials, given: _Given) -> None:
        if not given.keys() & {"SerialNumber", "TokenCode"}:
            return
        if not given.keys() >= {"SerialNumber", "TokenCode"}:
            why = "must provide both MFA serial number and one time pass code"
        elif not self._state.mfa.accept(caller.person, given["SerialNumber"], given["TokenCode"]):
            why = "with invalid MFA one time pass code"
        else:
            return
        raise ApiError("AccessDenied", f"MultiFactorAuthentication failed, {why}. ")

    def _signer(self, request: Request) -> RoleCredentials:
        """Whose credentials signed the request, checked in the order the real service does."""
        if "authorization" not in request.headers:
            raise ApiError("MissingAuthenticationToken", "Request is missing Authentication Token")
        signature = read_signature(request.headers["authorization"])
        if signature is None or signature.service != "sts":
            raise ApiError("IncompleteSignature", "The Authorization header is not a complete signature for sts.")
        credentials = self._state.credentials.find(signature.access_key_id)
        session_token = request.headers.get("x-amz-security-token", "")
        if credentials is None or not hmac.compare_digest(credentials.session_token.encode(), session_token.encode()):
            raise ApiError("InvalidClientTokenId", "The security token included in the request is invalid.")
        if not is_signed_by(request, signature, credentials.secret_access_key):
            raise ApiError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        if self._state.credentials.have_expired(credentials):
            raise ApiError("ExpiredToken", "The security token included in the request is expired")
        return credentials


def _check_session_policies(caller: RoleCredentials, role_arn: str) -> None:
    """What bounds the caller's credentials must let them assume roles: what bounds a guest's does not."""
    policies = caller.assumed.session_policies if caller.assumed else None
    if policies is None or evaluation.decide(policies, evaluation.Request("sts:AssumeRole", role_arn)).is_allowed:
        return
    raise ApiError(
        "AccessDenied",
        f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn} because no session"
        " policy allows the sts:AssumeRole action",
    )


def action(request: Request) -> str:
    """The operation a query request names; empty if it names none."""
    return dict(request.form()).get("Action", "")


def _parameters(operation: str, request: Request) -> _Given:
    """What the operation is given, each value as the service's model wants it."""
    if operation not in OPERATIONS:
        raise ApiError("InvalidAction", "The sandbox knows GetCallerIdentity and AssumeRole only.")
    pairs = request.form()
    given = dict(pairs)
    if request.raw_query or len(given) != len(pairs) or given.pop("Version", "") != "2011-06-15":
        raise ApiError("ValidationError", "The parameters must stand in the body, once each, with Version 2011-06-15.")
    del given["Action"]
    if operation == GET_CALLER_IDENTITY:
        if given:
            raise ApiError("ValidationError", "GetCallerIdentity takes Action, Version 2011-06-15 and nothing else.")
        return given
    for name in ("RoleArn", "RoleSessionName"):
        if name not in given:
            raise _unfit(name, "Member must not be null")
    for name, value in given.items():
        _check(name, value)
    if not 900 <= int(given.get("DurationSeconds", 900)) <= 43_200:
        raise _unfit("DurationSeconds", "Member must have a value from 900 to 43200")
    return given


def _check(name: str, value: str) -> None:
    if tag := _TAG.fullmatch(name):
        fits = (_TAG_KEY if tag[2] == "Key" else _TAG_VALUE).fullmatch(value)
    elif _TRANSITIVE.fullmatch(name):
        fits = _TAG_KEY.fullmatch(value)
    elif name in _FORMS:
        fits = re.fullmatch(_FORMS[name], value, re.ASCII)
    else:
        raise ApiError("ValidationError", "AssumeRole does not know one of the parameters.")
    if not fits:
        raise _unfit(name, "Member must satisfy regular expression pattern")


def _unfit(name: str, constraint: str) -> ApiError:
    member = name[:1].lower() + name[1:]
    return ApiError(
        "ValidationError",
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}",
    )


def _tags(given: _Given) -> dict[str, str]:
    """The session tags by key."""
    found: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        if tag := _TAG.fullmatch(name):
            found.setdefault(tag[1], {})[tag[2]] = value
    if any(tag.keys() != {"Key", "Value"} for tag in found.values()):
        raise _unfit("Tags", "Member must not be null")
    tags = {tag["Key"]: tag["Value"] for tag in found.values()}
    if any(_TRANSITIVE.fullmatch(name) and value not in tags for name, value in given.items()):
        raise ApiError("InvalidParameterValue", "A transitive tag key is not among the session tags.", status=400)
    if len({key.lower() for key in tags}) != len(found):
        raise ApiError("InvalidParameterValue", "Duplicate tag keys found.", status=400)
    return tags


def _trusts(trust: Trust, caller: RoleCredentials, given: _Given, tags: Mapping[str, str]) -> bool:
    before = caller.assumed and caller.assumed.source_identity
    inherited = frozenset() if caller.assumed is None else caller.assumed.transitive_tag_keys
    return (
        not trust.principals.isdisjoint({caller.account_id, f"{caller.account_id}/{caller.role_name}"})
        and trust.external_id in {None, given.get("ExternalId")}
        and (not trust.mfa or "TokenCode" in given)
        and given.get("SourceIdentity", before) == (trust.source_identity or before)
        and before in {None, given.get("SourceIdentity", before)}  # it cannot be changed on the way
        and trust.tags == tags.keys()
        and inherited.isdisjoint(tags)  # nor can a transitive tag
    )


def _session(caller: RoleCredentials, given: _Given, tags: Mapping[str, str]) -> Assumed:
    """What is asked for, with what goes on from the session before."""
    before = caller.assumed or Assumed("", None, {}, frozenset())
    inherited = {key: before.tags[key] for key in before.transitive_tag_keys}
    transitive = {value for name, value in given.items() if _TRANSITIVE.fullmatch(name)}
    return Assumed(
        given["RoleSessionName"],
        given.get("SourceIdentity", before.source_identity),
        inherited | dict(tags),
        before.transitive_tag_keys | transitive,
    )


def _seconds(role: IamRole, given: _Given) -> int:
    seconds = int(given.get("DurationSeconds", LONGEST_CHAINED))
    if seconds > role.max_session_seconds:
        raise ApiError(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    if seconds > LONGEST_CHAINED:  # everybody here calls with a role's credentials
        raise ApiError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        )
    return seconds


def _identity(caller: RoleCredentials) -> str:
    return (
        f"<Arn>{escape(caller.arn)}</Arn>"
        f"<UserId>{escape(caller.user_id)}</UserId>"
        f"<Account>{caller.account_id}</Account>"
    )


def assumed_xml(credentials: RoleCredentials) -> str:
    """The members that the answers of both AssumeRole operations have in common."""
    identity = credentials.assumed.source_identity if credentials.assumed else None
    expiration = datetime.fromtimestamp(int(credentials.expires_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        "<AssumedRoleUser>"
        f"<AssumedRoleId>{escape(credentials.user_id)}</AssumedRoleId><Arn>{escape(credentials.arn)}</Arn>"
        "</AssumedRoleUser><Credentials>"
        f"<AccessKeyId>{credentials.access_key_id}</AccessKeyId>"
        f"<SecretAccessKey>{credentials.secret_access_key}</SecretAccessKey>"
        f"<SessionToken>{credentials.session_token}</SessionToken>"
        f"<Expiration>{expiration}</Expiration>"
        "</Credentials>" + (f"<SourceIdentity>{escape(identity)}</SourceIdentity>" if identity else "")
    )


def query_answer(operation: str, result: str) -> Answer:
    """An answer of the AWS query protocol; `result` is XML."""
    return _xml(
        200,
        f"<{operation}Response {_XMLNS}><{operation}Result>{result}</{operation}Result>"
        f"<ResponseMetadata><RequestId>{_request_id()}</RequestId></ResponseMetadata>"
        f"</{operation}Response>",
    )


def query_refusal(error: ApiError, status: int) -> Answer:
    """An error of the AWS query protocol."""
    kind = "Receiver" if status >= 500 else "Sender"
    return _xml(
        status,
        f"<ErrorResponse {_XMLNS}><Error><Type>{kind}</Type>"
        f"<Code>{escape(error.name)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{_request_id()}</RequestId></ErrorResponse>",
    )


def _xml(status: int, document: str) -> Answer:
    return Answer(status, document.encode(), content_type="text/xml")


def _request_id() -> str:
    digits = secrets.token_hex(16)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
