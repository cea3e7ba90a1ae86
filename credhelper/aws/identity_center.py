"""The APIs of IAM Identity Center (sso-oidc and the portal) and STS, as blocking calls that return our values.

Nothing of an answer is believed before it was looked at: what lacks a member or has it wrong is not AWS's.
"""

import json
import re
import shlex
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from credhelper.aws import answers, start_urls
from credhelper.aws.calls import Caller, told
from credhelper.aws.server_time import ServerTime
from credhelper.aws.transport import Answer, Meaning, Refusal, Transport
from credhelper.domain import documents, oauth
from credhelper.domain.accounts import Account, Page
from credhelper.domain.errors import (
    AccessRefused,
    AssumeRoleDenied,
    ConfigError,
    CredhelperError,
    MfaRefused,
    RoleNotAssigned,
    Unavailable,
)
from credhelper.domain.model import (
    ASSUMED_ROLE_SECONDS,
    ChainedRole,
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

CALL_DEADLINE = 7.0  # seconds, for all of a call
FEDERATION_DEADLINE = 4.0  # seconds: it may take a second try
REVOKE_DEADLINE = 3.0  # seconds: a logout waits for nobody

PAGE_SIZE = 100  # of a list; AWS gives no more on one page
LONGEST_NAME = 256  # characters; AWS's own have 64 at most, emails 254
LONGEST_NEXT_TOKEN = 8192  # characters; it becomes part of an address

DEFAULT_POLLING_INTERVAL = 5.0  # seconds, where the answer names none (RFC 8628 section 3.2)
LONGEST_POLLING_INTERVAL = 600.0  # seconds; no device code lives longer than that

_ACCOUNT_ID = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Identity:
    """GetCallerIdentity's answer."""

    account_id: str
    arn: str
    user_id: str


class IdentityCenter(Caller):
    """Calls AWS. Thread-safe; every method blocks and raises an UpstreamError when there is no good answer.

    ``server_time`` is AWS's clock, by which the ends of role credentials are told. A call ends, well or not, after
    ``call_deadline`` seconds, and ``revoke`` after ``revoke_deadline``.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        call_deadline: float = CALL_DEADLINE,
        revoke_deadline: float = REVOKE_DEADLINE,
    ) -> None:
        super().__init__(clock or SystemClock())
        self._call_deadline = call_deadline
        self._revoke_deadline = revoke_deadline
        self.server_time = ServerTime(self._clock)
        self._transport = Transport(self._clock, self.server_time)

    @property
    def transport(self) -> Transport:
        """How it calls AWS, for whoever wants to know whether AWS can be reached."""
        return self._transport

    def portal(self, session: SsoSession) -> SsoSession:
        """The session as its access portal knows it: where a vanity start URL leads, and in which region that is.

        Nothing is asked for a start URL of AWS's own. Raises ConfigError where it leads elsewhere, UpstreamError.
        """
        found = start_urls.resolve(session.start_url, session.region, self.where_it_leads)
        return replace(session, start_url=found.start_url, region=found.region or session.region)

    def where_it_leads(self, start_url: str) -> str | None:
        """Where a web address redirects to, if it does. Raises UpstreamError."""
        return self._transport.redirection(start_url, deadline=start_urls.LOOK_DEADLINE)

    @told("RegisterClient")
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
            client_id=answers.text(answer, "clientId"),
            client_secret=answers.text(answer, "clientSecret"),
            expires_at=answers.moment(answer, "clientSecretExpiresAt"),
            scopes=scopes,
            grant_types=oauth.AUTHORIZATION_GRANTS if flow is Flow.AUTHORIZATION_CODE else (),
        )

    def authorize_url(
        self, session: SsoSession, registration: Registration, redirect_uri: str, proof: oauth.Proof
    ) -> str:
        """Where the browser starts an authorization-code login. Makes no call."""
        return oauth.authorize_url(
            self._transport.endpoint("sso-oidc", session.region),
            client_id=registration.client_id,
            redirect_uri=redirect_uri,
            scopes=registration.scopes or oauth.DEFAULT_SCOPES,
            proof=proof,
        )

    @told("StartDeviceAuthorization")
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
        uri = answers.text(answer, "verificationUri")
        return DeviceAuthorization(
            device_code=answers.text(answer, "deviceCode"),
            user_code=answers.text(answer, "userCode"),
            verification_uri=uri,
            verification_uri_complete=answers.optional_text(answer, "verificationUriComplete") or uri,
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

    @told("GetRoleCredentials")
    def get_role_credentials(self, role: Role, access_token: str) -> RoleCredentials:
        """GetRoleCredentials, with both times by AWS's clock.

        Raises RoleNotAssigned, Refused (UnauthorizedException: the token is no good), UpstreamError.
        """
        answer = self._transport.call(
            "sso",
            role.session.region,
            "get_role_credentials",
            {"roleName": role.role_name, "accountId": role.account_id, "accessToken": access_token},
            deadline=self._call_deadline,
            meaning=_of_role(role),
        )
        found = answers.part(answer, "roleCredentials")
        return answers.good(
            RoleCredentials(
                access_key_id=answers.text(found, "accessKeyId"),
                secret_access_key=answers.text(found, "secretAccessKey"),
                session_token=answers.text(found, "sessionToken"),
                expires_at=answers.moment(found, "expiration", parts_of_a_second=1000),
                obtained_at=self.server_time.now(),
            ),
            answer.place,
        )

    @told("ListAccounts")
    def list_accounts(self, session: SsoSession, access_token: str, next_token: str | None = None) -> Page[Account]:
        """ListAccounts, one page: the accounts in which the person has a role.

        Raises AccessRefused, Refused (UnauthorizedException: the token is no good), UpstreamError.
        """
        answer = self._list("list_accounts", session, {"accessToken": access_token}, next_token, _of_session(session))
        return Page(tuple(map(_account, answers.items(answer, "accountList"))), _next_token(answer))

    @told("ListAccountRoles")
    def list_account_roles(
        self, session: SsoSession, account_id: str, access_token: str, next_token: str | None = None
    ) -> Page[str]:
        """ListAccountRoles, one page: the names of the person's roles in an account.

        Raises RoleNotAssigned, Refused (UnauthorizedException: the token is no good), UpstreamError.
        """
        request = {"accessToken": access_token, "accountId": account_id}
        answer = self._list("list_account_roles", session, request, next_token, _of_account(session, account_id))
        names = (_role_name(each, account_id) for each in answers.items(answer, "roleList"))
        return Page(tuple(name for name in names if len(name) <= LONGEST_NAME), _next_token(answer))

    @told("AssumeRole")
    def assume_role(
        self, role: ChainedRole, source: RoleCredentials, session_name: str, code: str | None = None
    ) -> RoleCredentials:
        """STS AssumeRole, signed with the source's credentials; both times by AWS's clock.

        ``session_name`` is for a role that asks for none of its own; ``code`` is one of its MFA device. Raises
        AssumeRoleDenied, MfaRefused, ConfigError (a duration AWS does not allow), Refused (ExpiredToken and the like:
        the source's credentials are no good), UpstreamError.
        """
        request: dict[str, Any] = {
            "RoleArn": role.role_arn,
            "RoleSessionName": role.role_session_name or session_name,
            "DurationSeconds": role.duration_seconds,
            "ExternalId": role.external_id,
            "SourceIdentity": role.source_identity,
            "Tags": [{"Key": key, "Value": value} for key, value in role.tags],
            "TransitiveTagKeys": list(role.transitive_tag_keys),
        }
        if code is not None:
            request |= {"SerialNumber": role.mfa_serial, "TokenCode": code}
        answer = self._transport.call(
            "sts",
            role.region,
            "assume_role",
            {name: value for name, value in request.items() if value},
            deadline=self._call_deadline,
            keys=_keys(source),
            meaning=_of_chained_role(role),
        )
        found = answers.part(answer, "Credentials")
        return answers.good(
            RoleCredentials(
                access_key_id=answers.text(found, "AccessKeyId"),
                secret_access_key=answers.text(found, "SecretAccessKey"),
                session_token=answers.text(found, "SessionToken"),
                expires_at=answers.end(found, "Expiration"),
                obtained_at=self.server_time.now(),
            ),
            answer.place,
        )

    @told("Logout")
    def revoke(self, region: str, access_token: str) -> None:
        """The portal's Logout: ends the sign-in that the token belongs to. Does not wait long."""
        self._transport.call("sso", region, "logout", {"accessToken": access_token}, deadline=self._revoke_deadline)

    @told("GetCallerIdentity")
    def get_caller_identity(self, region: str, credentials: RoleCredentials) -> Identity:
        """STS GetCallerIdentity, signed with the role's credentials."""
        answer = self._transport.call(
            "sts",
            region,
            "get_caller_identity",
            {},
            deadline=self._call_deadline,
            keys=_keys(credentials),
        )
        return Identity(answers.text(answer, "Account"), answers.text(answer, "Arn"), answers.text(answer, "UserId"))

    @told("GetSigninToken")
    def get_signin_token(
        self, endpoint: str, region: str, credentials: RoleCredentials, seconds: int | None = None
    ) -> str:
        """The federation endpoint's getSigninToken, for a console session of so many seconds where they are named.

        Raises Refused, UpstreamError.
        """
        session = {
            "sessionId": credentials.access_key_id,
            "sessionKey": credentials.secret_access_key,
            "sessionToken": credentials.session_token,
        }
        form = {"Action": "getSigninToken", "Session": json.dumps(session)}
        if seconds is not None:
            form["SessionDuration"] = str(seconds)
        url = endpoint + "/federation"
        return answers.text(self._transport.post_form(url, region, form, deadline=FEDERATION_DEADLINE), "SigninToken")

    @told("CreateToken")
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
            access_token=answers.text(answer, "accessToken"),
            expires_at=self._end_of(answer, "expiresIn"),
            refresh_token=answers.optional_text(answer, "refreshToken"),
        )

    def _list(
        self, operation: str, session: SsoSession, request: dict[str, Any], next_token: str | None, meaning: Meaning
    ) -> Answer:
        request |= {"maxResults": PAGE_SIZE} | ({} if next_token is None else {"nextToken": next_token})
        return self._transport.call(
            "sso", session.region, operation, request, deadline=self._call_deadline, meaning=meaning
        )

    def _oidc(self, region: str, operation: str, request: dict[str, Any]) -> Answer:
        return self._transport.call("sso-oidc", region, operation, request, deadline=self._call_deadline)

    def _end_of(self, answer: Answer, key: str) -> datetime:
        seconds = answers.number(answer, key)
        if seconds <= 0:
            raise Unavailable(f"{answer.place} answered with something that has already expired ({key})")
        try:
            return documents.moment_after(self._clock.now(), seconds)
        except documents.MalformedDocument as error:
            raise Unavailable(f"{answer.place} answered with {error}") from None


def _keys(credentials: RoleCredentials) -> dict[str, str]:
    return {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
        "aws_session_token": credentials.session_token,
    }


def _of_role(role: Role) -> Meaning:
    """What the portal means by a refusal of the role."""

    def meaning(refusal: Refusal) -> CredhelperError | None:
        if refusal.status not in {403, 404}:
            return None
        other = "" if role.session.name is None else f", or log in as another user: {_login_anew(role.session.name)}"
        return RoleNotAssigned(
            f"role {safe(role.role_name)} in account {safe(role.account_id)} is not assigned to you"
            f" in session {safe(role.session.label)} ({refusal.reason})",
            hint=f"ask whoever administers IAM Identity Center to assign it{other}",
        )

    return meaning


def _of_session(session: SsoSession) -> Meaning:
    """What the portal means by refusing the list of accounts: the login was not asked for with this in mind."""

    def meaning(refusal: Refusal) -> CredhelperError | None:
        if refusal.status != 403:
            return None
        return AccessRefused(
            f"the login to session {safe(session.label)} gives no access to accounts ({refusal.reason})",
            hint="put sso_registration_scopes = sso:account:access into its section, then log in anew with --force",
        )

    return meaning


def _of_account(session: SsoSession, account_id: str) -> Meaning:
    """What the portal means by refusing the list of an account's roles."""
    selector = "" if session.name is None else " --sso-session " + shlex.quote(session.name)

    def meaning(refusal: Refusal) -> CredhelperError | None:
        if refusal.status not in {403, 404}:
            return None
        return RoleNotAssigned(
            f"no role in account {safe(account_id)} is assigned to you in session {safe(session.label)}"
            f" ({refusal.reason})",
            hint="credhelper accounts" + selector,
        )

    return meaning


def _of_chained_role(role: ChainedRole) -> Meaning:
    """What STS means by a refusal of the role: the same reason may have causes that only its sentence tells."""
    arn, source = safe(role.role_arn), f"{safe(role.source.role_name)} in {safe(role.source.account_id)}"

    def meaning(refusal: Refusal) -> CredhelperError | None:
        if refusal.reason == "AccessDenied" and "MultiFactorAuthentication" in refusal.message:
            return MfaRefused(
                f"AWS does not take the code of the MFA device {safe(role.mfa_serial or '')} for {arn}: it is wrong,"
                " was used before, or the device is not the caller's",
                hint="wait for the next code, and look at mfa_serial",
            )
        if refusal.reason in {"AccessDenied", "AccessDeniedException"}:
            return AssumeRoleDenied(
                f"the role {source} may not assume {arn} ({refusal.reason})",
                hint="its trust policy must allow that, with the external id, source identity, tags and MFA device of"
                " the profile, and so must the source's own policies (sts:AssumeRole)",
            )
        if refusal.reason == "ValidationError" and "DurationSeconds" in refusal.message:
            return _too_long(role, arn, is_of_chaining="role chaining" in refusal.message)
        return None

    return meaning


def _too_long(role: ChainedRole, arn: str, *, is_of_chaining: bool) -> ConfigError:
    why = (
        f"with another role's credentials AWS lets nobody have a role for more than {ASSUMED_ROLE_SECONDS} s"
        if is_of_chaining
        else "it is more than the role's own maximum session duration"
    )
    return ConfigError(
        f"duration_seconds = {role.duration_seconds} of {arn} is refused: {why}",
        hint=f"set duration_seconds to {ASSUMED_ROLE_SECONDS} or less in its profile, or leave it out",
    )


def _next_token(answer: Answer) -> str | None:
    found = answers.optional_text(answer, "nextToken")
    if found is not None and len(found) > LONGEST_NEXT_TOKEN:
        raise answers.not_aws(answer, "nextToken")
    return found


def _account(found: Answer) -> Account:
    account_id = answers.text(found, "accountId")
    if not _ACCOUNT_ID.fullmatch(account_id):
        raise answers.not_aws(found, "accountId")
    name, email = (answers.optional_text(found, key) or "" for key in ("accountName", "emailAddress"))
    return Account(account_id, name[:LONGEST_NAME], email[:LONGEST_NAME])


def _role_name(found: Answer, account_id: str) -> str:
    if found.get("accountId") not in {None, account_id}:
        raise answers.not_aws(found, "accountId")
    return answers.text(found, "roleName")


def _interval(answer: Answer) -> float:
    """Seconds between two polls; 0 is an answer too. One that no clock can count is as good as none."""
    if answer.get("interval") is None:
        return DEFAULT_POLLING_INTERVAL
    interval = answers.number(answer, "interval")
    return float(interval) if 0 <= interval <= LONGEST_POLLING_INTERVAL else DEFAULT_POLLING_INTERVAL


def _login_anew(session: str) -> str:
    return f"credhelper login --force --sso-session {shlex.quote(session)}"
