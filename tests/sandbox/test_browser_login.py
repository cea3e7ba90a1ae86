"""The authorization code grant with PKCE (RFC 6749, 7636, 8252)."""

import pytest

from credhelper.sandbox.authorizations import RefusedError
from credhelper.sandbox.server import Sandbox

from .clients import CALLBACK_WITH_PORT, VERIFIER, Clients, Clock, challenge, query_of, refused


def test_code_and_state_come_back_and_buy_tokens(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_browser()
    location = sandbox.authorize(clients.authorize_url(client, state="a state"))
    assert location.startswith(f"{CALLBACK_WITH_PORT}?")
    answer = query_of(location)
    assert answer["state"] == "a state"
    tokens = clients.redeem(client, answer["code"])
    assert {"accessToken", "refreshToken", "expiresIn"} <= tokens.keys()
    assert clients.role_credentials(tokens["accessToken"])


def test_a_denial_comes_back_with_the_state(clients: Clients, sandbox: Sandbox) -> None:
    client = clients.register_for_browser()
    answer = query_of(sandbox.authorize(clients.authorize_url(client, state="s"), deny=True))
    assert (answer["error"], answer["state"]) == ("access_denied", "s")
    assert "code" not in answer


@pytest.mark.parametrize("port", [1, 80, 65535])
def test_any_port_of_the_loopback_is_fine(clients: Clients, sandbox: Sandbox, port: int) -> None:
    redirect_uri = f"http://127.0.0.1:{port}/oauth/callback"
    url = clients.authorize_url(clients.register_for_browser(), redirect_uri=redirect_uri)
    assert sandbox.authorize(url).startswith(f"{redirect_uri}?")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "http://127.0.0.1:8080/other",
        "http://127.0.0.1:8080/oauth/callback/",
        "http://127.0.0.1:8080/oauth/callback?x=1",
        "http://127.0.0.1:8080/oauth/callback#x",
        "http://localhost:8080/oauth/callback",
        "http://127.0.0.2:8080/oauth/callback",
        "http://[::1]:8080/oauth/callback",
        "https://127.0.0.1:8080/oauth/callback",
        "HTTP://127.0.0.1:8080/oauth/callback",
        "http://127.0.0.1:8080@example.com/oauth/callback",
        "http://u@127.0.0.1:8080/oauth/callback",
        "http://127.0.0.1:0x50/oauth/callback",
        "http://127.0.0.1:080/oauth/callback",
        "http://example.com/oauth/callback",
        "http://127.0.0.1:8080/oauth/callback\r\nX: y",
    ],
)
def test_a_foreign_redirect_uri_is_never_followed(clients: Clients, sandbox: Sandbox, redirect_uri: str | None) -> None:
    url = clients.authorize_url(clients.register_for_browser(), redirect_uri=redirect_uri)
    with pytest.raises(RefusedError):
        sandbox.authorize(url)


def test_an_unknown_or_expired_client_is_never_redirected(clients: Clients, sandbox: Sandbox, clock: Clock) -> None:
    client = clients.register_for_browser()
    with pytest.raises(RefusedError):
        sandbox.authorize(clients.authorize_url(client, client_id="nobody"))
    url = clients.authorize_url(client)
    clock.advance(90 * 24 * 3600)
    with pytest.raises(RefusedError):
        sandbox.authorize(url)


def test_a_repeated_parameter_is_refused(clients: Clients, sandbox: Sandbox) -> None:
    with pytest.raises(RefusedError):
        sandbox.authorize(clients.authorize_url(clients.register_for_browser()) + "&state=other")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge": challenge(VERIFIER) + "="}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"scopes": "codecatalyst:read_write"}, "invalid_scope"),
        ({"scopes": ""}, "invalid_scope"),
    ],
)
def test_the_clients_own_mistakes_are_told_at_its_redirect_uri(
    clients: Clients, sandbox: Sandbox, change: dict[str, str | None], error: str
) -> None:
    answer = query_of(sandbox.authorize(clients.authorize_url(clients.register_for_browser(), **change)))
    assert answer["error"] == error
    assert "code" not in answer


