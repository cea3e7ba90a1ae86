"""The sso API ("portal"): GetRoleCredentials, ListAccounts, ListAccountRoles, Logout, by bearer token.

Errors are JSON `{"message": …, "__type": "UnauthorizedException"}` with the name in `x-amzn-ErrorType` too.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.rate_limit import RateLimit
from credhelper.sandbox.registrations import ACCOUNT_ACCESS
from credhelper.sandbox.shapes import Shapes, read_request, write_output
from credhelper.sandbox.sign_ins import SignIn
from credhelper.sandbox.state import State

_BEARER_HEADER = "x-amz-sso_bearer_token"
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_PAGE = 100  # where the caller does not say; also the model's maximum

_Input = dict[str, Any]


class Portal:
    service = "sso"

    def __init__(self, state: State, shapes: Shapes, rate_limit: RateLimit) -> None:
        self._state = state
        self._shapes = shapes
        self._rate_limit = rate_limit
        self._operations: dict[str, Callable[[SignIn, _Input], _Input]] = {
            "GetRoleCredentials": self._get_role_credentials,
            "ListAccounts": self._list_accounts,
            "ListAccountRoles": self._list_account_roles,
        }

    def perform(self, operation: str, request: Request) -> Answer:
        # Who asks comes before what is asked: without a good token the rest is nobody's business.
        sign_in = self._state.sign_ins.bearer(request.headers.get(_BEARER_HEADER, ""))
        self._rate_limit.admit(sign_in.person)
        model = self._shapes.operation(self.service, operation)
        given = read_request(model, request)
        if operation == "Logout":
            sign_in.ended = True
            return Answer(200)
        if ACCOUNT_ACCESS not in sign_in.scopes:
            raise ApiError("ForbiddenException", "No access")
        return Answer(200, write_output(model, self._operations[operation](sign_in, given)))

    def refuse(self, error: ApiError) -> Answer:
        status = error.status or self._shapes.error_status(self.service, error.name)
        if status is None:
            status = 403 if error.name == "ForbiddenException" else 400  # real, yet missing from the model
        body = {"message": error.message, "__type": error.name}
        return Answer(status, json.dumps(body).encode(), headers=(("x-amzn-ErrorType", error.name),))

    def _get_role_credentials(self, sign_in: SignIn, given: _Input) -> _Input:
        _check_account_id(given["accountId"])
        credentials = self._state.role_credentials(sign_in.person, given["accountId"], given["roleName"])
        return {
            "roleCredentials": {
                "accessKeyId": credentials.access_key_id,
                "secretAccessKey": credentials.secret_access_key,
                "sessionToken": credentials.session_token,
                "expiration": int(credentials.expires_at) * 1000,
            }
        }

    def _list_accounts(self, sign_in: SignIn, given: _Input) -> _Input:
        accounts = [
            {"accountId": account.account_id, "accountName": account.name, "emailAddress": account.email}
            for account in self._state.accounts_of(sign_in.person)
        ]
        return _page("accountList", accounts, given)

    def _list_account_roles(self, sign_in: SignIn, given: _Input) -> _Input:
        account_id = given["accountId"]
        _check_account_id(account_id)
        if all(account.account_id != account_id for account in self._state.directory.accounts):
            raise ApiError("ResourceNotFoundException", "There is no such account")
        roles = self._state.roles_of(sign_in.person, account_id)
        if not roles:
            raise ApiError("ForbiddenException", "No access")
        return _page("roleList", [{"roleName": role.name, "accountId": account_id} for role in roles], given)


def _check_account_id(account_id: str) -> None:
    if not _ACCOUNT_ID.fullmatch(account_id):
        raise ApiError("InvalidRequestException", "accountId must be twelve digits.")


def _page(member: str, items: list[dict[str, str]], given: _Input) -> _Input:
    """One page and, where more follows, the token of the next one."""
    start = _offset(member, given["nextToken"]) if "nextToken" in given else 0
    end = start + given.get("maxResults", _PAGE)
    output: _Input = {member: items[start:end]}
    if end < len(items):
        output["nextToken"] = base64.urlsafe_b64encode(f"{member}:{end}".encode()).decode()
    return output


def _offset(member: str, next_token: str) -> int:
    try:
        decoded = base64.b64decode(next_token.encode(), altchars=b"-_", validate=True)
        name, _, offset = decoded.decode("ascii").partition(":")
    except (UnicodeError, binascii.Error):
        name = offset = ""
    if name != member or not offset.isdecimal():
        raise ApiError("InvalidRequestException", "nextToken is not one of this operation's.")
    return int(offset)
