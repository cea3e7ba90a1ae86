"""RS256 tokens and the key that checks them (RFC 7515, RFC 7517). One key per process: making one takes a while."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


def sign(claims: Mapping[str, Any]) -> str:
    """The claims as a signed token."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    header = {"kid": key_id(), "alg": "RS256"}
    content = f"{_encoded(header)}.{_encoded(claims)}"
    return f"{content}.{_base64url(_key().sign(content.encode(), PKCS1v15(), SHA256()))}"


def key_set() -> dict[str, Any]:
    """The public half, as `jwks.json` has it."""
    numbers = _key().public_key().public_numbers()
    key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": key_id()}
    return {"keys": [key | {"n": _number(numbers.n), "e": _number(numbers.e)}]}


@functools.cache
def key_id() -> str:
    """The `kid` of both halves."""
    return _base64url(hashlib.sha256(_number(_key().public_key().public_numbers().n).encode()).digest())


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, whoever signed it. Raises ValueError if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not a token")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(claims, dict):
        raise TypeError("the claims are no object")
    return claims


@functools.cache
def _key() -> "RSAPrivateKey":
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(65537, 2048)


def _encoded(part: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(part, separators=(",", ":")).encode())


def _number(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
