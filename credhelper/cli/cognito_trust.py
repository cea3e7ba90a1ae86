"""``credhelper cognito trust-policy`` and ``lint``: who may assume an identity pool's role, written and checked."""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from credhelper.cli import options, speech
from credhelper.cli.pools import admin
from credhelper.domain.errors import ConfigError, DoneInPart, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:  # `credhelper --help` knows the commands without them
    from credhelper.identity_pools.findings import Finding
    from credhelper.identity_pools.policy_language import Policy
    from credhelper.identity_pools.pool_facts import MappedClaim, Pool, PoolRoles, Tags
    from credhelper.identity_pools.trust_policies import Kind

Value = TypeVar("Value")

_FILES = ("pool", "pool_roles", "principal_tags", "app_client", "guest_policy", "user_policy")
_OF_TRUST_ALONE = ("role_arn", "account_id", *_FILES)


def add(parts: options.Commands) -> None:
    """Adds the commands to ``cognito``'s."""
    _add_trust_policy(parts)
    _add_lint(parts)


def _add_trust_policy(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "trust-policy",
        help="print the trust policy for a role of identity pools",
        description="Prints the policy that says who may assume an identity pool's role: its guests, or its signed-in"
        " users. The principal follows the pool's region.",
    )
    parser.add_argument(
        "--identity-pool-id", metavar="ID", nargs="+", action="extend", required=True, help="the pool, or several"
    )
    _add_kind(parser, required=True)
    parser.add_argument(
        "--provider",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="let in only who has signed in with this identity provider, such as graph.facebook.com",
    )
    parser.add_argument(
        "--identity-id", metavar="ID", nargs="+", action="extend", default=[], help="let in only this identity"
    )
    parser.add_argument(
        "--tag-session", action="store_true", help="allow sts:TagSession, which principal tags of the pool need"
    )
    parser.set_defaults(run=run_trust_policy)


