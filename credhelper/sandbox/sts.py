"""STS GetCallerIdentity (AWS query protocol) for role credentials of this server, signature and all.

The request's own time (`X-Amz-Date`) must match its credential scope but is not compared with the clock:
tests move the sandbox's clock by hours, while the programs that sign do so by the machine's.
"""

import hmac
import secrets
from xml.sax.saxutils import escape

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.role_credentials import RoleCredentials
from credhelper.sandbox.sigv4 import is_signed_by, read_signature
from credhelper.sandbox.state import State

GET_CALLER_IDENTITY = "GetCallerIdentity"
_XMLNS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
_STATUS = {"IncompleteSignature": 400, "InvalidAction": 400, "ValidationError": 400}


class Sts:
    def __init__(self, state: State) -> None:
        self._state = state

    def perform(self, operation: str, request: Request) -> Answer:
        _check_parameters(operation, request)
        credentials = self._signer(request)
        return _xml(
            200,
            f"<{operation}Response {_XMLNS}><{operation}Result>"
            f"<Arn>{escape(credentials.arn)}</Arn>"
            f"<UserId>{escape(credentials.user_id)}</UserId>"
            f"<Account>{credentials.account_id}</Account>"
            f"</{operation}Result>"
            f"<ResponseMetadata><RequestId>{_request_id()}</RequestId></ResponseMetadata>"
            f"</{operation}Response>",
        )

    def refuse(self, error: ApiError) -> Answer:
        status = error.status or _STATUS.get(error.name, 403)
        kind = "Receiver" if status >= 500 else "Sender"
        return _xml(
            status,
            f"<ErrorResponse {_XMLNS}><Error><Type>{kind}</Type>"
            f"<Code>{escape(error.name)}</Code><Message>{escape(error.message)}</Message></Error>"
            f"<RequestId>{_request_id()}</RequestId></ErrorResponse>",
        )

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


def action(request: Request) -> str:
    """The operation a query request names; empty if it names none."""
    return dict(request.form()).get("Action", "")


def _check_parameters(operation: str, request: Request) -> None:
    if operation != GET_CALLER_IDENTITY:
        raise ApiError("InvalidAction", "The sandbox knows GetCallerIdentity only.")
    if request.raw_query or sorted(request.form()) != [("Action", operation), ("Version", "2011-06-15")]:
        raise ApiError("ValidationError", "GetCallerIdentity takes Action, Version 2011-06-15 and nothing else.")


def _xml(status: int, document: str) -> Answer:
    return Answer(status, document.encode(), content_type="text/xml")


def _request_id() -> str:
    digits = secrets.token_hex(16)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
