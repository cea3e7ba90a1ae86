"""``credhelper cognito explain role``: which role would a sign-in get from a pool, and which rule says so?"""

import argparse
import json
from typing import TYPE_CHECKING, Any

from credhelper.cli import options, speech
from credhelper.domain.errors import ConfigError, UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:  # `credhelper cognito --help` knows the command without them
    from credhelper.identity_pools.claims import Tag
    from credhelper.identity_pools.role_choice import Choice, SignIn
    from credhelper.identity_pools.role_mappings import RoleTable

_COLOURS = {"matches": "green", "does not match": "yellow"}
_CLAIMS_HELP = (
    "the claims of an ID token, as a JSON object or as `credhelper cognito whoami --json` prints them (- for standard"
    " input); else those of the login of --profile"
)
_TAGS_NEED = "the role's trust policy has to allow sts:TagSession, or Cognito gives no credentials (lint: T13)"

Json = dict[str, Any]


def add(parts: options.Commands) -> None:
    """Adds ``explain role``."""
    parser = parts.add_parser(
        "role",
        help="say which role a sign-in would get from a pool, and why",
        description="Goes through what a pool's mappings say of a sign-in: the rules in their order, of which the first"
        " that matches decides, or the roles in the token; and what happens where nothing decides. Needs AWS's answers"
        " in files and asks AWS nothing. Without --claims it looks at the present login of a profile, which the daemon"
        " knows.",
    )
    parser.add_argument(
        "--pool-roles",
        metavar="FILE",
        required=True,
        help="what `aws cognito-identity get-identity-pool-roles` prints",
    )
    options.add_profile(parser)
    who = parser.add_mutually_exclusive_group()
    options.add_cognito_login(who)
    who.add_argument("--claims", metavar="FILE", help=_CLAIMS_HELP)
    who.add_argument("--guest", action="store_true", help="ask for guests (unauthenticated identities)")
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="with --claims: the provider as role mappings spell it, with a user pool PROVIDER:CLIENT (else by the"
        " claims iss and aud)",
    )
    parser.add_argument("--custom-role-arn", metavar="ARN", help="the role that the request asks for")
    parser.add_argument(
        "--flow", choices=("enhanced", "basic"), help="how credentials are got (else the profile's, else enhanced)"
    )
    parser.add_argument(
        "--principal-tags",
        metavar="FILE",
        help="what `aws cognito-identity get-principal-tag-attribute-map` prints: shows the tags of the session too",
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explains; a refusal is an answer too, and the status 0."""
    from credhelper.identity_pools import role_mappings

    _check(args)
    table: RoleTable = _understood(args.pool_roles, role_mappings.read)
    asked = _asked(args, table)
    choice = _choice(asked, table)
    tags = _tags(args, asked.sign_in, choice)
    if args.json:
        speech.result(json.dumps(_document(table, asked, choice, tags)))
    else:
        _tell(asked, choice, tags)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError for what cannot be asked."""
    options.refuse_empty(args, "provider", "custom_role_arn", "cognito_login")
    if args.profile is not None and (args.claims or args.guest or args.cognito_login):
        raise UsageError("--profile excludes --claims, --guest and --cognito-login: each of them says who is meant")
    if args.provider is not None and not args.claims:
        raise UsageError("--provider goes with --claims")
    if [args.pool_roles, args.claims, args.principal_tags].count("-") > 1:
        raise UsageError("standard input can be read once only")


class _Asked:
    """Who asks for a role, and how. ``sign_in`` is None for guests."""

    def __init__(self, sign_in: "SignIn | None", flow: str, custom: str | None) -> None:
        self.sign_in = sign_in
        self.flow = flow
        self.custom = custom


def _asked(args: argparse.Namespace, table: "RoleTable") -> _Asked:
    """By the command line; else by the daemon's knowledge of the login. Raises UsageError and ConfigError."""
    from credhelper.identity_pools.role_choice import SignIn

    flow = args.flow or "enhanced"
    if args.guest:
        return _Asked(None, flow, args.custom_role_arn)
    if args.claims:
        claims = _claims(args.claims)
        return _Asked(SignIn(_provider(args, claims), claims), flow, args.custom_role_arn)
    found = _present_login(args)
    pool_id = found["identity_pool_id"]
    if pool_id is not None and pool_id != table.pool_id:
        raise UsageError(f"--pool-roles is of {safe(table.pool_id)}, and the profile's pool is {safe(pool_id)}")
    custom = args.custom_role_arn or found["custom_role_arn"]
    sign_in = None if found["kind"] == "guest" else SignIn(found["role_provider"], found["claims"])
    return _Asked(sign_in, args.flow or found["flow"], custom)


def _present_login(args: argparse.Namespace) -> Json:
    """What the daemon knows of the present login; it asks AWS nothing."""
    from credhelper.cli import daemon_link

    fields = {"cognito_login": args.cognito_login} if args.cognito_login else options.profile_fields(args)
    found: Json = json.loads(daemon_link.ask("claims", fields, seconds=_SECONDS))
    return found


_SECONDS = 10


def _claims(path: str) -> Json:
    from credhelper.cli import policy_files

    found, name = policy_files.answer(path)
    inner = found.get("claims")
    claims = inner if isinstance(inner, dict) else dict(found)
    if not claims:
        raise ConfigError(f"{safe(name)} has no claims")
    return claims


def _provider(args: argparse.Namespace, claims: Json) -> str:
    from credhelper.identity_pools.claims import provider_of

    found: str | None = args.provider or provider_of(claims)
    if found is None:
        raise UsageError("the claims have no iss, and with a user pool aud, so that --provider is needed")
    return found


def _choice(asked: _Asked, table: "RoleTable") -> "Choice":
    from credhelper.identity_pools import role_choice

    if asked.sign_in is None:
        return role_choice.of_guest(table)
    is_basic = asked.flow == "basic"
    return role_choice.of_sign_in(
        table, asked.sign_in, flow="basic" if is_basic else "enhanced", custom=None if is_basic else asked.custom
    )


def _tags(args: argparse.Namespace, sign_in: "SignIn | None", choice: "Choice") -> "list[Tag]":
    """The session's principal tags, where they are asked for; what speaks against them goes to the remarks."""
    from credhelper.identity_pools import claims

    if args.principal_tags is None or sign_in is None:
        return []
    tags: list[Tag] = _understood(args.principal_tags, lambda answer: claims.tags(answer, sign_in.claims))
    choice.remarks += claims.mistakes_of(tags)
    if tags:
        choice.remarks.append(_TAGS_NEED)
    return tags


def _understood(path: str, understand: Any) -> Any:
    """What a file with an answer of AWS says. Raises ConfigError."""
    from credhelper.cli import policy_files

    answer, name = policy_files.answer(path)
    try:
        return understand(answer)
    except ConfigError as error:
        raise ConfigError(f"{safe(name)}: {error.message}") from None


def _document(table: "RoleTable", asked: _Asked, choice: "Choice", tags: "list[Tag]") -> Json:
    return {
        "identity_pool_id": table.pool_id,
        "provider": asked.sign_in.provider if asked.sign_in else None,
        "role_arn": choice.role_arn,
        "decided_by": choice.decided_by,
        "rule": choice.rule,
        "reason": choice.reason,
        "rules": [
            {
                "number": step.rule.number,
                "claim": step.rule.claim,
                "match": step.rule.match,
                "value": step.rule.value,
                "role_arn": step.rule.role_arn,
                "verdict": step.verdict,
                "why": step.why,
            }
            for step in choice.steps
        ],
        "tags": [{"key": tag.key, "claim": tag.claim, "value": tag.value} for tag in tags],
        "remarks": choice.remarks,
    }


def _tell(asked: _Asked, choice: "Choice", tags: "list[Tag]") -> None:
    if asked.sign_in is not None:
        speech.result(f"Signed in with {safe(asked.sign_in.provider)}.")
    if choice.role_arn is None:
        speech.result(f"{speech.paint('Refused', 'red')}: {safe(choice.reason)}.")
    else:
        speech.result(f"Role: {speech.paint(safe(choice.role_arn), 'green')}")
        speech.result(f"  {safe(choice.reason)}")
    if choice.steps:
        speech.result("")
        rows = [
            (f"{step.rule.number} {step.rule.text}", step.verdict, step.why, step.rule.role_arn)
            for step in choice.steps
        ]
        speech.aligned([("RULE", "VERDICT", "WHY", "ROLE"), *rows], colours=_COLOURS)
    if tags:
        speech.result("")
        speech.aligned([("TAG", "CLAIM", "VALUE"), *((tag.key, tag.claim, _shown(tag)) for tag in tags)])
    for remark in choice.remarks:
        speech.result(f"Mind: {safe(remark)}.")


def _shown(tag: "Tag") -> str:
    return "(none: the token lacks the claim)" if tag.value is None else tag.value