def _add_lint(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "lint",
        help="check a policy of an identity pool's role",
        description="Checks a policy document: a trust policy against the pool and the people whose role it is. What"
        " the AWS CLI says of the pool makes further rules possible; each of its answers is a file, and - is standard"
        " input. Asks AWS nothing, unless --admin-profile has it read a live role, its policies and its pool. Exit"
        " status 8 when there is an error.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="the policy (- for standard input)")
    parser.add_argument(
        "--identity-pool-id", metavar="ID", action="append", default=[], help="the pool; may be given several times"
    )
    _add_kind(parser, required=False)
    parser.add_argument("--role-arn", metavar="ARN", help="the role's own ARN; with --admin-profile, the role to read")
    admin.add(parser, required=False)
    parser.add_argument("--account-id", metavar="ID", help="the pool's account: is the role in it? (with --role-arn)")
    parser.add_argument(
        "--flow", choices=("enhanced", "basic"), default="enhanced", help="how credentials are asked for (enhanced)"
    )
    answers = parser.add_argument_group("what AWS says of the pool, as the AWS CLI prints it")
    for option, command in (
        ("--pool", "cognito-identity describe-identity-pool"),
        ("--pool-roles", "cognito-identity get-identity-pool-roles"),
        ("--principal-tags", "cognito-identity get-principal-tag-attribute-map"),
        ("--app-client", "cognito-idp describe-user-pool-client"),
    ):
        answers.add_argument(option, metavar="FILE", help=f"aws {command}")
    roles = parser.add_argument_group("what the pool's roles may do: guests are to have no more than users")
    roles.add_argument("--guest-policy", metavar="FILE", action="append", default=[], help="of the guests' role")
    roles.add_argument("--user-policy", metavar="FILE", action="append", default=[], help="of the signed-in users'")
    options.add_json(parser)
    parser.set_defaults(run=run_lint)


def _add_kind(parser: argparse.ArgumentParser, *, required: bool) -> None:
    kinds = parser.add_mutually_exclusive_group(required=required)
    kinds.add_argument("--guest", action="store_true", help="the role is for guests")
    kinds.add_argument("--authenticated", action="store_true", help="the role is for signed-in users")


def run_trust_policy(args: argparse.Namespace) -> int:
    """Prints the document, and beside it what should be known of it."""
    from credhelper.identity_pools import trust_policies
    from credhelper.identity_pools.trust_policies import Trust

    kind = _kind(args)
    document = trust_policies.document(
        Trust(args.identity_pool_id, kind, args.provider, args.identity_id, tags_session=args.tag_session)
    )
    speech.result(json.dumps(document, indent=2))
    for remark in _remarks(args, json.dumps(document, separators=(",", ":"))):
        speech.note(remark)
    return 0


def _remarks(args: argparse.Namespace, written: str) -> Iterator[str]:
    from credhelper.identity_pools import pools, trust_policies

    if pools.is_issuer_only(pools.provider_of(args.identity_pool_id)):
        yield "AWS names this principal as the issuer of the region's tokens, and shows no trust policy with it."
    if args.guest and args.identity_id:
        yield "A guest is another identity on each device, and after a sign-in."
    if len(written) > trust_policies.LONGEST:
        longest = trust_policies.LONGEST
        yield f"IAM takes {longest} characters unless the account's quota is raised, and these are {len(written)}."


def run_lint(args: argparse.Namespace) -> int:
    """Checks, and prints what was found; the exit status says whether there is an error."""
    from credhelper.cli import cognito_findings, policy_files
    from credhelper.identity_pools import findings, policy_language

    if args.admin_profile is not None:
        return _run_live_lint(args)
    if args.file is None:
        raise UsageError("name the policy's file, or a live role with --role-arn and --admin-profile")
    policy = policy_language.parse(*policy_files.read(args.file))
    found = _of_trust(policy, args) if policy.is_trust_policy else _of_access(policy, args)
    return cognito_findings.tell(findings.in_order(found), as_json=args.json)


def _run_live_lint(args: argparse.Namespace) -> int:
    from credhelper.cli import cognito_findings
    from credhelper.cli.pools import live
    from credhelper.identity_pools import findings

    if args.file is not None or not args.role_arn:
        raise UsageError("--admin-profile reads the role that --role-arn names, and no file")
    for option in (*_FILES, "account_id"):
        if getattr(args, option):
            raise UsageError(f"--{option.replace('_', '-')} is read from AWS with --admin-profile")
    found, partly = live.lint(args)
    status = cognito_findings.tell(findings.in_order(found), as_json=args.json)
    partly.tell()
    return DoneInPart.status if partly.unread else status


def _of_trust(policy: "Policy", args: argparse.Namespace) -> "Iterator[Finding]":
    from credhelper.identity_pools import trust_lint
    from credhelper.identity_pools.trust_reading import Subject

    if not args.identity_pool_id or not (args.guest or args.authenticated):
        raise UsageError("a trust policy is checked with --identity-pool-id, and --guest or --authenticated")
    beyond = _Beyond(args)
    subject = Subject(
        args.identity_pool_id,
        _kind(args),
        allows_guests=beyond.pool.allows_guests if beyond.pool else None,
        has_tags=beyond.tags is not None and beyond.tags.is_on,
    )
    yield from trust_lint.lint(policy, subject)
    yield from beyond.findings(subject.kind)


def _of_access(policy: "Policy", args: argparse.Namespace) -> "list[Finding]":
    from credhelper.identity_pools import access_lint

    for option in _OF_TRUST_ALONE:
        if getattr(args, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is for trust policies, and {safe(policy.name)} says what a role may do"
            )
    return access_lint.lint(policy, _kind(args) if args.guest or args.authenticated else None)


class _Beyond:
    """What the command line says of the pool and its roles. Each part that is there brings its rules.

    Raises UsageError and ConfigError.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        from credhelper.identity_pools import pool_facts

        self._args = args
        self.pool: Pool | None = _read(args.pool, pool_facts.pool)
        self.roles: PoolRoles | None = _read(args.pool_roles, pool_facts.pool_roles)
        self.tags: Tags | None = _read(args.principal_tags, pool_facts.tags)
        self._writable: frozenset[str] | None = _read(args.app_client, pool_facts.writable_attributes)
        self._refuse_other_pool()
        self._refuse_halves()

    def findings(self, kind: "Kind") -> "Iterator[Finding]":
        """What is found beyond the trust policy."""
        from credhelper.identity_pools import pool_lint

        args = self._args
        if args.account_id:
            yield from pool_lint.account(args.account_id, args.role_arn, args.flow)
        if self.pool is not None:
            yield from pool_lint.classic_flow(self.pool)
        if self.roles is not None and args.role_arn:
            yield from pool_lint.default_roles(self.roles, args.role_arn, kind)
        if self._writable is not None:
            yield from pool_lint.claims(self._claims(), self._writable)
        if args.guest_policy:
            yield from pool_lint.breadth(_access_policies(args.guest_policy), _access_policies(args.user_policy))

    def _claims(self) -> "list[MappedClaim]":
        return [*(self.roles.claims if self.roles else ()), *(self.tags.claims if self.tags else ())]

    def _refuse_other_pool(self) -> None:
        if self.pool is not None and self.pool.pool_id not in self._args.identity_pool_id:
            raise UsageError(f"--pool describes {safe(self.pool.pool_id)}, which no --identity-pool-id names")

    def _refuse_halves(self) -> None:
        from credhelper.identity_pools import pool_lint

        args = self._args
        if args.role_arn is not None and pool_lint.account_of(args.role_arn) is None:
            raise UsageError(f"--role-arn: “{safe(args.role_arn)}” is not a role's ARN")
        if args.account_id is not None:
            if not (args.account_id.isascii() and args.account_id.isdigit() and len(args.account_id) == 12):
                raise UsageError(f"--account-id: “{safe(args.account_id)}” is not 12 digits")
            if args.role_arn is None:
                raise UsageError("--account-id is compared with the account in --role-arn, which is missing")
        if bool(args.guest_policy) != bool(args.user_policy):
            raise UsageError("--guest-policy and --user-policy are compared with each other, and go together")
        if args.app_client is not None and self.roles is None and self.tags is None:
            raise UsageError("--app-client goes with --pool-roles or --principal-tags, which name the claims")


def _read(path: str | None, understand: Callable[[Mapping[str, Any]], Value]) -> Value | None:
    """What a file with an answer of AWS says. Raises UsageError and ConfigError."""
    from credhelper.cli import policy_files

    if path is None:
        return None
    answer, name = policy_files.answer(path)
    try:
        return understand(answer)
    except ConfigError as error:
        raise ConfigError(f"{safe(name)}: {error.message}") from None


def _access_policies(paths: list[str]) -> "list[Policy]":
    from credhelper.cli import policy_files
    from credhelper.identity_pools import policy_language

    return [policy_language.parse_access_policy(*policy_files.read(path)) for path in paths]


def _kind(args: argparse.Namespace) -> "Kind":
    from credhelper.identity_pools.trust_policies import Kind

    return Kind.GUEST if args.guest else Kind.AUTHENTICATED
