"""Identity pools, user pools and IAM roles, read and changed with an administrator's credentials.

The border to the signed half of Cognito: which calls there are, and what their refusals mean. Everything blocks. The
requests hold no secrets, so that AWS's own sentences may be repeated here, made safe to show.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from credhelper.aws.transport import UNSENT, Refusal, Transport
from credhelper.domain.errors import AccessRefused, CredhelperError, LoginRequired, Refused, Unavailable, UsageError
from credhelper.domain.text import safe

SECONDS = 20.0
"""For one call."""
MOST_IDENTITIES = 60
"""In one call of ListIdentities and of DeleteIdentities."""

ABSENT = frozenset({"NoSuchEntity", "NoSuchEntityException", "ResourceNotFoundException"})
"""What AWS calls it when there is no such thing."""
CONCURRENT = frozenset({"ConcurrentModificationException", "ConcurrentModification"})
"""Somebody else is changing the same thing at this moment."""
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorizedException", "UnauthorizedOperation"})
_OVER = frozenset({"ExpiredToken", "ExpiredTokenException"})
_LONGEST = 300  # characters of AWS's own sentences

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LiveRole:
    """A role as IAM has it."""

    arn: str
    trust: Json
    policies: tuple[tuple[str, Json], ...]
    """Its access policies: what people call each, and the document."""
    boundary: tuple[str, Json] | None
    """Its permissions boundary, in the same way."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Without its path."""
        return self.arn.rpartition("/")[2]


