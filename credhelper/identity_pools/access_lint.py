"""What is wrong with an access policy of an identity pool's role: it grants too much, or nothing of what it says.

Rules are called AP1 to AP15. Each is a function from the policy and whose role it is to findings; sources stand with
them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from credhelper.identity_pools import conditions, dead_statements, patterns, pools, scope_down
from credhelper.identity_pools.dead_statements import State
from credhelper.identity_pools.findings import Finding, in_order
from credhelper.identity_pools.policy_language import Policy, Statement
from credhelper.identity_pools.scope_down import REFUSED_TO_ALL, Snapshot
from credhelper.identity_pools.trust_policies import Kind

Rule = Callable[[Policy, Kind | None], Iterable[Finding]]

GONE = {
    "mobileanalytics": "Amazon Mobile Analytics was closed in 2018",
    "sumerian": "Amazon Sumerian was closed in 2023",
}
"""Services that there are no more, by their prefix."""

_BUCKET_ACTIONS = ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation")
"""Of a bucket's ARN (service authorization reference, Amazon S3)."""
_OBJECT_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:RestoreObject")
"""Of the ARNs of a bucket's objects (the same)."""
_OBJECT_ADMINISTRATION = ("s3:PutObjectAcl", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention")
_ADMINISTRATION = (*_OBJECT_ADMINISTRATION, "s3:PutBucketPolicy", "s3:DeleteBucket")
"""What no user of an application needs, and a wildcard brings with it."""
_READERS_OF_ALL = ("dynamodb:Scan", "dynamodb:PartiQLSelect")
"""They may name no partition key, which ForAllValues takes for a match."""

_ITEM_FIX = "name the actions on items: GetItem, Query, PutItem, UpdateItem, DeleteItem"
_TOKEN_KEYS = {"aud", "sub", "amr"}
_ACCOUNT_PART, _RESOURCE_PART, _ARN_PARTS = 4, 5, 6


def lint(policy: Policy, kind: Kind | None = None) -> list[Finding]:
    """The findings, errors first; ``kind`` is whose role it is, where that is known."""
    return in_order(chain.from_iterable(rule(policy, kind) for rule in RULES))


def _allows(policy: Policy) -> Iterator[Statement]:
    return (statement for statement in policy.statements if statement.is_allow)


def _actions(statement: Statement) -> Iterator[tuple[str, str]]:
    """Each action that is named, with its place."""
    if not statement.is_not_action:
        yield from _placed(statement.place_of("Action"), statement.actions)


def _resources(statement: Statement) -> Iterator[tuple[str, str]]:
    if not statement.is_not_resource:
        yield from _placed(statement.place_of("Resource"), statement.resources)


def _placed(place: str, texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Texts with the place of each; a document may write one text without a list around it."""
    return ((text, place if len(texts) == 1 else f"{place}[{number}]") for number, text in enumerate(texts))


def _arn(resource: str) -> list[str] | None:
    """The six parts of an ARN. A variable's colons are none of the ARN's."""
    parts = re.sub(r"\$\{[^{}]*\}", "$", resource).split(":", _ARN_PARTS - 1)
    return parts if len(parts) == _ARN_PARTS and parts[0] == "arn" else None


def _refused_to_all(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """Cognito takes such calls from nobody who has an identity pool's credentials (developer guide, IAM roles)."""
    refused = [patterns.action(pattern) for pattern in REFUSED_TO_ALL]
    for statement in _allows(policy):
        for action, place in _actions(statement):
            if any(patterns.covers(pattern, patterns.action(action)) for pattern in refused):
                yield Finding(
                    "AP1",
                    "warning",
                    place,
                    f"{action} grants nothing: Cognito refuses calls to identity pools and Cognito Sync with the"
                    " credentials of an identity pool",
                    "leave it out",
                )


def _whole_service(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """Least privilege (developer guide, IAM roles): name what the application does, and on what."""
    for statement in _allows(policy):
        if "*" not in statement.resources or statement.is_not_resource or statement.conditions:
            continue
        for action, place in _actions(statement):
            service, _colon, name = action.partition(":")
            if action == "*" or name == "*":
                what = "everything" if "*" in service else f"all that {service} can do"
                reason = f"{action} on every resource: {what}, for everyone who gets this role"
                yield Finding("AP2", "error", place, reason, "name the actions that are used, and the resources by ARN")


def _closed_service(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    for statement in _allows(policy):
        for action, place in _actions(statement):
            service = action.partition(":")[0].lower()
            if service in GONE:
                yield Finding("AP3", "warning", place, f"{action} grants nothing: {GONE[service]}", "leave it out")


def _s3_places(statement: Statement) -> str | None:
    """What the S3 ARNs of a statement are: all ``objects``, all ``buckets``, or None for both, other and unclear."""
    kinds = set()
    for resource, _place in _resources(statement):
        parts = _arn(resource)
        if parts is None or parts[2] != "s3":
            return None
        bucket, slash, _key = parts[_RESOURCE_PART].partition("/")
        kinds.add("objects" if slash else "both" if bucket.endswith("*") else "buckets")
    return kinds.pop() if len(kinds) == 1 and "both" not in kinds else None


def _s3_action_without_its_resource(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """An action is granted on resources of its own kind only (service authorization reference, Amazon S3)."""
    for statement in _allows(policy):
        there = _s3_places(statement)
        others = {"objects": _BUCKET_ACTIONS, "buckets": _OBJECT_ACTIONS}.get(there or "", ())
        for action, place in _actions(statement):
            if action.lower() in map(str.lower, others):
                wanted = "the bucket's own ARN" if there == "objects" else "the ARN of objects (bucket/…)"
                reason = f"{action} grants nothing here: it needs {wanted}, and the statement names {there} only"
                yield Finding("AP4", "error", place, reason, f"put it in a statement of its own, on {wanted}")


def _s3_wildcard_on_objects(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    for statement in _allows(policy):
        if _s3_places(statement) != "objects":
            continue
        for action, place in _actions(statement):
            if "*" in action and patterns.matches_action(action, "s3:ListBucket"):
                yield Finding(
                    "AP5",
                    "warning",
                    place,
                    f"{action} does not let anybody list files here: s3:ListBucket needs the bucket's own ARN",
                    "where files are to be listed, allow s3:ListBucket on the bucket with a condition on s3:prefix",
                )


def _s3_administration(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    for statement in _allows(policy):
        known = _OBJECT_ADMINISTRATION if _s3_places(statement) == "objects" else _ADMINISTRATION
        for action, place in _actions(statement):
            brought = [name for name in known if patterns.matches_action(action, name)]
            if brought and action != "*":
                reason = f"{action} includes {', '.join(brought)}, which no application's user needs"
                yield Finding("AP6", "warning", place, reason, "name s3:GetObject, s3:PutObject, s3:DeleteObject")


def _any_account(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    for statement in _allows(policy):
        for resource, place in _resources(statement):
            parts = _arn(resource)
            if parts is not None and "*" in parts[_ACCOUNT_PART]:
                reason = f"{resource} names resources of any account, so that others' could be reached"
                yield Finding("AP7", "warning", place, reason, "write the account's id")


def _any_method(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """``api-id/stage/METHOD/path`` (API Gateway developer guide, control access for invoking an API)."""
    for statement in _allows(policy):
        for resource, place in _resources(statement):
            parts = _arn(resource)
            if parts is None or parts[2] != "execute-api":
                continue
            if "*" in parts[_RESOURCE_PART].split("/")[:3] or "/" not in parts[_RESOURCE_PART]:
                reason = f"{resource} allows every stage or method, such as ones made for tests or administrators"
                yield Finding("AP8", "warning", place, reason, "name the stage and the methods that the app calls")


def _variables(policy: Policy) -> Iterator[tuple[Statement, str, str, str]]:
    """Every variable: its statement, name, text around it, and place."""
    for statement in policy.statements:
        tests = [(value, condition.place) for condition in statement.conditions for value in condition.values]
        for text, place in [*_resources(statement), *tests]:
            for name in conditions.variables(text):
                yield statement, name, text, place


def _variables_in_an_old_document(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """Variables came with the version of 2012 (IAM user guide, Version)."""
    if policy.knows_variables:
        return
    for _statement, _name, text, place in _variables(policy):
        reason = f"{text} stands for itself, letter by letter: a document of version {policy.version} has no variables"
        yield Finding("AP9", "error", place, reason, 'write "Version": "2012-10-17" at the document\'s beginning')


def _unknown_token_key(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    for _statement, name, text, place in _variables(policy):
        provider, _colon, key = name.partition(":")
        if provider in pools.PROVIDERS and key not in _TOKEN_KEYS:
            reason = f"{text}: an identity pool's token has no “{key}”, so that the statement applies to nobody"
            yield Finding("AP10", "error", place, reason, f"write ${{{provider}:sub}} for the identity's id")


def _guests_change(policy: Policy, kind: Kind | None) -> Iterator[Finding]:
    """A guest's identity is of one device, and another one after a login (developer guide, IAM roles)."""
    if kind is not Kind.GUEST:
        return
    for _statement, name, text, place in _variables(policy):
        if name.endswith(":sub"):
            reason = f"{text}: a guest has another identity id on each device and may have another after a login"
            yield Finding("AP11", "warning", place, reason, "keep nothing there that must be found again")


def _dead_for_guests(policy: Policy, kind: Kind | None) -> Iterator[Finding]:
    """The scope-down of the enhanced flow."""
    if kind is not Kind.GUEST:
        return
    limit = scope_down.limit_of(Snapshot.LATEST, None)
    for found in dead_statements.examine([policy], limit):
        for action, (_text, place) in zip(found.actions, _actions(found.statement), strict=False):
            if action.state is State.DEAD and not _is_refused(action.action):
                yield Finding(
                    "AP12",
                    "warning",
                    place,
                    f"{action.action} grants guests nothing: it is outside what Cognito's scope-down leaves them",
                    "drop the service, let people sign in, or use the basic flow",
                )


def _is_refused(action: str) -> bool:
    return any(patterns.covers(patterns.action(each), patterns.action(action)) for each in REFUSED_TO_ALL)


def _leading_keys(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """A request may name several keys, or none (DynamoDB developer guide, fine-grained access control)."""
    for statement in _allows(policy):
        for condition in statement.conditions:
            if condition.key.lower() != "dynamodb:leadingkeys":
                continue
            if condition.quantifier != "ForAllValues":
                reason = "a request may name several partition keys, and this does not compare each of them"
                yield Finding("AP13", "error", condition.place, reason, "write ForAllValues:StringEquals")
                continue
            for action, place in _actions(statement):
                read = [name for name in _READERS_OF_ALL if patterns.matches_action(action, name)]
                if read:
                    reason = (
                        f"{action} includes {', '.join(read)}, which name no partition key: the condition lets that"
                    )
                    yield Finding("AP13", "error", place, f"{reason} pass, and the whole table is read", _ITEM_FIX)


def _all_but(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    for statement in _allows(policy):
        if statement.is_not_action:
            reason = f"it allows everything but {', '.join(statement.actions)}, services to come included"
            yield Finding("AP14", "error", statement.place_of("Action"), reason, "name what is allowed, in Action")
        if statement.is_not_resource:
            reason = "it allows every resource but those that are named, others' included"
            place = statement.place_of("Resource")
            yield Finding("AP14", "error", place, reason, "name what is allowed, in Resource")


def _everybodys_names(policy: Policy, _: Kind | None) -> Iterator[Finding]:
    """Objects by identity, but a list of all of them (developer guide, IAM roles, the second example)."""
    has_folders = any(
        name.endswith(":sub") and text.startswith("arn:") for _statement, name, text, _place in _variables(policy)
    )
    for statement in _allows(policy) if has_folders else ():
        if any(condition.key.lower() == "s3:prefix" for condition in statement.conditions):
            continue
        if _s3_places(statement) == "objects":
            continue
        for action, place in _actions(statement):
            if action.lower() in {"s3:listbucket", "s3:list*", "s3:listbucketversions"}:
                reason = f"{action} shows everybody the names of everybody's files, which have folders by identity"
                fix = f"add a condition: StringLike, s3:prefix, ${{{pools.PROVIDER}:sub}}/*"
                yield Finding("AP15", "warning", place, reason, fix)


RULES: tuple[Rule, ...] = (
    _refused_to_all,
    _whole_service,
    _closed_service,
    _s3_action_without_its_resource,
    _s3_wildcard_on_objects,
    _s3_administration,
    _any_account,
    _any_method,
    _variables_in_an_old_document,
    _unknown_token_key,
    _guests_change,
    _dead_for_guests,
    _leading_keys,
    _all_but,
    _everybodys_names,
)
"""AP1 to AP15, in this order."""
