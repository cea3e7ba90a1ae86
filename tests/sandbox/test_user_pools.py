"""User pools: SRP and its challenges, refreshing with and without rotation, signing out, the managed login."""

import base64
import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from credhelper.sandbox import json_web_tokens
from credhelper.sandbox.cognito_directory import CLIENT_ID, CONFIDENTIAL_CLIENT_ID, ROTATING_CLIENT_ID, USER_POOL_ID
from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.secure_remote_password import GENERATOR, PRIME, padded
from credhelper.sandbox.server import Sandbox

from .clients import Clients, Clock, Wire
from .pool_clients import PoolClients, refused

CALLBACK = "http://127.0.0.1:8400/callback"
TIMESTAMP = "Mon Nov 30 20:22:00 UTC 2026"


@pytest.fixture
def pools(clients: Clients) -> PoolClients:
    return PoolClients(clients)


def by_srp(pools: PoolClients, name: str, password: str, *, client_id: str = CLIENT_ID, **more: str) -> Any:
    """The first half of a sign-in, as a client that knows the password does it; `more` goes with every message."""
    private = secrets.randbits(256)
    public = pow(GENERATOR, private, PRIME)
    challenge = pools.users.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_SRP_AUTH",
        AuthParameters={"USERNAME": name, "SRP_A": f"{public:x}", **more},
    )["ChallengeParameters"]
    pool, user = USER_POOL_ID.partition("_")[2], challenge["USER_ID_FOR_SRP"]
    theirs = int(challenge["SRP_B"], 16)
    u = _hash(padded(public), padded(theirs))
    x = _hash(padded(int(challenge["SALT"], 16)), hashlib.sha256(f"{pool}{user}:{password}".encode()).digest())
    k = _hash(padded(PRIME), padded(GENERATOR))
    shared = pow(theirs - k * pow(GENERATOR, x, PRIME), private + u * x, PRIME)
    key = hmac.digest(hmac.digest(padded(u), padded(shared), "sha256"), b"Caldera Derived Key\x01", "sha256")[:16]
    block = base64.b64decode(challenge["SECRET_BLOCK"])
    signature = hmac.digest(key, pool.encode() + user.encode() + block + TIMESTAMP.encode(), "sha256")
    return pools.users.respond_to_auth_challenge(
        ClientId=client_id,
        ChallengeName="PASSWORD_VERIFIER",
        ChallengeResponses={
            "USERNAME": challenge["USERNAME"],
            "PASSWORD_CLAIM_SECRET_BLOCK": challenge["SECRET_BLOCK"],
            "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(signature).decode(),
            "TIMESTAMP": TIMESTAMP,
            **more,
        },
    )


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


def answer(pools: PoolClients, challenge: Any, name: str, **responses: str) -> Any:
    """The response to a challenge."""
    return pools.users.respond_to_auth_challenge(
        ClientId=CLIENT_ID,
        ChallengeName=challenge["ChallengeName"],
        Session=challenge["Session"],
        ChallengeResponses={"USERNAME": name, **responses},
    )


def test_the_prime_is_that_of_rfc_3526() -> None:
    """2^3072 - 2^3008 - 1 + 2^64 * (floor(2^2942 pi) + 1690314), with pi by Machin's formula."""
    bits = 2942
    one = 1 << (bits + 64)

    def arc_tangent(inverse: int) -> int:
        term, total, n = one // inverse, 0, 1
        while term:
            total += term // n if n % 4 == 1 else -(term // n)
            term //= inverse * inverse
            n += 2
        return total

    pi = 4 * (4 * arc_tangent(5) - arc_tangent(239)) >> 64
    assert (1 << 3072) - (1 << 3008) - 1 + (1 << 64) * (pi + 1690314) == PRIME


def test_the_right_password_signs_in_and_a_wrong_one_does_not(pools: PoolClients) -> None:
    tokens = by_srp(pools, "alice", "correct-horse")["AuthenticationResult"]
    assert pools.users.get_user(AccessToken=tokens["AccessToken"])["Username"] == "alice"
    with refused("NotAuthorizedException", "Incorrect username or password"):
        by_srp(pools, "alice", "wrong")
    with refused("UserNotFoundException"):
        by_srp(pools, "mallory", "wrong")


@pytest.mark.parametrize("a", ["0", f"{PRIME:x}", f"{2 * PRIME:x}", "x"])
def test_no_public_value_lets_anybody_in(pools: PoolClients, a: str) -> None:
    with refused("InvalidParameterException"):
        pools.users.initiate_auth(
            ClientId=CLIENT_ID, AuthFlow="USER_SRP_AUTH", AuthParameters={"USERNAME": "alice", "SRP_A": a}
        )


