"""The rules that look beyond a trust policy, to the pool and its roles: T9 by ARN, T11, T12, T14 and T15."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from credhelper.identity_pools import patterns
from credhelper.identity_pools.findings import Finding
from credhelper.identity_pools.policy_language import Policy, Statement
from credhelper.identity_pools.pool_facts import MappedClaim, Pool, PoolRoles
from credhelper.identity_pools.trust_policies import Kind

Flow = Literal["enhanced", "basic"]

_ROLE_ARN = re.compile(r"arn:[a-z0-9-]+:iam::(?P<account>\d{12}):role/[!-~]+")


def account_of(role_arn: str) -> str | None:
    """The account in a role's ARN, None where it is not one."""
    found = _ROLE_ARN.fullmatch(role_arn)
    return found and found["account"]


def account(pool_account: str, role_arn: str, flow: Flow) -> Iterator[Finding]:
    """T11: Cognito itself assumes roles of its own account only."""
    theirs = account_of(role_arn)
    if flow == "enhanced" and theirs != pool_account:
        reason = f"the role is in account {theirs}, the pool in {pool_account}: the enhanced flow cannot assume it"
        yield Finding("T11", "error", "the role's ARN", reason, "a role of the pool's account, or the basic flow")


def classic_flow(pool: Pool) -> Iterator[Finding]:
    """T12: where guests may call STS themselves, Cognito's scope-down is theirs to leave out."""
    if not pool.allows_guests or pool.classic_flow == "off":
        return
    how = "is on" if pool.classic_flow == "on" else "is not set, which counts as on"
    reason = (
        f"the basic (classic) flow {how}: guests can take any role that trusts the pool to STS, without the scope-down"
    )
    fix = "AllowClassicFlow false: credhelper cognito pool update --classic-flow off, which leaves all else as it is"
    yield Finding("T12", "error", "the pool's AllowClassicFlow", reason, fix)


def default_roles(roles: PoolRoles, role_arn: str, kind: Kind) -> Iterator[Finding]:
    """T9: the pool's own word on whose role it is."""
    other = roles.guest if kind is Kind.AUTHENTICATED else roles.authenticated
    if role_arn == other and role_arn != (roles.authenticated if kind is Kind.AUTHENTICATED else roles.guest):
        place = f"Roles.{'unauthenticated' if kind is Kind.AUTHENTICATED else 'authenticated'} of the pool"
        whose = "guests'" if kind is Kind.AUTHENTICATED else "signed-in users'"
        reason = f"the pool has this as its {whose} role, and its trust policy is checked as the other's"
        yield Finding("T9", "error", place, reason, "another role there, or the other of --guest and --authenticated")


def claims(mapped: Sequence[MappedClaim], writable: frozenset[str]) -> Iterator[Finding]:
    """T15: what users may write about themselves must not decide what they may do."""
    for each in mapped:
        if each.claim in writable:
            reason = f"users of the app client can change {each.claim} themselves, and it gives {each.gives}"
            yield Finding("T15", "warning", each.place, reason, f"{each.claim} out of the app client's WriteAttributes")


def breadth(guests: Sequence[Policy], users: Sequence[Policy]) -> Iterator[Finding]:
    """T14: guests are allowed nothing that signed-in users are not. Denies are left out of the comparison."""
    allowed = [statement for policy in users for statement in policy.statements if statement.is_allow]
    for policy in guests:
        for statement in policy.statements:
            beyond = _beyond(statement, allowed) if statement.is_allow else None
            if beyond is not None:
                reason = f"guests are allowed {beyond}, and no statement allows signed-in users as much"
                fix = "less for guests, or the same for signed-in users"
                yield Finding("T14", "warning", f"{policy.name}: {statement.place}", reason, fix)


def _beyond(statement: Statement, allowed: Sequence[Statement]) -> str | None:
    """What a statement allows that none of the others does as a whole."""
    if statement.is_not_action or statement.is_not_resource:
        is_there = any(_asks_the_same(statement, each) for each in allowed)
        return None if is_there else "everything but a list"
    for action in statement.actions:
        for resource in statement.resources:
            if not any(_covers(each, action, resource, statement) for each in allowed):
                return f"{action} on {resource}"
    return None


def _asks_the_same(one: Statement, other: Statement) -> bool:
    return (
        (one.is_not_action, set(one.actions)) == (other.is_not_action, set(other.actions))
        and (one.is_not_resource, set(one.resources)) == (other.is_not_resource, set(other.resources))
        and _asks_no_more(other, one)
    )


def _covers(wide: Statement, action: str, resource: str, narrow: Statement) -> bool:
    if wide.is_not_action or wide.is_not_resource:
        return False
    return (
        any(patterns.covers(patterns.action(each), patterns.action(action)) for each in wide.actions)
        and any(patterns.covers(patterns.wild(each), patterns.wild(resource)) for each in wide.resources)
        and _asks_no_more(wide, narrow)
    )


def _asks_no_more(wide: Statement, narrow: Statement) -> bool:
    """Whether every condition of the one is a condition of the other."""
    theirs = {(each.written_operator, each.key.lower(), frozenset(each.values)) for each in narrow.conditions}
    return all((each.written_operator, each.key.lower(), frozenset(each.values)) in theirs for each in wide.conditions)
