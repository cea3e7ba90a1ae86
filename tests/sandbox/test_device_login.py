"""The device code grant (RFC 8628) as the AWS CLI walks through it."""

import pytest

from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox

from .clients import ACCOUNT_ACCESS, DEVICE_GRANT, Clients, Clock, refused


def test_the_answer_tells_where_to_go_and_how_often_to_ask(clients: Clients, sandbox: Sandbox) -> None:
    device = clients.start_device(clients.register_for_device())
    assert device["verificationUri"] == f"{sandbox.url}/device"
    assert device["verificationUriComplete"] == f"{sandbox.url}/device?user_code={device['userCode']}"
    assert (device["expiresIn"], device["interval"]) == (600, 5)


def test_tokens_come_once_a_person_has_approved(clients: Clients, sandbox: Sandbox, clock: Clock) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    with refused("AuthorizationPendingException", 400):
        clients.poll(client, device)
    sandbox.approve(device["userCode"])
    tokens = clients.poll(client, device)
    assert (tokens["tokenType"], tokens["expiresIn"]) == ("Bearer", 3600)
    assert "idToken" not in tokens


def test_the_aws_cli_is_never_told_to_slow_down(clients: Clients, sandbox: Sandbox, clock: Clock) -> None:
    """It polls before it shows the code and right after, then keeps the interval."""
    client = clients.register_for_device()
    device = clients.start_device(client)
    for pause in (0, 0.01, 5, 5.01, 5):
        clock.advance(pause)
        with refused("AuthorizationPendingException", 400):
            clients.poll(client, device)
    sandbox.approve(device["userCode"])
    clock.advance(5)
    assert clients.poll(client, device)["accessToken"]


def test_who_polls_too_fast_must_wait_five_seconds_longer(clients: Clients, clock: Clock) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    for _ in range(2):
        with refused("AuthorizationPendingException", 400):
            clients.poll(client, device)
    clock.advance(4.9)
    with refused("SlowDownException", 400):
        clients.poll(client, device)
    clock.advance(9.9)
    with refused("SlowDownException", 400):
        clients.poll(client, device)
    clock.advance(15)
    with refused("AuthorizationPendingException", 400):
        clients.poll(client, device)


def test_without_an_interval_one_may_poll_at_will(clock: Clock) -> None:
    with Sandbox(clock=clock, lifetimes=Lifetimes(interval=0)) as sandbox:
        clients = Clients(sandbox)
        client = clients.register_for_device()
        device = clients.start_device(client)
        for _ in range(4):
            with refused("AuthorizationPendingException", 400):
                clients.poll(client, device)
        clients.close()


def test_a_device_code_works_once(clients: Clients, sandbox: Sandbox, clock: Clock) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    sandbox.approve(device["userCode"])
    clients.poll(client, device)
    clock.advance(5)
    with refused("InvalidGrantException", 400):
        clients.poll(client, device)


def test_a_denial_is_told(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    sandbox.deny(device["userCode"])
    with refused("AccessDeniedException", 400):
        clients.poll(client, device)


def test_a_device_code_expires(clients: Clients, sandbox: Sandbox, clock: Clock) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    clock.advance(600)
    with refused("ExpiredTokenException", 400):
        clients.poll(client, device)
    with pytest.raises(LookupError):
        sandbox.approve(device["userCode"])


def test_a_device_code_belongs_to_its_client(clients: Clients, sandbox: Sandbox) -> None:
    device = clients.start_device(clients.register_for_device())
    sandbox.approve(device["userCode"])
    with refused("InvalidGrantException", 400):
        clients.poll(clients.register_for_device(), device)


def test_a_foreign_start_url_is_refused(clients: Clients) -> None:
    with refused("InvalidRequestException", 400):
        clients.oidc.start_device_authorization(
            **clients.register_for_device(), startUrl="https://elsewhere.awsapps.com/start"
        )


def test_the_device_code_must_be_sent(clients: Clients) -> None:
    with refused("InvalidRequestException", 400):
        clients.oidc.create_token(**clients.register_for_device(), grantType=DEVICE_GRANT)


def test_scopes_cannot_grow(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    with refused("InvalidScopeException", 400):
        clients.oidc.create_token(
            **client,
            grantType=DEVICE_GRANT,
            deviceCode=device["deviceCode"],
            scope=["codecatalyst:read_write"],
        )


def test_a_refresh_token_comes_with_the_scope_or_the_grant(clients: Clients) -> None:
    _, with_scope = clients.log_in(scopes=[ACCOUNT_ACCESS])
    _, with_grant = clients.log_in(grantTypes=[DEVICE_GRANT, "refresh_token"])
    _, without_grant = clients.log_in(grantTypes=[DEVICE_GRANT])
    assert "refreshToken" in with_scope
    assert "refreshToken" in with_grant
    assert "refreshToken" not in without_grant


def test_a_legacy_registration_gets_an_access_token_only(clients: Clients, sandbox: Sandbox) -> None:
    answer = clients.oidc.register_client(clientName="botocore-client-1700000000", clientType="public")
    client = {"clientId": answer["clientId"], "clientSecret": answer["clientSecret"]}
    device = clients.start_device(client)
    sandbox.approve(device["userCode"])
    tokens = clients.poll(client, device)
    assert "refreshToken" not in tokens
    assert clients.role_credentials(tokens["accessToken"])


def test_only_people_of_the_directory_can_approve(clients: Clients, sandbox: Sandbox) -> None:
    device = clients.start_device(clients.register_for_device())
    with pytest.raises(LookupError):
        sandbox.approve(device["userCode"], person="mallory")


def test_codes_may_be_typed_as_people_type(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    sandbox.approve(device["userCode"].lower().replace("-", " "))
    assert clients.poll(client, device)["accessToken"]
