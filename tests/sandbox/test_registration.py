"""RegisterClient and what a registration permits."""

from typing import Any

import pytest

from credhelper.sandbox.server import Sandbox

from .clients import CALLBACK, Clients, Clock, refused

NINETY_DAYS = 90 * 24 * 3600


def test_a_registration_lasts_ninety_days(clients: Clients, clock: Clock) -> None:
    answer = clients.oidc.register_client(clientName="c", clientType="public")
    assert answer["clientIdIssuedAt"] == int(clock.now)
    assert answer["clientSecretExpiresAt"] == int(clock.now) + NINETY_DAYS


def test_every_registration_is_a_client_of_its_own(clients: Clients) -> None:
    assert clients.register_for_device() != clients.register_for_device()


def test_an_expired_client_is_unknown(clients: Clients, clock: Clock) -> None:
    client = clients.register_for_device()
    clock.advance(NINETY_DAYS)
    with refused("InvalidClientException", 401):
        clients.start_device(client)


def test_a_forgotten_client_is_unknown(clients: Clients, sandbox: Sandbox) -> None:
    client, tokens = clients.log_in()
    sandbox.forget_client(client["clientId"])
    with refused("InvalidClientException", 401):
        clients.refresh(client, tokens)


def test_the_client_secret_must_be_right(clients: Clients) -> None:
    client = clients.register_for_device()
    with refused("InvalidClientException", 401):
        clients.start_device({**client, "clientSecret": "guessed"})
    with refused("InvalidClientException", 401):
        clients.start_device({**client, "clientId": "nobody"})


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"clientType": "confidential"}, "InvalidClientMetadataException"),
        ({"scopes": ["everything"]}, "InvalidScopeException"),
        ({"grantTypes": ["password"]}, "UnsupportedGrantTypeException"),
        ({"issuerUrl": "https://elsewhere.awsapps.com/start"}, "InvalidRequestException"),
        ({"issuerUrl": "http://["}, "InvalidRequestException"),
        ({"redirectUris": []}, "InvalidRedirectUriException"),
        ({"redirectUris": ["https://127.0.0.1/oauth/callback"]}, "InvalidRedirectUriException"),
        ({"redirectUris": ["http://localhost/oauth/callback"]}, "InvalidRedirectUriException"),
        ({"redirectUris": ["http://127.0.0.1@example.com/oauth/callback"]}, "InvalidRedirectUriException"),
        ({"redirectUris": [CALLBACK, "http://127.0.0.1/cb?x=1"]}, "InvalidRedirectUriException"),
        ({"redirectUris": ["http://127.0.0.1:99999/cb"]}, "InvalidRedirectUriException"),
        ({"redirectUris": ["http://127.0.0.1"]}, "InvalidRedirectUriException"),
    ],
)
def test_wrong_metadata_is_refused(clients: Clients, wrong: dict[str, Any], error: str) -> None:
    with refused(error, 400):
        clients.register_for_browser(**wrong)


def test_the_code_grant_needs_to_know_the_instance(clients: Clients) -> None:
    with refused("InvalidRequestException", 400):
        clients.oidc.register_client(
            clientName="c", clientType="public", grantTypes=["authorization_code"], redirectUris=[CALLBACK]
        )


@pytest.mark.parametrize("ending", ["", "/", "#", "#/", "/#/"])
def test_the_start_url_is_taken_in_every_spelling_people_use(clients: Clients, ending: str) -> None:
    client = clients.register_for_device()
    for start_url in (clients.sandbox.start_url, f"{clients.sandbox.url}/start"):
        answer = clients.oidc.start_device_authorization(**client, startUrl=start_url + ending)
        assert answer["userCode"]


def test_a_client_is_held_to_the_grants_it_registered(clients: Clients) -> None:
    browser_client = clients.register_for_browser()
    with refused("UnauthorizedClientException", 400):
        clients.start_device(browser_client)
    device_client = clients.register_for_device()
    with refused("UnauthorizedClientException", 400):
        clients.redeem(device_client, "code")
    with refused("UnsupportedGrantTypeException", 400):
        clients.oidc.create_token(**device_client, grantType="password")
