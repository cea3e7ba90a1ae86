"""What the vault keeps, as values and as the documents that are sealed. Whose it is stands in each document."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from credhelper.domain import documents
from credhelper.domain.documents import MalformedDocument
from credhelper.domain.model import (
    AnyRole,
    ChainedRole,
    CognitoLogin,
    Guests,
    LoginMethod,
    PoolFlow,
    PoolRole,
    Role,
    RoleCredentials,
    SignInSource,
    SsoSession,
)

ABOUT_SIGN_IN = "sign-in"

W = TypeVar("W", bound=StrEnum)

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
    account_id: str = ""
    """Whose they are where the role itself does not say it; "": it does."""
    role_name: str = ""
    identity_id: str | None = None


def about_role(role: AnyRole) -> str:
    """What the file of a role's credentials is about, for its name."""
    if isinstance(role, ChainedRole):
        root, chain = _links(role)
        links = json.dumps([_link_object(link) for link in chain])
        return f"{about_role(root)} {hashlib.sha256(links.encode()).hexdigest()}"
    if isinstance(role, PoolRole):
        pool = json.dumps(_pool_object(role))
        return f"pool:{role.pool_id} {hashlib.sha256(pool.encode()).hexdigest()}"
    return f"role:{role.account_id}/{role.role_name}"


