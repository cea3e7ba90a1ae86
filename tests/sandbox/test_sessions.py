"""Refreshing, logging out, and everything else that ends a session."""

from credhelper.sandbox.server import Sandbox

from .clients import Clients, Clock, refused


def test_a_refresh_token_works_once(clients: Clients) -> None:
    client, tokens = clients.log_in()
    renewed = clients.refresh(client, tokens)
    assert renewed["refreshToken"] != tokens["refreshToken"]
    with refused("InvalidGrantException", 400):
        clients.refresh(client, tokens)
    assert clients.refresh(client, renewed)["accessToken"]


def test_the_access_token_before_a_refresh_stays_good_until_it_expires(clients: Clients, clock: Clock) -> None:
    client, tokens = clients.log_in()
    clients.refresh(client, tokens)
    assert clients.role_credentials(tokens["accessToken"])
    clock.advance(3600)
    with refused("UnauthorizedException", 401):
        clients.role_credentials(tokens["accessToken"])


def test_an_expired_access_token_can_still_be_refreshed(clients: Clients, clock: Clock) -> None:
    client, tokens = clients.log_in_by_browser()
    clock.advance(7 * 3600)
    assert clients.role_credentials(clients.refresh(client, tokens)["accessToken"])


def test_a_refresh_token_belongs_to_its_client(clients: Clients) -> None:
    client, tokens = clients.log_in()
    with refused("InvalidGrantException", 400):
        clients.refresh(clients.register_for_device(), tokens)
    assert clients.refresh(client, tokens)["accessToken"]


def test_a_refresh_cannot_add_scopes(clients: Clients) -> None:
    client, tokens = clients.log_in()
    with refused("InvalidScopeException", 400):
        clients.oidc.create_token(
            **client,
            grantType="refresh_token",
            refreshToken=tokens["refreshToken"],
            scope=["codecatalyst:read_write"],
        )


def test_access_tokens_and_refreshing_end_with_the_session(clients: Clients, clock: Clock) -> None:
    client, tokens = clients.log_in()
    clock.advance(7.5 * 3600)
    last = clients.refresh(client, tokens)
    assert last["expiresIn"] == 1800
    clock.advance(1800)
    with refused("UnauthorizedException", 401):
        clients.role_credentials(last["accessToken"])
    with refused("InvalidGrantException", 400):
        clients.refresh(client, last)


def test_without_rotation_the_old_refresh_token_stays_good(clients: Clients, sandbox: Sandbox) -> None:
    client, tokens = clients.log_in()
    sandbox.rotate_refresh_tokens(False)
    assert "refreshToken" not in clients.refresh(client, tokens)
    assert clients.refresh(client, tokens)["accessToken"]


def test_logout_ends_all_tokens_of_that_sign_in_and_no_other(clients: Clients) -> None:
    client, tokens = clients.log_in()
    renewed = clients.refresh(client, tokens)
    _, elsewhere = clients.log_in()
    clients.portal.logout(accessToken=tokens["accessToken"])
    for ended in (tokens, renewed):
        with refused("UnauthorizedException", 401):
            clients.role_credentials(ended["accessToken"])
    with refused("InvalidGrantException", 400):
        clients.refresh(client, renewed)
    assert clients.role_credentials(elsewhere["accessToken"])


def test_logging_out_twice_is_unauthorized(clients: Clients) -> None:
    _, tokens = clients.log_in()
    clients.portal.logout(accessToken=tokens["accessToken"])
    with refused("UnauthorizedException", 401):
        clients.portal.logout(accessToken=tokens["accessToken"])


def test_role_credentials_outlive_the_logout(clients: Clients) -> None:
    _, tokens = clients.log_in()
    keys = clients.role_credentials(tokens["accessToken"])
    clients.portal.logout(accessToken=tokens["accessToken"])
    assert clients.caller_identity(keys)["Account"]


def test_an_administrator_can_end_one_persons_sessions(clients: Clients, sandbox: Sandbox) -> None:
    alice_client, alice = clients.log_in("alice")
    _, bob = clients.log_in("bob")
    sandbox.end_session("alice")
    with refused("InvalidGrantException", 400):
        clients.refresh(alice_client, alice)
    with refused("UnauthorizedException", 401):
        clients.portal.list_accounts(accessToken=alice["accessToken"])
    assert clients.portal.list_accounts(accessToken=bob["accessToken"])["accountList"]


def test_a_session_that_ends_before_the_device_asks_gives_nothing(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_device()
    device = clients.start_device(client)
    sandbox.approve(device["userCode"])
    sandbox.end_session("alice")
    with refused("InvalidGrantException", 400):
        clients.poll(client, device)


def test_single_tokens_can_be_revoked(clients: Clients, sandbox: Sandbox) -> None:
    client, tokens = clients.log_in()
    sandbox.revoke(tokens["accessToken"])
    with refused("UnauthorizedException", 401):
        clients.role_credentials(tokens["accessToken"])
    renewed = clients.refresh(client, tokens)
    sandbox.revoke(renewed["refreshToken"])
    with refused("InvalidGrantException", 400):
        clients.refresh(client, renewed)
    assert clients.role_credentials(renewed["accessToken"])


def test_all_tokens_of_a_kind_can_be_revoked(clients: Clients, sandbox: Sandbox) -> None:
    client, tokens = clients.log_in()
    sandbox.revoke_access_tokens("alice")
    with refused("UnauthorizedException", 401):
        clients.role_credentials(tokens["accessToken"])
    renewed = clients.refresh(client, tokens)
    sandbox.revoke_refresh_tokens("alice")
    with refused("InvalidGrantException", 400):
        clients.refresh(client, renewed)
    assert clients.role_credentials(renewed["accessToken"])
