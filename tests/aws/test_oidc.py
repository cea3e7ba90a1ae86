"""ID tokens: which one a login takes, and why it takes no other."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credhelper.aws import oidc
from credhelper.aws.oidc import Provider, UntrustedToken
from credhelper.domain import jwt
from credhelper.domain.errors import Unavailable
from credhelper.domain.jwt import MalformedToken
from credhelper.domain.model import CognitoLogin, LoginMethod
from credhelper.domain.oauth import Proof
from credhelper.sandbox import json_web_tokens

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
POOL = "us-east-1_Sandbox01"
LOGIN = CognitoLogin(
    "notes",
    LoginMethod.BROWSER,
    f"cognito-idp.us-east-1.amazonaws.com/{POOL}",
    POOL,
    "client1",
    (8400,),
    ("openid", "email"),
)
ISSUERS = frozenset({f"https://{LOGIN.provider}"})
CLAIMS: dict[str, Any] = {
    "iss": f"https://{LOGIN.provider}",
    "aud": "client1",
    "sub": "user-1",
    "token_use": "id",
    "nonce": "the nonce",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 3600,
}


def keys() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json_web_tokens.key_set()["keys"]
    return found


def encoded(part: Mapping[str, Any] | bytes) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def with_header(token: str, **changes: Any) -> str:
    header, claims, signature = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(header + "==")) | changes
    return f"{encoded(found)}.{claims}.{signature}"


def why_not(claims: Mapping[str, Any], **more: Any) -> str:
    token = oidc.read(json_web_tokens.sign(claims))
    with pytest.raises(UntrustedToken) as refused:
        oidc.check_claims(token, LOGIN, ISSUERS, NOW, nonce="the nonce", **more)
    return str(refused.value)


def test_the_user_pools_own_token_is_taken() -> None:
    token = oidc.read(json_web_tokens.sign(CLAIMS))
    oidc.verify_signature(token, keys())
    oidc.check_claims(token, LOGIN, ISSUERS, NOW, nonce="the nonce")
    assert token.subject == "user-1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Other"}, "somebody else"),
        ({"aud": "client2"}, "another app client"),
        ({"aud": ["client1", "client2"]}, "another app client"),
        ({"token_use": "access"}, "no ID token"),
        ({"sub": ""}, "whose it is"),
        ({"nonce": "another"}, "another login"),
        ({"nonce": None}, "another login"),
        ({"exp": int(NOW.timestamp())}, "expired"),
        ({"exp": "soon"}, "no number"),
        ({"exp": 1e300}, "calendar"),
        ({"iat": int((NOW + timedelta(hours=1)).timestamp())}, "future"),
    ],
)
def test_a_token_that_is_not_for_this_login_is_not_taken(change: dict[str, Any], why: str) -> None:
    assert why in why_not(CLAIMS | change)


def test_a_token_without_an_end_is_not_taken() -> None:
    assert "expired" in why_not({name: value for name, value in CLAIMS.items() if name != "exp"})


def refused_signature(token: str, given: object) -> str:
    with pytest.raises(UntrustedToken) as refused:
        oidc.verify_signature(oidc.read(token), given)
    return str(refused.value)


def test_a_token_that_was_changed_is_not_taken() -> None:
    header, _, signature = json_web_tokens.sign(CLAIMS).split(".")
    forged = f"{header}.{encoded(CLAIMS | {'sub': 'somebody-else'})}.{signature}"
    assert "signature" in refused_signature(forged, keys())


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512", "rs256", None])
def test_only_rs256_is_taken(algorithm: str | None) -> None:
    assert "RS256" in refused_signature(with_header(json_web_tokens.sign(CLAIMS), alg=algorithm), keys())


def test_a_critical_extension_is_not_taken() -> None:
    assert "RS256" in refused_signature(with_header(json_web_tokens.sign(CLAIMS), crit=["b64"]), keys())


@pytest.mark.parametrize(
    "change",
    [{"kid": "another"}, {"kty": "oct"}, {"use": "enc"}, {"alg": "RS512"}, {"n": 17}],
    ids=str,
)
def test_a_key_that_is_not_for_it_is_not_used(change: dict[str, Any]) -> None:
    assert "no key" in refused_signature(json_web_tokens.sign(CLAIMS), [keys()[0] | change])


@pytest.mark.parametrize("given", [None, {}, [], ["key"], keys() * 2, [{}] * 65], ids=lambda given: str(given)[:20])
def test_without_exactly_one_key_nothing_is_taken(given: object) -> None:
    assert "no key" in refused_signature(json_web_tokens.sign(CLAIMS), given)


@pytest.mark.parametrize("modulus", [b"\x80" + bytes(127), b"\x80" + bytes(2000)])
def test_a_key_of_another_size_is_not_used(modulus: bytes) -> None:
    assert "cannot be used" in refused_signature(json_web_tokens.sign(CLAIMS), [keys()[0] | {"n": encoded(modulus)}])


@pytest.mark.parametrize(
    "token",
    ["", "a.b", "a.b.c.d", "a.b.c", "..", "e30.e30.", "e30=.e30.e30", f"{'e' * 50_001}.e30.e30", "e30.W10.e30"],
    ids=lambda token: token[:12],
)
def test_what_is_no_token_is_said_to_be_none(token: str) -> None:
    with pytest.raises(MalformedToken):
        jwt.read(token)


@pytest.mark.parametrize("claims", [b'{"sub":"a","sub":"b"}', b'{"exp":NaN}', b"\xff", b"[" * 100_000])
def test_claims_that_two_readers_would_read_differently_are_refused(claims: bytes) -> None:
    token = f"e30.{encoded(claims)[:40_000]}.e30"
    with pytest.raises(MalformedToken) as refused:
        jwt.read(token)
    assert "sub" not in str(refused.value)


def test_no_claim_shows_in_a_repr() -> None:
    assert "user-1" not in repr(jwt.read(json_web_tokens.sign(CLAIMS)))


def test_the_address_carries_the_proof_and_not_the_verifier() -> None:
    provider, proof = Provider("https://login.example.com/oauth2/authorize", "https://x/token"), Proof.new()
    url = oidc.authorize_url(provider, LOGIN, "http://127.0.0.1:8400/callback", proof, "the nonce")
    assert proof.code_verifier not in url
    assert proof.code_challenge in url
    assert "scope=openid%20email" in url
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A8400%2Fcallback" in url


def test_nobody_is_sent_to_an_address_that_a_terminal_would_obey() -> None:
    provider = Provider("https://login.example.com/\x1b[31m", "https://x/token")
    with pytest.raises(Unavailable):
        oidc.authorize_url(provider, LOGIN, "http://127.0.0.1:8400/callback", Proof.new(), "the nonce")
