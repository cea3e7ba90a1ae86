"""Our verdict on trust policies, and our rules for them, beside those of an STS that others have written.

The grid is every policy with every token. Where the two differ, it is for one of the reasons named here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from credhelper.identity_pools import policy_language, trust_lint, trust_policies, trust_verdict
from credhelper.identity_pools.policy_language import Policy
from credhelper.identity_pools.trust_policies import Kind, Trust
from credhelper.identity_pools.trust_reading import Subject
from credhelper.identity_pools.trust_verdict import Token
from tests.identity_pools.trusts import AMR, AUD, PROVIDER, SUB

from .ministack import Ministack, Pool, Role, claims_of, unsigned_token

pytestmark = pytest.mark.real_client

Json = dict[str, Any]

ACTION = "sts:AssumeRoleWithWebIdentity"
OTHERS_AUD = "accounts.google.com:aud"

LISTS_COMPARED_AS_ONE = "amr is a list, and AWS does not say what an operator for single values makes of it"
ANYONE_AS_AWS = 'the IAM user guide calls {"AWS": "*"} and "*" equivalent, ministack does not'
OF_THE_REQUEST = "it depends on the request, not on the token"
_SINGLE = ("StringEquals", "StringLike")
REASONS = {LISTS_COMPARED_AS_ONE, ANYONE_AS_AWS, OF_THE_REQUEST}


class Grid:
    """Two pools and a role, with the tokens and the policies about them."""

    def __init__(self, ministack: Ministack) -> None:
        ours, other = Pool(ministack, "ours"), Pool(ministack, "other")
        self.role = Role(ministack)
        self.pool_id, self.other_id, self.provider = ours.pool_id, other.pool_id, ours.provider
        self.guest, self.user = ours.token_of_guest(), ours.token_of_user()
        self.identity: str = claims_of(self.user)["sub"]
        self.tokens = [self.guest, self.user, other.token_of_guest(), other.token_of_user(), *self._made_up()]

    def _made_up(self) -> Iterator[str]:
        user = claims_of(self.user)
        for changed in (
            {"amr": ["authenticated", "graph.facebook.com"]},
            {"amr": ["authenticated"]},
            {"amr": ["unauthenticated"], "aud": self.pool_id.upper()},
            {"sub": claims_of(self.guest)["sub"]},
            {"iss": "https://accounts.google.com"},
            {"aud": "*"},
        ):
            yield unsigned_token(user | changed)
        yield unsigned_token({name: value for name, value in user.items() if name != "amr"})

    def statement(self, **changed: Any) -> Json:
        """The right one, with changes; what is changed to None is left out."""
        right: Json = trust_policies.document(Trust([self.pool_id], Kind.AUTHENTICATED))["Statement"][0]
        return {name: value for name, value in (right | changed).items() if value is not None}

    def policies(self) -> Iterator[list[Json]]:
        """The statements of each policy of the grid."""
        for principal, action in itertools.product(_PRINCIPALS, _ACTIONS):
            yield [self.statement(**principal, **action)]
        for condition in self._conditions():
            yield [self.statement(Condition=condition)]
            yield [self.statement(), self.statement(Effect="Deny", Condition=condition)]
        for first, second in itertools.combinations(self._conditions(), 2):
            if not first.keys() & second.keys():
                yield [self.statement(Condition=first | second)]
        yield [self.statement(), self.statement(Effect="Deny", Condition=None, Action="sts:Get*")]

    def _conditions(self) -> list[Json]:
        return [
            {},
            {"StringEquals": {AUD: self.pool_id}},
            {"StringEquals": {AUD: [self.other_id, self.pool_id], SUB: self.identity}},
            {"StringEqualsIgnoreCase": {AUD.upper(): self.pool_id.upper()}},
            {"StringNotEquals": {AUD: self.other_id}},
            {"StringLike": {AUD: "us-east-?:*"}},
            {"StringNotLike": {SUB: ["us-west-*", "?"]}},
            {"StringEqualsIfExists": {OTHERS_AUD: "app"}},
            {"ForAnyValue:StringLike": {AMR: "authenticated"}},
            {"ForAnyValue:StringLike": {AMR: ["unauth*", "graph.*"]}},
            {"ForAnyValue:StringEquals": {AMR: [self.provider, "unauthenticated"]}},
            {"ForAllValues:StringLike": {AMR: "*authenticated"}},
            {"ForAnyValue:StringNotEquals": {AMR: "unauthenticated"}},
            {"ForAllValues:StringNotLike": {AMR: "*facebook*"}},
            {"Null": {AMR: "true", AUD: "false"}},
            {"StringEquals": {AMR: "unauthenticated"}},
            {"StringLike": {AMR: "*"}},
            {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
        ]


_PRINCIPALS: list[Json] = [
    {},
    {"Principal": {"Federated": ["accounts.google.com", PROVIDER]}},
    {"Principal": {"Federated": "*"}},
    {"Principal": {"Service": PROVIDER}},
    {"Principal": {"AWS": "*"}},
    {"Principal": "*"},
    {"Principal": {"Federated": "cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf123"}},
]
_ACTIONS: list[Json] = [
    {},
    {"Action": "sts:AssumeRole"},
    {"Action": ["STS:assumerolewith*", "sts:TagSession"]},
    {"Action": "*"},
    {"Action": None, "NotAction": "sts:AssumeRole"},
    {"Action": None, "NotAction": ["sts:*Web*"]},
]


@pytest.fixture(scope="module")
def grid(ministack: Ministack) -> Grid:
    """One for all tests."""
    return Grid(ministack)


def test_our_verdict_is_theirs_for_every_policy_and_token_of_the_grid(grid: Grid) -> None:
    pairs, met = 0, set()
    for statements in grid.policies():
        document = {"Version": "2012-10-17", "Statement": statements}
        policy = _parsed(document)
        grid.role.trust(document)
        for token in grid.tokens:
            ours = trust_verdict.judge(policy, _read(token)).is_accepted
            theirs = grid.role.accepts(token)
            pairs += 1
            if ours is not theirs:
                reason = _reason(statements, ours)
                assert reason, f"ours: {ours}, theirs: {theirs}\n{json.dumps(statements, indent=1)}\n{claims_of(token)}"
                met.add(reason)
    assert met == REASONS, "a reason that no longer explains anything"
    assert pairs >= 1000


def test_a_policy_without_findings_lets_in_its_own_people_there_and_nobody_else(grid: Grid) -> None:
    """The rules of the lint are not the verdict's, so that they are held to the same STS."""
    clean = 0
    for statements, kind in itertools.product(grid.policies(), Kind):
        document = {"Version": "2012-10-17", "Statement": statements}
        if list(trust_lint.lint(_parsed(document), Subject([grid.pool_id], kind, allows_guests=True))):
            continue
        if "aws:SourceIp" in json.dumps(document) or SUB in json.dumps(document):
            continue  # whom these let in, no kind of people says
        clean += 1
        grid.role.trust(document)
        accepted = [grid.role.accepts(token) for token in grid.tokens[:4]]
        if not any(accepted) and grid.provider in json.dumps(statements[1:]):
            continue  # a deny for one provider's users, of which this user is one
        assert accepted == [kind is Kind.GUEST, kind is Kind.AUTHENTICATED, False, False], document
    assert clean >= 5


