"""The two JSON APIs of Amazon Cognito: identity pools (cognito-identity) and user pools (cognito-idp).

Requests and answers are checked against botocore's service models; none of the operations here takes a signature.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.identities import IdentityPools
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.shapes import Shapes, read_request, write_output
from credhelper.sandbox.user_pool_sessions import PoolTokens, UserPools
from credhelper.sandbox.user_pool_sign_in import SignIn

_Json = Mapping[str, Any]

IDENTITY_TARGET = "AWSCognitoIdentityService."
USERS_TARGET = "AWSCognitoIdentityProviderService."
IDENTITY_OPERATIONS = ("GetId", "GetCredentialsForIdentity", "GetOpenIdToken")
USERS_OPERATIONS = (
    *("InitiateAuth", "RespondToAuthChallenge", "GetTokensFromRefreshToken"),
    *("RevokeToken", "GlobalSignOut", "GetUser"),
)
OPERATIONS = frozenset({*IDENTITY_OPERATIONS, *USERS_OPERATIONS})


def operation_of(request: Request) -> str:
    """The operation that a request of either API names; empty if it names none there is."""
    target = request.headers.get("x-amz-target", "")
    for prefix, operations in ((IDENTITY_TARGET, IDENTITY_OPERATIONS), (USERS_TARGET, USERS_OPERATIONS)):
        name = target.removeprefix(prefix)
        if name != target and name in operations:
            return name
    return ""


class CognitoApi:
    """The door of both."""

    def __init__(self, shapes: Shapes, users: UserPools, pools: IdentityPools, sign_in: SignIn) -> None:
        self._shapes = shapes
        self._users = users
        self._pools = pools
        self._sign_in = sign_in
        self._operations: dict[str, Callable[[_Json], _Json]] = {
            "GetId": self._get_id,
            "GetCredentialsForIdentity": self._get_credentials,
            "GetOpenIdToken": self._get_open_id_token,
            "InitiateAuth": sign_in.initiate,
            "RespondToAuthChallenge": sign_in.respond,
            "GetTokensFromRefreshToken": self._refresh,
            "RevokeToken": self._revoke,
            "GlobalSignOut": self._sign_out,
            "GetUser": self._get_user,
        }

    def perform(self, operation: str, request: Request) -> Answer:
        """Raises ApiError."""
        service = "cognito-identity" if operation in IDENTITY_OPERATIONS else "cognito-idp"
        model = self._shapes.operation(service, operation)
        if request.content_type != "application/x-amz-json-1.1":
            raise ApiError("SerializationException", "The body must be declared as application/x-amz-json-1.1.")
        try:
            given = read_request(model, request)
        except ApiError as error:
            raise ApiError("InvalidParameterException", error.message) from error
        answer = self._operations[operation](given)
        return Answer(200, write_output(model, answer), content_type="application/x-amz-json-1.1")

    def refuse(self, error: ApiError) -> Answer:
        """The error as both APIs send it."""
        body = json.dumps({"__type": error.name, "message": error.message})
        headers = (("x-amzn-ErrorType", f"{error.name}:"), ("x-amzn-ErrorMessage", error.message))
        return Answer(error.status or 400, body.encode(), content_type="application/x-amz-json-1.1", headers=headers)

    def _get_id(self, given: _Json) -> _Json:
        return {"IdentityId": self._pools.get_id(given["IdentityPoolId"], given.get("Logins", {}))}

    def _get_credentials(self, given: _Json) -> _Json:
        identity_id, credentials = self._pools.credentials(
            given["IdentityId"], given.get("Logins", {}), given.get("CustomRoleArn")
        )
        return {
            "IdentityId": identity_id,
            "Credentials": {
                "AccessKeyId": credentials.access_key_id,
                "SecretKey": credentials.secret_access_key,
                "SessionToken": credentials.session_token,
                "Expiration": float(int(credentials.expires_at)),
            },
        }

    def _get_open_id_token(self, given: _Json) -> _Json:
        identity_id, token = self._pools.open_id_token(given["IdentityId"], given.get("Logins", {}))
        return {"IdentityId": identity_id, "Token": token}

    def _refresh(self, given: _Json) -> _Json:
        tokens = self._users.refresh(given["RefreshToken"], given["ClientId"], given.get("ClientSecret"))
        return {"AuthenticationResult": result(tokens)}

    def _revoke(self, given: _Json) -> _Json:
        self._users.revoke(given["Token"], given["ClientId"], given.get("ClientSecret"))
        return {}

    def _sign_out(self, given: _Json) -> _Json:
        self._users.sign_out_everywhere(given["AccessToken"])
        return {}

    def _get_user(self, given: _Json) -> _Json:
        session = self._users.session_of(given["AccessToken"], "access")
        user = self._users.user(session.pool_id, session.user)
        if user is None:
            raise ApiError("UserNotFoundException", "User does not exist.")
        attributes = {"sub": user.sub, **user.claims}
        return {
            "Username": user.name,
            "UserAttributes": [{"Name": name, "Value": value} for name, value in attributes.items()],
        }


def result(tokens: PoolTokens) -> dict[str, Any]:
    """AuthenticationResult; the refresh token only where there is a new one."""
    renewed = {} if tokens.refresh_token is None else {"RefreshToken": tokens.refresh_token}
    return {
        "AccessToken": tokens.access_token,
        "IdToken": tokens.id_token,
        "ExpiresIn": tokens.expires_in,
        "TokenType": "Bearer",
        **renewed,
    }
