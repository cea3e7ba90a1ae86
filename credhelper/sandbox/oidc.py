"""The sso-oidc API: RegisterClient, StartDeviceAuthorization, CreateToken.

Errors are JSON `{"error": "invalid_grant", "error_description": …}` with the model's exception name in the
`x-amzn-ErrorType` header.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Answer, Request
from credhelper.sandbox.registrations import (
    AUTHORIZATION_CODE,
    DEVICE_CODE,
    GRANTS,
    REFRESH_TOKEN,
    Registration,
)
from credhelper.sandbox.shapes import Shapes, read_request, write_output
from credhelper.sandbox.sign_ins import Tokens
from credhelper.sandbox.state import State

_Input = dict[str, Any]


class Oidc:
    service = "sso-oidc"

    def __init__(self, state: State, shapes: Shapes, url: str) -> None:
        self._state = state
        self._shapes = shapes
        self._url = url
        self._operations: dict[str, Callable[[_Input], _Input]] = {
            "RegisterClient": self._register_client,
            "StartDeviceAuthorization": self._start_device_authorization,
            "CreateToken": self._create_token,
        }

    def perform(self, operation: str, request: Request) -> Answer:
        model = self._shapes.operation(self.service, operation)
        output = self._operations[operation](read_request(model, request))
        return Answer(200, write_output(model, output), headers=(("Cache-Control", "no-store"),))

    def refuse(self, error: ApiError) -> Answer:
        status = error.status or self._shapes.error_status(self.service, error.name) or 400
        body = {"error": oauth_error_code(error.name), "error_description": error.message}
        return Answer(status, json.dumps(body).encode(), headers=(("x-amzn-ErrorType", error.name),))

    def _register_client(self, given: _Input) -> _Input:
        if "issuerUrl" in given:
            self._state.check_start_url(given["issuerUrl"])
        registration = self._state.registrations.register(
            name=given["clientName"],
            client_type=given["clientType"],
            scopes=given.get("scopes"),
            grant_types=given.get("grantTypes"),
            redirect_uris=given.get("redirectUris"),
            has_issuer="issuerUrl" in given,
        )
        return {
            "clientId": registration.client_id,
            "clientSecret": registration.client_secret,
            "clientIdIssuedAt": registration.issued_at,
            "clientSecretExpiresAt": registration.expires_at,
            "authorizationEndpoint": f"{self._url}/authorize",
            "tokenEndpoint": f"{self._url}/token",
        }

    def _start_device_authorization(self, given: _Input) -> _Input:
        registration = self._state.registrations.authenticate(given["clientId"], given["clientSecret"])
        _check_grant(registration, DEVICE_CODE)
        self._state.check_start_url(given["startUrl"])
        device = self._state.devices.start(registration)
        return {
            "deviceCode": device.device_code,
            "userCode": device.user_code,
            "verificationUri": f"{self._url}/device",
            "verificationUriComplete": f"{self._url}/device?user_code={device.user_code}",
            "expiresIn": self._state.lifetimes.device_code,
            "interval": device.interval,
        }

    def _create_token(self, given: _Input) -> _Input:
        registration = self._state.registrations.authenticate(given["clientId"], given["clientSecret"])
        grant = given["grantType"]
        if grant not in GRANTS:
            raise ApiError("UnsupportedGrantTypeException", "The grant type is not supported.")
        _check_grant(registration, grant)
        tokens = self._tokens(grant, registration, given)
        output = {"accessToken": tokens.access_token, "tokenType": "Bearer", "expiresIn": tokens.expires_in}
        if tokens.refresh_token is not None:
            output["refreshToken"] = tokens.refresh_token
        return output

    def _tokens(self, grant: str, registration: Registration, given: _Input) -> Tokens:
        sign_ins = self._state.sign_ins
        if grant == REFRESH_TOKEN:
            refresh_token = _needed(given, "refreshToken")
            return sign_ins.refresh(refresh_token, registration.client_id, given.get("scope"))
        if not set(given.get("scope", ())) <= set(registration.granted_scopes):
            raise ApiError("InvalidScopeException", "The client did not register for one of the scopes.")
        if grant == AUTHORIZATION_CODE:
            sign_in = self._state.authorizations.redeem(
                _needed(given, "code"),
                registration,
                redirect_uri=_needed(given, "redirectUri"),
                code_verifier=_needed(given, "codeVerifier"),
            )
        else:
            sign_in = self._state.devices.poll(_needed(given, "deviceCode"), registration)
        return sign_ins.issue(sign_in, with_refresh_token=registration.gets_refresh_tokens)


def oauth_error_code(exception: str) -> str:
    """`InvalidGrantException` is `invalid_grant` in OAuth's words (RFC 6749, 5.2; RFC 8628, 3.5)."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", exception.removesuffix("Exception")).lower()


def _check_grant(registration: Registration, grant: str) -> None:
    if not registration.may_use(grant):
        raise ApiError("UnauthorizedClientException", "The client did not register for this grant type.")


def _needed(given: _Input, member: str) -> str:
    if member not in given:
        raise ApiError("InvalidRequestException", f"The grant needs {member}.")
    return str(given[member])
