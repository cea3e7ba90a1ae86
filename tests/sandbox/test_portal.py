"""What a signed-in person may list and use."""

import re
from dataclasses import replace
from typing import Any

import pytest

from credhelper.sandbox.directory import Role, default_directory, large_directory
from credhelper.sandbox.server import Sandbox

from .clients import BILLING, DEVELOPMENT, PRODUCTION, STAGING, Clients, Clock, Wire, refused


def _token(clients: Clients, person: str = "alice", **registration: Any) -> str:
    return str(clients.log_in(person, **registration)[1]["accessToken"])


def test_role_credentials_look_like_those_of_aws(clients: Clients, clock: Clock) -> None:
    keys = clients.role_credentials(_token(clients))
    assert re.fullmatch(r"ASIA[A-Z0-9]{16}", keys["accessKeyId"])
    assert re.fullmatch(r"[A-Za-z0-9/+]{40}", keys["secretAccessKey"])
    assert len(keys["sessionToken"]) > 500
    assert keys["expiration"] == (int(clock.now) + 3600) * 1000


def test_every_call_makes_new_keys(clients: Clients) -> None:
    token = _token(clients)
    assert clients.role_credentials(token)["accessKeyId"] != clients.role_credentials(token)["accessKeyId"]


def test_a_role_can_have_a_session_duration_of_its_own(clock: Clock) -> None:
    directory = default_directory()
    roles = tuple(replace(role, session_seconds=900) for role in directory.roles)
    with Sandbox(clock=clock, directory=replace(directory, roles=roles)) as sandbox:
        clients = Clients(sandbox)
        keys = clients.role_credentials(_token(clients))
        assert keys["expiration"] == (int(clock.now) + 900) * 1000
        clients.close()


@pytest.mark.parametrize(
    ("account", "role"),
    [
        (BILLING, "Billing"),
        (PRODUCTION, "Developer"),
        (DEVELOPMENT, "NoSuchRole"),
        ("999999999999", "Developer"),
    ],
)
def test_an_unassigned_role_is_forbidden(clients: Clients, account: str, role: str) -> None:
    with refused("ForbiddenException", 403):
        clients.role_credentials(_token(clients), account, role)


def test_assignments_can_come_and_go(clients: Clients, sandbox: Sandbox) -> None:
    token = _token(clients)
    sandbox.unassign("alice", DEVELOPMENT, "Developer")
    with refused("ForbiddenException", 403):
        clients.role_credentials(token)
    sandbox.assign("alice", DEVELOPMENT, "Developer")
    assert clients.role_credentials(token)
    with pytest.raises(ValueError, match="directory"):
        sandbox.assign("alice", DEVELOPMENT, "NoSuchRole")


def test_people_see_their_own_accounts_and_roles(clients: Clients) -> None:
    alice, bob = _token(clients, "alice"), _token(clients, "bob")
    assert _accounts(clients, alice) == [DEVELOPMENT, STAGING, PRODUCTION]
    assert _accounts(clients, bob) == [STAGING, PRODUCTION, BILLING]
    assert _roles(clients, alice, PRODUCTION) == ["ReadOnly"]
    assert _roles(clients, bob, PRODUCTION) == ["Administrator", "ReadOnly"]


def test_names_beyond_ascii_arrive_whole(clients: Clients) -> None:
    accounts = clients.portal.list_accounts(accessToken=_token(clients, "bob"))["accountList"]
    assert "Büro Zürich · Abrechnung" in [account["accountName"] for account in accounts]


def test_roles_of_an_account_one_has_no_part_in_are_forbidden(clients: Clients) -> None:
    with refused("ForbiddenException", 403):
        _roles(clients, _token(clients), BILLING)
    with refused("ResourceNotFoundException", 404):
        _roles(clients, _token(clients), "999999999999")


def test_long_lists_come_in_pages(clock: Clock) -> None:
    with Sandbox(clock=clock, directory=large_directory(250, 5)) as sandbox:
        clients = Clients(sandbox)
        token = _token(clients)
        pages = list(clients.portal.get_paginator("list_accounts").paginate(accessToken=token))
        assert [len(page["accountList"]) for page in pages] == [100, 100, 50]
        assert len({account["accountId"] for page in pages for account in page["accountList"]}) == 250
        roles = clients.portal.get_paginator("list_account_roles").paginate(
            accessToken=token, accountId="100000000007", PaginationConfig={"PageSize": 2}
        )
        assert [len(page["roleList"]) for page in roles] == [2, 2, 1]
        clients.close()


def test_the_token_of_a_page_belongs_to_its_list(clients: Clients) -> None:
    token = _token(clients)
    next_token = clients.portal.list_accounts(accessToken=token, maxResults=1)["nextToken"]
    for wrong in (next_token + "x", "%%%", "é"):
        with refused("InvalidRequestException", 400):
            clients.portal.list_accounts(accessToken=token, nextToken=wrong)
    with refused("InvalidRequestException", 400):
        clients.portal.list_account_roles(accessToken=token, accountId=DEVELOPMENT, nextToken=next_token)


@pytest.mark.parametrize("token", ["", "made-up", "aoaX"])
def test_a_bearer_token_must_be_one_of_ours(clients: Clients, token: str) -> None:
    with refused("UnauthorizedException", 401):
        clients.portal.list_accounts(accessToken=token)


def test_a_missing_bearer_token_is_unauthorized(wire: Wire) -> None:
    status, headers, body = wire.request("GET", "/assignment/accounts")
    assert (status, headers["x-amzn-errortype"]) == (401, "UnauthorizedException")
    assert b'"__type": "UnauthorizedException"' in body


def test_a_refresh_token_opens_nothing(clients: Clients) -> None:
    with refused("UnauthorizedException", 401):
        clients.portal.list_accounts(accessToken=clients.log_in()[1]["refreshToken"])


def test_a_token_for_other_things_has_no_account_access(clients: Clients) -> None:
    token = _token(clients, scopes=["codecatalyst:read_write"])
    with refused("ForbiddenException", 403):
        clients.role_credentials(token)
    clients.portal.logout(accessToken=token)


def test_a_directory_names_only_what_it_has() -> None:
    with pytest.raises(ValueError, match="directory"):
        replace(default_directory(), roles=(Role("Other"),))


def _accounts(clients: Clients, token: str) -> list[str]:
    return [account["accountId"] for account in clients.portal.list_accounts(accessToken=token)["accountList"]]


def _roles(clients: Clients, token: str, account: str) -> list[str]:
    answer = clients.portal.list_account_roles(accessToken=token, accountId=account)
    return [role["roleName"] for role in answer["roleList"]]
