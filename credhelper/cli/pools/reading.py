"""What AWS says of a pool, of its roles and of a role, read with an administrator's credentials for who looks at it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from credhelper.cli import speech
from credhelper.domain.errors import AccessRefused, ConfigError, CredhelperError, Refused, UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import access_lint, policy_language, pool_changes, pool_facts, pool_lint, trust_lint
from credhelper.identity_pools.findings import Finding
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.pool_changes import PoolState
from credhelper.identity_pools.pools import region_of
from credhelper.identity_pools.trust_policies import Kind
from credhelper.identity_pools.trust_reading import Subject

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin, LiveRole

Json = dict[str, Any]


@dataclass(slots=True)
class Partly:
    """What could be read, and what could not: a person who may see the pool need not be allowed to see IAM."""

    unread: list[str] = field(default_factory=list)
    """Sentences."""

    def note(self, what: str, error: CredhelperError) -> None:
        """Keeps a refusal of AWS's. Raises the error itself when it is no such thing."""
        if not isinstance(error, AccessRefused | Refused | ConfigError):
            raise error
        self.unread.append(f"{what} cannot be read: {error.message}")

    def tell(self) -> None:
        """Says it on stderr."""
        for sentence in self.unread:
            speech.note(f"credhelper: warning: {safe(sentence, speech.LONGEST_ERROR)}")


def state(admin: "Admin", pool_id: str) -> PoolState:
    """The pool as it is. Raises as ``Admin.call``."""
    answer = admin.pool(pool_id)
    roles = admin.pool_roles(pool_id)
    bare = pool_changes.state_of(answer, roles, {})
    tags = {provider: admin.principal_tags(pool_id, provider) for provider in bare.providers}
    return pool_changes.state_of(answer, roles, tags)


def roles_of(admin: "Admin", pool: PoolState, partly: Partly) -> "dict[str, LiveRole]":
    """By ARN, the pool's default roles and those of its rules, as far as they can be read."""
    found: dict[str, LiveRole] = {}
    for arn in role_arns(pool):
        try:
            found[arn] = role(admin, arn, region_of(pool.pool_id))
        except CredhelperError as error:
            partly.note(f"role {arn}", error)
    return found


def role_arns(pool: PoolState) -> list[str]:
    """Each once, the default ones first."""
    rules = [
        rule.get("RoleARN")
        for mapping in pool.mappings.values()
        for rule in ((mapping.get("RulesConfiguration") or {}).get("Rules") or ())
    ]
    return [arn for arn in dict.fromkeys([*pool.roles.values(), *rules]) if isinstance(arn, str)]


def role(admin: "Admin", arn: str, region: str) -> "LiveRole":
    """A role by its ARN. Raises UsageError for what is no role of the administrator's account; as ``Admin.call``."""
    account = pool_lint.account_of(arn)
    if account is None:
        raise UsageError(f"“{safe(arn)}” is not a role's ARN")
    if admin.account_id and account != admin.account_id:
        raise ConfigError(
            f"{safe(arn)} is in another account than the role of profile “{safe(admin.profile)}”, {admin.account_id}",
            hint="name a profile of that account with --admin-profile",
        )
    return admin.role(region, arn.rpartition("/")[2])


def policy(document: Json, name: str) -> Policy:
    """A document of IAM's as a policy, its lines those of its usual form. Raises ConfigError."""
    return policy_language.parse(json.dumps(document, indent=2), name)


def access_policies(found: "LiveRole") -> list[Policy]:
    """What a role may do. Raises ConfigError."""
    return [
        policy_language.parse_access_policy(json.dumps(document, indent=2), name) for name, document in found.policies
    ]


def check_pool(admin: "Admin", pool: PoolState, roles: "dict[str, LiveRole]", partly: Partly) -> Iterator[Finding]:
    """All that the rules find about a pool and its roles."""
    yield from pool_lint.classic_flow(pool_facts.pool(pool.settings))
    yield from _claims(admin, pool, partly)
    guest_arn, user_arn = (pool.roles.get(kind.value) for kind in (Kind.GUEST, Kind.AUTHENTICATED))
    for arn, found in roles.items():
        kind = Kind.GUEST if arn == guest_arn and arn != user_arn else Kind.AUTHENTICATED
        try:
            yield from check_role(found, pool.pool_id, kind, pool)
        except ConfigError as error:
            partly.note(f"a policy of {arn}", error)
    guests, users = roles.get(guest_arn or ""), roles.get(user_arn or "")
    if guests is not None and users is not None:
        try:
            yield from pool_lint.breadth(access_policies(guests), access_policies(users))
        except ConfigError as error:
            partly.note("a policy of the pool's roles", error)


def check_settings(admin: "Admin", pool: PoolState, role_arn: str, kind: Kind, partly: Partly) -> Iterator[Finding]:
    """What the rules find in the pool's own settings about one of its roles."""
    yield from pool_lint.classic_flow(pool_facts.pool(pool.settings))
    yield from pool_lint.default_roles(pool_facts.pool_roles(_roles_answer(pool)), role_arn, kind)
    yield from _claims(admin, pool, partly)


def check_role(found: "LiveRole", pool_id: str, kind: Kind, pool: PoolState | None) -> Iterator[Finding]:
    """What the rules find about one role, each place beginning with the role's name. Raises ConfigError."""
    trust = policy(found.trust, "trust policy")
    subject = Subject(
        [pool_id],
        kind,
        allows_guests=pool_facts.pool(pool.settings).allows_guests if pool else None,
        has_tags=bool(pool and pool.tags),
    )
    for each in trust_lint.lint(trust, subject):
        yield replace(each, place=f"{found.name}, trust policy: {each.place}")
    for access in access_policies(found):
        for each in access_lint.lint(access, kind):
            yield replace(each, place=f"{found.name}, {access.name}: {each.place}")


def _claims(admin: "Admin", pool: PoolState, partly: Partly) -> Iterator[Finding]:
    """T15, for which each app client is asked what its users may write; only where something depends on claims."""
    mapped = list(pool_facts.pool_roles(_roles_answer(pool)).claims)
    for provider, tags in pool.tags.items():
        mapped += pool_facts.tags(tags | {"IdentityProviderName": provider}).claims
    if not mapped:
        return
    for each in pool.settings.get("CognitoIdentityProviders") or ():
        user_pool = str(each["ProviderName"]).rpartition("/")[2]
        try:
            client = admin.app_client(user_pool, each["ClientId"])
        except CredhelperError as error:
            partly.note(f"app client {each['ClientId']}", error)
        else:
            yield from pool_lint.claims(mapped, pool_facts.writable_attributes(client))


def _roles_answer(pool: PoolState) -> Json:
    return {"IdentityPoolId": pool.pool_id, "Roles": pool.roles, "RoleMappings": pool.mappings}
