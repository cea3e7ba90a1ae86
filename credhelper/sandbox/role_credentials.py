"""Role credentials: temporary AWS keys for one person in one role of one account, by the portal or by STS."""

import base64
import hashlib
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from credhelper.identity_pools.policy_language import Policy
from credhelper.sandbox.directory import IamRole, Role
from credhelper.sandbox.lifetimes import Lifetimes

_KEY_ID_LETTERS = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class RoleCredentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: float
    person: str
    account_id: str
    role_name: str
    assumed: "Assumed | None" = None
    """What AssumeRole was asked for, where these came by it: role chaining."""

    @property
    def session_name(self) -> str:
        """Identity Center names a session by the person."""
        return self.person if self.assumed is None else self.assumed.session_name

    @property
    def arn(self) -> str:
        return f"arn:aws:sts::{self.account_id}:assumed-role/{self._iam_role_name}/{self.session_name}"

    @property
    def user_id(self) -> str:
        """The role's unique id and the session name, as STS reports it."""
        unique = hashlib.sha256(self._iam_role_name.encode() + self.account_id.encode()).hexdigest().upper()
        return f"AROA{unique[:17]}:{self.session_name}"

    @property
    def _iam_role_name(self) -> str:
        """Identity Center makes one IAM role per permission set and account, with 16 hex digits behind it."""
        if self.assumed is not None:
            return self.role_name
        suffix = hashlib.sha256(f"{self.account_id}/{self.role_name}".encode()).hexdigest()[:16]
        return f"AWSReservedSSO_{self.role_name}_{suffix}"


@dataclass(frozen=True)
class Assumed:
    """A session that AssumeRole began. Of the tags, the transitive ones and the source identity go on with it."""

    session_name: str
    source_identity: str | None
    tags: Mapping[str, str]
    transitive_tag_keys: frozenset[str]
    session_policies: tuple[Policy, ...] | None = None
    """What these credentials can do at most, whatever the role may; None: no more bounds than the role's."""


class IssuedCredentials:
    def __init__(self, clock: Callable[[], float], lifetimes: Lifetimes) -> None:
        self._clock = clock
        self._lifetimes = lifetimes
        self._by_key_id: dict[str, RoleCredentials] = {}

    def issue(self, person: str, account_id: str, role: Role) -> RoleCredentials:
        """New keys with every call, as the portal does."""
        seconds = self._lifetimes.role_credentials if role.session_seconds is None else role.session_seconds
        return self._issue(seconds, person, account_id, role.name, None)

    def issue_assumed(self, caller: RoleCredentials, role: IamRole, seconds: int, assumed: Assumed) -> RoleCredentials:
        """For whoever `caller` belongs to; they may outlive the caller's."""
        return self._issue(seconds, caller.person, role.account_id, role.name, assumed)

    def issue_web(
        self, identity_id: str, account_id: str, role_name: str, seconds: int, assumed: Assumed
    ) -> RoleCredentials:
        """For an identity of an identity pool."""
        return self._issue(seconds, identity_id, account_id, role_name, assumed)

    def _issue(
        self, seconds: int, person: str, account_id: str, role_name: str, assumed: Assumed | None
    ) -> RoleCredentials:
        credentials = RoleCredentials(
            access_key_id="ASIA" + "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(16)),
            secret_access_key=_random_base64(30),
            session_token="IQoJb3JpZ2luX2Vj" + _random_base64(480),
            expires_at=self._clock() + seconds,
            person=person,
            account_id=account_id,
            role_name=role_name,
            assumed=assumed,
        )
        self._by_key_id[credentials.access_key_id] = credentials
        return credentials

    def find(self, access_key_id: str) -> RoleCredentials | None:
        return self._by_key_id.get(access_key_id)

    def have_expired(self, credentials: RoleCredentials) -> bool:
        return self._clock() >= credentials.expires_at


def _random_base64(octets: int) -> str:
    """Like AWS's own secrets it holds `/` and `+`, which callers must not trip over."""
    return base64.b64encode(secrets.token_bytes(octets)).decode("ascii")