def test_an_authenticators_code_is_asked_for(pools: PoolClients, sandbox: Sandbox) -> None:
    challenge = by_srp(pools, "carol", "correct-horse")
    assert challenge["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
    with refused("CodeMismatchException"):
        answer(pools, challenge, "carol", SOFTWARE_TOKEN_MFA_CODE="000000")
    code = sandbox.cognito.totp("carol")
    assert answer(pools, challenge, "carol", SOFTWARE_TOKEN_MFA_CODE=code)["AuthenticationResult"]["IdToken"]


def test_a_code_is_sent(pools: PoolClients, sandbox: Sandbox, clock: Clock) -> None:
    challenge = by_srp(pools, "erin", "correct-horse")
    assert challenge["ChallengeName"] == "SMS_MFA"
    assert challenge["ChallengeParameters"]["CODE_DELIVERY_DESTINATION"]
    code = sandbox.cognito.code_sent_to("erin")
    clock.advance(181)
    with refused("NotAuthorizedException", "session is expired"):
        answer(pools, challenge, "erin", SMS_MFA_CODE=code)


def test_a_first_password_must_be_changed(pools: PoolClients) -> None:
    challenge = by_srp(pools, "dave", "first-password")
    assert challenge["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    with refused("InvalidPasswordException"):
        answer(pools, challenge, "dave", NEW_PASSWORD="short")
    assert answer(pools, challenge, "dave", NEW_PASSWORD="second-password")["AuthenticationResult"]
    assert by_srp(pools, "dave", "second-password")["AuthenticationResult"]


def test_a_client_with_a_secret_wants_its_hash(pools: PoolClients) -> None:
    digest = hmac.digest(b"sandbox-client-secret-of-one", f"alice{CONFIDENTIAL_CLIENT_ID}".encode(), "sha256")
    good = base64.b64encode(digest).decode()
    with refused("NotAuthorizedException", "secret hash"):
        by_srp(pools, "alice", "correct-horse", client_id=CONFIDENTIAL_CLIENT_ID)
    assert by_srp(pools, "alice", "correct-horse", client_id=CONFIDENTIAL_CLIENT_ID, SECRET_HASH=good)


def refresh(pools: PoolClients, token: str, client_id: str = CLIENT_ID, **secret: str) -> dict[str, Any]:
    """GetTokensFromRefreshToken."""
    given = pools.users.get_tokens_from_refresh_token(RefreshToken=token, ClientId=client_id, **secret)
    result: dict[str, Any] = given["AuthenticationResult"]
    return result


def test_without_rotation_a_refresh_token_stays(pools: PoolClients, sandbox: Sandbox, clock: Clock) -> None:
    token = sandbox.cognito.log_in().refresh_token or ""
    clock.advance(7200)
    assert "RefreshToken" not in refresh(pools, token)
    assert refresh(pools, token)["IdToken"]
    clock.advance(31 * 24 * 3600)
    with refused("NotAuthorizedException", "expired"):
        refresh(pools, token)


def test_with_rotation_each_is_good_once_and_for_its_grace(pools: PoolClients, sandbox: Sandbox, clock: Clock) -> None:
    first = sandbox.cognito.log_in(client_id=ROTATING_CLIENT_ID).refresh_token or ""
    second = refresh(pools, first, ROTATING_CLIENT_ID)["RefreshToken"]
    with refused("RefreshTokenReuseException"):
        refresh(pools, first, ROTATING_CLIENT_ID)
    client = sandbox.cognito.client(ROTATING_CLIENT_ID)
    sandbox.cognito.put_client(replace(client, rotation_grace=60))
    third = refresh(pools, second, ROTATING_CLIENT_ID)["RefreshToken"]
    clock.advance(59)
    assert refresh(pools, second, ROTATING_CLIENT_ID)["RefreshToken"] not in {second, third}
    clock.advance(1)
    with refused("RefreshTokenReuseException"):
        refresh(pools, second, ROTATING_CLIENT_ID)


def test_what_ends_a_session_ends_its_refresh_token(pools: PoolClients, sandbox: Sandbox) -> None:
    first, second, third = (sandbox.cognito.log_in() for _ in range(3))
    pools.users.revoke_token(Token=first.refresh_token, ClientId=CLIENT_ID)
    with refused("NotAuthorizedException", "revoked"):
        refresh(pools, first.refresh_token or "")
    with refused("UnsupportedTokenTypeException"):
        pools.users.revoke_token(Token=second.access_token, ClientId=CLIENT_ID)
    pools.users.global_sign_out(AccessToken=second.access_token)
    with refused("NotAuthorizedException", "revoked"):
        refresh(pools, third.refresh_token or "")
    gone = sandbox.cognito.log_in("bob").refresh_token or ""
    sandbox.cognito.delete_user("bob")
    with refused("NotAuthorizedException"):
        refresh(pools, gone)


def test_a_refresh_token_is_its_clients(pools: PoolClients, sandbox: Sandbox) -> None:
    token = sandbox.cognito.log_in().refresh_token or ""
    with refused("NotAuthorizedException", "Invalid Refresh Token"):
        refresh(pools, token, ROTATING_CLIENT_ID)
    secret = sandbox.cognito.log_in(client_id=CONFIDENTIAL_CLIENT_ID).refresh_token or ""
    with refused("NotAuthorizedException", "credentials"):
        refresh(pools, secret, CONFIDENTIAL_CLIENT_ID)
    assert refresh(pools, secret, CONFIDENTIAL_CLIENT_ID, ClientSecret="sandbox-client-secret-of-one")["IdToken"]


# -- the managed login ------------------------------------------------------------------------------------------------

VERIFIER = "a-verifier-" + "~" * 50


def _challenge() -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def authorize_url(sandbox: Sandbox, **more: str) -> str:
    """A good one, unless told otherwise."""
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "state": "s",
        "nonce": "n",
        "code_challenge": _challenge(),
        "code_challenge_method": "S256",
    }
    return f"{sandbox.url}/oauth2/authorize?{urllib.parse.urlencode(query | more)}"


def fetch(url: str, form: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def code_of(location: str) -> str:
    """What the browser brings back."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))
    assert query["state"] == "s"
    return query["code"]


def exchange(sandbox: Sandbox, code: str, **more: str) -> tuple[int, Any]:
    """The token endpoint."""
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return fetch(f"{sandbox.url}/oauth2/token", form | more)


def test_discovery_leads_to_keys_that_check_the_id_token(sandbox: Sandbox) -> None:
    _, found = fetch(f"{sandbox.url}/{USER_POOL_ID}/.well-known/openid-configuration")
    assert found["issuer"] == f"https://cognito-idp.us-east-1.amazonaws.com/{USER_POOL_ID}"
    _, keys = fetch(found["jwks_uri"])
    (key,) = keys["keys"]
    n, e = (int.from_bytes(base64.urlsafe_b64decode(key[name] + "==")) for name in ("n", "e"))
    status, tokens = exchange(sandbox, code_of(sandbox.authorize(authorize_url(sandbox), "alice")))
    assert status == 200
    content, _, signature = tokens["id_token"].rpartition(".")
    RSAPublicNumbers(e, n).public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), content.encode(), PKCS1v15(), SHA256()
    )
    claims = json_web_tokens.claims_of(tokens["id_token"])
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (found["issuer"], CLIENT_ID, "n")
    assert (claims["token_use"], claims["cognito:username"]) == ("id", "alice")


def test_a_code_is_good_once_and_with_its_verifier_only(sandbox: Sandbox, clock: Clock) -> None:
    def fresh() -> str:
        return code_of(sandbox.authorize(authorize_url(sandbox), "alice"))

    code = fresh()
    assert exchange(sandbox, code)[0] == 200
    refusals = [
        exchange(sandbox, code),
        exchange(sandbox, fresh(), code_verifier="x" * 43),
        exchange(sandbox, fresh(), redirect_uri="http://127.0.0.1:8401/callback"),
    ]
    assert refusals == [(400, {"error": "invalid_grant"})] * 3
    assert exchange(sandbox, fresh(), client_id=ROTATING_CLIENT_ID) == (400, {"error": "invalid_client"})
    late = fresh()
    clock.advance(300)
    assert exchange(sandbox, late) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "more",
    [
        {"redirect_uri": "http://127.0.0.1:8402/callback"},
        {"redirect_uri": "http://localhost:8400/callback"},
        {"scope": "openid admin"},
        {"response_type": "token"},
        {"client_id": "nobody"},
        {"code_challenge_method": "plain"},
    ],
)
def test_a_request_that_is_not_registered_gets_a_page_and_no_redirect(sandbox: Sandbox, more: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        sandbox.authorize(authorize_url(sandbox, **more), "alice")


def test_who_calls_it_off_is_sent_back_with_an_error(sandbox: Sandbox) -> None:
    assert "error=access_denied" in sandbox.authorize(authorize_url(sandbox), "alice", deny=True)


def test_the_page_signs_in_once_for_an_hour_until_its_sign_out_address_is_visited(sandbox: Sandbox, wire: Wire) -> None:
    path = authorize_url(sandbox).removeprefix(sandbox.url)
    status, _, page = wire.request("GET", path)
    assert status == 200
    assert b'type="password"' in page

    def submit(password: str) -> tuple[int, dict[str, str], bytes]:
        form = {"request": path.partition("?")[2], "username": "alice", "password": password}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return wire.request("POST", "/oauth2/authorize", urllib.parse.urlencode(form).encode(), headers)

    assert submit("wrong")[0] == 403
    status, headers, _ = submit("correct-horse")
    assert status == 303
    assert exchange(sandbox, code_of(headers["location"]))[0] == 200
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    assert wire.request("GET", path, headers=cookie)[0] == 303
    out = urllib.parse.urlencode({"client_id": CLIENT_ID, "logout_uri": "http://127.0.0.1/signed-out"})
    assert wire.request("GET", f"/logout?{out}", headers=cookie)[0] == 303
    assert wire.request("GET", path, headers=cookie)[0] == 200
    assert wire.request("GET", f"/logout?{out}x", headers=cookie)[0] == 400
