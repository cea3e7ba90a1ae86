"""Two pools, a login and what Cognito and STS say about them, for the tests of whoever asks."""

from datetime import UTC, datetime
from typing import Any

from credhelper.domain.model import CognitoLogin, CognitoTokens, Guests, LoginMethod, PoolFlow, PoolRole
from tests.aws.recorded import Recorded, Said, json_ok, xml_ok

POOL = "us-east-1:11111111-1111-4111-8111-111111111111"
IDENTITY = "us-east-1:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
OTHER_IDENTITY = "us-east-1:bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
PROVIDER = "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"
ARN = "arn:aws:iam::210987654321:role/team/Reports"
ID_TOKEN = "CANARY-id-token"
END = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
"""An hour after the clock's beginning."""

LOGIN = CognitoLogin("notes", LoginMethod.BROWSER, PROVIDER, "us-east-1_AbCdEf123", "client")
TOKENS = CognitoTokens(ID_TOKEN, END, PROVIDER, f"https://{PROVIDER}", "sub-1")
GUEST = PoolRole(POOL, Guests(POOL))
USER = PoolRole(POOL, LOGIN)


def basic(role: PoolRole, **more: Any) -> PoolRole:
    """The same with the basic flow."""
    return PoolRole(role.pool_id, role.login, PoolFlow.BASIC, role_arn=ARN, **more)


def tokens_of(role: PoolRole) -> CognitoTokens | None:
    """What goes with a role."""
    return None if role.is_guest else TOKENS


def identity(identity_id: str = IDENTITY) -> Said:
    """GetId's answer."""
    return json_ok(IdentityId=identity_id)


def credentials(identity_id: str = IDENTITY, **changes: Any) -> Said:
    """GetCredentialsForIdentity's answer."""
    found = {
        "AccessKeyId": "ASIAPOOL",
        "SecretKey": "CANARY-secret-key",
        "SessionToken": "CANARY-session-token",
        "Expiration": END.timestamp(),
    }
    return json_ok(IdentityId=identity_id, Credentials=found | changes)


def open_id_token(identity_id: str = IDENTITY) -> Said:
    """GetOpenIdToken's answer."""
    return json_ok(IdentityId=identity_id, Token="CANARY-open-id-token")


def assumed() -> Said:
    """AssumeRoleWithWebIdentity's answer."""
    return xml_ok(
        "AssumeRoleWithWebIdentity",
        "<Credentials><AccessKeyId>ASIASTS</AccessKeyId><SecretAccessKey>CANARY-secret</SecretAccessKey>"
        "<SessionToken>CANARY-token</SessionToken><Expiration>2026-06-01T10:00:00Z</Expiration></Credentials>"
        f"<SubjectFromWebIdentityToken>{IDENTITY}</SubjectFromWebIdentityToken>",
    )


def caller(arn: str = "arn:aws:sts::111122223333:assumed-role/Kiosk/CognitoIdentityCredentials") -> Said:
    """GetCallerIdentity's answer."""
    return xml_ok(
        "GetCallerIdentity",
        f"<Arn>{arn}</Arn><UserId>AROA:CognitoIdentityCredentials</UserId><Account>{arn.split(':')[4]}</Account>",
    )


def all_is_well(recorded: Recorded) -> None:
    """Every operation has a good answer."""
    recorded.says("GetId", identity())
    recorded.says("GetCredentialsForIdentity", credentials())
    recorded.says("GetOpenIdToken", open_id_token())
    recorded.says("AssumeRoleWithWebIdentity", assumed())
    recorded.says("GetCallerIdentity", caller())
