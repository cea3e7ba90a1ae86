"""``credhelper cognito pool create``: a pool, the two roles that trust it, and a profile that uses them.

What was made is taken back when a later step fails: pools' names are not unique, so that a second try would leave two.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from credhelper.cli import policy_files, speech
from credhelper.cli.pools import admin, agreement, commands, profile_text
from credhelper.domain.errors import AccessRefused, CredhelperError, DoneInPart, Refused, UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import (
    access_lint,
    import_roles,
    policy_language,
    pool_changes,
    pool_facts,
    pool_lint,
    scope_down,
    trust_policies,
)
from credhelper.identity_pools.findings import Finding, in_order
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.pool_changes import Wishes
from credhelper.identity_pools.trust_policies import Kind, Trust

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

POLICY_NAME = "Access"
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_PEOPLE = {Kind.AUTHENTICATED: "users", Kind.GUEST: "guests"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be made, checked before anything is."""

    region: str
    pool: Json
    """CreateIdentityPool's request."""
    role_names: dict[Kind, str]
    policies: dict[Kind, Policy | None]
    texts: dict[Kind, str]
    """The documents of ``policies``, as they were written."""
    tags: dict[str, str]
    profile: str

    @property
    def allows_guests(self) -> bool:
        """Whether guests are let in."""
        return bool(self.pool["AllowUnauthenticatedIdentities"])

    def lines(self) -> Iterator[str]:
        """What is to be made, as the additions of a difference."""
        for title, document in (("identity pool", self.pool), *self._roles()):
            yield f"+ {title}"
            yield from (f"+   {line}" for line in json.dumps(document, indent=2).splitlines())

    def findings(self) -> list[Finding]:
        """What is wrong with it, the trust policies aside, which are ours."""
        found = [*pool_lint.classic_flow(pool_facts.pool(self.pool | {"IdentityPoolId": ""}))]
        for kind, policy in self.policies.items():
            found += access_lint.lint(policy, kind) if policy else []
        guests, users = self.policies[Kind.GUEST], self.policies[Kind.AUTHENTICATED]
        if guests is not None:
            found += pool_lint.breadth([guests], [users] if users else [])
        return in_order(found)

    def trust(self, kind: Kind, pool_id: str) -> Json:
        """The trust policy of a role of the pool's."""
        return trust_policies.document(Trust([pool_id], kind))

    def _roles(self) -> Iterator[tuple[str, Json]]:
        for kind, name in self.role_names.items():
            policy = json.loads(self.texts[kind]) if kind in self.texts else "none: it may do nothing"
            yield f"role {name} of {kind.people}, which this pool alone may give", {"policy": policy}


@dataclass(slots=True)
class Made:
    """What there is already, and how each of it is taken back."""

    undo: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    def take_back(self) -> list[str]:
        """Undoes it from the end; what stays, in words."""
        left = []
        for what, call in reversed(self.undo):
            try:
                call()
            except CredhelperError as error:
                left.append(f"{what} ({error.message})")
        return left


def run(args: argparse.Namespace) -> int:
    """Creates them once the person agrees."""
    plan = plan_of(args)
    return create(admin.connect(args), plan, args)


def plan_of(args: argparse.Namespace) -> Plan:
    """What the command line asks for. Raises UsageError and ConfigError."""
    if bool(args.user_pool_id) != bool(args.client_id):
        raise UsageError("--user-pool-id and --client-id go together")
    providers = list(args.add_provider)
    if args.user_pool_id:
        import_roles.region_of_user_pool(args.user_pool_id)
        providers.insert(0, f"{args.user_pool_id}:{args.client_id}")
    if not (providers or args.guests or args.developer_provider):
        raise UsageError("nobody could use the pool: name --user-pool-id and --client-id, --add-provider or --guests")
    wishes = Wishes(
        allows_guests=args.guests,
        classic_flow=args.classic_flow,
        server_side_token_check=True if args.server_side_token_check else None,
        developer_provider=args.developer_provider,
        add_providers=providers,
        pool_tags=commands.pairs(args.tag, "--tag"),
    )
    names = {Kind.AUTHENTICATED: args.user_role_name, Kind.GUEST: args.guest_role_name}
    documents = _documents(args)
    return Plan(
        region=_region(args),
        pool=pool_changes.new_pool(args.name, wishes),
        role_names={kind: _role_name(args.name, kind, names[kind]) for kind in names},
        policies={kind: found and found[0] for kind, found in documents.items()},
        texts={kind: found[1] for kind, found in documents.items() if found},
        tags=dict(wishes.pool_tags),
        profile=profile_text.name_of(args.profile_name, args.name),
    )


def _region(args: argparse.Namespace) -> str:
    region: str | None = args.region
    if region is None:
        if not args.user_pool_id:
            raise UsageError("--region says where the pool is to be")
        return import_roles.region_of_user_pool(args.user_pool_id)
    scope_down.is_default_region(region)  # refuses what is no region's name
    return region


def _role_name(pool: str, kind: Kind, given: str | None) -> str:
    name = given or f"Cognito-{profile_text.plain_name(pool)[:48]}-{_PEOPLE[kind]}"
    if not _ROLE_NAME.fullmatch(name):
        raise UsageError(f"“{safe(name)}” is not a role's name: at most 64 letters, digits and _+=,.@-")
    return name


