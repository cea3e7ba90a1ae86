"""The options of ``credhelper cognito pool``, ``identities`` and ``import-role``. What they do is imported then."""

import argparse
import importlib

from credhelper.cli import options
from credhelper.cli.pools import admin, agreement
from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

ON_OFF = ("on", "off")


def add(parts: options.Commands) -> None:
    """Adds the commands to ``cognito``'s."""
    _add_pool(parts)
    _add_identities(parts)
    _add_import_role(parts)


def pool_id_of(args: argparse.Namespace) -> str:
    """``--identity-pool-id``. Raises UsageError for what is none."""
    from credhelper.identity_pools import pools

    pool_id: str = args.identity_pool_id
    if not pools.is_id(pool_id):
        raise UsageError(f"--identity-pool-id: “{safe(pool_id)}” is not {pools.A_POOL_ID}")
    return pool_id


def _run(module: str, function: str = "run") -> options.Handler:
    """What runs a function of one of this package's modules, and imports it then."""

    def run(args: argparse.Namespace) -> int:
        handler: options.Handler = getattr(importlib.import_module(f"credhelper.cli.pools.{module}"), function)
        return handler(args)

    return run


def _add_pool(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "pool",
        help="show, create, change or delete an identity pool",
        description="Shows, creates, changes and deletes identity pools with the role of --admin-profile, such as one"
        " of IAM Identity Center. The calls go where the daemon's go: its endpoints and proxies count.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_show(commands)
    _add_create(commands)
    _add_update(commands)
    _add_delete(commands)


def _add_show(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "show",
        help="show a pool, its roles and what is wrong with them",
        description="Shows a pool: who may sign in, the roles and rules, the principal tags; and checks the trust"
        " policies and permissions of its roles. Exit status 8 when there is an error, or a part could not be read.",
    )
    _add_pool_id(parser)
    admin.add(parser)
    options.add_json(parser)
    parser.set_defaults(run=_run("show"))


def _add_create(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "create",
        help="create a pool for a user pool's users, with its roles",
        description="Creates an identity pool, a role for signed-in users and one for guests that trust this pool"
        " alone, and connects them; prints a profile that uses it. The roles may do nothing but what --user-policy and"
        " --guest-policy say (credhelper cognito policy writes such documents). What was made is taken back when a"
        " later step fails.",
    )
    parser.add_argument("--name", metavar="NAME", required=True, help="the pool's name")
    parser.add_argument("--user-pool-id", metavar="ID", help="the user pool whose users sign in")
    parser.add_argument("--client-id", metavar="ID", help="with --user-pool-id: the app client they sign in with")
    _add_provider(parser)
    parser.add_argument("--region", metavar="REGION", help="the pool's region (else the user pool's)")
    parser.add_argument("--guests", action="store_true", help="let in guests too, who have not signed in")
    parser.add_argument(
        "--classic-flow", action="store_true", help="allow the basic (classic) flow; guests then escape the scope-down"
    )
    parser.add_argument(
        "--server-side-token-check", action="store_true", help="ask the user pool whether its user still exists"
    )
    parser.add_argument("--developer-provider", metavar="NAME", help="the name of a login of your own, for ever")
    _add_tags(parser, "of the pool and of its roles")
    roles = parser.add_argument_group("the roles")
    roles.add_argument("--user-policy", metavar="FILE", help="what signed-in users may do (- for standard input)")
    roles.add_argument("--guest-policy", metavar="FILE", help="what guests may do")
    roles.add_argument("--user-role-name", metavar="NAME", help="(else made of the pool's name)")
    roles.add_argument("--guest-role-name", metavar="NAME", help="(else made of the pool's name)")
    parser.add_argument("--profile-name", metavar="NAME", help="of the profile to print (else made of the pool's name)")
    admin.add(parser)
    agreement.add_options(parser)
    parser.set_defaults(run=_run("create"))


def _add_update(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "update",
        help="change a pool, and leave all else as it is",
        description="Changes what is named, and keeps everything else of the pool: AWS's own operations replace all"
        " of it. Shows the difference and asks; where somebody else changes the pool meanwhile, nothing is written.",
    )
    _add_pool_id(parser)
    parser.add_argument("--name", metavar="NAME", help="another name")
    parser.add_argument("--guests", choices=ON_OFF, help="whether guests are let in")
    parser.add_argument("--classic-flow", choices=ON_OFF, help="whether the basic (classic) flow is allowed")
    parser.add_argument(
        "--server-side-token-check", choices=ON_OFF, help="whether the user pools are asked if their users still exist"
    )
    parser.add_argument("--developer-provider", metavar="NAME", help="the name of a login of your own, for ever")
    _add_provider(parser)
    parser.add_argument(
        "--remove-provider", metavar="PROVIDER", action="append", default=[], help="take out what was added so"
    )
    _add_tags(parser, "of the pool")
    parser.add_argument("--remove-tag", metavar="KEY", action="append", default=[], help="take a tag off the pool")
    roles = parser.add_argument_group("its roles")
    roles.add_argument("--authenticated-role", metavar="ARN", help="the default role of signed-in users")
    roles.add_argument("--guest-role", metavar="ARN", help="the role of guests")
    roles.add_argument(
        "--role-mapping",
        metavar="PROVIDER=FILE",
        action="append",
        default=[],
        help="how a provider's users get roles: Type, AmbiguousRoleResolution and RulesConfiguration, as JSON; a user"
        " pool's is PROVIDER:CLIENT-ID",
    )
    roles.add_argument(
        "--remove-role-mapping", metavar="PROVIDER", action="append", default=[], help="back to the default role"
    )
    tags = parser.add_argument_group("principal tags")
    tags.add_argument(
        "--principal-tags",
        metavar="PROVIDER=FILE",
        action="append",
        default=[],
        help="the tags of a provider's users: a JSON object from tag to claim",
    )
    tags.add_argument(
        "--default-principal-tags", metavar="PROVIDER", action="append", default=[], help="its sub and aud as tags"
    )
    tags.add_argument(
        "--remove-principal-tags", metavar="PROVIDER", action="append", default=[], help="no tags for its users"
    )
    admin.add(parser)
    agreement.add_options(parser)
    parser.set_defaults(run=_run("update"))


def _add_delete(commands: options.Commands) -> None:
    parser = commands.add_parser(
        "delete",
        help="delete a pool, and with it the identities of all its users",
        description="Deletes a pool for good, once its name has been typed out. Says how many identities go with it,"
        " and which profiles here use it; what is kept here of its identities goes too. Its roles stay.",
    )
    _add_pool_id(parser)
    parser.add_argument("--pool-name", metavar="NAME", help="the pool's name typed out, instead of on the terminal")
    admin.add(parser)
    options.add_json(parser)
    parser.set_defaults(run=_run("delete"))


def _add_identities(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "identities",
        help="list, show or delete the identities of a pool",
        description="Lists, shows and deletes the identities that a pool has given to guests and users.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list", help="list them", description="Lists a pool's identities, and with which providers each has signed in."
    )
    _add_pool_id(listing)
    listing.add_argument("--max-items", metavar="N", type=int, default=1000, help="at most so many (1000)")
    listing.add_argument("--starting-token", metavar="TOKEN", help="go on behind an earlier listing")
    admin.add(listing)
    options.add_json(listing)
    listing.set_defaults(run=_run("identities", "run_list"))
    show = commands.add_parser("show", help="show one", description="Shows an identity.")
    show.add_argument("--identity-id", metavar="ID", required=True, help="the identity")
    admin.add(show)
    options.add_json(show)
    show.set_defaults(run=_run("identities", "run_show"))
    delete = commands.add_parser(
        "delete",
        help="delete some",
        description="Deletes identities for good: whoever comes back gets another one, and what is stored under the"
        " old id is nobody's. Exit status 8 when AWS has left some, which are listed.",
    )
    delete.add_argument(
        "--identity-id", metavar="ID", nargs="+", action="extend", required=True, help="the identities, of one region"
    )
    admin.add(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    options.add_json(delete)
    delete.set_defaults(run=_run("identities", "run_delete"))


def _add_import_role(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "import-role",
        help="create the role that logs the import of users into a user pool",
        description="Creates the role with which Cognito writes the log of a user import to CloudWatch Logs. It trusts"
        " Cognito for this account's user pool alone. A role that is there already and equal is left as it is; one that"
        " is different is not touched.",
    )
    parser.add_argument("--user-pool-id", metavar="ID", help="the user pool (else any of the account in --region)")
    parser.add_argument("--region", metavar="REGION", help="the region, without --user-pool-id")
    parser.add_argument("--role-name", metavar="NAME", default="CognitoUserImportLogs", help="(CognitoUserImportLogs)")
    parser.add_argument("--description", metavar="TEXT", help="the role's description")
    _add_tags(parser, "of the role")
    parser.add_argument(
        "--without-conditions",
        action="store_true",
        help="trust Cognito whoever has it assume the role, as the developer guide's example does",
    )
    parser.add_argument(
        "--print", action="store_true", help="print the two documents, and ask AWS nothing (with --account-id)"
    )
    parser.add_argument("--account-id", metavar="ID", help="with --print: the account")
    admin.add(parser, required=False)
    agreement.add_options(parser)
    parser.set_defaults(run=_run("import_role"))


def _add_pool_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--identity-pool-id", metavar="ID", required=True, help="the pool")


def _add_provider(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--add-provider",
        metavar="PROVIDER",
        action="append",
        default=[],
        help="who else may sign in: USER-POOL-ID:CLIENT-ID, the ARN of an OIDC or SAML provider, or NAME=APP-ID such as"
        " graph.facebook.com=1234",
    )


def _add_tags(parser: argparse.ArgumentParser, whose: str) -> None:
    parser.add_argument("--tag", metavar="KEY=VALUE", action="append", default=[], help=f"a tag {whose}")


def pairs(words: list[str], option: str) -> dict[str, str]:
    """What is left and right of the first ``=`` of each. Raises UsageError."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(
                f"{option}: “{safe(word)}” is not of the form {'KEY=VALUE' if option == '--tag' else 'PROVIDER=FILE'}"
            )
        found[key] = value
    return found
