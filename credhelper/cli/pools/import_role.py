"""``credhelper cognito import-role``: the role that logs the import of users into a user pool."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from credhelper.cli import options, speech
from credhelper.cli.pools import admin, agreement, commands
from credhelper.domain.errors import ConfigError, CredhelperError, DoneInPart, UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import import_roles, scope_down
from credhelper.identity_pools.import_roles import ImportRole

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

Json = dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Prints the documents, or creates the role once the person agrees."""
    region = _region(args)
    if args.print:
        if not args.account_id:
            raise UsageError("--print asks AWS nothing: --account-id says whose role it is")
        options.refuse_unless_account(args.account_id)
        wanted = _wanted(args, args.account_id, region)
        speech.result(json.dumps({"trust_policy": wanted.trust(), "policy": wanted.permissions()}, indent=2))
        return 0
    if args.account_id:
        raise UsageError("--account-id goes with --print; else the account is that of --admin-profile")
    if not args.admin_profile:
        raise UsageError("--admin-profile says whose role may create it, or --print prints the documents")
    return create(admin.connect(args), region, args)


def _region(args: argparse.Namespace) -> str:
    if args.user_pool_id:
        region = import_roles.region_of_user_pool(args.user_pool_id)
        if args.region not in {None, region}:
            raise UsageError(f"--region: the user pool is in {region}")
        return region
    if not args.region:
        raise UsageError("--user-pool-id says which user pool the role is for, or --region: any of it")
    scope_down.is_default_region(args.region)  # refuses what is no region's name
    return str(args.region)


def _wanted(args: argparse.Namespace, account_id: str, region: str) -> ImportRole:
    return ImportRole(account_id, region, args.user_pool_id, is_conditional=not args.without_conditions)


def create(asked: "Admin", region: str, args: argparse.Namespace) -> int:
    """The same with an administrator's calls."""
    wanted = _wanted(args, admin.account(asked), region)
    if asked.has_role(region, args.role_name):
        arn = _arn_of_equal(asked, region, args.role_name, wanted)
        _tell(args, arn, is_new=False)
        return 0
    lines = [f"+ {line}" for line in _lines(args, wanted)]
    if not args.json:
        agreement.show(lines)
    if args.diff:
        if args.json:
            speech.result(json.dumps({"role_arn": None, "created": False, "difference": lines}))
        return 0
    if args.without_conditions:
        agreement.warn(["without conditions, Cognito can be made to use the role for another account's user pool."])
    agreement.agree(args, f"Create {args.role_name} in account {asked.account_id}?")
    _tell(args, _make(asked, region, args, wanted), is_new=True)
    return 0


def _lines(args: argparse.Namespace, wanted: ImportRole) -> list[str]:
    about = {"role": args.role_name, "trust_policy": wanted.trust(), "policy": wanted.permissions()}
    return json.dumps(about, indent=2).splitlines()


def _arn_of_equal(asked: "Admin", region: str, name: str, wanted: ImportRole) -> str:
    """The ARN of a role that is there already. Raises ConfigError where it is another one of that name."""
    found = asked.role(region, name)
    is_equal = found.trust == wanted.trust() and [document for _, document in found.policies] == [wanted.permissions()]
    if not is_equal:
        raise ConfigError(
            f"there is a role {name} already, and its policies are others: it was not touched",
            hint="name another one with --role-name, or see what it should be with --print",
        )
    return found.arn


def _make(asked: "Admin", region: str, args: argparse.Namespace, wanted: ImportRole) -> str:
    request: Json = {"RoleName": args.role_name, "AssumeRolePolicyDocument": json.dumps(wanted.trust())}
    if args.description:
        request["Description"] = args.description
    tags = commands.pairs(args.tag, "--tag")
    if tags:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    arn = str(asked.iam(region, "create_role", request)["Role"]["Arn"])
    policy = {"RoleName": args.role_name, "PolicyName": import_roles.POLICY_NAME}
    try:
        asked.iam(region, "put_role_policy", policy | {"PolicyDocument": json.dumps(wanted.permissions())})
    except CredhelperError as error:
        try:
            asked.iam(region, "delete_role", {"RoleName": args.role_name})
        except CredhelperError as other:
            raise DoneInPart(f"{error.message}; role {args.role_name} is still there: {other.message}") from error
        raise
    return arn


def _tell(args: argparse.Namespace, arn: str, *, is_new: bool) -> None:
    if args.json:
        speech.result(json.dumps({"role_arn": arn, "created": is_new}))
        return
    if not is_new:
        speech.note("It is there already, as it should be.")
    speech.result(safe(arn))
