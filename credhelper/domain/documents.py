"""The documents AWS's tools exchange, to the letter: token and registration files, ``credential_process`` output.

Formats as the AWS CLI v2 and botocore write and read them (``awscli/botocore/utils.py``, ``botocore/tokens.py``).
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from credhelper.domain.model import Registration, Role, RoleCredentials, SsoSession, Token


class MalformedDocument(ValueError):
    """A document that is not what it should be; the message says how, never what it contained."""


def timestamp(moment: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SSZ``, the one form every SDK reads."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"  # strftime takes thrice as long


def parse_timestamp(text: object) -> datetime:
    """Any form some SDK writes: ``Z``, an offset, fractions, the old ``UTC`` suffix; without a zone it is UTC.

    Fractions are dropped, as ``timestamp`` does: what is written and read back is equal. Raises MalformedDocument.
    """
    if not isinstance(text, str):
        raise MalformedDocument("a time is not text")
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix("UTC"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise MalformedDocument("a time is not of the form YYYY-MM-DDTHH:MM:SSZ") from None


def token_file_name(session: SsoSession) -> str:
    """The token's file in the cache directory: the hash of the session's name, or of a legacy start URL as written."""
    return _sha1(session.cache_key) + ".json"


def registration_file_name(session: SsoSession) -> str:
    """The registration's file in the same directory; both flows of a session share it, as in the AWS CLI."""
    key = {
        "region": session.region,
        "scopes": None if session.scopes is None else list(session.scopes),
        "session_name": session.name,
        "startUrl": session.start_url,
        "tool": "botocore",
    }
    return _sha1(json.dumps(key, sort_keys=True)) + ".json"


def role_cache_file_name(role: Role) -> str:
    """The file in ``~/.aws/cli/cache`` where the AWS CLI keeps the credentials of this role."""
    key = {"accountId": role.account_id, "roleName": role.role_name}
    key |= {"startUrl": role.session.start_url} if role.session.name is None else {"sessionName": role.session.name}
    return _sha1(json.dumps(key, sort_keys=True, separators=(",", ":"))) + ".json"


def assume_role_cache_file_name(profile: Mapping[str, str]) -> str:
    """The file in ``~/.aws/cli/cache`` where the AWS CLI keeps what AssumeRole gave for a profile with these keys."""
    # Session names that were made up are left out; its JSON has spaces here, unlike a role's above.
    parameters = {
        "RoleArn": "role_arn",
        "RoleSessionName": "role_session_name",
        "ExternalId": "external_id",
        "SerialNumber": "mfa_serial",
    }
    key: dict[str, object] = {name: profile[ours] for name, ours in parameters.items() if ours in profile}
    with contextlib.suppress(KeyError, ValueError):  # the AWS CLI ignores a duration that is no number
        key["DurationSeconds"] = int(profile["duration_seconds"])
    return _sha1(json.dumps(key, sort_keys=True)) + ".json"


def _sha1(text: str) -> str:
    # A file name that AWS's tools agree on, not a protection.
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def parse_object(content: bytes) -> dict[str, Any]:
    """The JSON object in ``content``. Raises MalformedDocument; no message repeats content."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise MalformedDocument("not JSON" if content.strip() else "empty") from None
    if not isinstance(found, dict):
        raise MalformedDocument("not a JSON object")
    return found


def parse_token(content: bytes) -> Token:
    """A token file's content. Raises MalformedDocument; what only a refresh needs may be missing or unusable."""
    document = parse_object(content)
    access_token = _text(document, "accessToken")
    if not (access_token.isascii() and access_token.isprintable()):
        raise MalformedDocument("accessToken cannot be sent in a header")
    return Token(
        access_token=access_token,
        expires_at=parse_timestamp(document.get("expiresAt")),
        start_url=_optional_text(document, "startUrl"),
        region=_optional_text(document, "region"),
        refresh_token=_optional_text(document, "refreshToken"),
        client_id=_optional_text(document, "clientId"),
        client_secret=_optional_text(document, "clientSecret"),
        registration_expires_at=_optional_timestamp(document, "registrationExpiresAt"),
    )


def token_document(token: Token) -> bytes:
    """A token file's content, its fields in the AWS CLI's order."""
    document = {
        "startUrl": token.start_url,
        "region": token.region,
        "accessToken": token.access_token,
        "expiresAt": timestamp(token.expires_at),
        "clientId": token.client_id,
        "clientSecret": token.client_secret,
        "registrationExpiresAt": token.registration_expires_at and timestamp(token.registration_expires_at),
        "refreshToken": token.refresh_token,
    }
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


def parse_registration(content: bytes) -> Registration:
    """A registration file's content. Raises MalformedDocument."""
    document = parse_object(content)
    return Registration(
        client_id=_text(document, "clientId"),
        client_secret=_text(document, "clientSecret"),
        expires_at=parse_timestamp(document.get("expiresAt")),
        scopes=_texts(document, "scopes"),
        grant_types=_texts(document, "grantTypes") or (),
    )


def registration_document(registration: Registration) -> bytes:
    """A registration file's content, its fields in the AWS CLI's order."""
    document: dict[str, object] = {
        "clientId": registration.client_id,
        "clientSecret": registration.client_secret,
        "expiresAt": timestamp(registration.expires_at),
    }
    if registration.scopes is not None:
        document["scopes"] = list(registration.scopes)
    if registration.grant_types:
        document["grantTypes"] = list(registration.grant_types)
    return json.dumps(document).encode()


def process_document(credentials: RoleCredentials, account_id: str) -> str:
    """What a ``credential_process`` prints, on one line (AWS SDKs reference guide, process credential provider)."""
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": timestamp(credentials.expires_at),
            "AccountId": account_id,
        }
    )


def container_document(credentials: RoleCredentials, account_id: str) -> bytes:
    """What a container credentials endpoint answers (AWS SDKs reference guide, container credential provider)."""
    document = {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": timestamp(credentials.expires_at),
        "AccountId": account_id,
    }
    return json.dumps(document).encode()


def moment_from_epoch(seconds: float) -> datetime:
    """An epoch time of an AWS answer as a moment. Raises MalformedDocument when it is outside the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise MalformedDocument("a time outside the calendar") from None


def moment_after(now: datetime, seconds: float) -> datetime:
    """``now`` plus a lifetime from an AWS answer, in whole seconds. Raises MalformedDocument when it is absurd."""
    try:
        return (now + timedelta(seconds=seconds)).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise MalformedDocument("a lifetime outside the calendar") from None


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedDocument(f"no {key}")
    return value


def _optional_text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _optional_timestamp(document: Mapping[str, Any], key: str) -> datetime | None:
    try:
        return parse_timestamp(document.get(key))
    except MalformedDocument:
        return None


def _texts(document: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MalformedDocument(f"{key} is not a list of text")
    return tuple(value)
