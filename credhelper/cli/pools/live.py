"""``cognito lint --role-arn`` and ``explain permissions --live``: the same rules, with IAM asked instead of files."""

import argparse
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from credhelper.cli.pools import admin, reading
from credhelper.domain.errors import CredhelperError, UsageError
from credhelper.identity_pools import policy_language, pool_lint, pools, scope_down, templates
from credhelper.identity_pools.findings import Finding
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.pools import region_of
from credhelper.identity_pools.scope_down import Limit, Snapshot
from credhelper.identity_pools.trust_policies import Kind

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

_REGIONS = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""In which IAM is asked about a partition's roles where no region is named; elsewhere us-east-1."""


@dataclass(frozen=True, slots=True)
class LivePolicies:
    """What ``explain`` looks at, as AWS has it now."""

    role: list[Policy]
    boundary: Policy | None
    limit: Limit | None
    """Guests' session policies, the managed one read from IAM; None where it was not asked for."""


def lint(args: argparse.Namespace) -> "tuple[list[Finding], reading.Partly]":
    """What is wrong with the role that ``--role-arn`` names. Raises UsageError; as ``Admin.call``."""
    if len(args.identity_pool_id) != 1 or not (args.guest or args.authenticated):
        raise UsageError("a live role is checked with one --identity-pool-id, and --guest or --authenticated")
    pools.provider_of(args.identity_pool_id)
    kind = Kind.GUEST if args.guest else Kind.AUTHENTICATED
    return lint_role(admin.connect(args), args.role_arn, args.identity_pool_id[0], kind, args.flow)


def lint_role(
    asked: "Admin", arn: str, pool_id: str, kind: Kind, flow: pool_lint.Flow
) -> "tuple[list[Finding], reading.Partly]":
    """The same with an administrator's calls. What the pool says counts where it can be read."""
    partly = reading.Partly()
    found = reading.role(asked, arn, region_of(pool_id))
    pool = None
    try:
        pool = reading.state(asked, pool_id)
    except CredhelperError as error:
        partly.note(f"pool {pool_id}", error)
    findings = list(reading.check_role(found, pool_id, kind, pool))
    if pool is not None:
        findings += pool_lint.account(asked.account_id, arn, flow) if asked.account_id else ()
        findings += reading.check_settings(asked, pool, arn, kind, partly)
    return findings, partly


def policies(args: argparse.Namespace) -> LivePolicies:
    """The role's policies and the managed session policy. Raises UsageError; as ``Admin.call``."""
    limit = scope_down.limit_of(Snapshot(args.policy_version), args.region)
    is_limited = args.guest and args.flow == "enhanced"
    return read_policies(admin.connect(args), args.role_arn, limit if is_limited else None, region=args.region)


def read_policies(asked: "Admin", arn: str | None, limit: Limit | None, *, region: str | None) -> LivePolicies:
    """The same with an administrator's calls; without a role's ARN there are no policies of a role."""
    where = region or _region_for(arn)
    role: list[Policy] = []
    boundary = None
    if arn is not None:
        found = reading.role(asked, arn, where)
        role = reading.access_policies(found)
        if found.boundary is not None:
            name, document = found.boundary
            boundary = policy_language.parse_access_policy(json.dumps(document, indent=2), name)
    return LivePolicies(role, boundary, limit and _with_live(asked, limit, where))


def _region_for(arn: str | None) -> str:
    """A region of the role's partition: which one does not matter to IAM."""
    partition = arn.split(":")[1] if arn is not None and pool_lint.account_of(arn) else ""
    return _REGIONS.get(partition, "us-east-1")


def _with_live(asked: "Admin", limit: Limit, region: str) -> Limit:
    """The limit with the managed policy as IAM has it; the inline one, which no API tells, stays a dated copy."""
    arn = f"arn:{templates.partition_of(region)}:iam::aws:policy/{scope_down.MANAGED}"
    version, document = asked.managed_policy_version(region, arn)
    live = policy_language.parse_access_policy(json.dumps(document, indent=2), f"{scope_down.MANAGED} {version}")
    both = zip(limit.policies, limit.sources, strict=True)
    kept = [(policy, source) for policy, source in both if not policy.name.startswith(scope_down.MANAGED)]
    return Limit(
        policies=(*(policy for policy, _ in kept), live),
        sources=(*(source for _, source in kept), f"{live.name}: as IAM has it now"),
    )