def _documents(args: argparse.Namespace) -> dict[Kind, tuple[Policy, str] | None]:
    paths = {Kind.AUTHENTICATED: args.user_policy, Kind.GUEST: args.guest_policy}
    if args.user_policy == args.guest_policy == policy_files.STDIN:
        raise UsageError("standard input can be read once only")
    found: dict[Kind, tuple[Policy, str] | None] = {}
    for kind, path in paths.items():
        if path is None:
            found[kind] = None
            continue
        content, name = policy_files.read(path)
        policy = policy_language.parse_access_policy(content, name)
        found[kind] = policy, json.dumps(json.loads(content.decode("utf-8-sig")))
    return found


def create(asked: "Admin", plan: Plan, args: argparse.Namespace) -> int:
    """The same with an administrator's calls."""
    for name in plan.role_names.values():
        if asked.has_role(plan.region, name):
            raise UsageError(
                f"there is a role {name} already", hint="name others with --user-role-name and --guest-role-name"
            )
    # What may fail without harm comes before what is made.
    ways = _ways(asked, args)
    profile_text.process_line(plan.profile)
    _show(plan, as_json=args.json)
    if args.diff:
        if args.json:
            speech.result(json.dumps({"identity_pool_id": None, "difference": list(plan.lines())}))
        return 0
    agreement.agree(args, f"Create them in account {asked.account_id or 'of the profile'}, {plan.region}?")
    pool_id, roles = _make(asked, plan)
    text = profile_text.write(plan, pool_id, ways, args)
    if args.json:
        about = {"identity_pool_id": pool_id, "roles": {kind.value: arn for kind, arn in roles.items()}}
        speech.result(json.dumps(about | {"profile": text.profiles, "cognito_login": text.login}))
    else:
        speech.note(f"Created {pool_id}.")
        speech.result(text.shown())
    for remark in text.remarks:
        speech.note(remark)
    if not plan.texts:
        speech.note(
            "The roles may do nothing yet: credhelper cognito policy --list shows what can be written for them."
        )
    return 0


def _show(plan: Plan, *, as_json: bool) -> None:
    if not as_json:
        agreement.show(plan.lines())
    found = plan.findings()
    if found:
        speech.note("credhelper: warning: what `credhelper cognito lint` says of it:")
    for each in found:
        speech.note(f"  {each.level} {each.rule}  {safe(each.place)}: {safe(each.reason)}")


def _ways(asked: "Admin", args: argparse.Namespace) -> Json | None:
    """The app client, which says how people can sign in with it; None where that cannot be known."""
    if not args.user_pool_id:
        return None
    try:
        return asked.app_client(args.user_pool_id, args.client_id)
    except (AccessRefused, Refused) as error:
        speech.note(f"credhelper: warning: how to sign in is a guess: {safe(error.message)}")
        return None


def _make(asked: "Admin", plan: Plan) -> tuple[str, dict[Kind, str]]:
    """Makes all of it. Raises the error of the first step that fails, and DoneInPart where something had to stay."""
    made = Made()
    try:
        return _steps(asked, plan, made)
    except (CredhelperError, KeyboardInterrupt) as error:
        left = made.take_back()
        if not left:
            if made.undo:
                speech.note("What had been made was taken back.")
            raise
        why = error.message if isinstance(error, CredhelperError) else "interrupted"
        raise DoneInPart(f"{why}; what had been made is still there: {'; '.join(left)}") from error


def _steps(asked: "Admin", plan: Plan, made: Made) -> tuple[str, dict[Kind, str]]:
    answer = asked.call("cognito-identity", plan.region, "create_identity_pool", plan.pool)
    pool_id = str(answer["IdentityPoolId"])
    made.undo.append((f"identity pool {pool_id}", lambda: asked.of_pools(pool_id, "delete_identity_pool")))
    roles = {kind: _make_role(asked, plan, kind, pool_id, made) for kind in plan.role_names}
    asked.of_pools(pool_id, "set_identity_pool_roles", {"Roles": {kind.value: arn for kind, arn in roles.items()}})
    return pool_id, roles


def _make_role(asked: "Admin", plan: Plan, kind: Kind, pool_id: str, made: Made) -> str:
    name = plan.role_names[kind]
    request: Json = {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps(plan.trust(kind, pool_id)),
        "Description": f"For {kind.people} of identity pool {pool_id}",
    }
    if plan.tags:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in plan.tags.items()]
    arn = str(asked.iam(plan.region, "create_role", request)["Role"]["Arn"])
    made.undo.append((f"role {name}", lambda: asked.iam(plan.region, "delete_role", {"RoleName": name})))
    if kind in plan.texts:
        policy = {"RoleName": name, "PolicyName": POLICY_NAME}
        asked.iam(plan.region, "put_role_policy", policy | {"PolicyDocument": plan.texts[kind]})
        made.undo.append((f"the policy of {name}", lambda: asked.iam(plan.region, "delete_role_policy", policy)))
    return arn
