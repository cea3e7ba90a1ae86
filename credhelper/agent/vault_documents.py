"""What the vault keeps, as values and as the documents that are sealed. Whose it is stands in each document."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from credhelper.domain import documents
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.model import Role, RoleCredentials, SsoSession

ABOUT_SIGN_IN = "sign-in"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SignIn:
    """The login that credentials belong to: ``id`` stays the same through its refreshes."""

    id: str
    access_token_hash: str
    """SHA-256, in hex, of the access token that is current."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A role's credentials, the id of the sign-in they came from, and when somebody last wanted them.

    ``skew``: how far AWS's clock was ahead of this machine's.
    """

    role: Role
    credentials: RoleCredentials
    sign_in: str
    last_used_at: datetime | None
    skew: timedelta = timedelta()


def about_role(role: Role) -> str:
    """What the file of a role's credentials is about, for its name."""
    return f"role:{role.account_id}/{role.role_name}"


def kept_document(kept: Kept) -> bytes:
    """A role's document."""
    credentials = kept.credentials
    document = {
        "session": _session_object(kept.role.session),
        "account_id": kept.role.account_id,
        "role_name": kept.role.role_name,
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key,
        "session_token": credentials.session_token,
        "expires_at": credentials.expires_at.isoformat(),
        "obtained_at": credentials.obtained_at.isoformat(),
        "sign_in": kept.sign_in,
        "last_used_at": kept.last_used_at.isoformat() if kept.last_used_at else None,
        "skew": kept.skew.total_seconds(),
    }
    return json.dumps(document).encode()


def parse_kept(content: bytes) -> Kept:
    """A role's document as it was kept. Raises MalformedDocument."""
    found = documents.parse_object(content)
    used = found.get("last_used_at")
    return Kept(
        role=Role(_session(found), _text(found, "account_id"), _text(found, "role_name")),
        credentials=RoleCredentials(
            access_key_id=_text(found, "access_key_id"),
            secret_access_key=_text(found, "secret_access_key"),
            session_token=_text(found, "session_token"),
            expires_at=_moment(_text(found, "expires_at")),
            obtained_at=_moment(_text(found, "obtained_at")),
        ),
        sign_in=_text(found, "sign_in"),
        last_used_at=None if used is None else _moment(used),
        skew=_seconds(found.get("skew", 0.0)),
    )


def sign_in_document(session: SsoSession, sign_in: SignIn) -> bytes:
    """A sign-in's document."""
    document = {
        "session": _session_object(session),
        "sign_in": sign_in.id,
        "access_token_hash": sign_in.access_token_hash,
    }
    return json.dumps(document).encode()


def parse_sign_in(content: bytes) -> tuple[SsoSession, SignIn]:
    """A sign-in's document as it was kept. Raises MalformedDocument."""
    found = documents.parse_object(content)
    return _session(found), SignIn(_text(found, "sign_in"), _text(found, "access_token_hash"))


def _session_object(session: SsoSession) -> Json:
    return {
        "name": session.name,
        "start_url": session.start_url,
        "region": session.region,
        "scopes": None if session.scopes is None else list(session.scopes),
    }


def _session(document: Json) -> SsoSession:
    found = document.get("session")
    if not isinstance(found, dict):
        raise MalformedDocument("no session")
    name = None if found.get("name") is None else _text(found, "name")
    scopes = found.get("scopes")
    if scopes is not None and not (isinstance(scopes, list) and all(isinstance(scope, str) for scope in scopes)):
        raise MalformedDocument("scopes is not a list of text")
    start_url, region = _text(found, "start_url"), _text(found, "region")
    return SsoSession(name, start_url, region, None if scopes is None else tuple(scopes))


def _text(document: Json, key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise MalformedDocument(f"no {key}")
    return value


def _seconds(number: object) -> timedelta:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise MalformedDocument("skew is no number")
    try:
        return timedelta(seconds=number)
    except (ValueError, OverflowError):
        raise MalformedDocument("skew is outside the calendar") from None


def _moment(text: object) -> datetime:
    """A time as ``isoformat`` wrote it, to the microsecond."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise MalformedDocument("a time is not one")
    return moment
