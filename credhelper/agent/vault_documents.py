"""What the vault keeps, as values and as the documents that are sealed. Whose it is stands in each document."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from credhelper.domain import documents
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.model import AnyRole, ChainedRole, Role, RoleCredentials, SsoSession

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

    role: AnyRole
    credentials: RoleCredentials
    sign_in: str
    last_used_at: datetime | None
    skew: timedelta = timedelta()


def about_role(role: AnyRole) -> str:
    """What the file of a role's credentials is about, for its name."""
    if isinstance(role, ChainedRole):
        root, chain = _links(role)
        links = json.dumps([_link_object(link) for link in chain])
        return f"{about_role(root)} {hashlib.sha256(links.encode()).hexdigest()}"
    return f"role:{role.account_id}/{role.role_name}"


def kept_document(kept: Kept) -> bytes:
    """A role's document."""
    credentials = kept.credentials
    root, chain = _links(kept.role)
    document = {
        "session": _session_object(root.session),
        "account_id": root.account_id,
        "role_name": root.role_name,
        "chain": [_link_object(link) for link in chain],
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
        role=_role(found),
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


def _links(role: AnyRole) -> tuple[Role, list[ChainedRole]]:
    """The role at the bottom of a chain, and those that are assumed one after the other from there."""
    chain: list[ChainedRole] = []
    while isinstance(role, ChainedRole):
        chain.insert(0, role)
        role = role.source
    return role, chain


_OPTIONAL_TEXTS = ("role_session_name", "external_id", "source_identity", "mfa_serial")


def _link_object(role: ChainedRole) -> Json:
    """A chained role without its source."""
    return {
        "role_arn": role.role_arn,
        "region": role.region,
        "duration_seconds": role.duration_seconds,
        "tags": [list(tag) for tag in role.tags],
        "transitive_tag_keys": list(role.transitive_tag_keys),
        **{name: getattr(role, name) for name in _OPTIONAL_TEXTS},
    }


def _role(document: Json) -> AnyRole:
    role: AnyRole = Role(_session(document), _text(document, "account_id"), _text(document, "role_name"))
    chain = document.get("chain", [])
    if not isinstance(chain, list) or not all(isinstance(link, dict) for link in chain):
        raise MalformedDocument("chain is not a list of objects")
    for link in chain:
        role = _chained_role(role, link)
    return role


def _chained_role(source: AnyRole, link: Json) -> ChainedRole:
    seconds = link.get("duration_seconds")
    if seconds is not None and not isinstance(seconds, int):
        raise MalformedDocument("duration_seconds is no number")
    tags = [_texts(tag) for tag in _list(link, "tags")]
    if any(len(tag) != 2 for tag in tags):
        raise MalformedDocument("a tag is not a key and a value")
    return ChainedRole(
        source,
        _text(link, "role_arn"),
        _text(link, "region"),
        duration_seconds=seconds,
        tags=tuple((key, value) for key, value in tags),
        transitive_tag_keys=_texts(_list(link, "transitive_tag_keys")),
        **{name: None if link.get(name) is None else _text(link, name) for name in _OPTIONAL_TEXTS},
    )


def _list(document: Json, key: str) -> list[Any]:
    found = document.get(key)
    if not isinstance(found, list):
        raise MalformedDocument(f"{key} is no list")
    return found


def _texts(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise MalformedDocument("no list of text")
    return tuple(found)


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
