"""``credhelper cognito explain permissions``: may they do it, and if not, who says no."""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from credhelper.cli import cognito_role, options, speech
from credhelper.cli.pools import admin
from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:  # `credhelper cognito --help` knows the command without them
    from credhelper.identity_pools.dead_statements import ActionState, StatementState
    from credhelper.identity_pools.evaluation import Doubt, Verdict
    from credhelper.identity_pools.policy_language import Policy
    from credhelper.identity_pools.scope_down import Explanation, Limit
    from credhelper.identity_pools.trust_policies import Kind

_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+", re.ASCII)
_COLOURS = {"alive": "green", "partly": "yellow", "dead": "red"}
_MOST_NAMED = 4  # actions on a line for people; --json has all
_WAY_OUT = (
    "Drop the service, let people sign in, or use the basic flow: Cognito adds its session policies for guests of the"
    " enhanced flow alone."
)


def add(commands: options.Commands) -> None:
    """Adds ``explain``."""
    parser = commands.add_parser(
        "explain",
        help="say which role a sign-in gets, and what it may do",
        description="Says which role a pool gives to a sign-in, and what the sessions may do that Cognito makes of a"
        " role.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_permissions(parts)
    cognito_role.add(parts)


def _add_permissions(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "permissions",
        help="say whether a role's sessions may do something, and which layer refuses",
        description="In the enhanced flow guests can do what their role and one of Cognito's two session policies for"
        " guests allow (the scope-down); for signed-in users, and in the basic flow, the role alone counts. Looks at"
        " the role's policies in files and asks nobody, unless --live has it ask IAM: only then a permissions boundary"
        " is known, and the organization's policies and those of the resource never are. Conditions and variables"
        " count as satisfied, and are named, unless --context says what the request has.",
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--guest", action="store_true", help="ask for guests (unauthenticated identities)")
    who.add_argument("--authenticated", action="store_true", help="ask for people who have signed in")
    parser.add_argument(
        "--role-policy",
        metavar="FILE",
        action="append",
        default=[],
        help="a permissions policy of the role, as JSON (- for standard input); again for each that the role has",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask IAM for the managed session policy of guests, and for the policies of --role-arn",
    )
    parser.add_argument("--role-arn", metavar="ARN", help="with --live: the role, instead of --role-policy")
    admin.add(parser, required=False)
    parser.add_argument("--action", metavar="ACTION", help="the action, such as s3:GetObject")
    parser.add_argument("--resource", metavar="ARN", help="the resource (else: any that the role may use)")
    parser.add_argument(
        "--region", metavar="REGION", help="the pool's (else one that every account has from the start)"
    )
    parser.add_argument(
        "--context",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="the value of a condition key, such as s3:prefix=private/; again for more; nothing behind the = where"
        " requests have no such key",
    )
    parser.add_argument(
        "--flow", choices=("enhanced", "basic"), default="enhanced", help="how credentials are got (else enhanced)"
    )
    parser.add_argument(
        "--policy-version",
        choices=("document", "latest"),
        default="latest",
        help="which copies of the session policies: as in the developer guide, or the newest known (else latest)",
    )
    parser.add_argument(
        "--list", action="store_true", help="list the role's statements, and which of them come to nothing"
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explains; what is refused is an answer too, and the status 0."""
    from credhelper.cli import policy_files
    from credhelper.identity_pools import dead_statements, policy_language, scope_down
    from credhelper.identity_pools.evaluation import Request
    from credhelper.identity_pools.scope_down import Snapshot
    from credhelper.identity_pools.trust_policies import Kind

    _check(args)
    kind = Kind.GUEST if args.guest else Kind.AUTHENTICATED
    known = scope_down.limit_of(Snapshot(args.policy_version), args.region)
    limit = known if args.guest and args.flow == "enhanced" else None
    files = [policy_files.read(path) for path in args.role_policy]
    role = [policy_language.parse_access_policy(content, name) for content, name in files]
    boundary = None
    if args.live:
        from credhelper.cli.pools import live

        found = live.policies(args)
        role, boundary, limit = role + found.role, found.boundary, found.limit
    explanation = None
    if args.action is not None:
        request = Request(args.action, args.resource, scope_down.context_of(kind, _context(args.context)))
        explanation = scope_down.explain(role, request, limit, boundary)
    statements = dead_statements.examine(role, limit) if args.list else None
    if args.json:
        speech.result(json.dumps(_document(explanation, statements)))
    else:
        _tell(args, kind, explanation, statements, limit)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError for what cannot be asked."""
    options.refuse_empty(args, "action", "resource", "region")
    if args.action is None and not args.list:
        raise UsageError("--action says what is asked about; --list shows all statements")
    if args.action is None and args.resource is not None:
        raise UsageError("--resource goes with --action")
    if args.action is not None and not _ACTION.fullmatch(args.action):
        raise UsageError(f"--action: “{safe(args.action)}” is not one action, such as s3:GetObject")
    if args.live != (args.admin_profile is not None):
        raise UsageError("--live and --admin-profile, whose role may ask IAM, go together")
    if args.role_arn is not None and not args.live:
        raise UsageError("--role-arn goes with --live")
    if bool(args.role_policy) == (args.role_arn is not None):
        raise UsageError("--role-policy says what the role may do, or --role-arn with --live which role to read")
    if args.role_policy.count("-") > 1:
        raise UsageError("standard input can be read once only")


def _context(words: Sequence[str]) -> dict[str, list[str]]:
    """Condition keys and values; a key without a value is one that the request does not have. Raises UsageError."""
    told: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(f"--context: “{safe(word)}” is not of the form KEY=VALUE")
        told.setdefault(key.lower(), []).extend([value] if value else [])
    return told


def _document(explanation: "Explanation | None", statements: "Sequence[StatementState] | None") -> dict[str, Any]:
    """The JSON: ``depends_on`` only where the answer depends on something, ``statements`` only where asked for."""
    document: dict[str, Any] = {}
    if explanation is not None:
        document = {"allowed": explanation.is_allowed, "denied_by": explanation.denied_by}
        if explanation.doubts:
            document["depends_on"] = [
                {"policy": doubt.policy, "place": doubt.place, "condition": doubt.what, "of": _effect(doubt)}
                for doubt in explanation.doubts
            ]
    if statements is not None:
        document["statements"] = [statement.document() for statement in statements]
    return document


def _effect(doubt: "Doubt") -> str:
    return "deny" if doubt.is_of_deny else "allow"


def _tell(
    args: argparse.Namespace,
    kind: "Kind",
    explanation: "Explanation | None",
    statements: "Sequence[StatementState] | None",
    limit: "Limit | None",
) -> None:
    if explanation is not None:
        for line in _lines(args, kind, explanation):
            speech.result(safe(line, speech.LONGEST_ERROR))
    if statements is not None:
        if explanation is not None:
            speech.result("")
        _tell_statements(statements)
    if limit is not None:
        speech.note("Judged by these copies of Cognito's session policies for guests:")
        for source in limit.sources:
            speech.note(f"  {source}")


def _lines(args: argparse.Namespace, kind: "Kind", explanation: "Explanation") -> Iterator[str]:
    asked = args.action if args.resource is None else f"{args.action} on {args.resource}"
    if explanation.is_allowed:
        yield f"Allowed to {kind.people}: {asked}."
    else:
        by = "the scope-down" if explanation.denied_by == "scope-down" else "the role"
        by = "Cognito itself" if explanation.denied_by != "role" and explanation.is_refused_to_all else by
        yield f"Denied to {kind.people} by {by}: {asked}."
    yield from (f"  {line}" for line in _reasons(args, explanation))
    if explanation.doubts:
        yield "  It depends on what is not known here (--context KEY=VALUE says it):"
        for doubt in explanation.doubts:
            yield f"    {_told_doubt(doubt)}"
        if explanation.role.others:
            yield f"    or on the conditions of {explanation.role.others} more of the role's statements"


def _told_doubt(doubt: "Doubt") -> str:
    return f"{'unless' if doubt.is_of_deny else 'if'} {doubt.what} ({doubt.policy}, {doubt.place})"


def _reasons(args: argparse.Namespace, explanation: "Explanation") -> Iterator[str]:
    yield _said("The role", explanation.role)
    if explanation.boundary is not None:
        yield _said("Its permissions boundary", explanation.boundary)
    if explanation.is_refused_to_all:
        yield (
            "Cognito takes calls to identity pools and Cognito Sync from nobody who has an identity pool's credentials."
        )
        yield "Leave it out of the role, and call Cognito with other credentials."
    elif explanation.denied_by == "role":
        if explanation.session is not None and not explanation.session.is_allowed:
            yield "The scope-down would refuse it to guests too, whatever the role says."
        else:
            where = "the permissions boundary" if explanation.role.is_allowed else "one of the role's policies"
            yield f"Allow it in {where}, if it is to be allowed."
    elif explanation.session is not None:
        yield _said("The scope-down", explanation.session)
        if not explanation.is_allowed:
            yield _WAY_OUT
    elif args.guest:
        yield "In the basic flow Cognito adds no session policies: best give guests no more than the other flow does."


def _said(layer: str, verdict: "Verdict") -> str:
    if verdict.by is None:
        return f"{layer} does not allow it: no statement names it."
    policy, statement = verdict.by
    where = _where(policy, statement.place) if layer == "The role" else policy.name
    return f"{layer} {'allows' if verdict.is_allowed else 'denies'} it: {where}."


def _where(policy: "Policy", place: str) -> str:
    return f"{place} of {policy.name}, line {policy.line(place)}"


def _tell_statements(statements: "Sequence[StatementState]") -> None:
    rows: list[tuple[str, ...]] = [("STATEMENT", "STATE", "ACTION", "WHAT IS LEFT OF IT")]
    for found in statements:
        name = _where(found.policy, found.statement.place)
        rows += [(name, action.state.value, action.action, _left(action)) for action in found.actions]
    speech.aligned(rows, colours=_COLOURS)
    dead = sum(found.state.value == "dead" for found in statements)
    of = "statement that allows something" if len(statements) == 1 else "statements that allow something"
    speech.result(f"{dead} of {len(statements)} {of} {'is' if dead == 1 else 'are'} dead.")


def _left(action: "ActionState") -> str:
    if action.state.value != "partly":
        return {"alive": "all", "dead": "nothing"}[action.state.value]
    more = len(action.left) - _MOST_NAMED
    return ", ".join(action.left[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
