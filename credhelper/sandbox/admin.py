"""The sandbox's own levers over HTTP, for the demo and for tests in other processes.

`POST /_sandbox/<lever>` with a JSON object of arguments and the admin token in `X-Sandbox-Admin`; the answer
is `{"result": …}` or, with 400, `{"error": …}`. Without the token there is nothing here: 404.
"""

import hmac
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from credhelper.sandbox.authorizations import RefusedError
from credhelper.sandbox.faults import Body, Cut, Fault
from credhelper.sandbox.messages import Answer, Request

if TYPE_CHECKING:
    from credhelper.sandbox.server import Sandbox

PREFIX = "/_sandbox/"


class Admin:
    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._token = sandbox.admin_token
        self._levers: dict[str, Callable[..., object]] = {
            "approve": sandbox.approve,
            "deny": sandbox.deny,
            "authorize": sandbox.authorize,
            "mfa-code": sandbox.mfa_code,
            "assign": sandbox.assign,
            "unassign": sandbox.unassign,
            "end-session": sandbox.end_session,
            "revoke": sandbox.revoke,
            "forget-client": sandbox.forget_client,
            "rotate": sandbox.rotate_refresh_tokens,
            "revoke-access-tokens": sandbox.revoke_access_tokens,
            "revoke-refresh-tokens": sandbox.revoke_refresh_tokens,
            "fail": self._fail,
            "clear": sandbox.clear,
            "hold": self._hold,
            "release": sandbox.release,
            "waiting": sandbox.waiting,
            "calls": lambda: dict(sandbox.calls),
        }

    def perform(self, request: Request) -> Answer:
        lever = self._levers.get(request.path.removeprefix(PREFIX))
        token = request.headers.get("x-sandbox-admin", "")
        if not hmac.compare_digest(token.encode(), self._token.encode()) or lever is None or request.method != "POST":
            return Answer(404, b"{}")
        try:
            result = lever(**json.loads(request.body or b"{}"))
        except (TypeError, ValueError, LookupError, RefusedError) as error:
            return Answer(400, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return Answer(200, json.dumps({"result": result}).encode())

    def _fail(self, operation: str, times: int | None = 1, **members: Any) -> None:
        self._sandbox.fail(operation, _read_fault(members), times)

    def _hold(self, operation: str) -> None:
        self._sandbox.hold(operation)


def _read_fault(members: dict[str, Any]) -> Fault:
    """`Fault`'s fields by name, the enumerations by value."""
    if members.get("body") is not None:
        members["body"] = Body(members["body"])
    if members.get("cut") is not None:
        members["cut"] = Cut(members["cut"])
    members["without"] = tuple(members.get("without", ()))
    return Fault(**members)