def test_what_is_generated_is_accepted_there(grid: Grid) -> None:
    for kind, mine, others in (
        (Kind.AUTHENTICATED, grid.user, grid.guest),
        (Kind.GUEST, grid.guest, grid.user),
    ):
        grid.role.trust(trust_policies.document(Trust([grid.other_id, grid.pool_id], kind)))
        assert grid.role.accepts(mine)
        assert not grid.role.accepts(others)
    grid.role.trust(
        trust_policies.document(
            Trust([grid.pool_id], Kind.AUTHENTICATED, [grid.provider], [grid.identity], tags_session=True)
        )
    )
    assert [grid.role.accepts(token) for token in grid.tokens] == [token == grid.user for token in grid.tokens]


def _parsed(document: Json) -> Policy:
    return policy_language.parse(json.dumps(document), "grid")


def _read(token: str) -> Token:
    claims = claims_of(token)
    issuer = claims["iss"].removeprefix("https://")
    return Token(issuer, claims["aud"], claims["sub"], tuple(claims.get("amr", ())))


def _reason(statements: list[Json], ours: bool | None) -> str | None:
    """The named reason for which the two may differ about these statements."""
    written = json.dumps(statements)
    if ours is True and any(each["Principal"] == {"AWS": "*"} for each in statements):
        return ANYONE_AS_AWS
    if ours is None and "aws:SourceIp" in written:
        return OF_THE_REQUEST
    if ours is None and any(AMR in each.get("Condition", {}).get(name, {}) for each in statements for name in _SINGLE):
        return LISTS_COMPARED_AS_ONE
    return None
