"""Which role a pool gives to a sign-in, and why: each rule in its order, or the roles in the token.

Rules of the developer guide (role-based access control): a provider's mapping decides before the pool's default role;
of its rules the first that matches; of a token CustomRoleArn, else ``cognito:preferred_role``, else the only one of
``cognito:roles``; where nothing decides, AmbiguousRoleResolution. What the guide leaves open is told as a remark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from credhelper.identity_pools.claims import PREFERRED, ROLES, Claims, plain, roles_in
from credhelper.identity_pools.role_mappings import MOST_RULES, RoleMapping, RoleTable, Rule

Flow = Literal["enhanced", "basic"]
Decision = Literal[
    "guest", "default", "rule", "preferred_role", "only_role", "custom_role_arn", "ambiguous", "flow", "none"
]
Verdict = Literal["matches", "does not match", "is not looked at"]

MISSING_ROLE = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
"""What Cognito answers where it should give a role that the pool does not have."""
NO_BASIC_FLOW = "Basic (classic) flow is not supported with RoleMappings, please use enhanced flow."
"""What Cognito answers to the basic flow of a pool that maps roles."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Whose role is asked about: ``provider`` as role mappings spell it, and the claims of the token."""

    provider: str
    claims: Claims


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at, or was not because an earlier one had decided."""

    rule: Rule
    verdict: Verdict
    why: str


@dataclass(slots=True)
class Choice:
    """The answer: no ``role_arn`` means that Cognito refuses, and ``reason`` says why."""

    role_arn: str | None
    decided_by: Decision
    reason: str
    rule: int | None = None
    """The number of the rule that decided."""
    steps: Sequence[Step] = ()
    remarks: list[str] = field(default_factory=list)
    """What is documented nowhere, and what else should be looked at."""


def of_guest(table: RoleTable) -> Choice:
    """Guests have one role: mappings are of sign-ins."""
    if table.guest is None:
        return Choice(None, "none", f"the pool has no role for guests: Cognito says “{MISSING_ROLE}”")
    return Choice(table.guest, "guest", "guests get the pool's unauthenticated role")


def of_sign_in(table: RoleTable, sign_in: SignIn, *, flow: Flow = "enhanced", custom: str | None = None) -> Choice:
    """The role of somebody who has signed in; ``custom`` is the request's CustomRoleArn."""
    if flow == "basic":
        return _of_basic_flow(table)
    mapping = table.mapping_of(sign_in.provider)
    if mapping is None:
        return _default(table, sign_in, custom)
    if mapping.rules is None:
        return _of_token(table, mapping, sign_in.claims, custom)
    return _of_rules(table, mapping, mapping.rules, sign_in.claims, custom)


# -- without a mapping ------------------------------------------------------------------------------------------------


def _of_basic_flow(table: RoleTable) -> Choice:
    if table.mappings:
        return Choice(None, "flow", f"the pool maps roles: Cognito says “{NO_BASIC_FLOW}”")
    return Choice(None, "flow", "in the basic flow the profile names the role (credhelper_role_arn), not the pool")


def _default(table: RoleTable, sign_in: SignIn, custom: str | None) -> Choice:
    reason = f"nothing is mapped for {sign_in.provider}: the pool's authenticated role"
    choice = _authenticated(table, "default", reason)
    same_pool = [each.provider for each in table.mappings if _is_same_pool(each.provider, sign_in.provider)]
    if same_pool:
        choice.remarks.append(f"roles are mapped for another app client of the same user pool: {', '.join(same_pool)}")
    if custom is not None:
        choice.remarks.append("what Cognito does with a CustomRoleArn where no roles are mapped is not documented")
    return choice


def _authenticated(table: RoleTable, decided_by: Decision, reason: str) -> Choice:
    if table.authenticated is None:
        return Choice(None, "none", f"{reason}, which it does not have: Cognito says “{MISSING_ROLE}”")
    return Choice(table.authenticated, decided_by, reason)


def _is_same_pool(one: str, other: str) -> bool:
    return ":" in one and one.partition(":")[0] == other.partition(":")[0]


