"""The APIs of IAM Identity Center (sso-oidc and the portal) and STS, as blocking calls that return our values.

The only module that imports botocore, and the border where its errors become ours. Retries are not botocore's
business here: whoever calls knows how long it may take. Endpoints, proxies and CA bundle come from the environment of
this process (botocore reads ``AWS_ENDPOINT_URL*``, ``AWS_CA_BUNDLE``, ``HTTPS_PROXY``), never from the files or the
environment of a caller.
"""

import math
import os
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import botocore.exceptions
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.parsers import ResponseParserError

from credhelper import __version__
from credhelper.domain import documents, oauth
from credhelper.domain.errors import ConfigError, Refused, RoleNotAssigned, Throttled, Unavailable, UpstreamError
from credhelper.domain.model import (
    DeviceAuthorization,
    Flow,
    IssuedToken,
    Registration,
    Role,
    RoleCredentials,
    SsoSession,
    Token,
)
from credhelper.domain.text import safe
from credhelper.local.clock import Clock, SystemClock

CONNECT_TIMEOUT = 4  # seconds
READ_TIMEOUT = 6  # seconds between two bytes
REVOKE_TIMEOUT = 3  # seconds: a logout waits for nobody

UNREADABLE = (ResponseParserError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What botocore's parsers raise over answers that are not of AWS's shape, such as a list where an object belongs."""

DEFAULT_POLLING_INTERVAL = 5.0  # seconds, where the answer names none (RFC 8628 section 3.2)
LONGEST_POLLING_INTERVAL = 600.0  # seconds; no device code lives longer than that


@dataclass(frozen=True, slots=True)
class Identity:
    """GetCallerIdentity's answer."""

    account_id: str
    arn: str
    user_id: str


class IdentityCenter:
    """Calls AWS. Thread-safe; every method blocks and raises an UpstreamError when there is no good answer."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._clients: dict[tuple[str, str, int], Any] = {}
        self._making = threading.Lock()
        self._session = botocore.session.Session()
        # Nothing of the user's files: a profile there may name credhelper itself, or send tokens elsewhere.
        for variable in ("config_file", "credentials_file"):
            self._session.set_config_variable(variable, os.devnull)

    def register_client(self, session: SsoSession, flow: Flow) -> Registration:
        """RegisterClient for one flow, with the AWS CLI's parameters."""
        scopes = session.scopes
        request: dict[str, Any] = {
            # A legacy client is named by the time, as the AWS CLI does.
            "clientName": f"botocore-client-{session.name or int(time.time())}",
            "clientType": "public",
        }
        if flow is Flow.AUTHORIZATION_CODE:
            scopes = scopes or oauth.DEFAULT_SCOPES
            request |= {
                "grantTypes": list(oauth.AUTHORIZATION_GRANTS),
                "redirectUris": [oauth.REDIRECT_URI],
                "issuerUrl": session.start_url,
            }
        if scopes:
            request["scopes"] = list(scopes)
        answer = self._oidc(session.region, "register_client", request)
        return Registration(
            client_id=_text(answer, "clientId"),
            client_secret=_text(answer, "clientSecret"),
            expires_at=_moment(answer, "clientSecretExpiresAt"),
            scopes=scopes,
            grant_types=oauth.AUTHORIZATION_GRANTS if flow is Flow.AUTHORIZATION_CODE else (),
        )

    def authorize_url(
        self, session: SsoSession, registration: Registration, redirect_uri: str, proof: oauth.Proof
    ) -> str:
        """Where the browser starts an authorization-code login. Makes no call."""
        endpoint: str = self._client("sso-oidc", session.region).meta.endpoint_url
        return oauth.authorize_url(
            endpoint,
            client_id=registration.client_id,
            redirect_uri=redirect_uri,
            scopes=registration.scopes or oauth.DEFAULT_SCOPES,
            proof=proof,
        )

    def start_device_authorization(self, session: SsoSession, registration: Registration) -> DeviceAuthorization:
        """StartDeviceAuthorization (RFC 8628 section 3.1)."""
        answer = self._oidc(
            session.region,
            "start_device_authorization",
            {
                "clientId": registration.client_id,
                "clientSecret": registration.client_secret,
                "startUrl": session.start_url,
            },
        )
        uri = _text(answer, "verificationUri")
        return DeviceAuthorization(
            device_code=_text(answer, "deviceCode"),
            user_code=_text(answer, "userCode"),
            verification_uri=uri,
            verification_uri_complete=_optional_text(answer, "verificationUriComplete") or uri,
            expires_at=self._end_of(answer, "expiresIn"),
            interval=_interval(answer),
        )

    def poll_device(self, session: SsoSession, registration: Registration, device_code: str) -> IssuedToken:
        """CreateToken for a device code. Raises Refused with the reason while the person has not decided."""
        return self._create_token(session, registration, oauth.DEVICE_GRANT, {"deviceCode": device_code})

    def exchange_code(
        self,
        session: SsoSession,
        registration: Registration,
        *,
        code: str,
        redirect_uri: str,
        proof: oauth.Proof,
    ) -> IssuedToken:
        """CreateToken for an authorization code (RFC 7636 section 4.5)."""
        return self._create_token(
            session,
            registration,
            "authorization_code",
            {"code": code, "redirectUri": redirect_uri, "codeVerifier": proof.code_verifier},
        )

    def refresh_token(self, session: SsoSession, token: Token) -> IssuedToken:
        """CreateToken for a refresh token, which may be spent afterwards; ``token`` must be refreshable."""
        if token.client_id is None or token.client_secret is None or token.registration_expires_at is None:
            raise ValueError("the token is not refreshable")
        registration = Registration(token.client_id, token.client_secret, token.registration_expires_at)
        return self._create_token(session, registration, "refresh_token", {"refreshToken": token.refresh_token})

    def get_role_credentials(self, role: Role, access_token: str) -> RoleCredentials:
        """GetRoleCredentials.

        Raises RoleNotAssigned, Refused (UnauthorizedException: the token is no good), UpstreamError.
        """
        answer = self._call(
            self._client("sso", role.session.region),
            "get_role_credentials",
            {"roleName": role.role_name, "accountId": role.account_id, "accessToken": access_token},
            forbidden=lambda why: RoleNotAssigned(
                f"role {safe(role.role_name)} in account {safe(role.account_id)} is not assigned to you"
                f" in session {safe(role.session.label)} ({why})",
                hint="ask whoever administers IAM Identity Center to assign it"
                + (
                    ""
                    if role.session.name is None
                    else f", or log in as another user: {_login_anew(role.session.name)}"
                ),
            ),
        )
        found = answer.get("roleCredentials")
        found = _Answer(found if isinstance(found, Mapping) else {}, answer.place)
        credentials = RoleCredentials(
            access_key_id=_text(found, "accessKeyId"),
            secret_access_key=_text(found, "secretAccessKey"),
            session_token=_text(found, "sessionToken"),
            expires_at=_moment(found, "expiration", parts_of_a_second=1000),
            obtained_at=self._clock.now(),
        )
        if credentials.expires_at <= credentials.obtained_at:
            raise Unavailable(f"{answer.place} answered with credentials that have already expired")
        return credentials

    def revoke(self, region: str, access_token: str) -> None:
        """The portal's Logout: ends the sign-in that the token belongs to. Does not wait long."""
        self._call(self._client("sso", region, REVOKE_TIMEOUT), "logout", {"accessToken": access_token})

    def get_caller_identity(self, region: str, credentials: RoleCredentials) -> Identity:
        """STS GetCallerIdentity, signed with the role's credentials."""
        with self._making:
            client = self._make_client(
                "sts",
                region,
                _config(READ_TIMEOUT),
                aws_access_key_id=credentials.access_key_id,
                aws_secret_access_key=credentials.secret_access_key,
                aws_session_token=credentials.session_token,
            )
        answer = self._call(client, "get_caller_identity", {})
        return Identity(_text(answer, "Account"), _text(answer, "Arn"), _text(answer, "UserId"))

    def _create_token(
        self, session: SsoSession, registration: Registration, grant_type: str, proof: dict[str, Any]
    ) -> IssuedToken:
        answer = self._oidc(
            session.region,
            "create_token",
            {
                "clientId": registration.client_id,
                "clientSecret": registration.client_secret,
                "grantType": grant_type,
                **proof,
            },
        )
        return IssuedToken(
            access_token=_text(answer, "accessToken"),
            expires_at=self._end_of(answer, "expiresIn"),
            refresh_token=_optional_text(answer, "refreshToken"),
        )

    def _oidc(self, region: str, operation: str, request: dict[str, Any]) -> "_Answer":
        return self._call(self._client("sso-oidc", region), operation, request)

    def _client(self, service: str, region: str, timeout: int = READ_TIMEOUT) -> Any:
        with self._making:  # creating a client is not thread-safe, using one is
            key = (service, region, timeout)
            if key not in self._clients:
                self._clients[key] = self._make_client(service, region, _config(timeout, signature_version=UNSIGNED))
            return self._clients[key]

    def _make_client(self, service: str, region: str, config: Config, **keys: str) -> Any:
        try:
            return self._session.create_client(service, region_name=region, config=config, **keys)
        except (botocore.exceptions.BotoCoreError, OSError, ValueError) as error:
            raise ConfigError(
                f"no client for {service} in {safe(region)} can be made from the daemon's environment"
                f" (AWS_ENDPOINT_URL…, AWS_CA_BUNDLE, proxies): {safe(str(error))}",
                hint="mend the variable, then: credhelper daemon restart",
            ) from None

    def _call(
        self,
        client: Any,
        operation: str,
        request: dict[str, Any],
        forbidden: Callable[[str], Exception] | None = None,
    ) -> "_Answer":
        place = safe(str(client.meta.endpoint_url))
        try:
            answer = getattr(client, operation)(**request)
        except botocore.exceptions.ClientError as error:
            raise _explain(error, place, forbidden) from None  # its text may repeat what was sent
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise Unavailable(f"{place} cannot be reached: {_cause(error)}") from None
        except UNREADABLE:
            raise Unavailable(f"{place} sent an answer that cannot be read") from None
        if _is_web_page(answer):  # not even Logout, whose answer is empty, may be taken for done
            raise Unavailable(f"{place} answered with a web page; is a captive portal or a proxy in the way?")
        return _Answer(answer, place)

    def _end_of(self, answer: "_Answer", key: str) -> datetime:
        seconds = _number(answer, key)
        if seconds <= 0:
            raise Unavailable(f"{answer.place} answered with something that has already expired ({key})")
        try:
            return documents.moment_after(self._clock.now(), seconds)
        except documents.MalformedDocument as error:
            raise Unavailable(f"{answer.place} answered with {error}") from None


class _Answer(dict[str, Any]):
    """An answer that remembers who gave it, for the error message when something is missing."""

    def __init__(self, fields: Mapping[str, Any], place: str) -> None:
        super().__init__(fields)
        self.place = place


def _config(timeout: int, **more: Any) -> Config:
    return Config(
        connect_timeout=min(CONNECT_TIMEOUT, timeout),
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=16,
        user_agent_extra=f"credhelper/{__version__}",
        **more,
    )


def _explain(
    error: botocore.exceptions.ClientError, place: str, forbidden: Callable[[str], Exception] | None
) -> Exception:
    details = error.response.get("Error", {})
    reason = safe(str(details.get("Code") or "unknown"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 429 or reason == "TooManyRequestsException":
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        wait = _retry_after(headers.get("retry-after"))
        return Throttled(f"{place} is throttling: too many requests", retry_after=wait)
    if status >= 500 or 300 <= status < 400:
        return Unavailable(f"{place} answered HTTP {status}")
    if not reason.endswith("Exception") and status in {400, 403, 404, 407, 511} and reason == str(status):
        return Unavailable(f"{place} answered HTTP {status}, but not as AWS does; is a proxy in the way?")
    if forbidden and status in {403, 404}:
        return forbidden(reason)
    return Refused(f"{place} refused: {reason}", reason=reason)


def _cause(error: Exception) -> str:
    """Why a connection failed, in a line. botocore's own texts repeat the whole URL, query included."""
    match error:
        case botocore.exceptions.ConnectTimeoutError():
            return f"no connection within {CONNECT_TIMEOUT} s"
        case botocore.exceptions.ReadTimeoutError():
            return "no answer in time"
        case botocore.exceptions.SSLError():
            return f"TLS: {_innermost(error)}"
        case botocore.exceptions.ProxyConnectionError():
            return f"the proxy does not answer: {_innermost(error)}"
        case _:
            return _innermost(error)


def _innermost(error: BaseException) -> str:
    inner = getattr(error, "kwargs", {}).get("error") or error
    while True:
        below = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
        if not isinstance(below, BaseException) or below is inner:
            break
        inner = below
    if isinstance(inner, OSError) and inner.strerror:
        return safe(inner.strerror)
    return safe(type(inner).__name__)


def _is_web_page(answer: Mapping[str, Any]) -> bool:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("content-type", "")).lower().startswith("text/html")


def _retry_after(header: str | None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3: seconds, or a date, which AWS does not send)."""
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _text(answer: _Answer, key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise _not_aws(answer, key)
    return value


def _optional_text(answer: _Answer, key: str) -> str | None:
    return _text(answer, key) if answer.get(key) else None


def _number(answer: _Answer, key: str) -> float:
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_aws(answer, key)
    return value


def _interval(answer: _Answer) -> float:
    """Seconds between two polls; 0 is an answer too. One that no clock can count is as good as none."""
    if answer.get("interval") is None:
        return DEFAULT_POLLING_INTERVAL
    interval = _number(answer, "interval")
    return float(interval) if 0 <= interval <= LONGEST_POLLING_INTERVAL else DEFAULT_POLLING_INTERVAL


def _moment(answer: _Answer, key: str, *, parts_of_a_second: int = 1) -> datetime:
    try:
        return documents.moment_from_epoch(_number(answer, key) // parts_of_a_second)
    except documents.MalformedDocument as error:
        raise Unavailable(f"{answer.place} answered with {error}") from None


def _not_aws(answer: _Answer, key: str) -> UpstreamError:
    return Unavailable(
        f"{answer.place} gave an answer without {key}, not AWS's: is a captive portal or a proxy in the way?"
    )


def _login_anew(session: str) -> str:
    return f"credhelper login --force --sso-session {shlex.quote(session)}"