def test_a_device_client_cannot_use_the_page(clients: Clients, sandbox: Sandbox) -> None:
    with pytest.raises(RefusedError):
        sandbox.authorize(clients.authorize_url(clients.register_for_device()))
    named_no_such_grant = clients.register_for_browser(grantTypes=["refresh_token"])
    answer = query_of(sandbox.authorize(clients.authorize_url(named_no_such_grant)))
    assert answer["error"] == "unauthorized_client"


def _code(clients: Clients, client: dict[str, str]) -> str:
    return query_of(clients.sandbox.authorize(clients.authorize_url(client)))["code"]


def test_a_code_lives_for_a_minute(clients: Clients, clock: Clock) -> None:
    client = clients.register_for_browser()
    code = _code(clients, client)
    clock.advance(60)
    with refused("InvalidGrantException", 400):
        clients.redeem(client, code)


def test_a_code_used_twice_ends_the_session_it_began(clients: Clients) -> None:
    client = clients.register_for_browser()
    code = _code(clients, client)
    tokens = clients.redeem(client, code)
    with refused("InvalidGrantException", 400):
        clients.redeem(client, code)
    with refused("UnauthorizedException", 401):
        clients.role_credentials(tokens["accessToken"])


def test_a_code_belongs_to_its_client(clients: Clients) -> None:
    client, other = clients.register_for_browser(), clients.register_for_browser()
    code = _code(clients, client)
    with refused("InvalidGrantException", 400):
        clients.redeem(other, code)
    assert clients.redeem(client, code)["accessToken"]


def test_the_redirect_uri_must_be_the_one_of_the_page(clients: Clients) -> None:
    client = clients.register_for_browser()
    with refused("InvalidGrantException", 400):
        clients.redeem(client, _code(clients, client), redirectUri="http://127.0.0.1:1/oauth/callback")


@pytest.mark.parametrize(
    ("verifier", "error"),
    [
        (VERIFIER[:-1] + "x", "InvalidGrantException"),
        (challenge(VERIFIER), "InvalidGrantException"),
        ("short", "InvalidRequestException"),
        ("x" * 42, "InvalidRequestException"),
        ("x" * 129, "InvalidRequestException"),
        ("x" * 42 + "+", "InvalidRequestException"),
        ("x" * 42 + "é", "InvalidRequestException"),
        ("x" * 43 + "\n", "InvalidRequestException"),
    ],
)
def test_only_the_verifier_of_the_challenge_opens(clients: Clients, verifier: str, error: str) -> None:
    client = clients.register_for_browser()
    with refused(error, 400):
        clients.redeem(client, _code(clients, client), codeVerifier=verifier)


def test_a_failed_attempt_uses_the_code_up(clients: Clients) -> None:
    client = clients.register_for_browser()
    code = _code(clients, client)
    with refused("InvalidGrantException", 400):
        clients.redeem(client, code, codeVerifier="x" * 43)
    with refused("InvalidGrantException", 400):
        clients.redeem(client, code)


@pytest.mark.parametrize("missing", ["code", "redirectUri", "codeVerifier"])
def test_nothing_may_be_missing(clients: Clients, missing: str) -> None:
    given = {"code": "c", "redirectUri": CALLBACK_WITH_PORT, "codeVerifier": VERIFIER}
    del given[missing]
    with refused("InvalidRequestException", 400):
        clients.oidc.create_token(**clients.register_for_browser(), grantType="authorization_code", **given)


def test_only_our_own_authorize_page_can_be_visited(clients: Clients, sandbox: Sandbox) -> None:
    url = clients.authorize_url(clients.register_for_browser())
    with pytest.raises(ValueError, match="authorize URL"):
        sandbox.authorize(url.replace("/authorize", "/elsewhere"))