class Admin:
    """One administrator's calls. ``keys`` are botocore's arguments for a client that signs."""

    def __init__(self, transport: Transport, keys: Mapping[str, str], *, profile: str, account_id: str) -> None:
        self._transport = transport
        self._keys = keys
        self.profile = profile
        self.account_id = account_id

    def __repr__(self) -> str:
        return f"Admin(profile={self.profile!r})"

    def partition(self, region: str) -> str:
        """As ``Transport.partition``."""
        return self._transport.partition(region)

    def call(self, service: str, region: str, operation: str, request: Mapping[str, Any]) -> Json:
        """One call; the answer without what is said of the call itself.

        Raises UsageError for what AWS would not take, AccessRefused, LoginRequired, Refused with AWS's name of the
        error, Throttled, Unavailable, ConfigError.
        """
        try:
            answer = self._transport.call(
                service,
                region,
                operation,
                request,
                deadline=SECONDS,
                keys=self._keys,
                meaning=lambda refusal: self._meaning(service, operation, refusal),
            )
        except Refused as error:
            if error.reason == UNSENT:
                raise UsageError(error.message) from None
            raise
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def _meaning(self, service: str, operation: str, refusal: Refusal) -> Exception:
        action = f"{service}:{''.join(map(str.capitalize, operation.split('_')))}"
        said = f": {safe(refusal.message, _LONGEST)}" if refusal.message else ""
        profile = safe(self.profile)
        if refusal.reason in _DENIED:
            return AccessRefused(
                f"{action} is not allowed to the role of profile “{profile}”{said}",
                hint=f"allow {action} to that role, or name another profile with --admin-profile",
            )
        if refusal.reason in _OVER:
            return LoginRequired(
                f"AWS calls the credentials of profile “{profile}” expired",
                hint=f"credhelper login --profile {profile}",
            )
        return Refused(f"{action} was refused, {refusal.reason}{said}", reason=refusal.reason)

    # Identity pools. A pool's region is in its id.

    def of_pools(self, pool_id: str, operation: str, request: Mapping[str, Any] | None = None) -> Json:
        """A call about one pool, whose id the request gets. Raises as ``call``."""
        wanted = {"IdentityPoolId": pool_id} | dict(request or {})
        return self.call("cognito-identity", _region(pool_id), operation, wanted)

    def pool(self, pool_id: str) -> Json:
        """DescribeIdentityPool. Raises as ``call``."""
        return self.of_pools(pool_id, "describe_identity_pool")

    def pool_roles(self, pool_id: str) -> Json:
        """GetIdentityPoolRoles: ``Roles`` and ``RoleMappings``, both there. Raises as ``call``."""
        found = self.of_pools(pool_id, "get_identity_pool_roles")
        return {"IdentityPoolId": pool_id, "Roles": {}, "RoleMappings": {}} | found

    def principal_tags(self, pool_id: str, provider: str) -> Json | None:
        """GetPrincipalTagAttributeMap; None where nothing was ever set for the provider. Raises as ``call``."""
        try:
            found = self.of_pools(pool_id, "get_principal_tag_attribute_map", {"IdentityProviderName": provider})
        except Refused as error:
            if error.reason in ABSENT:
                return None
            raise
        return {"IdentityProviderName": provider, "UseDefaults": False, "PrincipalTags": {}} | found

    def identities(self, pool_id: str, size: int, after: str | None = None) -> tuple[list[Json], str | None]:
        """One page of ListIdentities, of at most ``size``, and the token of the next. Raises as ``call``."""
        request: Json = {"MaxResults": min(size, MOST_IDENTITIES)} | ({} if after is None else {"NextToken": after})
        found = self.of_pools(pool_id, "list_identities", request)
        return found.get("Identities") or [], found.get("NextToken") or None

    def identity(self, identity_id: str) -> Json:
        """DescribeIdentity. Raises as ``call``."""
        return self.call("cognito-identity", _region(identity_id), "describe_identity", {"IdentityId": identity_id})

    def delete_identities(self, identity_ids: Sequence[str]) -> dict[str, str]:
        """DeleteIdentities, of at most MOST_IDENTITIES of one region: those left, with AWS's word for why.

        Raises as ``call``.
        """
        request = {"IdentityIdsToDelete": list(identity_ids)}
        found = self.call("cognito-identity", _region(identity_ids[0]), "delete_identities", request)
        left = found.get("UnprocessedIdentityIds") or []
        return {str(each.get("IdentityId")): str(each.get("ErrorCode") or "unknown") for each in left}

    # User pools.

    def app_client(self, user_pool_id: str, client_id: str) -> Json:
        """DescribeUserPoolClient, with whether it has a secret and without the secret itself. Raises as ``call``."""
        region = user_pool_id.partition("_")[0]
        request = {"UserPoolId": user_pool_id, "ClientId": client_id}
        found: Json = dict(self.call("cognito-idp", region, "describe_user_pool_client", request)["UserPoolClient"])
        has_secret = found.pop("ClientSecret", None) is not None
        return {"UserPoolClient": found, "HasSecret": has_secret}

    # IAM, which is one for all regions of a partition; ``region`` says which partition.

    def iam(self, region: str, operation: str, request: Mapping[str, Any]) -> Json:
        """A call of IAM's. Raises as ``call``."""
        return self.call("iam", region, operation, request)

    def has_role(self, region: str, name: str) -> bool:
        """Whether there is a role of that name. Raises as ``call``."""
        try:
            self.iam(region, "get_role", {"RoleName": name})
        except Refused as error:
            if error.reason in ABSENT:
                return False
            raise
        return True

    def role(self, region: str, name: str) -> LiveRole:
        """The role with all of its policies. Raises as ``call``."""
        found = self.iam(region, "get_role", {"RoleName": name})["Role"]
        boundary = (found.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
        return LiveRole(
            arn=str(found["Arn"]),
            trust=_document(found.get("AssumeRolePolicyDocument"), f"the trust policy of {name}"),
            policies=(*self._inline(region, name), *self._attached(region, name)),
            boundary=None if boundary is None else (str(boundary), self.managed_policy(region, boundary)),
            tags={str(tag["Key"]): str(tag["Value"]) for tag in found.get("Tags") or ()},
        )

    def managed_policy(self, region: str, arn: str) -> Json:
        """The version of a managed policy that is in force. Raises as ``call``."""
        return self.managed_policy_version(region, arn)[1]

    def managed_policy_version(self, region: str, arn: str) -> tuple[str, Json]:
        """The same, with the version's name, such as ``v4``. Raises as ``call``."""
        version = self.iam(region, "get_policy", {"PolicyArn": arn})["Policy"]["DefaultVersionId"]
        found = self.iam(region, "get_policy_version", {"PolicyArn": arn, "VersionId": version})
        return str(version), _document(found["PolicyVersion"].get("Document"), arn)

    def _inline(self, region: str, name: str) -> Iterator[tuple[str, Json]]:
        for page in self._pages(region, "list_role_policies", {"RoleName": name}):
            for policy in page.get("PolicyNames") or ():
                found = self.iam(region, "get_role_policy", {"RoleName": name, "PolicyName": policy})
                yield str(policy), _document(found.get("PolicyDocument"), str(policy))

    def _attached(self, region: str, name: str) -> Iterator[tuple[str, Json]]:
        for page in self._pages(region, "list_attached_role_policies", {"RoleName": name}):
            for policy in page.get("AttachedPolicies") or ():
                yield str(policy["PolicyArn"]), self.managed_policy(region, policy["PolicyArn"])

    def _pages(self, region: str, operation: str, request: Json) -> Iterator[Json]:
        after: Json = {}
        while True:
            page = self.iam(region, operation, request | after)
            yield page
            if not page.get("IsTruncated") or not page.get("Marker"):
                return
            after = {"Marker": page["Marker"]}


def is_absent(error: CredhelperError) -> bool:
    """Whether AWS said that there is no such thing."""
    return isinstance(error, Refused) and error.reason in ABSENT


def is_concurrent(error: CredhelperError) -> bool:
    """Whether AWS said that somebody else is changing it."""
    return isinstance(error, Refused) and error.reason in CONCURRENT


def _region(known_id: str) -> str:
    """The region that the id of a pool or an identity begins with."""
    return known_id.partition(":")[0]


def _document(found: object, name: str) -> Json:
    """A policy document, which botocore has decoded. Raises Unavailable for what is none."""
    if not isinstance(found, dict):
        raise Unavailable(f"AWS's answer has no policy document for {safe(name)}")
    return found