def kept_document(kept: Kept) -> bytes:
    """A role's document."""
    credentials = kept.credentials
    root, chain = _links(kept.role)
    document = {
        "session": _session_object(root.session),
        "account_id": root.account_id,
        "role_name": root.role_name,
        "pool": _pool_object(root) if isinstance(root, PoolRole) else None,
        "given": [kept.account_id, kept.role_name, kept.identity_id],
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
    account_id, role_name, identity_id = _given(found)
    return Kept(
        role=_role(found),
        credentials=_credentials(found),
        sign_in=_text(found, "sign_in"),
        last_used_at=None if used is None else _moment(used),
        skew=_seconds(found.get("skew", 0.0)),
        account_id=account_id,
        role_name=role_name,
        identity_id=identity_id,
    )


def sign_in_document(session: SignInSource, sign_in: SignIn) -> bytes:
    """A sign-in's document."""
    document = {
        "session": _session_object(session),
        "sign_in": sign_in.id,
        "access_token_hash": sign_in.access_token_hash,
    }
    return json.dumps(document).encode()


def parse_sign_in(content: bytes) -> tuple[SignInSource, SignIn]:
    """A sign-in's document as it was kept. Raises MalformedDocument."""
    found = documents.parse_object(content)
    return _session(found), SignIn(_text(found, "sign_in"), _text(found, "access_token_hash"))


def _credentials(found: Json) -> RoleCredentials:
    return RoleCredentials(
        access_key_id=_text(found, "access_key_id"),
        secret_access_key=_text(found, "secret_access_key"),
        session_token=_text(found, "session_token"),
        expires_at=_moment(_text(found, "expires_at")),
        obtained_at=_moment(_text(found, "obtained_at")),
    )


def _given(found: Json) -> tuple[str, str, str | None]:
    """Whose the credentials turned out to be. A daemon before identity pools kept only what the role says itself."""
    match found.get("given", ["", "", None]):
        case [str(account_id), str(role_name), str() | None as identity_id]:
            return account_id, role_name, identity_id
        case _:
            raise MalformedDocument("it does not say whose the credentials are")


def _links(role: AnyRole) -> tuple[Role | PoolRole, list[ChainedRole]]:
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
    role: AnyRole = _root(document)
    chain = document.get("chain", [])
    if not isinstance(chain, list) or not all(isinstance(link, dict) for link in chain):
        raise MalformedDocument("chain is not a list of objects")
    for link in chain:
        role = _chained_role(role, link)
    return role


def _root(document: Json) -> Role | PoolRole:
    session = _session(document)
    if isinstance(session, SsoSession):
        return Role(session, _text(document, "account_id"), _text(document, "role_name"))
    pool = document.get("pool")
    if not isinstance(pool, dict):
        raise MalformedDocument("no pool")
    return PoolRole(
        _text(pool, "pool_id"),
        session,
        _word(PoolFlow, pool, "flow"),
        duration_seconds=_optional_number(pool, "duration_seconds"),
        session_policy_arns=_texts(_list(pool, "session_policy_arns")),
        scope_down=pool.get("scope_down") is True,
        custom_role_arn=_optional_text(pool, "custom_role_arn"),
        role_arn=_optional_text(pool, "role_arn"),
        session_policy=_optional_text(pool, "session_policy"),
    )


def _pool_object(role: PoolRole) -> Json:
    """An identity pool's role without its login."""
    return {
        "pool_id": role.pool_id,
        "flow": role.flow.value,
        "duration_seconds": role.duration_seconds,
        "session_policy_arns": list(role.session_policy_arns),
        "scope_down": role.scope_down,
        "custom_role_arn": role.custom_role_arn,
        "role_arn": role.role_arn,
        "session_policy": role.session_policy,
    }


def _chained_role(source: AnyRole, link: Json) -> ChainedRole:
    tags = [_texts(tag) for tag in _list(link, "tags")]
    if any(len(tag) != 2 for tag in tags):
        raise MalformedDocument("a tag is not a key and a value")
    return ChainedRole(
        source,
        _text(link, "role_arn"),
        _text(link, "region"),
        duration_seconds=_optional_number(link, "duration_seconds"),
        tags=tuple((key, value) for key, value in tags),
        transitive_tag_keys=_texts(_list(link, "transitive_tag_keys")),
        **{name: _optional_text(link, name) for name in _OPTIONAL_TEXTS},
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


def _session_object(session: SignInSource) -> Json:
    match session:
        case CognitoLogin():
            return {"kind": "cognito_login"} | _login_object(session)
        case Guests():
            return {"kind": "guests", "pool_id": session.pool_id}
    return {
        "name": session.name,
        "start_url": session.start_url,
        "region": session.region,
        "scopes": None if session.scopes is None else list(session.scopes),
    }


def _login_object(login: CognitoLogin) -> Json:
    return {
        "name": login.name,
        "method": login.method.value,
        "provider": login.provider,
        "user_pool_id": login.user_pool_id,
        "client_id": login.client_id,
        "redirect_ports": list(login.redirect_ports),
        "scopes": list(login.scopes),
        "domain": login.domain,
        "identity_provider": login.identity_provider,
        "username": login.username,
        "token_command": list(login.token_command),
        "client_secret_command": list(login.client_secret_command),
    }


def _login(found: Json) -> CognitoLogin:
    ports = _list(found, "redirect_ports")
    if not all(isinstance(port, int) for port in ports):
        raise MalformedDocument("redirect_ports is no list of numbers")
    return CognitoLogin(
        _text(found, "name"),
        _word(LoginMethod, found, "method"),
        _text(found, "provider"),
        user_pool_id=_optional_text(found, "user_pool_id"),
        client_id=_optional_text(found, "client_id"),
        redirect_ports=tuple(ports),
        scopes=_texts(_list(found, "scopes")),
        domain=_optional_text(found, "domain"),
        identity_provider=_optional_text(found, "identity_provider"),
        username=_optional_text(found, "username"),
        token_command=_texts(_list(found, "token_command")),
        client_secret_command=_texts(_list(found, "client_secret_command")),
    )


def _session(document: Json) -> SignInSource:
    found = document.get("session")
    if not isinstance(found, dict):
        raise MalformedDocument("no session")
    match found.get("kind"):
        case None:
            return _sso_session(found)
        case "cognito_login":
            return _login(found)
        case "guests":
            return Guests(_text(found, "pool_id"))
        case _:
            raise MalformedDocument("a session of an unknown kind")


def _sso_session(found: Json) -> SsoSession:
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


def _optional_text(document: Json, key: str) -> str | None:
    return None if document.get(key) is None else _text(document, key)


def _optional_number(document: Json, key: str) -> int | None:
    value = document.get(key)
    if value is not None and not isinstance(value, int):
        raise MalformedDocument(f"{key} is no number")
    return value


def _word(words: type[W], document: Json, key: str) -> W:
    try:
        return words(_text(document, key))
    except ValueError:
        raise MalformedDocument(f"{key} is an unknown word") from None


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