def _undecided(table: RoleTable, mapping: RoleMapping, why: str) -> Choice:
    """Nothing has decided: as the mapping's AmbiguousRoleResolution says."""
    if mapping.if_ambiguous == "Deny":
        return Choice(None, "ambiguous", f"{why}, and AmbiguousRoleResolution is Deny")
    choice = _authenticated(table, "ambiguous", f"{why}: AmbiguousRoleResolution gives the pool's authenticated role")
    if mapping.if_ambiguous is None:
        choice.remarks.append(
            "the mapping has no AmbiguousRoleResolution, which AWS requires: taken as AuthenticatedRole"
        )
    return choice


# -- by the token -----------------------------------------------------------------------------------------------------


def _of_token(table: RoleTable, mapping: RoleMapping, claims: Claims, custom: str | None) -> Choice:
    allowed, preferred = roles_in(claims), claims.get(PREFERRED)
    if custom is not None:
        if custom in allowed:
            return Choice(custom, "custom_role_arn", f"CustomRoleArn is one of the token's {ROLES}")
        return Choice(None, "custom_role_arn", f"CustomRoleArn {custom} is none of the token's {ROLES}: access denied")
    if isinstance(preferred, str) and preferred:
        return Choice(preferred, "preferred_role", f"the token's {PREFERRED}: that of the group of the best precedence")
    if len(allowed) == 1:
        return Choice(allowed[0], "only_role", f"the only one of the token's {ROLES}")
    if not allowed:
        return _undecided(table, mapping, f"the token has neither {PREFERRED} nor {ROLES}")
    return _undecided(table, mapping, f"the token has {len(allowed)} {ROLES} and no {PREFERRED}")


# -- by rules ---------------------------------------------------------------------------------------------------------


def _of_rules(
    table: RoleTable, mapping: RoleMapping, rules: Sequence[Rule], claims: Claims, custom: str | None
) -> Choice:
    steps: list[Step] = []
    chosen: Rule | None = None
    for rule in rules:
        if chosen is not None:
            steps.append(Step(rule, "is not looked at", f"rule {chosen.number} has decided"))
            continue
        steps.append(_look(rule, claims))
        if steps[-1].verdict == "matches":
            chosen = rule
    if custom is not None:
        choice = _custom_over_rules(rules, custom)
    elif chosen is not None:
        choice = Choice(chosen.role_arn, "rule", f"rule {chosen.number} is the first that matches: {chosen.text}")
        choice.rule = chosen.number
    else:
        choice = _undecided(table, mapping, f"none of the {len(rules)} rules matches")
    choice.steps = steps
    choice.remarks += _remarks(steps, claims)
    return choice


def _custom_over_rules(rules: Sequence[Rule], custom: str) -> Choice:
    choice = Choice(custom, "custom_role_arn", "CustomRoleArn overrides the order of the rules")
    if all(rule.role_arn != custom for rule in rules):
        choice.remarks.append(
            "CustomRoleArn is the role of no rule; whether Cognito gives it all the same is not documented"
        )
    return choice


def _remarks(steps: Sequence[Step], claims: Claims) -> list[str]:
    remarks = []
    if len(steps) > MOST_RULES:
        remarks.append(f"there are {len(steps)} rules, and AWS takes {MOST_RULES} for a provider")
    listed = {step.rule.claim for step in steps if isinstance(claims.get(step.rule.claim), list | dict)}
    if listed:
        named = ", ".join(sorted(listed))
        remarks.append(f"how Cognito compares what is a list ({named}) is not documented: taken as text, with commas")
    return remarks


def _look(rule: Rule, claims: Claims) -> Step:
    """Whether one rule matches; case counts. A claim that is not there matches nothing, NotEqual neither."""
    if rule.claim not in claims:
        return Step(rule, "does not match", _absent(rule, claims))
    value = plain(claims[rule.claim])
    matches = {
        "Equals": value == rule.value,
        "NotEqual": value != rule.value,
        "StartsWith": value.startswith(rule.value),
        "Contains": rule.value in value,
    }[rule.match]
    return Step(rule, "matches" if matches else "does not match", f"it is “{value}”")


def _absent(rule: Rule, claims: Claims) -> str:
    why = f"the token has no {rule.claim}"
    if f"custom:{rule.claim}" in claims:
        return f"{why}; it has custom:{rule.claim}, and custom attributes carry the prefix"
    return f"{why}, and NotEqual is not evaluated without it" if rule.match == "NotEqual" else why
